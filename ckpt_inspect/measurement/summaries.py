"""What is kept of a tensor after its elements have passed by: streaming accumulators, exactly mergeable.

A `Tally` is fed the `Piece`s of one tensor in any order, can be merged with others, and becomes a `Summary`. Counts,
extremes and histograms don't depend on how the tensor was cut; sums are kept a piece at a time and added with
`math.fsum`, so that they don't depend on the order, and on the cutting only in the last bits of float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.measurement.histograms import (
    EFFECTIVE_LR_GRID,
    FINE_BINS,
    SECOND_MOMENT_GRID,
    Counts,
    Floats,
    quantiles_of_counts,
    quantiles_of_values,
)
from ckpt_inspect.records import dataclass

EXACT_ELEMENTS = 1 << 14
"""Tensors of up to so many elements get exact quantiles, by sorting."""

SAMPLES = 16
"""Elements of each tensor whose own effective learning rate is kept in every checkpoint."""

TOTALS = np.dtype(
    [(n, np.int64) for n in ("touched", "untouched", "nonfinite", "negative", "epsilon_dominated", "lost")]
    + [(f"{n}_{end}", np.float64) for n in ("effective_lr", "second_moment") for end in ("min", "max")]
    + [(n, np.float64) for n in ("update_max", "ratio_max", "effective_lr", "update_squares", "weight_squares")]
    + [(n, np.float64) for n in ("first_moment_squares", "second_moment", "ratio_squares")]
)
"""A tensor's counts, extremes and sums, as `Piece` has them and the loops in C leave them behind; a sum that the state
doesn't determine is NaN."""

SUMS = ("effective_lr", "update_squares", "weight_squares", "first_moment_squares", "second_moment", "ratio_squares")
"""What is summed over a tensor: E, Δ², θ², m², v, (|m|/√v)²."""


@lru_cache(maxsize=1024)
def sample_indices(size: int) -> NDArray[np.int64]:
    """Return (SAMPLES,) flat indices of the elements that are followed through a run, ascending; -1 beyond a small
    tensor.

    One of each of SAMPLES equal stretches, moved within its stretch along the golden ratio's sequence, lest they fall
    into one column of a matrix. They depend on nothing but the size. Read-only.
    """
    if size <= SAMPLES:
        few = np.concatenate([np.arange(size), np.full(SAMPLES - size, -1)]).astype(np.int64)
        few.setflags(write=False)
        return few
    offsets = (np.arange(SAMPLES) * (math.sqrt(5) - 1) / 2 + 0.5) % 1.0
    edges = np.arange(SAMPLES + 1) * size // SAMPLES
    indices = (edges[:-1] + np.floor(offsets * np.diff(edges))).astype(np.int64)
    indices.setflags(write=False)
    return indices


@dataclass(slots=True)
class Piece:
    """What a kernel found in one piece of a tensor."""

    elements: int
    touched: int = 0
    """Elements with 0 < v < ∞."""
    untouched: int = 0
    """Elements with v = 0."""
    nonfinite: int = 0
    """Elements of which θ, m or v is infinite or not a number."""
    negative: int = 0
    """Elements with v < 0."""
    epsilon_dominated: int = 0
    """Touched elements whose root is below ε."""
    lost: int = 0
    """Elements with 0 < |Δ| < ½ ulp(θ)."""
    effective_lr_min: float = math.inf
    effective_lr_max: float = -math.inf
    second_moment_min: float = math.inf
    """Over touched elements, as is the maximum."""
    second_moment_max: float = -math.inf
    update_max: float = -math.inf
    """Largest |Δ|."""
    ratio_max: float = -math.inf
    """Largest |m|/√v over touched elements."""
    sums: dict[str, float] = field(default_factory=dict)
    """By name, of `SUMS`; a name is absent if the state doesn't determine it."""
    effective_lrs: Array | None = None
    """For small tensors: the touched elements' values. Larger tensors' values are counted as they are computed."""
    second_moments: Array | None = None


