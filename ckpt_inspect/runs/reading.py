"""What has been read of a run so far, and the run's columns as they are with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import ChangedFileError, CkptInspectError, NotFoundError, RequestError
from ckpt_inspect.measurement.columns import GONE, RunColumns
from ckpt_inspect.runs.analysis import Analysis, require_state
from ckpt_inspect.runs.assembly import assemble
from ckpt_inspect.runs.execution import UnitResult, merge
from ckpt_inspect.runs.inferring import NOTHING, RunInference
from ckpt_inspect.runs.movement import Movement
from ckpt_inspect.runs.planning import Plan
from ckpt_inspect.storage import absolute


@dataclass(slots=True)
class Reading:
    """Takes in checkpoints in any order. What it gives out is in the run's order."""

    plan: Plan
    thresholds: Mapping[str, float]
    analyses: dict[str, Analysis] = field(default_factory=dict)
    """By fingerprint."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """By absolute path."""
    told: RunInference = NOTHING
    """What the run's checkpoints tell together."""
    errors: dict[Path, CkptInspectError] = field(default_factory=dict)
    """Why a checkpoint could not be read."""
    failures: dict[Path, Problem] = field(default_factory=dict)
    """The same, and whether the checkpoint is at fault."""
    movement: Movement = field(init=False)

    def __post_init__(self) -> None:
        self.movement = Movement(self.plan.run)

    def take(self, results: Sequence[UnitResult]) -> str | None:
        """Take in all results of a checkpoint, and return its fingerprint; None if it couldn't be read."""
        path = results[0].unit.path
        try:
            analysis = merge(results)
        except CkptInspectError as error:
            self.errors[path] = error
            self.failures[path] = self.movement.failure(path, error)
            return None
        self.analyses[analysis.fingerprint] = analysis
        self.fingerprints[absolute(path)] = analysis.fingerprint
        return analysis.fingerprint

    def columns(self) -> RunColumns:
        """Return the run as far as it is known."""
        plan = self.plan
        order = plan.order(self.fingerprints)
        fresh = {fingerprint: self.analyses[fingerprint] for fingerprint in order if fingerprint in self.analyses}
        failures = [(path.name, self.failures[path]) for path, _ in self._errors()]
        return assemble(
            plan.run.name,
            plan.options.text(),
            order,
            plan.previous,
            fresh,
            failures,
            self.thresholds,
            self.told.evidence(),
        )

    def _errors(self) -> Iterator[tuple[Path, CkptInspectError]]:
        return ((path, self.errors[path]) for path in self.plan.run.checkpoints if path in self.errors)

    def require_results(self) -> None:
        """Raise, if there is nothing to analyse in the whole run, every checkpoint's error, or say what it is."""
        errors = [error for _, error in self._errors()]
        if not self.plan.previous and not any(analysis.has_state for analysis in self.analyses.values()):
            if self.analyses:
                try:
                    require_state(self.analyses[self.plan.order(self.fingerprints)[-1]])
                except CkptInspectError as error:
                    errors.append(error)
        elif self.plan.known or self.fingerprints:
            return
        requests = [error for error in errors if isinstance(error, RequestError)]
        if len(errors) == 1 or (requests and len(requests) == len(errors)):  # what was asked for is wrong everywhere
            if len(errors) == 1:
                self._raise_moved(errors[0])
            raise errors[0]
        if errors:
            said = {id(error): self.failures[path].message for path, error in self._errors()}
            each = "".join(f"\n  {said.get(id(error), error)}" for error in errors)
            raise type(errors[0])(f"no checkpoint can be analysed:{each}") from errors[0]

    def _raise_moved(self, error: CkptInspectError) -> None:
        """Raise an error in the words of the only failure, if the checkpoint is not at fault."""
        for failure in self.failures.values():
            if failure.severity != "error":
                kind = NotFoundError if failure.code == GONE else ChangedFileError
                raise kind(f"{failure.message}; {failure.resolution}") from error

    def is_stored(self) -> bool:
        """Return whether the store holds all of this: nothing was read, nothing failed, now or then."""
        previous = self.plan.previous
        if previous is None or self.analyses or self.errors or previous.failures or self.told.optimizers:
            return False
        if previous.options != self.plan.options.text():
            return False
        order = self.plan.order(self.fingerprints)
        return previous.thresholds == self.thresholds and list(previous.checkpoints["fingerprint"]) == order
