"""What no update can do to an optimizer's state: floors under second moments, and elements without a gradient."""

from __future__ import annotations

import math
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_inspect.comparison.continuity import Floor, StateCounts
from ckpt_inspect.update_rules import State

DTYPES = ("float32", "float64", "bfloat16", "float16")


def dtype_of(name: str) -> np.dtype[np.generic]:
    return np.dtype(getattr(ml_dtypes, name, name))


@pytest.mark.parametrize("name", DTYPES)
@settings(max_examples=30)
@given(rate=st.floats(0.9, 0.9999), updates=st.integers(1, 200), seed=st.integers(0, 1000), is_dense=st.booleans())
def test_no_update_breaks_the_floor(name: str, rate: float, updates: int, seed: int, is_dense: bool) -> None:
    """In the variable's own arithmetic, rounded after every operation, with gradients or without any."""
    dtype, rng = dtype_of(name), np.random.default_rng(seed)
    before = np.exp(rng.uniform(-12, 2, 64)).astype(dtype)
    v = before.copy()
    for _ in range(updates):
        gradient = (rng.normal(size=64) * is_dense).astype(dtype)
        v = (v * dtype.type(rate) + gradient * gradient * dtype.type(1 - rate)).astype(dtype)
    floor = Floor.after(updates, min(rate, float(dtype.type(rate))), dtype)
    if floor is not None:
        _, fallen = floor.count_below(before.astype(np.float64), v.astype(np.float64))
        assert fallen == 0


def test_what_fell_further_is_counted() -> None:
    """Zeros and too small values, but not what may have been flushed to 0, nor what is no number."""
    floor = Floor.after(10, 0.9, np.dtype(np.float32))
    assert floor is not None
    before = np.array([1.0, 1.0, 1e-37, 1.0, 0.0, 1.0])
    after = np.array([0.0, 0.1, 0.0, math.nan, 0.0, 0.9**10])
    assert floor.count_below(before, after) == (4 - 1, 2)


@pytest.mark.parametrize("updates, rate", [(100_000, 0.9), (-1, 0.9), (5, 0.0), (5, 1.5)])
def test_where_nothing_is_proved_there_is_no_floor(updates: int, rate: float) -> None:
    """Windows so long that everything may have decayed, and rates that can't be."""
    assert Floor.after(updates, rate, np.dtype(np.float32)) is None


def test_a_sum_never_falls() -> None:
    """Adagrad keeps all of it, however many updates there were."""
    floor = Floor.after(0, 1.0, np.dtype(np.float32))
    assert floor is not None
    assert floor.count_below(np.array([1.0, 1.0]), np.array([0.99, 1.0])) == (2, 1)


STATE = State(
    value=np.array([1.0, -2.0, 3.0, 4.0], np.float32),
    first_moment=np.array([0.0, 0.0, 0.0, 0.1], np.float32),
    second_moment=np.array([0.0, 0.0, 0.0, 0.1], np.float32),
)


def counted(before: State, after: State) -> StateCounts:
    counts = StateCounts(None, None)
    for at in range(4):  # however it is cut
        counts.add(before.at(slice(at, at + 1)), after.at(slice(at, at + 1)))
    return counts


def test_what_no_gradient_reached_stays_where_it_is() -> None:
    """The last element has moments, and may move."""
    counts = counted(STATE, replace(STATE, value=np.array([1.0, -2.0, 3.0, 5.0], np.float32)))
    assert (counts.untouched, counts.still, counts.moved, counts.flipped) == (3, 3, 0, 0)
    assert not counts.is_same
    assert counted(STATE, STATE).is_same


def test_decay_moves_it_by_one_factor() -> None:
    """Weights set anew move it by any factor, and change signs."""
    counts = counted(STATE, replace(STATE, value=STATE.value * np.float32(0.5)))  # type: ignore[operator]
    assert (counts.moved, counts.flipped, counts.factor_low, counts.factor_high) == (3, 0, 0.5, 0.5)
    counts = counted(STATE, replace(STATE, value=np.array([-1.0, 5.0, 3.0, 4.0], np.float32)))
    assert (counts.moved, counts.flipped) == (2, 2)


def test_a_maximum_that_fell() -> None:
    """AMSGrad's never does."""
    one = replace(STATE, max_second_moment=np.array([1.0, 1.0, 1.0, 1.0], np.float32))
    two = replace(STATE, max_second_moment=np.array([1.0, 0.5, 2.0, 1.0], np.float32))
    assert counted(one, two).fallen == 1
