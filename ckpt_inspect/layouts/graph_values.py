"""The value of an expression in a TensorFlow graph, such as a learning rate's: constants, variables and arithmetic.

Pure. Small arrays are followed as well as numbers, and the branches of a `tf.cond`. Those of TensorFlow 1 lie in the
graph: a `Switch` hands its value to one of its two outputs, what depends on the other is dead, and a `Merge` has the
value of its living input (tensorflow/python/ops/control_flow_ops.py). Those of TensorFlow 2 are functions that an `If`
calls (tensorflow/python/ops/cond_v2.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ckpt_inspect.layouts.graph_nodes import (
    GraphNode,
    attributes_of,
    bare_name,
    data_inputs,
    flag_of,
    function_of,
    int_of,
    type_of,
)
from ckpt_inspect.wire import Buffer, decode_varint, fields, signed

# attr_value.proto, tensor.proto, tensor_shape.proto: field numbers
ATTR_TENSOR = 8
TENSOR_DTYPE, TENSOR_SHAPE, TENSOR_CONTENT = 1, 2, 4
TENSOR_FLOAT, TENSOR_DOUBLE, TENSOR_INT, TENSOR_INT64, TENSOR_BOOL = 5, 6, 7, 10, 11
SHAPE_DIM, DIM_SIZE = 2, 1
# types.proto: FLOAT, DOUBLE, INT32, INT64, BOOL, HALF
NUMPY_OF_DTYPE = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 10: "?", 19: "<f2"}
FLOAT, DOUBLE, BOOL, HALF = 1, 2, 10, 19
INTEGERS = {3, 4, 5, 6, 9, 17, 22, 23}  # INT32, UINT8, INT16, INT8, INT64, UINT16, UINT32, UINT64

CONSTANT_OPS = {"Const"}
VARIABLE_OPS = {"VariableV2", "Variable", "VarHandleOp"}
SWITCH_OPS = {"Switch", "RefSwitch"}
MERGE_OPS = {"Merge", "RefMerge"}
IF_OPS = {"If", "StatelessIf"}
BRANCHES = ("then_branch", "else_branch")
TRANSPARENT_OPS = {
    "Identity",
    "ReadVariableOp",
    "Enter",
    "Cast",
    "ResourceGather",
    "StopGradient",
    *SWITCH_OPS,
}
MAX_DEPTH = 200
MOST_ELEMENTS = 4096
"""Of an array that is followed: tables of rates are short."""

Value: TypeAlias = npt.NDArray[np.float64]
"""Numbers of any type of the graph's."""

_ELEMENTWISE: Mapping[str, Callable[..., Value]] = {
    "Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "RealDiv": np.divide, "Div": np.divide,
    "FloorDiv": lambda a, b: np.floor(a / b), "Pow": np.power, "Minimum": np.minimum, "Maximum": np.maximum,
    "Floor": np.floor, "Ceil": np.ceil, "Sqrt": np.sqrt, "Rsqrt": lambda a: 1 / np.sqrt(a), "Exp": np.exp,
    "Cos": np.cos, "Neg": np.negative, "Square": np.square, "Abs": np.abs, "Sign": np.sign, "Round": np.rint,
    "Sin": np.sin, "Tanh": np.tanh, "Log": np.log, "Log1p": np.log1p, "Expm1": np.expm1, "Reciprocal": lambda a: 1 / a,
    "Sigmoid": lambda a: 1 / (1 + np.exp(-a)), "SquaredDifference": lambda a, b: (a - b) * (a - b),
    "AddN": lambda *a: np.sum(np.stack(a), axis=0), "FloorMod": np.mod, "Mod": np.fmod, "TruncateMod": np.fmod,
    "TruncateDiv": lambda a, b: np.trunc(a / b),
    "DivNoNan": lambda a, b: _selected(b, a / b, np.zeros_like(a)),
    "ClipByValue": lambda a, low, high: np.clip(a, low, high),
    "LogicalAnd": lambda a, b: (a != 0) & (b != 0), "LogicalOr": lambda a, b: (a != 0) | (b != 0),
    "LogicalNot": lambda a: a == 0, "NotEqual": np.not_equal, "Less": np.less, "LessEqual": np.less_equal,
    "Greater": np.greater, "GreaterEqual": np.greater_equal, "Equal": np.equal,
    "Select": lambda c, a, b: _selected(c, a, b), "SelectV2": lambda c, a, b: _selected(c, a, b),
}  # fmt: skip
_REDUCTIONS: Mapping[str, Callable[..., Value]] = {
    "Max": np.max, "Min": np.min, "Sum": np.sum, "Prod": np.prod, "Mean": np.mean,
}  # fmt: skip
_COMPARISONS = {
    "LogicalAnd", "LogicalOr", "LogicalNot", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "Equal",
}  # fmt: skip


