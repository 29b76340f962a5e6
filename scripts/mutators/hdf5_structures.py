"""Where the structures of an HDF5 file lie, and their fields: bytes -> places. Pure.

HDF5 File Format Specification 3.0: II superblock, III.A B-trees, III.B symbol table nodes, III.D local heaps, III.E
global heaps, III.G fractal heaps, IV object headers and their messages. Offsets and lengths are taken to be 8 bytes
wide, as every writer of Keras' files has them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = (1 << 64) - 1
_MOST_FIELDS = 64

MESSAGES = {
    0x01: "dataspace", 0x02: "link info", 0x03: "datatype", 0x04: "fill value", 0x05: "fill value", 0x06: "link",
    0x07: "external files", 0x08: "layout", 0x0A: "group info", 0x0B: "filters", 0x0C: "attribute",
    0x10: "continuation", 0x11: "symbol table", 0x15: "attribute info",
}  # fmt: skip
"""Message types by number, those that a file of Keras or a store may have."""

_LAST_MESSAGE = 0x18
_MODIFIED = 0x12  # IV.A.2.s, the modification time, which a header of version 1 keeps as a message
_HAS_TIMES = 0x20  # of an object header's flags
_OLD_HEADER = re.compile(rb"\x01\x00[\x01-\x40]\x00[\x01-\xff]\x00\x00\x00..\x00\x00", re.DOTALL)
"""Version, reserved, number of messages below 65, references, size below 64 KiB."""

_V2_KINDS = {
    b"FRHP": ("fractal heap", (5, 7, 9, 10, 14, 22, 30, 38, 46, 54, 62, 70, 78, 110, 112, 120, 128, 130, 132, 140)),
    b"FHDB": ("fractal heap", (4, 5, 13)),
    b"FHIB": ("fractal heap", (4, 5, 13, 17, 25)),
    b"BTHD": ("B-tree 2", (4, 5, 6, 10, 12, 14, 15, 16, 24, 26)),
    b"BTIN": ("B-tree 2", (4, 5, 6, 14, 22)),
    b"BTLF": ("B-tree 2", (4, 5, 6, 10, 14)),
    b"EAHD": ("chunk index", (4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 28, 36, 44, 52, 60)),
    b"EAIB": ("chunk index", (4, 5, 6, 14, 22)),
    b"EADB": ("chunk index", (4, 5, 6, 14)),
    b"FAHD": ("chunk index", (4, 5, 6, 7, 8, 16)),
    b"FADB": ("chunk index", (4, 5, 6, 14)),
}
"""Signatures of the newer structures, with where their first fields begin."""


@dataclass(frozen=True, slots=True)
class Field:
    """A number in a structure."""

    name: str
    offset: int
    """In the file."""
    width: int


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure and its fields."""

    kind: str
    start: int
    fields: tuple[Field, ...]
    seal: int | None = None
    """Where the checksum of all from `sealed_from` on lies, in a newer structure whose checksum was found right."""
    sealed_from: int = 0


@functools.lru_cache(maxsize=64)
def structures(data: bytes) -> tuple[Structure, ...]:
    """Return every structure that is found in a healthy file."""
    return tuple(
        s for s in (*_superblock(data), *_old_structures(data), *_headers(data), *_new_structures(data)) if s.fields
    )


def lookup3(data: bytes) -> int:
    """Return Jenkins' hash, HDF5's checksum of metadata."""
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(data)) & mask
    at = 0
    while len(data) - at > 12:
        a = (a + int.from_bytes(data[at : at + 4], "little")) & mask
        b = (b + int.from_bytes(data[at + 4 : at + 8], "little")) & mask
        c = (c + int.from_bytes(data[at + 8 : at + 12], "little")) & mask
        a = ((a - c) ^ _rotated(c, 4)) & mask
        c = (c + b) & mask
        b = ((b - a) ^ _rotated(a, 6)) & mask
        a = (a + c) & mask
        c = ((c - b) ^ _rotated(b, 8)) & mask
        b = (b + a) & mask
        a = ((a - c) ^ _rotated(c, 16)) & mask
        c = (c + b) & mask
        b = ((b - a) ^ _rotated(a, 19)) & mask
        a = (a + c) & mask
        c = ((c - b) ^ _rotated(b, 4)) & mask
        b = (b + a) & mask
        at += 12
    if at == len(data):
        return c
    tail = data[at:].ljust(12, b"\0")
    a = (a + int.from_bytes(tail[:4], "little")) & mask
    b = (b + int.from_bytes(tail[4:8], "little")) & mask
    c = (c + int.from_bytes(tail[8:], "little")) & mask
    for x, y, z, turn in (
        (2, 1, 1, 14),
        (0, 2, 2, 11),
        (1, 0, 0, 25),
        (2, 1, 1, 16),
        (0, 2, 2, 4),
        (1, 0, 0, 14),
        (2, 1, 1, 24),
    ):
        state = [a, b, c]
        state[x] = ((state[x] ^ state[y]) - _rotated(state[z], turn)) & mask
        a, b, c = state
    return c


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF


