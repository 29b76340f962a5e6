"""A panel for each of a few parameters: several runs that are compared, or what lies within a parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.wording import whole
from ckpt_inspect.presentation.figures.chapter import chosen_checkpoints
from ckpt_inspect.presentation.figures.measures import Measure, measures_of
from ckpt_inspect.presentation.figures.names import shorten
from ckpt_inspect.presentation.figures.questions import EFFECTIVE_LR
from ckpt_inspect.presentation.figures.spread import apart, decades, positive
from ckpt_inspect.presentation.optimizer_series import floats
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import blank, chapter_sheet, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pandas import DataFrame

    from ckpt_inspect.presentation.figures.chapter import Chapter, Run
    from ckpt_inspect.presentation.figures.questions import Question
    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_PANELS = 8
"""Of a kind."""
_COLUMNS, _PANEL = 4, 1.6
"""Panels side by side; inches of a row of them."""
Chosen = Mapping[str, "NDArray[np.intp]"]
"""Positions of the parameters that are drawn, by kind."""


def plot_runs(chapter: Chapter, asks: Question, answer: str, measure: Measure, note: str) -> Figure:
    """Draw the runs over each other, in a panel for each of those parameters in which they differ most."""
    chosen, left_out = _chosen(
        chapter, apart([positive(each) for each in measure.values]), "in which the runs differ most"
    )
    return _plot_curves(chapter, asks, answer, note + left_out, chosen, replace(measure, bounds=()))


@style.styled
def plot_elements(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw the median and the middle 90 % of E/α of a parameter's elements."""
    (chosen, left_out), (measure, *_) = _most_telling(chapter), measures_of(EFFECTIVE_LR.id, chapter) or []
    return _plot_curves(chapter, asks, answer, asks.note + left_out, chosen, measure)


