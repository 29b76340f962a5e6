"""Arrays of an Orbax folder whose chunks are read as they are stored, of those kinds that Orbax itself writes.

Through the package's own storage: far away, neighbouring chunks then come in one request, ahead of whoever reads them;
a large chunk is decompressed piece by piece, and of one that isn't compressed only the part that is wanted is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from math import prod
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import Array, numpy_dtype
from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.chunk_boxes import size_of
from ckpt_inspect.formats.chunk_codecs import decode, decode_parts, find_zstandard
from ckpt_inspect.formats.orbax_elements import Elements, OpenArray
from ckpt_inspect.formats.zarr_metadata import INDEX_BYTES, ZarrArray, decode_shard_index
from ckpt_inspect.storage import Bytes, OpenFile, keep_temporarily, open_file

_LEAST_CHUNK, _MANY_CHUNKS = 1 << 15, 64
"""Bytes of a chunk from which it is worth a call of its own; chunks from which that matters."""

_one_large = Lock()
"""Held while large chunks are decompressed: one box at a time, of all checkpoints."""


class Stored(NamedTuple):
    """Bytes of a file, or of memory."""

    file: OpenFile | None
    offset: int
    size: int
    inline: bytes = b""

    def part(self, offset: int, size: int) -> Stored:
        """Return a part of them."""
        if self.file is None:
            return Stored(None, 0, size, self.inline[offset : offset + size])
        return Stored(self.file, self.offset + offset, size)

    def read_into(self, target: Bytes, offset: int) -> None:
        """Fill `target` with the bytes from `offset` on."""
        if self.file is None:
            target[...] = np.frombuffer(self.inline, np.uint8)[offset : offset + len(target)]
        else:
            with _opened(self.file) as file:
                file.read_into(target, self.offset + offset)

    def pieces(self) -> Iterator[Bytes]:
        """Yield them one after another, where they are in memory if they have arrived there; each is valid until the
        next."""
        if self.file is None:
            yield np.frombuffer(self.inline, np.uint8)
            return
        with _opened(self.file) as file:
            yield from file.lend(self.offset, self.size)

    def read(self) -> Bytes:
        """Return them all."""
        found = np.empty(self.size, np.uint8)
        self.read_into(found, 0)
        return found


Find = Callable[[str], Stored | None]
"""Returns what is stored under a key of an array; None if nothing is."""


def is_read_here(zarr: ZarrArray) -> bool:
    """Return whether its chunks are read as they are stored: very many tiny ones are quicker read by tensorstore."""
    chunks = prod(-(-n // c) for n, c in zip(zarr.shape, zarr.chunk, strict=True))
    is_worth_it = chunks <= _MANY_CHUNKS or prod(zarr.chunk) * numpy_dtype(zarr.dtype).itemsize >= _LEAST_CHUNK
    return is_worth_it and (zarr.codec != "zstd" or find_zstandard() is not None)


class StoredArray(OpenArray):
    """An array whose chunks are found by their keys."""

    def __init__(self, folder: Path, name: str, zarr: ZarrArray, find: Find, *, is_complete: bool) -> None:
        """`is_complete`: whether a chunk that is missing was written, so that its absence is damage."""
        self._folder, self._zarr, self._find, self._is_complete = folder, zarr, find, is_complete
        self.where = f"{folder}: {name}"
        self._describe(zarr.shape, zarr.chunk, zarr.dtype, numpy_dtype(zarr.dtype))

    @property
    def chunk_bytes(self) -> int:
        """Return the length of a chunk that isn't compressed."""
        return prod(self.whole_chunk) * self.dtype.itemsize

    def read(self, box: Sequence[slice]) -> Elements:
        places = list(self._places(box))
        if self._is_plain(box):
            chunks = [self._content(place) for place in places]
            return _Rows(self, box, lambda i, target, at: self._fill(chunks[i], target, at))
        if self.is_large(box):
            with _one_large:
                parts = (part for place in places for part in self._parts(place))
                file = keep_temporarily(parts, self._folder)
            size = self.chunk_bytes
            return _Rows(self, box, lambda i, target, at: file.read_into(target, i * size + at))
        if len(places) == 1 and size_of(box) == prod(self.whole_chunk):
            return self._decoded(places[0])
        found = np.empty(tuple(s.stop - s.start for s in box), self.dtype)
        for place in places:
            starts = [p * c - s.start for p, c, s in zip(place, self.whole_chunk, box, strict=True)]
            target = found[tuple(slice(a, a + c) for a, c in zip(starts, self.whole_chunk, strict=True))]
            whole = self._decoded(place).reshape(self.whole_chunk)
            target[...] = whole[tuple(slice(0, n) for n in target.shape)]
        return found.reshape(-1)

    def ranges(self, box: Sequence[slice], start: int, stop: int) -> Iterator[tuple[OpenFile, int, int]]:
        """Yield which bytes will be read for elements start:stop of a flattened box."""
        width = self.dtype.itemsize
        chunks = [self._find(self._zarr.key(place)) for place in self._places(box)]
        if self._is_plain(box):
            for i, begin, end in shares(start, stop, prod(self.whole_chunk)):
                chunk = chunks[i]
                if chunk is not None and chunk.file is not None and chunk.size == self.chunk_bytes:
                    yield chunk.file, chunk.offset + begin * width, chunk.offset + end * width
        else:
            for chunk in chunks:
                if chunk is not None and chunk.file is not None:
                    yield chunk.file, chunk.offset, chunk.offset + chunk.size

    def is_read_by_ranges(self, box: Sequence[slice]) -> bool:
        """Return whether no more of a box is read than what is wanted."""
        return self._is_plain(box)

    def _is_plain(self, box: Sequence[slice]) -> bool:
        """Return whether the elements of a box lie in its chunks as they do in memory, one chunk behind the other."""
        cut = _cut(box)
        inner = tuple(s.stop - s.start for s in box[cut + 1 :])
        return not self._zarr.codec and not self._zarr.is_shard and self.whole_chunk[cut + 1 :] == inner

    def _places(self, box: Sequence[slice]) -> Iterator[tuple[int, ...]]:
        """Yield the places in the grid of the chunks of a box, in C order."""
        return product(*(range(s.start // c, -(-s.stop // c)) for s, c in zip(box, self.whole_chunk, strict=True)))

    def _content(self, place: Sequence[int]) -> Stored | None:
        """Return a chunk's own bytes, without the index of its shard; None if it holds nothing but zeros.

        Raises DamagedFileError for one that must be there and isn't, or can't be as it is.
        """
        found = self._find(self._zarr.key(place))
        if found is not None and self._zarr.is_shard:
            if found.size < INDEX_BYTES:
                raise self._damaged(place, f"lies in a shard of {found.size} bytes")
            index = found.part(found.size - INDEX_BYTES, INDEX_BYTES).read().tobytes()
            try:
                inner = decode_shard_index(index, found.size)
            except ValueError as error:
                raise self._damaged(place, str(error)) from error
            found = None if inner is None else found.part(*inner)
        if found is None and self._is_complete:
            raise self._damaged(place, "is missing")
        if found is not None and not self._zarr.codec and found.size != self.chunk_bytes:
            raise self._damaged(place, f"holds {found.size} bytes, where {self.chunk_bytes} belong")
        return found

    def _fill(self, chunk: Stored | None, target: Bytes, at: int) -> None:
        if chunk is None:
            target[...] = 0
        else:
            chunk.read_into(target, at)

    def _decoded(self, place: Sequence[int]) -> Array:
        """Return the elements of a whole chunk, flattened."""
        chunk = self._content(place)
        if chunk is None:
            return np.zeros(prod(self.whole_chunk), self.dtype)
        found = np.empty(prod(self.whole_chunk), self.dtype)
        if not self._zarr.codec:
            chunk.read_into(found.view(np.uint8), 0)
            return found
        try:
            decode(self._zarr.codec, chunk.pieces(), found.view(np.uint8))
        except ValueError as error:
            raise self._damaged(place, str(error)) from error
        return found

    def _parts(self, place: Sequence[int]) -> Iterator[bytes]:
        """Yield the bytes of a chunk of any size."""
        chunk = self._content(place)
        if chunk is None:
            yield self._decoded(place).tobytes()
            return
        try:
            yield from decode_parts(self._zarr.codec, chunk.pieces(), self.chunk_bytes)
        except ValueError as error:
            raise self._damaged(place, str(error)) from error

    def _damaged(self, place: Sequence[int], what: str) -> DamagedFileError:
        return DamagedFileError(
            f"{self.where}: chunk {self._zarr.key(place)} {what}: the checkpoint is damaged or was not copied whole; "
            "restore it"
        )


class _Rows:
    """Elements of a flattened box that are read when they are asked for, out of its decoded chunks."""

    def __init__(self, array: StoredArray, box: Sequence[slice], fill: Callable[[int, Bytes, int], None]) -> None:
        """`fill` takes a chunk's number in the box, a buffer, and the byte of the decoded chunk that comes first."""
        self._box, self._fill = box, fill
        self._chunk, self._dtype = array.whole_chunk, array.dtype
        self.size = size_of(box)

    def __getitem__(self, part: slice) -> Array:
        """Return some of the elements."""
        cut = _cut(self._box)
        lengths = tuple(s.stop - s.start for s in self._box[cut + 1 :])
        inner, width = prod(lengths), prod(self._chunk[cut + 1 :])
        if inner == width:
            found = np.empty(part.stop - part.start, self._dtype)
            done = 0
            for i, begin, end in shares(part.start, part.stop, prod(self._chunk[cut:])):
                target = found[done : done + end - begin].view(np.uint8)
                self._fill(i, target, begin * self._dtype.itemsize)
                done += end - begin
            return found
        first, last = part.start // inner, -(-part.stop // inner)
        rows = np.empty((last - first, *lengths), self._dtype)
        inners = list(product(*(range(-(-n // c)) for n, c in zip(lengths, self._chunk[cut + 1 :], strict=True))))
        for row, begin, end in shares(first, last, self._chunk[cut]):
            at = row * self._chunk[cut] + begin - first
            for j, place in enumerate(inners):
                spots = (slice(at, at + end - begin), *_slices(place, self._chunk[cut + 1 :]))
                target = rows[spots]
                chunk = np.empty((end - begin, *self._chunk[cut + 1 :]), self._dtype)
                flat = chunk.reshape(-1).view(np.uint8)
                self._fill(row * len(inners) + j, flat, begin * width * self._dtype.itemsize)
                target[...] = chunk[tuple(slice(0, n) for n in target.shape)]
        return rows.reshape(-1)[part.start - first * inner : part.stop - first * inner]


@contextmanager
def _opened(file: OpenFile) -> Iterator[OpenFile]:
    """Give a file while something is read of it: a file for each chunk may be more than may be open at a time."""
    if file.is_far:
        yield file
    else:
        with open_file(file.path, file.stat) as again:
            yield again


def _cut(box: Sequence[slice]) -> int:
    """Return the axis along which a box is cut: all of the ones behind it are whole, of those before it is one row."""
    return next((i for i, s in enumerate(box) if s.stop - s.start > 1), 0)


def _slices(place: Sequence[int], chunk: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunk, strict=True))


def shares(start: int, stop: int, step: int) -> Iterator[tuple[int, int, int]]:
    """Yield each stretch of `step` that holds some of start:stop: its number, and what it holds, from its own begin."""
    while start < stop:
        number = start // step
        end = min(stop, (number + 1) * step)
        yield number, start - number * step, end - number * step
        start = end
