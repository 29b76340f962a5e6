"""TF1's beta powers -> the number of updates and the betas. Pure.

`beta1_power` and `beta2_power` start at beta and are multiplied by it after every update, in float32: after t updates
they hold beta**(t + 1). Two numbers hold three unknowns, so the betas are sought among those that people use; a
running float32 product that comes out equal to the last bit leaves little doubt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

COMMON_BETA_2 = (
    0.999,
    0.99,
    0.9999,
    0.98,
    0.95,
    0.9,
    0.997,
    0.995,
    0.99999,
    0.9995,
    0.96,
    0.97,
    0.985,
    0.5,
    0.8,
    0.998,
    0.9998,
    0.9997,
)
COMMON_BETA_1 = (
    0.9,
    0.5,
    0.95,
    0.99,
    0.8,
    0.0,
    0.85,
    0.7,
    0.6,
    0.4,
    0.3,
    0.2,
    0.1,
    0.98,
    0.999,
    0.92,
    0.93,
    0.96,
    0.97,
    0.75,
    0.25,
)
SMALLEST = float(np.finfo(np.float32).tiny)
"""Below this TensorFlow's kernels flush to zero: a power there has underflowed."""
NEARLY = 0.02
"""How far from a whole number the count may come out: rounding drifts by 0.004 in 60,000 updates."""
MOST_UPDATES = 10_000_000


@dataclass(frozen=True, slots=True)
class PowersReading:
    """What a pair of beta powers tells; None for what it doesn't."""

    step: int | None
    """Updates applied."""
    beta_1: float | None
    beta_2: float | None
    at_least: int
    """A lower bound of the step."""
    is_converged: bool
    """Both powers have underflowed: the bias corrections are 1, whatever the step is."""
    evidence: str
    """How the step was found, or why it wasn't."""


def read_beta_powers(
    power_1: float | None, power_2: float | None, beta_1: float | None = None, beta_2: float | None = None
) -> PowersReading:
    """Read a pair of powers (None: not in the file), with the betas where they are known from elsewhere."""
    has_1 = power_1 is not None and SMALLEST <= power_1 < 1
    has_2 = power_2 is not None and SMALLEST <= power_2 < 1
    count: int | None = None
    evidence = ""
    if has_2 and power_2 is not None:
        found = _count(power_2, (beta_2,) if beta_2 is not None else COMMON_BETA_2, power_1 if has_1 else None, beta_1)
        if found is not None:
            count, beta_2, exact = found
            evidence = f"beta2_power {power_2:.9g} is {beta_2:g}**{count}" + (
                " to the last bit" if exact else " to rounding"
            )
    if count is None and has_1 and power_1 is not None:
        found = _count(power_1, (beta_1,) if beta_1 is not None else COMMON_BETA_1, power_2 if has_2 else None, beta_2)
        if found is not None:
            count, beta_1, exact = found
            evidence = f"beta1_power {power_1:.9g} is {beta_1:g}**{count}" + (
                " to the last bit" if exact else " to rounding"
            )
    if count is None:
        return _uncounted(power_1, power_2, beta_1, beta_2, has_1 or has_2)
    if beta_1 is None and power_1 is not None:
        beta_1 = _root(power_1, count, COMMON_BETA_1)
    if beta_2 is None and power_2 is not None:
        beta_2 = _root(power_2, count, COMMON_BETA_2)
    return PowersReading(count - 1, beta_1, beta_2, count - 1, False, evidence)


def _uncounted(
    power_1: float | None, power_2: float | None, beta_1: float | None, beta_2: float | None, is_readable: bool
) -> PowersReading:
    if is_readable:
        return PowersReading(
            None,
            beta_1,
            beta_2,
            0,
            False,
            f"the beta powers {power_1!r} and {power_2!r} fit no common betas; give the step or the betas",
        )
    powers = [p for p in (power_1, power_2) if p is not None]
    if not powers:
        return PowersReading(
            None, beta_1, beta_2, 0, False, "the file holds no beta powers, and nothing else that counts the updates"
        )
    if any(not 0 <= p < 1 for p in powers):
        return PowersReading(
            None,
            beta_1,
            beta_2,
            0,
            False,
            f"the beta powers {power_1!r} and {power_2!r} are no powers of numbers below 1",
        )
    is_converged = power_2 is not None
    slowest = beta_2 if power_2 is not None else beta_1
    at_least = 0
    if slowest is not None and 0 < slowest < 1:
        at_least = math.floor(math.log(SMALLEST) / math.log(slowest)) - 1
    bound = f"; at beta {slowest:g} that takes {at_least:,} updates" if at_least else ""
    consequence = (
        ", so that the bias corrections are 1 and the effective learning rate is exact all the same"
        if is_converged
        else ""
    )
    return PowersReading(
        None, beta_1, beta_2, at_least, is_converged, f"the beta powers have underflowed to 0{bound}{consequence}"
    )


def _count(
    power: float, candidates: tuple[float, ...], other: float | None, other_beta: float | None
) -> tuple[int, float, bool] | None:
    """(count, beta, whether to the last bit) of the most convincing candidate."""
    best: tuple[tuple[bool, bool], int, float, bool] | None = None
    for beta in candidates:
        base = float(np.float32(beta))
        if not 0 < base < 1:
            continue
        exponent = math.log(power) / math.log(base)
        count = round(exponent)
        if not 1 <= count <= MOST_UPDATES or abs(exponent - count) > NEARLY:
            continue
        exact = running_power(base, count) == np.float32(power)
        agrees = other is None or _agrees(other, count, other_beta)
        score = (exact and agrees, agrees)
        if best is None or score > best[0]:
            best = (score, count, beta, exact)
        if score == (True, True):
            break
    if best is None or not (best[3] or best[0][1]):
        return None
    return best[1], best[2], best[3]


def _agrees(power: float, count: int, beta: float | None) -> bool:
    """Whether the other power is the same power of a number that people use (or of the known one)."""
    root = power ** (1 / count)
    return any(abs(root - b) <= 2e-6 for b in ((beta,) if beta is not None else COMMON_BETA_1 + COMMON_BETA_2))


def _root(power: float, count: int, common: tuple[float, ...]) -> float | None:
    """The beta whose power this is; None where it has underflowed and could be several."""
    if power >= SMALLEST:
        root = power ** (1 / count)
        near = min(common, key=lambda b: abs(b - root))
        return near if abs(near - root) <= 2e-6 else float(f"{root:.6g}")
    if power != 0:
        return None
    # 0 after few updates can only be beta = 0: anything larger than this would not have underflowed yet
    return 0.0 if SMALLEST ** (1 / count) < 1e-3 else None


def running_power(base: float, count: int) -> float:
    """base**count as `count` - 1 float32 multiplications, starting from base."""
    return float(np.multiply.accumulate(np.full(count, base, np.float32))[-1])
