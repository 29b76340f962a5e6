"""Checkpoints in memory: tensors, an object graph, a configuration, a TF1 graph, put together by hand for layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.bundle_writer import field

from ckpt_inspect.checkpoint import Checkpoint, Graph, TensorSpec, TrainingConfig
from ckpt_inspect.layouts.object_graph import OBJECT_GRAPH_KEY

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


class MemoryCheckpoint(Checkpoint):
    """Of any format, as its name says; what a reader would have found in a file."""

    def __init__(
        self,
        arrays: Mapping[str, Any],
        *,
        kind: str = "tensor-bundle",
        optimizer: Mapping[str, Any] | None = None,
        model: Mapping[str, Any] | None = None,
        graph: bytes | None = None,
        labels: Mapping[str, str] | None = None,
        producer: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.format, self.files = Path("made"), kind, ()
        self._arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self.tensors = {n: TensorSpec(n, a.shape, _dtype(a)) for n, a in self._arrays.items()}
        self._config = TrainingConfig(optimizer, model, "config.json") if optimizer or model else None
        self._graph = Graph(graph, "made.meta") if graph is not None else None
        self._labels, self._producer = labels or {}, producer or {}
        self.read_names: list[str] = []

    def read_range(self, name: str, start: int, stop: int, out: Any = None) -> NDArray[Any]:
        self.read_names.append(name)
        return self._arrays[self.spec(name).name].reshape(-1)[start:stop]

    def training_config(self) -> TrainingConfig | None:
        return self._config

    def graph(self) -> Graph | None:
        return self._graph

    def labels(self) -> Mapping[str, str]:
        return self._labels

    def producer(self) -> Mapping[str, str]:
        return self._producer


def _dtype(array: NDArray[Any]) -> str:
    return "string" if array.dtype == object else str(array.dtype.name)


def node(
    children: Mapping[str, int] | None = None,
    variable: tuple[str, str] | None = None,
    slots: Sequence[tuple[int, str, int]] = (),
) -> bytes:
    """A node of an object graph; `variable` is (full name, key)."""
    out = b""
    for name, index in (children or {}).items():
        out += field(1, (field(1, index) if index else b"") + field(2, name.encode()))
    if variable is not None:
        full_name, key = variable
        out += field(2, field(1, b"VARIABLE_VALUE") + field(2, full_name.encode()) + field(3, key.encode()))
    for owner, name, slot in slots:
        out += field(3, field(1, owner) + field(2, name.encode()) + field(3, slot))
    return out


def object_graph(nodes: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """The tensor that holds the graph, to lie among the others."""
    return {OBJECT_GRAPH_KEY: np.array(b"".join(field(1, n) for n in nodes), object)}


def moments(
    shape: Sequence[int] = (3, 2), steps: int = 5, beta_1: float = 0.9, beta_2: float = 0.999, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """(weights, m, v) after that many updates with gradients of about 0.05."""
    rng = np.random.default_rng(seed)
    m, v = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for _ in range(steps):
        g = rng.normal(0, 0.05, shape).astype(np.float32)
        m += np.float32(1 - beta_1) * (g - m)
        v += np.float32(1 - beta_2) * (g * g - v)
    return rng.normal(size=shape).astype(np.float32), m, v


def graph_def(*nodes: tuple[str, str, tuple[str, ...]], constants: Mapping[str, float] | None = None) -> bytes:
    """A `GraphDef` of nodes (name, op, inputs) and float constants."""
    out = b""
    for name, op, inputs in nodes:
        body = field(1, name.encode()) + field(2, op.encode()) + b"".join(field(3, i.encode()) for i in inputs)
        out += field(1, body)
    for name, value in (constants or {}).items():
        tensor = field(1, 1) + field(4, np.float32(value).tobytes())
        entry = field(1, b"value") + field(2, field(8, tensor))
        out += field(1, field(1, name.encode()) + field(2, b"Const") + field(5, entry))
    return out
