"""AdaBelief: Adam whose second moment is that of the gradients' distance from their mean."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.hyperparameters import EPSILON, Hyperparameter
from ckpt_inspect.update_rules.implementations import OPTAX, TFA
from ckpt_inspect.update_rules.radam import RECTIFICATION, RAdam, average_length
from ckpt_inspect.update_rules.rule import Settings, geometric_sum
from ckpt_inspect.update_rules.traces import OPTAX_ADAM, OPTAX_MOMENTS, Traces

RECTIFY = Hyperparameter(
    "rectify",
    "Whether the update is rectified as RAdam's is.",
    "r; 1 if it is off",
    "No tensor holds it, and the first thousands of updates depend on it: without a configuration, give it.",
    is_flag=True,
    only_in=(TFA,),
)


_EPSILONS = {OPTAX: 1e-16}
_ADAPTED = {
    EPSILON.name: replace(EPSILON, default=lambda implementation: _EPSILONS.get(implementation, 1e-14)),
    **{h.name: replace(h, only_in=(TFA,)) for h in RECTIFICATION},
}


class AdaBelief(RAdam):
    """AdaBelief, with RAdam's rectification: RAdam with another second moment and another order in r.

        m ← β1·m + (1 - β1)·g
        v ← β2·v + (1 - β2)·(g - m)² + ε,  with the new m
        n∞ = 2/(1 - β2) - 1;  n = n∞ - 2·t·β2^t/(1 - β2^t)
        rectify, n ≥ threshold:  x = r · (m/c1) / (√(v/c2) + ε),  r = √((n - 4)·(n - 2)·n∞ / ((n∞ - 4)·(n∞ - 2)·n))
        rectify, n < threshold:  x = m/c1
        without rectify:         x = (m/c1) / (√(v/c2) + ε)
        θ ← θ - α·(x + wd·θ)

    so E = α·r/(√(v/c2) + ε), or α for every element during the first updates, or E with r = 1; m, v are `first_moment`,
    `second_moment` (if there is a `max_second_moment`, that). Zhuang et al., arXiv 2010.07468, Algorithm 2; the
    rectification is RAdam's.

    ε stands twice. The one in v decides: v/c2 ≥ ε/(1 - β2) from the first update on. The one beside the root hardly
    matters. `others`: `rectify`, and RAdam's `sma_threshold`, `total_steps`, `warmup_proportion` and `min_lr`.

    optax' has no rectification, and takes ε_root for the ε in v, ε for the one beside the root (`scale_by_belief`).

    Source: tensorflow_addons/optimizers/adabelief.py (0.16, 0.18, 0.23: no difference). n cancels badly in float32, so
    its order of operations is kept; r is one quotient of products here, and a product of quotients in RectifiedAdam.
    Rows of an embedding that the batch did not touch decay in m and v, get no ε, and don't move.
    """

    name = "adabelief"
    title = "AdaBelief"
    traces: ClassVar = Traces(
        class_names=("adabelief",),
        implementations=(TFA, OPTAX),
        scalars=("sma_threshold",),
        optax_states=(OPTAX_MOMENTS,),
        optax_arguments=OPTAX_ADAM,
    )
    hyperparameters: ClassVar = (
        *(_ADAPTED.get(h.name, h) for h in RAdam.hyperparameters),
        RECTIFY,
    )
    more_hyperparameters: ClassVar = ()
    has_squared_gradients: ClassVar = False
    decays_when_silent: ClassVar = False  # m's distance from a gradient of 0 goes into v, and ε

    def moment_bound(self, settings: Settings) -> float:
        """Return the largest |m|/√v that t gradients can leave behind, in exact arithmetic.

        With e = g - m (the new m), m moves by e·(1 - β1)/β1, so that m_t = (1 - β1)/β1 · Σ e_j, and v ≥ (1 - β2) ·
        Σ β2^(t-j)·e_j². By Cauchy and Schwarz |m|² ≤ ((1 - β1)/β1)² / (1 - β2) · Σ_{j<t} β2^-j · v.
        """
        b1, b2 = arithmetic.known(settings.beta_1, "beta_1"), arithmetic.known(settings.beta_2, "beta_2")
        if not (0 < b1 < 1 and 0 < b2 < 1):
            return math.inf
        return (1 - b1) / b1 * math.sqrt(geometric_sum(1 / b2, self.step(settings)) / (1 - b2))

    def _rectifier(self, settings: Settings, dtype: DType) -> Scalar | None:
        """r; 1 without rectification; None while n is below the threshold. Raises NotDetermined if it is not known."""
        two, four = dtype.type(2), dtype.type(4)
        if not RECTIFY.is_in(settings.implementation):
            return dtype.type(1)
        is_rectified = settings.others.get(RECTIFY.name)
        if is_rectified is None:
            raise NotDetermined("whether AdaBelief's updates are rectified is not in the file: give rectify, 1 or 0")
        if not is_rectified:
            return dtype.type(1)
        length, limit = average_length(settings, dtype, self.step(settings))
        if not length >= dtype.type(settings.other("sma_threshold", 5.0)):
            return None
        return np.sqrt((length - four) * (length - two) * limit / ((limit - four) * (limit - two) * length))
