"""How large the gradients were that nobody logged: their RMS from checkpoint to checkpoint, out of second moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.lines import Measure, plot_over_run, spread_words
from ckpt_inspect.presentation.plots.questions import GRADIENTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.plots.chapter import Chapter

QUESTION = GRADIENTS.question
_LABEL = GRADIENTS.label
_NOTE = GRADIENTS.note


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words."""
    words = spread_words(chapter, [run.column("window_gradient_rms") for run in chapter.runs])
    return f"In the newest window (RMS): {words}."


@style.styled
def plot_gradients(chapter: Chapter) -> Figure:
    """Draw the RMS of every parameter's gradients over the run, and what bounds it."""
    values, lows, highs = (
        tuple(run.column(f"window_gradient_rms{end}") for run in chapter.runs) for end in ("", "_low", "_high")
    )
    measure = Measure(_LABEL, values, tuple(zip(lows, highs, strict=True)))
    sources = {source for run in chapter.runs for source in run.beta_2_sources}
    told = " and ".join(
        word for source, word in (("default", "assumed"), ("inferred", "inferred")) if source in sources
    )
    note = f"{_NOTE} β2 is {told}, and with it all of this." if told else _NOTE
    return plot_over_run(chapter, QUESTION, answer(chapter), [measure], note)
