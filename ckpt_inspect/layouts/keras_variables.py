"""Keras 2.11+ and Keras 3 optimizers in an object graph: one list `_variables`, and full names that identify the slots.

Keras 2.11-2.15 and tf_keras ("keras2"): `<optimizer>/_variables/<i>`, full name `Adam/m/dense/kernel`. Keras 3: the
same list, full name `adam/dense_kernel_momentum`, and the trained variables themselves under
`_trainable_variables/<i>`, in the order of the slots: an association that needs no name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.found import (
    Counted,
    FoundOptimizer,
    FoundParameter,
    RuleReading,
    unique_names,
    whole_slot,
)
from ckpt_inspect.layouts.object_graph import Node, ObjectGraph
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig
from ckpt_inspect.layouts.same_names import ambiguity, chosen_in_order
from ckpt_inspect.layouts.slot_lists import U_PRODUCT, turn_readings
from ckpt_inspect.sourced import Source
from ckpt_inspect.update_rules import (
    RULES,
    USUAL_RULE,
    Implementation,
    Optimizer,
    UpdateRule,
    find_optimizer,
    has_moment_pair,
    normal_name,
    optimizer_of_class,
    optimizer_of_slots,
    rules_of,
    rules_of_scalars,
)
from ckpt_inspect.update_rules.implementations import KERAS2, KERAS2_EXPERIMENTAL, KERAS3

LAYOUT_KERAS2 = "keras2-variables"
LAYOUT_KERAS3 = "keras3-variables"

# Our name of a slot by its spelling in the full name: `<optimizer>/<spelling>/<variable>` (Keras 2),
# `<optimizer>/<variable>_<spelling>` (Keras 3); the longer spellings first, since one may end in another
KERAS2_SLOTS = {
    "m": "first_moment", "v": "second_moment", "vhat": "max_second_moment", "u": "infinity_norm",
    **{name: name for name in (
        "average", "velocity", "momentum", "average_gradient", "accumulator", "linear", "accumulated_grad",
        "accumulated_delta_var", "r", "c",
    )},
}  # fmt: skip
KERAS3_SLOTS = {
    "gradient_accumulator": "gradient_accumulator", "velocity_hat": "max_second_moment", "momentum": "first_moment",
    "velocity": "second_moment", "norm": "infinity_norm",
    **{name: name for name in (
        "average_gradient", "average", "accumulated_grad", "accumulated_delta_var", "accumulator", "linear",
    )},
}  # fmt: skip


SCALARS = {
    "_learning_rate": "learning_rate",
    "_current_learning_rate": "current_learning_rate",
    f"_{U_PRODUCT}": U_PRODUCT,
}
COUNTERS = ("_iterations", "iterations")
SEPARATE_LISTS = (
    "_momentums", "_velocities", "_velocity_hats", "_m", "_u", "_accumulators", "_average_gradients",
    "_model_variables_moving_average",
)  # fmt: skip
USUAL_SLOTS = frozenset({"first_moment", "second_moment"})


class SlotName(NamedTuple):
    """A slot variable's full name, taken apart."""

    optimizer: str
    """The optimizer's own `name`; empty under a LossScaleOptimizer of Keras 2."""
    slot: str
    """Our name of the slot."""
    variable: str
    """The variable's name as the slot spells it: exact in Keras 2, `/` replaced by `_` in Keras 3."""


def parse_keras2_slot(full_name: str, variables: Mapping[str, object] | frozenset[str]) -> SlotName | None:
    """`Adam/m/dense/kernel` -> (Adam, first_moment, dense/kernel); of several readings the one whose variable
    exists."""
    parts = full_name.split("/")
    readings = [
        SlotName("/".join(parts[:i]), KERAS2_SLOTS[parts[i]], "/".join(parts[i + 1 :]))
        for i in range(len(parts) - 1)
        if parts[i] in KERAS2_SLOTS
    ]
    return next((r for r in readings if r.variable in variables), readings[0] if readings else None)


