"""Which checkpoints of a long run a chart holds: as many as its budget allows, and of each stretch the extremes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.presentation.optimizer_series import Floats

MOST_VALUES = 120_000
"""Of one quantity over all runs, about: 640 kB of a page."""
FEWEST, MOST = 60, 1000
"""Checkpoints of a run that are kept whatever that budget: a screen shows no more than a thousand side by side."""


def most_checkpoints(parameters: int, runs: int) -> int:
    """Return how many checkpoints of each run the budget allows."""
    return min(max(MOST_VALUES // max(parameters * runs, 1), FEWEST), MOST)


def telling_positions(quantities: Sequence[Floats], most: int, also: Iterable[int] = ()) -> NDArray[np.intp]:
    """Return the positions of the checkpoints to keep, ascending, all of at most `most`; of more about that many.

    `quantities`: (K, P) each. Kept are the first and the last, those in `also`, and of each of many stretches of equal
    length the first, those with the furthest value above and below the stretch's median of its parameter, in decades,
    and the one in which most values are missing.
    """
    count = len(quantities[0])
    if count <= most:
        return np.arange(count)
    logs = np.concatenate([_logs(values) for values in quantities], axis=1)
    kept = {0, count - 1, *(k for k in also if 0 <= k < count)}
    for stretch in np.array_split(np.arange(count), max(most // 4, 1)):
        own = logs[stretch]
        missing = np.isnan(own).sum(axis=1)
        off = own - _medians(own)
        kept |= {int(stretch[0]), int(stretch[missing.argmax()])}
        if not np.isnan(off).all():
            kept |= {int(stretch[np.nanargmax(sign * off) // off.shape[1]]) for sign in (1, -1)}
    return np.array(sorted(kept), dtype=np.intp)


def _logs(values: Floats) -> Floats:
    logs = np.full(values.shape, np.nan)
    np.log10(values, out=logs, where=np.isfinite(values) & (values > 0))
    return logs


def _medians(logs: Floats) -> Floats:
    """(P,) medians; NaN without a value."""
    is_known = ~np.isnan(logs).all(axis=0)
    medians = np.full(logs.shape[1], np.nan)
    medians[is_known] = np.nanmedian(logs[:, is_known], axis=0)
    return medians
