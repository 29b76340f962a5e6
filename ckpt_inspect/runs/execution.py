"""Units of work -> what was found: in this process, or wherever an executor takes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, local
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ckpt_inspect.checkpoint import Checkpoint, CountedPieces, Progress
from ckpt_inspect.errors import CkptInspectError, WorkerLostError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.layouts import find_optimizers
from ckpt_inspect.layouts.found_before import FoundBefore
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.analysis import Analysis, Chosen, ElementSink, join
from ckpt_inspect.runs.planning import Options, Span, Unit, plan_units
from ckpt_inspect.state.inferred import Inferred

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

IN_FLIGHT = 256
"""Units that an executor holds at a time: enough for as many workers, and few of a run of 100,000."""

_SMALL = 4 << 20
"""Bytes of a checkpoint at most, of which a worker may be asked for several at a time."""


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What a unit of work came to; picklable."""

    unit: Unit
    analysis: Analysis | None
    """Of the unit's parameters."""
    error: CkptInspectError | None = None
    """Why there is none."""
    counted: CountedPieces = ()
    """What was checksummed of it, if it is one part of a checkpoint that others read as well."""


@dataclass(slots=True)
class _Opened:
    """A checkpoint that is open, and what it is measured with."""

    path: Path
    options: Options
    inferred: Inferred
    chosen: Chosen
    expected: set[Span] = field(default_factory=set)
    """Parts that were said to be read next, and are fetched ahead."""


class Worker:
    """Does units one after another. A context manager: the last one's checkpoint stays open until another is measured.

    So the units of one checkpoint are read through the same open files, and its names are resolved once.
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        sink: ElementSink | None = None,
        progress: Callable[[int], None] | None = None,
        is_alone: bool = True,
        found: FoundBefore | None = None,
        open_anew: Callable[[Path], Checkpoint] | None = None,
    ) -> None:
        """`threads` (default 2) share the pieces of a unit; `sink` is given E of every element; `progress` is called
        with the bytes of each piece as it is done, from any thread. Unless it `is_alone`, others may do other units of
        the same checkpoint, and `merge` compares the checksum of all. `found`: what was found in checkpoints before.
        `open_anew` opens one in place of `open_checkpoint`; the worker closes it."""
        self._open_anew = open_anew or open_checkpoint
        self._find = find_optimizers if found is None else found.find
        self._is_alone = is_alone
        self._threads = threads
        self._sink = sink
        self._progress = progress
        self._opened: list[_Opened] = []
        """The checkpoint that is being measured, and those that will be next."""
        self._is_over = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._close(self._opened)

    def prepare(self, unit: Unit) -> None:
        """Open the unit's checkpoint, and say what will be read of it once all that is expected has been; while another
        unit is measured, from another thread. What can't be read is left to `measure`."""
        with suppress(CkptInspectError):
            opened = self._open(unit.path, unit.options, unit.inferred)
            if unit.span not in opened.expected and opened.chosen.expect(unit.span.slice):
                opened.expected.add(unit.span)
        if self._is_over:
            self._close(self._opened)

    def begin(self, path: Path, options: Options, nbytes: int) -> None:
        """Prepare the first unit of a checkpoint of which it isn't known yet what can be inferred."""
        self.prepare(self.units_of(path, options, nbytes)[0])

    def measure(self, unit: Unit) -> UnitResult:
        """Measure the unit's parameters; what can't be read is the result's error.

        No figure needs the neighbour in `Unit.paths` yet: it is not opened.
        """
        try:
            opened = self._open(unit.path, unit.options, unit.inferred)
            self._close(self._opened[: self._opened.index(opened)])
            chosen, part, is_expected = opened.chosen, unit.span.slice, unit.span in opened.expected
            opened.expected.discard(unit.span)
            analysis = chosen.measure(
                part, sink=self._sink, progress=self._progress, threads=self._threads, is_expected=is_expected
            )
            is_part = not self._is_alone and bool(part.start or part.stop is not None)
            counted = chosen.checkpoint.counted_pieces() if is_part else ()
            if part.stop is None and not any(counted):  # nothing of the checkpoint is left to be read
                chosen.checkpoint.finish_reading()
        except CkptInspectError as error:
            self._close([opened for opened in self._opened if opened.path == unit.path])
            return UnitResult(unit, None, error)
        return UnitResult(unit, analysis, counted=counted)

    def units_of(
        self, path: Path, options: Options, nbytes: int, inferred: Inferred | None = None, *, is_cut: bool = True
    ) -> list[Unit]:
        """Return the units that a checkpoint of about that size makes; a large one is opened for its parameters'.
        Unless it `is_cut`, it is one, whatever its size: where nobody else shares it, a cut only has threads wait for
        each other."""
        told = inferred or {}
        if not is_cut:
            return [Unit((str(path),), options, nbytes=nbytes, inferred=told)]
        try:
            return plan_units(path, options, nbytes, lambda: self._open(path, options, told).chosen.nbytes(), told)
        except CkptInspectError:  # whoever does the unit meets it again, and it is the result
            return [Unit((str(path),), options, nbytes=nbytes, inferred=told)]

    def _open(self, path: Path, options: Options, inferred: Inferred) -> _Opened:
        known = next((opened for opened in self._opened if opened.path == path), None)
        if known is not None and (known.options, known.inferred) == (options, inferred):
            return known
        checkpoint = self._open_anew(path) if known is None else known.chosen.checkpoint
        try:
            chosen = Chosen.of(checkpoint, options.given, options.selection, inferred, self._find)
        except BaseException:
            self._close([] if known is None else [known])
            checkpoint.close()
            raise
        if known is None:
            self._opened.append(_Opened(path, options, inferred, chosen))
            return self._opened[-1]
        known.options, known.inferred, known.chosen = options, inferred, chosen
        return known

    def _close(self, some: Sequence[_Opened]) -> None:
        for opened in list(some):
            self._opened.remove(opened)
            opened.chosen.checkpoint.close()


