"""The model's weights in a file of numbered groups: their order, their layers' names, their roles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.model_config import LayerConfig, layers_of, snake_case
from ckpt_inspect.layouts.trainable_order import NOT_TRAINED, Weight

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
NOT_LAYERS = ("optimizer", "metrics", "compile_metrics", "loss_tracker", "_metrics")

# Keras' own layers, by their group's name: roles of `vars/<i>`
_DENSE = ("kernel", "bias")
_CELL = ("kernel", "recurrent_kernel", "bias")
_NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")
_SEPARABLE = ("depthwise_kernel", "pointwise_kernel", "bias")
ROLES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("dense", "einsum_dense", "conv1d", "conv2d", "conv3d", "depthwise_conv1d", "depthwise_conv2d"), _DENSE),
    **dict.fromkeys(("conv1_d", "conv2_d", "conv3_d", "conv1d_transpose", "conv2d_transpose", "conv3d_transpose"), _DENSE),
    **dict.fromkeys(("separable_conv1d", "separable_conv2d"), _SEPARABLE),
    **dict.fromkeys(("cell", "lstm_cell", "gru_cell", "simple_rnn_cell", "lstm", "gru", "simple_rnn"), _CELL),
    **dict.fromkeys(("layer_normalization", "group_normalization"), ("gamma", "beta")),
    "rms_normalization": ("scale",),
    "embedding": ("embeddings",),
    "batch_normalization": _NORMALIZATION,
    "normalization": ("mean", "variance", "count"),
    "p_re_lu": ("alpha",),
}
NEVER_TRAINED_CLASSES = ("normalization", "seed_generator")

# Composite layers: groups of the parts are written in alphabetical order, trained in the order of construction
PART_ORDERS = (
    ("_query_dense", "_key_dense", "_value_dense", "_attention_norm", "_output_dense"),
    ("query_dense", "key_dense", "value_dense", "output_dense"),
    ("forward_layer", "backward_layer"),
)


@dataclass(frozen=True, slots=True)
class GroupedWeights:
    """A model's weights, layer by layer."""

    blocks: tuple[tuple[Weight, ...], ...]
    """Each layer's weights in the order of its trainable weights, then the rest."""
    is_ordered: bool
    """Whether the order of the blocks is the model's."""
    problems: tuple[Problem, ...] = ()


def model_weights(checkpoint: Checkpoint, model: Mapping[str, Any] | None) -> GroupedWeights:
    """All floating-point weights of the model, with names `<layer>/<role>`."""
    tree = _tree(checkpoint)
    layers = layers_of(model)
    if layers is not None and any(c in tree for c in CONTAINERS):
        blocks = list(_configured(checkpoint, tree, "", layers))
        blocks += _own(checkpoint, tree, "", (model or {}).get("config", {}).get("name", "model") if isinstance((model or {}).get("config"), Mapping) else "model")
        return GroupedWeights(tuple(b for b in blocks if b), True)
    return _written(checkpoint, tree)


def _tree(checkpoint: Checkpoint) -> dict[str, Any]:
    """The groups as nested dictionaries; `vars` holds number -> key."""
    tree: dict[str, Any] = {}
    for key, spec in checkpoint.tensors.items():
        path, _, tail = key.rpartition("/")
        parts = path.split("/")
        if not tail.isdigit() or parts[-1] != "vars" or "optimizer" in parts[0] or parts[0] in NOT_LAYERS:
            continue
        if "float" not in spec.dtype:
            continue
        at = tree
        for part in parts:
            at = at.setdefault(part, {})
        at[int(tail)] = key
    return tree


