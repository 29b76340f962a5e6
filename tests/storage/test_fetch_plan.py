"""Planned ranges: each byte is fetched once, ahead of whoever reads it, within a window."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.storage.fetch_plan import UNIT, WINDOW, FetchPlan
from ckpt_inspect.storage.stream import Bytes


class _File:
    """Bytes that count how often they are fetched."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.contents = np.resize(np.random.default_rng(seed).integers(0, 256, 999_983, np.uint8), size)
        self.fetched: list[tuple[int, int]] = []

    def fetch(self, start: int, stop: int) -> Bytes:
        self.fetched.append((start, stop))
        return self.contents[start:stop]

    @property
    def nbytes(self) -> int:
        return sum(stop - start for start, stop in self.fetched)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Return threads that fetch."""
    with ThreadPoolExecutor(4) as threads:
        yield threads


def _read(plan: FetchPlan, file: _File, start: int, stop: int) -> bool:
    buffer = np.empty(stop - start, np.uint8)
    is_planned = plan.read_into(file, buffer, start)
    assert not is_planned or np.array_equal(buffer, file.contents[start:stop])
    return is_planned


def test_three_arrays_piece_by_piece(pool: ThreadPoolExecutor) -> None:
    """Each byte is fetched once, in pieces that are much larger than those that are read."""
    size, piece = 5 * UNIT + 1234, 300_000
    file = _File(3 * size)
    ranges = [(file, a * size + at, a * size + min(at + piece, size)) for at in range(0, size, piece) for a in range(3)]
    plan = FetchPlan(ranges, pool)
    assert all(_read(plan, *each) for each in ranges)
    assert plan.is_over
    assert file.nbytes == 3 * size
    assert len(file.fetched) < len(ranges) / 2


def test_two_threads_that_take_turns(pool: ThreadPoolExecutor) -> None:
    """Nothing is fetched twice, although neither waits for the other."""
    file = _File(4 * WINDOW)
    ranges = [(file, at, at + (1 << 18)) for at in range(0, 4 * WINDOW, 1 << 18)]
    plan, left, lock, missed = FetchPlan(ranges, pool), iter(ranges), threading.Lock(), []

    def work() -> None:
        while True:
            with lock:
                each = next(left, None)
            if each is None:
                return
            if not _read(plan, *each):
                missed.append(each)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missed
    assert file.nbytes == 4 * WINDOW


def test_no_more_than_the_window_is_ahead(pool: ThreadPoolExecutor) -> None:
    """Nothing is read: what is under way stays within it, however long one waits."""
    file = _File(3 * WINDOW)
    FetchPlan([(file, 0, 3 * WINDOW)], pool)
    pool.shutdown(wait=True)
    assert file.nbytes <= WINDOW


def test_small_neighbours_are_one_request(pool: ThreadPoolExecutor) -> None:
    """Whatever their order, and with small gaps between."""
    file = _File(1 << 20)
    places = list(range(0, 1 << 20, 1 << 14))
    ranges = [(file, at, at + (1 << 13)) for at in places[::2] + places[1::2]]
    plan = FetchPlan(ranges, pool)
    assert all(_read(plan, *each) for each in ranges)
    assert len(file.fetched) == 1


def test_what_nobody_reads_doesnt_hold_up_the_rest(pool: ThreadPoolExecutor) -> None:
    """Every fourth range is left out: those behind are fetched ahead all the same, and what is held stays bounded."""
    file = _File(16 * WINDOW)
    ranges = [(file, at, at + UNIT) for at in range(0, len(file.contents), UNIT)]
    plan = FetchPlan(ranges, pool)
    assert all(_read(plan, *each) for i, each in enumerate(ranges) if i % 4)
    assert len(file.fetched) >= len(ranges) - WINDOW // UNIT
    assert plan._held <= WINDOW


def test_what_isnt_planned_or_was_read_is_left_to_others(pool: ThreadPoolExecutor) -> None:
    """Nothing is filled."""
    file, other = _File(10 * UNIT), _File(10)
    plan = FetchPlan([(file, UNIT, 2 * UNIT)], pool)
    assert not _read(plan, file, 0, 10)
    assert not _read(plan, file, UNIT - 1, UNIT + 1)
    assert not _read(plan, other, 0, 10)
    assert _read(plan, file, UNIT, 2 * UNIT)
    assert not _read(plan, file, UNIT, UNIT + 10)


def test_what_failed_is_raised_and_then_left_to_others(pool: ThreadPoolExecutor) -> None:
    """The reader of the range gets the error."""

    class Failing(_File):
        def fetch(self, start: int, stop: int) -> Bytes:
            raise DamagedFileError("too short")

    file = Failing(UNIT)
    plan = FetchPlan([(file, 0, UNIT)], pool)
    with pytest.raises(DamagedFileError):
        _read(plan, file, 0, 10)
    assert not _read(plan, file, 0, 10)


def test_the_first_of_a_range_is_lent_as_far_as_one_request_brought_it(pool: ThreadPoolExecutor) -> None:
    """What the next request brings is lent by itself, and nothing of what wasn't planned."""
    file = _File(3 * UNIT)
    plan = FetchPlan([(file, 5, 2 * UNIT)], pool)
    at, lent = 100, []
    while (piece := plan.borrow_some(file, at, 2 * UNIT)) is not None:
        np.testing.assert_array_equal(piece, file.contents[at : at + len(piece)])
        plan.give_back(file, at, at + len(piece))
        lent.append(len(piece))
        at += len(piece)
    assert lent == [UNIT - 95, UNIT - 5]
    assert plan.borrow_some(file, 0, 10) is None


