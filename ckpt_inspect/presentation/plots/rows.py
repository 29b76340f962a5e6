"""Dots in rows, one for each parameter, a column for each quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.figures.spread import distance, positive
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, drawn, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from pandas import DataFrame
    from seaborn._core.scales import Scale

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.measures import Measure
    from ckpt_inspect.presentation.figures.questions import Question
    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_ROWS = 24
"""Of a kind."""
ROW = 0.19
"""Inches, of a row."""


@dataclass(frozen=True)
class Column:
    """A quantity of every row."""

    title: str
    label: str
    """Of its axis."""
    limits: panels.Limits
    is_share: bool = False


def draw_rows(
    body: SubFigure, dots: DataFrame, columns: Sequence[Column], kinds: Mapping[str, Sequence[str]], color: Scale
) -> Iterator[tuple[Axes, Column, str]]:
    """Draw dots, `x` in `row` of a `kind` and a `column` (its number), in the colour of their `series`, with a range
    from `low` to `high` if the frame has these; write at the edge of the axes what lies beyond them.

    `kinds`: the labels of each one's rows. Yield the axes of each column and kind, row by row.
    """
    import seaborn.objects as so

    # seaborn scales nothing to no rows, and leaves out what is NaN
    seen = dots.assign(x=dots["x"].where(np.isfinite(dots["x"])), y=dots["row"] + dots["offset"])
    plot = so.Plot(seen, x="x", y="y", color="series").share(x="col", y="row").label(x="", y="")
    plot = plot.facet("column", "kind", order={"col": list(range(len(columns))), "row": list(kinds)})
    if "low" in dots:
        plot = plot.add(so.Range(linewidth=2.5, alpha=0.4), xmin="low", xmax="high", orient="y", legend=False)
    plot = plot.add(so.Dot(pointsize=5, edgecolor="white", artist_kws={"gid": "dot"}), legend=False)
    every = drawn(plot.scale(color=color), body)
    if grid := every[0].get_gridspec():
        grid.set_height_ratios([height(len(labels)) for labels in kinds.values()])
    places = ((kind, at) for kind in kinds for at in range(len(columns)))
    for axes, (kind, at) in zip(every, places, strict=True):
        column, labels = columns[at], kinds[kind]
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_yticks(range(len(labels)), labels, color=style.INK)
        axes.tick_params(axis="y", length=0, labelleft=at == 0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
        for y in range(0, len(labels), 2):
            axes.axhspan(y - 0.5, y + 0.5, color="#f5f6f7", linewidth=0, zorder=0)
        panels.set_axis(axes, "x", column.limits, is_share=column.is_share, most=5)
        axes.set_xlabel(column.label if kind == list(kinds)[-1] else "")
        own = dots[(dots["column"] == at) & (dots["kind"] == kind)]
        if not column.is_share:
            _write_beyond(axes, own[["x", "row"]].to_numpy(float), column.limits)
        yield axes, column, kind


def height(rows: int) -> float:
    """Return the inches that the rows of a kind take."""
    return rows * ROW + 0.35


def _write_beyond(axes: Axes, dots: Floats, limits: panels.Limits) -> None:
    """Write the values that lie beyond the axes at their edge, those of a row beside each other."""
    beyond: dict[tuple[float, bool], list[str]] = {}
    for x, y in dots:
        if x > 0 and not limits[0] <= x <= limits[1]:
            beyond.setdefault((y, x > limits[1]), []).append(number(x) if np.isfinite(x) else "∞")
    for (y, is_high), values in beyond.items():
        text = ", ".join(values)
        axes.annotate(
            f"{text} ▸" if is_high else f"◂ {text}", (float(is_high), y), xycoords=axes.get_yaxis_transform(),
            va="center_baseline", ha="right" if is_high else "left", color=style.ALERT, fontsize=style.SMALL_SIZE,
            gid="beyond",
        )  # fmt: skip


def plot_rows(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    """Draw the newest checkpoint of each run: a row for each parameter, kernels above vectors, of many those that lie
    furthest from the middle, or have the largest shares; several runs in a row in their colours."""
    first = measures[0]
    newest = [[positive(of_run[-1:]) for of_run in measure.values] for measure in measures]
    if first.concerns is not None:
        concerned = np.unique(np.concatenate([measure.concerns for measure in measures]))
        scores = np.nanmax([np.nan_to_num(of_run[0]) for of_measure in newest for of_run in of_measure], axis=0)
        chosen = {kind: np.intersect1d(m, concerned) for kind, m in chapter.telling(scores, MOST_ROWS).items()}
        chosen = {kind: members for kind, members in chosen.items() if members.size}
    else:
        chosen = chapter.telling(np.fmax.reduce([distance(each) for each in newest[0]]), MOST_ROWS)
        count = sum(map(len, chosen.values()))
        if count < len(chapter.parameters):
            note += f" Drawn: the {count} of {len(chapter.parameters)} furthest from the middle."
    offsets = np.linspace(-0.25, 0.25, len(chapter.runs)) if len(chapter.runs) > 1 else [0.0]
    dots = _dots(chapter, measures, chosen, dict(zip((run.name for run in chapter.runs), offsets, strict=True)))
    kinds = {kind: chapter.labels(members) for kind, members in chosen.items()}
    stretch = max(1.0, 0.5 * len(chapter.runs))
    tall = stretch * sum(height(len(members)) for members in chosen.values()) + 0.6
    key = [*panels.key(chapter, first.usual), *_bounds_key(measures)]
    body = chapter_sheet(chapter, asks, answer, note, tall, key)
    columns = [Column(m.title, m.title or m.label, panels.limits_of(chapter, m), m.is_share) for m in measures]
    for axes, column, kind in draw_rows(body, dots, columns, kinds, panels.run_scales(chapter)["color"]):
        is_left = column is columns[0]
        of_all = None if first.concerns is None else len(chosen[kind])
        axes.set_title(chapter.title_of(kind, of_all) if is_left else "", color=style.INK)
        panels.draw_usual(axes, first.usual, vertical=True)
    return figure_of(body)


def _dots(
    chapter: Chapter, measures: Sequence[Measure], chosen: Mapping[str, Any], offsets: Mapping[str, float]
) -> DataFrame:
    import pandas as pd

    frames = []
    for column, measure in enumerate(measures):
        for number_, run in enumerate(chapter.runs):
            for kind, members in chosen.items():
                place = {"column": column, "kind": kind, "series": run.name, "offset": offsets[run.name]}
                values = measure.values[number_][-1, members]
                x = values if measure.is_share else positive(values)
                ends = [side[-1, members] for side in measure.bounds[number_]] if measure.bounds else [np.nan, np.nan]
                frames.append(
                    pd.DataFrame(place | {"row": np.arange(len(members)), "x": x, "low": ends[0], "high": ends[1]})
                )
    found: DataFrame = pd.concat(frames, ignore_index=True)
    return found if any(measure.bounds for measure in measures) else found.drop(columns=["low", "high"])


def _bounds_key(measures: Sequence[Measure]) -> list[Any]:
    from matplotlib.lines import Line2D

    labels = {measure.bounds_label for measure in measures if measure.bounds}
    return [Line2D([], [], color=style.MUTED, lw=2.5, alpha=0.5, label=f"bar: {label}") for label in labels]
