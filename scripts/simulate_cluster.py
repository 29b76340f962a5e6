#!/usr/bin/env python3
"""Simulate the analysis of a long run on many workers, from what the parts of the work take.

usage: scripts/simulate_cluster.py [--terabytes 1] [--checkpoint-mb 0.4 1300] [--workers 1 10 100] [--link-gb 12.5]
       scripts/simulate_cluster.py --check [FOLDER ..]    measures the constants here first, on runs in these folders
                                                          (by default 1,000 small checkpoints and 2 of 1.31 GB, which
                                                          are made), and compares predictions for 1 and 2 workers

The model: a worker compares a stretch of 512 checkpoints (`compare` each), three stretches ahead of the one that the
first process takes in (`tell` each). Then it hands out their units of at most 1 GiB (`task` each), of which 256 are
under way at a time, and puts the results into columns and the store (`merge` each checkpoint, `finish` once);
meanwhile workers read and compute side by side. Fewer than 64 checkpoints are compared by the first process. Reading
is bounded by what all share (`--link-gb`, of the file system or network). A worker takes the next unit when it is
done with one. What the first process does comes one after another: there it stops scaling. Constants are the
processor's time, so that predictions are of machines that do nothing else; what was measured is shown as time that
passed, and as the processor's. Of a machine with fewer processors than processes all work is shared by those it has.
"""

from __future__ import annotations

import argparse
import heapq
import os
import pickle
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import benchmark_data
import trial_many

import ckpt_inspect as ci
from ckpt_inspect.runs.comparing import MANY, compare
from ckpt_inspect.runs.execution import IN_FLIGHT, UnitResult, measure_unit
from ckpt_inspect.runs.inferring import ASKED, end_of_stretch
from ckpt_inspect.runs.planning import LONG, UNIT_BYTES, Options, Unit
from ckpt_inspect.runs.worker_processes import TOGETHER, WorkerProcesses
from ckpt_inspect.state.selection import Selection

_SMALL_RUN, _LARGE_RUN = 1000, 2
"""Checkpoints of the runs that are made."""

_MOST = 512
"""Checkpoints of a run that are measured."""

_TIMES = 3
"""How often each is."""

_LARGE = 100e6
"""Bytes from which a checkpoint is taken to cost what the large ones do."""


@dataclass(frozen=True)
class Constants:
    """Seconds, and seconds a byte; of one thread."""

    open: float
    """A worker opens a checkpoint, resolves its state, and answers."""
    compute: float
    """A worker reads from memory, verifies and computes, for each byte."""
    compare: float
    """A worker looks at a checkpoint and compares it with the one before."""
    tell: float
    """The first process takes in what a checkpoint shows; and compares it, if there are few."""
    task: float
    """The first process hands out a unit and gets its result."""
    merge: float
    """The first process puts a checkpoint's parts together, and into columns and the store."""
    finish: float
    """The first process makes the store, once."""
    start: float
    """A worker starts, once."""


SMALL = Constants(1.1e-3, 0.24e-9, 0.7e-3, 0.06e-3, 0.1e-3, 0.5e-3, 0.06, 0.25)
LARGE = Constants(3.4e-3, 0.24e-9, 0.0, 37e-3, 0.4e-3, 0.9e-3, 0.06, 0.25)
"""As `--check` measured them once, of 1,000 checkpoints of four parameters and of 1.31 GB in 146."""


@dataclass(frozen=True)
class Predicted:
    """Seconds."""

    total: float
    first: float
    """Of the first process' processor."""
    workers: float
    """Of all workers' processors."""

    def on(self, processors: int) -> float:
        """Return how long it takes where all share so many processors."""
        return max(self.total, (self.first + self.workers) / processors)


