"""One pass over a checkpoint's optimizer state: pieces are read, passed through the kernel, and forgotten.

Memory is bounded by threads times piece, whatever the size of a tensor. Threads take pieces in the file's order, so
that reads stay sequential, and one thread's reading overlaps another's computing. What lies in a local file as it lies
in memory is read by the loops in C (`stored`), a stretch in one call.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from threading import Lock, Thread

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, PieceReader, numpy_dtype
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.extension import loops
from ckpt_inspect.measurement.histograms import Floats
from ckpt_inspect.measurement.kernels import Buffers, Formula, pieces
from ckpt_inspect.measurement.kernels.formula import compiled_norms, is_half
from ckpt_inspect.measurement.stored import ARRAYS, Rows, StoredState
from ckpt_inspect.measurement.summaries import EXACT_ELEMENTS, Summary, Tally, sample_indices
from ckpt_inspect.state.optimizer_state import Parameter
from ckpt_inspect.update_rules import Norms, State

PIECE = 1 << 18
"""Elements that a thread reads and computes at a time: θ, m and v take 3 MB, which fit the third-level cache (by numpy
8 MB). Of smaller pieces threads wait for each other at the interpreter's lock: of 2**16, two take 1.5 times as long."""

_STRETCH = 4
"""Pieces, one after another, that a thread takes on at a time: requests that follow one another keep the disk's
read-ahead going, and what threads share is locked a few hundred times a second."""

_THREADS = 2
_INLINE_BYTES = 8 << 20
"""Below this, threads cost more than they bring."""

_MOST_ROWS = 1 << 24
"""Rows are distinguished up to so many; each takes a byte while its tensor is read."""

_LEAVE = 1.0
"""Seconds that an interruption waits for another thread to end its piece."""

_MOST_EXPECTED = 1 << 18
"""Pieces that are announced: of 256 GB. A damaged file may claim any number."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A parameter and what one pass over it found."""

    parameter: Parameter
    formula: Formula
    summary: Summary
    untouched_rows: float
    """Share of rows (indices of the first axis) whose v is 0 throughout; NaN for scalars and vectors."""
    samples: Floats
    """(SAMPLES,) E of the elements of `sample_indices`; NaN if v = 0."""
    second_moment_samples: Floats
    """(SAMPLES,) v of the same elements; NaN if there is no element."""
    value_samples: Floats
    """(SAMPLES,) θ of the same elements; NaN if there is no element, or θ is not in the file."""


