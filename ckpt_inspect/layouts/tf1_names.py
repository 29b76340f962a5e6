"""TF1 optimizers by name: `<variable>/Adam`, `<variable>/Adam_1`, and `beta1_power`, `beta2_power` beside them.

`tf.train.AdamOptimizer` and its kin under `tf.train.Saver` or an Estimator (TF 1.4 to compat.v1 of TF 2.21). The file
holds names alone. What they prove: slots `X` and `X_1` under a variable's name are its first and second moment in the
optimizer named X; the second optimizer over the same variable gets `X_2` and `X_3`, and `beta1_power_1`, since both
are numbered in the order of construction. They don't prove which powers belong to which of two optimizers over
separate variables. The graph (`.meta`) decides that if it lies beside; else a Problem reports that it is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.evidence import tell_maximum
from ckpt_inspect.layouts.found import (
    BetaPowerKeys,
    BetaPowers,
    FoundOptimizer,
    FoundParameter,
    RuleReading,
    rate_in_graph,
    rule_of_tf1_slots,
    unique_names,
)
from ckpt_inspect.layouts.graphs import decoded_graph
from ckpt_inspect.layouts.tf1_groups import (
    AVERAGE,
    Group,
    contradiction,
    find_powers,
    find_slots,
    group_by_name,
    has_both_powers,
    has_candidates,
    keeps_pairs,
    odd_powers,
    slots_in_graph,
)
from ckpt_inspect.layouts.tf1_powers import assign_powers
from ckpt_inspect.layouts.tf1_scopes import find_rows, merged, split_by_graph
from ckpt_inspect.layouts.validation import FLOATS, not_one_number
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.update_rules import (
    USUAL_RULE,
    Operation,
    Traces,
    UpdateRule,
    find_optimizer,
    find_rule,
    has_moment_pair,
    implementation_among,
    rules_of,
)
from ckpt_inspect.update_rules.implementations import CONTRIB, TF1

if TYPE_CHECKING:
    from ckpt_inspect.layouts.graph_def import GraphDef

LAYOUT = "tf1-names"
LARGEST = 3
"""Slots of an optimizer that keeps a maximum beside a pair of moments."""


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find every TF1 optimizer that the names and the graph, if there is one, show."""
    if not has_candidates(checkpoint.tensors):
        return []
    powers = find_powers(checkpoint.tensors)
    graph_def, graph_where = decoded_graph(checkpoint)
    slots = find_slots(checkpoint.tensors, slots_in_graph(graph_def))
    groups = group_by_name(slots)
    if graph_def is not None:
        groups = merged([part for g in groups for part in split_by_graph(g, graph_def)])
        for group in groups:
            find_rows(group, graph_def)
    for group in groups:
        if group.graph_rule is None:
            group.not_named = contradiction(checkpoint, group, has_powers=0 < len(groups) <= len(powers))
    groups += assign_powers(checkpoint, groups, powers, graph_def)
    for group in groups:
        if group.named is not None and keeps_pairs(checkpoint, group) and not has_both_powers(group):
            group.problems += [
                not_one_number(checkpoint, group.name, key, "one floating-point number")
                for key in odd_powers(checkpoint.tensors)
            ]
    return [_describe(checkpoint, g, graph_def, graph_where) for g in groups]


def _describe(checkpoint: Checkpoint, group: Group, graph: GraphDef | None, graph_where: str) -> FoundOptimizer:
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
    if graph is not None and "learning_rate" in group.scalar_nodes and "learning_rate" not in constants:
        scopes = frozenset(a.scope for a in group.applications)
        own = scalars.get("learning_rate")
        if own is None or any(graph.waits_for_updates(op, scopes) for op in graph.increments(own)):
            scalars.pop("learning_rate", None)  # what it was in the last update isn't what it is
            rate = rate_in_graph(checkpoint, graph, learning_rate_node, scopes)
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


def _operation(rule: str, group: Group) -> Operation | None:
    """Return the operation that updates the variables, as the optimizer of that name uses it, if another uses it as
    well, which the graph's reading went by; None otherwise."""
    optimizer = find_optimizer(rule)
    if optimizer is None or group.graph_rule in (None, rule):
        return None
    used = find_optimizer(str(group.graph_rule))
    names = {op.name for op in used.traces.operations if not op.flag} if used is not None else set()
    return next((op for op in optimizer.traces.operations if op.name in names and not op.flag), None)


def _read_rule(group: Group, graph_where: str) -> RuleReading:
    base, named, in_graph = group.base, group.named, group.graph_rule
    if group.lazy_rule is not None and (named, in_graph) in _MAY_BE_LAZY:
        where = f"its operations in {graph_where} set rows of the moments, and let none of the others decay"
        return RuleReading(group.lazy_rule, "graph", where)
    # an AdamW is updated by Adam's operation, and its decay may be in a form that isn't known
    is_kin = named is not None and (in_graph, named.name) == (USUAL_RULE.name, USUAL_RULE.with_decay)
    if in_graph is not None and named is not None and _operation(named.name, group) is not None:
        where = f"slots are named {base!r}, the class's default name, and updated by {in_graph}'s operation, as it does"
        return RuleReading(named.name, "graph", where)
    if in_graph is not None and not is_kin:
        where = f"its update operations in {graph_where}"
        if in_graph == USUAL_RULE.name and "weight_decay" in group.scalar_nodes:
            return RuleReading(USUAL_RULE.with_decay, "graph", f"{where}, after a decay of the weights")
        return RuleReading(in_graph, "graph", where)
    is_corrected_twice = has_both_powers(group) and not group.rivals
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


def _spoken_slots(group: Group) -> str:
    """Return what slots it has, and why they are not those of the class that has their name."""
    count = {1: "one slot", 2: "two slots", 3: "three slots"}.get(
        len(group.members[0].keys), f"{len(group.members[0].keys)} slots"
    )
    is_said_later = group.not_named in ("", group.not_moments)
    return f"{count} {group.base!r} for each variable" + ("" if is_said_later else f" ({group.not_named})")


def _fed_by_variables(checkpoint: Checkpoint, group: Group, graph: GraphDef | None) -> tuple[dict[str, str], str]:
    """Return the hyperparameters that the graph reads from variables that the checkpoint holds."""
    if graph is None:
        return {}, ""
    read = {name: graph.variable_of(node) for name, node in group.scalar_nodes.items()}
    return {n: v for n, v in read.items() if v is not None and v in checkpoint.tensors}, group.scalar_nodes.get(
        "learning_rate", ""
    )


def _rate_in_scope(checkpoint: Checkpoint, group: Group) -> str | None:
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


def _roles_in_graph(group: Group) -> dict[str, str]:
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
