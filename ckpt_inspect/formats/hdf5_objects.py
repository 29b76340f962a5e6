"""The objects of an HDF5 file: groups, datasets, their attributes. Nothing outside the file is ever looked at.

HDF5 File Format Specification 3.0: II superblock, IV.A object headers. HDF5's own library loops for ever over some
damaged files and dies of others; these few hundred lines read all that Keras writes, and give up on what can't be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

from ckpt_inspect.formats import hdf5_messages as messages
from ckpt_inspect.formats.hdf5_heaps import GlobalHeaps, Metadata, checked, heap_objects, old_links, places_of_names
from ckpt_inspect.formats.hdf5_messages import (
    Attribute,
    Bytes,
    Datatype,
    Filter,
    Layout,
    Link,
    UnreadFeatureError,
    UnsoundError,
    Widths,
)
from ckpt_inspect.formats.keras_files import HDF5_SIGNATURE
from ckpt_inspect.records import dataclass

_LINK_NAMES, _ATTRIBUTE_NAMES = 5, 8
"""Types of version 2 B-trees: names of links, names of attributes."""

_MOST_MESSAGES = 1 << 16
_SHARED = 2
"""A message's flag: what it would say stands elsewhere."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What the file says of a dataset; its values are read elsewhere."""

    shape: tuple[int, ...] | None
    """None if it has room for nothing (HDF5's null space)."""
    datatype: Datatype
    layout: Layout
    filters: tuple[Filter, ...]
    fill: bytes
    """The element that stands where nothing was written; empty for zeros."""
    is_external: bool
    """Whether its values lie in other files."""
    limits: tuple[int | None, ...] = ()
    """How far each dimension may grow (None: without limit), by which some indexes number chunks; of datasets in
    chunks."""


class Header:
    """The header of an object: its messages by type."""

    __slots__ = ("address", "messages")

    def __init__(self, address: int, found: list[tuple[int, int, bytes]]) -> None:
        self.address = address
        self.messages = found
        """Type, flags, contents."""

    def first(self, kind: int) -> tuple[int, bytes] | None:
        """Return flags and contents of the first message of a type; None if there is none."""
        return next(((flags, data) for number, flags, data in self.messages if number == kind), None)


