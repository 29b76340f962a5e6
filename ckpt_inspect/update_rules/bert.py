"""BERT's AdamWeightDecayOptimizer: Adam without bias correction, with weight decay in the update."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.hyperparameters import BETA_1, BETA_2, EPSILON, LEARNING_RATE, WEIGHT_DECAY
from ckpt_inspect.update_rules.implementations import BERT, Implementation
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, StepOrder, UpdateRule, check_stepped
from ckpt_inspect.update_rules.rule import required_first_moment as first_moment
from ckpt_inspect.update_rules.traces import Traces

_UNDECAYED = re.compile("LayerNorm|layer_norm|bias")


class BertAdamW(UpdateRule):
    """google-research/bert's AdamWeightDecayOptimizer.

        θ ← θ - α · (m/(√v + ε) + wd·θ)

    so E = α/(√v + ε) is the factor on m itself: there is no bias correction, and t is not needed. m, v are
    `first_moment`, `second_moment`; Δ = -α·(m/(√v + ε) + wd·θ_before), θ_before = (θ + u)/(1 - α·wd). A `weight_decay`
    of None or 0 is none; `is_decayed` says which variables `create_optimizer` excludes.

    Source: google-research/bert optimization.py. α is `polynomial_decay` of the global step before its increment, and
    global_step/warm-up·α during the warm-up: 0 for the very first update, which changes nothing.
    """

    name = "bert-adamw"
    title = "BERT's AdamW"
    traces: ClassVar = Traces(class_names=(), implementations=(BERT,))
    hyperparameters: ClassVar = (
        LEARNING_RATE,
        BETA_1,
        BETA_2,
        replace(EPSILON, default=1e-6),
        replace(WEIGHT_DECAY, default=0.01),  # what `create_optimizer` fixes; the class itself: 0
    )

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class."""
        check_stepped(settings)
        one = dtype.type(1)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
        decay = settings.weight_decay
        return Coefficients(
            numerator=rate,
            divisor=one,
            epsilon=arithmetic.epsilon(settings.epsilon, settings.implementation, dtype),
            first_correction=one,
            decay=rate * arithmetic.weight_decay(decay, settings.implementation, dtype) if decay else dtype.type(0),
            order=StepOrder(outer=rate),
        )

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Return α·(m/(√v + ε))."""
        return np.asarray(c.numerator * (first_moment(state) / (np.sqrt(self.second_moment(state)) + c.epsilon)))

    def bias_corrections(self, settings: Settings, dtype: DType) -> tuple[Scalar, Scalar]:
        """Return (1, 1): this rule has none."""
        check_stepped(settings)
        return dtype.type(1), dtype.type(1)

    def statistical_corrections(self, settings: Settings, dtype: DType) -> tuple[Scalar, Scalar]:
        """Return 1 - beta**t if t is known, else 1: the moments are biased all the same."""
        if settings.step is None:
            return dtype.type(1), dtype.type(1)
        return super().bias_corrections(settings, dtype)

    def is_decayed(self, parameter: str, implementation: Implementation) -> bool:
        """Return False for LayerNorm and bias variables, which `create_optimizer` excludes by these patterns."""
        return _UNDECAYED.search(parameter) is None
