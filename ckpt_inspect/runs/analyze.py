"""A run -> RunColumns: what is new of it is planned, measured and put with the rest, and kept in a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import Problem, Progress
from ckpt_inspect.errors import RequestError
from ckpt_inspect.formats.opened import OpenCheckpoints
from ckpt_inspect.layouts.found_before import FoundBefore
from ckpt_inspect.measurement.columns import Remark, RunColumns
from ckpt_inspect.runs.execution import Meter, Worker, run_units
from ckpt_inspect.runs.importing import importing
from ckpt_inspect.runs.planning import LONG, Options, Plan, Unit, plan_run, without_gone
from ckpt_inspect.runs.reading import Reading
from ckpt_inspect.runs.saving import Held, Saving
from ckpt_inspect.runs.stored_runs import stored_run
from ckpt_inspect.runs.told import Stretch, nothing_told
from ckpt_inspect.runs.unchanged import KnownFiles
from ckpt_inspect.runs.workers import Spare
from ckpt_inspect.series.run import Run
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.selection import Selection
from ckpt_inspect.storage import absolute, absolutes, is_far

if TYPE_CHECKING:
    from concurrent.futures import Executor

PathLike = str | os.PathLike[str]

_NEEDED_AFTERWARDS = (
    "hashlib",
    "ckpt_inspect.runs.assembly",
    "ckpt_inspect.findings.checks",
    "ckpt_inspect.runs.frames",
    "h5py",
)
"""What puts figures together and stores them, which takes as long to import as a fast disk takes for 100 MB."""

WORKERS_LOST = "workers-lost"
"""Code of the Problem of an executor whose workers ended before the work was done."""


def analyze(
    run: Run,
    *,
    store: PathLike | None = None,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    elements: bool = False,
    infer: bool = True,
    thresholds: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
    executor: Executor | Spare | None = None,
    held: Held | None = None,
) -> RunColumns:
    """Analyse the checkpoints of a run, in its order; the arguments are those of `ckpt_inspect.analyze`. `held`: what
    this process knows of the store already, and what it is to know afterwards.

    In a series a checkpoint that can't be read becomes a Problem of severity `error` (`RunColumns.failures`), and the
    rest is done. If this is interrupted, the checkpoints that were read are stored. Raises CkptInspectError if there is
    nothing else: a single checkpoint that can't be read, or none that holds moments; StoreError, before anything is
    read, if the store can't be written or is not one; RequestError for `elements` without a store, or with an executor.
    """
    if len(run.checkpoints) > 1 and any(name.rpartition(".")[2] == "step" for name in given or {}):
        raise RequestError(
            f"{run.name}: one step was given for all {len(run.checkpoints)} checkpoints, which were saved at different "
            "ones; leave it out, or analyse each checkpoint by itself with its own step"
        )
    limits = limits_of(thresholds)
    options = options_of(given, include, exclude, elements=elements, infer=infer)
    if elements and store is None:
        raise RequestError("whole arrays of effective learning rates are kept in a store: name one")
    spare, executor = (executor, None) if isinstance(executor, Spare) else (None, executor)
    if elements and executor is not None:
        raise RequestError(
            "whole arrays of effective learning rates are written as they are read, in this process alone: leave out "
            "the executor, or the elements"
        )
    found, meter = FoundBefore(), Meter(progress)
    with (
        Saving(None if store is None else Path(store), elements, held) as saving,
        OpenCheckpoints() as opened,
        Worker(threads, sink=saving.sink, progress=meter.add, found=found, open_anew=opened.take) as worker,
    ):
        plan = _planned(run, options, saving.path, saving.load(), found)
        unread = plan.unread
        if spare is not None and not elements:
            executor = spare.executor_for(unread)
        is_due = options.infers and bool(unread or not plan.was_inferred)
        if executor is None and any(map(is_far, unread[:1])):
            worker.begin(unread[0], options, plan.run.size_at(int(unread.places[0])))
        is_long = plan.first + plan.count() > LONG
        reading = Reading(plan, limits, spilled=saving.spilled() if is_long else None, windows=saving.held.windows)
        if held is not None and held.is_watched:
            reading.movement.trust()
        work = _Work(
            reading, options, meter, worker, opened, executor, is_due=is_due, is_stored=store is not None, found=found
        )
        lost: list[str] = []

        def units() -> Iterator[list[Unit]]:
            yield from work.units()
            saving.load_library()

        def save(*, is_final: bool, is_all: bool = False) -> RunColumns:
            """Store what there is, beside what another process has stored meanwhile; `is_all`: nothing is left to be
            read."""
            with saving.alone() as is_changed:
                if is_changed and (stored := saving.load()) is not None:
                    reading.plan = _planned(run, options, saving.path, stored, found)
                if reading.spilled is not None:
                    columns = saving.save_long(reading.long_run(is_all=is_all))
                    reading.is_kept(columns)
                    return columns
                columns = reading.columns()
                if columns != reading.plan.previous or not is_final:
                    saving.save(columns, is_final=is_final)
            return columns

        try:
            is_remote = any(map(is_far, unread))
            measured = run_units(units(), executor, meter, worker, threads or 1, lost, is_far=is_remote)
            # an executor's processes may be copies of this one, made when work comes
            later = importing(*_NEEDED_AFTERWARDS) if executor is None else nullcontext()
            with later, closing(measured) as checkpoints:
                for done, results in enumerate(checkpoints, 1):
                    saving.finish_elements(reading.take(results))
                    if done < work.count:  # else the store is written for good right away
                        saving.save_sometimes(lambda: save(is_final=False))
        except BaseException:
            if reading.fingerprints:
                save(is_final=True)
            raise
        reading.require_results()
        if plan.previous is not None and reading.is_stored():
            if is_long and run.survey is not None and run.survey.is_settled and stored_run(plan.previous) is not None:
                save(is_final=True, is_all=True)  # so that the next one sees without a look at each that nothing is new
            return plan.whole or plan.previous
        return _with_loss(save(is_final=True, is_all=True), lost)


def options_of(
    given: Given | None, include: Iterable[str] | None, exclude: Iterable[str] | None, *, elements: bool, infer: bool
) -> Options:
    """Return what is asked for by the arguments of `analyze`."""
    return Options(dict(given or {}), Selection.of(include, exclude), elements, infer)


def limits_of(thresholds: Mapping[str, float] | None) -> dict[str, float]:
    """Return the thresholds that differ from their defaults. Raises RequestError for a name that is none."""
    if not thresholds:
        return {}
    from ckpt_inspect.findings.thresholds import Thresholds

    return Thresholds.of(thresholds).given()


class _Work:
    """What of a run is read: units of work, made when they are asked for, with what the run tells of each."""

    def __init__(
        self,
        reading: Reading,
        options: Options,
        meter: Meter,
        worker: Worker,
        opened: OpenCheckpoints,
        executor: Executor | None,
        *,
        is_due: bool,
        is_stored: bool,
        found: FoundBefore,
    ) -> None:
        """`is_due`: whether the checkpoints have to be asked what they tell; the rest as `told_stretches` takes it."""
        self._reading, self._options, self._meter, self._worker = reading, options, meter, worker
        self._plan = reading.plan
        self._is_due, self._is_stored, self._found = is_due, is_stored, found
        self._opened, self._executor = opened, executor
        unread = self._plan.unread.places
        self._sizes = np.zeros(len(self._plan.run.checkpoints), np.int64)
        """In bytes, of those that are read; 0 for the others."""
        self._sizes[unread] = [self._plan.run.size_at(place) for place in unread.tolist()]
        self.count = len(unread)
        """Checkpoints that are read, as far as it is known by now."""
        meter.total = int(self._sizes.sum())

    def units(self) -> Iterator[list[Unit]]:
        """Yield the units of one checkpoint after another."""
        for told, places in self._told():
            paths = [self._plan.run.checkpoints[place] for place in places]
            self._reading.tell(told, paths)
            for path, size in zip(paths, self._sizes_of(places), strict=True):
                # far away the next part is asked for while one is measured
                is_cut = self._executor is not None or is_far(path)
                inferred = told.of(absolute(path))
                yield self._worker.units_of(path, self._options, size, inferred, is_cut=is_cut)

    def _told(self) -> Iterator[tuple[Stretch, Sequence[int]]]:
        if not self._is_due:
            return nothing_told(self._plan)
        from ckpt_inspect.runs.inferring import told_stretches

        return told_stretches(self._plan, self._found, self._opened, self._executor, is_stored=self._is_stored)

    def _sizes_of(self, places: Sequence[int]) -> list[int]:
        """Their sizes; what the store's figures turn out to be no longer true of is read besides what was expected."""
        for place in places:
            if not self._sizes[place]:
                self._sizes[place] = late = self._plan.run.size_at(place)
                self.count += 1
                self._meter.total += late
        return [int(self._sizes[place]) for place in places]