def _number(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _fields(data: bytes, start: int, *named: tuple[str, int, int]) -> tuple[Field, ...]:
    return tuple(Field(name, start + at, width) for name, at, width in named if start + at + width <= len(data))


def _plain_fields(data: bytes, start: int, stop: int, name: str) -> Iterator[Field]:
    """Numbers of 8, 4 and 2 bytes wherever they may stand."""
    stop = min(stop, len(data))
    for width in (8, 4, 2, 1):
        for i, at in enumerate(range(start, stop - width + 1, width)):
            if i == _MOST_FIELDS // 4:
                break
            yield Field(f"{name} + {at - start}", at, width)


_Named = tuple[str, int, int]
"""A field's name, its place in its structure, its width."""


def _superblock(data: bytes) -> Iterator[Structure]:
    if not data.startswith(SIGNATURE):
        return
    names: tuple[_Named, ...]
    if data[8] < 2:
        names = (
            ("version", 8, 1), ("free space version", 9, 1), ("root version", 10, 1), ("header version", 12, 1),
            ("offset size", 13, 1), ("length size", 14, 1), ("leaf k", 16, 2), ("internal k", 18, 2), ("flags", 20, 4),
            ("base address", 24, 8), ("free space address", 32, 8), ("end of file", 40, 8), ("driver address", 48, 8),
            ("root name", 56, 8), ("root header", 64, 8), ("root cache type", 72, 4), ("root B-tree", 80, 8),
            ("root heap", 88, 8),
        )  # fmt: skip
        yield Structure("superblock", 0, _fields(data, 0, *names))
    else:
        names = (
            ("version", 8, 1), ("offset size", 9, 1), ("length size", 10, 1), ("flags", 11, 1), ("base address", 12, 8),
            ("extension", 20, 8), ("end of file", 28, 8), ("root header", 36, 8),
        )  # fmt: skip
        yield Structure("superblock", 0, _fields(data, 0, *names), 44)


def _places(data: bytes, signature: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(signature), data)]


def _old_structures(data: bytes) -> Iterator[Structure]:
    for at in _places(data, b"TREE"):
        head = (("type", 4, 1), ("level", 5, 1), ("entries", 6, 2), ("left", 8, 8), ("right", 16, 8))
        rest = [(f"key or child {i}", 24 + 8 * i, 8) for i in range(2 * min(_number(data, at + 6, 2), 24) + 1)]
        yield Structure("chunk B-tree" if data[at + 4] == 1 else "B-tree", at, _fields(data, at, *head, *rest))
    for at in _places(data, b"SNOD"):
        entries = [
            (f"{name} {i}", 8 + 40 * i + offset, width)
            for i in range(min(_number(data, at + 6, 2), 16))
            for name, offset, width in (("name", 0, 8), ("header", 8, 8), ("cache type", 16, 4), ("scratch", 24, 8))
        ]
        yield Structure("symbol node", at, _fields(data, at, ("version", 4, 1), ("symbols", 6, 2), *entries))
    for at in _places(data, b"HEAP"):
        names = (("version", 4, 1), ("size", 8, 8), ("free list", 16, 8), ("address", 24, 8))
        segment = _number(data, at + 24, 8)
        size = min(_number(data, at + 8, 8), 1 << 12)
        inside = tuple(_plain_fields(data, segment, segment + size, "names"))
        yield Structure("local heap", at, _fields(data, at, *names) * 3 + inside)
    for at in _places(data, b"GCOL"):
        yield Structure("global heap", at, _global_heap(data, at))


def _global_heap(data: bytes, start: int) -> tuple[Field, ...]:
    named = [("version", 4, 1), ("size", 8, 8)]
    at, stop = 16, _number(data, start + 8, 8)
    while at + 16 <= stop and len(named) < _MOST_FIELDS:
        named += [("index", at, 2), ("references", at + 2, 2), ("object size", at + 8, 8)]
        size = _number(data, start + at + 8, 8)
        if not _number(data, start + at, 2):
            break
        at += 16 + (size + 7) // 8 * 8
    return _fields(data, start, *named)


