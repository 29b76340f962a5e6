"""msgpack, as much of it as flax.serialization writes: bytes -> values, and where arrays lie. Pure.

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol

from ckpt_inspect.errors import DamagedFileError

_DEEPEST = 200
"""Levels of maps and lists; a tree of parameters has some ten."""
_MOST_VALUES = 1 << 20
"""Values of one file, each of which takes memory; a tree of parameters has some thousands."""
_LONGEST_TEXT = 1 << 20
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


class Data(Protocol):
    """Bytes, in memory or in a file."""

    def __len__(self) -> int:
        """Return how many they are."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return some of them; fewer if they end before."""


class Blob(NamedTuple):
    """Bytes that are left where they are."""

    kind: int | None
    """Of an extension, the writer's own number: flax' arrays are of 1. None for plain bytes."""
    start: int
    stop: int


Unpacked = None | bool | int | float | str | Blob | list["Unpacked"] | dict[str, "Unpacked"]


def unpack(data: Data, where: str, start: int = 0, stop: int | None = None) -> Unpacked:
    """Return the value that the bytes `start:stop` hold, by default all.

    DamagedFileError, which names `where`, if they are not complete msgpack, or one that no tree of parameters needs.
    """
    stop = len(data) if stop is None else stop
    try:
        value, end = _Decoder(data, stop).value(start, 0)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise DamagedFileError(
            f"{where}: is not complete msgpack ({error}): it is damaged; copy or restore it"
        ) from error
    if end != stop:
        raise DamagedFileError(f"{where}: has {stop - end} bytes behind its msgpack: it is damaged")
    return value


class _Decoder:
    """Decodes some bytes."""

    def __init__(self, data: Data, stop: int) -> None:
        self._data, self._stop, self._count = data, stop, 0

    def value(self, at: int, depth: int) -> tuple[Unpacked, int]:
        """Return the value at a place, and where it ends."""
        self._count += 1
        if depth > _DEEPEST:
            raise IndexError(f"nested deeper than {_DEEPEST} levels at byte {at}")
        if self._count > _MOST_VALUES:
            raise IndexError(f"more than {_MOST_VALUES} values")
        first, at = self._bytes(at, 1)[0], at + 1
        if first < 0x80 or first >= 0xE0:
            return (first if first < 0x80 else first - 0x100), at
        if first in _CONSTANTS:
            return _CONSTANTS[first], at
        if first in _NUMBERS:
            size = struct.calcsize(_NUMBERS[first])
            return struct.unpack(_NUMBERS[first], self._bytes(at, size))[0], at + size
        if first in _FIXED_EXTENSIONS:
            kind, length = "extension", _FIXED_EXTENSIONS[first]
        elif first in _LENGTHS:
            kind, size = _LENGTHS[first]
            length, at = int.from_bytes(self._bytes(at, size), "big"), at + size
        elif first < 0xC0:
            kind, length = _short(first)
        else:
            raise IndexError(f"byte {first:#x} at {at - 1} starts no value")
        if kind == "list":
            return self._list(at, length, depth)
        if kind == "map":
            return self._map(at, length, depth)
        if kind == "text":
            if length > _LONGEST_TEXT:
                raise IndexError(f"a text of {length} bytes at {at}")
            return self._bytes(at, length).decode(), at + length
        number = None if kind == "bytes" else self._bytes(at, 1)[0]
        start = at if number is None else at + 1
        self._check(start, length)
        return Blob(number, start, start + length), start + length

    def _list(self, at: int, length: int, depth: int) -> tuple[list[Unpacked], int]:
        members: list[Unpacked] = []
        for _ in range(length):
            member, at = self.value(at, depth + 1)
            members.append(member)
        return members, at

    def _map(self, at: int, length: int, depth: int) -> tuple[dict[str, Unpacked], int]:
        members: dict[str, Unpacked] = {}
        for _ in range(length):
            key, at = self.value(at, depth + 1)
            members[str(key)], at = self.value(at, depth + 1)
        return members, at

    def _bytes(self, at: int, length: int) -> bytes:
        self._check(at, length)
        return self._data[at : at + length]

    def _check(self, at: int, length: int) -> None:
        if at + length > self._stop:
            raise IndexError(f"{length} bytes at {at} run past the end")


def _short(first: int) -> tuple[str, int]:
    """Return what a first byte from 0x80 to 0xbf begins, and its length."""
    if first < 0x90:
        return "map", first & 15
    return ("list", first & 15) if first < 0xA0 else ("text", first & 31)
