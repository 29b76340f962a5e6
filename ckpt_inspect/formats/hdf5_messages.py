"""What the messages of HDF5's object headers say: bytes -> types, shapes, layouts, links, attributes. Pure.

HDF5 File Format Specification 3.0, section IV.A.2 (https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html).
Everything is checked against the bytes that are there: no length is believed, and nothing is followed.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Literal, NamedTuple

from ckpt_inspect.records import dataclass

DATASPACE, LINK_INFO, DATATYPE, OLD_FILL, FILL, LINK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
EXTERNAL_FILES, LAYOUT, FILTERS, ATTRIBUTE = 0x07, 0x08, 0x0B, 0x0C
CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x10, 0x11, 0x15
"""Types of messages (IV.A.2.b to IV.A.2.v)."""

_MOST_DIMENSIONS = 32
"""H5S_MAX_RANK of HDF5's library."""

_MOST_NESTED_TYPES = 8


class UnsoundError(ValueError):
    """The bytes can't be what HDF5's specification asks for."""


class UnreadFeatureError(ValueError):
    """The bytes are sound, and use something of HDF5 that this package doesn't read."""


class Widths(NamedTuple):
    """Bytes of an address and of a length in a file, as its superblock says; 8 in every file of Keras."""

    address: int = 8
    length: int = 8


class Bytes:
    """Bytes that are read from their start, with numbers in little endian. Raises UnsoundError at their end."""

    __slots__ = ("_widths", "at", "data")

    def __init__(self, data: bytes, widths: Widths, at: int = 0) -> None:
        self.data, self._widths, self.at = data, widths, at

    def number(self, width: int) -> int:
        """Return an unsigned number of `width` bytes."""
        stop = self.at + width
        if stop > len(self.data):
            raise UnsoundError(f"it ends within a structure, {stop - len(self.data)} bytes too early")
        value = int.from_bytes(self.data[self.at : stop], "little")
        self.at = stop
        return value

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        stop = self.at + size
        if stop > len(self.data):
            raise UnsoundError(f"it ends within a structure, {stop - len(self.data)} bytes too early")
        taken = self.data[self.at : stop]
        self.at = stop
        return taken

    def address(self) -> int | None:
        """Return an address; None for the one that says that there is nothing."""
        value = self.number(self._widths.address)
        return None if value + 1 == 1 << 8 * self._widths.address else value

    def length(self) -> int:
        """Return a length."""
        return self.number(self._widths.length)


# --- element types


@dataclass(frozen=True, slots=True)
class Datatype:
    """A type of elements."""

    kind: Literal["number", "opaque", "string", "varying string", "other"]
    """`other` has no counterpart in numpy that this package reads: compounds, references, arrays, odd numbers."""
    size: int
    """Of an element in bytes, as it is stored; at least 1."""
    name: str = ""
    """Of a number: numpy's or ml_dtypes' name."""
    is_big_endian: bool = False


_FLOATS = {
    # offset, precision, place of the exponent, its size, place of the mantissa, its size, bias of the exponent
    (0, 16, 10, 5, 0, 10, 15): "float16",
    (0, 32, 23, 8, 0, 23, 127): "float32",
    (0, 64, 52, 11, 0, 52, 1023): "float64",
    (0, 16, 7, 8, 0, 7, 127): "bfloat16",
}
"""IEEE's floats, and bfloat16, by the properties of the type (IV.A.2.d, class 1)."""


@lru_cache(maxsize=256)
def decode_datatype(data: bytes) -> tuple[Datatype, int]:
    """Decode a datatype message (IV.A.2.d); return the type and how many bytes say so."""
    return _datatype(data, 0)


