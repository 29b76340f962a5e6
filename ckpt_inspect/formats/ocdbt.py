"""Which values an OCDBT store holds, and where each lies, as tensorstore decodes its manifest and its B-tree.

https://google.github.io/tensorstore/kvstore/ocdbt/index.html. Far away, that takes a request for each node of the tree,
of which there are few: neighbouring values are then fetched together, and not in a request each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import unquote

from ckpt_inspect.jsonable import JsonObject

_MOST_VALUES = 1 << 16
"""Values of a store that are listed here, at some 300 bytes of memory each; tensorstore finds those of larger ones."""
_MOST_NODES, _MOST_LEVELS = 1 << 12, 16
_NODES_TOGETHER = 32


class Span(NamedTuple):
    """A value that lies in a file of the store."""

    file: str
    """Its name, from the store's folder."""
    offset: int
    size: int


Value = bytes | Span
"""Short ones are in the tree itself."""


def list_values(tensorstore: ModuleType, files: JsonObject) -> Mapping[str, Value] | None:
    """Return the store's newest values by key; None if they are too many, or if anything isn't as it should be, of
    which tensorstore then says what it is. `files` is its specification of the folder."""
    try:
        base = tensorstore.KvStore.open(files).result()
        manifest = tensorstore.ocdbt.dump(base).result()
        newest = manifest["versions"][-1]
        if newest["root"]["statistics"]["num_keys"] > _MOST_VALUES:
            return None
        found: dict[str, Value] = {}
        for key, entry in _leaves(tensorstore, base, newest["root"]["location"], newest["root_height"]):
            found[key.decode()] = _value(entry)
            if len(found) > _MOST_VALUES:
                return None
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OSError, RuntimeError):
        return None
    return found


def _leaves(tensorstore: ModuleType, base: Any, root: str, height: int) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
    """Yield the tree's keys and entries; raises ValueError for a tree that is none, or too large."""
    if height > _MOST_LEVELS:
        raise ValueError(f"a tree of {height} levels")
    level, count = [(b"", root)], 0
    while level:
        below: list[tuple[bytes, str]] = []
        count += len(level)
        if count > _MOST_NODES:
            raise ValueError(f"more than {_MOST_NODES} nodes")
        for at in range(0, len(level), _NODES_TOGETHER):
            some = level[at : at + _NODES_TOGETHER]
            nodes = [(prefix, tensorstore.ocdbt.dump(base, location)) for prefix, location in some]
            for prefix, future in nodes:
                node = future.result()
                if node["height"] != height:
                    raise ValueError(f"a node of level {node['height']} at level {height}")
                if height:
                    below += [(prefix + e.get("subtree_common_prefix", b""), e["location"]) for e in node["entries"]]
                else:
                    yield from ((prefix + entry["key"], entry) for entry in node["entries"])
        level, height = below, height - 1


def _value(entry: Mapping[str, Any]) -> Value:
    if "inline_value" in entry:
        return bytes(entry["inline_value"])
    kind, folder, name, offset, size = entry["indirect_value"].split(":")
    if kind != "value":
        raise ValueError(f"a value that is a {kind}")
    return Span(unquote(folder) + unquote(name), int(offset), int(size))
