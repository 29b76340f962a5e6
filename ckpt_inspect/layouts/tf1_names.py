"""TF1 optimizers by name: `<variable>/Adam`, `<variable>/Adam_1`, and `beta1_power`, `beta2_power` beside them.

`tf.train.AdamOptimizer` and its kin under `tf.train.Saver` or an Estimator (TF 1.4 to compat.v1 of TF 2.21). The file
holds names alone. What they prove: slots `X` and `X_1` under a variable's name are its first and second moment in the
optimizer named X; the second optimizer over the same variable gets `X_2` and `X_3`, and `beta1_power_1`, since both
are numbered in the order of construction. They don't prove which powers belong to which of two optimizers over
separate variables. The graph (`.meta`) decides that if it lies beside; else a Problem reports that it is open.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.layouts.beta_powers import read_beta_powers
from ckpt_inspect.layouts.evidence import contradicts_moments, contradicts_squares, tell_maximum
from ckpt_inspect.layouts.found import (
    BetaPowerKeys,
    BetaPowers,
    FoundOptimizer,
    FoundParameter,
    GraphRate,
    RuleReading,
    rule_of_tf1_slots,
    unique_names,
)
from ckpt_inspect.layouts.graphs import decoded_graph
from ckpt_inspect.layouts.validation import FLOATS, not_one_number
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import (
    USUAL_RULE,
    Operation,
    Optimizer,
    Traces,
    UpdateRule,
    find_optimizer,
    find_rule,
    has_moment_pair,
    implementation_among,
    optimizer_of_class,
    rules_of,
    rules_with_slots_of,
    squares_in_tf1,
)
from ckpt_inspect.update_rules.implementations import CONTRIB, TF1

if TYPE_CHECKING:
    from ckpt_inspect.layouts.graph_def import Application, GraphDef

LAYOUT = "tf1-names"
LARGEST = 3
"""Slots of an optimizer that keeps a maximum beside a pair of moments."""
AVERAGE = "ExponentialMovingAverage"
POWER = re.compile(r"^(?:(?P<scope>.+)/)?beta(?P<which>[12])_power(?:_(?P<number>[0-9]{1,9}))?$")


class _Slots(NamedTuple):
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


class _Powers(NamedTuple):
    """A pair of beta powers, as one optimizer makes them."""

    scope: str
    number: int
    keys: BetaPowerKeys


@dataclass(slots=True)
class _Group:
    """The slots of one optimizer, and what is known of it."""

    name: str
    members: list[_Slots]
    powers: _Powers | None = None
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
    rivals: tuple[_Powers, ...] = ()
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


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find every TF1 optimizer that the names and the graph, if there is one, show."""
    if not _has_candidates(checkpoint.tensors):
        return []
    powers = _find_powers(checkpoint.tensors)
    graph_def, graph_where = decoded_graph(checkpoint)
    slots = _find_slots(checkpoint.tensors, _slots_in_graph(graph_def))
    groups = _group_by_name(slots)
    if graph_def is not None:
        groups = _merged([part for g in groups for part in _split_by_graph(g, graph_def)])
        for group in groups:
            _find_rows(group, graph_def)
    for group in groups:
        if group.graph_rule is None:
            group.not_named = _contradiction(checkpoint, group, has_powers=0 < len(groups) <= len(powers))
    groups += _assign_powers(checkpoint, groups, powers, graph_def)
    for group in groups:
        if group.named is not None and _keeps_pairs(checkpoint, group) and not _has_both_powers(group):
            group.problems += [
                not_one_number(checkpoint, group.name, key, "one floating-point number")
                for key in _odd_powers(checkpoint.tensors)
            ]
    return [_describe(checkpoint, g, graph_def, graph_where) for g in groups]


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


def _has_candidates(tensors: Mapping[str, TensorSpec]) -> bool:
    """Return whether any tensor stands under the name of a variable of its shape, as a slot does."""
    return any(
        tail != AVERAGE and spec.dtype in FLOATS and strip_to_variable(stem, spec.shape, tensors) is not None
        for key, spec in tensors.items()
        for stem, _, tail in [key.rpartition("/")]
        if stem
    )


