"""What differs between two checkpoints, as data; `comparison` computes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.update_rules import STATE_SLOTS

Status = Literal["added", "removed", "reshaped", "changed", "same"]
STATUSES: tuple[Status, ...] = ("reshaped", "added", "removed", "changed", "same")
"""In the order in which they are listed."""

NAN = math.nan


@dataclass(frozen=True, slots=True)
class ParameterDiff:
    """One parameter, or one tensor that no optimizer knows, in both checkpoints."""

    optimizer: str
    """The optimizer's name in the second checkpoint (in the first if only that has it); empty for other tensors."""
    parameter: str
    """The parameter's name; for other tensors the key, without an object graph's tail."""
    status: Status
    """`same`: weights and every slot variable are the same bit for bit; there is no hidden tolerance."""
    shape_a: tuple[int, ...] | None
    """None if the first checkpoint doesn't have it."""
    shape_b: tuple[int, ...] | None
    dtype_a: str | None
    dtype_b: str | None
    weight_change: float = NAN
    """‖b-a‖/‖a‖ of the weights; 0 for the same bits, infinite from all zeros; NaN if one has no weights."""
    weight_cosine: float = NAN
    """Cosine between both as vectors, in [-1, 1]; NaN if one is all zeros."""
    weight_norm_a: float = NAN
    weight_norm_b: float = NAN
    weight_distance: float = NAN
    """‖b-a‖."""
    slot_changes: Mapping[str, float] = field(default_factory=dict)
    """‖b-a‖/‖a‖ of each slot variable that both have, by its name."""
    is_zeroed: bool = False
    """Whether all moments, or what the rule keeps in their place, are 0 in b, and not in a."""
    effective_lr_a: float = NAN
    """Median effective learning rate over touched elements, within 1 %; NaN if it is not defined."""
    effective_lr_b: float = NAN
    is_effective_lr_relative: bool = False
    """Whether the medians are of E/α, the learning rate of one or both not being known."""
    gradient_rms: float = NAN
    """√mean((v2 - beta_2**k·v1)/(1 - beta_2**k)): the gradients between the two, k updates apart."""
    starved: float = NAN
    """Share of the elements touched in a that no gradient reached between the two: v2 = beta_2**k·v1 to rounding."""
    impossible: float = NAN
    """Share of those whose second moment fell faster than k updates can make it fall: another run, or a reset."""

    @property
    def size(self) -> int:
        """Return the number of elements, in b if b has it."""
        return math.prod(self.shape_b if self.shape_b is not None else self.shape_a or ())

    @property
    def first_moment_change(self) -> float:
        """Return ‖b-a‖/‖a‖ of the first moment; NaN if one has none."""
        return self.slot_changes.get("first_moment", NAN)

    @property
    def second_moment_change(self) -> float:
        """Return ‖b-a‖/‖a‖ of the second moment, or what stands in its place (Adamax: the infinity norm); NaN for
        none."""
        return next((self.slot_changes[s] for s in STATE_SLOTS["second_moment"] if s in self.slot_changes), NAN)

    @property
    def effective_lr_ratio(self) -> float:
        """Return the median effective learning rate of b over that of a."""
        return self.effective_lr_b / self.effective_lr_a if self.effective_lr_a > 0.0 else NAN

    def rank(self) -> tuple[float, ...]:
        """Return a sorting key that puts first what changed most: by the weights, then the moments, then the learning
        rate."""
        ratio = self.effective_lr_ratio
        return (
            STATUSES.index(self.status),
            is_integer(self.dtype_b or self.dtype_a or ""),
            -_or_zero(self.weight_change),
            -_or_zero(self.second_moment_change),
            -_or_zero(self.first_moment_change),
            -abs(math.log(ratio)) if ratio > 0.0 else 0.0,
        )


@dataclass(frozen=True, slots=True)
class HyperparameterDiff:
    """One resolved value of an optimizer (`rule`, `step` or a hyperparameter) in both."""

    name: str
    a: Sourced[float | str]
    b: Sourced[float | str]
    against_a: str = ""
    """Why the value of a can't be right, as b shows; empty if nothing shows it."""
    against_b: str = ""
    is_inferred: bool = False
    """Whether the two checkpoints together tell the value of at least one, which its file leaves open."""

    @property
    def is_told(self) -> bool:
        """Return whether the two checkpoints together tell, or refute, a value."""
        return self.is_inferred or bool(self.against_a or self.against_b)

    @property
    def is_changed(self) -> bool:
        """Return whether the values differ; a value that merely has another source has not changed."""
        return bool(self.a.value != self.b.value)


@dataclass(frozen=True, slots=True)
class OptimizerDiff:
    """One optimizer in both checkpoints, or in only one of them."""

    name: str
    """Its name in b, or in a if b doesn't have it."""
    status: Status
    """`added`, `removed`, `changed` if a resolved value differs, else `same`; says nothing of its tensors."""
    hyperparameters: tuple[HyperparameterDiff, ...] = ()
    """Rule, step and every hyperparameter, changed or not; empty if only one checkpoint has the optimizer."""
    steps: int | None = None
    """Updates from a to b; negative if b is the earlier one; None if a step is not known."""

    @property
    def changed_hyperparameters(self) -> tuple[HyperparameterDiff, ...]:
        """Return those whose values differ; the step is in `steps`."""
        return tuple(h for h in self.hyperparameters if h.is_changed and h.name != "step")


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between two checkpoints."""

    path_a: str
    path_b: str
    optimizers: tuple[OptimizerDiff, ...]
    parameters: tuple[ParameterDiff, ...]
    """What changed most first: reshaped, added, removed, then by the relative change of the weights, then the same."""
    problems: tuple[Problem, ...] = ()
    """What was odd about the pair, or in either of them."""
    scalars: tuple[ParameterDiff, ...] = ()
    """Single numbers that are no parameters: counters, rates, loss scales."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names in b -> names in a of parameters that are compared although their names differ."""
    infers: bool = True
    """Whether what the two tell together stood in for defaults."""

    @property
    def is_same(self) -> bool:
        """Return whether all tensors compared have the same names and bits and every resolved value is the same."""
        rows = (*self.parameters, *self.scalars)
        return (
            not self.renamed
            and all(row.status == "same" for row in rows)
            and all(optimizer.status == "same" for optimizer in self.optimizers)
        )

    @property
    def counts(self) -> dict[Status, int]:
        """Return the number of parameters and tensors of each status."""
        return {status: sum(p.status == status for p in self.parameters) for status in STATUSES}


COLUMNS = (
    "optimizer", "parameter", "status", "shape_a", "shape_b", "dtype_a", "dtype_b", "size",
    "weight_change", "weight_cosine", "weight_norm_a", "weight_norm_b", "weight_distance",
    "effective_lr_a", "effective_lr_b", "is_effective_lr_relative", "effective_lr_ratio",
    "first_moment_change", "second_moment_change",
    "gradient_rms", "starved", "impossible",
)  # fmt: skip
"""Fields and derived figures of a `ParameterDiff`, as the columns of a table."""


def row(parameter: ParameterDiff) -> dict[str, object]:
    """Return the values of `COLUMNS`."""
    return {name: getattr(parameter, name) for name in COLUMNS}


def is_integer(dtype: str) -> bool:
    """Return whether an element type, by its name, is one of whole numbers, truth values or strings."""
    return dtype.startswith(("int", "uint", "bool", "string"))


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
