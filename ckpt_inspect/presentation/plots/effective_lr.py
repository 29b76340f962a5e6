"""How Adam scales the gradients of every layer: E over α, so that a schedule doesn't hide what Adam does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.lines import Measure, plot_over_run, spread_words
from ckpt_inspect.presentation.plots.questions import EFFECTIVE_LR
from ckpt_inspect.presentation.plots.rows import plot_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.names import Group

QUESTION = EFFECTIVE_LR.question
_NOTE = EFFECTIVE_LR.note


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words."""
    words = spread_words(chapter, [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs])
    return f"Per unit of gradient, over α, in the newest checkpoint: {words}."


@style.styled
def plot_effective_lr(chapter: Chapter) -> Figure:
    """Draw the median of E/α of every parameter; of one checkpoint also the bars of 5-95 % of the elements."""
    values = tuple(chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs)
    measure = Measure(chapter.lr_label, values)
    if chapter.is_series:
        return plot_over_run(chapter, QUESTION, answer(chapter), [measure], _NOTE)
    note = "Bars: 5–95 % of the elements. " + _NOTE

    def ranges(run: Run, group: Group) -> tuple[float, float]:
        low, high = chapter.quantiles(run, group, (0.05, 0.95))[-1]
        return float(low), float(high)

    return plot_rows(chapter, QUESTION, answer(chapter), measure, note, ranges=ranges)
