"""The update rules as pure functions of arrays: the effective learning rate and the last update.

Interface; the implementation follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ckpt_inspect.checkpoint import Array


@dataclass(frozen=True, slots=True)
class State:
    """One variable's arrays after the last update: whole tensors, or the same piece of each, in the file's dtype."""

    value: Array | None = None
    """θ after the update."""
    first_moment: Array | None = None
    """m, uncorrected."""
    second_moment: Array | None = None
    """v, uncorrected; Adamax: the infinity norm u."""
    max_second_moment: Array | None = None
    """AMSGrad's running maximum of the uncorrected v."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers that the formula needs, and whose formula it is."""

    family: str
    """layouts.found.Family"""
    step: int | None
    """t, the exponent of the bias correction in the last update. None: unknown."""
    learning_rate: float | None
    beta_1: float | None = None
    beta_2: float | None = None
    epsilon: float | None = None
    weight_decay: float | None = None
    is_converged: bool = False
    """step is None, but so large that both bias corrections are 1 to rounding."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What only one rule needs (`momentum_cache`, `sma_threshold`, .. ), by its upstream name."""


class UpdateRule(ABC):
    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def effective_lr(self, state: State, settings: Settings) -> Array:
        """E, elementwise. Raises NotDetermined with the reason."""

    @abstractmethod
    def last_update(self, state: State, settings: Settings) -> Array:
        """Δ, elementwise. Raises NotDetermined with the reason."""

    @abstractmethod
    def defaults(self, family: str) -> Mapping[str, float]:
        """The implementation's default hyperparameters (beta_1, beta_2, epsilon, weight_decay; never the learning rate)."""


RULES: tuple[UpdateRule, ...] = ()
