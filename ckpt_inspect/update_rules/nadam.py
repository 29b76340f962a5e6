"""Nadam: Adam with Nesterov momentum."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.adam import ADAM_INPUTS
from ckpt_inspect.update_rules.hyperparameters import EPSILON_ROOT
from ckpt_inspect.update_rules.implementations import CONTRIB, KERAS, OPTAX
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, UpdateRule, decoupled_decay
from ckpt_inspect.update_rules.traces import OPTAX_ADAM, OPTAX_MOMENTS, Operation, Traces

_SCHEDULE_DECAY = 0.004
"""OptimizerV2's and Keras 1's default of `schedule_decay`."""
_LONGEST = 100_000
"""Updates after which μ no longer changes, and P is 0."""


class Nadam(UpdateRule):
    """Nadam, whose momentum looks one step ahead along its own schedule.

        Keras:    θ ← θ - α · m̄ / (√(v/(1 - β2^t)) + ε),  m̄ = μ_{t+1}·m/(1 - P·μ_{t+1}) + (1 - μ_t)·g/(1 - P)
        contrib:  θ ← θ - α·√c2/c1 · (β1·m + (1 - β1)·g) / (√v + ε)

    with μ_t = β1·(1 - 0.5·0.96^t), P the product of μ_1 .. μ_t; g is the last gradient, m and v are `first_moment` and
    `second_moment`. E is the factor on the corrected momentum: α/(√(v/c2) + ε), contrib α·√c2/(√v + ε). Δ needs g,
    which no checkpoint holds. Dozat, "Incorporating Nesterov Momentum into Adam" (2016), Algorithm 8.

    Sources: keras/optimizers/optimizer_v2/nadam.py, keras/src/optimizers/nadam.py,
    tensorflow/contrib/opt/python/training/nadam_optimizer.py (`ApplyAdam` with `use_nesterov`).
    Where implementations differ: OptimizerV2 and Keras before it raise 0.96 to t·0.004, 0.004 being `schedule_decay`,
    which OptimizerV2 serializes as `decay`; it is not a decay of the learning rate. Keras 2.11+ and 3 raise it to t.
    optax' μ is β1 throughout: m̄ = β1·m/(1 - β1^(t+1)) + (1 - β1)·g/(1 - β1^t), over √(v/(1 - β2^t) + ε_root) + ε.
    """

    name = "nadam"
    title = "Nadam"
    traces: ClassVar = Traces(
        class_names=("nadam",),
        implementations=(CONTRIB, *KERAS, OPTAX),
        scalars=("momentum_cache", "u_product"),
        operations=(Operation("ApplyAdam", ADAM_INPUTS, flag="use_nesterov"),),
        shares_slot_name="adam",
        optax_states=(OPTAX_MOMENTS,),
        optax_arguments=OPTAX_ADAM,
    )
    more_hyperparameters: ClassVar = (EPSILON_ROOT,)
    is_lazy: ClassVar = True
    has_own_decay: ClassVar = True

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class."""
        c1, c2 = self.bias_corrections(settings, dtype)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
        has_epsilon_hat = settings.implementation.has_epsilon_hat
        return Coefficients(
            numerator=rate * np.sqrt(c2) if has_epsilon_hat else rate,
            divisor=dtype.type(1) if has_epsilon_hat else c2,
            epsilon=arithmetic.epsilon(settings.epsilon, settings.implementation, dtype),
            first_correction=c1,
            decay=decoupled_decay(settings, rate, dtype),
            inner_epsilon=dtype.type(settings.other(EPSILON_ROOT.name, 0.0)),
        )

    def silent_factor(self, settings: Settings, c: Coefficients) -> float:
        """Return μ_{t+1}/(1 - P·μ_{t+1}), contrib β1/c1: m̄ without a gradient."""
        beta_1, step = arithmetic.known(settings.beta_1, "beta_1"), self.step(settings)
        if settings.implementation.has_epsilon_hat:
            return beta_1 / float(c.first_correction)
        if step is None:
            return beta_1
        power = 1.0 if settings.implementation.takes_weight_decay else _SCHEDULE_DECAY
        momenta = beta_1 * (1 - 0.5 * 0.96 ** (power * np.arange(1, min(step, _LONGEST) + 2, dtype=np.float64)))
        return float(momenta[-1] / (1 - np.prod(momenta)))

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Raise NotDetermined."""
        raise NotDetermined("Nadam's last update needs the last gradient, which no checkpoint holds")
