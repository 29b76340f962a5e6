"""Keras' `.keras` archives: a zip of `config.json`, `metadata.json` and `model.weights.h5`, read in place."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ckpt_inspect.checkpoint import Problem, TrainingConfig
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, TruncatedFileError, UnsupportedError
from ckpt_inspect.formats import deflate, keras_config
from ckpt_inspect.formats.hdf5 import Hdf5Checkpoint, shard_names
from ckpt_inspect.formats.hdf5_source import Source, WholeChecksum
from ckpt_inspect.formats.hdf5_values import EXPANSION_LIMIT
from ckpt_inspect.formats.keras_files import CONFIG_FILE, METADATA_FILE, WEIGHTS_FILE, ZIP_SIGNATURE, describe_zip
from ckpt_inspect.storage import OpenFile, PinnedFiles, is_folder, keep_unpacked, open_file

_LOCAL_HEADER_SIZE = 30
_MAX_CONFIG_BYTES = 1 << 28
_PIECE, _LEAST = 1 << 20, 1 << 12
_MAX_DIRECTORY_BYTES = 1 << 21
"""Some twenty thousand members: each takes time, and Keras writes a handful."""
_MAX_END_BYTES = (1 << 16) + 22 + 20 + 56
_MAX_EXPANSION = 1000
"""Highest compression ratio that is believed. Deflate reaches 1032 at most; weights never come near."""
_USUAL_EXPANSION = 200
"""The same for more than EXPANSION_LIMIT bytes, which take their time."""


class KerasArchive(Hdf5Checkpoint):
    """A `.keras` file, or the folder that `save_model(zipped=False)` makes of the same files."""

    def __init__(
        self,
        path: Path,
        sources: Sequence[Source],
        pinned: PinnedFiles,
        config: bytes,
        metadata: Mapping[str, Any],
        archive: OpenFile | None = None,
    ) -> None:
        """Take the zip file as `archive`; None for a folder of its files, which keep no checksums."""
        self._config = config
        self._metadata = metadata
        self._archive = archive
        self.checksums = "" if archive is None else "each file in the archive (CRC-32)"
        super().__init__(path, sources, pinned, "keras-archive")

    def training_config(self) -> TrainingConfig | None:
        try:
            return keras_config.from_archive(self._config, CONFIG_FILE)
        except DamagedFileError as error:
            raise DamagedFileError(f"{self.path}: {error}") from error

    def producer(self) -> Mapping[str, str]:
        return {key: str(self._metadata[key]) for key in ("keras_version", "date_saved") if key in self._metadata}

    def check_rest(self) -> tuple[Problem, ...]:
        """Compare the checksums of the archive's other files, and its local headers with its directory."""
        return () if self._archive is None else tuple(_check_archive(self._archive))


def has_config(path: Path) -> bool:
    """Return whether a file is a zip archive with a `config.json`."""
    try:
        with open_file(path) as file:
            if _directory_size(file) > _MAX_DIRECTORY_BYTES:
                return False
            with zipfile.ZipFile(file.stream()) as archive:
                return CONFIG_FILE in archive.namelist()
    except (CkptInspectError, zipfile.BadZipFile, OSError, ValueError, EOFError):
        return False


def open_archive(path: Path) -> KerasArchive:
    """Open a path that `recognises` accepts."""
    pinned = PinnedFiles()
    if is_folder(path):
        weights, config, metadata = (pinned.open(path / name) for name in (WEIGHTS_FILE, CONFIG_FILE, METADATA_FILE))
        decoded = keras_config.decode_json(metadata.read_whole(_MAX_CONFIG_BYTES), str(metadata.path))
        return KerasArchive(path, [Source(weights)], pinned, config.read_whole(_MAX_CONFIG_BYTES), decoded)
    file = pinned.open(path)
    if (size := _directory_size(file)) > _MAX_DIRECTORY_BYTES:
        raise UnsupportedError(
            f"{path}: lists its members in {size} bytes, and an archive of Keras needs a few thousand: it is none, or "
            "damaged"
        )
    try:
        with zipfile.ZipFile(file.stream()) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if CONFIG_FILE not in members:
                raise UnsupportedError(f"{path}: {describe_zip(members)}")
            if locked := next((info.filename for info in members.values() if info.flag_bits & 1), None):
                raise UnsupportedError(
                    f"{path}: its {locked} is encrypted, which this package doesn't read: unpack the archive with its "
                    "password, and zip it again without one"
                )
            config_text = _read_small(archive, file, members[CONFIG_FILE])
            decoded = {}
            if METADATA_FILE in members:
                text = _read_small(archive, file, members[METADATA_FILE])
                decoded = keras_config.decode_json(text, f"{path}: {METADATA_FILE}")
            names = _weight_members(archive, file, members)
            sources = [_member_source(archive, file, members[name]) for name in names]
    except CkptInspectError:
        raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
        kind = TruncatedFileError if isinstance(error, (zipfile.BadZipFile, EOFError)) else DamagedFileError
        raise kind(
            f"{path}: starts like a zip archive, but can't be read as one ({error}): the file is truncated or "
            "damaged; copy or restore it"
        ) from error
    return KerasArchive(path, sources, pinned, config_text, decoded, file)


