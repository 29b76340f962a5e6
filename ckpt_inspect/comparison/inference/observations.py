"""What the inference takes: one optimizer in each checkpoint of a run, by its own file, and chosen elements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.layouts.found import Counted
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.update_rules import Implementation, UpdateRule


@dataclass(frozen=True, slots=True)
class Moments:
    """Chosen elements of one parameter in one checkpoint: 1-d arrays of one length, in the file's own dtype.

    The elements must be the same ones, in the same order, in every checkpoint of the run.
    """

    first: Array | None = None
    """m; None if the file holds none."""
    second: Array | None = None
    """v; of a rule that keeps something else in its place, that."""
    max_second: Array | None = None
    """AMSGrad's maximum of v."""
    value: Array | None = None
    """θ."""

    @property
    def size(self) -> int:
        """Return how many elements there are."""
        return max((a.size for a in (self.first, self.second, self.max_second, self.value) if a is not None), default=0)

    def up_to(self, count: int) -> Moments:
        """Return the first so many elements."""
        if count == self.size:
            return self
        arrays = (self.first, self.second, self.max_second, self.value)
        return Moments(*(None if a is None else a[:count] for a in arrays))


@dataclass(frozen=True, slots=True)
class Observation:
    """One optimizer in one checkpoint."""

    checkpoint: str
    """Short name, for evidence."""
    rule: Sourced[str]
    update_rule: UpdateRule | None
    """None if this package has no formula for it: then nothing is inferred."""
    implementation: Implementation
    layout: str
    step: Sourced[int]
    """The exponent of the last update, as this file alone tells it."""
    raw_step: int | None
    """What the counter holds; None if the file has no counter."""
    counted: Counted
    """What that counter counts, as the layout reads it."""
    hyperparameters: Mapping[str, Sourced[float]]
    """As this file alone tells them, after the values that were given."""
    moves_by_itself: bool
    """Whether something else than the update may move the weights too: an average that overwrites them, Lookahead."""
    elements: Mapping[str, Moments]
    """By the parameter's name. May load lazily: `infer` looks at two observations at a time, each parameter once."""
    others: Mapping[str, float]
    """`Settings.others` of the optimizer."""

    @property
    def family(self) -> str:
        """Return the implementation's id, as `OptimizerState.family`."""
        return self.implementation.id

    @property
    def is_lazy(self) -> bool:
        """Return whether a sparse gradient may leave elements alone that it doesn't touch."""
        return self.implementation.is_lazy or (self.update_rule is not None and self.update_rule.is_lazy)

    @property
    def counts_gradients(self) -> bool:
        """Return whether the counter counts accumulated gradients, of which several make one update."""
        return self.counted.startswith("gradients")

    def exponent(self, accumulated: int | None) -> int | None:
        """Return the exponent of the last update: as resolved, or from the raw count if an update took that many
        gradients; None if it is not known."""
        if self.step.value is not None or accumulated is None or self.raw_step is None:
            return self.step.value
        applied = self.raw_step - self.raw_step % accumulated
        if self.counted == "gradients-to-divide":
            return self.raw_step // accumulated
        return applied if self.counted == "gradients" or accumulated == 1 else None


def in_common(a: Observation, b: Observation) -> Iterator[tuple[str, Moments, Moments]]:
    """Yield each parameter that both have, with its elements: the first of them, where a store kept fewer than are
    looked at in a file."""
    for name, one in a.elements.items():
        two = b.elements.get(name)
        if two is not None:
            length = min(one.size, two.size)
            yield name, one.up_to(length), two.up_to(length)
