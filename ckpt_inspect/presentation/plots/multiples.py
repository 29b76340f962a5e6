"""A panel for each of a few parameters: several runs that are compared, or what lies within a parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.figures.chapter import chosen_checkpoints
from ckpt_inspect.presentation.figures.measures import Measure
from ckpt_inspect.presentation.figures.names import shorten
from ckpt_inspect.presentation.figures.spread import apart, decades, positive
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, drawn, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import NDArray
    from pandas import DataFrame

    from ckpt_inspect.presentation.figures.chapter import Chapter, Run
    from ckpt_inspect.presentation.figures.questions import Question

MOST_PANELS = 8
"""Of a kind."""
_COLUMNS, _PANEL, _TITLE = 4, 1.55, 0.25
"""Panels side by side; inches of a row of them, and of the title of a kind."""
Chosen = Mapping[str, "NDArray[np.intp]"]
"""Positions of the parameters that are drawn, by kind."""
_Draw = Callable[["SubFigure", Sequence[int]], Sequence["Axes"]]
"""Makes a panel for each of these parameters."""


def plot_runs(chapter: Chapter, asks: Question, answer: str, measure: Measure, note: str) -> Figure:
    """Draw the runs over each other, in a panel for each of those parameters in which they differ most."""
    chosen = chapter.telling(apart([positive(each) for each in measure.values]), MOST_PANELS)
    note += _left_out(chapter, chosen, "in which the runs differ most")
    return _plot_curves(chapter, asks, answer, note, chosen, measure, {})


@style.styled
def plot_elements(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw the median, 25-75 % and, of one run, 5-95 % of E/α of a parameter's elements."""
    bands = {"5–95 %": (0.15, "q05", "q95")} if len(chapter.runs) == 1 else {}
    bands["25–75 %"] = (0.3 if bands else 0.15, "q25", "q75")
    medians = tuple(chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs)
    chosen, left_out = _most_telling(chapter)
    return _plot_curves(chapter, asks, answer, asks.note + left_out, chosen, Measure(asks.label, medians), bands)


def _plot_curves(
    chapter: Chapter,
    asks: Question,
    answer: str,
    note: str,
    chosen: Chosen,
    measure: Measure,
    bands: Mapping[str, tuple[float, str, str]],
) -> Figure:
    """Draw each run's curve in each panel, with bands of E/α of the elements by what they are: opacity, ends."""
    is_alone, values = len(chapter.runs) == 1, [positive(each) for each in measure.values]
    levels = [level for _, *ends in bands.values() for level in ends]
    sides = {q: [chapter.effective_lr(run, f"effective_lr_{q}") for run in chapter.runs] for q in levels}
    color = style.MAIN if is_alone else style.MUTED
    shades = {text: alpha for text, (alpha, *_) in reversed([*bands.items()])}
    key = [*panels.key(chapter, measure.usual), *(panels.fan_key("elements", color, shades) if bands else [])]
    body = chapter_sheet(chapter, asks, answer, note, sum(_heights(chosen)) + 0.2, key)
    ends = (measure.usual.low, measure.usual.high) if measure.usual else ()
    limits = panels.robust_range([*values, *(each for side in sides.values() for each in side)], *ends)
    runs = list(zip(chapter.runs, chapter.drawn, panels.looks(chapter), strict=True))
    for at, axes in _draw(body, chapter, chosen, _panels, chapter.x_label, measure.label):
        for number, (run, kept, (own, dashes)) in enumerate(runs):
            draw = panels.Curves(axes, chapter, run, kept)
            for alpha, low, high in bands.values():
                draw.band(sides[low][number][:, at], sides[high][number][:, at], own, alpha)
            draw.line(values[number][:, at], color=own, ls=dashes, gid="line", **draw.looks)
        panels.set_panel(axes, chapter, limits)
        panels.draw_usual(axes, measure.usual)
        for number, (run, _, (own, _)) in enumerate(runs):
            panels.draw_marks(axes, run, chapter.x(run), style.INK if is_alone else own)
            panels.mark_beyond(axes, chapter.x(run), values[number][:, at], limits, own)
    return figure_of(body)


