"""Which layers Adam scales up, and when: every parameter by every checkpoint, in colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.heatmaps import draw_heatmap, label_rows, set_columns
from ckpt_inspect.presentation.plots.limits import robust_range
from ckpt_inspect.presentation.plots.lines import spread_words
from ckpt_inspect.presentation.plots.marks import mark_key
from ckpt_inspect.presentation.plots.names import shorten
from ckpt_inspect.presentation.plots.questions import LAYERS_BY_STEP
from ckpt_inspect.presentation.plots.rows import kind_groups
from ckpt_inspect.presentation.plots.sheet import figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.names import Group

QUESTION = LAYERS_BY_STEP.question
MOST_LABELLED = 24
"""Of a kind; up to as many rows have a label each, beyond it branches of the model have one."""
MOST_RUNS = 6
_ROW, _LEAST, _TALLEST = 0.19, 0.7, 4.2
"""Inches: a row, and a panel at least and at most."""


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words."""
    words = spread_words(chapter, [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs])
    return f"Medians of E/α, per unit of gradient, in the newest checkpoint: {words}."


@style.styled
def plot_layers_by_step(chapter: Chapter) -> Figure:
    """Draw a row per parameter, a column per checkpoint, the median of E/α over touched elements in colour.

    Kernels stand above vectors. Beside a row, or a branch of the model if rows are many, its newest median and how
    that compares with the first. Several runs, at most six: a block of columns each, on one scale.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    runs, by_kind = chapter.runs[:MOST_RUNS], kind_groups(chapter, MOST_LABELLED)
    medians = [chapter.effective_lr(run, "effective_lr_median") for run in runs]
    low, high = robust_range(medians, decades=0.3)
    norm = LogNorm(low, high)
    note = "Hatched: not defined."
    if len(runs) == 1:
        note = "At the right: the newest median, and how many times the first it is. " + note
    if sum(map(len, by_kind.values())) < len(chapter.parameters):
        note += " Every parameter has a row; labels name branches of the model (how many, in brackets)."
    if len(chapter.runs) > MOST_RUNS:
        note += f" The first {MOST_RUNS} of {len(chapter.runs)} runs."
    counts = [sum(len(group.members) for group in groups) for groups in by_kind.values()]
    heights = [min(max(count * _ROW, _LEAST), _TALLEST) for count in counts]
    body = sheet(QUESTION, answer(chapter), chapter.subtitle, note, sum(heights) + 1.0, mark_key(chapter))
    grid = body.subplots(len(by_kind), len(runs), squeeze=False, sharex="col", height_ratios=heights)
    for row, ((kind, groups), height) in enumerate(zip(by_kind.items(), heights, strict=True)):
        order = [member for group in groups for member in group.members]
        for column, (run, values) in enumerate(zip(runs, medians, strict=True)):
            axes = grid[row, column]
            draw_heatmap(axes, values[:, order].T, norm, style.MAGNITUDE)
            title = f"{kind} ({counts[row]})" if len(runs) == 1 else shorten(run.name, 60 // len(runs))
            axes.set_title(title, loc="left", color=style.INK)
            set_columns(axes, chapter, run)
            axes.tick_params(axis="x", labelbottom=row == len(by_kind) - 1)
            if column == 0:
                label_rows(axes, groups, height, _numbers(chapter, run, groups) if len(runs) == 1 else ())
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    extend = _extend(medians, low, high)
    bar = body.colorbar(
        ScalarMappable(norm, style.MAGNITUDE),
        ax=grid.ravel().tolist(),
        extend=extend,
        pad=0.01,
        aspect=sum(heights) / 0.15,
    )
    style.set_log_axis(bar.ax.yaxis, low, high, most=6)
    bar.set_label(f"median {chapter.lr_label}", color=style.MUTED)
    return figure_of(body)


def _extend(values: Sequence[Floats], low: float, high: float) -> str:
    known = np.concatenate([v[np.isfinite(v)] for v in values])
    below, above = (known < low).any(), (known > high).any()
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((bool(below), bool(above)), "neither")


def _numbers(chapter: Chapter, run: Run, groups: Sequence[Group]) -> list[str]:
    """The newest median and its ratio to the first, of each group."""
    texts = []
    for group in groups:
        medians = chapter.quantiles(run, group, (0.5,), slice(-1, None)), chapter.quantiles(run, group, (0.5,))
        known = medians[1][:, 0] if len(group.members) == 1 else np.empty(0)
        known = known[np.isfinite(known)]
        newest = medians[0][0, 0]
        if known.size:
            texts.append(f"{style.number(known[-1])}  ×{style.number(known[-1] / known[0])}")
        else:
            texts.append(style.number(newest))
    return texts
