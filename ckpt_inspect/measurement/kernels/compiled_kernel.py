"""The way of the loops in C, which take each element once, whatever it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.measurement.histograms import Counts, are_touched
from ckpt_inspect.measurement.kernels.blocked_kernel import Buffers
from ckpt_inspect.measurement.kernels.formula import Formula, HalfTable, is_half
from ckpt_inspect.measurement.kernels.plain_kernel import add_ratio, are_finite, wide
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.update_rules import State


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


def compiled_piece(
    loops: ModuleType, formula: Formula, state: State, buffers: Buffers, counts: FineCounts | None
) -> Piece:
    """Return the figures of arrays that `is_compiled` accepts, by `extension.loops.measure`."""
    compiled, under = formula.compiled, formula.rule.second_moment(state)
    assert compiled is not None
    has_halves = is_half(compiled.dtype)
    e = np.empty_like(under) if counts is None and not has_halves else None
    halves = buffers.cleared_halves() if has_halves else None
    arrays = (state.value, state.first_moment, state.second_moment, under)
    found = loops.measure(
        *(a if a is None or not has_halves else a.view(np.uint16) for a in arrays),
        e,
        *((None, None) if counts is None or has_halves else (counts.effective_lr, counts.second_moment)),
        *compiled.numbers,
        compiled.dtype,
        halves,
        buffers.scratch,
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
    times = np.where(table.is_touched, halves[: table.is_touched.size], 0)
    (places,) = (times > 0).nonzero()
    there, e = times.take(places), table.effective_lr.take(places)
    with np.errstate(invalid="ignore", over="ignore"):
        piece.sums["effective_lr"] = float((e * there).sum())
    if places.size:
        piece.epsilon_dominated = int(there[table.is_dominated.take(places)].sum())
        piece.effective_lr_min, piece.effective_lr_max = float(e.min()), float(e.max())
        piece.second_moment_min, piece.second_moment_max = map(float, table.values[places[[0, -1]]])
    if counts is None:
        piece.effective_lrs, piece.second_moments = np.repeat(e, there), np.repeat(table.values[places], there)
        return
    if places.size:
        table.bins.add(times, places[0], places[-1], counts.second_moment)
        table.effective_lr_bins.add(times, places[0], places[-1], counts.effective_lr)
