"""OptimizerV2 and TF1 optimizers in an object graph: slots are listed at the optimizer's node.

`tf.keras.optimizers` of TF 2.0-2.10 (and `.legacy` later, and 1.15), `tf.train.*Optimizer` under `tf.train.Checkpoint`,
TensorFlow Addons. Keys look like `<variable>/.OPTIMIZER_SLOT/<optimizer>/m/.ATTRIBUTES/VARIABLE_VALUE`; the proof of
which slot belongs to which variable is the node's `slot_variables`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.evidence import read_betas, tell_adamax
from ckpt_inspect.layouts.found import (
    BetaPowerKeys,
    BetaPowers,
    FoundOptimizer,
    FoundParameter,
    RuleReading,
    rule_of_tf1_slots,
    unique_names,
)
from ckpt_inspect.layouts.object_graph import KEY_TAIL, Node, ObjectGraph
from ckpt_inspect.layouts.optimizer_classes import AVERAGE_SLOTS, OptimizerConfig, averaged_weights, never_counted
from ckpt_inspect.update_rules import (
    OPTIMIZERS,
    SCALAR_NAMES,
    USUAL_RULE,
    Implementation,
    Optimizer,
    UpdateRule,
    can_have,
    can_keep,
    has_moment_pair,
    implementation_among,
    normal_name,
    optimizer_of_bare_scalars,
    optimizer_of_class,
    optimizer_of_slots,
    rules_like,
    rules_of_scalars,
    second_slot,
)
from ckpt_inspect.update_rules.hyperparameters import WEIGHT_DECAY
from ckpt_inspect.update_rules.implementations import OPTIMIZER_V2, TF1, TFA

LAYOUT = "optimizer-v2"
LAYOUT_TF1 = "tf1-object-graph"

SCALARS = ("decay", *SCALAR_NAMES)
POWERS = ("beta1_power", "beta2_power")
PAIR = {"first_moment", "second_moment"}
SHARDED_NAME = "ShardedVariable"
"""What every variable that ParameterServerStrategy shards is called in the graph, and each of its slots."""
WRAPPED_CHILDREN = (
    "base_optimizer",
    "inner_optimizer",
    "lh_base_optimizer",
    "awg_optimizer",
    "_optimizer",
    "optimizer",
)
NOT_COUNTERS = re.compile(
    r"save_counter|train_counter|ckpt_saved|good_steps|global_step_unused|epoch|batch|seed|state|count$|total$"
)


def find(
    checkpoint: Checkpoint, graph: ObjectGraph, config: OptimizerConfig | None, config_where: str
) -> list[FoundOptimizer]:
    """Find every OptimizerV2 or TF1 optimizer of the graph; `config` is the compiled optimizer's, if a model carries
    one."""
    found = []
    for node in graph.nodes:
        slots = [s for s in node.slots if s.name not in AVERAGE_SLOTS]
        if not slots and not _has_hyperparameters_of_v2(node):
            continue
        if not slots and any(_inner(graph, node)):
            continue  # a wrapper: the optimizer inside is read instead
        found.append(_read_optimizer(checkpoint, graph, node, config, config_where))
    return found


def _has_hyperparameters_of_v2(node: Node) -> bool:
    has = set(node.children)
    return ("iter" in has and bool(has & {"learning_rate", "decay", "beta_1"})) or {
        "beta_1",
        "beta_2",
        "learning_rate",
    } <= has


def _inner(graph: ObjectGraph, node: Node) -> list[Node]:
    inner = [graph.child(node, name) for name in WRAPPED_CHILDREN]
    return [n for n in inner if n is not None and (n.slots or _has_hyperparameters_of_v2(n))]


def _averages(node: Node) -> bool:
    """Return whether it is a wrapper that overwrites the weights with an average."""
    return any(s.name in AVERAGE_SLOTS for s in node.slots)


def _read_optimizer(
    checkpoint: Checkpoint, graph: ObjectGraph, node: Node, config: OptimizerConfig | None, config_where: str
) -> FoundOptimizer:
    wrapper = next((n for n in graph.nodes if node in _inner(graph, n)), None)
    is_tf1 = any(power in node.children for power in POWERS)
    own_config = config if _is_compiled(graph, node, wrapper) else None
    scalars = {n: key for n in SCALARS if (key := _key(checkpoint, graph, node, n))}
    reading = _read_rule(graph, node, scalars, own_config, is_tf1)
    if own_config is None and (norms := _keeps_norms(checkpoint, graph, node)) is not None:
        reading = norms
    elif own_config is None and not is_tf1 and not rules_of_scalars({*scalars, *node.children}):
        moments = _parameters(checkpoint, graph, node, None, USUAL_RULE.name)
        pairs = [(p.slots["first_moment"], p.slots["second_moment"]) for p in moments if set(p.slots) == PAIR]
        others = rules_like(USUAL_RULE.name, scalars, OPTIMIZER_V2, TFA)
        reading = tell_adamax(checkpoint, reading, pairs, read_betas(checkpoint, scalars), others) if pairs else reading
    problems: list[Problem] = []
    # a wrapper that averages steps for the optimizer inside, whose own counter, if it has one, stays 0
    averages = wrapper is not None and _averages(wrapper)
    outer = next((n for n in graph.nodes if wrapper in _inner(graph, n) and _averages(n)), None) if averages else None
    counters = [_key(checkpoint, graph, n, "iter") for n in ((wrapper, node) if averages else (node, wrapper)) if n]
    counter = next((c for c in counters if c is not None), None)
    if outer is not None:
        counter = None
        problems.append(never_counted(graph.paths.get(outer.index, "?")))
    elif counter is None and not is_tf1:
        counter, problem = _shared_counter(checkpoint, graph, node)
        problems += [problem] if problem else []
    if wrapper is not None and averages:
        problems.append(averaged_weights(graph.paths.get(wrapper.index, "?")))
    return FoundOptimizer(
        name=graph.paths.get(node.index) or f"node {node.index}",
        layout=LAYOUT_TF1 if is_tf1 else LAYOUT,
        implementation=_implementation(reading.name, scalars, own_config, is_tf1),
        rule=reading,
        parameters=_parameters(checkpoint, graph, node, wrapper, reading.name),
        counter=counter,
        beta_powers=BetaPowers(BetaPowerKeys(*(_key(checkpoint, graph, node, n) for n in POWERS))),
        scalars=scalars,
        config=own_config.config if own_config else None,
        config_where=config_where if own_config else "",
        has_scheduled_rate=not is_tf1 and "learning_rate" not in scalars,
        problems=tuple(problems),
    )


def _key(checkpoint: Checkpoint, graph: ObjectGraph, node: Node, name: str) -> str | None:
    child = graph.child(node, name)
    return child.key if child is not None and child.key in checkpoint.tensors else None


def _is_compiled(graph: ObjectGraph, node: Node, wrapper: Node | None) -> bool:
    """Return whether this is the optimizer of a compiled model that is the graph's root: a saved configuration belongs
    to that one."""
    compiled = graph.nodes[0].children.get("optimizer")
    return compiled is not None and compiled in (node.index, wrapper.index if wrapper else None)


def _implementation(
    rule: str, scalars: Mapping[str, str], config: OptimizerConfig | None, is_tf1: bool
) -> Implementation:
    """Return whose it is: Addons' if the configuration says so, or if Keras has no such rule."""
    if is_tf1:
        return TF1
    if config is not None and config.is_addon:
        return TFA
    return implementation_among(rule, (OPTIMIZER_V2, TFA)) if "beta_1" in scalars else OPTIMIZER_V2