def _planned(run: Run, options: Options, store: Path | None, previous: RunColumns | None, found: FoundBefore) -> Plan:
    """Return the plan; of a store to which the newest checkpoints are only added, with nothing but its end."""
    is_grown = previous is not None and len(previous) == run.stored > LONG and not options.has_elements
    if is_grown and previous is not None and previous.options == options.text():  # else all of it is written anew
        from ckpt_inspect.runs.inferring import end_of, is_newest_open

        end = end_of(previous)
        if end is not None:
            stored = stored_run(previous)
            stamps = None if stored is None else stored.known_stamps
            known_files = KnownFiles(run.survey, store, end, len(previous) - len(end), stamps)
            plan = without_gone(plan_run(run, options, store, end, known_files))
            is_known = set(absolutes(end.checkpoints["path"])).isdisjoint(absolutes(plan.unread))
            is_told = plan.was_inferred or not options.infers
            if is_known and (is_told or not is_newest_open(run, options, found)):
                return replace(plan, whole=previous)
    return without_gone(plan_run(run, options, store, previous, KnownFiles(run.survey, store, previous)))


def _with_loss(columns: RunColumns, lost: Sequence[str]) -> RunColumns:
    """Return the columns with a remark if an executor gave up: no fact about the run, so that no store has it."""
    if not lost:
        return columns
    problem = Problem(
        WORKERS_LOST,
        f"the executor lost its workers ({lost[0]})",
        "this machine did the rest of the work; the results are the same",
    )
    return replace(columns, remarks=(*columns.remarks, Remark("", "", problem)))
