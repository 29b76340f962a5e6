"""Nadam: Adam with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, UpdateRule, decoupled_decay


class Nadam(UpdateRule):
    """Nadam, whose momentum looks one step ahead along a schedule of its own.

        Keras:    θ ← θ - α · m̄ / (√(v/(1 - β2^t)) + ε),  m̄ = μ_{t+1}·m/(1 - P·μ_{t+1}) + (1 - μ_t)·g/(1 - P)
        contrib:  θ ← θ - α·√c2/c1 · (β1·m + (1 - β1)·g) / (√v + ε)

    with μ_t = β1·(1 - 0.5·0.96^t), P the product of μ_1 .. μ_t; g is the last gradient, m and v are `first_moment` and
    `second_moment`. E is the factor on the corrected momentum: α/(√(v/c2) + ε), contrib α·√c2/(√v + ε). Δ needs g,
    which no checkpoint holds. Dozat, "Incorporating Nesterov Momentum into Adam" (2016), Algorithm 8.

    Sources: keras/optimizers/optimizer_v2/nadam.py, keras/src/optimizers/nadam.py,
    tensorflow/contrib/opt/python/training/nadam_optimizer.py (`ApplyAdam` with `use_nesterov`).
    Where implementations differ: OptimizerV2 and Keras before it raise 0.96 to t·0.004, 0.004 being `schedule_decay`,
    which OptimizerV2 serializes as `decay`; it is no decay of the learning rate. Keras 2.11+ and 3 raise it to t.
    """

    name = "nadam"
    title = "Nadam"

    def coefficients(self, settings: Settings, dtype: np.dtype[Any], norms: Norms | None = None) -> Coefficients:
        """See the class."""
        c1, c2 = self.bias_corrections(settings, dtype)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.family, dtype)
        has_epsilon_hat = settings.family in ("tf1", "contrib")
        return Coefficients(
            numerator=rate * np.sqrt(c2) if has_epsilon_hat else rate,
            divisor=dtype.type(1) if has_epsilon_hat else c2,
            epsilon=arithmetic.epsilon(settings.epsilon, settings.family, dtype),
            first_correction=c1,
            decay=decoupled_decay(settings, rate, dtype),
        )

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Raises NotDetermined."""
        raise NotDetermined("Nadam's last update needs the last gradient, which no checkpoint holds")

    def defaults(self, family: str) -> Mapping[str, float]:
        """beta_1 0.9, beta_2 0.999; epsilon 1e-8 in contrib, 1e-7 in Keras."""
        return {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8 if family in ("tf1", "contrib") else 1e-7}
