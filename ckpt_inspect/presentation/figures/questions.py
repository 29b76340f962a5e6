"""The words of every figure, as plain data: what it asks, its axis with the unit, how to read it, when it can be drawn.

Pictures and the page's charts take them from here, so that both say the same.
"""

from __future__ import annotations

from ckpt_inspect.records import dataclass

KERNELS, VECTORS = "Kernels and embeddings", "Biases and norms"
"""The two kinds of parameters, which have panels of their own: vectors move unlike kernels."""
RATE = "E/α, per unit of gradient"
"""Axis of effective learning rates: α, and with it any schedule, is divided out."""
NOT_FINITE = "NaN or infinite values"
"""Mark of the first checkpoint with any."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual of a quantity: a band, and a line in it."""

    low: float
    high: float
    line: float
    band_text: str
    line_text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a figure asks, and how it is read."""

    id: str
    """Stable, in kebab-case; files and links are named by it."""
    question: str
    """Its title."""
    label: str
    """What its axis of values shows, with the unit."""
    caption: str
    """What is shown, how to read it, and what is usual."""
    metrics: tuple[str, ...]
    """The variables that it shows; findings say by these where they can be seen."""
    usual: Usual | None = None
    of_picture: str = ""
    """What is so of the picture alone, and not of the page's chart."""
    needs: str = "parameters"
    """The kind of frame without which there is nothing to draw: `parameters` or `histogram`."""
    needs_series: bool = False
    """Whether it takes more than one checkpoint."""
    column: str = ""
    """A column that has to hold something above 0 anywhere; empty: none has to."""
    reason_if_unknown: str = ""
    """Why it may hold nothing that is known, in half a sentence."""
    reason_if_zero: str = ""
    """What it means if all that it holds is 0, in half a sentence."""
    is_default: bool = True
    """Whether a report has it unless told otherwise: what a person acts on."""
    rests_on: tuple[str, ...] | None = None
    """The hyperparameters that its figures are computed with; None: with all."""

    @property
    def note(self) -> str:
        """Return how to read the picture; below it."""
        return " ".join(filter(None, (self.caption, self.of_picture)))


_UNKNOWN_UPDATES = "the size of the updates is not known, for example because the learning rate isn't"
_NO_UPDATES = "every known update is 0: nothing moves"

_ALL_ZERO = "every known effective learning rate is 0: gradients move nothing"

