"""Whether the last update was in proportion to the weights: their norms' ratio, against a thousandth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.lines import Measure, Reference, plot_over_run, spread_words
from ckpt_inspect.presentation.plots.names import short_labels
from ckpt_inspect.presentation.plots.questions import UPDATE_TO_WEIGHT
from ckpt_inspect.presentation.plots.rows import plot_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.plots.chapter import Chapter

QUESTION = UPDATE_TO_WEIGHT.question
HEALTHY = (1e-4, 1e-2)
"""Below, a layer barely learns; above, it changes too fast (Karpathy, makemore part 3; MosaicML's OptimizerMonitor)."""
USUAL = Reference(HEALTHY, 1e-3, "rule of thumb, 10⁻³")
_LABEL = UPDATE_TO_WEIGHT.label
_NOTE = UPDATE_TO_WEIGHT.note


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: how many parameters are outside the usual band, and which."""
    if len(chapter.runs) > 1:
        return f"In the newest checkpoints: {spread_words(chapter, _values(chapter))}."
    (values,) = _values(chapter)
    newest = values[-1]
    known = np.flatnonzero(np.isfinite(newest) & (newest > 0))
    labels = short_labels(chapter.names)
    told = []
    for is_off, word in (
        (newest[known] > HEALTHY[1], "more than 10⁻²"),
        (newest[known] < HEALTHY[0], "less than 10⁻⁴"),
    ):
        off = known[is_off]
        if off.size:
            off = off[np.argsort(-np.abs(np.log10(newest[off]) + 3), kind="stable")]
            named = ", ".join(f"{labels[at]} {style.number(newest[at])}" for at in off[:3])
            told.append(f"{off.size} of {known.size} parameters by {word} ({named}{', ..' if off.size > 3 else ''})")
    if not told:
        return f"All {known.size} parameters whose ratio is known lie in the usual band in the newest checkpoint."
    return f"The newest update changed {'; '.join(told)}."


def _values(chapter: Chapter) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], ...]:
    return tuple(run.column("update_to_weight") for run in chapter.runs)


@style.styled
def plot_update_to_weight(chapter: Chapter) -> Figure:
    """Draw the ratio of every parameter on the usual band and the line of a thousandth."""
    measure = Measure(_LABEL, _values(chapter))
    if not chapter.is_series:
        return plot_rows(chapter, QUESTION, answer(chapter), measure, _NOTE, USUAL)
    return plot_over_run(chapter, QUESTION, answer(chapter), [measure], _NOTE, USUAL)
