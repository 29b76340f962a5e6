"""The arrays of an Orbax folder, read through tensorstore: by ranges, a row of chunks at a time.

tensorstore is maintained by those who write the format (OCDBT, zarr, zarr3), and comes with the extra `orbax`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from threading import Lock, get_ident
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import Array, TensorSpec
from ckpt_inspect.errors import DamagedFileError, UnsupportedError
from ckpt_inspect.storage import absolute

INSTALL = "tensorstore, which reads Orbax' arrays, is not installed: pip install 'ckpt-inspect[orbax]'"
_CACHE_BYTES = 1 << 24
"""What tensorstore may keep: the nodes of OCDBT's tree, and small chunks."""
_KEPT_SLABS = 6
"""Slabs kept by thread: an update rule streams at most five tensors side by side."""
_MOST_EXPANSION = 1 << 15
"""Highest ratio of a chunk to the files that is believed: zstd makes 4 bytes of 128 KiB that are all the same."""
_NOISE = re.compile(r"\s*\[(tensorstore_spec|source locations)=.*", re.DOTALL)
_STATUS = re.compile(r"^[A-Z_]+: ")

TensorStore = Any
"""An open `tensorstore.TensorStore`: its stubs need the library, which is an extra."""


class Place(NamedTuple):
    """Where an array lies, as tensorstore opens it."""

    folder: Path
    """The folder of its item."""
    name: str
    """As Orbax stores it."""
    is_ocdbt: bool
    is_zarr3: bool
    is_complete: bool
    """Whether a chunk that is missing was written, so that its absence is damage."""

    def spec(self) -> dict[str, Any]:
        """Return tensorstore's specification of it."""
        base = f"{absolute(self.folder)}/"
        files = {"driver": "file", "path": base if self.is_ocdbt else f"{base}{self.name}/"}
        return {
            "driver": "zarr3" if self.is_zarr3 else "zarr",
            "kvstore": {"driver": "ocdbt", "base": files, "path": f"{self.name}/"} if self.is_ocdbt else files,
            "fill_missing_data_reads": not self.is_complete,
            "recheck_cached_metadata": "open",
            "recheck_cached_data": "open",
        }


@dataclass(frozen=True, slots=True)
class _Opened:
    store: TensorStore
    place: Place
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    """Shape of what can be read at once."""


class _Slab(NamedTuple):
    """Elements of a flattened tensor, kept because the next piece is likely to need the rest of them."""

    start: int
    elements: Array

    @property
    def stop(self) -> int:
        return self.start + self.elements.size


def find_tensorstore() -> ModuleType | None:
    """Return tensorstore; None if it isn't installed."""
    try:
        import tensorstore
    except ImportError:
        return None
    return tensorstore  # type: ignore[no-any-return,unused-ignore]