class Function(NamedTuple):
    """A function of a graph's library."""

    nodes: Mapping[str, GraphNode]
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    """Names of what it returns, in its own graph."""


class Expressions:
    """The values of a graph's nodes when its variables have given ones.

    Values are kept, because nodes are shared, and a chain of doublings would take forever.
    """

    def __init__(
        self,
        nodes: Mapping[str, GraphNode],
        variables: Mapping[str, float],
        functions: Callable[[str], Function | None] = lambda _: None,
        arguments: Mapping[str, Value | None] | None = None,
    ) -> None:
        self._nodes = nodes
        self._variables = variables
        self._functions = functions
        self._values: dict[str, Value | None] = dict(arguments or {})
        self._lives: dict[str, bool | None] = {}

    def number(self, name: str) -> float | None:
        """Return the number that an input is, in each operation's own type.

        None if it is an array, or depends on anything else than constants, `variables` and arithmetic: a placeholder,
        another operation, a branch whose condition has no value.
        """
        value = self.value(name)
        return float(value) if value is not None and value.shape == () else None

    def value(self, name: str, depth: int = 0) -> Value | None:
        """Return what an input is; None if it has no value, as for `number`."""
        bare = bare_name(name)
        node = self._nodes.get(bare)
        output = name.lstrip("^") if node is not None and node.op in IF_OPS else bare
        if output not in self._values:
            self._values[output] = None  # of what leads back to itself: the state of a loop
            self._values[output] = None if depth > MAX_DEPTH else self._compute(output, depth)
        return self._values[output]

    def obstacle(self, name: str) -> GraphNode | None:
        """Return the first node that has no value, though all its inputs have; None if the input has a value."""
        found = None
        seen: set[str] = set()
        name = bare_name(name)
        while name not in seen and self.value(name) is None and (node := self._nodes.get(name)) is not None:
            found = node
            seen.add(name)
            inputs = data_inputs(node)
            if node.op in MERGE_OPS:
                needed = [c for i in inputs for c in self._open_conditions(i, 0)]
                needed += [i for i in inputs if self._is_alive(i, 0)]
            elif node.op in IF_OPS:
                needed = inputs[:1]
            else:
                needed = inputs if self._is_followed(node) else []
            open_ones = [bare_name(i) for i in needed if self.value(i) is None]
            if not open_ones:
                break
            name = open_ones[0]
        return found

    def _is_followed(self, node: GraphNode) -> bool:
        known = (TRANSPARENT_OPS, MERGE_OPS, _ELEMENTWISE, _REDUCTIONS, _ARRAYS)
        return any(node.op in operations for operations in known)

    def _compute(self, output: str, depth: int) -> Value | None:
        node = self._nodes.get(bare_name(output))
        if node is None:
            return None
        if node.op in IF_OPS:
            return self._branched(node, output, depth)
        if node.op in CONSTANT_OPS:
            constant = constant_of(node)
            return constant if constant is not None and constant.size <= MOST_ELEMENTS else None
        if node.op in VARIABLE_OPS:
            number = self._variables.get(node.name)
            return None if number is None else np.asarray(number, np.float64)
        inputs = data_inputs(node)
        if node.op in MERGE_OPS:
            return self._merged(inputs, depth)
        if node.op in TRANSPARENT_OPS and inputs:
            value = self.value(inputs[0], depth + 1)
            return _cast(value, type_of(node, "DstT")) if node.op == "Cast" else value
        if not self._is_followed(node):
            return None
        values = []
        for i in inputs:
            value = self.value(i, depth + 1)
            if value is None:
                return None
            values.append(value)
        try:
            with np.errstate(all="ignore"):
                return self._applied(node, values)
        except (ArithmeticError, TypeError, ValueError, IndexError):
            return None

    @staticmethod
    def _applied(node: GraphNode, values: Sequence[Value]) -> Value | None:
        if node.op in _ARRAYS:
            found = _ARRAYS[node.op](node, values)
            return found if found is None or found.size <= MOST_ELEMENTS else None
        if node.op in _REDUCTIONS:
            axes = tuple(int(axis) for axis in values[1].ravel())
            found = _REDUCTIONS[node.op](values[0], axis=axes, keepdims=flag_of(node, "keep_dims"))
        else:
            found = _ELEMENTWISE[node.op](*values)
        # whole numbers are divided without a rest (`tf.div`)
        dtype = BOOL if node.op in _COMPARISONS else type_of(node, "T") or FLOAT
        return _cast(np.asarray(found, np.float64), dtype)

    def _merged(self, inputs: Sequence[str], depth: int) -> Value | None:
        """Return the value that all inputs have which can be alive."""
        living = [i for i in inputs if self._is_alive(i, depth + 1) is not False]
        values = [self.value(i, depth + 1) for i in living]
        first = values[0] if values else None
        if first is None or any(v is None or not np.array_equal(v, first, equal_nan=True) for v in values):
            return None
        return first

    def _branched(self, node: GraphNode, output: str, depth: int) -> Value | None:
        """Return an output of the branch that the condition takes."""
        inputs = data_inputs(node)
        tail = output.rpartition(":")[2]
        place = int(tail) if ":" in output and tail.isdecimal() else 0
        condition = self.value(inputs[0], depth + 1) if inputs else None
        if condition is None:
            return None
        function = self._functions(function_of(node, BRANCHES[not condition.any()]))
        if function is None or len(function.arguments) != len(inputs) - 1 or place >= len(function.results):
            return None
        arguments = [self.value(i, depth + 1) for i in inputs[1:]]
        bound = dict(zip(function.arguments, arguments, strict=True))
        inside = Expressions(function.nodes, self._variables, self._functions, bound)
        return inside.value(function.results[place], depth + 1)

    def _is_alive(self, name: str, depth: int) -> bool | None:
        """Return whether an output is computed at all; None if that is not known."""
        output = name.lstrip("^")
        if output not in self._lives:
            self._lives[output] = None
            self._lives[output] = None if depth > MAX_DEPTH else self._lives_on(output, depth)
        return self._lives[output]

    def _lives_on(self, output: str, depth: int) -> bool | None:
        node = self._nodes.get(bare_name(output))
        if node is None:
            return None
        if node.op in VARIABLE_OPS:
            return True
        lives = [self._is_alive(i, depth + 1) for i in node.inputs]
        if node.op in MERGE_OPS:
            return True if True in lives else None if None in lives else False
        if node.op in SWITCH_OPS and len(node.inputs) > 1:
            condition = self.value(node.inputs[1], depth + 1)
            is_second = output.endswith(":1")
            lives.append(None if condition is None else bool(condition.any()) == is_second)
        return False if False in lives else None if None in lives else True

    def _open_conditions(self, name: str, depth: int) -> Iterator[str]:
        """Yield the conditions without a value that an output's life depends on."""
        node = self._nodes.get(bare_name(name))
        if node is None or depth > MAX_DEPTH or self._is_alive(name, 0) is not None:
            return
        if node.op in SWITCH_OPS and len(node.inputs) > 1 and self.value(node.inputs[1]) is None:
            yield node.inputs[1]
            return
        for i in node.inputs:
            yield from self._open_conditions(i, depth + 1)


