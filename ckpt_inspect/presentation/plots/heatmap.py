"""Every parameter by every checkpoint in colour: which layers Adam scales up, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.figures.names import shorten
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.figures.chapter import Chapter, Run
    from ckpt_inspect.presentation.figures.names import Group
    from ckpt_inspect.presentation.figures.questions import Question
    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_LABELLED = 24
"""Of a kind; up to as many rows have a label each, beyond it branches of the model have one."""
MOST_RUNS = 6
_ROW, _LEAST, _TALLEST, _TEXT = 0.19, 0.45, 4.2, 0.16
"""Inches: a row, a panel at least and at most, and a label."""


@style.styled
def plot_layers_by_step(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw a row per parameter, a column per checkpoint, the median of E/α over touched elements in colour; several
    runs, at most six, beside each other on one scale.

    With the labels of one run's rows stand the newest median and how that compares with the first of the same line of
    training.
    """
    import seaborn
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    runs, is_one = chapter.runs[:MOST_RUNS], len(chapter.runs) == 1
    medians = [chapter.effective_lr(run, "effective_lr_median") for run in runs]
    rows = {kind: chapter.groups(members, MOST_LABELLED, 30) for kind, members in chapter.kinds().items()}
    tall = [min(max(sum(len(g.members) for g in groups) * _ROW, _LEAST), _TALLEST) for groups in rows.values()]
    note = asks.note + (f" The first {MOST_RUNS} of {len(chapter.runs)} runs." if len(chapter.runs) > MOST_RUNS else "")
    note += _note_on_numbers(chapter, list(rows.values())) if is_one else ""
    body = chapter_sheet(chapter, asks, answer, note, max(sum(tall), 1.2) + 1.0, panels.key(chapter) if is_one else ())
    low, high = panels.robust_range(medians, decades=0.3)
    norm = LogNorm(low, high)
    grid = body.subplots(len(rows), len(runs), squeeze=False, sharex="col", height_ratios=tall)
    for of_kind, (kind, groups), height in zip(grid, rows.items(), tall, strict=True):
        members = [member for group in groups for member in group.members]
        for axes, run, of_run, kept in zip(of_kind, runs, medians, chapter.drawn, strict=False):
            axes.patch.set(facecolor="white", hatch="////", edgecolor=style.FAINT)
            own: dict[str, Any] = {"norm": norm, "cmap": style.MAGNITUDE, "rasterized": True}
            seaborn.heatmap(
                of_run[kept][:, members].T, ax=axes, cbar=False, xticklabels=False, yticklabels=False, **own
            )
            _label_rows(axes, groups, height, of_run, run if is_one else None, is_left=axes is of_kind[0])
            _label_columns(axes, chapter.x(run)[kept])
            panels.draw_marks(axes, run, np.searchsorted(kept, np.arange(len(of_run))).astype(float))
            title = chapter.title_of(kind, len(members)) if axes is of_kind[0] else ""
            name = "" if is_one or axes not in grid[0] else shorten(run.name, 60 // len(runs)) + "\n"
            axes.set_title(name + title, color=style.INK)
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    known = np.concatenate([each[np.isfinite(each)] for each in medians])
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = body.colorbar(
        ScalarMappable(norm, style.MAGNITUDE), ax=grid.ravel().tolist(), pad=0.01, aspect=sum(tall) / 0.15,
        extend=extend[bool((known < low).any()), bool((known > high).any())],
    )  # fmt: skip
    bar.set_label(asks.label, color=style.MUTED)
    panels.set_axis(bar.ax, "y", (low, high))
    return figure_of(body)


def _note_on_numbers(chapter: Chapter, rows: Sequence[Sequence[Group]]) -> str:
    if all(len(group.members) > 1 for groups in rows for group in groups):
        return ""
    (run,) = chapter.runs
    since = "" if (run.parts == run.parts[-1]).all() else " since state was last not carried on"
    return f" With a name: the newest median, × the first{since}."


def _label_rows(
    axes: Axes, groups: Sequence[Group], height: float, values: Floats, run: Run | None, is_left: bool
) -> None:
    """Label groups of rows that have room in `height` inches, larger ones first, so that none hides what most rows
    belong to; `run`: with the newest of its values (K, P), and that over the first, for groups of one."""
    edges = np.cumsum([0, *(len(group.members) for group in groups)])
    middles = (edges[:-1] + edges[1:]) / 2
    chosen: list[int] = []
    for at in sorted(range(len(groups)), key=lambda at: -len(groups[at].members)):
        if all(abs(middles[at] - middles[other]) * height >= edges[-1] * _TEXT for other in chosen):
            chosen.append(at)
    texts = [groups[at].label + (_newest_and_change(values, groups[at], run) if run else "") for at in chosen]
    axes.set_yticks(middles[chosen], texts if is_left else [""] * len(chosen), color=style.INK, rotation=0)
    axes.tick_params(axis="y", length=0)
    axes.hlines(edges[1:-1], *axes.get_xlim(), color="white", lw=0.6)


def _newest_and_change(values: Floats, group: Group, run: Run) -> str:
    if len(group.members) > 1:
        return ""
    of_row = values[:, group.members[0]]
    known, own = (each[np.isfinite(each)] for each in (of_row, of_row[run.parts == run.parts[-1]]))
    change = f" ×{number(own[-1] / own[0])}" if own.size else ""
    return f"  {number(known[-1])}{change}" if known.size else "  –"


def _label_columns(axes: Axes, x: Floats) -> None:
    few = np.unique(np.linspace(0, len(x) - 1, min(5, len(x))).round().astype(int))
    axes.set_xticks(few + 0.5, [f"{x[at]:.0f}" for at in few], rotation=0)
