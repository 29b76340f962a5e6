"""How optimizer state is named inside a checkpoint: which tensor is the first moment of which parameter, what counts
the steps.

One file per layout; each returns what it finds as `FoundOptimizer`s and reads no moments.
"""

from __future__ import annotations

from collections.abc import Callable

from ckpt_inspect.checkpoint import STRING, Checkpoint
from ckpt_inspect.errors import DamagedFileError, UnsupportedError
from ckpt_inspect.layouts import (
    bert_names,
    keras_groups,
    keras_h5,
    keras_orbax,
    keras_variables,
    layer_groups,
    module_lists,
    optax,
    optimizer_v2,
    sonnet,
    tf1_keras_names,
    tf1_names,
    tpu_embedding,
    unknown_names,
)
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter
from ckpt_inspect.layouts.object_graph import OBJECT_GRAPH_KEY, ObjectGraph, decode_object_graph
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig, unwrap_config
from ckpt_inspect.layouts.output_names import with_outputs, without_outputs
from ckpt_inspect.layouts.validation import checked

GraphLayout = Callable[[Checkpoint, ObjectGraph, OptimizerConfig | None, str], list[FoundOptimizer]]
"""Finds the optimizers of a kind in an object graph; the third argument is the configuration of the compiled model's
optimizer, if the checkpoint carries one, and the last the place of that."""


def find_in_object_graph(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find the optimizers of `tf.train.Checkpoint`, `save_weights` and SavedModels."""
    spec = checkpoint.tensors.get(OBJECT_GRAPH_KEY)
    if spec is None or spec.dtype != STRING or spec.size != 1:
        return []
    serialized = checkpoint.read_range(OBJECT_GRAPH_KEY, 0, 1)[0]
    try:
        graph = decode_object_graph(serialized)
    except DamagedFileError as error:
        raise DamagedFileError(f"{checkpoint.path}: {error}") from error
    training = checkpoint.training_config()
    config = unwrap_config(training.optimizer) if training else None
    where = training.where if training else ""
    found = [optimizer for find in GRAPH_LAYOUTS for optimizer in find(checkpoint, graph, config, where)]
    return found or module_lists.find(checkpoint, graph)  # last, because only shapes speak for what that finds


GRAPH_LAYOUTS: tuple[GraphLayout, ...] = (optimizer_v2.find, keras_variables.find, sonnet.find, tpu_embedding.find)
"""Every one of these is asked: a checkpoint may hold optimizers of several."""

LAYOUTS: tuple[tuple[str, Callable[[Checkpoint], list[FoundOptimizer]]], ...] = (
    ("object graph", find_in_object_graph),
    (keras_groups.LAYOUT, lambda c: keras_groups.find(c) if c.format in ("keras-archive", "keras-weights-h5") else []),
    (keras_h5.LAYOUT, lambda c: keras_h5.find(c) if c.format == "keras-h5" else []),
    (keras_orbax.LAYOUT, keras_orbax.find),
    (optax.LAYOUT, optax.find),
    (bert_names.LAYOUT, bert_names.find),
    (tf1_keras_names.LAYOUT, tf1_keras_names.find),
    (tf1_names.LAYOUT, tf1_names.find),
)
"""Tried in this order; the first that finds an optimizer decides. What none finds, `unknown_names` may show."""


def find_optimizers(checkpoint: Checkpoint) -> tuple[FoundOptimizer, ...]:
    """Find every optimizer in the checkpoint; none if it holds only weights.

    Raises UnsupportedError if no tensor can be read.
    """
    if checkpoint.unreadable is not None:
        raise UnsupportedError(checkpoint.unreadable)
    try:
        shown = without_outputs(checkpoint)
        found = next((f for _, find in LAYOUTS if (f := find(shown))), [])
        found = [with_outputs(shown, optimizer) for optimizer in found or unknown_names.find(shown)]
    except RecursionError as error:
        raise UnsupportedError(
            f"{checkpoint.path}: its groups or its model's configuration are nested too deeply to be read"
        ) from error
    return checked(checkpoint, found)


def suspects(checkpoint: Checkpoint) -> str:
    """Return the tensors that may be an optimizer's though no layout found one, for a person: `8 tensors, optimizer/m/0
    .. optimizer/v/3`; empty if there are none."""
    found = unknown_names.suspects(checkpoint)
    others = f" .. {found[-1]}" if len(found) > 1 else ""
    return f"{len(found)} tensor{'s' * (len(found) > 1)}, {found[0]}{others}" if found else ""


def weight_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the names of the model's weights by key, by layer and role, if the file, its configuration or its labels
    tell them: those that no optimizer trains included."""
    naming = {
        "keras-archive": layer_groups.weight_names,
        "keras-weights-h5": layer_groups.weight_names,
        "keras-h5": keras_h5.weight_names,
    }.get(checkpoint.format)
    if naming is None:
        return {}
    try:
        return naming(checkpoint)
    except RecursionError:
        return {}


__all__ = ["LAYOUTS", "FoundOptimizer", "FoundParameter", "find_optimizers", "suspects", "weight_names"]
