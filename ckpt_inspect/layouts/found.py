"""What a layout finds: names of tensors, and nothing computed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ckpt_inspect.checkpoint import Problem

Family = Literal["tf1", "contrib", "optimizer-v2", "tfa", "keras2", "keras3", "keras1", "bert"]
"""Who implemented the update: decides defaults, dtype arithmetic and what varies inside a rule.

tf1 tf.train.*Optimizer; contrib tf.contrib.opt; optimizer-v2 Keras' OptimizerV2 (TF 1.15-2.10, legacy later); tfa
TensorFlow Addons on OptimizerV2; keras2 Keras 2.11-2.15 and tf_keras; keras3; keras1 Keras before OptimizerV2; bert
google-research/bert's AdamWeightDecayOptimizer.
"""


@dataclass(frozen=True, slots=True)
class RuleReading:
    """Which update rule the file speaks of, and how plainly."""

    name: str
    """The update rule, or the other optimizer (`rmsprop`, `sgd`, ..) that this is."""
    is_read: bool
    """Whether the file says so; False where it is merely the usual reading of such a layout."""
    where: str
    """The evidence, for a person."""
    alternatives: tuple[str, ...] = ()
    """Other rules that the same file could have come from."""
    is_inferred: bool = False
    """Whether the values of the state say so (`is_read` is False then); `where` is the evidence."""


@dataclass(frozen=True, slots=True)
class FoundParameter:
    """One trained variable and the keys of its slot variables; None where the file holds none."""

    name: str
    """The variable's own name where the file has it, without `:0`; unique within its optimizer."""
    shape: tuple[int, ...]
    dtype: str
    value: str | None = None
    """Key of the variable's own tensor."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Key of each slot variable by our name: `first_moment`, `second_moment`, `max_second_moment`, `infinity_norm`,
    `average`, `accumulator`, or the upstream name for anything else."""


@dataclass(frozen=True, slots=True)
class FoundOptimizer:
    """One optimizer's state in one checkpoint, by name."""

    name: str
    """Unique in the checkpoint: its path in the object graph (`optimizer`, `trainer/opt`), or its slots' name
    (`Adam`)."""
    layout: str
    """The layout's id, one of `layouts.LAYOUTS`."""
    family: Family
    rule: RuleReading
    parameters: tuple[FoundParameter, ...] = ()
    counter: str | None = None
    """Key of the scalar that counts this optimizer's updates."""
    beta_powers: tuple[str | None, str | None] = (None, None)
    """Keys of TF1's beta1_power and beta2_power, both beta**(step + 1)."""
    scalars: Mapping[str, str] = field(default_factory=dict)
    """Keys of hyperparameter tensors by our name: `learning_rate`, `beta_1`, `decay`, `weight_decay`, .."""
    config: Mapping[str, Any] | None = None
    """This optimizer's own Keras configuration (innermost, unwrapped)."""
    config_where: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Hyperparameters read from a graph's constants."""
    constants_where: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else a rule of this family needs, by its name there."""
    problems: tuple[Problem, ...] = ()


def adam_of_tf1(slot_name: str) -> RuleReading:
    """TF1's Adam, by the name of its slots, which it shares with two optimizers of tf.contrib."""
    where = f"slots are named {slot_name!r}, as also contrib's NadamOptimizer and LazyAdamOptimizer name theirs"
    return RuleReading("adam", False, where, ("nadam", "lazyadam"))


def unique_names(names: Iterable[str]) -> list[str]:
    """The names in their order, a second variable of the same name as `name#2`."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique
