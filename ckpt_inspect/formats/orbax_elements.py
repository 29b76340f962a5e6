"""What the two ways to read an Orbax folder's arrays have in common: boxes of whole chunks, and elements in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Protocol

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.formats.chunk_boxes import size_of
from ckpt_inspect.storage import OpenFile

LARGE = 4 << 20
"""Bytes beyond which decoded elements are kept in a file: a thread that compares θ, m and v of two checkpoints has six
boxes at a time, and there are two threads."""


class Elements(Protocol):
    """Elements of a flattened box, in memory or elsewhere."""

    @property
    def size(self) -> int:
        """Return how many they are."""

    def __getitem__(self, part: slice, /) -> Array:
        """Return some of them."""


class InFile:
    """Elements that are kept in a nameless file."""

    def __init__(self, file: OpenFile, dtype: DType) -> None:
        self._file, self._dtype = file, dtype
        self.size = file.size // dtype.itemsize

    def __getitem__(self, part: slice) -> Array:
        """Return some of the elements."""
        found = np.empty(part.stop - part.start, self._dtype)
        if len(found):
            self._file.read_into(found.view(np.uint8), part.start * self._dtype.itemsize)
        return found

    def __del__(self) -> None:
        self._file.close()


class OpenArray(ABC):
    """An array whose chunks can be read."""

    where: str
    """The folder and the array's name, for messages."""
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    """Shape of what can be read at once, as much of it as is in the array."""
    whole_chunk: tuple[int, ...]
    """Shape of a chunk as it is decoded, which may reach beyond the array."""
    type_name: str
    dtype: DType

    def _describe(self, shape: tuple[int, ...], whole_chunk: tuple[int, ...], type_name: str, dtype: DType) -> None:
        self.shape, self.type_name, self.dtype = shape, type_name, dtype
        self.whole_chunk = tuple(max(c, 1) for c in whole_chunk)
        self.chunk = tuple(min(c, max(n, 1)) for c, n in zip(self.whole_chunk, shape, strict=True))

    @abstractmethod
    def read(self, box: Sequence[slice]) -> Elements:
        """Return the elements of a box of whole chunks, flattened; raises DamagedFileError."""

    def is_large(self, box: Sequence[slice]) -> bool:
        """Return whether the elements of a box are kept in a file."""
        return bool(box) and size_of(box) * self.dtype.itemsize > LARGE

    def check_memory(self, box: Sequence[slice]) -> None:
        """Raise UnsupportedError for what memory can't hold: C++ would end the process."""
        wanted = max(size_of(box), prod(self.whole_chunk)) * self.dtype.itemsize
        try:
            np.empty(wanted, np.uint8)
        except (MemoryError, ValueError) as error:
            raise UnsupportedError(
                f"{self.where} is written in chunks of {self.chunk} elements, of which {wanted / 1e9:.3g} GB would "
                "have to be in memory at a time"
            ) from error
