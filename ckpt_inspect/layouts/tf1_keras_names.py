"""tf.keras optimizers under TF1's Saver, which keeps names alone.

TF 1.15, and TensorFlow Addons in a TF1 graph: `training/Adam/dense/kernel/m` beside `training/Adam/iter`; an Estimator
of TF 1.15 to 2.15 lends one of its optimizers the `global_step` in place of `iter`. TF 1.4-1.12:
`training/Adam/Variable`, `Variable_1`, .. (all first moments, all second moments, and maxima) beside `Adam/iterations`,
in the order of the trainable weights. A bundle doesn't record that order; the graph does, if a `.meta` lies beside.
Without it, the shapes of whole layers may leave one order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
from ckpt_inspect.layouts.evidence import read_betas, tell_adamax
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading, rate_in_graph
from ckpt_inspect.layouts.graphs import decoded_graph
from ckpt_inspect.layouts.slot_lists import slots_in_blocks
from ckpt_inspect.layouts.trainable_order import NOT_TRAINED, Block, Pairing, Weight, pair
from ckpt_inspect.layouts.validation import FLOATS
from ckpt_inspect.sourced import Source
from ckpt_inspect.update_rules import (
    SCALAR_NAMES,
    USUAL_RULE,
    can_have,
    can_keep,
    implementation_among,
    optimizer_of_class,
    optimizer_of_slots,
    rules_like,
    rules_of_scalars,
    second_slot,
)
from ckpt_inspect.update_rules.hyperparameters import WEIGHT_DECAY
from ckpt_inspect.update_rules.implementations import KERAS1, OPTIMIZER_V2, TFA

if TYPE_CHECKING:
    from ckpt_inspect.layouts.graph_def import GraphDef

LAYOUT = "tf1-keras-names"
GLOBAL_STEP = "global_step"
SLOTS = {"m": "first_moment", "v": "second_moment", "vhat": "max_second_moment"}
SCALARS = {
    "learning_rate": "learning_rate",
    "lr": "learning_rate",
    "beta_1": "beta_1",
    "beta_2": "beta_2",
    "decay": "decay",
}
NAMELESS = re.compile(r"^(?P<prefix>.*/)?Variable(?:_(?P<number>[0-9]{1,9}))?$")
INDEXED = re.compile(r"^(?P<prefix>.*/)?(?P<kind>m|v|vhat)_(?P<number>[0-9]{1,9})(?:_[0-9]+)?$")
"""Keras 2.3: `m_0_1` is the first moment of the first weight; the rest makes the name unique in the graph."""
ROLE_ORDER = (
    "embeddings",
    "gamma",
    "depthwise_kernel",
    "pointwise_kernel",
    "kernel",
    "recurrent_kernel",
    "bias",
    "beta",
)


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find every such optimizer, those with named slots first."""
    return [*_find_named(checkpoint), *_find_nameless(checkpoint)]