class Arrays:
    """The open arrays of one checkpoint, by the checkpoint's names. Thread-safe."""

    def __init__(self, tensorstore: ModuleType, places: Mapping[str, Place], size_bytes: int) -> None:
        """Open them all, which reads their metadata; `size_bytes` is the size of all files of the checkpoint.

        Raises DamagedFileError for an array that isn't there or whose metadata is damaged.
        """
        self._most_bytes = max(size_bytes, 1) * _MOST_EXPANSION
        context = tensorstore.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
        waiting = {
            name: tensorstore.open(place.spec(), open=True, read=True, context=context)
            for name, place in places.items()
        }
        self._opened = {name: self._open(places[name], future) for name, future in waiting.items()}
        self._slabs: dict[int, OrderedDict[str, _Slab]] = {}
        self._lock = Lock()

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Return the arrays' shapes and types, by name."""
        return {
            name: TensorSpec(name, opened.shape, str(opened.store.dtype.name)) for name, opened in self._opened.items()
        }

    def read(self, name: str, start: int, stop: int) -> Array:
        """Return elements start:stop of the flattened array."""
        opened = self._opened[name]
        if start >= stop:
            return np.empty(0, opened.store.dtype.numpy_dtype)
        slab = self._kept(name)
        if slab is None or not slab.start <= start <= stop <= slab.stop:
            slab = _Slab(*self._read_slab(opened, start, stop))
        self._keep(name, slab if stop < slab.stop else None)
        return slab.elements[start - slab.start : stop - slab.start]

    def forget(self) -> None:
        """Release what is kept of what was read."""
        with self._lock:
            self._slabs.clear()

    def _open(self, place: Place, future: Any) -> _Opened:
        try:
            store = future.result()
        except (ValueError, OSError, RuntimeError, NotImplementedError) as error:
            raise _damaged(place, error) from error
        shape = tuple(int(n) for n in store.shape)
        return _Opened(store, place, shape, _chunk(store, shape))

    def _kept(self, name: str) -> _Slab | None:
        with self._lock:
            own = self._slabs.get(get_ident())
            return None if own is None else own.get(name)

    def _keep(self, name: str, slab: _Slab | None) -> None:
        with self._lock:
            own = self._slabs.setdefault(get_ident(), OrderedDict())
            own.pop(name, None)
            if slab is not None:
                own[name] = slab
                while len(own) > _KEPT_SLABS:
                    own.popitem(last=False)

    def _read_slab(self, opened: _Opened, start: int, stop: int) -> tuple[int, Array]:
        """Return whole rows of chunks that hold these elements, and the place of the first."""
        first, box = box_around(opened.shape, opened.chunk, start, stop)
        self._check_size(opened, box)
        try:
            found = opened.store[tuple(box)].read().result() if box else opened.store.read().result()
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            raise _damaged(opened.place, error) from error
        return first, np.ascontiguousarray(found).reshape(-1)

    def _check_size(self, opened: _Opened, box: Sequence[slice]) -> None:
        """Raise DamagedFileError for what can't be in the files: C++ ends the process if memory runs out."""
        itemsize = np.dtype(opened.store.dtype.numpy_dtype).itemsize
        wanted = max(prod(s.stop - s.start for s in box), prod(opened.chunk)) * itemsize
        if prod(opened.chunk) * itemsize > self._most_bytes:
            raise DamagedFileError(
                f"{opened.place.folder}: the metadata of {opened.place.name} claims chunks of {opened.chunk} elements, "
                "more than the checkpoint's files can hold: it is damaged; copy or restore it"
            )
        try:
            np.empty(wanted, np.uint8)
        except (MemoryError, ValueError) as error:
            raise UnsupportedError(
                f"{opened.place.folder}: {opened.place.name} is written in chunks of {opened.chunk} elements, of which "
                f"{wanted / 1e9:.3g} GB would have to be in memory at a time"
            ) from error


def box_around(shape: Sequence[int], chunk: Sequence[int], start: int, stop: int) -> tuple[int, list[slice]]:
    """Return the place of the first element of the smallest box of whole rows of chunks that is contiguous in the
    flattened array and holds elements start:stop, and the box."""
    first, box = 0, []
    for axis, (length, step) in enumerate(zip(shape, chunk, strict=True)):
        inner = prod(shape[axis + 1 :])
        low = (start - first) // inner // step * step
        rows = (stop - first + inner - 1) // inner
        high = min((rows + step - 1) // step * step, length)
        box.append(slice(low, high))
        first += low * inner
        if high - low > 1:
            return first, [*box, *(slice(0, n) for n in shape[axis + 1 :])]
    return first, box


def _chunk(store: TensorStore, shape: Sequence[int]) -> tuple[int, ...]:
    found = store.chunk_layout.read_chunk.shape
    if found is None:
        return tuple(max(n, 1) for n in shape)
    return tuple(min(max(int(c or n), 1), max(n, 1)) for c, n in zip(found, shape, strict=True))


def is_zarr3_store(tensorstore: ModuleType, folder: Path) -> bool:
    """Return whether the arrays of an OCDBT store are of zarr 3; DamagedFileError if it can't be listed."""
    base = {"driver": "file", "path": f"{absolute(folder)}/"}
    try:
        keys = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result().list().result()
    except (ValueError, OSError, RuntimeError) as error:
        raise DamagedFileError(f"{folder}: {_cause(error)}: the checkpoint is damaged; copy or restore it") from error
    return any(key.endswith(b"/zarr.json") for key in keys)


def _damaged(place: Place, error: BaseException) -> DamagedFileError:
    return DamagedFileError(
        f"{place.folder}: {place.name}: {_cause(error)}: the checkpoint is damaged or was not copied whole; restore it"
    )


def _cause(error: BaseException) -> str:
    """Return what tensorstore says, in one line and without its specification of what it opened."""
    text = _STATUS.sub("", _NOISE.sub("", str(error))) or type(error).__name__
    return " ".join(text.split())[:400]
