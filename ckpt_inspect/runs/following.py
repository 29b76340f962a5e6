"""A training that is going on -> RunColumns after each checkpoint: what is new of it, with the rest of the store."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import (
    ChangedFileError,
    CkptInspectError,
    NoStateError,
    NotFoundError,
    RequestError,
    StoreError,
)
from ckpt_inspect.findings.finding import SEVERITIES, Finding, Severity
from ckpt_inspect.measurement.columns import UNREADABLE, RunColumns, column_rows
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs.inferring import first_of_end
from ckpt_inspect.runs.kept_elements import KEPT_CHECKPOINTS
from ckpt_inspect.runs.remembered import findings_of
from ckpt_inspect.runs.saving import Held
from ckpt_inspect.runs.unchanged import Stored
from ckpt_inspect.series.run import Run
from ckpt_inspect.series.watch import Watch
from ckpt_inspect.storage import NoAnswerError, PathLike, absolute

NEAR, FAR = 5.0, 30.0
"""Seconds between two looks at a local folder, and at one in an object store."""

SOON = 1.0
"""Seconds, at most, until what may still be written is looked at again."""

_SPARE = 64
"""Checkpoints that are gone whose store is remembered."""

WHOLE = 8 * KEPT_CHECKPOINTS
"""Checkpoints up to which a run is given to each analysis as a whole; of a longer one, those near what is new."""

CANT_LOOK, CANT_WRITE = "folder-unreadable", "not-written"
"""Codes of the Problems of a folder that can't be looked at, and of a store or page that can't be written, for the
moment."""

_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT})
"""What keeps a file from being written now, and may not in a minute."""

Analyze = Callable[[Run, Path, Held], RunColumns]
"""Analyses a run, beside what is in the store at the path; raises CkptInspectError if nothing can be read."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a look at the folder brought of one run; nothing, if there is nothing new."""

    run: Run | None = None
    """None if nothing is new, or there is only a problem of the folder."""
    store: Path | None = None
    columns: RunColumns | None = None
    """All that is known of the run by now; None if nothing is."""
    rows: tuple[int, ...] = ()
    """Rows of `columns` that are new."""
    problems: tuple[Problem, ...] = ()
    """What can't be read; each is reported once, until it changes."""


class Ends:
    """What ends a following: a step that was reached, or a finding."""

    def __init__(self, until: int | None = None, fail_on: str | None = None) -> None:
        """`fail_on`: the least severity of a finding, or a finding's id."""
        self._until, self._fail_on = until, fail_on
        self._columns: RunColumns | None = None
        self._findings: tuple[Finding, ...] = ()

    def findings(self, columns: RunColumns) -> tuple[Finding, ...]:
        """Return what deserves attention; of the same columns found once."""
        if columns is not self._columns:
            self._columns, self._findings = columns, findings_of(columns)
        return self._findings

    def fails_on(self, columns: RunColumns) -> tuple[str, ...]:
        """Return the ids of the findings that end it."""
        return failing_ids(self.findings(columns), self._fail_on) if self._fail_on is not None else ()

    def are_met(self, taken: Taken) -> bool:
        """Return whether that was the last to be taken."""
        columns = taken.columns
        if columns is None:
            return False
        steps = (
            column_rows(o.variables, "step", slice(row, row + 1))
            for o in columns.optimizers.values()
            for row in taken.rows
        )
        reached = max((int(step[0]) for step in steps), default=-1)
        return bool(self.fails_on(columns)) or (self._until is not None and reached >= self._until)


def failing_ids(findings: Iterable[Finding], fail_on: str) -> tuple[str, ...]:
    """Return the ids of findings of a severity or more, or of that id, each once."""
    least = Severity[fail_on.upper()] if fail_on in SEVERITIES else None
    return tuple(dict.fromkeys(f.id for f in findings if (f.id == fail_on if least is None else f.severity >= least)))


