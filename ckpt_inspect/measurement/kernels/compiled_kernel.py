"""The way of the loops in C, which take each element once, whatever it is."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from ckpt_inspect.measurement.histograms import are_touched
from ckpt_inspect.measurement.kernels.formula import Formula
from ckpt_inspect.measurement.kernels.plain_kernel import add_ratio, are_finite, wide
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.update_rules import State


def compiled_piece(loops: ModuleType, formula: Formula, state: State, counts: FineCounts | None) -> Piece:
    """Return the figures of float32 arrays by `extension.loops.measure`."""
    c, under = formula.coefficients, formula.rule.second_moment(state)
    assert c is not None
    e = np.empty_like(under) if counts is None else None
    piece = Piece(
        **loops.measure(
            state.value,
            state.first_moment,
            state.second_moment,
            under,
            e,
            None if counts is None else counts.effective_lr,
            None if counts is None else counts.second_moment,
            c.numerator,
            c.divisor,
            c.inner_epsilon,
            c.epsilon,
            c.first_correction,
            c.decay,
            c.has_root,
        )
    )
    if not math.isfinite(piece.sums["ratio_squares"]):  # of a v near nothing, which float32 can't divide by
        finite = are_finite(under, state.value, state.first_moment, state.second_moment)
        add_ratio(piece, formula.rule, wide(state.first_moment), wide(state.second_moment), finite)
    if state.value is None:
        del piece.sums["weight_squares"]
    if not formula.has_update:
        del piece.sums["update_squares"]
    if e is not None:
        touched = are_touched(under)
        piece.effective_lrs, piece.second_moments = e[touched], under[touched]
    return piece
