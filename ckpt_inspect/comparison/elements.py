"""The elements of each pair of tensors, streamed once, and what they show.

Nothing is held of a tensor but a piece of it; sums are in float64.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Event

from ckpt_inspect.checkpoint import STRING, Array, PieceReader, Progress, numpy_dtype
from ckpt_inspect.comparison.differences import NAN, ParameterDiff
from ckpt_inspect.comparison.distances import Buffers, Distance, WindowCount
from ckpt_inspect.comparison.pairing import Job
from ckpt_inspect.comparison.stored_pairs import StoredPair
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.histograms import Counts, count_touched
from ckpt_inspect.measurement.kernels import Buffers as LoopBuffers
from ckpt_inspect.measurement.medians import EffectiveLrMedian
from ckpt_inspect.native import loops
from ckpt_inspect.state.optimizer_state import Parameter
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

_MOMENTS = frozenset(slot for slots in STATE_SLOTS.values() for slot in slots)

_ARRAYS = {"value": ("value",), **STATE_SLOTS}
"""Fields of `State` -> the tensors of a job that may stand in them."""

_Counted = Mapping[tuple[str, int], Counts]


def compare_elements(jobs: list[Job], progress: Progress | None) -> list[ParameterDiff]:
    """Return every job's row, filled; large tensors first, so that no thread is left with the largest at the end."""
    total, done, rows = sum(job.nbytes for job in jobs), 0, []
    executor, stop, memory = ThreadPoolExecutor(THREADS), Event(), _Memory()
    small = [job for job in sorted(jobs, key=lambda job: -job.nbytes) if job.nbytes < _LARGE]
    for side, checkpoint in enumerate((jobs[0].a, jobs[0].b) if small else ()):
        checkpoint.expect((keys[side], 0, job.row.size) for job in small for keys in job.tensors.values())
    try:
        pending: dict[Future[ParameterDiff], Job] = {
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


def _filled(job: Job, memory: _Memory, stop: Event) -> ParameterDiff:
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
        moments = [distances[slot] for slot in ("first_moment", "second_moment") if slot in distances]
        if not job.is_refuted and not all(d.is_same and d.norm_a > 0 for d in moments):  # else no update was made of it
            row = replace(row, gradient_rms=counts.gradient_rms(job.window, size))
            row = replace(row, starved=counts.starved / counts.touched) if counts.touched else row
    return row


def _counted(job: Job, medians: Sequence[EffectiveLrMedian | None], arrays: Mapping[str, str]) -> _Counted | None:
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


def _stored_pairs(job: Job) -> Mapping[str, StoredPair]:
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
    job: Job,
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
