"""One piece of a tensor, through its update rule, into the figures of a `summaries.Piece`.

Two ways that agree. The plain one asks the rule for E and Δ and works in float64: any rule, any dtype, any values. The
fast one evaluates `Coefficients` in float32 with buffers that stay in the cache; it takes the elements whose moments
are as they should be, which is nearly always all of them, and leaves the rest to the plain one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.histograms import FINE_SHIFT, fine_indices
from ckpt_inspect.summaries import FineCounts, Piece
from ckpt_inspect.update_rules import Coefficients, Norms, Settings, State, UpdateRule

_ROW = 1024
"""Squares are added in float32 over so many elements at most, 16 a lane, and in float64 beyond."""

_EXPONENT_BITS = np.uint32(0x7F800000)
_HALF_ULP = np.float32(2.0**-24)
_SAFE_SQUARES = (1e-30, 1e30)
"""Sums of float32 squares outside of this may have lost elements to underflow or overflow, and are done over."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A rule with everything about one tensor's last update that doesn't differ by element."""

    rule: UpdateRule
    settings: Settings
    """With a learning rate of 1 where `is_relative`."""
    norms: Norms | None
    coefficients: Coefficients | None
    """None where E is not determined."""
    is_relative: bool
    """Whether α is not known, so that E and Δ are those of α = 1."""
    has_update: bool
    """Whether Δ is determined."""
    is_fast: bool = False
    """Whether the fast way computes what the rule does."""
    reason: str = ""
    """Why E is not determined; empty where it is."""
    noise_scale: float = math.nan
    """What m/√v is multiplied by to give (m/c1)/√(v/c2); NaN where that isn't determined, as are the next two."""
    moment_bound: float = math.nan
    """Largest |m|/√v that this many gradients can leave behind."""
    bias_correction: float = math.nan
    """√c2/c1 in the variable's dtype."""

    @classmethod
    def of(
        cls,
        rule: UpdateRule,
        settings: Settings,
        dtype: np.dtype[Any],
        held: frozenset[str] | None = None,
        norms: Norms | None = None,
    ) -> Formula:
        """Of slots of that dtype; `held` are the fields of `State` that are there (None: all), `norms` those of the
        whole tensor where the rule needs them."""
        is_relative = settings.learning_rate is None and not rule.needs_norms
        if is_relative:
            settings = replace(settings, learning_rate=1.0)
        names = [field.name for field in fields(State)] if held is None else held
        probe = State(**{name: np.array(_PROBES[name], dtype) for name in names})
        figures = _figures(rule, settings, dtype)
        try:
            with np.errstate(all="ignore"):
                rule.second_moment(probe)
                coefficients = rule.coefficients(settings, dtype, norms)
        except NotDetermined as undetermined:
            return cls(rule, settings, norms, None, is_relative, False, False, str(undetermined), *figures)
        # a decay times a learning rate that isn't known is no multiple of the rest
        has_update = settings.weight_decay is not None and not (is_relative and settings.weight_decay)
        is_fast = coefficients.has_root and coefficients.is_adaptive and dtype == np.float32
        if has_update:
            try:
                update = np.abs(rule.last_update(probe, settings, norms))
                difference = np.abs(update - _update_size(coefficients, probe, rule))
                is_fast = is_fast and bool((difference <= 1e-4 * update).all())
            except NotDetermined:
                has_update = False
        return cls(rule, settings, norms, coefficients, is_relative, has_update, is_fast, "", *figures)

    def effective_lr(self, state: State) -> Array:
        """E of some elements in the state's dtype, as the rule computes it; only where `coefficients` are there."""
        under = self.rule.second_moment(state)
        if self.is_fast and self.coefficients is not None and under.dtype == np.float32:
            with np.errstate(all="ignore"):
                return np.asarray(_effective_lr(self.coefficients, under))
        return self.rule.effective_lr(state, self.settings, self.norms)


def _figures(rule: UpdateRule, settings: Settings, dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """`noise_scale`, `moment_bound` and `bias_correction`."""
    one = np.ones(1, dtype)
    return (
        _tried(lambda: float(rule.signal_to_noise(State(one, one, one, one), settings)[0])),
        _tried(lambda: rule.moment_bound(settings)),
        _tried(lambda: _bias_correction(*rule.bias_corrections(settings, dtype))),
    )


def _tried(figure: Callable[[], float]) -> float:
    """The figure, NaN where it is not determined."""
    try:
        return figure()
    except NotDetermined:
        return math.nan


def _bias_correction(c1: Any, c2: Any) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(c2) / c1)


