"""Keras' `.weights.h5`, whole and in shards with a `.weights.json`: mutations as of any HDF5 file, and of the index."""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random

import h5py

from mutators.byte_spans import byte_mutators
from mutators.companions import folder_mutators
from mutators.hdf5_contents import content_mutators
from mutators.hdf5_fields import OLD_KINDS, field_mutators
from mutators.json_documents import mutate_json
from mutators.keras_h5 import file_original, is_hdf5
from mutators.mutation import Checksum, Mutator, NothingToMutateError, Original, of_bytes

_SHARDS = ("model_00000.weights.h5", "model_00001.weights.h5")


def _is_json(name: str) -> bool:
    return name.endswith(".weights.json")


def _change_map(text: bytes, rng: Random) -> tuple[bytes, str]:
    """Have the index name other files."""
    index = json.loads(text)
    places = index.get("weight_map")
    if not places:
        raise NothingToMutateError("no map")
    key = rng.choice(sorted(places))
    name: object = rng.choice(
        (
            "../model_00000.weights.h5", "/etc/passwd", "", ".", "..", "model_00009.weights.h5", _SHARDS[0], "a\0b",
            "model.weights.json", 3, None, {"a": 1}, [_SHARDS[0], _SHARDS[1]], [_SHARDS[0]] * 100_000, [[]], "x" * 5000,
        )
    )  # fmt: skip
    places[key] = name
    return json.dumps(index).encode(), f"{key} is said to be in {str(name)[:40]!r}"


def _of_hdf5(kinds: tuple[str, ...]) -> tuple[Mutator, ...]:
    return (
        *field_mutators(is_hdf5, kinds),
        *content_mutators(is_hdf5, has_json=False),
        *byte_mutators("file", is_hdf5, Checksum.NONE),
    )


MUTATORS: tuple[Mutator, ...] = (*_of_hdf5(OLD_KINDS), *folder_mutators(Checksum.NONE, 0.1, is_one_file=True))
SHARD_MUTATORS: tuple[Mutator, ...] = (
    of_bytes("index: map", _change_map, _is_json, Checksum.NONE, 4.0),
    of_bytes("index: JSON", mutate_json, _is_json, Checksum.NONE, 4.0),
    *byte_mutators("index", _is_json, Checksum.NONE, 0.3),
    *folder_mutators(Checksum.NONE, 1.0),
    *_of_hdf5(tuple(kind for kind in OLD_KINDS if kind not in ("continuation message", "other message"))),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return files of Keras 3.3, 3.11 and of today's."""
    names = (
        "formats/keras/model.weights.h5",
        "recorded/k333_tf216_fit_weights_h5_adamax/model_3.weights.h5",
        "recorded/k311_jax_fit_weights_h5_named/model_3.weights.h5",
    )
    return tuple(file_original(fixtures, name) for name in names)


def shard_originals(fixtures: Path) -> tuple[Original, ...]:
    """Return one file cut into two shards, as Keras 3.10 and later do it."""
    whole = (fixtures / "formats/keras/model.weights.h5").read_bytes()
    shards, places = [], {}
    for name, groups in zip(_SHARDS, (("layers",), ("optimizer", "vars")), strict=True):
        stream = io.BytesIO()
        with h5py.File(io.BytesIO(whole)) as source, h5py.File(stream, "w") as target:
            for group in groups:
                if group in source:
                    source.copy(group, target)
                    places[f"/{group}"] = name
        shards.append(stream.getvalue())
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": places}).encode()
    files = {"model.weights.json": index, **dict(zip(_SHARDS, shards, strict=True))}
    return (Original("formats/keras/model.weights.h5, in shards", "model.weights.json", files),)
