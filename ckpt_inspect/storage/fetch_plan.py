"""Ranges of remote files that somebody will read, in the order in which they will: fetched ahead, each byte once."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from threading import Lock
from typing import Protocol

from ckpt_inspect.storage.stream import Bytes


class File(Protocol):
    """What ranges can be fetched of; equal to itself alone."""

    def fetch(self, start: int, stop: int) -> Bytes:
        """Return bytes `start:stop`."""


Range = tuple[File, int, int]
"""A file, the first byte and the end."""

UNIT = 1 << 21
"""Bytes that one request is for at most: beside so many, what a request costs is little."""
WINDOW = 24 << 20
"""Bytes that are under way, or have arrived and were not read yet: what eight requests at a time bring, and the pieces
of three arrays that two threads are reading."""
_BATCH = 6 * UNIT
"""Bytes within which ranges that come one after another are put in the file's order, so that neighbours are joined."""
_GAP = 1 << 16
"""Bytes between two ranges of a batch that are fetched as well, to save a request."""
_MOST_BEHIND = 2 * WINDOW // UNIT
"""Requests behind the farthest reader after which what one brought is not waited for any longer."""


class _Unit:
    """What one request brings."""

    __slots__ = ("file", "future", "is_done", "left", "start", "stop")

    def __init__(self, file: File, start: int, stop: int, wanted: int) -> None:
        self.file, self.start, self.stop = file, start, stop
        self.left = wanted
        """Bytes that are still to be read of it."""
        self.future: Future[Bytes] | None = None
        self.is_done = False


class FetchPlan:
    """Fetches planned ranges ahead of their readers, within a window; from any thread."""

    def __init__(self, ranges: Iterable[Range], pool: Executor, window: int = WINDOW) -> None:
        """Plan the ranges in that order, and begin with the first; `window` is in bytes."""
        self._pool, self._window = pool, window
        self._units = list(_units(ranges))
        self._starts: dict[File, list[tuple[int, int]]] = {}
        """Of each file: the first byte and the number of each of its units, in the file's order."""
        for number, unit in enumerate(self._units):
            self._starts.setdefault(unit.file, []).append((unit.start, number))
        for starts in self._starts.values():
            starts.sort()
        self._next = self._farthest = self._held = 0
        self._asked: deque[int] = deque()
        """Numbers of the units that were asked for and may not be read yet, in the plan's order."""
        self._lock = Lock()
        with self._lock:
            self._fill()

    @property
    def is_over(self) -> bool:
        """Return whether all has been read."""
        return self._next == len(self._units) and not self._held

    def read_into(self, file: File, buffer: Bytes, offset: int) -> bool:
        """Fill `buffer` with the bytes at `offset` of a file; return False, and fill nothing, if they aren't planned,
        or were read before. Raises what fetching them raised."""
        stop = offset + len(buffer)
        with self._lock:
            numbers = self._covering(file, offset, stop)
            if numbers is None:
                return False
            found = [(self._units[number], self._ask(number)) for number in numbers]
            self._farthest = max([self._farthest, *numbers])
        for unit, future in found:
            try:
                data = future.result()
            except CancelledError:  # the files are being closed
                return False
            except BaseException:
                self._drop(unit)
                raise
            start, end = max(offset, unit.start), min(stop, unit.stop)
            buffer[start - offset : end - offset] = data[start - unit.start : end - unit.start]
        with self._lock:
            for unit, _ in found:
                unit.left -= min(stop, unit.stop) - max(offset, unit.start)
                if unit.left <= 0:
                    self._finish(unit)
            self._fill()
        return True

    def end(self) -> None:
        """Forget all; what is under way ends by itself."""
        with self._lock:
            self._next = len(self._units)
            for unit in self._units:
                if unit.future is not None:
                    unit.future.cancel()
                self._finish(unit)

    def _covering(self, file: File, offset: int, stop: int) -> list[int] | None:
        """Return the units that together hold a range; None if one is missing, or was given up."""
        starts = self._starts.get(file, [])
        i = bisect_right(starts, (offset, len(self._units))) - 1
        numbers: list[int] = []
        while offset < stop:
            if not 0 <= i < len(starts):
                return None
            unit = self._units[starts[i][1]]
            if unit.is_done or not unit.start <= offset < unit.stop:
                return None
            numbers.append(starts[i][1])
            offset, i = unit.stop, i + 1
        return numbers

    def _ask(self, number: int) -> Future[Bytes]:
        unit = self._units[number]
        if unit.future is None:
            unit.future = self._pool.submit(unit.file.fetch, unit.start, unit.stop)
            self._held += unit.stop - unit.start
            self._asked.append(number)
        return unit.future

    def _fill(self) -> None:
        """Ask for what comes next while there is room."""
        while self._asked and (
            self._units[self._asked[0]].is_done or self._asked[0] < self._farthest - _MOST_BEHIND
        ):  # whoever should have read it has given up
            self._finish(self._units[self._asked.popleft()])
        while self._next < len(self._units):
            unit = self._units[self._next]
            if unit.future is None and not unit.is_done:
                if self._held and self._held + unit.stop - unit.start > self._window:
                    return
                self._ask(self._next)
            self._next += 1

    def _drop(self, unit: _Unit) -> None:
        with self._lock:
            self._finish(unit)

    def _finish(self, unit: _Unit) -> None:
        if not unit.is_done:
            unit.is_done = True
            if unit.future is not None:
                self._held -= unit.stop - unit.start
                unit.future = None


def _units(ranges: Iterable[Range]) -> Iterator[_Unit]:
    """Yield requests for the ranges, those that are needed first to the front."""
    batch: list[tuple[File, int, int, int]] = []
    nbytes = 0
    for number, (file, start, stop) in enumerate(ranges):
        if start < stop:
            batch.append((file, start, stop, number))
            nbytes += stop - start
        if nbytes >= _BATCH:
            yield from _joined(batch)
            batch, nbytes = [], 0
    yield from _joined(batch)


def _joined(batch: list[tuple[File, int, int, int]]) -> list[_Unit]:
    """Return the requests for ranges that are needed at about the same time."""
    found: list[tuple[int, _Unit]] = []
    files = {file: i for i, (file, *_) in enumerate(batch)}
    for file, start, stop, number in sorted(batch, key=lambda each: (files[each[0]], each[1:])):
        place, last = start, found[-1][1] if found else None
        if last is not None and last.file == file and start <= min(last.stop + _GAP, last.start + UNIT - 1):
            end = max(last.stop, min(stop, last.start + UNIT))
            last.left += max(min(stop, end) - start, 0)
            last.stop, place = end, max(start, end)
            found[-1] = min(found[-1][0], number), last
        while place < stop:
            end = min(place + UNIT, stop)
            found.append((number, _Unit(file, place, end, end - place)))
            place = end
    return [unit for _, unit in sorted(found, key=lambda each: each[0])]
