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

    chains: list[_Chain] = []
    for place in places:
        before = _predecessor(place, chains, look)
        if before is None:
            chains.append(_Chain([place]))
        else:
            before.places.append(place)
    parts = [part for chain in chains for part in _split(tuple(chain.places), look)]
    windows = tuple(known[pair] for pair in sorted(known, key=lambda pair: (pair[1], -pair[0])))
    return Lineage(tuple(parts), windows)


@dataclass(slots=True)
class _Chain:
    """Checkpoints that follow from each other, as far as they are known."""

    places: list[int]
    _least: float | None = None
    """The smallest beta_2 that its windows show; None if none does."""
    _looked_at: int = 1
    """Places between which its windows are in that."""

    def least_beta_2(self, look: Examine) -> float | None:
        """Return the smallest beta_2 that its windows show; None if none does."""
        new = self.places[self._looked_at - 1 :]
        told = _told([look(a, b) for a, b in pairwise(new)])
        self._looked_at = len(self.places)
        self._least = min(told if self._least is None else [self._least, *told], default=None)
        return self._least

    def cut_after(self, place: int) -> _Chain:
        """Let go of what comes after a place, and return it."""
        end = self.places.index(place) + 1
        rest = _Chain(self.places[end:])
        del self.places[end:]
        self._least, self._looked_at = None, 1
        return rest


def _predecessor(place: int, chains: list[_Chain], look: Examine) -> _Chain | None:
    """The chain whose last checkpoint this one follows from; None if there is none."""
    if not chains:
        return None
    recent = heapq.nlargest(_TRIES, chains, key=lambda chain: chain.places[-1])
    if len(recent) == _TRIES and all(len(chain.places) == 1 for chain in recent):
        del recent[1:]  # nothing has followed from anything for so long that looking further back is in vain
    nearest = look(recent[0].places[-1], place)
    if nearest.is_link:
        return recent[0]
    is_open = not nearest.is_broken and not _contradicts(nearest, recent[0], look)
    if is_open and len(chains) == 1:
        return recent[0]
    for chain in recent[1:]:
        window = look(chain.places[-1], place)
        if window.is_link and not _contradicts(window, chain, look):
            return chain
    if is_open:
        return recent[0]
    # before the last checkpoint of a chain another run's may have been taken for its own
    for chain in recent:
        for earlier in chain.places[-2:-_TRIES:-1]:
            window = look(earlier, place)
            if window.is_link:
                chains.append(chain.cut_after(earlier))
                return chain
    return None


def _contradicts(window: Window, chain: _Chain, look: Examine) -> bool:
    """Whether second moments fell faster than the beta_2 of the chain's own windows lets them."""
    least = chain.least_beta_2(look)
    return least is not None and falls_faster(window, least)


def _told(links: Iterable[Window]) -> list[float]:
    """Every beta_2 that windows show."""
    return [w.beta_2 for w in links if w.is_proof and w.beta_2 is not None]


def _split(chain: tuple[int, ...], look: Examine) -> Iterator[tuple[int, ...]]:
    """The chain in parts between which second moments fell faster than its own windows' beta_2 lets them."""
    pairs = list(pairwise(chain))
    least = min(_told([look(*pair) for pair in pairs]), default=None)
    start = 0
    for end, pair in enumerate(pairs, 1):
        if least is not None and falls_faster(look(*pair), least):
            yield chain[start:end]
            start = end
    yield chain[start:]