def passing_problem(error: StoreError) -> Problem | None:
    """Return the Problem of a store or page that can't be written for the moment, such as on a full disk; None if
    waiting doesn't help."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return Problem(CANT_WRITE, str(error), "it is tried again at each look", "error")
        cause = cause.__cause__
    return None


class Following:
    """Looks, analyses, waits; an iterator of what is new, with at least one `Taken` each look."""

    def __init__(
        self,
        watch: Watch,
        store_of: Callable[[Run], Path],
        analyze: Analyze,
        *,
        every: float | None = None,
        idle: float | None = None,
        is_over: Callable[[Taken], bool] = lambda _: False,
    ) -> None:
        """`every`: seconds between two looks. Ends when nothing has changed in the folder for `idle` seconds of
        waiting, or once `is_over` says so of what was taken."""
        self._watch, self._store_of, self._analyze = watch, store_of, analyze
        self._every = every if every is not None else FAR if watch.is_far else NEAR
        self._idle, self._is_over = idle, is_over
        self._stores: dict[Path, tuple[str, Path]] = {}
        self._entered: dict[Path, int] = {}
        """By store, which grouping of all checkpoints into runs `_stores` knows."""
        self._shelves: dict[Path, _Shelf] = {}
        self._told = ""

    def __iter__(self) -> Iterator[Taken]:
        changed_at = time.monotonic()
        while True:
            is_ending = self._idle is not None and time.monotonic() - changed_at >= self._idle
            is_changed = self._watch.look(at_all=is_ending)
            if self._watch.error is not None and str(self._watch.error) != self._told:
                problem = Problem(CANT_LOOK, str(self._watch.error), "it is tried again", "error")
                yield Taken(problems=(problem,))
            self._told = str(self._watch.error or "")
            yield Taken(problems=tuple(self._watch.lost))
            is_over = False
            for taken in self._news(set(self._watch.fresh())):
                is_over |= self._is_over(taken)
                is_changed = True  # the folder may have changed while this was read, or a page drawn of it
                yield taken
            now = time.monotonic()
            if is_changed:
                changed_at = now
            if is_over or (is_ending and not is_changed):
                yield from self._last()
                return
            left = self._every if not self._watch.is_unsettled else min(self._every, SOON)
            if self._idle is not None:
                left = min(left, max(changed_at + self._idle - now, 0.01))
            time.sleep(left)

    def _news(self, fresh: set[Path], *, is_last: bool = False) -> Iterator[Taken]:
        if not fresh:
            return
        for path in fresh & set(self._watch.failed()) if not is_last else ():
            self._watch.mark(path, "new")  # it is tried again
        for run in self._watch.runs(with_failed=is_last):
            own = among(run, fresh)
            if own:
                yield from self._taken(run, own, is_last=is_last)

    def _last(self) -> Iterator[Taken]:
        """Read once more what can't be read, so that the store says so; raise StoreError if a store lacks anything."""
        yield from self._news(set(self._watch.unreported()), is_last=True)
        for shelf in self._shelves.values():
            if shelf.unwritten is not None:
                raise shelf.unwritten

    def _taken(self, run: Run, fresh: list[Path], *, is_last: bool) -> Iterator[Taken]:
        name, store = self._place(run)
        shelf = self._shelves.setdefault(store, _Shelf())
        if shelf.fingerprints is None and store.exists():
            before = Stored.of(store)
            shelf.held.columns, shelf.held.file = before
            shelf.take(before.columns)
        near = replace(near_run(run, fresh), name=name)
        near = replace(near, stored=len(shelf.places) if shelf.has_all_before(near, fresh) else 0)
        try:
            columns = self._analyze(near, store, shelf.held)
        except StoreError as error:
            if is_last or (problem := passing_problem(error)) is None:
                raise
            if shelf.unwritten is None:
                yield Taken(near, store, problems=(problem,))
            shelf.unwritten = error
            return  # what is fresh stays so
        except RequestError:
            raise
        except NoStateError as error:
            for path in fresh:
                self._watch.mark(path, "stateless")
            said = [path for path in fresh if self._watch.should_report(path, at_once=is_last)]
            problem = Problem("no-state", str(error), "the next ones are waited for", "info")
            if said:
                yield Taken(run, store, None, problems=(problem,))
            return
        except NoAnswerError as error:  # what is there isn't known
            for path in fresh:
                self._watch.mark(path, "new")
            if shelf.unanswered != str(error):
                yield Taken(run, store, None, problems=(Problem(CANT_LOOK, str(error), "it is tried again", "error"),))
            shelf.unanswered = str(error)
            return
        except (ChangedFileError, NotFoundError):  # it was deleted, or written meanwhile: the next look shows
            for path in fresh:
                self._watch.mark(path, "new")
            return
        except CkptInspectError as error:
            problem = Problem(UNREADABLE, str(error), "it is read again when it changes", "error")
            problems = tuple(problem for path in fresh if self._fails(path, problem, is_last=is_last))
            if problems:
                yield Taken(run, store, None, problems=problems[:1])
            return
        shelf.unwritten, shelf.unanswered = None, ""
        rows = shelf.take(columns, near)
        failures = {remark.checkpoint: remark.problem for remark in columns.failures}
        reported: list[Problem] = []
        for path in near.checkpoints:
            failure = failures.get(path.name)
            if shelf.has(path) and failure is None:
                self._watch.mark(path, "taken")
            elif path in fresh and failure is not None and failure.severity == "error":
                if self._fails(path, failure, is_last=is_last):
                    reported.append(failure)
            else:  # deleted, or changed meanwhile
                self._watch.mark(path, "new")
        if rows or reported:
            yield Taken(near, store, columns, rows, tuple(reported))

    def _fails(self, path: Path, failure: Problem, *, is_last: bool) -> bool:
        """Take a failure in; return whether it is to be reported."""
        self._watch.mark(path, "failed", failure)
        return self._watch.should_report(path, at_once=is_last)

    def _place(self, run: Run) -> tuple[str, Path]:
        """Return the run's name and store: those that it had before, whatever else is in the folder by now."""
        before = next((self._stores[path] for path in reversed(run.checkpoints) if path in self._stores), None)
        name, store = before or (run.name, self._store_of(run))
        if self._entered.get(store) != self._watch.groupings or len(self._stores) > 2 * self._watch.count + _SPARE:
            self._stores = {path: place for path, place in self._stores.items() if place[1] != store}
            self._stores |= dict.fromkeys(run.checkpoints, (name, store))
            self._entered[store] = self._watch.groupings
        for path in reversed(run.checkpoints):
            if path in self._stores:
                break
            self._stores[path] = name, store
        return name, store


