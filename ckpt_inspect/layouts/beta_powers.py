"""TF1's beta powers -> the number of updates and the betas. Pure.

`beta1_power` and `beta2_power` start at beta and are multiplied by it after every update, in float32: after t updates
they hold beta**(t + 1). Two numbers hold three unknowns, so the betas are sought among those that people use; a
running float32 product that comes out equal to the last bit leaves little doubt. If the other power says nothing, two
betas may fit one power alike, to the last bit: then the step is unknown.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules.running_products import running_products

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
)
SMALLEST = float(np.finfo(np.float32).tiny)
"""Below this TensorFlow's kernels flush to zero: a power there has underflowed."""
NEARLY = 0.02
"""How far from a whole number a count may come out, beside the drift, to be looked at."""
TOLD = 0.5
"""How large the slack of a power may be, in powers of its base, for it to tell one count from the next."""
DRIFT = 3e-7
"""Relative error of a running float32 product is below this times the root of the number of factors."""
TELLING = 0.9996
"""Up to this beta, equality to the last bit is no chance: fewer than one float in 5,000 is a power of it."""
LIKELY = 0.99995
"""Up to this beta, equality to the last bit is believed; one float in 100 being a power of 0.99999 is too many."""
MOST_UPDATES = 10_000_000
_EQUAL = 1e-6
"""Numbers whose logarithms differ by more are not the same float32, whose last place is 1e-7 of it."""


class PowersReading(NamedTuple):
    """What a pair of beta powers determines; None for the rest."""

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


@functools.lru_cache(maxsize=8192)  # a run's checkpoints are opened twice, first together and then each by itself
def read_beta_powers(
    power_1: float | None,
    power_2: float | None,
    beta_1: float | None = None,
    beta_2: float | None = None,
    global_step: int | None = None,
) -> PowersReading:
    """Read a pair of powers (None: not in the file), with the betas if they are known from elsewhere.

    `global_step` counts something else in general; it only decides between readings that are exact alike.
    """
    has_1 = power_1 is not None and SMALLEST <= power_1 < 1
    has_2 = power_2 is not None and SMALLEST <= power_2 < 1
    first = second = None
    if has_2 and power_2 is not None:
        second = _count(power_2, _candidates(beta_2, COMMON_BETA_2), power_1 if has_1 else None, beta_1, global_step)
    if has_1 and power_1 is not None and (second is None or not second.agrees):
        first = _count(power_1, _candidates(beta_1, COMMON_BETA_1), power_2 if has_2 else None, beta_2, global_step)
    if first is not None and first.rivals and (second is None or second.rivals):
        return _ambiguous("beta1_power", first, beta_1, beta_2)
    if second is not None and second.rivals and (first is None or first.rivals):
        return _ambiguous("beta2_power", second, beta_1, beta_2)
    if first is not None and (second is None or first.convinces_more_than(second)):
        count, beta_1, evidence = first.count, first.beta, first.describe("beta1_power")
    elif second is not None:
        count, beta_2, evidence = second.count, second.beta, second.describe("beta2_power")
    else:
        return _uncounted(power_1, power_2, beta_1, beta_2, has_1 or has_2)
    if beta_1 is None and power_1 is not None:
        beta_1 = _root(power_1, count, COMMON_BETA_1)
    if beta_2 is None and power_2 is not None:
        beta_2 = _root(power_2, count, COMMON_BETA_2)
    return PowersReading(count - 1, beta_1, beta_2, count - 1, False, evidence)


def _candidates(known: float | None, common: tuple[float, ...]) -> tuple[float, ...]:
    return common if known is None else (known,)


def _ambiguous(name: str, count: _Count, beta_1: float | None, beta_2: float | None) -> PowersReading:
    fits = " and ".join(f"{beta:g}**{exponent}" for beta, exponent in ((count.beta, count.count), *count.rivals))
    at_least = min(count.count, *(exponent for _, exponent in count.rivals)) - 1
    why = f"{name} {count.power:.9g} is {fits} alike, to the last bit; give the step or the beta"
    return PowersReading(None, beta_1, beta_2, at_least, False, why)


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
            f"the beta powers {power_1!r} and {power_2!r} are not powers of numbers below 1",
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


@dataclass(frozen=True, slots=True)
class _Count:
    """One power read as beta**count."""

    power: float
    count: int
    beta: float
    is_exact: bool
    """To the last bit, as a running float32 product."""
    agrees: bool
    """The other power is the same power of a number that people use."""
    is_running: bool = False
    """Exact as a running product, as training writes it."""
    rivals: tuple[tuple[float, int], ...] = ()
    """Other betas, with their exponents, that give this power as exactly: nothing tells which was used."""

    def convinces_more_than(self, other: _Count) -> bool:
        """The smaller a beta, the fewer floats are powers of it by chance."""
        return self._weight > other._weight

    @property
    def _weight(self) -> tuple[bool, bool, bool, bool, float]:
        return self.agrees, not self.rivals, self.is_exact, self.is_running, -self.beta

    def describe(self, name: str) -> str:
        how = "to the last bit" if self.is_exact else "to rounding"
        return f"{name} {self.power:.9g} is {self.beta:g}**{self.count} {how}"


