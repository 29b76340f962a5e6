"""Quantities over a run: of one run a panel for kernels and one for biases and norms, of several a panel per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.multiples import MOST, draw_multiples, height, left_out
from ckpt_inspect.presentation.plots.sheet import drawn, figure_of, sheet
from ckpt_inspect.presentation.plots.spread import apart, distance, fan, newest, positive

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter
    from ckpt_inspect.presentation.plots.questions import Question, Usual

MOST_LINES = 8
"""Up to as many parameters have a line each in a panel; of more the fan of all is drawn, and the outermost by name."""
MOST_NAMED = 4
MOST_BOUNDED = 2
"""Up to as many have their bounds in a panel; more would hide each other."""


@dataclass(frozen=True)
class Measure:
    """A positive quantity of each parameter over the runs of a chapter."""

    label: str
    """Of its axis, with the unit."""
    values: tuple[Floats, ...]
    """By run (K, P); NaN where it is not known or not positive."""
    bounds: tuple[tuple[Floats, Floats], ...] = ()
    """By run the least and the most that it can be, (K, P) each; nothing if it has no such."""
    usual: Usual | None = None


def plot_over_run(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str = "") -> Figure:
    """Draw the measures, a row of panels each, over the steps of the chapter's run; of several runs the first measure.

    One run: a line per parameter, or the fan of all with the outermost by name. Several: a colour and dashes per run.
    """
    import pandas as pd
    import seaborn.objects as so

    if len(chapter.runs) > 1:
        return _plot_runs(chapter, asks, answer, measures[0], note)
    (run,), kinds = chapter.runs, chapter.kinds()
    x, values = chapter.x(run), [positive(measure.values[0]) for measure in measures]
    # the lines of the first measure are those of the others: a person compares them
    far = distance(values[0])
    named = {
        kind: members if len(members) <= MOST_LINES else chapter.telling(far, MOST_NAMED)[kind]
        for kind, members in kinds.items()
    }
    lines, fans = [], []
    for measure, of_measure in zip(measures, values, strict=True):
        for kind, members in kinds.items():
            place = {"kind": kind, "measure": measure.label, "x": x}
            lines += [pd.DataFrame({**place, "y": of_measure[:, m], "line": i}) for i, m in enumerate(named[kind])]
            if len(members) > MOST_LINES:
                fans.append(pd.DataFrame({**place, **fan(of_measure[:, members])}))
    plot = (
        so.Plot(pd.concat(lines, ignore_index=True), x="x", y="y").share(x=True, y="row").label(x=chapter.x_label, y="")
    )
    plot = plot.facet(col="kind", row="measure", order={"col": [*kinds], "row": [m.label for m in measures]})
    if fans:
        # a layer of other data needs its own panels: what it doesn't name is joined by the row's number
        own = {
            "data": pd.concat(fans, ignore_index=True),
            "x": "x",
            "y": "q50",
            "col": "kind",
            "row": "measure",
            "legend": False,
        }
        for low, high, alpha in (("q05", "q95", 0.15), ("q25", "q75", 0.25)):
            plot = plot.add(so.Band(color=style.FAN, alpha=alpha, edgewidth=0), ymin=low, ymax=high, **own)
        plot = plot.add(so.Path(color=style.FAN, linewidth=2, artist_kws={"gid": "middle"}), **own)
    size = 3.5 if len(x) <= 12 else 0.0  # so few checkpoints that each can be seen
    mark = so.Path(linewidth=1.4, marker="o", pointsize=size, artist_kws={"gid": "line"})
    plot = plot.add(mark, color="line", legend=False)
    plot = plot.scale(color=so.Nominal(list(style.LINE_COLORS), order=list(range(MOST_LINES))))
    handles = [*panels.key(chapter, measures[0].usual), *(fan_key() if fans else [])]
    tall = 3.1 if len(measures) == 1 else 2.2 * len(measures)
    body = sheet(asks, answer, chapter.made_from, chapter.doubts_of(asks.rests_on), note or asks.note, tall, handles)
    places = ((measure, of, kind) for measure, of in zip(measures, values, strict=True) for kind in kinds)
    for panel, (measure, of_measure, kind) in zip(drawn(plot, body), places, strict=True):
        limits = panels.robust_range([of_measure], *_ends(measure.usual))
        is_top, is_left = measure is measures[0], kind == next(iter(kinds))
        panel.set_title(f"{kind} ({len(kinds[kind])})" if is_top else "", color=style.INK)
        panel.set_ylabel(measure.label if is_left else "")
        panels.set_panel(panel, chapter, limits)
        panels.draw_usual(panel, measure.usual)
        if measure.bounds and len(named[kind]) <= MOST_BOUNDED:
            for color, at in zip(style.LINE_COLORS, named[kind], strict=False):
                _draw_bounds(panel, x, of_measure[:, at], [side[:, at] for side in measure.bounds[0]], color)
        panels.draw_marks(panel, chapter, run, has_labels=is_top and is_left)
        labels = chapter.labels(named[kind], 28)
        _name_lines(panel, x, dict(zip(labels, of_measure[:, named[kind]].T, strict=True)), limits)
    return figure_of(body)


def fan_key() -> list[Artist]:
    """Return what stands for the fan of many parameters in the key."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shades = ((0.5, "25–75 % of them"), (0.2, "5–95 %"))
    handles: list[Artist] = [Line2D([], [], color=style.FAN, lw=2, label="median of all parameters")]
    return handles + [Patch(facecolor=style.FAN, alpha=alpha, label=text) for alpha, text in shades]


