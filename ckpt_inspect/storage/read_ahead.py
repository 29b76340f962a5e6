"""Bytes that are fetched from far away: in large pieces, ahead of whoever reads in order, and kept for a while."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Lock

from ckpt_inspect.storage.stream import Bytes

Fetch = Callable[[int, int], Bytes]
"""Takes the first byte and the end; returns the bytes between."""

BLOCK = 3 << 14
"""Bytes that are fetched at least: as long as a request takes anyway, and little beside what a checkpoint has."""
BEFORE = 1 << 14
"""Bytes of these that lie before what was asked for: HDF5's headers lie together, in any order, between its arrays."""
LONGEST = 1 << 21
"""Bytes that one request is for at most."""
AHEAD = 1 << 23
"""Bytes that are fetched ahead at most of each place where somebody reads in order."""
IN_ORDER = 1 << 17
"""Bytes that somebody has read one after another from which on more is fetched ahead."""
KEPT = 32 << 20
"""Bytes of one file that are kept at most."""
RESTING = 1 << 22
"""Bytes that are kept of a file that nobody reads: it is looked at, and then opened."""
READERS = 16
"""Places at most from which somebody is taken to go on."""
THREADS = 16
"""Requests at a time for what is measured: a store gives each connection no more than some 60 to 90 MB/s."""
LOOKS = 32
"""Requests at a time of one reader for what it looks at: they are small, and all take as long as an answer does."""


class _Segment:
    """What one request brings."""

    __slots__ = ("future", "left", "start", "stop")

    def __init__(self, start: int, stop: int, future: Future[Bytes]) -> None:
        self.start, self.stop, self.future = start, stop, future
        self.left = stop - start
        """Bytes that nobody has read yet, if none is read twice."""


