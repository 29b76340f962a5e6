"""Where the chunks of an HDF5 dataset lie, and what is in them.

HDF5 File Format Specification 3.0: III.A.1 B-trees of chunks, III.A.2 and VII the indexes of HDF5 1.10; filters 1 to 3
as the library's own sources have them (H5Zdeflate.c, H5Zshuffle.c, H5Zfletcher32.c). An index may claim anything:
chunks that are named twice, overlap each other, or aren't in the file are refused before one is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.formats import deflate
from ckpt_inspect.formats.hdf5_heaps import Metadata, checked, tree_records
from ckpt_inspect.formats.hdf5_messages import Bytes, ChunkIndexKind, Filter, UnreadFeatureError, UnsoundError
from ckpt_inspect.formats.hdf5_objects import Dataset
from ckpt_inspect.native import loops
from ckpt_inspect.records import dataclass

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
KNOWN_FILTERS = frozenset({DEFLATE, SHUFFLE, FLETCHER32})
"""Numbers of the filters that are undone here; HDF5's library undoes others."""

DEFLATE_LIMIT = 1032
"""Times that deflate makes anything smaller, at most (https://zlib.net/zlib_tech.html)."""

_PIECE = 1 << 20
_MOST_LEVELS = 64

_MOST_CHUNKS = 1 << 21
"""Of a dataset; each takes some hundred bytes of memory while the index is read."""

ReadInto = Callable[[NDArray[np.uint8], int], None]
"""Fills a buffer with the file's bytes at an offset."""