class Hdf5File:
    """An HDF5 file, open for reading; not thread-safe. Raises UnsoundError, UnreadFeatureError."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        size: int,
        look_ahead: Callable[[Iterable[int]], None] = lambda places: None,
    ) -> None:
        """`read` returns the bytes at an offset of the file; `size` is its length in bytes; `look_ahead` is told at
        which offsets something will be read soon."""
        self._file = Metadata(read, size, look_ahead)
        self.heaps = GlobalHeaps(self._file)
        self._root = _read_superblock(self._file)
        self._types: dict[bytes, Datatype] = {}
        self._links: dict[int, dict[bytes, Link]] = {}
        self._attributes: tuple[int, dict[str, Attribute]] = (-1, {})  # of the object that was asked about last

    @property
    def metadata(self) -> Metadata:
        """Return its bytes, for what reads the index of chunks."""
        return self._file

    @cached_property
    def root(self) -> Header:
        """Return the header of the root group."""
        return self.header(self._root)

    def header(self, address: int) -> Header:
        """Return the header of the object at an address."""
        start = self._file.read(address, min(16, self._file.size - min(address, self._file.size)))
        if start[:4] == b"OHDR":
            return Header(address, list(self._new_messages(address, start)))
        if len(start) < 16 or start[0] != 1:
            raise UnsoundError(f"no object at {address:#x}")
        count, size = int.from_bytes(start[2:4], "little"), int.from_bytes(start[8:12], "little")
        return Header(address, list(self._old_messages(address, size, count)))

    def links(self, group: Header) -> Mapping[bytes, Link]:
        """Return the links of a group by name, sorted; read once, and kept until `forget`."""
        if group.address not in self._links:
            found = sorted(self._all_links(group), key=lambda link: link.name)
            self._links[group.address] = {link.name: link for link in found}
        return self._links[group.address]

    def look_ahead(self, links: Iterable[Link]) -> None:
        """Say that the objects behind these links will be read, so that they can be asked for all at once."""
        self._file.look_ahead(link.address for link in links if link.kind == "hard" and link.address is not None)

    def survey(self) -> None:
        """Ask for all that the groups are made of, a level of groups at a time: of a file that lies far away, what a
        walk would wait for place by place. Stops, without a word, at what is unsound: the walk says it."""
        seen, level = {self._root}, [self._root]
        with suppress(UnsoundError, UnreadFeatureError):
            while level:
                self._file.look_ahead(level)
                self._file.look_ahead([place for address in level for place in self._continuations(address)])
                headers = [self.header(address) for address in level]
                groups = [header for header in headers if self.is_group(header) and not self.is_dataset(header)]
                tables = [table for group in groups if (table := self._table(group)) is not None]
                self._file.look_ahead([place for table in tables for place in table])
                self._file.look_ahead([place for table in tables for place in places_of_names(self._file, *table)])
                links = (link for group in groups for link in self.links(group).values() if link.kind == "hard")
                level = [a for a in dict.fromkeys(link.address for link in links) if a is not None and a not in seen]
                seen.update(level)

    def _table(self, group: Header) -> tuple[int, int] | None:
        """Return the addresses of the B-tree and the heap in which an old group keeps its names; None for others."""
        found = group.first(messages.SYMBOL_TABLE)
        if found is None:
            return None
        source = Bytes(found[1], self._file.widths)
        tree, heap = source.address(), source.address()
        return None if tree is None or heap is None else (tree, heap)

    def forget(self) -> None:
        """Drop what was kept of groups and attributes."""
        self._links, self._attributes = {}, (-1, {})

    def _all_links(self, group: Header) -> Iterator[Link]:
        for kind, _, data in group.messages:
            if kind == messages.SYMBOL_TABLE:
                table = Bytes(data, self._file.widths)
                yield from old_links(self._file, table.address(), table.address())
            elif kind == messages.LINK:
                yield messages.decode_link(data, self._file.widths)
            elif kind == messages.LINK_INFO:
                yield from self._dense_links(data)

    def attributes(self, header: Header) -> Mapping[str, Attribute]:
        """Return an object's attributes by name, their values not decoded."""
        if self._attributes[0] != header.address:
            self._attributes = header.address, self._all_attributes(header)
        return self._attributes[1]

    def _all_attributes(self, header: Header) -> dict[str, Attribute]:
        found = {}
        for kind, flags, data in header.messages:
            if kind == messages.ATTRIBUTE:
                if flags & _SHARED:
                    raise UnreadFeatureError("an attribute is shared by several objects")
                attribute = messages.decode_attribute(data)
                found[attribute.name] = attribute
            elif kind == messages.ATTRIBUTE_INFO:
                for content in self._dense(data, _ATTRIBUTE_NAMES, 2, 0):
                    attribute = messages.decode_attribute(content)
                    found[attribute.name] = attribute
        return found

    def text(self, attribute: Attribute) -> str | None:
        """Return the text of an attribute that is one text; None if it is something else."""
        if messages.decode_dataspace(attribute.dataspace, self._file.widths) != ():
            return None
        return next(iter(self.texts(attribute) or ()), None)

    def texts(self, attribute: Attribute) -> list[str] | None:
        """Return the texts of an attribute, one for a scalar; None if it holds something else, or nothing."""
        shape = messages.decode_dataspace(attribute.dataspace, self._file.widths)
        datatype = self._resolved(attribute.datatype, attribute.is_shared)
        if shape is None or datatype.kind not in ("string", "varying string"):
            return None
        count = 1
        for length in shape:
            count *= length
        if not 0 <= len(attribute.value) - count * datatype.size < 8:  # values are padded to 8 bytes at most
            raise UnsoundError(f"attribute {attribute.name!r} claims {count} texts in {len(attribute.value)} bytes")
        return [value.decode("utf-8", "backslashreplace") for value in self.strings(datatype, attribute.value, count)]

    def strings(self, datatype: Datatype, data: bytes, count: int) -> Iterator[bytes]:
        """Yield the first `count` strings of stored bytes; padding is removed."""
        size = datatype.size
        if datatype.kind == "string":
            for i in range(count):
                yield data[i * size : (i + 1) * size].rstrip(b"\0")
            return
        if size != 8 + self._file.widths.address:
            raise UnsoundError(f"texts of varying length take {size} bytes each")
        source = Bytes(data, self._file.widths)
        for _ in range(count):
            length, heap, index = source.number(4), source.address(), source.number(4)
            yield self.heaps.read(heap, index, length).partition(b"\0")[0] if heap and length else b""

    def is_dataset(self, header: Header) -> bool:
        """Return whether the object is a dataset."""
        return header.first(messages.DATATYPE) is not None and header.first(messages.DATASPACE) is not None

    def is_group(self, header: Header) -> bool:
        """Return whether the object is a group."""
        return header.first(messages.SYMBOL_TABLE) is not None or header.first(messages.LINK_INFO) is not None

    def dataset(self, header: Header) -> Dataset:
        """Return what the file says of a dataset."""
        shape: tuple[int, ...] | None = ()
        datatype, layout = None, None
        filters: tuple[Filter, ...] = ()
        fill, is_external = b"", False
        space = b""
        for kind, flags, data in header.messages:
            if flags & _SHARED and kind in (messages.DATASPACE, messages.FILL, messages.FILTERS, messages.LAYOUT):
                raise UnreadFeatureError("what describes a dataset is shared by several")
            match kind:
                case messages.DATASPACE:
                    shape, space = messages.decode_dataspace(data, self._file.widths), data
                case messages.DATATYPE:
                    datatype = self._resolved(data, bool(flags & _SHARED))
                case messages.LAYOUT:
                    layout = messages.decode_layout(data, self._file.widths)
                case messages.FILTERS:
                    filters = messages.decode_filters(data)
                case messages.FILL:
                    fill = messages.decode_fill_value(kind, data)
                case messages.OLD_FILL:
                    fill = fill or messages.decode_fill_value(kind, data)
                case messages.EXTERNAL_FILES:
                    is_external = True
        if datatype is None or layout is None:
            raise UnsoundError(f"the dataset at {header.address:#x} doesn't say where its values lie")
        if fill and len(fill) != datatype.size:
            raise UnsoundError(f"the dataset at {header.address:#x} is filled with elements of {len(fill)} bytes")
        if layout.kind == "chunked" and (shape is None or len(layout.chunk) != len(shape)):
            raise UnsoundError(f"the dataset at {header.address:#x} has chunks of other dimensions than its own")
        if layout.kind == "chunked" and layout.element_size != datatype.size:
            raise UnsoundError(f"the dataset at {header.address:#x} has chunks of other elements than its own")
        limits = messages.decode_limits(space, self._file.widths) if layout.kind == "chunked" else ()
        return Dataset(shape, datatype, layout, filters, fill, is_external, limits)

    def _resolved(self, data: bytes, is_shared: bool) -> Datatype:
        if not is_shared:
            return messages.decode_datatype(data)[0]
        if data not in self._types:
            source = Bytes(data, self._file.widths)
            version, kind = source.number(1), source.number(1)
            if version == 1:
                source.take(6)
            if version not in (1, 2, 3) or (version == 3 and kind != 2):
                raise UnreadFeatureError("a datatype lies in a heap of shared messages")
            address = source.address()
            named = None if address is None else self.header(address).first(messages.DATATYPE)
            if named is None or named[0] & _SHARED:
                raise UnsoundError("a datatype that is named elsewhere isn't there")
            self._types[data] = messages.decode_datatype(named[1])[0]
        return self._types[data]

    def _dense_links(self, data: bytes) -> Iterator[Link]:
        for content in self._dense(data, _LINK_NAMES, 8, 4):
            yield messages.decode_link(content, self._file.widths)

    def _dense(self, data: bytes, kind: int, order_width: int, skipped: int) -> Iterator[bytes]:
        """Yield the links or attributes that lie in a heap, as a link info or attribute info message says."""
        source = Bytes(data, self._file.widths)
        version, flags = source.number(1), source.number(1)
        if version != 0:
            raise UnsoundError(f"links or attributes of version {version}")
        if flags & 1:
            source.take(order_width)
        heap, tree = source.address(), source.address()
        if heap is not None and tree is not None:
            yield from heap_objects(self._file, heap, tree, kind, skipped)

    def _old_messages(self, address: int, size: int, expected: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield the messages of a header of version 1 (IV.A.1.a), which says how many they are."""
        blocks, count = [(address + 16, size)], 0
        for at, length in blocks:  # grows
            for kind, flags, content in self._old_block(address, at, length):
                count += 1
                if count > _MOST_MESSAGES:
                    raise UnsoundError(f"the object at {address:#x} has too many messages")
                if kind == messages.CONTINUATION:
                    blocks.append(self._continued(content, blocks, address))
                elif kind:
                    yield kind, flags, content
        if count != expected:
            raise UnsoundError(f"the object at {address:#x} has {count} messages, and says {expected}")

    def _old_block(self, address: int, at: int, length: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield the messages of one part of a header of version 1."""
        data, place = self._file.read(at, length), 0
        while place + 8 <= length:
            kind, held = int.from_bytes(data[place : place + 2], "little"), data[place + 2] | data[place + 3] << 8
            content = data[place + 8 : place + 8 + held]
            if len(content) < held:
                raise UnsoundError(f"a message of the object at {address:#x} is longer than its header")
            yield kind, data[place + 4], content
            place += 8 + held

    def _continuations(self, address: int) -> Iterator[int]:
        """Yield where a header of version 1 goes on, as its first part says."""
        start = self._file.read(address, min(16, self._file.size - min(address, self._file.size)))
        if start[:1] == b"\1" and len(start) == 16:
            for kind, _, content in self._old_block(address, address + 16, int.from_bytes(start[8:12], "little")):
                place = Bytes(content, self._file.widths).address() if kind == messages.CONTINUATION else None
                if place is not None:
                    yield place

    def _new_messages(self, address: int, start: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield the messages of a header of version 2 (IV.A.1.b)."""
        if len(start) < 16 or start[4] != 2:
            raise UnsoundError(f"an object of version {start[4]} at {address:#x}")
        flags = start[5]
        head = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = self._file.bytes_at(address + head, width).number(width)
        blocks, count = [(address, head + width + size + 4)], 0
        for at, length in blocks:  # grows
            data = checked(self._file.read(at, length), f"the object at {address:#x}")
            place = head + width if at == address else 4
            if at != address and data[:4] != b"OCHK":
                raise UnsoundError(f"no part of the object at {address:#x} is at {at:#x}")
            before = 6 if flags & 4 else 4
            while place + before <= len(data):
                kind, held = data[place], data[place + 1] | data[place + 2] << 8
                content = data[place + before : place + before + held]
                if len(content) < held:
                    raise UnsoundError(f"a message of the object at {address:#x} is longer than its header")
                count += 1
                if count > _MOST_MESSAGES:
                    raise UnsoundError(f"the object at {address:#x} has too many messages")
                if kind == messages.CONTINUATION:
                    blocks.append(self._continued(content, blocks, address))
                elif kind:
                    yield kind, data[place + 3], content
                place += before + held

    def _continued(self, content: bytes, blocks: list[tuple[int, int]], address: int) -> tuple[int, int]:
        source = Bytes(content, self._file.widths)
        at, length = source.address(), source.length()
        if at is None or any(at == known for known, _ in blocks):
            raise UnsoundError(f"the header of the object at {address:#x} goes on in a circle")
        return at, length


def _read_superblock(file: Metadata) -> int:
    """Learn the widths of numbers, and return the address of the root group (II.A, II.B)."""
    data = file.read(0, min(file.size, 128))
    if not data.startswith(HDF5_SIGNATURE):
        raise UnsoundError("it doesn't start as one")
    source = Bytes(data, Widths(), 8)
    version = source.number(1)
    if version > 3:
        raise UnreadFeatureError(f"its superblock is of version {version}")
    if version < 2:
        source.take(4)
    file.widths = Widths(source.number(1), source.number(1))
    if not set(file.widths) <= {2, 4, 8}:
        raise UnsoundError(f"numbers of {file.widths.address} and {file.widths.length} bytes")
    source = Bytes(data, file.widths, source.at)
    source.take({0: 9, 1: 13}.get(version, 1))
    base, _, end = source.address(), source.address(), source.address()
    if version < 2:
        source.take(2 * file.widths.address)
    root = source.address()
    if version >= 2:
        checked(data[: source.at + 4], "the superblock")
    if base != 0:
        raise UnsoundError(f"it says that it starts at byte {base}")
    if end is None or end > file.size:
        raise UnsoundError(f"truncated file: it is {file.size} bytes long, and {end} by its own account")
    if root is None:
        raise UnsoundError("it has no root group")
    return root
