"""What a TensorFlow graph says about its optimizers: the apply nodes' inputs, and the constants behind them. Pure.

A `GraphDef` (tensorflow/core/framework/graph.proto) names its nodes and their inputs. A TF1 optimizer leaves one node
a dense variable, `ApplyAdam(var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, grad)`
(`ResourceApplyAdam` likewise), named `<scope>/update_<variable>/ApplyAdam`; sparse variables get a cluster of plain
nodes under `<scope>/update_<variable>/`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import HYPERPARAMETERS, OPERATIONS
from ckpt_inspect.wire import fields

# graph.proto, node_def.proto, attr_value.proto, tensor.proto: field numbers
GRAPH_NODE = 1
NODE_NAME, NODE_OP, NODE_INPUT, NODE_ATTR = 1, 2, 3, 5
ENTRY_KEY, ENTRY_VALUE = 1, 2
ATTR_BOOL, ATTR_TYPE, ATTR_TENSOR = 5, 6, 8
TENSOR_DTYPE, TENSOR_CONTENT, TENSOR_FLOAT, TENSOR_DOUBLE, TENSOR_INT, TENSOR_INT64 = 1, 4, 5, 6, 7, 10
NUMPY_OF_DTYPE = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}  # types.proto: FLOAT, DOUBLE, INT32, INT64, HALF
FLOAT, DOUBLE, BOOL, HALF = 1, 2, 10, 19
INTEGERS = {3, 4, 5, 6, 9, 17, 22, 23}  # INT32, UINT8, INT16, INT8, INT64, UINT16, UINT32, UINT64

CONSTANT_OPS = {"Const"}
VARIABLE_OPS = {"VariableV2", "Variable", "VarHandleOp"}
ASSIGN_OPS = {"Assign", "AssignVariableOp"}
ADD_OPS = {"AssignAdd", "AssignAddVariableOp"}
SUBTRACT_OPS = {"AssignSub", "AssignSubVariableOp"}
CHANGING_OPS = ASSIGN_OPS | ADD_OPS | SUBTRACT_OPS
PLACEHOLDER_OPS = {"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}
RESTORE_OPS = {"RestoreV2", "RestoreSlice", "Restore"}
TRANSPARENT_OPS = {
    "Identity",
    "ReadVariableOp",
    "Enter",
    "Cast",
    "ResourceGather",
    "StopGradient",
    "Switch",  # what enters a branch of tf.cond, as a loss scale's or a stale gradient's does
    "RefSwitch",
}
SCALAR_OPS: Mapping[str, Callable[..., float]] = {
    "Add": lambda a, b: a + b, "AddV2": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
    "RealDiv": lambda a, b: a / b, "Div": lambda a, b: a / b, "FloorDiv": lambda a, b: float(np.floor(a / b)),
    "Pow": lambda a, b: a**b, "Minimum": min, "Maximum": max, "Floor": lambda a: float(np.floor(a)),
    "Ceil": lambda a: float(np.ceil(a)), "Sqrt": lambda a: float(np.sqrt(a)), "Rsqrt": lambda a: float(1 / np.sqrt(a)),
    "Exp": lambda a: float(np.exp(a)), "Cos": lambda a: float(np.cos(a)), "Neg": lambda a: -a,
    "Square": lambda a: a * a, "Abs": abs, "Sign": lambda a: float(np.sign(a)), "Round": lambda a: float(np.rint(a)),
    "Sin": lambda a: float(np.sin(a)), "Tanh": lambda a: float(np.tanh(a)), "Log": lambda a: float(np.log(a)),
    "Reciprocal": lambda a: 1 / a, "SquaredDifference": lambda a, b: (a - b) * (a - b), "AddN": lambda *a: sum(a),
    "FloorMod": lambda a, b: float(np.mod(a, b)), "TruncateDiv": lambda a, b: float(np.trunc(a / b)),
    "LogicalAnd": lambda a, b: float(bool(a and b)), "LogicalOr": lambda a, b: float(bool(a or b)),
    "LogicalNot": lambda a: float(not a), "NotEqual": lambda a, b: float(a != b),
    "Less": lambda a, b: float(a < b), "LessEqual": lambda a, b: float(a <= b), "Greater": lambda a, b: float(a > b),
    "GreaterEqual": lambda a, b: float(a >= b), "Equal": lambda a, b: float(a == b),
    "Select": lambda c, a, b: a if c else b, "SelectV2": lambda c, a, b: a if c else b,
}  # fmt: skip
MAX_DEPTH = 200
PARTITION = re.compile(r"(?P<whole>.+)/part_[0-9]+")


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node of the graph."""

    name: str
    op: str
    inputs: tuple[str, ...]
    """Names as written: `node`, `node:1`, `^control`."""
    attributes: bytes | memoryview | None
    """The message from its first attribute on, undecoded; None if there is none."""


