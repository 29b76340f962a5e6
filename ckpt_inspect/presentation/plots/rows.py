"""Dots in rows, one for each parameter, a column for each quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.figures.measures import concerned, standing_out
from ckpt_inspect.presentation.figures.spread import positive
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import blank, chapter_sheet
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.measures import Measure
    from ckpt_inspect.presentation.figures.questions import Question
    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_ROWS = 24
"""Of a kind."""
ROW = 0.19
"""Inches, of a row."""


@dataclass(frozen=True)
class Quantity:
    """A quantity of every row."""

    label: str
    """Of its axis."""
    limits: panels.Limits
    is_share: bool = False


def rows(
    body: SubFigure, columns: Sequence[Quantity], kinds: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Axes, int, str]]:
    """Yield the axes, still empty, of each column, by number, and kind, row by row; `kinds`: the labels of their
    rows."""
    tall = [height(len(labels)) for labels in kinds.values()]
    grid = body.subplots(len(kinds), len(columns), sharex="col", squeeze=False, height_ratios=tall)
    for of_kind, (kind, labels) in zip(grid, kinds.items(), strict=True):
        for at, (axes, column) in enumerate(zip(of_kind, columns, strict=True)):
            panels.set_axis(axes, "x", column.limits, is_share=column.is_share, most=5)
            axes.set(ylim=(len(labels) - 0.5, -0.5), xlabel=column.label if kind == list(kinds)[-1] else "")
            axes.set_yticks(range(len(labels)), labels, color=style.INK)
            axes.tick_params(axis="y", length=0, labelleft=at == 0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
            for y in range(0, len(labels), 2):
                axes.axhspan(y - 0.5, y + 0.5, color="#f5f6f7", linewidth=0, zorder=0)
            yield axes, at, kind


def draw_dots(
    axes: Axes, column: Quantity, series: Sequence[tuple[str, Floats]], ends: Sequence[Sequence[Floats]] = ()
) -> None:
    """Draw a dot in each row for each series, its colour and its values, over a bar between the series' `ends` if they
    are given; write at the edge of the axes what lies beyond them, the values of a row beside each other."""
    offsets = np.linspace(-0.25, 0.25, len(series)) if len(series) > 1 else [0.0]
    for i, ((color, x), offset) in enumerate(zip(series, offsets, strict=True)):
        at, known = np.arange(len(x)) + offset, np.isfinite(x)
        axes.scatter(x[known], at[known], s=25, color=color, edgecolor="white", linewidth=0.5, zorder=3, gid="dot")
        for low, high in ends[i : i + 1]:
            axes.hlines(at, low, high, color=color, lw=2.5, alpha=0.4, capstyle="round")
    for row, values in enumerate(zip(*(x for _, x in series), strict=True)) if not column.is_share else ():
        below = [x for x in values if 0 < x < column.limits[0]]
        for side, beyond in enumerate((below, [x for x in values if x > column.limits[1]])):
            if text := ", ".join("∞" if np.isinf(x) else number(x) for x in beyond):
                told, place = (f"{text} ▸", "right") if side else (f"◂ {text}", "left")
                write(axes, told, side, row, ha=place, gid="beyond")


def height(rows: int) -> float:
    """Return the inches that the rows of a kind take."""
    return rows * ROW + 0.35


def write(axes: Axes, text: str, x: float, row: int, **look: Any) -> None:
    """Write a remark into a row, at a share of the axes' width."""
    usual: dict[str, Any] = {"color": style.ALERT, "fontsize": style.SMALL_SIZE, "va": "center_baseline"}
    axes.text(x, row, text, transform=axes.get_yaxis_transform(), **usual | look)


def plot_rows(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    """Draw the newest checkpoint of each run: a row for each parameter, kernels above vectors, of many those that lie
    furthest from the middle, or have the largest shares; several runs in a row in their colours."""
    first, some = measures[0], concerned(measures)
    newest = [measure.at([np.array([-1])] * len(chapter.runs)) for measure in measures]
    scores = np.fmax.reduce([standing_out(each) for each in (newest if some is not None else newest[:1])])
    chosen = chapter.telling(scores, MOST_ROWS, some)
    if (count := sum(map(len, chosen.values()))) < (len(scores) if some is None else len(some)):
        reason = "furthest from the middle" if some is None else "with the largest shares"
        note += f" Drawn: the {count} of {len(scores)} {reason}."
    labels = {kind: chapter.labels(at) for kind, at in chosen.items()}
    body, columns = blank(), [Quantity(m.title or m.label, panels.limits_of(chapter, m), m.is_share) for m in measures]
    colors = [color for color, _ in panels.looks_of_runs(chapter)]
    for axes, column, kind in rows(body, columns, labels):
        axes.set_title("" if column else chapter.title_of(kind, len(chosen[kind])), color=style.INK)
        panels.draw_usual(axes, first.usual, vertical=True)
        measure, at = newest[column], chosen[kind]
        of_runs = [values[0, at] if measure.is_share else positive(values[0, at]) for values in measure.values]
        ends = [[side[0, at] for side in sides] for sides in measure.bounds]
        draw_dots(axes, columns[column], [*zip(colors, of_runs, strict=True)], ends)
        for run, color in zip(chapter.runs, colors, strict=True) if len(colors) > 1 else ():
            axes.plot([], [], "o", color=color, label=run.name)
    if first.bounds:
        body.axes[0].plot([], [], color=style.MUTED, lw=2.5, alpha=0.5, label=f"bar: {first.bounds_label}")
    tall = sum(height(len(at)) for at in chosen.values()) * max(1.0, 0.5 * len(chapter.runs)) + 0.4
    return chapter_sheet(body, chapter, asks, answer, note, tall)
