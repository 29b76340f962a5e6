"""Orbax folders: mutations of the tree's and the arrays' metadata, of the configuration, OCDBT's files and chunks."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from mutators.byte_spans import byte_mutators
from mutators.json_documents import mutate_json
from mutators.mutation import Checksum, Files, Mutator, NothingToMutateError, Original, choose_file, contents, of_bytes

_SETS = ("adamax-plain", "multisteps-plain3", "adamw-inject", "adam-chain-plain", "multi", "keras-amsgrad-sched/1")
_SIZES = (0, 1, 3, 10**6, 10**9, 2**40, 2**62, 2**63 - 1)
_KEYS = ("", ".", "..", "../..", "/etc", "a/../../b", "mu", "nu", "count", "0", "opt_state", "\0", "a" * 5000)


def _is_tree(name: str) -> bool:
    return name.endswith("_METADATA")


def _is_array(name: str) -> bool:
    return name.endswith((".zarray", "zarr.json"))


def _is_strings(name: str) -> bool:
    return name.endswith("_strings.json")


def _is_msgpack(name: str) -> bool:
    return name.endswith("checkpoint")


def _is_manifest(name: str) -> bool:
    return name.endswith("manifest.ocdbt")


def _is_data(name: str) -> bool:
    return "/d/" in f"/{name}" or name.rpartition("/")[2].replace(".", "").isdigit() or "/c/" in name


def _change_shape(text: bytes, rng: Random) -> tuple[bytes, str]:
    """Change a length of an array, of its chunks, or both."""
    document = json.loads(text)
    grid = document.get("chunk_grid", {}).get("configuration", {})
    lists = [found for found in (document.get("shape"), document.get("chunks"), grid.get("chunk_shape")) if found]
    if not lists:
        raise NothingToMutateError("a scalar")
    size = rng.choice(_SIZES)
    for lengths in rng.choice(([lists[0]], [lists[-1]], lists)):
        lengths[rng.randrange(len(lengths))] = size
    return json.dumps(document).encode(), f"lengths of {size}"


def _change_key(text: bytes, rng: Random) -> tuple[bytes, str]:
    """Change a key that leads to a leaf."""
    document = json.loads(text)
    entries = [entry["key_metadata"] for entry in document.get("tree_metadata", {}).values()]
    if not entries:
        raise NothingToMutateError("no leaf")
    keys, key = rng.choice(entries), rng.choice(_KEYS)
    keys[rng.randrange(len(keys))]["key"] = key
    return json.dumps(document).encode(), f"a key is {key[:20]!r}"


def _leave_out(files: Files, rng: Random) -> str:
    """Remove a file."""
    name = choose_file(files, rng, lambda _: True)
    del files[name]
    return f"{name}: left out"


def _exchange(files: Files, rng: Random) -> str:
    """Put one file's bytes in another's place."""
    name, other = choose_file(files, rng, _is_data), choose_file(files, rng, _is_data)
    if contents(files, name) == contents(files, other):
        raise NothingToMutateError("the same bytes")
    files[name] = contents(files, other)
    return f"{name}: has the bytes of {other}"


MUTATORS: tuple[Mutator, ...] = (
    of_bytes("_METADATA: JSON", mutate_json, _is_tree, Checksum.NONE, 4.0),
    of_bytes("_METADATA: keys", _change_key, _is_tree, Checksum.NONE, 2.0),
    of_bytes("arrays: JSON", mutate_json, _is_array, Checksum.NONE, 4.0),
    of_bytes("arrays: lengths", _change_shape, _is_array, Checksum.NONE, 4.0),
    of_bytes("_strings.json: JSON", mutate_json, _is_strings, Checksum.NONE, 2.0),
    *byte_mutators("msgpack", _is_msgpack, Checksum.NONE, 0.5),
    *byte_mutators("manifest.ocdbt", _is_manifest, Checksum.KEPT, 0.3),
    *byte_mutators("chunks", _is_data, Checksum.NONE, 0.5),
    Mutator("files: left out", _leave_out, Checksum.NONE),
    Mutator("chunks: exchanged", _exchange, Checksum.NONE),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return folders of each kind: zarr, zarr3 and OCDBT, trees in JSON and in msgpack, and one of Keras."""
    return tuple(Original(f"orbax/{name}", ".", _read(fixtures / "orbax" / name)) for name in _SETS)


def _read(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
