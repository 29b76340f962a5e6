"""The local disk, and whatever the operating system mounts like it."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock

import numpy as np

from ckpt_inspect.errors import ChangedFileError, CkptInspectError, NotFoundError, RequestError
from ckpt_inspect.native import loops
from ckpt_inspect.storage.interface import ABSENT, Entry, FolderStats, Identities, OpenFile, Stat, Storage, missing
from ckpt_inspect.storage.stream import Bytes

_SMALL = 1 << 20
"""Largest read, in bytes, that is done in one call and without an intermediate buffer."""

_ZEROS = bytes(_SMALL)

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # so that a pipe in a file's place is refused at once


class LocalStorage(Storage):
    """Files and folders of the operating system."""

    def stat(self, path: Path) -> Stat:
        try:
            return _stat_of(os.stat(path))  # noqa: PTH116 - in the loop over a folder's files; Path.stat costs thrice
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        except OSError as error:
            raise _unreadable(path, error) from error
        except ValueError as error:  # a null character
            raise NotFoundError(f"{path}: can't be read ({error})") from error

    def list_folder(self, folder: Path) -> list[Entry]:
        try:
            with os.scandir(folder) as entries:
                return [Entry(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            raise _unreadable(folder, error) from error

    def list_stats(self, folder: Path) -> FolderStats:
        if loops is None:
            return _list_stats(folder)
        try:
            names, sizes, times, folders = loops.list_folder(os.fsencode(folder))
        except OSError as error:
            if error.errno == errno.ENOSYS:  # Windows
                return _list_stats(folder)
            raise _unreadable(folder, error) from error
        return FolderStats(
            _names_in(names), np.frombuffer(sizes, np.int64), np.frombuffer(times, np.int64), _names_in(folders)
        )

    def list_identities(self, folder: Path) -> Identities:
        found = Identities({}, {})
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    own = found.folders if entry.is_dir(follow_symlinks=False) else found.files
                    own[entry.name] = entry.inode()
        except OSError as error:
            raise _unreadable(folder, error) from error
        return found

    def open_file(self, path: Path, pinned: Stat | None = None) -> LocalFile:
        return LocalFile(path, pinned)

    def find_matches(self, pattern: Path) -> Iterator[Entry]:
        for match in dict.fromkeys(_matches(str(pattern))):
            yield Entry(match, os.path.isdir(match))  # noqa: PTH112 - quicker, and false if it can't look

    def native_path(self, path: Path) -> bytes | None:
        return os.fsencode(path)

    def link_target(self, path: Path) -> str | None:
        try:
            return os.readlink(path)  # noqa: PTH115 - as it is written
        except OSError:
            return None

    def without_links(self, path: Path) -> str:
        return os.path.realpath(path)

    def absolute(self, path: Path | str | os.PathLike[str]) -> str:
        return os.path.abspath(path)  # noqa: PTH100 - Path has nothing that leaves links alone and removes `..`


def _names_in(names: bytes) -> list[str]:
    """Return names that have a 0 behind each."""
    return os.fsdecode(names).split("\0")[:-1]


def _list_stats(folder: Path) -> FolderStats:
    """Do what `list_folder` in C does, in twice its time."""
    names: list[str] = []
    folders: list[str] = []
    sizes: list[int] = []
    times: list[int] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                    continue
                names.append(entry.name)
                try:
                    status = entry.stat()
                except FileNotFoundError:  # a link that leads nowhere, or deleted just now
                    sizes.append(-1)
                    times.append(0)
                else:
                    sizes.append(status.st_size)
                    times.append(status.st_mtime_ns)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return FolderStats(names, np.array(sizes, np.int64), np.array(times, np.int64), folders)


class LocalFile(OpenFile):
    """A local file; reading uses no shared position and holds no lock."""

    def __init__(self, path: Path, pinned: Stat | None = None) -> None:
        """Open the file now or, if it is `pinned`, at the first read."""
        self.path = path
        self._descriptor: int | None = None
        self._is_closed = False
        self._lock = Lock()
        if pinned is not None:
            self.stat = pinned
        else:
            self._descriptor, self.stat = _open(path)

    def read_into(self, buffer: Bytes, offset: int) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            descriptor = self._open()
        view = memoryview(buffer.data)
        try:
            while view:
                count = os.preadv(descriptor, (view,), offset)
                if not count:
                    raise self.too_short(offset + len(view))
                view, offset = view[count:], offset + count
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def read(self, offset: int, size: int) -> bytes:
        if offset + size > self.size:
            raise self.too_short(offset + size)
        if size > _SMALL:
            return super().read(offset, size)
        descriptor = self._descriptor
        if descriptor is None:
            descriptor = self._open()
        try:
            found = os.pread(descriptor, size, offset)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return found if len(found) == size else super().read(offset, size)

    def native_path(self) -> bytes | None:
        return b"/dev/fd/%d" % self.descriptor()

    def descriptor(self) -> int:
        descriptor = self._descriptor
        return self._open() if descriptor is None else descriptor

    def again(self) -> LocalFile:
        """Return the same open file, which each of the two closes for itself."""
        other = LocalFile(self.path, self.stat)
        other._descriptor = os.dup(self._open() if self._descriptor is None else self._descriptor)
        return other

    def is_rewritten(self) -> bool:
        with self._lock:
            return self._descriptor is not None and _stat_of(os.fstat(self._descriptor)) != self.stat

    def rest(self) -> bool:
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        return True

    def close(self) -> None:
        with self._lock:
            descriptor, self._descriptor, self._is_closed = self._descriptor, None, True
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()

    def _open(self) -> int:
        with self._lock:
            if self._is_closed:
                raise RequestError(f"{self.path}: its checkpoint has been closed; open it again")
            if self._descriptor is None:
                descriptor, found = _open(self.path)
                if found != self.stat:
                    os.close(descriptor)
                    raise ChangedFileError(
                        f"{self.path}: was replaced while its checkpoint was being read; open the checkpoint again"
                    )
                self._descriptor = descriptor
            return self._descriptor


def _matches(pattern: str) -> Iterator[str]:
    """Yield what a pattern matches; `**` doesn't follow links to folders, because they may lead in circles."""
    parts = pattern.split("/")
    if "**" not in parts:
        yield from glob.iglob(pattern)  # noqa: PTH207 - takes absolute patterns as well
        return
    at = parts.index("**")
    above, below = "/".join(parts[:at]), "/".join(part for part in parts[at + 1 :])
    for top in glob.iglob(above or "/") if at else [""]:  # noqa: PTH207
        for folder, files in _walk(top):
            start = os.path.join(folder, "")  # noqa: PTH118 - nothing for the current folder, which stays relative
            if below:
                yield from _matches(glob.escape(start) + below)
            else:
                yield from [*([folder] if folder else []), *(start + name for name in files)]


