"""A part of a file as a Python file, for libraries that seek and read."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Bytes = NDArray[np.uint8]
"""A contiguous 1-D array of bytes."""


class RangeReader(Protocol):
    """Anything that ranges of bytes can be read from."""

    def read_into(self, buffer: Bytes, offset: int) -> None:
        """Fill `buffer` with the bytes at `offset`."""


class RangeStream(io.RawIOBase):
    """A part of a file with its own position. Closing it leaves the file open."""

    def __init__(self, file: RangeReader, start: int, size: int) -> None:
        """Take `size` bytes of `file` from byte `start`."""
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the start of `buffer`; return the number of bytes, 0 at the end."""
        target = np.frombuffer(memoryview(buffer), np.uint8)[: max(self._size - self._at, 0)]
        self._file.read_into(target, self._start + self._at)
        self._at += len(target)
        return len(target)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position and return it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise OSError(errno.EINVAL, f"position {origin + offset} is before the start")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True
