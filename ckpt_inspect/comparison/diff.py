"""Two checkpoints side by side: pairs optimizers, parameters and tensors by name, and streams each pair once.

Nothing is held of a tensor but a piece of it; sums are in float64.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from threading import Event

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, PieceReader, Problem, Progress, TensorSpec, numpy_dtype
from ckpt_inspect.comparison.differences import (
    NAN,
    Differences,
    HyperparameterDiff,
    OptimizerDiff,
    ParameterDiff,
    Status,
    is_integer,
)
from ckpt_inspect.comparison.distances import Buffers, Distance, Window, WindowCount
from ckpt_inspect.comparison.stored_pairs import StoredPair
from ckpt_inspect.comparison.together import Told, states_together
from ckpt_inspect.errors import NotDetermined, NotFoundError
from ckpt_inspect.layouts import weight_names
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.measurement.extension import loops
from ckpt_inspect.measurement.histograms import Counts, count_touched
from ckpt_inspect.measurement.kernels import Buffers as LoopBuffers
from ckpt_inspect.measurement.medians import EffectiveLrMedian
from ckpt_inspect.measurement.wording import counted, percent, spoken_name
from ckpt_inspect.series.newest import open_newest
from ckpt_inspect.sourced import Sourced, shown_source
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter, optimizer_states
from ckpt_inspect.state.renaming import have_same_shapes, pair_parameters
from ckpt_inspect.state.selection import Selection
from ckpt_inspect.update_rules import STATE_SLOTS, State

THREADS = 2

_LARGE = 1 << 23
"""Bytes from which a parameter is announced by itself: smaller ones are together, so that neighbours are one
request."""
_MOST_EXPECTED = 1 << 16
"""Pieces of a tensor that are announced: a damaged file may claim any number."""

PIECE_ELEMENTS = 1 << 18
"""Elements of each tensor that a thread compares at a time; of fewer, threads wait for each other at the interpreter's
lock."""

_STRETCH = 1 << 20
"""Elements that the loops in C compare in one call, which nothing interrupts."""

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""A serialized description of the objects that were saved, not a part of their state."""


def compare(
    a: str | os.PathLike[str] | Checkpoint,
    b: str | os.PathLike[str] | Checkpoint,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    infer: bool = True,
    progress: Progress | None = None,
) -> Differences:
    """Compare two checkpoints: what was added, removed, reshaped, changed, and by how much.

    `a` and `b` are paths (for a folder of checkpoints its newest) or open checkpoints. `given` overrides
    hyperparameters of both as in `optimizer_states`. `include` and `exclude` are glob patterns that parameters' names
    must match, or must not. With `infer`, what the two tell together stands in for defaults.

    Raises CkptInspectError for what can't be opened or read, NotFoundError if no parameter is chosen.
    """
    with ExitStack() as stack:
        (checkpoint_a, remarks_a), (checkpoint_b, remarks_b) = (_opened(x, stack) for x in (a, b))
        sides = _sides((checkpoint_a, checkpoint_b), given, infer=infer)
        side_a, side_b = sides
        optimizers, problems = _paired_optimizers(side_a, side_b)
        optimizers, renamed = _with_renamed(optimizers)
        chosen = Selection.of(include, exclude)
        every = list(_jobs(side_a, side_b, optimizers))
        jobs = [job for job in every if chosen.has(job.row.parameter)]
        if every and not jobs:
            raise NotFoundError(
                f"{checkpoint_a.path}, {checkpoint_b.path}: no parameter's name matches what was included; "
                "`ckpt-inspect show` lists them all"
            )
        rows = _compared(jobs, progress)
        for side in sides:
            side.checkpoint.finish_reading()
        problems += remarks_a + remarks_b + renamed + _opaque_problems(sides)
        if not renamed and (hint := _renaming_hint(rows)) is not None:
            problems += (hint,)
        scalars = tuple(row for row in rows if _is_bookkeeping(row, has_optimizers=bool(optimizers)))
        rows = [row for row in rows if row not in scalars]
        for side in sides:
            problems += side.checkpoint.problems
            problems += tuple(p for state in side.states for p in state.problems)
        results = tuple(_optimizer_diff(pair) for pair in optimizers)
        problems += tuple(p for o in results for p in (*_contradictions(o), *_continuity_problems(o, rows)))
        return Differences(
            str(checkpoint_a.path),
            str(checkpoint_b.path),
            results,
            tuple(sorted(rows, key=lambda row: (*row.rank(), row.optimizer, row.parameter))),
            tuple(dict.fromkeys(problems)),
            tuple(sorted(scalars, key=lambda row: (*row.rank(), row.parameter))),
            {name: before for pair in optimizers for name, before in pair.renamed.items()},
            infer,
        )