def parse_keras3_slot(full_name: str) -> SlotName | None:
    """`loss_scale_optimizer/adam/dense_kernel_momentum` -> (adam, first_moment, dense_kernel); of earlier releases
    `adagrad/accumulator` -> (adagrad, accumulator, "")."""
    head, _, tail = full_name.rpartition("/")
    for spelling, slot in KERAS3_SLOTS.items():
        if head and tail == spelling:
            return SlotName(head.rsplit("/", 1)[-1], slot, "")
        if tail.endswith(f"_{spelling}"):
            return SlotName(head.rsplit("/", 1)[-1], slot, tail[: -len(spelling) - 1])
    return None


def find(
    checkpoint: Checkpoint, graph: ObjectGraph, config: OptimizerConfig | None, config_where: str
) -> list[FoundOptimizer]:
    """Find every Keras 2.11+ and Keras 3 optimizer of the graph; `config` is the compiled optimizer's, if a model
    carries one."""
    found = []
    for node in graph.nodes:
        if not ({"_iterations", "iterations", "_index_dict"} & set(node.children)) or not _has_lists(node):
            continue
        inner = graph.child(node, "inner_optimizer")
        if inner is not None and _has_lists(inner):
            continue  # Keras 3's LossScaleOptimizer: its own counter and rate stay 0, the inner optimizer answers
        wrapper = next((n for n in graph.nodes if n.children.get("inner_optimizer") == node.index), None)
        compiled = graph.nodes[0].children.get("optimizer")
        is_compiled = compiled is not None and compiled in (node.index, wrapper.index if wrapper else None)
        found.append(_read_optimizer(checkpoint, graph, node, config if is_compiled else None, config_where))
    return found


def _has_lists(node: Node) -> bool:
    return "_variables" in node.children or bool(set(SEPARATE_LISTS) & set(node.children))


def _members(checkpoint: Checkpoint, graph: ObjectGraph, node: Node) -> list[Node]:
    """Return the optimizer's variables in their order; by turns for TF 2.9's experimental optimizers, which have no
    list of all."""
    if "_variables" in node.children:
        listed = graph.list_of(node, "_variables")
    else:
        lists = [graph.list_of(node, name) for name in SEPARATE_LISTS if name in node.children]
        listed = [members[i] for i in range(max(map(len, lists))) for members in lists if i < len(members)]
    return [n for n in listed if n.key in checkpoint.tensors]


def _keras2_implementation(checkpoint: Checkpoint, graph: ObjectGraph, node: Node) -> Implementation:
    """Return which of Keras 2's: the list of all variables begins with a counter since 2.11; before it, with a slot."""
    listed = graph.list_of(node, "_variables") if "_variables" in node.children else []
    spec = checkpoint.tensors.get(listed[0].key) if listed else None
    has_counter = "_variables" in node.children and (spec is None or spec.dtype in ("int64", "int32"))
    return KERAS2 if has_counter else KERAS2_EXPERIMENTAL


