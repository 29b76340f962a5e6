"""The nodes of a TensorFlow graph and their attributes, as they are written. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_inspect.records import dataclass
from ckpt_inspect.wire import Buffer, fields, signed

# node_def.proto, attr_value.proto: field numbers
NODE_NAME, NODE_OP, NODE_INPUT, NODE_ATTR = 1, 2, 3, 5
ENTRY_KEY, ENTRY_VALUE = 1, 2
ATTR_INT, ATTR_BOOL, ATTR_TYPE, ATTR_FUNCTION = 3, 5, 6, 10
FUNCTION_NAME = 1


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node of the graph."""

    name: str
    op: str
    inputs: tuple[str, ...]
    """Names as written: `node`, `node:1`, `^control`."""
    attributes: bytes | memoryview | None
    """The message from its first attribute on, undecoded; None if there is none."""


def decode_node(data: bytes | memoryview) -> GraphNode:
    """Return a serialized NodeDef's node."""
    name = op = ""
    inputs: list[str] = []
    has_attributes = False
    for number, _, value in fields(data):
        if isinstance(value, int):
            continue
        if number == NODE_ATTR:
            has_attributes = True
        elif number == NODE_NAME:
            name = bytes(value).decode("utf-8", "replace")
        elif number == NODE_OP:
            op = bytes(value).decode("utf-8", "replace")
        elif number == NODE_INPUT:
            inputs.append(bytes(value).decode("utf-8", "replace"))
    return GraphNode(name, op, tuple(inputs), data if has_attributes else None)


def bare_name(name: str) -> str:
    """Return the node that an input is of: `node` of `node:1` or `^node`."""
    return name.lstrip("^").split(":", 1)[0]


def data_inputs(node: GraphNode) -> list[str]:
    """Return the inputs that are values: all that aren't control inputs."""
    return [i for i in node.inputs if not i.startswith("^")]


def attributes_of(node: GraphNode) -> Iterator[tuple[str, Buffer]]:
    """Yield the node's attributes: (name, serialized AttrValue)."""
    for number, _, entry in fields(node.attributes or b""):
        if number == NODE_ATTR and not isinstance(entry, int):
            parts = {n: v for n, _, v in fields(entry) if not isinstance(v, int)}
            yield bytes(parts.get(ENTRY_KEY, b"")).decode("utf-8", "replace"), parts.get(ENTRY_VALUE, b"")


def _varint_of(node: GraphNode, name: str, kind: int) -> int | None:
    for key, value in attributes_of(node):
        if key == name:
            return next((v for n, _, v in fields(value) if n == kind and isinstance(v, int)), None)
    return None


def flag_of(node: GraphNode, name: str) -> bool:
    """Return an attribute that is a truth value; False if it is missing."""
    return _varint_of(node, name, ATTR_BOOL) == 1


def int_of(node: GraphNode, name: str) -> int:
    """Return an attribute that is a whole number; 0 if it is missing."""
    return signed(_varint_of(node, name, ATTR_INT) or 0)


def function_of(node: GraphNode, name: str) -> str:
    """Return the name of the function that an attribute is; empty if it is missing."""
    for key, value in attributes_of(node):
        if key == name:
            listed = next((v for n, _, v in fields(value) if n == ATTR_FUNCTION and not isinstance(v, int)), b"")
            names = (v for n, _, v in fields(listed) if n == FUNCTION_NAME and not isinstance(v, int))
            return bytes(next(names, b"")).decode("utf-8", "replace")
    return ""


def type_of(node: GraphNode, name: str) -> int | None:
    """Return the type that an attribute names (types.proto)."""
    return _varint_of(node, name, ATTR_TYPE)
