"""One pass over a checkpoint's optimizer state: pieces are read, passed through the kernel, and forgotten.

Memory is bounded by threads times piece, whatever the size of a tensor. Threads take pieces in the file's order, so
that reads stay sequential, and one thread's reading overlaps another's computing. What lies in a local file as it lies
in memory is read by the loops in C (`stored`), a stretch in one call.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain, compress, islice
from threading import Lock, Thread

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, PieceReader, numpy_dtype
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.histograms import Floats
from ckpt_inspect.measurement.kernels import Buffers, Formula, pieces
from ckpt_inspect.measurement.kernels.formula import compiled_norms, is_half
from ckpt_inspect.measurement.small import Keys, SmallFigures, measure_small, small_bytes
from ckpt_inspect.measurement.stored import ARRAYS, Rows, StoredState
from ckpt_inspect.measurement.summaries import EXACT_ELEMENTS, SAMPLES, Summary, Tally, sample_indices
from ckpt_inspect.native import loops
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.optimizer_state import Parameter
from ckpt_inspect.storage import is_far
from ckpt_inspect.update_rules import Norms, State

PIECE = 1 << 18
"""Elements that a thread reads and computes at a time: θ, m and v take 3 MB, which fit the third-level cache (by numpy
8 MB). Of smaller pieces threads wait for each other at the interpreter's lock: of 2**16, two take 1.5 times as long."""

_STRETCH = 4
"""Pieces, one after another, that a thread takes on at a time: requests that follow one another keep the disk's
read-ahead going, and what threads share is locked a few hundred times a second."""
_FAR_STRETCH_BYTES = 1 << 21
"""Bytes of each array that a stretch has at most of what lies far away: what one request brings is read in place."""

_THREADS = 2
_INLINE_BYTES = 8 << 20
"""Below this, threads cost more than they bring."""

_TOGETHER = 4 << 20
"""Bytes of small tensors that one call takes: a thread's work for about a millisecond."""

_MOST_ROWS = 1 << 24
"""Rows are distinguished up to so many; each takes a byte while its tensor is read."""

_LEAVE = 1.0
"""Seconds that an interruption waits for another thread to end its piece."""

_MOST_EXPECTED = 1 << 18
"""Pieces that are announced: of 256 GB. A damaged file may claim any number."""


