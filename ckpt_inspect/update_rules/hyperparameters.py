"""The hyperparameters that rules have, by name: what they mean, what bounds them, and what stands in for them.

A rule lists its own. Those that several rules share are here; what one rule alone has stands in that rule's file.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules.implementations import OPTAX, Implementation

_LARGEST = float.fromhex("0x1.fffffep+127")

Default = float | None | Callable[[Implementation], float | None]
"""A default, the same everywhere or by implementation; None: there is none, the value has to be read or given."""


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A number that a rule's formula or its state depends on."""

    name: str
    """As it is shown, stored and given."""
    meaning: str
    """One sentence."""
    formula: str = ""
    """Where it stands in the update."""
    reading: str = ""
    """What a person makes of its value."""
    default: Default = None
    spellings: tuple[str, ...] = ()
    """Upstream's names of it, in checkpoints and configurations alike, the first that is there counts; none: `name`."""
    is_flag: bool = False
    """Whether it is on or off: False or True, and 0 or 1 in a store."""
    is_below_one: bool = False
    """Whether it must be below 1, as a decay rate must."""
    array: str = ""
    """Of a flag: the field of `State` that exists only if it is on; empty: no field shows it."""

    starts: str = ""
    """Slot that starts from this value, in every element; empty: none."""
    kept_as: tuple[str, ...] = ()
    """Slots, as their file calls them, that are kept only if it isn't its default: by all but the implementations that
    always keep them."""
    only_in: tuple[Implementation, ...] = ()
    """The implementations that have it; empty: all that have the rule."""
    not_in: tuple[Implementation, ...] = ()
    """Of these, the ones that don't: its rule may be given for a file of any other."""

    @property
    def upstream_names(self) -> tuple[str, ...]:
        """Return the names to look for."""
        return self.spellings or (self.name,)

    def is_in(self, implementation: Implementation) -> bool:
        """Return whether that implementation has it."""
        return (not self.only_in or implementation in self.only_in) and implementation not in self.not_in

    def fault(self, value: float) -> str | None:
        """Return what the value must be, if it can't be this hyperparameter's; None for a possible one."""
        if self.is_flag:
            return None if value in (0, 1) else "must be 0 or 1"
        if self.is_below_one:
            return None if 0 <= value < 1 else "must be from 0 up to, not including, 1"
        if not math.isfinite(value):
            return "must be finite"
        if value > _LARGEST:
            return "must be at most 3.4e38, float32's largest number"
        return None if value >= 0 else "must not be negative"

    def default_in(self, implementation: Implementation) -> float | None:
        """Return the implementation's default; None if it has none, or no such hyperparameter."""
        if not self.is_in(implementation):
            return None
        return self.default(implementation) if callable(self.default) else self.default


LEARNING_RATE = Hyperparameter(
    "learning_rate",
    "Nominal learning rate α of the last update, after schedules and decay.",
    "α of the last update: schedule(t-1), α/(1 + decay·(t-1))",
    "A callback may have changed it since.",
)
BETA_1 = Hyperparameter(
    "beta_1",
    "Decay rate of the first moment.",
    "m ← β1·m + (1-β1)·g",
    "m averages about the last 1/(1-β1) gradients.",
    default=0.9,
    is_below_one=True,
)
BETA_2 = Hyperparameter(
    "beta_2",
    "Decay rate of the second moment.",
    "v ← β2·v + (1-β2)·g²",
    "v averages about the last 1/(1-β2) squared gradients.",
    default=0.999,
    is_below_one=True,
)
EPSILON = Hyperparameter(
    "epsilon",
    "Constant in the denominator, at this rule's place.",
    "its place differs by rule: √v + ε in TensorFlow's and Keras' Adam",
    "Hardly any checkpoint holds it as a tensor.",
    default=lambda implementation: implementation.default_epsilon,
)
EPSILON_ROOT = Hyperparameter(
    "epsilon_root",
    "Constant under the root in the denominator, beside epsilon.",
    "√(v/c2 + ε_root) + ε in optax",
    "0 unless the program differentiates through the updates.",
    default=0.0,
    spellings=("epsilon_root", "eps_root"),
    only_in=(OPTAX,),
)
WEIGHT_DECAY = Hyperparameter(
    "weight_decay",
    "Decoupled weight decay.",
    "θ ← θ - d·θ, d = α·wd (Keras, optax) or wd (TensorFlow Addons, contrib)",
    "Only a configuration of TensorFlow Addons says which variables were excluded.",
    default=0.0,
    spellings=("weight_decay", "weight_decay_rate"),
)
MOMENTUM = Hyperparameter(
    "momentum",
    "Share of the step before that each step takes along.",
    "b ← μ·b + the new step; θ ← θ - b",
    "0: no momentum. Near 1, a step is about 1/(1-μ) new ones.",
    default=0.0,
    is_below_one=True,
    kept_as=("momentum", "trace"),
)

COMMON = (LEARNING_RATE, BETA_1, BETA_2, EPSILON, WEIGHT_DECAY)
"""What Adam and most of what derives from it have. Every store has a place for each, NaN if a rule has none."""
