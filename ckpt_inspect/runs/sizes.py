"""About how large checkpoints are, without opening them: from the names and sizes of files in their folders."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path


def sizes_nearby(paths: Iterable[Path]) -> dict[Path, int]:
    """Return about the size in bytes of each checkpoint; 1 for what can't be told.

    A checkpoint's files are those called as it is, alone or followed by a dot: `m-1.index`, not `m-10.index`; a folder
    has all files below it. Each folder is listed once: to look into it for each of its checkpoints takes longer than
    to read small ones.
    """
    listings: dict[Path, _Listing] = {}
    found = {}
    for path in paths:
        folder = path.parent
        if folder not in listings:
            listings[folder] = _Listing(folder)
        found[path] = sum(map(_size_of, listings[folder].files_of(path.name))) or 1
    return found


class _Listing:
    """What a folder holds, by name; nothing of one that can't be listed."""

    def __init__(self, folder: Path) -> None:
        try:
            with os.scandir(folder) as entries:
                self._entries = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            self._entries = []
        self._names = [entry.name for entry in self._entries]

    def files_of(self, name: str) -> Iterator[os.DirEntry[str]]:
        """What belongs to a checkpoint of that name; `?` stands for any character, as in V1 shards."""
        head = name.partition("?")[0]
        if head != name:
            yield from (entry for entry in self._starting_with(head) if fnmatchcase(entry.name, name))
            return
        place = bisect_left(self._names, name)
        if place < len(self._names) and self._names[place] == name:
            yield self._entries[place]
        yield from self._starting_with(f"{name}.")

    def _starting_with(self, head: str) -> Iterator[os.DirEntry[str]]:
        for place in range(bisect_left(self._names, head), len(self._names)):
            if not self._names[place].startswith(head):
                return
            yield self._entries[place]


def _size_of(entry: os.DirEntry[str]) -> int:
    """Of a file, or of all files in a folder and below it."""
    try:
        if not entry.is_dir():
            return entry.stat().st_size
        return sum(file.stat().st_size for file in Path(entry).rglob("*") if file.is_file())
    except OSError:
        return 0
