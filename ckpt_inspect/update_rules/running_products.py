"""Powers as TF1 keeps them: a float32 number multiplied by itself in turn, rounded every time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_STRIDE = 1 << 10
"""Exponents from one remembered power to the next."""

_CHUNK = 1 << 6
"""Remembered powers that are added at a time."""


class RunningProducts:
    """The powers of one base.

    Every 1,024th is remembered: a run's checkpoints ask for ever higher powers of the same few bases.
    """

    def __init__(self, base: float) -> None:
        self._base = np.float32(base)
        self._known: NDArray[np.float32] = np.full(1, self._base)
        """Powers 1, 1 + `_STRIDE`, 1 + 2·`_STRIDE`, ..: to the highest that was asked for, or to one that equals the
        one before, as do all that follow."""
        self._last: tuple[int, NDArray[np.float32]] = -1, self._known[:0]
        """The place of the remembered power that was last gone on from, and the powers from there on."""

    def power(self, exponent: int) -> float:
        """Return base**exponent by `exponent` float32 multiplications in turn, from 1."""
        if exponent < 1:
            return 1.0
        place = self._place(exponent)
        return float(self._run(place, min(exponent - 1 - place * _STRIDE, _STRIDE))[-1])

    def between(self, lowest: int, highest: int) -> NDArray[np.float32]:
        """Return the powers of the exponents from `lowest`, at least 1, to `highest`."""
        self._place(highest)
        place = self._place(lowest)
        return self._run(place, highest - 1 - place * _STRIDE)[lowest - 1 - place * _STRIDE :]

    def _run(self, place: int, steps: int) -> NDArray[np.float32]:
        """Return a remembered power and so many that follow."""
        known, powers = self._last
        if known != place or len(powers) <= steps:
            # neighbours ask for those that follow soon after; and another thread may be looking
            self._last = place, powers = place, self._multiplied(place, max(steps, _STRIDE))
        return powers[: steps + 1]

    def _multiplied(self, place: int, steps: int) -> NDArray[np.float32]:
        factors = np.full(steps + 1, self._base)
        factors[0] = self._known[place]
        return np.asarray(np.multiply.accumulate(factors))

    def _place(self, exponent: int) -> int:
        """Return which remembered power is the last one up to an exponent, or equal to it."""
        place = (exponent - 1) // _STRIDE
        while place >= len(self._known) and not self._is_settled():
            more = self._multiplied(-1, _CHUNK * _STRIDE)[_STRIDE::_STRIDE]
            self._known = np.concatenate((self._known, more))  # whole, for another thread may be looking
        return min(place, len(self._known) - 1)

    def _is_settled(self) -> bool:
        return len(self._known) > 1 and np.array_equal(self._known[-1], self._known[-2], equal_nan=True)


@lru_cache(maxsize=64)
def running_products(base: float) -> RunningProducts:
    """Return the powers of a base, rounded to float32."""
    return RunningProducts(base)
