"""The index of a tensor bundle: bytes -> entries. Pure.

tensorflow/core/protobuf/tensor_bundle.proto and util/tensor_bundle/tensor_bundle.cc. The index is a table. The empty
key holds BundleHeaderProto, every other key a BundleEntryProto. A partitioned variable has an entry that lists its
slices and has no bytes of its own; each slice has an entry under a key that starts with a zero byte (OrderedCode of
name and slice).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from ckpt_inspect.checkpoint import STRING, numpy_dtype
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats.sstable import read_table
from ckpt_inspect.wire import Buffer, fields, signed

DTYPES: Mapping[int, str] = {  # tensorflow/core/framework/types.proto; quantized integers are stored as plain ones
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: STRING, 8: "complex64", 9: "int64",
    10: "bool", 11: "int8", 12: "uint8", 13: "int32", 14: "bfloat16", 15: "int16", 16: "uint16", 17: "uint16",
    18: "complex128", 19: "float16", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64", 24: "float8_e5m2",
    25: "float8_e4m3fn", 26: "float8_e4m3fnuz", 27: "float8_e4m3b11fnuz", 28: "float8_e5m2fnuz", 29: "int4",
    30: "uint4", 31: "int2", 32: "uint2", 33: "float4_e2m1fn",
}  # fmt: skip

_BUNDLE_VERSION = 1  # kTensorBundleVersion
_MAX_SHARDS = 1 << 16  # more than any writer makes
FULL_EXTENT = -1  # TensorSlice::kFullExtent: the slice spans the whole dimension
_SLICE_KEY_START = b"\0"
_CRC_TAG, _CRC_SIZE = b"\x35", 5  # of field 6, a fixed32, with its tag


class Extent(NamedTuple):
    """One dimension of a slice: `length` elements from `start` on."""

    start: int
    length: int


class Entry(NamedTuple):
    """Where a tensor's bytes lie."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    """In the shard's file, in bytes."""
    size: int
    """In bytes; 0 if the tensor is stored in slices."""
    crc: int
    """Masked CRC-32C of the bytes as they lie in the file."""
    slices: tuple[tuple[Extent, ...], ...] = ()
    """The slices that together make the tensor."""


class BundleIndex(NamedTuple):
    """A decoded `.index` file."""

    num_shards: int
    byte_order: Literal["little", "big"]
    entries: Mapping[str, Entry]
    """Every tensor by name, sorted by key; a partitioned variable is one entry."""
    slices: Mapping[bytes, Entry]
    """The parts of partitioned ones, by `encode_slice_key`."""


def decode_index(table: bytes) -> BundleIndex:
    """Decode a whole `.index` file; raises DamagedFileError or UnsupportedError, without the file's path."""
    header: tuple[int, Literal["little", "big"]] | None = None
    entries: dict[str, Entry] = {}
    slices: dict[bytes, Entry] = {}
    for key, value in read_table(table):
        if not key:
            header = _decode_header(value)
            continue
        name = key.decode("utf-8", "backslashreplace")
        try:
            if header is None:
                raise DamagedFileError("comes before the bundle's header")
            entry = _decode_known(value, header[0])
        except CkptInspectError as error:
            raise type(error)(f"entry {name!r}: {error}") from error
        if key.startswith(_SLICE_KEY_START):
            slices[key] = entry
        else:
            entries[name] = entry
    if header is None:
        raise DamagedFileError("the table holds no bundle header: it is not the index of a tensor bundle")
    return BundleIndex(*header, entries, slices)


def _decode_header(value: bytes) -> tuple[int, Literal["little", "big"]]:
    num_shards, is_big_endian, oldest_reader = 0, False, 0
    for number, _, content in fields(value):
        if number == 1 and isinstance(content, int):
            num_shards = content
        elif number == 2 and isinstance(content, int):
            is_big_endian = content == 1
        elif number == 3 and not isinstance(content, int):
            oldest_reader = next((v for n, _, v in fields(content) if n == 2 and isinstance(v, int)), 0)
        else:
            raise DamagedFileError(f"the bundle's header has the unexpected field {number}: it is not a bundle header")
    if not 0 < num_shards <= _MAX_SHARDS:
        raise DamagedFileError(f"the bundle's header claims {num_shards} shards")
    if oldest_reader > _BUNDLE_VERSION:
        raise UnsupportedError(f"is of bundle version {oldest_reader}; this package reads version {_BUNDLE_VERSION}")
    return num_shards, "big" if is_big_endian else "little"


def _decode_known(value: bytes, num_shards: int) -> Entry:
    """Decode and validate an entry: of those of one run, mostly the checksum alone differs, which is the last field."""
    if value[-_CRC_SIZE : 1 - _CRC_SIZE] == _CRC_TAG:
        try:
            known = _decode_valid(value[:-_CRC_SIZE], num_shards)
        except CkptInspectError:  # what looked like the last field's tag is part of another field, or it is damaged
            pass
        else:
            return Entry(*known[:5], int.from_bytes(value[1 - _CRC_SIZE :], "little"), known.slices)
    return _decode_valid(value, num_shards)