@dataclass(frozen=True, slots=True)
class Application:
    """One variable's dense update."""

    rule: str
    scope: str
    """Name scope of the training operation, unique for each optimizer in the graph: `Adam`, `train/Adam_1`."""
    tensors: Mapping[str, str]
    """Variable names by role: `variable`, `first_moment`, `second_moment`, `beta1_power`, `beta2_power`, .."""
    scalars: Mapping[str, str]
    """Names of the nodes that feed the rule's hyperparameters: `learning_rate`, `beta_1`, `epsilon`, `rho`, .. and
    `weight_decay` if the variable shrinks by it before."""
    is_sparse: bool = False
    """Whether it updates the rows alone that the batch touches."""

    @property
    def slots(self) -> Mapping[str, str]:
        """Return the variables that are the updated one's slots, by role."""
        return {role: v for role, v in self.tensors.items() if role != "variable" and not role.endswith("_power")}

    @property
    def saved_slots(self) -> Mapping[str, str]:
        """Return the keys under which TensorFlow 1 saves them, by role.

        Those of a partition `<whole>/part_0` are saved as `<whole>/` and what its own name leaves of the slot's when as
        many characters are cut off: of `dnn/<whole>/part_0/Adam`, made in the scope `dnn`, that is `t_0/Adam`
        (tensorflow/python/training/slot_creator.py, `_create_slot_var`).
        """
        own = self.tensors.get("variable", "")
        partition = PARTITION.fullmatch(own)
        if partition is None:
            return self.slots
        return {role: f"{partition['whole']}/{name[len(own) + 1 :]}" for role, name in self.slots.items()}


