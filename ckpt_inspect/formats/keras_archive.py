"""Keras' `.keras` archives: a zip of `config.json`, `metadata.json` and `model.weights.h5`, read in place."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckpt_inspect.checkpoint import TrainingConfig
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, TruncatedFileError, UnsupportedError
from ckpt_inspect.formats import keras_config
from ckpt_inspect.formats.format import Claim, Format
from ckpt_inspect.formats.hdf5 import Hdf5Checkpoint, shard_names
from ckpt_inspect.formats.hdf5_library import Source, WholeChecksum
from ckpt_inspect.formats.keras_files import ZIP_SIGNATURE, split_name
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.storage import Location, OpenFile, PinnedFiles, is_folder, keep_temporarily, open_file

CONFIG_FILE, METADATA_FILE, WEIGHTS_FILE = FOLDER_FILES = ("config.json", "metadata.json", "model.weights.h5")

_LOCAL_HEADER_SIZE = 30
_MAX_CONFIG_BYTES = 1 << 28
_MAX_EXPANSION = 1000
"""Highest compression ratio that is believed. Deflate reaches 1032 at most; weights never come near."""


class KerasArchive(Hdf5Checkpoint):
    """A `.keras` file, or the folder that `save_model(zipped=False)` makes of the same files."""

    def __init__(
        self, path: Path, sources: Sequence[Source], pinned: PinnedFiles, config: bytes, metadata: Mapping[str, Any]
    ) -> None:
        self._config = config
        self._metadata = metadata
        super().__init__(path, sources, pinned, "keras-archive")

    def training_config(self) -> TrainingConfig | None:
        try:
            return keras_config.from_archive(self._config, CONFIG_FILE)
        except DamagedFileError as error:
            raise DamagedFileError(f"{self.path}: {error}") from error

    def producer(self) -> Mapping[str, str]:
        return {key: str(self._metadata[key]) for key in ("keras_version", "date_saved") if key in self._metadata}


def recognises(location: Location) -> bool:
    """Recognise a zip that has a `config.json` or is named `.keras`, and a folder with the files of such a zip."""
    if location.kind == "folder":
        return all(map(location.has, FOLDER_FILES))
    if not location.head.startswith(ZIP_SIGNATURE):
        return False
    if location.path.suffix == ".keras":
        return True
    try:
        with open_file(location.path) as file, zipfile.ZipFile(file.stream()) as archive:
            return CONFIG_FILE in archive.namelist()
    except (CkptInspectError, zipfile.BadZipFile, OSError, ValueError, EOFError):
        return False


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim the folder if it holds the files of an archive, and each archive among the files."""
    folder = listing.folder
    if all(name in listing.names for name in FOLDER_FILES):
        yield Claim(folder, listing.names, folder, *split_name(folder.name))
        return
    for name in listing.unclear():
        location = listing.look(name)
        if recognises(location):
            yield Claim(folder, (name,), location.path, *split_name(name))


def open_archive(path: Path) -> KerasArchive:
    """Open a path that `recognises` accepts."""
    pinned = PinnedFiles()
    if is_folder(path):
        weights, config, metadata = (pinned.open(path / name) for name in (WEIGHTS_FILE, CONFIG_FILE, METADATA_FILE))
        decoded = keras_config.decode_json(metadata.read(0, metadata.size), str(metadata.path))
        return KerasArchive(path, [Source(weights)], pinned, config.read(0, config.size), decoded)
    file = pinned.open(path)
    try:
        with zipfile.ZipFile(file.stream()) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if CONFIG_FILE not in members:
                raise UnsupportedError(f"{path}: {_describe_zip(members)}")
            if locked := next((info.filename for info in members.values() if info.flag_bits & 1), None):
                raise UnsupportedError(
                    f"{path}: its {locked} is encrypted, which this package doesn't read: unpack the archive with its "
                    "password, and zip it again without one"
                )
            config_text = _read_small(archive, path, members[CONFIG_FILE])
            decoded = {}
            if METADATA_FILE in members:
                text = _read_small(archive, path, members[METADATA_FILE])
                decoded = keras_config.decode_json(text, f"{path}: {METADATA_FILE}")
            names = _weight_members(archive, path, members)
            sources = [_member_source(archive, file, members[name]) for name in names]
    except CkptInspectError:
        raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
        kind = TruncatedFileError if isinstance(error, (zipfile.BadZipFile, EOFError)) else DamagedFileError
        raise kind(
            f"{path}: starts like a zip archive, but can't be read as one ({error}): the file is truncated or "
            "damaged; copy or restore it"
        ) from error
    return KerasArchive(path, sources, pinned, config_text, decoded)


