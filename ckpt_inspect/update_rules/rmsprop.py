"""RMSprop, as far as its state determines it: the effective learning rate, and the last update with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.hyperparameters import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Hyperparameter,
)
from ckpt_inspect.update_rules.implementations import CONTRIB, KERAS, OPTAX, TF1, Implementation
from ckpt_inspect.update_rules.rule import (
    Coefficients,
    Norms,
    Settings,
    State,
    StepOrder,
    UpdateRule,
    check_stepped,
    decoupled_decay,
)
from ckpt_inspect.update_rules.traces import Operation, OptaxState, Traces

_RHO = Hyperparameter(
    "rho",
    "Decay rate of the mean square, `decay` in TF1 and optax.",
    "s ← ρ·s + (1-ρ)·g²",
    "s averages about the last 1/(1-ρ) squared gradients.",
    default=0.9,
    is_below_one=True,
)
_CENTERED = Hyperparameter(
    "centered",
    "Whether the gradients' mean is subtracted: divided by an estimate of their variance.",
    "s - a² in the place of s, a ← ρ·a + (1-ρ)·g",
    "On, E is larger where gradients agree.",
    default=0.0,
    is_flag=True,
    array="mean_gradient",
)
_INPUTS = {
    "variable": 0, "mean_square": 1, "first_moment": 2,
    "learning_rate": 3, "rho": 4, "momentum": 5, "epsilon": 6,
}  # fmt: skip
_CENTERED_INPUTS = {
    "variable": 0, "mean_gradient": 1, "mean_square": 2, "first_moment": 3,
    "learning_rate": 4, "rho": 5, "momentum": 6, "epsilon": 7,
}  # fmt: skip
"""tensorflow/core/ops/training_ops.cc"""
_EPSILONS = {TF1: 1e-10, CONTRIB: 1e-10, OPTAX: OPTAX.default_epsilon}
_EPSILON = replace(EPSILON, default=lambda implementation: _EPSILONS.get(implementation, 1e-7))


class RMSprop(UpdateRule):
    """RMSprop: the gradient over the root of its mean square.

        OptimizerV2 without momentum, Keras before it:  θ ← θ - α · g / (√s + ε)
        OptimizerV2 with momentum, TF1:                 b ← μ·b + α · g / √(s + ε);  θ ← θ - b
        Keras 2.11+ and 3, optax:                       b ← μ·b + α · g / √(s + ε);  θ ← θ - b    (without momentum b is
        the new term)
        Keras 2.9 and 2.10, experimental:               b ← μ·b + g / (√s + ε);  θ ← θ - α·b

    E = α/(√s + ε), or α/√(s + ε), is the factor on the gradient g itself; s is `second_moment`, and the momentum
    accumulator b, if there is one, stands as `first_moment`. Then Δ = -b, but for rows that the last gradient left
    alone (TF1, OptimizerV2); without it Δ needs g, which no checkpoint holds. Tieleman & Hinton, Coursera "Neural
    Networks for Machine Learning", lecture 6.5 (2012).

    Sources: keras/optimizers/optimizer_v2/rmsprop.py, keras/src/optimizers/rmsprop.py,
    tensorflow/python/training/rmsprop.py with `ApplyRMSProp` in training_ops.cc. TF1 starts s at 1, Keras at 0.
    Centered RMSprop (`others["centered"]`) takes s - a² for s, a being `mean_gradient`.
    """

    name = "rmsprop"
    title = "RMSprop"
    traces: ClassVar = Traces(
        class_names=("rmsprop",),
        implementations=(TF1, *KERAS, OPTAX),
        slots=tuple(frozenset({slot}) for slot in ("rms", "velocity", "average_gradient")),
        usual_slots=(frozenset({"second_moment"}),),
        operations=(Operation("ApplyRMSProp", _INPUTS), Operation("ApplyCenteredRMSProp", _CENTERED_INPUTS)),
        slots_in_tf1=("mean_square", "momentum"),
        more_slots_in_tf1=("mean_square", "mean_gradient", "momentum"),
        squares_in_tf1=(True, False),
        optax_states=(
            OptaxState.of("nu", nu="mean_square"),
            OptaxState.of("mu nu", mu="mean_gradient", nu="mean_square"),
        ),
        optax_arguments=frozenset({"learning_rate", "decay", "eps", "initial_scale", "momentum"}),
        optax_links=2,
        slots_in_lists=(("velocity", ""), ("momentum", "momentum"), ("average_gradient", "centered")),
        squares_in_lists=frozenset({"velocity"}),
    )
    hyperparameters: ClassVar = (LEARNING_RATE, _RHO, MOMENTUM, _CENTERED, _EPSILON, WEIGHT_DECAY)
    slots: ClassVar = {
        "second_moment": ("mean_square", "rms", "velocity"),
        "mean_gradient": ("mean_gradient", "mg", "average_gradient"),
    }
    slots_by_rule: ClassVar = {"first_moment": ("momentum",)}
    has_moment_pair: ClassVar = False
    decays_by_beta_2: ClassVar = False
    decays_when_silent: ClassVar = False
    retained_by: ClassVar = "rho"
    least_retained: ClassVar = 0.5

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class. `others["momentum"]` selects one of OptimizerV2's two forms."""
        check_stepped(settings)
        if settings.implementation.rates_momentum and settings.other("centered", 0):
            who = settings.implementation.title
            raise NotDetermined(f"{who} centers in a way of its own, which is not followed here")
        rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
        eps = arithmetic.epsilon(settings.epsilon, settings.implementation, dtype)
        place = settings.implementation.rmsprop_epsilon
        is_inside = place == "inside" or (place == "inside-with-momentum" and bool(settings.other("momentum", 0)))
        one, zero = dtype.type(1), dtype.type(0)
        return Coefficients(
            numerator=rate,
            divisor=one,
            epsilon=zero if is_inside else eps,
            first_correction=one,
            decay=decoupled_decay(settings, rate, dtype),
            inner_epsilon=eps if is_inside else zero,
            order=StepOrder(is_stored=True),
        )

    def slots_in(self, implementation: Implementation) -> Mapping[str, tuple[str, ...]]:
        """Return momentum for the last update, unless it stays while its row doesn't move, or isn't that update."""
        return {} if implementation.moves_rows_alone or implementation.rates_momentum else self.slots_by_rule

    def second_moment(self, state: State) -> Array:
        """Return s, or s - a² if there is a mean gradient a."""
        second = super().second_moment(state)
        with np.errstate(all="ignore"):
            return second if state.mean_gradient is None else second - np.square(state.mean_gradient)

    def effective_lr(self, state: State, settings: Settings, norms: Norms | None = None) -> Array:
        """Return E, the factor on the gradient."""
        _check_centered(state, settings)
        return super().effective_lr(state, settings, norms)

    def relative_effective_lr(self, state: State, settings: Settings, norms: Norms | None = None) -> Array:
        """Return E/α."""
        _check_centered(state, settings)
        return super().relative_effective_lr(state, settings, norms)

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Return the momentum accumulator."""
        implementation = settings.implementation
        has_momentum = implementation.always_keeps_momentum or bool(settings.other("momentum", 0))
        if state.first_moment is None and has_momentum and implementation.moves_rows_alone:
            raise NotDetermined(
                "momentum is the last step of each element, whenever that was: a sparse gradient (an embedding's) "
                "moves only the rows that it touches, and nothing in the file says whether the last one was sparse"
            )
        if implementation.rates_momentum:
            raise NotDetermined(
                f"{implementation.title} moves by α times its momentum, if it has one, which is not followed here"
            )
        if state.first_moment is None:
            raise NotDetermined("RMSprop's last update needs the last gradient, which no checkpoint holds")
        return state.first_moment

    def bias_corrections(self, settings: Settings, dtype: DType) -> tuple[Scalar, Scalar]:
        """Return (1, 1): this rule has none."""
        check_stepped(settings)
        return dtype.type(1), dtype.type(1)

    def signal_to_noise(self, state: State, settings: Settings) -> Array:
        """Raise NotDetermined: there is no mean of the gradients."""
        raise NotDetermined("RMSprop keeps no first moment")

    def moment_bound(self, settings: Settings) -> float:
        """Raise NotDetermined: there is no mean of the gradients."""
        raise NotDetermined("RMSprop keeps no first moment")


def _check_centered(state: State, settings: Settings) -> None:
    if settings.other("centered", 0) and state.mean_gradient is None:
        raise NotDetermined("centered RMSprop's effective learning rate needs the mean gradient; the file has none")
