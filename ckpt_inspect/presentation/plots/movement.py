"""How far each layer moved in the last update: the RMS of Δ, and of Δ/α where a schedule would hide all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.lines import Measure, plot_over_run, spread_words
from ckpt_inspect.presentation.plots.questions import MOVEMENT, RELATIVE_MOVEMENT
from ckpt_inspect.presentation.plots.rows import plot_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.plots.chapter import Chapter

QUESTION = MOVEMENT.question
CHANGED = 1.5
"""A learning rate that changed by more than this factor over a run is divided out in a second row of panels."""
_NOTE = MOVEMENT.note


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words."""
    words = spread_words(chapter, [run.column("update_rms") for run in chapter.runs])
    return f"The newest update moved an element by (RMS): {words}."


@style.styled
def plot_movement(chapter: Chapter) -> Figure:
    """Draw the RMS of the last update Δ of every parameter, and of Δ/α if α changes over the run."""
    measures = [Measure(MOVEMENT.label, tuple(run.column("update_rms") for run in chapter.runs))]
    relative = tuple(run.column("relative_update_rms") for run in chapter.runs)
    is_known = any(bool(np.isfinite(each).any()) for each in relative)
    if is_known and any(_changes(run.learning_rate) for run in chapter.runs):
        measures.append(Measure(RELATIVE_MOVEMENT, relative))
    if not chapter.is_series:
        return plot_rows(chapter, QUESTION, answer(chapter), measures[0], _NOTE)
    return plot_over_run(chapter, QUESTION, answer(chapter), measures, _NOTE)


def _changes(rates: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    known = rates[np.isfinite(rates) & (rates > 0)]
    return bool(known.size and known.max() > CHANGED * known.min())
