"""One piece of a tensor, through its update rule, into the figures of a `summaries.Piece`.

Three ways that agree. `plain` asks the rule for E and Δ and works in float64: any rule, any dtype, any values. The
other two evaluate `Coefficients`: `compiled`, for every kind of float, wherever the loops in C were compiled; and else
`blocked`, in float32, by numpy with buffers that stay in the cache, which leaves elements that are not as they should
be to the plain way. A new rule needs to know none of them: `Formula` asks it, and picks the fastest kernel that
supports it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ckpt_inspect.measurement.kernels.blocked_kernel import Buffers, blocked_pieces
from ckpt_inspect.measurement.kernels.compiled_kernel import compiled_piece, is_compiled
from ckpt_inspect.measurement.kernels.formula import Formula
from ckpt_inspect.measurement.kernels.plain_kernel import plain_piece
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.native import loops
from ckpt_inspect.update_rules import State

__all__ = ["Buffers", "Formula", "pieces"]

_PLAIN = 1 << 14
"""Elements that the plain way takes at a time: its arrays of float64 fit the cache, and the memory that comes and goes
with them stays at hand. Of whole pieces it takes two to five times as long."""


def pieces(formula: Formula, state: State, buffers: Buffers, counts: FineCounts | None) -> Iterator[Piece]:
    """Yield the figures of a stretch of a tensor of at most `buffers.length` elements, in one or several pieces.

    `state` holds 1-D arrays. E and v are counted in `counts`; if that is None, the pieces bring their values, which
    are valid until the next piece is asked for.
    """
    if loops is not None and is_compiled(formula, state):
        yield compiled_piece(loops, formula, state, buffers, counts)
    elif formula.has_root and _is_fast(formula, state):
        yield from blocked_pieces(formula, state, buffers, counts)
    else:
        for start in range(0, max(state.size, 1), _PLAIN):
            yield plain_piece(formula, state.at(slice(start, start + _PLAIN)), counts)


def _is_fast(formula: Formula, state: State) -> bool:
    return (
        formula.is_fast
        and state.first_moment is not None
        and state.second_moment is not None
        and state.mean_gradient is None
        and all(a is None or (a.dtype == np.float32 and a.flags.c_contiguous) for a in state.arrays())
        and state.second_moment.size > 0
    )
