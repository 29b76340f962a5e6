"""Which of several variables of one name an optimizer trains."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.layouts.object_graph import Node, ObjectGraph

COPIES = {"target", "average", "averaged", "ema", "shadow", "teacher", "old", "frozen", "copy", "best"}
"""Words in the names of networks that are copies of a trained one."""


def nearness(
    graph: ObjectGraph, optimizer: Node, candidates: Iterable[Sequence[Node]]
) -> Callable[[Node], tuple[int, int, int, int]]:
    """Return a key that sorts variables of one name by how likely they are the optimizer's.

    First come those in a branch that this optimizer trains for certain, then those in a branch that is named like the
    optimizer, then those in no branch that is named for a copy. `candidates`: for each slot the variables of its name.
    """
    sure = Counter(_branch(graph, nodes[0]) for nodes in candidates if len(nodes) == 1)
    own_words = set(re.split(r"[/_]+", graph.paths.get(optimizer.index, "")))

    def near(node: Node) -> tuple[int, int, int, int]:
        path = graph.paths.get(node.index, "")
        words = set(re.split(r"[/_]+", path))
        return -sure[_branch(graph, node)], -len(words & own_words), len(words & COPIES), node.index

    return near


def in_listed_order(graph: ObjectGraph, nodes: Sequence[Node]) -> list[Node]:
    """Return variables in the order in which an optimizer is likely to be given them: those of one model as it lists
    them, others as the graph does, whose order beside each other (a Checkpoint's arguments, say) means nothing."""
    places = {n.index: graph.places_in_models.get(n.index, (n.index, n.index)) for n in nodes}
    first: dict[int, int] = {}
    for n in sorted(nodes, key=lambda n: n.index):
        first.setdefault(places[n.index][0], n.index)
    return sorted(nodes, key=lambda n: (first[places[n.index][0]], places[n.index][1]))


def _branch(graph: ObjectGraph, node: Node) -> str:
    return graph.paths.get(node.index, "").partition("/")[0]


def ambiguity(name: str, nodes: Sequence[Node], rivals: int, value: str | None) -> Problem:
    """Return the remark that several variables are named alike: `rivals` of them are the optimizer's; `value` is the
    key of the one that was taken."""
    where = ", ".join(n.key.partition("/.ATTRIBUTES")[0] for n in nodes)
    resolution = (
        f"{value.partition('/.ATTRIBUTES')[0]} is used as the one that this optimizer trains"
        if value is not None and rivals == 1
        else "they are paired with the moments in the order in which both are listed"
    )
    return Problem(
        "variables-of-one-name", f"{len(nodes)} variables of one shape are named {name!r}: {where}", resolution
    )