def _slots_in_graph(graph: GraphDef | None) -> Mapping[str, int]:
    """Return the names of all slots that the graph's update operations take, partitions under the whole one's name,
    with the number of slots that the operation takes."""
    if graph is None:
        return {}
    return {key: len(a.slots) for a in graph.applications for key in a.saved_slots.values()}


def _find_slots(tensors: Mapping[str, TensorSpec], in_graph: Mapping[str, int]) -> list[_Slots]:
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
                found.append(_Slots(variable, scope, base, pair, tuple(keys[:step])))
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


def _contradiction(checkpoint: Checkpoint, group: _Group, *, has_powers: bool) -> str:
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


def _keeps_pairs(checkpoint: Checkpoint, group: _Group) -> bool:
    """Return whether its slots can be first and second moments, by what they are named for, else by their values."""
    if group.named is not None:
        return group.named.has_moment_pair
    pairs = [(m.keys[0], m.keys[1]) for m in group.members if len(m.keys) > 1]
    group.not_moments = contradicts_moments(checkpoint, pairs)
    return bool(pairs) and not group.not_moments


def _find_powers(tensors: Mapping[str, TensorSpec]) -> list[_Powers]:
    found: dict[tuple[str, int], dict[str, str]] = {}
    for key, spec in tensors.items():
        if (match := POWER.match(key)) is not None and spec.shape == () and spec.dtype in FLOATS:
            found.setdefault((match["scope"] or "", int(match["number"] or 0)), {})[f"beta_{match['which']}"] = key
    return [_Powers(scope, number, BetaPowerKeys(**keys)) for (scope, number), keys in sorted(found.items())]


def _has_both_powers(group: _Group) -> bool:
    return group.powers is not None and len(group.powers.keys.keys) == 2


def _odd_powers(tensors: Mapping[str, TensorSpec]) -> list[str]:
    """Return what is called like a beta power and can't be one."""
    return [k for k, spec in tensors.items() if POWER.match(k) and (spec.shape != () or spec.dtype not in FLOATS)]


def _group_by_name(slots: Sequence[_Slots]) -> list[_Group]:
    grouped: dict[tuple[str, str, int], list[_Slots]] = {}
    for s in slots:
        grouped.setdefault((s.scope, s.base, s.pair), []).append(s)
    names = [
        "/".join(p for p in (scope, base) if p) + (f"_{2 * pair}" if pair else "") for scope, base, pair in grouped
    ]
    return [_Group(name, members) for name, members in zip(names, grouped.values(), strict=True)]


def _split_by_graph(group: _Group, graph: GraphDef) -> list[_Group]:
    """Return a group for each training operation that updates its variables: the graph separates what names can't."""
    scope_of = _optimizer_scopes(graph.applications)
    by_slot: dict[str, list[Application]] = {}
    for application in graph.applications:
        for key in application.saved_slots.values():
            by_slot.setdefault(key, []).append(application)
    parts: dict[str | None, list[_Slots]] = {}
    applied: dict[str | None, list[Application]] = {}
    for member in group.members:
        own = next((by_slot[key] for key in member.keys if key in by_slot), [])
        scopes = graph.updated_in.get(member.variable, frozenset())
        found = own[0].scope if own else next(iter(scopes)) if len(scopes) == 1 else None
        scope = None if found is None else scope_of.get(found, found)
        applied.setdefault(scope, []).extend(own)
        parts.setdefault(scope, []).append(member)
    if set(parts) == {None}:
        return [group]
    orphans = parts.pop(None, [])
    split = [
        _Group(group.name if len(parts) == 1 else scope or group.name, members) for scope, members in parts.items()
    ]
    if orphans:
        (split[0].members.extend(orphans) if len(split) == 1 else split.append(_Group(group.name, orphans)))
    for part, scope in zip(split, parts, strict=False):
        part.scope_in_graph = scope
        part.applications = tuple(applied[scope])
        if applied[scope]:
            part.graph_rule = applied[scope][0].rule
            part.scalar_nodes = graph.shared_scalars(applied[scope])
        odd = sorted({a.scope for a in applied[scope] if a.scope != scope})
        if odd and scope is not None:
            part.problems.append(_odd_scopes(part.name, scope, odd))
    return split


