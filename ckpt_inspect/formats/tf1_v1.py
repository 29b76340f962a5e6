"""TF1's V1 checkpoints: one table that holds everything, or several named by a pattern.

tensorflow/core/util/tensor_slice_reader.h; `tensor_slices` describes what the tables hold. A slice's values lie in one
record of one table, packed one after another. The record is found once, in one pass over its block, which verifies the
block's checksum. After that, ranges of elements are read from the file directly.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, Graph, Problem, TensorSpec, numpy_dtype
from ckpt_inspect.errors import (
    CkptInspectError,
    DamagedFileError,
    NotFoundError,
    RequestError,
    TruncatedFileError,
    UnsupportedError,
)
from ckpt_inspect.formats.bundle_index import Extent, encode_slice_key
from ckpt_inspect.formats.foreign import is_placeholder, name_foreign
from ckpt_inspect.formats.meta_graph import check_graph, read_meta_graph, read_versions
from ckpt_inspect.formats.slices import ElementReader, Slice, SlicedTensor, resolve_extents
from ckpt_inspect.formats.sstable import MAGIC, ByteSource, Span, Table, Window
from ckpt_inspect.formats.tensor_slices import (
    ENCODINGS,
    LONGEST_VARINT,
    METADATA_KEY,
    Values,
    Variable,
    decode_metadata,
    decode_varints,
    locate_values,
    varint_ends,
)
from ckpt_inspect.formats.tf1_v1_claims import SHARD_NAME, begins_so
from ckpt_inspect.storage import Bytes, OpenFile, PinnedFiles, is_there, locate
from ckpt_inspect.wire import VARINT

_COUNTED_BYTES = 1 << 16
"""Bytes per count of varints' ends: with the counts, an element is found without decoding all before it."""

_DECODED_ELEMENTS = 1 << 16
"""Varints that are decoded at a time; each takes up to 40 bytes while it is decoded."""


class V1Checkpoint(Checkpoint):
    """A V1 checkpoint, read by ranges; a block's checksum is verified before anything in it is read."""

    format = "tf1-v1"
    checksums = "each block of its tables (CRC-32C)"

    def __init__(self, path: Path) -> None:
        """Take the `path` of the one file, the pattern, or one of the shards."""
        self.path = as_pattern(path)
        self._pinned = PinnedFiles()
        self._shards = [_Shard(shard, self._pinned.open(shard)) for shard in shard_files(self.path)]
        self._meta = self._pinned.pin_if_there(
            self.path.with_name(SHARD_NAME.sub(r"\g<stem>", self.path.name) + ".meta")
        )
        self.files, self.file_stats = self._pinned.paths, self._pinned.stats
        self._slices: dict[str, list[tuple[_Shard, tuple[Extent, ...]]]] = {}
        specs: dict[str, TensorSpec] = {}
        for shard in self._shards:
            for variable in shard.variables:
                name = variable.name
                spec = TensorSpec(name, variable.shape, variable.dtype)
                if specs.setdefault(name, spec) != spec:
                    raise DamagedFileError(
                        f"{shard.path}: tensor {name!r} is {spec.dtype} of shape {spec.shape} here, and "
                        f"{specs[name].dtype} of shape {specs[name].shape} where it was listed before: "
                        "the files belong to different checkpoints or are damaged; copy them again"
                    )
                self._slices.setdefault(name, []).extend((shard, extents) for extents in variable.slices)
        self.tensors = dict(sorted(specs.items()))
        self._readers: dict[str, ElementReader] = {}
        self._last: tuple[str, ElementReader] | None = None

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        reader = self._reader(name)
        if not 0 <= start <= stop <= reader.size:
            raise RequestError(f"{self.path}: tensor {name!r} has {reader.size} elements, not {start}:{stop}")
        return reader.read(start, stop, out)

    def graph(self) -> Graph | None:
        return read_meta_graph(self._meta) if self._meta is not None else None

    def producer(self) -> Mapping[str, str]:
        return read_versions(self._meta, is_saved_model=False) if self._meta is not None else {}

    def check_rest(self) -> tuple[Problem, ...]:
        return tuple(check_graph(self))

    def close(self) -> None:
        self._last = None
        self._pinned.close()

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def _reader(self, name: str) -> ElementReader:
        reader, last = self._readers.get(name), self._last
        if reader is not None:
            return reader
        if last is not None and last[0] == name:
            return last[1]
        spec = self.spec(name)
        if spec.dtype not in ENCODINGS:
            raise UnsupportedError(
                f"{self.path}: tensor {name!r} is of TensorFlow's type {spec.dtype}, whose values can't be read"
            )
        slices = self._slices[name]
        boxes = [resolve_extents(extents, spec.shape) for _, extents in slices]
        runs = [
            shard.reader(name, extents, spec.dtype, math.prod(length for _, length in box))
            for (shard, extents), box in zip(slices, boxes, strict=True)
        ]
        try:
            # Used for a single slice as well, because this is where slices are checked against the tensor.
            reader = SlicedTensor([Slice(box, run) for box, run in zip(boxes, runs, strict=True)], spec)
        except CkptInspectError as error:
            raise type(error)(f"{self.path}: {error}") from error
        if any(run.is_joined for run in runs):
            self._last = name, reader
        else:
            self._readers[name] = reader
        return reader


