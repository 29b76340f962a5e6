"""The arrays of an Orbax folder, read through tensorstore: by ranges, a row of chunks at a time.

tensorstore is maintained by those who write the format (OCDBT, zarr, zarr3), and comes with the extra `orbax`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from threading import Lock
from time import time
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import Array, DType, TensorSpec
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats.orbax_ahead import BoxesAhead, ExpectedBox
from ckpt_inspect.storage import OpenFile, hidden, keep_temporarily, key_value_store

INSTALL = "tensorstore, which reads Orbax' arrays, {what}: pip install 'ckpt-inspect[orbax]'"
_LEAST_RELEASE = (0, 1, 71)
"""The first that can tell a chunk that is missing from one that was left out."""
_CACHE_BYTES = 1 << 22
"""What tensorstore may keep: the nodes of OCDBT's tree, and small chunks."""
_KEPT_SLABS = 12
"""Slabs that are kept, if parts of them weren't read yet: two threads stream at most five tensors each."""
_LARGE_SLAB = 12 << 20
"""Bytes from which a slab is kept in a file: θ, m and v of one parameter need three at a time, and as many again while
the next are decoded."""
_PART = 1 << 23
"""Bytes of a large slab that are copied at a time."""
_MOST_EXPANSION = 1 << 16
"""Highest ratio of an array to the files that is believed: zstd makes 4 bytes of 128 KiB that are all the same."""
_NOISE = re.compile(r"\s*\[(tensorstore_spec|source locations)=.*", re.DOTALL)
_STATUS = re.compile(r"^[A-Z_]+: ")

_MOST_CHUNKS = 1 << 16
"""Chunks of an array, each a file of its own, that are believed; Orbax writes one for each device's part."""

_UNREAD = (ValueError, OSError, RuntimeError, MemoryError)
"""What tensorstore raises of chunks that can't be read or decoded."""

_one_large = Lock()
"""Held while a large box is decoded: one at a time, of all checkpoints."""

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
    written_shape: tuple[int, ...] | None = None
    """Of what one process wrote of it; None if that is not known."""

    def spec(self) -> dict[str, Any]:
        """Return tensorstore's specification of it."""
        files = key_value_store(self.folder if self.is_ocdbt else self.folder / self.name)
        return {
            "driver": "zarr3" if self.is_zarr3 else "zarr",
            "kvstore": {"driver": "ocdbt", "base": files, "path": f"{self.name}/"} if self.is_ocdbt else files,
            "fill_missing_data_reads": not self.is_complete,
            "recheck_cached_metadata": time(),  # arrays that are opened together ask for the store's manifest once
            "recheck_cached_data": "open",
        }


class _Opened(NamedTuple):
    store: TensorStore
    place: Place
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    """Shape of what can be read at once."""
    whole_chunk: int
    """Elements of a chunk as it is decoded, which may reach beyond the array."""

    @property
    def itemsize(self) -> int:
        """Return the size of an element in bytes."""
        return int(np.dtype(self.store.dtype.numpy_dtype).itemsize)


class _InFile:
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


class _Slab:
    """Elements of a flattened tensor, kept until each was read once."""

    def __init__(self, start: int, elements: Array | _InFile) -> None:
        self.start, self.stop = start, start + elements.size
        self._elements = elements
        self._unread = [(self.start, self.stop)]

    @property
    def is_read(self) -> bool:
        """Return whether nothing is left to read."""
        return not self._unread

    def take(self, start: int, stop: int) -> Array:
        """Return elements start:stop of the tensor."""
        parts = ((max(a, x), min(b, y)) for a, b in self._unread for x, y in ((a, start), (stop, b)))
        self._unread = [(a, b) for a, b in parts if a < b]
        return self._elements[start - self.start : stop - self.start]


def version(package: str) -> str:
    """Return the installed release of a package; ImportError if there is none."""
    from importlib.metadata import version as find_version  # takes a quarter as long as numpy

    return find_version(package)


def find_tensorstore() -> ModuleType | str:
    """Return tensorstore; if it isn't installed, or is too old, what to do."""
    try:
        import tensorstore

        release = version("tensorstore")
    except ImportError:  # which what importlib.metadata raises is as well
        return INSTALL.format(what="is not installed")
    if tuple(int(n) for n in re.findall(r"\d+", release)[:3]) < _LEAST_RELEASE:
        return INSTALL.format(what=f"is too old ({release})")
    return tensorstore  # type: ignore[no-any-return,unused-ignore]


