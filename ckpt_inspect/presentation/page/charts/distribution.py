"""Histograms of effective learning rates at many checkpoints, small enough for a page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.presentation.figures.chapter import Chapter, Run, chosen_checkpoints
from ckpt_inspect.presentation.figures.questions import DISTRIBUTIONS
from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.presentation.page.charts.drawing import Distribution

CELL = 0.08
"""Decades: a little more than a store's bins."""
MOST_CHECKPOINTS = 40
"""That a slider has; fewer of many parameters."""
MOST_CELLS = 600_000
"""Of a chart, about: as many bytes, a third more in the page."""
_USUAL_CELLS = 60
"""That a parameter's distribution spans, to choose how many checkpoints are asked for."""


def slider_checkpoints(count: int, parameters: int) -> tuple[int, ...]:
    """Return the positions of the checkpoints, of `count`, that a slider goes through: first and last included."""
    most = MOST_CELLS // max(parameters * _USUAL_CELLS, 1)
    return chosen_checkpoints(count, min(max(most, 4), MOST_CHECKPOINTS))


def distribution(chapter: Chapter) -> Distribution | None:
    """Return the distributions of E/α over touched elements, at the checkpoints whose bins the runs hold; None if no
    run holds any."""
    held = [_bins(chapter, run) for run in chapter.runs]
    ends = np.concatenate([np.log10(bins[:, 2:4]).ravel() for bins, _ in held])
    if not ends.size:
        return None
    # A cell more at each end: a curve over cells begins and ends on the ground
    start = np.floor(ends.min() / CELL) * CELL - CELL
    cells = int(np.ceil((ends.max() - start) / CELL)) + 2
    counts = [_counts(bins, (len(at), len(chapter.parameters), cells), start) for bins, at in held]
    totals = [c.sum(axis=2) for c in counts]
    densities = [
        (c / np.where(t > 0, t, 1.0)[:, :, None]).astype(np.float32) for c, t in zip(counts, totals, strict=True)
    ]
    x = tuple(np.nan_to_num(chapter.x(run)[at]) for run, (_, at) in zip(chapter.runs, held, strict=True))
    return Distribution(DISTRIBUTIONS.label, float(start), CELL, x, tuple(densities), tuple(totals))


def _bins(chapter: Chapter, run: Run) -> tuple[Floats, NDArray[np.intp]]:
    """The run's bins, (n, 5): place among the checkpoints that have any, parameter, low, high, count; and these
    checkpoints' positions."""
    frame = run.histogram
    if frame is None or not len(frame):
        return np.empty((0, 5)), np.empty(0, np.intp)
    import pandas as pd

    indices = frame["checkpoint_index"].to_numpy()
    at = np.flatnonzero(np.isin(run.indices, indices))
    positions = np.searchsorted(run.indices[at], indices)
    parameter = pd.Index(list(chapter.parameters)).get_indexer(frame["parameter"].astype(str))
    bins = frame[["low", "high", "count"]].to_numpy(dtype=float)
    divisor = run.divisor[at][positions]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = bins[:, :2] / divisor[:, None]
    usable = (ends > 0).all(axis=1) & np.isfinite(ends).all(axis=1) & (bins[:, 2] > 0) & (parameter >= 0)
    return np.column_stack([positions, parameter, ends, bins[:, 2]])[usable], at


def _counts(bins: Floats, shape: tuple[int, int, int], start: float) -> Floats:
    """(S, P, C) counts of cells: each bin's is spread evenly, in log10, over the cells that it overlaps."""
    places = bins[:, :2].astype(np.intp)
    low, high = (np.log10(bins[:, 2:4].T) - start) / CELL
    flat = np.ravel_multi_index((places[:, 0], places[:, 1]), shape[:2]) * shape[2] if len(bins) else np.empty(0, int)
    result = np.zeros(int(np.prod(shape)))
    first = np.floor(low).astype(np.intp)
    for further in range(int(np.ceil((high - low).max(initial=0.0))) + 1):
        overlap = np.minimum(high, first + further + 1) - np.maximum(low, first + further)
        part = np.where(
            high > low, np.clip(overlap, 0, None) / np.where(high > low, high - low, 1), float(further == 0)
        )
        some = part > 0
        result += np.bincount((flat + first + further)[some], (bins[:, 4] * part)[some], len(result))
    return result.reshape(shape)