def _directory_size(file: OpenFile) -> int:
    """Return the size of a zip's list of members in bytes, as its end says (APPNOTE.TXT, 4.3.14 to 4.3.16)."""
    start = max(file.size - _MAX_END_BYTES, 0)
    tail = file.read(start, file.size - start)
    at = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    locator = tail[max(at - 20, 0) : max(at, 0)]
    if locator.startswith(b"PK\x06\x07"):
        place = int.from_bytes(locator[8:16], "little") - start
        if 0 <= place < len(tail) and tail[place : place + 4] == b"PK\x06\x06":
            return int.from_bytes(tail[place + 40 : place + 48], "little")
    return size


def _weight_members(archive: zipfile.ZipFile, file: OpenFile, members: Mapping[str, zipfile.ZipInfo]) -> list[str]:
    path = file.path
    names = [n for n in members if n.endswith(".weights.h5") or n == "variables.h5"]
    if WEIGHTS_FILE in names:
        return [WEIGHTS_FILE]
    if "model.weights.json" in members:
        listed = shard_names(_read_small(archive, file, members["model.weights.json"]), f"{path}: model.weights.json")
        if absent := next((n for n in listed if n not in members), None):
            raise DamagedFileError(
                f"{path}: its shard {absent} is not in the archive: it was not written whole; save or copy it again"
            )
        return listed
    if any(n.endswith(".npz") for n in members):
        raise UnsupportedError(
            f"{path}: keeps its weights as .npz, which this package doesn't read; load the model with Keras and "
            "save it again, as .keras"
        )
    if not names:
        raise DamagedFileError(
            f"{path}: has a config.json, but no model.weights.h5: the archive was not written whole; save or copy it "
            "again"
        )
    return names