def _datatype(data: bytes, depth: int) -> tuple[Datatype, int]:
    if depth > _MOST_NESTED_TYPES:
        raise UnsoundError("a datatype that is made of others, without end")
    if len(data) < 8:
        raise UnsoundError("a datatype that is cut short")
    version, number, bits = data[0] >> 4, data[0] & 15, int.from_bytes(data[1:4], "little")
    size = int.from_bytes(data[4:8], "little")
    if not 1 <= version <= 5:
        raise UnsoundError(f"a datatype of version {version}")
    if size == 0:
        raise UnsoundError("a datatype of no size")
    match number:
        case 0 | 4:  # whole numbers, and bits
            offset, precision = struct.unpack_from("<HH", _at_least(data, 12), 8)
            signed = "int" if bits & 8 and number == 0 else "uint"
            if size in (1, 2, 4, 8) and offset == 0 and precision == 8 * size:
                return Datatype("number", size, f"{signed}{8 * size}", bool(bits & 1)), 12
            return Datatype("other", size), 12
        case 1:
            properties = struct.unpack_from("<HHBBBBI", _at_least(data, 20), 8)
            name = _FLOATS.get(properties, "")
            is_plain = properties[1] == 8 * size and bits >> 8 & 0xFF == 8 * size - 1 and not bits & 0x40
            if name and is_plain:
                return Datatype("number", size, name, bool(bits & 1)), 20
            return Datatype("other", size), 20
        case 3:
            return Datatype("string", size), 8
        case 5:
            return Datatype("opaque", size), 8 + (bits & 0xFF)
        case 8:  # an enumeration: what its numbers are called matters for true and false only
            of, length = _datatype(data[8:], depth + 1)
            if of.kind != "number" or of.size != size:
                raise UnsoundError("an enumeration of something other than whole numbers")
            is_truth = size == 1 and bits & 0xFFFF == 2 and b"FALSE\0" in data and b"TRUE\0" in data
            return Datatype("number", size, "bool" if is_truth else of.name, of.is_big_endian), 8 + length
        case 9:
            _datatype(data[8:], depth + 1)
            return Datatype("varying string" if bits & 15 == 1 else "other", size), len(data)
        case 6 if bits & 0xFFFF == 2:
            part = _complex_part(data, version, size)
            if part is None:
                return Datatype("other", size), len(data)
            return Datatype("number", size, f"complex{8 * size}", part.is_big_endian), len(data)
        case 2 | 6 | 7 | 10 | 11:
            return Datatype("other", size), len(data)
        case _:
            raise UnsoundError(f"a datatype of class {number}")


