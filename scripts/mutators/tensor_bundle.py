"""Tensor bundles (`.index`, `.data-*`) and the state file: mutations of entries, header, shards, slices and values.

tensorflow/core/protobuf/tensor_bundle.proto; the values' checksums are in the index, the index's own in its table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

import google_crc32c

from mutators.byte_spans import byte_mutators
from mutators.companions import folder_mutators
from mutators.messages import Record, decode, decode_varint, encode, encode_varint, mutate_message
from mutators.mutation import (
    Checksum,
    Files,
    Mutator,
    NothingToMutateError,
    Original,
    choose_file,
    contents,
    of_bytes,
    whole_numbers,
)
from mutators.sorted_tables import mask, masked_crc, read_table, table_mutators, write_table

DTYPE, SHAPE, SHARD, OFFSET, SIZE, CRC, SLICES = range(1, 8)
"""Fields of BundleEntryProto."""

_NUM_SHARDS, _ENDIANNESS, _VERSION = 1, 2, 3  # of BundleHeaderProto
_FLOAT32, _FLOAT64, _STRING = 1, 2, 7
_OBJECT_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
_STATE_FILE = "checkpoint"


def is_index(name: str) -> bool:
    """Whether it is an index."""
    return name.endswith(".index")


def is_data(name: str) -> bool:
    """Whether it is a shard."""
    return ".data-" in name


class Bundle:
    """A bundle's entries and shards, to be changed and written back with matching checksums."""

    def __init__(self, files: Files, rng: Random) -> None:
        self._files = files
        self._index = choose_file(files, rng, is_index)
        self._prefix = self._index[: -len(".index")]
        self.entries = {key: decode(value) for key, value in read_table(contents(files, self._index))}

    @property
    def shards(self) -> list[str]:
        """Names of its files of data, in order."""
        return sorted(name for name in self._files if name.startswith(f"{self._prefix}.data-"))

    def choose(self, rng: Random, is_meant: Callable[[list[Record]], bool] = lambda entry: True) -> bytes:
        """Return the key of an entry that is meant."""
        keys = [key for key, entry in self.entries.items() if key and is_meant(entry)]
        if not keys:
            raise NothingToMutateError("no such entry")
        return rng.choice(keys)

    def get(self, key: bytes, field: int) -> int:
        """Return an integer field of an entry."""
        return next((v for n, _, v in self.entries[key] if n == field and isinstance(v, int)), 0)

    def put(self, key: bytes, field: int, value: int | bytes, kind: int | None = None) -> None:
        """Set a field of an entry, once."""
        wire = kind if kind is not None else 0 if isinstance(value, int) else 2
        kept = [record for record in self.entries[key] if record[0] != field]
        self.entries[key] = sorted([*kept, (field, wire, value)], key=lambda record: record[0])

    def values(self, key: bytes) -> bytes:
        """Return the bytes of a tensor."""
        start = self.get(key, OFFSET)
        return contents(self._files, self.shards[self.get(key, SHARD)])[start : start + self.get(key, SIZE)]

    def set_values(self, key: bytes, raw: bytes, crc: int | None = None) -> None:
        """Put other bytes in a tensor's place, or behind all if there are more; `crc` by default of the bytes."""
        shard = self.shards[self.get(key, SHARD)]
        data, start = contents(self._files, shard), self.get(key, OFFSET)
        if len(raw) > self.get(key, SIZE):
            start = len(data)
        self._files[shard] = data[:start] + raw + data[start + len(raw) :]
        self.put(key, OFFSET, start)
        self.put(key, SIZE, len(raw))
        self.put(key, CRC, struct.pack("<I", masked_crc(raw) if crc is None else crc), 5)

    def write(self) -> None:
        """Write the index."""
        self._files[self._index] = write_table([(key, encode(entry)) for key, entry in self.entries.items()])


