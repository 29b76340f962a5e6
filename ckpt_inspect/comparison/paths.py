"""The path of the weights over a run: how far they came between checkpoints, in which direction, and how straight.

Steps d_i = θ_i - θ_{i-1} lead from checkpoint to checkpoint. ‖Σd_i‖/Σ‖d_i‖, the distance from the first checkpoint over
the length of the way, is 1 on a straight line and falls to 1/√n where n steps are independent, and to 0 where they go
in a circle. Only checkpoints are seen: the way that single updates took between them is longer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.records import dataclass

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PathFigures:
    """(P,) each, of the parameters in one checkpoint; NaN if no step leads to it, or a weight is not finite."""

    displacement: Floats
    """√mean((θ - θ of the checkpoint before)²)."""
    from_first: Floats
    """√mean((θ - θ of the first checkpoint of the path)²)."""
    cosine: Floats
    """Of the angle between this step and the one before, in [-1, 1]; NaN at the first step, or if either is 0."""
    straightness: Floats
    """Distance from the first checkpoint over the sum of the steps, in [0, 1]; NaN at the first step, which is straight
    by itself, or if nothing moved."""
    elements: NDArray[np.int64]
    """Elements that these figures were computed from; 0 if there are none."""


@dataclass(slots=True)
class _Head:
    """The path up to one checkpoint, of all parameters' elements in one array."""

    first: Array
    last: Array
    valid: Bools
    """Elements that are followed: those that were finite where their parameter's path began."""
    previous: Array | None
    """θ of the checkpoint before the last one."""
    length: Floats
    """(P,) Σ‖d‖."""
    steps: NDArray[np.int64]
    """(P,)"""

    def alone(self) -> _Head:
        """Return the same in arrays of its own."""
        previous = None if self.previous is None else _own(self.previous)
        return replace(self, first=_own(self.first), last=_own(self.last), previous=previous)


def _own(array: Array) -> Array:
    return array if array.base is None else array.copy()


@dataclass(slots=True)
class _Parts:
    """Which elements are whose, in one array of all of them."""

    sizes: NDArray[np.int64]
    _starts: NDArray[np.int64] = field(init=False)
    _filled: Bools = field(init=False)

    def __post_init__(self) -> None:
        self._filled = self.sizes > 0
        self._starts = (np.cumsum(self.sizes) - self.sizes)[self._filled]

    def sums(self, values: Floats | Bools) -> Floats:
        """(P,)"""
        found = np.zeros(len(self.sizes))
        if len(self._starts):
            found[self._filled] = np.add.reduceat(values, self._starts, dtype=np.float64)
        return found

    def spread(self, of_parameters: Bools) -> Bools:
        """(n,) each parameter's, for all of its elements."""
        return np.repeat(of_parameters, self.sizes)


Heads = dict[int, _Head]
"""Paths up to checkpoints, by their places."""


def follow_paths(
    before: Sequence[int | None],
    values: Callable[[int], Array],
    sizes: Sequence[int],
    broken: Sequence[Bools | None] = (),
) -> Iterator[PathFigures]:
    """Yield the figures of each checkpoint of a run, in its order.

    `before`: the place of the checkpoint from which each one's training went on, an earlier one; None begins a path.
    `values`: of a place, the weights of all parameters one after another, `sizes` of each; NaN where they are not
    known. `broken`: of a place, (P,) whose state was set back since the one before; None if nobody's was. A parameter
    that was, or whose weights are missing or not finite, begins anew.
    """
    known = {place: each for place, each in enumerate(broken) if each is not None}
    return continue_paths(dict(enumerate(before)), values, sizes, known, {}, ())


def continue_paths(
    before: Mapping[int, int | None],
    values: Callable[[int], Array],
    sizes: Sequence[int],
    broken: Mapping[int, Bools],
    heads: Heads,
    kept: Collection[int],
) -> Iterator[PathFigures]:
    """Yield the figures of the checkpoints at the places `before`, as `follow_paths` does; `heads` of places before
    them are known. When all are taken, it has those of the places `kept`, as far as they are known."""
    parts = _Parts(np.asarray(sizes, np.int64))
    last_use = {b: place for place, b in before.items() if b is not None}
    for place, origin in before.items():
        weights = values(place)
        head = None if origin is None else heads.get(origin)
        if head is None:
            figures, head = _nothing(len(sizes)), _begun(weights, parts)
        else:
            figures, head = _step(head, weights, parts, broken.get(place))
        if place in last_use or place in kept:
            heads[place] = head
        for done in [b for b in heads if b not in kept and last_use.get(b, -1) <= place]:
            del heads[done]
        yield figures
    for place in heads:  # by itself: these arrays may be rows of a whole run's
        heads[place] = heads[place].alone()


def _begun(weights: Array, parts: _Parts) -> _Head:
    count = len(parts.sizes)
    return _Head(weights, weights, np.isfinite(weights), None, np.zeros(count), np.zeros(count, np.int64))


def _nothing(count: int) -> PathFigures:
    blank = np.full(count, np.nan)
    return PathFigures(blank, blank, blank, blank, np.zeros(count, np.int64))


def _step(head: _Head, weights: Array, parts: _Parts, broken: Bools | None) -> tuple[PathFigures, _Head]:
    valid = head.valid
    finite = np.isfinite(weights)
    counts = parts.sums(valid)
    is_whole = (counts > 0) & (parts.sums(valid & ~finite) == 0)
    if broken is not None:
        is_whole &= ~broken
    step = _difference(weights, head.last, valid)
    squares = parts.sums(step * step)
    distances = parts.sums(_difference(weights, head.first, valid) ** 2)
    length, steps = head.length + np.sqrt(squares), head.steps + 1
    cosine = np.full(len(counts), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        if head.previous is not None:
            former = _difference(head.last, head.previous, valid)
            cosine = parts.sums(step * former) / (np.sqrt(squares) * np.sqrt(parts.sums(former * former)))
            cosine[steps < 2] = np.nan
        straightness = np.where(steps > 1, np.minimum(np.sqrt(distances) / length, 1.0), np.nan)
        found = PathFigures(
            np.sqrt(squares / counts),
            np.sqrt(distances / counts),
            np.clip(cosine, -1.0, 1.0),
            straightness,
            np.where(is_whole, counts, 0).astype(np.int64),
        )
    for figures in (found.displacement, found.from_first, found.cosine, found.straightness):
        figures[~is_whole] = np.nan
    after = _Head(head.first, weights, valid, head.last, length, steps)
    if not is_whole.all():
        after = _begun_anew(after, ~is_whole, parts)
    return found, after


def _begun_anew(head: _Head, which: Bools, parts: _Parts) -> _Head:
    """The path with those parameters begun here."""
    elements = parts.spread(which)
    return _Head(
        np.where(elements, head.last, head.first),
        head.last,
        np.where(elements, np.isfinite(head.last), head.valid),
        head.previous,
        np.where(which, 0.0, head.length),
        np.where(which, 0, head.steps),
    )


def _difference(a: Array, b: Array, valid: Bools) -> Floats:
    """a - b in float64; 0 where an element is not followed, or not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        found: Floats = np.subtract(a, b, dtype=np.float64)
    found[~(valid & np.isfinite(found))] = 0.0
    return found
