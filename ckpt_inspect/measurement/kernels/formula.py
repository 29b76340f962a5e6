"""A rule, ready for the elements of one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.histograms import Counts, are_touched, fine_indices
from ckpt_inspect.native import DTYPES
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import Coefficients, Norms, Settings, State, StepOrder, UpdateRule, arithmetic


class CompiledFormula(NamedTuple):
    """A formula as the loops in C take it."""

    dtype: int
    """Of `extension.DTYPES`."""
    under: int
    """What is under the root: 0 the second moment, 1 its maximum, 2 it less the square of the mean gradient."""
    numbers: tuple[float, ...]
    """What `extension.loops.measure` calls coefficients."""
    elements: DType
    """The type itself."""


class BinsOfHalves(NamedTuple):
    """The fine bins of what a formula gives for each positive number that a float of 16 bits can be, by its bits.

    Neighbours share them, so that not every number is looked at.
    """

    starts: NDArray[np.intp]
    """First number of each stretch of the same bin, and of each stretch of those that have none."""
    bins: NDArray[np.intp]
    """The bin of each stretch."""
    is_counted: NDArray[np.bool_]
    """Whether a stretch has a bin: what is negative or not a number has none."""

    @classmethod
    def of(cls, values: Array) -> BinsOfHalves:
        """Return the bins of float64 values."""
        bins = np.where(values >= 0, fine_indices(np.abs(values)), -1)
        starts = np.append(0, np.flatnonzero(np.diff(bins)) + 1)
        return cls(starts, bins[starts], bins[starts] >= 0)

    def add(self, times: Counts, first: int, last: int, counts: Counts) -> None:
        """Add to the counts of fine bins how often each number is there, (32768,); of those from `first` to `last`."""
        begin, end = np.searchsorted(self.starts, (first, last), side="right")
        some = slice(begin - 1, end)
        totals, is_counted = np.add.reduceat(times, self.starts[some]), self.is_counted[some]
        np.add.at(counts, self.bins[some][is_counted], totals[is_counted])


class HalfTable(NamedTuple):
    """What a formula gives for each positive number that a float of 16 bits can be, by its bits."""

    values: Array
    """(32768,) float64, the numbers."""
    effective_lr: Array
    """(32768,) float64."""
    is_dominated: Array
    """(32768,) bool, whether the root is below ε."""
    is_touched: Array
    """(32768,) bool, whether a gradient came if this number is under the root."""
    bins: BinsOfHalves
    """Of the numbers."""
    effective_lr_bins: BinsOfHalves


@dataclass(frozen=True)  # without slots: `halves` is kept
class Formula:
    """A rule with everything about one tensor's last update that doesn't differ by element."""

    rule: UpdateRule
    settings: Settings
    """With a learning rate of 1 if `is_relative`."""
    norms: Norms | None
    coefficients: Coefficients | None
    """None if E is not determined."""
    is_relative: bool
    """Whether α is not known, so that E and Δ are those of α = 1."""
    has_update: bool
    """Whether Δ is determined."""
    is_fast: bool = False
    """Whether the coefficients alone, in float32, give what the rule does, and the way of numpy can use them."""
    compiled: CompiledFormula | None = None
    """For the loops in C; None if they can't give what the rule does."""
    start: float = 0.0
    """What the second accumulator holds where no gradient ever came."""
    reason: str = ""
    """Why E is not determined; empty if it is."""
    noise_scale: float = math.nan
    """What m/√v is multiplied by to give (m/c1)/√(v/c2); NaN if that isn't determined, as are the next two."""
    moment_bound: float = math.nan
    """Largest |m|/√v that this many gradients can leave behind."""
    bias_correction: float = math.nan
    """√c2/c1 in the variable's dtype."""

    @classmethod
    def of(
        cls,
        rule: UpdateRule,
        settings: Settings,
        dtype: DType,
        held: frozenset[str] | None = None,
        norms: Norms | None = None,
    ) -> Formula:
        """Return the formula for slots of that dtype; `held` are the fields of `State` that are there (None: all),
        `norms` those of the whole tensor if the rule needs them."""
        is_relative = settings.learning_rate is None and not rule.needs_norms
        if is_relative:
            settings = replace(settings, learning_rate=1.0)
        names = [field.name for field in fields(State)] if held is None else held
        probe = State(**{name: np.array(_PROBES[name], dtype) for name in names})
        with np.errstate(all="ignore"):
            figures = _figures(rule, settings, dtype)
            start = rule.untouched_value(settings, dtype)
        try:
            with np.errstate(all="ignore"):
                rule.second_moment(probe)
                coefficients = rule.coefficients(settings, dtype, norms)
        except NotDetermined as undetermined:
            return cls(rule, settings, norms, None, is_relative, False, False, None, start, str(undetermined), *figures)
        # a decay times a learning rate that isn't known is no multiple of the rest
        has_update = settings.weight_decay is not None and not (is_relative and settings.weight_decay)
        # E of halves is the rule's own: see `halves`
        is_right = arithmetic.is_half(dtype) or _are_sane(coefficients)
        if has_update:
            try:
                with np.errstate(all="ignore"):
                    update = np.abs(rule.last_update(probe, settings, norms))
                    is_right = is_right and _gives(update, coefficients, probe, rule)
            except NotDetermined:
                has_update = False
        has_order = not arithmetic.is_half(dtype) or not has_update or coefficients.order is not None
        needed = coefficients if has_update or not arithmetic.is_half(dtype) else _without_step(coefficients)
        compiled = _compiled(rule, needed, dtype, probe, start) if is_right and has_order else None
        is_fast = is_right and coefficients.is_adaptive and start == 0 and dtype == np.float32
        # by numpy E is counted by its bits, of which -0 has one too many
        is_fast = is_fast and not _is_stored(coefficients) and not np.signbit(coefficients.numerator)
        return cls(rule, settings, norms, coefficients, is_relative, has_update, is_fast, compiled, start, "", *figures)

    @cached_property
    def halves(self) -> HalfTable:
        """Return E and whether ε dominates, by the rule itself, of every positive float of the 16 bits' kind."""
        assert self.compiled is not None
        every = np.arange(1 << 15, dtype=np.uint16).view(self.compiled.elements)
        state = State(second_moment=every, max_second_moment=every, mean_gradient=np.zeros_like(every))
        with np.errstate(all="ignore"):
            e = self.rule.effective_lr(state, self.settings, self.norms).astype(np.float64)
            is_dominated = self.rule.is_epsilon_dominated(state, self.settings)
            values = every.astype(np.float64)
            is_touched = are_touched(values) & (values != self.start)
            return HalfTable(values, e, is_dominated, is_touched, BinsOfHalves.of(values), BinsOfHalves.of(e))

    @property
    def has_root(self) -> bool:
        """Return whether E's denominator is a square root."""
        return self.coefficients is not None and self.coefficients.has_root

    def effective_lr(self, state: State) -> Array:
        """Return E of some elements in the state's dtype, as the rule computes it; only if there are `coefficients`."""
        under = self.rule.second_moment(state)
        if self.is_fast and self.coefficients is not None and under.dtype == np.float32:
            with np.errstate(all="ignore"):
                return effective_lr_of(self.coefficients, under)
        return self.rule.effective_lr(state, self.settings, self.norms)