def _name_lines(axes: Axes, x: Floats, lines: Mapping[str, Floats], limits: panels.Limits) -> None:
    """Name the lines right of the panel, the largest first, with their newest values; mark what leaves the axes."""
    from matplotlib.lines import Line2D

    colors = dict(zip(lines, style.LINE_COLORS, strict=False))
    handles: list[Artist] = []
    for label, values in sorted(lines.items(), key=lambda line: -_last(line[1])):
        edge = panels.mark_beyond(axes, x, values, limits, colors[label])
        text = f"{label}  {style.number(_last(values))}" + (f"  {edge} beyond the axis" if edge else "")
        handles.append(Line2D([], [], color=colors[label], lw=1.4, label=text))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), fontsize=style.SMALL_SIZE)


def _draw_bounds(axes: Axes, x: Floats, values: Floats, bounds: Sequence[Floats], color: str) -> None:
    """Draw what bounds a curve; where a side is not known it is open, as far as the axes go."""
    is_known, ends = np.isfinite(values), axes.get_ylim()
    low, high = (np.where(is_known & np.isnan(side), end, side) for side, end in zip(bounds, ends, strict=True))
    axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0, zorder=1, gid="bounds")


def _plot_runs(chapter: Chapter, asks: Question, answer: str, measure: Measure, note: str) -> Figure:
    """Draw a panel for each of those parameters in which the runs differ most, with a line per run."""
    import pandas as pd
    import seaborn.objects as so

    values = [positive(each) for each in measure.values]
    chosen = chapter.telling(apart(values), MOST)
    frames = [
        pd.DataFrame({"x": chapter.x(run), "y": of_run[:, at], "parameter": at, "run": run.name})
        for run, of_run in zip(chapter.runs, values, strict=True)
        for members in chosen.values()
        for at in members
    ]
    plot = so.Plot(pd.concat(frames, ignore_index=True), x="x", y="y", color="run", linestyle="run")
    plot = plot.add(so.Path(linewidth=1.4, artist_kws={"gid": "line"}), legend=False).scale(
        **panels.run_scales(chapter)
    )
    note = (note or asks.note) + left_out(chapter, chosen, "in which the runs differ most")
    handles = panels.key(chapter, measure.usual)
    body = sheet(asks, answer, chapter.made_from, chapter.doubts_of(asks.rests_on), note, height(chosen), handles)
    limits = panels.robust_range(values, *_ends(measure.usual))
    for at, panel in draw_multiples(body, chapter, chosen, plot, chapter.x_label, measure.label):
        panels.set_panel(panel, chapter, limits)
        panels.draw_usual(panel, measure.usual)
        for run, of_run, color in zip(chapter.runs, values, panels.run_colors(chapter), strict=True):
            panels.draw_marks(panel, chapter, run, color)
            panels.mark_beyond(panel, chapter.x(run), of_run[:, at], limits, color)
    return figure_of(body)


def _last(values: Floats) -> float:
    """The newest known value; -inf without any, so that it sorts last."""
    return float(np.nan_to_num(newest(values[:, None])[0], nan=-np.inf))


def _ends(usual: Usual | None) -> tuple[float, ...]:
    return (usual.low, usual.high) if usual else ()
