"""Names of parameters made short enough to be labels, and many parameters gathered by the model's structure.

Pure functions on strings; they keep the order of their arguments.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from ckpt_inspect.presentation.shown_names import distinct
from ckpt_inspect.records import dataclass

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
    levels = zip(*(name.split("/")[:-2] for name in names), strict=False)
    shared = itertools.takewhile(lambda level: len(set(level)) == 1, levels)
    return "".join(f"{level[0]}/" for level in shared)


def shorten(name: str, width: int) -> str:
    """Return `name` in at most `width` characters: path components give way to an ellipsis, and only then letters.

    The last component stays, as far as there is room those that number layers do, and the others from the end on.
    """
    if len(name) <= width:
        return name
    parts = name.split("/")
    last = len(parts) - 1
    numbered = (at for at in range(last - 1, -1, -1) if any(map(str.isdigit, parts[at])))
    kept = {last}
    for at in [*numbered, *range(last - 1, -1, -1)]:
        if len(_with_gaps(parts, kept | {at})) <= width:
            kept.add(at)
    label = _with_gaps(parts, kept)
    return label if width // 2 < len(label) <= width else _without_middle(name, width)


def _with_gaps(parts: Sequence[str], kept: set[int]) -> str:
    """The path with every run of components that are not `kept` replaced by one ellipsis."""
    shown = [part if at in kept else ELLIPSIS for at, part in enumerate(parts)]
    return "/".join(part for at, part in enumerate(shown) if part != ELLIPSIS or at == 0 or shown[at - 1] != ELLIPSIS)


def _without_middle(name: str, width: int) -> str:
    tail = (width - 1) * 3 // 5
    return name if len(name) <= width else name[: width - 1 - tail] + ELLIPSIS + name[len(name) - tail :]


def short_labels(names: Sequence[str], width: int = 34, prefix: int | None = None) -> tuple[str, ...]:
    """Return a label for each name: the shared prefix left out, the rest shortened, and no two alike.

    `prefix`: how many letters to leave out in its place, if `names` are some of more.
    """
    prefix = len(shared_prefix(names)) if prefix is None else prefix
    whole = [name[prefix:] or name for name in names]
    labels = [shorten(name, width) for name in whole]
    if len(set(labels)) < len(labels):  # the layers that names differ by were left out
        alike = {label for label in labels if labels.count(label) > 1}
        labels = [
            _without_middle(n, width) if label in alike else label for n, label in zip(whole, labels, strict=True)
        ]
    return _numbered(labels, width)


def _numbered(labels: Sequence[str], width: int) -> tuple[str, ...]:
    """The labels, a number behind those that are equal to one before."""
    return tuple(distinct(labels, lambda label, n: f"{_without_middle(label, width - len(f' ({n})'))} ({n})"))


def group_by_structure(
    names: Sequence[str], limit: int, width: int = 34, prefix: int | None = None
) -> tuple[Group, ...]:
    """Return at most `limit` groups of `names`, each a branch of the model, or neighbouring branches of one parent.

    Up to `limit` names stand for themselves. Beyond it the branches are those of the first level of the paths that has
    too many, and as many neighbours are gathered (`block_1–block_8`) as it takes. `prefix` as in `short_labels`.
    """
    prefix = len(shared_prefix(names)) if prefix is None else prefix
    if len(names) <= limit:
        return tuple(Group(label, (at,)) for at, label in enumerate(short_labels(names, width, prefix)))
    paths = [tuple(name.split("/")) for name in names]
    levels = (_gathered(paths, depth) for depth in range(1, max(map(len, paths)) + 1))
    branches: dict[tuple[str, ...], list[int]] = {}
    for branches in levels:  # the deepest may have few as well: `a` and `a/` are one
        if len(branches) > limit:
            break
    parents: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for branch in branches:
        parents.setdefault(branch[:-1], []).append(branch)
    for size in itertools.count(1):
        runs = [run[at : at + size] for run in parents.values() for at in range(0, len(run), size)]
        if len(runs) <= limit or size > len(names):
            break
    members = [sorted(at for branch in run for at in branches[branch]) for run in runs]
    counts = [f" ({len(own)})" if len(own) > 1 else "" for own in members]
    wholes = [run == parents[run[0][:-1]] for run in runs]
    named = [_title(run, is_whole)[prefix:] for run, is_whole in zip(runs, wholes, strict=True)]
    titles = short_labels(named, width - max(map(len, counts)), 0)
    labels = _numbered([title + n for title, n in zip(titles, counts, strict=True)], width)  # a count looks like it
    groups = (Group(label, tuple(own)) for label, own in zip(labels, members, strict=True))
    return tuple(sorted(groups, key=lambda group: group.members[0]))


def _gathered(paths: Iterable[tuple[str, ...]], depth: int) -> dict[tuple[str, ...], list[int]]:
    """The names' positions by the first `depth` components of their paths, padded so that every path is as deep."""
    found: dict[tuple[str, ...], list[int]] = {}
    for at, path in enumerate(paths):
        found.setdefault((*path[:depth], *[""] * (depth - len(path))), []).append(at)
    return found


def _title(run: Sequence[tuple[str, ...]], is_whole: bool) -> str:
    """What a run of branches is called: by its parent if it is all of it, else by its first and last."""
    first, last = "/".join(filter(None, run[0])), run[-1][-1]
    if len(run) == 1 or not last:
        return first
    return "/".join(run[0][:-1]) if is_whole and len(run[0]) > 1 else f"{first}–{last}"
