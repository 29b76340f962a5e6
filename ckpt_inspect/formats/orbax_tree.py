"""What an Orbax folder's metadata says of the tree that was saved: JSON -> its leaves. Pure.

orbax/checkpoint/_src/metadata/{tree,value_metadata_entry,array_metadata}.py (`_METADATA`), and before 0.4 the msgpack
file `checkpoint` of flax.serialization, whose leaves are `PLACEHOLDER://<name>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.flax_values import Inlined, find_values, is_chunked
from ckpt_inspect.formats.keras_config import decode_json
from ckpt_inspect.formats.msgpack import Data, Unpacked, unpack
from ckpt_inspect.jsonable import JsonObject, JsonValue

_MOST_KEYS = 200
"""Keys that lead to a leaf; a tree of parameters has some ten."""
_PLACEHOLDER = "PLACEHOLDER://"
_STRING = "string"
_NO_ARRAYS = frozenset({"None", "Dict", "List", "Tuple", "NamedTuple", _STRING})
"""Values of `value_type` of empty nodes, and of strings, which are in a file of their own."""


class Leaf(NamedTuple):
    """An array of the tree."""

    path: tuple[str, ...]
    """The keys that lead to it, list indices as digits."""
    written_shape: tuple[int, ...] | None
    """Of what one process wrote: the array's, unless it was sharded. None where the metadata doesn't say."""

    @property
    def name(self) -> str:
        """Return the name under which Orbax stores it."""
        return ".".join(self.path)


class Tree(NamedTuple):
    """The tree of one item."""

    leaves: tuple[Leaf, ...]
    empty: tuple[tuple[str, ...], ...]
    """Paths of nodes that hold nothing: None, empty states of optax, masked parameters."""
    aggregated: tuple[tuple[str, ...], ...]
    """Paths of the leaves that the msgpack file itself holds and that are not arrays or numbers."""
    is_ocdbt: bool | None
    is_zarr3: bool | None
    """None where the metadata doesn't say."""
    has_every_chunk: bool
    """Whether every chunk was written, those too that hold nothing but the fill value."""
    inlined: tuple[Inlined, ...] = ()
    """Arrays and numbers that the msgpack file itself holds."""

    def with_values(self, other: Tree) -> Tree:
        """Return the tree with the values that its msgpack file, decoded, has of it."""
        wanted = set(self.aggregated)
        found = tuple(value for value in other.inlined if value.path in wanted)
        rest = wanted - {value.path for value in found}
        return self._replace(aggregated=tuple(path for path in self.aggregated if path in rest), inlined=found)


def decode_tree(text: bytes, where: str) -> Tree:
    """Decode `_METADATA`; DamagedFileError, which names `where`, if it is no such JSON."""
    decoded = decode_json(text, where)
    entries = decoded.get("tree_metadata")
    if not isinstance(entries, Mapping):
        raise DamagedFileError(f"{where}: lists no tree_metadata: Orbax did not write it, or it is damaged; restore it")
    leaves: list[Leaf] = []
    empty: list[tuple[str, ...]] = []
    aggregated: list[tuple[str, ...]] = []
    for shown, entry in entries.items():
        keys = entry.get("key_metadata") if isinstance(entry, Mapping) else None
        value = entry.get("value_metadata") if isinstance(entry, Mapping) else None
        if not isinstance(keys, list) or not isinstance(value, Mapping):
            raise DamagedFileError(f"{where}: has no keys and value for {shown[:80]!r}: it is damaged; restore it")
        if not keys:
            raise DamagedFileError(f"{where}: has a leaf to which no key leads: it is damaged; restore it")
        if len(keys) > _MOST_KEYS:
            raise DamagedFileError(f"{where}: has a leaf that is nested {len(keys)} levels deep: it is damaged")
        path = tuple(_key(key, where) for key in keys)
        kind = str(value.get("value_type"))
        if kind == _STRING:
            continue
        if kind in _NO_ARRAYS:
            empty.append(path)
        elif value.get("skip_deserialize") is True:
            aggregated.append(path)
        else:
            leaves.append(Leaf(path, _shape(value.get("write_shape"))))
    return Tree(
        tuple(leaves),
        tuple(empty),
        tuple(aggregated),
        _flag(decoded, "use_ocdbt"),
        _flag(decoded, "use_zarr3"),
        decoded.get("store_array_data_equal_to_fill_value") is True,
    )


def decode_msgpack_tree(data: Data, where: str) -> Tree:
    """Decode the tree of releases before `_METADATA`; DamagedFileError, which names `where`, for anything else."""
    decoded = unpack(data, where)
    if not isinstance(decoded, (dict, list)):
        raise DamagedFileError(f"{where}: is msgpack, but not a tree: it is damaged, or no checkpoint of Orbax")
    leaves: list[Leaf] = []
    empty: list[tuple[str, ...]] = []
    aggregated: list[tuple[str, ...]] = []
    inlined: list[Inlined] = []
    for path, value in _walk(decoded, ()):
        if isinstance(value, str) and value.startswith(_PLACEHOLDER):
            leaves.append(Leaf(tuple(path), None))
        elif value is None or value in ({}, []):
            empty.append(path)
        elif isinstance(value, str):
            continue
        elif (found := find_values(data, path, value, where)) is not None:
            inlined.append(found)
        else:
            aggregated.append(path)
    return Tree(tuple(leaves), tuple(empty), tuple(aggregated), None, None, False, tuple(inlined))


def _walk(node: Unpacked, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Unpacked]]:
    if not isinstance(node, (dict, list)) or not node or is_chunked(node):
        yield path, node
    else:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _walk(value, (*path, str(key)))


def decode_strings(text: bytes, where: str) -> Mapping[str, str]:
    """Decode `_strings.json`: the tree's strings by name."""
    return {key: value for key, value in decode_json(text, where).items() if isinstance(value, str)}


def _key(entry: JsonValue, where: str) -> str:
    key = entry.get("key") if isinstance(entry, Mapping) else None
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise DamagedFileError(f"{where}: has a key that is neither a name nor a number: it is damaged; restore it")
    if any("\ud800" <= character <= "\udfff" for character in str(key)):  # JSON's halves of characters
        raise DamagedFileError(f"{where}: has the key {ascii(key)[:80]}, which is not text: it is damaged; restore it")
    return str(key)


def _shape(value: JsonValue) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(isinstance(n, int) and n >= 0 for n in value):
        return None
    return tuple(n for n in value if isinstance(n, int))


def _flag(decoded: JsonObject, name: str) -> bool | None:
    value = decoded.get(name)
    return value if isinstance(value, bool) else None
