"""The middle and the different ones of some values, as numpy's `median` and `unique` give them.

Those import `numpy.ma`, which takes longer than all that is computed of two small checkpoints.
"""

from __future__ import annotations

import math

import numpy as np

from ckpt_inspect.checkpoint import Array


def median(values: Array) -> float:
    """Return the median of float64 values; NaN if one is NaN, or there are none."""
    if not values.size:
        return math.nan
    ordered = np.sort(values, axis=None)  # NaN comes last
    high = ordered[ordered.size // 2]
    middle = (high if ordered.size % 2 else (ordered[ordered.size // 2 - 1] + high) / 2) + 0.0  # of no sign, as a sum
    return math.nan if np.isnan(ordered[-1]) else float(middle)


def distinct(values: Array) -> Array:
    """Return the different values in ascending order, NaN once and last."""
    ordered = np.sort(values, axis=None)
    is_first = np.ones(ordered.size, np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    is_nan = np.isnan(ordered)
    is_first[1:] &= ~(is_nan[1:] & is_nan[:-1])
    return np.asarray(ordered[is_first])
