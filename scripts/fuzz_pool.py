"""Worker processes that make cases and look at them, each within limits of time and memory.

Workers are forked from a server that has imported everything. One that hangs is killed, one that dies is replaced; what
faulthandler wrote says where it was.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import resource
import signal
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import fuzz_work
from fuzz_work import Observed, Verdict
from mutators import STORE, Case, make_case, originals_of
from mutators.mutation import Files, Original, remove_folder, write_files

_PRELOADED = ["h5py", "matplotlib.pyplot", "pandas", "seaborn", "ckpt_inspect", "fuzz_pool"]
_CASES_EACH = 400  # then a worker is replaced, so that what one leaves behind doesn't pile up
_DRAWN = 0.02  # of the stores a report is drawn, which takes a hundred times as long as all else
_POLL = 0.05
_MOST_TO_MAKE = 120.0  # seconds that a mutator may take
_LEAST_SHARE, _LONGEST = 0.02, 20
"""Of a processor that a worker has if it is not waiting for something; and times its limit that it may then take."""
_SPARE = 4 << 30  # bytes of address space that a worker may take: more is refused to it, as by a machine that is full
_TOO_MUCH = 1.5e9  # bytes of memory with which a worker is ended, to protect the machine


@dataclass(frozen=True, slots=True)
class Setting:
    """What all workers of a campaign share."""

    seed: int
    fixtures: Path
    stores: Path
    """Stores to be mutated."""
    more: Path
    """A checkpoint to be analysed into a store."""
    scratch: Path
    """Where the cases' folders go."""
    seconds: float
    """Limit of time for a case, beyond its original's."""
    memory: float
    """Limit of memory for a case in bytes, beyond what was in use."""


Job = int | tuple[str, str]
"""The index of a case, or a format and the name of an original."""


@dataclass(frozen=True, slots=True)
class Done:
    """A job and its outcome."""

    job: Job
    record: dict[str, object]
    """What was changed, as the log has it."""
    observed: Observed | None
    """None if the worker did not come to the end."""
    verdict: Verdict | None = None
    """Set if it did not."""
    seconds: float = 0.0


# --- in a worker


def record_of(case: Case, seed: int) -> dict[str, object]:
    """Return what the log says of a case."""
    return {
        "seed": seed, "index": case.index, "format": case.format, "original": case.original.name,
        "mutator": case.mutator, "checksum": case.checksum.value, "note": case.note[:300], "digest": case.digest,
    }  # fmt: skip