def _change_header(files: Files, rng: Random) -> str:
    bundle = Bundle(files, rng)
    field, value = rng.choice(
        (
            (_NUM_SHARDS, whole_numbers(rng, 4, bundle.get(b"", _NUM_SHARDS))),
            (_NUM_SHARDS, rng.choice((2, 99999, 100000, 1 << 16))),
            (_ENDIANNESS, rng.choice((1, 2, 1 << 40))),
            (_VERSION, encode([(1, 0, rng.choice((0, 2, 1 << 31))), (2, 0, rng.choice((0, 1, 2, 1 << 31)))])),
        )
    )
    bundle.put(b"", field, value)
    bundle.write()
    return f"the header's field {field} becomes {value!r}"


def _change_place(files: Files, rng: Random) -> str:
    """Have an entry's bytes lie elsewhere."""
    bundle = Bundle(files, rng)
    key = bundle.choose(rng)
    field = rng.choice((DTYPE, SHARD, OFFSET, SIZE))
    odd = whole_numbers(rng, 8, bundle.get(key, field))
    value = rng.choice((odd, rng.randrange(40), (1 << 64) - rng.randint(1, 8)))
    bundle.put(key, field, value)
    bundle.write()
    return f"{key[:60]!r}: field {field} becomes {value}"


def _change_shape(files: Files, rng: Random) -> str:
    bundle = Bundle(files, rng)
    key = bundle.choose(rng)
    size = rng.choice((1, 4, 1000, 1 << 20, 1 << 33, 1 << 62, (1 << 64) - 1, 0))
    shape = rng.choice(([size], [size, size], [1] * 100, [], [2] * 70, [0, size], [1 << 21] * 3))
    bundle.put(key, SHAPE, _shape(shape))
    if rng.random() < 0.5:
        bundle.put(key, SIZE, rng.choice((4 * size, size, 0)) & ((1 << 64) - 1))
    bundle.write()
    return f"{key[:60]!r}: shape becomes {str(shape)[:60]}"


def _shape(sizes: list[int]) -> bytes:
    """A TensorShapeProto."""
    return encode([(2, 2, encode([(1, 0, size)])) for size in sizes])


def _swap_entries(files: Files, rng: Random) -> str:
    """Have two entries lie in each other's place."""
    bundle = Bundle(files, rng)
    a, b = bundle.choose(rng), bundle.choose(rng)
    bundle.entries[a], bundle.entries[b] = bundle.entries[b], bundle.entries[a]
    bundle.write()
    return f"{a[:60]!r} and {b[:60]!r} exchanged"


def _change_slices(files: Files, rng: Random) -> str:
    """Have the slices of a partitioned tensor overlap, leave gaps, reach out of it, or be far too many."""
    bundle = Bundle(files, rng)
    key = bundle.choose(rng, lambda entry: any(number == SLICES for number, _, _ in entry))
    slices = [value for number, _, value in bundle.entries[key] if number == SLICES and isinstance(value, bytes)]
    others = [record for record in bundle.entries[key] if record[0] != SLICES]
    change = rng.choice(("one left out", "one repeated", "one changed", "one changed", "many", "reordered", "all"))
    at = rng.randrange(len(slices))
    if change == "one left out":
        del slices[at]
    elif change == "one repeated":
        slices[at] = rng.choice(slices)
    elif change == "one changed":
        slices[at], note = mutate_message(slices[at], rng)
        change = f"one changed ({note})"
    elif change == "many":
        slices *= 20_000
    elif change == "reordered":
        rng.shuffle(slices)
    else:
        slices = [encode([(1, 2, b"")] * 2)]  # one slice that is everything
    bundle.entries[key] = [*others, *((SLICES, 2, part) for part in slices)]
    bundle.write()
    return f"{key[:60]!r}: slices: {change}"


def _change_numbers(files: Files, rng: Random) -> str:
    """Put numbers that can't be into a tensor."""
    bundle = Bundle(files, rng)
    key = bundle.choose(rng, lambda entry: not any(n == DTYPE and v == _STRING for n, _, v in entry))
    raw = bundle.values(key)
    changed, note = odd_numbers(raw, bundle.get(key, DTYPE), rng)
    bundle.set_values(key, changed)
    bundle.write()
    return f"{key[:60]!r}: {note}"


