"""TensorFlow's object graph: which Python object held which variable. Pure decoding, no I/O.

The bundle of an object-based checkpoint holds it as the string tensor `_CHECKPOINTABLE_OBJECT_GRAPH`, a serialized
`TrackableObjectGraph` (tensorflow/core/protobuf/trackable_object_graph.proto).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.records import dataclass
from ckpt_inspect.wire import fields

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VARIABLE_VALUE = "VARIABLE_VALUE"
KEY_TAIL = f"/.ATTRIBUTES/{VARIABLE_VALUE}"
"""Ends every key of a variable and carries no information."""
MODEL_LAYER = "layer_with_weights-"
"""Begins the names under which a Keras model keeps its layers, in their order."""
LIST_INDEX = re.compile(r"^[0-9]{1,18}$")

# trackable_object_graph.proto, by message: field numbers
GRAPH_NODES = 1
NODE_CHILDREN, NODE_ATTRIBUTES, NODE_SLOTS = 1, 2, 3
CHILD_NODE, CHILD_NAME = 1, 2
ATTRIBUTE_NAME, ATTRIBUTE_FULL_NAME, ATTRIBUTE_KEY = 1, 2, 3
SLOT_VARIABLE_NODE, SLOT_NAME, SLOT_NODE = 1, 2, 3


class SlotReference(NamedTuple):
    """An entry of an optimizer node: this variable's slot of that name is that node."""

    variable: int
    name: str
    node: int


@dataclass(frozen=True, slots=True)
class Node:
    """One object that was saved."""

    index: int
    children: Mapping[str, int]
    """Attribute name -> node index."""
    full_name: str
    """The variable's own name, without `:0`; empty for what is not a variable."""
    key: str
    """The tensor's key in the bundle; empty for what is not a variable."""
    slots: tuple[SlotReference, ...]

    def numbered(self) -> list[int]:
        """Return the nodes of a list object (`"0"`, `"1"`, ..) in numeric order."""
        return [self.children[k] for k in sorted((k for k in self.children if LIST_INDEX.match(k)), key=int)]


class Paths(Mapping[int, str]):
    """Paths by node, each put together when it is asked for: of a chain of nodes, all together are as long as its
    length squared."""

    def __init__(self, above: Mapping[int, tuple[int, str]]) -> None:
        """`above`: by node, the one that holds it, and its attribute name there; the root holds itself."""
        self._above = above

    def __getitem__(self, index: int) -> str:
        names = []
        at, name = self._above[index]
        while name or at != index:
            names.append(name)
            index = at
            at, name = self._above[index]
        return "/".join(reversed(names))

    def __iter__(self) -> Iterator[int]:
        return iter(self._above)

    def __len__(self) -> int:
        return len(self._above)


@dataclass(frozen=True)
class ObjectGraph:
    """The nodes by index; node 0 is the root, the `tf.train.Checkpoint` or model itself."""

    nodes: tuple[Node, ...]

    def child(self, node: Node, name: str) -> Node | None:
        """Return the child of that attribute name, if there is one."""
        index = node.children.get(name)
        return None if index is None else self.nodes[index]

    def list_of(self, node: Node, name: str) -> list[Node]:
        """Return the members, in order, of a child that is a list; none if there is no such child."""
        child = self.child(node, name)
        return [] if child is None else [self.nodes[i] for i in child.numbered()]

    @cached_property
    def paths(self) -> Mapping[int, str]:
        """Return the shortest path from the root of every node that can be reached, `a/b/c`; the root's is empty."""
        above: dict[int, tuple[int, str]] = {0: (0, "")}
        queue = deque([0] if self.nodes else [])
        while queue:
            at = queue.popleft()
            for name, child in self.nodes[at].children.items():
                if child not in above:
                    above[child] = (at, name)
                    queue.append(child)
        return Paths(above)

    @cached_property
    def places_in_models(self) -> Mapping[int, tuple[int, int]]:
        """Return, for what can be reached below a Keras model, the index of the outermost model's node, and the place
        in the order in which that model lists its variables: a layer's, with all that is below it, before the next's.
        """
        places: dict[int, tuple[int, int]] = {}
        seen: set[int] = set()
        stack: list[tuple[int, int | None]] = [(0, None)] if self.nodes else []
        while stack:
            at, model = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            children = self.nodes[at].children
            if model is None and any(name.startswith(MODEL_LAYER) for name in children):
                model = at
            if model is not None:
                places[at] = (model, len(seen))
            stack.extend((child, model) for child in reversed(list(children.values())))
        return places

    @cached_property
    def variables_by_full_name(self) -> Mapping[str, tuple[Node, ...]]:
        """Return, by full name, all variable nodes of that name, in node order."""
        names: dict[str, list[Node]] = {}
        for node in self.nodes:
            if node.full_name:
                names.setdefault(node.full_name, []).append(node)
        return {name: tuple(nodes) for name, nodes in names.items()}


def decode_object_graph(data: bytes) -> ObjectGraph:
    """Decode a serialized `TrackableObjectGraph`; raises DamagedFileError."""
    try:
        nodes = tuple(_decode_node(i, body) for i, body in enumerate(_messages(data, GRAPH_NODES)))
    except DamagedFileError as error:
        raise DamagedFileError(f"object graph: {error}; restore the checkpoint from another copy") from error
    for node in nodes:
        pointers = [*node.children.values(), *(s.variable for s in node.slots), *(s.node for s in node.slots)]
        if any(not 0 <= p < len(nodes) for p in pointers):
            raise DamagedFileError(
                f"object graph: node {node.index} points outside of its {len(nodes)} nodes; "
                "the checkpoint is damaged, restore it from another copy"
            )
    return ObjectGraph(nodes)


def _messages(data: bytes | memoryview, wanted: int) -> Iterator[bytes | memoryview]:
    return (value for number, _, value in fields(data) if number == wanted and not isinstance(value, int))


def _decode_node(index: int, data: bytes | memoryview) -> Node:
    children: dict[str, int] = {}
    slots: list[SlotReference] = []
    full_name = key = ""
    for number, _, value in fields(data):
        if isinstance(value, int):
            continue
        if number == NODE_CHILDREN:
            ids, names = _scalars(value)
            children[names.get(CHILD_NAME, "")] = ids.get(CHILD_NODE, 0)
        elif number == NODE_ATTRIBUTES:
            _, names = _scalars(value)
            if names.get(ATTRIBUTE_NAME) == VARIABLE_VALUE:
                full_name, key = names.get(ATTRIBUTE_FULL_NAME, ""), names.get(ATTRIBUTE_KEY, "")
        elif number == NODE_SLOTS:
            ids, names = _scalars(value)
            slots.append(SlotReference(ids.get(SLOT_VARIABLE_NODE, 0), names.get(SLOT_NAME, ""), ids.get(SLOT_NODE, 0)))
    return Node(index, children, full_name, key, tuple(slots))


def _scalars(data: bytes | memoryview) -> tuple[dict[int, int], dict[int, str]]:
    ids: dict[int, int] = {}
    names: dict[int, str] = {}
    for number, _, value in fields(data):
        if isinstance(value, int):
            ids[number] = value
        else:
            names[number] = bytes(value).decode("utf-8", "replace")
    return ids, names