class Sweep:
    """The pass over some parameters of one checkpoint."""

    def __init__(
        self,
        parameters: Sequence[Parameter],
        *,
        threads: int | None = None,
        piece: int = PIECE,
        progress: Callable[[int], None] | None = None,
        sink: Callable[[Parameter, int, Array], None] | None = None,
        is_expected: bool = False,
    ) -> None:
        """`progress` gets the bytes of each piece, `sink` gets E of each piece with its place (`--elements`).
        `is_expected`: whether `expect_later` has said what will be read."""
        self._parameters = parameters
        largest = max((math.prod(parameter.shape) for parameter in parameters), default=1)
        self._piece = min(piece, largest or 1)
        self._is_expected = is_expected
        self._progress = progress
        self._sink = sink
        self._threads = min(threads or _THREADS, _processors())
        self._formulas: dict[tuple[int, str, frozenset[str]], Formula] = {}
        self._next = Lock()
        self._failure: BaseException | None = None

    def run(self) -> list[Measured]:
        """Return what was found of each parameter, in their order. Raises what reading raises."""
        norms = self._norms()
        targets = [_Target(p, self._formula(p, total)) for p, total in zip(self._parameters, norms, strict=True)]
        stretch = self._piece * _STRETCH
        jobs = (
            partial(self._measure, target, start)
            for target in targets
            for start in range(0, max(target.size, 1), stretch)
        )
        self._expect(self._all(), stretch)
        self._share(jobs, sum(t.nbytes for t in targets))
        return [target.measured() for target in targets]

    def expect_later(self) -> bool:
        """Say, where files lie far away, what will be read first once all that is expected has been, as
        `Checkpoint.expect_later` does."""
        needy = self._needy()
        pieces = self._pieces(needy, self._piece) if needy else self._pieces(self._all(), self._piece * _STRETCH)
        return bool(self._parameters) and self._parameters[0].checkpoint.expect_later(pieces)

    def _expect(self, places: Iterable[int], step: int) -> None:
        """Say that these parameters will be read, so many elements at a time, for files that lie far away."""
        if self._parameters and not self._is_expected:
            self._parameters[0].checkpoint.expect(self._pieces(places, step))
        self._is_expected = False

    def _pieces(self, places: Iterable[int], step: int) -> Iterator[tuple[str, int, int]]:
        """Yield what of these parameters is read at a time."""
        pieces = (
            (key, start, min(start + step, size))
            for parameter in (self._parameters[i] for i in places)
            for size in (math.prod(parameter.shape),)
            for start in range(0, size, step)
            for array in ARRAYS
            if (key := parameter.key(array)) is not None
        )
        return islice(pieces, _MOST_EXPECTED)

    def _all(self) -> range:
        return range(len(self._parameters))

    def _needy(self) -> list[int]:
        """Return the places of parameters whose rule needs sums of the whole tensor."""
        return [i for i, p in enumerate(self._parameters) if p.update_rule is not None and p.update_rule.needs_norms]

    def _formula(self, parameter: Parameter, norms: Norms | None) -> Formula:
        """The parameter's formula; parameters of the same settings, dtype and arrays share one."""
        rule = parameter.update_rule
        assert rule is not None
        held = _held(parameter)
        key = (id(parameter.settings), parameter.dtype, held)
        if norms is None and key in self._formulas:
            return self._formulas[key]
        formula = Formula.of(rule, parameter.settings, numpy_dtype(parameter.dtype), held, norms)
        return self._formulas.setdefault(key, formula) if norms is None else formula

    def _norms(self) -> list[Norms | None]:
        """The sums that some rules need of the whole tensor before its first element can be computed; None for other
        rules, and if the file lacks what the sums are of."""
        found: dict[tuple[int, int], Norms | None] = {}

        def add(place: int, start: int, buffers: Buffers, reader: _Reader) -> None:
            if found.get((place, 0), Norms()) is None:  # nor will there be any of the rest
                return
            parameter = self._parameters[place]
            stop = min(start + self._piece, math.prod(parameter.shape))
            of_stored = stored[place](start, stop, buffers)
            if of_stored is None:
                of_stored = _norms_of(parameter, reader.state(parameter, start, stop))
            found[place, start] = of_stored

        needy = self._needy()
        sizes = {i: math.prod(self._parameters[i].shape) for i in needy}
        stored = {i: _stored_norms(self._parameters[i]) for i in needy}
        jobs = (partial(add, i, start) for i in needy for start in range(0, sizes[i], self._piece))
        if needy:
            self._expect(needy, self._piece)
        self._share(jobs, sum(nbytes_of(self._parameters[i]) for i in needy))
        norms: list[Norms | None] = [None] * len(self._parameters)
        for i in needy:
            # in the file's order, so that they are the same at every run
            parts = [found.get((i, start)) for start in range(0, sizes[i], self._piece)]
            norms[i] = None if None in parts else sum((part for part in parts if part is not None), Norms())
        return norms

    def _share(self, jobs: Iterator[Callable[[Buffers, _Reader], None]], nbytes: int) -> None:
        """Run the jobs, each with its thread's memory; on several threads if there is enough to do."""
        threads = self._threads if nbytes > _INLINE_BYTES else 1

        def loop() -> None:
            buffers, reader = Buffers(self._piece), _Reader(self._piece)
            try:
                while self._failure is None:
                    with self._next:
                        job = next(jobs, None)
                    if job is None:
                        return
                    job(buffers, reader)
            except BaseException as failure:
                self._failure = self._failure or failure

        workers = [Thread(target=loop, daemon=True) for _ in range(threads - 1)]
        for worker in workers:
            worker.start()
        loop()
        try:
            for worker in workers:  # one may be waiting for a server that stalls
                worker.join(_LEAVE if isinstance(self._failure, KeyboardInterrupt) else None)
        except KeyboardInterrupt as interrupt:
            self._failure = interrupt
        if self._failure is not None:
            raise self._failure

    def _measure(self, target: _Target, start: int, buffers: Buffers, reader: _Reader) -> None:
        stop = min(start + self._piece * _STRETCH, target.size)
        tally = target.tally()
        if self._sink is None and target.sweep(start, stop, buffers, tally):
            if self._progress is not None:
                self._progress(target.nbytes * (stop - start) // target.size)
            target.finish(tally, stop - start)
            return
        for begin in range(start, max(stop, 1), self._piece):
            if self._failure is not None:
                return
            end = min(begin + self._piece, stop)
            state = reader.state(target.parameter, begin, end)
            target.take(state, begin, end, buffers, tally)
            if self._sink is not None and target.formula.coefficients is not None:
                self._sink(target.parameter, begin, target.formula.effective_lr(state))
            if self._progress is not None:
                self._progress(target.nbytes * (end - begin) // max(target.size, 1))
        target.finish(tally, stop - start)


def _stored_norms(parameter: Parameter) -> Callable[[int, int, Buffers], Norms | None]:
    """Return what reads the sums of elements by the loops in C; it returns None where they can't."""
    rule = parameter.update_rule
    assert rule is not None
    compiled = compiled_norms(rule, parameter.settings, numpy_dtype(parameter.dtype), _held(parameter))
    stored = StoredState.find(parameter) if compiled is not None and loops is not None else None

    def read(start: int, stop: int, buffers: Buffers) -> Norms | None:
        if loops is None or stored is None or compiled is None:
            return None
        return stored.norms(loops, compiled, start, stop, buffers)

    return read


def _held(parameter: Parameter) -> frozenset[str]:
    """The fields of `State` that there are."""
    return frozenset(array for array in ARRAYS if parameter.key(array) is not None)


@cache
def _processors() -> int:
    """The machine's processors; counting them takes as long as measuring a small tensor."""
    return os.cpu_count() or 1


def _norms_of(parameter: Parameter, state: State) -> Norms | None:
    """Return the sums over a piece that the parameter's rule needs; None if they are not determined."""
    rule = parameter.update_rule
    assert rule is not None
    try:
        return rule.norms_by_blocks(state, parameter.settings)
    except NotDetermined:
        return None


def nbytes_of(parameter: Parameter) -> int:
    """Return the bytes of all of the parameter's arrays."""
    keys = (parameter.key(array) for array in ARRAYS)
    return sum(parameter.checkpoint.spec(key).nbytes for key in keys if key is not None)


class _Reader:
    """Reads pieces of a parameter's state into memory that is reused."""

    __slots__ = ("_pieces",)

    def __init__(self, piece: int) -> None:
        self._pieces = PieceReader(piece)

    def state(self, parameter: Parameter, start: int, stop: int) -> State:
        """Elements start:stop of each array that there is, 1-D; valid until the next call."""
        keys = {array: key for array in ARRAYS if (key := parameter.key(array)) is not None}
        read, checkpoint = self._pieces.read, parameter.checkpoint
        return State(**{array: read(checkpoint, key, start, stop, array) for array, key in keys.items()})


class _Target:
    """A parameter that is being measured."""

    def __init__(self, parameter: Parameter, formula: Formula) -> None:
        self.parameter = parameter
        self.formula = formula
        self.size = math.prod(parameter.shape)
        self.nbytes = nbytes_of(parameter)
        self._is_exact = self.size <= EXACT_ELEMENTS
        self._stored: StoredState | None = None
        self._is_looked_at = False
        self._idle: list[Tally] = []
        self._summary: Summary | None = None
        self._rows: _Rows | None = None
        self._untouched_rows = math.nan
        self._indices = sample_indices(self.size)
        self._order = [int(index) for index in self._indices if index >= 0]
        self._samples = np.full(len(self._indices), np.nan)
        self._second_moment_samples = np.full(len(self._indices), np.nan)
        self._value_samples = np.full(len(self._indices), np.nan)
        self._lock = Lock()
        self._taken = 0

    def tally(self) -> Tally:
        """One for a thread to go on filling, until it is given back by `finish`."""
        with self._lock:
            self._rows = self._rows or _Rows(self.parameter.shape)
            return self._idle.pop() if self._idle else Tally(self.size, is_exact=self._is_exact)

    def sweep(self, start: int, stop: int, buffers: Buffers, tally: Tally) -> bool:
        """Read and take in elements start:stop, if the loops in C can; else return False."""
        if loops is None or (tally.counts is None and not self._has_halves()):
            return False
        stored = self._found_stored()
        if stored is None:
            return False
        assert self._rows is not None
        places = self._places(start, stop)
        indices = self._indices[places] - start
        found = stored.sweep(loops, self.formula, start, stop, buffers, tally.counts, self._rows.as_seen(), indices)
        if found is None:
            return False
        piece, samples = found
        tally.add(piece)
        self._take_samples(samples, places)
        return True

    def _has_halves(self) -> bool:
        return self.formula.compiled is not None and is_half(self.formula.compiled.dtype)

    def _found_stored(self) -> StoredState | None:
        with self._lock:
            if not self._is_looked_at:
                self._stored = StoredState.find(self.parameter) if self.formula.compiled is not None else None
                self._is_looked_at = True
            return self._stored

    def take(self, state: State, start: int, stop: int, buffers: Buffers, tally: Tally) -> None:
        """Take in elements start:stop."""
        untouched = 0
        for piece in pieces(self.formula, state, buffers, tally.counts):
            tally.add(piece)
            untouched += piece.untouched
        assert self._rows is not None
        under = self.formula.rule.second_moment(state)
        self._rows.take(start, under, has_untouched=untouched > 0, untouched_value=self.formula.start)
        places = self._places(start, stop)
        self._take_samples(state.at(self._indices[places] - start), places)

    def finish(self, tally: Tally, elements: int) -> None:
        """A stretch of so many elements is done; after the last, what memory the tensor needed is let go of."""
        with self._lock:
            self._idle.append(tally)
            self._taken += elements
            if self._taken == self.size:
                assert self._rows is not None
                first, *others = self._idle
                for other in others:
                    first.merge(other)
                self._summary, self._untouched_rows = first.summary(), self._rows.share()
                self._idle, self._rows = [], None

    def _places(self, start: int, stop: int) -> slice:
        """Places among the samples of those in start:stop."""
        return slice(bisect_left(self._order, start), bisect_left(self._order, stop))

    def _take_samples(self, some: State, places: slice) -> None:
        if places.start == places.stop:
            return
        if some.second_moment is not None:
            self._second_moment_samples[places] = some.second_moment.astype(np.float64)
        if some.value is not None:
            self._value_samples[places] = some.value.astype(np.float64)
        if self.formula.coefficients is None:
            return
        e = self.formula.effective_lr(some).astype(np.float64)
        under = self.formula.rule.second_moment(some)
        self._samples[places] = np.where((under > 0) & (under != self.formula.start), e, np.nan)

    def measured(self) -> Measured:
        """What was found."""
        assert self._summary is not None
        return Measured(
            self.parameter,
            self.formula,
            self._summary,
            self._untouched_rows,
            self._samples,
            self._second_moment_samples,
            self._value_samples,
        )


class _Rows:
    """Which rows of a tensor have a touched element."""

    __slots__ = ("_length", "_touched")

    def __init__(self, shape: tuple[int, ...]) -> None:
        is_told = len(shape) > 1 and 0 < shape[0] <= _MOST_ROWS and math.prod(shape) > 0
        self._length = math.prod(shape[1:])
        self._touched: NDArray[np.bool_] | None = np.zeros(shape[0], np.bool_) if is_told else None

    def take(self, start: int, under: Array, *, has_untouched: bool, untouched_value: float) -> None:
        """Take in the elements from flat index `start` on."""
        if self._touched is None:
            return
        first, last = start // self._length, (start + under.size - 1) // self._length
        if not has_untouched:
            self._touched[first : last + 1] = True
            return
        # rows start where the flat index is a multiple of their length; the first may have begun in an earlier piece
        starts = np.maximum(np.arange(first, last + 1) * self._length - start, 0)
        touched = np.logical_or.reduceat(under != untouched_value, starts)
        self._touched[first : last + 1][touched] = True  # no more than that: others write here meanwhile

    def as_seen(self) -> Rows | None:
        """Return the rows for others to mark; None if they are not told apart."""
        return None if self._touched is None else Rows(self._length, self._touched)

    def share(self) -> float:
        """Of rows without a touched element."""
        return math.nan if self._touched is None else 1.0 - float(np.count_nonzero(self._touched)) / self._touched.size
