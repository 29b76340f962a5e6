"""HDF5's heaps, and the trees that find what is in them. Pure but for the reading of bytes that are asked for.

HDF5 File Format Specification 3.0: III.A.1 and III.B groups in version 1 B-trees, III.A.2 version 2 B-trees, III.D
local heaps, III.E global heaps, III.G fractal heaps. A damaged tree may lead in circles, and a damaged heap may claim
any size: no place is visited twice, and nothing is read that the file doesn't hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ckpt_inspect.formats.hdf5_messages import Bytes, Link, UnreadFeatureError, UnsoundError, Widths
from ckpt_inspect.records import dataclass

_PAGE = 1 << 13
_MOST_PAGES = 1 << 11
_MOST_REREAD, _FREE_READING = 16, 1 << 22
"""How often each page that was looked at may be read on average, and bytes that may be read anyway: structures that
overlap each other would take time with the square of their number."""

_MOST_NAME = 1 << 16
_MOST_BLOCK = 1 << 26
"""Largest part of a structure, in bytes, that is read at once."""


class Metadata:
    """The bytes of an HDF5 file outside of its datasets, read by pages; not thread-safe."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        size: int,
        look_ahead: Callable[[Iterable[int]], None] = lambda places: None,
    ) -> None:
        """`read` returns the bytes at an offset; `size` is the file's, in bytes; `look_ahead` is told at which offsets
        something will be read soon, so that it can be asked for all at once."""
        self._read, self.size, self.look_ahead = read, size, look_ahead
        self.widths = Widths()
        self._pages: dict[int, bytes] = {}
        self._seen: set[int] = set()
        self._work = 0

    def read(self, at: int, size: int) -> bytes:
        """Return `size` bytes at an offset; raises UnsoundError if the file doesn't hold them."""
        if at + size > self.size or at < 0:
            raise UnsoundError(f"it refers to bytes {at} to {at + size}, and has {self.size}")
        if size > _MOST_BLOCK:
            raise UnsoundError(f"a structure at {at:#x} claims {size} bytes")
        first, last = at // _PAGE, (at + size - 1) // _PAGE
        self._work += 64
        if first == last:
            start = at - first * _PAGE
            return self._page(first, size)[start : start + size]
        whole = b"".join([self._page(number, _PAGE) for number in range(first, last + 1)])
        return whole[at - first * _PAGE :][:size]

    def bytes_at(self, at: int, size: int) -> Bytes:
        """Return the same, to be taken apart."""
        return Bytes(self.read(at, size), self.widths)

    def _page(self, number: int, used: int) -> bytes:
        """Return a page, so many bytes of which are looked at."""
        page = self._pages.get(number)
        self._work += used
        if self._work > _FREE_READING and self._work > _MOST_REREAD * _PAGE * (len(self._seen) + 1):
            raise UnsoundError("its structures overlap each other")
        if page is None:
            if len(self._pages) >= _MOST_PAGES:
                self._pages.clear()
            start = number * _PAGE
            page = self._pages[number] = self._read(start, min(_PAGE, self.size - start))
            self._seen.add(number)
        return page


def checked(data: bytes, what: str) -> bytes:
    """Return the bytes without the checksum at their end; UnsoundError if it isn't theirs."""
    stored = int.from_bytes(data[-4:], "little")
    if len(data) < 4 or lookup3(data[:-4]) != stored:
        raise UnsoundError(f"the checksum of {what} is wrong")
    return data[:-4]


