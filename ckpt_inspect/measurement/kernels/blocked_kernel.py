"""The way of numpy in float32, with buffers that stay in the cache: for elements that are as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.measurement.histograms import FINE_SHIFT, are_touched
from ckpt_inspect.measurement.kernels.formula import Formula, effective_lr_of, root_of
from ckpt_inspect.measurement.kernels.plain_kernel import plain_piece, smallest_update, squares
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.native import loops
from ckpt_inspect.update_rules import Coefficients, State

_ROW = 1024
"""Squares are added in float32 over so many elements at most, 16 a lane, and in float64 beyond."""

_EXPONENT_BITS = np.uint32(0x7F800000)
_HALF_ULP = np.float32(2.0**-24)
_SAFE_SQUARES = (1e-30, 1e30)
"""Sums of float32 squares outside of this may have lost elements to underflow or overflow, and are done over."""


_LINE = 64
"""Bytes of a line of the cache."""


class Buffers:
    """Scratch memory of one thread, made when it is first asked for: every array of a piece's length that is needed."""

    def __init__(self, length: int) -> None:
        self.length = length

    @cached_property
    def floats(self) -> list[Array]:
        """Return three arrays of float32."""
        return [np.empty(self.length, np.float32) for _ in range(3)]

    @cached_property
    def wide(self) -> Array:
        """Return an array of float64."""
        return np.empty(self.length, np.float64)

    @property
    def integers(self) -> Array:
        """Return the memory of `wide`, of an index's type."""
        return self.wide.view(np.intp)

    @cached_property
    def scratch(self) -> Array:
        """Return memory in which the loops in C read and count; they leave its start as they found it, all 0."""
        size = getattr(loops, "SCRATCH", 0)
        memory = np.zeros(size + _LINE, np.uint8)
        first = -memory.__array_interface__["data"][0] % _LINE
        return memory[first : first + size]

    @cached_property
    def halves(self) -> Array:
        """Return a count of each number that a float of 16 bits can be."""
        return np.zeros(1 << 16, np.int64)

    def cleared_halves(self) -> Array:
        """Return `halves`, all 0."""
        self.halves.fill(0)
        return self.halves

    @cached_property
    def flags(self) -> Array:
        """Return an array of booleans."""
        return np.empty(self.length, np.bool_)


def blocked_pieces(formula: Formula, state: State, buffers: Buffers, counts: FineCounts | None) -> Iterator[Piece]:
    """Yield the figures of float32 arrays, in one or two pieces: of the elements that are as they should be, and of the
    others."""
    under = formula.rule.second_moment(state)
    with np.errstate(all="ignore"):
        extremes = under.min(), under.max()
        if extremes[0] > 0 and extremes[1] < np.inf:
            yield _clean_piece(formula, state, under, extremes, buffers, counts)
            return
        clean = are_touched(under)
        if clean.any():
            some = state.at(clean)
            under = formula.rule.second_moment(some)
            yield _clean_piece(formula, some, under, (under.min(), under.max()), buffers, counts)
        yield plain_piece(formula, state.at(~clean), counts)


