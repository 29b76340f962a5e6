"""Elements that no gradient reached between two states of a run, by the decay of both moments.

Without a gradient, an update leaves β2·v and β1·m. In all other elements of one uninterrupted run v_B > β2^d·v_A. So
the smallest ln(v_B/v_A) bounds d·ln β2 from above always, and is it where several different elements agree on it to
rounding. v alone is a weak witness of silence: after a large gradient, the squares of later ones vanish in its
rounding. m is the second witness, element by element.
"""

from __future__ import annotations

import math

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.comparison.inference.usual import distinct
from ckpt_inspect.measurement.order import median
from ckpt_inspect.records import dataclass

WITNESSES = 3
"""Different elements that must agree, both moments being witnesses."""
WITNESSES_BY_ONE = 6
"""The same if only the second moment is."""
_FAST = 0.9
"""beta_2 by which no second moment is thought to have fallen to 0 that was larger than what it lets last."""
UNCOUNTED = 1000
"""Updates at most that lie between two states of which no counter tells."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """What one update's rounding does to a number of that dtype, and below which size its digits can't be trusted."""

    unit: float
    """Half a unit in the last place, relative, at most."""
    floor: float
    """Second moments below it may have lost digits, or stopped: TensorFlow flushes subnormals to zero, so that m and v
    stop at tiny/(1 - β)."""

    @staticmethod
    def of(dtype: DType) -> Rounding | None:
        """Return that of float32 or float64; None for halves, whose rounding hides the decay, and for all else."""
        if dtype == np.float32:
            return Rounding(2.0**-24, 1e-30)
        if dtype == np.float64:
            return Rounding(2.0**-50, 1e-300)  # of logarithms and powers as well
        return None

    def of_decays(self, count: int) -> float:
        """Return how far ln(v_B/v_A) of a silent element may lie from count·ln β: five standard deviations.

        Each decay rounds by at most `unit`, and by 0.4 of it on average (standard deviation); signs are independent.
        """
        return self.unit * (2 + min(count, 2 * math.sqrt(count) + 1))


@dataclass(frozen=True, slots=True)
class Pair:
    """Both moments of the same elements in two states; 1-d arrays of one length, float32 or float64."""

    first_a: Array
    first_b: Array
    second_a: Array
    second_b: Array


@dataclass(frozen=True, slots=True)
class Silence:
    """What decays between two states show."""

    log_2: float
    """ln(v_B/v_A) of the elements that decayed most: d·ln β2, or a bound of it; NaN if nothing can be compared."""
    agreeing: int
    """How many different second moments agree on it to rounding."""
    log_1: float
    """ln(m_B/m_A) on which the most of these agree to rounding: d·ln β1; NaN if there are too few."""
    tolerance: float
    """What rounding may add to or take from either."""
    silent: Array
    """Places of the elements that both moments show to be silent; empty if there are too few."""
    different: int
    """How many different second moments these have."""
    vanished: int
    """Elements whose second moment fell to 0, as no decay brings about."""
    compared: int
    """Elements that could be compared."""
    least: float = math.nan
    """The smallest ln(v_B/v_A) of all; below log_2 by rounding, and where small gradients blur the others."""
    faster: int = 0
    """Elements whose second moment fell faster than the expected beta_2 lets it."""

    @property
    def is_by_both(self) -> bool:
        """Return whether both moments are witnesses."""
        return self.silent.size > 0

    @property
    def is_by_one(self) -> bool:
        """Return whether the second moments alone agree, of enough different elements."""
        return self.agreeing >= WITNESSES_BY_ONE


_NOTHING = np.empty(0, np.intp)


def find_silence(pair: Pair, updates: int | None, expected: float | None = None) -> Silence | None:
    """Return the elements that decayed most between two states, at most `updates` updates apart (None: not known).

    `expected`: a beta_2, to count the elements that contradict it. None if the dtype hides decays (16-bit floats).
    """
    rounding = Rounding.of(pair.second_a.dtype)
    if rounding is None or pair.second_b.dtype != pair.second_a.dtype:
        return None
    with np.errstate(all="ignore"):
        usable = (pair.second_a > rounding.floor) & np.isfinite(pair.second_a) & np.isfinite(pair.second_b)
        lasting = 1e8 * rounding.floor * math.exp(min(-(updates or 0) * math.log(_FAST), 600.0))
        vanished = int(np.count_nonzero(usable & (pair.second_b == 0) & (pair.second_a > lasting)))
        places = np.flatnonzero(usable & (pair.second_b > rounding.floor))
        if not places.size:
            return Silence(math.nan, 0, math.nan, 0.0, _NOTHING, 0, vanished, 0)
        # NaN in neither, and logarithms only of those that are near the smallest
        ratios = np.divide(pair.second_b[places], pair.second_a[places], dtype=np.float64)
    tolerance = rounding.of_decays(max(updates if updates is not None else UNCOUNTED, 1))
    with np.errstate(divide="ignore"):  # a quotient may underflow
        least = float(np.log(ratios.min()))
    faster = 0
    if updates and expected is not None and 0 < expected < 1:
        faster = int(np.count_nonzero(ratios < math.exp(updates * (math.log(expected) - 1e-7) - 2 * tolerance)))
    near = np.flatnonzero(ratios <= math.exp(least + 2 * tolerance) * (1 + 1e-12))
    near = near[np.log(ratios[near]) <= least + 2 * tolerance]
    places, logs = places[near], np.log(ratios[near])
    log_2 = median(logs)
    agreeing = distinct(pair.second_a[places])
    silent, log_1 = _by_first_moments(pair, places, tolerance, rounding)
    if silent.size:
        chosen = np.isin(places, silent, assume_unique=True)
        log_2 = median(logs[chosen])
    different = distinct(pair.second_a[silent]) if silent.size else 0
    compared = int(np.count_nonzero(usable))
    return Silence(log_2, agreeing, log_1, tolerance, silent, different, vanished, compared, least, faster)


def _by_first_moments(pair: Pair, places: Array, tolerance: float, rounding: Rounding) -> tuple[Array, float]:
    """Those of the elements whose first moments agree on one decay, and its logarithm; none and NaN if too few do."""
    least = math.sqrt(rounding.floor) if rounding.unit < 1e-12 else 1e-34
    first_a, first_b = pair.first_a[places], pair.first_b[places]
    with np.errstate(all="ignore"):
        usable = (np.abs(first_a) > least) & (np.abs(first_b) > least) & (np.sign(first_a) == np.sign(first_b))
        usable &= np.isfinite(first_a) & np.isfinite(first_b)
        places, first_a, first_b = places[usable], first_a[usable], first_b[usable]
        logs = np.log(first_b.astype(np.float64) / first_a.astype(np.float64))
    if places.size < WITNESSES:
        return _NOTHING, math.nan
    order = np.argsort(logs)
    ordered = logs[order]
    starts = np.arange(ordered.size)
    ends = np.searchsorted(ordered, ordered + 2 * tolerance, side="right")
    best = int(np.argmax(ends - starts))
    width = int(ends[best]) - best
    by_chance = _around(ordered, best, int(ends[best]), tolerance)
    chosen = np.sort(places[order[best : ends[best]]])
    if width < WITNESSES + 5 * by_chance or min(distinct(pair.second_a[chosen]), distinct(pair.first_a[chosen])) < (
        WITNESSES
    ):
        return _NOTHING, math.nan
    return chosen, median(ordered[best : ends[best]])


def _around(ordered: Array, start: int, end: int, tolerance: float) -> float:
    """How many elements a group of that width would have by chance, from how many lie around it."""
    wide = 200 * tolerance
    low = int(np.searchsorted(ordered, ordered[start] - wide))
    high = int(np.searchsorted(ordered, ordered[end - 1] + wide, side="right"))
    return ((start - low) + (high - end)) / 200