def simulated(constants: Constants, checkpoints: int, nbytes: int, workers: int, link: float) -> Predicted:
    """Return what a run takes. `link`: bytes a second that all workers together can read."""
    units = -(-nbytes // UNIT_BYTES)
    own = constants.open + constants.compute * nbytes / units
    # what a long run's units came to is put away as they are done, of others when all are there
    put_away, at_end = (constants.merge, 0.0) if checkpoints > LONG else (0.0, checkpoints * constants.merge)
    free, under_way = [constants.start] * workers, list[float]()
    now = busy = shared = 0.0

    def compared(first: int) -> float:
        """Return when a worker has compared the stretch that begins there, if it is asked now."""
        count = min(end_of_stretch(first), checkpoints) - first
        if count < MANY:
            return now
        done = max(heapq.heappop(free), now) + count * constants.compare
        heapq.heappush(free, done)
        return done

    ahead: deque[float] = deque()
    asked = stop = 0
    for place in range(checkpoints):
        if place == stop:
            while asked < checkpoints and len(ahead) <= ASKED:
                ahead.append(compared(asked))
                asked = end_of_stretch(asked)
            stop = end_of_stretch(place)
            told = (min(stop, checkpoints) - place) * constants.tell
            now, busy = max(now, ahead.popleft()) + told, busy + told
        for _ in range(units):
            now, busy = now + constants.task, busy + constants.task
            begun = max(heapq.heappop(free), now)
            shared = max(shared, begun) + nbytes / units / link
            done = max(begun + own, shared)
            heapq.heappush(free, done)
            heapq.heappush(under_way, done)
            if len(under_way) >= IN_FLIGHT:
                now, busy = max(now, heapq.heappop(under_way)) + put_away / units, busy + put_away / units
    while under_way:
        now, busy = max(now, heapq.heappop(under_way)) + put_away / units, busy + put_away / units
    last = at_end + constants.finish
    theirs = workers * constants.start + checkpoints * (units * own + constants.compare * (checkpoints >= MANY))
    return Predicted(now + last, busy + last, theirs)


# --- measuring


class _Recording(Executor):
    """Does each unit at once, and writes down what it took."""

    def __init__(self) -> None:
        self.together = TOGETHER
        self.comparisons = 0.0
        self.seconds = 0.0
        self.results: list[list[UnitResult]] = []
        """Of each call."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """Return a future that is done."""
        future = Future[Any]()
        begun = time.process_time()
        result = fn(*args, **named)
        took = time.process_time() - begun
        if fn is compare:
            self.comparisons += took
        else:
            self.seconds += took
            self.results.append(result)
        future.set_result(result)
        return future


def measured(run: ci.Run, finish: float | None = None) -> Constants:
    """Return the constants on this machine; `finish` of another run, if this one is too short to tell."""
    chosen = list(run.checkpoints[:_MOST])
    nbytes = sum(map(run.size_at, range(len(chosen)))) // len(chosen)
    first, own, recorded = _least(chosen)
    without, _, _ = _least(chosen, infer=False)
    if finish is None:
        quarter = len(chosen) // 4
        short, _, _ = _least(chosen[:quarter], infer=False)
        each = (without - short) / (len(chosen) - quarter)
        finish = max(without - each * len(chosen), 0.0)
    units = sum(map(len, recorded.results)) / len(chosen)
    start, task, answer = _transport(recorded.results)
    opened = _opening(chosen, recorded.results[0][0])
    compute = (own / len(chosen) - units * opened) / nbytes
    return Constants(
        open=opened + answer,
        compute=max(compute, 0.0),
        compare=recorded.comparisons / len(chosen),
        tell=max(first - without, 0.0) / len(chosen),
        task=task,
        merge=max(without - finish, 0.0) / len(chosen),
        finish=finish,
        start=start,
    )


def _least(paths: list[Path], *, infer: bool = True) -> tuple[float, float, _Recording]:
    """What everything but the units takes, and what all units take, which an executor does: the least of some times,
    for what else the machine does makes each longer."""
    firsts, owns = [], []
    for _ in range(_TIMES):
        recording = _Recording()
        with tempfile.TemporaryDirectory() as scratch:
            begun = time.process_time()
            ci.analyze(paths, store=Path(scratch) / "s.h5", infer=infer, executor=recording)
            owns.append(recording.seconds)
            firsts.append(time.process_time() - begun - owns[-1] - recording.comparisons)
    return min(firsts), min(owns), recording


def _transport(results: list[list[UnitResult]]) -> tuple[float, float, float]:
    """What starting a worker takes it; and, for each unit, sending it and taking its result here, and there."""
    packed, count = [pickle.dumps(result) for result in results], sum(map(len, results))
    at_first = _children()
    with WorkerProcesses(1) as processes:
        processes.submit(abs, 1).result()
    started = _children() - at_first
    with WorkerProcesses(1) as processes:
        processes.submit(abs, 1).result()
        begun = time.process_time()
        waiting = [processes.submit(pickle.loads, each) for each in packed]
        for future in waiting:
            future.result()
        task = (time.process_time() - begun) / count
    answer = max(_children() - at_first - 2 * started, 0.0) / count
    return started, task, answer


def _opening(paths: list[Path], result: UnitResult) -> float:
    """What a unit takes in which next to nothing is computed: of the smallest parameter alone."""
    assert result.analysis is not None
    parameters = result.analysis.optimizers[0].parameters
    sizes = {name: _size(shape) for name, shape in zip(parameters.names, parameters.shapes, strict=True)}
    options = Options(selection=Selection.of([min(sizes, key=sizes.__getitem__)], None))
    took = []
    for _ in range(_TIMES):
        begun = time.process_time()
        for path in paths:
            measure_unit(Unit((str(path),), options))
        took.append(time.process_time() - begun)
    return min(took) / len(paths)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- what is printed


def checked(folder: Path, finish: float | None) -> Constants:
    """Print what is predicted of a run and what it took, and return its constants."""
    (run,) = ci.find_runs([folder])
    sizes = list(run.sizes().values())
    constants = measured(run, finish)
    sys.stdout.write(f"{len(sizes)} checkpoints of {sum(sizes) / len(sizes) / 1e6:.4g} MB, measured here\n")
    show(constants)
    processors = len(os.sched_getaffinity(0))
    took: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    for _ in range(_TIMES):
        for workers, runs in took.items():
            with tempfile.TemporaryDirectory() as scratch:
                begun, own, theirs = time.perf_counter(), time.process_time(), _children()
                ci.analyze(folder, store=Path(scratch) / "s.h5", workers=workers)
                runs.append((time.perf_counter() - begun, time.process_time() - own, _children() - theirs))
    heads = ("workers", "predicted", "took", "first process", "took", "all workers", "took")
    sys.stdout.write(" ".join(f"{head:>13}" for head in heads) + "\n")
    for workers, runs in took.items():
        predicted = simulated(constants, len(sizes), sum(sizes) // len(sizes), workers, 1e12)
        wall, own, theirs = (min(each) for each in zip(*runs, strict=True))
        figures = (predicted.on(processors), wall, predicted.first, own, predicted.workers, theirs)
        sys.stdout.write(" ".join((f"{workers:13}", *(f"{f:11.2f} s" for f in figures))) + "\n")
    sys.stdout.write(f"(seconds that pass on {processors} processors, then of processors; the least of {_TIMES})\n\n")
    return constants


def show(constants: Constants) -> None:
    """Print the constants."""
    for name in ("open", "compare", "tell", "task", "merge", "finish", "start"):
        sys.stdout.write(f"  {name:8} {1e3 * getattr(constants, name):9.2f} ms\n")
    sys.stdout.write(f"  compute  {1e9 * constants.compute:9.2f} ns a byte\n")


def made_runs(place: Path) -> list[Path]:
    """Make a run of many small checkpoints, and one of few large ones."""
    training = trial_many.Training(100)
    small, large = place / "small", place / "large"
    small.mkdir()
    for _ in range(_SMALL_RUN):
        training.update()
        training.save(small)
    benchmark_data.write_tf1_run(large, benchmark_data.bert_base(), tuple(range(100, 100 + _LARGE_RUN)))
    return [small, large]


def main() -> int:
    """Print the constants and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terabytes", type=float, default=1.0)
    parser.add_argument("--checkpoint-mb", type=float, default=[0.4, 10.0, 1300.0], nargs="+")
    parser.add_argument("--workers", type=int, default=[1, 2, 10, 100, 1000], nargs="+")
    parser.add_argument("--link-gb", type=float, default=12.5, help="GB a second that all workers together can read")
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", nargs="*", help="runs to measure here, small ones first"
    )
    parser.add_argument("--task", type=float, help="seconds that handing out a unit takes; Dask: about 0.001")
    options = parser.parse_args()
    small, large = SMALL, LARGE
    if options.check is not None:
        with tempfile.TemporaryDirectory() as scratch:
            found: list[Constants] = []
            for folder in options.check or made_runs(Path(scratch)):
                found.append(checked(folder, found[0].finish if found else None))
        small, large = found[0], found[-1]
    else:
        for name, constants in (("small", small), ("large", large)):
            sys.stdout.write(f"{name} checkpoints\n")
            show(constants)
    for size in options.checkpoint_mb:
        constants = large if size * 1e6 >= _LARGE else replace(small, compute=large.compute)
        if options.task is not None:
            constants = replace(constants, task=options.task)
        tabled(constants, options.terabytes, size, options.workers, 1e9 * options.link_gb)
    return 0


def tabled(constants: Constants, terabytes: float, size: float, workers: list[int], link: float) -> None:
    """Print what so much takes, in checkpoints of `size` MB."""
    checkpoints = max(1, round(terabytes * 1e6 / size))
    # A million checkpoints behave as so many times ten thousand do
    scale = max(1.0, checkpoints / 10_000)
    each = replace(constants, start=constants.start / scale, finish=constants.finish / scale)
    sys.stdout.write(f"\n{terabytes:g} TB in {checkpoints} checkpoints of {size:g} MB\n")
    sys.stdout.write(f"{'workers':>8} {'hours':>9} {'speed-up':>9} {'first process busy':>19}\n")
    alone = None
    for count in workers:
        predicted = simulated(each, round(checkpoints / scale), int(size * 1e6), count, link)
        seconds = scale * predicted.total
        alone = alone or seconds
        busy = 100 * predicted.first / predicted.total
        sys.stdout.write(f"{count:8} {seconds / 3600:9.3f} {alone / seconds:9.1f} {busy:17.0f} %\n")


if __name__ == "__main__":
    sys.exit(main())
