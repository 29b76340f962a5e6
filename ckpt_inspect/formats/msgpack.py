"""msgpack, as much of it as flax.serialization writes: bytes -> values. Pure.

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ckpt_inspect.errors import DamagedFileError

_DEEPEST = 200
"""Levels of maps and lists; a tree of parameters has some ten."""
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
    0xD3: ">q",
}  # fmt: skip
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_LENGTHS = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xC7: ("extension", 1), 0xC8: ("extension", 2),
    0xC9: ("extension", 4), 0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4), 0xDC: ("list", 2),
    0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip
"""First byte -> what follows, and how many bytes its length takes."""
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class Extension(NamedTuple):
    """A value of the writer's own type: flax's arrays are of type 1."""

    kind: int
    data: bytes


Unpacked = None | bool | int | float | str | bytes | Extension | list["Unpacked"] | dict[str, "Unpacked"]


def unpack(data: bytes, where: str) -> Unpacked:
    """Return the value that the bytes hold; DamagedFileError, which names `where`, if they are no whole msgpack."""
    try:
        value, end = _value(data, 0, 0)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise DamagedFileError(f"{where}: is no whole msgpack ({error}): it is damaged; copy or restore it") from error
    if end != len(data):
        raise DamagedFileError(f"{where}: has {len(data) - end} bytes behind its msgpack: it is damaged")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Unpacked, int]:
    if depth > _DEEPEST:
        raise IndexError(f"nested deeper than {_DEEPEST} levels at byte {at}")
    first, at = data[at], at + 1
    if first < 0x80 or first >= 0xE0:
        return (first if first < 0x80 else first - 0x100), at
    if first in _CONSTANTS:
        return _CONSTANTS[first], at
    if first in _NUMBERS:
        size = struct.calcsize(_NUMBERS[first])
        return struct.unpack(_NUMBERS[first], data[at : at + size])[0], at + size
    if first in _FIXED_EXTENSIONS:
        kind, length = "extension", _FIXED_EXTENSIONS[first]
    elif first in _LENGTHS:
        kind, size = _LENGTHS[first]
        length, at = int.from_bytes(_bytes(data, at, size), "big"), at + size
    elif first < 0xC0:
        kind, length = ("map", first & 15) if first < 0x90 else ("list", first & 15) if first < 0xA0 else (
            "text", first & 31)  # fmt: skip
    else:
        raise IndexError(f"byte {first:#x} at {at - 1} starts no value")
    if kind == "list":
        return _list(data, at, length, depth)
    if kind == "map":
        return _map(data, at, length, depth)
    if kind == "extension":
        return Extension(data[at], _bytes(data, at + 1, length)), at + 1 + length
    raw = _bytes(data, at, length)
    return (raw.decode() if kind == "text" else raw), at + length


def _list(data: bytes, at: int, length: int, depth: int) -> tuple[list[Unpacked], int]:
    members: list[Unpacked] = []
    for _ in range(length):
        member, at = _value(data, at, depth + 1)
        members.append(member)
    return members, at


def _map(data: bytes, at: int, length: int, depth: int) -> tuple[dict[str, Unpacked], int]:
    members: dict[str, Unpacked] = {}
    for _ in range(length):
        key, at = _value(data, at, depth + 1)
        members[str(key)], at = _value(data, at, depth + 1)
    return members, at


def _bytes(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise IndexError(f"{length} bytes at {at} run past the end")
    return data[at : at + length]
