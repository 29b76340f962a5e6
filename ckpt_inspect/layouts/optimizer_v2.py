"""OptimizerV2 and TF1 optimizers in an object graph: slots are listed at the optimizer's node.

`tf.keras.optimizers` of TF 2.0-2.10 (and `.legacy` later, and 1.15), `tf.train.*Optimizer` under `tf.train.Checkpoint`,
TensorFlow Addons. Keys look like `<variable>/.OPTIMIZER_SLOT/<optimizer>/m/.ATTRIBUTES/VARIABLE_VALUE`; the proof of
which slot belongs to which variable is the node's `slot_variables`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.evidence import tell_adamax
from ckpt_inspect.layouts.found import (
    BetaPowerKeys,
    BetaPowers,
    Family,
    FoundOptimizer,
    FoundParameter,
    RuleReading,
    adam_of_tf1,
    unique_names,
)
from ckpt_inspect.layouts.object_graph import Node, ObjectGraph
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig, normal_name, rule_of_class

LAYOUT = "optimizer-v2"
LAYOUT_TF1 = "tf1-object-graph"

HYPERPARAMETERS = (
    "learning_rate", "beta_1", "beta_2", "decay", "weight_decay", "epsilon", "momentum_cache", "momentum", "rho",
    "sma_threshold", "min_lr", "total_steps", "warmup_proportion", "weight_decay_rate", "initial_accumulator_value",
)  # fmt: skip
POWERS = ("beta1_power", "beta2_power")
PAIR = {"first_moment", "second_moment"}
AVERAGE_SLOTS = {"slow", "average"}
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

# slots that only one optimizer has -> its name
TELLING_SLOTS = (
    ({"rms"}, "rmsprop"),
    ({"accum_grad", "accum_var"}, "adadelta"),
    ({"accumulator", "linear"}, "ftrl"),
    ({"accumulator"}, "adagrad"),
    ({"momentum"}, "sgd"),
)


def find(
    checkpoint: Checkpoint, graph: ObjectGraph, config: OptimizerConfig | None, config_where: str
) -> list[FoundOptimizer]:
    """Every OptimizerV2 or TF1 optimizer of the graph; `config` is the compiled optimizer's, where a model carries
    one."""
    found = []
    for node in graph.nodes:
        slots = [s for s in node.slots if s.name not in AVERAGE_SLOTS]
        if not slots and not _has_hyperparameters_of_v2(node):
            continue
        if not slots and any(_inner(graph, node)):
            continue  # a wrapper: what it wraps answers
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


def _read_optimizer(
    checkpoint: Checkpoint, graph: ObjectGraph, node: Node, config: OptimizerConfig | None, config_where: str
) -> FoundOptimizer:
    wrapper = next((n for n in graph.nodes if node in _inner(graph, n)), None)
    is_tf1 = any(power in node.children for power in POWERS)
    own_config = config if _is_compiled(graph, node, wrapper) else None
    scalars = {n: key for n in HYPERPARAMETERS if (key := _key(checkpoint, graph, node, n))}
    reading = _read_rule(graph, node, scalars, own_config, is_tf1)
    if not reading.is_read:
        moments = _parameters(checkpoint, graph, node, None, reading.name)
        pairs = [(p.slots["first_moment"], p.slots["second_moment"]) for p in moments if set(p.slots) >= PAIR]
        reading = tell_adamax(checkpoint, reading, pairs)
    problems: list[Problem] = []
    # a wrapper that averages steps for the optimizer inside, whose own counter stays 0 where it has one
    averages = wrapper is not None and any(s.name in AVERAGE_SLOTS for s in wrapper.slots)
    counters = [_key(checkpoint, graph, n, "iter") for n in ((wrapper, node) if averages else (node, wrapper)) if n]
    counter = next((c for c in counters if c is not None), None)
    if counter is None and not is_tf1:
        counter, problem = _shared_counter(checkpoint, graph, node)
        problems += [problem] if problem else []
    if wrapper is not None and averages:
        problems.append(
            Problem(
                "averaged-weights",
                f"{graph.paths.get(wrapper.index, '?')} wraps this optimizer and overwrites the weights from time "
                "to time "
                "(Lookahead, moving average)",
                "the last update is this optimizer's own; the saved weights may be the wrapper's",
                "info",
            )
        )
    family: Family = "tf1" if is_tf1 else "tfa" if _is_addon(reading.name, scalars, own_config) else "optimizer-v2"
    return FoundOptimizer(
        name=graph.paths.get(node.index) or f"node {node.index}",
        layout=LAYOUT_TF1 if is_tf1 else LAYOUT,
        family=family,
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
    """Whether this is the optimizer of a compiled model that is the graph's root, to which a saved configuration
    belongs."""
    compiled = graph.nodes[0].children.get("optimizer")
    return compiled is not None and compiled in (node.index, wrapper.index if wrapper else None)


def _is_addon(rule: str, scalars: Mapping[str, str], config: OptimizerConfig | None) -> bool:
    return bool(config and config.is_addon) or (rule in ("lamb", "lazyadam", "radam", "adamw") and "beta_1" in scalars)


def _read_rule(
    graph: ObjectGraph, node: Node, scalars: Mapping[str, str], config: OptimizerConfig | None, is_tf1: bool
) -> RuleReading:
    slots = {s.name for s in node.slots}
    if config is not None:
        return RuleReading(config.rule, "config", f"class {config.class_name!r} in the configuration")
    if "sma_threshold" in scalars:
        return RuleReading("radam", "checkpoint", "hyperparameter sma_threshold, which only RectifiedAdam has")
    if "momentum_cache" in scalars or "momentum_cache" in node.children:
        return RuleReading("nadam", "checkpoint", "momentum_cache, which only Nadam has")
    for names, rule in TELLING_SLOTS:
        if names <= slots:
            return RuleReading(rule, "checkpoint", f"slots {', '.join(sorted(slots))}")
    prefix = _slot_prefix(graph, node)
    named = rule_of_class(prefix) if prefix else None
    if "vhat" in slots and named in (None, "adam"):
        return RuleReading("amsgrad", "checkpoint", "slot vhat, the maximum of the second moment")
    if named == "adam" and is_tf1:
        return adam_of_tf1(prefix)
    if named is not None:
        return RuleReading(named, "checkpoint", f"slots are named {prefix!r}, the class's own name")
    if {"m", "v"} <= slots or {"beta_1", "beta_2"} <= set(node.children):
        rule = "adamw" if {"weight_decay", "weight_decay_rate"} & set(scalars) else "adam"
        where = (
            f"slots m and v under the name {prefix!r}, which names no class"
            if prefix
            else "hyperparameters beta_1, beta_2"
        )
        return RuleReading(
            rule, "default", where, tuple(r for r in ("adam", "adamax", "lazyadam", "adamw", "lamb") if r != rule)
        )
    if not slots and "momentum" in scalars:
        return RuleReading("sgd", "checkpoint", "hyperparameters momentum and learning_rate")
    return RuleReading(
        normal_name(prefix) if prefix else "unknown", "default", f"slots {', '.join(sorted(slots)) or 'none'}"
    )


def _slot_prefix(graph: ObjectGraph, node: Node) -> str:
    """The name that the optimizer gave its slots: `Adam` of `training/Adam/dense/kernel/m`, `AdamW` of `w/AdamW_1`."""
    for slot in node.slots:
        full, variable = graph.nodes[slot.node].full_name, graph.nodes[slot.variable].full_name
        if variable and full.endswith(f"/{variable}/{slot.name}"):
            return full[: -len(f"/{variable}/{slot.name}")].rsplit("/", 1)[-1]
        if variable and variable + "/" in full:  # TF1: <scope>/<variable>/<optimizer>, <optimizer>_1
            return re.sub(r"_\d+$", "", full.rsplit("/", 1)[-1])
    return ""


def _parameters(
    checkpoint: Checkpoint, graph: ObjectGraph, node: Node, wrapper: Node | None, rule: str
) -> tuple[FoundParameter, ...]:
    ours = {
        "m": "first_moment",
        "v": "infinity_norm" if rule == "adamax" else "second_moment",
        "vhat": "max_second_moment",
    }
    by_variable: dict[int, dict[str, str]] = {}
    for slot in (*node.slots, *(wrapper.slots if wrapper else ())):
        key = graph.nodes[slot.node].key
        if key in checkpoint.tensors:
            by_variable.setdefault(slot.variable, {})[ours.get(slot.name, slot.name)] = key
    names = unique_names(graph.nodes[v].full_name or graph.paths.get(v) or f"node {v}" for v in by_variable)
    parameters = []
    for (variable, slots), name in zip(by_variable.items(), names, strict=True):
        value = graph.nodes[variable].key
        spec = checkpoint.tensors[next(iter(slots.values()))]
        parameters.append(
            FoundParameter(name, spec.shape, spec.dtype, value if value in checkpoint.tensors else None, slots)
        )
    return tuple(parameters)


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
        "its value was taken for the step; where several optimizers share it, the last update of all but one used "
        "a smaller one",
    )
