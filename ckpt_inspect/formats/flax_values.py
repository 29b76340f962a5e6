"""Values that lie in a msgpack file of flax.serialization itself: where each array's bytes are. Pure.

flax/serialization.py: an array is the extension 1, which holds a list of its shape, its type's name and its bytes (C
order); a scalar of numpy the extension 3, alike; an array of more than 1 GiB a map of flat ones.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import numpy_dtype
from ckpt_inspect.errors import DamagedFileError, UnsupportedError
from ckpt_inspect.formats.msgpack import Blob, Data, Unpacked, unpack

_ARRAY, _SCALAR = 1, 3
_CHUNKED = "__msgpack_chunked_array__"
_MOST_AXES = 32


class Inlined(NamedTuple):
    """An array, or a number, of a msgpack file."""

    path: tuple[str, ...]
    """The keys that lead to it."""
    shape: tuple[int, ...]
    dtype: str
    pieces: tuple[tuple[int, int], ...]
    """First byte and end in the file of each piece, one after another in C order."""
    number: bytes = b""
    """The element of a bare number, which has no piece."""


def is_chunked(node: Unpacked) -> bool:
    """Return whether a map stands for one array."""
    return isinstance(node, dict) and _CHUNKED in node


def find_values(data: Data, path: tuple[str, ...], value: Unpacked, where: str) -> Inlined | None:
    """Return the array or number that a leaf holds; None if it is neither. Raises DamagedFileError."""
    if isinstance(value, (bool, int, float)):
        return _number(path, value)
    if isinstance(value, Blob) and value.kind in (_ARRAY, _SCALAR):
        return _array(data, path, value, where)
    if isinstance(value, dict) and is_chunked(value):
        shape, chunks = (_listed(value.get(name)) for name in ("shape", "chunks"))
        blobs = [chunk for chunk in chunks if isinstance(chunk, Blob) and chunk.kind == _ARRAY]
        arrays = [found for blob in blobs if (found := _array(data, path, blob, where)) is not None]
        lengths = tuple(n for n in shape if isinstance(n, int) and n >= 0)
        kinds = {array.dtype for array in arrays}
        is_sound = len(kinds) == 1 and len(arrays) == len(chunks) and len(lengths) == len(shape) <= _MOST_AXES
        if not is_sound or prod(lengths) != sum(prod(array.shape) for array in arrays):
            raise DamagedFileError(f"{where}: {'/'.join(path)[:200]} is in pieces that make no array: it is damaged")
        return Inlined(path, lengths, kinds.pop(), tuple(piece for array in arrays for piece in array.pieces))
    return None


def _array(data: Data, path: tuple[str, ...], blob: Blob, where: str) -> Inlined | None:
    """Return an array; None if it is of a type that numpy doesn't know."""
    name = "/".join(path)[:200]
    parts = unpack(data, f"{where}: {name}", blob.start, blob.stop)
    axes, kind, content = parts if isinstance(parts, list) and len(parts) == 3 else (None, None, None)
    shape = axes if isinstance(axes, list) and len(axes) <= _MOST_AXES else [None]
    lengths = tuple(n for n in shape if isinstance(n, int) and not isinstance(n, bool) and n >= 0)
    if not isinstance(content, Blob) or not isinstance(kind, str) or len(lengths) != len(shape):
        raise DamagedFileError(f"{where}: {name} is not an array of flax: it is damaged; copy or restore it")
    try:
        dtype = numpy_dtype(kind if kind.isidentifier() else "object")
    except UnsupportedError:
        return None
    if dtype.kind not in "fiubcV" or dtype.type is np.void:
        return None
    if prod(lengths) * dtype.itemsize != content.stop - content.start:
        raise DamagedFileError(
            f"{where}: {name} is of shape {lengths} and type {dtype.name}, and has {content.stop - content.start} "
            "bytes: it is damaged; copy or restore it"
        )
    return Inlined(path, lengths, dtype.name, ((content.start, content.stop),))


def _number(path: tuple[str, ...], value: bool | int | float) -> Inlined | None:
    kind = "bool" if isinstance(value, bool) else "int64" if isinstance(value, int) else "float64"
    if kind == "int64" and not -(2**63) <= value < 2**63:
        return None
    return Inlined(path, (), kind, (), np.array(value, kind).tobytes())


def _listed(node: Unpacked) -> list[Unpacked]:
    """Return the members of a map by the numbers 0, 1, .."""
    if not isinstance(node, dict):
        return []
    return [node[str(i)] for i in range(len(node)) if str(i) in node]