def _selected(condition: Value, chosen: Value, other: Value) -> Value:
    return np.asarray(np.where(condition != 0, chosen, other), np.float64)


def _taken(node: GraphNode, values: Sequence[Value]) -> Value | None:
    table, at = values[0], values[1]
    axis = int(values[2]) if len(values) > 2 else 0
    return np.asarray(np.take(table, at.astype(np.int64), axis=axis)) if at.size and at.min() >= 0 else None


def _one_hot(node: GraphNode, values: Sequence[Value]) -> Value | None:
    at, depth, on, off = values
    if int_of(node, "axis") not in (-1, at.ndim) or depth > MOST_ELEMENTS:
        return None
    return np.where(np.arange(int(depth)) == at[..., None], on, off)


def _packed(node: GraphNode, values: Sequence[Value]) -> Value:
    return np.stack(values, axis=int_of(node, "axis"))


def _sliced(node: GraphNode, values: Sequence[Value]) -> Value | None:
    table, begin, end, stride = values
    is_plain = not int_of(node, "ellipsis_mask") and not int_of(node, "new_axis_mask")
    if not is_plain or any(v.shape != (1,) for v in (begin, end, stride)):
        return None
    start, stop, step = int(begin[0]), int(end[0]), int(stride[0])
    if int_of(node, "shrink_axis_mask"):
        return np.asarray(table[start])
    first, last = int_of(node, "begin_mask"), int_of(node, "end_mask")
    return np.asarray(table[slice(None if first else start, None if last else stop, step)])


