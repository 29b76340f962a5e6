"""What lies in and below a folder, by names, sizes and times: whether anything has changed since it was last looked at.

A run of 100,000 checkpoints has twice as many files. They are listed and looked at in bulk, and nothing is opened.
"""

from __future__ import annotations

import os
import time
import zlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.packed import Packed
from ckpt_inspect.storage import FolderStats, absolute, list_stats

if TYPE_CHECKING:
    import hashlib

_OF_STORES = ".ckpt-inspect.h5"
"""In the names of stores, and of the temporary files beside them: ours, and no part of a run."""

_COARSE, _FINE = 2_000_000_000, 50_000_000
"""Nanoseconds within which two writes can have the same time: of file systems that count in seconds, and of others."""

_MOST = 1 << 28
"""Bytes that are unpacked of what was kept of files: those of three million take as many."""

_COMPARED = 4096
"""Names that are compared at a time."""

_SECOND = 1_000_000_000

_OF_SIZES, _OF_TIMES, _OF_TURNS = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Odd numbers of 64 bits without a pattern (SplitMix64)."""


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """The files in and below a folder, as they were at one moment."""

    folder: str
    """From the root."""
    digest: str
    """Of all names, sizes and times: the same as long as nothing changes."""
    is_settled: bool
    """Whether what is written from now on has another time than what was seen."""
    _folders: dict[str, FolderStats]
    """By their paths, in order, each in the order of its names."""
    _found: dict[str, Any] = field(default_factory=dict)
    """What was asked for, by what it is: of many files it takes a while."""

    @property
    def largest_folder(self) -> str:
        """Return the folder with the most files."""
        return max(self._folders, key=lambda folder: len(self._folders[folder].names))

    def stamps(
        self, files: Iterable[str], sizes: NDArray[np.int64] | None = None, modified: NDArray[np.float64] | None = None
    ) -> NDArray[np.int64]:
        """Return a number for each of these texts, of absolute paths one a line, that tells the files' sizes and times;
        0 for one of which a file is missing here.

        With `sizes` (bytes of all files) and `modified` (seconds since 1970, of the newest), 0 also for one of which
        they are others.
        """
        at, lengths = self._places(files)
        if not len(lengths):
            return np.empty(0, np.int64)
        firsts = np.cumsum(lengths) - lengths
        every = self._folders.values()
        all_sizes = np.concatenate([[0], *(stats.sizes for stats in every)])[at + 1]
        all_times = np.concatenate([[0], *(stats.modified_ns for stats in every)])[at + 1]
        position = np.arange(len(at)) - np.repeat(firsts, lengths)
        stamps = np.add.reduceat(_mixed(all_sizes, all_times, position), firsts).view(np.int64)
        is_other = np.minimum.reduceat(at, firsts) < 0
        if sizes is not None:
            is_other |= np.add.reduceat(all_sizes, firsts) != sizes
        if modified is not None:
            newest = np.maximum.reduceat(all_times, firsts)
            is_other |= newest // _SECOND + 1e-9 * (newest % _SECOND) != modified
        return np.where(is_other, 0, stamps)

    def packed(self) -> Survey:
        """Return the same in less memory, for a long while."""
        folders = {place: stats._replace(names=Packed(stats.names)) for place, stats in self._folders.items()}
        return replace(self, _folders=folders, _found={})

    def files(self, own: NDArray[np.int64] | None = None) -> Files:
        """Return all files, without stores; `own`: the `places` of those that checkpoints consist of."""
        if "files" not in self._found:
            self._found["files"] = self._files()
        names, sizes, times, is_kept = self._found["files"]
        is_own = np.zeros(len(is_kept), bool)
        if own is not None:
            is_own[own[own >= 0]] = True
        return Files(names, sizes, times, is_own[is_kept])

    def _files(self) -> tuple[Sequence[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        names: list[Sequence[str]] = []
        start = len(self.folder.rstrip("/")) + 1
        is_kept = [np.ones(len(stats.names), bool) for stats in self._folders.values()]
        for (place, stats), is_one in zip(self._folders.items(), is_kept, strict=True):
            above = f"{place.rstrip('/')}/"[start:]
            if _OF_STORES in "\0".join(stats.names):
                is_one[:] = [_OF_STORES not in name for name in stats.names]
                names.append([above + name for name in stats.names if _OF_STORES not in name])
            else:
                names.append([above + name for name in stats.names] if above else stats.names)
        sizes, times = (
            np.concatenate(
                [getattr(stats, name)[is_one] for stats, is_one in zip(self._folders.values(), is_kept, strict=True)]
            )
            for name in ("sizes", "modified_ns")
        )
        every = names[0] if len(names) == 1 else [*chain.from_iterable(names)]
        return every, sizes, times, np.concatenate(is_kept)

    def places(self, files: Iterable[str]) -> NDArray[np.int64]:
        """Return where each of the files stands among those of all folders, -1 for one that is missing; texts have
        several, one a line, from the root."""
        return self._places(files)[0]

    def _places(self, files: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same, and how many files each text has."""
        lengths: list[int] = []
        wanted: dict[str, dict[str, int]] = {}
        asked: list[tuple[dict[str, int], str]] = []
        for text in files:
            own = text.split("\n")
            lengths.append(len(own))
            for file in own:
                folder, _, name = file.rpartition("/")
                names = wanted.setdefault(folder, {})
                names[name] = -1
                asked.append((names, name))
        start = 0
        for folder, stats in self._folders.items():
            names = wanted.get(folder.rstrip("/"), {})
            names.update(_found_among(stats.names, names, start))
            start += len(stats.names)
        return np.array([names[name] for names, name in asked], np.int64), np.array(lengths, np.int64)


