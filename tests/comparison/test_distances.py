"""Streamed comparison of two tensors."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.ways import ways_of

from ckpt_inspect.comparison import distances
from ckpt_inspect.comparison.distances import Buffers, Distance, Window, WindowCount, has_same_bits

BETA_2 = 0.999

way = ways_of(distances)


def distance(a: NDArray, b: NDArray, piece: int = 7) -> Distance:
    result, buffers = Distance(), Buffers(piece)
    for start in range(0, a.size, piece):
        result.add(a[start : start + piece], b[start : start + piece], buffers)
    return result


@given(st.integers(0, 40), st.integers(1, 41), st.integers(0, 2**32 - 1))
def test_cutting_does_not_matter(size: int, piece: int, seed: int) -> None:
    """Any piece size gives what the plain formula gives on the whole arrays."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, size)).astype(np.float32)
    found = distance(a, b, piece)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    assert found.elements == size
    assert found.is_same == (size == 0)
    assert found.norm_difference == pytest.approx(np.linalg.norm(wide_b - wide_a), rel=1e-12)
    if size:
        assert found.relative == pytest.approx(np.linalg.norm(wide_b - wide_a) / np.linalg.norm(wide_a), rel=1e-12)
        cosine = wide_a @ wide_b / np.linalg.norm(wide_a) / np.linalg.norm(wide_b)
        assert found.cosine == pytest.approx(cosine, rel=1e-12, abs=1e-12)


def test_sums_are_in_float64() -> None:
    """A change that float32 sums would lose among large squares is there, to nine digits."""
    a = np.full(100_000, 4096.0, np.float32)
    b = a.copy()
    b[0] += 0.5
    assert distance(a, b, 1000).relative == pytest.approx(0.5 / (4096.0 * math.sqrt(100_000)), rel=1e-9)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "bool", ml_dtypes.bfloat16])
def test_every_dtype_is_compared(dtype: str) -> None:
    """One changed element of any dtype makes a difference, and none makes none."""
    a = np.array([1, 0, 1, 1], dtype)
    b = np.array([1, 1, 1, 1], dtype)
    assert distance(a, a.copy()).relative == 0.0
    assert distance(a, b).relative == pytest.approx(math.sqrt(1 / 3))


def test_same_means_same_bits() -> None:
    """Equal NaNs are the same, and zeros of different sign are not."""
    nan = np.array([math.nan, 1.0], np.float32)
    assert has_same_bits(nan, nan.copy())
    assert not has_same_bits(np.array([0.0]), np.array([-0.0]))
    assert not has_same_bits(np.zeros(2, np.float32), np.zeros(2, np.float64))


def test_from_all_zeros_the_change_is_infinite() -> None:
    """There is no relative change of nothing, and no angle to it."""
    found = distance(np.zeros(3), np.ones(3))
    assert found.relative == math.inf
    assert math.isnan(found.cosine)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("b", [[np.inf, 2.0], [-np.inf, np.inf], [np.nan, 1.0]])
def test_infinities_warn_of_nothing(dtype: type, b: list[float]) -> None:
    """Non-finite values give NaN, not a warning: the suite makes warnings errors."""
    found = distance(np.array([np.inf, np.inf], dtype), np.array(b, dtype), 1)
    assert math.isnan(found.relative)
    assert math.isnan(distance(np.array([np.inf, np.inf], dtype), np.array(b, dtype)).cosine)


def second_moments(steps: int, dtype: type, starved_from: int) -> tuple[NDArray, NDArray, NDArray]:
    """v before and after `steps` real updates in that dtype, and the gradients; the tail sees none of them."""
    rng = np.random.default_rng(1)
    v = rng.uniform(1e-6, 1e-2, 400).astype(dtype)
    gradients = rng.normal(size=(steps, 400)).astype(dtype)
    gradients[:, starved_from:] = 0
    before, rest = v.copy(), dtype(1) - dtype(np.float32(BETA_2))
    for gradient in gradients:
        v = v + (gradient * gradient - v) * rest
    return before, v, gradients


def counted(before: NDArray, after: NDArray, window: Window) -> WindowCount:
    count = WindowCount()
    count.add(before, after, window, Buffers(before.size))
    return count


@pytest.mark.parametrize("steps", [1, 50, 3000])
def test_starved_elements_are_those_without_a_gradient(steps: int) -> None:
    """Elements that no gradient reached are told from the others after real float32 updates."""
    before, after, _ = second_moments(steps, np.float32, starved_from=300)
    window = Window.between(steps, BETA_2, before.dtype)
    assert window is not None
    count = counted(before, after, window)
    assert (count.touched, count.starved, count.impossible) == (400, 100, 0)


def test_gradient_rms_of_the_window() -> None:
    """It is the decay-weighted RMS of the gradients that really came."""
    steps = 200
    before, after, gradients = second_moments(steps, np.float64, starved_from=400)
    window = Window.between(steps, BETA_2, before.dtype)
    assert window is not None
    weights = float(np.float32(BETA_2)) ** np.arange(steps)[::-1]
    expected = math.sqrt((weights @ (gradients**2).mean(axis=1)) / weights.sum())
    assert counted(before, after, window).gradient_rms(window, 400) == pytest.approx(expected, rel=1e-12)


def test_a_reset_is_impossible_decay() -> None:
    """A second moment that fell faster than beta_2 lets it cannot continue the first."""
    before, _, _ = second_moments(1, np.float32, 0)
    window = Window.between(10, BETA_2, before.dtype)
    assert window is not None
    assert counted(before, before * np.float32(0.5), window).impossible == 400


def test_no_window_where_nothing_can_be_told() -> None:
    """No steps, an impossible beta, integers, and bfloat16 over many steps have no window."""
    assert Window.between(0, BETA_2, np.dtype(np.float32)) is None
    assert Window.between(5, 1.0, np.dtype(np.float32)) is None
    assert Window.between(5, BETA_2, np.dtype(np.int32)) is None
    assert Window.between(100, BETA_2, np.dtype(ml_dtypes.bfloat16)) is None