@dataclass(frozen=True, slots=True)
class _Side:
    checkpoint: Checkpoint
    states: tuple[OptimizerState, ...]
    told: Told = field(default_factory=lambda: Told(()))


def _sides(checkpoints: tuple[Checkpoint, Checkpoint], given: Given | None, *, infer: bool) -> list[_Side]:
    if not infer:
        return [_Side(checkpoint, optimizer_states(checkpoint, given)) for checkpoint in checkpoints]
    together = states_together(checkpoints, given)
    return [_Side(checkpoint, told.states, told) for checkpoint, told in zip(checkpoints, together, strict=True)]


@dataclass(frozen=True, slots=True)
class _OptimizerPair:
    a: OptimizerState | None
    b: OptimizerState | None

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names in b -> names in a of parameters that are paired although their names differ."""
    decays: int | None = None
    """How often the moments decayed from a to b, if the two tell; else `steps` counts it."""
    inferred: frozenset[str] = frozenset()
    """Names of what the two together tell."""
    contradictions: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    """Why values of a and of b can't be right, by name."""

    @property
    def name(self) -> str:
        return (self.b or self.a).name  # type: ignore[union-attr]  # one of the two is always there

    @property
    def steps(self) -> int | None:
        if self.a is None or self.b is None or self.a.step.value is None or self.b.step.value is None:
            return None
        return int(self.b.step.value) - int(self.a.step.value)


@dataclass(frozen=True, slots=True)
class _Job:
    """A row to be filled, and the keys of its tensors in both checkpoints."""

    row: ParameterDiff
    a: Checkpoint
    b: Checkpoint
    tensors: Mapping[str, tuple[str, str]]
    """Keys in a and b of `value` and of each slot variable that both have."""
    parameters: tuple[Parameter, Parameter] | None = None
    window: Window | None = None
    is_refuted: bool = False
    """Whether the two show that the window's beta_2 is not the one that was used."""

    @property
    def nbytes(self) -> int:
        return sum(self.a.tensors[x].nbytes + self.b.tensors[y].nbytes for x, y in self.tensors.values())


def _opened(thing: str | os.PathLike[str] | Checkpoint, stack: ExitStack) -> tuple[Checkpoint, tuple[Problem, ...]]:
    """A checkpoint that was open stays open; one opened here is closed with the stack."""
    if isinstance(thing, Checkpoint):
        return thing, ()
    checkpoint, remarks = open_newest(thing)
    return stack.enter_context(checkpoint), remarks


def _paired_optimizers(a: _Side, b: _Side) -> tuple[tuple[_OptimizerPair, ...], tuple[Problem, ...]]:
    """By name; if each side has a single optimizer, that one with that one."""
    if len(a.states) == len(b.states) == 1 and a.states[0].name != b.states[0].name:
        names = a.states[0].name, b.states[0].name
        problem = Problem(
            "optimizer-renamed",
            f"{a.checkpoint.path} has the one optimizer {names[0]!r}, {b.checkpoint.path} has {names[1]!r}",
            "they are compared with each other",
            "info",
        )
        return (_pair(a, b, a.states[0], b.states[0]),), (problem,)
    of_a, of_b = ({s.name: s for s in side.states} for side in (a, b))
    return tuple(_pair(a, b, of_a.get(n), of_b.get(n)) for n in dict.fromkeys((*of_a, *of_b))), ()


def _pair(a: _Side, b: _Side, one: OptimizerState | None, two: OptimizerState | None) -> _OptimizerPair:
    if one is None or two is None:
        return _OptimizerPair(one, two)
    windows = b.told.windows.get(two.name, ())
    decays = windows[0].decays if len(windows) == 1 and windows[0].is_continuous else None
    against = a.told.contradictions.get(one.name, {}), b.told.contradictions.get(two.name, {})
    inferred = frozenset(a.told.inferred.get(one.name, {})) | frozenset(b.told.inferred.get(two.name, {}))
    return _OptimizerPair(one, two, decays=decays, contradictions=against, inferred=inferred)


