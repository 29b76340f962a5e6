"""Calls of HDF5's library on a file that is open already, and the meaning of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats.checksums import CRC32, PieceChecksums
from ckpt_inspect.storage import OpenFile, native_path, open_file

if TYPE_CHECKING:
    import h5py

_SMALL = 1 << 22
"""Size in bytes up to which a file in an archive is checked whole before it is read."""

_KERAS_GROUPS = (b"model_weights", b"vars", b"layers", b"_layer_checkpoint_dependencies")


class WholeChecksum:
    """Compares the checksum of a whole file in an archive with the stored one, as its bytes are read.

    A small file is read whole at the first read. Of a larger one, what is read is counted, and `finish` reads the rest.
    """

    def __init__(self, file: OpenFile, base: int, size: int, expected: int, name: str) -> None:
        """The file `name` of an archive is the `size` bytes from `base`; `expected` is their CRC-32."""
        self._file, self._base, self._size, self._name = file, base, size, name
        self._pieces = PieceChecksums(size, expected, CRC32)
        self._lock = Lock()
        self._is_done = False

    def begin(self) -> None:
        """Compare a small file's; call it before anything is read. Raises DamagedFileError if they differ."""
        if not self._is_done and self._size <= _SMALL:
            self.finish()

    def add(self, start: int, data: NDArray[np.uint8]) -> None:
        """Count bytes that were read, from byte `start` of the archive; raises DamagedFileError as `finish` does."""
        if not self._is_done:
            with self._errors():
                self._pieces.add(start - self._base, data)

    def finish(self) -> None:
        """Read what was not read yet, and compare; raises DamagedFileError if the checksums differ."""
        with self._lock:
            if self._is_done:
                return
            buffer = np.empty(min(_SMALL, self._size), np.uint8)
            with self._errors():
                for start, stop in self._pieces.missing():
                    for at in range(start, stop, len(buffer)):
                        piece = buffer[: min(stop - at, len(buffer))]
                        self._file.read_into(piece, self._base + at)
                        self._pieces.add(at, piece)
            self._is_done = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DamagedFileError as error:
            if str(error).startswith(str(self._file.path)):
                raise
            raise DamagedFileError(
                f"{self._file.path}: its {self._name}: {error}: its bytes are damaged; copy or restore the file"
            ) from error


@dataclass(frozen=True, slots=True)
class Source:
    """Where one HDF5 file's bytes lie."""

    file: OpenFile
    """Contiguous datasets are read from it by range, the rest by HDF5's library."""
    base: int = 0
    """Offset of the HDF5 file's first byte in `file`."""
    size: int | None = None
    """In bytes; None for all that follows in `file`."""
    checksum: WholeChecksum | None = None
    """Of all its bytes; None if none is stored."""

    @property
    def path(self) -> Path:
        """Return the path that messages name."""
        return self.file.path


def open_library_file(source: Source) -> h5py.File:
    """Open the file in HDF5's library, which reads through the open file; raises what h5py raises."""
    import h5py

    name = source.file.native_path() if source.size is None and not source.base else None
    if name is not None:
        # Metadata is read in many small pieces: calling Python for each takes twice the time.
        with suppress(OSError):  # it locks, which fails on some network shares and while a training run is writing
            return h5py.File(name, "r")
    return h5py.File(source.file.stream(source.base, source.size), "r")


def is_keras(path: Path, *, if_damaged: bool) -> bool:
    """Return whether an HDF5 file is Keras', after a quick look; `if_damaged` is the answer if it can't be opened."""
    import h5py

    try:
        if (name := native_path(path)) is not None:
            # the low-level API takes a tenth of the time, which counts in a loop over a folder
            root = h5py.h5f.open(name, h5py.h5f.ACC_RDONLY)
            try:
                return _has_variables(root)
            finally:
                root.close()
        with open_file(path) as file, h5py.File(file.stream(), "r") as stream:
            return _has_variables(stream.id)
    except Exception:  # h5py raises what HDF5's error stack suggests
        return if_damaged


def _has_variables(root: h5py.h5f.FileID) -> bool:
    import h5py

    if h5py.h5a.exists(root, b"layer_names") or h5py.h5a.exists(root, b"layer_names0"):
        return True
    if h5py.h5a.exists(root, b"Conventions"):
        return False
    groups = h5py.h5g.open(root, b"/")
    names = [name for name in groups if groups.links.get_info(name).type == h5py.h5l.TYPE_HARD]
    return any(name in names for name in _KERAS_GROUPS) or any(
        isinstance(child := h5py.h5o.open(groups, name), h5py.h5g.GroupID) and b"vars" in child for name in names
    )


def has_own(group: h5py.Group, name: str) -> bool:
    """Return whether the group has something of that name that isn't a link to somewhere else."""
    import h5py

    return bool(_link_type(group, name) == h5py.h5l.TYPE_HARD)


def _link_type(group: h5py.Group, name: str) -> int | None:
    """Return the type of the link of that name; None if there is none."""
    try:
        return int(group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type)
    except (KeyError, RuntimeError):
        return None


def own_group(group: h5py.Group, name: str, path: Path) -> h5py.Group | None:
    """Return the group of that name below `group`; None if there is none, or a link within the file.

    Raises UnsupportedError, with `path`, if it is a link into another file: HDF5's library would follow it.
    """
    import h5py

    found = group
    for part in name.split("/"):
        kind = _link_type(found, part) if part not in ("", ".") and isinstance(found, h5py.Group) else None
        if kind is None:
            return None
        if kind not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
            raise UnsupportedError(
                f"{path}: {name!r} is a link into another file, which isn't followed: a checkpoint is read from "
                "its own file alone"
            )
        if kind != h5py.h5l.TYPE_HARD:
            return None
        found = found[part]
    return found if isinstance(found, h5py.Group) else None


@contextmanager
def hdf5_errors(path: Path) -> Iterator[None]:
    """Turn an error of HDF5's library about an unsound file into DamagedFileError."""
    try:
        yield
    except CkptInspectError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).strip("'\"").split()) or type(error).__name__
        raise DamagedFileError(
            f"{path}: HDF5 can't read it ({reason}): the file is damaged; copy or restore it"
        ) from error