def _read_small(archive: zipfile.ZipFile, file: OpenFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _MAX_CONFIG_BYTES:
        raise DamagedFileError(
            f"{file.path}: its {info.filename} claims {info.file_size} bytes, far more than Keras writes: the archive "
            "is damaged or not one of Keras'; copy or restore it"
        )
    return b"".join(_unpacked(archive, file, info))


def _member_source(archive: zipfile.ZipFile, file: OpenFile, info: zipfile.ZipInfo) -> Source:
    path = file.path
    if info.compress_type != zipfile.ZIP_STORED:
        most = max(EXPANSION_LIMIT, _USUAL_EXPANSION * info.compress_size)
        if info.file_size > min(_MAX_EXPANSION * max(info.compress_size, 1 << 10), most):
            raise DamagedFileError(
                f"{path}: its {info.filename} claims to unpack from {info.compress_size} bytes to {info.file_size}"
            )
        key = (path, file.stat, info.header_offset, info.CRC, info.file_size)
        return Source(keep_unpacked(_unpacked(archive, file, info), path, key))
    base = _contents_at(file, info)
    if base + info.file_size > file.size:
        raise TruncatedFileError(f"{path}: its {info.filename} runs past the end of the file: it is truncated")
    checksum = WholeChecksum(file, base, info.file_size, info.CRC, info.filename)
    return Source(file, base, info.file_size, checksum)


def _contents_at(file: OpenFile, info: zipfile.ZipInfo) -> int:
    """Return where a member's contents begin, behind its local header; raises DamagedFileError if it has none."""
    header = file.read(info.header_offset, _LOCAL_HEADER_SIZE)
    if not header.startswith(ZIP_SIGNATURE):
        raise DamagedFileError(f"{file.path}: has no local header for {info.filename} at {info.header_offset:#x}")
    name_length, extra_length = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
    return info.header_offset + _LOCAL_HEADER_SIZE + name_length + extra_length


def _unpacked(archive: zipfile.ZipFile, file: OpenFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a compressed member's contents, in pieces."""
    left = info.file_size
    try:
        with archive.open(info) as member:  # which compares names and flags
            is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
            for piece in _inflated(file, info) if is_deflated else _read_in_pieces(member, info):
                left -= len(piece)
                if left < 0:
                    raise DamagedFileError(f"{file.path}: its {info.filename} is longer than the archive says")
                yield piece
    except CkptInspectError:
        raise
    except NotImplementedError as error:
        raise UnsupportedError(
            f"{file.path}: its {info.filename} is packed by a method ({info.compress_type}) that Python doesn't "
            "unpack; unpack the archive, and zip it again without packing"
        ) from error
    except Exception as error:  # zlib.error has no public parent
        raise DamagedFileError(
            f"{file.path}: its {info.filename} can't be unpacked ({error}): the file is damaged"
        ) from error


def _read_in_pieces(member: IO[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    # A piece of other methods' input is unpacked whole, whatever comes of it.
    step = _PIECE if info.compress_type == zipfile.ZIP_STORED else _LEAST
    while piece := member.read(step):
        yield piece


def _inflated(file: OpenFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a deflated member's contents as zipfile does, in two thirds of its time; raises what it raises."""
    unpacker, crc, left = deflate.decompressobj(-15), 0, info.file_size
    packed, packed_left, is_done = file.stream(_contents_at(file, info)), info.compress_size, False
    while not is_done:
        given, most = unpacker.unconsumed_tail, min(_PIECE, left + 1)
        if len(given) < most and packed_left:
            more = packed.read(min(max(most - len(given), _LEAST), packed_left))
            if not more:
                raise EOFError
            packed_left -= len(more)
            given += more
        piece = unpacker.decompress(given, max(most, _LEAST))
        is_done = unpacker.eof or not (packed_left or unpacker.unconsumed_tail)
        if is_done:
            piece += unpacker.flush()
        piece = piece[:left]
        left -= len(piece)
        is_done = is_done or not left
        crc = deflate.crc32(piece, crc)
        if is_done and crc != info.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {info.filename!r}")
        yield piece


def _check_archive(file: OpenFile) -> Iterator[Problem]:
    """Yield what is wrong in a zip file beyond the weights, which are checked as they are read."""
    covered = 0
    with zipfile.ZipFile(file.stream()) as archive:
        for info in sorted(archive.infolist(), key=lambda member: member.header_offset):
            if info.header_offset > covered:
                yield _unclaimed(file, info.header_offset - covered, f"before {info.filename}")
            try:
                covered = max(covered, _check_member(archive, file, info))
            except CkptInspectError as error:
                yield Problem("archive-damaged", str(error), "the rest is read without it", "error")
        if archive.start_dir > covered:
            yield _unclaimed(file, archive.start_dir - covered, "before its directory")


def _unclaimed(file: OpenFile, size: int, where: str) -> Problem:
    what = f"{file.path}: {size} bytes {where} belong to none of the archive's files"
    return Problem("bytes-unclaimed", what, "no checksum covers them, and nothing needs them", "info")


def _check_member(archive: zipfile.ZipFile, file: OpenFile, info: zipfile.ZipInfo) -> int:
    """Return where a member ends; raises DamagedFileError if its header or its contents aren't as the directory says.

    Local header: APPNOTE.TXT 6.3.10, section 4.3.7. Sizes and checksum are 0 in it if a data descriptor follows.
    """
    header = file.read(info.header_offset, _LOCAL_HEADER_SIZE)
    flags, method, time, date, crc, packed, unpacked, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    names = file.read(info.header_offset + _LOCAL_HEADER_SIZE, name_length)
    encoding = "utf-8" if info.flag_bits & _UTF8 else "cp437"
    year, month, day, hour, minute, second = info.date_time
    has_own = not flags & _DESCRIPTOR and _WIDE not in (packed, unpacked)
    agrees = (
        header.startswith(ZIP_SIGNATURE)
        and (flags, method) == (info.flag_bits, info.compress_type)
        and names == info.orig_filename.encode(encoding, "replace")
        and (date, time) == ((year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2)
        and (not has_own or (crc, packed, unpacked) == (info.CRC, info.compress_size, info.file_size))
    )
    if not agrees:
        raise DamagedFileError(
            f"{file.path}: the header of {info.filename} at {info.header_offset:#x} is not as the archive's directory "
            "says: the file is damaged; copy or restore it"
        )
    if info.filename not in (WEIGHTS_FILE, CONFIG_FILE, METADATA_FILE) and not info.filename.endswith("/"):
        if info.file_size > _MAX_EXPANSION * max(info.compress_size, 1 << 10):
            raise DamagedFileError(
                f"{file.path}: its {info.filename} claims to unpack from {info.compress_size} bytes to {info.file_size}"
            )
        for _ in _unpacked(archive, file, info):
            pass  # the library compares the checksum at the end
    start = info.header_offset + _LOCAL_HEADER_SIZE + int(name_length) + int(extra_length)
    return start + info.compress_size + (_DESCRIPTOR_SIZE if flags & _DESCRIPTOR else 0)


_LOCAL_HEADER = struct.Struct("<6xHHHHIIIHH")
_DESCRIPTOR, _UTF8 = 1 << 3, 1 << 11
_DESCRIPTOR_SIZE = 16
_WIDE = 0xFFFFFFFF
"""What stands for a size that takes more than 32 bits, and lies in the extra field."""