class _Kept(local):
    """What a worker keeps from one unit to the next; a thread of its own for itself."""

    def __init__(self) -> None:
        self.found = FoundBefore()


_kept = _Kept()


def found_by_worker() -> FoundBefore:
    """Return what this worker found in the checkpoints of units before."""
    return _kept.found


def measure_unit(unit: Unit, threads: int | None = 1) -> UnitResult:
    """Do one unit, with one thread unless more are asked for: what an executor's worker does."""
    with Worker(threads, is_alone=False, found=found_by_worker()) as worker:
        return worker.measure(unit)


def measure_units(units: Sequence[Unit], threads: int | None = 1) -> list[UnitResult]:
    """Do several units one after the other, as `measure_unit` does each."""
    return [measure_unit(unit, threads) for unit in units]


def merge(results: Sequence[UnitResult]) -> Analysis:
    """Return the analysis of a checkpoint from the results of its units, in their order; raises the first error.

    What no unit read of a file with one checksum for all is read here, and the checksum compared.
    """
    for result in results:
        if result.error is not None:
            raise result.error
    if any(any(result.counted) for result in results):
        with open_checkpoint(results[0].unit.path) as checkpoint:
            for result in results:
                checkpoint.take_pieces(result.counted)
            checkpoint.finish_reading()
    return join([result.analysis for result in results if result.analysis is not None])


