"""RMSprop, as far as its state determines it: the effective learning rate, and the last update with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.rule import (
    Coefficients,
    Norms,
    Settings,
    State,
    UpdateRule,
    check_stepped,
    decoupled_decay,
)


class RMSprop(UpdateRule):
    """RMSprop: the gradient over the root of its mean square.

        OptimizerV2 without momentum, Keras before it:  θ ← θ - α · g / (√s + ε)
        OptimizerV2 with momentum, TF1:                 b ← μ·b + α · g / √(s + ε);  θ ← θ - b
        Keras 2.11+ and 3:                              b ← μ·b + α · g / √(s + ε);  θ ← θ - b    (without momentum b is
        the new term)

    E = α/(√s + ε), or α/√(s + ε), is the factor on the gradient g itself; s is `second_moment`, and the momentum
    accumulator b, where there is one, stands as `first_moment`. Then Δ = -b; without it Δ needs g, which no checkpoint
    holds. Tieleman & Hinton, Coursera "Neural Networks for Machine Learning", lecture 6.5 (2012).

    Sources: keras/optimizers/optimizer_v2/rmsprop.py, keras/src/optimizers/rmsprop.py,
    tensorflow/python/training/rmsprop.py with `ApplyRMSProp` in training_ops.cc. TF1 starts s at 1, Keras at 0.
    Centered RMSprop (`extra["centered"]`) takes s - a² for s, a being `mean_gradient`.
    """

    name = "rmsprop"
    title = "RMSprop"

    def coefficients(self, settings: Settings, dtype: np.dtype[Any], norms: Norms | None = None) -> Coefficients:
        """See the class; `extra["momentum"]` tells OptimizerV2's two forms apart."""
        check_stepped(settings)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.family, dtype)
        eps = arithmetic.epsilon(settings.epsilon, settings.family, dtype)
        is_inside = settings.family in ("keras2", "keras3", "tf1", "contrib") or (
            settings.family == "optimizer-v2" and bool(settings.extra.get("momentum"))
        )
        one, zero = dtype.type(1), dtype.type(0)
        return Coefficients(
            numerator=rate,
            divisor=one,
            epsilon=zero if is_inside else eps,
            first_correction=one,
            decay=decoupled_decay(settings, rate, dtype),
            inner_epsilon=eps if is_inside else zero,
        )

    def second_moment(self, state: State) -> Array:
        """s, or s - a² where there is a mean gradient a."""
        second = super().second_moment(state)
        return second if state.mean_gradient is None else second - np.square(state.mean_gradient)

    def effective_lr(self, state: State, settings: Settings, norms: Norms | None = None) -> Array:
        """E, the factor on the gradient."""
        _check_centered(state, settings)
        return super().effective_lr(state, settings, norms)

    def relative_effective_lr(self, state: State, settings: Settings, norms: Norms | None = None) -> Array:
        """E/α."""
        _check_centered(state, settings)
        return super().relative_effective_lr(state, settings, norms)

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """The momentum accumulator."""
        if state.first_moment is None:
            raise NotDetermined("RMSprop's last update needs the last gradient, which no checkpoint holds")
        return state.first_moment

    def bias_corrections(self, settings: Settings, dtype: np.dtype[Any]) -> tuple[Scalar, Scalar]:
        """(1, 1): this rule has none."""
        check_stepped(settings)
        return dtype.type(1), dtype.type(1)

    def signal_to_noise(self, state: State, settings: Settings) -> Array:
        """Raises NotDetermined: there is no mean of the gradients."""
        raise NotDetermined("RMSprop keeps no first moment")

    def moment_bound(self, settings: Settings) -> float:
        """Raises NotDetermined: there is no mean of the gradients."""
        raise NotDetermined("RMSprop keeps no first moment")

    def defaults(self, family: str) -> Mapping[str, float]:
        """epsilon 1e-10 in TF1, 1e-7 in Keras."""
        return {"epsilon": 1e-10 if family in ("tf1", "contrib") else 1e-7}


def _check_centered(state: State, settings: Settings) -> None:
    if settings.extra.get("centered") and state.mean_gradient is None:
        raise NotDetermined("centered RMSprop's effective learning rate needs the mean gradient; the file has none")
