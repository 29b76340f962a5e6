"""Histograms by the bits of a float: held against np.quantile and np.histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ckpt_inspect.measurement.histograms import (
    EFFECTIVE_LR_GRID,
    FINE_BINS,
    FINE_EDGES,
    QUANTILE_LEVELS,
    SECOND_MOMENT_GRID,
    fine_indices,
    quantiles_of_counts,
    quantiles_of_values,
)

Array = NDArray[Any]

positive = st.floats(2.0**-126, 2.0**127, width=32, allow_subnormal=False)
positive_arrays = hnp.arrays(np.float32, st.integers(1, 200), elements=positive)


def counted(values: Array) -> Array:
    return np.bincount(fine_indices(values), minlength=FINE_BINS)


@given(positive_arrays)
def test_fine_bins_hold_what_lies_between_their_edges(values: Array) -> None:
    """A value is in the half-open bin whose edges enclose it, whether it comes as float32 or float64."""
    bins = fine_indices(values)
    assert np.all(FINE_EDGES[bins] <= values)
    assert np.all(values < FINE_EDGES[bins + 1])
    np.testing.assert_array_equal(fine_indices(values.astype(np.float64)), bins)


@given(hnp.arrays(np.float64, 20, elements=st.floats(1e-37, 1e38)))
def test_float64_values_are_not_rounded_into_the_next_bin(values: Array) -> None:
    """Bins of float64 values are exact although float32 has fewer digits."""
    bins = fine_indices(values)
    assert np.all(FINE_EDGES[bins] <= values)
    assert np.all(values < FINE_EDGES[bins + 1])


def test_values_beyond_float32_are_counted_at_its_ends() -> None:
    """float64's range is wider than the bins': what doesn't fit is in the first or the last finite bin."""
    assert list(fine_indices(np.array([1e-300, 1e300]))) == [0, fine_indices(np.array([3.4e38], np.float32))[0]]


@given(positive_arrays)
def test_quantiles_of_counts_are_within_one_percent(values: Array) -> None:
    """Against np.quantile, at every level; the extremes are exact."""
    found = quantiles_of_counts(counted(values), float(values.min()), float(values.max()))
    exact = np.quantile(values.astype(np.float64), QUANTILE_LEVELS)
    np.testing.assert_allclose(found, exact, rtol=0.01)
    assert (found[0], found[-1]) == (values.min(), values.max())


@given(positive_arrays)
def test_quantiles_of_values_are_numpys(values: Array) -> None:
    """The exact ones agree with np.quantile to float64 rounding."""
    exact = np.quantile(values.astype(np.float64), QUANTILE_LEVELS)
    np.testing.assert_allclose(quantiles_of_values(values), exact, rtol=1e-12)


@pytest.mark.parametrize("grid", [EFFECTIVE_LR_GRID, SECOND_MOMENT_GRID])
@given(values=positive_arrays)
def test_coarse_histograms_are_numpys(grid: Any, values: Array) -> None:
    """Counted directly or gathered from the fine bins: np.histogram's counts over the same edges."""
    expected, _ = np.histogram(values.astype(np.float64), grid.edges)
    np.testing.assert_array_equal(grid.count(values), expected)
    np.testing.assert_array_equal(grid.gather(counted(values)), expected)


@pytest.mark.parametrize("grid", [EFFECTIVE_LR_GRID, SECOND_MOMENT_GRID])
def test_coarse_bins_are_log_spaced(grid: Any) -> None:
    """Edges are the powers of the second or fourth root of two, to 0.6 %, over float32's normal numbers."""
    edges = grid.edges[grid.edges >= 2.0**-126]
    np.testing.assert_allclose(edges, np.logspace(-126, 128, len(edges), base=2), rtol=0.006)
