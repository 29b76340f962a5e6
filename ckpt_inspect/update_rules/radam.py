"""RAdam: Adam that waits until its second moment can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, UpdateRule
from ckpt_inspect.update_rules.rule import required_first_moment as first_moment


class RAdam(UpdateRule):
    """Rectified Adam.

        n∞ = 2/(1 - β2) - 1;  n = n∞ - 2·t·β2^t/(1 - β2^t)
        n ≥ threshold:  θ ← θ - α · r · (m/c1) / (√(v/c2) + ε),  r = √((n - 4)·(n - 2)·n∞ / ((n∞ - 4)·(n∞ - 2)·n))
        otherwise:      θ ← θ - α · m/c1
        with weight decay, wd·θ is added to what α multiplies

    so E = α·r/(√(v/c2) + ε), or α for every element during the first updates; m, v are `first_moment`, `second_moment`
    (where there is a `max_second_moment`, that). The threshold is `settings.extra["sma_threshold"]`, 5 by default. Liu
    et al., arXiv 1908.03265, Algorithm 2 (threshold 4, no ε).

    `extra["total_steps"]` > 0 with `warmup_proportion` and `min_lr` switches on the implementation's own warm-up and
    linear decay of α, which is applied here.
    Source: tensorflow_addons/optimizers/rectified_adam.py; n cancels badly in float32, so its order of operations is
    kept. Rows of an embedding that the batch did not touch decay but don't move.
    """

    name = "radam"
    title = "RAdam"

    def second_moment(self, state: State) -> Array:
        """v, or its maximum where one is kept."""
        return super().second_moment(state) if state.max_second_moment is None else state.max_second_moment

    def coefficients(self, settings: Settings, dtype: np.dtype[Any], norms: Norms | None = None) -> Coefficients:
        """See the class."""
        c1, c2 = self.bias_corrections(settings, dtype)
        rate = self._rate(settings, dtype)
        factor = self._rectifier(settings, dtype)
        decay = settings.weight_decay
        return Coefficients(
            numerator=rate if factor is None else rate * factor,
            divisor=c2,
            epsilon=arithmetic.epsilon(settings.epsilon, settings.family, dtype),
            first_correction=c1,
            decay=rate * arithmetic.weight_decay(decay, settings.family, dtype) if decay else dtype.type(0),
            is_adaptive=factor is not None,
        )

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """α·(r·m̂/(√v̂ + ε)), or α·m̂."""
        v = self.second_moment(state)
        rate, factor = self._rate(settings, v.dtype), self._rectifier(settings, v.dtype)
        corrected = first_moment(state) / c.first_correction
        if factor is not None:
            corrected = factor * corrected / (np.sqrt(v / c.divisor) + c.epsilon)
        return np.asarray(rate * corrected)

    def defaults(self, family: str) -> Mapping[str, float]:
        """beta_1 0.9, beta_2 0.999, epsilon 1e-7; no weight decay."""
        return {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}

    def _rectifier(self, settings: Settings, dtype: np.dtype[Any]) -> Scalar | None:
        """r, or None while n is below the threshold."""
        one, two, four = dtype.type(1), dtype.type(2), dtype.type(4)
        step = self.step(settings)
        beta_2 = arithmetic.beta(settings.beta_2, "beta_2", settings.family, dtype)
        limit = two / (one - beta_2) - one
        length = limit
        if step is not None:
            power = arithmetic.beta_power(settings.beta_2, "beta_2", step, settings.family, dtype)
            length = limit - two * dtype.type(step) * power / (one - power)
        if not length >= _extra(settings, "sma_threshold", 5.0, dtype):
            return None
        return np.sqrt((length - four) / (limit - four) * (length - two) / (limit - two) * limit / length)

    def _rate(self, settings: Settings, dtype: np.dtype[Any]) -> Scalar:
        """α after the implementation's own warm-up, where that is on."""
        rate = arithmetic.learning_rate(settings.learning_rate, settings.family, dtype)
        total = _extra(settings, "total_steps", 0.0, dtype)
        step = self.step(settings)
        if not total > 0 or step is None:
            return rate
        t = dtype.type(step)
        warm = total * _extra(settings, "warmup_proportion", 0.1, dtype)
        if t <= warm:
            return rate * (t / warm)
        span = max(total - warm, dtype.type(1))
        slope = (_extra(settings, "min_lr", 0.0, dtype) - rate) / span
        return rate + slope * min(t - warm, span)


def _extra(settings: Settings, name: str, default: float, dtype: np.dtype[Any]) -> Scalar:
    value = settings.extra.get(name)
    return dtype.type(value if isinstance(value, Real) else default)