@dataclass(frozen=True)
class GraphDef:
    """A graph's nodes by name."""

    nodes: Mapping[str, GraphNode]

    @cached_property
    def applications(self) -> tuple[Application, ...]:
        """Return every update of a known optimizer that is one operation, in the graph's order."""
        return tuple(a for n in self.nodes.values() if (a := self._application(n)) is not None)

    @cached_property
    def updated_in(self) -> Mapping[str, frozenset[str]]:
        """Return, by variable name, the scopes of the training operations that update it, dense or sparse, from
        `<scope>/update_<variable>/`."""
        scopes: dict[str, set[str]] = {}
        for name in self.nodes:
            if (match := re.match(r"(.*?)/update_(.+)/[^/]+$", name)) is not None:
                scopes.setdefault(match[2], set()).add(match[1])
        return {variable: frozenset(found) for variable, found in scopes.items()}

    @cached_property
    def scattered(self) -> Mapping[str, frozenset[str]]:
        """Return, by the name of a variable or slot, the operations that change rows of it in a training operation
        (`ScatterAdd`, `ScatterUpdate`, ..), a resource's under the same names."""
        found: dict[str, set[str]] = {}
        for node in self.nodes.values():
            op = node.op.removeprefix("Resource")
            if not op.startswith("Scatter") or "/update_" not in node.name or not node.inputs:
                continue
            if (target := self.variable_of(node.inputs[0])) is not None:
                found.setdefault(target, set()).add(op)
        return {target: frozenset(ops) for target, ops in found.items()}

    def variable_of(self, name: str) -> str | None:
        """Return the variable that an input reads, through `Identity` and `ReadVariableOp`; None for anything else."""
        for _ in range(MAX_DEPTH):
            node = self.nodes.get(_bare(name))
            if node is None:
                return None
            if node.op in VARIABLE_OPS:
                return node.name
            if node.op not in TRANSPARENT_OPS or not node.inputs:
                return None
            name = node.inputs[0]
        return None

    def read_in_updates(self, variables: frozenset[str]) -> Mapping[str, frozenset[str]]:
        """Return, by variable name, which of `variables` its new values are computed from, gradients aside.

        Keras before OptimizerV2 assigns `p - lr·m/(√v + ε)`, spelled out in plain operations: what it reads are the
        slots of p.
        """
        found: dict[str, set[str]] = {}
        for node in self.nodes.values():
            if node.op not in ASSIGN_OPS or len(node.inputs) < 2:
                continue
            target = self.variable_of(node.inputs[0])
            if target is not None and target not in variables:
                found.setdefault(target, set()).update(self._read_by(_bare(node.inputs[1]), variables))
        return {target: frozenset(names) for target, names in found.items()}

    def _read_by(self, name: str, variables: frozenset[str]) -> set[str]:
        seen, queue = {name}, [name]
        while queue:
            node = self.nodes.get(queue.pop())
            if node is None or "gradients" in node.name.split("/"):
                continue
            for i in node.inputs:
                if not i.startswith("^") and (i := _bare(i)) not in seen:
                    seen.add(i)
                    queue.append(i)
        return seen & variables

    def constant(self, name: str) -> float | None:
        """Return the scalar constant that an input is, through `Identity`; None for anything else."""
        for _ in range(MAX_DEPTH):
            node = self.nodes.get(_bare(name))
            if node is None:
                return None
            if node.op in CONSTANT_OPS:
                return _scalar_of(node)
            if node.op not in TRANSPARENT_OPS or not node.inputs:
                return None
            name = node.inputs[0]
        return None

    def evaluate(self, name: str, variables: Mapping[str, float]) -> float | None:
        """Return the value of a scalar expression over constants and `variables`, in each operation's own type.

        None if the expression holds anything else: a placeholder, an operation that isn't arithmetic.
        """
        return self._evaluate(_bare(name), variables, {}, 0)

    def _evaluate(
        self, name: str, variables: Mapping[str, float], known: dict[str, float | None], depth: int
    ) -> float | None:
        """Evaluate; `known` keeps results, because nodes are shared and a chain of doublings would take forever."""
        if name not in known:
            known[name] = None if depth > MAX_DEPTH else self._compute(name, variables, known, depth)
        return known[name]

    def _compute(
        self, name: str, variables: Mapping[str, float], known: dict[str, float | None], depth: int
    ) -> float | None:
        node = self.nodes.get(name)
        if node is None:
            return None
        if node.op in CONSTANT_OPS:
            return _scalar_of(node)
        if node.op in VARIABLE_OPS:
            return variables.get(node.name)
        inputs = [_bare(i) for i in node.inputs if not i.startswith("^")]
        if node.op in TRANSPARENT_OPS and inputs:
            value = self._evaluate(inputs[0], variables, known, depth + 1)
            return _cast(value, _type(node, "DstT")) if node.op == "Cast" else value
        if node.op not in SCALAR_OPS:
            return None
        values = [self._evaluate(i, variables, known, depth + 1) for i in inputs]
        if any(v is None for v in values):
            return None
        try:
            with np.errstate(all="ignore"):
                value = SCALAR_OPS[node.op](*values)
                # whole numbers are divided without a rest (`tf.div`)
                return _cast(value, _type(node, "T") or FLOAT)
        except (ArithmeticError, TypeError):
            return None

    def obstacle(self, name: str, variables: Mapping[str, float]) -> GraphNode | None:
        """Return the first node for which `evaluate` has no value, though it has one for all the inputs of that node;
        None if it has a value."""
        known: dict[str, float | None] = {}
        found = None
        name = _bare(name)
        while self._evaluate(name, variables, known, 0) is None and (node := self.nodes.get(name)) is not None:
            found = node
            inputs = [_bare(i) for i in node.inputs if not i.startswith("^")]
            is_expression = node.op in TRANSPARENT_OPS or node.op in SCALAR_OPS
            open_ones = [i for i in inputs if self._evaluate(i, variables, known, 0) is None] if is_expression else []
            if not open_ones or open_ones[0] == name:
                break
            name = open_ones[0]
        return found

    def _application(self, node: GraphNode) -> Application | None:
        name = node.op.removeprefix("Resource")
        known = OPERATIONS.get(name.removeprefix("Sparse"), ())
        told = next(((rule, o.inputs) for rule, o in known if not o.flag or _flag(node, o.flag)), None)
        if told is None:
            return None
        rule, places = told
        if max(places.values()) >= len(node.inputs):
            return None
        scalars = {role: node.inputs[i] for role, i in places.items() if role in HYPERPARAMETERS}
        read = {role: self.variable_of(node.inputs[i]) for role, i in places.items() if role not in scalars}
        tensors = {role: variable for role, variable in read.items() if variable is not None}
        if (decay := self._decay_before(node, tensors.get("variable"))) is not None:
            scalars["weight_decay"] = decay
        scope = node.name.split("/update_", 1)[0] if "/update_" in node.name else node.name.rpartition("/")[0]
        return Application(rule, scope, tensors, scalars, name.startswith("Sparse"))

    def _decay_before(self, node: GraphNode, variable: str | None) -> str | None:
        """Return the node whose value times the variable is subtracted before the update, as contrib's decoupled decay
        is: a control input `AssignSub(variable, decay * variable)`."""
        for name in node.inputs:
            before = self.nodes.get(_bare(name)) if name.startswith("^") else None
            if before is None or before.op not in SUBTRACT_OPS or len(before.inputs) < 2:
                continue
            product = self.nodes.get(_bare(before.inputs[1]))
            if variable is None or self.variable_of(before.inputs[0]) != variable:
                continue
            if product is None or product.op != "Mul" or len(product.inputs) < 2:
                continue
            for factor, other in (product.inputs[:2], product.inputs[1::-1]):
                if self.variable_of(other) == variable:
                    return factor
        return None

    @staticmethod
    def shared_scalars(applications: Sequence[Application]) -> dict[str, str]:
        """Return the nodes that feed the hyperparameters of some updates, without those that not all of them have.

        An update of rows is one operation, which doesn't show whether rows were shrunk before it.
        """
        dense = [a for a in applications if not a.is_sparse] or applications
        shared = dict(dense[0].scalars) if dense else {}
        for a in applications:
            open_in = {"weight_decay"} if a.is_sparse else set()
            shared = {role: node for role, node in shared.items() if role in a.scalars.keys() | open_in}
        return shared

    def increments(self, variable: str) -> dict[str, float | None]:
        """Return by how much each operation of the graph, by name, raises a variable, those aside that initialize or
        restore it; None for an operation that does anything but add a constant."""
        found: dict[str, float | None] = {}
        for node in self.nodes.values():
            if node.op not in CHANGING_OPS or len(node.inputs) < 2 or self.variable_of(node.inputs[0]) != variable:
                continue
            if node.op in ADD_OPS:
                found[node.name] = self.constant(node.inputs[1])
            elif node.op not in ASSIGN_OPS:
                found[node.name] = None
            elif variable in self._read_by(_bare(node.inputs[1]), frozenset((variable,))):
                now, then = (self.evaluate(node.inputs[1], {variable: at}) for at in (0.0, 1.0))
                found[node.name] = now if now is not None and then == now + 1 else None
            elif node.name != f"{variable}/Assign" and not self._is_restored(node.inputs[1]):
                found[node.name] = None
        return found

    def waits_for_updates(self, operation: str, scopes: Collection[str]) -> bool:
        """Return whether an operation runs only after the updates of variables in one of those scopes,
        `<scope>/update..`, as the one by which `minimize` raises its global step does."""
        starts = tuple(f"{scope}/update" for scope in scopes)
        seen, queue = {operation}, [operation]
        while queue:
            node = self.nodes.get(queue.pop())
            for i in node.inputs if node is not None else ():
                if (name := _bare(i)).startswith(starts):
                    return True
                if name not in seen:
                    seen.add(name)
                    queue.append(name)
        return False

    def _is_restored(self, name: str) -> bool:
        """Return whether an input comes from a checkpoint, through `Identity`."""
        for _ in range(MAX_DEPTH):
            node = self.nodes.get(_bare(name))
            if node is None or node.op in RESTORE_OPS:
                return node is not None
            if node.op not in TRANSPARENT_OPS or not node.inputs:
                return False
            name = node.inputs[0]
        return False

    def initial_value(self, variable: str) -> float | None:
        """Return the one number that every element of a variable starts from; None for anything else."""
        node = self.nodes.get(f"{variable}/Assign")
        if node is None or node.op not in ASSIGN_OPS or len(node.inputs) < 2:
            return None
        source = self.nodes.get(_bare(node.inputs[1]))
        if source is not None and source.op == "Fill" and len(source.inputs) > 1:
            return self.constant(source.inputs[1])
        return self.constant(node.inputs[1])