def _weight_members(archive: zipfile.ZipFile, path: Path, members: Mapping[str, zipfile.ZipInfo]) -> list[str]:
    names = [n for n in members if n.endswith(".weights.h5") or n == "variables.h5"]
    if WEIGHTS_FILE in names:
        return [WEIGHTS_FILE]
    if "model.weights.json" in members:
        listed = shard_names(_read_small(archive, path, members["model.weights.json"]), f"{path}: model.weights.json")
        if absent := next((n for n in listed if n not in members), None):
            raise DamagedFileError(f"{path}: its shard {absent} is not in the archive: it was not written whole")
        return listed
    if any(n.endswith(".npz") for n in members):
        raise UnsupportedError(
            f"{path}: keeps its weights as .npz, which this package doesn't read; load the model with Keras and "
            "save it again, as .keras"
        )
    if not names:
        raise DamagedFileError(f"{path}: has a config.json, but no model.weights.h5: the archive was not written whole")
    return names


def _describe_zip(members: Collection[str]) -> str:
    if any(n.endswith(("/data.pkl", "data.pkl")) for n in members):
        return "is a PyTorch file, not a TensorFlow or Keras checkpoint"
    if members and all(n.endswith(".npy") for n in members):
        return "is a NumPy .npz file, not a checkpoint"
    return "is a zip archive, but not of Keras: it has no config.json"


def _read_small(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _MAX_CONFIG_BYTES:
        raise DamagedFileError(f"{path}: its {info.filename} claims {info.file_size} bytes")
    try:
        return archive.read(info)
    except Exception as error:  # zlib.error has no public parent
        raise DamagedFileError(f"{path}: its {info.filename} can't be read ({error}): the file is damaged") from error


def _member_source(archive: zipfile.ZipFile, file: OpenFile, info: zipfile.ZipInfo) -> Source:
    path = file.path
    if info.compress_type != zipfile.ZIP_STORED:
        if info.file_size > _MAX_EXPANSION * max(info.compress_size, 1 << 10):
            raise DamagedFileError(
                f"{path}: its {info.filename} claims to unpack from {info.compress_size} bytes to {info.file_size}"
            )
        return Source(keep_temporarily(_unpacked(archive, path, info), path))
    header = file.read(info.header_offset, _LOCAL_HEADER_SIZE)
    if not header.startswith(ZIP_SIGNATURE):
        raise DamagedFileError(f"{path}: has no local header for {info.filename} at {info.header_offset:#x}")
    name_length, extra_length = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
    base = info.header_offset + _LOCAL_HEADER_SIZE + name_length + extra_length
    if base + info.file_size > file.size:
        raise TruncatedFileError(f"{path}: its {info.filename} runs past the end of the file: it is truncated")
    checksum = WholeChecksum(file, base, info.file_size, info.CRC, info.filename)
    return Source(file, base, info.file_size, checksum)


def _unpacked(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a compressed member's contents, in pieces."""
    left = info.file_size
    try:
        with archive.open(info) as member:
            while chunk := member.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise DamagedFileError(f"{path}: its {info.filename} is longer than the archive says")
                yield chunk
    except CkptInspectError:
        raise
    except Exception as error:  # zlib.error has no public parent
        raise DamagedFileError(
            f"{path}: its {info.filename} can't be unpacked ({error}): the file is damaged"
        ) from error


FORMAT = Format(("keras-archive",), "Keras archive (.keras)", recognises, open_archive, claims)
