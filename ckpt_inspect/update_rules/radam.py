"""RAdam: Adam that waits until its second moment can be trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.hyperparameters import (
    BETA_1,
    BETA_2,
    EPSILON,
    EPSILON_ROOT,
    LEARNING_RATE,
    WEIGHT_DECAY,
    Hyperparameter,
)
from ckpt_inspect.update_rules.implementations import OPTAX, TFA
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, StepOrder, UpdateRule
from ckpt_inspect.update_rules.rule import required_first_moment as first_moment
from ckpt_inspect.update_rules.traces import OPTAX_ADAM, OPTAX_MOMENTS, Traces

RECTIFICATION = (
    Hyperparameter(
        "sma_threshold",
        "Length of the second moment's average from which on it is divided by.",
        "n ≥ threshold",
        "Below it every element's E is α.",
        default=5.0,
        spellings=("sma_threshold", "threshold"),
    ),
    Hyperparameter(
        "total_steps",
        "Updates over which the optimizer itself warms up and decays the learning rate.",
        "T; T·p updates of warm-up, then a line down to the lowest rate",
        "0: the learning rate is left as it is.",
        default=0.0,
        not_in=(OPTAX,),
    ),
    Hyperparameter(
        "warmup_proportion",
        "Share of these updates that are the warm-up.",
        "p",
        "Without effect if total_steps is 0.",
        default=0.1,
        not_in=(OPTAX,),
    ),
    Hyperparameter(
        "min_lr",
        "Learning rate that the optimizer's own decay ends at.",
        "α at update T",
        "Without effect if total_steps is 0.",
        default=0.0,
        not_in=(OPTAX,),
    ),
)
"""What Addons' rectified rules have beside Adam's hyperparameters."""


_EPSILONS = {OPTAX: OPTAX.default_epsilon}


class RAdam(UpdateRule):
    """Rectified Adam.

        n∞ = 2/(1 - β2) - 1;  n = n∞ - 2·t·β2^t/(1 - β2^t)
        n ≥ threshold:  θ ← θ - α · r · (m/c1) / (√(v/c2) + ε),  r = √((n - 4)·(n - 2)·n∞ / ((n∞ - 4)·(n∞ - 2)·n))
        otherwise:      θ ← θ - α · m/c1
        with weight decay, wd·θ is added to what α multiplies

    so E = α·r/(√(v/c2) + ε), or α for every element during the first updates; m, v are `first_moment`, `second_moment`
    (if there is a `max_second_moment`, that). The threshold is `settings.others["sma_threshold"]`, 5 by default. Liu
    et al., arXiv 1908.03265, Algorithm 2 (threshold 4, no ε).

    `others["total_steps"]` > 0 with `warmup_proportion` and `min_lr` switches on the implementation's own warm-up and
    linear decay of α, which is applied here.
    Sources: tensorflow_addons/optimizers/rectified_adam.py, optax/_src/transform.py `scale_by_radam` (no warm-up, no
    weight decay; ε_root beside v/c2); n cancels badly in float32, so its order of operations is
    kept. Rows of an embedding that the batch did not touch decay but don't move.
    """

    name = "radam"
    title = "RAdam"
    traces: ClassVar = Traces(
        class_names=("rectifiedadam",),
        implementations=(TFA, OPTAX),
        scalars=("sma_threshold",),
        optax_states=(OPTAX_MOMENTS,),
        optax_arguments=OPTAX_ADAM | {"threshold"},
    )
    hyperparameters: ClassVar[tuple[Hyperparameter, ...]] = (
        LEARNING_RATE,
        BETA_1,
        BETA_2,
        replace(EPSILON, default=lambda implementation: _EPSILONS.get(implementation, 1e-7)),
        replace(WEIGHT_DECAY, default=lambda implementation: None if implementation.hides_decay else 0.0),
        *RECTIFICATION,
    )
    more_hyperparameters: ClassVar[tuple[Hyperparameter, ...]] = (EPSILON_ROOT,)
    slots: ClassVar = {**UpdateRule.slots, "max_second_moment": ("max_second_moment",)}
    is_lazy: ClassVar = True
    has_own_weight_decay: ClassVar = True

    def second_moment(self, state: State) -> Array:
        """Return v, or its maximum if one is kept."""
        return super().second_moment(state) if state.max_second_moment is None else state.max_second_moment

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class."""
        c1, c2 = self.bias_corrections(settings, dtype)
        rate = self._rate(settings, dtype)
        factor = self._rectifier(settings, dtype)
        decay = settings.weight_decay
        return Coefficients(
            numerator=rate if factor is None else rate * factor,
            divisor=c2,
            epsilon=arithmetic.epsilon(settings.epsilon, settings.implementation, dtype),
            first_correction=c1,
            decay=rate * arithmetic.weight_decay(decay, settings.implementation, dtype) if decay else dtype.type(0),
            inner_epsilon=dtype.type(settings.other(EPSILON_ROOT.name, 0.0)) if factor is not None else dtype.type(0),
            is_adaptive=factor is not None,
            order=StepOrder(divisor=c1, factor=dtype.type(1) if factor is None else factor, outer=rate),
        )

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Return α·(r·m̂/(√v̂ + ε)), or α·m̂."""
        v = self.second_moment(state)
        rate, factor = self._rate(settings, v.dtype), self._rectifier(settings, v.dtype)
        corrected = first_moment(state) / c.first_correction
        if factor is not None:
            corrected = factor * corrected / (np.sqrt(v / c.divisor + c.inner_epsilon) + c.epsilon)
        return np.asarray(rate * corrected)

    def _rectifier(self, settings: Settings, dtype: DType) -> Scalar | None:
        """r, or None while n is below the threshold."""
        two, four = dtype.type(2), dtype.type(4)
        length, limit = average_length(settings, dtype, self.step(settings))
        if not length >= dtype.type(settings.other("sma_threshold", 5.0)):
            return None
        return np.sqrt((length - four) / (limit - four) * (length - two) / (limit - two) * limit / length)

    def _rate(self, settings: Settings, dtype: DType) -> Scalar:
        return warmed_rate(settings, dtype, self.step(settings))


def average_length(settings: Settings, dtype: DType, step: int | None) -> tuple[Scalar, Scalar]:
    """Return (n, n∞): how many gradients the second moment averages after that many updates (None: n∞), and in the
    end."""
    one, two = dtype.type(1), dtype.type(2)
    if settings.implementation.has_float32_betas:
        limit = two / (one - arithmetic.beta(settings.beta_2, "beta_2", settings.implementation, dtype)) - one
    else:  # a number of Python's until it meets n
        limit = dtype.type(2 / (1 - arithmetic.known(settings.beta_2, "beta_2")) - 1)
    if step is None:
        return limit, limit
    power = arithmetic.beta_power(settings.beta_2, "beta_2", step, settings.implementation, dtype)
    return limit - two * dtype.type(step) * power / (one - power), limit


def warmed_rate(settings: Settings, dtype: DType, step: int | None) -> Scalar:
    """Return α after the implementation's own warm-up and linear decay, if `total_steps` switches them on."""
    rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
    total = dtype.type(settings.other("total_steps", 0.0))
    if not total > 0 or step is None:
        return rate
    t = dtype.type(step)
    warm = total * dtype.type(settings.other("warmup_proportion", 0.1))
    if t <= warm:
        return rate * (t / warm)
    span = max(total - warm, dtype.type(1))
    slope = (dtype.type(settings.other("min_lr", 0.0)) - rate) / span
    return rate + slope * min(t - warm, span)