def odd_numbers(raw: bytes, dtype: int, rng: Random) -> tuple[bytes, str]:
    """Return a tensor's bytes, of TensorFlow's type `dtype`, with numbers in them that can't be."""
    if not raw:
        raise NothingToMutateError("no elements")
    format_ = {_FLOAT32: "f", _FLOAT64: "d"}.get(dtype, "B")
    numbers = list(struct.unpack(f"<{len(raw) // struct.calcsize(format_)}{format_}", raw))
    odd = (float("nan"), float("inf"), -float("inf"), -1.0, 3e38, 1e-45, 0.0) if format_ != "B" else (0, 255, 128, 7)
    number = rng.choice(odd)
    at = rng.randrange(len(numbers)) if rng.random() < 0.5 else None
    numbers = [number if at in (None, i) else n for i, n in enumerate(numbers)]
    return struct.pack(f"<{len(numbers)}{format_}", *numbers), f"{'all' if at is None else at} become {number}"


def _flip_value(files: Files, rng: Random) -> str:
    """Flip a bit of a tensor, with its checksum."""
    bundle = Bundle(files, rng)
    key = bundle.choose(rng, lambda entry: any(n == SIZE and v for n, _, v in entry))
    raw = bytearray(bundle.values(key))
    at = rng.randrange(len(raw))
    raw[at] ^= 1 << rng.randrange(8)
    bundle.set_values(key, bytes(raw))
    bundle.write()
    return f"{key[:60]!r}: a bit of byte {at} flipped"


def _change_string(files: Files, rng: Random) -> str:
    """Lie about the lengths of strings."""
    bundle = Bundle(files, rng)
    key = bundle.choose(rng, lambda entry: any(n == DTYPE and v == _STRING for n, _, v in entry))
    length = whole_numbers(rng, rng.choice((1, 4, 8)))
    head = encode_varint(length)
    raw = bundle.values(key)
    body = raw[decode_varint(raw, 0)[1] :]
    bundle.set_values(key, rng.choice((head + body, head, b"\xff" * 20 + body, body)))
    if rng.random() < 0.5:
        bundle.put(key, SHAPE, _shape([rng.choice((2, 1 << 20, 1 << 40))]))
    bundle.write()
    return f"{key[:60]!r}: a string of {length} bytes is claimed"


def _change_object_graph(files: Files, rng: Random) -> str:
    """Change a record of the object graph, with its checksums."""
    bundle = Bundle(files, rng)
    if _OBJECT_GRAPH not in bundle.entries:
        raise NothingToMutateError("no object graph")
    raw = bundle.values(_OBJECT_GRAPH)
    message = raw[decode_varint(raw, 0)[1] + 4 :]
    changed, note = mutate_message(message, rng)
    # WriteStringTensor: the checksum is over fixed-width lengths, though varints are what is stored
    crc = google_crc32c.value(struct.pack("<I", len(changed)))
    body = struct.pack("<I", mask(crc)) + changed
    crc = google_crc32c.extend(crc, body)
    bundle.set_values(_OBJECT_GRAPH, encode_varint(len(changed)) + body, mask(crc))
    bundle.write()
    return f"object graph, field {note}"


def _rename_shards(files: Files, rng: Random) -> str:
    """Have shards be numbered otherwise."""
    shards = sorted(name for name in files if is_data(name))
    if not shards:
        raise NothingToMutateError("no shards")
    name = rng.choice(shards)
    stem = name[: name.index(".data-")]
    other = rng.choice(("00000-of-00002", "00001-of-00002", "00000-of-00000", "99999-of-99999", "00000-of-1"))
    files[f"{stem}.data-{other}"] = files.pop(name)
    return f"{name}: renamed {other}"