@style.styled
def plot_distributions(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw the density of log10 E/α over the touched elements of a parameter at up to four checkpoints, first and last
    included; several runs: at the newest checkpoint of each, in the runs' colours."""
    import pandas as pd
    import seaborn
    import seaborn.objects as so
    from matplotlib.lines import Line2D

    if len(chapter.runs) > 1:
        curves = [(run, len(run.indices) - 1, shorten(run.name, 40)) for run in chapter.runs]
        looks = panels.looks(chapter)
    else:
        (run,) = chapter.runs
        curves = [
            (run, at, f"{chapter.x_word} {chapter.x(run)[at]:.0f}") for at in chosen_checkpoints(len(run.indices))
        ]
        looks = [(color, "solid") for color in seaborn.color_palette(style.TIME, len(curves)).as_hex()]
    chosen, note = _most_telling(chapter)
    bins = [_bins(chapter, run, at, chosen).assign(curve=text) for run, at, text in curves]
    frame, density = pd.concat(bins, ignore_index=True), so.KDE(gridsize=150)
    shown = [(text, *look) for (*_, text), look, own in zip(curves, looks, bins, strict=True) if len(own)]
    colors, dashes = ([each[i] for each in shown] for i in (1, 2))
    first: dict[str, Any] = {"color": colors[0]} if len(shown) == 1 else {}  # KDE drops a variable of one value
    plot = so.Plot(frame, x="x", color="curve").share(y=False)
    line = so.Line(linewidth=1.3, artist_kws={"gid": "density"}, **first)
    plot = plot.add(line, density, weight="count", linestyle="curve", legend=False)
    plot = plot.add(so.Area(alpha=0.12, edgewidth=0, **first), density, weight="count", legend=False)
    plot = plot.scale(x=so.Continuous(trans="log"), color=so.Nominal(colors), linestyle=so.Nominal(dashes))
    key = [Line2D([], [], color=color, ls=dash, label=text) for text, color, dash in shown]
    body = chapter_sheet(chapter, asks, answer, asks.note + note, sum(_heights(chosen)) + 0.2, key)

    def facets(part: SubFigure, members: Sequence[int]) -> Sequence[Axes]:
        order: list[Any] = [*members]
        return drawn(plot.facet("parameter", order=order, wrap=_COLUMNS).label(x="", y=""), part)

    panels_of = list(_draw(body, chapter, chosen, facets, asks.label))
    ends = [axes.get_xlim() for _, axes in panels_of]
    limits = min(low for low, _ in ends), max(high for _, high in ends)
    for at, axes in panels_of:
        for text, color, dash in shown:
            alone = frame["x"][(frame["parameter"] == at) & (frame["curve"] == text)].unique()
            if len(alone) == 1:  # which has no density
                axes.axvline(alone[0], color=color, ls=dash, lw=1.3, gid="single")
        panels.set_axis(axes, "x", limits, most=5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    return figure_of(body)


def _most_telling(chapter: Chapter) -> tuple[Chosen, str]:
    """The few of many parameters that are drawn, and why these, in words."""
    if len(chapter.runs) == 1:
        scores, reason = decades(chapter), "with the widest spread"
    else:
        medians = [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs]
        scores, reason = apart(medians), "whose medians differ most"
    chosen = chapter.telling(scores, MOST_PANELS)
    return chosen, _left_out(chapter, chosen, reason)


def _left_out(chapter: Chapter, chosen: Chosen, reason: str) -> str:
    """A sentence that says which parameters are drawn, if not all are."""
    count = sum(map(len, chosen.values()))
    return "" if count == len(chapter.parameters) else f" Drawn: the {count} of {len(chapter.parameters)} {reason}."


def _bins(chapter: Chapter, run: Run, at: int, chosen: Chosen) -> DataFrame:
    """The middles of the bins of these parameters at one checkpoint, over α, and their counts."""
    import pandas as pd

    if run.histogram is None:
        empty: DataFrame = pd.DataFrame(columns=["parameter", "x", "count"], dtype=float)
        return empty
    places = {chapter.parameters[member]: int(member) for members in chosen.values() for member in members}
    bins = run.histogram[run.histogram["checkpoint_index"] == run.indices[at]]
    bins = bins[bins["parameter"].isin(places)]
    low, high, count = (bins[name].to_numpy(float) for name in ("low", "high", "count"))
    x = chapter.over_alpha(np.sqrt(low * high), run, at)
    place = np.array([places[name] for name in bins["parameter"]], dtype=float)
    known: DataFrame = pd.DataFrame({"parameter": place[x > 0], "x": x[x > 0], "count": count[x > 0]})
    return known


def _heights(chosen: Chosen) -> list[float]:
    """The inches that each kind's panels take."""
    return [-(-len(members) // _COLUMNS) * _PANEL + _TITLE for members in chosen.values()]


def _draw(
    body: SubFigure, chapter: Chapter, chosen: Chosen, draw: _Draw, x_label: str, y_label: str = ""
) -> Iterator[tuple[int, Axes]]:
    """Have a panel drawn for each parameter chosen, kernels' above vectors'; yield its position in the chapter, and
    its axes."""
    parts = body.subfigures(len(chosen), 1, squeeze=False, height_ratios=_heights(chosen)).ravel()
    for part, (kind, members) in zip(parts, chosen.items(), strict=True):
        title = chapter.title_of(kind, len(members))
        part.suptitle(title, x=0.01, ha="left", size=style.TEXT_SIZE, color=style.INK)
        axes = draw(part, members.tolist())
        for at, label, panel in zip(members.tolist(), chapter.labels(members, 26), axes, strict=True):
            panel.set_title(label, color=style.INK, size=style.SMALL_SIZE)
            yield at, panel
    body.supxlabel(x_label, size=style.TEXT_SIZE, color=style.MUTED)
    body.supylabel(y_label, size=style.TEXT_SIZE, color=style.MUTED)


def _panels(part: SubFigure, members: Sequence[int]) -> Sequence[Axes]:
    """An empty panel for each, on the same axes."""
    count = len(members)
    columns = min(count, _COLUMNS)
    every: list[Axes] = (
        part.subplots(-(-count // columns), columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    )
    for axes in every[count:]:
        axes.remove()
    for axes in every[count - columns : count]:
        axes.tick_params(labelbottom=True)
    return every[:count]
