"""Which storage a path belongs to, and what it is asked. The one place that decides it."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.storage.interface import Entry, OpenFile, Stat, Storage
from ckpt_inspect.storage.local import LocalStorage

PathLike = str | os.PathLike[str]
"""A path as a caller gives it."""

_LOCAL = LocalStorage()


def as_path(given: PathLike) -> Path:
    """Return what a caller gave as the path that everything else takes."""
    return Path(given)


def storage_of(path: Path) -> Storage:
    """Return the storage that the path belongs to: so far, the local disk."""
    return _LOCAL


def stat(path: Path) -> Stat:
    """Return what is at the path, links followed; NotFoundError for what the storage refuses to tell."""
    return storage_of(path).stat(path)


def is_there(path: Path) -> bool:
    """Return whether anything is at the path; False for what the storage refuses to tell."""
    try:
        return stat(path).kind != "absent"
    except CkptInspectError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is at the path; False for what the storage refuses to tell."""
    try:
        return stat(path).kind == "folder"
    except CkptInspectError:
        return False


def list_folder(folder: Path) -> list[Entry]:
    """Return the names in a folder, one level, in no particular order; NotFoundError if it can't be listed."""
    return storage_of(folder).list_folder(folder)


def open_file(path: Path, pinned: Stat | None = None) -> OpenFile:
    """Open a file for reading by ranges; see `Storage.open_file`."""
    return storage_of(path).open_file(path, pinned)


def read_head(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, at most `size`; NotFoundError if it can't be read."""
    with open_file(path) as file:
        return file.read(0, min(size, file.size))


def total_size(path: Path) -> int:
    """Return the size of a file, or of all files in a folder and below it, in bytes; 0 for what can't be told."""
    try:
        found = stat(path)
        return _size_below(path) if found.kind == "folder" else found.size
    except CkptInspectError:
        return 0


def _size_below(folder: Path) -> int:
    """Links to folders are not followed: they may lead round in circles."""
    size, waiting = 0, [folder]
    while waiting:
        current = waiting.pop()
        for entry in list_folder(current):
            if entry.is_folder:
                waiting.append(current / entry.name)
            else:
                size += stat(current / entry.name).size
    return size


def find_matches(pattern: Path) -> Iterator[Entry]:
    """Find what a glob pattern (`*`, `?`, `[..]`, `**`) matches, links followed; the entries' names are paths."""
    return storage_of(pattern).find_matches(pattern)


def is_pattern(path: Path) -> bool:
    """Return whether a glob pattern is in the path."""
    return glob.has_magic(str(path))


def native_path(path: Path) -> bytes | None:
    """Return the path as C libraries open it, for a look that nothing is kept of; None where there is none."""
    return storage_of(path).native_path(path)


def link_target(path: Path) -> str | None:
    """Return where a symbolic link leads; None for what is none."""
    return storage_of(path).link_target(path)


def absolute(path: PathLike) -> str:
    """Return the path from its root, without `..`, and without looking where links lead."""
    place = as_path(path)
    return storage_of(place).absolute(place)
