"""Which checkpoints of a folder follow from each other: the links of one or more runs, with resets between."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from ckpt_inspect.comparison.inference.windows import Window

_TRIES = 8
"""How many checkpoints before the last one are tried if a checkpoint does not follow from that."""

Examine = Callable[[int, int], Window]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Checkpoints by the run that they belong to."""

    chains: tuple[tuple[int, ...], ...]
    """Places of checkpoints that follow from each other without a break, each chain in order."""
    windows: tuple[Window, ...]
    """All pairs that were examined."""

    def links(self, chain: tuple[int, ...]) -> tuple[Window, ...]:
        """Return the windows between neighbours of a chain."""
        neighbours = set(pairwise(chain))
        return tuple(w for w in self.windows if w.places in neighbours)


def trace(count: int, examine: Examine) -> Lineage:
    """Return the chains of that many checkpoints. Neighbours first; others only where neighbours don't continue."""
    known: dict[tuple[int, int], Window] = {}

    def look(a: int, b: int) -> Window:
        if (a, b) not in known:
            known[a, b] = examine(a, b)
        return known[a, b]

    chains: list[list[int]] = []
    for place in range(count):
        before = _predecessor(place, chains, look)
        if before is None:
            chains.append([place])
        else:
            before.append(place)
    windows = tuple(known[pair] for pair in sorted(known, key=lambda pair: (pair[1], -pair[0])))
    return Lineage(tuple(map(tuple, chains)), windows)


def _predecessor(place: int, chains: list[list[int]], look: Examine) -> list[int] | None:
    """The chain whose last checkpoint this one follows from; None if there is none."""
    if not chains:
        return None
    recent = sorted(chains, key=lambda chain: -chain[-1])[:_TRIES]
    nearest = look(recent[0][-1], place)
    if nearest.is_proof and not nearest.is_broken:
        return recent[0]
    is_open = not nearest.is_broken and not _contradicts(nearest, recent[0], look)
    if is_open and len(chains) == 1:
        return recent[0]
    for chain in recent[1:]:
        window = look(chain[-1], place)
        if window.is_proof and not window.is_broken and not _contradicts(window, chain, look):
            return chain
    if is_open:
        return recent[0]
    # before the last checkpoint of a chain another run's may have been taken for its own
    for chain in recent:
        for earlier in chain[-2:-_TRIES:-1]:
            window = look(earlier, place)
            if window.is_proof and not window.is_broken:
                rest = chain[chain.index(earlier) + 1 :]
                del chain[chain.index(earlier) + 1 :]
                chains.append(rest)
                return chain
    return None


def _contradicts(window: Window, chain: list[int], look: Examine) -> bool:
    """Whether second moments fell faster than the beta_2 of the chain's own windows lets them."""
    if window.silence is None or window.counted is None or not math.isfinite(window.silence.log_2):
        return False
    told = [w.beta_2 for w in map(look, chain[:-1], chain[1:]) if w.is_proof and w.beta_2 is not None]
    if not told:
        return False
    least = window.counted * (math.log(min(told)) - 1e-7)
    return window.silence.log_2 < least - 2 * window.silence.tolerance