def _figures(rule: UpdateRule, settings: Settings, dtype: DType) -> tuple[float, float, float]:
    """`noise_scale`, `moment_bound` and `bias_correction`."""
    one = np.ones(1, dtype)
    return (
        _tried(lambda: float(rule.signal_to_noise(State(one, one, one, one), settings)[0])),
        _tried(lambda: rule.moment_bound(settings)),
        _tried(lambda: _bias_correction(*rule.bias_corrections(settings, dtype))),
    )


def _tried(figure: Callable[[], float]) -> float:
    """The figure, NaN if it is not determined."""
    try:
        return figure()
    except NotDetermined:
        return math.nan


def _bias_correction(c1: Any, c2: Any) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(c2) / c1)


def is_half(dtype: int) -> bool:
    """Return whether that place in `extension.DTYPES` is that of a float of 16 bits."""
    return DTYPES[dtype] in ("float16", "bfloat16")


_PROBES = {
    "value": (0.5, 0.01),
    "first_moment": (1e-3, 2e-2),
    "second_moment": (1e-4, 3e-3),
    "max_second_moment": (2e-4, 4e-3),
    "mean_gradient": (1e-3, 1e-2),
}
"""A made-up state, to ask a rule what of it is determined."""


def _are_sane(c: Coefficients) -> bool:
    """Whether E is positive and falls as what it divides by grows: so that its extremes are those of that array."""
    with np.errstate(invalid="ignore"):
        return bool(0 <= c.numerator < np.inf and c.divisor > 0 and c.epsilon >= 0 and c.inner_epsilon >= 0)


def _without_step(c: Coefficients) -> Coefficients:
    """Return coefficients of a formula of which E and Δ are not asked."""
    return replace(c, is_adaptive=c.is_adaptive and not c.has_root, decay=0.0, order=None)


def _is_stored(c: Coefficients) -> bool:
    return c.order is not None and c.order.is_stored


