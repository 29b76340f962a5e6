"""Optimizers that are a `tf.Module` of the user's own: lists of variables beside each other in an object graph.

Nothing names such a rule, or says which list is which average, so that none is assumed: the lists are reported under
their own names. Keys look like `optimizer/v_dvar/0/.ATTRIBUTES/VARIABLE_VALUE`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading
from ckpt_inspect.layouts.object_graph import LIST_INDEX, Node, ObjectGraph
from ckpt_inspect.layouts.validation import FLOATS, NUMBERS
from ckpt_inspect.update_rules.implementations import OPTIMIZER_V2

LAYOUT = "module-lists"
SAMPLED_ELEMENTS = 4096


def find(checkpoint: Checkpoint, graph: ObjectGraph) -> list[FoundOptimizer]:
    """Find objects whose lists have as many variables, and of the shapes, as others in the checkpoint.

    Two or more lists beside each other, of which one holds no negative number, as a mean square does, or that have a
    scalar beside them; or one list beside a scalar. Lists of weights seldom fit either.
    """
    attributes = _attributes(graph)
    return [found for node in graph.nodes if (found := _read(checkpoint, graph, node, attributes)) is not None]


def _attributes(graph: ObjectGraph) -> frozenset[int]:
    """Return the nodes that an object has under a name: a list of these is another look at them, as Keras' layers and
    metrics have one (`variables`), and no optimizer keeps its averages so."""
    return frozenset(i for node in graph.nodes for name, i in node.children.items() if not LIST_INDEX.match(name))


def _read(checkpoint: Checkpoint, graph: ObjectGraph, node: Node, attributes: frozenset[int]) -> FoundOptimizer | None:
    lists = _parallel_lists(checkpoint, graph, node, attributes)
    if not lists or not graph.paths.get(node.index):
        return None
    own = {key for keys in lists.values() for key in keys}
    shapes = [checkpoint.tensors[key].shape for key in next(iter(lists.values()))]
    others = Counter(
        checkpoint.tensors[n.key].shape for n in graph.nodes if n.key in checkpoint.tensors and n.key not in own
    )
    if len(shapes) < 2 or Counter(shapes) - others:
        return None
    scalars = [name for name in node.children if _is_scalar(checkpoint, graph.child(node, name))]
    if not scalars and (len(lists) < 2 or not any(_has_no_negative(checkpoint, keys) for keys in lists.values())):
        return None
    names, in_order = " and ".join(lists), _moments_in_order(checkpoint, lists)
    path = graph.paths[node.index]
    problems = [
        Problem(
            "counter-open",
            f"{', '.join(f'{path}/{s}' for s in scalars)} may count the updates, but nothing says from which start",
            "the step is left unknown",
            "info",
        )
    ] if scalars else []  # fmt: skip
    return FoundOptimizer(
        name=path,
        layout=LAYOUT,
        implementation=OPTIMIZER_V2,
        rule=RuleReading(
            "unknown",
            "default",
            f"{names}: as many variables as others in the file, and of their shapes; no class named",
        ),
        has_numbered_slots=len(in_order) > 1,
        parameters=tuple(
            FoundParameter(
                f"weight {i}",
                shape,
                checkpoint.tensors[keys[i]].dtype,
                slots={name: lists[name][i] for name in in_order or lists},
            )
            for i, shape in enumerate(shapes)
            if (keys := next(iter(lists.values())))
        ),
        problems=tuple(problems),
    )


def _parallel_lists(
    checkpoint: Checkpoint, graph: ObjectGraph, node: Node, attributes: frozenset[int]
) -> Mapping[str, Sequence[str]]:
    """Return the keys of the node's lists of variables by name, if all have the same shapes in the same order."""
    lists: dict[str, Sequence[str]] = {}
    for name in node.children:
        child = graph.child(node, name)
        members = graph.list_of(node, name)
        if child is None or not members or len(members) != len(child.children):
            continue
        if not attributes.isdisjoint(m.index for m in members):
            continue
        keys = [m.key for m in members]
        if all(k in checkpoint.tensors and checkpoint.tensors[k].dtype in FLOATS for k in keys):
            lists[name] = keys
    shapes = {tuple(checkpoint.tensors[k].shape for k in keys) for keys in lists.values()}
    return lists if len(shapes) == 1 else {}


def _moments_in_order(checkpoint: Checkpoint, lists: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the names of two lists, the one that can be means of gradients first, if the other alone can be means of
    their squares; none if that leaves a doubt."""
    squares = [name for name, keys in lists.items() if _has_no_negative(checkpoint, keys)]
    return [*(name for name in lists if name not in squares), *squares] if len(lists) == 2 and len(squares) == 1 else []


def _is_scalar(checkpoint: Checkpoint, node: Node | None) -> bool:
    spec = checkpoint.tensors.get(node.key) if node is not None else None
    return spec is not None and spec.shape == () and spec.dtype in NUMBERS


def _has_no_negative(checkpoint: Checkpoint, keys: Sequence[str]) -> bool:
    """Return whether the first elements of each are 0 or more, and some of them more."""
    parts = [checkpoint.read_range(k, 0, min(checkpoint.tensors[k].size, SAMPLED_ELEMENTS)) for k in keys]
    values = np.concatenate([p.astype(np.float64) for p in parts])
    return bool(np.all(values >= 0) and np.any(values > 0))