class FineCounts:
    """The fine histograms of one tensor's touched elements; kernels count into them, one thread at a time."""

    __slots__ = ("effective_lr", "second_moment")

    def __init__(self) -> None:
        self.effective_lr: Counts = np.zeros(FINE_BINS, np.int64)
        """(FINE_BINS,), as is the other."""
        self.second_moment: Counts = np.zeros(FINE_BINS, np.int64)

    def merge(self, other: FineCounts) -> None:
        """Add what another has counted."""
        self.effective_lr += other.effective_lr
        self.second_moment += other.second_moment


Figure = np.float64 | Floats
Count = np.int64 | Counts


@dataclass(frozen=True, slots=True)
class Summary:
    """One tensor's figures, or arrays of those of P tensors, (P,); NaN if the state doesn't determine one."""

    size: Count
    touched: Count
    """Elements with 0 < v < ∞, over which E is summarised."""
    nonfinite: Count
    negative_second_moment: Count
    epsilon_dominated: Figure
    """Share of touched elements whose root is below ε."""
    lost_in_rounding: Figure
    """Share of elements with 0 < |Δ| < ½ ulp(θ)."""
    untouched: Figure
    """Share of elements with v = 0."""
    effective_lr: Floats
    """(.., 9) quantiles at `QUANTILE_LEVELS`."""
    effective_lr_mean: Figure
    effective_lr_histogram: Counts
    """(.., EFFECTIVE_LR_GRID.bins)"""
    second_moment: Floats
    """(.., 9) quantiles over touched elements."""
    second_moment_histogram: Counts
    """(.., SECOND_MOMENT_GRID.bins)"""
    second_moment_mean: Figure
    first_moment_rms: Figure
    weight_rms: Figure
    update_rms: Figure
    update_max: Figure
    ratio_rms: Figure
    """RMS of m/√v over touched elements."""
    ratio_max: Figure
    """Largest |m|/√v over touched elements."""

    @classmethod
    def of(
        cls,
        size: int | Counts,
        elements: int | Counts,
        totals: NDArray[np.void],
        quantiles: tuple[Floats, Floats],
        histograms: tuple[Counts, Counts],
    ) -> Summary:
        """Return the figures of one tensor, or of P: of its `size`, the `elements` seen of it, `totals` of TOTALS,
        quantiles and histograms of E and of v."""
        seen, touched = _or_nan(np.asarray(elements)), _or_nan(totals["touched"])
        # what isn't finite is counted, and stays out of means as it stays out of the sums
        finite = _or_nan(elements - totals["nonfinite"])
        is_nowhere = np.isnan(totals["update_squares"] + totals["weight_squares"])

        def largest(name: str, squares: str) -> Figure:
            is_known = ~np.isnan(totals[squares]) & (totals[name] >= 0)
            return np.where(is_known, totals[name], np.nan)[()]

        return cls(
            size=np.asarray(size)[()],
            touched=totals["touched"][()],
            nonfinite=totals["nonfinite"][()],
            negative_second_moment=totals["negative"][()],
            epsilon_dominated=totals["epsilon_dominated"] / touched,
            lost_in_rounding=np.where(is_nowhere, np.nan, totals["lost"] / seen)[()],
            untouched=totals["untouched"] / seen,
            effective_lr=quantiles[0],
            effective_lr_mean=totals["effective_lr"] / touched,
            effective_lr_histogram=histograms[0],
            second_moment=quantiles[1],
            second_moment_histogram=histograms[1],
            second_moment_mean=totals["second_moment"] / finite,
            first_moment_rms=np.sqrt(totals["first_moment_squares"] / finite),
            weight_rms=np.sqrt(totals["weight_squares"] / finite),
            update_rms=np.sqrt(totals["update_squares"] / finite),
            update_max=largest("update_max", "update_squares"),
            ratio_rms=np.sqrt(totals["ratio_squares"] / touched),
            ratio_max=largest("ratio_max", "ratio_squares"),
        )

    @classmethod
    def stacked(cls, some: Sequence[Summary]) -> Summary:
        """Return the figures of several tensors, one after another, of summaries of one each."""
        return cls(*(np.array([getattr(each, f.name) for each in some]) for f in fields(cls)))

    @classmethod
    def of_none(cls) -> Summary:
        """Return the figures of no tensor, (0,)."""
        return cls.stacked([Tally(0, is_exact=True).summary()]).at(slice(0))

    def at(self, places: slice | NDArray[np.intp]) -> Summary:
        """Return the figures of some of several tensors."""
        return Summary(*(getattr(self, f.name)[places] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[tuple[NDArray[np.intp], Summary]]) -> Summary:
        """Return the figures of all tensors in their order, of summaries of some of them with their places, in
        order if it is one."""
        if len(parts) < 2:
            return parts[0][1] if parts else cls.of_none()
        order = np.argsort(np.concatenate([places for places, _ in parts]))
        return cls(*(np.concatenate([getattr(each, f.name) for _, each in parts])[order] for f in fields(cls)))


def _or_nan(counts: Counts) -> Floats:
    """The counts, NaN in place of 0."""
    return np.where(counts, counts, np.nan)


class Tally:
    """Accumulates the pieces of one tensor. For one thread at a time: others fill their own, to be merged."""

    __slots__ = ("_exact", "_size", "_sums", "_total", "counts")

    def __init__(self, size: int, *, is_exact: bool = False) -> None:
        """`is_exact`: the pieces bring the values of E and v, rather than that kernels count them in `counts`."""
        self._size = size
        self._total = Piece(0)
        self._sums: dict[str, list[float]] = {}
        self._exact: tuple[list[Array], list[Array]] = ([], [])
        self.counts = None if is_exact else FineCounts()

    @property
    def elements(self) -> int:
        """Return the number of elements seen so far."""
        return self._total.elements

    def add(self, piece: Piece) -> None:
        """Take in a piece; its arrays may be reused afterwards."""
        self._add_numbers(piece)
        for name, value in piece.sums.items():
            self._sums.setdefault(name, []).append(value)
        if piece.effective_lrs is not None:
            self._exact[0].append(piece.effective_lrs.copy())
        if piece.second_moments is not None:
            self._exact[1].append(piece.second_moments.copy())

    def merge(self, other: Tally) -> None:
        """Take in all that another tally of the same tensor has seen."""
        self._add_numbers(other._total)
        for name, values in other._sums.items():
            self._sums.setdefault(name, []).extend(values)
        for mine, others in zip(self._exact, other._exact, strict=True):
            mine.extend(others)
        if self.counts is not None and other.counts is not None:
            self.counts.merge(other.counts)

    def _add_numbers(self, piece: Piece) -> None:
        total = self._total
        for name in _COUNTED:
            setattr(total, name, getattr(total, name) + getattr(piece, name))
        for name in ("effective_lr_min", "second_moment_min"):
            setattr(total, name, min(getattr(total, name), getattr(piece, name)))
        for name in ("effective_lr_max", "second_moment_max", "update_max", "ratio_max"):
            setattr(total, name, max(getattr(total, name), getattr(piece, name)))

    def summary(self) -> Summary:
        """Return the figures of all that was seen."""
        found = self._total
        totals = np.array(0, TOTALS)
        for name in TOTALS.names or ():
            totals[name] = math.fsum(self._sums.get(name, (math.nan,))) if name in SUMS else getattr(found, name)
        e, v = self._quantiles_and_histograms()
        return Summary.of(self._size, found.elements, totals, (e[0], v[0]), (e[1], v[1]))

    def _quantiles_and_histograms(self) -> tuple[tuple[Floats, Counts], tuple[Floats, Counts]]:
        total = self._total
        if self.counts is None:
            e, v = (np.concatenate(values) if values else np.empty(0) for values in self._exact)
            return (
                (quantiles_of_values(e), EFFECTIVE_LR_GRID.count(np.abs(e[e >= 0]))),
                (quantiles_of_values(v), SECOND_MOMENT_GRID.count(v)),
            )
        fine = self.counts
        return (
            (
                quantiles_of_counts(fine.effective_lr, total.effective_lr_min, total.effective_lr_max),
                EFFECTIVE_LR_GRID.gather(fine.effective_lr),
            ),
            (
                quantiles_of_counts(fine.second_moment, total.second_moment_min, total.second_moment_max),
                SECOND_MOMENT_GRID.gather(fine.second_moment),
            ),
        )


_COUNTED = ("elements", "touched", "untouched", "nonfinite", "negative", "epsilon_dominated", "lost")