def _plot_curves(chapter: Chapter, asks: Question, answer: str, note: str, chosen: Chosen, measure: Measure) -> Figure:
    """Draw each run's curve in each panel, over its bounds if the measure has any."""
    body, is_alone, values = blank(), len(chapter.runs) == 1, [positive(each) for each in measure.values]
    within = [np.concatenate([own, *sides]) for own, sides in zip_longest(values, measure.bounds, fillvalue=())]
    limits = panels.robust_range(within, *((measure.usual.low, measure.usual.high) if measure.usual else ()))
    cells, columns = _cells(chosen)
    every = body.subplots(len(cells) // columns, columns, sharex=True, sharey=True, squeeze=False)
    for at, axes in _titled(chapter, chosen, (cells, columns), every.ravel().tolist()):
        panels.set_panel(axes, chapter, limits)
        panels.draw_usual(axes, measure.usual)
        for i, (run, kept, (color, dashes)) in enumerate(
            zip(chapter.runs, chapter.drawn, panels.looks_of_runs(chapter), strict=True)
        ):
            draw, own = panels.Curves(axes, chapter, run, kept), values[i][:, at]
            for low, high in measure.bounds[i : i + 1]:
                draw.band(low[:, at], high[:, at], color, 0.15, measure.bounds_label if is_alone else "")
            draw.line(own, color=color, ls=dashes, label="median" if is_alone else shorten(run.name, 40))
            panels.draw_marks(axes, run, chapter.x(run), style.INK if is_alone else color)
            panels.mark_beyond(axes, chapter.x(run), own, limits, color)
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    body.supylabel(measure.label, size=style.TEXT_SIZE, color=style.MUTED)
    return chapter_sheet(body, chapter, asks, answer, note, len(cells) // columns * _PANEL + 0.4)


@style.styled
def plot_distributions(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw the density of log10 E/α over the touched elements of a parameter at up to four checkpoints, first and last
    included; several runs: at the newest checkpoint of each, in the runs' colours."""
    import pandas as pd
    import seaborn
    import seaborn.objects as so

    if len(chapter.runs) > 1:
        curves = [(run, len(run.indices) - 1, shorten(run.name, 40)) for run in chapter.runs]
        looks = panels.looks_of_runs(chapter)
    else:
        (run,) = chapter.runs
        few = chosen_checkpoints(len(run.indices))
        curves = [(run, at, f"{chapter.x_word} {whole(chapter.x(run)[at])}") for at in few]
        looks = [(color, "solid") for color in seaborn.color_palette(style.TIME, len(curves)).as_hex()]
    (chosen, note), body = _most_telling(chapter), blank()
    cells, columns = _cells(chosen)
    names = {at: chapter.parameters[at] if at >= 0 else str(at) for at in cells}
    bins = [_bins(chapter, run, at, [*names.values()]).assign(curve=text) for run, at, text in curves]
    shown = {text: look for (*_, text), look, own in zip(curves, looks, bins, strict=True) if len(own)}
    colors, dashes = [color for color, _ in shown.values()], [dash for _, dash in shown.values()]
    first: dict[str, Any] = {"color": colors[0]} if len(shown) == 1 else {}  # KDE drops a variable of one value
    frame = pd.concat(bins, ignore_index=True)
    hill = so.Area(alpha=0.12, edgealpha=1.0, edgewidth=1.3, **first)
    plot = so.Plot(frame, x="x", color="curve", edgestyle="curve").share(y=False).label(x="", y="")
    plot = plot.facet("parameter", order=[*names.values()], wrap=columns)
    plot = plot.add(hill, so.KDE(gridsize=150, common_grid=False), weight="count", legend=False)
    plot = plot.scale(x=so.Continuous(trans="log"), color=so.Nominal(colors), edgestyle=so.Nominal(dashes))
    every = dict(_titled(chapter, chosen, (cells, columns), drawn(plot, body)))
    ends = np.array([axes.get_xlim() for axes in every.values()])
    for at, axes in every.items():
        for text, (color, dash) in shown.items():
            axes.plot([], [], color=color, ls=dash, lw=1.3, label=text)
            alone = frame["x"][(frame["parameter"] == names[at]) & (frame["curve"] == text)].unique()
            if len(alone) == 1:  # which has no density
                axes.axvline(alone[0], color=color, ls=dash, lw=1.3, gid="single")
        panels.set_axis(axes, "x", (ends.min(), ends.max()), most=5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    body.supxlabel(asks.label, size=style.TEXT_SIZE, color=style.MUTED)
    return chapter_sheet(body, chapter, asks, answer, asks.note + note, len(cells) // columns * _PANEL + 0.4)


def _most_telling(chapter: Chapter) -> tuple[Chosen, str]:
    """The few of many parameters that are drawn, and why these, in words."""
    if len(chapter.runs) == 1:
        return _chosen(chapter, decades(chapter), "with the widest spread")
    medians = [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs]
    return _chosen(chapter, apart(medians), "whose medians differ most")


def _chosen(chapter: Chapter, scores: Floats, reason: str) -> tuple[Chosen, str]:
    chosen, every = chapter.telling(scores, MOST_PANELS), len(chapter.parameters)
    drawn = sum(map(len, chosen.values()))
    return chosen, "" if drawn == every else f" Drawn: the {drawn} of {every} {reason}."


def _bins(chapter: Chapter, run: Run, at: int, names: Sequence[str]) -> DataFrame:
    """The bins of these parameters at one checkpoint: their middles, over α, and counts."""
    import pandas as pd

    every = pd.DataFrame(columns=["checkpoint_index", "parameter", "low", "high", "count"])
    every = every if run.histogram is None else run.histogram
    bins = every[(every["checkpoint_index"] == run.indices[at]) & every["parameter"].isin(names)]
    x = chapter.over_alpha(np.sqrt(floats(bins["low"]) * floats(bins["high"])), run, at)
    found = pd.DataFrame({"parameter": bins["parameter"].astype(str), "x": x, "count": floats(bins["count"])})
    known: DataFrame = found[found["x"] > 0]
    return known


def _cells(chosen: Chosen) -> tuple[list[int], int]:
    """The parameters row by row, kernels' rows above vectors', with a negative number for each cell that stays empty;
    and how many are in a row."""
    cells: list[int] = []
    columns = min(max(map(len, chosen.values())), _COLUMNS)
    for members in chosen.values():
        cells += members.tolist()
        cells += [-1 - len(cells) - i for i in range(-len(members) % columns)]
    return cells, columns


def _titled(
    chapter: Chapter, chosen: Chosen, laid_out: tuple[Sequence[int], int], every: Sequence[Axes]
) -> Iterator[tuple[int, Axes]]:
    """Yield each parameter and its panel under its name, and above the first of a kind that; remove empty panels.
    `laid_out`: what `_cells` returns."""
    cells, columns = laid_out
    panel = dict(zip(cells, every, strict=True))
    for below, axes in zip(cells[columns:], every, strict=False):
        axes.tick_params(labelbottom=below < 0)
    for at in (at for at in cells if at < 0):
        panel[at].remove()
    for kind, members in chosen.items():
        for at, label in zip(members.tolist(), chapter.labels(members, 26), strict=True):
            above = f"{chapter.title_of(kind, len(members))}\n" if at == members[0] else ""
            panel[at].set_title(above + label, color=style.INK, size=style.SMALL_SIZE)
            yield at, panel[at]
