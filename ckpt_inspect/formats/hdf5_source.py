"""Where the bytes of one HDF5 file lie, the checksum of all of them, and what an error about them says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats.checksums import CRC32, PieceChecksums
from ckpt_inspect.formats.hdf5_messages import UnreadFeatureError
from ckpt_inspect.formats.hdf5_objects import Hdf5File
from ckpt_inspect.records import dataclass
from ckpt_inspect.storage import OpenFile

_SMALL = 1 << 22
"""Size in bytes up to which a file in an archive is checked whole before it is read."""


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

    def pieces(self) -> tuple[tuple[int, int, int], ...]:
        """Return begin, end and checksum of what was counted; all of it once it is found right."""
        return ((0, self._size, self._pieces.expected),) if self._is_done else self._pieces.counted()

    def take(self, pieces: Iterable[tuple[int, int, int]]) -> None:
        """Count what `pieces` returned elsewhere; raises DamagedFileError as `finish` does."""
        with self._errors():
            for start, stop, crc in pieces:
                if not self._is_done and self._pieces.take(start, stop, crc):
                    self._is_done = True

    def finish_if_only(self, rest: int) -> None:
        """Do what `finish` does if no more than `rest` bytes, which belong to no tensor, have not been read yet."""
        if not self._is_done and sum(stop - start for start, stop in self._pieces.missing()) <= rest:
            self.finish()

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


def open_objects(source: Source) -> Hdf5File:
    """Return the groups and datasets of a source; raises what Hdf5File raises."""
    file, base = source.file, source.base
    return Hdf5File(
        lambda at, size: file.read(base + at, size),
        file.size - base if source.size is None else source.size,
        lambda places: file.look_ahead(base + at for at in places),
    )


@contextmanager
def hdf5_errors(path: Path) -> Iterator[None]:
    """Turn an error about an unsound HDF5 file into DamagedFileError, about an unread feature into UnsupportedError."""
    try:
        yield
    except CkptInspectError:
        raise
    except UnreadFeatureError as error:
        raise UnsupportedError(
            f"{path}: {error}, which this package doesn't read; rewrite the file by `h5repack`, or load the model with "
            "Keras and save it again"
        ) from error
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError) as error:
        reason = " ".join(str(error).strip("'\"").split()) or type(error).__name__
        raise DamagedFileError(
            f"{path}: HDF5 can't read it ({reason}): the file is damaged; copy or restore it"
        ) from error
