"""Names of parameters made short enough to be labels, and many parameters gathered by the model's structure.

Pure functions on strings; the order of what is given is the order of what comes back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ckpt_inspect.presentation.shown_names import distinct

_TOKEN = re.compile(r"[/_.:\-# ]*(?:\d+|[^\d/_.:\-# ]+)|.")
ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are drawn as one, neighbours in the model's structure."""

    label: str
    """What the members' names have in common, shortened; one member: its own name."""
    members: tuple[int, ...]
    """Positions among the names that were given, ascending."""


def shared_prefix(names: Sequence[str]) -> str:
    """Return the leading path components (`model/encoder/`) that all `names` share, their last two components apart.

    Empty for fewer than two names. A layer's name stays before its variables' even if it is the only layer.
    """
    if len(names) < 2:
        return ""
    parts = [name.split("/")[:-2] for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "".join(part + "/" for part in shared)


def shorten(name: str, width: int, keep: Sequence[int] = ()) -> str:
    """Return `name` in at most `width` characters: path components give way to an ellipsis, and only then letters.

    The last component, which says most, stays, and so do those at the positions `keep` if there is room.
    """
    if len(name) <= width:
        return name
    parts = name.split("/")
    last = len(parts) - 1
    kept = {last}
    for position in keep:
        if position < last and len(_with_gaps(parts, kept | {position})) <= width:
            kept = kept | {position}
    for position in range(last - 1, -1, -1):  # from the end on, as far as there is room
        if len(_with_gaps(parts, kept | {position})) > width:
            break
        kept = kept | {position}
    elided = _with_gaps(parts, kept)
    if len(elided) > width or len(elided) < width // 2:  # components are too long to choose among them
        tail = (width - 1) * 3 // 5
        return name[: width - 1 - tail] + ELLIPSIS + name[len(name) - tail :]
    return elided


def _with_gaps(parts: Sequence[str], kept: set[int]) -> str:
    """The path with every run of components that are not `kept` replaced by one ellipsis."""
    shown = [part if i in kept else ELLIPSIS for i, part in enumerate(parts)]
    return "/".join(part for i, part in enumerate(shown) if part != ELLIPSIS or i == 0 or shown[i - 1] != ELLIPSIS)


def short_labels(names: Sequence[str], width: int = 34, prefix: int | None = None) -> tuple[str, ...]:
    """Return a label for each name: the shared prefix left out, the middle elided, and no two alike.

    `prefix`: how many letters to leave out in its place, if `names` are some of more.
    """
    prefix = len(shared_prefix(names)) if prefix is None else prefix
    whole = [name[prefix:] or name for name in names]
    labels = [shorten(name, width) for name in whole]
    for tell_apart in (_by_components, _by_end, _by_letters):
        for positions in _alike(labels):
            told = tell_apart([whole[p] for p in positions], width)
            for position, label in zip(positions, told, strict=True):
                labels[position] = label
    return tuple(_numbered(labels, width))


def _alike(labels: Sequence[str]) -> list[list[int]]:
    """Positions of labels that are equal, more than one each."""
    positions: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        positions.setdefault(label, []).append(position)
    return [alike for alike in positions.values() if len(alike) > 1]


def _by_components(names: Sequence[str], width: int) -> list[str]:
    """Labels of names that became equal: the path components in which they differ are kept before others."""
    levels = list(zip(*(name.split("/") for name in names), strict=False))
    differing = [i for i, level in enumerate(levels) if len(set(level)) > 1]
    return [shorten(name, width, differing) for name in names]


def _by_end(names: Sequence[str], width: int) -> list[str]:
    """The same if components are too long: the last letters, whatever component they begin in."""
    return [name if len(name) <= width else ELLIPSIS + name[1 - width :] for name in names]


def _by_letters(names: Sequence[str], width: int) -> list[str]:
    """The same if names end alike: the letters about the first difference are kept."""
    start = next((i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), 0)
    labels = []
    for name in names:
        left = max(0, min(start - 4, len(name) - (width - 1)))
        kept = (ELLIPSIS if left else "") + name[left:]
        labels.append(kept if len(kept) <= width else kept[: width - 1] + ELLIPSIS)
    return labels


def _numbered(labels: Sequence[str], width: int) -> list[str]:
    """A last resort: labels that are still equal get their ordinal, those after the first."""
    return distinct(labels, lambda label, n: f"{shorten(label, max(width - len(str(n)) - 3, 4))} ({n})")


@dataclass(frozen=True, slots=True)
class _Node:
    """Names that agree in their first `depth` tokens; `members` are positions among all names."""

    members: tuple[int, ...]
    depth: int
    is_run: bool = False
    """Whether it is a run of neighbouring branches, not a whole branch."""


def group_by_structure(
    names: Sequence[str], limit: int, width: int = 34, prefix: int | None = None
) -> tuple[Group, ...]:
    """Return at most `limit` groups of `names`, each a branch of the tree that the parts of the names span.

    Up to `limit` names stand for themselves. Beyond it the tree is opened level by level, all branches of a level or
    none, so that like layers are drawn alike; a branch with too many children is cut into runs of neighbours
    (`block_1–8`). Groups come in the order of their first member. `prefix` as in `short_labels`.
    """
    if len(names) <= limit:
        return tuple(Group(label, (i,)) for i, label in enumerate(short_labels(names, width, prefix)))
    tokens = [tuple(_TOKEN.findall(name)) for name in names]
    nodes = _open_levels(tokens, limit)
    nodes.sort(key=lambda node: node.members[0])
    prefix = len(shared_prefix(names)) if prefix is None else prefix
    members = [[names[i][prefix:] or names[i] for i in node.members] for node in nodes]
    labels = _group_labels(members, [node.is_run for node in nodes], width)
    return tuple(Group(label, node.members) for label, node in zip(labels, nodes, strict=True))


def _open_levels(tokens: Sequence[tuple[str, ...]], limit: int) -> list[_Node]:
    nodes = [_Node(tuple(range(len(tokens))), 0)]
    while True:
        opened = [child for node in nodes for child in _children(node, tokens)]
        if len(opened) == len(nodes) or len(opened) > limit:
            break
        nodes = opened
    # Levels that do not fit as a whole: open what is by far the largest, so that one branch does not hide the model.
    for node in sorted(nodes, key=lambda node: -len(node.members)):
        if len(node.members) * limit < 4 * len(tokens):
            break
        children = _children(node, tokens)
        room = limit - len(nodes) + 1
        if len(children) > room:
            children = _runs_of_neighbours(children, room)
        if 1 < len(children) <= room:
            nodes.remove(node)
            nodes.extend(children)
    return nodes


def _children(node: _Node, tokens: Sequence[tuple[str, ...]]) -> list[_Node]:
    """The branches of `node`, past the tokens that all its members share; itself if it can't be opened."""
    if len(node.members) == 1:
        return [node]
    depth = node.depth
    while True:
        branches: dict[str, list[int]] = {}
        for member in node.members:
            branches.setdefault(tokens[member][depth] if depth < len(tokens[member]) else "", []).append(member)
        layer = [token for token in branches if token.startswith("/") or not token]
        if 0 < len(layer) < len(branches):  # `dense/kernel` beside `dense_1/kernel`: `dense` is a separate layer
            own = sorted(member for token in layer for member in branches.pop(token))
            return [_Node(tuple(own), depth), *(_Node(tuple(members), depth + 1) for members in branches.values())]
        if len(branches) > 1:
            return [_Node(tuple(members), depth + 1) for members in branches.values()]
        if "" in branches:
            return [node]
        depth += 1


def _runs_of_neighbours(children: list[_Node], count: int) -> list[_Node]:
    """`children` gathered into at most `count` runs of about equally many branches each."""
    length = -(-len(children) // max(count, 1))
    runs = [children[start : start + length] for start in range(0, len(children), length)]
    return [
        run[0]
        if len(run) == 1
        else _Node(tuple(sorted(m for node in run for m in node.members)), run[0].depth - 1, True)
        for run in runs
    ]


def _group_labels(groups: Sequence[Sequence[str]], are_runs: Sequence[bool], width: int) -> list[str]:
    """What the members of each group have in common, then how many they are; no two alike."""
    titles = [_group_title(members, is_run) for members, is_run in zip(groups, are_runs, strict=True)]
    counts = [f" ({len(members)})" if len(members) > 1 else "" for members in groups]
    short = short_labels(titles, width - max(map(len, counts)), 0)
    return _numbered([label + n for label, n in zip(short, counts, strict=True)], width)


def _group_title(members: Sequence[str], is_run: bool) -> str:
    if len(members) == 1:
        return members[0]
    shared = _shared_start(members)
    title = shared.rstrip("/_-. :#")
    if is_run or not title:
        first, last = (re.match(r"[_\-. :#]?[^/]*", name[len(shared) :]) for name in (members[0], members[-1]))
        edges = [match.group(0) if match else "" for match in (first, last)]
        if edges[0] != edges[1]:
            title = f"{shared}{edges[0]}–{edges[1].lstrip('_-. :#')}" if edges[0] else f"{shared} – {shared}{edges[1]}"
    return title or f"{members[0]} {ELLIPSIS}"


def _shared_start(names: Sequence[str]) -> str:
    """The characters all names begin with, cut back to where a word or number ends in each of them."""
    tokens = [_TOKEN.findall(name) for name in names]
    shared = []
    for level in zip(*tokens, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    start = "".join(shared)
    return start + "/" if all(name[len(start) :].startswith("/") for name in names) else start
