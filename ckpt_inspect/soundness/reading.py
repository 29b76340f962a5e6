"""Reads every byte of a checkpoint once, and beside it the same parameters of the checkpoint before, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import field
from functools import partial
from threading import Event, local

import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, PieceReader, Problem
from ckpt_inspect.comparison.continuity import StateCounts
from ckpt_inspect.comparison.moment_limits import MomentCounts, limit_of
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.measurement.stored import ARRAYS
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter
from ckpt_inspect.storage import NoAnswerError, is_far
from ckpt_inspect.update_rules import State

THREADS = 2
PIECE_ELEMENTS = 1 << 17
"""Elements of each tensor that a thread takes at a time."""

_FEW = 1 << 20
"""Bytes of a checkpoint that are read by one thread."""

_LARGE = 1 << 23
"""Bytes from which a tensor is announced by itself: smaller ones are together, so that neighbours are one request."""

_MOST_EXPECTED = 1 << 16
"""Pieces of a tensor that are announced: a damaged file may claim any number."""


@dataclass(frozen=True, slots=True)
class TensorReading:
    """What one tensor holds, after all of it was read."""

    nan: int = 0
    """Elements that are NaN."""
    infinite: int = 0
    is_zero: bool = False
    """Whether every element is 0."""
    error: str = ""
    """Why it can't be read; empty if it can."""
    is_readable: bool = True
    """False for a type that numpy has no counterpart of."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One parameter in the checkpoint before and in this one, to be compared in the same pass."""

    optimizer: str
    before: Parameter
    after: Parameter
    counts: StateCounts


@dataclass(frozen=True, slots=True)
class Own:
    """One parameter of this checkpoint, whose moments are counted by themselves."""

    optimizer: str
    parameter: Parameter
    counts: MomentCounts


def owns_of(state: OptimizerState) -> Iterator[Own]:
    """Yield the parameters whose second moments can be counted: those all of whose arrays are of one size."""
    for parameter in state.parameters.values():
        keys = [key for array in ARRAYS if (key := parameter.key(array)) is not None]
        specs = [parameter.checkpoint.tensors.get(key) for key in keys]
        size = math.prod(parameter.shape)
        is_even = all(s is not None and s.size == size and s.is_readable and s.dtype != STRING for s in specs)
        if is_even and parameter.key("second_moment") is not None:
            yield Own(state.name, parameter, MomentCounts(limit_of(state, parameter)))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a checkpoint holds, after all of it was read."""

    tensors: Mapping[str, TensorReading]
    """By key; of every tensor."""
    compared: Mapping[tuple[str, str], StateCounts]
    """By optimizer and parameter; of those that could be read in both."""
    moments: Mapping[tuple[str, str], MomentCounts] = field(default_factory=dict)
    """By optimizer and parameter; of those that could be read."""
    error: str = ""
    """What a checksum of the whole shows; empty if it agrees, or there is none."""
    rest: tuple[Problem, ...] = ()
    """Of what no tensor leads to."""

    @property
    def is_readable(self) -> bool:
        """Return whether all tensors could be read."""
        return not any(tensor.error for tensor in self.tensors.values())

    def is_zero(self, keys: Sequence[str]) -> bool:
        """Return whether these tensors are 0 throughout; False if there are none."""
        return bool(keys) and all(self.tensors[key].is_zero for key in keys)


@dataclass(frozen=True, slots=True)
class _Job:
    keys: tuple[str, ...]
    """Tensors of the checkpoint that it reads."""
    nbytes: int
    run: Callable[[_Memory, Event], Mapping[str, TensorReading]]
    pair: Pair | None = None
    own: Own | None = None


class _Memory(local):
    """What a thread reuses from tensor to tensor."""

    def __init__(self) -> None:
        self.pieces = PieceReader(PIECE_ELEMENTS)


@dataclass(slots=True)
class _Tally:
    """One tensor's counts so far."""

    nan: int = 0
    infinite: int = 0
    is_zero: bool = True

    def add(self, piece: Array) -> None:
        if piece.dtype.kind == "O":
            self.is_zero = False
            return
        self.is_zero = self.is_zero and not piece.any()
        if piece.dtype.kind not in "iub" and not (finite := np.isfinite(piece)).all():
            odd = piece[~finite]
            missing = int(np.count_nonzero(np.isnan(odd)))
            self.nan += missing
            self.infinite += odd.size - missing

    def reading(self) -> TensorReading:
        return TensorReading(self.nan, self.infinite, self.is_zero)