EFFECTIVE_LR = Question(
    "effective-lr",
    "How does Adam scale each layer's gradients?",
    RATE,
    "Medians over a parameter's touched elements. E is a rate, per unit of gradient, not a distance: a layer with "
    "tiny gradients has a large E and moves like the others. 1 would be plain gradient descent.",
    ("effective_lr", "effective_lr_mean", "learning_rate"),
    column="effective_lr_median",
    reason_if_zero=_ALL_ZERO,
)
LAYERS_BY_STEP = Question(
    "layers-by-step",
    "Which layers does Adam scale up, and when?",
    RATE,
    "A row for each parameter, a column for each checkpoint. The colour is the median of E/α, per unit of gradient.",
    ("effective_lr",),
    of_picture="Of many parameters some have a label, of many checkpoints some have a column. Hatched: not defined.",
    column="effective_lr_median",
    reason_if_zero=_ALL_ZERO,
    needs_series=True,
    is_default=False,
)
DISTRIBUTIONS = Question(
    "distributions",
    "How widely are effective learning rates spread within each layer?",
    RATE,
    "How E/α is spread over a layer's touched elements. A wide hill: Adam scales the elements very differently. A "
    "narrow hill: plain gradient descent would treat them alike.",
    ("effective_lr", "effective_lr_histogram"),
    of_picture="A hill's area is its touched elements. E is per unit of gradient: a large E is not a large step.",
    column="effective_lr_median",
    reason_if_zero=_ALL_ZERO,
    needs="histogram",
    is_default=False,
)
UPDATE_TO_WEIGHT = Question(
    "update-to-weight",
    "Are the updates in proportion to the weights?",
    "‖Δ‖/‖θ‖, ratio of norms",
    "The norm of the last update over the norm of the weights. About 0.001 is usual; above 0.01 is too fast; below "
    "0.0001 a layer hardly learns. There is no value if the weights are all zero, or the state doesn't determine the "
    "update. Biases start at zero, so their ratio is often larger.",
    ("update_to_weight", "weight_rms"),
    # Below, a layer barely learns; above, it changes too fast (Karpathy, makemore part 3; MosaicML's OptimizerMonitor)
    usual=Usual(1e-4, 1e-2, 1e-3, "usual, 0.0001 to 0.01", "rule of thumb, 0.001"),
    column="update_to_weight",
    reason_if_unknown=_UNKNOWN_UPDATES,
    reason_if_zero=_NO_UPDATES,
)
ELEMENTS = Question(
    "elements",
    "What do single weights see?",
    RATE,
    "E/α of a layer's touched elements, per unit of gradient: the median, and the middle 90 %.",
    ("effective_lr_sample", "second_moment_sample"),
    column="effective_lr_median",
    reason_if_zero=_ALL_ZERO,
    needs_series=True,
    is_default=False,
)
SHARES = Question(
    "shares",
    "Where does the optimizer not adapt?",
    "share of elements",
    "Untouched: no gradient has ever reached the element. ε-dominated: a touched element whose update is set by ε, not "
    "by its gradients. Lost in rounding: the last update was too small to change the weight.",
    ("untouched", "untouched_rows", "epsilon_dominated", "lost_in_rounding"),
    reason_if_zero="no element is known to be untouched, ε-dominated or lost in rounding in any checkpoint",
)
GRADIENTS = Question(
    "gradients",
    "How large were the gradients?",
    "RMS of the gradients",
    "The root mean square of the gradients between one checkpoint and the next, computed from the second moments, so "
    "that no log is needed. Its unit is loss per unit of weight. Each point covers the updates up to that checkpoint; "
    "the latest count most, as in v. With one or two lines, a band shows the bounds of the unweighted RMS.",
    ("window_gradient_rms", "window_gradient_rms_low", "window_gradient_rms_high", "second_moment_mean"),
    needs_series=True,
    column="window_gradient_rms",
    reason_if_unknown="it takes two checkpoints of one training, the number of updates between them, and a β2 below 1 "
    "that they don't contradict",
    reason_if_zero="every known gradient is 0",
    rests_on=("beta_2",),
)
MOVEMENT = Question(
    "movement",
    "How far does each layer move in a step?",
    "RMS of Δ",
    "The root mean square of the last update over a parameter's elements, in the weights' own unit: how far it really "
    "moved, whatever its effective learning rate. Δ/α is free of a schedule. There is no value if the state doesn't "
    "determine the update.",
    ("update_rms", "update_max", "relative_update_rms"),
    column="update_rms",
    reason_if_unknown=_UNKNOWN_UPDATES,
    reason_if_zero=_NO_UPDATES,
)
PATH = Question(
    "path",
    "How far have the weights come?",
    "RMS of θ − θ₁",
    "How far the weights are from their values in the first checkpoint that led here, as root mean square over a "
    "parameter, in the weights' own unit; and how far they moved per update since the checkpoint before. A checkpoint "
    "that doesn't continue the one before starts a new path. Of large parameters some elements are followed.",
    ("path_distance", "path_straightness", "window_displacement"),
    needs_series=True,
    column="path_distance",
    reason_if_unknown="no checkpoint is known to have led to the next, or the files hold no weights",
    reason_if_zero="no weight moved",
    is_default=False,
    rests_on=(),
)
CHANGES = Question(
    "changes",
    "What changed between the two checkpoints?",
    "change, ‖b − a‖/‖a‖",
    "E is per unit of gradient: a larger E is not a larger step. Numbers stand at the extremes.",
    (),
)
CHANGE_BY_RATE = Question(
    "change-by-rate",
    "Did the weights with larger effective learning rates move further?",
    "change of the weights, ‖b − a‖/‖a‖ (ratio of norms)",
    "Not drawn: tensors without optimizer state, and tensors that did not move.",
    (),
)
"""A diff's, which no page shows."""
QUESTIONS = {
    asks.id: asks
    for asks in (
        EFFECTIVE_LR, LAYERS_BY_STEP, DISTRIBUTIONS, UPDATE_TO_WEIGHT, ELEMENTS, SHARES, GRADIENTS, MOVEMENT, PATH,
    )
}  # fmt: skip
"""A report's, by id, in the order in which their files are numbered."""

DISPLACEMENT = "RMS of θ − θ₀, per update"
"""Axis of how far weights moved since the checkpoint before, θ₀."""
RELATIVE_MOVEMENT = "RMS of Δ/α"
"""Axis of what moved, without a schedule."""
SCHEDULED = 1.5
"""A learning rate that changed by more than this factor over a run is divided out."""
SHARE_LABELS = {
    "untouched": "untouched (v = 0)",
    "epsilon_dominated": "ε-dominated (√v < ε)",
    "lost_in_rounding": "lost in rounding (|Δ| < ½ ulp θ)",
}
"""By column."""
LEAST_SHARE = 0.0005
"""One that rounds to 0.1 % or more anywhere in the run has its parameter shown."""