def _merged(groups: Sequence[_Group]) -> list[_Group]:
    """Return the groups with those made one that the graph shows to be one optimizer's: where it shares some of its
    variables with another, its slots have two names."""
    found: dict[tuple[str | None, str, int], _Group] = {}
    for i, group in enumerate(groups):
        is_shown = group.scope_in_graph is not None and bool(group.applications)
        entry = (group.scope_in_graph, group.base, len(group.members[0].keys) if is_shown else -i)
        first = found.setdefault(entry, group)
        if first is not group:
            first.members += group.members
            first.applications += group.applications
            first.problems += [p for p in group.problems if p not in first.problems]
    return list(found.values())


def _find_rows(group: _Group, graph: GraphDef) -> None:
    """Note which variables have sparse gradients, and whether their moments are left alone but for the rows touched.

    Adam lets all of m and v decay (`Assign`), then adds to rows (`ScatterAdd`); contrib's LazyAdam sets rows
    (`ScatterUpdate`), by which its graph differs from Adam's.
    """
    changed: dict[str, set[str]] = {}
    for name, operations in graph.scattered.items():
        changed.setdefault(_whole(name), set()).update(operations)
    for a in graph.applications:
        if a.is_sparse:
            for key in a.saved_slots.values():
                changed.setdefault(key, set()).add("Apply")
    applied = {key for a in group.applications for key in a.saved_slots.values()}
    for member in group.members:
        keys = {member.variable, *member.keys}
        if keys & (changed.keys() | applied):
            group.has_sparse_gradient[member.variable] = bool(keys & changed.keys())
    slots = {key for member in group.members for key in member.keys}
    lazy = [rule.name for rule in rules_with_slots_of(USUAL_RULE) if rule.leaves_moments]
    is_lazy = any("ScatterUpdate" in changed[key] for key in slots & changed.keys())
    group.lazy_rule = lazy[0] if is_lazy and len(lazy) == 1 else None


def _optimizer_scopes(applications: Sequence[Application]) -> dict[str, str]:
    """Return, for each scope of update operations, the scope of the optimizer that they are of.

    An optimizer makes all its operations in one scope, and shares its beta powers and the constants made there with no
    other. Where these contradict each other the graph is damaged, and what most operations say counts.
    """
    counts = Counter(a.scope for a in applications)
    owner = {scope: scope for scope in counts}
    by_power: dict[str, Counter[str]] = {}
    for a in applications:
        for role, name in a.tensors.items():
            if role.endswith("_power"):
                by_power.setdefault(name, Counter())[a.scope] += 1
        for node in a.scalars.values():
            made_in = node.rpartition("/")[0]
            if made_in in counts:
                by_power.setdefault(made_in, Counter({made_in: counts[made_in]}))[a.scope] += 1
    for scopes in by_power.values():
        main = max(scopes, key=lambda s: counts[s])
        for scope in scopes:
            if counts[scope] < counts[main]:
                owner[scope] = main
    return owner


def _odd_scopes(name: str, scope: str, odd: Sequence[str]) -> Problem:
    others = ", ".join(repr(s) for s in odd)
    if all(re.fullmatch(rf"{re.escape(scope)}_[0-9]+", s) for s in odd):  # a scope's name that was taken gets a number
        return Problem(
            "optimizer-applied-twice",
            f"the graph beside the checkpoint has update operations of {name!r} in {scope!r} and in {others}, with the "
            "same beta powers: its apply_gradients was called for each",
            "they are treated as one optimizer, whose step counts the updates of all of them; if each of these trains "
            "other variables, the last update of some used a smaller step",
            "info",
        )
    return Problem(
        "graph-inconsistent",
        f"the graph beside the checkpoint has update operations of {name!r} in {scope!r} and in {others}, with the "
        "same inputs: one of its names is damaged, or it is another checkpoint's graph",
        "they are treated as one optimizer; restore the .meta file, or remove it to go without",
    )