def _gives(update: Array, c: Coefficients, state: State, rule: UpdateRule) -> bool:
    """Whether the coefficients give an update: |E·m/c1 + d·θ|/(1 - d), of halves in the order of its operations."""
    under = rule.second_moment(state)
    m = np.zeros_like(under) if state.first_moment is None else state.first_moment
    if arithmetic.is_half(under.dtype):
        if c.order is None:
            return False
        found = _ordered_update(c, c.order, under, m, state.value)
        return bool(((found == update) | (np.isnan(found) & np.isnan(update))).all())
    e = effective_lr_of(c, under) if c.is_adaptive else np.full_like(under, c.numerator)
    step = m if _is_stored(c) else e * m / c.first_correction
    decayed = c.decay * state.value if c.decay and state.value is not None else 0
    size = np.abs(step + decayed) / (1 - c.decay)
    return bool((np.abs(update - size) <= 1e-4 * update).all())


def _ordered_update(c: Coefficients, order: StepOrder, under: Array, m: Array, value: Array | None) -> Array:
    """Return |Δ| operation by operation, in the arrays' own type, as measure.c does of halves."""
    one = under.dtype.type(1)
    step = m
    if not order.is_stored:
        step = under.dtype.type(order.outer) * _direction(c, order, under, m)
    if c.decay and value is not None:
        step = step + c.decay * ((value + step) / (one - c.decay))
    return np.asarray(np.abs(step))


def _direction(c: Coefficients, order: StepOrder, under: Array, m: Array) -> Array:
    """Return the step before its outer factor."""
    step: Array = under.dtype.type(order.factor) * (m / under.dtype.type(order.divisor))
    if not c.is_adaptive:
        return step
    return np.asarray(step / (under.dtype.type(order.denominator_factor) * (root_of(c, under) + c.epsilon)))


def compiled_norms(rule: UpdateRule, settings: Settings, dtype: DType, held: frozenset[str]) -> CompiledFormula | None:
    """Return what the loops in C need for `norms_of`; None if they can't give it. `held` as in `Formula.of`."""
    probe = State(**{name: np.array(_PROBES[name], dtype) for name in held})
    try:
        with np.errstate(all="ignore"):
            c = rule.coefficients(settings, dtype, Norms(1.0, 1.0))
            expected = rule.norms_of(probe, settings)
            if c.order is None or probe.value is None or probe.first_moment is None:
                return None
            w, d = (
                a.astype(np.float64)
                for a in (probe.value, _direction(c, c.order, rule.second_moment(probe), probe.first_moment))
            )
            found = Norms(float((w * w).sum()), float((d * d).sum()), float((w * d).sum()))
    except NotDetermined:
        return None
    pairs = zip(astuple(found), astuple(expected), strict=True)
    is_right = all(
        math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other)) for one, other in pairs
    )
    return _compiled(rule, c, dtype, probe, 0.0) if is_right else None


def array_under_root(rule: UpdateRule, dtype: DType, held: frozenset[str]) -> str | None:
    """Return the field of `State` that is under a rule's root; None if none of them is. `held` as in `Formula.of`."""
    probe = State(**{name: np.array(_PROBES[name], dtype) for name in held})
    try:
        with np.errstate(all="ignore"):
            found = rule.second_moment(probe)
    except NotDetermined:
        return None
    return next((field.name for field in fields(State) if getattr(probe, field.name) is found), None)


def _compiled(rule: UpdateRule, c: Coefficients, dtype: DType, probe: State, start: float) -> CompiledFormula | None:
    """Return the formula for the loops in C; None for another type, or if something else is under the root."""
    if dtype.name not in DTYPES or not dtype.isnative or probe.second_moment is None:
        return None
    with np.errstate(all="ignore"):
        found = rule.second_moment(probe)
        if found is probe.second_moment:
            under = 0
        elif found is probe.max_second_moment:
            under = 1
        elif probe.mean_gradient is not None and (
            (found == probe.second_moment - np.square(probe.mean_gradient)).all()
        ):
            under = 2
        else:
            return None
    order = c.order or StepOrder()
    numbers = (
        c.numerator, c.divisor, c.inner_epsilon, c.epsilon, c.first_correction, c.decay, c.has_root, start,
        c.is_adaptive, order.is_stored, order.divisor, order.factor, order.denominator_factor, order.outer,
    )  # fmt: skip
    return CompiledFormula(
        DTYPES.index(dtype.name), under, tuple(float(number) + 0.0 for number in numbers), dtype
    )  # -0 is 0


def root_of(c: Coefficients, under: Array) -> Array:
    """Return the part of E's denominator to which epsilon is added."""
    corrected = under if c.divisor == 1 else under / c.divisor
    if c.inner_epsilon:
        corrected = corrected + c.inner_epsilon
    return np.asarray(np.sqrt(corrected) if c.has_root else corrected)


def effective_lr_of(c: Coefficients, under: Array) -> Array:
    """Return E by the coefficients; allocates no other array."""
    e = np.add(root_of(c, under), c.epsilon)
    return np.asarray(np.divide(c.numerator, e, out=e if isinstance(e, np.ndarray) else None))
