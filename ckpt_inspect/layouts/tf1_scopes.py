"""What the graph beside a checkpoint adds to the names of TF1's slots: which operations update whose variables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.layouts.tf1_groups import Group, Slots
from ckpt_inspect.update_rules import USUAL_RULE, rules_with_slots_of

if TYPE_CHECKING:
    from ckpt_inspect.layouts.graph_def import Application, GraphDef


def split_by_graph(group: Group, graph: GraphDef) -> list[Group]:
    """Return a group for each training operation that updates its variables: the graph separates what names can't."""
    scope_of = _optimizer_scopes(graph.applications)
    by_slot: dict[str, list[Application]] = {}
    for application in graph.applications:
        for key in application.saved_slots.values():
            by_slot.setdefault(key, []).append(application)
    parts: dict[str | None, list[Slots]] = {}
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
    split = [Group(group.name if len(parts) == 1 else scope or group.name, members) for scope, members in parts.items()]
    if orphans:
        (split[0].members.extend(orphans) if len(split) == 1 else split.append(Group(group.name, orphans)))
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


def merged(groups: Sequence[Group]) -> list[Group]:
    """Return the groups with those made one that the graph shows to be one optimizer's: where it shares some of its
    variables with another, its slots have two names."""
    found: dict[tuple[str | None, str, int], Group] = {}
    for i, group in enumerate(groups):
        is_shown = group.scope_in_graph is not None and bool(group.applications)
        entry = (group.scope_in_graph, group.base, len(group.members[0].keys) if is_shown else -i)
        first = found.setdefault(entry, group)
        if first is not group:
            first.members += group.members
            first.applications += group.applications
            first.problems += [p for p in group.problems if p not in first.problems]
    return list(found.values())


def find_rows(group: Group, graph: GraphDef) -> None:
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
