"""Which beta powers are whose, where a TF1 checkpoint has those of several optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.layouts.beta_powers import read_beta_powers
from ckpt_inspect.layouts.tf1_groups import Group, Powers, Slots, keeps_pairs
from ckpt_inspect.update_rules import has_moment_pair

if TYPE_CHECKING:
    from ckpt_inspect.layouts.graph_def import GraphDef


def assign_powers(
    checkpoint: Checkpoint, groups: Sequence[Group], powers: Sequence[Powers], graph: GraphDef | None
) -> list[Group]:
    """Give each optimizer its powers; return those that the powers show to be others than the names do."""
    of_adam = [
        g for g in groups if (keeps_pairs(checkpoint, g) if g.graph_rule is None else has_moment_pair(g.graph_rule))
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
    by_scope_of_powers: dict[str, list[Group]] = {}
    for group in open_groups:
        by_scope_of_powers.setdefault(_power_scope(group, left), []).append(group)
    split: list[Group] = []
    for scope, rivals in by_scope_of_powers.items():
        in_scope = [p for p in left if p.scope == scope]
        if in_scope or (left and len(by_scope_of_powers) == 1):
            split += _give_out(checkpoint, rivals, in_scope or left)
    return split


def _give_out(checkpoint: Checkpoint, groups: Sequence[Group], powers: Sequence[Powers]) -> list[Group]:
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
        apart: list[Group] = []
        for group, own in zip(ordered, powers, strict=True):
            others = [m for m in group.members if m.variable not in of_all]
            group.powers, group.rivals = own, ()
            if 0 < len(others) < len(group.members):
                group.members = [m for m in group.members if m.variable in of_all]
                apart.append(Group(group.name, others, rivals=tuple(powers)))
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


def _open_powers(group: Group, count: int, is_in_order: bool) -> Problem:
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
    checkpoint: Checkpoint, groups: Sequence[Group], powers: Sequence[Powers]
) -> list[Group] | None:
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
    split: list[Group] = []
    kept = lives[id(live[0])]
    if len(kept) < len(live[0].members) and len(groups) < len(powers):
        rest = [m for m in live[0].members if m not in kept]
        live[0].members = kept
        split = [Group(live[0].name, rest, problems=[_split_off(live[0].name, len(rest))])]
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


def _has_moved(checkpoint: Checkpoint, powers: Powers) -> bool:
    """Return whether the powers differ from those before the first update, or can't be read as powers."""
    values = [None if k is None else float(checkpoint.read(k)) for k in (powers.keys.beta_1, powers.keys.beta_2)]
    return read_beta_powers(values[0], values[1]).step != 0


def _is_live(checkpoint: Checkpoint, slots: Slots) -> bool:
    return any(piece.any() for key in slots.keys for piece in checkpoint.stream(key))


def _split_off(name: str, count: int) -> Problem:
    return Problem(
        "never-stepped-apart",
        f"the moments of {count} variables with slots {name!r} are all zero, and a pair of beta powers in the file is "
        "as before its first update",
        "these variables are taken for those of an optimizer that never stepped, as a copy of a graph leaves one",
        "info",
    )


def _power_scope(group: Group, powers: Sequence[Powers]) -> str:
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
