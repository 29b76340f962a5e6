"""How a zarr array is cut into chunks and how each is stored, from its own metadata: JSON -> description. Pure.

zarr 2: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html; zarr 3: .../v3/core/index.html, its codecs `bytes`,
`zstd`, `gzip` and `sharding_indexed`. Only what Orbax writes of them; anything else is left to tensorstore.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

Codec = Literal["", "zstd", "gzip"]

INDEX_BYTES = 20
"""Of the index of a shard that holds one chunk: where it lies, its length, and the CRC-32C of both."""
_ABSENT = 2**64 - 1

_KINDS = "fiubc"
_NAMES = frozenset((*(f"{kind}{8 << i}" for kind in ("int", "uint") for i in range(4)), "bool", "float16", "float32",
                    "float64", "bfloat16", "complex64", "complex128"))  # fmt: skip
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_FILL_VALUES = (None, 0, False)
_KEYS_3 = {
    "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value",
    "attributes", "dimension_names", "storage_transformers",
}  # fmt: skip


class ZarrArray(NamedTuple):
    """An array whose elements are little-endian, in C order within each chunk, and 0 in a chunk that is missing."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    """Shape of a chunk; those at the edges are stored as long as the others."""
    dtype: str
    """numpy's or ml_dtypes' name."""
    codec: Codec
    """How a chunk is compressed; empty if it isn't."""
    prefix: str
    """What stands before the numbers in a chunk's key."""
    separator: str
    """What stands between the numbers in a chunk's key."""
    is_shard: bool
    """Whether a chunk is stored in a shard of its own, with an index behind it."""

    def key(self, place: Sequence[int]) -> str:
        """Return the key of the chunk at a place in the grid of chunks."""
        numbers = [str(number) for number in place]
        if self.prefix:
            return self.separator.join([self.prefix, *numbers])
        return self.separator.join(numbers) or "0"


def decode_zarr(text: bytes, *, is_zarr3: bool) -> ZarrArray | None:
    """Decode `.zarray` or `zarr.json`; None if it is none, or says anything that isn't understood here."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, Mapping) or sys.byteorder != "little":
        return None
    try:
        return _decode_3(found) if is_zarr3 else _decode_2(found)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _decode_2(found: Mapping[str, Any]) -> ZarrArray | None:
    dtype, compressor = found["dtype"], found["compressor"]
    if dtype != "bfloat16":
        kind = np.dtype(dtype) if isinstance(dtype, str) and dtype[:1] in "<|" else None
        if kind is None or kind.kind not in _KINDS or (dtype[0] == "|") != (kind.itemsize == 1):
            return None
        dtype = kind.name
    codec = _codec("" if compressor is None else compressor["id"])
    is_known = (
        found["zarr_format"] == 2
        and found["order"] == "C"
        and found["filters"] is None
        and found["fill_value"] in _FILL_VALUES
    )
    separator = found.get("dimension_separator", ".")
    if not is_known or codec is None or separator not in (".", "/"):
        return None
    return _checked(ZarrArray(_lengths(found["shape"]), _lengths(found["chunks"]), dtype, codec, "", separator, False))


def _decode_3(found: Mapping[str, Any]) -> ZarrArray | None:
    grid, encoding, codecs = found["chunk_grid"], found["chunk_key_encoding"], found["codecs"]
    is_known = (
        found["zarr_format"] == 3
        and found["node_type"] == "array"
        and found["data_type"] in _NAMES
        and grid["name"] == "regular"
        and encoding["name"] in ("default", "v2")
        and found["fill_value"] in _FILL_VALUES
        and not found.get("storage_transformers")
        and found.keys() <= _KEYS_3
    )
    chunk = _lengths(grid["configuration"]["chunk_shape"])
    is_shard = len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed"
    if is_shard:
        sharding = codecs[0]["configuration"]
        is_known = (
            is_known
            and _lengths(sharding["chunk_shape"]) == chunk
            and sharding["index_codecs"] == _INDEX_CODECS
            and sharding.get("index_location", "end") == "end"
        )
        codecs = sharding["codecs"]
    codec = _codec_of(codecs)
    is_default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
    if not is_known or codec is None or separator not in (".", "/"):
        return None
    prefix = "c" if is_default else ""
    return _checked(ZarrArray(_lengths(found["shape"]), chunk, found["data_type"], codec, prefix, separator, is_shard))


def _codec_of(codecs: Sequence[Mapping[str, Any]]) -> Codec | None:
    first, *rest = codecs
    if first["name"] != "bytes" or first.get("configuration", {}).get("endian", "little") != "little":
        return None
    return "" if not rest else _codec(rest[0]["name"]) if len(rest) == 1 else None


def _codec(name: Any) -> Codec | None:
    known: tuple[Codec, ...] = ("", "zstd", "gzip")
    return next((codec for codec in known if codec == name), None)


def _checked(array: ZarrArray) -> ZarrArray | None:
    is_sound = len(array.shape) == len(array.chunk) and all(array.chunk)
    return array if is_sound else None


def _lengths(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(n) is int and 0 <= n < 1 << 62 for n in values):
        raise ValueError("no lengths")
    return tuple(values)


def decode_shard_index(index: bytes, size: int) -> tuple[int, int] | None:
    """Return where the one chunk of a shard of `size` bytes begins in it, and its length, from the shard's last bytes;
    None if it wasn't written. Raises ValueError if the index is damaged."""
    import google_crc32c

    offset, length, checksum = struct.unpack("<QQI", index)
    if google_crc32c.value(index[:-4]) != checksum:
        raise ValueError("the index of its shard doesn't match its checksum")
    if offset == length == _ABSENT:
        return None
    if offset + length > size - INDEX_BYTES:
        raise ValueError("the index of its shard leads out of it")
    return offset, length
