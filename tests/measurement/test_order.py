"""Order statistics against numpy's own."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.measurement.order import distinct, median

NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -1.5, 1e-300, 1.7e308, np.inf, -np.inf, np.nan, 3.25])


@given(st.lists(NUMBERS | st.floats(), min_size=1, max_size=12))
def test_the_median_is_numpys(values: list[float]) -> None:
    """To the bit, whatever the values are."""
    with np.errstate(all="ignore"):
        ours, theirs = median(np.array(values)), float(np.median(np.array(values)))
    assert np.float64(ours).tobytes() == np.float64(theirs).tobytes() or (np.isnan(ours) and np.isnan(theirs))


def test_of_nothing_there_is_no_median() -> None:
    """And nobody is warned."""
    assert np.isnan(median(np.empty(0)))
    assert distinct(np.empty(0)).size == 0


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", ml_dtypes.bfloat16])
@given(st.lists(st.integers(-3, 3), max_size=12))
def test_different_values_are_numpys(dtype: str, values: list[int]) -> None:
    """Each once, in order, in the values' own dtype."""
    found = distinct(np.array(values, dtype))
    assert found.dtype == dtype
    assert found.tolist() == np.unique(np.array(values, dtype)).tolist()


@given(st.lists(NUMBERS, max_size=12))
def test_different_numbers_are_numpys(values: list[float]) -> None:
    """NaN is one value, and so are the zeros of both signs."""
    np.testing.assert_array_equal(distinct(np.array(values)), np.unique(np.array(values)))
