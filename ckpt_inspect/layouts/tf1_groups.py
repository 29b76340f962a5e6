"""Slots and beta powers of TF1's optimizers by their names: which are those of one optimizer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
from ckpt_inspect.layouts.evidence import contradicts_moments, contradicts_squares
from ckpt_inspect.layouts.found import BetaPowerKeys
from ckpt_inspect.layouts.validation import FLOATS
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import Optimizer, UpdateRule, optimizer_of_class, squares_in_tf1

if TYPE_CHECKING:
    from ckpt_inspect.layouts.graph_def import Application, GraphDef

AVERAGE = "ExponentialMovingAverage"
POWER = re.compile(r"^(?:(?P<scope>.+)/)?beta(?P<which>[12])_power(?:_(?P<number>[0-9]{1,9}))?$")


class Slots(NamedTuple):
    """The slots of one variable in one optimizer."""

    variable: str
    """Key of the variable's own tensor."""
    scope: str
    """Scope in which the slots were created, if it isn't the variable's own."""
    base: str
    """The optimizer's name for its slots."""
    pair: int
    """0 for `X`, `X_1`; 1 for `X_2`, `X_3`; .."""
    keys: tuple[str, ...]


class Powers(NamedTuple):
    """A pair of beta powers, as one optimizer makes them."""

    scope: str
    number: int
    keys: BetaPowerKeys


@dataclass(slots=True)
class Group:
    """The slots of one optimizer, and what is known of it."""

    name: str
    members: list[Slots]
    powers: Powers | None = None
    problems: list[Problem] = field(default_factory=list)
    graph_rule: str | None = None
    constants: dict[str, float] = field(default_factory=dict)
    scalar_nodes: dict[str, str] = field(default_factory=dict)
    scope_in_graph: str | None = None
    applications: tuple[Application, ...] = ()
    """The graph's operations that update its variables."""
    has_sparse_gradient: dict[str, bool] = field(default_factory=dict)
    """By key of a variable, whether its gradient is that of some rows, as far as the graph's operations tell."""
    lazy_rule: str | None = None
    """The rule of the same slots that leaves rows alone, moments included, if the graph's operations do."""
    not_named: str = ""
    """Why its slots can't be those of the optimizer that they are named for; empty if they can."""
    not_moments: str = ""
    """Why slots that are named for none, or for another, can't be moments; empty if they can."""
    rivals: tuple[Powers, ...] = ()
    """All pairs of powers that could be its own, if that is open."""
    evidence: str = ""
    """Why the powers are its own, if names didn't decide."""

    @property
    def base(self) -> str:
        """Return the name of its slots."""
        return self.members[0].base

    @property
    def named(self) -> Optimizer | None:
        """Return the optimizer that its slots are named for, and can be of."""
        return None if self.not_named else optimizer_of_class(self.base)


def strip_to_variable(stem: str, shape: tuple[int, ...], tensors: Mapping[str, TensorSpec]) -> str | None:
    """Return the variable that a slot's stem names: the stem, else without leading scopes, else without trailing parts.

    A slot made inside a variable scope carries that scope before the variable's name; one made for a partition inside
    a scope carries remains of the partition's name after it.
    """
    parts = stem.split("/")
    candidates = ["/".join(parts[i:]) for i in range(len(parts))] + [
        "/".join(parts[:i]) for i in range(len(parts) - 1, 0, -1)
    ]
    return next((c for c in candidates if c in tensors and tensors[c].shape == shape), None)


def has_candidates(tensors: Mapping[str, TensorSpec]) -> bool:
    """Return whether any tensor stands under the name of a variable of its shape, as a slot does."""
    return any(
        tail != AVERAGE and spec.dtype in FLOATS and strip_to_variable(stem, spec.shape, tensors) is not None
        for key, spec in tensors.items()
        for stem, _, tail in [key.rpartition("/")]
        if stem
    )


def slots_in_graph(graph: GraphDef | None) -> Mapping[str, int]:
    """Return the names of all slots that the graph's update operations take, partitions under the whole one's name,
    with the number of slots that the operation takes."""
    if graph is None:
        return {}
    return {key: len(a.slots) for a in graph.applications for key in a.saved_slots.values()}