def _count(
    power: float,
    candidates: tuple[float, ...],
    other: float | None,
    other_beta: float | None,
    global_step: int | None,
) -> _Count | None:
    """Return the most convincing candidate, with its rivals; None if there is none.

    If the other power says nothing (it has underflowed, or is not a power of a common beta), only equality to the last
    bit convinces, and only if no other common beta is equal as well.
    """
    fitting: list[_Count] = []
    for beta in candidates:
        base = _single(beta)
        if not 0 < base < 1:
            continue
        exponent = math.log(power) / _log(base)
        if not 0.5 <= exponent <= MOST_UPDATES:
            continue
        count, is_exact, is_running = _nearest_count(power, base, beta, exponent)
        if not is_exact and not _is_nearly(power, base, count):
            continue
        # two equal powers are of one beta, whichever it is: the other says nothing
        agrees = other is not None and other != power and _agrees(other, count, other_beta)
        found = _Count(power, count, beta, is_exact, agrees, is_running)
        if agrees and is_exact and base <= TELLING:
            return found
        fitting.append(found)
    best: _Count | None = None
    for found in fitting:
        is_likely = found.is_exact and np.float32(found.beta) <= LIKELY
        if (found.agrees or is_likely or len(candidates) == 1) and (best is None or found.convinces_more_than(best)):
            best = found
    if best is None or best.agrees:
        return best
    # not only running products: what writes powers may have rounded once; of a beta so near to 1 that is no evidence
    equals = [f for f in fitting if f.is_exact and (f.is_running or np.float32(f.beta) <= LIKELY)]
    equals = [f for f in equals if f.count != best.count]
    if not equals:
        return best
    counted = [f for f in (best, *equals) if f.count - 1 == global_step]
    if len(counted) == 1:
        return counted[0]
    return replace(best, rivals=tuple((f.beta, f.count) for f in equals))


def _nearest_count(power: float, base: float, beta: float, exponent: float) -> tuple[int, bool, bool]:
    """Return the count, whether the power is equal to the last bit, and whether it is so as the running product of that
    many factors, rather than as a power that was not written by training.

    Rounding moves the product away from the true power; the closer its base is to 1, the further.
    """
    nearest = max(1, round(exponent))
    drift = DRIFT * math.sqrt(nearest) / -_log(base)
    if abs(exponent - nearest) <= NEARLY + drift:  # else no product can be equal: the power lies between two
        lowest = max(1, nearest - math.ceil(drift))
        products = running_products(base).between(lowest, nearest + math.ceil(drift))
        (equal,) = (products == np.float32(power)).nonzero()
        if len(equal) == 1:
            return lowest + int(equal[0]), True, True
    for exact_base in (base, beta):
        count = max(1, round(math.log(power) / _log(exact_base)))
        is_near = abs(math.log(power) - count * _log(exact_base)) < _EQUAL
        if is_near and np.float32(exact_base**count) == np.float32(power):
            return count, True, False
    return nearest, False, False


@functools.lru_cache(maxsize=256)
def _single(beta: float) -> float:
    """As float32 holds it."""
    return float(np.float32(beta))


@functools.lru_cache(maxsize=256)
def _log(beta: float) -> float:
    """Of the same few betas in each checkpoint."""
    return math.log(beta)


def _agrees(power: float, count: int, beta: float | None) -> bool:
    """Return whether the other power is the same power of a number that people use (or of the known one)."""
    bases = map(_single, (beta,) if beta is not None else COMMON_BETA_1 + COMMON_BETA_2)
    slack, log_power = _slack(count), math.log(power)
    logs = (_log(b) for b in bases if 0 < b < 1)
    return any(abs(log_power - count * log) <= slack < -TOLD * log for log in logs)


def _is_nearly(power: float, base: float, count: int) -> bool:
    """Return whether the power is base**count to rounding, and no other count fits within rounding."""
    slack = _slack(count)
    return abs(math.log(power) - count * _log(base)) <= slack <= NEARLY * -_log(base)


def _slack(count: int) -> float:
    """Return by how much the logarithm of a float32 power of that many factors may be off."""
    return 1e-6 + DRIFT * math.sqrt(count)


def _root(power: float, count: int, common: tuple[float, ...]) -> float | None:
    """Return the beta whose power this is; None if it has underflowed and several betas are possible."""
    if SMALLEST <= power < 1:
        root = power ** (1 / count)
        near = min(common, key=lambda b: abs(b - root))
        return near if abs(near - root) <= 2e-6 else float(f"{root:.6g}")
    if power != 0:
        return None
    # 0 after few updates can only be beta = 0: anything larger than this would not have underflowed yet
    return 0.0 if SMALLEST ** (1 / count) < 1e-3 else None
