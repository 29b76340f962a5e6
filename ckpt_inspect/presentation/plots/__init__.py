"""Frames to figures, one file each; `FIGURES` is the order in which a report shows them.

A plot function neither reads nor saves: it takes a `Chapter` (one optimizer's results, made from frames by `chapters`)
and gives a `matplotlib.figure.Figure` that belongs to no window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.plots import (
    distributions,
    effective_lr,
    elements,
    gradients,
    layers_by_step,
    movement,
    shares,
    update_to_weight,
)
from ckpt_inspect.presentation.plots.change_by_rate import plot_change_by_rate
from ckpt_inspect.presentation.plots.changes import plot_diff
from ckpt_inspect.presentation.plots.chapter import Chapter, RunFrames, chapters, chosen_checkpoints
from ckpt_inspect.presentation.plots.distributions import plot_distributions
from ckpt_inspect.presentation.plots.effective_lr import plot_effective_lr
from ckpt_inspect.presentation.plots.elements import plot_elements
from ckpt_inspect.presentation.plots.gradients import plot_gradients
from ckpt_inspect.presentation.plots.layers_by_step import plot_layers_by_step
from ckpt_inspect.presentation.plots.movement import plot_movement
from ckpt_inspect.presentation.plots.shares import plot_shares
from ckpt_inspect.presentation.plots.update_to_weight import plot_update_to_weight

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FIGURES", "Chapter", "FigureKind", "RunFrames", "chapters", "chosen_checkpoints", "chosen_figures",
    "plot_change_by_rate", "plot_diff", "plot_distributions", "plot_effective_lr", "plot_elements", "plot_gradients",
    "plot_layers_by_step", "plot_movement", "plot_shares", "plot_update_to_weight",
]  # fmt: skip


_NO_UPDATES = "the size of the updates is not known, as without the learning rate, or they are all 0"


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A figure of every report."""

    id: str
    """Stable, in kebab-case; files and links are named by it."""
    question: str
    """What the figure answers; its title."""
    caption: str
    """How to read it; shown on a page."""
    answer: Callable[[Chapter], str]
    """The answer in one sentence; the figure's second line."""
    plot: Callable[[Chapter], Figure]
    metrics: tuple[str, ...]
    """The variables that it shows; findings say by these where they can be seen."""
    needs: str = "parameters"
    """The kind of frame without which there is nothing to draw: `parameters`, `histogram` or `sample`."""
    needs_series: bool = False
    """Whether it takes more than one checkpoint."""
    column: str = ""
    """A column that has to hold something above 0 anywhere; empty: none has to."""
    reason_without_column: str = ""
    """Why it may hold nothing, in half a sentence."""
    is_default: bool = True
    """Whether a report has it unless told otherwise: what a person acts on."""

    def reason_to_omit(self, chapter: Chapter) -> str | None:
        """Return why this chapter can't have the figure, in one sentence; None if it can."""
        if self.needs_series and not chapter.is_series:
            return "it shows a run, and there is one checkpoint"
        if not chapter.has_learning_rates:
            return "no effective learning rate is defined: no update has been applied, or the rule has none"
        has_frame = {
            "parameters": True,
            "histogram": any(run.histogram is not None and len(run.histogram) for run in chapter.runs),
            "sample": any(run.sample is not None and len(run.sample) for run in chapter.runs),
        }
        if not has_frame[self.needs]:
            return f"the store holds no {self.needs} of effective learning rates"
        if self.column and not any(bool((run.column(self.column) > 0).any()) for run in chapter.runs):
            return self.reason_without_column
        return None


FIGURES = (
    FigureKind(
        "effective-lr",
        effective_lr.QUESTION,
        "The factor by which Adam multiplies the bias-corrected first moment, per unit of gradient and over α: its "
        "median over a parameter's touched elements. It is a rate, not a distance.",
        effective_lr.answer,
        plot_effective_lr,
        ("effective_lr", "effective_lr_mean", "learning_rate"),
    ),
    FigureKind(
        "layers-by-step",
        layers_by_step.QUESTION,
        "Every parameter is a row, every checkpoint a column; the colour is the median of E/α, per unit of gradient.",
        layers_by_step.answer,
        plot_layers_by_step,
        ("effective_lr",),
        needs_series=True,
        is_default=False,
    ),
    FigureKind(
        "distributions",
        distributions.QUESTION,
        "How E/α of a layer's touched elements is distributed; a wide ridge is a layer in which Adam adapts much, a "
        "narrow one a layer that plain gradient descent would treat alike.",
        distributions.answer,
        plot_distributions,
        ("effective_lr", "effective_lr_histogram"),
        needs="histogram",
        is_default=False,
    ),
    FigureKind(
        "update-to-weight",
        update_to_weight.QUESTION,
        "The norm of the last update over the norm of the weights: about a thousandth is usual, more than a "
        "hundredth is too fast, less than a ten-thousandth hardly learns.",
        update_to_weight.answer,
        plot_update_to_weight,
        ("update_to_weight", "weight_rms"),
        column="update_to_weight",
        reason_without_column=_NO_UPDATES,
    ),
    FigureKind(
        "elements",
        elements.QUESTION,
        "E/α of a layer's elements: the median, what half of them have, and what nine tenths have; and the sampled "
        "element that changed most.",
        elements.answer,
        plot_elements,
        ("effective_lr_sample", "second_moment_sample"),
        needs="sample",
        needs_series=True,
        is_default=False,
    ),
    FigureKind(
        "shares",
        shares.QUESTION,
        "Shares of elements that no gradient ever reached, whose update epsilon sets rather than the gradients, and "
        "whose update is lost in the weights' rounding.",
        shares.answer,
        plot_shares,
        ("untouched", "untouched_rows", "epsilon_dominated", "lost_in_rounding"),
    ),
    FigureKind(
        "gradients",
        gradients.QUESTION,
        "The root mean square of the gradients between one checkpoint and the next, which nobody need have logged: "
        "second moments hold it. A band is where the plain root mean square over the window's updates must lie.",
        gradients.answer,
        plot_gradients,
        ("window_gradient_rms", "window_gradient_rms_low", "window_gradient_rms_high", "second_moment_mean"),
        needs_series=True,
        column="window_gradient_rms",
        reason_without_column="no checkpoint is known to have led to the next by a known number of updates with a "
        "second moment that averages squared gradients",
    ),
    FigureKind(
        "movement",
        movement.QUESTION,
        "The root mean square of the last update over a parameter's elements: what it really moved, whatever its "
        "effective learning rate.",
        movement.answer,
        plot_movement,
        ("update_rms", "update_max", "relative_update_rms"),
        column="update_rms",
        reason_without_column=_NO_UPDATES,
    ),
)
"""Numbered in this order in the names of a report's files."""

_SHOWN = (
    "movement", "update-to-weight", "effective-lr", "gradients", "shares", "layers-by-step", "distributions",
    "elements",
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
        return tuple(kind for kind in kinds if kind.is_default)
    return tuple(kind for kind in kinds if "all" in wanted or kind.id in wanted)