def _with_renamed(pairs: tuple[_OptimizerPair, ...]) -> tuple[tuple[_OptimizerPair, ...], tuple[Problem, ...]]:
    """The pairs, with the parameters that go by other names in b."""
    found, problems = [], []
    for pair in pairs:
        renamed = {}
        if pair.a is not None and pair.b is not None:
            of_a, of_b = ({n: p.shape for n, p in state.parameters.items()} for state in (pair.a, pair.b))
            renamed = pair_parameters(of_a, of_b)
        if renamed:
            name, before = next(iter(renamed.items()))
            problems.append(
                Problem(
                    "parameters-renamed",
                    f"{spoken_name(pair.name)}: {len(renamed)} parameters are named differently in the two "
                    f"checkpoints, such as {before} and {name}",
                    "they are assumed to be the same and compared, because their shapes and the structure of their "
                    "names correspond",
                )
            )
        found.append(replace(pair, renamed=renamed))
    return tuple(found), tuple(problems)


def _renaming_hint(rows: list[ParameterDiff]) -> Problem | None:
    """Whether what was added and what was removed may differ by their names only."""
    of_a = {f"{r.optimizer}:{r.parameter}": r.shape_a for r in rows if r.status == "removed" and r.shape_a is not None}
    of_b = {f"{r.optimizer}:{r.parameter}": r.shape_b for r in rows if r.status == "added" and r.shape_b is not None}
    if not have_same_shapes(of_a, of_b):
        return None
    return Problem(
        "names-differ",
        f"the {len(of_a)} tensors that were removed and those that were added have the same shapes, so that they may "
        "differ by their names only",
        "they are not compared, because nothing says which corresponds to which: save both checkpoints in one format, "
        "or from models whose layers have names of their own",
        "info",
    )


_SCALAR_NAMES = re.compile(
    r"(?:.*/)?_?(?:(?:current_|dynamic_)?loss_scale|dynamic_scale|learning_rate|lr|decay|momentum|rho|epsilon|beta_?[12]"
    r"|beta[12]_power|(?:global_|good_)?steps?|step_counter|iterations?|epoch|examples|save_counter|count(?:er)?)",
)


def _is_bookkeeping(row: ParameterDiff, *, has_optimizers: bool) -> bool:
    """Whether it is a counter, a rate, a loss scale: one number that no optimizer trains, rather than a parameter."""
    shapes = {row.shape_a, row.shape_b} - {None}
    if row.optimizer or not shapes <= {(), (1,)}:
        return False
    dtype = row.dtype_b or row.dtype_a or ""
    is_named = _SCALAR_NAMES.fullmatch(row.parameter) is not None
    return is_integer(dtype) or is_named or (shapes == {()} and has_optimizers)


def _jobs(a: _Side, b: _Side, optimizers: tuple[_OptimizerPair, ...]) -> Iterator[_Job]:
    """A job for each parameter of the optimizers that both have, then one for each tensor that no such pair covers."""
    covered_a: set[str] = {OBJECT_GRAPH, *_opaque_keys(a)}
    covered_b: set[str] = {OBJECT_GRAPH, *_opaque_keys(b)}
    for pair in optimizers:
        for state, covered in ((pair.a, covered_a), (pair.b, covered_b)):
            if state is not None:
                covered |= _own_keys(state, with_weights=pair.a is not None and pair.b is not None)
        if pair.a is None or pair.b is None:
            continue
        taken = set(pair.renamed.values())
        only_a = [name for name in pair.a.parameters if name not in taken and name not in pair.b.parameters]
        for name in (*pair.b.parameters, *only_a):
            yield _parameter_job(a, b, pair, name)
    names_a, names_b = _names(a), _names(b)
    shown = names_a | names_b
    specs_a = {key: spec for key, spec in a.checkpoint.tensors.items() if key not in covered_a}
    specs_b = {key: spec for key, spec in b.checkpoint.tensors.items() if key not in covered_b}
    for key_a, key_b in _bare_pairs(specs_a, specs_b, names_a, names_b):
        key = key_b or key_a or ""
        in_a, in_b = specs_a[key_a] if key_a else None, specs_b[key_b] if key_b else None
        name = (names_b if key_b else names_a).get(key) or shown.get(key, key.removesuffix(KEY_TAIL))
        row = _bare_row("", name, in_a, in_b)
        tensors = {"value": (key_a, key_b)} if key_a and key_b and row.status == "same" else {}
        yield _Job(row, a.checkpoint, b.checkpoint, tensors)


