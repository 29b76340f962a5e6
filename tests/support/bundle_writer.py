"""Tensor bundles and tables made byte by byte, for what no writer would write; TensorFlow reads the sound ones."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

MAGIC = 0xDB4775248B80FB57
DATA_TYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8, "int64": 9, "bool": 10,
    "bfloat16": 14, "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip


def masked(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes, *, fixed32: bool = False) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if fixed32:
        return varint(number << 3 | 5) + struct.pack("<I", value)
    return varint(number << 3) + varint(value)


def block(entries: Iterable[tuple[bytes, bytes]], restart_interval: int = 16) -> bytes:
    out, restarts, last = bytearray(), [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % restart_interval:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts)}I", *restarts) + struct.pack("<I", len(restarts))


def table(
    entries: Iterable[tuple[bytes, bytes]],
    per_block: int = 50,
    compression: int = 0,
    compress: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """A table; a `compression` other than 0 is only claimed, unless `compress` does it."""
    entries = list(entries)
    out, index = bytearray(), []

    def add(contents: bytes) -> bytes:
        contents = compress(contents)
        handle = varint(len(out)) + varint(len(contents))
        trailer = bytes([compression])
        out.extend(contents + trailer + struct.pack("<I", masked(contents + trailer)))
        return handle

    for i in range(0, len(entries), per_block):
        part = entries[i : i + per_block]
        index.append((part[-1][0], add(block(part))))
    handles = add(block([])) + add(block(index))
    return bytes(out) + handles.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def header(num_shards: int = 1, *, big_endian: bool = False, min_consumer: int = 0) -> bytes:
    version = field(1, 1) + (field(2, min_consumer) if min_consumer else b"")
    return field(1, num_shards) + (field(2, 1) if big_endian else b"") + field(3, version)


def shape_message(shape: Iterable[int]) -> bytes:
    return b"".join(field(2, field(1, size) if size else b"") for size in shape)


def entry(
    dtype: int, shape: Iterable[int], offset: int, size: int, crc: int, shard: int = 0, slices: Iterable[bytes] = ()
) -> bytes:
    return (
        field(1, dtype)
        + field(2, shape_message(shape))
        + (field(3, shard) if shard else b"")
        + (field(4, offset) if offset else b"")
        + (field(5, size) if size else b"")
        + field(6, crc, fixed32=True)
        + b"".join(field(7, s) for s in slices)
    )


def write_bundle(prefix: Path, tensors: Mapping[str, np.ndarray[Any, Any]], *, big_endian: bool = False) -> None:
    """One shard; numbers only."""
    data, entries = bytearray(), [(b"", header(big_endian=big_endian))]
    for name in sorted(tensors):
        array = tensors[name]
        raw = array.tobytes()
        if big_endian:
            width = array.itemsize // 2 if array.dtype.kind == "c" else array.itemsize
            raw = np.frombuffer(raw, f"<u{width}").byteswap().tobytes()
        dtype = DATA_TYPES[array.dtype.name]
        entries.append((name.encode(), entry(dtype, array.shape, len(data), len(raw), masked(raw))))
        data += raw
    write(prefix, entries, bytes(data))


def write(prefix: Path, entries: Iterable[tuple[bytes, bytes]], data: bytes) -> None:
    """An index of these entries, and one shard of this data."""
    Path(f"{prefix}.index").write_bytes(table(entries))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


# ---------------------------------------------------------------------------------------------------- V1 checkpoints

V1_FIELDS = {
    "float32": 5, "float64": 6, "int32": 7, "int16": 7, "int8": 7, "uint16": 7, "uint8": 7, "int64": 10, "bool": 11,
    "float16": 13, "bfloat16": 13, "uint32": 16, "uint64": 17, "complex64": 9, "complex128": 12,
}  # fmt: skip

Cut = tuple[tuple[int, int] | None, ...]
"""A slice: start and length of each dimension, None for the whole of one."""


def slice_message(cut: Cut) -> bytes:
    return b"".join(
        field(1, b"") if part is None else field(1, (field(1, part[0]) if part[0] else b"") + field(2, part[1]))
        for part in cut
    )


def v1_variable(name: str, dtype: int, shape: Iterable[int], cuts: Iterable[Cut]) -> bytes:
    """A variable of the metadata."""
    slices = b"".join(field(4, slice_message(cut)) for cut in cuts)
    return field(1, field(1, name.encode()) + field(2, shape_message(shape)) + field(3, dtype) + slices)


def v1_metadata(*variables: bytes, min_consumer: int = 0) -> tuple[bytes, bytes]:
    """The entry of the empty key."""
    versions = field(2, field(1, 1) + (field(2, min_consumer) if min_consumer else b""))
    return b"", field(1, b"".join(variables) + versions)


def v1_values(array: np.ndarray[Any, Any]) -> bytes:
    """A TensorProto of an array's values, packed as the writer packs them."""
    if array.dtype.kind in "iub" or array.dtype.itemsize == 2:
        flat = array.reshape(-1)
        numbers = flat.view(np.uint16) if flat.dtype.name in ("float16", "bfloat16") else flat
        raw = b"".join(varint(int(n)) for n in numbers)
    else:
        raw = array.tobytes()
    return field(V1_FIELDS[array.dtype.name], raw) if raw else b""


def v1_record(name: str, cut: Cut, values: bytes, *, key: bytes | None = None) -> tuple[bytes, bytes]:
    """The entry of a slice."""
    from ckpt_inspect.formats.bundle_index import Extent, encode_slice_key

    key = key or encode_slice_key(name, tuple(Extent(0, -1) if part is None else Extent(*part) for part in cut))
    return key, field(2, field(1, name.encode()) + field(2, slice_message(cut)) + field(3, values))


def write_v1(path: Path, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """One file, of whole tensors of numbers."""
    whole = {name: (None,) * array.ndim for name, array in tensors.items()}
    variables = [v1_variable(n, DATA_TYPES[a.dtype.name], a.shape, [whole[n]]) for n, a in tensors.items()]
    records = [v1_record(n, whole[n], v1_values(a)) for n, a in tensors.items()]
    path.write_bytes(table([v1_metadata(*variables), *sorted(records)]))