class _Shard:
    """One of a V1 checkpoint's files, opened once."""

    def __init__(self, path: Path, file: OpenFile) -> None:
        self.path = path
        self._file = file
        self._lock = Lock()
        try:
            self._table = Table(self._file)
            metadata = self._table.find(METADATA_KEY)
            if metadata is None:
                raise DamagedFileError("holds no metadata: it is a table, but no V1 checkpoint")
            self.variables = decode_metadata(self._file.read(metadata.start, metadata.stop - metadata.start))
            for variable in self.variables:
                _refuse_large(variable, self._file.size)
        except CkptInspectError as error:
            location = locate(path)
            if is_placeholder(location):
                raise name_foreign(location) from error
            if location.tail != MAGIC and begins_so(location.head):
                raise TruncatedFileError(
                    f"{path}: begins as a V1 checkpoint of TF1, and its last bytes aren't a table's footer: it is cut "
                    f"off after {location.size} bytes, or damaged at its end; copy or restore it"
                ) from error
            raise self._named(error) from error

    def reader(self, name: str, extents: tuple[Extent, ...], dtype: str, size: int) -> _Run:
        """Return a reader of a slice's `size` elements; DamagedFileError unless so many are there."""
        try:
            with self._lock:  # so that a block is verified once, however many threads read from it
                place = self._table.find(encode_slice_key(name, extents))
            if place is None:
                raise DamagedFileError("has no record, though the metadata lists it: the file was not written whole")
            values = locate_values(Window(self._file, place.stop), place.start, name, extents, dtype)
            return _slice_reader(self._file, values, dtype, size)
        except CkptInspectError as error:
            where = f" slice {list(map(tuple, extents))}" if any(e.length >= 0 for e in extents) else ""
            raise self._named(error, f"tensor {name!r}{where}: ") from error

    def _named(self, error: CkptInspectError, place: str = "") -> CkptInspectError:
        """Return the error with the file's path and the next step, unless it has them already."""
        if not isinstance(error, DamagedFileError | UnsupportedError) or str(error).startswith(f"{self.path}: "):
            return error
        remedy = "; copy or restore it" if isinstance(error, DamagedFileError) else ""
        return type(error)(f"{self.path}: {place}{error}{remedy}")


def _refuse_large(variable: Variable, file_size: int) -> None:
    """Raise DamagedFileError for slices that don't fit in a file of that size, before memory is allocated for them."""
    for extents in variable.slices:
        size = math.prod(length for _, length in resolve_extents(extents, variable.shape))
        if size > file_size:
            raise DamagedFileError(f"tensor {variable.name!r}: claims {size} elements in a file of {file_size} bytes")


def _slice_reader(source: _Source, values: Values, dtype: str, size: int) -> _Run:
    """Return a reader of the values at these places; DamagedFileError unless there are `size` of them."""
    if dtype == STRING:
        return _Strings(source, values, size)
    spans = values.spans
    if len(spans) > 2:  # not as the writer packs them
        pieces = zip(spans[::2], spans[1::2], strict=True)
        source = _Joined(b"".join(source.read(start, stop - start) for start, stop in pieces))
        place = Span(0, source.size)
    else:
        place = Span(*spans) if spans else Span(0, 0)
    if ENCODINGS[dtype].kind == VARINT and not values.is_content:
        return _Varints(source, place, numpy_dtype(dtype), size)
    return _FixedWidth(source, place, numpy_dtype(dtype), size)


class _Source(ByteSource, Protocol):
    """Anything that values can be read from."""

    def read_into(self, buffer: Bytes, offset: int) -> None:
        """Fill a contiguous 1-D uint8 array with the bytes at `offset`."""


class _Joined:
    """Bytes that were gathered from many places."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`."""
        return self._data[offset : offset + size]

    def read_into(self, buffer: Bytes, offset: int) -> None:
        """Fill the buffer with the bytes at `offset`."""
        buffer[:] = np.frombuffer(self._data, np.uint8, len(buffer), offset)


class _Run(ElementReader):
    """Values that lie one after another, in a file or joined."""

    __slots__ = ("_source", "_start")

    def __init__(self, source: _Source, start: int, dtype: np.dtype[Any], size: int) -> None:
        self._source, self._start = source, start
        self.dtype, self.size = dtype, size

    @property
    def is_joined(self) -> bool:
        """Return whether it holds its values in memory."""
        return isinstance(self._source, _Joined)


