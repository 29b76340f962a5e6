"""How large the gradients between two checkpoints were, from the means of their second moments.

v2 = β2^k·v1 + (1 - β2)·Σ_j β2^(k-j)·g_j² (Kingma & Ba, arXiv 1412.6980, Algorithm 1), j = 1..k, so that
S = v2 - β2^k·v1 is a weighted sum of the k squared gradients. The weights sum to 1 - β2^k: S/(1 - β2^k) is their
weighted mean. They lie between (1 - β2)·β2^(k-1) and 1 - β2, which bounds the plain mean of the k squares from both
sides, whatever the gradients were; the longer the window, the wider.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.measurement.columns import Column, Columns
from ckpt_inspect.measurement.variables import WINDOW_METRICS
from ckpt_inspect.update_rules import find_implementation, find_rule

Floats = NDArray[np.float64]

_ROUNDINGS = 3
"""Of each update of v: a product, a square, a sum."""

_ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24}
"""Relative rounding error of the types whose second moments have digits enough to tell."""

_SMALLEST = 1e-30
"""Second moments below it have few digits left."""


@dataclass(frozen=True, slots=True)
class GradientSizes:
    """The root mean square of a window's gradients, over a tensor's elements and the window's updates; NaN where it is
    not known."""

    rms: Floats
    """With the weights that v gives: those shortly before the later checkpoint count more."""
    low: Floats
    high: Floats
    """Bounds of the root of the plain mean of squares; `high` NaN for a window so long that there is none."""


def gradient_sizes(before: Floats, after: Floats, beta_2: float, updates: int, rounding: Floats) -> GradientSizes:
    """Return what the means of v before and after `updates` updates tell; arrays of one shape, in v's unit.

    `rounding`: relative rounding error of the type of v, NaN where that is too coarse. What a window without a break
    can't have made, is NaN.
    """
    lost = 1.0 - beta_2
    decay = beta_2**updates
    with np.errstate(all="ignore"):
        gained = after - decay * before
        # beta_2 may have passed through float32 on its way into the average
        fault = _ROUNDINGS * rounding * min(updates, 1 / lost) * after + updates * 2.0**-25 * decay * before
        is_possible = (gained >= -fault) & np.isfinite(fault)
        rms = np.sqrt(np.maximum(gained, 0.0) / (1.0 - decay))
        low = np.sqrt(np.maximum(gained - fault, 0.0) / (updates * lost))
        high = np.sqrt((np.maximum(gained, 0.0) + fault) / (updates * lost * beta_2 ** (updates - 1)))
    high = np.where(np.isfinite(high), high, np.nan)
    return GradientSizes(*(np.where(is_possible, values, np.nan) for values in (rms, low, high)))


@dataclass(frozen=True, slots=True)
class _Window:
    """From one row of an optimizer's columns to a later one."""

    before: int
    updates: int


def window_columns(columns: Columns, fingerprints: Column) -> dict[str, Column]:
    """Return the variables of `WINDOW_METRICS`, from an optimizer's other columns.

    `fingerprints` of the checkpoints, which `window_from` names.
    """
    mean, sample, values = columns["second_moment_mean"], columns["second_moment_sample"], columns["value_sample"]
    found = {variable.name: np.full(mean.shape, np.nan) for variable in WINDOW_METRICS}
    rounding = np.array([_ROUNDING.get(str(dtype), np.nan) for dtype in columns["dtype"]], np.float64)
    rows = {str(fingerprint): row for row, fingerprint in enumerate(fingerprints)}
    for row in range(len(mean)):
        window = _window(columns, row, rows)
        if window is None:
            continue
        moved = values[row] - values[window.before]
        is_there = np.isfinite(moved).any(axis=1)
        moved_rms = np.sqrt(np.nanmean(moved[is_there] ** 2, axis=1)) / window.updates
        beta_2 = float(columns["beta_2"][row])
        if not _gathers(columns, row) or not 0 < beta_2 < 1 or columns["beta_2_contradiction"][row]:
            found["window_displacement"][row, is_there] = moved_rms
            continue
        is_broken = _broken(sample[window.before], sample[row], beta_2, window.updates)
        sizes = gradient_sizes(mean[window.before], mean[row], beta_2, window.updates, rounding)
        is_known = ~is_broken & ((mean[row] > _SMALLEST) | (mean[row] == 0))
        for name, figures in (("", sizes.rms), ("_low", sizes.low), ("_high", sizes.high)):
            found[f"window_gradient_rms{name}"][row] = np.where(is_known, figures, np.nan)
        found["window_displacement"][row, is_there] = np.where(is_broken[is_there], np.nan, moved_rms)
    return found


def _window(columns: Columns, row: int, rows: dict[str, int]) -> _Window | None:
    """The checkpoint from which the row's training went on: as the inference found it, else the one before it."""
    updates, named = int(columns["window_updates"][row]), str(columns["window_from"][row])
    if updates >= 0:
        return _Window(rows[named], updates) if updates > 0 and named in rows else None
    present = ~np.isnan(columns["nonfinite"])
    for before in range(row - 1, -1, -1):
        if (present[before] & present[row]).any():
            k = int(columns["step"][row]) - int(columns["step"][before])
            return _Window(before, k) if columns["step"][before] >= 0 and k > 0 else None
    return None


def _gathers(columns: Columns, row: int) -> bool:
    """Whether v is an average of squares that each update makes fall by beta_2 alone, in every element."""
    rule = find_rule(str(columns["rule"][row]))
    implementation = find_implementation(str(columns["family"][row]))
    if rule is None or implementation is None or rule.is_lazy or implementation.is_lazy:
        return False
    return rule.has_squared_gradients and rule.decays_by_beta_2


def _broken(before: Floats, after: Floats, beta_2: float, updates: int) -> NDArray[np.bool_]:
    """Return (P,) whether a sampled second moment fell faster than the updates can make it fall."""
    with np.errstate(invalid="ignore"):
        floor = before * beta_2**updates
        tolerance = 1e-6 + 3e-7 * updates
        return np.asarray(((floor > _SMALLEST) & (after < floor * (1 - tolerance))).any(axis=1))
