"""What a layout finds: names of tensors, and nothing computed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import Source
from ckpt_inspect.update_rules import Implementation, Optimizer, UpdateRule, rules_of, rules_with_slots_of
from ckpt_inspect.update_rules.implementations import CONTRIB, TF1

if TYPE_CHECKING:  # decoding graphs takes time to import, and few checkpoints have one
    from ckpt_inspect.layouts.graph_def import GraphDef

Counted = Literal["updates", "global-step", "gradients", "gradients-to-divide", "gradients-either"]
"""What an optimizer's counter counts.

updates: this optimizer's updates; global-step: the graph's steps, in a layout that has no other counter. Keras 3 with
gradient accumulation counts every accumulated gradient. gradients: that count, as it was when the last update was made,
is the exponent of the bias correction (before 3.5); gradients-to-divide: the exponent is that count divided by the
gradients of one update (from 3.5 on); gradients-either: one of these two; the file doesn't say which.
"""


class RuleReading(NamedTuple):
    """Which update rule the file is read as, and how sure that is."""

    name: str
    """The update rule, or the other optimizer (`rmsprop`, `sgd`, ..) that this is."""
    source: Source
    """`config`, `graph` or `checkpoint` (names of tensors and slots) if the file says so; `inferred` if the values of
    the state do; `default` if it is merely the usual reading of such a layout."""
    where: str
    """The evidence, for a person."""
    alternatives: tuple[str, ...] = ()
    """Other rules that the same file could have come from."""

    @property
    def is_read(self) -> bool:
        """Return whether the file itself names the rule."""
        return self.source in ("config", "graph", "checkpoint")


@dataclass(frozen=True, slots=True)
class BetaPowerKeys:
    """Keys of one pair of TF1's `beta1_power` and `beta2_power`, which hold beta**(step + 1)."""

    beta_1: str | None = None
    beta_2: str | None = None
    """None for a power that the file doesn't hold."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys that exist."""
        return tuple(k for k in (self.beta_1, self.beta_2) if k is not None)


@dataclass(frozen=True, slots=True)
class BetaPowers:
    """The pairs of beta powers that count an optimizer's updates."""

    own: BetaPowerKeys = BetaPowerKeys()
    """The optimizer's; without keys if the file has none, or doesn't show which it is."""
    rivals: tuple[BetaPowerKeys, ...] = ()
    """All pairs that could be the optimizer's, if that is open or `own` rests on their order alone."""
    evidence: str = ""
    """Why `own` is the optimizer's, for a person, if values and not names decided."""


class GraphRate(NamedTuple):
    """A learning rate that the graph computes anew for every update."""

    graph: GraphDef
    node: str
    """Name of the node whose value it is."""
    variables: Mapping[str, str]
    """Keys of the numbers that the expression is computed from and the checkpoint holds, by their names in the
    graph."""
    scopes: frozenset[str] = frozenset()
    """Scopes of the updates that use it; empty if they aren't known, as of an optimizer that raises its own counter
    after them."""


def rate_in_graph(
    checkpoint: Checkpoint, graph: GraphDef, node: str, scopes: frozenset[str] = frozenset()
) -> GraphRate:
    """Return the learning rate that a node of the graph is, with the checkpoint's variables that it depends on."""
    tensors = checkpoint.tensors
    held = {name: name for name in graph.variables_in(node) if name in tensors and tensors[name].shape == ()}
    return GraphRate(graph, node, held, scopes)


@dataclass(frozen=True, slots=True)
class FoundParameter:
    """One trained variable and the keys of its slot variables; None if the file holds none."""

    name: str
    """The variable's own name if the file has it, without `:0`; unique within its optimizer."""
    shape: tuple[int, ...]
    dtype: str
    value: str | None = None
    """Key of the variable's own tensor."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Key of each slot variable by our name: `first_moment`, `second_moment`, `max_second_moment`, `infinity_norm`,
    `average`, `accumulator`, or the upstream name for anything else."""
    has_sparse_gradient: bool | None = None
    """Whether its gradient is that of some rows (an embedding's), by the graph; None: the file doesn't tell."""