def _read_optimizer(
    checkpoint: Checkpoint, graph: ObjectGraph, node: Node, config: OptimizerConfig | None, config_where: str
) -> FoundOptimizer:
    is_keras3 = "_trainable_variables" in node.children
    members = _members(checkpoint, graph, node)
    names = graph.variables_by_full_name
    parsed = [
        (n, slot)
        for n in members
        if (slot := parse_keras3_slot(n.full_name) if is_keras3 else parse_keras2_slot(n.full_name, names)) is not None
    ]
    problems: list[Problem] = []
    if is_keras3:
        parameters = _pair_by_order(checkpoint, graph.list_of(node, "_trainable_variables"), parsed, problems)
    else:
        parameters = _pair_by_name(checkpoint, graph, node, parsed, problems)
    if is_keras3 and len(parsed) < len(members):
        parameters = _with_turns(checkpoint, members, parsed, parameters, config)
    scalars = {
        ours: child.key
        for name, ours in SCALARS.items()
        if (child := graph.child(node, name)) is not None and child.key in checkpoint.tensors
    }
    counter = graph.child(node, "_iterations") or graph.child(node, "iterations")
    own_names = [s.optimizer for _, s in parsed] or [m.full_name.rpartition("/")[0] for m in members]
    rule = read_rule(own_names[0] if own_names else "", [s for _, s in parsed], U_PRODUCT in scalars, config)
    counted: Counted = "updates"
    if any(s.slot == "gradient_accumulator" for _, s in parsed):
        # `iterations` became `_iterations` in Keras 3.5; since then the exponent is the count divided by n
        counted = "gradients-to-divide" if "_iterations" in node.children else "gradients"
    sharers = [n for n in graph.nodes if counter is not None and counter.index in map(n.children.get, COUNTERS)]
    if counter is not None and len(sharers) > 1:
        problems.append(
            Problem(
                "shared-step-counter",
                f"{len(sharers)} optimizers share the counter {counter.key}",
                "its value is used as the step; the last update of all but one of them used a smaller one",
            )
        )
    return FoundOptimizer(
        name=graph.paths.get(node.index) or f"node {node.index}",
        layout=LAYOUT_KERAS3 if is_keras3 else LAYOUT_KERAS2,
        implementation=KERAS3 if is_keras3 else _keras2_implementation(checkpoint, graph, node),
        rule=rule,
        parameters=tuple(adapt_slots(p, rule.name) for p in parameters),
        counter=counter.key if counter is not None and counter.key in checkpoint.tensors else None,
        counted=counted,
        scalars=scalars,
        config=config.config if config else None,
        config_where=config_where if config else "",
        has_scheduled_rate=not {"learning_rate", "current_learning_rate"} & set(scalars),
        absence=_unread(checkpoint, members, parsed) if not parameters else None,
        problems=tuple(problems),
    )


def _unread(checkpoint: Checkpoint, members: Sequence[Node], parsed: Sequence[tuple[Node, SlotName]]) -> str | None:
    """Say what stands in the optimizer's list beside scalars; None if nothing does."""
    known = {node.key for node, _ in parsed}
    left = [m for m in members if m.key not in known and checkpoint.tensors[m.key].shape]
    if not left:
        return None
    names = f"{left[0].full_name!r} .. {left[-1].full_name!r}" if len(left) > 1 else f"{left[0].full_name!r}"
    count = f"{len(left)} variable{'s' * (len(left) != 1)}"
    return f"optimizer state of a kind that is not known: {count} of which no name tells a slot: {names}"


def read_rule(
    own_name: str, slots: Sequence[SlotName], has_u_product: bool, config: OptimizerConfig | None
) -> RuleReading:
    """Read the rule from the configuration, else from slots that only one rule has, else from the optimizer's name."""
    kinds = [s.slot for s in slots]
    has = set(kinds)
    if config is not None:
        return RuleReading(config.rule, "config", f"class {config.class_name!r} in the configuration")
    if has_u_product:
        (rule,) = rules_of_scalars([U_PRODUCT])
        where = f"the running product of {rule.title}'s momentum schedule (_{U_PRODUCT})"
        return RuleReading(rule.name, "checkpoint", where)
    peculiar = next((r for r in RULES if r.has_moment_pair and r.second_slot in has - USUAL_SLOTS), None)
    if peculiar is not None:
        where = f"slots named for an {peculiar.second_slot.replace('_', ' ')}, which only {peculiar.title} has"
        return RuleReading(peculiar.name, "checkpoint", where)
    named = optimizer_of_class(own_name) if own_name else None
    keeps_some = named is not None and named.traces.pairs_some
    if named is not None and kinds and not keeps_some and not _can_be_of(named, kinds):
        named = None  # the name that someone gave an optimizer of another class
    with_maximum = (USUAL_RULE if named is None else named).with_maximum
    if "max_second_moment" in has and with_maximum:
        return RuleReading(with_maximum, "checkpoint", "slots of a maximum of the second moment")
    if named is not None:
        return RuleReading(named.name, "checkpoint", f"slots are named {own_name!r}, the class's default name")
    return _read_rule_from_slots(own_name, kinds)


