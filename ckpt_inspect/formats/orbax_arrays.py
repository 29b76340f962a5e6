"""The arrays of an Orbax folder, read by ranges: a row of chunks at a time, each row kept until it was read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from threading import Lock
from types import ModuleType

import numpy as np

from ckpt_inspect.checkpoint import Array, TensorSpec
from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.chunk_boxes import box_for, size_of
from ckpt_inspect.formats.ocdbt import Span, Value, list_values
from ckpt_inspect.formats.orbax_ahead import BoxesAhead, ExpectedBox
from ckpt_inspect.formats.orbax_elements import Elements, OpenArray
from ckpt_inspect.formats.orbax_library import LibraryArray, Place, open_together
from ckpt_inspect.formats.orbax_stored import Find, Stored, StoredArray, is_read_here
from ckpt_inspect.formats.zarr_metadata import decode_zarr
from ckpt_inspect.storage import OpenFile, key_value_store, read_contents

_KEPT_SLABS = 10
"""Slabs that are kept, if parts of them weren't read yet, and how many others are decoded before nobody is taken to
come back to one: two threads stream at most five tensors each."""
_KEPT_BYTES = 28 << 20
"""Bytes of slabs that are kept for the same reason: those of three arrays that two threads stream, and one more."""
_MOST_EXPANSION = 1 << 16
"""Highest ratio of an array to the files that is believed: zstd makes 4 bytes of 128 KiB that are all the same."""
_MOST_CHUNKS = 1 << 16
"""Chunks of an array, each a file of its own, that are believed; Orbax writes one for each device's part."""
_MOST_METADATA = 1 << 20
"""Bytes of an array's own metadata."""


_Stretches = list[tuple[int, int]]
"""Half-open ranges of an array's elements."""


class _Slab:
    """Elements of a flattened tensor, kept until each was read once."""

    def __init__(self, start: int, elements: Elements, wanted: Sequence[tuple[int, int]] = ()) -> None:
        """`wanted`: which elements of the tensor are expected to be read of it; all, if none are named."""
        self.start, self.stop = start, start + elements.size
        self._elements = elements
        self._unread = list(wanted) or [(self.start, self.stop)]
        self.used = 0
        """How many slabs had been decoded when this one was used last."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes of memory it takes."""
        return self._elements.nbytes if isinstance(self._elements, np.ndarray) else 0

    @property
    def is_read(self) -> bool:
        """Return whether nothing is left to read."""
        return not self._unread

    def take(self, start: int, stop: int) -> Array:
        """Return elements start:stop of the tensor."""
        parts = ((max(a, x), min(b, y)) for a, b in self._unread for x, y in ((a, start), (stop, b)))
        self._unread = [(a, b) for a, b in parts if a < b]
        found = self._elements[start - self.start : stop - self.start]
        is_last_of_several = self.is_read and stop - start < self.stop - self.start
        return found.copy() if is_last_of_several else found  # else whoever holds the last part holds them all


