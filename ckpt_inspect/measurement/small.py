"""Small tensors, many in one call of the loops in C: most of a small checkpoint's, and the biases of any.

A call of its own for each, with a dozen objects of Python, would take ten times as long as its elements do. What is
found is the same to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, Checkpoint, TensorSpec, numpy_dtype
from ckpt_inspect.measurement.histograms import (
    EFFECTIVE_LR_GRID,
    QUANTILE_LEVELS,
    SECOND_MOMENT_GRID,
    Floats,
    quantiles_of_ranked,
)
from ckpt_inspect.measurement.kernels import Formula
from ckpt_inspect.measurement.kernels.formula import is_half
from ckpt_inspect.measurement.stored import ARRAYS
from ckpt_inspect.measurement.summaries import EXACT_ELEMENTS, SAMPLES, TOTALS, Summary, sample_indices
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.optimizer_state import Parameter
from ckpt_inspect.update_rules import State

Keys = tuple[str | None, ...]
"""Of a parameter's tensors, in the order of ARRAYS; None for what there isn't."""

_ABSENT, _IN_MEMORY = -1, -2
"""In place of a file's descriptor."""

_SECOND = ARRAYS.index("second_moment")
_ALIGNED = 16
_GRIDS = (EFFECTIVE_LR_GRID, SECOND_MOMENT_GRID)
_LEVELS = np.asarray(QUANTILE_LEVELS)


@dataclass(frozen=True, slots=True)
class SmallFigures:
    """What was found of N tensors."""

    are_measured: NDArray[np.bool_]
    """(N,) whether it was: if not, what else is here of a tensor means nothing, and it must be read another way."""
    summary: Summary
    """(N,) figures."""
    touched_rows: NDArray[np.int64]
    """(N,) rows with a touched element; 0 if they are not told apart."""
    samples: tuple[Floats, Floats, Floats]
    """(N, SAMPLES) each: E, v and θ, as of `Measured`."""


def small_bytes(parameter: Parameter, formula: Formula, keys: Keys) -> int:
    """Return the bytes of a parameter that the loops, if they are there, can measure together with others; else 0."""
    compiled, shape, tensors = formula.compiled, parameter.shape, parameter.checkpoint.tensors
    size = math.prod(shape)
    if compiled is None or is_half(compiled.dtype) or size > EXACT_ELEMENTS or keys[_SECOND] is None:
        return 0
    specs = [tensors.get(key) for key in keys if key is not None]
    if any(s is None or s.dtype != parameter.dtype or (s.shape != shape and s.size != size) for s in specs):
        return 0
    return size * compiled.elements.itemsize * len(specs)


def measure_small(
    loops: ModuleType,
    parameters: Sequence[Parameter],
    formulas: Sequence[Formula],
    keys: Sequence[Keys],
    rows: Sequence[int],
) -> SmallFigures:
    """Read and measure parameters of one checkpoint that `small_bytes` accepts, whose arrays have those `keys`.

    `rows`: how many each has, 0 if they are not told apart. Raises what reading raises.
    """
    count, (sizes, places) = len(parameters), _places_of(tuple(math.prod(p.shape) for p in parameters))
    apart = tuple({id(f): f for f in formulas}.values())
    kinds = {id(formula): place for place, formula in enumerate(apart)}
    own = np.array([kinds[id(formula)] for formula in formulas])
    table = np.full((count, 5 + 2 * len(ARRAYS)), _ABSENT, np.int64)
    coefficients = np.zeros((len(kinds), 14))
    compiled = [formula.compiled for formula in formulas]
    table[:, 0] = [c.dtype for c in compiled if c is not None]
    table[:, 1] = [c.under for c in compiled if c is not None]
    table[:, 2], table[:, 3], table[:, 4] = sizes, rows, own
    for place, formula in enumerate(apart):
        assert formula.compiled is not None
        coefficients[place] = formula.compiled.numbers
    sources = _Sources(parameters[0].checkpoint, keys, table)
    totals = np.zeros(count, TOTALS)
    checksums, touched_rows = np.zeros((count, len(ARRAYS)), np.uint32), np.zeros(count, np.int64)
    samples, ranked = np.full((count, len(ARRAYS), SAMPLES), np.nan), np.full((count, 2, 2, len(_LEVELS)), np.nan)
    histograms = tuple(np.zeros((count, grid.bins), np.int64) for grid in _GRIDS)
    done = loops.small(
        table, sources.memory, coefficients, places, _LEVELS, tuple(grid.of_fine for grid in _GRIDS),
        totals.view(np.uint8), checksums, touched_rows, samples, ranked, histograms,
    )  # fmt: skip
    are_measured = np.frombuffer(done, np.bool_) & np.isfinite(totals["ratio_squares"])
    sources.count(checksums, are_measured)
    is_there = table[:, 5::2] != _ABSENT
    has_update = np.array([formula.has_update for formula in formulas])
    totals["weight_squares"][~is_there[:, 0]] = np.nan
    totals["first_moment_squares"][~is_there[:, 1]] = totals["ratio_squares"][~is_there[:, 1]] = np.nan
    totals["update_squares"][~has_update] = np.nan
    quantiles = quantiles_of_ranked(ranked[:, :, 0], ranked[:, :, 1], totals["touched"][:, None])
    summary = Summary.of(sizes, sizes, totals, (quantiles[:, 0], quantiles[:, 1]), (histograms[0], histograms[1]))
    e = np.full((count, SAMPLES), np.nan)
    for place, formula in enumerate(apart):
        some = own == place
        e[some] = _sampled(formula, samples[some], is_there[some][0])
    return SmallFigures(are_measured, summary, touched_rows, (e, samples[:, 2], samples[:, 0]))