def _headers(data: bytes) -> Iterator[Structure]:
    """Object headers of version 1, which have no signature: whatever reads as one."""
    for match in _OLD_HEADER.finditer(data):
        address = match.start()
        if not _is_header(data, address):
            continue
        names = (("version", 0, 1), ("messages", 2, 2), ("references", 4, 4), ("size", 8, 4))
        yield Structure("object header", address, _fields(data, address, *names))
        blocks = [(address + 16, _number(data, address + 8, 4))]
        for start, size in blocks:
            at = start
            while at + 8 <= start + size and len(blocks) < 20:
                kind, length = _number(data, at, 2), _number(data, at + 2, 2)
                yield _message(data, at, kind, 8, length)
                if kind == 0x10:
                    blocks.append((_number(data, at + 8, 8), _number(data, at + 16, 8)))
                at += 8 + length


def _is_header(data: bytes, address: int) -> bool:
    """Whether its messages take up just the place that they should."""
    at, stop = address + 16, address + 16 + _number(data, address + 8, 4)
    if stop > len(data) or at == stop:
        return False
    while at + 8 <= stop:
        if _number(data, at, 2) > _LAST_MESSAGE or _number(data, at + 5, 3):
            return False
        at += 8 + _number(data, at + 2, 2)
    return at == stop


def _message(
    data: bytes, at: int, kind: int, head: int, length: int, seal: int | None = None, sealed_from: int = 0
) -> Structure:
    """A message and its numbers; `head` bytes come before its contents."""
    if head == 8:
        named = (("type", 0, 2), ("size", 2, 2), ("flags", 4, 1))
    else:
        named = (("type", 0, 1), ("size", 1, 2), ("flags", 3, 1))
    inside = tuple(_plain_fields(data, at + head, at + head + min(length, 256), "contents"))
    name = MESSAGES.get(kind, "other")
    return Structure(f"{name} message", at, _fields(data, at, *named) + inside, seal, sealed_from)


def _new_headers(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Object headers of version 2: where they begin, how long what comes before the size is, the size's own width, and
    where the checksum lies."""
    for at in _places(data, b"OHDR"):
        flags = data[at + 5]
        head = 6 + (16 if flags & _HAS_TIMES else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        seal = at + head + width + _number(data, at + head, width)
        if _is_sealed(data, at, seal):
            yield at, head, width, seal


def without_times(data: bytes) -> bytes:
    """Return the file as if each of its objects had been made in 1970; HDF5's library writes the time of day."""
    changed = bytearray(data)
    for at, _, _, seal in _new_headers(data):
        if data[at + 5] & _HAS_TIMES:
            changed[at + 6 : at + 22] = bytes(16)
            changed[seal : seal + 4] = lookup3(bytes(changed[at:seal])).to_bytes(4, "little")
    for found in _headers(data):
        if found.kind.endswith(" message") and _number(data, found.start, 2) == _MODIFIED:
            changed[found.start + 12 : found.start + 16] = bytes(4)  # behind the message's head, version and padding
    return bytes(changed)


def _new_structures(data: bytes) -> Iterator[Structure]:
    for at, head, width, seal in _new_headers(data):
        flags, first = data[at + 5], at + head + width
        named = (("version", 4, 1), ("flags", 5, 1), ("size", head, width))
        yield Structure("object header", at, _fields(data, at, *named), seal, at)
        yield from _new_messages(data, first, seal, at, flags)
    for at in _places(data, b"OCHK"):
        # how long it is stands where it is named; most are short
        end = next((stop for stop in range(at + 4, min(at + 2048, len(data))) if _is_sealed(data, at, stop)), None)
        if end is not None:
            yield from _new_messages(data, at + 4, end, at, 0x4)
    for signature, (kind, starts) in _V2_KINDS.items():
        for at in _places(data, signature):
            numbers = [(f"+ {a}", a, b - a) for a, b in pairwise(starts) if b - a in (1, 2, 4, 8)]
            candidates = {b"FRHP": (142,), b"BTHD": (34,), b"FAHD": (24,), b"EAHD": (68,)}.get(signature, ())
            place = next((at + c for c in candidates if _is_sealed(data, at, at + c)), None)
            yield Structure(kind, at, _fields(data, at, *numbers), place, at)


def _new_messages(data: bytes, first: int, stop: int, sealed_from: int, flags: int) -> Iterator[Structure]:
    head = 6 if flags & 0x4 else 4
    at = first
    while at + head <= stop:
        length = _number(data, at + 1, 2)
        yield _message(data, at, data[at], head, length, stop, sealed_from)
        at += head + length


def _is_sealed(data: bytes, start: int, stop: int) -> bool:
    return 0 <= stop - start < 1 << 16 and stop + 4 <= len(data) and lookup3(data[start:stop]) == _number(data, stop, 4)
