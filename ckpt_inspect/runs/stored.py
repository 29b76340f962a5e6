"""What an HDF5 file that anybody may have written holds, checked before it is read.

A link must not lead out of its place, nor values lie in another file; types, lengths and chunks must be those of the
variable; and what an array claims to hold must have room in the file. Raises ValueError, with the place and the cause.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.measurement.columns import Rows
from ckpt_inspect.runs.apart import expect

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any

_CHUNK = 1 << 26
"""Bytes of a chunk at most; ours are of a megabyte, or of one text for each checkpoint."""

_DLE = "\x10"

_TEXT = 256
"""Bytes that a text takes in memory, about."""

_DEFLATED = 1100
"""Times its size that a deflated chunk grows to at most (zlib: 1032), with something for its ends."""

KINDS = {"text": "O", "float": "f", "integer": "iu", "count": "iu"}
"""numpy's kinds of dtype of a variable's kind."""


def is_own(group: h5py.Group, name: str) -> bool:
    """Return whether the group has something of that name in the file itself; raises ValueError for what leads away."""
    import h5py

    if not group.id.links.exists(name.encode("utf-8", "surrogateescape")):  # `in` would follow a link
        return False
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to another place")
    return True


def own_groups(group: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
    """Yield the group's groups, by name."""
    for name in group:
        if is_own(group, name) and group.get(name, getclass=True).__name__ == "Group":
            yield name, group[name]


def own_group(group: h5py.Group, name: str) -> h5py.Group:
    """Return the group's group of that name; raises KeyError if there is none."""
    if not is_own(group, name):
        raise KeyError(f"there is no group {name}")
    if group.get(name, getclass=True).__name__ != "Group":
        raise ValueError(f"{name} is no group")
    return group[name]


def text_attribute(thing: h5py.Group, name: str) -> str | None:
    """Return an attribute that is one text; None if there is none of that name."""
    if name not in thing.attrs:
        return None
    if thing.attrs.get_id(name).shape != ():
        raise ValueError(f"the attribute {name} is not one text")
    value = thing.attrs[name]
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str):
        raise ValueError(f"the attribute {name} is not one text")
    return _found(value)


def own_dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return the group's dataset of that name, whose values lie in this file; raises KeyError if there is none."""
    import h5py

    if not is_own(group, name):
        raise KeyError(f"there is no variable {name}")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is no variable")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} keeps its values in another file")
    return dataset


def storable(text: str) -> str:
    """Return the text for HDF5, whose texts are UTF-8 and end at a NUL; see `_found`.

    DLE @ stands for NUL, DLE u and four hexadecimal digits for half of a surrogate pair, DLE DLE for DLE.
    """
    if "\0" in text or _DLE in text:
        text = text.replace(_DLE, _DLE * 2).replace("\0", f"{_DLE}@")
    if text.isascii():
        return text
    return _HALVES.sub(lambda found: f"{_DLE}u{ord(found[0]):04x}", text)


_HALVES = re.compile("[\ud800-\udfff]")
"""Of surrogate pairs: what Python makes of a byte in a path that isn't UTF-8, and what JSON may hold."""

_STORED_HALVES = re.compile(f"{_DLE}u(d[89a-f][0-9a-f]{{2}})")


def _found(text: str) -> str:
    """Return the text of which `storable` made this."""
    if _DLE not in text:
        return text
    parts = (part.replace(f"{_DLE}@", "\0") for part in text.split(_DLE * 2))
    return _DLE.join(_STORED_HALVES.sub(lambda found: chr(int(found[1], 16)), part) for part in parts)


class _Texts(dict[bytes, str]):
    """Stored text -> text, each made once: most columns have few different ones, and a long run has many rows."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def __missing__(self, stored: bytes) -> str:
        text = self[stored] = _found(stored.decode(self._encoding))
        return text


def count_rows(rows: Rows, length: int) -> int:
    """Return how many places these are of so many."""
    return len(range(*rows.indices(length))) if isinstance(rows, slice) else len(rows)


def read_values(
    group: h5py.Group, name: str, kind: str, shape: tuple[int | None, ...], rows: Rows = slice(None)
) -> Array:
    """Return a variable's values, of the kind and of these lengths, of which None is any; of the first axis `rows`.

    Texts come as an object array of str, floats as float64, integers and counts as int64.
    """
    import h5py
    import numpy as np

    dataset = own_dataset(group, name)
    found = dataset.shape
    if found is None or len(found) != len(shape) or any(n not in (None, m) for n, m in zip(shape, found, strict=True)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} has the shape {found}, not ({wanted})")
    info = h5py.check_string_dtype(dataset.dtype)
    is_text = info is not None
    if is_text != (kind == "text") or (not is_text and dataset.dtype.kind not in KINDS[kind]):
        raise ValueError(f"{name} is of type {dataset.dtype}, and not {kind}")
    _check_room(name, dataset)
    count = math.prod(found[1:]) * count_rows(rows, found[0]) if found else 1
    expect(3 * count * (_TEXT if is_text else max(8, dataset.dtype.itemsize)))
    which = rows if found else ...
    if is_text:
        raw = np.asarray(dataset[which], dtype=object)
        texts = np.empty(raw.shape, object)
        texts.reshape(-1)[:] = list(map(_Texts(info.encoding).__getitem__, raw.reshape(-1)))
        return texts
    values: Array = dataset[which]
    return values.astype(np.float64 if kind == "float" else np.int64, copy=False)


def _check_room(name: str, dataset: h5py.Dataset) -> None:
    """Raise ValueError if the file can't hold what the dataset says it does."""
    nbytes = math.prod(dataset.shape) * dataset.dtype.itemsize
    if not nbytes:
        return
    if dataset.chunks is not None and math.prod(dataset.chunks) * dataset.dtype.itemsize > _CHUNK:
        raise ValueError(f"{name} is cut into chunks of {dataset.chunks} values, which is not ours")
    stored = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())
    if stored * (_DEFLATED if dataset.compression else 1) < nbytes:
        raise ValueError(f"{name} needs {nbytes} bytes, and the file holds {stored} for it")
