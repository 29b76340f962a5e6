"""How large the gradients between two checkpoints were, which no file holds, from the means of the second moments."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import DType
from ckpt_inspect.comparison.inference.silence import Rounding
from ckpt_inspect.comparison.inference.usual import applied
from ckpt_inspect.records import dataclass

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GradientRms:
    """Root mean square of tensors' gradients in windows of updates, the last ones weighing most; arrays."""

    values: Floats
    """Per unit of loss; 0 if the second moments show none, or none that is above their rounding; NaN if they tell
    nothing."""
    lows: Floats
    highs: Floats
    """What rounding of the second moments, and of beta_2, leaves open."""


def window_gradient_rms(
    means_before: Floats, means_after: Floats, beta_2: float, decays: int, dtype: DType
) -> GradientRms:
    """Return the RMS of the gradients of `decays` updates, with its uncertainty, in the shape of the means.

        √((mean(v_B) - β2^k·mean(v_A)) / (1 - β2^k))

    Each mean is over all elements of a tensor, summed in float64; `dtype` is that of the second moments. Since
    v_B = β2^k·v_A + (1 - β2)·Σ_j β2^(k-j)·g_j², the mean square weighs update j of the window by β2^(k-j): if
    k·(1 - β2) is small, all alike; in longer windows, about the last 1/(1 - β2) updates. Rounding of v matters in
    *short* windows, in which both terms are nearly equal, and wherever gradients have become small.

    NaN for 16-bit second moments, whose rounding hides the decay, for a mean that is not finite or below 0, and where
    second moments fell faster than beta_2 lets them: a reset, another run or another beta_2.
    """
    rounding = Rounding.of(dtype)
    if rounding is None or not 0 < beta_2 < 1 or decays < 1:
        return GradientRms(*np.full((3, *means_before.shape), np.nan))
    # the oldest roundings have decayed with what they were made on
    lasting = rounding.of_decays(min(decays, math.ceil(2 / (1 - beta_2))))
    of_beta = max(abs(math.log(b / beta_2)) for b in applied(beta_2) if 0 < b < 1) if dtype == np.float32 else 0.0
    scale = -math.expm1(decays * math.log(beta_2))
    with np.errstate(all="ignore"):
        left = beta_2**decays * means_before
        error = lasting * (means_after + left) + of_beta * decays * left
        gathered = means_after - left
        is_told = np.isfinite(means_before) & np.isfinite(means_after) & (np.minimum(means_before, means_after) >= 0)
        is_told &= gathered >= -error
        squares = np.where(gathered > error, gathered, 0.0), np.maximum(gathered - error, 0.0), gathered + error
        return GradientRms(*np.where(is_told, np.sqrt(np.divide(squares, scale)), np.nan))
