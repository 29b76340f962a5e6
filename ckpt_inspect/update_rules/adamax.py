"""Adamax: Adam with the infinity norm of the gradients in the place of their mean square."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.implementations import CONTRIB, KERAS, OPTAX
from ckpt_inspect.update_rules.rule import (
    Coefficients,
    Norms,
    Settings,
    State,
    StepOrder,
    UpdateRule,
    decoupled_decay,
    geometric_sum,
)
from ckpt_inspect.update_rules.rule import required_first_moment as first_moment
from ckpt_inspect.update_rules.traces import OPTAX_ADAM, Operation, OptaxState, Traces

_INPUTS = {
    "variable": 0, "first_moment": 1, "infinity_norm": 2, "beta1_power": 3,
    "learning_rate": 4, "beta_1": 5, "beta_2": 6, "epsilon": 7,
}  # fmt: skip
"""tensorflow/core/ops/training_ops.cc"""


class Adamax(UpdateRule):
    """Adamax.

        u ← max(β2·u, |g|);  θ ← θ - α/(1 - β1^t) · m / (u + ε)

    so E = α/(u + ε), Δ = -E·m/c1; m is `first_moment`, u the infinity norm, which stands as `second_moment` in `State`
    (OptimizerV2 names its slot `v`) but is a norm, not a square. It needs no bias correction. Kingma & Ba, arXiv
    1412.6980, Algorithm 2 (without ε).

    Sources: tensorflow/core/kernels/training_ops.cc `ApplyAdaMaxNonCuda` (OptimizerV2, contrib);
    keras/src/optimizers/adamax.py (2.11+ and 3); tensorflow/contrib/opt/python/training/adamax.py.
    Where implementations differ: the order of operations, hence the last bit. In OptimizerV2 and contrib the rows of an
    embedding that the batch did not touch neither decay nor move. In
    optax (`scale_by_adamax`) ε stands inside the maximum: u ← max(β2·u, |g| + ε), and E = α/u.
    """

    name = "adamax"
    title = "Adamax"
    traces: ClassVar = Traces(
        class_names=("adamax",),
        implementations=(CONTRIB, *KERAS, OPTAX),
        operations=(Operation("ApplyAdaMax", _INPUTS),),
        optax_states=(OptaxState.of("count mu nu", mu="first_moment", nu="infinity_norm"),),
        optax_arguments=OPTAX_ADAM - {"eps_root"},
    )
    slots: ClassVar = {"first_moment": ("first_moment",), "second_moment": ("infinity_norm",)}
    has_root: ClassVar = False
    has_average: ClassVar = False
    has_squared_gradients: ClassVar = False
    is_lazy: ClassVar = True
    leaves_moments: ClassVar = True

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class."""
        c1, _ = self.bias_corrections(settings, dtype)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
        is_inside = settings.implementation.has_epsilon_in_norm
        with np.errstate(all="ignore"):
            order = {
                "joined": StepOrder(factor=rate, denominator_factor=c1),
                "factor-first": StepOrder(factor=rate / c1),
            }.get(settings.implementation.applies_adamax, StepOrder(outer=rate / c1))
        return Coefficients(
            numerator=rate,
            divisor=dtype.type(1),
            epsilon=dtype.type(0)
            if is_inside
            else arithmetic.epsilon(settings.epsilon, settings.implementation, dtype),
            first_correction=c1,
            decay=decoupled_decay(settings, rate, dtype),
            has_root=self.has_root,
            order=order,
        )

    def untouched_value(self, settings: Settings, dtype: DType) -> float:
        """Return 0; optax: ε, which stands inside the maximum."""
        return float(dtype.type(settings.epsilon or 0.0)) if settings.implementation.has_epsilon_in_norm else 0.0

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Return (α·m)/(c1·(u + ε)) (Keras 2.11+), α/c1 · (m/(u + ε)) (OptimizerV2's kernel) or (α/c1·m)/(u + ε) (Keras
        before)."""
        m, u = first_moment(state), self.second_moment(state)
        order = settings.implementation.applies_adamax
        if order == "joined":
            return np.asarray(c.numerator * m / (c.first_correction * (u + c.epsilon)))
        rate = c.numerator / c.first_correction
        if order == "factor-first":
            return np.asarray(rate * m / (u + c.epsilon))
        return np.asarray(rate * (m / (u + c.epsilon)))

    def bias_corrections(self, settings: Settings, dtype: DType) -> tuple[Scalar, Scalar]:
        """Return (1 - beta_1**t, 1): the norm has no correction, and beta_2 need not be known."""
        one, step = dtype.type(1), self.step(settings)
        if step is None:
            return one, one
        return arithmetic.beta_correction(settings.beta_1, "beta_1", step, settings.implementation, dtype), one

    def signal_to_noise(self, state: State, settings: Settings) -> Array:
        """Return (m/c1)/u, elementwise, at least float32; nan if u = 0. Its scale differs from that of the rules with a
        mean square."""
        with np.errstate(all="ignore"):
            m, u = first_moment(state), self.second_moment(state)
            dtype = np.dtype(np.float32) if arithmetic.is_half(u.dtype) else u.dtype
            c1, _ = self.bias_corrections(settings, dtype)
            result = (m.astype(dtype, copy=False) / c1) / u.astype(dtype, copy=False)
            return np.asarray(np.where(np.isinf(result), dtype.type(np.nan), result))

    def moment_bound(self, settings: Settings) -> float:
        """Return the largest |m|/u: |m| ≤ (1-β1)·Σ_{j<t} (β1/β2)^j · u, since |g_{t-j}| ≤ u/β2^j."""
        b1, b2 = arithmetic.known(settings.beta_1, "beta_1"), arithmetic.known(settings.beta_2, "beta_2")
        if not (0 <= b1 < 1 and 0 < b2 < 1):
            return math.inf
        return (1 - b1) * geometric_sum(b1 / b2, self.step(settings))
