"""LAMB: Adam's direction, scaled for each tensor by the ratio of the weights' norm to its own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.hyperparameters import (
    BETA_1,
    BETA_2,
    EPSILON,
    EPSILON_ROOT,
    LEARNING_RATE,
    WEIGHT_DECAY,
)
from ckpt_inspect.update_rules.implementations import KERAS3, OPTAX, TFA
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, StepOrder, UpdateRule, decoupled_decay
from ckpt_inspect.update_rules.rule import required_first_moment as first_moment
from ckpt_inspect.update_rules.traces import OPTAX_ADAM, OPTAX_MOMENTS, Traces

_EPSILONS = {KERAS3: KERAS3.default_epsilon}
_STARTED_AT_ZERO = 1e-11  # relative to |θ|²; float32 rounding of θ leaves 1e-14


class Lamb(UpdateRule):
    """LAMB.

        d = (m/(1 - β1^t)) / (√(v/(1 - β2^t)) + ε)
        Keras 3:  θ ← θ - α · |θ|/|d| · d                          (after θ -= θ·wd·α, if there is weight decay)
        Addons, optax (√(v/(1 - β2^t) + ε_root) in d):  r = d + wd·θ;  θ ← θ - α · |θ|/|r| · r

    the trust ratio ρ being 1 if either norm is 0. E = α·ρ/(√(v/c2) + ε), Δ = -α·ρ·r. m, v are `first_moment` and
    `second_moment`. You et al., arXiv 1904.00962, Algorithm 2 (with φ the identity).

    ρ holds the norm of the weights *before* the update. Since θ_before = (θ + k·d)/(1 - k·wd) with k = α·ρ, and
    |r| = |d + wd·θ|/(1 - k·wd), it is the positive root of

        (|d + wd·θ|² - α²·|d|²)·ρ² - 2·α·(θ·d)·ρ - |θ|² = 0

    which needs three sums over the whole tensor (`Norms`). A tensor that was all zero before (a fresh bias) had ρ = 1
    and is recognised by θ = -α·d.

    Sources: keras/src/optimizers/lamb.py, tensorflow_addons/optimizers/lamb.py. Addons may exclude variables from decay
    and from adaptation (`others["is_adapted"]` 0: ρ = 1); only a configuration says which.
    """

    name = "lamb"
    title = "LAMB"
    traces: ClassVar = Traces(
        class_names=("lamb",),
        implementations=(TFA, KERAS3, OPTAX),
        optax_states=(OPTAX_MOMENTS,),
        optax_arguments=OPTAX_ADAM | {"weight_decay"},
        optax_links=3,
    )
    hyperparameters: ClassVar = (
        LEARNING_RATE,
        BETA_1,
        BETA_2,
        replace(EPSILON, default=lambda implementation: _EPSILONS.get(implementation, 1e-6)),
        replace(WEIGHT_DECAY, default=lambda i: None if i.hides_decay or i.is_chained else 0.0),
    )
    more_hyperparameters: ClassVar = (EPSILON_ROOT,)
    is_linear_in_rate: ClassVar = False
    has_own_weight_decay: ClassVar = True
    needs_norms: ClassVar = True

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class. `norms` must be those of the whole tensor."""
        if norms is None:
            raise NotDetermined("LAMB's trust ratio needs the norms of the whole tensor")
        c1, c2 = self.bias_corrections(settings, dtype)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
        inner = self._inner_decay(settings, dtype)
        is_adapted = settings.other("is_adapted", 1)
        numerator = dtype.type(trust_ratio(norms, float(rate), float(inner)) if is_adapted else 1) * rate
        return Coefficients(
            numerator=numerator,
            divisor=c2,
            epsilon=arithmetic.epsilon(settings.epsilon, settings.implementation, dtype),
            first_correction=c1,
            decay=numerator * inner if inner else decoupled_decay(settings, rate, dtype),
            inner_epsilon=dtype.type(settings.other(EPSILON_ROOT.name, 0.0)),
            order=StepOrder(divisor=c1, outer=numerator),
        )

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Return (ρ·α)·d."""
        return np.asarray(c.numerator * self._direction(state, settings))

    def norms_of(self, state: State, settings: Settings) -> Norms:
        """Return |θ|², |d|² and θ·d of this piece, summed in float64."""
        if state.value is None:
            raise NotDetermined("LAMB's trust ratio needs the weights, and none in the file are known to be this one's")
        with np.errstate(all="ignore"):
            theta = state.value.astype(np.float64).ravel()
            d = self._direction(state, settings).astype(np.float64).ravel()
            return Norms(value=float(theta @ theta), direction=float(d @ d), product=float(theta @ d))

    def _direction(self, state: State, settings: Settings) -> Array:
        v = self.second_moment(state)
        c1, c2 = self.bias_corrections(settings, v.dtype)
        eps = arithmetic.epsilon(settings.epsilon, settings.implementation, v.dtype)
        inner = v.dtype.type(settings.other(EPSILON_ROOT.name, 0.0))
        return np.asarray((first_moment(state) / c1) / (np.sqrt(v / c2 + inner) + eps))

    def _inner_decay(self, settings: Settings, dtype: DType) -> Scalar:
        """The weight decay inside r, which the trust ratio scales: Addons' and optax'."""
        if settings.implementation.takes_weight_decay or not settings.weight_decay:
            return dtype.type(0)
        return arithmetic.weight_decay(settings.weight_decay, settings.implementation, dtype)


def trust_ratio(norms: Norms, rate: float, inner_decay: float) -> float:
    """Return ρ = |θ_before|/|r|, from the sums over θ *after* the update; see `Lamb`.

    The sums are of a whole tensor, `rate` and `inner_decay` as the update saw them. NotDetermined if it has no root.
    """
    full = norms.direction + 2 * inner_decay * norms.product + inner_decay * inner_decay * norms.value
    start = norms.value + 2 * rate * norms.product + rate * rate * norms.direction
    if full == 0 or abs(start) <= _STARTED_AT_ZERO * norms.value:
        return 1.0
    if not all(map(math.isfinite, (full, start))):
        return math.nan
    leading = full - rate * rate * norms.direction
    half = rate * norms.product
    discriminant = half * half + leading * norms.value
    if leading <= 0 or discriminant < 0:
        raise NotDetermined("LAMB's trust ratio has no unique solution at this learning rate and these norms")
    return (half + math.sqrt(discriminant)) / leading
