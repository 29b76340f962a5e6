"""A rule, ready for the elements of one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import Coefficients, Norms, Settings, State, UpdateRule


@dataclass(frozen=True, slots=True)
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
    """Whether the coefficients alone, in float32, give what the rule does."""
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
            return cls(rule, settings, norms, None, is_relative, False, False, start, str(undetermined), *figures)
        # a decay times a learning rate that isn't known is no multiple of the rest
        has_update = settings.weight_decay is not None and not (is_relative and settings.weight_decay)
        is_fast = coefficients.is_adaptive and start == 0 and dtype == np.float32 and _are_sane(coefficients)
        if has_update:
            try:
                with np.errstate(all="ignore"):
                    update = np.abs(rule.last_update(probe, settings, norms))
                    difference = np.abs(update - _update_size(coefficients, probe, rule))
                is_fast = is_fast and bool((difference <= 1e-4 * update).all())
            except NotDetermined:
                has_update = False
        return cls(rule, settings, norms, coefficients, is_relative, has_update, is_fast, start, "", *figures)

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
    return bool(0 <= c.numerator < np.inf and c.divisor > 0 and c.epsilon >= 0 and c.inner_epsilon >= 0)


def _update_size(c: Coefficients, state: State, rule: UpdateRule) -> Array:
    """|Δ| by the coefficients: |E·m/c1 + d·θ|/(1 - d)."""
    e = effective_lr_of(c, rule.second_moment(state))
    m = np.zeros_like(e) if state.first_moment is None else state.first_moment
    decayed = c.decay * state.value if c.decay and state.value is not None else 0
    size: Array = np.abs(e * m / c.first_correction + decayed) / (1 - c.decay)
    return size


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