def _names(side: _Side) -> dict[str, str]:
    """Return the names of the side's weights by key, where they differ from it: of those that an optimizer trains, and
    of those that it doesn't."""
    trained = {
        p.found.value: p.name for state in side.states for p in state.parameters.values() if p.found.value is not None
    }
    return weight_names(side.checkpoint) | trained


def _bare_pairs(
    a: Mapping[str, TensorSpec], b: Mapping[str, TensorSpec], names_a: Mapping[str, str], names_b: Mapping[str, str]
) -> Iterator[tuple[str | None, str | None]]:
    """Yield the keys of the same tensor: by the names that both sides have for it, else by the key; None for a side
    that has no such tensor."""
    named_a = {name: key for key, name in names_a.items() if key in a}
    left = dict.fromkeys(a)
    for key in b:
        name = names_b.get(key)
        found = named_a.get(name) if name is not None else None
        if found is None and (name is None or key not in names_a):
            found = key
        if found not in left:
            yield None, key
            continue
        del left[found]
        yield found, key
    for key in left:
        yield key, None


def _opaque_keys(side: _Side) -> list[str]:
    """Keys of what is no array of numbers, such as the state of a dataset's iterator."""
    return [key for key, spec in side.checkpoint.tensors.items() if not spec.is_readable]


def _opaque_problems(sides: Sequence[_Side]) -> tuple[Problem, ...]:
    keys = dict.fromkeys(key for side in sides for key in _opaque_keys(side))
    tensors = [side.checkpoint.tensors[key] for key in keys for side in sides if key in side.checkpoint.tensors]
    if not keys:
        return ()
    types = " and ".join(sorted({spec.dtype for spec in tensors if not spec.is_readable}))
    names = ", ".join(key.removesuffix(KEY_TAIL) for key in keys)
    what = f"of type {types}, which is no array of numbers: {names}"
    return (Problem("not-comparable", what, "what is of that type is not compared; everything else is", "info"),)


def _own_keys(state: OptimizerState, *, with_weights: bool) -> set[str]:
    """Keys that the optimizer's own diff speaks for; weights only if parameters are paired."""
    keys: set[str] = set(state.keys)
    for parameter in state.parameters.values():
        keys |= set(parameter.found.slots.values())
        if with_weights and parameter.found.value:
            keys.add(parameter.found.value)
    return keys


def _parameter_job(a: _Side, b: _Side, pair: _OptimizerPair, name: str) -> _Job:
    assert pair.a is not None and pair.b is not None
    one, two = pair.a.parameters.get(pair.renamed.get(name, name)), pair.b.parameters.get(name)
    row = _bare_row(pair.name, name, one, two)
    if one is None or two is None or row.status != "same":
        return _Job(row, a.checkpoint, b.checkpoint, {})
    tensors = {s: (one.found.slots[s], two.found.slots[s]) for s in one.found.slots if s in two.found.slots}
    if one.found.value and two.found.value:
        tensors = {"value": (one.found.value, two.found.value)} | tensors
    if set(one.found.slots) != set(two.found.slots) or bool(one.found.value) != bool(two.found.value):
        row = replace(row, status="changed")
    window = None
    rule = pair.b.update_rule
    is_lazy = rule is None or rule.is_lazy or pair.b.settings.implementation.is_lazy
    has_window = rule is not None and rule.has_squared_gradients and rule.decays_by_beta_2 and not is_lazy
    if has_window and "second_moment" in tensors:
        beta_2 = pair.b.hyperparameters.get("beta_2")
        dtype = b.checkpoint.tensors[tensors["second_moment"][1]].dtype
        if beta_2 is not None and beta_2.value is not None and pair.steps and pair.steps > 0:
            window = Window.between(pair.decays or pair.steps, beta_2.value, numpy_dtype(dtype))
    is_refuted = "beta_2" in pair.contradictions[1]
    return _Job(row, a.checkpoint, b.checkpoint, tensors, (one, two), window, is_refuted=is_refuted)


def _bare_row(
    optimizer: str, name: str, a: TensorSpec | Parameter | None, b: TensorSpec | Parameter | None
) -> ParameterDiff:
    """Return what names and shapes show; `same` until the elements say otherwise."""
    status: Status = "same"
    if a is None:
        status = "added"
    elif b is None:
        status = "removed"
    elif a.shape != b.shape:
        status = "reshaped"
    return ParameterDiff(
        optimizer, name, status,
        a.shape if a else None, b.shape if b else None, a.dtype if a else None, b.dtype if b else None,
    )  # fmt: skip