@lru_cache(maxsize=16)
def _places_of(sizes: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (N,) the sizes of tensors, and (N, SAMPLES) the places of the elements that are followed; read-only. The
    checkpoints of a run have the same."""
    found = np.array(sizes, np.int64), np.array([sample_indices(size) for size in sizes])
    for array in found:
        array.setflags(write=False)
    return found


def _sampled(formula: Formula, samples: Floats, is_there: NDArray[np.bool_]) -> Floats:
    """E of (N, SAMPLES) elements that were touched, NaN of others. `samples`: (N, ARRAYS, SAMPLES)"""
    assert formula.compiled is not None
    known = samples.astype(formula.compiled.elements)
    state = State(*(known[:, i].ravel() if found else None for i, found in enumerate(is_there)))
    with np.errstate(all="ignore"):
        under, e = formula.rule.second_moment(state), formula.effective_lr(state).astype(np.float64)
        return np.where((under > 0) & (under != formula.start), e, np.nan).reshape(len(samples), -1)


class _Sources:
    """Where the tensors' elements are: in files, or in memory into which they have been read."""

    def __init__(self, checkpoint: Checkpoint, keys: Sequence[Keys], table: NDArray[np.int64]) -> None:
        """Fill in where each array of each parameter is; read what doesn't lie in a file as it lies in memory."""
        each = [(row, column, key) for row, own in enumerate(keys) for column, key in enumerate(own) if key is not None]
        self._at = tuple(np.array([(row, column) for row, column, _ in each]).T)
        """Row and column of each array."""
        names = [key for *_, key in each]
        self._tensors = checkpoint.whole_tensors(names)
        self._specs = [checkpoint.tensors[name] for name in names]
        self.memory: Array | None = None
        places = list(self._tensors.places)
        unread = [number for number, place in enumerate(places) if place is None]
        if unread:
            for number, offset in zip(unread, self._read(checkpoint, [self._specs[n] for n in unread]), strict=True):
                places[number] = _IN_MEMORY, offset
        rows, columns = self._at
        table[rows, 5 + 2 * columns], table[rows, 6 + 2 * columns] = np.array(places, np.int64).T

    def _read(self, checkpoint: Checkpoint, specs: Sequence[TensorSpec]) -> list[int]:
        """Read tensors into memory; return where each begins."""
        sizes = [-(-spec.nbytes // _ALIGNED) * _ALIGNED for spec in specs]
        self.memory = np.empty(sum(sizes), np.uint8)
        starts = [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)]
        for spec, start in zip(specs, starts, strict=True):
            out = self.memory[start : start + spec.nbytes].view(numpy_dtype(spec.dtype))
            found = checkpoint.read_range(spec.name, 0, spec.size, out)
            if not np.may_share_memory(found, out):
                out[:] = found
        return starts

    def count(self, checksums: NDArray[np.uint32], are_measured: NDArray[np.bool_]) -> None:
        """Take what was read for checksummed; raises DamagedFileError if a checksum differs."""
        found = checksums[self._at].tolist()
        if not are_measured.all():
            found = [crc if are else None for crc, are in zip(found, are_measured[self._at[0]], strict=True)]
        self._tensors.count(found)