_PROBES = {
    "value": (0.5, 0.01),
    "first_moment": (1e-3, 2e-2),
    "second_moment": (1e-4, 3e-3),
    "max_second_moment": (2e-4, 4e-3),
    "mean_gradient": (1e-3, 1e-2),
}
"""A made-up state, to ask a rule what of it is determined."""


def _update_size(c: Coefficients, state: State, rule: UpdateRule) -> Array:
    """|Δ| by the coefficients: |E·m/c1 + d·θ|/(1 - d)."""
    e = _effective_lr(c, rule.second_moment(state))
    m = np.zeros_like(e) if state.first_moment is None else state.first_moment
    decayed = c.decay * state.value if c.decay and state.value is not None else 0
    size: Array = np.abs(e * m / c.first_correction + decayed) / (1 - c.decay)
    return size


class Buffers:
    """Scratch memory of one thread; every array of a piece's length that the fast way needs."""

    __slots__ = ("flags", "floats", "integers", "length", "wide")

    def __init__(self, length: int) -> None:
        self.length = length
        self.floats = [np.empty(length, np.float32) for _ in range(3)]
        self.wide = np.empty(length, np.float64)
        self.integers = self.wide.view(np.intp)
        self.flags = np.empty(length, np.bool_)


def pieces(formula: Formula, state: State, buffers: Buffers, counts: FineCounts | None) -> Iterator[Piece]:
    """The figures of a stretch of a tensor of at most `buffers.length` elements, in one or two pieces.

    `state` holds 1-D arrays. E and v are counted in `counts`; where that is None, the pieces bring their values, which
    are valid until the next piece is asked for.
    """
    if not _is_fast(formula, state):
        yield plain_piece(formula, state, counts)
        return
    under = formula.rule.second_moment(state)
    with np.errstate(all="ignore"):
        extremes = under.min(), under.max()
        if extremes[0] > 0 and extremes[1] < np.inf:
            yield _clean_piece(formula, state, under, extremes, buffers, counts)
            return
        clean = (under > 0) & (under < np.inf)
        if clean.any():
            some = taken(state, clean)
            under = formula.rule.second_moment(some)
            yield _clean_piece(formula, some, under, (under.min(), under.max()), buffers, counts)
        yield plain_piece(formula, taken(state, ~clean), counts)


def taken(state: State, mask: Array) -> State:
    """Some elements of each array, by a mask or by indices."""
    return State(*(None if a is None else a[mask] for a in _arrays(state)))


def _arrays(state: State) -> tuple[Array | None, ...]:
    return state.value, state.first_moment, state.second_moment, state.max_second_moment, state.mean_gradient


def _is_fast(formula: Formula, state: State) -> bool:
    return (
        formula.is_fast
        and state.first_moment is not None
        and state.second_moment is not None
        and state.mean_gradient is None
        and all(a is None or a.dtype == np.float32 for a in _arrays(state))
        and state.second_moment.size > 0
    )


# --- the plain way


def plain_piece(formula: Formula, state: State, counts: FineCounts | None) -> Piece:
    """The figures by the rule's own methods, in float64: any rule, dtype and values."""
    rule, settings = formula.rule, formula.settings
    with np.errstate(all="ignore"):
        under = _wide(rule.second_moment(state))
        value, m = _wide_or_none(state.value), _wide_or_none(state.first_moment)
        second = _wide(state.second_moment) if state.second_moment is not None else under
        finite = np.isfinite(under)
        for array in (value, m, second):
            if array is not None:
                finite &= np.isfinite(array)
        touched = (under > 0) & np.isfinite(under)
        piece = Piece(
            elements=under.size,
            touched=int(np.count_nonzero(touched)),
            untouched=int(np.count_nonzero(under == 0)),
            nonfinite=int(under.size - np.count_nonzero(finite)),
            negative=int(np.count_nonzero(under < 0)),
        )
        piece.sums["second_moment"] = float(second[finite].sum())
        if m is not None:
            piece.sums["first_moment_squares"] = _squares(m[finite])
            _add_ratio(piece, rule, m, second, finite)
        if value is not None:
            piece.sums["weight_squares"] = _squares(value[finite])
        if formula.coefficients is not None:
            _add_effective_lr(piece, formula, state, touched, counts)
        _add_second_moment(piece, under[touched], counts)
        if formula.has_update:
            update = _wide(rule.last_update(state, settings, formula.norms))
            _add_update(piece, update, state.value, finite)
    return piece


