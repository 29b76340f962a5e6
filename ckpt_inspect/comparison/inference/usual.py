"""Which decay rates people write, and which of them a measured one is, to rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ckpt_inspect.checkpoint import Array

_HALF_UNIT = 2.0**-25
"""By how much float32(β), or 1 - float32(1 - β), may differ from a β between 0.5 and 1."""


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


@dataclass(frozen=True, slots=True)
class Match:
    """A pair of usual betas, and how many decays lie between two states."""

    decays: int
    beta_1: float
    beta_2: float


def usual_beta(log_decay: float, tolerance: float, decays: int) -> float | None:
    """Return the usual β with decays·ln β = log_decay within the tolerance; None if there is none, or more than one.

    `tolerance`: of log_decay, from rounding. float32's own distance from the written value is allowed for beside it.
    """
    if decays < 1 or not math.isfinite(log_decay):
        return None
    wanted = log_decay / decays
    allowed = tolerance / decays + 2 * _HALF_UNIT
    low, high = np.searchsorted(_LOGS, (wanted - allowed, wanted + allowed))
    return USUAL[int(low)] if high - low == 1 else None


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
    allowed = tolerance + decays * 2 * _HALF_UNIT / beta
    return decays if decays >= 1 and abs(log_decay - decays * math.log(beta)) <= allowed else None


def distinct(values: Array) -> int:
    """Return how many different values there are: equal ones are one witness."""
    return int(np.unique(values).size)