def run_units(
    checkpoints: Iterable[Sequence[Unit]],
    executor: Executor | None,
    meter: Meter,
    worker: Worker,
    threads: int = 1,
    lost: list[str] | None = None,
    *,
    is_far: bool = False,
) -> Generator[list[UnitResult], None, None]:
    """Do the units of many checkpoints; yield each one's results, in their order, as soon as they are all there.

    Without an executor `worker` does one checkpoint after the other, each up to the first unit that can't be done. An
    executor gets unit by unit, or as many small ones at a time as its `together` says, to be done by `threads` threads
    each, and checkpoints come as they are done. If its workers are lost, so that it takes no more, another process of
    this machine does the rest, which a checkpoint that ended them won't end this one with, and the cause is appended to
    `lost`. Results are the same to the bit. `is_far`: they come from another machine, and one is asked for while
    another is measured.
    """
    if executor is not None:
        with _Substitute() as substitute:
            yield from _done_by(executor, substitute, checkpoints, meter, threads, [] if lost is None else lost)
        return
    one_by_one = ((unit, place == len(units)) for units in checkpoints for place, unit in enumerate(units, 1))
    with closing(_prepared(one_by_one, worker) if is_far else one_by_one) as ready:
        results: list[UnitResult] = []
        for unit, is_last in ready:
            if not results or results[-1].error is None:
                results.append(worker.measure(unit))
            meter.finish(unit)
            if is_last:
                yield results
                results = []


_OneByOne = Generator[tuple[Unit, bool], None, None]
"""Units, and whether each is the last of its checkpoint."""


def _prepared(units: _OneByOne, worker: Worker) -> _OneByOne:
    """Yield the units, each once the worker has prepared it: while the one before is measured."""
    from concurrent.futures import ThreadPoolExecutor  # takes a while, and few checkpoints lie far away

    def one() -> tuple[Unit, bool] | None:
        found = next(units, None)
        if found is not None:
            worker.prepare(found[0])
        return found

    thread = ThreadPoolExecutor(1, "ckpt-inspect-prepare")
    try:
        upcoming = thread.submit(one)
        while (found := upcoming.result()) is not None:
            upcoming = thread.submit(one)
            yield found
    finally:
        thread.shutdown(wait=False, cancel_futures=True)  # whoever interrupts this waits for no server


@dataclass(frozen=True, slots=True)
class _Task:
    """What a worker is asked for at a time."""

    units: tuple[Unit, ...]
    future: Future[list[UnitResult]]


class _Substitute:
    """A process that does what lost workers were asked for, which may be what ended them. A context manager."""

    def __init__(self) -> None:
        """It is started when there is something to do."""
        self._started = ExitStack()
        self._process: Executor | None = None

    def __enter__(self) -> _Substitute:
        return self

    def __exit__(self, *error: Any) -> None:
        self._started.__exit__(*error)

    def submit(self, units: tuple[Unit, ...], threads: int) -> Future[list[UnitResult]]:
        """Have the units done; here where no process may be started."""
        from concurrent.futures import Future

        from ckpt_inspect.runs.worker_processes import WorkerProcesses

        if self._process is None:
            try:
                self._process = self._started.enter_context(WorkerProcesses(1))
            except OSError:
                future = Future[list[UnitResult]]()
                future.set_result(measure_units(units, threads))
                return future
        return self._process.submit(measure_units, units, threads)