@dataclass(frozen=True, slots=True)
class Measured:
    """P parameters and what one pass over them found."""

    parameters: Sequence[Parameter]
    formulas: Sequence[Formula]
    summary: Summary
    """(P,) figures."""
    untouched_rows: Floats
    """(P,) share of rows (indices of the first axis) whose v is 0 throughout; NaN for scalars and vectors."""
    samples: Floats
    """(P, SAMPLES) E of the elements of `sample_indices`; NaN if v = 0."""
    second_moment_samples: Floats
    """(P, SAMPLES) v of the same elements; NaN if there is no element."""
    value_samples: Floats
    """(P, SAMPLES) θ of the same elements; NaN if there is no element, or θ is not in the file."""

    def part(self, some: slice) -> Measured:
        """Return what was found of some of the parameters."""
        if len(self.parameters[some]) == len(self.parameters):
            return self
        return Measured(
            self.parameters[some],
            self.formulas[some],
            self.summary.at(some),
            self.untouched_rows[some],
            self.samples[some],
            self.second_moment_samples[some],
            self.value_samples[some],
        )


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
        self._keys = [keys_of(parameter) for parameter in parameters]
        largest = max((math.prod(parameter.shape) for parameter in parameters), default=1)
        self._piece = min(piece, largest or 1)
        self._is_expected = is_expected
        self._is_far = bool(parameters) and is_far(parameters[0].checkpoint.path)
        self._progress = progress
        self._sink = sink
        self._threads = min(threads or _THREADS, _processors())
        self._formulas: dict[tuple[int, str, frozenset[str]], Formula] = {}
        self._next = Lock()
        self._failure: BaseException | None = None

    def run(self) -> Measured:
        """Return what was found of the parameters. Raises what reading raises."""
        formulas = [self._formula(place, total) for place, total in enumerate(self._norms())]
        found = _Found(self._parameters, formulas)
        small = self._small(formulas)
        apart = [found.target(place) for place in self._all() if place not in small]
        jobs = chain(
            (partial(self._measure_small, found, small, places) for places in _together(small)),
            (
                partial(self._measure, target, start)
                for target in apart
                for start in range(0, max(target.size, 1), self._stretch(target.parameter))
            ),
        )
        self._expect(self._all(), self._stretch)
        self._share(jobs, sum(small.values()) + sum(target.nbytes for target in apart))
        return found.measured()

    def _small(self, formulas: Sequence[Formula]) -> dict[int, int]:
        """Return the places of the parameters that can be measured together, and the bytes of each: those of a file of
        this machine, as what lies far away is read in the order that was announced."""
        if loops is None or self._sink is not None or self._is_far:
            return {}
        each = enumerate(zip(self._parameters, formulas, self._keys, strict=True))
        return {place: nbytes for place, own in each if (nbytes := small_bytes(*own))}

    def expect_later(self) -> bool:
        """Say, where files lie far away, what will be read first once all that is expected has been, as
        `Checkpoint.expect_later` does."""
        needy = self._needy()
        pieces = self._pieces(needy, self._one_piece) if needy else self._pieces(self._all(), self._stretch)
        return bool(self._parameters) and self._parameters[0].checkpoint.expect_later(pieces)

    def _one_piece(self, _: Parameter) -> int:
        return self._piece

    def _stretch(self, parameter: Parameter) -> int:
        """Return how many elements of a parameter a thread takes on at a time."""
        second = parameter.key("second_moment")
        if not self._is_far or second is None or not parameter.checkpoint.is_plain(second):
            return self._piece * _STRETCH
        most = _FAR_STRETCH_BYTES // numpy_dtype(parameter.dtype).itemsize
        return self._piece * min(max(most // self._piece, 1), _STRETCH)

    def _expect(self, places: Iterable[int], step: Callable[[Parameter], int]) -> None:
        """Say that these parameters will be read, so many elements at a time, for files that lie far away."""
        if self._parameters and not self._is_expected:
            self._parameters[0].checkpoint.expect(self._pieces(places, step))
        self._is_expected = False

    def _pieces(self, places: Iterable[int], step_of: Callable[[Parameter], int]) -> Iterator[tuple[str, int, int]]:
        """Yield what of these parameters is read at a time."""
        pieces = (
            (key, start, min(start + step, size))
            for parameter in (self._parameters[i] for i in places)
            for size, step in ((math.prod(parameter.shape), step_of(parameter)),)
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

    def _formula(self, place: int, norms: Norms | None) -> Formula:
        """The formula of the parameter at that place; those of the same settings, dtype and arrays share one."""
        parameter = self._parameters[place]
        rule = parameter.update_rule
        assert rule is not None
        held = _held(self._keys[place])
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
            self._expect(needy, self._one_piece)
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

    def _measure_small(
        self, found: _Found, small: Mapping[int, int], places: Sequence[int], buffers: Buffers, reader: _Reader
    ) -> None:
        assert loops is not None
        parameters = [self._parameters[place] for place in places]
        formulas, keys = [found.formulas[place] for place in places], [self._keys[place] for place in places]
        figures = measure_small(loops, parameters, formulas, keys, [_rows_told(p.shape) for p in parameters])
        for place in found.take(places, figures):
            self._measure(found.target(place), 0, buffers, reader)
        if self._progress is not None:
            self._progress(
                sum(small[place] for place, is_done in zip(places, figures.are_measured, strict=True) if is_done)
            )

    def _measure(self, target: _Target, start: int, buffers: Buffers, reader: _Reader) -> None:
        stop = min(start + self._stretch(target.parameter), target.size)
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
    compiled = compiled_norms(rule, parameter.settings, numpy_dtype(parameter.dtype), _held(keys_of(parameter)))
    stored = StoredState.find(parameter) if compiled is not None and loops is not None else None

    def read(start: int, stop: int, buffers: Buffers) -> Norms | None:
        if loops is None or stored is None or compiled is None:
            return None
        return stored.norms(loops, compiled, start, stop, buffers)

    return read


def keys_of(parameter: Parameter) -> Keys:
    """Return the keys of a parameter's tensors."""
    return tuple(map(parameter.key, ARRAYS))


def _held(keys: Keys) -> frozenset[str]:
    """The fields of `State` that there are."""
    return _held_of(tuple(key is not None for key in keys))


@cache
def _held_of(are_there: tuple[bool, ...]) -> frozenset[str]:
    return frozenset(compress(ARRAYS, are_there))


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
    return sum(parameter.checkpoint.spec(key).nbytes for key in keys_of(parameter) if key is not None)


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

    def figures(self) -> tuple[Summary, float, tuple[Floats, Floats, Floats]]:
        """Return the summary, the share of untouched rows, and the samples of E, v and θ."""
        assert self._summary is not None
        samples = (self._samples, self._second_moment_samples, self._value_samples)
        return self._summary, self._untouched_rows, samples


class _Found:
    """What has been found of all parameters so far, from any thread."""

    def __init__(self, parameters: Sequence[Parameter], formulas: Sequence[Formula]) -> None:
        self.formulas = formulas
        self._parameters = parameters
        self._targets: dict[int, _Target] = {}
        self._summaries: list[tuple[NDArray[np.intp], Summary]] = []
        self._untouched_rows = np.full(len(parameters), np.nan)
        self._samples = [np.full((len(parameters), SAMPLES), np.nan) for _ in range(3)]

    def target(self, place: int) -> _Target:
        """Return a parameter that is measured by itself."""
        return self._targets.setdefault(place, _Target(self._parameters[place], self.formulas[place]))

    def take(self, places: Sequence[int], figures: SmallFigures) -> list[int]:
        """Take in what was found of some parameters together; return the places of those that it doesn't hold for."""
        done = figures.are_measured
        at = np.array(places)[done]
        self._summaries.append((at, figures.summary if done.all() else figures.summary.at(done.nonzero()[0])))
        rows = np.array([_rows_told(self._parameters[place].shape) or math.nan for place in at])
        self._untouched_rows[at] = 1.0 - figures.touched_rows[done] / rows
        for mine, own in zip(self._samples, figures.samples, strict=True):
            mine[at] = own[done]
        return [place for place, is_done in zip(places, done, strict=True) if not is_done]

    def measured(self) -> Measured:
        """Return all, in the parameters' order."""
        apart = {place: target.figures() for place, target in self._targets.items()}
        for place, (_, rows, samples) in apart.items():
            self._untouched_rows[place] = rows
            for mine, own in zip(self._samples, samples, strict=True):
                mine[place] = own
        if apart:
            stacked = Summary.stacked([summary for summary, _, _ in apart.values()])
            self._summaries.append((np.array(list(apart)), stacked))
        return Measured(
            self._parameters, self.formulas, Summary.joined(self._summaries), self._untouched_rows, *self._samples
        )


def _together(small: Mapping[int, int]) -> Iterator[list[int]]:
    """Yield the places of parameters that one call takes; `small`: places with bytes."""
    places: list[int] = []
    held = 0
    for place, nbytes in small.items():
        places.append(place)
        held += nbytes
        if held >= _TOGETHER:
            yield places
            places, held = [], 0
    if places:
        yield places


def _rows_told(shape: tuple[int, ...]) -> int:
    """The rows of a tensor that are counted apart; 0 if they aren't."""
    return shape[0] if len(shape) > 1 and 0 < shape[0] <= _MOST_ROWS and math.prod(shape) > 0 else 0


class _Rows:
    """Which rows of a tensor have a touched element."""

    __slots__ = ("_length", "_touched")

    def __init__(self, shape: tuple[int, ...]) -> None:
        rows = _rows_told(shape)
        self._length = math.prod(shape[1:])
        self._touched: NDArray[np.bool_] | None = np.zeros(rows, np.bool_) if rows else None

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