def follow(
    paths: Iterable[PathLike],
    place: Path,
    analyze: Callable[..., RunColumns],
    is_over: Callable[[Taken], bool],
    *,
    every: float | None = None,
    idle: float | None = None,
) -> Iterator[Taken]:
    """Yield what is new of the trainings that write to `paths`, as it comes; stores are in `place`, or it is the one.

    `analyze` as `runs.analyze`. Raises RequestError if several runs would share a store.
    """
    is_one = not place.is_dir()

    def store_of(run: Run) -> Path:
        if not is_one:
            if run.name not in chosen:
                chosen[run.name] = stores.store_for(run, place)
            return chosen[run.name]
        names.setdefault(run.name)
        if len(names) > 1:
            raise RequestError(f"{place}: one store can't hold {len(names)} runs ({', '.join(names)}); name a pattern")
        return place

    names: dict[str, None] = {}
    chosen: dict[str, Path] = {}
    return iter(
        Following(
            Watch(paths),
            store_of,
            lambda run, store, held: analyze(run, store=store, held=held),
            every=every,
            idle=idle,
            is_over=is_over,
        )
    )


@dataclass(slots=True)
class _Shelf:
    """A store, as it was left."""

    fingerprints: dict[str, str] | None = None
    """By the checkpoints' absolute paths; None if it has not been looked into, or was not there."""
    places: dict[str, int] = field(default_factory=dict)
    """Rows, by the same."""
    names: set[str] = field(default_factory=set)
    held: Held = field(default_factory=lambda: Held(is_watched=True))
    unwritten: StoreError | None = None
    """Why it couldn't be written the last time; None if it could."""
    unanswered: str = ""
    """What was said the last time of a server that doesn't give what is to be read; empty if it does."""

    def has(self, path: Path) -> bool:
        """Return whether it holds the checkpoint."""
        return absolute(path) in self.places

    def has_all_before(self, near: Run, fresh: Sequence[Path]) -> bool:
        """Return whether these are its newest checkpoints, and after them those that are fresh: it only grows."""
        start = len(near.checkpoints) - len(fresh)
        before, new = near.checkpoints[:start], near.checkpoints[start:]
        if set(new) != set(fresh) or any(self.has(path) or path.name in self.names for path in new):
            return False
        first = first_of_end(len(self.places))
        return first > 0 and all(self.places.get(absolute(path), -1) >= first for path in before)

    def take(self, columns: RunColumns, near: Run | None = None) -> tuple[int, ...]:
        """Take in what it holds now; return the rows that are new. `near`: what was analysed."""
        count, known = len(columns), self.fingerprints or {}
        is_grown = near is not None and near.stored > 0 and count >= len(self.places)
        start = max(len(self.places) - len(near.checkpoints), 0) if is_grown and near is not None else 0
        rows = range(start, count)
        own = [
            column_rows(columns.checkpoints, name, slice(start, count))
            for name in ("path", "fingerprint", "checkpoint")
        ]
        found = list(zip(rows, *own, strict=True))
        new = tuple(row for row, path, fingerprint, _ in found if known.get(path) != fingerprint)
        if not is_grown:
            self.fingerprints, self.places, self.names = {}, {}, set()
        assert self.fingerprints is not None
        for row, path, fingerprint, name in found:
            self.fingerprints[path], self.places[path] = fingerprint, row
            self.names.add(name)
        return new


def among(run: Run, fresh: Collection[Path]) -> list[Path]:
    """Return which checkpoints of a run these are, in its order; those that are new are its last, mostly."""
    return [run.checkpoints[place] for place in _places(run, fresh)]


def _places(run: Run, fresh: Collection[Path]) -> list[int]:
    found: list[int] = []
    for place in reversed(range(len(run.checkpoints))):
        if len(found) == len(fresh):
            break
        if run.checkpoints[place] in fresh:
            found.append(place)
    return found[::-1]


def near_run(run: Run, fresh: Collection[Path]) -> Run:
    """Return the run with the new checkpoints and those just before each, which they are compared with; a short run as
    it is."""
    if len(run.checkpoints) <= WHOLE:
        return run
    places = _places(run, set(fresh))
    wanted = sorted({n for place in places for n in range(max(place - KEPT_CHECKPOINTS, 0), place + 1)})
    return run.only(wanted)