class Arrays:
    """The open arrays of one checkpoint, by the checkpoint's names. Thread-safe."""

    def __init__(self, tensorstore: ModuleType, places: Mapping[str, Place], size_bytes: int) -> None:
        """Open them all, which reads their metadata; `size_bytes` is the size of all files of the checkpoint.

        Raises DamagedFileError for an array that isn't there or whose metadata is damaged.
        """
        self._most_bytes = max(size_bytes, 1) * _MOST_EXPANSION
        context = tensorstore.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
        waiting = {name: _start_opening(tensorstore, place, context) for name, place in places.items()}
        self._opened = {name: self._open(places[name], future) for name, future in waiting.items()}
        self._slabs: OrderedDict[tuple[str, int], _Slab] = OrderedDict()
        self._ahead = BoxesAhead(())
        self._lock = Lock()
        self._locks = {name: Lock() for name in self._opened}
        self._tensorstore = tensorstore

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
        with self._locks[name]:  # who else wants a part of the same chunk waits for it, and doesn't decode it again
            parts = list(self._parts(name, opened, start, stop))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _parts(self, name: str, opened: _Opened, start: int, stop: int) -> Iterator[Array]:
        at = start
        while at < stop:
            slab = self._kept(name, at)
            if slab is None:
                slab = self._arrived(name, opened, at) or self._decoded(opened, at, stop)
            end = min(stop, slab.stop)
            yield slab.take(at, end)
            self._keep(name, slab)
            at = end

    def _decoded(self, opened: _Opened, at: int, stop: int) -> _Slab:
        """Return the slab of chunks that begins before element `at`, of as many as hold the elements to `stop`."""
        first, box = _box_for(opened, at, stop)
        is_large = bool(box) and _size(box) * opened.itemsize > _LARGE_SLAB
        return _Slab(first, self._read_to_file(opened, box) if is_large else self._read_box(opened, box))

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:
        """Begin to read what elements (name, start, stop) are in, in that order, ahead of whoever reads them."""
        self._ahead.end()
        self._ahead = BoxesAhead(self._boxes_of(pieces))

    def _boxes_of(self, pieces: Iterable[tuple[str, int, int]]) -> Iterator[ExpectedBox]:
        """Yield the boxes of some pieces, each once; large ones, which are decoded one at a time, are left out."""
        ends: dict[str, int] = {}
        for name, start, stop in pieces:
            opened = self._opened.get(name)
            at = max(start, ends.get(name, 0))
            while opened is not None and at < stop:
                first, box = _box_for(opened, at, stop)
                at = ends[name] = first + _size(box)
                nbytes = _size(box) * opened.itemsize
                if nbytes <= _LARGE_SLAB:
                    yield ExpectedBox(name, first, at, nbytes, partial(self._start_box, opened, box))

    def _arrived(self, name: str, opened: _Opened, at: int) -> _Slab | None:
        """Return the slab that holds an element, if it was expected."""
        found = self._ahead.take(name, at)
        return None if found is None else _Slab(found[0], _flat(opened, found[1]))

    def forget(self) -> None:
        """Release what is kept of what was read."""
        self._ahead.end()
        with self._lock:
            self._slabs.clear()

    def _open(self, place: Place, future: Any) -> _Opened:
        try:
            store = future.result()
        except (ValueError, OSError, RuntimeError, NotImplementedError) as error:
            raise _damaged(place, error) from error
        shape = tuple(int(n) for n in store.shape)
        written = place.written_shape
        if written is not None and (
            len(written) != len(shape) or any(w > n for w, n in zip(written, shape, strict=True))
        ):
            raise DamagedFileError(
                f"{place.folder}: {place.name} is of shape {shape} by its own metadata, and by the tree's one process "
                f"wrote {written} of it: one of the two is damaged; copy or restore the checkpoint"
            )
        whole = store.chunk_layout.read_chunk.shape or shape
        opened = _Opened(store, place, shape, _chunk(whole, shape), prod(max(int(n), 1) for n in whole))
        chunks = prod(-(-n // c) for n, c in zip(shape, opened.chunk, strict=True))
        if max(prod(shape), opened.whole_chunk) * opened.itemsize > self._most_bytes or (
            not place.is_ocdbt and chunks > _MOST_CHUNKS
        ):
            raise DamagedFileError(
                f"{place.folder}: the metadata of {place.name} claims shape {shape} in chunks of {opened.chunk}, more "
                "than the checkpoint's files can hold: it is damaged; copy or restore it"
            )
        return opened

    def _kept(self, name: str, at: int) -> _Slab | None:
        with self._lock:
            return next((s for (of, _), s in self._slabs.items() if of == name and s.start <= at < s.stop), None)

    def _keep(self, name: str, slab: _Slab) -> None:
        with self._lock:
            self._slabs.pop((name, slab.start), None)
            if not slab.is_read:
                self._slabs[name, slab.start] = slab
                while len(self._slabs) > _KEPT_SLABS:
                    self._slabs.popitem(last=False)

    def _read_box(self, opened: _Opened, box: Sequence[slice]) -> Array:
        """Return the elements of a box of whole chunks, flattened."""
        return _flat(opened, self._start_box(opened, box))

    def _start_box(self, opened: _Opened, box: Sequence[slice]) -> Any:
        """Begin to read a box of whole chunks; return the future of its elements. Raises DamagedFileError."""
        self._check_size(opened, box)
        try:
            return opened.store[tuple(box)].read() if box else opened.store.read()
        except _UNREAD as error:
            raise _damaged(opened.place, error) from error

    def _read_to_file(self, opened: _Opened, box: Sequence[slice]) -> _InFile:
        """Return the elements of a large box of whole chunks, flattened; one such box is decoded at a time.

        Its chunks stay decoded in a cache of its own while it is copied, in parts, to a file.
        """
        self._check_size(opened, box)
        dtype = np.dtype(opened.store.dtype.numpy_dtype)
        chunks = prod(-(-(s.stop - s.start) // c) for s, c in zip(box, opened.chunk, strict=True))
        limit = 2 * max(chunks, 1) * opened.whole_chunk * opened.itemsize
        with _one_large:
            try:
                context = self._tensorstore.Context({"cache_pool": {"total_bytes_limit": limit}})
                store = _start_opening(self._tensorstore, opened.place, context).result()
                parts = (
                    np.ascontiguousarray(store[tuple(part)].read().result()).tobytes()
                    for part in _parts_of(box, opened.itemsize)
                )
                return _InFile(keep_temporarily(parts, opened.place.folder), dtype)
            except _UNREAD as error:
                raise _damaged(opened.place, error) from error

    def _check_size(self, opened: _Opened, box: Sequence[slice]) -> None:
        """Raise UnsupportedError for what memory can't hold: C++ would end the process."""
        wanted = max(_size(box), opened.whole_chunk) * opened.itemsize
        try:
            np.empty(wanted, np.uint8)
        except (MemoryError, ValueError) as error:
            raise UnsupportedError(
                f"{opened.place.folder}: {opened.place.name} is written in chunks of {opened.chunk} elements, of which "
                f"{wanted / 1e9:.3g} GB would have to be in memory at a time"
            ) from error


def _start_opening(tensorstore: ModuleType, place: Place, context: Any) -> Any:
    """Return the future of an open array; many are opened side by side."""
    try:
        return tensorstore.open(place.spec(), open=True, read=True, context=context)
    except CkptInspectError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise _damaged(place, error) from error


def _flat(opened: _Opened, future: Any) -> Array:
    """Wait for the elements of a box, and flatten them; raises DamagedFileError."""
    try:
        found = future.result()
    except _UNREAD as error:
        raise _damaged(opened.place, error) from error
    return np.ascontiguousarray(found).reshape(-1)


def _box_for(opened: _Opened, at: int, stop: int) -> tuple[int, list[slice]]:
    """Return the place of the first element of the box that is decoded for elements at:stop, and the box: the chunk
    that holds the first of them, or all of theirs if they are several."""
    first, box = box_around(opened.shape, opened.chunk, at, at + 1)
    if first + _size(box) < stop and _size(box) < stop - at:
        return box_around(opened.shape, opened.chunk, at, stop)
    return first, box


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


def _parts_of(box: Sequence[slice], itemsize: int) -> Iterator[list[slice]]:
    """Yield boxes that are one after another in a flattened box, of some MB each."""
    axis = next((i for i, s in enumerate(box) if s.stop - s.start > 1), 0)
    step = max(_PART // max(_size(box[axis + 1 :]) * itemsize, 1), 1)
    for start in range(box[axis].start, box[axis].stop, step):
        yield [*box[:axis], slice(start, min(start + step, box[axis].stop)), *box[axis + 1 :]]


def _size(box: Sequence[slice]) -> int:
    return prod(s.stop - s.start for s in box)


def _chunk(whole: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the part of a chunk that is in the array."""
    return tuple(min(max(int(c), 1), max(n, 1)) for c, n in zip(whole, shape, strict=True))


def is_zarr3_store(tensorstore: ModuleType, folder: Path) -> bool:
    """Return whether the arrays of an OCDBT store are of zarr 3; DamagedFileError if it can't be listed."""
    try:
        keys = tensorstore.KvStore.open({"driver": "ocdbt", "base": key_value_store(folder)}).result().list().result()
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
    return " ".join(hidden(text).split())[:400]
