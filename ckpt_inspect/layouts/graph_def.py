"""What a TensorFlow graph says about its optimizers: the apply nodes' inputs, and the constants behind them. Pure.

A `GraphDef` (tensorflow/core/framework/graph.proto) names its nodes and their inputs. A TF1 optimizer leaves one node
a dense variable, `ApplyAdam(var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, grad)`
(`ResourceApplyAdam` likewise), named `<scope>/update_<variable>/ApplyAdam`; sparse variables get a cluster of plain
nodes under `<scope>/update_<variable>/`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.layouts.graph_nodes import GraphNode, bare_name, data_inputs, decode_node, flag_of
from ckpt_inspect.layouts.graph_values import (
    CONSTANT_OPS,
    MAX_DEPTH,
    TRANSPARENT_OPS,
    VARIABLE_OPS,
    Expressions,
    Function,
    constant_of,
)
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import HYPERPARAMETERS, OPERATIONS
from ckpt_inspect.wire import Buffer, fields

# graph.proto, function.proto, op_def.proto: field numbers
GRAPH_NODE, GRAPH_LIBRARY = 1, 2
LIBRARY_FUNCTION = 1
FUNCTION_SIGNATURE, FUNCTION_NODE, FUNCTION_RETURN = 1, 3, 4
SIGNATURE_NAME, SIGNATURE_INPUT, SIGNATURE_OUTPUT, ARGUMENT_NAME = 1, 2, 3, 1
RETURN_KEY, RETURN_VALUE = 1, 2

ASSIGN_OPS = {"Assign", "AssignVariableOp"}
ADD_OPS = {"AssignAdd", "AssignAddVariableOp"}
SUBTRACT_OPS = {"AssignSub", "AssignSubVariableOp"}
CHANGING_OPS = ASSIGN_OPS | ADD_OPS | SUBTRACT_OPS
PLACEHOLDER_OPS = {"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}
RESTORE_OPS = {"RestoreV2", "RestoreSlice", "Restore"}
PARTITION = re.compile(r"(?P<whole>.+)/part_[0-9]+")


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
    library: tuple[Buffer, ...] = ()
    """Its functions, undecoded."""

    @cached_property
    def _undecoded(self) -> Mapping[str, Buffer]:
        """Return the functions by name."""
        return {_text(SIGNATURE_NAME, _message(FUNCTION_SIGNATURE, body)): body for body in self.library}

    def function(self, name: str) -> Function | None:
        """Return a function of the library; None if there is none of that name, or it is damaged."""
        try:
            body = self._undecoded.get(name)
            return None if body is None else _decode_function(body)
        except DamagedFileError:
            return None

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
            node = self.nodes.get(bare_name(name))
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
                found.setdefault(target, set()).update(self._read_by(bare_name(node.inputs[1]), variables))
        return {target: frozenset(names) for target, names in found.items()}

    def _read_by(self, name: str, variables: frozenset[str]) -> set[str]:
        seen, queue = {name}, [name]
        while queue:
            node = self.nodes.get(queue.pop())
            if node is None or "gradients" in node.name.split("/"):
                continue
            for i in node.inputs:
                if not i.startswith("^") and (i := bare_name(i)) not in seen:
                    seen.add(i)
                    queue.append(i)
        return seen & variables

    def constant(self, name: str) -> float | None:
        """Return the number that an input is, or has in all its elements, if it is a constant, through `Identity`; None
        for anything else."""
        for _ in range(MAX_DEPTH):
            node = self.nodes.get(bare_name(name))
            if node is None:
                return None
            if node.op in CONSTANT_OPS:
                value = constant_of(node)
                first = None if value is None else value[(0,) * value.ndim]
                return float(first) if first is not None and (value == first).all() else None
            if node.op not in TRANSPARENT_OPS or not node.inputs:
                return None
            name = node.inputs[0]
        return None

    def evaluate(self, name: str, variables: Mapping[str, float]) -> float | None:
        """Return the value of a scalar expression over constants and `variables`, in each operation's own type.

        None if the expression holds anything else: a placeholder, an operation that isn't arithmetic.
        """
        return Expressions(self.nodes, variables, self.function).number(name)

    def obstacle(self, name: str, variables: Mapping[str, float]) -> GraphNode | None:
        """Return the first node for which `evaluate` has no value, though it has one for all the inputs of that node;
        None if it has a value."""
        return Expressions(self.nodes, variables, self.function).obstacle(name)

    def variables_in(self, name: str) -> tuple[str, ...]:
        """Return the variables that an expression is computed from, whatever its operations are."""
        found: dict[str, None] = {}
        seen, queue = {bare_name(name)}, [bare_name(name)]
        while queue:
            node = self.nodes.get(queue.pop())
            if node is not None and node.op in VARIABLE_OPS:
                found[node.name] = None
            elif node is not None:
                # a constant in a branch hangs on the branch's condition alone
                read = node.inputs if node.op in CONSTANT_OPS else data_inputs(node)
                fresh = [i for i in map(bare_name, read) if i not in seen]
                seen.update(fresh)
                queue += fresh
        return tuple(found)

    def _application(self, node: GraphNode) -> Application | None:
        name = node.op.removeprefix("Resource")
        known = OPERATIONS.get(name.removeprefix("Sparse"), ())
        told = next(((rule, o.inputs) for rule, o in known if not o.flag or flag_of(node, o.flag)), None)
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
            before = self.nodes.get(bare_name(name)) if name.startswith("^") else None
            if before is None or before.op not in SUBTRACT_OPS or len(before.inputs) < 2:
                continue
            product = self.nodes.get(bare_name(before.inputs[1]))
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
            elif variable in self._read_by(bare_name(node.inputs[1]), frozenset((variable,))):
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
                if (name := bare_name(i)).startswith(starts):
                    return True
                if name not in seen:
                    seen.add(name)
                    queue.append(name)
        return False

    def _is_restored(self, name: str) -> bool:
        """Return whether an input comes from a checkpoint, through `Identity`."""
        for _ in range(MAX_DEPTH):
            node = self.nodes.get(bare_name(name))
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
        source = self.nodes.get(bare_name(node.inputs[1]))
        if source is not None and source.op == "Fill" and len(source.inputs) > 1:
            return self.constant(source.inputs[1])
        return self.constant(node.inputs[1])


def decode_graph_def(data: bytes, where: str) -> GraphDef:
    """Decode a serialized `GraphDef`; `where` names the place in errors (DamagedFileError)."""
    nodes = {}
    library: list[Buffer] = []
    try:
        for number, _, value in fields(memoryview(data)):
            if number == GRAPH_NODE and not isinstance(value, int):
                node = decode_node(value)
                nodes[node.name] = node
            elif number == GRAPH_LIBRARY and not isinstance(value, int):
                library += (v for n, _, v in fields(value) if n == LIBRARY_FUNCTION and not isinstance(v, int))
    except DamagedFileError as error:
        raise DamagedFileError(f"{where}: graph: {error}; restore the file, or remove it to go without") from error
    return GraphDef(nodes, tuple(library))


def _decode_function(body: Buffer) -> Function:
    """Decode a FunctionDef, whose results are named in the order of its signature."""
    signature = _message(FUNCTION_SIGNATURE, body)
    nodes, returned = {}, {}
    for number, _, value in fields(body):
        if number == FUNCTION_NODE and not isinstance(value, int):
            node = decode_node(value)
            nodes[node.name] = node
        elif number == FUNCTION_RETURN and not isinstance(value, int):
            returned[_text(RETURN_KEY, value)] = _text(RETURN_VALUE, value)
    names = {
        kind: tuple(_text(ARGUMENT_NAME, v) for n, _, v in fields(signature) if n == kind and not isinstance(v, int))
        for kind in (SIGNATURE_INPUT, SIGNATURE_OUTPUT)
    }
    results = tuple(returned.get(name, "") for name in names[SIGNATURE_OUTPUT])
    return Function(nodes, names[SIGNATURE_INPUT], results)


def _message(number: int, data: Buffer) -> Buffer:
    return next((v for n, _, v in fields(data) if n == number and not isinstance(v, int)), b"")


def _text(number: int, data: Buffer) -> str:
    return bytes(_message(number, data)).decode("utf-8", "replace")
