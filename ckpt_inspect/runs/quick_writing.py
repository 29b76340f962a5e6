"""What h5py writes, by its own calls of libhdf5: a store has hundreds of small texts and columns.

Of each, h5py's dictionaries and slices look at the type, the selection and what was there before, which takes four
times as long as writing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.formats.deflate import compress

if TYPE_CHECKING:
    import h5py

_LEVEL = 2
"""At which zlib-ng makes as few bytes as zlib at level 1, of shuffled figures."""

_THREADS = 2

_AHEAD = 16
"""Chunks that are compressed at a time, of up to 1 MB each."""


def create(
    group: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: DType,
    *,
    chunks: tuple[int, ...] | None = None,
    maxshape: tuple[int | None, ...] | None = None,
    fillvalue: float | None = None,
    is_compressed: bool = False,
) -> h5py.Dataset:
    """Return a new dataset, as `create_dataset` makes it; `is_compressed`: shuffled, and by gzip at level 1."""
    import h5py
    from h5py import h5d, h5p, h5s, h5t

    how = h5p.create(h5p.DATASET_CREATE)
    if chunks is not None:
        how.set_chunk(chunks)
    if is_compressed:
        how.set_shuffle()
        how.set_deflate(1)
    if fillvalue is not None:
        how.set_fill_value(np.array(fillvalue))
    how.set_obj_track_times(False)
    most = maxshape and tuple(h5s.UNLIMITED if length is None else length for length in maxshape)
    space = h5s.create_simple(shape, most)
    return h5py.Dataset(h5d.create(group.id, name.encode(), h5t.py_create(dtype, logical=True), space, dcpl=how))


def add_number(owner: h5py.Group | h5py.Dataset, name: str, number: float, dtype: DType) -> None:
    """Give a group or dataset an attribute that it hasn't yet, a scalar of this dtype."""
    from h5py import h5a, h5s, h5t

    attribute = h5a.create(owner.id, name.encode(), h5t.py_create(dtype, logical=True), h5s.create(h5s.SCALAR))
    attribute.write(np.array(number, dtype))
    attribute.close()


def add_texts(owner: h5py.Group | h5py.Dataset, texts: Mapping[str, str]) -> None:
    """Give a group or dataset attributes that it hasn't yet, as `owner.attrs[name] = text` does."""
    from h5py import h5a, h5s, h5t, string_dtype

    dtype = string_dtype("utf-8")
    stored, held, one = h5t.py_create(dtype, logical=True), h5t.py_create(dtype), h5s.create(h5s.SCALAR)
    for name, text in texts.items():
        attribute = h5a.create(owner.id, name.encode(), stored, one)
        attribute.write(np.array(text, dtype), mtype=held)
        attribute.close()


def fill(dataset: h5py.Dataset, values: Array) -> None:
    """Write all elements of a dataset, as `dataset[...] = values` does; `values` of its shape, texts as objects."""
    from h5py import h5s

    contents = (
        np.asarray(values, dataset.dtype, order="C") if values.dtype.kind == "O" else np.ascontiguousarray(values)
    )
    dataset.id.write(h5s.ALL, h5s.ALL, contents)


def fill_compressed(dataset: h5py.Dataset, values: Array) -> None:
    """Write all elements of a new dataset that is shuffled and compressed, as `dataset[...] = values` does: by zlib-ng,
    which takes half as long for as many bytes as the library's gzip at level 1, and in two threads."""
    steps = (range(0, length, step) for length, step in zip(values.shape, dataset.chunks, strict=True))
    starts = list(product(*steps))
    if len(starts) == 1:
        dataset.id.write_direct_chunk(starts[0], _compressed(values, starts[0], dataset.chunks))
        return
    from concurrent.futures import ThreadPoolExecutor  # takes a while, and few stores need it

    with ThreadPoolExecutor(_THREADS) as threads:
        for first in range(0, len(starts), _AHEAD):
            some = starts[first : first + _AHEAD]
            chunks = threads.map(partial(_compressed, values, chunk=dataset.chunks), some)
            for start, compressed in zip(some, chunks, strict=True):
                dataset.id.write_direct_chunk(start, compressed)


def _compressed(values: Array, start: tuple[int, ...], chunk: tuple[int, ...]) -> bytes:
    """Return the bytes of the chunk that starts there."""
    piece = values[tuple(slice(at, at + step) for at, step in zip(start, chunk, strict=True))]
    if piece.shape != chunk:  # what lies beyond the end is never read
        piece = np.pad(piece, [(0, step - length) for step, length in zip(chunk, piece.shape, strict=True)])
    by_element = np.ascontiguousarray(piece).reshape(-1, 1).view(np.uint8)
    compressed: bytes = compress(np.ascontiguousarray(by_element.T), _LEVEL)
    return compressed
