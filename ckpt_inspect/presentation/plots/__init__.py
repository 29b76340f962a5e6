"""Frames to figures, one file each; `FIGURES` is the order in which a report's files are numbered.

A plot function neither reads nor saves: it takes a `Chapter` (one optimizer's results, made from frames by `chapters`)
and gives a `matplotlib.figure.Figure` that belongs to no window. What figures say stands in the room `figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.figures.answers import answer_of
from ckpt_inspect.presentation.figures.chapter import Chapter, RunFrames, chapters, chosen_checkpoints
from ckpt_inspect.presentation.figures.measures import measures_of
from ckpt_inspect.presentation.figures.questions import QUESTIONS, Question
from ckpt_inspect.presentation.plots.differences import plot_change_by_rate, plot_diff
from ckpt_inspect.presentation.plots.heatmap import plot_layers_by_step
from ckpt_inspect.presentation.plots.measures import plot_measures
from ckpt_inspect.presentation.plots.multiples import plot_distributions, plot_elements
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "Chapter", "FigureKind", "RunFrames", "chapters", "chosen_checkpoints", "chosen_figures",
           "plot_change_by_rate", "plot_diff"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A figure of every report."""

    asks: Question
    """Its words, and when it can be drawn."""
    draw: Callable[[Chapter, Question, str], Figure]
    """With its words and answer above it."""

    @property
    def id(self) -> str:
        """Return its name in files and links, in kebab-case."""
        return self.asks.id

    @property
    def question(self) -> str:
        """Return what it answers; its title."""
        return self.asks.question

    def answer(self, chapter: Chapter) -> str:
        """Return the answer in one sentence; the figure's second line."""
        return answer_of(self.id, chapter)

    def plot(self, chapter: Chapter) -> Figure:
        """Return the figure of a chapter that can have it."""
        return self.draw(chapter, self.asks, self.answer(chapter))

    def reason_to_omit(self, chapter: Chapter) -> str | None:
        """Return why this chapter can't have the figure, in one sentence; None if it can."""
        asks = self.asks
        if asks.needs_series and not chapter.is_series:
            return "it shows a run, and there is one checkpoint"
        if not chapter.has_learning_rates:
            return "no effective learning rate is defined: no update has been applied, or the rule has none"
        has_bins = any(run.histogram is not None and len(run.histogram) for run in chapter.runs)
        if asks.needs == "histogram" and not has_bins:
            return "the store holds no histogram of effective learning rates"
        if measures_of(asks.id, chapter) == []:
            return asks.reason_if_zero
        values = [run.column(asks.column) for run in chapter.runs] if asks.column else []
        if values and not any(bool((of_run > 0).any()) for of_run in values):
            return asks.reason_if_zero if any((of_run == 0).any() for of_run in values) else asks.reason_if_unknown
        return None


_OWN_WAY = {
    "layers-by-step": plot_layers_by_step,
    "distributions": plot_distributions,
    "elements": plot_elements,
}
FIGURES = tuple(FigureKind(asks, _OWN_WAY.get(name, plot_measures)) for name, asks in QUESTIONS.items())
"""Numbered in this order in the names of a report's files."""

_SHOWN = (
    "movement", "update-to-weight", "effective-lr", "gradients", "shares", "path", "layers-by-step",
    "distributions", "elements",
)  # fmt: skip


def chosen_figures(names: Sequence[str] | None = None) -> tuple[FigureKind, ...]:
    """Return the figures of those names, in the order in which a report shows them; `all`: every one; None: those that
    a person acts on. Raises RequestError for another name."""
    by_id = {kind.id: kind for kind in FIGURES}
    wanted = [name.strip().replace("_", "-") for name in names or ()]
    for name in wanted:
        if name not in by_id and name != "all":
            raise RequestError(f"there is no figure {name!r}: there are {', '.join(by_id)}, and all")
    kinds = [by_id[name] for name in _SHOWN]
    if names is None:
        return tuple(kind for kind in kinds if kind.asks.is_default)
    return tuple(kind for kind in kinds if "all" in wanted or kind.id in wanted)