def read_whole(
    checkpoint: Checkpoint, pairs: Sequence[Pair] = (), owns: Sequence[Own] = (), *, is_rest_read: bool = True
) -> Reading:
    """Read every tensor, and what no tensor leads to; compare `pairs`, and count `owns`, in the same pass.

    A tensor that can't be read is reported in its reading. Without `is_rest_read`, only the tensors of the pairs.
    Raises NoAnswerError for a storage that can't be asked: nothing follows from that of what it holds.
    """
    jobs = sorted(_jobs(checkpoint, pairs, owns, is_rest_read=is_rest_read), key=lambda job: -job.nbytes)
    tensors: dict[str, TensorReading] = {}
    compared: dict[tuple[str, str], StateCounts] = {}
    moments: dict[tuple[str, str], MomentCounts] = {}
    stop, memory = Event(), _Memory()
    with closing(_done(checkpoint, jobs, memory, stop)) as done:
        for job, result in done:
            try:
                tensors |= result()
            except NoAnswerError:  # noqa: PERF203 - nothing beside reading
                raise
            except CkptInspectError:
                tensors |= {key: _read_alone(checkpoint, key, memory, stop) for key in job.keys}
            else:
                if job.pair is not None:
                    compared[job.pair.optimizer, job.pair.after.name] = job.pair.counts
                if job.own is not None:
                    moments[job.own.optimizer, job.own.parameter.name] = job.own.counts
    # threads are done in any order, in which sums would differ
    compared = {key: compared[key] for pair in pairs if (key := (pair.optimizer, pair.after.name)) in compared}
    moments = {key: moments[key] for own in owns if (key := (own.optimizer, own.parameter.name)) in moments}
    if not is_rest_read:
        return Reading(tensors, compared, moments)
    error = ""
    try:
        checkpoint.finish_reading()
    except NoAnswerError:
        raise
    except CkptInspectError as reason:
        error = str(reason)
    whole = {key: tensors[key] for key in checkpoint.tensors}
    return Reading(whole, compared, moments, error, checkpoint.check_rest())


_Result = Callable[[], Mapping[str, TensorReading]]


def _done(
    checkpoint: Checkpoint, jobs: Sequence[_Job], memory: _Memory, stop: Event
) -> Generator[tuple[_Job, _Result], None, None]:
    """Yield the jobs, each when it is done, or is about to be, with what gives its result, or raises its error."""
    if sum(job.nbytes for job in jobs) < _FEW and not any(map(is_far, checkpoint.files[:1])):
        yield from ((job, partial(job.run, memory, stop)) for job in jobs)  # in less time than threads take to begin
        return
    small = [job for job in jobs if job.nbytes < _LARGE]
    checkpoint.expect((key, 0, checkpoint.spec(key).size) for job in small for key in job.keys)
    before = [job.pair.before for job in small if job.pair is not None]
    if before:
        found = ((parameter, key) for parameter in before for a in ARRAYS if (key := parameter.key(a)) is not None)
        before[0].checkpoint.expect((key, 0, math.prod(parameter.shape)) for parameter, key in found)
    executor = ThreadPoolExecutor(THREADS)
    try:
        pending = {executor.submit(job.run, memory, stop): job for job in jobs}
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(future), future.result
    finally:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)


