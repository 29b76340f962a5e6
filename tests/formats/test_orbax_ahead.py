"""Boxes of remote arrays are begun before they are asked for, and no more of them than there is room for."""

from __future__ import annotations

from ckpt_inspect.formats.orbax_ahead import BoxesAhead, ExpectedBox


class _Reader:
    """Notes which boxes are begun; box `i` of array `a` holds elements 10 i to 10 i + 10."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def box(self, i: int) -> ExpectedBox:
        return ExpectedBox("a", 10 * i, 10 * i + 10, 10, lambda: self.begun.append(i) or f"future {i}")  # type: ignore[func-returns-value]


def test_as_many_are_begun_as_there_is_room_for() -> None:
    """Whoever takes one makes room for the next."""
    reader = _Reader()
    ahead = BoxesAhead((reader.box(i) for i in range(9)), window=30)
    assert reader.begun == [0, 1, 2]
    assert ahead.take("a", 5) == (0, "future 0")
    assert reader.begun == [0, 1, 2, 3]


def test_each_is_taken_once() -> None:
    """By any element that it holds; what wasn't begun is read by whoever needs it."""
    ahead = BoxesAhead([_Reader().box(0)], window=30)
    assert ahead.take("b", 5) is None
    assert ahead.take("a", 10) is None
    assert ahead.take("a", 9) == (0, "future 0")
    assert ahead.take("a", 9) is None


def test_one_that_is_larger_than_the_room_is_begun_alone() -> None:
    """Else nobody would ever read it."""
    reader = _Reader()
    BoxesAhead((reader.box(i) for i in range(2)), window=5)
    assert reader.begun == [0]


def test_what_nobody_takes_is_given_up() -> None:
    """Once many behind it were taken: it holds no room for ever."""
    reader = _Reader()
    ahead = BoxesAhead((reader.box(i) for i in range(40)), window=20)
    for i in range(1, 39):
        ahead.take("a", 10 * i)
    assert reader.begun == list(range(40))


def test_nothing_is_begun_after_the_end() -> None:
    """Nor kept."""
    reader = _Reader()
    ahead = BoxesAhead((reader.box(i) for i in range(9)), window=20)
    ahead.end()
    assert ahead.take("a", 0) is None
    assert reader.begun == [0, 1]
