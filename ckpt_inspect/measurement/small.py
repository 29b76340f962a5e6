"""Small tensors, many in one call of the loops in C: most of a small checkpoint's, and the biases of any.

A call of its own for each, with a dozen objects of Python, would take ten times as long as its elements do. What is
found is the same to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, Checkpoint, StoredElements, TensorSpec
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
from ckpt_inspect.state.optimizer_state import Parameter
from ckpt_inspect.update_rules import State

_ABSENT, _IN_MEMORY = -1, -2
"""In place of a file's descriptor."""

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


def is_small(parameter: Parameter, formula: Formula) -> bool:
    """Return whether the loops can measure a parameter together with others, if they are there."""
    compiled, size = formula.compiled, math.prod(parameter.shape)
    if compiled is None or is_half(compiled.dtype) or not 0 < size <= EXACT_ELEMENTS:
        return False
    tensors = parameter.checkpoint.tensors
    specs = [tensors.get(key) for array in ARRAYS if (key := parameter.key(array)) is not None]
    return parameter.key("second_moment") is not None and all(
        spec is not None and spec.dtype == parameter.dtype and spec.size == size for spec in specs
    )


def measure_small(
    loops: ModuleType, parameters: Sequence[Parameter], formulas: Sequence[Formula], rows: Sequence[int]
) -> SmallFigures:
    """Read and measure parameters of one checkpoint that `is_small` accepts; `rows`: how many each has, 0 if they are
    not told apart. Raises what reading raises."""
    count, sizes = len(parameters), np.array([math.prod(p.shape) for p in parameters])
    kinds = {id(formula): place for place, formula in enumerate({id(f): f for f in formulas}.values())}
    own = np.array([kinds[id(formula)] for formula in formulas])
    table = np.full((count, 5 + 2 * len(ARRAYS)), _ABSENT, np.int64)
    coefficients = np.zeros((len(kinds), 14))
    for place, formula in enumerate(formulas):
        assert formula.compiled is not None
        table[place, :2] = formula.compiled.dtype, formula.compiled.under
        coefficients[own[place]] = formula.compiled.numbers
    table[:, 2], table[:, 3], table[:, 4] = sizes, rows, own
    sources = _Sources(parameters, table)
    places = np.array([sample_indices(int(size)) for size in sizes])
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
    for place, formula in enumerate({id(f): f for f in formulas}.values()):
        some = own == place
        e[some] = _sampled(formula, samples[some], is_there[some][0])
    return SmallFigures(are_measured, summary, touched_rows, (e, samples[:, 2], samples[:, 0]))


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

    def __init__(self, parameters: Sequence[Parameter], table: NDArray[np.int64]) -> None:
        """Fill in where each array of each parameter is; read what doesn't lie in a file as it lies in memory."""
        self._stored: list[tuple[int, int, int, StoredElements]] = []
        self.memory: Array | None = None
        unread: list[tuple[int, int, Checkpoint, TensorSpec]] = []
        for row, parameter in enumerate(parameters):
            checkpoint = parameter.checkpoint
            for column, array in enumerate(ARRAYS):
                key = parameter.key(array)
                if key is None:
                    continue
                spec, elements = checkpoint.tensors[key], checkpoint.stored_elements(key)
                nbytes = spec.nbytes
                if elements is None or elements.borrow is not None or not elements.is_uncounted(0, nbytes):
                    unread.append((row, column, checkpoint, spec))
                else:
                    table[row, 5 + 2 * column : 7 + 2 * column] = elements.descriptor, elements.offset
                    self._stored.append((row, column, nbytes, elements))
        if unread:
            self._read(unread, table)

    def _read(self, unread: Sequence[tuple[int, int, Checkpoint, TensorSpec]], table: NDArray[np.int64]) -> None:
        memory = np.empty(sum(-(-spec.nbytes // _ALIGNED) * _ALIGNED for *_, spec in unread), np.uint8)
        offset = 0
        for row, column, checkpoint, spec in unread:
            out = memory[offset : offset + spec.nbytes].view(spec.dtype)
            found = checkpoint.read_range(spec.name, 0, spec.size, out)
            if not np.may_share_memory(found, out):
                out[:] = found
            table[row, 5 + 2 * column : 7 + 2 * column] = _IN_MEMORY, offset
            offset += -(-spec.nbytes // _ALIGNED) * _ALIGNED
        self.memory = memory

    def count(self, checksums: NDArray[np.uint32], are_measured: NDArray[np.bool_]) -> None:
        """Take what was read for checksummed; raises DamagedFileError if a checksum differs."""
        for row, column, nbytes, elements in self._stored:
            if are_measured[row]:
                elements.count(0, nbytes, int(checksums[row, column]))