def _found_among(names: Sequence[str], wanted: Collection[str], start: int) -> dict[str, int]:
    """Where those that are wanted stand among names in order, which are counted from `start` on."""
    if isinstance(names, list) and len(wanted) * _SEEKING < len(names):
        places = ((name, bisect_left(names, name)) for name in wanted)
        return {name: start + place for name, place in places if names[place : place + 1] == [name]}
    return {name: place for place, name in enumerate(names, start) if name in wanted}


_SEEKING = 50
"""Names that are compared in the time in which one is sought among many in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """Files in and below a folder, as they were at one moment."""

    names: Sequence[str]
    """From the folder."""
    sizes: NDArray[np.int64]
    """(F,) bytes; -1 for a link that leads nowhere."""
    modified_ns: NDArray[np.int64]
    """(F,) since 1970."""
    is_own: NDArray[np.bool_]
    """(F,) whether it is part of a checkpoint that was analysed."""

    def own(self) -> set[str]:
        """Return the names of those that are parts of checkpoints."""
        return {name for name, is_own in zip(self.names, self.is_own.tolist(), strict=True) if is_own}

    def to_bytes(self) -> bytes:
        """Return what `of_bytes` makes the same of."""
        names = "\0".join(self.names).encode("utf-8", "surrogateescape")
        head = len(self.names).to_bytes(8, "little") + len(names).to_bytes(8, "little")
        numbers = (np.diff(column, prepend=np.int64(0)).astype("<i8") for column in (self.sizes, self.modified_ns))
        own = self.is_own.astype(np.uint8).tobytes()
        return zlib.compress(b"".join((head, names, *(column.tobytes() for column in numbers), own)), 1)

    @classmethod
    def of_bytes(cls, content: bytes) -> Files | None:
        """Return the files; None if that is no such content."""
        try:
            raw = zlib.decompressobj().decompress(content, _MOST)
            count, length = (int.from_bytes(raw[at : at + 8], "little") for at in (0, 8))
            names = raw[16 : 16 + length].decode("utf-8", "surrogateescape").split("\0")
            sizes, times = np.frombuffer(raw, "<i8", 2 * count, 16 + length).reshape(2, count)
            own = np.frombuffer(raw, np.uint8, count, 16 + length + 16 * count).astype(bool)
        except (zlib.error, ValueError, OverflowError):
            return None
        if len(names) != count:
            return None
        return cls(names, np.cumsum(sizes, dtype=np.int64), np.cumsum(times, dtype=np.int64), own)

    def beside(self, before: Files) -> list[str] | None:
        """Return the names of the files that were no part of a checkpoint `before`, or weren't there; None if one that
        was is another now, or gone."""
        if not len(before.names):
            return list(self.names)
        places = _places_among(before.names, self.names)
        is_same = (before.sizes[places] == self.sizes) & (before.modified_ns[places] == self.modified_ns)
        was_own = before.is_own[places] & (places >= 0)
        if np.count_nonzero(was_own & is_same) < np.count_nonzero(before.is_own):
            return None
        return [self.names[i] for i in np.nonzero(~was_own)[0].tolist()]

    def with_own_of(self, before: Files) -> Files:
        """Return the same, with those that were parts of checkpoints `before` as parts as well."""
        if not len(before.names):
            return self
        places = _places_among(before.names, self.names)
        return replace(self, is_own=self.is_own | (before.is_own[places] & (places >= 0)))


def _places_among(before: Sequence[str], now: Sequence[str]) -> NDArray[np.int64]:
    """Where each of these names stands among those before, -1 if it doesn't; quick if only few have come or gone."""
    most = min(len(before), len(now))
    same = _count_same(lambda n, m: before[n:m] == now[n:m], most)
    behind = _count_same(
        lambda n, m: before[len(before) - m : len(before) - n] == now[len(now) - m : len(now) - n], most - same
    )
    last, stop = len(before) - behind, len(now) - behind
    at = dict(zip(before[same:last], range(same, last), strict=True))
    between = np.fromiter(map(at.get, now[same:stop], repeat(-1)), np.int64, stop - same)
    return np.concatenate([np.arange(same), between, np.arange(last, len(before))], dtype=np.int64)