def _can_be_of(named: Optimizer, kinds: Sequence[str]) -> bool:
    """Return whether slots of these kinds, without a product of momenta beside them, can be that class's."""
    if not isinstance(named, UpdateRule) or not named.has_moment_pair:
        return _is_pair(kinds) == named.has_moment_pair
    return _is_pair(kinds) and named.second_slot in kinds and U_PRODUCT not in named.traces.scalars


def _is_pair(kinds: Sequence[str]) -> bool:
    return [k for k in kinds if k in USUAL_SLOTS][:2] == ["first_moment", "second_moment"]


def _read_rule_from_slots(own_name: str, kinds: Sequence[str]) -> RuleReading:
    """Return the usual reading if neither a class nor a name decides."""
    moments = [k for k in kinds if k in USUAL_SLOTS]
    if _is_pair(kinds):
        naming = (
            f"slots named {own_name!r}, which is no class that has these"
            if own_name
            else "slots not named for any optimizer"
        )
        others = [r for r in rules_of(KERAS2, KERAS3) if r.slots == USUAL_RULE.slots and not r.traces.scalars]
        names = tuple(r.name for r in others if r is not USUAL_RULE)
        where = f"a first and a second moment for each variable, {naming}"
        return RuleReading(USUAL_RULE.name, "default", where, names)
    told = optimizer_of_slots({*kinds} - USUAL_SLOTS | {*moments[:1]})
    if told is not None:
        spoken = " and ".join(slot.replace("_", " ") for slot in dict.fromkeys(kinds))
        source: Source = "checkpoint" if told[1] else "default"
        return RuleReading(told[0].name, source, f"slots for each variable: {spoken}")
    if not own_name:
        return RuleReading("unknown", "default", "no slots that identify it" if not kinds else "slots of no known kind")
    return RuleReading(normal_name(own_name), "default", f"no slots of a known kind; named {own_name!r}")


def adapt_slots(parameter: FoundParameter, rule: str) -> FoundParameter:
    """Rename slots that are moments only in Adam's family: Keras 3's `velocity` of RMSprop and `momentum` of SGD."""
    in_order = [slot for slot in parameter.slots if slot in USUAL_SLOTS]
    optimizer = find_optimizer(rule)
    is_pair = optimizer is None and in_order == ["first_moment", "second_moment"]
    has_some = optimizer is not None and optimizer.traces.pairs_some
    if has_moment_pair(rule) or has_some or is_pair:  # a custom class derives from one that has these, in this order
        return parameter
    upstream = {"first_moment": "momentum", "second_moment": "velocity", "max_second_moment": "velocity_hat"}
    slots = {upstream.get(slot, slot): key for slot, key in parameter.slots.items()}
    return FoundParameter(parameter.name, parameter.shape, parameter.dtype, parameter.value, slots)


def _pair_by_order(
    checkpoint: Checkpoint, variables: Sequence[Node], parsed: Sequence[tuple[Node, SlotName]], problems: list[Problem]
) -> list[FoundParameter]:
    """Pair by order (Keras 3): the i-th slot of each kind belongs to the i-th trained variable; shapes only check."""
    by_kind: dict[str, list[tuple[Node, SlotName]]] = {}
    for node, slot in parsed:
        by_kind.setdefault(slot.slot, []).append((node, slot))
    slots: list[dict[str, str]] = [{} for _ in range(max([len(variables), *map(len, by_kind.values())]))]
    for kind, entries in by_kind.items():
        places = range(len(entries)) if len(entries) >= len(variables) else _places_by_name(variables, entries)
        for place, (node, _) in zip(places, entries, strict=True):
            slots[place][kind] = node.key
    labels = [v.full_name or v.key for v in variables]
    longest = max(by_kind.values(), key=len, default=[])
    labels += [slot.variable for _, slot in longest[len(labels) :]]
    parameters = []
    for i, (name, keys) in enumerate(zip(unique_names(labels), slots, strict=True)):
        if not keys:
            continue
        value = variables[i].key if i < len(variables) and variables[i].key in checkpoint.tensors else None
        spec = checkpoint.tensors[whole_slot(keys)]
        if value is not None and checkpoint.tensors[value].shape != spec.shape and "first_moment" in keys:
            problems.append(
                Problem(
                    "association-uncertain",
                    f"{name}: its first moment has shape {spec.shape}, not its own",
                    "its weights are skipped",
                )
            )
            value = None
        parameters.append(FoundParameter(name, spec.shape, spec.dtype, value, keys))
    return parameters


