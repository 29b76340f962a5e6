"""Figures of quantities that every parameter has: over a run, over several that are compared, or in one checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.figures.measures import measures_of
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.multiples import plot_runs
from ckpt_inspect.presentation.plots.over_run import plot_over_run
from ckpt_inspect.presentation.plots.rows import plot_rows
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, figure_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.questions import Question


@style.styled
def plot_measures(chapter: Chapter, asks: Question, answer: str) -> Figure:
    """Draw what the figure measures: of one run all of it over the run; of several the first, the runs over each other;
    shares of several runs, and single checkpoints, in rows."""
    measures, note = measures_of(asks.id, chapter) or [], asks.note
    concerned = [measure.concerns for measure in measures if measure.concerns is not None]
    if concerned:
        others = len(chapter.parameters) - len(np.unique(np.concatenate(concerned)))
        note += f" {others} parameter{'s have' if others > 1 else ' has'} none." if others else ""
    if not measures:
        body = chapter_sheet(chapter, asks, answer, note, 0.3)
        body.subplots().set_axis_off()  # without axes nothing would be laid out
        return figure_of(body)
    if not chapter.is_series or (concerned and len(chapter.runs) > 1):
        return plot_rows(chapter, asks, answer, measures, note)
    if len(chapter.runs) > 1:
        return plot_runs(chapter, asks, answer, measures[0], note)
    return plot_over_run(chapter, asks, answer, measures, note)