def _find_named(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    tensors = checkpoint.tensors
    own = {key.removesuffix("iter"): key for key, spec in tensors.items() if key.endswith("/iter") and not spec.shape}
    lent = _without_own_counter(tensors, own.keys())
    named = {prefix: (_named_slots(tensors, prefix), _named_scalars(tensors, prefix)) for prefix in (*own, *lent)}
    named = {prefix: (slots, scalars) for prefix, (slots, scalars) in named.items() if slots or scalars}
    graph_def, graph_where = decoded_graph(checkpoint) if named else (None, "")
    found = []
    for prefix, (slots, scalars) in named.items():
        is_own = prefix in own
        counter, problem = (own[prefix], None) if is_own else _lent_counter(checkpoint, prefix, lent, graph_def)
        rule = _read_rule(prefix, frozenset(s for names in slots.values() for s in names), scalars)
        first, second = USUAL_RULE.slots_in_tf1
        pairs = [(keys[first], keys[second]) for keys in slots.values() if keys.keys() == {first, second}]
        if pairs and not rules_of_scalars(scalars):
            others = rules_like(USUAL_RULE.name, scalars, OPTIMIZER_V2, TFA)
            rule = tell_adamax(checkpoint, rule, pairs, read_betas(checkpoint, scalars), others)
        second = second_slot(rule.name)
        slots = {
            v: {(second if s == USUAL_RULE.second_slot else s): k for s, k in keys.items()} for v, keys in slots.items()
        }
        parameters = tuple(
            FoundParameter(v, tensors[key].shape, tensors[key].dtype, v if v in tensors else None, keys)
            for v, keys in slots.items()
            for key in [next(iter(keys.values()))]
        )
        nodes = _scalar_nodes(graph_def, slots)
        rate = None
        if graph_def is not None and "learning_rate" in nodes and "learning_rate" not in scalars:
            rate = rate_in_graph(checkpoint, graph_def, nodes["learning_rate"])
        found.append(
            FoundOptimizer(
                prefix.rstrip("/"), LAYOUT, implementation_among(rule.name, (OPTIMIZER_V2, TFA)), rule,
                parameters=parameters, counter=counter, scalars=scalars,
                counted="updates" if is_own else "global-step",
                constants=_constants(graph_def, nodes, scalars), constants_where=graph_where, graph_rate=rate,
                has_scheduled_rate="learning_rate" not in scalars,
                problems=() if problem is None else (problem,),
            )
        )  # fmt: skip
    return found


def _named_slots(tensors: Mapping[str, TensorSpec], prefix: str) -> dict[str, dict[str, str]]:
    """Return the keys of the slots under a prefix, by variable and by our name of the slot."""
    slots: dict[str, dict[str, str]] = {}
    for key, spec in tensors.items():
        variable, _, tail = key.removeprefix(prefix).rpartition("/")
        is_slot = tail in SLOTS or (variable in tensors and tensors[variable].shape == spec.shape)
        if key.startswith(prefix) and is_slot and variable:
            slots.setdefault(variable, {})[SLOTS.get(tail, tail)] = key
    return slots


def _named_scalars(tensors: Mapping[str, TensorSpec], prefix: str) -> dict[str, str]:
    return {
        ours: prefix + name
        for name, ours in (SCALARS | {n: n for n in SCALAR_NAMES}).items()
        if prefix + name in tensors and tensors[prefix + name].shape == ()
    }


def _without_own_counter(tensors: Mapping[str, TensorSpec], counted: Collection[str]) -> list[str]:
    """Return the prefixes of optimizers that keep a `decay` in a variable, as all of OptimizerV2's do, and slots of the
    file's variables, but have no `iter`: an Estimator lends them its `global_step`."""
    prefixes = [
        key.removesuffix("decay")
        for key, spec in tensors.items()
        if key.endswith("/decay") and spec.shape == () and spec.dtype in FLOATS
    ]
    return [
        p for p in prefixes if p not in counted and any(variable in tensors for variable in _named_slots(tensors, p))
    ]


def _lent_counter(
    checkpoint: Checkpoint, prefix: str, lent: Sequence[str], graph: GraphDef | None
) -> tuple[str | None, Problem | None]:
    """Return the counter of an optimizer without `iter`: `global_step`, if that can count nothing else."""
    name = prefix.rstrip("/")
    spec = checkpoint.tensors.get(GLOBAL_STEP)
    if spec is None or spec.shape != ():
        return None, None
    if graph is not None and f"{prefix}iter" in graph.nodes:
        what = f"{name} counts its updates in {prefix}iter, which the graph has and the checkpoint doesn't hold"
    elif len(lent) > 1:
        what = f"{GLOBAL_STEP} counts the updates of {len(lent)} optimizers together: {', '.join(lent)}"
    else:
        return GLOBAL_STEP, None
    return None, Problem("counter-open", what, "the step is left unknown; give --step")


def _scalar_nodes(graph: GraphDef | None, slots: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the graph's nodes that feed the hyperparameters of the operations that update all these slots alike."""
    if graph is None:
        return {}
    own = {key for keys in slots.values() for key in keys.values()}
    return graph.shared_scalars([a for a in graph.applications if own & set(a.saved_slots.values())])


def _constants(graph: GraphDef | None, nodes: Mapping[str, str], scalars: Mapping[str, str]) -> dict[str, float]:
    """Return the hyperparameters that are constants of the graph and that no variable holds."""
    if graph is None:
        return {}
    values = {name: graph.constant(node) for name, node in nodes.items() if name not in scalars}
    return {name: value for name, value in values.items() if value is not None}


def _read_rule(prefix: str, slots: frozenset[str], scalars: Mapping[str, str]) -> RuleReading:
    name = prefix.rstrip("/").rpartition("/")[2]
    named = optimizer_of_class(name)
    spelled = {name: upstream for upstream, name in SLOTS.items()}
    upstream = {spelled.get(slot, slot) for slot in slots}
    named = named if named is not None and can_keep(named, upstream) and can_have(named, slots, scalars) else None
    keepers = rules_of_scalars(scalars)
    if len(keepers) == 1 and named is not keepers[0]:
        scalar = next(s for s in keepers[0].traces.scalars if s in scalars)
        return RuleReading(keepers[0].name, "checkpoint", f"{scalar}, which only {keepers[0].title} has")
    if keepers and named not in keepers:
        scalar = next(s for s in keepers[0].traces.scalars if s in scalars)
        who = " and ".join(keeper.title for keeper in keepers)
        others = tuple(keeper.name for keeper in keepers[1:])
        return RuleReading(keepers[0].name, "default", f"{scalar}, which only {who} have", others)
    if "max_second_moment" in slots and named in (None, USUAL_RULE):
        return RuleReading(USUAL_RULE.with_maximum, "checkpoint", "slots vhat, the maximum of the second moment")
    decay = next((n for n in WEIGHT_DECAY.upstream_names if n in scalars), None)
    if named is USUAL_RULE and decay is not None:
        return RuleReading(USUAL_RULE.with_decay, "checkpoint", f"its variables lie under {name!r}, {decay} among them")
    if named is not None:
        return RuleReading(named.name, "checkpoint", f"its variables lie under {name!r}, the class's default name")
    where = f"a first and a second moment for each variable, under the name {name!r}"
    if slots >= {"first_moment", "second_moment"}:
        usual = USUAL_RULE.name if decay is None else USUAL_RULE.with_decay
        return RuleReading(usual, "default", where, rules_like(usual, scalars, OPTIMIZER_V2, TFA))
    if (told := optimizer_of_slots(slots)) is not None:
        source: Source = "checkpoint" if told[1] else "default"
        return RuleReading(told[0].name, source, f"slots {', '.join(sorted(slots))}")
    what = f"slots {', '.join(sorted(slots)) or 'none'} under the name {name!r}, which names no class"
    return RuleReading("unknown", "unknown", what)


def _find_nameless(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    tensors = checkpoint.tensors
    counters = [k for k in tensors if k.endswith("/iterations") and tensors[k].shape == ()]
    found = []
    for counter in counters:
        own = counter.removesuffix("iterations")
        blocks = _indexed(tensors, own) or _numbered(tensors, own)
        name = own.rstrip("/")
        rule = optimizer_of_class(name.rpartition("/")[2]) or USUAL_RULE
        rule_name = rule.name
        scalars = {ours: own + name for name, ours in SCALARS.items() if own + name in tensors}
        problems: list[Problem] = []
        parameters: tuple[FoundParameter, ...] = ()
        absence: str | None = None
        if rule.has_moment_pair and blocks:
            parameters, has_maximum = _pair_nameless(checkpoint, blocks, problems)
            rule_name = rule.with_maximum if has_maximum and rule is USUAL_RULE else rule_name
        elif blocks:
            keys = [key for block in blocks[0] for key in block]
            kinds = slots_in_blocks(rule, [tensors[key].shape for key in keys])
            count = len(keys) // max(len(kinds), 1)
            ways = [tuple(tuple(keys[i : i + count]) for i in range(0, len(keys), count))] if kinds else []
            parameters, _ = _pair_nameless(checkpoint, ways, problems, kinds)
            absence = None if parameters else f"{len(keys)} nameless slots, {keys[0]} .. {keys[-1]}, of no known order"
        found.append(
            FoundOptimizer(
                name=name,
                layout=LAYOUT,
                implementation=KERAS1,
                rule=RuleReading(
                    rule_name, "checkpoint", f"its variables lie under {name!r}, the class's default name"
                ),
                parameters=parameters,
                counter=counter,
                scalars=scalars,
                absence=absence,
                problems=tuple(problems),
            )
        )
    return found


Blocks = tuple[tuple[str, ...], ...]
"""Keys of all first moments, all second moments, and (if there are any) all maxima."""


def _indexed(tensors: Mapping[str, TensorSpec], own: str) -> list[Blocks]:
    found: dict[str, dict[int, str]] = {}
    for key in tensors:
        match = INDEXED.match(key)
        if match is not None and (match["prefix"] or "").endswith(own):
            found.setdefault(match["kind"], {})[int(match["number"])] = key
    blocks = tuple(tuple(k for _, k in sorted(found[kind].items())) for kind in ("m", "v", "vhat") if kind in found)
    is_sound = {"m", "v"} <= set(found) and all(set(b) == set(found["m"]) for b in found.values())
    return [blocks] if is_sound and _fit(tensors, blocks) else []


def _numbered(tensors: Mapping[str, TensorSpec], own: str) -> list[Blocks]:
    """Return every way to cut the numbered list that its shapes allow."""
    numbered: dict[str, dict[int, str]] = {}
    for key in tensors:
        match = NAMELESS.match(key)
        if match is not None and (match["prefix"] or "").endswith(own):
            numbered.setdefault(match["prefix"], {})[int(match["number"] or 0)] = key
    if len(numbered) != 1:
        return []
    keys = [k for by_number in numbered.values() for _, k in sorted(by_number.items())]
    ways = []
    for parts in (3, 2):
        count, rest = divmod(len(keys), parts)
        blocks = tuple(tuple(keys[i : i + count]) for i in range(0, len(keys), count or 1))
        if count and not rest and _fit(tensors, blocks):
            ways.append(blocks)
    return ways or [(tuple(keys),)]


def _fit(tensors: Mapping[str, TensorSpec], blocks: Blocks) -> bool:
    """Return whether second moments have the first ones' shapes, and the maxima too or are dummies of shape (1,)."""
    shapes = [[tensors[k].shape for k in block] for block in blocks]
    return shapes[0] == shapes[1] and all(s in (shapes[0], [(1,)] * len(shapes[0])) for s in shapes[2:])


def _pair_nameless(
    checkpoint: Checkpoint, ways: Sequence[Blocks], problems: list[Problem], kinds: Sequence[str] = ()
) -> tuple[tuple[FoundParameter, ...], bool]:
    """Return the weights with their slots, and whether there is a maximum; `kinds`: the slots' names, if they are not
    moments."""
    ways = [w for w in ways if kinds or len(w) > 1]
    if not ways:
        problems.append(
            Problem(
                "association-open",
                "the nameless slots are not pairs of first and second moments",
                "none is reported",
            )
        )
        return (), False
    pairings = [_pair(checkpoint, way) for way in ways]
    fitness = [0 if p is None else 1 + p.is_certain for p in pairings]
    chosen = fitness.index(max(fitness))
    blocks, pairing = ways[chosen], pairings[chosen]
    if pairing is None or not pairing.is_certain:
        problems.append(
            Problem(
                "association-open",
                "the slots have no names, and the file doesn't record the order of the model's weights",
                "those that could belong to several weights of their shape are reported by their place; a "
                ".meta file would decide",
            )
        )
    first, maxima = blocks[0], () if kinds else blocks[2:]
    tensors = checkpoint.tensors
    has_maximum = bool(maxima) and [tensors[k].shape for k in maxima[0]] == [tensors[k].shape for k in first]
    names = kinds or ("first_moment", "second_moment", *(("max_second_moment",) if has_maximum else ()))
    parameters = []
    for i, weight in enumerate(pairing.weights if pairing else (None,) * len(first)):
        slots = {kind: block[i] for kind, block in zip(names, blocks, strict=False)}
        spec = tensors[first[i]]
        name = weight.name if weight else f"weight {i}"
        parameters.append(FoundParameter(name, spec.shape, spec.dtype, weight.key if weight else None, slots))
    return tuple(parameters), has_maximum


def _pair(checkpoint: Checkpoint, blocks: Blocks) -> Pairing | None:
    shapes = [checkpoint.tensors[k].shape for k in blocks[0]]
    own = {k for keys in blocks for k in keys}
    weights = [
        Weight(k, k, spec.shape, k.rpartition("/")[2] not in NOT_TRAINED)
        for k, spec in checkpoint.tensors.items()
        if k not in own and "float" in spec.dtype and spec.shape != ()
    ]
    decoded, _ = decoded_graph(checkpoint)
    if decoded is not None:
        from ckpt_inspect.layouts.graph_values import VARIABLE_OPS

        if (proved := _pair_by_updates(decoded, blocks, weights)) is not None:
            return proved
        created = {n.name: i for i, n in enumerate(decoded.nodes.values()) if n.op in VARIABLE_OPS}
        if all(w.name in created for w in weights):
            weights.sort(key=lambda w: created[w.name])
            return pair(Block("", tuple(weights)), shapes)
    layers: dict[str, list[Weight]] = {}
    for weight in weights:
        layers.setdefault(weight.name.rpartition("/")[0], []).append(weight)
    # Keras numbers the layers of one class as they are made (`dense`, `dense_1`), but a model inside another is made
    # first and may stand later: the numbers prove no order
    parts = [Block(name, tuple(sorted(members, key=_role_place))) for name, members in layers.items()]
    return pair(Block("", (), tuple(parts), is_ordered=False), shapes)


def _pair_by_updates(graph: GraphDef, blocks: Blocks, weights: Sequence[Weight]) -> Pairing | None:
    """Give each slot the weight whose update reads it; None if the graph doesn't show that for every slot."""
    by_name = {w.name: w for w in weights}
    readers: dict[str, list[Weight]] = {}
    for target, slots in graph.read_in_updates(frozenset(k for keys in blocks for k in keys)).items():
        for slot in slots:
            readers.setdefault(slot, []).extend([by_name[target]] if target in by_name else [])
    owners = [[readers.get(k, []) for k in keys] for keys in blocks[:2]]
    if any(len(own) != 1 for part in owners for own in part):
        return None
    first, *others = ([own[0] for own in part] for part in owners)
    return Pairing(tuple(first)) if all(other == first for other in others) else None


def _role_place(weight: Weight) -> tuple[int, str]:
    role = weight.name.rpartition("/")[2]
    return (ROLE_ORDER.index(role) if role in ROLE_ORDER else len(ROLE_ORDER), role)