class Arrays:
    """The open arrays of one checkpoint, by the checkpoint's names. Thread-safe."""

    def __init__(
        self, tensorstore: ModuleType, places: Mapping[str, Place], files: Mapping[Path, OpenFile], size_bytes: int
    ) -> None:
        """Open them all, which reads their metadata; `files` are all of the checkpoint, `size_bytes` long together.

        Raises DamagedFileError for an array that isn't there or whose metadata is damaged.
        """
        self._most_bytes = max(size_bytes, 1) * _MOST_EXPANSION
        folders = dict.fromkeys(place.folder for place in places.values() if place.is_ocdbt)
        stores = {folder: list_values(tensorstore, key_value_store(folder)) for folder in folders}
        finds = {name: _find(place, files, stores.get(place.folder)) for name, place in places.items()}
        metadata = {name: _find_metadata(place, finds[name]) for name, place in places.items()}
        self._far = next((file for file in files.values() if file.is_far), None)
        described = _read_all(self._far, {name: found for name, found in metadata.items() if found is not None})
        opened: dict[str, OpenArray] = {}
        for name, described_as in described.items():
            stored = _open_stored(places[name], described_as, finds[name])
            if stored is not None:
                opened[name] = stored
        rest = {name: place for name, place in places.items() if name not in opened}
        opened.update(open_together(tensorstore, rest))
        largest = _largest_files(rest.values(), files)
        for name, array in opened.items():
            self._check(places[name], array)
            if (found := largest.get(places[name].folder / places[name].name)) is not None:
                _check_chunk_file(places[name], array, found)
        self._opened = {name: opened[name] for name in places}
        self._slabs: OrderedDict[tuple[str, int], _Slab] = OrderedDict()
        self._decoded = 0
        self._ahead = BoxesAhead(())
        self._expected: dict[str, _Stretches] = {}
        """Of arrays whose bytes are fetched ahead: which elements will be read, in stretches."""
        self._lock = Lock()
        self._locks = {name: Lock() for name in self._opened}

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Return the arrays' shapes and types, by name."""
        return {name: TensorSpec(name, array.shape, array.type_name) for name, array in self._opened.items()}

    def read(self, name: str, start: int, stop: int) -> Array:
        """Return elements start:stop of the flattened array."""
        array = self._opened[name]
        if start >= stop:
            return np.empty(0, array.dtype)
        with self._locks[name]:  # who else wants a part of the same chunk waits for it, and doesn't decode it again
            parts = list(self._parts(name, array, start, stop))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _parts(self, name: str, array: OpenArray, start: int, stop: int) -> Iterator[Array]:
        at = start
        while at < stop:
            slab = self._kept(name, at)
            if slab is None:
                slab = self._arrived(name, array, at) or self._read(name, array, at, stop)
                with self._lock:
                    self._decoded += 1
            end = min(stop, slab.stop)
            yield slab.take(at, end)
            self._keep(name, slab)
            at = end

    def _read(self, name: str, array: OpenArray, at: int, stop: int) -> _Slab:
        """Return the slab of chunks that begins before element `at`, of as many as hold the elements to `stop`."""
        first, box = box_for(array.shape, array.chunk, at, stop)
        array.check_memory(box)
        wanted: Sequence[tuple[int, int]] = ()
        if isinstance(array, StoredArray) and self._far is not None:
            with self._lock:
                expected, rest = _cut_out(self._expected.get(name, ()), first, first + size_of(box))
                if not array.is_read_by_ranges(box):
                    wanted, self._expected[name] = expected, rest
            ranges = () if expected else tuple(array.ranges(box, at - first, min(stop - first, size_of(box))))
            if ranges:  # so that they come together, and nothing around them is fetched
                self._far.expect(ranges, is_unpacked=True)
        return _Slab(first, array.read(box), wanted)

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:
        """Begin to read what elements (name, start, stop) are in, in that order, ahead of whoever reads them: what lies
        on another machine."""
        if self._far is None:
            return
        wanted = list(pieces)
        self._ahead.end()
        self._ahead = BoxesAhead(self._boxes_of(wanted))
        self._far.expect(self._ranges_of(wanted), is_unpacked=True)

    def expect_later(self, pieces: Iterable[tuple[str, int, int]]) -> bool:
        """Do the same once everything else has been read that is expected; return False, and do nothing, if tensorstore
        reads some of it, which knows of nothing else."""
        wanted = list(pieces)
        if any(isinstance(self._opened.get(name), LibraryArray) for name, _, _ in wanted):
            return False
        if self._far is not None:
            self._far.expect(self._ranges_of(wanted), is_later=True, is_unpacked=True)
        return True

    def is_fetched_ahead(self, name: str) -> bool:
        """Return whether bytes of an array are fetched ahead once they are expected, by the package's own storage."""
        return isinstance(self._opened.get(name), StoredArray)

    def chunk_bytes(self, name: str) -> int:
        """Return how many bytes a chunk of an array has once it is decoded."""
        array = self._opened[name]
        return prod(array.whole_chunk) * array.dtype.itemsize

    def _boxes_of(self, pieces: Iterable[tuple[str, int, int]]) -> Iterator[ExpectedBox]:
        """Yield the boxes of some pieces that tensorstore reads, each once; large ones, which are decoded one at a
        time, are left out."""
        ends: dict[str, int] = {}
        for name, start, stop in pieces:
            array = self._opened.get(name)
            at = max(start, ends.get(name, 0))
            while isinstance(array, LibraryArray) and at < stop:
                first, box = box_for(array.shape, array.chunk, at, stop)
                at = ends[name] = first + size_of(box)
                if not array.is_large(box):
                    nbytes = size_of(box) * array.dtype.itemsize
                    yield ExpectedBox(name, first, at, nbytes, partial(array.begin, box))

    def _ranges_of(self, pieces: Iterable[tuple[str, int, int]]) -> Iterator[tuple[OpenFile, int, int]]:
        """Yield the bytes of files that will be read of some pieces, each once."""
        last: dict[str, tuple[int, int]] = {}
        expected: dict[str, _Stretches] = {}
        for name, start, stop in pieces:
            array, at = self._opened.get(name), start
            while isinstance(array, StoredArray) and at < stop:
                first, end = last.get(name, (0, 0))
                if at >= end:
                    first, box = box_for(array.shape, array.chunk, at, stop)
                    end = first + size_of(box)
                    yield from array.ranges(box, at - first, min(stop, end) - first)
                    last[name] = first, min(stop, end) if array.is_read_by_ranges(box) else end
                _add_stretch(expected.setdefault(name, []), at, min(stop, end))
                at = min(stop, end)
        with self._lock:
            for name, stretches in expected.items():
                self._expected.setdefault(name, []).extend(stretches)

    def _arrived(self, name: str, array: OpenArray, at: int) -> _Slab | None:
        """Return the slab that holds an element, if it was expected of tensorstore."""
        if not isinstance(array, LibraryArray) or (found := self._ahead.take(name, at)) is None:
            return None
        return _Slab(found[0], array.finish(found[1]))

    def forget(self) -> None:
        """Release what is kept of what was read."""
        self._ahead.end()
        with self._lock:
            self._slabs.clear()
            self._expected.clear()

    def _check(self, place: Place, array: OpenArray) -> None:
        written = place.written_shape
        if written is not None and (
            len(written) != len(array.shape) or any(w > n for w, n in zip(written, array.shape, strict=True))
        ):
            raise DamagedFileError(
                f"{place.folder}: {place.name} is of shape {array.shape} by its own metadata, and by the tree's one "
                f"process wrote {written} of it: one of the two is damaged; copy or restore the checkpoint"
            )
        chunks = prod(-(-n // c) for n, c in zip(array.shape, array.chunk, strict=True))
        if max(prod(array.shape), prod(array.whole_chunk)) * array.dtype.itemsize > self._most_bytes or (
            not place.is_ocdbt and chunks > _MOST_CHUNKS
        ):
            raise DamagedFileError(
                f"{place.folder}: the metadata of {place.name} claims shape {array.shape} in chunks of {array.chunk}, "
                "more than the checkpoint's files can hold: it is damaged; copy or restore it"
            )

    def _kept(self, name: str, at: int) -> _Slab | None:
        with self._lock:
            return next((s for (of, _), s in self._slabs.items() if of == name and s.start <= at < s.stop), None)

    def _keep(self, name: str, slab: _Slab) -> None:
        with self._lock:
            self._slabs.pop((name, slab.start), None)
            slab.used = self._decoded
            if not slab.is_read:
                self._slabs[name, slab.start] = slab
            while self._slabs:
                oldest = next(iter(self._slabs.values()))
                is_room = len(self._slabs) <= _KEPT_SLABS and sum(s.nbytes for s in self._slabs.values()) <= _KEPT_BYTES
                if is_room and oldest.used >= self._decoded - _KEPT_SLABS:
                    break
                self._slabs.popitem(last=False)


def _largest_files(places: Iterable[Place], files: Mapping[Path, OpenFile]) -> dict[Path, OpenFile]:
    """Return the largest file of each array that lies in a folder of its own, by that folder."""
    folders = {place.folder / place.name for place in places if not place.is_ocdbt}
    found: dict[Path, OpenFile] = {}
    for path, file in files.items() if folders else ():
        own = next((above for above in path.parents if above in folders), None)
        if own is not None and (own not in found or file.size > found[own].size):
            found[own] = file
    return found


def _check_chunk_file(place: Place, array: OpenArray, file: OpenFile) -> None:
    """Raise DamagedFileError for a file that can't be a chunk: tensorstore would read all of it into memory."""
    if file.size > _MOST_METADATA + 2 * prod(array.whole_chunk) * array.dtype.itemsize:
        raise DamagedFileError(
            f"{file.path}: is {file.size} bytes long, more than a chunk of {place.name} can take: it is damaged; copy "
            "or restore it"
        )


def _cut_out(stretches: Iterable[tuple[int, int]], start: int, stop: int) -> tuple[_Stretches, _Stretches]:
    """Return what of some stretches lies within a range, and the rest of them."""
    inside: _Stretches = []
    rest: _Stretches = []
    for a, b in stretches:
        if max(a, start) < min(b, stop):
            inside.append((max(a, start), min(b, stop)))
            rest += [(x, y) for x, y in ((a, start), (stop, b)) if x < y]
        else:
            rest.append((a, b))
    return inside, rest


def _add_stretch(stretches: _Stretches, start: int, stop: int) -> None:
    """Add a range, and join it with the last one if it goes on where that ends."""
    if stretches and stretches[-1][1] == start:
        stretches[-1] = stretches[-1][0], stop
    else:
        stretches.append((start, stop))


def _find(place: Place, files: Mapping[Path, OpenFile], store: Mapping[str, Value] | None) -> Find:
    """Return what finds an array's values; `store`: those of the OCDBT store that it lies in, if it could be listed."""
    if place.is_ocdbt:
        return _find_in_store(place, files, store or {})
    return _find_in_folder(place.folder / place.name, files)


def _find_metadata(place: Place, find: Find) -> Stored | None:
    """Return where an array's own metadata lies; None if tensorstore is to say what is wrong with it."""
    try:
        found = find("zarr.json" if place.is_zarr3 else ".zarray")
    except DamagedFileError:
        return None
    if found is not None and found.size > _MOST_METADATA:
        raise DamagedFileError(
            f"{place.folder}: the metadata of {place.name} is {found.size} bytes long, more than any array's: it is "
            "damaged; copy or restore it"
        )
    return found


def _read_all(far: OpenFile | None, metadata: Mapping[str, Stored]) -> dict[str, bytes]:
    """Return the metadata of each array; `far`: any of the files, if they lie far away."""
    if far is None:
        return {name: found.read().tobytes() for name, found in metadata.items()}
    whole = {n: s.file for n, s in metadata.items() if s.file is not None and (s.offset, s.size) == (0, s.file.size)}
    parts = [s for name, s in metadata.items() if name not in whole]
    far.expect(
        [(s.file, s.offset, s.offset + s.size) for s in parts if s.file is not None]
    )  # so that they come together
    contents = dict(zip(whole, read_contents(list(whole.values())), strict=True))
    return {name: contents[name] if name in whole else found.read().tobytes() for name, found in metadata.items()}


def _open_stored(place: Place, metadata: bytes, find: Find) -> StoredArray | None:
    """Return an array whose chunks are read as they are stored; None if tensorstore reads it."""
    zarr = decode_zarr(metadata, is_zarr3=place.is_zarr3)
    if zarr is None or not is_read_here(zarr):
        return None
    return StoredArray(place.folder, place.name, zarr, find, is_complete=place.is_complete)


def _find_in_store(place: Place, files: Mapping[Path, OpenFile], store: Mapping[str, Value]) -> Find:
    def find(key: str) -> Stored | None:
        value = store.get(f"{place.name}/{key}")
        if isinstance(value, Span):
            path = place.folder / value.file
            file = files.get(path)
            if file is None or value.offset + value.size > file.size:
                raise DamagedFileError(
                    f"{path}: {'is missing' if file is None else 'is truncated'}: it holds {place.name}/{key}; copy or "
                    "restore it"
                )
            return Stored(file, value.offset, value.size)
        return None if value is None else Stored(None, 0, len(value), value)

    return find


def _find_in_folder(folder: Path, files: Mapping[Path, OpenFile]) -> Find:
    def find(key: str) -> Stored | None:
        file = files.get(folder / key)
        return None if file is None else Stored(file, 0, file.size)

    return find
