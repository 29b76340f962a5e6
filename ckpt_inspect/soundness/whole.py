"""Is a checkpoint whole? Every byte read, every checksum compared, no part missing, every number finite."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.comparison.moment_limits import MomentCounts
from ckpt_inspect.formats.keras_files import ONE_SHARD
from ckpt_inspect.formats.orbax import AGGREGATED
from ckpt_inspect.layouts import weight_names
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.measurement.wording import counted, percent, spoken_name
from ckpt_inspect.soundness import kinds
from ckpt_inspect.soundness.reading import Reading
from ckpt_inspect.soundness.verdicts import Reason
from ckpt_inspect.state.optimizer_state import OptimizerState

MOST_NAMED = 3
"""Tensors that a reason names; the rest are counted."""


def judge_whole(checkpoint: Checkpoint, states: Sequence[OptimizerState], reading: Reading) -> Iterator[Reason]:
    """Yield what speaks against its being whole, and what couldn't be checked."""
    missing = tuple(_missing_parts(checkpoint))
    yield from missing
    failed = {key: tensor.error for key, tensor in reading.tensors.items() if tensor.error}
    if failed:
        first, error = next(iter(failed.items()))
        kind = next((r.kind for r in missing if r.kind is kinds.PART_MISSING), kinds.DAMAGED)
        count = f"{len(failed)} of {counted(len(reading.tensors), 'tensor')}"
        yield Reason(kind, first, f"{count} can't be read, the first of them {_shown(first)}: {error}")
    if reading.error and not any(reading.error in error for error in failed.values()):
        yield Reason(kinds.DAMAGED, str(checkpoint.path), reading.error)
    for problem in reading.rest:
        if problem.severity == "error":
            yield Reason(kinds.DAMAGED, str(checkpoint.path), problem.message)
        else:
            kind = kinds.NOT_CHECKED if problem.code == "bytes-unclaimed" else kinds.NO_CHECKSUM
            yield Reason(kind, str(checkpoint.path), f"{problem.message}: {problem.resolution}")
    yield from _odd_numbers(checkpoint, states, reading)
    yield from _impossible_moments(reading)
    opaque = [key for key, tensor in reading.tensors.items() if not tensor.is_readable]
    if opaque:
        types = " and ".join(sorted({checkpoint.tensors[key].dtype for key in opaque}))
        what = f"of type {types}, which is not an array of numbers: {named([_shown(key) for key in opaque])}"
        yield Reason(kinds.NOT_CHECKED, opaque[0], what)
    if not checkpoint.checksums and checkpoint.tensors:
        what = f"{checkpoint.format} keeps no checksums of tensors: all {len(reading.tensors)} could be read"
        yield Reason(kinds.NO_CHECKSUM, "", f"{what}, and whether a bit changed since they were written is not known")


def _missing_parts(checkpoint: Checkpoint) -> Iterator[Reason]:
    for problem in checkpoint.problems:
        if problem.code == "unmerged-parts":
            yield Reason(kinds.NOT_MERGED, str(checkpoint.path), problem.message)
        elif problem.code == AGGREGATED:
            yield Reason(kinds.NOT_READ, str(checkpoint.path), f"{problem.message}: {problem.resolution}")
        elif problem.severity == "error" or problem.code == ONE_SHARD:
            yield Reason(kinds.PART_MISSING, str(checkpoint.path), problem.message)


def _odd_numbers(checkpoint: Checkpoint, states: Sequence[OptimizerState], reading: Reading) -> Iterator[Reason]:
    odd = {key: tensor for key, tensor in reading.tensors.items() if tensor.nan or tensor.infinite}
    if not odd:
        return
    names = roles(checkpoint, states)
    records = [k for k, t in odd.items() if not t.nan and k not in names and checkpoint.tensors[k].size == 1]
    for key in records:
        yield Reason(kinds.INFINITE_SCALAR, key, f"{_shown(key)} is infinite")
    others = sorted((key for key in odd if key not in records), key=lambda key: -(odd[key].nan + odd[key].infinite))
    if others:
        nan, infinite = (sum(getattr(odd[key], what) for key in others) for what in ("nan", "infinite"))
        counts = " and ".join(
            f"{count:,} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite values")) if count
        )
        shown = named([names.get(key, _shown(key)) for key in others])
        yield Reason(kinds.NOT_FINITE, others[0], f"{counts} in {counted(len(others), 'tensor')}: {shown}")


def _impossible_moments(reading: Reading) -> Iterator[Reason]:
    negative = {name: counts.negative for (_, name), counts in reading.moments.items() if counts.negative}
    if negative:
        count = sum(negative.values())
        worst = sorted(negative, key=lambda name: -negative[name])
        what = f"{count:,} of the second moments, which are means of squares, {'is' if count == 1 else 'are'} negative"
        yield Reason(kinds.IMPOSSIBLE_MOMENTS, worst[0], f"{what}: {named(worst)}")
    for is_certain in (True, False):
        beyond = {
            name: counts
            for (_, name), counts in reading.moments.items()
            if counts.beyond and counts.limit is not None and counts.limit.is_certain == is_certain
        }
        if beyond:
            kind = kinds.IMPOSSIBLE_MOMENTS if is_certain else kinds.DOUBTFUL_MOMENTS
            worst = sorted(beyond, key=lambda name: -beyond[name].beyond / beyond[name].elements)
            yield Reason(kind, worst[0], _beyond(beyond, worst[0], is_certain=is_certain))


def _beyond(beyond: Mapping[str, MomentCounts], worst: str, *, is_certain: bool) -> str:
    count, first = sum(counts.beyond for counts in beyond.values()), beyond[worst]
    most = "no gradient reached v" if math.isinf(first.worst) else f"|m|/√v is up to {first.worst:.3g}"
    return (
        f"{counted(count, 'first moment')} in {counted(len(beyond), 'parameter')} {'is' if count == 1 else 'are'} "
        f"larger than any gradients make them beside their second moments ({worst}: "
        f"{percent(first.beyond / first.elements)} of its elements; {most})"
        + ("" if is_certain else ", unless β1 was larger than √β2")
    )


def roles(checkpoint: Checkpoint, states: Sequence[OptimizerState]) -> dict[str, str]:
    """Return what each tensor of the model and of its optimizers is, for a person, by key."""
    found = dict(weight_names(checkpoint))
    for state in states:
        found |= {key: f"{_shown(key)} of {spoken_name(state.name)}" for key in state.keys}
        for parameter in state.parameters.values():
            found |= {
                key: f"the {slot.replace('_', ' ')} of {parameter.name}" for slot, key in parameter.found.slots.items()
            }
            if parameter.found.value is not None:
                found[parameter.found.value] = parameter.name
    return found


def named(names: Collection[str]) -> str:
    """Return a few of the names, and how many more there are."""
    shown = list(names)[:MOST_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _shown(key: str) -> str:
    return key.removesuffix(KEY_TAIL)