def _count_same(are_same: Callable[[int, int], bool], most: int) -> int:
    """Return how many are the same, of the first `most`, before one is another; many are compared at a time."""
    found, step = 0, _COMPARED
    while found < most and step:
        stop = min(found + step, most)
        if are_same(found, stop):
            found = stop
        else:
            step = (stop - found) // 2
    return found


def _mixed(sizes: NDArray[np.int64], times: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number of 64 bits for each file, of its size, its time, and its place among those of its checkpoint."""
    with np.errstate(over="ignore"):
        mixed = sizes.astype(np.uint64) * _OF_SIZES ^ times.astype(np.uint64) * _OF_TIMES
        mixed = (mixed ^ (mixed >> np.uint64(31))) * _OF_TURNS + position.astype(np.uint64) * _OF_SIZES
        stamps: NDArray[np.uint64] = (mixed ^ (mixed >> np.uint64(29))) * _OF_TIMES
    return stamps


def survey(folder: str | os.PathLike[str], least: int) -> Survey | None:
    """Look at what lies in and below a folder; links to folders are not followed.

    None if there are fewer than `least` files, or if the storage can't look at many in little time.
    """
    try:
        top = Path(absolute(folder))
        taken = time.time_ns()
        found: dict[str, FolderStats] = {}
        waiting = [top]
        while waiting:
            stats = list_stats(current := waiting.pop())
            if stats is None:
                return None
            found[str(current)] = stats
            waiting += [current / name for name in stats.folders]
    except CkptInspectError:
        return None
    if sum(len(stats.names) for stats in found.values()) < least:
        return None
    folders = {place: _in_order(found[place]) for place in sorted(found)}
    import hashlib  # and with it OpenSSL: for a run of many

    digest = hashlib.blake2b(digest_size=16)
    newest = 0
    for place, stats in folders.items():
        newest = max(newest, _add(digest, place, stats))
    margin = _FINE if newest % _SECOND else _COARSE
    return Survey(str(top), digest.hexdigest(), newest + margin < taken, folders)


def _in_order(stats: FolderStats) -> FolderStats:
    """The same, by names."""
    order = sorted(range(len(stats.names)), key=stats.names.__getitem__)
    own = np.array(order, np.intp)
    names = list(map(stats.names.__getitem__, order))
    return stats._replace(names=names, sizes=stats.sizes[own], modified_ns=stats.modified_ns[own])


def _add(digest: hashlib.blake2b, place: str, stats: FolderStats) -> int:
    """Add a folder to the digest, and return the time of its newest file."""
    text = "\0".join([place, *stats.names])
    sizes, times = stats.sizes, stats.modified_ns
    if _OF_STORES in text:
        own = [i for i, name in enumerate(stats.names) if _OF_STORES not in name]
        text = "\0".join([place, *map(stats.names.__getitem__, own)])
        sizes, times = sizes[own], times[own]
    content = text.encode("utf-8", "surrogateescape")
    digest.update(len(content).to_bytes(8, "little") + content)
    digest.update(sizes.tobytes() + times.tobytes())
    return int(times.max(initial=0))
