"""Whether one checkpoint's optimizer state can have grown out of an earlier one's: what no update can do to it.

All of it is elementwise and streams: pieces of both checkpoints go in, counts come out. What a count proves:

    v_B < β2^k·v_A          the second moment was set back: v_B = β2^k·v_A + (what is not negative), Kingma & Ba, arXiv
                            1412.6980, Algorithm 1; so of the rules that skip elements without a gradient, too
    max v fell              AMSGrad's maximum never falls, Reddi et al., ICLR 2018; nor does Adagrad's sum
    m = v = 0 and θ moved   no update moves an element without a gradient, but for decoupled weight decay, by the same
                            factor for all of a tensor
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import STATE_SLOTS, State

SPARE_UPDATES = 2
"""Updates that a counter may be behind: some count while they compute, and a division by n rounds down."""

_ARRAYS = ("value", *STATE_SLOTS)

_ROUNDINGS = 4
"""Roundings of half a unit that one update adds to an average, at most."""

_SMALLEST = {"float16": 2.0**-14, "float32": 1e-36, "bfloat16": 1e-36, "float64": 1e-300}
"""A remainder below this may have been flushed to 0, or have few digits left."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Floor:
    """What the updates between two checkpoints leave at least of an element of a second moment."""

    share: float
    """Of its value before, in [0, 1]; rounding is allowed for."""
    smallest: float
    """Remainders below this prove nothing."""

    @classmethod
    def after(cls, updates: int, rate: float, dtype: DType) -> Floor | None:
        """Return the floor after at most `updates`, each of which leaves `rate` of it; None if it proves nothing."""
        smallest = _SMALLEST.get(dtype.name)
        if smallest is None or not 0 < rate <= 1 or updates < 0:
            return None
        import ml_dtypes

        eps = max(float(ml_dtypes.finfo(dtype).eps), 2.0**-24)  # type: ignore[no-untyped-call]
        logarithm = updates * (math.log(rate) + math.log1p(-_ROUNDINGS * eps / 2)) + math.log1p(-1e-5)
        share = math.exp(logarithm) if logarithm > -700 else 0.0
        return cls(share, smallest) if share > 0 else None

    def count_below(self, before: Floats, after: Floats) -> tuple[int, int]:
        """Return how many elements the floor can judge, and how many of those lie below it."""
        floor = before * self.share
        is_telling = (floor > self.smallest) & ~np.isnan(after)
        return int(np.count_nonzero(is_telling)), int(np.count_nonzero(is_telling & (after < floor)))


