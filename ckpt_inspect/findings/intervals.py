"""From one checkpoint of a run to a later one: how many updates, and what they leave of a second moment by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from ckpt_inspect.findings.history import Floats, History
from ckpt_inspect.measurement.columns import slabs
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import find_rule

_SAME = 1e-6
"""Relative difference up to which two β2 are one, of which one passed through float32."""

SMALLEST_SQUARE = 1e-36
"""Second moments below this may have been flushed to 0, or have few digits left in float32."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From one checkpoint of a history to the next."""

    before: int
    after: int
    updates: int
    beta_2: float
    """The smaller of the two checkpoints' own: where they differ, it changed somewhere in between."""

    @property
    def factor(self) -> float:
        """Return β2^k: what is left of a second moment without gradients; the least, if β2 changed in between."""
        return self.beta_2**self.updates

    @property
    def tolerance(self) -> float:
        """Return the relative tolerance: of k roundings of float32, and of implementations that take β2 for 0.999 or
        float32(0.999)."""
        return 1e-6 + 3e-7 * self.updates

    @property
    def inflation(self) -> float:
        """Return the factor by which E grows without a gradient: β2^(-k/2)."""
        return float(self.factor**-0.5)


class Intervals:
    """All intervals of a history; what is looked up for each is looked up once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._steps = history["step"].tolist()
        self._rules = history["rule"].tolist()
        self._beta_2 = history["beta_2"].tolist()
        self._is_assumed = (history["beta_2_source"] == "default").tolist()

    def between(self, before: int, after: int) -> Interval | None:
        """Return the intervals; None if the updates or β2 are unknown, or the rule's v doesn't decay by β2."""
        start, stop, beta_2 = self._steps[before], self._steps[after], self._smaller(before, after)
        if not 0 <= start < stop or not 0 < beta_2 < 1:
            return None
        rule = find_rule(str(self._rules[after]))
        if self._rules[before] != self._rules[after] or rule is None or not rule.decays_by_beta_2:
            return None
        found = Interval(before, after, stop - start, beta_2)
        return found if found.factor > 0 else None

    def _smaller(self, before: int, after: int) -> float:
        """Return the smaller β2 of the two, but not one that is merely assumed before."""
        one, two = self._beta_2[before], self._beta_2[after]
        return float(one if not self._is_assumed[before] and 0 < one < two * (1 - _SAME) else two)

    def falling(self, variable: str, share: float) -> Iterator[tuple[Interval, Floats, Floats]]:
        """Yield the intervals from one row to the next in which a variable falls to less than a share of what β2^k
        leaves of it, in any element, with its values before and after. Of a long run some rows are looked at at a time,
        and of what was looked at before none but those.
        """
        rows = self._history.rows_where(f"{variable} below {share}", partial(self._falls, variable, share))
        groups = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
        for group in groups:  # those that follow each other, which are looked up together
            for start, stop in slabs(len(group), 8 * self._history.width(variable), int(group[0])):
                (values,) = self._history.between((variable,), start - 1, stop)
                for row in range(start, stop):
                    interval = self.between(row - 1, row)
                    if interval is not None:
                        yield interval, values[row - start], values[row - start + 1]

    def _falls(self, variable: str, share: float, first: int, last: int) -> Iterator[int]:
        """Yield the rows, from one to before another, at which it falls so since the row before, where it may."""
        steps, beta_2 = np.array(self._steps), np.array(self._beta_2)
        with np.errstate(invalid="ignore"):
            is_usual = (np.diff(steps, prepend=steps[:1]) > 0) & (beta_2 > 0) & (beta_2 < 1)
            factors: Floats = np.where(is_usual, beta_2, 0.0) ** np.diff(steps, prepend=steps[:1] - 1).clip(1)
        first = max(first, 1)
        for start, stop in slabs(max(last - first, 0), 8 * self._history.width(variable), first):
            (values,) = self._history.between((variable,), start - 1, stop)
            before, after = (part.reshape(stop - start, -1) for part in (values[:-1], values[1:]))
            limits = share * (1 + 1e-9) * factors[start:stop, None]  # powers differ in their last digits
            yield from (start + np.flatnonzero((after < before * limits).any(axis=1))).tolist()
