"""Which decay rates people write, and which of them a measured one is, to rounding."""

from __future__ import annotations

import math

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.measurement.order import distinct as different
from ckpt_inspect.records import dataclass


def _written() -> tuple[float, ...]:
    """Return numbers with one or two decimals, and those that are 1 less one digit (or one and a half) below that."""
    values = {round(i / 100, 2) for i in range(1, 100)}
    for power in range(3, 6):
        values |= {round(1 - digit * 10.0**-power, power) for digit in range(1, 10)}
        values |= {round(1 - digit * 10.0**-power, power + 1) for digit in (1.5, 2.5, 7.5)}
    return tuple(sorted(values | {0.985, 0.975, 0.965, 0.955, 0.125, 0.375, 0.625, 0.875}))


USUAL = _written()
"""Betas that people write, in rising order."""

_LOGS = np.log(np.array(USUAL))

CLASSIC = frozenset({0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9999, 0.99995, 0.99999})
"""Those that one witness is enough for."""


@dataclass(frozen=True, slots=True)
class Match:
    """A pair of usual betas, and how many decays lie between two states."""

    decays: int
    beta_1: float
    beta_2: float


def applied(beta: float) -> tuple[float, ...]:
    """Return what a written β becomes in float32: in kernels β itself is rounded, in Keras 1 - β."""
    return beta, float(np.float32(beta)), 1 - float(np.float32(1 - beta))


def explains(beta: float, log_decay: float, tolerance: float, decays: int) -> bool:
    """Return whether decays·ln β is that logarithm to rounding, in one of the forms in which a β is applied."""
    return any(abs(log_decay - decays * math.log(b)) <= tolerance for b in applied(beta) if 0 < b < 1)


def usual_beta(log_decay: float, tolerance: float, decays: int) -> float | None:
    """Return the usual β with decays·ln β = log_decay within the tolerance; None if there is none, or more than one.

    `tolerance`: of log_decay, from rounding.
    """
    if decays < 1 or not math.isfinite(log_decay):
        return None
    wanted = log_decay / decays
    allowed = tolerance / decays + 2.0**-23
    low, high = np.searchsorted(_LOGS, (wanted - allowed, wanted + allowed))
    found = [beta for beta in USUAL[int(low) : int(high)] if explains(beta, log_decay, tolerance, decays)]
    return found[0] if len(found) == 1 else None


def rounded_beta(log_decay: float, tolerance: float, decays: int) -> float | None:
    """Return the β of at most four decimals with decays·ln β = log_decay within the tolerance; None if there is none.

    Such values are so close together that a second witness is needed.
    """
    if decays < 1 or not math.isfinite(log_decay):
        return None
    rounded = round(math.exp(log_decay / decays), 4)
    is_sharp = tolerance / decays < 1e-6
    return rounded if is_sharp and 0 < rounded < 1 and explains(rounded, log_decay, tolerance, decays) else None


def find_pairs(log_1: float, tolerance_1: float, log_2: float, tolerance_2: float, most: int) -> list[Match]:
    """Return every pair of usual betas, and number of decays up to `most`, that explains both moments to rounding."""
    found = []
    for place, beta_2 in enumerate(USUAL):
        decays = round(log_2 / float(_LOGS[place]))
        if not 1 <= decays <= most or usual_beta(log_2, tolerance_2, decays) != beta_2:
            continue
        beta_1 = usual_beta(log_1, tolerance_1, decays)
        if beta_1 is not None and beta_1 <= beta_2:
            found.append(Match(decays, beta_1, beta_2))
    return found


def decays_by(log_decay: float, tolerance: float, beta: float) -> int | None:
    """Return the whole number of decays by a known beta; None if no whole number fits within rounding."""
    if not 0 < beta < 1:
        return None
    decays = round(log_decay / math.log(beta))
    return decays if decays >= 1 and explains(beta, log_decay, tolerance, decays) else None


def distinct(values: Array) -> int:
    """Return how many different values there are: equal ones are one witness."""
    return int(different(values).size)
