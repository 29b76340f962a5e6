"""Where a run was resumed with loss of state, or its learning rate jumped: its segments, by its columns alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.comparison.segments import Segment, segments
from ckpt_inspect.findings.history import History
from ckpt_inspect.findings.lineage import find_restarts

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns


def run_segments(analyses: RunColumns) -> tuple[Segment, ...]:
    """Return the segments of a run, in order; no checkpoint is read again.

    State that any optimizer lost begins one. Rates are those of the first optimizer that has a constant one; columns
    don't say what is a schedule's, and so a rate counts as constant only if a neighbour has the same.
    """
    runs = analyses.optimizers.values()
    begins = {row for run in runs for row in find_restarts(History.of(analyses, run))}
    continues = [False if row in begins else None for row in range(len(analyses))]
    rates = next((r for r in map(_constant_rates, runs) if any(x and math.isfinite(x) for x in r)), ())
    return segments(continues, rates)


def _constant_rates(run: OptimizerColumns) -> Sequence[float | None]:
    """Return each checkpoint's rate as `segments` takes it: NaN where neither neighbour has the same, None where it is
    not known."""
    is_known = ~np.isnan(run.variables["learning_rate"]) & (run.variables["learning_rate_source"] != "default")
    places = np.flatnonzero(is_known)
    known = run.variables["learning_rate"][places]
    is_same = np.isclose(known[1:], known[:-1], rtol=1e-6, atol=0.0)
    is_constant = np.zeros(len(known), bool)
    is_constant[1:] |= is_same
    is_constant[:-1] |= is_same
    rates: list[float | None] = [None] * len(is_known)
    for place, rate, constant in zip(places.tolist(), known.tolist(), is_constant.tolist(), strict=True):
        rates[place] = rate if constant else math.nan
    return rates