def _children(tree: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The container's name and its groups."""
    return next(((c, tree[c]) for c in CONTAINERS if c in tree), ("", {}))


def _configured(
    checkpoint: Checkpoint, tree: Mapping[str, Any], path: str, layers: Sequence[LayerConfig]
) -> list[tuple[Weight, ...]]:
    """One block a layer, in the order of the configuration; a model inside gives one for each of its own."""
    container, groups = _children(tree)
    blocks: list[tuple[Weight, ...]] = []
    seen: dict[str, int] = {}
    for layer in layers:
        base = snake_case(layer.class_name)
        index = seen[base] = seen.get(base, -1) + 1
        name = _group_of(groups, base, index, is_doubled=container == CONTAINERS[1])
        if name is None:
            continue
        group, here = groups[name], f"{path}{container}/{name}"
        if layer.layers is not None and any(c in group for c in CONTAINERS):
            blocks += _configured(checkpoint, group, f"{here}/", layer.layers)
            continue
        blocks.append(tuple(_layer_weights(checkpoint, group, layer.name, base, layer.is_trainable, layer.config)))
    return blocks


def _group_of(groups: Mapping[str, Any], base: str, index: int, is_doubled: bool) -> str | None:
    """The group of the index-th layer of a class. Keras 2.13 counts each layer with weights twice."""
    if is_doubled:
        members = sorted((g for g in groups if re.fullmatch(rf"{re.escape(base)}(_\d+)?", g)), key=_number)
        return members[index] if index < len(members) else None
    name = base if index == 0 else f"{base}_{index}"
    return name if name in groups else None


def _number(group: str) -> int:
    tail = group.rpartition("_")[2]
    return int(tail) if tail.isdigit() else 0


def _written(checkpoint: Checkpoint, tree: Mapping[str, Any]) -> GroupedWeights:
    """Without a configuration: the groups in the order in which they were written, where that tells the model's order."""
    container, groups = _children(tree)
    labels = checkpoint.labels()
    order = checkpoint.written_order()
    blocks: list[tuple[Weight, ...]] = []
    if not container:
        for name, group in tree.items():
            if name != "vars":
                blocks.append(tuple(_layer_weights(checkpoint, group, name, re.sub(r"_\d+$", "", name), True, {})))
        blocks += _own(checkpoint, tree, "", "model")
        return GroupedWeights(tuple(b for b in blocks if b), len(blocks) == 1)
    names = sorted(groups, key=lambda g: (order.get(f"{container}/{g}", 0), _number(g), g))

    def visit(group: Mapping[str, Any], path: str, name: str) -> None:
        inner, members = _children(group)
        if inner:
            for member in sorted(members, key=lambda g: (order.get(f"{path}/{inner}/{g}", 0), _number(g), g)):
                visit(members[member], f"{path}/{inner}/{member}", member)
            return
        shown = labels.get(f"{path}/vars") or path
        blocks.append(tuple(_layer_weights(checkpoint, group, shown, re.sub(r"_\d+$", "", name), True, {})))

    for name in names:
        visit(groups[name], f"{container}/{name}", name)
    blocks += _own(checkpoint, tree, "", "model")
    return GroupedWeights(tuple(b for b in blocks if b), bool(order) or len(blocks) <= 1)


def _own(checkpoint: Checkpoint, tree: Mapping[str, Any], path: str, name: str) -> list[tuple[Weight, ...]]:
    """Weights that the model holds itself, outside of any layer."""
    keys = tree.get("vars", {})
    return [tuple(Weight(f"{name}/{i}", keys[i], checkpoint.tensors[keys[i]].shape, True) for i in sorted(keys))] if keys else []


def _layer_weights(
    checkpoint: Checkpoint, group: Mapping[str, Any], name: str, base: str, is_trainable: bool, config: Mapping[str, Any]
) -> list[Weight]:
    """A layer's own weights, then those of its parts, trained ones first as Keras lists them."""
    keys = group.get("vars", {})
    roles = _roles(base, len(keys), config)
    weights = []
    for i in sorted(keys):
        role = roles[i] if i < len(roles) else str(i)
        trained = is_trainable and role not in NOT_TRAINED and base not in NEVER_TRAINED_CLASSES
        weights.append(Weight(f"{name}/{role}", keys[i], checkpoint.tensors[keys[i]].shape, trained))
    for part in _parts_in_order([g for g in group if g != "vars"]):
        inner = part if part in ROLES else re.sub(r"_\d+$", "", part.strip("_"))
        inner = "dense" if inner.endswith("_dense") else inner
        weights += _layer_weights(checkpoint, group[part], f"{name}/{part}", inner, is_trainable, {})
    return weights


def _parts_in_order(parts: Sequence[str]) -> list[str]:
    for order in PART_ORDERS:
        if sum(p in order for p in parts) > 1:
            return sorted(parts, key=lambda p: (order.index(p) if p in order else len(order), p))
    return sorted(parts, key=lambda p: (re.sub(r"\d+$", "", p), _number(p)))


def _roles(base: str, count: int, config: Mapping[str, Any]) -> tuple[str, ...]:
    roles = ROLES.get(base, ())
    if base == "batch_normalization" and count < len(roles):
        kept = [r for r, flag in (("gamma", "scale"), ("beta", "center")) if config.get(flag, True) is not False]
        return (*(kept if len(kept) == count - 2 else ["gamma", "beta"][: max(0, count - 2)]), *roles[2:])
    if base in ("layer_normalization", "group_normalization") and config.get("scale") is False:
        return ("beta",)
    return roles
