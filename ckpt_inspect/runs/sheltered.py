"""A file that libhdf5 can always write: it dies of a write that fails, as on a full disk, when it closes the file."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

_ASKED_AGAIN = 0.01
"""Seconds after which a signal that was put off is sent again."""


class ShelteredFile:
    """A file open for reading and writing, for h5py; what the disk won't take is kept in memory, and told by `check`.

    Whoever writes asks now and then, so that it never is much.
    """

    def __init__(self, path: Path, *, is_new: bool = True) -> None:
        """The file is there; what it holds goes if it `is_new`."""
        self._file = open(path, "r+b", buffering=0)  # noqa: PTH123, SIM115 - closed by close()
        if is_new:
            self._file.truncate(0)
        self._at = 0
        self._failure: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []
        """What was not taken, and where it belongs; later pieces are newer."""

    @property
    def has_failed(self) -> bool:
        """Whether the disk wouldn't take something."""
        return self._failure is not None

    def check(self) -> None:
        """Raise the OSError that the disk first gave, if it gave one."""
        if self._failure is not None:
            raise OSError(self._failure.errno, self._failure.strerror)

    def close(self) -> None:
        """Close it; safe to call twice."""
        self._file.close()

    # what h5py calls

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            end = max([os.fstat(self._file.fileno()).st_size, *(at + len(piece) for at, piece in self._kept)])
            self._at = end + offset
        else:
            self._at = offset if whence == os.SEEK_SET else self._at + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        self.readinto(memoryview(buffer))
        return bytes(buffer)

    def readinto(self, buffer: memoryview) -> int:
        found = os.pread(self._file.fileno(), len(buffer), self._at)
        buffer[: len(found)] = found
        buffer[len(found) :] = bytes(len(buffer) - len(found))
        for at, piece in self._kept:
            first, last = max(at, self._at), min(at + len(piece), self._at + len(buffer))
            if first < last:
                buffer[first - self._at : last - self._at] = piece[first - at : last - at]
        self._at += len(buffer)
        return len(buffer)

    def write(self, content: memoryview) -> int:
        done = 0
        try:
            while self._failure is None and done < len(content):
                done += os.pwrite(self._file.fileno(), content[done:], self._at + done)
        except OSError as failure:
            self._failure = failure
        if done < len(content):
            self._kept.append((self._at + done, bytes(content[done:])))
        self._at += len(content)
        return len(content)

    def truncate(self, size: int) -> int:
        try:
            self._file.truncate(size)
        except OSError as failure:
            self._failure = self._failure or failure
        return size

    def flush(self) -> None:
        """Nothing waits here."""


_CALLED_BY_LIBHDF5 = frozenset(
    each.__code__
    for each in (
        ShelteredFile.seek,
        ShelteredFile.tell,
        ShelteredFile.read,
        ShelteredFile.readinto,
        ShelteredFile.write,
        ShelteredFile.truncate,
        ShelteredFile.flush,
    )
)


class SignalShelter:
    """Keeps signals out of the calls that libhdf5 makes, from now on until `close`.

    Ctrl-C raises KeyboardInterrupt wherever Python is at that moment. There it would be taken for a disk that fails, or
    be lost, together with what was being written. A signal that comes there is sent again a moment later.
    """

    def __init__(self, *functions: Callable[..., object]) -> None:
        """Keep them out of what these functions call as well.

        Signals reach the main thread: in any other there is nothing to do.
        """
        self._closed_to = _CALLED_BY_LIBHDF5 | {function.__code__ for function in functions}
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._take)

    def close(self) -> None:
        """Have signals do what they did before; safe to call twice."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        at = frame
        while at is not None:
            if at.f_code in self._closed_to:
                again = threading.Timer(_ASKED_AGAIN, os.kill, (os.getpid(), number))
                again.daemon = True
                again.start()
                return
            at = at.f_back
        self._handlers[number](number, frame)