def _clean_piece(
    formula: Formula,
    state: State,
    under: Array,
    extremes: tuple[Any, Any],
    buffers: Buffers,
    counts: FineCounts | None,
) -> Piece:
    """The figures of float32 arrays in which the array under the root is positive and finite throughout.

    E falls as that array grows, in floating point too, since every operation is correctly rounded: its extremes are
    those of `extremes`.
    """
    c, m, v, value = formula.coefficients, state.first_moment, state.second_moment, state.value
    assert c is not None and m is not None and v is not None
    count = under.size
    root, ratio, e = (b[:count] for b in buffers.floats)
    wide, flags = buffers.wide[:count], buffers.flags[:count]
    piece = Piece(elements=count, touched=count)
    sums = piece.sums

    np.divide(m, np.sqrt(v, out=root), out=ratio)
    sums["ratio_squares"] = _float32_squares(ratio)
    piece.ratio_max = float(max(ratio.max(), -ratio.min()))
    sums["first_moment_squares"] = _float32_squares(m)
    if value is not None:
        sums["weight_squares"] = _float32_squares(value)
    if not np.isfinite(sum(sums.values())):  # an m or θ is not finite, or v is 0 although its maximum is not
        return plain_piece(formula, state, counts)

    if under is not v or c.divisor != 1 or c.inner_epsilon:
        np.divide(under, c.divisor, out=root)
        if c.inner_epsilon:
            np.add(root, c.inner_epsilon, out=root)
        np.sqrt(root, out=root)
    smallest = c.epsilon if not c.inner_epsilon else np.sqrt(c.inner_epsilon + c.inner_epsilon)
    highest, lowest = (effective_lr_of(c, extreme) for extreme in extremes)
    if root_of(c, extremes[0]) < smallest:
        piece.epsilon_dominated = int(np.count_nonzero(np.less(root, smallest, out=flags)))
    np.add(root, c.epsilon, out=root)
    np.divide(c.numerator, root, out=e)
    piece.effective_lr_min, piece.effective_lr_max = float(lowest), float(highest)
    np.copyto(wide, e)
    sums["effective_lr"] = float(wide.sum())
    piece.second_moment_min, piece.second_moment_max = float(extremes[0]), float(extremes[1])
    sums["second_moment"] = _float32_sum(v)
    if formula.has_update:
        _add_fast_update(piece, c, m, value, e, root, ratio, flags)
    if counts is None:
        piece.effective_lrs, piece.second_moments = e, under
    else:
        integers = buffers.integers[:count]
        _count_fine(e, integers, counts.effective_lr)
        _count_fine(under, integers, counts.second_moment)
    return piece


def _add_fast_update(
    piece: Piece, c: Coefficients, m: Array, value: Array | None, e: Array, spare: Array, update: Array, flags: Array
) -> None:
    """|Δ| = |E·m/c1 + d·θ|/(1 - d), which is what solving for the weights before a decay of d comes to."""
    np.multiply(e, m, out=update)
    scale = np.float32(1) / c.first_correction
    if c.decay and value is not None:
        np.multiply(update, scale, out=update)
        np.multiply(value, c.decay, out=spare)
        np.add(update, spare, out=update)
        scale = np.float32(1) / (np.float32(1) - c.decay)
    piece.sums["update_squares"] = _float32_squares(update) * float(scale) ** 2
    np.abs(update, out=update)
    piece.update_max = float(update.max()) * float(scale)
    if value is not None:
        exponents = np.bitwise_and(value.view(np.uint32), _EXPONENT_BITS, out=spare.view(np.uint32)).view(np.float32)
        np.multiply(exponents, _HALF_ULP / scale, out=exponents)
        if np.less(update, exponents, out=flags).any():
            piece.lost = int(np.count_nonzero(flags & (update >= smallest_update(value.dtype) / float(scale))))


def _count_fine(values: Array, integers: Array, counts: Array) -> None:
    np.right_shift(values.view(np.uint32), FINE_SHIFT, out=integers, casting="unsafe")
    # as quick as np.bincount, which doesn't let other threads run meanwhile and makes a new array each time
    np.add.at(counts, integers, 1)


def _float32_sum(values: Array) -> float:
    """Σx of positive float32, pairwise, to about 1e-7."""
    total = float(values.sum())
    return total if _SAFE_SQUARES[0] < total < _SAFE_SQUARES[1] else float(values.sum(dtype=np.float64))


def _float32_squares(values: Array) -> float:
    """Σx² of a 1-D float32 array, to about 1e-7; not finite if an element isn't."""
    whole = values.size - values.size % _ROW
    total = 0.0
    if whole:
        rows = values[:whole].reshape(-1, 1, _ROW)
        total = float(np.matmul(rows, rows.reshape(-1, _ROW, 1)).sum(dtype=np.float64))
    rest = values[whole:].astype(np.float64)
    total += float(np.dot(rest, rest))
    if not _SAFE_SQUARES[0] < total < _SAFE_SQUARES[1]:
        return squares(values.astype(np.float64))
    return total
