"""A parameter's arrays where they lie in local files: read, checksummed and measured by the loops in C.

One call does a stretch of elements, and other threads run meanwhile.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, StoredElements
from ckpt_inspect.measurement.kernels import Buffers, Formula
from ckpt_inspect.measurement.kernels.compiled_kernel import piece_of
from ckpt_inspect.measurement.kernels.formula import CompiledFormula, is_half
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.native import DTYPES
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.optimizer_state import Parameter
from ckpt_inspect.update_rules import STATE_SLOTS, Norms, State

ARRAYS = ("value", *STATE_SLOTS)
"""Fields of `State`, in their order."""


_Place = tuple[int, int] | Array


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a tensor, and which of them have a touched element."""

    length: int
    touched: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StoredState:
    """The arrays of one parameter in local files, in the order of the fields of `State`."""

    elements: tuple[StoredElements | None, ...]

    @classmethod
    def find(cls, parameter: Parameter) -> StoredState | None:
        """Return where a parameter's arrays lie; None if the loops can't read one there. Raises what reading raises."""
        checkpoint, size = parameter.checkpoint, math.prod(parameter.shape)
        if parameter.dtype not in DTYPES or not size:
            return None
        found: list[StoredElements | None] = []
        for array in ARRAYS:
            key = parameter.key(array)
            if key is None:
                found.append(None)
                continue
            spec = checkpoint.spec(key)
            elements = checkpoint.stored_elements(key)
            if elements is None or spec.dtype != parameter.dtype or spec.size != size:
                return None
            found.append(elements)
        return cls(tuple(found)) if found[ARRAYS.index("second_moment")] is not None else None

    def sweep(
        self,
        loops: ModuleType,
        formula: Formula,
        start: int,
        stop: int,
        buffers: Buffers,
        counts: FineCounts | None,
        rows: Rows | None,
        places: Array,
    ) -> tuple[Piece, State] | None:
        """Return the figures of elements start:stop, and the elements at `places`, (n,) int64 from `start`.

        None if they must be read another way: something of them has been checksummed before, or reading fails.
        `counts` is None for halves alone, if the tensor is small. Raises DamagedFileError.
        """
        compiled = formula.compiled
        if compiled is None or not self._are_uncounted(compiled, start, stop):
            return None
        sources = self._sources(compiled, start, stop)
        if sources is None:
            return None
        has_halves = is_half(compiled.dtype)
        halves = buffers.cleared_halves() if has_halves else None
        samples = np.empty((len(ARRAYS), len(places)), compiled.elements)
        mine = counts is not None and not has_halves
        found = loops.sweep(
            sources,
            compiled.dtype,
            compiled.under,
            stop - start,
            buffers.scratch,
            compiled.numbers,
            (counts.effective_lr, counts.second_moment, None) if mine and counts else (None, None, halves),
            None if rows is None else rows.touched,
            1 if rows is None else rows.length,
            start,
            places,
            samples.reshape(-1).view(np.uint8),
        )
        if found is None:
            return None
        figures, checksums = found
        has_value, has_first = (self.elements[ARRAYS.index(name)] is not None for name in ("value", "first_moment"))
        piece = piece_of(formula, figures, counts, halves, has_value=has_value, has_first=has_first)
        if not math.isfinite(piece.sums.get("ratio_squares", 0.0)):
            return None
        self._count(compiled, start, stop, checksums)
        return piece, State(*(None if e is None else samples[i] for i, e in enumerate(self.elements)))

    def norms(
        self, loops: ModuleType, compiled: CompiledFormula, start: int, stop: int, buffers: Buffers
    ) -> Norms | None:
        """Return the sums over elements start:stop; None if they must be read another way. Raises DamagedFileError."""
        if not self._are_uncounted(compiled, start, stop):
            return None
        sources = self._sources(compiled, start, stop)
        if sources is None:
            return None
        found = loops.norms(sources, compiled.dtype, compiled.under, stop - start, buffers.scratch, compiled.numbers)
        if found is None:
            return None
        sums, checksums = found
        self._count(compiled, start, stop, checksums)
        return Norms(*sums)

    def _sources(self, compiled: CompiledFormula, start: int, stop: int) -> tuple[_Place | None, ...] | None:
        """Return where each array's elements are: a file's descriptor and the first byte, or their bytes in memory.

        None if some were to come from another machine, and aren't in memory.
        """
        width = _width(compiled)
        places: list[_Place | None] = []
        for elements in self.elements:
            if elements is None:
                places.append(None)
            elif elements.borrow is None:
                places.append((elements.descriptor, elements.offset + start * width))
            elif (found := elements.borrow(start * width, stop * width)) is None:
                return None
            else:
                places.append(found)
        return tuple(places)

    def _are_uncounted(self, compiled: CompiledFormula, start: int, stop: int) -> bool:
        width = _width(compiled)
        return all(e is None or e.is_uncounted(start * width, stop * width) for e in self.elements)

    def _count(self, compiled: CompiledFormula, start: int, stop: int, checksums: tuple[int, ...]) -> None:
        width = _width(compiled)
        for elements, checksum in zip(self.elements, checksums, strict=True):
            if elements is not None:
                elements.count(start * width, stop * width, checksum)


def _width(compiled: CompiledFormula) -> int:
    return compiled.elements.itemsize