def _read_rule(
    graph: ObjectGraph, node: Node, scalars: Mapping[str, str], config: OptimizerConfig | None, is_tf1: bool
) -> RuleReading:
    slots = {s.name for s in node.slots}
    if config is not None:
        return RuleReading(config.rule, "config", f"class {config.class_name!r} in the configuration")
    prefix = _slot_prefix(graph, node)
    named, by = optimizer_of_class(prefix) if prefix else None, "slots"
    if named is None and (name := _scalar_prefix(graph, node)):
        named, by = optimizer_of_class(name), "hyperparameters"
        prefix = name if named is not None else prefix or name
    kept = {*scalars, *node.children}
    if named is not None and not can_keep(named, slots):
        named = None
    if named is not None and not (_has_powers_of(named, kept) if is_tf1 else can_have(named, slots, kept)):
        named = None
    if keepers := rules_of_scalars(kept):
        return _read_keeper(keepers, kept, named, prefix)
    told = optimizer_of_slots(slots)
    has_own_slots = named is None or bool(named.traces.slots or named.traces.usual_slots)
    if told is not None and told[1] and has_own_slots:  # ProximalAdagrad keeps Adagrad's slots
        return RuleReading(told[0].name, "checkpoint", f"slots {', '.join(sorted(slots))}")
    if "vhat" in slots and {"m", "v"} <= slots:
        return RuleReading(USUAL_RULE.with_maximum, "checkpoint", "slot vhat, the maximum of the second moment")
    if named is not None and is_tf1:
        return rule_of_tf1_slots(prefix, named)
    decay = next((n for n in WEIGHT_DECAY.upstream_names if n in scalars), None)
    if named is USUAL_RULE and decay is not None:
        where = f"{by} are named {prefix!r}, {decay} among its hyperparameters"
        return RuleReading(USUAL_RULE.with_decay, "checkpoint", where)
    if named is not None:
        return RuleReading(named.name, "checkpoint", f"{by} are named {prefix!r}, the class's default name")
    if {"m", "v"} <= slots or {"beta_1", "beta_2"} <= set(node.children):
        return _read_usual(scalars, prefix)
    bare = None if slots else optimizer_of_bare_scalars(scalars)
    if bare is not None:
        return RuleReading(bare.name, "checkpoint", "hyperparameters momentum and learning_rate")
    spoken = f"slots {', '.join(sorted(slots)) or 'none'}"
    if prefix and optimizer_of_class(prefix) is not None:  # a name that someone gave an optimizer of another class
        return RuleReading(
            "unknown" if told is None else told[0].name, "default", f"{spoken}, under the name {prefix!r}"
        )
    return RuleReading(normal_name(prefix) if prefix else "unknown", "default", spoken)


