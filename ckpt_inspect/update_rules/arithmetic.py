"""The scalars of an update, rounded where each implementation rounds them.

A hyperparameter reaches the update through casts that differ by implementation, and the bias corrections magnify what
those casts lose: float32(0.999) is 0.99900001287, so that `1 - beta_2**t` moves by 1.3e-5 relative; bfloat16(0.999) is
1.0, and the correction is 0. Every scalar here is of the variable's own dtype, computed as that implementation computes
it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules.implementations import Implementation
from ckpt_inspect.update_rules.running_products import running_products

Scalar = Any
"""A numpy or ml_dtypes scalar of the variable's dtype; `Any`, for ml_dtypes' scalars have no static type."""

_LONGEST = 1 << 26  # products in turn; by then every beta up to 0.999999 has vanished


def known(value: float | None, what: str) -> float:
    """Return the value. Raises NotDetermined if it is None: `what` is not known."""
    if value is None:
        raise NotDetermined(f"the {what} is not known: give it")
    return float(value)


def is_half(dtype: DType) -> bool:
    """Return whether the dtype is a 16-bit (or smaller) float."""
    return dtype.itemsize < 4


def learning_rate(value: float | None, implementation: Implementation, dtype: DType) -> Scalar:
    """Return the learning rate as the update sees it."""
    return _cast(known(value, "learning rate of the last update"), implementation.has_float32_rates, dtype)


def weight_decay(value: float, implementation: Implementation, dtype: DType) -> Scalar:
    """Return the weight decay as the update sees it."""
    return _cast(value, implementation.has_float32_rates, dtype)


def epsilon(value: float | None, implementation: Implementation, dtype: DType) -> Scalar:
    """Return epsilon as the update sees it."""
    return _cast(known(value, "epsilon"), implementation.has_float32_epsilon, dtype)


def beta(value: float | None, name: str, implementation: Implementation, dtype: DType) -> Scalar:
    """Return a beta as its powers see it."""
    return _cast(known(value, name), implementation.has_float32_betas, dtype)


def beta_power(value: float | None, name: str, step: int, implementation: Implementation, dtype: DType) -> Scalar:
    """Return beta**step in `dtype`, as the implementation computes it.

    TF1 multiplies a float32 variable by float32(beta) after each update and casts it to the variable's dtype;
    OptimizerV2 and all Keras raise dtype(beta) to the power dtype(step), correctly rounded here (Eigen's `pow` is
    within an ulp of that).
    """
    with np.errstate(all="ignore"):
        if implementation.has_running_powers:
            return dtype.type(_running_product(float(np.float32(known(value, name))), step))
        base, exponent = float(beta(value, name, implementation, dtype)), float(dtype.type(step))
        try:
            power = math.pow(base, exponent)  # numpy's differs from libm's in the last bit, by version and machine
        except OverflowError:
            power = math.inf
        return dtype.type(power)


def beta_correction(value: float | None, name: str, step: int, implementation: Implementation, dtype: DType) -> Scalar:
    """Return 1 - beta**step in `dtype`; optax computes it in float32 and rounds the difference (optax/tree_utils/
    _tree_math.py, `tree_bias_correction`)."""
    wide = np.dtype(np.float32) if implementation.has_float32_powers and is_half(dtype) else dtype
    with np.errstate(all="ignore"):
        return dtype.type(wide.type(1) - beta_power(value, name, step, implementation, wide))


def _cast(value: float, through_float32: bool, dtype: DType) -> Scalar:
    with np.errstate(all="ignore"):
        return dtype.type(np.float32(value)) if through_float32 else dtype.type(value)


@lru_cache(maxsize=64)  # one checkpoint's are asked for again and again
def _running_product(factor: float, count: int) -> float:
    """factor**count by `count` float32 multiplications in turn; no more than that matter."""
    product = running_products(factor).power(min(count, _LONGEST))
    return product * float(np.power(np.float64(factor), max(count - _LONGEST, 0)))
