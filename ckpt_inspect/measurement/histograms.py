"""Histograms by the bits of a float: no logarithm, no search, exactly mergeable.

The upper bits of a positive float32 are its exponent and the head of its mantissa, so that shifting them down gives the
number of a bin: `FINE_PER_OCTAVE` bins, equally wide, in every octave. Bins are half-open, [low, high). Values beyond
float32's range are counted in the last bin, those below in the first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.native import loops

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

FINE_PER_OCTAVE = 64
"""A bin's middle is at most 1/128 = 0.8 % away from anything in it."""

FINE_SHIFT = 17
"""Bits below a fine bin's number: float32 has 23 of mantissa, 6 of which number the bin."""

FINE_BINS = 1 << (31 - FINE_SHIFT)

QUANTILE_LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Levels at which the store holds quantiles."""

_INFINITE = np.uint32(0x7F800000)
_FLOAT32_MAX = float(np.finfo(np.float32).max)

# 2**(1/4), 2**(1/2), 2**(3/4) in sixty-fourths above one, rounded: bins of coarse histograms are log-spaced to 0.6 %
_QUARTERS = (0, 12, 27, 44)


def _fine_edges() -> Floats:
    bits = np.minimum(np.arange(FINE_BINS + 1, dtype=np.uint32) << FINE_SHIFT, _INFINITE)
    edges: Floats = bits.view(np.float32).astype(np.float64)
    return edges


FINE_EDGES = _fine_edges()
"""(FINE_BINS + 1,) edges of the fine bins; the last ones, of what isn't finite, are infinite."""


def fine_indices(values: Array) -> NDArray[np.intp]:
    """Return the fine bin of each positive value of any float dtype."""
    if values.dtype == np.float32:
        return (values.view(np.uint32) >> FINE_SHIFT).astype(np.intp)
    # float64 to float32 toward zero, so that no value moves up into the next bin
    wide = np.minimum(values.astype(np.float64), _FLOAT32_MAX)
    narrow = wide.astype(np.float32)
    rounded_up = narrow.astype(np.float64) > wide
    bits = narrow.view(np.uint32) - rounded_up.astype(np.uint32)
    return (bits >> FINE_SHIFT).astype(np.intp)


def are_touched(values: Array) -> NDArray[np.bool_]:
    """Return which second moments a gradient has left behind: positive and finite ones."""
    with np.errstate(invalid="ignore"):
        return np.asarray((values > 0) & (values < np.inf))


def count_touched(values: Array, counts: Counts) -> None:
    """Add the values of any float dtype that are positive and finite to the counts (FINE_BINS,) of their fine bins."""
    if loops is not None and values.dtype == np.float32 and values.flags.c_contiguous:
        loops.count(values, counts)
        return
    touched = are_touched(values)
    np.add.at(counts, fine_indices(values if touched.all() else values[touched]), 1)


class Grid:
    """A coarse set of bins whose edges are edges of fine bins; the same for every tensor, checkpoint and run."""

    __slots__ = ("edges", "of_fine", "starts")

    def __init__(self, per_octave: int) -> None:
        quarters = _QUARTERS[:: 4 // per_octave]
        octaves = np.arange(0, 255 * FINE_PER_OCTAVE, FINE_PER_OCTAVE)
        self.starts: NDArray[np.intp] = (octaves[:, None] + np.asarray(quarters)).ravel()
        """Number of the first fine bin of each coarse bin."""
        self.edges: Floats = np.append(FINE_EDGES[self.starts], 2.0**128)
        """(bins + 1,) edges."""
        coarse = np.searchsorted(self.starts, np.arange(FINE_BINS), side="right") - 1
        self.of_fine: NDArray[np.int32] = coarse.astype(np.int32)
        """(FINE_BINS,) the coarse bin of each fine one."""

    @property
    def bins(self) -> int:
        """Return the number of bins."""
        return len(self.starts)

    def gather(self, fine: Counts) -> Counts:
        """Return the coarse histogram of a fine one."""
        return np.add.reduceat(fine, self.starts)

    def count(self, values: Array) -> Counts:
        """Return the histogram of positive values."""
        return np.bincount(self.of_fine[fine_indices(values)], minlength=self.bins)


EFFECTIVE_LR_GRID = Grid(4)
"""Four bins an octave, 13 a decade."""

SECOND_MOMENT_GRID = Grid(2)
"""Two bins an octave: as fine for √v as `EFFECTIVE_LR_GRID` is for E."""


def quantiles_of_values(values: Array) -> Floats:
    """Return (9,) exact quantiles at `QUANTILE_LEVELS`, linear between neighbours as np.quantile's; NaN of nothing."""
    if not values.size:
        return np.full(len(QUANTILE_LEVELS), np.nan)
    ordered = np.sort(values)
    below, weights = _ranks(ordered.size)
    above = np.minimum(below + 1, ordered.size - 1)
    return _between(ordered[below].astype(np.float64), ordered[above].astype(np.float64), weights)


def quantiles_of_ranked(below: Floats, above: Floats, counts: Counts) -> Floats:
    """Return (.., 9) exact quantiles, as `quantiles_of_values` does, from the values at the rank below each and the one
    above, (.., 9) each, of so many values (..)."""
    _, weights = _ranks(counts[..., None])
    return _between(below, above, weights)


def quantiles_of_counts(fine: Counts, low: float, high: float) -> Floats:
    """Return (9,) quantiles of a fine histogram's values, whose exact extremes are `low` and `high`.

    Within 1/128 relative of np.quantile's; 0 and 1 exact; NaN if nothing was counted.
    """
    cumulated = np.cumsum(fine)
    total = int(cumulated[-1])
    if total == 0:
        return np.full(len(QUANTILE_LEVELS), np.nan)
    below, weights = _ranks(total)
    above = np.minimum(below + 1, total - 1)
    quantiles = _between(_value_at(cumulated, below, low, high), _value_at(cumulated, above, low, high), weights)
    quantiles[0], quantiles[-1] = low, high
    return quantiles


_LEVELS = np.asarray(QUANTILE_LEVELS)


def _ranks(count: int | Counts) -> tuple[NDArray[np.int64], Floats]:
    """Rank below each quantile, and how far it lies towards the next."""
    position = _LEVELS * (count - 1)
    below = np.minimum(np.floor(position).astype(np.int64), count - 1)
    return below, position - below


def _between(below: Floats, above: Floats, weights: Floats) -> Floats:
    with np.errstate(invalid="ignore"):  # both infinite
        return np.where(weights > 0, below + (above - below) * weights, below)


def _value_at(cumulated: Counts, ranks: NDArray[np.int64], low: float, high: float) -> Floats:
    """The middle of the bin that holds the value of each rank (0 for the smallest)."""
    bins = np.searchsorted(cumulated, ranks, side="right")
    with np.errstate(invalid="ignore"):
        middle = (FINE_EDGES[bins] + FINE_EDGES[bins + 1]) / 2
    return np.clip(middle, low, high)