def _whole(name: str) -> str:
    """Return the name of the whole variable's slot, of a partition's: `emb/part_0/Adam` -> `emb/Adam`."""
    return re.sub(r"/part_\d+(?=/)", "", name)


def _assign_powers(
    checkpoint: Checkpoint, groups: Sequence[_Group], powers: Sequence[_Powers], graph: GraphDef | None
) -> list[_Group]:
    """Give each optimizer its powers; return those that the powers show to be others than the names do."""
    of_adam = [
        g for g in groups if (_keeps_pairs(checkpoint, g) if g.graph_rule is None else has_moment_pair(g.graph_rule))
    ]
    left = list(powers)
    if graph is not None:
        by_scope = {a.scope: a for a in graph.applications if "beta1_power" in a.tensors}
        for group in of_adam:
            application = by_scope.get(group.scope_in_graph or "")
            if application is None:
                continue
            names = {application.tensors.get("beta1_power"), application.tensors.get("beta2_power")} - {None}
            group.powers = next((p for p in powers if names & set(p.keys.keys)), None)
            left = [p for p in left if p is not group.powers]
    open_groups = [g for g in of_adam if g.powers is None]
    named = [g for g in open_groups if g.named is not None]
    if named and len(left) < len(open_groups):
        open_groups = named  # two slots of another name are an optimizer's only if there are powers for it
    by_scope_of_powers: dict[str, list[_Group]] = {}
    for group in open_groups:
        by_scope_of_powers.setdefault(_power_scope(group, left), []).append(group)
    split: list[_Group] = []
    for scope, rivals in by_scope_of_powers.items():
        in_scope = [p for p in left if p.scope == scope]
        if in_scope or (left and len(by_scope_of_powers) == 1):
            split += _give_out(checkpoint, rivals, in_scope or left)
    return split


def _give_out(checkpoint: Checkpoint, groups: Sequence[_Group], powers: Sequence[_Powers]) -> list[_Group]:
    """Assign pairs of powers to optimizers, as far as names, then values, decide; return what was split off."""
    pairs = sorted({g.members[0].pair for g in groups})
    bases = sorted({g.base for g in groups})
    if len(groups) == len(powers) == 1:
        groups[0].powers = powers[0]
        return []
    for group in groups:
        group.rivals = tuple(powers)
    if len(bases) == 1 and len(groups) == len(powers) == len(pairs):
        ordered = sorted(groups, key=lambda g: g.members[0].pair)
        of_all = {m.variable for m in ordered[-1].members}  # trained by each of them, so that its slots are in order
        apart: list[_Group] = []
        for group, own in zip(ordered, powers, strict=True):
            others = [m for m in group.members if m.variable not in of_all]
            group.powers, group.rivals = own, ()
            if 0 < len(others) < len(group.members):
                group.members = [m for m in group.members if m.variable in of_all]
                apart.append(_Group(group.name, others, rivals=tuple(powers)))
                apart[-1].problems.append(_open_powers(apart[-1], len(powers), is_in_order=False))
        return apart
    if (split := _give_out_by_moments(checkpoint, groups, powers)) is not None:
        return split
    is_in_order = len(powers) == len(groups) == len(bases)
    for group in groups:
        if is_in_order:
            group.powers = powers[bases.index(group.base)]
        group.problems.append(_open_powers(group, len(powers), is_in_order))
    return []


def _open_powers(group: _Group, count: int, is_in_order: bool) -> Problem:
    what = f"{count} pairs of beta powers lie in the file, and nothing in it says which is {group.name!r}'s"
    if is_in_order:
        return Problem(
            "beta-powers-by-order",
            what,
            "they are assigned in the order of the optimizers' names; a .meta file beside would decide",
        )
    return Problem(
        "beta-powers-open",
        f"{what}; its variables may belong to several optimizers",
        "the step is left open unless all pairs agree; a .meta file beside the checkpoint would decide, or give --step",
    )


