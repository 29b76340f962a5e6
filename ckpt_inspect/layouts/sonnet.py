"""Sonnet 2's Adam in an object graph: lists `m` and `v` in the order of the trained variables, and `step`.

`snt.optimizers.Adam` under `tf.train.Checkpoint`: `<optimizer>/m/<i>`, `<optimizer>/v/<i>` and `<optimizer>/step`
(int64, t itself). The node has no slot variables; `learning_rate`, `beta1`, `beta2` and `epsilon` are its children only
if the program passed variables instead of numbers. Source: sonnet/src/optimizers/adam.py (2.0.0 to 2.0.2).

A moment's full name ends in its variable's: `adam/m/linear/w`; the step's, `adam/t`, tells the scope. Variables are
seldom unique by name, because every Linear is `linear` unless it was named. The lists have the order of
`module.trainable_variables`, which is `tf.Module`'s: of a module first its own variables by attribute (b before w),
then its modules by attribute, lists by index, depth first. That is neither the order of the keys nor that of the nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading, unique_names
from ckpt_inspect.layouts.object_graph import LIST_INDEX, Node, ObjectGraph
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig
from ckpt_inspect.layouts.same_names import ambiguity, nearness
from ckpt_inspect.update_rules import USUAL_RULE
from ckpt_inspect.update_rules.implementations import SONNET

LAYOUT = "sonnet-lists"
SLOTS = {"m": "first_moment", "v": "second_moment"}
STEP = "step"
SCALARS = {"learning_rate": "learning_rate", "beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"}
"""Our name of each hyperparameter that may be a variable."""


def find(
    checkpoint: Checkpoint, graph: ObjectGraph, config: OptimizerConfig | None, config_where: str
) -> list[FoundOptimizer]:
    """Find every Adam of Sonnet in the graph; no configuration of Keras is about one."""
    taken: set[str] = set()
    found = []
    for node in graph.nodes:
        if _is_adam(checkpoint, graph, node):
            found.append(_read_optimizer(checkpoint, graph, node, taken))
            taken |= {p.value for p in found[-1].parameters if p.value is not None}
    return found


def _is_adam(checkpoint: Checkpoint, graph: ObjectGraph, node: Node) -> bool:
    if not {STEP, *SLOTS} <= set(node.children) <= {STEP, *SLOTS, *SCALARS} or node.slots:
        return False
    step, specs = graph.child(node, STEP), checkpoint.tensors
    moments, squares = (graph.list_of(node, name) for name in SLOTS)
    is_counted = step is not None and step.key in specs and specs[step.key].dtype == "int64"
    shapes = [[specs[n.key].shape if n.key in specs else None for n in members] for members in (moments, squares)]
    return is_counted and shapes[0] == shapes[1] and None not in shapes[0]


def _read_optimizer(checkpoint: Checkpoint, graph: ObjectGraph, node: Node, taken: Set[str]) -> FoundOptimizer:
    """`taken`: keys of variables that another optimizer of the graph has been given already."""
    step = graph.nodes[node.children[STEP]]
    problems: list[Problem] = []
    return FoundOptimizer(
        name=graph.paths.get(node.index) or f"node {node.index}",
        layout=LAYOUT,
        implementation=SONNET,
        rule=RuleReading(USUAL_RULE.name, "checkpoint", "lists m and v beside step, as Sonnet's Adam alone keeps them"),
        parameters=tuple(_parameters(checkpoint, graph, node, taken, problems)),
        counter=step.key,
        scalars={
            ours: child.key
            for name, ours in SCALARS.items()
            if (child := graph.child(node, name)) is not None and child.key in checkpoint.tensors
        },
        problems=tuple(problems),
    )


def _parameters(
    checkpoint: Checkpoint, graph: ObjectGraph, optimizer: Node, taken: Set[str], problems: list[Problem]
) -> Iterator[FoundParameter]:
    moments, squares = (graph.list_of(optimizer, name) for name in SLOTS)
    own = {n.index for n in (*moments, *squares)}
    scope = graph.nodes[optimizer.children[STEP]].full_name.rpartition("/")[0]
    labels = [_variable_name(n.full_name, scope) for n in moments]
    entries = [(label, checkpoint.tensors[n.key].shape) for label, n in zip(labels, moments, strict=True)]
    candidates = {
        (label, shape): [
            n
            for n in graph.variables_by_full_name.get(label, ())
            if n.index not in own and n.key in checkpoint.tensors and checkpoint.tensors[n.key].shape == shape
        ]
        for label, shape in entries
    }
    near = nearness(graph, optimizer, candidates.values())
    for i, (entry, name) in enumerate(zip(entries, unique_names(labels), strict=True)):
        place, rivals, nodes = entries[:i].count(entry), entries.count(entry), candidates[entry]
        # two networks of one class have variables of the same names: the second optimizer's are those left over
        nearest = sorted(nodes, key=lambda n: (n.key in taken, near(n), n.index))[:rivals]
        chosen = sorted(nearest, key=lambda n: _module_order(graph, n))
        value = chosen[place].key if len(chosen) == rivals else None
        if len(nodes) > 1:
            problems.append(ambiguity(name, nodes, rivals, value))
        spec = checkpoint.tensors[moments[i].key]
        keys = dict(zip(SLOTS.values(), (moments[i].key, squares[i].key), strict=True))
        yield FoundParameter(name, spec.shape, spec.dtype, value, keys)


def _variable_name(full_name: str, scope: str) -> str:
    """`adam/m/linear/w`, scope `adam` -> `linear/w`; an optimizer made without a scope has `m/linear/w`."""
    for prefix in (f"{scope}/m/", "m/"):
        if full_name.startswith(prefix):
            return full_name[len(prefix) :]
    return full_name.partition("/m/")[2] or full_name


def _module_order(graph: ObjectGraph, variable: Node) -> tuple[tuple[bool, str, int], ...]:
    """A key that sorts variables as `tf.Module.trainable_variables` does; members of lists in numeric order."""
    hops: list[tuple[str, int]] = []
    for part in graph.paths.get(variable.index, "").split("/"):
        if LIST_INDEX.match(part) and hops:
            hops[-1] = (hops[-1][0], int(part))
        else:
            hops.append((part, -1))
    return tuple((i < len(hops) - 1, name, index) for i, (name, index) in enumerate(hops))
