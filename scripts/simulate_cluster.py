#!/usr/bin/env python3
"""Simulate the analysis of a long run on many workers, from what the parts of the work take.

usage: scripts/simulate_cluster.py [--terabytes 1] [--checkpoint-mb 400] [--workers 1 10 100] [--link-gb 1.25]
       scripts/simulate_cluster.py --measure FOLDER        measures the constants here, on the run in FOLDER
       scripts/simulate_cluster.py --measure FOLDER --check      and compares predictions for 1 and 2 workers

The model: the first process looks at each checkpoint by itself (`look`), hands out units of at most 1 GiB (`task` each)
and puts the results into the store (`merge` each checkpoint); workers read and compute side by side. Reading is bounded
by what all share (`--link-gb`, of the file system or network). A worker takes the next unit when it is done with one.
What the first process does comes one after another: there it stops scaling. Constants are the processor's time, so
that predictions are of a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import copy
import heapq
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import ckpt_inspect as ci
from ckpt_inspect.runs.execution import measure_unit, merge
from ckpt_inspect.runs.planning import UNIT_BYTES, Options, Unit
from ckpt_inspect.runs.worker_processes import WorkerProcesses


@dataclass(frozen=True)
class Constants:
    """Seconds, and seconds a byte; of one thread."""

    open: float = 2.5e-3
    """A worker opens a checkpoint and resolves its state."""
    compute: float = 0.5e-9
    """A worker reads from memory, verifies and computes, for each byte."""
    look: float = 2.5e-3
    """The first process looks at a checkpoint, and compares it with the one before."""
    task: float = 0.4e-3
    """The first process hands out a unit and gets its result."""
    merge: float = 0.3e-3
    """The first process puts a checkpoint's parts together, and into columns and the store."""
    start: float = 0.5
    """Workers start, once."""


def simulated(constants: Constants, checkpoints: int, nbytes: int, workers: int, link: float) -> tuple[float, float]:
    """Return the seconds that a run takes, and the share of them in which the first process is busy.

    `link`: bytes a second that all workers together can read.
    """
    units = -(-nbytes // UNIT_BYTES)
    own = constants.open + constants.compute * nbytes / units
    looked = constants.start + checkpoints * constants.look
    first, busy = looked, checkpoints * constants.look
    free = [looked] * workers
    shared = looked
    last = looked
    for _ in range(checkpoints * units):
        first += constants.task
        begun = max(heapq.heappop(free), first)
        shared = max(shared, begun) + nbytes / units / link
        done = max(begun + own, shared)
        heapq.heappush(free, done)
        last = max(last, done)
    behind = checkpoints * constants.merge
    first += behind
    busy += checkpoints * (units * constants.task + constants.merge)
    total = max(last + constants.merge, first)
    return total, busy / total


def measured(folder: Path) -> tuple[Constants, int, int]:
    """Return the constants on this machine, the number of checkpoints, and the bytes of each."""
    paths = ci.find_checkpoints(folder)[:64]
    (run,) = ci.find_runs([folder])
    sizes = list(run.sizes(paths).values())
    nbytes = sum(sizes) // len(sizes)
    options = Options()
    results = []
    seconds = []
    for path in paths:
        begun = _processor()
        results.append(measure_unit(Unit((str(path),), options, nbytes=nbytes)))
        seconds.append(_processor() - begun)
    opening = []
    for path in paths:
        begun = _processor()
        ci.optimizer_states(path)
        opening.append(_processor() - begun)
    own, opened = min(seconds), min(opening)
    begun = _processor()
    for result in results:
        merge([result])
    merging = (_processor() - begun) / len(results)
    with WorkerProcesses(1) as processes:
        begun = time.perf_counter()
        processes.submit(abs, 1).result()
        started = time.perf_counter() - begun
        begun = _processor()
        for result in results:
            processes.submit(copy.copy, result).result()
        task = (_processor() - begun) / len(results)
    chosen = run.without(set(run.checkpoints) - set(paths))
    with tempfile.TemporaryDirectory() as scratch:
        begun = _processor()
        ci.analyze(chosen, store=Path(scratch) / "s.h5", threads=1)
        alone = _processor() - begun
        begun = _processor()
        ci.analyze(chosen, infer=False, threads=1)
        without = _processor() - begun
    units = sum(seconds)
    look = max(alone - without, 0.0) / len(paths)
    stored = max(without - units, 0.0) / len(paths)
    compute = max(own - opened, 1e-6) / nbytes
    return Constants(opened, compute, look, task, merging + stored, started), len(run.checkpoints), nbytes


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Print the constants and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terabytes", type=float, default=1.0)
    parser.add_argument("--checkpoint-mb", type=float, default=[0.4, 10.0, 1300.0], nargs="+")
    parser.add_argument("--workers", type=int, default=[1, 2, 10, 100, 1000], nargs="+")
    parser.add_argument("--link-gb", type=float, default=12.5, help="GB a second that all workers together can read")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help="a run of this machine")
    parser.add_argument("--check", action="store_true", help="measure one and two workers on the run too")
    parser.add_argument("--task", type=float, help="seconds that handing out a unit takes; Dask: about 0.001")
    options = parser.parse_args()
    constants = Constants()
    if options.measure is not None:
        constants, count, nbytes = measured(options.measure)
    if options.task is not None:
        constants = replace(constants, task=options.task)
    for name in ("open", "look", "task", "merge", "start"):
        sys.stdout.write(f"{name:8} {1e3 * getattr(constants, name):8.2f} ms\n")
    sys.stdout.write(f"compute  {1e9 * constants.compute:8.2f} ns a byte\n")
    if options.check and options.measure is not None:
        for workers in (1, 2):
            predicted, _ = simulated(constants, count, nbytes, workers, 1e12)
            begun = time.perf_counter()
            ci.analyze(options.measure, workers=workers)
            took = time.perf_counter() - begun
            sys.stdout.write(f"{workers} workers: predicted {predicted:.2f} s, took {took:.2f} s\n")
    total = options.terabytes * 1e12
    for size in options.checkpoint_mb:
        checkpoints = max(1, round(total / (size * 1e6)))
        # A million checkpoints behave as so many times ten thousand do
        scale = max(1.0, checkpoints / 10_000)
        sys.stdout.write(f"\n{options.terabytes:g} TB in {checkpoints} checkpoints of {size:g} MB\n")
        sys.stdout.write(f"{'workers':>8} {'hours':>9} {'speed-up':>9} {'first process busy':>19}\n")
        alone = None
        for workers in options.workers:
            each = replace(constants, start=constants.start / scale)
            seconds, busy = simulated(each, round(checkpoints / scale), int(size * 1e6), workers, 1e9 * options.link_gb)
            seconds *= scale
            alone = alone or seconds
            sys.stdout.write(f"{workers:8} {seconds / 3600:9.2f} {alone / seconds:9.1f} {100 * busy:17.0f} %\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