def _serve(connection: Connection, setting: Setting, folder: Path, dump: Path) -> None:
    """Do the jobs that come through the connection, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with dump.open("w") as file, Path(os.devnull).open("w") as nowhere:
        faulthandler.enable(file)
        faulthandler.register(signal.SIGUSR1, file)
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        for name in ("keras-archive", STORE):  # what is imported late, before memory is measured
            original = originals_of(name, setting.fixtures, setting.stores)[0]
            _observe(setting, name, original, _place(original.files, folder), is_drawn=False)
        size = int(fuzz_work.mapped())
        resource.setrlimit(resource.RLIMIT_AS, (size + _SPARE, size + _SPARE))
        with contextlib.suppress(EOFError):
            while True:
                # files are written and removed while no time is taken: a thousand folders take their time
                job: Job = connection.recv()
                if isinstance(job, int):
                    case = make_case(setting.seed, job, setting.fixtures, setting.stores)
                    name, original, record = case.format, case.original, record_of(case, setting.seed)
                    place = _place(case.files, folder)
                    is_drawn = Random(f"{setting.seed}:{job}:drawn").random() < _DRAWN
                else:
                    name, originals = job[0], originals_of(job[0], setting.fixtures, setting.stores)
                    original = next(o for o in originals if o.name == job[1])
                    record = {"format": name, "original": original.name}
                    place = _place(original.files, folder)
                    is_drawn = name == STORE
                connection.send(record)
                connection.send(_observe(setting, name, original, place, is_drawn=is_drawn))


def _place(files: Files, folder: Path) -> Path:
    """Write a case's files where the last one's were, and return the folder."""
    place = folder / "case"
    remove_folder(place)
    write_files(files, place)
    return place


def _observe(setting: Setting, name: str, original: Original, place: Path, *, is_drawn: bool) -> Observed:
    before = fuzz_work.resident()
    fuzz_work.forget_peak()
    start = time.monotonic()
    if name == STORE:
        seen = fuzz_work.look_at_store(place, original.target, setting.more, is_drawn=is_drawn)
    else:
        seen = fuzz_work.look_at_checkpoint(place, original.target)
    seen.seconds, seen.peak = time.monotonic() - start, fuzz_work.peak() - before
    return seen


# --- in the main process


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    folder: Path
    dump: Path
    job: Job | None = None
    record: dict[str, object] = field(default_factory=dict)
    deadline: float = 0.0
    processor: float = 0.0
    """Seconds of processor time that it had taken when the case was begun."""
    started: float = 0.0
    done: int = 0


class Pool:
    """Workers that do jobs; a context manager."""

    def __init__(self, setting: Setting, workers: int) -> None:
        self._setting, self._count, self._made = setting, workers, 0
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._workers):
            self._end(worker)

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        """Do the jobs, and yield each as it is done; the next job is asked for when a worker is free."""
        waiting = iter(jobs)
        is_over = False
        while True:
            while not is_over and len([w for w in self._workers if w.job is not None]) < self._count:
                job = next(waiting, None)
                if job is None:
                    is_over = True
                    break
                self._give(job)
            busy = [w for w in self._workers if w.job is not None]
            if not busy:
                return
            ready = wait([w.connection for w in busy], _POLL)
            for worker in busy:
                done = self._heard(worker) if worker.connection in ready else self._looked_after(worker)
                if done is not None:
                    yield done

    def _give(self, job: Job) -> None:
        worker = next((w for w in self._workers if w.job is None), None)
        if worker is not None and (worker.done >= _CASES_EACH or not worker.process.is_alive()):
            self._end(worker)
            worker = None
        worker = worker or self._start()
        worker.job, worker.record, worker.started = job, {}, time.monotonic()
        worker.deadline = worker.started + _MOST_TO_MAKE
        worker.done += 1
        worker.connection.send(job)

    def _start(self) -> _Worker:
        self._made += 1
        # its name is as long as any other's: paths are in what is written
        folder = self._setting.scratch / f"worker-{self._made:06d}"
        folder.mkdir()
        ours, theirs = self._context.Pipe()
        dump = folder / "dump"
        process = self._context.Process(target=_serve, args=(theirs, self._setting, folder, dump), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours, folder, dump)
        self._workers.append(worker)
        return worker

    def _end(self, worker: _Worker) -> None:
        if worker.process.is_alive():
            worker.process.kill()
        worker.process.join()
        worker.connection.close()
        remove_folder(worker.folder)
        self._workers.remove(worker)

    def _heard(self, worker: _Worker) -> Done | None:
        """Take what a worker sent: first what it made, then what came of it; or learn that it died."""
        try:
            message: dict[str, object] | Observed = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            code = worker.process.exitcode or 0
            reason = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return self._lost(worker, "crash", reason)
        if isinstance(message, dict):
            worker.record, worker.started = message, time.monotonic()
            worker.deadline = worker.started + self._setting.seconds
            worker.processor = fuzz_work.processor_of(worker.process.pid or 0)
            return None
        done = Done(self._job(worker), worker.record, message, None, message.seconds)
        worker.job = None
        if message.exceptions or message.peak > self._setting.memory:
            self._end(worker)  # whose state may be odd
        return done

    def _looked_after(self, worker: _Worker) -> Done | None:
        """End a worker that takes too long, or too much."""
        if time.monotonic() > worker.deadline and self._has_had_its_time(worker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid or 0, signal.SIGUSR1)
            time.sleep(0.3)
            return self._lost(worker, "hang", f"{time.monotonic() - worker.started:.0f} s")
        if fuzz_work.resident_of(worker.process.pid or 0) > _TOO_MUCH:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid or 0, signal.SIGUSR1)
            time.sleep(0.1)
            return self._lost(worker, "memory", f"more than {_TOO_MUCH / 1e6:.0f} MB")
        return None

    def _has_had_its_time(self, worker: _Worker) -> bool:
        """Return whether it is the case that takes long, and not a machine that has others to serve."""
        took = time.monotonic() - worker.started
        busy = fuzz_work.processor_of(worker.process.pid or 0) - worker.processor
        limit = self._setting.seconds
        return not (bool(worker.record) and took * _LEAST_SHARE < busy < limit and took < _LONGEST * limit)

    def _lost(self, worker: _Worker, outcome: str, reason: str) -> Done:
        text = worker.dump.read_text(errors="replace") if worker.dump.exists() else ""
        text = text.partition("\nExtension modules:")[0]
        if not worker.record:
            raise RuntimeError(f"job {worker.job}: could not be made ({outcome}, {reason})\n{text}")
        verdict = Verdict(outcome, fuzz_work.innermost(text), f"{reason}\n{text}")
        done = Done(self._job(worker), worker.record, None, verdict, time.monotonic() - worker.started)
        self._end(worker)
        return done

    def _job(self, worker: _Worker) -> Job:
        if worker.job is None:
            raise RuntimeError("a worker without a job spoke")
        return worker.job
