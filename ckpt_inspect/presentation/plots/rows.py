"""Dots in rows, one for each parameter, a column for each quantity."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.figures.measures import concerned, standing_out
from ckpt_inspect.presentation.figures.spread import positive
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import blank, chapter_sheet, drawn
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from pandas import DataFrame

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.measures import Measure
    from ckpt_inspect.presentation.figures.questions import Question

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


def draw_rows(
    body: SubFigure,
    dots: DataFrame,
    columns: Sequence[Quantity],
    kinds: Mapping[str, Sequence[str]],
    colors: Mapping[str, str],
) -> Iterator[tuple[Axes, int, str]]:
    """Draw dots, `x` in `row` of a `kind` and a `column` (its number), in the colour of their `series`, with a range
    from `low` to `high` if the frame has these; write at the edge of the axes what lies beyond them.

    `kinds`: the labels of each one's rows. Yield the axes of each column, by number, and kind, row by row.
    """
    import seaborn.objects as so

    # seaborn scales nothing to no rows, and leaves out what is NaN
    seen = dots.assign(x=dots["x"].where(np.isfinite(dots["x"])), y=dots["row"] + dots["offset"])
    plot = so.Plot(seen, x="x", y="y", color="series").share(x="col", y="row").label(x="", y="")
    plot = plot.facet("column", "kind", order={"col": list(range(len(columns))), "row": list(kinds)})
    if "low" in dots:
        plot = plot.add(so.Range(linewidth=2.5, alpha=0.4), xmin="low", xmax="high", orient="y", legend=False)
    plot = plot.add(so.Dot(pointsize=5, edgecolor="white", artist_kws={"gid": "dot"}), legend=False)
    every = drawn(plot.scale(color=so.Nominal(dict(colors))), body)
    if grid := every[0].get_gridspec():
        grid.set_height_ratios([height(len(labels)) for labels in kinds.values()])
    for axes, (kind, at) in zip(every, itertools.product(kinds, range(len(columns))), strict=True):
        column, labels = columns[at], kinds[kind]
        panels.set_axis(axes, "x", column.limits, is_share=column.is_share, most=5)
        axes.set(ylim=(len(labels) - 0.5, -0.5), xlabel=column.label if kind == list(kinds)[-1] else "")
        axes.set_yticks(range(len(labels)), labels, color=style.INK)
        axes.tick_params(axis="y", length=0, labelleft=at == 0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
        for y in range(0, len(labels), 2):
            axes.axhspan(y - 0.5, y + 0.5, color="#f5f6f7", linewidth=0, zorder=0)
        if not column.is_share:
            _write_beyond(axes, dots[(dots["column"] == at) & (dots["kind"] == kind)], column.limits)
        yield axes, at, kind


def height(rows: int) -> float:
    """Return the inches that the rows of a kind take."""
    return rows * ROW + 0.35


def _write_beyond(axes: Axes, dots: DataFrame, limits: panels.Limits) -> None:
    """Write the values that lie beyond the axes at their edge, those of a row beside each other."""
    for side, beyond in enumerate((dots[dots["x"].between(0, limits[0], "neither")], dots[dots["x"] > limits[1]])):
        for row, values in beyond.groupby("row")["x"]:
            text = ", ".join("∞" if np.isinf(x) else number(x) for x in values)
            write(axes, f"{text} ▸" if side else f"◂ {text}", side, row, ha="right" if side else "left", gid="beyond")


def write(axes: Axes, text: str, x: float, row: int, **look: Any) -> None:
    """Write a remark into a row, at a share of the axes' width."""
    usual: dict[str, Any] = {"color": style.ALERT, "fontsize": style.SMALL_SIZE, "va": "center_baseline"}
    axes.text(x, row, text, transform=axes.get_yaxis_transform(), **usual | look)


def plot_rows(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    """Draw the newest checkpoint of each run: a row for each parameter, kernels above vectors, of many those that lie
    furthest from the middle, or have the largest shares; several runs in a row in their colours."""
    import pandas as pd

    first, some = measures[0], concerned(measures)
    newest = np.array([[of_run[-1] for of_run in measure.values] for measure in measures])
    of_newest = [each.at([np.array([-1])] * len(chapter.runs)) for each in (measures if some is not None else [first])]
    scores = np.fmax.reduce([standing_out(each) for each in of_newest])
    chosen = chapter.telling(scores, MOST_ROWS, some)
    if (count := sum(map(len, chosen.values()))) < (len(scores) if some is None else len(some)):
        reason = "furthest from the middle" if some is None else "with the largest shares"
        note += f" Drawn: the {count} of {len(scores)} {reason}."
    offsets = np.linspace(-0.25, 0.25, len(chapter.runs)) if len(chapter.runs) > 1 else [0.0]
    frames = []
    for (column, measure), (i, run) in itertools.product(enumerate(measures), enumerate(chapter.runs)):
        x = newest[column, i] if measure.is_share else positive(newest[column, i])
        ends = (
            {name: side[-1] for name, side in zip(("low", "high"), measure.bounds[i], strict=True)}
            if measure.bounds
            else {}
        )
        for kind, at in chosen.items():
            place = {"column": column, "kind": kind, "series": run.name, "offset": offsets[i], "row": range(len(at))}
            frames.append(pd.DataFrame({name: values[at] for name, values in {"x": x, **ends}.items()} | place))
    labels = {kind: chapter.labels(at) for kind, at in chosen.items()}
    body, columns = blank(), [Quantity(m.title or m.label, panels.limits_of(chapter, m), m.is_share) for m in measures]
    looks = {run.name: color for run, (color, _) in zip(chapter.runs, panels.looks_of_runs(chapter), strict=True)}
    for axes, column, kind in draw_rows(body, pd.concat(frames, ignore_index=True), columns, labels, looks):
        axes.set_title("" if column else chapter.title_of(kind, len(chosen[kind])), color=style.INK)
        panels.draw_usual(axes, first.usual, vertical=True)
        for name, color in looks.items() if len(looks) > 1 else ():
            axes.plot([], [], "o", color=color, label=name)
    if first.bounds:
        body.axes[0].plot([], [], color=style.MUTED, lw=2.5, alpha=0.5, label=f"bar: {first.bounds_label}")
    tall = sum(height(len(at)) for at in chosen.values()) * max(1.0, 0.5 * len(chapter.runs)) + 0.4
    return chapter_sheet(body, chapter, asks, answer, note, tall)