def lookup3(data: bytes) -> int:
    """Return Bob Jenkins' hash, HDF5's checksum of its newer structures.

    Source: https://burtleburtle.net/bob/c/lookup3.c, `hashlittle` with an initial value of 0.
    """
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(data)) & mask
    words = memoryview(data.ljust(-(-len(data) // 12) * 12, b"\0")).cast("I") if data else memoryview(b"").cast("I")
    last = len(words) - 3
    for i in range(0, last, 3):
        a, b, c = a + words[i] & mask, b + words[i + 1] & mask, c + words[i + 2] & mask
        a = (a - c & mask) ^ (c << 4 | c >> 28) & mask
        c = c + b & mask
        b = (b - a & mask) ^ (a << 6 | a >> 26) & mask
        a = a + c & mask
        c = (c - b & mask) ^ (b << 8 | b >> 24) & mask
        b = b + a & mask
        a = (a - c & mask) ^ (c << 16 | c >> 16) & mask
        c = c + b & mask
        b = (b - a & mask) ^ (a << 19 | a >> 13) & mask
        a = a + c & mask
        c = (c - b & mask) ^ (b << 4 | b >> 28) & mask
        b = b + a & mask
    if not data:
        return c
    a, b, c = a + words[last] & mask, b + words[last + 1] & mask, c + words[last + 2] & mask
    c = (c ^ b) - ((b << 14 | b >> 18) & mask) & mask
    a = (a ^ c) - ((c << 11 | c >> 21) & mask) & mask
    b = (b ^ a) - ((a << 25 | a >> 7) & mask) & mask
    c = (c ^ b) - ((b << 16 | b >> 16) & mask) & mask
    a = (a ^ c) - ((c << 4 | c >> 28) & mask) & mask
    b = (b ^ a) - ((a << 14 | a >> 18) & mask) & mask
    return (c ^ b) - ((b << 24 | b >> 8) & mask) & mask


# --- groups as HDF5 1.8 and before have them, and every version by default


def old_links(file: Metadata, tree: int | None, heap: int | None) -> Iterator[Link]:
    """Yield the names of a group that keeps them in a B-tree of symbol nodes, in the tree's order."""
    if tree is None or heap is None:
        return
    names, before = _local_heap(file, heap), None
    for node in _leaves(file, tree):
        for link in _symbols(file, node, names):
            if before is not None and link.name <= before:
                raise UnsoundError(f"the names of a group aren't in order: {link.name!r} comes after {before!r}")
            before = link.name
            yield link


def places_of_names(file: Metadata, tree: int, heap: int) -> Iterator[int]:
    """Yield where a group's names lie, and the nodes below the root of its B-tree."""
    yield _local_heap(file, heap)[0]
    yield from _node(file, tree)[1]


def _local_heap(file: Metadata, at: int) -> tuple[int, int]:
    """Return where the names lie (III.D): the first byte, and the one after the last."""
    width = file.widths
    head = file.bytes_at(at, 8 + 2 * width.length + width.address)
    if head.take(4) != b"HEAP" or head.number(1) != 0:
        raise UnsoundError(f"no heap of names at {at:#x}")
    head.take(3)
    size, _, address = head.length(), head.length(), head.address()
    if address is None or address + size > file.size:
        raise UnsoundError(f"the heap of names at {at:#x} claims {size} bytes at {address}")
    return address, address + size


def _leaves(file: Metadata, root: int) -> Iterator[int]:
    """Yield the addresses of the symbol nodes below a version 1 B-tree (III.A.1)."""
    waiting: list[tuple[int, int | None]] = [(root, None)]
    seen: set[int] = set()
    while waiting:
        at, expected = waiting.pop()
        if at in seen:
            raise UnsoundError(f"no node of a group's B-tree at {at:#x}")
        seen.add(at)
        level, children = _node(file, at)
        if expected not in (None, level):
            raise UnsoundError(f"the B-tree's node at {at:#x} is of level {level}, not {expected}")
        file.look_ahead(children)
        if level == 0:
            if not seen.isdisjoint(children) or len(set(children)) < len(children):
                raise UnsoundError(f"the B-tree's node at {at:#x} names a node twice")
            seen.update(children)
            yield from children
        else:
            waiting.extend((child, level - 1) for child in reversed(children))


def _node(file: Metadata, at: int) -> tuple[int, list[int]]:
    """Return the level of a node of a group's B-tree, and the nodes that it names."""
    width = file.widths
    head = file.bytes_at(at, 8)
    if head.take(4) != b"TREE" or head.number(1) != 0:
        raise UnsoundError(f"no node of a group's B-tree at {at:#x}")
    level, count = head.number(1), head.number(2)
    entries = file.bytes_at(at + 8 + 2 * width.address, count * (width.length + width.address))
    children: list[int] = []
    for _ in range(count):
        entries.length()
        child = entries.address()
        if child is None:
            raise UnsoundError(f"the B-tree's node at {at:#x} leads nowhere")
        children.append(child)
    return level, children


def _symbols(file: Metadata, at: int, names: tuple[int, int]) -> Iterator[Link]:
    """Yield the links of a symbol node (III.B, III.C)."""
    head = file.bytes_at(at, 8)
    if head.take(4) != b"SNOD" or head.number(2) & 0xFF != 1:
        raise UnsoundError(f"no node of names at {at:#x}")
    count, width = head.number(2), file.widths.address
    entries = file.bytes_at(at + 8, count * (2 * width + 24))
    for _ in range(count):
        offset, header = entries.number(width), entries.address()
        is_soft = entries.number(4) == 2
        entries.take(20)
        name = _name(file, names[0] + offset, names[1])
        yield Link(name, "soft" if is_soft or header is None else "hard", None if is_soft else header)


def _name(file: Metadata, at: int, end: int) -> bytes:
    """Return the name at an offset, which a zero byte ends."""
    found, step = b"", 64
    while at < end and len(found) < _MOST_NAME:
        part = file.read(at, min(step, end - at))
        whole, zero, _ = part.partition(b"\0")
        found += whole
        if zero:
            return found
        at, step = at + len(part), 4096
    raise UnsoundError("a name without an end")


# --- texts of any length


class GlobalHeaps:
    """The collections of objects (III.E) in which texts of varying length lie."""

    def __init__(self, file: Metadata) -> None:
        self._file = file
        self._known: dict[int, dict[int, tuple[int, int]]] = {}

    def read(self, address: int, index: int, size: int) -> bytes:
        """Return the first `size` bytes of an object of the collection at an address."""
        if address not in self._known:
            self._known[address] = self._objects(address)
        place = self._known[address].get(index)
        if place is None or place[1] < size:
            raise UnsoundError(f"the heap at {address:#x} holds no object {index} of {size} bytes")
        return self._file.read(place[0], size)

    def _objects(self, address: int) -> dict[int, tuple[int, int]]:
        """Return where each object of a collection lies, and how long it is."""
        width = self._file.widths.length
        head = self._file.bytes_at(address, 8 + width)
        if head.take(4) != b"GCOL" or head.number(1) != 1:
            raise UnsoundError(f"no heap at {address:#x}")
        head.take(3)
        at, end = address + 8 + width, address + head.length()
        if end > self._file.size or end < at:
            raise UnsoundError(f"the heap at {address:#x} claims {end - address} bytes")
        found: dict[int, tuple[int, int]] = {}
        while at + 8 + width <= end:
            entry = self._file.bytes_at(at, 8 + width)
            index = entry.number(2)
            entry.take(6)
            size = entry.length()
            if index == 0:  # the rest is free
                break
            place = at + 8 + width
            if place + size > end or index in found:
                raise UnsoundError(f"object {index} of the heap at {address:#x} claims {size} bytes")
            found[index] = place, size
            at = place + (size + 7) // 8 * 8
        return found


# --- groups and attributes that are many, as HDF5 1.8 and later can have them


def heap_objects(file: Metadata, heap: int, tree: int, kind: int, skipped: int) -> Iterator[bytes]:
    """Yield the objects of a fractal heap that the records of a version 2 B-tree name, in its order.

    `kind` is the tree's type; a heap's identifier stands `skipped` bytes behind the start of its records.
    """
    objects = _FractalHeap(file, heap)
    for record in tree_records(file, tree, kind):
        yield objects.read(record[skipped : skipped + objects.id_length])


def _width_of(value: int) -> int:
    """Return the bytes that a number up to `value` takes."""
    return max(value.bit_length() + 7, 8) // 8


@dataclass(frozen=True, slots=True)
class _Level:
    """What the nodes of one level of a version 2 B-tree have room for."""

    most: int
    """Records in a node."""
    most_below: int
    """Records in a node and all below it."""


def tree_records(file: Metadata, at: int, kind: int) -> Iterator[bytes]:
    """Yield the records of a version 2 B-tree of that type (III.A.2), in order."""
    width = file.widths
    size = 22 + width.address + width.length
    head = Bytes(checked(file.read(at, size), f"the B-tree at {at:#x}"), width)
    if head.take(4) != b"BTHD" or head.number(1) != 0 or head.number(1) != kind:
        raise UnsoundError(f"no B-tree of type {kind} at {at:#x}")
    node_size, record_size, depth = head.number(4), head.number(2), head.number(2)
    head.take(2)
    root, count = head.address(), head.number(2)
    if root is None:
        return
    if record_size == 0 or node_size < 10 + record_size or depth > 16:
        raise UnsoundError(f"the B-tree at {at:#x} has nodes of {node_size} bytes and {depth} levels")
    most = (node_size - 10) // record_size
    levels = [_Level(most, most)]
    for _ in range(depth):
        last = levels[-1]
        pointer = width.address + _width_of(most) + (_width_of(last.most_below) if len(levels) > 1 else 0)
        room = (node_size - 10 - pointer) // (record_size + pointer)
        if room < 1:
            raise UnsoundError(f"the B-tree at {at:#x} has nodes of {node_size} bytes")
        levels.append(_Level(room, (room + 1) * last.most_below + room))
    seen: set[int] = set()
    waiting: list[tuple[int, int, int] | bytes] = [(root, count, depth)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            yield item
            continue
        node, count, level = item
        if node in seen or count > levels[level].most:
            raise UnsoundError(f"the B-tree at {at:#x} leads in a circle, or has {count} records in a node")
        seen.add(node)
        counted = _width_of(most)
        below = _width_of(levels[level - 1].most_below) if level > 1 else 0
        pointers = (count + 1) * (width.address + counted + below) if level else 0
        data = checked(file.read(node, 10 + count * record_size + pointers), f"the B-tree's node at {node:#x}")
        source = Bytes(data, width)
        if source.take(4) != (b"BTIN" if level else b"BTLF") or source.number(1) != 0 or source.number(1) != kind:
            raise UnsoundError(f"no node of a B-tree of type {kind} at {node:#x}")
        records = [source.take(record_size) for _ in range(count)]
        if not level:
            yield from records
            continue
        children: list[tuple[int, int, int]] = []
        for _ in range(count + 1):
            child, held = source.address(), source.number(counted)
            source.take(below)
            if child is None:
                raise UnsoundError(f"the B-tree's node at {node:#x} leads nowhere")
            children.append((child, held, level - 1))
        order: list[tuple[int, int, int] | bytes] = [children[0]]
        for record, behind in zip(records, children[1:], strict=True):
            order += [record, behind]
        waiting.extend(reversed(order))


class _FractalHeap:
    """A heap of objects in blocks that double in size (III.G)."""

    def __init__(self, file: Metadata, at: int) -> None:
        width = file.widths
        size = 26 + 3 * width.address + 12 * width.length
        head = Bytes(checked(file.read(at, size), f"the heap at {at:#x}"), width)
        if head.take(4) != b"FRHP" or head.number(1) != 0:
            raise UnsoundError(f"no heap at {at:#x}")
        self._file, self._at = file, at
        self.id_length = head.number(2)
        if head.number(2):
            raise UnreadFeatureError("its names or attributes are compressed")
        self._is_checked = bool(head.number(1) & 2)
        most_managed = head.number(4)
        head.length()
        self._huge_tree = head.address()
        head.length()
        head.address()
        for _ in range(8):
            head.length()
        self._columns, self._start = head.number(2), head.length()
        self._most_direct, bits = head.length(), head.number(2)
        head.number(2)
        self._root, self._rows = head.address(), head.number(2)
        powers = (self._columns, self._start, self._most_direct)
        if any(n < 1 or n & (n - 1) for n in powers) or self._start > self._most_direct or not 1 <= bits <= 64:
            raise UnsoundError(f"the heap at {at:#x} has blocks of {self._start} to {self._most_direct} bytes")
        self._offset_width = (bits + 7) // 8
        self._length_width = min(_width_of(self._most_direct), _width_of(most_managed))
        self._direct_rows = (self._most_direct // self._start).bit_length() + 1
        self._huge: dict[int, tuple[int, int]] | None = None
        self._checked: set[int] = set()

    def read(self, identifier: bytes) -> bytes:
        """Return the object of an identifier (III.G, at its end)."""
        if not identifier or identifier[0] & 0xC0:
            raise UnsoundError(f"the heap at {self._at:#x} is asked for an object of no kind")
        source = Bytes(identifier, self._file.widths, 1)
        match identifier[0] >> 4:
            case 0:
                offset, size = source.number(self._offset_width), source.number(self._length_width)
                block, length, start = self._block(offset)
                if offset + size > start + length:
                    raise UnsoundError(f"an object of the heap at {self._at:#x} is longer than its block")
                return self._file.read(block + offset - start, size)
            case 1:
                return self._read_huge(source)
            case 2:
                is_long = self.id_length > 17
                size = (source.number(1) | (identifier[0] & 15) << 8 if is_long else identifier[0] & 15) + 1
                return source.take(size)
            case _:
                raise UnsoundError(f"the heap at {self._at:#x} is asked for an object of no kind")

    def _read_huge(self, source: Bytes) -> bytes:
        width = self._file.widths
        if self.id_length > width.address + width.length:
            address, size = source.address(), source.length()
        else:
            if self._huge is None:
                self._huge = {}
                for record in tree_records(self._file, self._huge_tree, 1) if self._huge_tree is not None else ():
                    parts = Bytes(record, width)
                    place, length, key = parts.address(), parts.length(), parts.length()
                    self._huge[key] = -1 if place is None else place, length
            address, size = self._huge.get(source.number(min(self.id_length - 1, width.length)), (None, 0))
        if address is None:
            raise UnsoundError(f"the heap at {self._at:#x} lacks a large object")
        return self._file.read(address, size)

    def _block(self, offset: int) -> tuple[int, int, int]:
        """Return the direct block that holds an offset of the heap: its address, its size, where it starts."""
        if self._root is None:
            raise UnsoundError(f"the heap at {self._at:#x} is empty")
        if self._rows == 0:
            return self._checked_block(self._root, self._start, 0)
        node, rows, start = self._root, self._rows, 0
        while True:
            row, column, size, begin = self._cell(offset - start)
            if row >= rows:
                raise UnsoundError(f"the heap at {self._at:#x} doesn't reach to {offset:#x}")
            address = self._child(node, rows, row, column, start)
            if row < self._direct_rows:
                return self._checked_block(address, size, start + begin)
            rows = (size // (self._start * self._columns)).bit_length()
            node, start = address, start + begin

    def _cell(self, offset: int) -> tuple[int, int, int, int]:
        """Return row and column of the block that holds an offset in an indirect block, its size, its start."""
        width = self._start * self._columns
        row = (offset // width).bit_length()
        size = self._start << max(row - 1, 0)
        first = width << (row - 1) if row else 0
        column = (offset - first) // size
        return row, column, size, first + column * size

    def _child(self, at: int, rows: int, row: int, column: int, start: int) -> int:
        """Return an entry of an indirect block."""
        width = self._file.widths.address
        if rows > 64:
            raise UnsoundError(f"the heap at {self._at:#x} has {rows} rows")
        head = 5 + width + self._offset_width
        data = self._file.read(at, head + rows * self._columns * width + 4)
        if at not in self._checked:
            checked(data, f"the heap's block at {at:#x}")
            self._checked.add(at)
        source = Bytes(data, self._file.widths, 5 + width)
        if data[:4] != b"FHIB" or source.number(self._offset_width) != start:
            raise UnsoundError(f"no block of a heap at {at:#x}")
        source.at = head + (row * self._columns + column) * width
        address = source.address()
        if address is None:
            raise UnsoundError(f"the heap's block at {at:#x} leads nowhere")
        return address

    def _checked_block(self, at: int, size: int, start: int) -> tuple[int, int, int]:
        if at not in self._checked:
            data = self._file.read(at, size)
            source = Bytes(data, self._file.widths, 5 + self._file.widths.address)
            if data[:4] != b"FHDB" or source.number(self._offset_width) != start:
                raise UnsoundError(f"no block of a heap at {at:#x}")
            if self._is_checked:
                stored = source.number(4)
                blank = data[: source.at - 4] + bytes(4) + data[source.at :]
                if lookup3(blank) != stored:
                    raise UnsoundError(f"the checksum of the heap's block at {at:#x} is wrong")
            self._checked.add(at)
        return at, size, start
