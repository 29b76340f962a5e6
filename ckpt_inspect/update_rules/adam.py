"""Adam, and what differs from it by a word: AMSGrad, AdamW, LazyAdam."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.hyperparameters import (
    BETA_1,
    BETA_2,
    EPSILON,
    EPSILON_ROOT,
    LEARNING_RATE,
    WEIGHT_DECAY,
)
from ckpt_inspect.update_rules.implementations import (
    CONTRIB,
    KERAS,
    KERAS2,
    KERAS2_EXPERIMENTAL,
    KERAS3,
    OPTAX,
    TF1,
    TFA,
)
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, StepOrder, UpdateRule, decoupled_decay
from ckpt_inspect.update_rules.rule import required_first_moment as first_moment
from ckpt_inspect.update_rules.traces import OPTAX_ADAM, OPTAX_MOMENTS, Operation, OptaxState, Traces

ADAM_INPUTS = {
    "variable": 0, "first_moment": 1, "second_moment": 2, "beta1_power": 3, "beta2_power": 4,
    "learning_rate": 5, "beta_1": 6, "beta_2": 7, "epsilon": 8,
}  # fmt: skip
_AMSGRAD_INPUTS = {
    "variable": 0, "first_moment": 1, "second_moment": 2, "max_second_moment": 3, "beta1_power": 4, "beta2_power": 5,
    "learning_rate": 6, "beta_1": 7, "beta_2": 8, "epsilon": 9,
}  # fmt: skip
"""tensorflow/core/ops/training_ops.cc"""


class Adam(UpdateRule):
    """Adam, in the form that TensorFlow and Keras apply ("epsilon hat").

        alpha = α · √(1 - β2^t) / (1 - β1^t)
        θ ← θ - alpha · m / (√v + ε)

    so E = α·√c2/(√v + ε), Δ = -alpha·m/(√v + ε); m, v are `first_moment`, `second_moment` after the update, t is
    `settings.step`. Kingma & Ba, arXiv 1412.6980, the remark after Algorithm 1; Algorithm 1 itself, which divides by
    √(v/c2) + ε, is implemented by none of them. Sonnet and optax implement it:

        θ ← θ - α · (m/c1) / (√(v/c2 + ε_root) + ε)        (Sonnet without ε_root)

    Sources: tensorflow/core/kernels/training_ops.cc `ApplyAdamNonCuda` (TF1 and OptimizerV2, dense);
    tensorflow/python/training/adam.py; keras/optimizers/optimizer_v2/adam.py; keras/src/optimizers/adam.py (2.11+, 3).

    Where implementations differ: TF1's powers are float32 running products, the others raise float32(β) to t in the
    variable's dtype; OptimizerV2 rounds the learning rate to float32, Keras 2.11+ does not; Keras before OptimizerV2
    computes α·(√c2/c1). Keras 2.11+ and 3 take a `weight_decay` on every optimizer (θ -= θ·wd·α, before the update).
    bfloat16(0.999) is 1: c2 and with it alpha is 0 and the variable never moves. Rows of an embedding that the batch
    did not touch move all the same.
    """

    name = "adam"
    title = "Adam"
    traces: ClassVar = Traces(
        class_names=("adam",),
        implementations=(TF1, *KERAS, OPTAX),
        operations=(Operation("ApplyAdam", ADAM_INPUTS),),
        optax_states=(OPTAX_MOMENTS,),
        optax_arguments=OPTAX_ADAM,
    )
    more_hyperparameters: ClassVar = (EPSILON_ROOT,)
    with_maximum: ClassVar = "amsgrad"
    with_decay: ClassVar = "adamw"
    has_textbook_form: ClassVar = True

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the coefficients; see the class. E's numerator is α·√c2, rounded after each operation."""
        c1, c2 = self.bias_corrections(settings, dtype)
        rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
        is_textbook = settings.is_textbook
        with np.errstate(all="ignore"):
            numerator = rate if is_textbook else rate * np.sqrt(c2)
            if is_textbook:
                order = StepOrder(divisor=c1, factor=numerator)
            elif settings.implementation.has_corrected_rate:
                order = StepOrder(factor=rate * (np.sqrt(c2) / c1))
            else:
                order = StepOrder(factor=numerator / c1)
        return Coefficients(
            numerator=numerator,
            divisor=c2 if is_textbook else dtype.type(1),
            epsilon=arithmetic.epsilon(settings.epsilon, settings.implementation, dtype),
            first_correction=c1,
            decay=decoupled_decay(settings, rate, dtype),
            inner_epsilon=dtype.type(settings.other(EPSILON_ROOT.name, 0.0)),
            order=order,
        )

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Return (m·alpha)/(√v + ε); the textbook's α·m̂/(√v̂ + ε) if that is asked for."""
        second = self.second_moment(state)
        if settings.is_textbook:
            corrected = first_moment(state) / c.first_correction
            return np.asarray(c.numerator * corrected / (np.sqrt(second / c.divisor + c.inner_epsilon) + c.epsilon))
        assert c.order is not None
        return np.asarray(first_moment(state) * c.order.factor / (np.sqrt(second) + c.epsilon))


