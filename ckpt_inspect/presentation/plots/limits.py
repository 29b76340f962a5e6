"""Limits of a logarithmic axis that a few outliers don't set: they are marked at its edge instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style

if TYPE_CHECKING:
    from ckpt_inspect.presentation.optimizer_series import Floats

FAR = 1.5
"""Decades from the middle of all parameters, within which none is an outlier."""
DEVIATIONS = 5.0
"""Median absolute deviations from it, beyond which one is."""


def robust_range(values: Sequence[Floats], *others: Floats, decades: float = 1.0) -> tuple[float, float]:
    """Return limits that show all of `values` (each (K, P)) but outliers, and `others` in any case.

    An outlier is a parameter whose median over the run is more than `FAR` decades and `DEVIATIONS` median absolute
    deviations from the median of all; of the others a spike that is rarer than 1 % and more than a decade off.
    """
    logs = [np.log10(np.where(np.isfinite(v) & (v > 0), v, np.nan)) for v in values]
    middles = np.concatenate([_medians(each) for each in logs]) if logs else np.empty(0)
    if not np.isfinite(middles).any():
        return style.positive_range(*others, decades=decades)
    middle = np.nanmedian(middles)
    reach = max(FAR, DEVIATIONS * float(np.nanmedian(np.abs(middles - middle))))
    kept = [each[:, np.abs(_medians(each) - middle) <= reach] for each in logs]
    shown = np.concatenate([each[np.isfinite(each)] for each in kept])
    ends = []
    for rare, extreme in zip(np.quantile(shown, (0.01, 0.99)), (shown.min(), shown.max()), strict=True):
        ends.append(extreme if abs(extreme - rare) <= 1.0 else rare)
    return style.positive_range(10.0 ** np.array(ends), *others, decades=decades)


def _medians(logs: Floats) -> Floats:
    """(P,) medians over the run; NaN for a parameter without a value."""
    is_known = np.isfinite(logs).any(axis=0)
    medians = np.full(logs.shape[1], np.nan)
    if is_known.any():
        medians[is_known] = np.nanmedian(logs[:, is_known], axis=0)
    return medians
