"""Where a run was resumed with loss of state, or its learning rate jumped: its segments, by its columns alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.segments import Segment, constant_rates, segments
from ckpt_inspect.findings.history import History
from ckpt_inspect.findings.lineage import find_restarts

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns


def run_segments(analyses: RunColumns) -> tuple[Segment, ...]:
    """Return the segments of a run, in order; no checkpoint is read again.

    State that any optimizer lost begins one, and a rate that jumped (`segments.MEANING_OF_A_JUMP`). Rates are those of
    the first optimizer that has a constant one.
    """
    runs = analyses.optimizers.values()
    begins = {row for run in runs for row in find_restarts(History.of(analyses, run))}
    continues = [False if row in begins else None for row in range(len(analyses))]
    rates = next((r for r in map(_rates, runs) if any(x and math.isfinite(x) for x in constant_rates(r))), ())
    return segments(continues, rates)


def _rates(run: OptimizerColumns) -> Sequence[float | None]:
    """Return each checkpoint's rate as `segments` takes it."""
    v = run.variables
    told = zip(v["learning_rate"].tolist(), v["learning_rate_source"], v["learning_rate_is_scheduled"], strict=True)
    return [_rate(float(rate), str(source), int(is_scheduled) == 1) for rate, source, is_scheduled in told]


def _rate(rate: float, source: str, is_scheduled: bool) -> float | None:
    if is_scheduled and source != "given":
        return math.nan
    return None if math.isnan(rate) or source == "default" else rate
