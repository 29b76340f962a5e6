"""Figures of quantities that every parameter has: over a run, over several that are compared, or in one checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.wording import counted, percent
from ckpt_inspect.presentation.figures.measures import Measure, concerned, measures_of, named
from ckpt_inspect.presentation.figures.spread import fan, newest, positive
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.multiples import plot_runs
from ckpt_inspect.presentation.plots.rows import plot_rows
from ckpt_inspect.presentation.plots.sheet import blank, chapter_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.questions import Question

MOST_BOUNDED = 2
"""Up to as many have their bounds in a panel; more would hide each other."""


@style.styled
def plot_measures(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw what the figure measures: of one run all of it; of several the first measure, the runs over each other;
    shares of several runs, and single checkpoints, in rows."""
    measures, note = measures_of(asks.id, chapter) or [], asks.note
    some = concerned(measures)
    if some is not None and (others := len(chapter.parameters) - len(some)):
        note += f" Not drawn: {counted(others, 'parameter')} without any such element."
    if not chapter.is_series or (some is not None and len(chapter.runs) > 1):
        return plot_rows(chapter, asks, answer, measures, note)
    if len(chapter.runs) > 1:
        return plot_runs(chapter, asks, answer, measures[0], note)
    return _plot_over_run(chapter, asks, answer, measures, note)


def _plot_over_run(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    """Draw a row of panels for each measure, kernels beside vectors: a line per parameter with its name and newest
    value, or the fan of all with the outermost by name, which are those of the first measure in all."""
    body, kinds = blank(), chapter.kinds(concerned(measures))
    grid = body.subplots(len(measures), len(kinds), sharex=True, sharey="row", squeeze=False)
    for row, measure, lines in zip(grid, measures, named(chapter, measures), strict=True):
        limits, of_measure = panels.limits_of(chapter, measure), chapter.kinds(measure.concerns)
        for axes, kind in zip(row, kinds, strict=True):
            members = of_measure.get(kind, np.empty(0, np.intp))
            panels.set_panel(axes, chapter, limits, is_share=measure.is_share)
            panels.draw_usual(axes, measure.usual)
            panels.draw_marks(axes, chapter.runs[0], chapter.x(chapter.runs[0]))
            _draw_lines(axes, chapter, measure, members, lines.get(kind, members), limits)
            if measure.title or measure is measures[0]:
                title = chapter.title_of(kind, len(members)) if members.size else f"{kind}: none"
                axes.set_title(title, color=style.INK)
            axes.set_visible(bool(members.size) or axes in row[:1] or axes in grid[-1])
        row[0].set_ylabel((measure.title or measure.label).partition(" (")[0])
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    return chapter_sheet(body, chapter, asks, answer, note, max(2.2 * len(measures), 3.1))


def _draw_lines(
    axes: Axes,
    chapter: Chapter,
    measure: Measure,
    members: NDArray[np.intp],
    named: NDArray[np.intp],
    limits: panels.Limits,
) -> None:
    """Draw lines of the parameters that are `named`, over the fan of all if they are more; name them beside the panel,
    the largest first, with their newest values, which may be 0 where a line has ended; mark what leaves the axes."""
    (run,), (kept,), values = chapter.runs, chapter.drawn, measure.values[0]
    shown = values if measure.is_share else positive(values)
    draw = panels.Curves(axes, chapter, run, kept)
    if len(members) > len(named):
        levels = fan(shown[:, members], is_log=not measure.is_share)
        draw.band(levels["q05"], levels["q95"], style.MUTED, 0.15, "5–95 % of the parameters")
        draw.band(levels["q25"], levels["q75"], style.MUTED, 0.25, "25–75 %")
        draw.line(levels["q50"], color=style.MUTED, lw=2, zorder=2.7, ms=0, gid="middle", label="median")
    if len(named) <= MOST_BOUNDED and measure.bounds:
        for i, look in panels.looks_of(chapter, named):  # a bound that is not known is open, as far as the axes go
            sides = zip(measure.bounds[0], limits, strict=True)
            low, high = (np.where(np.isnan(side[:, i]) & (shown[:, i] > 0), end, side[:, i]) for side, end in sides)
            draw.band(low, high, look["color"], 0.12, measure.bounds_label)
    last, text = newest(values), percent if measure.is_share else number
    labels, told = dict(zip(named, chapter.labels(named, 26), strict=True)), {}
    for i, look in panels.looks_of(chapter, named):
        edge = panels.mark_beyond(axes, chapter.x(run), shown[:, i], limits, look["color"])
        told[i] = draw.line(shown[:, i], **look), f"{labels[i]}  {text(last[i])}{edge}"
    lines = [told[i] for i in sorted(told, key=lambda i: -np.nan_to_num(last[i], nan=-np.inf))]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.05), "fontsize": style.SMALL_SIZE}
    axes.legend([line for line, _ in lines], [name for _, name in lines], **place)
