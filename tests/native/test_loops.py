"""The loops in C: there where they can be, held against numpy's own arithmetic, and safe with any input."""

from __future__ import annotations

import math
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ckpt_inspect.measurement.histograms import FINE_BINS, FINE_SHIFT
from ckpt_inspect.native import loops

Array = NDArray[Any]

any_floats = hnp.arrays(np.float32, st.integers(0, 3000), elements=st.floats(width=32), fill=st.floats(width=32))
any_number = st.floats(width=32)

needs_loops = pytest.mark.skipif(loops is None, reason="the loops were not compiled")


def test_they_are_compiled_where_there_is_a_compiler() -> None:
    """An installation that could compile them, did."""
    if shutil.which("cc") is None or not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        pytest.skip("there is no compiler, or Python's headers are missing")
    assert loops is not None


def measured(v: Array, e: Array | None = None, **given: Any) -> dict[str, Any]:
    assert loops is not None
    counts = np.zeros(FINE_BINS, np.int64), np.zeros(FINE_BINS, np.int64)
    numbers = {
        "numerator": 1.0,
        "divisor": 1.0,
        "inner": 0.0,
        "epsilon": 1e-7,
        "first": 1.0,
        "decay": 0.0,
        "has_root": True,
    }
    numbers |= given
    found: dict[str, Any] = loops.measure(v, v, v, v, e, *counts, *numbers.values())
    return found | {"counts": counts}


@needs_loops
@given(any_floats, any_number, any_number, any_number, any_number)
def test_no_element_and_no_coefficient_leads_out_of_the_bins(
    values: Array, numerator: float, divisor: float, inner: float, epsilon: float
) -> None:
    """Whatever a file holds, what is counted is the values without a sign, of touched elements, and nothing is written
    beside the counts."""
    e = np.empty_like(values)
    found = measured(values, e, numerator=numerator, divisor=divisor, inner=inner, epsilon=epsilon)
    touched = (values > 0) & (values < np.inf)
    lr_counts, v_counts = found["counts"]
    np.testing.assert_array_equal(v_counts, np.bincount(values[touched].view("u4") >> FINE_SHIFT, minlength=FINE_BINS))
    counted = e[touched & (e >= 0) & ~np.signbit(e)]
    np.testing.assert_array_equal(lr_counts, np.bincount(counted.view("u4") >> FINE_SHIFT, minlength=FINE_BINS))
    assert found["touched"] == touched.sum()
    assert found["untouched"] == (values == 0).sum()
    assert found["negative"] == (values < 0).sum()
    assert found["nonfinite"] == (~np.isfinite(values)).sum()


@needs_loops
@given(any_floats)
def test_counting_takes_positive_finite_values(values: Array) -> None:
    """Zeros, negative values, infinities and NaNs of either sign are left out."""
    assert loops is not None
    counts = np.zeros(FINE_BINS, np.int64)
    loops.count(values, counts)
    some = values[(values > 0) & (values < np.inf)]
    np.testing.assert_array_equal(counts, np.bincount(some.view("u4") >> FINE_SHIFT, minlength=FINE_BINS))


@needs_loops
@pytest.mark.parametrize("inner, divisor", [(0.0, 1.0), (0.0, 0.3), (1e-5, 1.0)])
def test_every_effective_learning_rate_is_numpys_to_the_last_bit(inner: float, divisor: float) -> None:
    """Square root, sum and quotient are rounded one by one, in every width of registers."""
    rng = np.random.default_rng(0)
    v = np.exp(rng.normal(-9, 5, 5000)).astype(np.float32)
    e = np.empty_like(v)
    measured(v, e, numerator=1e-3, divisor=divisor, inner=inner, epsilon=1e-8)
    single = np.float32
    corrected = v / single(divisor) + single(inner)
    np.testing.assert_array_equal(e, single(1e-3) / (np.sqrt(corrected) + single(1e-8)))
    measured(v, e, numerator=1e-3, divisor=divisor, epsilon=1e-8, has_root=False)
    np.testing.assert_array_equal(e, single(1e-3) / (v / single(divisor) + single(1e-8)))


@needs_loops
@given(any_floats, st.randoms())
def test_products_of_two_tensors_are_numpys_in_float64(a: Array, random: Any) -> None:
    """Σa², Σb², Σab and Σ(b-a)² to the rounding of float64, and equal bits told from equal values."""
    assert loops is not None
    b = a.copy()
    if b.size and random.random() < 0.8:
        b[random.randrange(b.size)] = random.choice((0.0, -0.0, 1.5, math.nan))
    aa, bb, ab, dd, is_same = loops.compare(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    assert is_same == (a.tobytes() == b.tobytes())
    with np.errstate(all="ignore"):
        expected = [(x * x).sum(), (y * y).sum(), (x * y).sum(), ((y - x) ** 2).sum()]
    np.testing.assert_allclose([aa, bb, ab, dd], expected, rtol=1e-12)


@needs_loops
@pytest.mark.parametrize(
    "arguments, error",
    [
        ((np.zeros(3), np.zeros(3)), "elements 'd'"),
        ((np.zeros(3, ">f4"), np.zeros(3, np.float32)), "elements '>f'"),
        ((np.zeros(3, np.float32), np.zeros(4, np.float32)), "4 elements was given beside one of 3"),
        ((np.zeros(6, np.float32)[::2], np.zeros(3, np.float32)), "contiguous"),
        ((None, np.zeros(3, np.float32)), "two arrays"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: tuple[Any, ...], error: str) -> None:
    """Another dtype, byte order, length or stride is an error in words, never a wrong number."""
    assert loops is not None
    with pytest.raises((TypeError, ValueError), match=error):
        loops.compare(*arguments)


@needs_loops
def test_counts_of_another_length_are_refused() -> None:
    """Too few bins would be written beyond."""
    assert loops is not None
    with pytest.raises(ValueError, match="bins are needed"):
        loops.count(np.ones(3, np.float32), np.zeros(FINE_BINS - 1, np.int64))
    with pytest.raises((ValueError, BufferError), match=r"read-only|not writable"):
        counts = np.zeros(FINE_BINS, np.int64)
        counts.setflags(write=False)
        loops.count(np.ones(3, np.float32), counts)


@needs_loops
@pytest.mark.parametrize("size, tail, sums", [(10, 0, 3), (12, -1, 2), (12, 7, 2), (12, 0, 0), (0, 1, 0)])
def test_rows_that_cannot_be_are_refused(size: int, tail: int, sums: int) -> None:
    """Of different lengths, shorter than their tails, or more than there are sums for."""
    assert loops is not None
    with pytest.raises(ValueError, match="rows of one length"):
        loops.fletcher32(np.zeros(size, np.uint8), tail, np.zeros(sums, np.uint32))


@needs_loops
@pytest.mark.parametrize("size, width, room", [(10, 4, 10), (8, 0, 8), (8, -4, 8), (8, 4, 7), (8, 4, 9)])
def test_elements_that_cannot_be_are_not_unshuffled(size: int, width: int, room: int) -> None:
    """Of no width, not whole, or not as many as there is room for."""
    assert loops is not None
    with pytest.raises(ValueError, match="as many bytes"):
        loops.unshuffle(np.zeros(size, np.uint8), width, np.zeros(room, np.uint8))


@needs_loops
def test_nothing_is_unshuffled_in_place() -> None:
    """Bytes that are still needed would be overwritten."""
    assert loops is not None
    memory = np.zeros(12, np.uint8)
    with pytest.raises(ValueError, match="other memory"):
        loops.unshuffle(memory[:8], 4, memory[4:])
    loops.unshuffle(memory[:4], 4, memory[4:8])