def _complex_part(data: bytes, version: int, size: int) -> Datatype | None:
    """Return the type of both parts of a complex number, which h5py keeps as a compound of `r` and `i`; None for any
    other compound."""
    at = 8
    for expected, place in ((b"r", 0), (b"i", size // 2)):
        name, end, _ = data[at : at + 2].partition(b"\0")
        if name != expected or not end:
            return None
        at += 2 if version >= 3 else 8
        width = 4 if version < 3 else (size.bit_length() + 7) // 8
        if int.from_bytes(data[at : at + width], "little") != place:
            return None
        at += width + (28 if version == 1 else 0)
        part, length = _datatype(data[at:], 1)
        if part.name not in ("float32", "float64") or 2 * part.size != size:
            return None
        at += length
    return part


def _at_least(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise UnsoundError("a datatype that is cut short")
    return data


# --- shapes


@lru_cache(maxsize=256)
def decode_dataspace(data: bytes, widths: Widths) -> tuple[int, ...] | None:
    """Decode a dataspace message (IV.A.2.b); return the shape, None for the space that holds nothing."""
    source = Bytes(data, widths)
    version, rank, _ = source.number(1), source.number(1), source.number(1)
    if rank > _MOST_DIMENSIONS:
        raise UnsoundError(f"a shape of {rank} dimensions")
    if version == 1:
        source.take(5)
    elif version == 2:
        kind = source.number(1)
        if kind == 2:
            return None
        if kind > 2 or (kind == 0) != (rank == 0):
            raise UnsoundError(f"a dataspace of kind {kind} and {rank} dimensions")
    else:
        raise UnsoundError(f"a dataspace of version {version}")
    shape = tuple(source.length() for _ in range(rank))
    size = 1
    for length in shape:
        size *= max(length, 1)
    if size >= 1 << 63:
        raise UnsoundError(f"a shape of {size} elements")
    return shape


@lru_cache(maxsize=256)
def decode_limits(data: bytes, widths: Widths) -> tuple[int | None, ...]:
    """Decode how far each dimension of a dataspace message may grow; None: without limit."""
    shape = decode_dataspace(data, widths) or ()
    has_limits, source = bool(data[2] & 1), Bytes(data, widths, 4 if data[0] == 2 else 8)
    if not has_limits:
        return shape
    source.take(len(shape) * widths.length)
    found = [source.length() for _ in shape]
    if any(limit < length for limit, length in zip(found, shape, strict=True)):
        raise UnsoundError(f"a shape {shape} that is larger than it may get, {tuple(found)}")
    return tuple(None if limit + 1 == 1 << 8 * widths.length else limit for limit in found)


# --- where values lie


ChunkIndexKind = Literal[
    "B-tree", "one chunk", "implicit", "fixed array", "extensible array", "B-tree 2", "unfiltered edges"
]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the values of a dataset lie."""

    kind: Literal["compact", "contiguous", "chunked", "virtual"]
    address: int | None = None
    """Of contiguous values or of the index of chunks; None if nothing was written."""
    size: int | None = None
    """Of contiguous values in bytes, where the message says it."""
    content: bytes = b""
    """Compact values."""
    chunk: tuple[int, ...] = ()
    """Shape of a chunk."""
    element_size: int = 0
    """Of chunked values."""
    index: ChunkIndexKind = "B-tree"
    one_size: int | None = None
    """Of an only chunk that went through filters, in bytes."""
    one_mask: int = 0
    """Its filters that were left out, by bits."""


def decode_layout(data: bytes, widths: Widths) -> Layout:
    """Decode a layout message (IV.A.2.i)."""
    source = Bytes(data, widths)
    version = source.number(1)
    if version in (1, 2):
        return _old_layout(source)
    if version not in (3, 4):
        raise UnsoundError(f"a layout of version {version}")
    kind = source.number(1)
    if kind == 0:
        return Layout("compact", content=source.take(source.number(2)))
    if kind == 1:
        return Layout("contiguous", source.address(), source.length())
    if kind == 3 and version == 4:
        return Layout("virtual")
    if kind != 2:
        raise UnsoundError(f"a layout of class {kind}")
    if version == 3:
        count = source.number(1)
        address = source.address()
        return _chunked(address, [source.number(4) for _ in range(count)])
    return _new_chunked(source)


def _old_layout(source: Bytes) -> Layout:
    count, kind = source.number(1), source.number(1)
    source.take(5)
    address = source.address() if kind else None
    lengths = [source.number(4) for _ in range(count)]
    if kind == 0:
        return Layout("compact", content=source.take(source.number(4)))
    if kind == 1:
        return Layout("contiguous", address)
    if kind != 2:
        raise UnsoundError(f"a layout of class {kind}")
    return _chunked(address, lengths)


def _chunked(address: int | None, lengths: list[int]) -> Layout:
    """Chunks; the size of an element stands behind the lengths of a chunk."""
    if not 2 <= len(lengths) <= _MOST_DIMENSIONS + 1 or 0 in lengths:
        raise UnsoundError(f"chunks of the shape {tuple(lengths[:-1])}")
    return Layout("chunked", address, chunk=tuple(lengths[:-1]), element_size=lengths[-1])


def _new_chunked(source: Bytes) -> Layout:
    flags, count, width = source.number(1), source.number(1), source.number(1)
    if not 1 <= width <= 8:
        raise UnsoundError(f"lengths of {width} bytes")
    plain = _chunked(None, [source.number(width) for _ in range(count)])
    kind = source.number(1)
    size, mask = None, 0
    if kind == 1:
        if flags & 2:
            size, mask = source.length(), source.number(4)
    elif kind == 3:
        source.take(1)
    elif kind == 4:
        source.take(5)
    elif kind == 5:
        source.take(6)
    elif kind != 2:
        raise UnsoundError(f"an index of chunks of type {kind}")
    names: dict[int, ChunkIndexKind] = {
        1: "one chunk", 2: "implicit", 3: "fixed array", 4: "extensible array", 5: "B-tree 2",
    }  # fmt: skip
    return Layout(
        "chunked", source.address(), chunk=plain.chunk, element_size=plain.element_size,
        index="unfiltered edges" if flags & 1 else names[kind],
        one_size=size, one_mask=mask,
    )  # fmt: skip


class Filter(NamedTuple):
    """One step of what a chunk goes through when it is written."""

    number: int
    """As The HDF Group registered it: 1 deflate, 2 shuffle, 3 Fletcher's checksum, .."""
    is_optional: bool
    values: tuple[int, ...]
    """Its parameters."""


@lru_cache(maxsize=64)
def decode_filters(data: bytes) -> tuple[Filter, ...]:
    """Decode a filter pipeline message (IV.A.2.l)."""
    source = Bytes(data, Widths())
    version, count = source.number(1), source.number(1)
    if version not in (1, 2) or count > 32:
        raise UnsoundError(f"filters of version {version}, {count} of them")
    if version == 1:
        source.take(6)
    found = []
    for _ in range(count):
        number = source.number(2)
        name_length = source.number(2) if version == 1 or number >= 256 else 0
        flags, values = source.number(2), source.number(2)
        source.take(name_length)
        found.append(Filter(number, bool(flags & 1), tuple(source.number(4) for _ in range(values))))
        if version == 1 and values % 2:
            source.take(4)
    return tuple(found)


def decode_fill_value(kind: int, data: bytes) -> bytes:
    """Decode a fill value message (IV.A.2.e, IV.A.2.f); return its bytes, empty for zeros."""
    source = Bytes(data, Widths())
    if kind == OLD_FILL:
        return source.take(source.number(4))
    version = source.number(1)
    if version == 3:
        return source.take(source.number(4)) if source.number(1) & 0x20 else b""
    if version not in (1, 2):
        raise UnsoundError(f"a fill value of version {version}")
    source.take(2)
    is_defined = source.number(1)
    return source.take(source.number(4)) if is_defined or version == 1 else b""


# --- names


class Link(NamedTuple):
    """A name in a group."""

    name: bytes
    kind: Literal["hard", "soft", "external"]
    address: int | None
    """Of the object that a hard link names."""


def decode_link(data: bytes, widths: Widths) -> Link:
    """Decode a link message (IV.A.2.g)."""
    source = Bytes(data, widths)
    version, flags = source.number(1), source.number(1)
    if version != 1:
        raise UnsoundError(f"a link of version {version}")
    kind = source.number(1) if flags & 8 else 0
    if flags & 4:
        source.take(8)
    if flags & 0x10:
        source.take(1)
    name = source.take(source.number(1 << (flags & 3)))
    if kind == 0:
        return Link(name, "hard", source.address())
    return Link(name, "soft" if kind == 1 else "external", None)


class Attribute(NamedTuple):
    """An attribute, its value not decoded yet."""

    name: str
    datatype: bytes
    """The datatype message, or the bytes that say where it is."""
    is_shared: bool
    """Whether the datatype lies in another object."""
    dataspace: bytes
    value: bytes


def decode_attribute(data: bytes) -> Attribute:
    """Decode an attribute message (IV.A.2.m)."""
    source = Bytes(data, Widths())
    version, flags = source.number(1), source.number(1)
    if not 1 <= version <= 3:
        raise UnsoundError(f"an attribute of version {version}")
    sizes = [source.number(2) for _ in range(3)]
    if version == 3:
        source.take(1)
    parts = []
    for size in sizes:
        parts.append(source.take(size))
        if version == 1:
            source.take(-size % 8)
    name, datatype, dataspace = parts
    if not name or name.find(b"\0") != len(name) - 1:
        raise UnsoundError(f"an attribute whose name takes {len(name)} bytes, and ends before or after")
    try:
        text = name[:-1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsoundError(f"an attribute whose name is not text: {name[:-1]!r}") from error
    is_shared = version > 1 and bool(flags & 1)
    return Attribute(text, datatype, is_shared, dataspace, data[source.at :])