def test_what_one_request_brought_can_be_borrowed(pool: ThreadPoolExecutor) -> None:
    """It is where it arrived, and counts as read once it is given back; ranges that need two requests are copied."""
    file = _File(3 * UNIT)
    ranges = [(file, at, at + UNIT) for at in range(7, 2 * UNIT, UNIT)]
    plan = FetchPlan(ranges, pool)
    for _, start, stop in ranges:
        data = plan.borrow(file, start, stop)
        assert data is not None
        assert data.base is not None
        np.testing.assert_array_equal(data, file.contents[start:stop])
    assert plan.borrow(file, 10, UNIT + 10) is None
    assert plan.borrow(file, 0, 10) is None
    assert not plan.is_over
    for each in ranges:
        plan.give_back(*each)
    assert plan.is_over
    assert file.nbytes == 2 * UNIT


def test_a_later_plan_takes_what_room_the_one_before_leaves(pool: ThreadPoolExecutor) -> None:
    """It asks for nothing as long as that one has anything left to ask for, and both hold no more than the window; its
    first bytes are there when their turn comes."""
    first, second = _File(2 * WINDOW, 1), _File(2 * WINDOW, 2)
    size = len(first.contents)
    mine, later = ([(file, at, at + UNIT) for at in range(0, size, UNIT)] for file in (first, second))
    plan = FetchPlan(mine, pool)
    behind = FetchPlan(later, pool, after=[plan])
    for start, stop in ((at, at + UNIT) for at in range(0, size, UNIT)):
        is_all_asked = plan._next == len(plan._units)
        assert behind._held == 0 or is_all_asked
        assert plan._held + behind._held <= WINDOW
        assert _read(plan, first, start, stop)
    assert plan.is_over
    assert WINDOW - UNIT < behind._held <= WINDOW
    assert all(_read(behind, *each) for each in later)
    assert first.nbytes == second.nbytes == size
    assert not behind._first


def test_what_a_later_plan_holds_is_told(pool: ThreadPoolExecutor) -> None:
    """So that one that comes now, and is read before it, can be given so much less of the window."""
    first, second = _File(UNIT, 1), _File(3 * UNIT, 2)
    assert FetchPlan([(first, 0, UNIT)], pool).held_too_early == 0
    later = FetchPlan([(second, 0, 3 * UNIT)], pool, is_later=True)
    assert later.held_too_early == 3 * UNIT
    assert _read(later, second, 0, UNIT)
    assert later.held_too_early == 2 * UNIT


def test_a_later_plan_goes_on_once_the_one_before_is_given_up(pool: ThreadPoolExecutor) -> None:
    """Whoever should have read it closes its file."""
    first, second = _File(3 * WINDOW, 1), _File(UNIT, 2)
    plan = FetchPlan([(first, 0, 3 * WINDOW)], pool)
    behind = FetchPlan([(second, 0, UNIT)], pool, after=[plan])
    assert not second.fetched
    plan.end()
    assert behind._held == UNIT
    assert _read(behind, second, 0, UNIT)


def test_small_requests_have_threads_of_their_own() -> None:
    """They don't wait for large ones."""
    file, is_open = _File(4 * UNIT), threading.Event()

    class Slow(_File):
        def fetch(self, start: int, stop: int) -> Bytes:
            assert is_open.wait(20)
            return super().fetch(start, stop)

    slow = Slow(4 * UNIT)
    with ThreadPoolExecutor(1) as large, ThreadPoolExecutor(1) as small:
        plan = FetchPlan([(slow, 0, 4 * UNIT), (file, 0, 1000)], large, small=small)
        assert _read(plan, file, 0, 1000)
        is_open.set()
        assert _read(plan, slow, 0, 4 * UNIT)


def test_an_ended_plan_is_forgotten(pool: ThreadPoolExecutor) -> None:
    """Nothing of it is held."""
    file = _File(10 * UNIT)
    plan = FetchPlan([(file, 0, 10 * UNIT)], pool)
    plan.end()
    assert plan.is_over
    assert not _read(plan, file, 0, 10)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3 * UNIT), st.integers(0, UNIT)), max_size=12), st.randoms()
)
def test_any_ranges(spans: list[tuple[int, int, int]], random: object) -> None:
    """Ranges that overlap, are empty, or are read in another order: what is filled is right."""
    files = [_File(4 * UNIT, seed) for seed in range(2)]
    ranges = [(files[i], start, start + length) for i, start, length in spans]
    with ThreadPoolExecutor(2) as threads:
        plan = FetchPlan(ranges, threads)
        random.shuffle(ranges)  # type: ignore[attr-defined]
        for each in ranges:
            _read(plan, *each)
        plan.end()