def _mutate_state(text: bytes, rng: Random) -> tuple[bytes, str]:
    """Have the state file name something else."""
    name = rng.choice(
        (
            "/etc/passwd", "../ckpt-1", "/absolute/ckpt-1", "ckpt-1" * 1000, "", "\\0\\001", "ckpt-1\\", "nul\0", "*",
            "C:\\\\ckpt-1", "./././ckpt-1", "checkpoint", ".", "..", "\x1b[31m",
        )
    )  # fmt: skip
    line = f'model_checkpoint_path: "{name}"\n'.encode()
    kept = f'all_model_checkpoint_paths: "{name}"\n'.encode()
    return rng.choice((line, line + kept * 50_000, text + line, kept, b"\xff" + line)), f"names {name[:40]!r}"


def is_state(name: str) -> bool:
    """Whether it is a state file."""
    return name.rpartition("/")[2] == _STATE_FILE


def bundle_mutators(*, has_slices: bool) -> tuple[Mutator, ...]:
    """Return what changes a bundle's own files, wherever they lie; `has_slices`: some tensors are partitioned."""
    kept, again = Checksum.KEPT, Checksum.RECOMPUTED
    structured = (
        ("header", _change_header, again, 0.7),
        ("dtype, shard, offset, size", _change_place, again, 1.5),
        ("shape", _change_shape, again, 1.5),
        ("entries exchanged", _swap_entries, again, 0.7),
        *((("slices", _change_slices, again, 1.5),) if has_slices else ()),
        ("impossible numbers", _change_numbers, again, 1.0),
        ("value", _flip_value, again, 0.5),
        ("string", _change_string, again, 0.7),
        ("object graph", _change_object_graph, again, 2.0),
        ("shards renamed", _rename_shards, kept, 0.3),
    )
    return (
        *(Mutator(name, apply, checksum, weight) for name, apply, checksum, weight in structured),
        *table_mutators("index", is_index),
        *byte_mutators("index", is_index, kept),
        *byte_mutators("data", is_data, kept),
        *folder_mutators(kept),
    )


MUTATORS = (
    *bundle_mutators(has_slices=True),
    of_bytes("state file", _mutate_state, is_state, Checksum.NONE),
    *byte_mutators("state file", is_state, Checksum.NONE, 0.1),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return bundles of TF1, OptimizerV2, Keras 2.11+ and Keras 3, in one shard and several, and one's folder."""
    keras = {path.name: path.read_bytes() for path in (fixtures / "formats/keras").glob("ckpt-1.*")}
    state = b'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "ckpt-1"\n'
    return (
        Original("formats/keras/ckpt-1", "ckpt-1", keras),
        Original("formats/keras/ckpt-1, its folder", ".", {**keras, _STATE_FILE: state}),
        bundle_original(fixtures, "formats/saver", "v2.ckpt-2"),
        *(
            bundle_original(fixtures, f"recorded/{folder}", prefix)
            for folder, prefix in (
                ("tf112_saver_sharded", "model.ckpt-4"),
                ("tf112_saver_partitioned3_nometa", "model.ckpt-3"),
                ("tf112_saver_f64_nometa", "model.ckpt-4"),
                ("tf24_v2_ckpt_amsgrad", "ckpt-5"),
                ("tf20_v2_ckpt_lso", "ckpt-6"),
                ("tf213_new_ckpt_gan", "ckpt-4"),
                ("k333_tf216_ckpt_f16", "ckpt-4"),
                ("k333_tf216_ckpt_nadam", "ckpt-4"),
            )
        ),
    )


def bundle_original(fixtures: Path, folder: str, prefix: str, *, has_graph: bool = False) -> Original:
    """Return a bundle of the fixtures, with its `.meta` or without."""
    files = {
        path.name: path.read_bytes()
        for path in sorted((fixtures / folder).glob(f"{prefix}.*"))
        if has_graph or path.suffix != ".meta"
    }
    return Original(f"{folder}/{prefix}", prefix, files)