def _walk(top: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and those below it, each with its files; neither hidden ones nor links to folders."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder or ".") as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:  # not a folder, or one that can't be listed: as for any pattern, nothing matches
            continue
        yield folder, sorted(entry.name for entry in shown if not _is_folder(entry))
        below = sorted((entry.name for entry in shown if entry.is_dir(follow_symlinks=False)), reverse=True)
        waiting += [os.path.join(folder, name) for name in below]  # noqa: PTH118


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def read_pieces(descriptor: int, buffer: Bytes, pieces: Iterable[tuple[int, int, int]]) -> bool:
    """Read many small pieces of an open file; return whether all could be, and whoever reads the others says why not.

    A piece is the byte at which it begins in the file, the byte of `buffer` from which on it is put, and its length.
    """
    view, preadv = memoryview(buffer.data), os.preadv
    try:
        return all(preadv(descriptor, (view[place : place + size],), at) == size for at, place, size in pieces)
    except OSError:
        return False


def keep_temporarily(chunks: Iterable[bytes | memoryview], path: Path) -> LocalFile:
    """Write bytes to a nameless file, which disappears when it is closed; messages about it name `path`.

    One piece is written while the next one is made.
    """
    import tempfile  # takes a while, as does the other, and compressed archives are rare
    from concurrent.futures import Future, ThreadPoolExecutor

    def write(chunk: bytes | memoryview) -> None:
        # What compresses best is zeros, which a file needn't hold.
        if isinstance(chunk, bytes) and chunk == _ZEROS[: len(chunk)]:
            written.seek(len(chunk), os.SEEK_CUR)
        else:
            written.write(chunk)

    with tempfile.NamedTemporaryFile(prefix="ckpt-inspect-") as written:
        try:
            size, last = 0, Future[None]()
            last.set_result(None)
            with ThreadPoolExecutor(1) as writer:
                for chunk in chunks:
                    last.result()
                    last = writer.submit(write, chunk)
                    size += len(chunk)
            last.result()
            written.truncate(size)
            written.flush()
        except OSError as error:
            raise _unreadable(path, error) from error
        file = LocalFile(Path(written.name))
    file.path = path
    return file


def _open(path: Path) -> tuple[int, Stat]:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a null character, or text that can't be a file's name
        raise NotFoundError(f"{path}: can't be read ({error})") from error
    found = _stat_of(os.fstat(descriptor))
    if found.kind != "file":
        os.close(descriptor)
        raise NotFoundError(f"{path}: can't be read (it is not a file)")
    return descriptor, found


def _stat_of(status: os.stat_result) -> Stat:
    if stat.S_ISREG(status.st_mode):
        # No inode number: some network file systems invent a new one each time. Time and size are enough.
        return Stat("file", status.st_size, status.st_mtime_ns)
    return Stat("folder" if stat.S_ISDIR(status.st_mode) else "other", 0, status.st_mtime_ns)


def _unreadable(path: Path, error: OSError) -> CkptInspectError:
    """Return the error for a file that the operating system can't read."""
    if isinstance(error, FileNotFoundError):
        return missing(path)
    return NotFoundError(f"{path}: can't be read ({error.strerror or error})")
