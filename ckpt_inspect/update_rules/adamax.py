"""Adamax: Adam with the infinity norm of the gradients in the place of their mean square."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.rule import (
    Coefficients,
    Norms,
    Settings,
    State,
    UpdateRule,
    decoupled_decay,
    geometric_sum,
)
from ckpt_inspect.update_rules.rule import required_first_moment as first_moment


class Adamax(UpdateRule):
    """Adamax.

        u ← max(β2·u, |g|);  θ ← θ - α/(1 - β1^t) · m / (u + ε)

    so E = α/(u + ε), Δ = -E·m/c1; m is `first_moment`, u the infinity norm, which stands as `second_moment` in `State`
    (OptimizerV2 names its slot `v`) but is a norm, not a square. It needs no bias correction. Kingma & Ba, arXiv
    1412.6980, Algorithm 2 (without ε).

    Sources: tensorflow/core/kernels/training_ops.cc `ApplyAdaMaxNonCuda` (OptimizerV2, contrib);
    keras/src/optimizers/adamax.py (2.11+ and 3); tensorflow/contrib/opt/python/training/adamax.py.
    Where implementations differ: the order of operations, hence the last bit. In OptimizerV2 and contrib the rows of an
    embedding that the batch did not touch neither decay nor move. optax puts ε inside the maximum.
    """

    name = "adamax"
    title = "Adamax"

    def coefficients(self, settings: Settings, dtype: np.dtype[Any], norms: Norms | None = None) -> Coefficients:
        """See the class."""
        c1, _ = self.bias_corrections(settings, dtype)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.family, dtype)
        return Coefficients(
            numerator=rate,
            divisor=dtype.type(1),
            epsilon=arithmetic.epsilon(settings.epsilon, settings.family, dtype),
            first_correction=c1,
            decay=decoupled_decay(settings, rate, dtype),
            has_root=False,
        )

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Keras 2.11+: (α·m)/(c1·(u + ε)); OptimizerV2's kernel: α/c1 · (m/(u + ε)); Keras before: (α/c1·m)/(u + ε)."""
        m, u = first_moment(state), self.second_moment(state)
        if settings.family in ("keras2", "keras3"):
            return np.asarray(c.numerator * m / (c.first_correction * (u + c.epsilon)))
        rate = c.numerator / c.first_correction
        if settings.family == "keras1":
            return np.asarray(rate * m / (u + c.epsilon))
        return np.asarray(rate * (m / (u + c.epsilon)))

    def defaults(self, family: str) -> Mapping[str, float]:
        """beta_1 0.9, beta_2 0.999; epsilon 1e-8 in contrib, 1e-7 in Keras."""
        return {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8 if family in ("tf1", "contrib") else 1e-7}

    def bias_corrections(self, settings: Settings, dtype: np.dtype[Any]) -> tuple[Scalar, Scalar]:
        """(1 - beta_1**t, 1): the norm has no correction, and beta_2 need not be known."""
        one, step = dtype.type(1), self.step(settings)
        if step is None:
            return one, one
        return one - arithmetic.beta_power(settings.beta_1, "beta_1", step, settings.family, dtype), one

    def signal_to_noise(self, state: State, settings: Settings) -> Array:
        """(m/c1)/u, elementwise, at least float32; nan where u = 0. Its scale differs from that of the rules with a
        mean square."""
        with np.errstate(all="ignore"):
            m, u = first_moment(state), self.second_moment(state)
            dtype = np.dtype(np.float32) if arithmetic.is_half(u.dtype) else u.dtype
            c1, _ = self.bias_corrections(settings, dtype)
            result = (m.astype(dtype, copy=False) / c1) / u.astype(dtype, copy=False)
            return np.asarray(np.where(np.isinf(result), dtype.type(np.nan), result))

    def moment_bound(self, settings: Settings) -> float:
        """Largest |m|/u: |m| ≤ (1-β1)·Σ_{j<t} (β1/β2)^j · u, since |g_{t-j}| ≤ u/β2^j."""
        b1, b2 = arithmetic.known(settings.beta_1, "beta_1"), arithmetic.known(settings.beta_2, "beta_2")
        if not (0 <= b1 < 1 and 0 < b2 < 1):
            return math.inf
        return (1 - b1) * geometric_sum(b1 / b2, self.step(settings))
