"""Files that are written whole or not at all: what whoever reads sees is the old one or the new one, never a part.

Until it is whole, a file has a temporary name beside its place, and whoever writes it holds a lock on it. One without a
lock was left by a process that was killed, and goes when its place is written the next time.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from threading import RLock

from ckpt_inspect.runs.sheltered import SignalShelter

_NAME = 200
"""Bytes of a file's name that its temporary ones repeat; a name may have 255."""

_held: dict[tuple[int, int], int] = {}
"""How often this process has locked each folder."""
_threads = RLock()


class Temporary:
    """A file beside the place that it is to take, removed when it is closed; other processes leave it alone."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if the folder can't be written."""
        self._handle, self._process = -1, os.getpid()
        shelter = SignalShelter(Temporary.__init__)  # a file that has been made has to be known by name
        try:
            with folder_locked(path.parent):
                self._handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent)
                self.path = Path(name)
                _open.add(self)
                with contextlib.suppress(OSError):  # a filesystem without locks
                    fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            shelter.close()

    def __del__(self) -> None:
        """Remove it if a signal came before whoever made it could see to that; not in a copy of the process."""
        self.drop()

    def drop(self) -> None:
        """Remove it, if it is this process' own."""
        if self._process == os.getpid():
            self.close()

    def take(self, path: Path) -> None:
        """Make it the file `path`."""
        with folder_locked(path.parent):
            with contextlib.suppress(OSError):
                fcntl.flock(self._handle, fcntl.LOCK_UN)  # whoever opens `path` may want to lock it
            self.path.replace(path)

    def close(self) -> None:
        """Remove it, unless it has taken a place; safe to call twice."""
        if self._handle >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


_open: weakref.WeakSet[Temporary] = weakref.WeakSet()
"""Those that somebody may still hold."""


@atexit.register
def _drop_all() -> None:
    """Remove what an interrupted process still holds when it ends: what is on its way up then is not taken apart."""
    for temporary in list(_open):
        temporary.drop()


@contextlib.contextmanager
def replacing(path: Path, made: Temporary | None = None) -> Iterator[Path]:
    """Give a name for a file to be written in the same folder, which takes the place of `path` if all goes well.

    With `made` it is that file. If anything goes wrong, `path` is as it was and the other file is gone. The bytes are
    on the disk when this ends. Raises OSError if the folder can't be written.
    """
    remove_left(path)
    temporary = Temporary(path) if made is None else made
    try:
        yield temporary.path
        _make_durable(temporary.path)
        temporary.path.chmod(_mode(path))
        temporary.take(path)
        _make_durable(path.parent)
    finally:
        temporary.close()


def remove_left(path: Path) -> None:
    """Remove what killed processes left of files that were to take this place."""
    ours = re.compile(re.escape(_prefix(path)) + r"[a-z0-9_]{8}\.tmp")
    with contextlib.suppress(OSError), folder_locked(path.parent):
        for entry in os.scandir(path.parent):
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):  # it is locked: somebody is writing it
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(path).unlink()
    finally:
        os.close(handle)


@contextlib.contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for this lock, and threads, away from a folder; it leaves no file.

    Filesystems that have no locks do without. Raises OSError if the folder can't be opened.
    """
    with _threads:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            status = os.fstat(handle)
            key = status.st_dev, status.st_ino
            if not _held.get(key):
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_EX)
            _held[key] = _held.get(key, 0) + 1
            try:
                yield
            finally:
                _held[key] -= 1
                if not _held[key]:
                    with contextlib.suppress(OSError):
                        fcntl.flock(handle, fcntl.LOCK_UN)  # copies of this process hold it too
        finally:
            os.close(handle)


def _prefix(path: Path) -> str:
    return f".{os.fsdecode(os.fsencode(path.name)[:_NAME])}."


def _make_durable(path: Path) -> None:
    """Have the bytes, or a folder's names, reach the disk; filesystems that can't sync a folder do without."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those a new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