class AMSGrad(Adam):
    """AMSGrad: Adam with the running maximum of v in the place of v.

        vmax ← max(vmax, v);  θ ← θ - alpha · m / (√vmax + ε)

    alpha, α, t as in Adam; vmax is `max_second_moment`, of the uncorrected v, and is not itself corrected. Reddi
    et al., "On the Convergence of Adam and Beyond", Algorithm 2 (which has no bias correction at all).
    Sources: as for Adam (tensorflow/core/kernels/training_ops.cc `ApplyAdamWithAmsgrad`,
    keras/src/optimizers/adam.py), with `amsgrad=True`. optax corrects the bias before it takes the maximum
    (`scale_by_amsgrad`): vmax ← max(vmax, v/c2), and the update divides by √(vmax + ε_root) + ε.
    """

    name = "amsgrad"
    title = "AMSGrad"
    traces: ClassVar = Traces(
        class_names=("amsgrad", "adamamsgrad"),
        implementations=(*KERAS, OPTAX),
        operations=(Operation("ApplyAdamWithAmsgrad", _AMSGRAD_INPUTS),),
        optax_states=(
            OptaxState.of("count mu nu nu_max", mu="first_moment", nu="second_moment", nu_max="max_second_moment"),
        ),
        optax_arguments=OPTAX_ADAM,
    )
    slots: ClassVar = {**Adam.slots, "max_second_moment": ("max_second_moment",)}
    has_maximum: ClassVar = True

    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return Adam's coefficients; optax' maximum needs no further correction."""
        c = super().coefficients(settings, dtype, norms)
        return replace(c, divisor=dtype.type(1)) if settings.implementation.corrects_before_maximum else c

    def second_moment(self, state: State) -> Array:
        """Return the running maximum."""
        if state.max_second_moment is None:
            raise NotDetermined("the maximum of the second moment, which AMSGrad divides by, is not in the file")
        return state.max_second_moment


class AdamW(Adam):
    """AdamW: Adam after decoupled weight decay.

        Keras 2.11+, 3:          θ ← θ - θ·wd·α;  then Adam
        optax:                   θ ← θ - α·(Adam's direction + wd·θ), the same up to rounding
        TensorFlow Addons, contrib: θ ← θ - wd·θ;  then Adam     (the decay is not scaled by α)

    wd is `settings.weight_decay`. E is Adam's; with u = alpha·m/(√v + ε) and d the decayed share,
    θ_before = (θ + u)/(1 - d) and Δ = -(u + d·θ_before). Loshchilov & Hutter, arXiv 1711.05101, Algorithm 2 (whose
    schedule multiplier η is in neither).
    Sources: keras/src/optimizers/{adamw,base_optimizer}.py; tensorflow_addons/optimizers/weight_decay_optimizers.py;
    tensorflow/contrib/opt/python/training/weight_decay_optimizers.py. Addons and contrib decay only the rows of an
    embedding that the batch touched. Variables excluded from decay are in Addons' configuration alone.
    """

    name = "adamw"
    title = "AdamW"
    traces: ClassVar = Traces(
        class_names=("adamw", "adamweightdecay"),
        implementations=(CONTRIB, TFA, KERAS2, KERAS2_EXPERIMENTAL, KERAS3, OPTAX),
        optax_states=(OPTAX_MOMENTS,),
        optax_arguments=OPTAX_ADAM | {"weight_decay"},
        optax_links=2,
    )
    hyperparameters: ClassVar = (
        LEARNING_RATE,
        BETA_1,
        BETA_2,
        EPSILON,
        replace(WEIGHT_DECAY, default=lambda i: None if i.hides_decay or i.is_chained else i.default_adamw_decay),
    )

    def done_by_rows(self, settings: Settings) -> str:
        """Return `decays` for Addons and contrib."""
        is_decay = bool(settings.weight_decay) and settings.implementation.moves_rows_alone
        return "decays" if is_decay else super().done_by_rows(settings)


class LazyAdam(Adam):
    """LazyAdam: Adam that leaves the rows of an embedding alone which the batch did not touch, moments included.

        θ[rows] ← θ[rows] - alpha · m[rows] / (√v[rows] + ε)

    E and Δ are Adam's. Which rows the last batch touched is in no file, so that Δ of a variable with sparse gradients
    isn't determined: untouched rows did not move. Sources: tensorflow_addons/optimizers/lazy_adam.py,
    tensorflow/contrib/opt/python/training/lazy_adam_optimizer.py (whose slots are named as Adam's).
    """

    name = "lazyadam"
    title = "LazyAdam"
    traces: ClassVar = Traces(class_names=("lazyadam",), implementations=(CONTRIB, TFA), shares_slot_name="adam")
    with_maximum: ClassVar = ""
    is_lazy: ClassVar = True
    leaves_moments: ClassVar = True
