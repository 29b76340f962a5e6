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
"""Bytes that one request is for at most: a store limits each connection, so that many smaller requests at a time bring
more than few large ones in the same memory. Neighbours are joined up to so many."""
LONGEST = UNIT + UNIT // 4
"""Bytes of one range up to which it is one request all the same."""
WINDOW = 32 << 20
"""Bytes that are under way, or have arrived and were not read yet: what the requests at a time bring, and the pieces of
three arrays that one thread is reading while they come."""
UNPACKED_WINDOW = 24 << 20
"""The same, where what arrives is decompressed into memory of its own."""
LEAST_WINDOW = 6 * UNIT
"""Bytes that a plan has in any case."""
_BATCH = 6 * UNIT
"""Bytes within which ranges that come one after another are put in the file's order, so that neighbours are joined."""
_GAP = 1 << 16
"""Bytes between two ranges of a batch that are fetched as well, to save a request."""
_MOST_BEHIND = 2 * WINDOW
"""Bytes of the plan behind the farthest reader after which what a request brought is not waited for any longer."""
_SMALL = 1 << 16
"""Bytes of a request that takes little longer than an answer does: many of them can be under way."""


class _Unit:
    """What one request brings."""

    __slots__ = ("before", "file", "future", "is_done", "left", "start", "stop")

    def __init__(self, file: File, start: int, stop: int, wanted: int) -> None:
        self.file, self.start, self.stop = file, start, stop
        self.left = wanted
        """Bytes that are still to be read of it."""
        self.before = 0
        """Bytes of the requests that the plan has before it."""
        self.future: Future[Bytes] | None = None
        self.is_done = False


class FetchPlan:
    """Fetches planned ranges ahead of their readers, within a window; from any thread."""

    def __init__(
        self,
        ranges: Iterable[Range],
        pool: Executor,
        window: int = WINDOW,
        *,
        small: Executor | None = None,
        after: Iterable[FetchPlan] = (),
        is_later: bool = False,
    ) -> None:
        """Plan the ranges in that order, and begin with the first; `window` is in bytes. `small` does what is done as
        soon as it is answered, by default `pool`. `is_later`: others may come that are read first. `after`: plans that
        come first. As long as one of them has anything
        left to ask for this begins with nothing, and it leaves them what they hold of the window."""
        self._pool, self._window = pool, window
        self._small = pool if small is None else small
        self._units = list(_units(ranges))
        self._starts: dict[File, list[tuple[int, int]]] = {}
        """Of each file: the first byte and the number of each of its units, in the file's order."""
        before = 0
        for number, unit in enumerate(self._units):
            unit.before, before = before, before + unit.stop - unit.start
            self._starts.setdefault(unit.file, []).append((unit.start, number))
        for starts in self._starts.values():
            starts.sort()
        self._next = self._farthest = self._held = 0
        self._asked: deque[int] = deque()
        """Numbers of the units that were asked for and may not be read yet, in the plan's order."""
        self._lock = Lock()
        self._first = tuple(after)
        self._is_later = is_later
        self._later: list[FetchPlan] = []
        for plan in self._first:
            plan._later.append(self)
        self._go_on()

    @property
    def is_over(self) -> bool:
        """Return whether all has been read."""
        return self._is_asked and not self._held

    @property
    def held_too_early(self) -> int:
        """Return how many bytes it holds of the window although it comes after other plans: whoever comes now, and is
        read first, has so much less room."""
        return self._held if self._is_later else 0

    @property
    def _is_asked(self) -> bool:
        return self._next == len(self._units)

    def _go_on(self) -> None:
        """Ask for what there is room for; then those plans do that come after this one."""
        with self._lock:
            self._fill()
        if self._is_asked:
            for plan in self._later:  # a lock is never waited for but by who holds none, or one of an earlier plan
                plan._go_on()
            if self.is_over:
                self._later.clear()

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
        self._go_on()
        return True

    def borrow(self, file: File, offset: int, stop: int) -> Bytes | None:
        """Return the bytes `offset:stop` of a file where one request brought them, read-only; None if none does.

        They count as read once `give_back` says so. Raises what fetching them raised.
        """
        return self.borrow_some(file, offset, stop, least=stop - offset)

    def borrow_some(self, file: File, offset: int, stop: int, least: int = 1) -> Bytes | None:
        """Return as many of the bytes from `offset` on as one request brought, read-only, as `borrow` does; None if
        they are fewer than `least`."""
        with self._lock:
            numbers = self._covering(file, offset, offset + least)
            if numbers is None or len(numbers) != 1:
                return None
            unit, future = self._units[numbers[0]], self._ask(numbers[0])
            self._farthest = max(self._farthest, numbers[0])
        try:
            data = future.result()
        except CancelledError:  # the file is being closed
            return None
        except BaseException:
            self._drop(unit)
            raise
        return data[offset - unit.start : min(stop, unit.stop) - unit.start]

    def give_back(self, file: File, offset: int, stop: int) -> None:
        """Count bytes that were borrowed as read."""
        with self._lock:
            for number in self._covering(file, offset, stop) or ():
                unit = self._units[number]
                unit.left -= min(stop, unit.stop) - max(offset, unit.start)
                if unit.left <= 0:
                    self._finish(unit)
        self._go_on()

    def end(self) -> None:
        """Forget all; what is under way ends by itself."""
        with self._lock:
            self._next, self._first = len(self._units), ()
            for unit in self._units:
                if unit.future is not None:
                    unit.future.cancel()
                self._finish(unit)
        self._go_on()

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
            pool = self._small if unit.stop - unit.start <= _SMALL else self._pool
            unit.future = pool.submit(unit.file.fetch, unit.start, unit.stop)
            self._held += unit.stop - unit.start
            self._asked.append(number)
        return unit.future

    def _fill(self) -> None:
        """Ask for what comes next while there is room."""
        least = self._units[self._farthest].before - _MOST_BEHIND if self._units else 0
        while self._asked and (
            self._units[self._asked[0]].is_done or self._units[self._asked[0]].before < least
        ):  # whoever should have read it has given up
            self._finish(self._units[self._asked.popleft()])
        if not all(plan._is_asked for plan in self._first):
            return
        self._first = tuple(plan for plan in self._first if not plan.is_over)  # or each would keep all before it
        while not self._is_asked:
            unit = self._units[self._next]
            if unit.future is None and not unit.is_done:
                held = self._held + sum(plan._held for plan in self._first)
                if held and held + unit.stop - unit.start > self._window:
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
        is_near = last is not None and last.file == file and start <= last.stop + _GAP
        if last is not None and is_near and (start < last.stop or stop <= last.start + UNIT):
            end = max(last.stop, min(stop, last.start + UNIT))
            last.left += max(min(stop, end) - start, 0)
            last.stop, place = end, max(start, end)
            found[-1] = min(found[-1][0], number), last
        while place < stop:
            end = stop if stop - place <= LONGEST else place + UNIT
            found.append((number, _Unit(file, place, end, end - place)))
            place = end
    return [unit for _, unit in sorted(found, key=lambda each: each[0])]