def _jobs(checkpoint: Checkpoint, pairs: Sequence[Pair], owns: Sequence[Own], *, is_rest_read: bool) -> Iterator[_Job]:
    covered: set[str] = set()
    unpaired = {(own.optimizer, own.parameter.name): own for own in owns}

    def job(parameter: Parameter, own: Own | None, pair: Pair | None) -> _Job:
        keys = tuple(key for array in ARRAYS if (key := parameter.key(array)) is not None and key not in covered)
        covered.update(keys)
        nbytes = sum(checkpoint.spec(key).nbytes for key in keys)
        return _Job(keys, nbytes, _Together(checkpoint, parameter, pair, own, keys), pair, own)

    for pair in pairs:
        yield job(pair.after, unpaired.pop((pair.optimizer, pair.after.name), None), pair)
    for own in unpaired.values():
        yield job(own.parameter, own, None)
    for key, spec in checkpoint.tensors.items() if is_rest_read else ():
        if key not in covered:
            yield _Job((key,), spec.nbytes, _Single(checkpoint, key))


@dataclass(frozen=True, slots=True)
class _Single:
    checkpoint: Checkpoint
    key: str

    def __call__(self, memory: _Memory, stop: Event) -> Mapping[str, TensorReading]:
        return {self.key: _read_alone(self.checkpoint, self.key, memory, stop)}


def _read_alone(checkpoint: Checkpoint, key: str, memory: _Memory, stop: Event) -> TensorReading:
    spec, tally = checkpoint.spec(key), _Tally()
    if not spec.is_readable:
        return TensorReading(is_readable=False)
    try:
        if spec.dtype == STRING:
            tally.add(checkpoint.read(key))
            return tally.reading()
        if spec.nbytes >= _LARGE:
            checkpoint.expect([(key, 0, spec.size)])
        for start in range(0, spec.size, PIECE_ELEMENTS):
            if stop.is_set():
                break
            tally.add(memory.pieces.read(checkpoint, key, start, min(start + PIECE_ELEMENTS, spec.size), "alone"))
    except NoAnswerError:
        raise
    except CkptInspectError as error:
        return TensorReading(error=str(error))
    return tally.reading()


def _pieces(keys: Iterable[str], size: int) -> Iterator[tuple[str, int, int]]:
    """Yield the pieces in which tensors of that many elements are read beside each other."""
    kept = list(keys)
    places = range(0, size, PIECE_ELEMENTS)[:_MOST_EXPECTED]
    return ((key, start, min(start + PIECE_ELEMENTS, size)) for start in places for key in kept)


@dataclass(frozen=True, slots=True)
class _Together:
    """Reads one parameter's arrays, beside those of the checkpoint before if there is a pair, and fills the counts."""

    checkpoint: Checkpoint
    parameter: Parameter
    pair: Pair | None
    own: Own | None
    keys: tuple[str, ...]
    """Of this checkpoint's tensors, those that no other job reads."""
    tallies: dict[str, _Tally] = field(default_factory=dict)

    def __call__(self, memory: _Memory, stop: Event) -> Mapping[str, TensorReading]:
        sides = (self.parameter,) if self.pair is None else (self.parameter, self.pair.before)
        keys = [{a: key for a in ARRAYS if (key := side.key(a)) is not None} for side in sides]
        size = self.checkpoint.spec(next(iter(keys[0].values()))).size if keys[0] else 0
        if sum(self.checkpoint.spec(key).nbytes for key in self.keys) >= _LARGE:
            for side, of_side in reversed(list(zip(sides, keys, strict=True))):
                side.checkpoint.expect(_pieces(of_side.values(), size))
        for start in range(0, size, PIECE_ELEMENTS):
            if stop.is_set():
                break
            end = min(start + PIECE_ELEMENTS, size)
            states = [
                State(**{a: memory.pieces.read(side.checkpoint, key, start, end, (i, a)) for a, key in of_side.items()})
                for i, (side, of_side) in enumerate(zip(sides, keys, strict=True))
            ]
            for array, key in keys[0].items():
                self.tallies.setdefault(key, _Tally()).add(getattr(states[0], array))
            if self.own is not None:
                self.own.counts.add(states[0])
            if self.pair is not None:
                self.pair.counts.add(states[1], states[0])
        return {key: self.tallies.get(key, _Tally()).reading() for key in self.keys}
