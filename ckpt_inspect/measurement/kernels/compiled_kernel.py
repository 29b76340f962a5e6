"""The way of the loops in C, which take each element once, whatever it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.measurement.histograms import Counts, are_touched, fine_indices
from ckpt_inspect.measurement.kernels.formula import Formula, HalfTable, is_half
from ckpt_inspect.measurement.kernels.plain_kernel import add_ratio, are_finite, wide
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.update_rules import State

HALVES = 1 << 16
"""Numbers that a float of 16 bits can be."""


def is_compiled(formula: Formula, state: State) -> bool:
    """Return whether the loops take these arrays."""
    compiled = formula.compiled
    return (
        compiled is not None
        and state.size > 0
        and all(a is None or _is_plain(a, compiled.elements) for a in state.arrays())
    )


def _is_plain(array: Array, dtype: DType) -> bool:
    return array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned


def compiled_piece(loops: ModuleType, formula: Formula, state: State, counts: FineCounts | None) -> Piece:
    """Return the figures of arrays that `is_compiled` accepts, by `extension.loops.measure`."""
    compiled, under = formula.compiled, formula.rule.second_moment(state)
    assert compiled is not None
    has_halves = is_half(compiled.dtype)
    e = np.empty_like(under) if counts is None and not has_halves else None
    halves = np.zeros(HALVES, np.int64) if has_halves else None
    arrays = (state.value, state.first_moment, state.second_moment, under)
    found = loops.measure(
        *(a if a is None or not has_halves else a.view(np.uint16) for a in arrays),
        e,
        *((None, None) if counts is None or has_halves else (counts.effective_lr, counts.second_moment)),
        *compiled.numbers,
        compiled.dtype,
        halves,
    )
    piece = piece_of(
        formula, found, counts, halves, has_value=state.value is not None, has_first=state.first_moment is not None
    )
    if not math.isfinite(piece.sums.get("ratio_squares", 0.0)):  # of a v near nothing, which float32 can't divide by
        with np.errstate(invalid="ignore"):
            finite = are_finite(under, state.value, state.first_moment, state.second_moment)
            add_ratio(piece, formula.rule, wide(state.first_moment), wide(state.second_moment), finite)
    if e is not None:
        touched = are_touched(under) & (under != formula.start)
        piece.effective_lrs, piece.second_moments = e[touched], under[touched]
    return piece


def piece_of(
    formula: Formula,
    found: Mapping[str, Any],
    counts: FineCounts | None,
    halves: Counts | None,
    *,
    has_value: bool,
    has_first: bool,
) -> Piece:
    """Return what the loops found, but for what isn't there. Of `halves`, E follows from how often each number stands
    under the root."""
    piece = Piece(**found)
    if not has_value:
        del piece.sums["weight_squares"]
        piece.lost = 0
    if not has_first:
        del piece.sums["first_moment_squares"], piece.sums["ratio_squares"]
        piece.ratio_max = -math.inf
    if not formula.has_update:
        del piece.sums["update_squares"]
        piece.update_max, piece.lost = -math.inf, 0
    if halves is not None:
        _add_halves(piece, formula.halves, halves, counts)
    return piece


def _add_halves(piece: Piece, table: HalfTable, halves: Counts, counts: FineCounts | None) -> None:
    (places,) = np.nonzero(halves[1 : 1 << 15])  # 0 stands for what isn't touched
    places += 1
    times, e, under = halves[places], table.effective_lr[places], table.values[places]
    with np.errstate(invalid="ignore", over="ignore"):
        piece.sums["effective_lr"] = float((e * times).sum())
    piece.epsilon_dominated = int(times[table.is_dominated[places]].sum())
    if places.size:
        piece.effective_lr_min, piece.effective_lr_max = float(e.min()), float(e.max())
        piece.second_moment_min, piece.second_moment_max = float(under[0]), float(under[-1])
    if counts is None:
        piece.effective_lrs, piece.second_moments = np.repeat(e, times), np.repeat(under, times)
        return
    counted = e >= 0
    np.add.at(counts.effective_lr, fine_indices(np.abs(e[counted])), times[counted])
    np.add.at(counts.second_moment, fine_indices(under), times)