def _done_by(
    executor: Executor,
    substitute: _Substitute,
    checkpoints: Iterable[Sequence[Unit]],
    meter: Meter,
    threads: int,
    lost: list[str],
) -> Generator[list[UnitResult], None, None]:
    """With some units ahead of what is done; no other is begun once this is left."""
    from concurrent.futures import BrokenExecutor, CancelledError

    waiting: dict[Future[list[UnitResult]], list[_Task]] = {}
    """With all tasks of the same checkpoint, in their order."""
    finished: SimpleQueue[Future[list[UnitResult]]] = SimpleQueue()
    """Each puts itself here: to ask all that are waiting each time one is done would take the most time of all."""
    in_flight = 0

    def submitted(units: tuple[Unit, ...]) -> Future[list[UnitResult]]:
        if not lost:
            try:
                return executor.submit(measure_units, units, threads)
            except BrokenExecutor as error:
                lost.append(_cause(error))
        return substitute.submit(units, threads)

    def results_of(task: _Task, *, is_alone: bool = False) -> list[UnitResult]:
        try:
            return task.future.result()
        except (BrokenExecutor, CancelledError) as error:  # nothing is wrong with the units, as far as is known
            lost.append(_cause(error))
            return results_of(_Task(task.units, substitute.submit(task.units, threads)))
        except Exception as error:
            # KilledWorker is distributed's, which has tried several times, but blames whatever was on the worker: by
            # itself each shows whose fault it is
            is_killed = type(error).__name__ == "KilledWorker"
            if not is_killed and not isinstance(error, WorkerLostError):
                raise
            if len(task.units) > 1 or (is_killed and not is_alone):
                alone = ((unit,) for unit in task.units)
                return [each for own in alone for each in results_of(_Task(own, submitted(own)), is_alone=True)]
            (unit,) = task.units
            told = f"the cluster's workers ended while they read it ({_cause(error)})" if is_killed else str(error)
            return [UnitResult(unit, None, WorkerLostError(f"{unit.path}: {told}"))]

    def take_done() -> Generator[list[UnitResult], None, None]:
        nonlocal in_flight
        for future in sorted(_at_least_one(finished), key=_is_interrupted):
            if _is_interrupted(future):
                future.result()
            tasks = waiting.pop(future)
            for unit in next(task.units for task in tasks if task.future is future):
                meter.finish(unit)
                in_flight -= 1
            if any(task.future in waiting for task in tasks):
                continue
            results = [result for task in tasks for result in results_of(task)]
            if len(tasks) == 1:
                yield from ([result] for result in results)
            else:
                yield results

    try:
        for several in _shared_out(checkpoints, getattr(executor, "together", 1)):
            tasks = [_Task(units, submitted(units)) for units in several]
            waiting.update((task.future, tasks) for task in tasks)
            for task in tasks:
                task.future.add_done_callback(finished.put)
            in_flight += sum(len(task.units) for task in tasks)
            while in_flight >= IN_FLIGHT:
                yield from take_done()
        while waiting:
            yield from take_done()
    finally:
        for future in waiting:
            future.cancel()


def _shared_out(checkpoints: Iterable[Sequence[Unit]], together: int) -> Iterator[list[tuple[Unit, ...]]]:
    """Yield what a worker is asked for at a time: a checkpoint's units, one by one, or so many small checkpoints."""
    small: list[Unit] = []
    for units in checkpoints:
        is_small = len(units) == 1 and units[0].nbytes <= _SMALL
        if is_small:
            small += units
        if small and (len(small) == together or not is_small):
            yield [tuple(small)]
            small = []
        if not is_small:
            yield [(unit,) for unit in units]
    if small:
        yield [tuple(small)]


def _at_least_one(finished: SimpleQueue[Future[list[UnitResult]]]) -> list[Future[list[UnitResult]]]:
    """Wait for one, and return all that are there."""
    found = [finished.get()]
    with suppress(Empty):
        while True:
            found.append(finished.get_nowait())
    return found


def _is_interrupted(future: Future[list[UnitResult]]) -> bool:
    return not future.cancelled() and isinstance(future.exception(), KeyboardInterrupt)


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class Meter:
    """Adds up what has been read, for the caller's progress."""

    def __init__(self, progress: Progress | None) -> None:
        """Begin at nothing."""
        self.total = 0
        """Of all units' `nbytes`: to be set before the first is done."""
        self._progress = progress
        self._lock = Lock()
        self._finished = self._current = self._shown = 0

    def add(self, nbytes: int) -> None:
        """Count bytes of the unit that is being done; from any thread."""
        with self._lock:
            self._current += nbytes
            self._show(min(self._finished + self._current, self.total))

    def finish(self, unit: Unit) -> None:
        """Count the unit as done, whatever of it there was to read."""
        with self._lock:
            self._finished += unit.nbytes
            self._current = 0
            self._show(self._finished)

    def _show(self, done: int) -> None:
        """Never less than before: a compressed file holds more than its size says."""
        if self._progress is not None:
            self._shown = max(self._shown, done)
            self._progress(self._shown, self.total)