def _give_out_by_moments(
    checkpoint: Checkpoint, groups: Sequence[_Group], powers: Sequence[_Powers]
) -> list[_Group] | None:
    """Assign powers by moments: moments that aren't zero prove an update, and powers that still are beta prove none.

    Decides if exactly one optimizer and one pair have moved: a file may hold copies of a graph that were never run.
    Copies may share the slots' name: if there are fewer names than pairs, what never moved is split off and returned.
    None: this doesn't decide.
    """
    try:
        moved = [p for p in powers if _has_moved(checkpoint, p)]
        if len(moved) != 1:
            return None
        lives = {id(g): [m for m in g.members if _is_live(checkpoint, m)] for g in groups}
    except CkptInspectError:
        return None  # the values can't be read: names are all there is
    live = [g for g in groups if lives[id(g)]]
    if len(live) != 1:
        return None
    split: list[_Group] = []
    kept = lives[id(live[0])]
    if len(kept) < len(live[0].members) and len(groups) < len(powers):
        rest = [m for m in live[0].members if m not in kept]
        live[0].members = kept
        split = [_Group(live[0].name, rest, problems=[_split_off(live[0].name, len(rest))])]
        groups = [*groups, *split]
    still = [p for p in powers if p is not moved[0]]
    live[0].powers, live[0].rivals = moved[0], ()
    live[0].evidence = (
        f"its moments aren't zero, and of {len(powers)} pairs of beta powers in the file {moved[0].keys.beta_2} alone "
        "has been multiplied since it was made"
    )
    for group in groups:
        if group is not live[0]:
            group.powers = still[0] if len(still) == 1 else None
            group.rivals = tuple(still) if len(still) > 1 else ()
            group.evidence = "all its moments are zero, as before the first update"
    return split


def _has_moved(checkpoint: Checkpoint, powers: _Powers) -> bool:
    """Return whether the powers differ from those before the first update, or can't be read as powers."""
    values = [None if k is None else float(checkpoint.read(k)) for k in (powers.keys.beta_1, powers.keys.beta_2)]
    return read_beta_powers(values[0], values[1]).step != 0


def _is_live(checkpoint: Checkpoint, slots: _Slots) -> bool:
    return any(piece.any() for key in slots.keys for piece in checkpoint.stream(key))


def _split_off(name: str, count: int) -> Problem:
    return Problem(
        "never-stepped-apart",
        f"the moments of {count} variables with slots {name!r} are all zero, and a pair of beta powers in the file is "
        "as before its first update",
        "these variables are taken for those of an optimizer that never stepped, as a copy of a graph leaves one",
        "info",
    )


def _power_scope(group: _Group, powers: Sequence[_Powers]) -> str:
    """Return the scope whose powers are this group's: its own, else the longest that its variables lie in, else any
    single one."""
    scopes = {p.scope for p in powers}
    own = group.members[0].scope
    if own in scopes:
        return own
    around = [s for s in scopes if s and all(m.keys[0].startswith(f"{s}/") for m in group.members)]
    if around:
        return max(around, key=len)
    return "" if "" in scopes or len(scopes) != 1 else next(iter(scopes))