def _compared(jobs: list[_Job], progress: Progress | None) -> list[ParameterDiff]:
    """Every job's row, filled; large tensors first, so that no thread is left with the largest at the end."""
    total, done, rows = sum(job.nbytes for job in jobs), 0, []
    executor, stop, memory = ThreadPoolExecutor(THREADS), Event(), _Memory()
    small = [job for job in sorted(jobs, key=lambda job: -job.nbytes) if job.nbytes < _LARGE]
    for side, checkpoint in enumerate((jobs[0].a, jobs[0].b) if small else ()):
        checkpoint.expect((keys[side], 0, job.row.size) for job in small for keys in job.tensors.values())
    try:
        pending: dict[Future[ParameterDiff], _Job] = {
            executor.submit(_filled, job, memory, stop): job for job in sorted(jobs, key=lambda job: -job.nbytes)
        }
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                done += pending.pop(future).nbytes
                rows.append(future.result())
            if progress is not None:
                progress(done, total)
    finally:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
    return rows


class _Memory(threading.local):
    """What a thread reuses from tensor to tensor."""

    def __init__(self) -> None:
        self.pieces = PieceReader(PIECE_ELEMENTS)
        self.buffers = Buffers(PIECE_ELEMENTS)
        self._of_loops = LoopBuffers(PIECE_ELEMENTS)

    @property
    def scratch(self) -> Array:
        """Memory of the loops in C."""
        return self._of_loops.scratch


def _filled(job: _Job, memory: _Memory, stop: Event) -> ParameterDiff:
    """The job's row with every figure that takes the elements; one pass over all tensors of the parameter.

    Stops early if `stop` is set: nobody wants the result any more.
    """
    row = job.row
    if not job.tensors:
        return row
    if any(job.a.spec(key).dtype == STRING for key, _ in job.tensors.values()):
        is_same = all((job.a.read(x) == job.b.read(y)).all() for x, y in job.tensors.values())
        return row if is_same else replace(row, status="changed")
    size = row.size
    distances = {slot: Distance() for slot in job.tensors}
    counts = WindowCount()
    medians, is_relative = _medians(job.parameters, size)
    arrays = {array: slot for array, slots in _ARRAYS.items() for slot in reversed(slots) if slot in job.tensors}
    pairs = _stored_pairs(job)
    counted = _counted(job, medians, arrays) if pairs else None
    if counted is not None:
        _compare_stored(job, pairs, distances, counts, counted, memory, stop)
    elif job.nbytes >= _LARGE:
        for side, checkpoint in enumerate((job.a, job.b)):
            places = range(0, size, PIECE_ELEMENTS)[:_MOST_EXPECTED]
            checkpoint.expect(
                (keys[side], start, min(start + PIECE_ELEMENTS, size))
                for start in places
                for keys in job.tensors.values()
            )
    for start in range(0, 0 if counted is not None else size, PIECE_ELEMENTS):
        if stop.is_set():
            break
        of_a, of_b = (
            {
                slot: memory.pieces.read(checkpoint, keys[side], start, min(start + PIECE_ELEMENTS, size), (side, slot))
                for slot, keys in job.tensors.items()
            }
            for side, checkpoint in enumerate((job.a, job.b))
        )
        for slot, distance in distances.items():
            distance.add(of_a[slot], of_b[slot], memory.buffers)
            if slot == "second_moment" and job.window is not None:
                counts.add(of_a[slot], of_b[slot], job.window, memory.buffers)
        for i, (median, pieces) in enumerate(zip(medians, (of_a, of_b), strict=False)):
            if median is not None:
                try:
                    median.add(State(**{array: pieces[slot] for array, slot in arrays.items()}))
                except NotDetermined:
                    medians[i] = None
    is_same = row.status == "same" and all(d.is_same for d in distances.values())
    row = replace(
        row,
        status="same" if is_same else "changed",
        slot_changes={slot: d.relative for slot, d in distances.items() if slot != "value"},
        is_zeroed=_is_zeroed(distances),
    )
    if "value" in distances:
        d = distances["value"]
        row = replace(
            row,
            weight_change=d.relative, weight_cosine=d.cosine,
            weight_norm_a=d.norm_a, weight_norm_b=d.norm_b, weight_distance=d.norm_difference,
        )  # fmt: skip
    if medians:
        lrs = [median.median() if median is not None else NAN for median in medians]
        row = replace(row, effective_lr_a=lrs[0], effective_lr_b=lrs[1], is_effective_lr_relative=is_relative)
    if job.window is not None and size:
        if counts.touched:
            row = replace(row, impossible=counts.impossible / counts.touched)
        if not job.is_refuted:
            row = replace(row, gradient_rms=counts.gradient_rms(job.window, size))
            row = replace(row, starved=counts.starved / counts.touched) if counts.touched else row
    return row


