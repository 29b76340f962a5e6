"""Many things that are alike, in little memory: each is made when it is asked for.

A path is an object of 400 bytes, a text one of a hundred; of a run of 100,000 checkpoints there are several of each.
Here they take some ten bytes, since what follows each other differs in a number.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import chain, islice
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256
"""Items that are packed together: to make one, as many are unpacked, and to make the next, none."""

_DEFLATE_LEVEL = 1

_Item = TypeVar("_Item")
_Other = TypeVar("_Other")
_Plain = TypeVar("_Plain")
"""What JSON can hold."""


class _Made(Sequence[_Item]):
    """A sequence whose items are made when they are asked for; equal to any sequence of equal ones."""

    __slots__ = ()

    def _item(self, number: int) -> _Item:
        """Make the item of a number that there is."""
        raise NotImplementedError

    @overload
    def __getitem__(self, which: int) -> _Item: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[_Item, ...]: ...
    def __getitem__(self, which: int | slice) -> _Item | tuple[_Item, ...]:
        if isinstance(which, slice):
            return tuple(map(self._item, range(len(self))[which]))
        return self._item(range(len(self))[which])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class Packed(_Made[_Item]):
    """A sequence that is held as the JSON of its items, compressed."""

    __slots__ = ("_blocks", "_count", "_last", "_made")

    def __init__(
        self,
        items: Iterable[_Item] = (),
        plain: Callable[[_Item], _Plain] | None = None,
        made: Callable[[_Plain], _Item] | None = None,
    ) -> None:
        """`plain` turns an item into what JSON can hold, and `made` turns that into the item again; texts need
        neither."""
        self._blocks: list[bytes] = []
        """Each of `_BLOCK` items but the last."""
        self._count = 0
        self._made: Callable[[Any], _Item] | None = made
        self._last: tuple[int, list[Any]] = (-1, [])
        """The block that was asked for last."""
        self._take(items if plain is None else map(plain, items))

    def extend(self, texts: Iterable[_Item]) -> None:
        """Put texts behind the others; whatever shares their memory doesn't see them."""
        self._last = -1, []
        self._take(texts)

    def with_more(self, items: Iterable[_Item], plain: Callable[[_Item], object]) -> Packed[_Item]:
        """Return the same with others behind them."""
        other = self.seen_as(self._made)
        other._blocks = self._blocks.copy()
        other._take(map(plain, items))
        return other

    def seen_as(self, made: Callable[[_Plain], _Other] | None) -> Packed[_Other]:
        """Return what `made` makes of the same, in the same memory."""
        other: Packed[_Other] = Packed((), made=made)
        other._blocks, other._count = self._blocks, self._count
        return other

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[_Item]:
        every = chain.from_iterable(map(self._block, range(len(self._blocks))))
        return every if self._made is None else map(self._made, every)

    def _item(self, number: int) -> _Item:
        place, own = divmod(number, _BLOCK)
        held, block = self._last
        if held != place:
            block = self._block(place)
            self._last = place, block
        item = block[own]
        return item if self._made is None else self._made(item)

    def _block(self, place: int) -> list[Any]:
        block: list[Any] = json.loads(zlib.decompress(self._blocks[place]))
        return block

    def _take(self, items: Iterable[object]) -> None:
        waiting = iter(items)
        if self._count % _BLOCK:  # the last one isn't full
            waiting = chain(self._block(len(self._blocks) - 1), waiting)
            self._count -= self._count % _BLOCK
            del self._blocks[-1]
        while block := list(islice(waiting, _BLOCK)):
            self._count += len(block)
            self._blocks.append(zlib.compress(json.dumps(block).encode("ascii"), _DEFLATE_LEVEL))


class Chosen(_Made[_Item]):
    """Some of a sequence, by their places in it."""

    __slots__ = ("_items", "places")

    def __init__(self, items: Sequence[_Item], places: NDArray[np.int64]) -> None:
        """`places` (n,)."""
        self._items = items
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def _item(self, number: int) -> _Item:
        return self._items[int(self.places[number])]


class Places(Mapping[str, int]):
    """Where each text stands in a sequence, the last of equal ones; of each text two numbers are held."""

    __slots__ = ("_hashes", "_order", "_texts")

    def __init__(self, texts: Sequence[str]) -> None:
        """The sequence may not change; it is held."""
        hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
        self._texts = texts
        self._order = np.argsort(hashes, kind="stable").astype(np.int32 if len(texts) < 1 << 31 else np.int64)
        self._hashes = hashes[self._order]

    def __getitem__(self, text: str) -> int:
        place = self._found(text, hash(text), int(self._hashes.searchsorted(hash(text), "right")))
        if place < 0:
            raise KeyError(text)
        return place

    def __len__(self) -> int:
        return len(set(self._texts))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._texts))

    def _found(self, text: str, key: int, end: int) -> int:
        """The place of a text, -1 if there is none; `end`: behind the last of its hash."""
        for at in range(end - 1, -1, -1):
            if self._hashes[at] != key:
                break
            if self._texts[place := int(self._order[at])] == text:
                return place
        return -1


class ByPlace(MutableMapping[str, str]):
    """Short texts by the texts of a sequence, of which some have one; of each its bytes are held.

    None may end in a null character.
    """

    __slots__ = ("_is_there", "_places", "_texts", "_values")

    def __init__(self, texts: Sequence[str]) -> None:
        """None has one yet. The sequence may not change; it is held."""
        self._texts, self._places = texts, Places(texts)
        self._is_there = np.zeros(len(texts), bool)
        self._values = np.zeros(len(texts), "S1")

    def __getitem__(self, text: str) -> str:
        place = self._places[text]
        if not self._is_there[place]:
            raise KeyError(text)
        return bytes(self._values[place]).decode("utf-8", "surrogateescape")

    def __setitem__(self, text: str, value: str) -> None:
        place, content = self._places[text], value.encode("utf-8", "surrogateescape")
        if len(content) > self._values.itemsize:
            self._values = self._values.astype(f"S{len(content)}")
        self._values[place] = content
        self._is_there[place] = True

    def __delitem__(self, text: str) -> None:
        if text not in self:
            raise KeyError(text)
        self._is_there[self._places[text]] = False

    def __len__(self) -> int:
        return int(np.count_nonzero(self._is_there))

    def __iter__(self) -> Iterator[str]:
        return (self._texts[int(place)] for place in np.flatnonzero(self._is_there))