class _FixedWidth(_Run):
    """Floating-point and complex numbers, or the elements' own bytes."""

    __slots__ = ()

    def __init__(self, source: _Source, place: Span, dtype: np.dtype[Any], size: int) -> None:
        super().__init__(source, place.start, dtype, size)
        held, taken = place.stop - place.start, size * dtype.itemsize
        if held != taken:
            raise DamagedFileError(f"holds {held} bytes of values, but its {size} elements take {taken}")

    def read_into(self, out: Array, start: int) -> None:
        width = self.dtype.itemsize
        self._source.read_into(out.view(np.uint8), self._start + start * width)
        if sys.byteorder == "big" and width > 1:
            part = width // 2 if self.dtype.kind == "c" else width  # ml_dtypes' own types don't swap
            out.view(f"u{part}").byteswap(inplace=True)


class _Varints(_Run):
    """Integers, booleans, and 16-bit floating-point numbers, which lie as the integers of their bits."""

    __slots__ = ("_counts", "_length")

    def __init__(self, source: _Source, place: Span, dtype: np.dtype[Any], size: int) -> None:
        super().__init__(source, place.start, dtype, size)
        self._length = place.stop - place.start
        counts, last = [0], -1
        for i in range(-(-self._length // _COUNTED_BYTES)):
            ends = varint_ends(self._bytes(i, i + 1)) + i * _COUNTED_BYTES
            if len(ends):
                if np.diff(ends, prepend=last).max() > LONGEST_VARINT:
                    raise DamagedFileError("one of its values is longer than 64 bits")
                last = int(ends[-1])
            counts.append(counts[-1] + len(ends))
        self._counts = np.array(counts)
        """How many values end before each stretch of _COUNTED_BYTES, and how many in all."""
        if last != self._length - 1:
            raise DamagedFileError("its last value is cut off")
        if self._counts[-1] != size:
            raise DamagedFileError(f"holds {self._counts[-1]} values, but has {size} elements")

    def read_into(self, out: Array, start: int) -> None:
        for at in range(0, len(out), _DECODED_ELEMENTS):
            some = out[at : at + _DECODED_ELEMENTS]
            values = decode_varints(self._encoded(start + at, start + at + len(some)))
            # TensorFlow's casts keep the low bits of a value that is out of range.
            some[:] = values != 0 if self.dtype == bool else values.astype(f"u{self.dtype.itemsize}").view(self.dtype)

    def _encoded(self, start: int, stop: int) -> Bytes:
        """Return the bytes of the elements [start, stop), at least one element."""
        first, last = (int(np.searchsorted(self._counts, i, "right")) - 1 for i in (max(start - 1, 0), stop - 1))
        raw = self._bytes(first, last + 1)
        ends = varint_ends(raw)
        before = int(self._counts[first])
        return raw[ends[start - 1 - before] + 1 if start else 0 : ends[stop - 1 - before] + 1]

    def _bytes(self, first: int, last: int) -> Bytes:
        """Return the bytes of the stretches [first, last)."""
        begin, end = first * _COUNTED_BYTES, min(last * _COUNTED_BYTES, self._length)
        return np.frombuffer(self._source.read(self._start + begin, end - begin), np.uint8)


class _Strings(_Run):
    """Strings, each at its own place."""

    __slots__ = ("_spans",)

    def __init__(self, source: _Source, values: Values, size: int) -> None:
        super().__init__(source, 0, np.dtype(object), size)
        self._spans = values.spans
        if values.is_content:
            raise UnsupportedError(
                "its strings lie in one piece, which TensorFlow's writer of V1 checkpoints never does"
            )
        if len(self._spans) != 2 * size:
            raise DamagedFileError(f"holds {len(self._spans) // 2} strings, but has {size} elements")

    def read_into(self, out: Array, start: int) -> None:
        for i in range(len(out)):
            begin, end = self._spans[2 * (start + i) : 2 * (start + i) + 2]
            out[i] = self._source.read(begin, end - begin)


def as_pattern(path: Path) -> Path:
    """Return the pattern of all shards for one of them; any other path as it is."""
    match = SHARD_NAME.fullmatch(path.name)
    return path.with_name(f"{match['stem']}-?????-of-{match['count']}") if match else path


def shard_files(path: Path) -> tuple[Path, ...]:
    """Return the files behind the path of a V1 checkpoint; NotFoundError for a shard that is missing."""
    match = SHARD_NAME.fullmatch(path.name)
    if not match:
        return (path,)
    count = int(match["count"])
    shards = tuple(path.with_name(f"{match['stem']}-{i:05d}-of-{count:05d}") for i in range(count))
    if absent := [shard for shard in shards if not is_there(shard)]:
        raise NotFoundError(
            f"{absent[0]}: is missing ({count - len(absent)} of the {count} shards of this V1 checkpoint are here); "
            "copy it too"
        )
    return shards


def open_v1(path: Path) -> V1Checkpoint:
    """Open a V1 file, a V1 pattern or a V1 shard."""
    return V1Checkpoint(path)