def _reshaped(node: GraphNode, values: Sequence[Value]) -> Value:
    return values[0].reshape(values[1].astype(np.int64))


_ARRAYS: Mapping[str, Callable[[GraphNode, Sequence[Value]], Value | None]] = {
    "GatherV2": _taken, "Gather": _taken, "OneHot": _one_hot, "Pack": _packed, "StridedSlice": _sliced,
    "ConcatV2": lambda _, values: np.concatenate(values[:-1], axis=int(values[-1])), "Reshape": _reshaped,
    "ExpandDims": lambda _, values: np.expand_dims(values[0], int(values[1])),
    "Squeeze": lambda _, values: np.squeeze(values[0]), "ZerosLike": lambda _, values: np.zeros_like(values[0]),
    "OnesLike": lambda _, values: np.ones_like(values[0]),
}  # fmt: skip


def _cast(value: Value | None, dtype: int | None) -> Value | None:
    """Return numbers as TensorFlow casts them to a type; None for a type that isn't known, themselves if none is
    named."""
    if value is None or dtype in (DOUBLE, None):
        return value
    if dtype in INTEGERS:
        return np.trunc(value) if np.isfinite(value).all() else None
    if dtype == BOOL:
        return np.asarray(value != 0, np.float64)
    if dtype not in (FLOAT, HALF):
        return None
    with np.errstate(all="ignore"):
        return value.astype(NUMPY_OF_DTYPE[dtype]).astype(np.float64)


def constant_of(node: GraphNode) -> Value | None:
    """Return what a `Const` node holds; None if that isn't numbers, or many different ones."""
    for key, value in attributes_of(node):
        if key != "value":
            continue
        for number, _, tensor in fields(value):
            if number == ATTR_TENSOR and not isinstance(tensor, int):
                return _decode_tensor(tensor)
    return None


def _decode_tensor(tensor: Buffer) -> Value | None:
    """Decode a TensorProto, which has several fields for numbers; the last of too few stands for the rest."""
    kind: str | None = None
    shape: tuple[int, ...] = ()
    numbers: list[float] = []
    raw = b""
    for number, _, value in fields(tensor):
        if number == TENSOR_DTYPE and isinstance(value, int):
            kind = NUMPY_OF_DTYPE.get(value)
        elif number == TENSOR_SHAPE and not isinstance(value, int):
            shape = tuple(_decode_shape(value))
        elif number == TENSOR_CONTENT and not isinstance(value, int):
            raw = bytes(value)
        else:
            numbers += _decode_numbers(number, value)
    size = float(np.prod(shape, dtype=np.float64))
    if kind is None or size <= 0:
        return None
    if size > MOST_ELEMENTS:  # one number for all takes no memory
        is_one = len(numbers) == 1 and size < 2**40
        return np.broadcast_to(np.float64(numbers[0]), shape) if is_one else None
    if raw:
        is_whole = len(raw) == int(size) * np.dtype(kind).itemsize
        return np.frombuffer(raw, kind).astype(np.float64).reshape(shape) if is_whole else None
    if not 0 < len(numbers) <= size:
        return None
    return np.asarray(numbers + numbers[-1:] * (int(size) - len(numbers)), np.float64).reshape(shape)


def _decode_shape(shape: Buffer) -> Iterator[int]:
    for number, _, dim in fields(shape):
        if number == SHAPE_DIM and not isinstance(dim, int):
            yield signed(next((v for n, _, v in fields(dim) if n == DIM_SIZE and isinstance(v, int)), 0))


def _decode_numbers(field: int, value: int | Buffer) -> list[float]:
    """Decode what a field of a TensorProto holds, packed or a single number; nothing of fields of other types."""
    if field in (TENSOR_FLOAT, TENSOR_DOUBLE):
        kind = "<f4" if field == TENSOR_FLOAT else "<f8"
        width = np.dtype(kind).itemsize
        data = value.to_bytes(8, "little")[:width] if isinstance(value, int) else bytes(value)
        return np.frombuffer(data, kind).astype(np.float64).tolist() if len(data) % width == 0 else []
    if field not in (TENSOR_INT, TENSOR_INT64, TENSOR_BOOL):
        return []
    if isinstance(value, int):
        return [float(signed(value))]
    found, at = [], 0
    while at < len(value):
        number, at = decode_varint(value, at)
        found.append(float(signed(number)))
    return found
