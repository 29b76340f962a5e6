"""Every tensor of a checkpoint with its figures, whatever it is: each is read once, in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, Problem, Progress, numpy_dtype
from ckpt_inspect.errors import CkptInspectError, UnsupportedError
from ckpt_inspect.layouts import weight_names
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.optimizer_state import OptimizerState
from ckpt_inspect.state.selection import Selection

TENSOR_UNREADABLE = "tensor-unreadable"
"""Code of the Problem of one tensor that can't be read."""

AVERAGES = frozenset({"average", "slow", "ema"})
"""Slots that hold a moving average of the weight itself."""


@dataclass(frozen=True, slots=True)
class ShownTensor:
    """One tensor; figures are NaN where there is nothing to compute: of texts, or of no finite element."""

    name: str
    """Its key in the file."""
    holds: str
    """What it is, such as `first moment of dense/kernel`; empty if no optimizer or configuration tells."""
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    """As stored, before any compression."""
    minimum: float
    """Of the finite elements, as are the next three."""
    maximum: float
    mean: float
    deviation: float
    """Standard deviation, of the elements as they are (not estimated: divided by n)."""
    zeros: int
    """Elements that are 0."""
    nonfinite: int
    """Elements that are infinite or NaN."""
    from_weight: float
    """Of a moving average: its distance from the weight, relative to the weight's norm. NaN of any other tensor."""


@dataclass(slots=True)
class Spread:
    """What was added of one tensor's elements; moments by Chan, Golub and LeVeque (1979), in float64."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""
    minimum: float = math.inf
    maximum: float = -math.inf
    zeros: int = 0
    nonfinite: int = 0

    def add(self, piece: Array) -> None:
        """Add elements, real or boolean, of any shape."""
        values = piece.astype(np.float64)
        finite = values[np.isfinite(values)]
        self.nonfinite += values.size - finite.size
        if not finite.size:
            return
        self.zeros += finite.size - int(np.count_nonzero(finite))
        self.minimum = min(self.minimum, float(finite.min()))
        self.maximum = max(self.maximum, float(finite.max()))
        with np.errstate(over="ignore", invalid="ignore"):  # of float64's own largest numbers
            mean = float(finite.mean())
            squares = float(np.square(finite - mean).sum())
        total, step = self.count + finite.size, mean - self.mean
        self.squares += squares + step * step * self.count * finite.size / total
        self.mean += step * finite.size / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Return the standard deviation; NaN of nothing."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan


def shown_tensors(
    checkpoint: Checkpoint,
    states: Iterable[OptimizerState] = (),
    selection: Selection | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[ShownTensor, ...], tuple[Problem, ...]]:
    """Return every selected tensor in the natural order of their names, and a Problem for each that can't be read."""
    selection = selection or Selection()
    names = {key: name for key, name in weight_names(checkpoint).items() if name != key}
    held = dict(names)
    weights: dict[str, str] = {}
    for key, slot, weight, name in _slots(states):
        held[key] = name if slot == "value" else f"{slot.replace('_', ' ')} of {name}"
        if slot in AVERAGES and weight is not None:
            weights[key] = weight
    chosen = [
        key
        for key in sorted(checkpoint.tensors, key=natural_key)
        if selection.has(key.removesuffix(KEY_TAIL)) or selection.has(held.get(key, "").rpartition(" of ")[2] or key)
    ]
    total, done = sum(checkpoint.spec(key).nbytes for key in chosen), 0
    shown, problems = [], []
    for key in chosen:
        try:
            shown.append(_shown(checkpoint, key, held.get(key, ""), weights.get(key)))
        except CkptInspectError as error:
            problems.append(Problem(TENSOR_UNREADABLE, str(error), "the others are listed", "error"))
        done += checkpoint.spec(key).nbytes
        if progress is not None:
            progress(done, total)
    return tuple(shown), tuple(problems)


def _slots(states: Iterable[OptimizerState]) -> Iterator[tuple[str, str, str | None, str]]:
    """Yield (key, slot, the weight's key, the parameter's name) of all that optimizers keep."""
    for state in states:
        for parameter in state.parameters.values():
            found = parameter.found
            slots: Mapping[str, str | None] = {"value": found.value, **found.slots}
            yield from ((key, slot, found.value, parameter.name) for slot, key in slots.items() if key is not None)


def _shown(checkpoint: Checkpoint, key: str, holds: str, weight: str | None) -> ShownTensor:
    spec, spread, from_weight = checkpoint.spec(key), Spread(), math.nan
    if _is_real(spec.dtype):
        for piece in checkpoint.stream(key):
            spread.add(piece)
        if weight is not None and checkpoint.spec(weight).shape == spec.shape:
            from_weight = _distance(checkpoint, key, weight)
    is_known = spread.count > 0
    return ShownTensor(
        key, holds, spec.shape, spec.dtype, spec.nbytes,
        spread.minimum if is_known else math.nan, spread.maximum if is_known else math.nan,
        spread.mean if is_known else math.nan, spread.deviation, spread.zeros, spread.nonfinite, from_weight,
    )  # fmt: skip


def _is_real(dtype: str) -> bool:
    try:
        return dtype != STRING and numpy_dtype(dtype).kind in "biufV"
    except UnsupportedError:
        return False


def _distance(checkpoint: Checkpoint, a: str, b: str) -> float:
    """Return ‖a - b‖ / ‖b‖ of two tensors of one shape; NaN if b is 0 throughout."""
    apart = norm = 0.0
    for one, other in zip(checkpoint.stream(a), checkpoint.stream(b), strict=True):
        reference = other.astype(np.float64)
        apart += float(np.square(one.astype(np.float64) - reference).sum())
        norm += float(np.square(reference).sum())
    return math.sqrt(apart / norm) if norm else math.nan
