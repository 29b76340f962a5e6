"""Where a run was resumed with loss of state, or its learning rate jumped: its segments, by its columns alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.comparison.segments import Segment, constant_rates, segments
from ckpt_inspect.findings.history import History
from ckpt_inspect.findings.lineage import find_restarts
from ckpt_inspect.findings.looks import Looks, RunLooks

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import RunColumns


def run_segments(analyses: RunColumns, looks: RunLooks | None = None) -> tuple[Segment, ...]:
    """Return the segments of a run, in order; no checkpoint is read again.

    State that any optimizer lost begins one, as where another took its place, and a rate that jumped
    (`segments.MEANING_OF_A_JUMP`). Rates are those of the first optimizer that has a constant one. `looks` as in
    `find_findings`.
    """
    seen = {} if looks is None else looks
    histories = [History.of(analyses, run, seen.setdefault(n, Looks())) for n, run in analyses.optimizers.items()]
    begins = {row for history in histories for find in (find_restarts, _replaced) for row in find(history)}
    continues = [False if row in begins else None for row in range(len(analyses))]
    rates = next((r for r in map(_rates, histories) if any(x and math.isfinite(x) for x in constant_rates(r))), ())
    return segments(continues, rates)


def _replaced(history: History) -> Iterator[int]:
    """Yield the run's checkpoints in which an optimizer of another rule counts from less than the one before did; both
    rules are read from the files, not assumed."""
    rules, sources, steps = map(history.of_all, ("rule", "rule_source", "step"))
    if (rules == rules[:1]).all():  # as in most runs, however long
        return
    is_told = (steps >= 0) & (sources != "default") & (sources != "unknown") & (sources != "")
    told = np.flatnonzero(is_told).tolist()
    for before, after in itertools.pairwise(told):
        if rules[before] != rules[after] and steps[after] < steps[before]:
            yield after


def _rates(history: History) -> Sequence[float | None]:
    """Return the rate of each checkpoint of the run as `segments` takes it."""
    names = ("learning_rate", "learning_rate_source", "learning_rate_is_scheduled")
    rates, sources, scheduled = map(history.of_all, names)
    is_scheduled = (scheduled == 1) & (sources != "given")
    is_unknown = ~is_scheduled & (np.isnan(rates) | (sources == "default"))
    told: list[float | None] = np.where(is_scheduled, np.nan, rates).tolist()
    if is_scheduled.all():  # of one value, for whoever counts different ones
        return [math.nan] * len(told)
    for row in np.flatnonzero(is_unknown).tolist():
        told[row] = None
    return told