@dataclass(frozen=True, slots=True)
class ChunkIndex:
    """The chunks of a dataset that were written, by their numbers in C order."""

    grid: tuple[int, ...]
    """Chunks along each dimension."""
    numbers: NDArray[np.int64]
    """Ascending."""
    addresses: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """In bytes, as they are stored."""
    masks: NDArray[np.int64]
    """Bit i: filter i was left out."""

    @property
    def stored_bytes(self) -> int:
        """Return the sum of their sizes."""
        return int(self.sizes.sum())

    def within(self, first: tuple[int, ...], last: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the written chunks from one corner of the grid to another, both included: index here, coordinates."""
        ends = [np.ravel_multi_index(corner, self.grid) for corner in (first, last)]
        begin, stop = np.searchsorted(self.numbers, ends[0]), np.searchsorted(self.numbers, ends[1], "right")
        for at in range(int(begin), int(stop), 1 << 16):  # in parts, because each takes memory for its coordinates
            part = self.numbers[at : min(at + (1 << 16), int(stop))]
            places = np.stack(np.unravel_index(part, self.grid), axis=1)
            is_meant = ((places >= first) & (places <= last)).all(axis=1)
            for i in np.nonzero(is_meant)[0]:
                yield at + int(i), tuple(places[i].tolist())


def read_index(file: Metadata, dataset: Dataset) -> ChunkIndex:
    """Read the index of a dataset in chunks, and check it; raises UnsoundError, UnreadFeatureError."""
    layout, shape, is_filtered = dataset.layout, dataset.shape or (), bool(dataset.filters)
    grid = tuple(max(-(-length // part), 1) for length, part in zip(shape, layout.chunk, strict=True))
    if math.prod(grid) >= 1 << 62:
        raise UnsoundError(f"a dataset of {math.prod(grid)} chunks")
    plain = math.prod(layout.chunk) * layout.element_size
    if plain >= 1 << 32 and layout.index == "B-tree":
        raise UnsoundError(f"chunks of {plain} bytes")
    if layout.index == "unfiltered edges":
        raise UnreadFeatureError("a dataset's chunks at its edges go through no filter (H5Pset_chunk_opts)")
    if layout.address is None:
        found = np.empty((0, 4), np.int64)
    elif layout.index == "B-tree":
        found = _old_tree(file, layout.address, layout.chunk, grid)
    elif layout.index == "one chunk":
        size = plain if layout.one_size is None else layout.one_size
        found = np.array([[0, layout.address, size, layout.one_mask]], np.int64)
    elif layout.index == "B-tree 2":
        found = _new_tree(file, layout.address, grid, plain, is_filtered)
    else:
        found = _by_number(file, layout.address, layout.index, _Numbering.of(dataset, grid), plain, is_filtered)
    found = found[np.argsort(found[:, 0], kind="stable")]
    index = ChunkIndex(grid, *(np.ascontiguousarray(found[:, i]) for i in range(4)))
    _check(index, file.size, plain, is_filtered)
    return index


@dataclass(frozen=True, slots=True)
class _Numbering:
    """How the arrays of HDF5 1.10 number chunks: as if the dataset had grown as far as it may."""

    grid: tuple[int, ...]
    """Chunks along each dimension, as it is."""
    order: tuple[int, ...]
    """Dimensions from the slowest one to the fastest: the one without limit, then the others."""
    extents: tuple[int, ...]
    """Chunks along each dimension of `order`, as far as it may grow; as it is along the one without limit."""
    is_open: bool
    """Whether there is a dimension without limit."""

    @classmethod
    def of(cls, dataset: Dataset, grid: tuple[int, ...]) -> _Numbering:
        without = [i for i, limit in enumerate(dataset.limits) if limit is None]
        order = (*without, *(i for i in range(len(grid)) if i not in without))
        limits = [
            grid[i] if (most := dataset.limits[i]) is None else -(-most // dataset.layout.chunk[i]) for i in order
        ]
        extents = tuple(max(limit, 1) for limit in limits)
        if len(without) > 1 or math.prod(extents) >= 1 << 62:
            raise UnsoundError(f"an array of chunks for a dataset that may grow to {dataset.limits}")
        return cls(grid, order, extents, bool(without))

    @property
    def count(self) -> int:
        """Return how many numbers there are."""
        return math.prod(self.extents)

    def numbered(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers that the file gives to chunks with these ones in the grid as it is."""
        if self.order == tuple(range(len(self.grid))) and self.extents == self.grid:
            return numbers
        places = np.unravel_index(numbers, self.grid)
        return np.ravel_multi_index([places[i] for i in self.order], self.extents).astype(np.int64)

    def placed(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers in the grid as it is of chunks that the file gives these ones; raises UnsoundError."""
        if len(numbers) and int(numbers.max()) >= self.count:
            raise UnsoundError("an index names a chunk outside of its dataset")
        if self.order == tuple(range(len(self.grid))) and self.extents == self.grid:
            return numbers
        places = dict(zip(self.order, np.unravel_index(numbers, self.extents), strict=True))
        if any((places[i] >= length).any() for i, length in enumerate(self.grid)):
            raise UnsoundError("an index names a chunk outside of its dataset")
        return np.ravel_multi_index([places[i] for i in range(len(self.grid))], self.grid).astype(np.int64)


def _by_number(
    file: Metadata, at: int, kind: ChunkIndexKind, numbering: _Numbering, plain: int, is_filtered: bool
) -> NDArray[np.int64]:
    """Read an index that keeps chunks by their numbers (VII.B to VII.D): number, address, size, mask of each."""
    if kind == "implicit":
        count = math.prod(numbering.grid)
        if count * plain > file.size:
            raise UnsoundError("a dataset runs past the end of the file")
        _check_count(count)
        numbers = np.arange(count, dtype=np.int64)
        addresses = at + numbering.numbered(numbers) * plain
        return np.stack([numbers, addresses, np.full_like(numbers, plain), np.zeros_like(numbers)], axis=1)
    if (kind == "extensible array") != numbering.is_open:
        raise UnsoundError(f"the {kind} of chunks at {at:#x} is of a dataset that may grow otherwise")
    if kind == "fixed array":
        found = _fixed_array(file, at, numbering.count, plain, is_filtered)
    else:
        found = _extensible_array(file, at, plain, is_filtered)
    found[:, 0] = numbering.placed(found[:, 0])
    return found


def _check_count(count: int) -> None:
    """Refuse lists of chunks that would take too much memory."""
    if count > _MOST_CHUNKS:
        raise UnreadFeatureError(f"a dataset is stored in more than {_MOST_CHUNKS} chunks")


def _check(index: ChunkIndex, size: int, plain: int, is_filtered: bool) -> None:
    """Refuse chunks that are there twice, that lie outside of the file or over each other."""
    if (index.numbers[1:] == index.numbers[:-1]).any():
        raise UnsoundError("a dataset has two chunks for one place")
    by_address = np.argsort(index.addresses)
    starts, sizes = index.addresses[by_address], index.sizes[by_address]
    if (starts < 0).any() or (sizes < 0).any() or (starts > size).any() or (starts + sizes > size).any():
        raise UnsoundError("a chunk runs past the end of the file")
    if (starts[:-1] + sizes[:-1] > starts[1:]).any():
        raise UnsoundError("chunks overlap each other")
    if not is_filtered and (sizes != plain).any():
        raise UnsoundError("a chunk is of another size than its dataset says")


def _old_tree(file: Metadata, root: int, chunk: tuple[int, ...], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Read a version 1 B-tree of chunks (III.A.1, nodes of type 1): number, address, size, mask of each."""
    width = file.widths.address
    entry = np.dtype([("size", "<u4"), ("mask", "<u4"), ("at", "<u8", (len(chunk) + 1,)), ("child", f"<u{width}")])
    waiting: list[tuple[int, int | None]] = [(root, None)]
    seen: set[int] = set()
    parts = [np.empty((0, 4), np.int64)]
    total = 0
    while waiting:
        at, expected = waiting.pop()
        head = file.bytes_at(at, 8)
        if at in seen or head.take(4) != b"TREE" or head.number(1) != 1:
            raise UnsoundError(f"no node of a B-tree of chunks at {at:#x}")
        seen.add(at)
        level, count = head.number(1), head.number(2)
        if expected not in (None, level) or level > _MOST_LEVELS:
            raise UnsoundError(f"the B-tree's node at {at:#x} is of level {level}, not {expected}")
        entries = np.frombuffer(file.read(at + 8 + 2 * width, count * entry.itemsize), entry)
        if level:
            waiting.extend((int(child), level - 1) for child in reversed(entries["child"]))
            continue
        places = entries["at"][:, :-1] // np.array(chunk, np.uint64)
        if (entries["at"][:, :-1] != places * np.array(chunk, np.uint64)).any() or entries["at"][:, -1].any():
            raise UnsoundError(f"the B-tree's node at {at:#x} names a chunk that begins within another")
        is_inside = (places < np.array(grid, np.uint64)).all(axis=1)
        if not is_inside.all():
            raise UnsoundError(f"the B-tree's node at {at:#x} names a chunk outside of its dataset")
        total += count
        _check_count(total)
        numbers = np.ravel_multi_index(tuple(places.T.astype(np.int64)), grid)
        columns = (numbers, entries["child"], entries["size"], entries["mask"])
        parts.append(np.stack([column.astype(np.int64) for column in columns], axis=1))
    return np.concatenate(parts)


def _new_tree(file: Metadata, root: int, grid: tuple[int, ...], plain: int, is_filtered: bool) -> NDArray[np.int64]:
    """Read a version 2 B-tree of chunks (III.A.2, records of type 10 and 11)."""
    rows = []
    for record in tree_records(file, root, 11 if is_filtered else 10):
        source = Bytes(record, file.widths)
        address = source.address()
        size, mask = plain, 0
        if is_filtered:
            size = source.number(len(record) - source.at - 4 - 8 * len(grid))
            mask = source.number(4)
        place = tuple(source.number(8) for _ in grid)
        if any(at >= most for at, most in zip(place, grid, strict=True)) or address is None:
            raise UnsoundError(f"the B-tree at {root:#x} names a chunk outside of its dataset")
        rows.append((int(np.ravel_multi_index(place, grid)), address, size, mask))
        _check_count(len(rows))
    return np.array(rows, np.int64).reshape(-1, 4)


def _fixed_array(file: Metadata, at: int, count: int, plain: int, is_filtered: bool) -> NDArray[np.int64]:
    """Read a fixed array of chunks (VII.C)."""
    width = file.widths
    head = Bytes(checked(file.read(at, 12 + width.length + width.address), f"the index at {at:#x}"), width)
    if head.take(4) != b"FAHD" or head.number(1) != 0 or head.number(1) != int(is_filtered):
        raise UnsoundError(f"no index of chunks at {at:#x}")
    entry_size, page_bits, length, block = head.number(1), head.number(1), head.length(), head.address()
    if length != count:
        raise UnsoundError(f"the index at {at:#x} is of {length} chunks, its dataset of {count}")
    if block is None:
        return np.empty((0, 4), np.int64)
    if entry_size < width.address + (5 if is_filtered else 0) or page_bits > 32 or count * entry_size > file.size:
        raise UnsoundError(f"the index at {at:#x} has {count} entries of {entry_size} bytes")
    on_page = 1 << page_bits
    pages = -(-count // on_page) if count > on_page else 0
    start = 6 + width.address
    rows = []
    if pages:
        bits = checked(file.read(block, start + (pages + 7) // 8 + 4), f"the index's block at {block:#x}")
        place = block + start + (pages + 7) // 8 + 4
        for page in range(pages):
            held = min(on_page, count - page * on_page)
            if bits[start + page // 8] & (0x80 >> page % 8):  # the page was written
                data = checked(file.read(place, held * entry_size + 4), f"the index's page at {place:#x}")
                rows.append((page * on_page, data))
            place += on_page * entry_size + 4
    else:
        data = checked(file.read(block, start + count * entry_size + 4), f"the index's block at {block:#x}")
        bits = data
        rows.append((0, data[start:]))
    if bits[:4] != b"FADB":
        raise UnsoundError(f"no block of an index of chunks at {block:#x}")
    return _entries(rows, entry_size, width.address, plain, is_filtered)


def _extensible_array(file: Metadata, at: int, plain: int, is_filtered: bool) -> NDArray[np.int64]:
    """Read an extensible array of chunks (VII.D): blocks that double, the first in the index, later ones in turn named
    by secondary blocks."""
    width = file.widths
    head = Bytes(checked(file.read(at, 16 + 6 * width.length + width.address), f"the index at {at:#x}"), width)
    if head.take(4) != b"EAHD" or head.number(1) != 0 or head.number(1) != int(is_filtered):
        raise UnsoundError(f"no index of chunks at {at:#x}")
    entry_size, number_bits, in_index, smallest, pointers, page_bits = (head.number(1) for _ in range(6))
    head.take(5 * width.length)  # statistics
    head.length()
    block = head.address()
    if block is None:
        return np.empty((0, 4), np.int64)
    if (
        entry_size < width.address + (5 if is_filtered else 0)
        or number_bits > 64
        or page_bits > 32
        or smallest.bit_count() != 1
        or pointers.bit_count() != 1
        or smallest.bit_length() > number_bits
    ):
        raise UnsoundError(f"the index at {at:#x} is of blocks that can't be")
    offset_size = (number_bits + 7) // 8
    own = 2 * (pointers.bit_length() - 1)  # so many of the secondary blocks have no block: the index has what they name
    levels = 1 + number_bits - (smallest.bit_length() - 1)
    start = 6 + width.address
    sizes = in_index * entry_size, 2 * (pointers - 1) * width.address, max(levels - own, 0) * width.address
    data = checked(file.read(block, start + sum(sizes) + 4), f"the index's block at {block:#x}")
    _check_block(data, b"EAIB", block, at, width.address)
    rows = [(0, data[start : start + sizes[0]])]
    names = Bytes(data, width, start + sizes[0])
    seen = {block}

    def blocks_of(source: Bytes, count: int, held: int, first: int, bits: bytes) -> None:
        """Read `count` blocks of `held` entries each, from the entry `first` on, whose addresses come from `source`;
        `bits` tells which of their pages were written."""
        on_page = 1 << page_bits
        pages = held // on_page if held > on_page else 0
        for i in range(count):
            place = source.address()
            if place is None:
                continue
            if place in seen:
                raise UnsoundError(f"the index at {at:#x} names a block twice")
            seen.add(place)
            size = start + offset_size + (0 if pages else held * entry_size) + 4
            found = checked(file.read(place, size), f"the index's block at {place:#x}")
            _check_block(found, b"EADB", place, at, width.address)
            if not pages:
                rows.append((first + i * held, found[start + offset_size :]))
            for page in range(pages):
                bit = i * pages + page
                if bits[bit // 8] & (0x80 >> bit % 8):
                    where = place + size + page * (on_page * entry_size + 4)
                    found = checked(file.read(where, on_page * entry_size + 4), f"the index's page at {where:#x}")
                    rows.append((first + i * held + page * on_page, found))

    first = in_index
    for level in range(levels):
        count, held = 1 << level // 2, smallest << (level + 1) // 2
        if level < own:
            blocks_of(names, count, held, first, b"")
        elif (place := names.address()) is not None:
            pages = held >> page_bits if held > 1 << page_bits else 0
            flags = count * ((pages + 7) // 8)
            size = start + offset_size + flags + count * width.address + 4
            if place in seen:
                raise UnsoundError(f"the index at {at:#x} names a block twice")
            seen.add(place)
            found = checked(file.read(place, size), f"the index's block at {place:#x}")
            _check_block(found, b"EASB", place, at, width.address)
            source = Bytes(found, width, start + offset_size + flags)
            blocks_of(source, count, held, first, found[start + offset_size :][:flags])
        first += count * held
    return _entries(rows, entry_size, width.address, plain, is_filtered)


def _check_block(data: bytes, signature: bytes, at: int, head: int, width: int) -> None:
    if data[:5] != signature + b"\0" or int.from_bytes(data[6 : 6 + width], "little") != head:
        raise UnsoundError(f"no block of an index of chunks at {at:#x}")


def _entries(
    rows: Sequence[tuple[int, bytes]], entry_size: int, width: int, plain: int, is_filtered: bool
) -> NDArray[np.int64]:
    """Return number, address, size and mask of the chunks that were written, from lists of entries and the number of
    the first of each."""
    parts = [np.empty((0, 4), np.int64)]
    total = 0
    for first, data in rows:
        count = len(data) // entry_size
        raw = np.frombuffer(data, np.uint8, count * entry_size).reshape(count, entry_size)
        (written,) = np.nonzero((raw[:, :width] != 0xFF).any(axis=1))
        total += len(written)
        _check_count(total)
        raw = raw[written]
        found = np.empty((len(written), 4), np.int64)
        found[:, 0] = first + written
        found[:, 1] = _numbers(raw[:, :width])
        found[:, 2] = _numbers(raw[:, width : entry_size - 4]) if is_filtered else plain
        found[:, 3] = _numbers(raw[:, entry_size - 4 :]) if is_filtered else 0
        parts.append(found)
    return np.concatenate(parts)


def _numbers(columns: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the numbers whose bytes, in little endian, are the columns; those that int64 doesn't hold are negative."""
    found = np.zeros(len(columns), np.uint64)
    for i in range(columns.shape[1]):
        byte = columns[:, i].astype(np.uint64)
        found |= byte << np.uint64(8 * i) if i < 8 else np.where(byte, np.uint64(1 << 63), np.uint64(0))
    return found.view(np.int64)


# --- contents


def unpack(read_into: ReadInto, address: int, size: int, filters: Sequence[Filter], plain: int) -> NDArray[np.uint8]:
    """Return the `plain` bytes of a chunk whose `size` bytes lie at an address; raises UnsoundError.

    `filters` are those that it went through, in the order in which they were done. Never more than a few times `plain`
    bytes of memory are taken, whatever the stored bytes say.
    """
    steps = filters[::-1]
    if steps and steps[0].number == DEFLATE:
        room = plain + 4 * sum(step.number == FLETCHER32 for step in steps)
        data = _inflated(read_into, address, size, room)
        steps = steps[1:]
    else:
        if size > plain + 64:
            raise UnsoundError(f"a chunk of {plain} bytes takes {size}")
        data = np.empty(size, np.uint8)
        read_into(data, address)
    for step in steps:
        if step.number == DEFLATE:
            data = _inflated(_from(data), 0, len(data), plain + 64)
        elif step.number == SHUFFLE:
            data = _unshuffled(data, step.values[0] if step.values else 1)
        elif step.number == FLETCHER32:
            data = _without_checksum(data)
        else:
            raise UnreadFeatureError(f"a dataset went through filter {step.number}")
    if len(data) != plain:
        raise UnsoundError(f"a chunk of {plain} bytes unpacks to {len(data)}")
    return data


def unpack_together(
    read_into: ReadInto,
    addresses: NDArray[np.int64],
    sizes: NDArray[np.int64],
    steps: Sequence[Sequence[Filter]],
    plain: int,
) -> NDArray[np.uint8]:
    """Return (chunks, plain) the bytes of several chunks, each with the filters that it went through; those that lie
    one after another are read at once. Raises as `unpack` does."""
    kinds = {tuple(step.number for step in each) for each in steps}
    # checksums are compared where the bytes arrived, and left there between the chunks
    tail = _CHECKSUM_BYTES if kinds == {(FLETCHER32,)} and (sizes == plain + _CHECKSUM_BYTES).all() else 0
    room = np.empty((len(addresses), plain + tail), np.uint8)
    found = room[:, :plain]
    ends = np.nonzero(addresses[1:] != addresses[:-1] + sizes[:-1])[0] + 1
    for start, stop in pairwise((0, *ends.tolist(), len(addresses))):
        address = int(addresses[start])
        if tail or (not any(steps[start:stop]) and (sizes[start:stop] == plain).all()):
            read_into(room[start:stop].reshape(-1), address)
            if tail:
                _check_checksums(room[start:stop])
            continue
        packed = np.empty(int(sizes[start:stop].sum()), np.uint8)
        read_into(packed, address)
        read_packed = _from(packed)
        at = 0
        for i in range(start, stop):
            size = int(sizes[i])
            found[i] = unpack(read_packed, at, size, steps[i], plain)
            at += size
    return found


def inflate(read_into: ReadInto, address: int, size: int) -> Iterator[bytes]:
    """Yield what deflated bytes unpack to, in pieces of at most 1 MiB; raises UnsoundError."""
    unpacker = deflate.decompressobj()
    buffer = np.empty(min(_PIECE, size), np.uint8)
    at = 0
    try:
        while not unpacker.eof:
            if at == size and not unpacker.unconsumed_tail:
                raise UnsoundError("a compressed chunk ends too early")
            if not unpacker.unconsumed_tail:
                piece = buffer[: min(size - at, len(buffer))]
                read_into(piece, address + at)
                at += len(piece)
                given = piece.tobytes()
            else:
                given = unpacker.unconsumed_tail
            yield unpacker.decompress(given, _PIECE)
    except deflate.error as error:
        raise UnsoundError(f"a compressed chunk can't be unpacked ({error})") from error


def _inflated(read_into: ReadInto, address: int, size: int, most: int) -> NDArray[np.uint8]:
    """Return what deflated bytes unpack to, which may be no more than `most`; at once if they are no more than that."""
    if size <= 2 * most:
        packed = np.empty(size, np.uint8)
        read_into(packed, address)
        unpacker = deflate.decompressobj()
        try:
            data = unpacker.decompress(packed.data, most + 1)
        except deflate.error as error:
            raise UnsoundError(f"a compressed chunk can't be unpacked ({error})") from error
        if unpacker.eof and len(data) <= most:
            return np.frombuffer(data, np.uint8)
    found, at = np.empty(most, np.uint8), 0
    for piece in inflate(read_into, address, size):
        if at + len(piece) > most:
            raise UnsoundError(f"a chunk unpacks to more than {most} bytes")
        found[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
    return found[:at]


def _from(data: NDArray[np.uint8]) -> ReadInto:
    def read_into(buffer: NDArray[np.uint8], offset: int) -> None:
        buffer[:] = data[offset : offset + len(buffer)]

    return read_into


def _unshuffled(data: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Put the bytes of each element together again: all first bytes stand first, then all second ones."""
    count = len(data) // width if width else 0
    if width < 2 or count < 2:
        return data
    whole, found = data[: count * width], np.empty_like(data)
    if loops is not None:
        loops.unshuffle(whole, width, found[: count * width])
    else:
        found[: count * width].reshape(count, width)[:] = whole.reshape(width, count).T
    found[count * width :] = data[count * width :]
    return found


def _without_checksum(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compare Fletcher's checksum, which stands at the end, and return what comes before it."""
    if len(data) < _CHECKSUM_BYTES:
        raise UnsoundError("a chunk is shorter than its checksum")
    _check_checksums(data.reshape(1, -1))
    return data[:-_CHECKSUM_BYTES]


def _check_checksums(chunks: NDArray[np.uint8]) -> None:
    """Compare Fletcher's checksum at the end of each of (chunks, bytes); raises UnsoundError if one is wrong."""
    sums = fletcher32(chunks, _CHECKSUM_BYTES)
    stored = np.ascontiguousarray(chunks[:, -_CHECKSUM_BYTES:]).view("<u2")
    # Versions before 1.6.3 stored the bytes of each half in the other order on little-endian machines.
    is_right = [(halves % 65535 == sums).all(axis=1) for halves in (stored, stored.byteswap())]
    if not (is_right[0] | is_right[1]).all():
        raise UnsoundError("the checksum of a chunk is wrong")


def fletcher32(rows: NDArray[np.uint8], tail: int = 0) -> NDArray[np.uint16]:
    """Return (rows, 2) both sums of Fletcher's checksum of each row without its last `tail` bytes, the lower one first.

    They are sums modulo 65535 of 16-bit words in big endian; a last byte counts as if a zero followed. `rows` is
    C-contiguous.
    """
    if loops is not None:
        found = np.empty(len(rows), np.uint32)
        loops.fletcher32(rows, tail, found)
    else:
        found = np.array([_fletcher32(row[: len(row) - tail]) for row in rows], np.uint32)
    return found.astype("<u4").view("<u2").reshape(-1, 2)


def _fletcher32(data: NDArray[np.uint8]) -> int:
    """Return both sums, the second one in the upper half.

    Words are taken in little endian, and the sums multiplied by 256, which does the same modulo 65535. A block's sums
    stay below 2**42, which float64 holds exactly.
    """
    low = high = 0
    for start in range(0, len(data), 2 * _FLETCHER_WORDS):
        part = data[start : start + 2 * _FLETCHER_WORDS]
        if len(part) % 2:
            part = np.append(part, np.uint8(0))
        words = part.view("<u2").astype(np.float64)
        count = len(words)
        high = (high + count * low + 256 * int(words @ _fletcher_weights()[-count:])) % 65535
        low = (low + 256 * int(words.sum())) % 65535
    return high << 16 | low


_CHECKSUM_BYTES = 4
_FLETCHER_WORDS = 1 << 13
"""BLAS starts no threads for products of so few, which would wait for each other longer than they compute."""


@lru_cache(maxsize=1)
def _fletcher_weights() -> NDArray[np.float64]:
    """Return how often each of a block's words counts: the first as often as there are words."""
    return np.arange(_FLETCHER_WORDS, 0, -1, dtype=np.float64)
