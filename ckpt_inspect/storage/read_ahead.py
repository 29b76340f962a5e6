"""Bytes that are fetched from far away: in large pieces, ahead of whoever reads in order, and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Lock

from ckpt_inspect.storage.stream import Bytes

Fetch = Callable[[int, int], Bytes]
"""Takes the first byte and the end; returns the bytes between."""

BLOCK = 1 << 16
"""Bytes that are fetched at least: as long as a request takes anyway, and little beside what a checkpoint has."""
LONGEST = 1 << 22
"""Bytes that one request is for at most."""
AHEAD = 1 << 23
"""Bytes that are fetched ahead at most of each place where somebody reads in order."""
KEPT = 48 << 20
"""Bytes of one file that are kept at most: for three arrays at a time and two threads, what is ahead of each."""
RESTING = 1 << 21
"""Bytes that are kept of a file that nobody reads: it is looked at, and then opened."""
LEFT = 64
"""Blocks behind a reader in order that stay: threads that share an array don't keep in step."""
READERS = 16
"""Places at most from which somebody is taken to go on."""
THREADS = 8


class ReadAhead:
    """Reads ranges of one file through blocks that are fetched in parallel and kept for a while; from any thread.

    Whoever goes on where a range ended gets four times as much as the last time, up to `AHEAD`; whoever jumps about
    gets a block each. What somebody has passed in order is not fetched ahead again: arrays that lie one behind the
    other are read at the same time.
    """

    def __init__(self, fetch: Fetch, size: int) -> None:
        """`size`: the file's, in bytes."""
        self._fetch, self._size = fetch, size
        self._blocks: OrderedDict[int, tuple[Future[Bytes], int]] = OrderedDict()
        """Number of a block -> the request that brings it, and the number of that request's first block."""
        self._windows: dict[int, int] = {}
        """Number of the block with which somebody would go on -> how many were fetched for that reader last."""
        self._passed = bytearray(-(-size // BLOCK))
        """Whether each block was dropped behind a reader in order."""
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def read_into(self, buffer: Bytes, offset: int) -> None:
        """Fill `buffer` with the bytes at `offset`, all of which must be in the file; raises what `fetch` raises."""
        for start in range(0, len(buffer), LONGEST):
            self._read_piece(buffer[start : start + LONGEST], offset + start)

    def _read_piece(self, buffer: Bytes, offset: int) -> None:
        stop = offset + len(buffer)
        first, last = offset // BLOCK, (stop - 1) // BLOCK
        with self._lock:
            is_streaming = self._plan(first, last)
            wanted = [self._wanted(number) for number in range(first, last + 1)]
        for number, (future, begin) in zip(range(first, last + 1), wanted, strict=True):
            try:
                data = future.result()
            except CancelledError:  # whoever else read this file has closed it: it is asked for again
                self._forget(future)
                self._read_piece(buffer, offset)
                return
            except BaseException:
                self._forget(future)
                raise
            start, end = max(offset, number * BLOCK), min(stop, (number + 1) * BLOCK)
            piece = data[start - begin * BLOCK : end - begin * BLOCK]
            buffer[start - offset : end - offset] = piece
        if is_streaming:
            with self._lock:
                for number in range(max(2 * first - last - 1 - LEFT, 0), first - LEFT):
                    self._passed[number] = self._blocks.pop(number, None) is not None or self._passed[number]

    def _plan(self, first: int, last: int) -> bool:
        """Ask for all of these blocks that aren't there, and for those ahead of a reader who goes on in order.

        Return whether this is such a reader, who won't come back.
        """
        blocks = len(self._passed)
        is_there = all(number in self._blocks for number in range(first, last + 1))
        window = self._windows.pop(first, 0) or self._windows.pop(first + 1, 0)  # a range may end within a block
        if window and is_there and min(last + window // 2, blocks - 1) in self._blocks:  # far enough ahead still
            self._windows[last + 1] = window
            return True
        if is_there and not window:
            return False
        ahead = min(4 * window, AHEAD // BLOCK)
        self._windows[last + 1] = ahead or last - first + 1
        while len(self._windows) > READERS:
            self._windows.pop(next(iter(self._windows)))
        planned = range(first, min(last + 1 + ahead, blocks))
        missing = [n for n in planned if n not in self._blocks and (n <= last or not self._passed[n])]
        while missing:
            run = [missing.pop(0)]
            while missing and missing[0] == run[-1] + 1 and len(run) < LONGEST // BLOCK:
                run.append(missing.pop(0))
            self._request(run)
        return window > 0

    def _request(self, run: list[int]) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "ckpt-inspect-fetch")
        start, stop = run[0] * BLOCK, min((run[-1] + 1) * BLOCK, self._size)
        future = self._pool.submit(self._fetch, start, stop)
        for number in run:
            self._blocks[number] = (future, run[0])

    def _wanted(self, number: int) -> tuple[Future[Bytes], int]:
        """Return the request that brings a block; it is now the one that was needed last."""
        found = self._blocks[number]
        self._blocks.move_to_end(number)
        while len(self._blocks) > KEPT // BLOCK:
            self._blocks.popitem(last=False)
        return found

    def _forget(self, failed: Future[Bytes]) -> None:
        """Let a later read ask again for what a request that failed would have brought."""
        with self._lock:
            for number in [n for n, (future, _) in self._blocks.items() if future is failed]:
                del self._blocks[number]

    def rest(self) -> None:
        """Drop all but the blocks that a look at the file takes; what is under way is left to end by itself."""
        with self._lock:
            pool, self._pool = self._pool, None
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
            for number in [n for n, (future, _) in self._blocks.items() if not future.done() or future.cancelled()]:
                del self._blocks[number]
            while len(self._blocks) > RESTING // BLOCK:
                self._blocks.popitem(last=False)
            self._windows.clear()
