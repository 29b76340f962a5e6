"""Figures of the windows of updates between a run's checkpoints, from the checkpoints' own figures.

S = v2 - β2^k·v1 = (1 - β2)·Σ_j β2^(k-j)·g_j² (Kingma & Ba, arXiv 1412.6980, Algorithm 1) is a weighted sum of the
window's k squared gradients. The weights add up to 1 - β2^k, so that S/(1 - β2^k) is their weighted mean; they lie
between (1 - β2)·β2^(k-1) and 1 - β2, which bounds the plain mean of the k squares from both sides, whatever the
gradients were. The longer the window, the wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import numpy_dtype
from ckpt_inspect.comparison.inference.gradients import window_gradient_rms
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.measurement.columns import Column, Columns
from ckpt_inspect.measurement.variables import CONTRADICTION, WINDOW_METRICS
from ckpt_inspect.update_rules import find_implementation, find_rule

Floats = NDArray[np.float64]

_SMALLEST = 1e-30
"""Second moments below it have few digits left."""


def plain_bounds(beta_2: float, updates: int) -> tuple[float, float]:
    """Return by which factors the root of the plain mean of `updates` squares can differ from that of the weighted
    one: at least, and at most; NaN for a window so long that there is no bound."""
    total = -math.expm1(updates * math.log(beta_2))
    middle = math.sqrt(total / (updates * (1 - beta_2)))
    oldest = beta_2 ** (updates - 1)
    slack = 2.0**-24 / (1 - beta_2)  # 1 - beta_2, where beta_2 passed through float32
    return middle * (1 - slack), middle * (1 + slack) / math.sqrt(oldest) if oldest > 1e-300 else math.nan


_NAMES = ("window_gradient_rms", "window_gradient_rms_low", "window_gradient_rms_high")


@dataclass(frozen=True, slots=True)
class _Window:
    """From one row of an optimizer's columns to a later one."""

    before: int
    updates: int


def window_columns(columns: Columns, fingerprints: Column) -> dict[str, Column]:
    """Return the variables of `WINDOW_METRICS`, from an optimizer's other columns.

    `fingerprints` of the checkpoints, which `window_from` names.
    """
    found = {variable.name: np.full(columns["nonfinite"].shape, np.nan) for variable in WINDOW_METRICS}
    rows = {str(fingerprint): row for row, fingerprint in enumerate(fingerprints)}
    for row in range(len(fingerprints)):
        window = _window(columns, row, rows)
        if window is None:
            continue
        beta_2 = float(columns["beta_2"][row])
        is_told = _gathers(columns, row) and 0 < beta_2 < 1 and not columns[f"beta_2{CONTRADICTION}"][row]
        sample = columns["second_moment_sample"]
        is_broken = np.zeros(sample.shape[1], bool)
        if is_told:
            is_broken = _broken(sample[window.before], sample[row], beta_2, window.updates)
            for name, figures in _gradients(columns, window, row, beta_2).items():
                found[name][row] = np.where(is_broken, np.nan, figures)
        with np.errstate(invalid="ignore", over="ignore"):  # of weights that are infinite by now
            moved = columns["value_sample"][row] - columns["value_sample"][window.before]
            is_there = np.isfinite(moved).any(axis=1) & ~is_broken
            rms = np.sqrt(np.nanmean(moved[is_there] ** 2, axis=1))
        found["window_displacement"][row, is_there] = rms / window.updates
    return found


def _gradients(columns: Columns, window: _Window, row: int, beta_2: float) -> Mapping[str, Floats]:
    """(P,) the three figures of the gradients' size."""
    means = columns["second_moment_mean"]
    low, high = plain_bounds(beta_2, window.updates)
    figures = np.full((3, means.shape[1]), np.nan)
    for i, (before, after) in enumerate(zip(means[window.before].tolist(), means[row].tolist(), strict=True)):
        try:
            dtype = numpy_dtype(str(columns["dtype"][i]))
        except CkptInspectError:
            continue
        if not (after == 0 or after > _SMALLEST):
            continue
        rms = window_gradient_rms(before, after, beta_2, window.updates, dtype)
        if rms is not None:
            figures[:, i] = rms.value, rms.low * low, rms.high * high
    return dict(zip(_NAMES, figures, strict=True))


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
