"""What has been read of a run so far, and the run's columns as they are with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import ChangedFileError, CkptInspectError, NotFoundError, RequestError, StoreError
from ckpt_inspect.measurement.columns import GONE, RunColumns
from ckpt_inspect.measurement.wording import counted
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.analysis import Analysis, require_state
from ckpt_inspect.runs.execution import UnitResult, merge
from ckpt_inspect.runs.first_names import FirstNames
from ckpt_inspect.runs.movement import Movement
from ckpt_inspect.runs.planning import Plan
from ckpt_inspect.runs.told import Stretch, Told
from ckpt_inspect.series.packed import ByPlace, Packed
from ckpt_inspect.storage import absolute, absolutes

if TYPE_CHECKING:
    from ckpt_inspect.comparison.gradients import KnownWindows
    from ckpt_inspect.runs.growth import LongRun
    from ckpt_inspect.runs.spilled import Spilled

PART = 256
"""Checkpoints of a long run that are held as they were read: then they are put away together."""

_LAST = 8
"""Checkpoints of the store whose parameters' names count as those before."""

_MOST_SAID = 5
"""Checkpoints of which it is said why they can't be read, if none can."""


@dataclass(slots=True)
class Reading:
    """Takes in checkpoints in any order. What it gives out is in the run's order."""

    plan: Plan
    thresholds: Mapping[str, float]
    analyses: dict[str, Analysis] = field(default_factory=dict)
    """By fingerprint."""
    fingerprints: MutableMapping[str, str] = field(default_factory=dict)
    """By absolute path."""
    told: Told = field(init=False)
    """What the run's checkpoints tell together."""
    errors: dict[Path, CkptInspectError] = field(default_factory=dict)
    """Why a checkpoint could not be read."""
    failures: dict[Path, Problem] = field(default_factory=dict)
    """The same, and whether the checkpoint is at fault."""
    spilled: Spilled | None = None
    """Where what was read of a long run, and told of it, is put away; None: it is held."""
    windows: dict[str, KnownWindows] | None = None
    """Figures that an earlier analysis computed, by optimizer; None if there was none in this process."""
    movement: Movement = field(init=False)
    _has_state: bool = False
    _waiting: deque[str] = field(default_factory=deque)
    """Absolute paths of what was given to be read, in training order, from the first on that isn't put away."""
    _failed: set[str] = field(default_factory=set)
    """Absolute paths of `errors`."""
    _names: FirstNames = field(default_factory=FirstNames)

    def __post_init__(self) -> None:
        self.movement = Movement(self.plan.run)
        self.told = Told(None if self.spilled is None else self.spilled.evidence)
        if self.spilled is not None:
            self.fingerprints = ByPlace(Packed(self.plan.run.places()))
        if self.spilled is not None and self.plan.previous is not None:
            self._names.take_newest(self.plan.previous, range(len(self.plan.previous))[-_LAST:])

    def tell(self, told: Stretch, unread: Sequence[Path]) -> None:
        """Take in what the next stretch of the run tells, of which these are about to be read."""
        try:
            self.told.take(told)
        except OSError as error:
            raise _not_kept(error) from error
        if self.spilled is not None:
            self._waiting.extend(absolutes(unread))

    def take(self, results: Sequence[UnitResult]) -> str | None:
        """Take in all results of a checkpoint, and return its fingerprint; None if it couldn't be read."""
        path = results[0].unit.path
        try:
            analysis = merge(results)
        except CkptInspectError as error:
            self.errors[path] = error
            self._failed.add(absolute(path))
            self.failures[path] = self.movement.failure(path, error)
            return None
        self.analyses[analysis.fingerprint] = analysis
        self.fingerprints[absolute(path)] = analysis.fingerprint
        self._has_state |= analysis.has_state
        if self.spilled is not None and self._has_state and len(self.analyses) >= PART:
            self._put_away()
        return analysis.fingerprint

    def _put_away(self, *, all_of_it: bool = False) -> None:
        """Put away what was read, up to the first checkpoint that is still being read elsewhere, or `all_of_it`."""
        from ckpt_inspect.runs.assembly import assemble

        assert self.spilled is not None
        places: list[str] = []
        while self._waiting and (self._waiting[0] in self.fingerprints or self._waiting[0] in self._failed):
            places.append(self._waiting.popleft())
        if all_of_it:
            places += [place for place in self._waiting if place in self.fingerprints]
            self._waiting = deque(place for place in self._waiting if place not in self.fingerprints)
        found = dict.fromkeys(self.fingerprints[place] for place in places if place in self.fingerprints)
        done = [fingerprint for fingerprint in found if fingerprint in self.analyses]
        if not done:
            return
        fresh = {fingerprint: self._names.named(self.analyses.pop(fingerprint)) for fingerprint in done}
        names = [absolute(analysis.path) for analysis in fresh.values()]
        try:
            part = assemble(self.plan.run.name, self.plan.options.text(), done, None, fresh, names=names)
            self.spilled.parts.add(part)
        except OSError as error:
            raise _not_kept(error) from error

    def long_run(self, *, is_all: bool) -> LongRun:
        """Return what the store of a long run is to hold, as far as it is known; `is_all` if nothing is left to be
        read."""
        from ckpt_inspect.runs.growth import LongRun

        assert self.spilled is not None
        self._put_away(all_of_it=True)
        plan = self.plan
        order = Packed(plan.order(self.fingerprints))
        failures = [(path.name, self.failures[path]) for path, _ in self._errors()]
        return LongRun(
            plan.run.name,
            plan.options.text(),
            order,
            plan.previous,
            self.spilled.parts,
            failures,
            self.thresholds,
            self.told,
            self._unread(),
            plan.run.survey,
            absolute(plan.run.folder),
            is_all and not self.errors,
            plan.whole,
        )

    def is_kept(self, stored: RunColumns) -> None:
        """Take in that the store holds all that has been read."""
        assert self.spilled is not None
        self.spilled.parts.clear()
        self.told.are_kept(self._unread())
        self.plan = replace(self.plan, previous=stored, whole=None)

    def _unread(self) -> set[str]:
        """Return the absolute paths of what is being read."""
        return {place for place in self._waiting if place not in self.fingerprints and place not in self._failed}

    def columns(self) -> RunColumns:
        """Return the run as far as it is known."""
        from ckpt_inspect.runs.assembly import assemble

        plan = self.plan
        assert plan.whole is None, "the end of a store is no run"
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
            windows=self.windows,
        )

    def _errors(self) -> Iterator[tuple[Path, CkptInspectError]]:
        every = self.plan.run.checkpoints if self.errors else ()
        return ((path, self.errors[path]) for path in every if path in self.errors)

    def require_results(self) -> None:
        """Raise, if there is nothing to analyse in the whole run, every checkpoint's error, or say what it is."""
        errors = [error for _, error in self._errors()]
        if not self.plan.previous and not self._has_state:
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
            each = "; ".join(f"{said.get(id(error), error)}" for error in errors[:_MOST_SAID])
            more = f"; and {counted(len(errors) - _MOST_SAID, 'more checkpoint')}" if len(errors) > _MOST_SAID else ""
            raise type(errors[0])(f"no checkpoint can be analysed: {each}{more}") from errors[0]

    def _raise_moved(self, error: CkptInspectError) -> None:
        """Raise an error in the words of the only failure, if the checkpoint is not at fault."""
        for failure in self.failures.values():
            if failure.severity != "error":
                kind = NotFoundError if failure.code == GONE else ChangedFileError
                raise kind(f"{failure.message}; {failure.resolution}") from error

    def is_stored(self) -> bool:
        """Return whether the store holds all of this: nothing was read, nothing failed, now or then."""
        previous = self.plan.previous
        if previous is None or self.fingerprints or self.errors or previous.failures or self.told:
            return False
        if previous.options != self.plan.options.text():
            return False
        order = self.plan.order(self.fingerprints)
        return previous.thresholds == self.thresholds and list(previous.checkpoints["fingerprint"]) == order


def _not_kept(error: OSError) -> StoreError:
    return StoreError(f"what was read can't be kept beside the store ({error.strerror})")