_Counted = Mapping[tuple[str, int], Counts]


def _counted(job: _Job, medians: Sequence[EffectiveLrMedian | None], arrays: Mapping[str, str]) -> _Counted | None:
    """Return, by slot and side, what counts the slot's values for a median; None if a median takes more than counts."""
    counted: dict[tuple[str, int], Counts] = {}
    for side, (median, checkpoint) in enumerate(zip(medians, (job.a, job.b), strict=False)):
        if median is None:
            continue
        if "second_moment" not in arrays:
            return None
        dtype = numpy_dtype(checkpoint.spec(job.tensors[arrays["second_moment"]][side]).dtype)
        under = median.counted(dtype, frozenset(arrays))
        if under is None:
            return None
        counted[arrays[under[0]], side] = under[1]
    return counted


def _stored_pairs(job: _Job) -> Mapping[str, StoredPair]:
    """Return where the loops in C can read each slot's elements; nothing unless they can read all."""
    if loops is None:
        return {}
    found: dict[str, StoredPair] = {}
    for slot, keys in job.tensors.items():
        pair = StoredPair.find(job.a, job.b, keys)
        if pair is None:
            return {}
        found[slot] = pair
    return found


def _compare_stored(
    job: _Job,
    pairs: Mapping[str, StoredPair],
    distances: Mapping[str, Distance],
    window_count: WindowCount,
    counted: _Counted,
    memory: _Memory,
    stop: Event,
) -> None:
    """Take in all elements by the loops in C, a stretch of each slot after another."""
    assert loops is not None
    size = job.row.size
    for start in range(0, size, _STRETCH):
        end = min(start + _STRETCH, size)
        for slot, pair in pairs.items():
            if stop.is_set():
                return
            window = job.window if slot == "second_moment" else None
            counts = counted.get((slot, 0)), counted.get((slot, 1))
            found = pair.compare(loops, start, end, memory.scratch, window, counts)
            if found is not None:
                distances[slot].add_products(end - start, found[0])
                if window is not None:
                    window_count.add_counts(found[1])
                continue
            # something of it was checksummed before, or can't be read: whoever reads it says why
            for begin in range(start, end, PIECE_ELEMENTS):
                a, b = (
                    memory.pieces.read(checkpoint, key, begin, min(begin + PIECE_ELEMENTS, end), (side, slot))
                    for side, (checkpoint, key) in enumerate(zip((job.a, job.b), job.tensors[slot], strict=True))
                )
                distances[slot].add(a, b, memory.buffers)
                if window is not None:
                    window_count.add(a, b, window, memory.buffers)
                for values, of_side in zip((a, b), counts, strict=True):
                    if of_side is not None:
                        count_touched(values, of_side)


_MOMENTS = frozenset(slot for slots in STATE_SLOTS.values() for slot in slots)

_ARRAYS = {"value": ("value",), **STATE_SLOTS}
"""Fields of `State` -> the tensors of a job that may stand in them."""


def _is_zeroed(distances: Mapping[str, Distance]) -> bool:
    """Whether all moments became 0; of a rule that has none, all slots."""
    slots = {slot: d for slot, d in distances.items() if slot != "value"}
    moments = [d for slot, d in slots.items() if slot in _MOMENTS] or list(slots.values())
    return any(d.dot_aa > 0.0 for d in moments) and all(d.dot_bb == 0.0 for d in moments)


def _medians(parameters: tuple[Parameter, Parameter] | None, size: int) -> tuple[list[EffectiveLrMedian | None], bool]:
    """For a and b, None if the rule has no E or the state can't give one; and whether they are of E/α.

    If only one learning rate is known, the two medians must still be of one kind to be compared.
    """
    if parameters is None:
        return [], False
    is_relative = any(p.settings.learning_rate is None for p in parameters)
    medians: list[EffectiveLrMedian | None] = []
    for parameter in parameters:
        rule, settings = parameter.update_rule, parameter.settings
        has_step = bool(settings.step) or settings.is_converged
        if rule is None or not has_step or (is_relative and rule.needs_norms):
            medians.append(None)
            continue
        if is_relative:
            settings = replace(settings, learning_rate=1.0)
        medians.append(EffectiveLrMedian(rule, settings, size))
    return medians, is_relative