class StateCounts:
    """Counts over the elements of one parameter in two checkpoints, A and B, fed piece by piece."""

    __slots__ = (
        "assumed",
        "certain",
        "dot_aa",
        "dot_ab",
        "dot_bb",
        "doubtful",
        "elements",
        "factor_high",
        "factor_low",
        "fallen",
        "farthest",
        "flipped",
        "judged",
        "least_ratio",
        "moved",
        "same",
        "still",
        "untouched",
        "vanished",
    )  # fmt: skip

    def __init__(self, certain: Floor | None, assumed: Floor | None) -> None:
        """Take the floor that proves, and the one that holds if what is assumed of the decay rate is right."""
        self.certain, self.assumed = certain, assumed
        self.elements = 0
        self.judged = 0
        """Elements whose v_A is large enough for the proof."""
        self.fallen = 0
        """Of these, those whose v is below what any usual rate leaves; and any whose maximum fell."""
        self.doubtful = 0
        """Elements below what the assumed rate leaves."""
        self.least_ratio = math.inf
        """Smallest v_B/v_A of an element that is below either floor."""
        self.same: dict[str, bool] = {}
        """Of each array of `State` that both have, and that is not 0 throughout, whether all its bits are the same."""
        self.untouched = 0
        """Elements whose moments are 0 in both: no gradient ever reached them."""
        self.still = 0
        """Of these, those that didn't move, and are not 0."""
        self.moved = 0
        """Of these, those that moved."""
        self.flipped = 0
        """Of these, those that changed their sign."""
        self.factor_low, self.factor_high = math.inf, -math.inf
        """Smallest and largest θ_B/θ_A of those that moved."""
        self.farthest = 0.0
        """Largest |θ_B - θ_A| of all elements."""
        self.vanished = 0.0
        """Largest |m_A| of pieces of which every m_B is 0."""
        self.dot_aa = self.dot_ab = self.dot_bb = 0.0
        """Σθ_A², Σθ_A·θ_B and Σθ_B²."""

    def add(self, a: State, b: State) -> None:
        """Take in the same piece of both; arrays that one of them lacks are left out."""
        self.elements += b.size
        for name, before, after in zip(_ARRAYS, a.arrays(), b.arrays(), strict=True):
            if before is not None and after is not None and (before.any() or after.any()):
                self.same[name] = self.same.get(name, True) and _has_same_bytes(before, after)
        if a.first_moment is not None and b.first_moment is not None and not b.first_moment.any():
            self.vanished = max(self.vanished, float(np.nanmax(np.abs(a.first_moment), initial=0.0)))
        if a.second_moment is not None and b.second_moment is not None:
            self._add_second(_wide(a.second_moment), _wide(b.second_moment))
        if a.max_second_moment is not None and b.max_second_moment is not None:
            with np.errstate(invalid="ignore"):
                fell = _wide(b.max_second_moment) < _wide(a.max_second_moment)
            self.fallen += int(np.count_nonzero(fell))
        if a.value is not None and b.value is not None:
            self._add_values(a, b, a.value, b.value)

    @property
    def is_same(self) -> bool:
        """Return whether all bits are the same, those of the weights included."""
        return all(self.same.values())

    @property
    def has_witnesses(self) -> bool:
        """Return whether some elements had gradients and others none: a tensor without any may be trained by something
        else."""
        return 0 < self.untouched < self.elements

    @property
    def cosine(self) -> float:
        """Return the cosine of the angle between the weights as vectors; NaN if either is 0 or not finite."""
        norms = math.sqrt(self.dot_aa) * math.sqrt(self.dot_bb)
        return self.dot_ab / norms if norms > 0 and math.isfinite(norms) else math.nan

    def _add_second(self, before: Floats, after: Floats) -> None:
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            if self.certain is not None:
                judged, fallen = self.certain.count_below(before, after)
                self.judged += judged
                self.fallen += fallen
            if self.assumed is not None:
                _, doubtful = self.assumed.count_below(before, after)
                self.doubtful += doubtful
                if doubtful:
                    floor = before * self.assumed.share
                    below = (floor > self.assumed.smallest) & (after < floor)
                    self.least_ratio = min(self.least_ratio, float(np.min(after[below] / before[below])))

    def _add_values(self, a: State, b: State, before: Array, after: Array) -> None:
        if before.dtype.kind == "c" or after.dtype.kind == "c":
            return
        wide_a, wide_b = _wide(before), _wide(after)
        with np.errstate(invalid="ignore", over="ignore"):
            self.dot_aa += float(np.sum(wide_a * wide_a))
            self.dot_ab += float(np.sum(wide_a * wide_b))
            self.dot_bb += float(np.sum(wide_b * wide_b))
            self.farthest = max(self.farthest, float(np.nanmax(np.abs(wide_b - wide_a), initial=0.0)))
        moments = (a.first_moment, a.second_moment, b.first_moment, b.second_moment)
        if any(moment is None for moment in moments):
            return
        untouched = np.ones(before.shape, bool)
        for moment in moments:
            untouched &= moment == 0
        if not untouched.any():
            return
        one, two = wide_a[untouched], wide_b[untouched]
        moved = (one != two) & np.isfinite(one) & np.isfinite(two)
        self.untouched += one.size
        self.still += int(np.count_nonzero((one == two) & (one != 0)))
        self.moved += int(np.count_nonzero(moved))
        self.flipped += int(np.count_nonzero(moved & (one * two < 0)))
        some = moved & (one != 0)
        if some.any():
            factors = two[some] / one[some]
            self.factor_low = min(self.factor_low, float(factors.min()))
            self.factor_high = max(self.factor_high, float(factors.max()))


def _wide(array: Array) -> Floats:
    return array.astype(np.float64, copy=False)


def _has_same_bytes(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and bool((a.view(np.uint8) == b.view(np.uint8)).all())
