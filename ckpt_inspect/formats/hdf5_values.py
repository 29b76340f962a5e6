"""The values of one HDF5 dataset, in pieces: where they lie, how chunks are undone, and how much is believed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, DType, StoredElements
from ckpt_inspect.errors import DamagedFileError, UnsupportedError
from ckpt_inspect.formats.hdf5_chunks import (
    DEFLATE,
    DEFLATE_LIMIT,
    KNOWN_FILTERS,
    ChunkIndex,
    inflate,
    read_index,
    unpack,
    unpack_together,
)
from ckpt_inspect.formats.hdf5_heaps import Metadata
from ckpt_inspect.formats.hdf5_messages import Filter, UnsoundError
from ckpt_inspect.formats.hdf5_objects import Dataset
from ckpt_inspect.formats.hdf5_source import Source, hdf5_errors
from ckpt_inspect.storage import OpenFile, keep_temporarily

_EXPANSION_FLOOR, _MAX_EXPANSION = 1 << 28, 200
"""Of a dataset of more than 256 MiB at least a 200th must be stored, compressed or not .."""

EXPANSION_LIMIT = 1 << 31
""".. unless all that the file claims to hold is no more than 2 GiB beyond 200 times its size: what compresses so well
is zeros mostly, and they take their time all the same."""

BANDS_BYTES = 96 << 20
"""Unpacked rows of chunks that a checkpoint keeps: those that two threads need of θ, m and v. No more is ever unpacked
into memory at a time."""


_HELD_BYTES, _ROW_BYTES, _WRITTEN = 12 << 20, 1 << 20, 1 << 20
"""Largest chunk that is held in memory, largest row of a larger one if that is not a whole row of its dataset, and
bytes that are written at a time."""

_TOGETHER_BYTES = 8 << 20
"""Chunks that are unpacked side by side before their rows are put together; of more, each is put in its place."""


_one_large = Lock()
"""Held while a large chunk is unpacked in memory, which takes three times its size: one at a time, of all files."""


class _Kept:
    """A large chunk, unpacked into a nameless file."""

    __slots__ = ("file", "unread")

    def __init__(self, file: OpenFile, unread: int) -> None:
        self.file, self.unread = file, unread


class Values:
    """The values of a dataset. Reading is thread-safe; `prepare` comes first, one thread at a time."""

    def __init__(self, name: str, dataset: Dataset, source: Source, dtype: DType) -> None:
        """`dtype` is that of the values as they are read, in the machine's byte order."""
        self.name, self.dataset, self.source, self.dtype = name, dataset, source, dtype
        shape = dataset.shape
        self.shape: tuple[int, ...] = (0,) if shape is None else shape
        self.size = math.prod(self.shape)
        self._is_swapped = dataset.datatype.size > 1 and dataset.datatype.is_big_endian == (sys.byteorder == "little")
        self._index: ChunkIndex | None = None
        self._large: dict[int, _Kept] = {}
        self._lock = Lock()
        self._is_prepared = False

    def prepare(self, file: Metadata, claimed: int) -> None:
        """Find where the values lie, and check that so many can be there.

        `claimed` is what all datasets of the file claim together, in bytes. Raises DamagedFileError, UnsupportedError.
        """
        if self._is_prepared:
            return
        layout, nbytes = self.dataset.layout, self.size * self.dataset.datatype.size
        if layout.kind == "virtual" or self.dataset.is_external:
            raise UnsupportedError(
                f"{self.source.path}: dataset {self.name!r} takes its values from other files, which this package "
                "doesn't read"
            )
        if layout.kind == "compact":
            stored = len(layout.content)
            if stored < nbytes:
                raise UnsoundError(f"dataset {self.name!r} claims {nbytes} bytes, and has {stored}")
        elif layout.kind == "contiguous":
            stored = nbytes if layout.address is not None else 0
            if layout.address is not None and layout.size not in (None, nbytes):
                raise UnsoundError(f"dataset {self.name!r} claims {nbytes} bytes, and has {layout.size}")
            if layout.address is not None and layout.address + nbytes > file.size:
                raise UnsoundError(f"dataset {self.name!r} runs past the end of the file")
            if not stored and nbytes > _EXPANSION_FLOOR:
                raise self._claims(nbytes, 0)
        else:
            if self._index is None:
                self._index = read_index(file, self.dataset)
            self._check_expansion(self._index, nbytes, file.size, claimed)
        self._is_prepared = True

    def _check_expansion(self, index: ChunkIndex, nbytes: int, file_size: int, claimed: int) -> None:
        stored, plain = index.stored_bytes, self._chunk_bytes()
        written = len(index.numbers) * plain
        is_deflated = {DEFLATE} & {step.number for step in self.dataset.filters}
        if written > max(1 << 16, stored) * (DEFLATE_LIMIT if is_deflated else _MAX_EXPANSION):
            raise self._claims(nbytes, stored)
        if nbytes <= _EXPANSION_FLOOR:
            return
        if nbytes > _MAX_EXPANSION * written:
            raise self._claims(nbytes, stored)
        if nbytes > _MAX_EXPANSION * stored and claimed > EXPANSION_LIMIT + _MAX_EXPANSION * file_size:
            raise UnsupportedError(
                f"{self.source.path}: dataset {self.name!r} unpacks from {stored} bytes to {nbytes}, and all of the "
                f"file to {claimed}: so much isn't unpacked from {file_size} bytes; store it without compression"
            )

    def _claims(self, nbytes: int, stored: int) -> DamagedFileError:
        return DamagedFileError(
            f"{self.source.path}: dataset {self.name!r} claims {nbytes} bytes, but the file holds only {stored} of them"
        )

    def _chunk_bytes(self) -> int:
        return math.prod(self.dataset.layout.chunk) * self.dataset.datatype.size

    @property
    def stored_bytes(self) -> int | None:
        """Return how many bytes of the file its values take; None if its index has not been read."""
        layout = self.dataset.layout
        if layout.kind == "chunked":
            return None if self._index is None else self._index.stored_bytes
        return self.size * self.dataset.datatype.size if layout.address is not None else 0

    @property
    def rows(self) -> int:
        """Return the rows of a chunk; 0 if there are no chunks."""
        return self.dataset.layout.chunk[0] if self.dataset.layout.chunk else 0

    @property
    def has_large_chunks(self) -> bool:
        """Return whether a chunk is too large to be held in memory, and can be read in parts."""
        chunk = self.dataset.layout.chunk
        if not chunk or self._chunk_bytes() <= _HELD_BYTES:
            return False
        return chunk[1:] == self.shape[1:] or math.prod(chunk[1:]) * self.dataset.datatype.size <= _ROW_BYTES

    def place(self, start: int, stop: int) -> tuple[OpenFile, int, int] | None:
        """Return the file, the first byte and the end of a flat range; None unless its values lie in one piece."""
        layout, size = self.dataset.layout, self.dataset.datatype.size
        if layout.kind != "contiguous" or layout.address is None:
            return None
        first = self.source.base + layout.address
        is_there = first + self.size * size <= self.source.file.size
        return (self.source.file, first + start * size, first + stop * size) if is_there else None

    def in_file(self) -> tuple[int, int] | None:
        """Return the descriptor of the file and the first byte of all values; None unless they lie there as in memory,
        and on this machine."""
        found = self.place(0, self.size)
        descriptor = None if found is None or self._is_swapped else found[0].descriptor()
        return None if found is None or descriptor is None else (descriptor, found[1])

    def received(self, finish: Callable[[], None]) -> StoredElements | None:
        """Return where values arrive that another machine keeps in one piece; None unless they lie there as in memory.

        `finish` is called when the last of them has been counted.
        """
        found, checksum = self.place(0, self.size), self.source.checksum
        if found is None or self._is_swapped or not found[0].is_far:
            return None
        file, first, end = found

        def count(start: int, stop: int, _: int) -> None:
            begin, size = first + start, stop - start
            if checksum is not None and (data := file.borrow(begin, size)) is not None:
                checksum.add(begin, data)  # an archive keeps another checksum than the one that the loops compute
            file.give_back(begin, size)
            if begin + size == end:
                finish()

        return StoredElements(-1, first, lambda start, stop: True, count, lambda a, b: file.borrow(first + a, b - a))

    def read_plain(self, start: int, stop: int, out: Array) -> None:
        """Fill `out` with a flat range of values that aren't in chunks."""
        layout, size = self.dataset.layout, self.dataset.datatype.size
        if layout.kind == "compact":
            out.view(np.uint8)[:] = np.frombuffer(layout.content[start * size : stop * size], np.uint8)
        elif layout.address is None:
            out[:] = self._fill()
            return
        else:
            self._read_into(out.view(np.uint8), layout.address + start * size)
        if self._is_swapped:
            out.byteswap(inplace=True)

    def read_box(self, starts: tuple[int, ...], out: Array) -> None:
        """Fill `out` with the box of its shape that begins at `starts`, of values in chunks."""
        chunk, index = self.dataset.layout.chunk, self._index
        if index is None:
            raise RuntimeError("prepare comes first")
        if self._read_band(index, starts, out):
            return
        stops = tuple(start + length for start, length in zip(starts, out.shape, strict=True))
        first = tuple(start // part for start, part in zip(starts, chunk, strict=True))
        last = tuple((stop - 1) // part for stop, part in zip(stops, chunk, strict=True))
        if len(index.numbers) < math.prod(index.grid):
            out[...] = self._fill()
        for i, place in index.within(first, last):
            begin = tuple(at * part for at, part in zip(place, chunk, strict=True))
            inside = tuple(
                (max(s, b), min(e, b + part)) for s, e, b, part in zip(starts, stops, begin, chunk, strict=True)
            )
            to = tuple(slice(low - s, high - s) for (low, high), s in zip(inside, starts, strict=True))
            if self.has_large_chunks:
                self._read_large(index, i, begin, inside, out[to])
            else:
                taken = tuple(slice(low - b, high - b) for (low, high), b in zip(inside, begin, strict=True))
                out[to] = self._chunk(index, i)[taken]

    def _read_band(self, index: ChunkIndex, starts: tuple[int, ...], out: Array) -> bool:
        """Fill `out` if it is a band, all rows of one row of chunks, and these are small and were all written; return
        whether it is: that is what is read most, and takes a tenth of what going from chunk to chunk does."""
        chunk, count = self.dataset.layout.chunk, math.prod(index.grid[1:])
        rows = min(chunk[0], self.shape[0] - starts[0])
        if starts[0] % chunk[0] or any(starts[1:]) or out.shape != (rows, *self.shape[1:]):
            return False
        first = starts[0] // chunk[0] * count
        begin, end = (int(at) for at in np.searchsorted(index.numbers, (first, first + count)))
        sizes, plain = index.sizes[begin:end], self._chunk_bytes()
        if end - begin < count or max(count * plain, int(sizes.sum())) > _TOGETHER_BYTES:
            return False
        steps = [self._steps(int(mask)) for mask in index.masks[begin:end]]
        if not {step.number for each in steps for step in each} <= KNOWN_FILTERS:
            return False
        raw = unpack_together(self._read_into, index.addresses[begin:end], sizes, steps, plain)
        _put_together(raw.view(self.dtype).reshape(*index.grid[1:], *chunk), out)
        if self._is_swapped:
            out.byteswap(inplace=True)
        return True

    def _steps(self, mask: int) -> list[Filter]:
        """Return the filters that a chunk went through: bit i of its mask says that filter i was left out."""
        return [step for k, step in enumerate(self.dataset.filters) if not mask >> k & 1]

    def _chunk(self, index: ChunkIndex, i: int) -> Array:
        address, size, mask = int(index.addresses[i]), int(index.sizes[i]), int(index.masks[i])
        shape = self.dataset.layout.chunk
        data = self._filtered(address, size, self._steps(mask))
        found: Array = data.view(self.dtype).reshape(shape)
        if self._is_swapped:
            found = found.byteswap()
        return found

    def _filtered(self, address: int, size: int, steps: Sequence[Filter]) -> NDArray[np.uint8]:
        """Return a chunk's bytes with the filters undone; UnsupportedError if they are too many."""
        if (plain := self._chunk_bytes()) > BANDS_BYTES:
            raise UnsupportedError(
                f"{self.source.path}: dataset {self.name!r} is stored in chunks of {plain} bytes, and no more than "
                f"{BANDS_BYTES} are unpacked at a time; rewrite the file with smaller ones, by `h5repack`"
            )
        if {step.number for step in steps} <= KNOWN_FILTERS:
            return unpack(self._read_into, address, size, steps, plain)
        return self._by_library(address, size, steps)

    def _by_library(self, address: int, size: int, steps: Sequence[Filter]) -> NDArray[np.uint8]:
        from ckpt_inspect.formats.hdf5_library import unpack_chunk

        plain = self._chunk_bytes()
        if size > 2 * plain + (1 << 16):
            raise UnsoundError(f"a chunk of {plain} bytes takes {size}")
        raw = np.empty(size, np.uint8)
        self._read_into(raw, address)
        kind, length = self.dataset.datatype.kind, self.dataset.datatype.size
        is_known = kind == "number" and self.dtype.kind in "iufb"
        dtype = self.dtype if is_known else np.dtype(f"V{length}")
        stored = dtype.newbyteorder() if self._is_swapped else dtype
        try:
            return unpack_chunk(raw.tobytes(), steps, stored, self.dataset.layout.chunk, self.dataset.fill)
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.source.path}: dataset {self.name!r}: {error}") from error

    def _read_large(
        self, index: ChunkIndex, i: int, begin: tuple[int, ...], inside: tuple[tuple[int, int], ...], out: Array
    ) -> None:
        """Fill `out` with the box `inside` of a large chunk that begins at `begin`: out of the file itself if it went
        through no filter, else out of a nameless one, where it stays until it was read."""
        chunk, size = self.dataset.layout.chunk, self.dataset.datatype.size
        place, length = inside[0][0] - begin[0], out.shape[0]
        if chunk[1:] == self.shape[1:]:  # a box that is a range
            for (low, _), first, part in zip(inside[1:], begin[1:], chunk[1:], strict=True):
                place = place * part + low - first
            length = out.size
        else:
            place, length = place * math.prod(chunk[1:]), length * math.prod(chunk[1:])
        raw = np.empty(length * size, np.uint8)
        steps = self._steps(int(index.masks[i]))
        if not steps:
            self._read_into(raw, int(index.addresses[i]) + place * size)
        else:
            with self._lock, hdf5_errors(self.source.path):
                kept = self._large.get(i)
                if kept is None:
                    kept = self._large[i] = _Kept(self._unpacked(index, i, steps), self._elements_in(begin))
                kept.file.read_into(raw, place * size)
                kept.unread -= out.size
                if kept.unread <= 0:
                    self._large.pop(i).file.close()
        found: Array = raw.view(self.dtype)
        if self._is_swapped:
            found = found.byteswap()
        if length == out.size:
            out[...] = found.reshape(out.shape)
            return
        rows = found.reshape(out.shape[0], *chunk[1:])
        columns = (slice(low - b, high - b) for (low, high), b in zip(inside[1:], begin[1:], strict=True))
        taken = (slice(None), *columns)
        out[...] = rows[taken]

    def _unpacked(self, index: ChunkIndex, i: int, steps: Sequence[Filter]) -> OpenFile:
        """Return a nameless file of a chunk's bytes; unpacked in pieces if it was deflated only."""
        address, size, plain = int(index.addresses[i]), int(index.sizes[i]), self._chunk_bytes()
        if [step.number for step in steps] == [DEFLATE]:
            return keep_temporarily(_of_length(inflate(self._read_into, address, size), plain), self.source.path)
        with _one_large:
            data = self._filtered(address, size, steps)
            pieces = (data[at : at + _WRITTEN].data for at in range(0, plain, _WRITTEN))
            return keep_temporarily(pieces, self.source.path)

    def _elements_in(self, begin: tuple[int, ...]) -> int:
        """Return how many elements of the dataset are in the chunk that begins there."""
        parts = zip(self.dataset.layout.chunk, self.shape, begin, strict=True)
        return math.prod(min(part, length - at) for part, length, at in parts)

    def close(self) -> None:
        """Remove what was unpacked to a file."""
        with self._lock:
            for kept in self._large.values():
                kept.file.close()
            self._large = {}

    def _fill(self) -> Array:
        """Return the element that stands where nothing was written."""
        raw = np.frombuffer(self.dataset.fill or bytes(self.dataset.datatype.size), np.uint8)
        found: Array = raw.view(self.dtype)
        return found.byteswap() if self._is_swapped else found

    def _read_into(self, buffer: NDArray[np.uint8], offset: int) -> None:
        source, place = self.source, self.source.base + offset
        source.file.read_into(buffer, place)
        if source.checksum is not None:
            source.checksum.add(place, buffer)


def _put_together(chunks: Array, out: Array) -> None:
    """Fill a band of rows from its chunks; both ends of chunks at the edges are beyond it.

    `chunks`: as many dimensions as the grid beside the first one has, then those of a chunk.
    """
    sides = out.ndim - 1
    # chunk by chunk -> row by row: the rows, then along each further dimension the chunks and what is in them
    order = (sides, *(axis for side in range(sides) for axis in (side, sides + 1 + side)))
    ordered = chunks.transpose(order)[: len(out)]
    parts = chunks.shape[sides + 1 :]
    whole = tuple(length // part for length, part in zip(out.shape[1:], parts, strict=True))
    if all(part * count == length for part, count, length in zip(parts, whole, out.shape[1:], strict=True)):
        out.reshape(ordered.shape)[...] = ordered
    elif sides == 1:
        inside = whole[0] * parts[0]
        strides = (out.strides[0], parts[0] * out.strides[1], out.strides[1])
        as_strided(out, (len(out), whole[0], parts[0]), strides)[...] = ordered[:, : whole[0]]
        out[:, inside:] = ordered[:, whole[0], : out.shape[1] - inside]
    else:
        merged = tuple(grid * part for grid, part in zip(chunks.shape[:sides], parts, strict=True))
        out[...] = ordered.reshape(len(out), *merged)[tuple(slice(length) for length in out.shape)]


def check_extents(found: Iterable[Values]) -> None:
    """Raise UnsoundError if two datasets that aren't in chunks share bytes of their file: one of them is elsewhere."""
    extents = sorted(
        (layout.address, layout.address + values.size * values.dataset.datatype.size, values.name)
        for values in found
        if (layout := values.dataset.layout).kind == "contiguous" and layout.address is not None and values.size
    )
    for (_, stop, name), (start, _, other) in pairwise(extents):
        if start < stop:
            raise UnsoundError(f"datasets {name!r} and {other!r} claim the same bytes")


def _of_length(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Yield the pieces; raises UnsoundError if they aren't so many bytes."""
    for piece in pieces:
        length -= len(piece)
        if length < 0:
            break
        yield piece
    if length:
        raise UnsoundError("a compressed chunk is of another size than its dataset says")


def boxes(shape: tuple[int, ...], start: int, stop: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield boxes that together are a flat range (C order), in order: where each begins, and its shape.

    At most one partial row at each end of each dimension, whole rows between.
    """
    if len(shape) == 1:
        yield (start,), (stop - start,)
        return
    row = math.prod(shape[1:])
    first, last = -(-start // row), stop // row
    if first > last:  # inside one row
        for begin, lengths in boxes(shape[1:], start - last * row, stop - last * row):
            yield (last, *begin), (1, *lengths)
        return
    if start < first * row:
        for begin, lengths in boxes(shape[1:], start - (first - 1) * row, row):
            yield (first - 1, *begin), (1, *lengths)
    if first < last:
        yield (first, *(0 for _ in shape[1:])), (last - first, *shape[1:])
    if last * row < stop:
        for begin, lengths in boxes(shape[1:], 0, stop - last * row):
            yield (last, *begin), (1, *lengths)