def find_slots(tensors: Mapping[str, TensorSpec], in_graph: Mapping[str, int]) -> list[Slots]:
    """Return all slots under the names of variables of their shape; `in_graph`: see `slots_in_graph`."""
    stems: dict[str, list[str]] = {}
    for key, spec in tensors.items():
        stem, _, tail = key.rpartition("/")
        if stem and spec.dtype in FLOATS:
            stems.setdefault(stem, []).append(tail)
    found = []
    for stem, tails in stems.items():
        present = set(tails)
        for base in tails:
            if base == AVERAGE:
                continue
            shape = tensors[f"{stem}/{base}"].shape
            is_pair = f"{base}_1" in present and tensors[f"{stem}/{base}_1"].shape == shape
            if not is_pair and optimizer_of_class(base) is None and f"{stem}/{base}" not in in_graph:
                continue
            if not is_pair and re.search(r"_\d+$", base):
                continue  # the later members of a run that its first member accounts for
            variable = strip_to_variable(stem, shape, tensors)
            if variable is None:
                continue
            run = [base]
            while f"{base}_{len(run)}" in present:
                run.append(f"{base}_{len(run)}")
            scope = stem[: -len(variable)].rstrip("/") if stem.endswith(variable) else ""
            usual = _slots_of_one(base, len(run))
            keys = [f"{stem}/{name}" for name in run]
            pair = 0
            while len(keys) >= (step := in_graph.get(keys[0], 0) or usual):
                found.append(Slots(variable, scope, base, pair, tuple(keys[:step])))
                keys = keys[step:]
                pair += 1
                if not keys:
                    break
    return found


def _slots_of_one(base: str, count: int) -> int:
    """Return how many of that many slots `X`, `X_1`, .. are one optimizer's: several over one variable number theirs
    on."""
    if not _may_keep_pairs(base):
        return count
    named = optimizer_of_class(base)
    if isinstance(named, UpdateRule) and count % len(named.slots_in_tf1) == 0:
        return len(named.slots_in_tf1)
    return count if count % 2 else 2


def contradiction(checkpoint: Checkpoint, group: Group, *, has_powers: bool) -> str:
    """Return why the slots can't be those of the class that they are named for, which anyone can choose as a name;
    empty if they can, or are named for none. `has_powers`: the file has a pair of beta powers for each optimizer, so
    that the values of what is called an Adam need not be read."""
    named = optimizer_of_class(group.base)
    squares = None if named is None else squares_in_tf1(named)
    if named is None or squares is None:
        return ""
    counts = {len(member.keys) for member in group.members}
    more = named.traces.more_slots_in_tf1
    if more and counts == {len(more)}:
        squares = (squares[0], *(False for _ in more[1:]))
    is_short = any(n < len(squares) if named.has_moment_pair else not squares or n % len(squares) for n in counts)
    if is_short:
        return f"of which {group.base!r} would keep {len(squares)}"
    if named.has_moment_pair and has_powers:
        return ""
    return contradicts_squares(
        checkpoint, [m.keys[: len(squares)] if named.has_moment_pair else m.keys for m in group.members], squares
    )


def keeps_pairs(checkpoint: Checkpoint, group: Group) -> bool:
    """Return whether its slots can be first and second moments, by what they are named for, else by their values."""
    if group.named is not None:
        return group.named.has_moment_pair
    pairs = [(m.keys[0], m.keys[1]) for m in group.members if len(m.keys) > 1]
    group.not_moments = contradicts_moments(checkpoint, pairs)
    return bool(pairs) and not group.not_moments


def find_powers(tensors: Mapping[str, TensorSpec]) -> list[Powers]:
    """Return the pairs of beta powers, single ones among them, in the order of their scopes and numbers."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    for key, spec in tensors.items():
        if (match := POWER.match(key)) is not None and spec.shape == () and spec.dtype in FLOATS:
            found.setdefault((match["scope"] or "", int(match["number"] or 0)), {})[f"beta_{match['which']}"] = key
    return [Powers(scope, number, BetaPowerKeys(**keys)) for (scope, number), keys in sorted(found.items())]


def has_both_powers(group: Group) -> bool:
    """Return whether it is known which powers of both betas are its own."""
    return group.powers is not None and len(group.powers.keys.keys) == 2


def odd_powers(tensors: Mapping[str, TensorSpec]) -> list[str]:
    """Return what is called like a beta power and can't be one."""
    return [k for k, spec in tensors.items() if POWER.match(k) and (spec.shape != () or spec.dtype not in FLOATS)]


def group_by_name(slots: Sequence[Slots]) -> list[Group]:
    """Return a group for each scope, name and number of slots."""
    grouped: dict[tuple[str, str, int], list[Slots]] = {}
    for s in slots:
        grouped.setdefault((s.scope, s.base, s.pair), []).append(s)
    names = [
        "/".join(p for p in (scope, base) if p) + (f"_{2 * pair}" if pair else "") for scope, base, pair in grouped
    ]
    return [Group(name, members) for name, members in zip(names, grouped.values(), strict=True)]


def _may_keep_pairs(base: str) -> bool:
    """Return whether slots of that name can be first and second moments: of an optimizer that keeps such, or an unknown
    one."""
    named = optimizer_of_class(base)
    return named is None or named.has_moment_pair