def _optimizer_diff(pair: _OptimizerPair) -> OptimizerDiff:
    if pair.a is None or pair.b is None:
        return OptimizerDiff(pair.name, "added" if pair.a is None else "removed")
    unknown: Sourced[float] = Sourced(None, "unknown", "not a hyperparameter of this rule")
    of_a, of_b = map(_sourced_values, (pair.a, pair.b))
    against_a, against_b = pair.contradictions
    values = tuple(
        HyperparameterDiff(
            name,
            of_a.get(name, unknown),
            of_b.get(name, unknown),
            against_a.get(name, ""),
            against_b.get(name, ""),
            name in pair.inferred,
        )
        for name in dict.fromkeys((*of_a, *of_b))
    )
    return OptimizerDiff(pair.name, "changed" if any(v.is_changed for v in values) else "same", values, pair.steps)


def _sourced_values(state: OptimizerState) -> dict[str, Sourced[float | str]]:
    return {"rule": state.rule_source, "step": state.step, **state.hyperparameters}


def _contradictions(optimizer: OptimizerDiff) -> Iterator[Problem]:
    """What one of the two refutes of the other's values."""
    for value in optimizer.hyperparameters:
        for sourced, against in ((value.a, value.against_a), (value.b, value.against_b)):
            if against:
                shown = shown_source(sourced.source, against)
                yield Problem(
                    "hyperparameter-contradicted",
                    f"{spoken_name(optimizer.name)}: {value.name} = {sourced.value} is {shown}: {against}",
                    "figures computed with it are wrong: give the value that was used "
                    f"(--{value.name.replace('_', '-')})",
                )


def _continuity_problems(optimizer: OptimizerDiff, rows: list[ParameterDiff]) -> Iterator[Problem]:
    """Whether b can be the continuation of a that its step claims."""
    kept = [r for r in rows if r.optimizer == optimizer.name and r.slot_changes]
    zeroed = [r for r in kept if r.is_zeroed]
    if zeroed:
        yield Problem(
            "moments-zeroed",
            f"{spoken_name(optimizer.name)}: the moments of {len(zeroed)} of {len(kept)} parameters are all 0 in the "
            f"second checkpoint, and not in the first: {zeroed[0].parameter}{' and others' if len(zeroed) > 1 else ''}",
            "its state was lost or reset, as when weights are restored without the optimizer; restore both together",
        )
    if optimizer.steps is None:
        return
    if optimizer.steps < 0:
        yield Problem(
            "step-fell",
            f"{spoken_name(optimizer.name)}: the second checkpoint's step is {-optimizer.steps} less than the first's",
            "the figures that need a window of updates are left out; give the checkpoints the other way round, or the "
            "optimizer was reset between them",
            "info",
        )
        return
    impossible = [r for r in rows if r.optimizer == optimizer.name and r.impossible > 0.0]
    is_refuted = any(h.name == "beta_2" and h.against_b for h in optimizer.hyperparameters)
    if impossible and not is_refuted:  # one cause, one remark
        worst = max(impossible, key=lambda r: r.impossible)
        beta_2 = next((h.b for h in optimizer.hyperparameters if h.name == "beta_2"), None)
        assumed = beta_2 is not None and beta_2.source == "default"
        told = f" with the beta_2 that is assumed, {beta_2.value:g}" if beta_2 is not None and assumed else ""
        if beta_2 is not None and beta_2.source == "inferred":
            told = f" with the beta_2 that is inferred, {beta_2.value:g}"
        yield Problem(
            "not-a-continuation",
            f"{spoken_name(optimizer.name)}: in {counted(len(impossible), 'parameter')} the second moment fell faster "
            f"than {optimizer.steps} updates can make it fall{told} "
            f"({worst.parameter}: {percent(worst.impossible)} of the elements)",
            "give the beta_2 that was used (--beta-2); if it is that one, its state was reset in between, or the "
            "checkpoints are of two runs"
            if assumed
            else "its state was reset in between, the checkpoints are of two runs, or beta_2 is not the one that was "
            "used",
        )
