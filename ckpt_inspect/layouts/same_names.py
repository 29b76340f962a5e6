"""Which of several variables of one name an optimizer trains."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.layouts.object_graph import Node, ObjectGraph

COPIES = {"target", "average", "averaged", "ema", "shadow", "teacher", "old", "frozen", "copy", "best"}
"""Words in the names of networks that are copies of a trained one."""
MOST_STEPS = 3
"""How many times as many names must follow each other in one direction as in the other."""


def nearness(
    graph: ObjectGraph, optimizer: Node, candidates: Iterable[Sequence[Node]]
) -> Callable[[Node], tuple[int, int, int, int]]:
    """Return a key that sorts variables of one name by how likely they are the optimizer's.

    First come those in a branch that this optimizer trains for certain, then those below an object that holds this
    optimizer as well, as a compiled model does, then those in a branch that is named like the optimizer, then those in
    no branch that is named for a copy. Nothing else tells: variables of equal keys are equally likely. `candidates`:
    for each slot the variables of its name.
    """
    sure = Counter(_branch(graph, nodes[0]) for nodes in candidates if len(nodes) == 1)
    own_words = _words(graph.paths.get(optimizer.index, ""))
    owners = [
        f"{path}/"
        for node in graph.nodes[1:]
        if optimizer.index in node.children.values() and (path := graph.paths.get(node.index))
    ]

    def near(node: Node) -> tuple[int, int, int, int]:
        path = graph.paths.get(node.index, "")
        words = _words(path)
        alike = sum(any(w == own or (len(own) > 2 and w.startswith(own)) for w in words) for own in own_words)
        is_owned = any(path.startswith(owner) for owner in owners)
        return -sure[_branch(graph, node)], -is_owned, -alike, len(words & COPIES)

    return near


def chosen_in_order(
    graph: ObjectGraph,
    optimizer: Node,
    entries: Sequence[tuple[str, int]],
    candidates: Mapping[tuple[str, int], Sequence[Node]],
) -> dict[tuple[str, int], Node | None]:
    """Return the variable of each entry of an optimizer's list, (name, place among those of that name); None for one of
    which nothing tells which it is. `candidates`: for each entry the variables of its name and shape."""
    near = nearness(graph, optimizer, candidates.values())
    is_reversed = _runs_backwards(graph, entries, candidates)
    found: dict[tuple[str, int], Node | None] = {}
    for entry in entries:
        nodes = candidates[entry]
        rivals = [e for e in entries if e[0] == entry[0] and candidates[e] == nodes]
        by_nearness = sorted(nodes, key=near)
        count = len(rivals)
        is_told = len(nodes) == count or (
            len(nodes) > count and near(by_nearness[count - 1]) != near(by_nearness[count])
        )
        order = in_listed_order(graph, by_nearness[:count]) if is_told else None
        if order is not None and count > 1:
            order = None if is_reversed is None or _have_no_order(graph, order) else order[:: -1 if is_reversed else 1]
        found[entry] = None if order is None else order[rivals.index(entry)]
    return found


def in_listed_order(graph: ObjectGraph, nodes: Sequence[Node]) -> list[Node]:
    """Return variables in the order in which an optimizer is likely to be given them: those of one model as it lists
    them, others as the graph does."""
    places = {n.index: graph.places_in_models.get(n.index, (n.index, n.index)) for n in nodes}
    first: dict[int, int] = {}
    for n in sorted(nodes, key=lambda n: n.index):
        first.setdefault(places[n.index][0], n.index)
    return sorted(nodes, key=lambda n: (first[places[n.index][0]], places[n.index][1]))


def _have_no_order(graph: ObjectGraph, nodes: Sequence[Node]) -> bool:
    """Return whether the variables lie equally deep below different arguments of a Checkpoint, which sorts these by
    their names."""
    if "save_counter" not in graph.nodes[0].children:
        return False
    depths = [graph.paths.get(n.index, "").count("/") for n in nodes]
    return len({_branch(graph, n) for n in nodes}) > 1 and len(set(depths)) < len(depths)


def _runs_backwards(
    graph: ObjectGraph, entries: Sequence[tuple[str, int]], candidates: Mapping[tuple[str, int], Sequence[Node]]
) -> bool | None:
    """Return whether the optimizer was given its variables in the opposite of the order in which the graph lists them;
    None if in neither: two names in one branch tell, wherever variables of both lie in it."""
    firsts = [candidates[e][0] for e in entries if e[1] == 0 and candidates[e]]
    places = {n.index: i for i, n in enumerate(in_listed_order(graph, firsts))}
    branches: dict[str, list[int]] = {}
    for n in firsts:
        branches.setdefault(_branch(graph, n), []).append(places[n.index])
    steps = [b - a for listed in branches.values() for a, b in pairwise(listed)]
    forward, backward = sum(s > 0 for s in steps), sum(s < 0 for s in steps)
    if max(forward, backward) < MOST_STEPS * min(forward, backward):
        return None
    return backward > forward


def _words(path: str) -> set[str]:
    return {word for word in re.split(r"[/_]+", path) if word}


def _branch(graph: ObjectGraph, node: Node) -> str:
    return graph.paths.get(node.index, "").partition("/")[0]


def ambiguity(name: str, nodes: Sequence[Node], rivals: int, value: str | None) -> Problem:
    """Return the remark that several variables are named alike: `rivals` of them are the optimizer's; `value` is the
    key of the one that was taken."""
    where = ", ".join(n.key.partition("/.ATTRIBUTES")[0] for n in nodes)
    if value is not None and rivals == 1:
        resolution = f"{value.partition('/.ATTRIBUTES')[0]} is used as the one that this optimizer trains"
    elif value is not None:
        resolution = "they are paired with the moments in the order in which both are listed"
    elif rivals < len(nodes):
        resolution = "none is used: nothing in the file tells which of them this optimizer trains"
    else:
        resolution = "none is used: nothing in the file tells which moments are whose"
    return Problem(
        "variables-of-one-name", f"{len(nodes)} variables of one shape are named {name!r}: {where}", resolution
    )