def decode_graph_def(data: bytes, where: str) -> GraphDef:
    """Decode a serialized `GraphDef`; `where` names the place in errors (DamagedFileError)."""
    nodes = {}
    try:
        for number, _, value in fields(memoryview(data)):
            if number == GRAPH_NODE and not isinstance(value, int):
                node = _decode_node(value)
                nodes[node.name] = node
    except DamagedFileError as error:
        raise DamagedFileError(f"{where}: graph: {error}; restore the file, or remove it to go without") from error
    return GraphDef(nodes)


def _decode_node(data: bytes | memoryview) -> GraphNode:
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


def _bare(name: str) -> str:
    return name.lstrip("^").split(":", 1)[0]


def _attributes(node: GraphNode) -> Iterator[tuple[str, bytes | memoryview]]:
    for number, _, entry in fields(node.attributes or b""):
        if number == NODE_ATTR and not isinstance(entry, int):
            parts = {n: v for n, _, v in fields(entry) if not isinstance(v, int)}
            yield bytes(parts.get(ENTRY_KEY, b"")).decode("utf-8", "replace"), parts.get(ENTRY_VALUE, b"")


def _flag(node: GraphNode, name: str) -> bool:
    return any(
        key == name and any(n == ATTR_BOOL and v == 1 for n, _, v in fields(value)) for key, value in _attributes(node)
    )