def _keeps_norms(checkpoint: Checkpoint, graph: ObjectGraph, node: Node) -> RuleReading | None:
    """Return the optimizer whose `v` is one number for each variable, if this is it."""
    shapes: dict[int, dict[str, tuple[int, ...]]] = {}
    for slot in node.slots:
        if (spec := checkpoint.tensors.get(graph.nodes[slot.node].key)) is not None:
            shapes.setdefault(slot.variable, {})[slot.name] = spec.shape
    is_norm = any(own.get("m", ()) and own.get("v") == () for own in shapes.values())
    keepers = [o for o in OPTIMIZERS if o.traces.keeps_norms]
    if not is_norm or len(keepers) != 1:
        return None
    where = f"slots m of each variable's shape and v of one number, as {keepers[0].name} keeps"
    return RuleReading(keepers[0].name, "checkpoint", where)


def _has_powers_of(named: Optimizer, kept: Set[str]) -> bool:
    """Return whether the powers of beta can be that class's: no Adamax of TF1 has one of beta_2."""
    return not isinstance(named, UpdateRule) or named.has_average or not set(POWERS) <= kept


def _read_keeper(keepers: Sequence[UpdateRule], kept: Set[str], named: Optimizer | None, prefix: str) -> RuleReading:
    """One of the rules that keep such a scalar: the only one, else the one that the slots are named for."""
    rule = next((r for r in keepers if r is named), keepers[0])
    scalar = next(s for s in rule.traces.scalars if s in kept)
    titles = " and ".join(r.title for r in keepers)
    where = f"{scalar}, which only {titles} {'has' if len(keepers) == 1 else 'have'}"
    if len(keepers) > 1 and rule is not named:
        return RuleReading(rule.name, "default", where, tuple(r.name for r in keepers if r is not rule))
    return RuleReading(rule.name, "checkpoint", where + (f", in slots named {prefix!r}" if len(keepers) > 1 else ""))


def _read_usual(scalars: Mapping[str, str], prefix: str) -> RuleReading:
    """Return what two moments without any name usually are."""
    has_decay = not scalars.keys().isdisjoint(WEIGHT_DECAY.upstream_names)
    name = USUAL_RULE.with_decay if has_decay else USUAL_RULE.name
    where = (
        f"slots m and v of an optimizer named {prefix!r}, which is no class that has these"
        if prefix
        else "hyperparameters beta_1, beta_2"
    )
    return RuleReading(name, "default", where, rules_like(name, scalars, OPTIMIZER_V2, TFA))