def _with_turns(
    checkpoint: Checkpoint,
    members: Sequence[Node],
    parsed: Sequence[tuple[Node, SlotName]],
    parameters: list[FoundParameter],
    config: OptimizerConfig | None,
) -> list[FoundParameter]:
    """Add the slots whose names tell nothing (Adafactor's, of rows and columns) by their place among the others."""
    named = optimizer_of_class(parsed[0][1].optimizer) if parsed else None
    if named is None or not named.traces.slots_by_turns:
        return parameters
    specs = [checkpoint.tensors[m.key] for m in members]
    reading = next(turn_readings(specs, KERAS3, config, named.traces.slots_by_turns), None)
    if reading is None or len(reading.leading) != len(parameters):
        return parameters
    known = {node.key for node, _ in parsed}
    places = [
        {name: members[at].key for name, block in reading.slots.items() if (at := block[i]) is not None}
        for i in range(len(parameters))
    ]
    return [
        replace(p, slots={**{name: key for name, key in more.items() if key not in known}, **p.slots})
        for p, more in zip(parameters, places, strict=True)
    ]


def _places_by_name(variables: Sequence[Node], entries: Sequence[tuple[Node, SlotName]]) -> list[int]:
    """Return each slot's place among the variables if not all have one (Muon's second moments), matched by name."""
    places, start = [], 0
    spelled = [re.sub("/", "_", v.full_name) for v in variables]
    for _, slot in entries:
        start = next((i for i in range(start, len(spelled)) if spelled[i] == slot.variable), start)
        places.append(min(start, len(spelled) - 1))
        start += 1
    return places


def _pair_by_name(
    checkpoint: Checkpoint,
    graph: ObjectGraph,
    optimizer: Node,
    parsed: Sequence[tuple[Node, SlotName]],
    problems: list[Problem],
) -> list[FoundParameter]:
    """Pair by name (Keras 2): the slot's full name holds the variable's."""
    occurrences: Counter[tuple[str, str]] = Counter()
    grouped: dict[tuple[str, int], dict[str, str]] = {}
    for node, slot in parsed:
        place = occurrences[slot.variable, slot.slot]
        occurrences[slot.variable, slot.slot] += 1
        grouped.setdefault((slot.variable, place), {})[slot.slot] = node.key
    own = {n.key for n, _ in parsed}
    candidates = {}
    for (variable, place), keys in grouped.items():
        shape = checkpoint.tensors[whole_slot(keys)].shape
        candidates[variable, place] = [
            n
            for n in graph.variables_by_full_name.get(variable, ())
            if n.key in checkpoint.tensors and n.key not in own and checkpoint.tensors[n.key].shape == shape
        ]
    entries = list(grouped)
    chosen = chosen_in_order(graph, optimizer, entries, candidates)
    names = unique_names(variable for variable, _ in grouped)
    parameters = []
    for (entry, keys), name in zip(grouped.items(), names, strict=True):
        spec = checkpoint.tensors[whole_slot(keys)]
        nodes, picked = candidates[entry], chosen[entry]
        value = None if picked is None else picked.key
        rivals = [e for e in entries if e[0] == entry[0] and candidates[e] == nodes]
        if len(nodes) > 1 and entry == rivals[0]:
            problems.append(ambiguity(name, nodes, len(rivals), value))
        parameters.append(FoundParameter(name, spec.shape, spec.dtype, value, keys))
    return parameters
