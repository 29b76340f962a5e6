"""Which elements of a run's tensors are looked at in every checkpoint: all of small ones, blocks of large ones.

A tensor's blocks have one order, which its size alone decides and which spreads any number of the first of them over
the tensor. So a smaller choice is the beginning of a larger one, and whoever chose fewer elements at another time can
still be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.records import dataclass

BUDGET = 1 << 20
"""Elements of an optimizer that are chosen, about: m, v and θ of them take 12 MB, and some ten milliseconds."""

BLOCK = 1 << 10
"""Elements of a block: a page of float32, which costs as much to read as one element of it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen elements of one tensor."""

    size: int
    """Elements of the tensor."""
    count: int
    """Elements that are chosen: the first so many in the tensor's order."""

    def ranges(self) -> tuple[tuple[int, int, int], ...]:
        """Return what to read, ascending: (start, stop) of the flat tensor, half-open, and where the first element of
        it stands among the chosen ones."""
        return _ranges(self)

    @property
    def is_whole(self) -> bool:
        """Return whether every element is chosen."""
        return self.count == self.size

    def in_order(self, whole: Array) -> Array:
        """Return all elements of a tensor in the choice's order, if every one is chosen."""
        if self.size <= BLOCK:
            return whole
        found = np.empty_like(whole)
        for start, stop, place in self.ranges():
            found[place : place + stop - start] = whole[start:stop]
        return found

    def indices(self) -> NDArray[np.int64]:
        """Return (count,) the flat indices of the chosen elements, in their order."""
        indices = np.empty(self.count, np.int64)
        for start, stop, place in self.ranges():
            indices[place : place + stop - start] = np.arange(start, stop)
        return indices


@lru_cache(maxsize=256)
def _ranges(choice: Choice) -> tuple[tuple[int, int, int], ...]:
    if choice.count >= choice.size <= BLOCK:
        return ((0, choice.size, 0),)
    found = []
    place = 0
    for block in _order(choice.size):
        if place >= choice.count:
            break
        start = int(block) * BLOCK
        stop = min(start + BLOCK, choice.size, start + choice.count - place)
        found.append((start, stop, place))
        place += stop - start
    return tuple(sorted(found))


@lru_cache(maxsize=256)
def _order(size: int) -> NDArray[np.int64]:
    """Every block of a tensor of that size once, so that the first few lie far apart: steps of the golden ratio."""
    blocks = -(-size // BLOCK)
    step = max(1, round(blocks * (math.sqrt(5) - 1) / 2))
    while math.gcd(step, blocks) > 1:
        step += 1
    return np.arange(blocks, dtype=np.int64) * step % blocks


def choose(sizes: Mapping[str, int], budget: int = BUDGET) -> dict[str, Choice]:
    """Return the choice of each tensor, by its name, so that all together have at most about `budget` elements.

    Half of the budget is shared out evenly, so that small tensors are whole; the other half goes by what is left of
    each, so that a large embedding has a fair number of its rows.
    """
    if sum(sizes.values()) <= budget:
        return {name: Choice(size, size) for name, size in sizes.items()}
    even = _level(list(sizes.values()), budget // 2)
    left = {name: max(size - even, 0) for name, size in sizes.items()}
    share = min(1.0, budget / 2 / max(sum(left.values()), 1))
    return {name: Choice(size, min(size, even) + int(left[name] * share)) for name, size in sizes.items()}


def _level(sizes: Sequence[int], budget: int) -> int:
    """Return how many elements of each there can be at most, if those that have fewer leave theirs to the others."""
    waiting = sorted(sizes)
    for place, size in enumerate(waiting):
        others = len(waiting) - place
        if size * others > budget:
            return budget // others
        budget -= size
    return waiting[-1] if waiting else 0
