"""A msgpack file of flax, read by ranges: it is gone through without being in memory, and so are its arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from math import prod

import numpy as np

from ckpt_inspect.checkpoint import Array, TensorSpec, numpy_dtype
from ckpt_inspect.formats.flax_values import Inlined
from ckpt_inspect.storage import OpenFile

_PAGE = 1 << 14
"""Bytes that are read at a time: what lies between two arrays is short."""


class FileData:
    """The bytes of a file, of which those around a place are kept."""

    def __init__(self, file: OpenFile) -> None:
        self._file, self._start, self._page = file, 0, b""

    def __len__(self) -> int:
        return self._file.size

    def __getitem__(self, part: slice) -> bytes:
        """Return some of them."""
        begin, stop = part.start - self._start, part.stop - self._start
        if begin < 0 or stop > len(self._page):
            size = min(max(stop - begin, _PAGE), len(self) - part.start)
            self._start, self._page = part.start, self._file.read(part.start, size)
            begin, stop = 0, stop - begin
        return self._page[begin:stop]


class FlaxValues:
    """The arrays and numbers of msgpack files, by the checkpoint's names."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Inlined, OpenFile]] = {}
        self.specs: dict[str, TensorSpec] = {}
        """Their shapes and types."""

    @property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """Return the keys that lead to each."""
        return {name: value.path for name, (value, _) in self._found.items()}

    def add(self, name: str, value: Inlined, file: OpenFile) -> None:
        """Take one in that lies in a file."""
        self._found[name] = value, file
        self.specs[name] = TensorSpec(name, value.shape, value.dtype)

    def read(self, name: str, start: int, stop: int) -> Array:
        """Return elements start:stop of the flattened array; raises DamagedFileError."""
        value, file = self._found[name]
        found: Array = np.empty(max(stop - start, 0), numpy_dtype(value.dtype))
        if value.number:
            found[...] = np.frombuffer(value.number, found.dtype)[start:stop]
            return found
        done = 0
        for first, end in self._ranges(value, start, stop):
            file.read_into(found.view(np.uint8)[done : done + end - first], first)
            done += end - first
        return found.byteswap() if sys.byteorder == "big" else found

    def expect(self, pieces: Iterable[tuple[str, int, int]], *, is_later: bool = False) -> None:
        """Say which elements will be read next, or if it `is_later`, once everything else has been that is expected."""
        wanted = [(*self._found[name], start, stop) for name, start, stop in pieces if name in self._found]
        ranges = ((file, a, b) for value, file, start, stop in wanted for a, b in self._ranges(value, start, stop))
        if wanted:
            wanted[0][1].expect(ranges, is_later=is_later)

    @staticmethod
    def _ranges(value: Inlined, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield where elements lie in the file."""
        width = numpy_dtype(value.dtype).itemsize
        at, begin, end = 0, start * width, min(stop, prod(value.shape)) * width
        for first, last in value.pieces:
            low, high = max(begin - at, 0), min(end - at, last - first)
            if low < high:
                yield first + low, first + high
            at += last - first
