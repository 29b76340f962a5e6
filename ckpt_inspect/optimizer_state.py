"""An optimizer's state in one checkpoint, with every hyperparameter resolved: where layouts meet rules. (Interface.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ckpt_inspect.checkpoint import Array, Checkpoint, Problem
from ckpt_inspect.hyperparameters import Sourced
from ckpt_inspect.layouts.found import FoundParameter
from ckpt_inspect.update_rules import Settings, State, UpdateRule


@dataclass(frozen=True, slots=True)
class Parameter:
    """One trained variable with its optimizer state; arrays are read when asked for."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    found: FoundParameter
    checkpoint: Checkpoint
    update_rule: UpdateRule | None
    settings: Settings

    def value(self) -> Array | None: ...
    def first_moment(self) -> Array | None: ...
    def second_moment(self) -> Array | None: ...
    def max_second_moment(self) -> Array | None: ...
    def effective_lr(self) -> Array | None: ...
    def last_update(self) -> Array | None: ...
    def state(self) -> State: ...  # whole arrays


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """One optimizer in one checkpoint."""

    name: str
    rule: str
    rule_source: Sourced
    """Its value is `rule`; the source says whether it was read or is the default reading of such a layout."""
    layout: str
    family: str
    step: Sourced
    hyperparameters: Mapping[str, Sourced]
    parameters: Mapping[str, Parameter]
    update_rule: UpdateRule | None
    """None for an optimizer that is named but has no rule here (sgd, lion, ..)."""
    settings: Settings
    problems: tuple[Problem, ...]


def optimizer_states(
    checkpoint: Checkpoint, given: Mapping[str, Any] | None = None, optimizer: str | None = None
) -> tuple[OptimizerState, ...]:
    raise NotImplementedError
