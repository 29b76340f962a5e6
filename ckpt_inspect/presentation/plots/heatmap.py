"""Every parameter by every checkpoint in colour: which layers Adam scales up, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.wording import whole
from ckpt_inspect.presentation.figures.names import shorten
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import blank, chapter_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.names import Group
    from ckpt_inspect.presentation.figures.questions import Question

MOST_LABELLED = 24
"""Of a kind; up to as many rows have a label each, beyond it branches of the model have one."""
MOST_RUNS = 6
_ROW, _LEAST, _TALLEST, _TEXT = 0.19, 0.45, 4.2, 0.16
"""Inches: a row, a panel at least and at most, and a label."""


@style.styled
def plot_layers_by_step(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw a row per parameter, a column per checkpoint, the median of E/α over touched elements in colour; several
    runs, at most six, beside each other on one scale."""
    import seaborn
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    body, runs = blank(), chapter.runs[:MOST_RUNS]
    medians = [chapter.effective_lr(run, "effective_lr_median") for run in runs]
    rows = {kind: chapter.groups(members, MOST_LABELLED, 30) for kind, members in chapter.kinds().items()}
    tall = [min(max(sum(len(g.members) for g in groups) * _ROW, _LEAST), _TALLEST) for groups in rows.values()]
    low, high = panels.robust_range(medians, decades=0.3)
    norm = LogNorm(low, high)
    grid = body.subplots(len(rows), len(runs), squeeze=False, sharex="col", height_ratios=tall)
    for of_kind, (kind, groups), height in zip(grid, rows.items(), tall, strict=True):
        members = [member for group in groups for member in group.members]
        labels = dict(_labels(groups, height))
        for axes, run, of_run, kept in zip(of_kind, runs, medians, chapter.drawn, strict=False):
            axes.patch.set(facecolor="white", hatch="////", edgecolor=style.FAINT)
            image: dict[str, Any] = {"norm": norm, "cmap": style.MAGNITUDE, "cbar": False, "rasterized": True}
            seaborn.heatmap(of_run[kept][:, members].T, ax=axes, xticklabels=False, yticklabels=False, **image)
            axes.set_yticks([*labels], labels.values() if axes is of_kind[0] else [""] * len(labels), color=style.INK)
            axes.tick_params(axis="y", length=0)
            few = np.unique(np.linspace(0, len(kept) - 1, min(5, len(kept))).round().astype(int))
            axes.set_xticks(few + 0.5, map(whole, chapter.x(run)[kept][few]), rotation=0)
            panels.draw_marks(axes, run, np.searchsorted(kept, np.arange(len(of_run))).astype(float))
            name = shorten(run.name, 60 // len(runs)) + "\n" if len(runs) > 1 and axes in grid[0] else ""
            axes.set_title(name + (chapter.title_of(kind) if axes is of_kind[0] else ""), color=style.INK)
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    known = np.concatenate([each[np.isfinite(each)] for each in medians])
    is_low, is_high = bool((known < low).any()), bool((known > high).any())
    extend = "both" if is_low and is_high else "min" if is_low else "max" if is_high else "neither"
    colors = ScalarMappable(norm, style.MAGNITUDE)
    bar = body.colorbar(colors, ax=grid.ravel().tolist(), pad=0.01, aspect=sum(tall) / 0.15, extend=extend)
    bar.set_label(asks.label, color=style.MUTED)
    panels.set_axis(bar.ax, "y", (low, high))
    note = asks.note + (f" The first {MOST_RUNS} of {len(chapter.runs)} runs." if len(chapter.runs) > MOST_RUNS else "")
    return chapter_sheet(body, chapter, asks, answer, note, max(sum(tall), 1.2) + 1.0)


def _labels(groups: Sequence[Group], height: float) -> Iterator[tuple[float, str]]:
    """Place and text of the groups of rows that have room for a label in `height` inches, larger ones first, so that
    none hides what most rows belong to."""
    edges = np.cumsum([0, *(len(group.members) for group in groups)])
    middles, chosen = (edges[:-1] + edges[1:]) / 2, list[float]()
    for at in sorted(range(len(groups)), key=lambda at: -len(groups[at].members)):
        if all(abs(middles[at] - middle) * height >= edges[-1] * _TEXT for middle in chosen):
            chosen.append(middles[at])
            yield middles[at], groups[at].label
