"""Tables of `tf.tpu.experimental.embedding.TPUEmbedding` under `tf.train.Checkpoint`: `users`, and its slots beside it.

The embedding's node holds each table as `users` and its slots as `users/momenta` and `users/velocities`
(tensorflow/python/tpu/tpu_embedding_v2_utils.py, `_slot_names`). Steps and rates are the program's, in no variable.
"""

from __future__ import annotations

from collections.abc import Mapping

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading
from ckpt_inspect.layouts.object_graph import ObjectGraph
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig
from ckpt_inspect.update_rules.implementations import TF1

LAYOUT = "tpu-embedding"
SLOTS: Mapping[frozenset[str], tuple[str, Mapping[str, str]]] = {
    # Adam's ε is inside of the root by default, and rows without a gradient stay: no rule of this package
    frozenset({"momenta", "velocities"}): ("tpuadam", {"momenta": "first_moment", "velocities": "second_moment"}),
    frozenset({"accumulators"}): ("tpuadagrad", {"accumulators": "accumulator"}),
    frozenset({"accumulators", "momenta"}): ("tpuadagradmomentum", {"accumulators": "accumulator"}),
    frozenset({"accumulators", "linears"}): ("tpuftrl", {"accumulators": "accumulator", "linears": "linear"}),
}
"""What an optimizer keeps for each table: its name, and our names of its slots."""


def find(
    checkpoint: Checkpoint, graph: ObjectGraph, config: OptimizerConfig | None, config_where: str
) -> list[FoundOptimizer]:
    """Find the optimizers of each embedding: its tables may have several, which no name tells apart but their slots."""
    found = []
    for node in graph.nodes:
        keys = {name: key for name, i in node.children.items() if (key := graph.nodes[i].key) in checkpoint.tensors}
        tables: dict[str, dict[str, str]] = {}
        for name, key in keys.items():
            table, _, slot = name.rpartition("/")
            if table in keys and checkpoint.tensors[keys[table]].shape == checkpoint.tensors[key].shape:
                tables.setdefault(table, {})[slot] = key
        for slots, (rule, ours) in SLOTS.items():
            parameters = tuple(
                FoundParameter(table, spec.shape, spec.dtype, keys[table], {ours.get(s, s): k for s, k in own.items()})
                for table, own in sorted(tables.items())
                if frozenset(own) == slots
                for spec in [checkpoint.tensors[keys[table]]]
            )
            if parameters:
                where = f"{' and '.join(sorted(slots))} beside each table, as TPUEmbedding names them"
                path = graph.paths.get(node.index) or f"node {node.index}"
                name, reading = f"{path}/{rule.removeprefix('tpu')}", RuleReading(rule, "checkpoint", where)
                found.append(FoundOptimizer(name, LAYOUT, TF1, reading, parameters))
    return found