def _describe(checkpoint: Checkpoint, group: _Group, graph: GraphDef | None, graph_where: str) -> FoundOptimizer:
    reading = _read_rule(group, graph_where)
    operation = _operation(reading.name, group)
    if operation is not None:  # what another feeds into the same inputs means something else
        group.scalar_nodes = {name: node for name, node in group.scalar_nodes.items() if name in operation.inputs}
    if len(group.members[0].keys) == LARGEST and group.graph_rule is None and has_moment_pair(reading.name):
        reading = tell_maximum(checkpoint, reading, [(m.keys[1], m.keys[2]) for m in group.members])
    constants = {
        name: value
        for name, node in group.scalar_nodes.items()
        if graph is not None and (value := graph.constant(node)) is not None
    }
    scalars, learning_rate_node = _fed_by_variables(checkpoint, group, graph)
    rate = None
    if graph is not None and "learning_rate" in group.scalar_nodes and "learning_rate" not in constants | scalars:
        counter = "global_step" if "global_step" in checkpoint.tensors else None
        rate = GraphRate(graph, learning_rate_node, counter)
    if "learning_rate" not in group.scalar_nodes and (own := _rate_in_scope(checkpoint, group)) is not None:
        scalars["learning_rate"] = own
        group.problems.append(_before_decay(own))
    averages = {s.removesuffix(f"/{AVERAGE}"): s for s in checkpoint.tensors if s.endswith(f"/{AVERAGE}")}
    by_name = _roles_in_graph(group)
    # a bundle lists its tensors by key, `layer_10` before `layer_2`
    members = sorted(group.members, key=lambda m: natural_key(m.variable))
    names = unique_names(m.variable for m in members)
    parameters = []
    for member, name in zip(members, names, strict=True):
        spec = checkpoint.tensors[member.keys[0]]
        roles = _roles(reading.name, len(member.keys))
        if find_optimizer(reading.name) is None:
            tails = tuple(key.rpartition("/")[2] for key in member.keys)
            is_open = group.powers is None or group.not_moments
            roles = tails if is_open else (*USUAL_RULE.slots_in_tf1, *tails[2:])
        if any(key in by_name for key in member.keys):
            roles = tuple(by_name.get(key, role) for key, role in zip(member.keys, roles, strict=False))
        slots = dict(zip(roles, member.keys, strict=False))
        if member.variable in averages:
            slots["average"] = averages[member.variable]
        is_sparse = group.has_sparse_gradient.get(member.variable)
        parameters.append(FoundParameter(name, spec.shape, spec.dtype, member.variable, slots, is_sparse))
    constants |= _starts(reading.name, graph, parameters)
    return FoundOptimizer(
        name=group.name,
        layout=LAYOUT,
        implementation=implementation_among(reading.name, (TF1, CONTRIB)),
        rule=reading,
        parameters=tuple(parameters),
        beta_powers=BetaPowers(
            group.powers.keys if group.powers is not None else BetaPowerKeys(),
            tuple(p.keys for p in group.rivals),
            group.evidence,
        ),
        scalars=scalars,
        constants=constants,
        constants_where=graph_where,
        graph_rate=rate,
        has_numbered_slots=find_optimizer(reading.name) is None and not by_name,
        problems=tuple(group.problems),
    )


_MAY_BE_LAZY = ((USUAL_RULE, USUAL_RULE.name), (None, USUAL_RULE.name), (USUAL_RULE, None))
"""What slots' names and dense operations say of an optimizer whose operations on rows leave the others alone. A sparse
Adamax under a custom name looks the same."""


def _operation(rule: str, group: _Group) -> Operation | None:
    """Return the operation that updates the variables, as the optimizer of that name uses it, if another uses it as
    well, which the graph's reading went by; None otherwise."""
    optimizer = find_optimizer(rule)
    if optimizer is None or group.graph_rule in (None, rule):
        return None
    used = find_optimizer(str(group.graph_rule))
    names = {op.name for op in used.traces.operations if not op.flag} if used is not None else set()
    return next((op for op in optimizer.traces.operations if op.name in names and not op.flag), None)


def _read_rule(group: _Group, graph_where: str) -> RuleReading:
    base, named, in_graph = group.base, group.named, group.graph_rule
    if group.lazy_rule is not None and (named, in_graph) in _MAY_BE_LAZY:
        where = f"its operations in {graph_where} set rows of the moments, and let none of the others decay"
        return RuleReading(group.lazy_rule, "graph", where)
    # an AdamW is updated by Adam's operation, and its decay may be in a form that isn't known
    is_kin = named is not None and (in_graph, named.name) == (USUAL_RULE.name, USUAL_RULE.with_decay)
    if in_graph is not None and named is not None and _operation(named.name, group) is not None:
        where = f"slots are named {base!r}, the class's own name, and updated by {in_graph}'s operation, as it does"
        return RuleReading(named.name, "graph", where)
    if in_graph is not None and not is_kin:
        where = f"its update operations in {graph_where}"
        if in_graph == USUAL_RULE.name and "weight_decay" in group.scalar_nodes:
            return RuleReading(USUAL_RULE.with_decay, "graph", f"{where}, after a decay of the weights")
        return RuleReading(in_graph, "graph", where)
    is_corrected_twice = _has_both_powers(group) and not group.rivals
    is_norm = isinstance(named, UpdateRule) and named.has_moment_pair and not named.has_average
    if named is not None and not (is_norm and is_corrected_twice):
        return rule_of_tf1_slots(base, named)
    slots = _spoken_slots(group)
    if len(group.members[0].keys) > 1 and not group.not_moments and (group.powers is not None or group.problems):
        others = (r.name for r in rules_of(CONTRIB) if r.has_average or not is_corrected_twice)
        both = "both" if is_norm else "and"
        return RuleReading(USUAL_RULE.name, "default", f"{slots}, {both} beta powers", tuple(others))
    why = group.not_moments or "no beta powers"
    return RuleReading("unknown", "unknown", f"{slots}, {why}: no Adam of TensorFlow 1")


