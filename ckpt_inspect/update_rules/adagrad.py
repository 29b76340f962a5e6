"""Adagrad, as far as its state determines it: the effective learning rate."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.hyperparameters import EPSILON, LEARNING_RATE, WEIGHT_DECAY, Hyperparameter
from ckpt_inspect.update_rules.implementations import KERAS, OPTAX, TF1
from ckpt_inspect.update_rules.rule import (
    Coefficients,
    Norms,
    Settings,
    State,
    UpdateRule,
    check_stepped,
    decoupled_decay,
)
from ckpt_inspect.update_rules.traces import Operation, OptaxState, Traces

_START = Hyperparameter(
    "initial_accumulator_value",
    "What the sum of squared gradients starts from.",
    "s_0",
    "E falls from α/√s_0; no factor of it, once updates have been made.",
    default=lambda implementation: implementation.adagrad_start,
    starts="accumulator",
)
_INPUTS = {"variable": 0, "accumulator": 1, "learning_rate": 2}
"""tensorflow/core/ops/training_ops.cc"""
_EPSILON = replace(EPSILON, default=lambda i: 0.0 if i.adagrad_epsilon == "none" else 1e-7)


class Adagrad(UpdateRule):
    """Adagrad: the gradient over the root of the sum of its squares.

        TF1:                                   θ ← θ - α · g / √s
        OptimizerV2, Keras before it:          θ ← θ - α · g / (√s + ε)
        Keras 2.11+ and 3, optax:              θ ← θ - α · g / √(s + ε)

    E, the factor on the gradient g itself, is what stands before and below g; s, the accumulator, is `second_moment`. Δ
    needs g, which no checkpoint holds. Duchi et al., JMLR 12 (2011), section 1.3. s starts at 0.1 by default
    (Keras before OptimizerV2: 0).

    Sources: tensorflow/core/kernels/training_ops.cc `ApplyAdagrad`, `ApplyAdagradV2`; keras/src/optimizers/adagrad.py.
    """

    name = "adagrad"
    title = "Adagrad"
    traces: ClassVar = Traces(
        class_names=("adagrad",),
        implementations=(TF1, *KERAS, OPTAX),
        slots=(frozenset({"accumulator"}),),
        operations=(Operation("ApplyAdagrad", _INPUTS), Operation("ApplyAdagradV2", {**_INPUTS, "epsilon": 3})),
        slots_in_tf1=("accumulator",),
        squares_in_tf1=(True,),
        optax_states=(OptaxState.of("sum_of_squares", sum_of_squares="accumulator"),),
        optax_arguments=frozenset({"learning_rate", "initial_accumulator_value", "eps"}),
        slots_in_lists=(("accumulator", ""),),
        squares_in_lists=frozenset({"accumulator"}),
    )
    hyperparameters: ClassVar = (LEARNING_RATE, _START, _EPSILON, WEIGHT_DECAY)
    slots: ClassVar = {"second_moment": ("accumulator",)}
    has_moment_pair: ClassVar = False
    has_average: ClassVar = False
    decays_by_beta_2: ClassVar = False
    decays_when_silent: ClassVar = False
    retained_by: ClassVar = ""

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class. TF1 needs no epsilon."""
        check_stepped(settings)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
        one, zero = dtype.type(1), dtype.type(0)
        place = settings.implementation.adagrad_epsilon
        eps = zero if place == "none" else arithmetic.epsilon(settings.epsilon, settings.implementation, dtype)
        is_inside = place == "inside"
        return Coefficients(
            numerator=rate,
            divisor=one,
            epsilon=zero if is_inside else eps,
            first_correction=one,
            decay=decoupled_decay(settings, rate, dtype),
            inner_epsilon=eps if is_inside else zero,
        )

    def untouched_value(self, settings: Settings, dtype: DType) -> float:
        """Return s_0: the sum stays there until a gradient comes."""
        start = settings.other(_START.name, _START.default_in(settings.implementation) or 0.0)
        return float(dtype.type(np.float32(start)))

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Raise NotDetermined."""
        raise NotDetermined("Adagrad's last update needs the last gradient, which no checkpoint holds")

    def bias_corrections(self, settings: Settings, dtype: DType) -> tuple[Scalar, Scalar]:
        """Return (1, 1): this rule has none."""
        check_stepped(settings)
        return dtype.type(1), dtype.type(1)

    def signal_to_noise(self, state: State, settings: Settings) -> Array:
        """Raise NotDetermined: there is no mean of the gradients."""
        raise NotDetermined("Adagrad keeps no first moment")

    def moment_bound(self, settings: Settings) -> float:
        """Raise NotDetermined: there is no mean of the gradients."""
        raise NotDetermined("Adagrad keeps no first moment")
