"""What the inference gives: values with their evidence, what each pair of checkpoints showed, what is refuted."""

from __future__ import annotations

from collections.abc import Mapping

from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import Sourced


@dataclass(frozen=True, slots=True)
class Interval:
    """A best value, and the range that the evidence leaves."""

    best: float | None
    """None if the evidence gives a bound only."""
    low: float
    """0 if there is no bound from below."""
    high: float
    """Infinity if there is no bound from above."""


@dataclass(frozen=True, slots=True)
class WindowEvidence:
    """What one pair of checkpoints showed about the updates between them."""

    before: str
    after: str
    """Short names of the two checkpoints."""
    places: tuple[int, int]
    """Their places in the sequence that was given."""
    counted: int | None
    """By how much the counter rose."""
    decays: int | None = None
    """How many times the moments decayed; fewer than counted if updates were skipped or gradients accumulated."""
    beta_1: float | None = None
    beta_2: float | None = None
    """What this window alone tells, or agrees with."""
    beta_2_bound: float | None = None
    """No larger beta_2 can have been used in this window; None if the pair doesn't continue one run."""
    silent: int = 0
    """Elements that no gradient reached in the window, by both moments."""
    different: int = 0
    """How many different second moments these have."""
    learning_rate: Interval | None = None
    """Rate of the first updates after `before`; not that of any checkpoint unless windows agree."""
    epsilon: Interval | None = None
    """`best` None: at most `high`, and nothing that was computed depends on it."""
    decay: Interval | None = None
    """Share of a weight that one update's decoupled decay took."""
    chi: float | None = None
    """Root mean square of the fit's residuals in units of the rounding; above about 1.5 it is refused."""
    refusal: str = ""
    """Why nothing was claimed, for a person; empty if something was."""
    is_continuous: bool = True
    """Whether `after` can have followed from `before` without a break (reset, another run)."""
    updates: int | None = None
    """Updates between the two: by the decay of the moments, or else by the counter; None if it counts accumulated
    gradients, and it is not known how many an update took."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """An assumed or read value that the run's checkpoints refute."""

    name: str
    """`beta_2`, `learning_rate`, .."""
    value: float
    """What is refuted."""
    bound: float
    """What the evidence allows at most (`beta_2`) or at least (`learning_rate`)."""
    is_at_most: bool
    """Whether `bound` is the largest possible value rather than the smallest."""
    places: tuple[int, ...]
    """Places of the checkpoints whose value is refuted, in the sequence that was given."""
    checkpoints: tuple[str, ...]
    """Short names of the two checkpoints that are the evidence."""
    elements: int
    """How many elements are the evidence."""
    sentence: str
    """The whole of it, for a person."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What the checkpoints of a run tell together of one optimizer."""

    values: tuple[Mapping[str, Sourced[float]], ...]
    """For each observation, by name (`beta_1`, `beta_2`, `epsilon`, `learning_rate`, `weight_decay`, `step`): only
    where the file itself left a default or nothing. Source `inferred`; `where` is the evidence."""
    windows: tuple[WindowEvidence, ...] = ()
    """Every pair that was tried, in the order of the later checkpoint."""
    contradictions: tuple[Contradiction, ...] = ()
    rule: Sourced[str] | None = None
    """The rule, if the files' names leave open which of several it is, and the elements show it."""