def _spoken_slots(group: _Group) -> str:
    """Return what slots it has, and why they are not those of the class that has their name."""
    count = {1: "one slot", 2: "two slots", 3: "three slots"}.get(
        len(group.members[0].keys), f"{len(group.members[0].keys)} slots"
    )
    is_said_later = group.not_named in ("", group.not_moments)
    return f"{count} {group.base!r} for each variable" + ("" if is_said_later else f" ({group.not_named})")


def _fed_by_variables(checkpoint: Checkpoint, group: _Group, graph: GraphDef | None) -> tuple[dict[str, str], str]:
    """Return the hyperparameters that the graph reads from variables that the checkpoint holds."""
    if graph is None:
        return {}, ""
    read = {name: graph.variable_of(node) for name, node in group.scalar_nodes.items()}
    return {n: v for n, v in read.items() if v is not None and v in checkpoint.tensors}, group.scalar_nodes.get(
        "learning_rate", ""
    )


def _rate_in_scope(checkpoint: Checkpoint, group: _Group) -> str | None:
    """Return the rate's variable in the scope of the slots, where `tf.contrib.layers.optimize_loss` makes one."""
    scope = group.members[0].scope
    key = f"{scope}/learning_rate"
    spec = checkpoint.tensors.get(key)
    return key if scope and spec is not None and spec.shape == () and spec.dtype in FLOATS else None


def _before_decay(key: str) -> Problem:
    return Problem(
        "rate-before-decay",
        f"{key} is optimize_loss's learning rate before its learning_rate_decay_fn; whether it was given one is in no "
        "tensor, and a .meta file beside the checkpoint would tell",
        "it is taken for the rate of the last update; give --learning-rate if it decayed",
        "info",
    )


def _roles(rule: str, count: int) -> tuple[str, ...]:
    """Return our names of that many slots `X`, `X_1`, .. of one variable."""
    found = find_rule(rule)
    if found is None:
        return Traces(()).slots_in_tf1
    roles, more = found.slots_in_tf1, found.traces.more_slots_in_tf1
    return more if more and count > len(roles) else roles


def _roles_in_graph(group: _Group) -> dict[str, str]:
    """Return the role of each slot that an update operation takes.

    One that updates rows leaves the others' last step standing in the slot that a dense one moves all elements by, so
    that is none's last update.
    """
    found: dict[str, str] = {}
    for a in group.applications:
        is_pair = has_moment_pair(a.rule)
        for role, key in a.saved_slots.items():
            found[key] = "step_of_rows" if a.is_sparse and not is_pair and role == "first_moment" else role
    return found


def _starts(rule: str, graph: GraphDef | None, parameters: Sequence[FoundParameter]) -> dict[str, float]:
    """Return the hyperparameters that are the slots' initial values in the graph, if all slots have the same."""
    optimizer = find_rule(rule)
    if graph is None or optimizer is None:
        return {}
    found = {}
    for h in optimizer.hyperparameters:
        values = {graph.initial_value(p.slots[h.starts]) for p in parameters if h.starts in p.slots}
        if len(values) == 1 and (value := values.pop()) is not None:
            found[h.name] = value
    return found


def _may_keep_pairs(base: str) -> bool:
    """Return whether slots of that name can be first and second moments: of an optimizer that keeps such, or an unknown
    one."""
    named = optimizer_of_class(base)
    return named is None or named.has_moment_pair
