"""Keras' `.keras` archives: a zip of `config.json`, `metadata.json` and `model.weights.h5`, read in place."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import TrainingConfig
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats import keras_config
from ckpt_inspect.formats.hdf5 import Hdf5Checkpoint, Source, shard_names
from ckpt_inspect.storage.byte_file import ByteFile, unreadable
from ckpt_inspect.storage.location import Location

SIGNATURE = b"PK\x03\x04"
"""A zip's first local file header (APPNOTE.TXT, 4.3.7)."""

CONFIG_FILE, METADATA_FILE, WEIGHTS_FILE = FOLDER_FILES = ("config.json", "metadata.json", "model.weights.h5")

_LOCAL_HEADER_SIZE = 30
_MAX_CONFIG_BYTES = 1 << 28
_MAX_EXPANSION = 1000
"""Deflate reaches 1032 at most; weights never come near."""


class KerasArchive(Hdf5Checkpoint):
    """A `.keras` file, or the folder that `save_model(zipped=False)` makes of the same files."""

    def __init__(
        self, path: Path, sources: Sequence[Source], files: Sequence[Path], config: bytes, metadata: Mapping[str, Any]
    ) -> None:
        self._config = config
        self._metadata = metadata
        super().__init__(path, sources, files, "keras-archive")

    def training_config(self) -> TrainingConfig | None:
        try:
            return keras_config.from_archive(self._config, CONFIG_FILE)
        except DamagedFileError as error:
            raise DamagedFileError(f"{self.path}: {error}") from None

    def producer(self) -> Mapping[str, str]:
        return {key: str(self._metadata[key]) for key in ("keras_version", "date_saved") if key in self._metadata}


def recognises(location: Location) -> bool:
    """A zip that has a `config.json`, or is named `.keras`; a folder that holds what such a zip would."""
    if location.kind == "folder":
        return all(map(location.has, FOLDER_FILES))
    if not location.head.startswith(SIGNATURE):
        return False
    if location.path.suffix == ".keras":
        return True
    try:
        with zipfile.ZipFile(location.path) as archive:
            return CONFIG_FILE in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError):
        return False


def recognises_names(names: Collection[str]) -> bool:
    """Whether these are the files of an archive's folder."""
    return all(name in names for name in FOLDER_FILES)


def open_archive(path: Path) -> KerasArchive:
    """A path that is recognised."""
    if path.is_dir():
        config, metadata, weights = (path / name for name in FOLDER_FILES)
        try:
            texts = [config.read_bytes(), metadata.read_bytes()]
        except OSError as error:
            raise unreadable(path, error) from None
        decoded = keras_config.decode_json(texts[1], str(metadata))
        return KerasArchive(path, [Source(weights, ByteFile(weights))], [weights, config, metadata], texts[0], decoded)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if CONFIG_FILE not in members:
                raise UnsupportedError(f"{path}: {_describe_zip(members)}")
            config_text = _read_small(archive, path, members[CONFIG_FILE])
            decoded = {}
            if METADATA_FILE in members:
                text = _read_small(archive, path, members[METADATA_FILE])
                decoded = keras_config.decode_json(text, f"{path}: {METADATA_FILE}")
            names = _weight_members(archive, path, members)
            sources = [_member_source(archive, path, members[name]) for name in names]
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        if isinstance(error, CkptInspectError):
            raise
        raise DamagedFileError(
            f"{path}: starts like a zip archive, but can't be read as one ({error}): the file is truncated or "
            "damaged; copy or restore it"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
    return KerasArchive(path, sources, [path], config_text, decoded)


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


def _describe_zip(members: Mapping[str, Any]) -> str:
    if any(n.endswith(("/data.pkl", "data.pkl")) for n in members):
        return "is a PyTorch file, not a TensorFlow or Keras checkpoint"
    if members and all(n.endswith(".npy") for n in members):
        return "is a NumPy .npz file, not a checkpoint"
    return "is a zip archive, but not Keras': it has no config.json"


def _read_small(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _MAX_CONFIG_BYTES:
        raise DamagedFileError(f"{path}: its {info.filename} claims {info.file_size} bytes")
    try:
        return archive.read(info)
    except Exception as error:  # zlib.error has no public parent
        raise DamagedFileError(f"{path}: its {info.filename} can't be read ({error}): the file is damaged") from None


def _member_source(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> Source:
    if info.flag_bits & 1:
        raise UnsupportedError(f"{path}: its {info.filename} is encrypted")
    if info.compress_type != zipfile.ZIP_STORED:
        return _unpacked_source(archive, path, info)
    file = ByteFile(path)
    header = file.read(info.header_offset, _LOCAL_HEADER_SIZE)
    if not header.startswith(SIGNATURE):
        raise DamagedFileError(f"{path}: has no local header for {info.filename} at {info.header_offset:#x}")
    name_length, extra_length = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
    base = info.header_offset + _LOCAL_HEADER_SIZE + name_length + extra_length
    if base + info.file_size > file.size:
        raise DamagedFileError(f"{path}: its {info.filename} runs past the end of the file: it is truncated")
    return Source(path, file, base, _Window(file, base, info.file_size))


def _unpacked_source(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> Source:
    """A compressed member, unpacked to a temporary file that vanishes with the process."""
    if info.file_size > _MAX_EXPANSION * max(info.compress_size, 1 << 10):
        raise DamagedFileError(
            f"{path}: its {info.filename} claims to unpack from {info.compress_size} bytes to {info.file_size}"
        )
    with tempfile.NamedTemporaryFile(prefix="ckpt-inspect-", suffix=".h5") as unpacked:
        left = info.file_size
        try:
            with archive.open(info) as member:
                while chunk := member.read(1 << 20):
                    left -= len(chunk)
                    if left < 0:
                        raise DamagedFileError(f"{path}: its {info.filename} is longer than the archive says")
                    unpacked.write(chunk)
        except CkptInspectError:
            raise
        except OSError as error:
            raise unreadable(path, error) from None
        except Exception as error:  # zlib.error has no public parent
            raise DamagedFileError(
                f"{path}: its {info.filename} can't be unpacked ({error}): the file is damaged"
            ) from None
        unpacked.flush()
        file = ByteFile(Path(unpacked.name))
        size = file.size  # opens it, so that it outlives its name
    return Source(path, file, 0, _Window(file, 0, size))


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: ByteFile, base: int, size: int) -> None:
        super().__init__()
        self._file, self._base, self._size, self._at = file, base, size, 0

    def readinto(self, buffer: Any) -> int:
        target = np.frombuffer(buffer, np.uint8)[: max(self._size - self._at, 0)]
        self._file.read_into(target, self._base + self._at)
        self._at += len(target)
        return len(target)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
