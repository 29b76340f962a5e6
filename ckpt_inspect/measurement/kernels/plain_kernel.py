"""The plain way: the rule's own methods and numpy in float64. Any rule, dtype and values. The others are
checked against it."""

from __future__ import annotations

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.measurement.histograms import are_touched, fine_indices
from ckpt_inspect.measurement.kernels.formula import Formula
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.update_rules import State, UpdateRule


def plain_piece(formula: Formula, state: State, counts: FineCounts | None) -> Piece:
    """Return the figures by the rule's own methods, in float64: any rule, dtype and values."""
    rule, settings = formula.rule, formula.settings
    with np.errstate(all="ignore"):
        under = wide(rule.second_moment(state))
        value, m = _wide_or_none(state.value), _wide_or_none(state.first_moment)
        second = wide(state.second_moment) if state.second_moment is not None else under
        finite = are_finite(under, value, m, second)
        untouched = under == formula.start
        touched = are_touched(under) & ~untouched
        piece = Piece(
            elements=under.size,
            touched=int(np.count_nonzero(touched)),
            untouched=int(np.count_nonzero(untouched)),
            nonfinite=int(under.size - np.count_nonzero(finite)),
            negative=int(np.count_nonzero(under < 0)),
        )
        piece.sums["second_moment"] = float(second[finite].sum())
        if m is not None:
            piece.sums["first_moment_squares"] = squares(m[finite])
            add_ratio(piece, rule, m, second, finite)
        if value is not None:
            piece.sums["weight_squares"] = squares(value[finite])
        if formula.coefficients is not None:
            _add_effective_lr(piece, formula, state, touched, counts)
        _add_second_moment(piece, under[touched], counts)
        if formula.has_update:
            update = wide(rule.last_update(state, settings, formula.norms))
            _add_update(piece, update, state.value, finite)
    return piece


def _add_effective_lr(piece: Piece, formula: Formula, state: State, touched: Array, counts: FineCounts | None) -> None:
    e = wide(formula.rule.effective_lr(state, formula.settings, formula.norms))[touched]
    piece.sums["effective_lr"] = float(e.sum())
    dominated = formula.rule.is_epsilon_dominated(state, formula.settings)
    piece.epsilon_dominated = int(np.count_nonzero(dominated & touched))
    if e.size:
        piece.effective_lr_min, piece.effective_lr_max = float(e.min()), float(e.max())
    if counts is None:
        piece.effective_lrs = e
    else:
        np.add.at(counts.effective_lr, fine_indices(np.abs(e[e >= 0])), 1)


def _add_second_moment(piece: Piece, v: Array, counts: FineCounts | None) -> None:
    if v.size:
        piece.second_moment_min, piece.second_moment_max = float(v.min()), float(v.max())
    if counts is None:
        piece.second_moments = v
    else:
        np.add.at(counts.second_moment, fine_indices(v), 1)


def are_finite(*arrays: Array | None) -> Array:
    """Return which elements are finite in all arrays that there are."""
    finite: Array = np.logical_and.reduce([np.isfinite(array) for array in arrays if array is not None])
    return finite


def add_ratio(piece: Piece, rule: UpdateRule, m: Array, second: Array, finite: Array) -> None:
    """Add |m|/√v of the finite elements with v > 0, from arrays of float64, whose range none of it leaves."""
    some = finite & (second > 0)
    with np.errstate(over="ignore"):
        root = np.sqrt(second[some]) if rule.has_root else second[some]
        ratio = np.abs(m[some]) / root
        piece.sums["ratio_squares"] = squares(ratio)
    if ratio.size:
        piece.ratio_max = float(ratio.max())


def _add_update(piece: Piece, update: Array, value: Array | None, finite: Array) -> None:
    moved = np.abs(update[finite & np.isfinite(update)])
    piece.sums["update_squares"] = squares(moved)
    if moved.size:
        piece.update_max = float(moved.max())
    if value is not None:
        size = np.abs(update)
        is_update = size >= smallest_update(value.dtype)
        piece.lost = int(np.count_nonzero(finite & is_update & (size < half_ulp(value))))


def half_ulp(values: Array) -> Array:
    """Return half the distance from each |value| to the next larger one of its dtype, in float64."""
    import ml_dtypes

    info = ml_dtypes.finfo(values.dtype)  # type: ignore[no-untyped-call]  # it has no types
    _, exponent = np.frexp(wide(values))
    lowest = int(info.minexp) - int(info.nmant)
    exponent = np.where(values == 0, lowest, exponent)
    half: Array = np.ldexp(0.5, np.maximum(exponent - 1 - int(info.nmant), lowest))
    return half


def smallest_update(dtype: DType) -> float:
    """Return the smallest |Δ| that changes a weight. TensorFlow's threads flush subnormal float32 and float64 to zero
    (tensorflow/core/platform/denormal.h, `ScopedFlushDenormal`); halves are computed in float32."""
    return float(np.finfo(dtype).tiny) if dtype.itemsize >= 4 else float(np.finfo(np.float64).smallest_subnormal)


def squares(values: Array) -> float:
    # no np.dot of long arrays anywhere: BLAS would start threads, which costs more than the sum
    return float(np.square(values).sum())


def wide(array: Array | None) -> Array:
    """Return the array as float64."""
    return np.asarray(array).astype(np.float64)


def _wide_or_none(array: Array | None) -> Array | None:
    return None if array is None else wide(array)
