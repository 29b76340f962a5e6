"""What an optimizer leaves behind in a file, by which a layout recognizes it without knowing any by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, NamedTuple

from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules.hyperparameters import LEARNING_RATE, Hyperparameter
from ckpt_inspect.update_rules.implementations import Implementation

SlotShape = Literal["whole", "rows", "columns"]
"""A slot's shape: the weight's; without its last axis; without its last but one. Of a weight that has fewer than two
axes the last two are single numbers."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A TensorFlow operation that makes one variable's update in a graph."""

    name: str
    """Without `Resource` before it: `ApplyAdam`."""
    inputs: Mapping[str, int] = field(default_factory=lambda: {"variable": 0})
    """Place of each input by our name: `variable`, `first_moment`, `beta1_power`, `learning_rate`, .."""
    flag: str = ""
    """Attribute that must be true for it to be this optimizer's; empty: none."""


class OptaxState(NamedTuple):
    """A state that optax keeps, by the names of its fields: a NamedTuple's own name is not saved."""

    fields: frozenset[str]
    """All of them."""
    slots: Mapping[str, str]
    """Our name of the slot by the field that holds it: a tree of arrays as the parameters' tree is."""

    @classmethod
    def of(cls, fields: str, **slots: str) -> OptaxState:
        """Take the fields' names with spaces between."""
        return cls(frozenset(fields.split()), slots)


OPTAX_MOMENTS = OptaxState.of("count mu nu", mu="first_moment", nu="second_moment")
"""ScaleByAdamState and ScaleByBeliefState of optax/_src/transform.py."""
OPTAX_ADAM = frozenset({"learning_rate", "b1", "b2", "eps", "eps_root"})
"""Numbers that `optax.adam` takes."""


class Traces(NamedTuple):
    """What distinguishes one optimizer from the others."""

    class_names: tuple[str, ...]
    """Names of its classes, which are also the default names of the class's slots; in lower case,
    without `_` and `optimizer` at the end: `rectifiedadam`."""
    implementations: tuple[Implementation, ...] = ()
    """Who has it."""
    slots: tuple[frozenset[str], ...] = ()
    """Sets of slots that nothing else keeps: as OptimizerV2 calls them, or as the readers of Keras' lists do."""
    usual_slots: tuple[frozenset[str], ...] = ()
    """Sets that it is usually behind, if neither a class nor a name decides; in Keras' lists, those of the kind of
    moment that stands first."""
    scalars: tuple[str, ...] = ()
    """Scalars any of which identifies it, unless another rule has it too: `sma_threshold`, `momentum_cache`."""
    bare_scalars: tuple[str, ...] = ()
    """Scalars any of which identifies it if there are no slots."""
    operations: tuple[Operation, ...] = ()
    slots_in_tf1: tuple[str, ...] = ("slot", "slot_1", "slot_2")
    """Our names of `X`, `X_1`, .. under a variable's name; of a rule with a pair of moments those of its own."""
    more_slots_in_tf1: tuple[str, ...] = ()
    """The same if there are more of them than that, because some option adds one between."""
    squares_in_tf1: tuple[bool, ...] | None = None
    """Of an optimizer without a pair of moments: whether each of its slots `X`, `X_1`, .. in TensorFlow 1 holds
    squares, which are nowhere negative, or gradients and steps, which have both signs; None: not known."""
    slots_in_lists: tuple[tuple[str, str], ...] = ()
    """Of an optimizer without a pair of moments: its slots in Keras' lists of nameless variables, each for all weights
    in a row, with the switch in the configuration that it is kept for; empty: always."""
    slots_by_turns: tuple[tuple[str, SlotShape], ...] = ()
    """The same if the slots of each weight stand together, weight after weight, and whose shapes they have."""
    keeps_norms: bool = False
    """Whether its `v` is one number for each variable."""
    squares_in_lists: frozenset[str] | None = None
    """Of the slots in Keras' lists, of either kind, those that hold squares, which are nowhere negative; the others
    have both signs; None: not known."""
    pairs_some: bool = False
    """Whether it keeps Adam's pair for some variables, in Keras' lists one after the other, and for the others the
    first of the two alone."""
    optax_states: tuple[OptaxState, ...] = ()
    """States of optax that it is behind."""
    optax_arguments: frozenset[str] = frozenset()
    """Numbers that optax' function of it takes, as `inject_hyperparams` keeps them."""
    optax_links: int = 1
    """Links of optax' chain that follow its state: weight decay, trust ratio, learning rate."""
    keras_rate: float = 0.001
    """Learning rate of its class in Keras since OptimizerV2 where none is given."""
    shares_slot_name: str = ""
    """Class whose name contrib's version gives its slots, if that is another's; as in `class_names`."""


class NamedOptimizer(NamedTuple):
    """An optimizer that is recognized and has no formula here."""

    name: str
    traces: Traces
    hyperparameters: tuple[Hyperparameter, ...] = (LEARNING_RATE,)
    has_moment_pair: bool = False
    """As `UpdateRule.has_moment_pair`."""
    with_maximum: str = ""
    """As `UpdateRule.with_maximum`."""
    more_hyperparameters: tuple[Hyperparameter, ...] = ()

    def hyperparameters_in(self, implementation: Implementation) -> tuple[Hyperparameter, ...]:
        """Return them all."""
        return self.hyperparameters