def _slot_prefix(graph: ObjectGraph, node: Node) -> str:
    """Return the optimizer's name for its slots: `Adam` of `training/Adam/dense/kernel/m`, `AdamW` of `w/AdamW_1`.

    Empty for slots that were made outside of the optimizer's scope (`dense/kernel/m`), as a restore makes them.
    """
    for slot in node.slots:
        full, variable = graph.nodes[slot.node].full_name, graph.nodes[slot.variable].full_name
        if variable == SHARDED_NAME:
            continue
        if variable and full.endswith(f"/{variable}/{slot.name}"):
            return full[: -len(f"/{variable}/{slot.name}")].rsplit("/", 1)[-1]
        if variable and variable + "/" in full and not full.endswith(f"{variable}/{slot.name}"):
            return re.sub(r"_\d+$", "", full.rsplit("/", 1)[-1])  # TF1: <scope>/<variable>/<optimizer>, <optimizer>_1
    return ""


def _scalar_prefix(graph: ObjectGraph, node: Node) -> str:
    """Return the optimizer's name for its hyperparameters, if all agree: `Adam` of `Adam/iter` and `Adam/beta_1`."""
    names = {
        full.rpartition("/")[0].rpartition("/")[2]
        for name in ("iter", *SCALARS)
        if (child := graph.child(node, name)) is not None
        and (full := re.sub(r"_\d+$", "", child.full_name)).endswith(f"/{re.sub(r'_[0-9]+$', '', name)}")
    }
    return names.pop() if len(names) == 1 else ""


def _parameters(
    checkpoint: Checkpoint, graph: ObjectGraph, node: Node, wrapper: Node | None, rule: str
) -> tuple[FoundParameter, ...]:
    ours = {
        "m": "first_moment",
        "v": second_slot(rule),
        "vhat": "max_second_moment",
    }
    is_pair = has_moment_pair(rule)
    by_variable: dict[int, dict[str, str]] = {}
    for slot in (*node.slots, *(wrapper.slots if wrapper else ())):
        key = graph.nodes[slot.node].key
        if key in checkpoint.tensors:
            # NovoGrad's v, one number for each variable, is not a second moment of its elements
            is_own = not is_pair and checkpoint.tensors[key].shape == () and _shape(checkpoint, graph, slot.variable)
            by_variable.setdefault(slot.variable, {})[slot.name if is_own else ours.get(slot.name, slot.name)] = key
    names = unique_names(_variable_name(graph, v) for v in by_variable)
    parameters = []
    for (variable, slots), name in zip(by_variable.items(), names, strict=True):
        value = graph.nodes[variable].key
        spec = checkpoint.tensors[slots.get("first_moment") or next(iter(slots.values()))]
        parameters.append(
            FoundParameter(name, spec.shape, spec.dtype, value if value in checkpoint.tensors else None, slots)
        )
    return tuple(parameters)


def _shape(checkpoint: Checkpoint, graph: ObjectGraph, variable: int) -> tuple[int, ...]:
    spec = checkpoint.tensors.get(graph.nodes[variable].key)
    return spec.shape if spec is not None else ()


def _variable_name(graph: ObjectGraph, index: int) -> str:
    """Return the variable's own name, else its path; a sharded variable is called by its class alone."""
    node = graph.nodes[index]
    own = "" if node.full_name == SHARDED_NAME else node.full_name
    return own or node.key.removesuffix(KEY_TAIL) or graph.paths.get(index) or f"node {index}"


def _shared_counter(checkpoint: Checkpoint, graph: ObjectGraph, node: Node) -> tuple[str | None, Problem | None]:
    """`optimizer.iterations = step` leaves no link: the counter is an integer scalar elsewhere in the checkpoint."""
    if not {"learning_rate", "decay", "beta_1"} & set(node.children):
        return None, None
    own = {c for n in graph.nodes for name, c in n.children.items() if name in ("iter", "save_counter")}
    candidates = [
        n.key
        for n in graph.nodes
        if n.key in checkpoint.tensors
        and n.index not in own
        and checkpoint.tensors[n.key].shape == ()
        and checkpoint.tensors[n.key].dtype in ("int64", "int32")
        and not NOT_COUNTERS.search(n.full_name or n.key)
    ]
    if len(candidates) != 1:
        return None, None
    return candidates[0], Problem(
        "shared-step-counter",
        f"the optimizer keeps no counter of its own; {candidates[0]} is the only one in the checkpoint",
        "its value is used as the step; if several optimizers share it, the last update of all but one used a smaller "
        "one",
    )
