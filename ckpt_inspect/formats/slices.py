"""Tensors that are stored in slices: whether the slices cover the tensor, and how it is put together from them.

Both of TensorFlow's formats cut partitioned variables into boxes (tensorflow/core/framework/tensor_slice.proto).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import Array, TensorSpec, numpy_dtype
from ckpt_inspect.errors import DamagedFileError, UnsupportedError
from ckpt_inspect.formats.bundle_index import FULL_EXTENT, Extent

_STRETCH = 1 << 20
"""Elements that are moved to their places at a time; limited because the places take more memory than the elements."""

_MOST_CORNERS = 1 << 22
"""Most corners of all slices together; 10,000 slices along three dimensions have 80,000."""


class ElementReader:
    """Reads a tensor's elements."""

    __slots__ = ("dtype", "size")

    dtype: np.dtype[Any]
    size: int

    def read_into(self, out: Array, start: int) -> None:
        """Fill `out`, which is 1-D and of `dtype`, with the elements from `start` on."""
        raise NotImplementedError

    def read(self, start: int, stop: int, out: Array | None = None) -> Array:
        """Return the elements [start, stop), 1-D: in `out` if it is 1-D, of `dtype` and long enough, else in new
        memory."""
        if out is None or out.dtype != self.dtype or out.ndim != 1 or len(out) < stop - start or not out.flags.carray:
            out = np.empty(stop - start, self.dtype)
        else:
            out = out[: stop - start]
        self.read_into(out, start)
        return out


class Slice(NamedTuple):
    """A part of a tensor that is stored like a separate tensor."""

    extents: tuple[Extent, ...]
    """One per dimension, resolved."""
    reader: ElementReader


class SlicedTensor(ElementReader):
    """A partitioned variable, put together from its slices.

    Within a slice, elements keep the order of the whole tensor. So the elements of a range of the whole that lie in a
    slice are a range of the slice, and only their places in the whole have to be computed.
    """

    __slots__ = ("_shape", "_slices")

    def __init__(self, slices: Sequence[Slice], spec: TensorSpec) -> None:
        """Take slices inside `spec.shape`; DamagedFileError, without the file's path, unless they cover it exactly."""
        self.dtype, self.size = numpy_dtype(spec.dtype), spec.size
        self._slices, self._shape = slices, spec.shape
        if fault := first_fault([s.extents for s in slices], spec.shape):
            place, count = fault
            where = (
                f"in {count} of its slices: the index is damaged"
                if count
                # which is how TensorFlow 1 saves the slots of a partitioned variable that were made in a scope
                else "in none of its slices: the checkpoint was not written whole, or other names hold its other parts"
            )
            raise DamagedFileError(f"tensor {spec.name!r}: its element {list(place)} lies {where}")

    def read_into(self, out: Array, start: int) -> None:
        if not len(out):
            return
        stop = start + len(out)
        for part in self._slices:
            first, last = (_count_before(part.extents, self._shape, at) for at in (start, stop))
            if first == last:
                continue
            begin = _place(part.extents, self._shape, first)
            if _place(part.extents, self._shape, last - 1) - begin == last - 1 - first:
                part.reader.read_into(out[begin - start : begin - start + last - first], first)
                continue
            piece = np.empty(min(_STRETCH, last - first), self.dtype)
            for at in range(first, last, _STRETCH):
                some = piece[: last - at]
                part.reader.read_into(some, at)
                out[_places(part.extents, self._shape, at, at + len(some)) - start] = some


def resolve_extents(extents: Sequence[Extent], shape: tuple[int, ...]) -> tuple[Extent, ...]:
    """Return the extents with their lengths in place of "the whole dimension"."""
    return tuple(
        Extent(0, size) if length == FULL_EXTENT else Extent(start, length)
        for (start, length), size in zip(extents, shape, strict=True)
    )


def first_fault(slices: Sequence[tuple[Extent, ...]], shape: tuple[int, ...]) -> tuple[tuple[int, ...], int] | None:
    """Return the first element (C order) that isn't in exactly one of the slices, and in how many; None if all are.

    The slices must be resolved, and inside `shape`. Each element's count is the sum of the slices' indicator functions,
    which must equal the whole's. Two functions are equal if their differences along all dimensions are equal, and those
    of a box are its corners, with alternating signs. The first nonzero difference is where the counts first differ.
    Raises UnsupportedError for more corners than any writer makes.
    """
    if 0 in shape:
        return None
    whole = tuple(Extent(0, size) for size in shape)
    cut = [i for i in range(len(shape)) if any(extents[i] != whole[i] for extents in slices)]
    if len(slices) << len(cut) > _MOST_CORNERS:
        raise UnsupportedError(f"{len(slices)} slices along {len(cut)} dimensions are more than this package joins")
    counts: Counter[tuple[int, ...]] = Counter()
    for extents, sign in (*((s, 1) for s in slices), (whole, -1)):
        for ends in product((0, 1), repeat=len(cut)):
            corner = tuple(extents[i].start + end * extents[i].length for i, end in zip(cut, ends, strict=True))
            counts[corner] += -sign if sum(ends) % 2 else sign
    first = min((corner for corner, count in counts.items() if count), default=None)
    if first is None:
        return None
    place = dict(zip(cut, first, strict=True))
    return tuple(place.get(i, 0) for i in range(len(shape))), counts[first] + 1


def _count_before(extents: tuple[Extent, ...], shape: tuple[int, ...], flat: int) -> int:
    """Return how many of the slice's elements lie before flat index `flat` of the whole."""
    count, rest = 0, flat
    inner_whole, inner_slice = math.prod(shape), math.prod(length for _, length in extents)
    for (start, length), size in zip(extents, shape, strict=True):
        inner_whole //= size
        inner_slice = inner_slice // length if length else 0
        index, rest = divmod(rest, inner_whole)
        count += min(max(index - start, 0), length) * inner_slice
        if not start <= index < start + length:
            return count
    return count + rest  # only a scalar leaves a rest


def _place(extents: tuple[Extent, ...], shape: tuple[int, ...], index: int) -> int:
    """Return the flat index in the whole of the slice's element `index`."""
    place, stride = 0, 1
    for (start, length), size in zip(reversed(extents), reversed(shape), strict=True):
        index, at = divmod(index, length)
        place += (start + at) * stride
        stride *= size
    return place


def _places(extents: tuple[Extent, ...], shape: tuple[int, ...], first: int, last: int) -> Array:
    """Return `_place` of each element in [first, last)."""
    index = np.arange(first, last)
    places, stride = np.zeros(last - first, np.int64), 1
    for (start, length), size in zip(reversed(extents), reversed(shape), strict=True):
        index, at = np.divmod(index, length)
        places += (start + at) * stride
        stride *= size
    return places
