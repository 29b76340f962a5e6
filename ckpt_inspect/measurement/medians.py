"""The median effective learning rate of a tensor, from one pass over its optimizer state.

Every rule's E falls as its second moment grows, so the median of E is E of the second moment's median: what is counted
in passing is the second moment, and the formula is evaluated once.
"""

from __future__ import annotations

import math

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.histograms import (
    FINE_BINS,
    QUANTILE_LEVELS,
    Counts,
    are_touched,
    count_touched,
    quantiles_of_counts,
)
from ckpt_inspect.measurement.kernels.formula import array_under_root
from ckpt_inspect.measurement.order import median
from ckpt_inspect.measurement.summaries import EXACT_ELEMENTS
from ckpt_inspect.update_rules import Norms, Settings, State, UpdateRule

_MEDIAN = QUANTILE_LEVELS.index(0.5)


class EffectiveLrMedian:
    """Accumulates the pieces of one tensor; of up to EXACT_ELEMENTS elements the median is exact, else within 1 %."""

    __slots__ = ("_counts", "_dtype", "_norms", "_rule", "_settings", "_values")

    def __init__(self, rule: UpdateRule, settings: Settings, size: int) -> None:
        self._rule = rule
        self._settings = settings
        self._dtype = np.dtype(np.float32)
        self._norms: Norms | None = Norms() if rule.needs_norms else None
        self._values: list[Array] | None = [] if size <= EXACT_ELEMENTS else None
        self._counts = np.zeros(FINE_BINS, np.int64) if size > EXACT_ELEMENTS else None

    def add(self, piece: State) -> None:
        """Take in a piece; its arrays may be reused afterwards. Raises NotDetermined if the rule needs more."""
        second = self._rule.second_moment(piece)
        self._dtype = second.dtype
        if self._norms is not None:
            self._norms += self._rule.norms_by_blocks(piece, self._settings)
        if self._values is not None:
            self._values.append(second[are_touched(second)])
        if self._counts is not None:
            count_touched(second, self._counts)

    def counted(self, dtype: DType, held: frozenset[str]) -> tuple[str, Counts] | None:
        """Return the field of `State` whose values, of that dtype, are counted, and the counts to add to.

        None if pieces must be given to `add`. `held` are the fields that there are.
        """
        if self._counts is None or self._norms is not None:
            return None
        name = array_under_root(self._rule, dtype, held)
        if name is None:
            return None
        self._dtype = dtype
        return name, self._counts

    def median(self) -> float:
        """Return the median of E over touched elements; NaN if there are none, or E is not determined."""
        if self._values is not None:
            touched = np.concatenate(self._values) if self._values else np.empty(0)
        else:
            assert self._counts is not None
            middle = quantiles_of_counts(self._counts, 0.0, math.inf)[_MEDIAN]
            touched = np.full(0 if np.isnan(middle) else 1, middle, self._dtype)
        if not touched.size:
            return math.nan
        try:
            # max_second_moment as well: AMSGrad's formula looks there, no other does
            state = State(second_moment=touched, max_second_moment=touched)
            return median(self._rule.effective_lr(state, self._settings, self._norms).astype(np.float64))
        except NotDetermined:
            return math.nan