def _type(node: GraphNode, name: str) -> int | None:
    """Return the type that an attribute names (types.proto)."""
    for key, value in _attributes(node):
        if key == name:
            return next((v for n, _, v in fields(value) if n == ATTR_TYPE and isinstance(v, int)), None)
    return None


def _cast(value: float | None, dtype: int | None) -> float | None:
    """Return a number as TensorFlow casts it to a type; None for a type that isn't known, itself if none is named."""
    if value is None or dtype in (DOUBLE, None):
        return value
    if dtype in INTEGERS:
        return float(np.trunc(value)) if np.isfinite(value) else None
    if dtype == BOOL:
        return float(value != 0)
    return float(np.dtype(NUMPY_OF_DTYPE[dtype]).type(value)) if dtype in (FLOAT, HALF) else None


def _scalar_of(node: GraphNode) -> float | None:
    """Return the value of a `Const` node that holds one number (a TensorProto has several fields for it)."""
    for key, value in _attributes(node):
        if key != "value":
            continue
        for number, _, tensor in fields(value):
            if number == ATTR_TENSOR and not isinstance(tensor, int):
                return _scalar_of_tensor(tensor)
    return None


def _scalar_of_tensor(tensor: bytes | memoryview) -> float | None:
    content: dict[int, int | bytes | memoryview] = {n: v for n, _, v in fields(tensor)}
    dtype = content.get(TENSOR_DTYPE)
    raw = content.get(TENSOR_CONTENT, b"")
    kind = NUMPY_OF_DTYPE.get(dtype) if isinstance(dtype, int) else None
    if kind is not None and not isinstance(raw, int) and len(raw) == np.dtype(kind).itemsize:
        return float(np.frombuffer(bytes(raw), kind)[0])
    for field, form in ((TENSOR_FLOAT, "<f"), (TENSOR_DOUBLE, "<d")):
        packed = content.get(field)
        if isinstance(packed, int):  # not packed: the fixed-width bits
            packed = packed.to_bytes(8, "little")[: struct.calcsize(form)]
        if packed is not None and len(packed) == struct.calcsize(form):
            return float(struct.unpack(form, bytes(packed))[0])
    for field in (TENSOR_INT, TENSOR_INT64):
        integer = content.get(field)
        if isinstance(integer, int):
            return float(integer)
        if integer is not None and 0 < len(integer) <= 10 and all(b & 0x80 for b in bytes(integer)[:-1]):
            value = sum((b & 0x7F) << (7 * i) for i, b in enumerate(bytes(integer)))
            return float(value - (1 << 64) if value >> 63 else value)
    return None