@lru_cache(maxsize=1 << 12)
def _decode_valid(value: bytes, num_shards: int) -> Entry:
    entry = _decode_entry(value)
    _validate(entry, num_shards)
    return entry


def _decode_entry(value: bytes) -> Entry:
    dtype = shard = offset = size = crc = 0
    shape: tuple[int, ...] = ()
    slices: list[tuple[Extent, ...]] = []
    for number, _, content in fields(value):
        if isinstance(content, int):
            if number == 1:
                dtype = content
            elif number == 3:
                shard = content
            elif number == 4:
                offset = content
            elif number == 5:
                size = content
            elif number == 6:
                crc = content
        elif number == 2:
            shape = decode_shape(content)
        elif number == 7:
            slices.append(decode_slice(content))
    return Entry(DTYPES.get(dtype % 100, f"dtype-{dtype}"), shape, shard, offset, size, crc, tuple(slices))


def decode_shape(value: Buffer) -> tuple[int, ...]:
    """Return the shape that a TensorShapeProto describes; DamagedFileError for one of unknown rank or size."""
    shape = []
    for number, _, dimension in fields(value):
        if number == 2 and not isinstance(dimension, int):
            size = next((v for n, _, v in fields(dimension) if n == 1 and isinstance(v, int)), 0)
            shape.append(signed(size))
        elif number == 3 and dimension:
            raise DamagedFileError("its shape is of unknown rank")
    if any(size < 0 for size in shape):
        raise DamagedFileError(f"has the impossible shape {tuple(shape)}")
    return tuple(shape)


def decode_slice(value: Buffer) -> tuple[Extent, ...]:
    """Return the extents of a TensorSliceProto, as they are stored."""
    extents = []
    for number, _, extent in fields(value):
        if number == 1 and not isinstance(extent, int):
            parts = {n: signed(v) for n, _, v in fields(extent) if isinstance(v, int)}
            extents.append(Extent(parts.get(1, 0), parts.get(2, FULL_EXTENT)))
    return tuple(extents)


def _validate(entry: Entry, num_shards: int) -> None:
    """Raise DamagedFileError for impossible sizes, before memory is allocated by them."""
    if entry.shard >= num_shards:
        raise DamagedFileError(f"is in shard {entry.shard} of a bundle of {num_shards}")
    if entry.offset >> 62 or entry.size >> 62:
        raise DamagedFileError(f"claims {entry.size} bytes at offset {entry.offset}")
    for extents in entry.slices:
        if not is_inside(extents, entry.shape):
            raise DamagedFileError(f"its slice {extents} is not inside its shape {entry.shape}")
    elements = math.prod(entry.shape)
    if entry.dtype == STRING:
        if not entry.slices and elements > entry.size:
            raise DamagedFileError(f"claims {elements} strings in {entry.size} bytes")
        return
    try:
        width = numpy_dtype(entry.dtype).itemsize
    except UnsupportedError:
        return  # listed, and refused when read
    if not entry.slices and elements * width != entry.size:
        raise DamagedFileError(
            f"{entry.dtype} of shape {entry.shape} takes {elements * width} bytes, but the entry claims {entry.size}"
        )


def is_inside(extents: tuple[Extent, ...], shape: tuple[int, ...]) -> bool:
    """Return whether the extents describe a slice of a tensor of that shape."""
    return len(extents) == len(shape) and all(
        start >= 0 and (length == FULL_EXTENT or 0 <= length <= size - start)
        for (start, length), size in zip(extents, shape, strict=True)
    )


def encode_slice_key(name: str, extents: tuple[Extent, ...]) -> bytes:
    """Return the key of a slice's entry (checkpoint::EncodeTensorNameSlice in saved_tensor_slice_util.cc,
    OrderedCode)."""
    key = _encode_number(0) + _encode_string(name.encode()) + _encode_number(len(extents))
    for start, length in extents:
        key += _encode_signed(0 if length == FULL_EXTENT else start) + _encode_signed(length)
    return key


def _encode_number(value: int) -> bytes:
    """OrderedCode::WriteNumIncreasing: a length byte, then big-endian bytes."""
    width = (value.bit_length() + 7) // 8
    return bytes([width]) + value.to_bytes(width, "big")


def _encode_string(value: bytes) -> bytes:
    """OrderedCode::WriteString: zero and 0xff escaped, ended by 00 01."""
    return re.sub(b"[\0\xff]", lambda found: b"\0\xff" if found[0] == b"\0" else b"\xff\0", value) + b"\0\1"


def _encode_signed(value: int) -> bytes:
    """OrderedCode::WriteSignedNumIncreasing: n bytes hold 7n bits, sign included, behind n ones (zeros if negative)."""
    magnitude = ~value if value < 0 else value
    width = magnitude.bit_length() // 7 + 1
    header = ((1 << width) - 1) << 7 * width
    return ((value & ((1 << 8 * width) - 1)) ^ header).to_bytes(width, "big")