@dataclass(frozen=True, slots=True)
class FoundOptimizer:
    """One optimizer's state in one checkpoint, by name."""

    name: str
    """Unique in the checkpoint: its path in the object graph (`optimizer`, `trainer/opt`), or its slots' name
    (`Adam`)."""
    layout: str
    """The layout's id, one of `layouts.LAYOUTS`."""
    implementation: Implementation
    """The library and version whose update formula applies."""
    rule: RuleReading
    parameters: tuple[FoundParameter, ...] = ()
    counter: str | None = None
    """Key of the scalar that counts this optimizer's updates."""
    counted: Counted = "updates"
    """What `counter` counts."""
    beta_powers: BetaPowers = BetaPowers()
    """What TF1 has in place of a counter."""
    scalars: Mapping[str, str] = field(default_factory=dict)
    """Keys of hyperparameter tensors by our name: `learning_rate`, `beta_1`, `decay`, `weight_decay`, .."""
    malformed: Mapping[str, str] = field(default_factory=dict)
    """Of `scalars` that aren't one number and were left out: what they are instead, for a person."""
    config: JsonObject | None = None
    """This optimizer's own Keras configuration (innermost, unwrapped)."""
    config_where: str = ""
    """The file and place of `config`, for a person."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Hyperparameters read from a graph's constants."""
    constants_where: str = ""
    """The graph's file, for a person."""
    graph_rate: GraphRate | None = None
    """The learning rate if the graph computes it, so that it is neither a constant nor a variable."""
    has_scheduled_rate: bool = False
    """Whether the optimizer has no variable for a constant learning rate, as if its rate is a schedule."""
    has_numbered_slots: bool = False
    """Whether slots have no names that mean anything, but stand in the order in which the optimizer made them: a rule
    that is given tells which they are."""
    absence: str | None = None
    """Why the file holds none of the optimizer's variables or moments, for a person; None if it holds some."""
    problems: tuple[Problem, ...] = ()


def rule_of_tf1_slots(slot_name: str, rule: Optimizer) -> RuleReading:
    """Read the rule from the name of TF1's slots, which optimizers of tf.contrib may share with another."""
    who = rule.traces.implementations
    is_foreign = bool(who) and (rule.traces.shares_slot_name or not {TF1, CONTRIB} & {*who})
    if is_foreign and rule.has_moment_pair and not (isinstance(rule, UpdateRule) and rule.has_maximum):
        where = f"slots are named {slot_name!r}, as no optimizer of TensorFlow 1 or tf.contrib names its own"
        others = (r.name for r in rules_of(TF1, CONTRIB) if r.has_moment_pair and r is not rule)
        return RuleReading(rule.name, "default", where, tuple(others))
    sharing = rules_with_slots_of(rule)
    if not sharing:
        return RuleReading(rule.name, "checkpoint", f"slots are named {slot_name!r}, the class's default name")
    titles = " and ".join(f"{r.title}Optimizer" for r in sharing)
    where = f"slots are named {slot_name!r}, as also contrib's {titles} name theirs"
    return RuleReading(rule.name, "default", where, tuple(r.name for r in sharing))


def whole_slot(slots: Mapping[str, str]) -> str:
    """Return the key of a slot that has its variable's shape, which means over rows or columns have not."""
    return slots.get("first_moment") or slots.get("second_moment") or next(iter(slots.values()))


def unique_names(names: Iterable[str]) -> list[str]:
    """Return the names in their order, with a second variable of the same name as `name#2`, or as the next number that
    no variable has in its own name."""
    listed = list(names)
    taken = set(listed)
    seen: Counter[str] = Counter()
    unique = []
    for name in listed:
        seen[name] += 1
        shown = name
        if seen[name] > 1:
            while (shown := f"{name}#{seen[name]}") in taken:
                seen[name] += 1
            taken.add(shown)
        unique.append(shown)
    return unique
