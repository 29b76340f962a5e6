"""Boxes of whole chunks that are contiguous in a flattened array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

_PART = 1 << 23
"""Bytes of a large box that are copied at a time."""


def box_for(shape: Sequence[int], chunk: Sequence[int], at: int, stop: int) -> tuple[int, list[slice]]:
    """Return the place of the first element of the box that is decoded for elements at:stop, and the box: the chunk
    that holds the first of them, or all of theirs if they are several."""
    first, box = box_around(shape, chunk, at, at + 1)
    if first + size_of(box) < stop and size_of(box) < stop - at:
        return box_around(shape, chunk, at, stop)
    return first, box


def box_around(shape: Sequence[int], chunk: Sequence[int], start: int, stop: int) -> tuple[int, list[slice]]:
    """Return the place of the first element of the smallest box of whole rows of chunks that is contiguous in the
    flattened array and holds elements start:stop, and the box."""
    first, box = 0, []
    for axis, (length, step) in enumerate(zip(shape, chunk, strict=True)):
        inner = prod(shape[axis + 1 :])
        low = (start - first) // inner // step * step
        rows = (stop - first + inner - 1) // inner
        high = min((rows + step - 1) // step * step, length)
        box.append(slice(low, high))
        first += low * inner
        if high - low > 1:
            return first, [*box, *(slice(0, n) for n in shape[axis + 1 :])]
    return first, box


def parts_of(box: Sequence[slice], itemsize: int) -> Iterator[list[slice]]:
    """Yield boxes that are one after another in a flattened box, of some MB each."""
    axis = next((i for i, s in enumerate(box) if s.stop - s.start > 1), 0)
    step = max(_PART // max(size_of(box[axis + 1 :]) * itemsize, 1), 1)
    for start in range(box[axis].start, box[axis].stop, step):
        yield [*box[:axis], slice(start, min(start + step, box[axis].stop)), *box[axis + 1 :]]


def size_of(box: Sequence[slice]) -> int:
    """Return the number of elements."""
    return prod(s.stop - s.start for s in box)
