"""TF1's V1 files: mutations of the table, of the metadata in it, and of the values.

tensorflow/core/util/saved_tensor_slice.proto: the empty key has the metadata, each other key a slice with its values.
"""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

from mutators.byte_spans import byte_mutators
from mutators.companions import folder_mutators
from mutators.messages import decode, encode, mutate_message
from mutators.mutation import Checksum, Mutator, NothingToMutateError, Original, of_bytes
from mutators.sorted_tables import read_table, table_mutators, write_table
from mutators.tensor_bundle import odd_numbers

_META, _DATA = 1, 2  # of SavedTensorSlices
_SAVED_SLICE_DATA = 3  # SavedSlice.data
_FLOAT_VAL, _DOUBLE_VAL, _TENSOR_CONTENT = 5, 6, 4  # of TensorProto
_FLOAT32, _FLOAT64 = 1, 2


def _is_any(name: str) -> bool:
    return True


def _change_metadata(table: bytes, rng: Random) -> tuple[bytes, str]:
    """Change shapes, types, slices, names, versions in the metadata."""
    entries = read_table(table)
    key, value = entries[0]
    changed, note = mutate_message(value, rng)
    return write_table([(key, changed), *entries[1:]]), f"metadata, field {note}"


def _change_numbers(table: bytes, rng: Random) -> tuple[bytes, str]:
    """Put numbers that can't be into a slice, or more of them, or fewer."""
    entries = read_table(table)
    places = [i for i, (key, _) in enumerate(entries) if key]
    at = rng.choice(places)
    key, value = entries[at]
    records = decode(value)
    data_at = next(i for i, record in enumerate(records) if record[0] == _DATA)
    saved = decode(_bytes(records[data_at][2]))
    proto_at = next((i for i, record in enumerate(saved) if record[0] == _SAVED_SLICE_DATA), None)
    if proto_at is None:
        raise NothingToMutateError("no values")
    proto = decode(_bytes(saved[proto_at][2]))
    values_at = next((i for i, r in enumerate(proto) if r[0] in (_FLOAT_VAL, _DOUBLE_VAL) and r[1] == 2), None)
    if values_at is None:
        raise NothingToMutateError("no floating-point values")
    number, _, raw = proto[values_at]
    raw = _bytes(raw)
    width = 4 if number == _FLOAT_VAL else 8
    change = rng.choice(("odd", "odd", "more", "fewer", "content", "none", "ragged", "unpacked"))
    note = change
    if change == "odd":
        raw, note = odd_numbers(raw, _FLOAT32 if number == _FLOAT_VAL else _FLOAT64, rng)
        proto[values_at] = number, 2, raw
    elif change == "unpacked":
        proto[values_at : values_at + 1] = [
            (number, 5 if width == 4 else 1, raw[i : i + width]) for i in range(0, len(raw), width)
        ]
    else:
        new = {
            "more": raw + struct.pack("<d", 1.0),
            "fewer": raw[:-width],
            "none": b"",
            "ragged": raw[:-1],
            "content": raw,
        }[change]
        proto[values_at] = _TENSOR_CONTENT if change == "content" else number, 2, new
    saved[proto_at] = _SAVED_SLICE_DATA, 2, encode(proto)
    records[data_at] = _DATA, 2, encode(saved)
    entries[at] = key, encode(records)
    return write_table(entries), f"values of {key[:60]!r}: {note}"


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


MUTATORS: tuple[Mutator, ...] = (
    of_bytes("metadata", _change_metadata, _is_any, Checksum.RECOMPUTED, 3.0),
    of_bytes("values", _change_numbers, _is_any, Checksum.RECOMPUTED, 2.0),
    *table_mutators("table", _is_any),
    *byte_mutators("file", _is_any, Checksum.KEPT),
    *folder_mutators(Checksum.KEPT, is_one_file=True),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return V1 files of TF 1.4 and of today's TensorFlow, and shards."""
    saver = fixtures / "formats/saver"
    shard = saver / "v1-sharded.ckpt-2-00000-of-00001"
    old = fixtures / "recorded/tf14_saver_v1fmt/model.ckpt-4"
    return (
        Original("formats/saver/v1.ckpt-2", "v1.ckpt-2", {"v1.ckpt-2": (saver / "v1.ckpt-2").read_bytes()}),
        Original(
            "formats/saver/v1-sharded.ckpt-2", "v1-sharded.ckpt-2-?????-of-00001", {shard.name: shard.read_bytes()}
        ),
        Original("recorded/tf14_saver_v1fmt/model.ckpt-4", old.name, {old.name: old.read_bytes()}),
    )
