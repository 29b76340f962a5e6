"""Every check over a run's analyses, and what all of them find, ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ckpt_inspect.errors import RequestError
from ckpt_inspect.findings import (
    adaptivity,
    arithmetic,
    changes,
    damage,
    drift,
    jumps,
    knowledge,
    lineage,
    proportion,
    starvation,
)
from ckpt_inspect.findings.finding import Finding, Kind
from ckpt_inspect.findings.history import History
from ckpt_inspect.findings.looks import Looks, RunLooks
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.columns import RunColumns

Check = Callable[[History, Thresholds], Iterable[Finding]]
"""Looks at one optimizer over a run that has at least one checkpoint with its state; pure."""

CHECKS: tuple[Check, ...] = (
    damage.find_damage,
    damage.find_impossible_values,
    lineage.find_resets,
    lineage.find_lost_state,
    arithmetic.find_inert,
    damage.find_bound_violations,
    changes.find_changed_hyperparameters,
    knowledge.find_contradictions,
    jumps.find_jumps,
    proportion.find_disproportion,
    drift.find_stuck_directions,
    arithmetic.find_lost_updates,
    adaptivity.find_epsilon_domination,
    adaptivity.find_untouched,
    starvation.find_starved,
    proportion.find_decay_balance,
    arithmetic.find_bias_correction,
    drift.find_drift,
    lineage.find_repeated_steps,
    knowledge.find_assumptions,
)
"""Every check; of two findings as severe, the earlier check's ranks first, and state that isn't finite before all."""

KINDS: tuple[Kind, ...] = (
    *damage.KINDS,
    *lineage.KINDS,
    *changes.KINDS,
    *starvation.KINDS,
    *arithmetic.KINDS,
    *adaptivity.KINDS,
    *jumps.KINDS,
    *proportion.KINDS,
    *drift.KINDS,
    *knowledge.KINDS,
)
"""Every kind of finding that there is."""


def find_findings(
    analyses: RunColumns, thresholds: Thresholds | None = None, looks: RunLooks | None = None
) -> tuple[Finding, ...]:
    """Return all findings of a run, the most severe first; of equals state that isn't finite, then in the order of
    `CHECKS`, then of the optimizers.

    A condition that holds in many tensors is one finding. Most look at the newest checkpoint alone, those on damage,
    resets and changes at all of them. `thresholds`: by default the run's own. `looks`: at the same run when it was
    shorter, which need not be gone through again; they take in this one. Raises RequestError if it is not a run.
    """
    if not isinstance(analyses, RunColumns):
        raise RequestError(f"findings are of what analyze() or load() returned, not {type(analyses).__name__}")
    if thresholds is not None and not isinstance(thresholds, Thresholds):
        raise RequestError(f"thresholds must be Thresholds, not {type(thresholds).__name__}: see Thresholds.of")
    thresholds = thresholds or Thresholds.of(analyses.thresholds)
    seen = {} if looks is None else looks
    histories = [History.of(analyses, run, seen.setdefault(n, Looks())) for n, run in analyses.optimizers.items()]
    found = [
        finding for check in CHECKS for history in histories if len(history) for finding in check(history, thresholds)
    ]
    found = [*damage.find_nonfinite_others(analyses, histories), *found]
    # where what is trained isn't finite, the rest is what follows from it
    return tuple(sorted(found, key=lambda finding: (-finding.severity, finding.kind is not damage.NONFINITE)))
