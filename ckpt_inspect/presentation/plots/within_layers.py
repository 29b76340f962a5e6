"""What lies within a layer: how widely its elements' rates are spread, at a few checkpoints and over the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.chapter import chosen_checkpoints
from ckpt_inspect.presentation.plots.measures import MOST_PANELS, Measure, draw_multiples, height, left_out, tidy
from ckpt_inspect.presentation.plots.names import shorten
from ckpt_inspect.presentation.plots.questions import DISTRIBUTIONS, ELEMENTS
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, figure_of
from ckpt_inspect.presentation.plots.spread import apart, newest

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.measures import Chosen


def spreads(chapter: Chapter) -> Floats:
    """Return (P,) decades between the 5 % and the 95 % quantile of E in the newest checkpoint, the widest of all runs;
    NaN if none is known."""
    found = np.full(len(chapter.parameters), np.nan)
    for run in chapter.runs:
        low, high = (newest(chapter.effective_lr(run, f"effective_lr_{q}")) for q in ("q05", "q95"))
        found = np.fmax(found, np.log10(high / low))
    return found


def _most_telling(chapter: Chapter) -> tuple[Chosen, str]:
    """The few of many parameters that are drawn, and why these, in words."""
    if len(chapter.runs) == 1:
        scores, reason = spreads(chapter), "with the widest spread"
    else:
        medians = [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs]
        scores, reason = apart(medians), "whose medians differ most"
    chosen = chapter.telling(scores, MOST_PANELS)
    return chosen, left_out(chapter, chosen, reason)


def distributions_answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: the parameters whose elements' rates differ most and least."""
    decades = spreads(chapter)
    known = np.flatnonzero(np.isfinite(decades))
    if not known.size:
        return "Not known in any checkpoint."
    most, least = known[decades[known].argmax()], known[decades[known].argmin()]
    ends = [f"{style.number(10 ** decades[at])}-fold in {shorten(chapter.names[at], 40)}" for at in (most, least)]
    return f"The middle 90 % of the elements differ most {ends[0]}, least {ends[1]}."


@style.styled
def plot_distributions(chapter: Chapter) -> Figure:
    """Draw the density of log10 E/α over the touched elements of a parameter, a panel each, at up to four checkpoints,
    first and last included; several runs: at the newest checkpoint of each, in the runs' colours."""
    import pandas as pd
    import seaborn
    import seaborn.objects as so
    from matplotlib.lines import Line2D

    if len(chapter.runs) > 1:
        curves = [(run, len(run.indices) - 1, shorten(run.name, 40)) for run in chapter.runs]
        colors, dashes = panels.run_colors(chapter), panels.run_dashes(chapter)
    else:
        (run,), word = chapter.runs, "step" if chapter.has_steps else "checkpoint"
        curves = [(run, at, f"{word} {chapter.x(run)[at]:.0f}") for at in chosen_checkpoints(len(run.indices))]
        colors = list(seaborn.color_palette(style.TIME, len(curves)).as_hex())
        dashes = ["solid"] * len(curves)
    chosen, note = _most_telling(chapter)
    bins = [_bins(chapter, run, at, chosen).assign(curve=text) for run, at, text in curves]
    frame, density = pd.concat(bins, ignore_index=True), so.KDE(gridsize=150)
    plot = so.Plot(frame, x="x", color="curve").share(y=False)
    # seaborn's KDE drops a variable of one value
    first: dict[str, Any] = {} if len(curves) > 1 else {"color": colors[0]}
    line = so.Line(linewidth=1.3, artist_kws={"gid": "density"}, **first)
    plot = plot.add(line, density, weight="count", linestyle="curve", legend=False)
    plot = plot.add(so.Area(alpha=0.12, edgewidth=0, **first), density, weight="count", legend=False)
    plot = plot.scale(x=so.Continuous(trans="log"), color=so.Nominal(colors), linestyle=so.Nominal(dashes))
    key = [Line2D([], [], color=c, ls=d, label=t) for c, d, (*_, t) in zip(colors, dashes, curves, strict=True)]
    asks, answer = DISTRIBUTIONS, distributions_answer(chapter)
    body = chapter_sheet(chapter, asks, answer, asks.note + note, height(chosen), key)
    ends = (frame["x"].min(), frame["x"].max()) if len(frame) else ()
    for _, axes in draw_multiples(body, chapter, chosen, plot, asks.label, ""):
        panels.set_log_axis(axes, "x", panels.robust_range([np.empty((1, 0))], *ends), 5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    return figure_of(body)


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


def elements_answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: how many times its least a layer's largest rate is, of 90 % of elements."""
    known = spreads(chapter)
    if not np.isfinite(known).any():
        return "Not known in any checkpoint."
    text = style.number(float(10 ** np.nanmedian(known)))
    return f"Within a parameter E differs {text}-fold over the middle 90 % of its elements (median of all parameters)."


@style.styled
def plot_elements(chapter: Chapter) -> Figure:
    """Draw a panel per parameter: the median, 25-75 % and, of one run, 5-95 % of E/α of its elements."""
    import seaborn.objects as so

    is_alone, (chosen, note) = len(chapter.runs) == 1, _most_telling(chapter)
    levels = ("median", "q25", "q75", *(("q05", "q95") if is_alone else ()))
    of = {q: tuple(chapter.effective_lr(run, f"effective_lr_{q}") for run in chapter.runs) for q in levels}
    plot = so.Plot(tidy(chapter, [Measure("", of["median"], of)], chosen), x="x", color="run")
    for low, high, alpha in ([("q05", "q95", 0.15)] if is_alone else []) + [("q25", "q75", 0.3 if is_alone else 0.15)]:
        plot = plot.add(so.Band(alpha=alpha, edgewidth=0), ymin=low, ymax=high, group="part", legend=False)
    median = so.Path(linewidth=1.4, artist_kws={"gid": "median"})
    plot = plot.add(median, y="median", linestyle="run", legend=False).scale(**panels.run_scales(chapter))
    key = [*panels.key(chapter), *panels.fan_key("elements", style.MAIN if is_alone else style.MUTED)]
    if not is_alone:
        key.pop()  # the widest band is not drawn
    asks, limits = ELEMENTS, panels.robust_range([values for level in of.values() for values in level])
    body = chapter_sheet(chapter, asks, elements_answer(chapter), asks.note + note, height(chosen), key)
    for _, axes in draw_multiples(body, chapter, chosen, plot, chapter.x_label, asks.label):
        panels.set_panel(axes, chapter, limits)
        for run, own in zip(chapter.runs, panels.run_colors(chapter), strict=True):
            panels.draw_marks(axes, chapter, run, style.INK if is_alone else own)
    return figure_of(body)