def _add_effective_lr(piece: Piece, formula: Formula, state: State, touched: Array, counts: FineCounts | None) -> None:
    e = _wide(formula.rule.effective_lr(state, formula.settings, formula.norms))[touched]
    piece.sums["effective_lr"] = float(e.sum())
    dominated = formula.rule.is_epsilon_dominated(state, formula.settings)
    piece.epsilon_dominated = int(np.count_nonzero(dominated & touched))
    if e.size:
        piece.effective_lr_min, piece.effective_lr_max = float(e.min()), float(e.max())
    if counts is None:
        piece.effective_lrs = e
    else:
        np.add.at(counts.effective_lr, fine_indices(e[e > 0]), 1)


def _add_second_moment(piece: Piece, v: Array, counts: FineCounts | None) -> None:
    if v.size:
        piece.second_moment_min, piece.second_moment_max = float(v.min()), float(v.max())
    if counts is None:
        piece.second_moments = v
    else:
        np.add.at(counts.second_moment, fine_indices(v), 1)


def _add_ratio(piece: Piece, rule: UpdateRule, m: Array, second: Array, finite: Array) -> None:
    some = finite & (second > 0)
    root = second[some] if rule.name == "adamax" else np.sqrt(second[some])
    ratio = np.abs(m[some]) / root
    piece.sums["ratio_squares"] = _squares(ratio)
    if ratio.size:
        piece.ratio_max = float(ratio.max())


def _add_update(piece: Piece, update: Array, value: Array | None, finite: Array) -> None:
    moved = np.abs(update[finite & np.isfinite(update)])
    piece.sums["update_squares"] = _squares(moved)
    if moved.size:
        piece.update_max = float(moved.max())
    if value is not None:
        size = np.abs(update)
        piece.lost = int(np.count_nonzero(finite & (size > 0) & (size < half_ulp(value))))


def half_ulp(values: Array) -> Array:
    """Half the distance from each |value| to the next larger one of its dtype, in float64."""
    import ml_dtypes

    info = ml_dtypes.finfo(values.dtype)  # type: ignore[no-untyped-call]  # it has no types
    _, exponent = np.frexp(_wide(values))
    lowest = int(info.minexp) - int(info.nmant)
    half: Array = np.ldexp(0.5, np.maximum(exponent - 1 - int(info.nmant), lowest))
    return half


def _squares(values: Array) -> float:
    # no np.dot of long arrays anywhere: BLAS would start threads of its own, which costs more than the sum
    return float(np.square(values).sum())


def _wide(array: Array | None) -> Array:
    return np.asarray(array).astype(np.float64)


def _wide_or_none(array: Array | None) -> Array | None:
    return None if array is None else _wide(array)


# --- the fast way


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
    if not np.isfinite(sum(sums.values())):  # an m or θ is not finite, or v is 0 where its maximum is not
        return plain_piece(formula, state, counts)

    if under is not v or c.divisor != 1 or c.inner_epsilon:
        np.divide(under, c.divisor, out=root)
        if c.inner_epsilon:
            np.add(root, c.inner_epsilon, out=root)
        np.sqrt(root, out=root)
    smallest = c.epsilon if not c.inner_epsilon else np.sqrt(c.inner_epsilon + c.inner_epsilon)
    highest, lowest = (_effective_lr(c, extreme) for extreme in extremes)
    if _root(c, extremes[0]) < smallest:
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


def _root(c: Coefficients, under: Any) -> Any:
    return np.sqrt(under / c.divisor + c.inner_epsilon)


def _effective_lr(c: Coefficients, under: Any) -> Any:
    return c.numerator / (_root(c, under) + c.epsilon)


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
        piece.lost = int(np.count_nonzero(np.less(update, exponents, out=flags)))
        if piece.lost:
            piece.lost -= int(np.count_nonzero(update == 0)) - int(np.count_nonzero((update == 0) & (exponents == 0)))


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
        return _squares(values.astype(np.float64))
    return total
