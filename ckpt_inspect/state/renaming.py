"""Parameters that have other names in another checkpoint: paired only where the names' structure leaves no doubt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes by the names of parameters, in the order of the file."""

_NUMBERED = re.compile(r"(.*?)(?:_(\d+))?", re.DOTALL)


def pair_parameters(a: Shapes, b: Shapes) -> dict[str, str]:
    """Return, for each name of `b` that stands for another in `a`, the latter; empty where that isn't certain.

    `a` and `b` hold all parameters of two checkpoints. A name that both have may still be of two layers: where Keras'
    counter went on by one, `dense_1` of `b` is `dense` of `a`. So all names are paired together where that is possible,
    else those that only one has.
    """
    if a.keys() == b.keys():
        return {}
    if a.keys() & b.keys() and (every := pair_renamed(a, b)):
        return {name: before for name, before in every.items() if name != before}
    return pair_renamed(
        {name: shape for name, shape in a.items() if name not in b},
        {name: shape for name, shape in b.items() if name not in a},
    )


def pair_renamed(a: Shapes, b: Shapes) -> dict[str, str]:
    """Return, for each name of `b`, the name of the same parameter in `a`; empty where that isn't certain.

    `a` and `b` hold names that are all paired, or none. Two structures are known: a path before all names
    (`sequential/dense/kernel` and `dense/kernel`), and Keras' numbers of layers, which count up in a process
    (`dense_3`, `dense_4` and `dense_15`, `dense_16`). All names must pair, and all shapes agree.
    """
    if not have_same_shapes(a, b):
        return {}
    for key_of in (_without_prefix, lambda names: _renumbered(_without_prefix(names))):
        keys_a, keys_b = (dict(zip(names, key_of(list(names)), strict=True)) for names in (a, b))
        of_a = {key: name for name, key in keys_a.items()}
        if len(of_a) == len(a) and len(set(keys_b.values())) == len(b) and set(of_a) == set(keys_b.values()):
            pairs = {name: of_a[key] for name, key in keys_b.items()}
            if all(a[before] == b[name] for name, before in pairs.items()):
                return pairs
    return {}


def have_same_shapes(a: Shapes, b: Shapes) -> bool:
    """Return whether as many of each shape are in both, and any at all."""
    return bool(a) and Counter(a.values()) == Counter(b.values())


def _without_prefix(names: Sequence[str]) -> list[str]:
    """Return the names without the folders that all of them begin with; at least two parts stay."""
    parts = [name.split("/") for name in names]
    shared = 0
    for folders in zip(*(p[:-2] for p in parts), strict=False):
        if len(set(folders)) > 1:
            break
        shared += 1
    return ["/".join(p[shared:]) for p in parts]


def _renumbered(names: Sequence[str]) -> list[str]:
    """Return the names with each layer's number replaced by its rank among the numbers of that layer's name."""
    parts = [[_split(part) for part in name.split("/")] for name in names]
    numbers: dict[str, set[int]] = {}
    for each in parts:
        for word, number in each:
            numbers.setdefault(word, set()).add(number)
    ranks = {word: {n: i for i, n in enumerate(sorted(of_word))} for word, of_word in numbers.items()}
    return ["/".join(f"{word}#{ranks[word][number]}" for word, number in each) for each in parts]


def _split(part: str) -> tuple[str, int]:
    """Return a part's word and number; -1 where it has none, as Keras' first layer of a kind."""
    found = _NUMBERED.fullmatch(part)
    return (found[1], int(found[2] or -1)) if found is not None else (part, -1)