class ReadAhead:
    """Reads ranges of one file through segments that are fetched in parallel and kept for a while; from any thread.

    Whoever goes on where a range ended gets as much again ahead as was read in order so far, up to `AHEAD`; whoever
    jumps about gets what lies around the place. What somebody has passed in order is not fetched ahead again: arrays
    that lie one behind the other are read at the same time.
    """

    def __init__(self, fetch: Fetch, size: int) -> None:
        """`size`: the file's, in bytes."""
        self._fetch, self._size = fetch, size
        self._segments: OrderedDict[int, _Segment] = OrderedDict()
        """By their first byte; what was needed last is last. None overlaps another."""
        self._starts: list[int] = []
        self._held = 0
        self._runs: dict[int, int] = {}
        """Place where somebody would go on -> how many bytes were read before it, one after another."""
        self._passed = bytearray(-(-size // BLOCK))
        """Whether each block was dropped behind a reader in order."""
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def held(self) -> int:
        """Return how many bytes are kept, or on their way."""
        return self._held

    def read_into(self, buffer: Bytes, offset: int) -> None:
        """Fill `buffer` with the bytes at `offset`, all of which must be in the file; raises what `fetch` raises."""
        for start in range(0, len(buffer), KEPT // 4):
            self._read_piece(buffer[start : start + KEPT // 4], offset + start)

    def look_ahead(self, places: Iterable[int]) -> None:
        """Ask for what lies around each of these offsets, and don't wait for it."""
        with self._lock:
            for place in sorted({place for place in places if 0 <= place < self._size}):
                if self._held > KEPT // 4 * 3:
                    return
                if any(self._gaps(place, place + 1)):
                    self._around(place, place + 1)

    def _around(self, offset: int, stop: int) -> None:
        """Ask for the bytes around a small range."""
        start = max(min(offset - BEFORE, self._size - BLOCK), 0)
        for begin, end in list(self._gaps(start, min(max(start + BLOCK, stop), self._size))):
            self._request(begin, end)

    def _read_piece(self, buffer: Bytes, offset: int) -> None:
        stop = offset + len(buffer)
        with self._lock:
            is_in_order = self._plan(offset, stop)
            wanted = list(self._covering(offset, stop))
            for segment in wanted:
                self._segments.move_to_end(segment.start)
            self._keep(KEPT, {segment.start for segment in wanted})
        for segment in wanted:
            try:
                data = segment.future.result()
            except CancelledError:  # whoever else read this file has closed it: it is asked for again
                self._forget(segment)
                self._read_piece(buffer, offset)
                return
            except BaseException:
                self._forget(segment)
                raise
            start, end = max(offset, segment.start), min(stop, segment.stop)
            buffer[start - offset : end - offset] = data[start - segment.start : end - segment.start]
        with self._lock:
            for segment in wanted:
                segment.left -= min(stop, segment.stop) - max(offset, segment.start)
                if is_in_order and segment.left <= 0 and self._segments.get(segment.start) is segment:
                    self._drop(segment)
                    first, last = -(-segment.start // BLOCK), -(-segment.stop // BLOCK)
                    self._passed[first:last] = b"\1" * (last - first)

    def _plan(self, offset: int, stop: int) -> bool:
        """Ask for all of a range that isn't there, and for what lies ahead of a reader who goes on in order.

        Return whether this is such a reader, who won't come back.
        """
        run = self._runs.pop(offset, 0) + stop - offset
        self._runs[stop] = run
        while len(self._runs) > READERS:
            self._runs.pop(next(iter(self._runs)))
        is_in_order = run >= IN_ORDER and run > stop - offset
        gaps = list(self._gaps(offset, stop))
        if is_in_order:
            ahead = min(run, AHEAD)
            if gaps or any(self._gaps(stop, self._before_passed(stop, stop + ahead // 2))):
                gaps = list(self._gaps(offset, stop))
                gaps += self._gaps(stop, self._before_passed(stop, stop + ahead))
        elif gaps and stop - offset < BLOCK:
            self._around(offset, stop)
            gaps = []
        for begin, end in gaps:
            for at in range(begin, end, LONGEST):
                self._request(at, min(at + LONGEST, end))
        return is_in_order

    def _before_passed(self, start: int, stop: int) -> int:
        """Return where a range ends that stops before the end of the file, and before what was passed."""
        stop = min(stop, self._size)
        passed = self._passed.find(1, start // BLOCK, -(-stop // BLOCK))
        return stop if passed < 0 else max(min(stop, passed * BLOCK), start)

    def _covering(self, offset: int, stop: int) -> Iterator[_Segment]:
        """Yield the segments that hold bytes of a range, in order."""
        i = max(bisect_right(self._starts, offset) - 1, 0)
        while i < len(self._starts) and self._starts[i] < stop:
            segment = self._segments[self._starts[i]]
            if segment.stop > offset:
                yield segment
            i += 1

    def _gaps(self, offset: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a range that no segment holds."""
        for segment in self._covering(offset, stop):
            if segment.start > offset:
                yield offset, segment.start
            offset = segment.stop
        if offset < stop:
            yield offset, stop

    def _request(self, start: int, stop: int) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(LOOKS, "ckpt-inspect-look")
        self._segments[start] = _Segment(start, stop, self._pool.submit(self._fetch, start, stop))
        insort(self._starts, start)
        self._held += stop - start

    def _drop(self, segment: _Segment) -> None:
        del self._segments[segment.start]
        self._starts.remove(segment.start)
        self._held -= segment.stop - segment.start

    def _keep(self, most: int, needed: set[int]) -> None:
        """Drop what was needed longest ago until no more than `most` bytes are left."""
        for segment in [] if self._held <= most else list(self._segments.values()):
            if self._held > most and segment.start not in needed:
                self._drop(segment)

    def _forget(self, failed: _Segment) -> None:
        """Let a later read ask again for what a request that failed would have brought."""
        with self._lock:
            if self._segments.get(failed.start) is failed:
                self._drop(failed)

    def rest(self) -> None:
        """Drop all but what a look at the file takes; what is under way is left to end by itself."""
        with self._lock:
            pool, self._pool = self._pool, None
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
            for segment in list(self._segments.values()):
                if not segment.future.done() or segment.future.cancelled():
                    self._drop(segment)
            self._keep(RESTING, set())
            self._runs.clear()
