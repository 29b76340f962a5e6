"""Decoupled weight decay, from weights that nothing else moved: those whose moments are 0 before and after."""

from __future__ import annotations

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.comparison.inference.silence import WITNESSES, Rounding
from ckpt_inspect.comparison.inference.usual import distinct
from ckpt_inspect.measurement.order import median
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """By how much one update's decay shrank every weight that no gradient ever reached."""

    share: float
    """Of the weight, by each of the window's updates; 0 if these weights stayed as they were."""
    uncertainty: float
    """Of the share, from rounding."""
    elements: int
    """Different weights that agree on it."""


def find_untouched(first_a: Array, first_b: Array, second_a: Array, second_b: Array, value_a: Array) -> Array:
    """Return the places of elements that no gradient ever reached, with weights other than 0."""
    with np.errstate(all="ignore"):
        return np.flatnonzero((second_b == 0) & (second_a == 0) & (first_a == 0) & (first_b == 0) & (value_a != 0))


def find_shrinkage(value_a: Array, value_b: Array, decays: int) -> Shrinkage | None:
    """Return what untouched weights shrank by at each of that many updates; None if they don't agree to rounding."""
    rounding = Rounding.of(value_a.dtype)
    if rounding is None or decays < 1:
        return None
    with np.errstate(all="ignore"):
        ratio = value_b.astype(np.float64) / value_a.astype(np.float64)
        usable = np.isfinite(ratio) & (ratio > 0) & (np.abs(value_a) > 1e-30)
        if usable.sum() < value_a.size or distinct(value_a) < WITNESSES:
            return None  # one that changed its sign, or vanished, was moved otherwise
        logs = np.log(ratio)
    middle = median(logs)
    tolerance = rounding.of_decays(decays)
    if np.max(np.abs(logs - middle)) > tolerance or middle > tolerance:
        return None
    if np.all(logs == 0):
        return Shrinkage(0.0, tolerance / decays, distinct(value_a))
    mean = float(np.mean(logs))
    return Shrinkage(float(-np.expm1(mean / decays)), tolerance / decays, distinct(value_a))
