"""A file that is read by byte ranges, from any thread."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError, RequestError

Bytes = NDArray[np.uint8]


class ByteFile:
    """Opened at the first read; reading neither shares a position nor holds a lock."""

    __slots__ = ("_descriptor", "_is_closed", "_lock", "_size", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._is_closed = False
        self._size = 0
        self._lock = Lock()

    @property
    def size(self) -> int:
        """In bytes, as it was when the file was opened."""
        self._open()
        return self._size

    def read_into(self, buffer: Bytes, offset: int) -> None:
        """Fill a contiguous 1-D uint8 array with the bytes at `offset`; DamagedFileError where they end too early."""
        descriptor = self._descriptor
        if descriptor is None:
            descriptor = self._open()
        view = memoryview(buffer.data)
        try:
            while view:
                count = _read_at(descriptor, view, offset)
                if not count:
                    raise DamagedFileError(
                        f"{self.path}: is {self._size} bytes long, but bytes up to {offset + len(view)} are asked for: "
                        "the file is truncated; copy or restore it"
                    )
                view, offset = view[count:], offset + count
        except OSError as error:
            raise unreadable(self.path, error) from None

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`; nothing is allocated for bytes that can't be there."""
        if offset + size > self.size:
            raise DamagedFileError(
                f"{self.path}: is {self.size} bytes long, but bytes up to {offset + size} are asked for: "
                "the file is truncated; copy or restore it"
            )
        buffer = np.empty(size, np.uint8)
        self.read_into(buffer, offset)
        return buffer.tobytes()

    def close(self) -> None:
        """Safe to call twice."""
        with self._lock:
            descriptor, self._descriptor, self._is_closed = self._descriptor, None, True
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self, *_: Any) -> None:
        self.close()

    def _open(self) -> int:
        with self._lock:
            if self._is_closed:
                raise RequestError(f"{self.path}: its checkpoint has been closed; open it again")
            if self._descriptor is None:
                try:
                    descriptor = os.open(
                        self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
                    )
                    self._size = os.fstat(descriptor).st_size
                except OSError as error:
                    raise unreadable(self.path, error) from None
                self._descriptor = descriptor
            return self._descriptor


if hasattr(os, "preadv"):

    def _read_at(descriptor: int, view: memoryview, offset: int) -> int:
        """Fill the start of `view`, without moving the file's position; the number of bytes, 0 at the end."""
        return os.preadv(descriptor, (view,), offset)

else:  # Windows
    _seek_lock = Lock()

    def _read_at(descriptor: int, view: memoryview, offset: int) -> int:
        with _seek_lock:
            os.lseek(descriptor, offset, os.SEEK_SET)
            data = os.read(descriptor, min(len(view), 1 << 30))
        view[: len(data)] = data
        return len(data)


def unreadable(path: Path, error: OSError) -> CkptInspectError:
    """The sentence for a file that the operating system doesn't give."""
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{path}: is missing; copy it to this folder, where the rest of its checkpoint lies")
    return NotFoundError(f"{path}: can't be read ({error.strerror or error})")
