"""Figures of quantities that every parameter has: over a run, over several that are compared, or in one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ckpt_inspect.measurement.wording import percent
from ckpt_inspect.presentation.figures.measures import Measure, concerned, measures_of
from ckpt_inspect.presentation.figures.spread import distance, fan, newest, positive
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.multiples import plot_runs
from ckpt_inspect.presentation.plots.rows import plot_rows
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, figure_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.questions import Question
    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_LINES = 8
"""Up to as many parameters have a line each in a panel; of more the fan of all is drawn, and the outermost by name."""
MOST_NAMED = 4
MOST_BOUNDED = 2
"""Up to as many have their bounds in a panel; more would hide each other."""
_SHADES = {"25–75 %": 0.4, "5–95 %": 0.15}
"""Of the fan, by what its bands are: their opacity where they lie over each other."""


@style.styled
def plot_measures(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw what the figure measures: of one run all of it; of several the first measure, the runs over each other;
    shares of several runs, and single checkpoints, in rows."""
    measures, note = measures_of(asks.id, chapter) or [], asks.note
    some = concerned(measures)
    if some is not None and (others := len(chapter.parameters) - len(some)):
        note += f" {others} parameter{'s have' if others > 1 else ' has'} none."
    if not measures:
        body = chapter_sheet(chapter, asks, answer, note, 0.3)
        body.subplots().set_axis_off()  # without axes nothing would be laid out
        return figure_of(body)
    if not chapter.is_series or (some is not None and len(chapter.runs) > 1):
        return plot_rows(chapter, asks, answer, measures, note)
    if len(chapter.runs) > 1:
        return plot_runs(chapter, asks, answer, measures[0], note)
    return _plot_over_run(chapter, asks, answer, measures, note)


class _Panel(NamedTuple):
    """A measure of one kind of parameters."""

    measure: Measure
    kind: str
    members: NDArray[np.intp]
    """Positions of the parameters that have a place in it."""
    named: NDArray[np.intp]
    """Positions of those that have a line: all, or of many the outermost."""
    bounded: Sequence[tuple[int, str]]
    """Those whose bounds are drawn, with their colours."""


def _panels(chapter: Chapter, measures: Sequence[Measure]) -> Iterator[_Panel]:
    """A row of panels for each measure. The lines of the first are those of the others, for a person compares them."""
    outermost = chapter.telling(distance(positive(measures[0].values[0])), MOST_NAMED)
    for measure in measures:
        if measure.concerns is not None:
            outermost = chapter.telling(np.nan_to_num(measure.values[0]).max(axis=0), MOST_NAMED)
        for kind, of_kind in chapter.kinds(concerned(measures)).items():
            members = of_kind if measure.concerns is None else np.intersect1d(of_kind, measure.concerns)
            named = members if len(members) <= MOST_LINES else outermost[kind]
            is_clear = measure.bounds and len(named) <= MOST_BOUNDED
            bounded = [*zip(named.tolist(), style.LINE_COLORS, strict=False)] if is_clear else []
            yield _Panel(measure, kind, members, named, bounded)


def _plot_over_run(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    """Draw a row of panels for each measure, kernels beside vectors: a line per parameter with its name and newest
    value, or the fan of all with the outermost by name."""
    from matplotlib.patches import Patch

    every, (run,), (kept,) = [*_panels(chapter, measures)], chapter.runs, chapter.drawn
    key = panels.key(chapter, measures[0].usual)
    if any(len(panel.named) < len(panel.members) for panel in every):
        key += panels.fan_key("parameters", style.FAN, _SHADES)
    if any(panel.bounded for panel in every):
        key.append(Patch(facecolor=style.MUTED, alpha=0.2, label=measures[0].bounds_label))
    body = chapter_sheet(chapter, asks, answer, note, max(2.2 * len(measures), 3.1), key)
    columns, limits = len(every) // len(measures), [panels.limits_of(chapter, measure) for measure in measures]
    grid = body.subplots(len(measures), columns, sharex=True, sharey="row", squeeze=False)
    for at, (axes, panel) in enumerate(zip(grid.flat, every, strict=True)):
        measure, ends = panel.measure, limits[at // columns]
        own = measure.values[0] if measure.is_share else positive(measure.values[0])
        draw = panels.Curves(axes, chapter, run, kept)
        if len(panel.named) < len(panel.members):
            levels = fan(own[:, panel.members], is_log=not measure.is_share)
            draw.band(levels["q05"], levels["q95"], style.FAN, 0.15)
            draw.band(levels["q25"], levels["q75"], style.FAN, 0.25)
            draw.line(levels["q50"], color=style.FAN, lw=2, zorder=2.7, gid="middle")
        for i, color in panel.bounded:
            low, high = (  # one that is not known is open, as far as the axes go
                np.where(np.isnan(side[:, i]) & (own[:, i] > 0), end, side[:, i])
                for side, end in zip(measure.bounds[0], ends, strict=True)
            )
            draw.band(low, high, color, 0.12)
        for i, color in zip(panel.named, style.LINE_COLORS, strict=False):
            draw.line(own[:, i], color=color, gid="line", **draw.looks)
        count = None if measure.concerns is None else len(panel.members)
        has_title = measure.title or measure is measures[0]
        axes.set_title(chapter.title_of(panel.kind, count) if has_title else "", color=style.INK)
        panels.set_panel(axes, chapter, ends, is_share=measure.is_share)
        panels.draw_usual(axes, measure.usual)
        panels.draw_marks(axes, run, chapter.x(run), has_labels=panel is every[0])
        _name_lines(axes, chapter, panel, own[:, panel.named], newest(measure.values[0][:, panel.named]), ends)
        if not panel.members.size:
            axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=style.MUTED, gid="none")
    for axes in grid[-1]:
        axes.set_xlabel(chapter.x_label)
    for axes, measure in zip(grid[:, 0], measures, strict=True):
        axes.set_ylabel((measure.title or measure.label).partition(" (")[0])
    return figure_of(body)


def _name_lines(
    axes: Axes, chapter: Chapter, panel: _Panel, values: Floats, last: Floats, limits: panels.Limits
) -> None:
    """Name the lines (K, n) right of the panel, the largest first, with their newest values (n,), which may be 0 where
    a line has ended; mark what leaves the axes."""
    from matplotlib.lines import Line2D

    x = chapter.x(chapter.runs[0])
    labels, text = chapter.labels(panel.named, 28), percent if panel.measure.is_share else number
    handles: list[Artist] = []
    for i in np.argsort(-np.nan_to_num(last, nan=-np.inf), kind="stable"):
        color = style.LINE_COLORS[i]
        edge = panels.mark_beyond(axes, x, values[:, i], limits, color)
        told = f"{labels[i]}  {text(last[i])}" + (f"  {edge} beyond the axis" if edge else "")
        handles.append(Line2D([], [], color=color, lw=1.4, label=told))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), fontsize=style.SMALL_SIZE)
