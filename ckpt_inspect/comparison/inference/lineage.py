"""Which checkpoints of a folder follow from each other: the links of one or more runs, with resets between."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from ckpt_inspect.comparison.inference.windows import Window, falls_faster
from ckpt_inspect.records import dataclass

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


def trace(places: Iterable[int], examine: Examine) -> Lineage:
    """Return the chains of the checkpoints at these places, in the run's order.

    Neighbours are compared first; others only where neighbours don't continue.
    """
    known: dict[tuple[int, int], Window] = {}

    def look(a: int, b: int) -> Window:
        if (a, b) not in known:
            known[a, b] = examine(a, b)
        return known[a, b]

    chains: list[list[int]] = []
    for place in places:
        before = _predecessor(place, chains, look)
        if before is None:
            chains.append([place])
        else:
            before.append(place)
    parts = [part for chain in chains for part in _split(tuple(chain), look)]
    windows = tuple(known[pair] for pair in sorted(known, key=lambda pair: (pair[1], -pair[0])))
    return Lineage(tuple(parts), windows)


def _predecessor(place: int, chains: list[list[int]], look: Examine) -> list[int] | None:
    """The chain whose last checkpoint this one follows from; None if there is none."""
    if not chains:
        return None
    recent = heapq.nlargest(_TRIES, chains, key=lambda chain: chain[-1])
    if len(recent) == _TRIES and all(len(chain) == 1 for chain in recent):
        del recent[1:]  # nothing has followed from anything for so long that looking further back is in vain
    nearest = look(recent[0][-1], place)
    if nearest.is_link:
        return recent[0]
    is_open = not nearest.is_broken and not _contradicts(nearest, recent[0], look)
    if is_open and len(chains) == 1:
        return recent[0]
    for chain in recent[1:]:
        window = look(chain[-1], place)
        if window.is_link and not _contradicts(window, chain, look):
            return chain
    if is_open:
        return recent[0]
    # before the last checkpoint of a chain another run's may have been taken for its own
    for chain in recent:
        for earlier in chain[-2:-_TRIES:-1]:
            window = look(earlier, place)
            if window.is_link:
                rest = chain[chain.index(earlier) + 1 :]
                del chain[chain.index(earlier) + 1 :]
                chains.append(rest)
                return chain
    return None


def _contradicts(window: Window, chain: list[int], look: Examine) -> bool:
    """Whether second moments fell faster than the beta_2 of the chain's own windows lets them."""
    told = _told([look(a, b) for a, b in pairwise(chain)])
    return bool(told) and falls_faster(window, min(told))


def _told(links: Iterable[Window]) -> list[float]:
    """Every beta_2 that windows show."""
    return [w.beta_2 for w in links if w.is_proof and w.beta_2 is not None]


def _split(chain: tuple[int, ...], look: Examine) -> Iterator[tuple[int, ...]]:
    """The chain in parts between which second moments fell faster than its own windows' beta_2 lets them."""
    pairs = list(pairwise(chain))
    told = _told([look(*pair) for pair in pairs])
    start = 0
    for end, pair in enumerate(pairs, 1):
        if told and falls_faster(look(*pair), min(told)):
            yield chain[start:end]
            start = end
    yield chain[start:]
