"""What has been read of a run so far, and the run's columns as they are with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.measurement.columns import UNREADABLE, RunColumns
from ckpt_inspect.runs.analysis import Analysis, absolute, require_state
from ckpt_inspect.runs.assembly import assemble
from ckpt_inspect.runs.execution import UnitResult, merge
from ckpt_inspect.runs.planning import Plan


@dataclass(slots=True)
class Reading:
    """Takes in one checkpoint after another."""

    plan: Plan
    thresholds: Mapping[str, float]
    analyses: dict[str, Analysis] = field(default_factory=dict)
    """By fingerprint."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """By absolute path."""
    errors: list[CkptInspectError] = field(default_factory=list)
    failures: list[tuple[str, Problem]] = field(default_factory=list)
    """Name of each checkpoint that couldn't be read, and why."""

    def take(self, results: Sequence[UnitResult]) -> str | None:
        """Take in all results of a checkpoint, and return its fingerprint; None if it couldn't be read."""
        path = results[0].unit.path
        try:
            analysis = merge(results)
        except CkptInspectError as error:
            self.errors.append(error)
            problem = Problem(UNREADABLE, str(error), "it was left out; the rest of the run is analysed", "error")
            self.failures.append((path.name, problem))
            return None
        self.analyses[analysis.fingerprint] = analysis
        self.fingerprints[absolute(path)] = analysis.fingerprint
        return analysis.fingerprint

    def columns(self) -> RunColumns:
        """Return the run as far as it is known."""
        plan = self.plan
        order = plan.order(self.fingerprints)
        return assemble(
            plan.run.name, plan.options.text(), order, plan.previous, self.analyses, self.failures, self.thresholds
        )

    def require_results(self) -> None:
        """Raise, if there is nothing to analyse in the whole run, the first checkpoint's error, or say what it is."""
        if self.errors and not self.plan.known and not self.fingerprints:
            raise self.errors[0]
        if not self.plan.previous and not any(analysis.has_state for analysis in self.analyses.values()):
            require_state(list(self.analyses.values())[-1])

    def is_stored(self) -> bool:
        """Return whether the store holds all of this: nothing was read, nothing failed, now or then."""
        previous = self.plan.previous
        if previous is None or self.analyses or self.failures or previous.failures:
            return False
        order = self.plan.order(self.fingerprints)
        return previous.thresholds == self.thresholds and list(previous.checkpoints["fingerprint"]) == order
