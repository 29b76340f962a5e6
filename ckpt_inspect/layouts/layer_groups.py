"""The model's weights in a file of numbered groups: their order, their layers' names, their roles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.layouts.model_config import LayerConfig, layers_of, snake_case
from ckpt_inspect.layouts.trainable_order import NOT_TRAINED, Block, Pairing, Shape, Weight, pair_blocks, pair_in_order

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

    blocks: tuple[Block, ...]
    """Each layer's weights in the order of its trainable weights, then the rest."""
    is_ordered: bool
    """Whether the order of the blocks is the model's."""
    written: tuple[Block, ...] = ()
    """The same blocks in the order in which they were written, which is the model's too; empty where that can't be told."""

    def pair(self, shapes: Sequence[Shape]) -> Pairing | None:
        """The weights that slots of these shapes belong to; None where no choice of weights fits."""
        if self.is_ordered:
            return pair_in_order(_flat(self.blocks), shapes)
        pairing = pair_blocks(self.blocks, shapes)
        if (pairing is None or not pairing.is_certain) and self.written:
            return pair_in_order(_flat(self.written), shapes) or pairing
        return pairing


def _flat(blocks: Sequence[Block]) -> list[Weight]:
    return [w for block in blocks for w in block.weights]


def model_weights(checkpoint: Checkpoint, model: Mapping[str, Any] | None) -> GroupedWeights:
    """All floating-point weights of the model, with names `<layer>/<role>`."""
    tree = _tree(checkpoint)
    layers = layers_of(model)
    config = model.get("config") if model is not None else None
    name = str(config.get("name", "model")) if isinstance(config, Mapping) else "model"
    if layers is not None and any(c in tree for c in CONTAINERS):
        return GroupedWeights((*_configured(checkpoint, tree, "", layers), *_own(checkpoint, tree, name)), True)
    return _written(checkpoint, tree, name)


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
) -> list[Block]:
    """One block a layer, in the order of the configuration; a model inside gives one for each of its own."""
    container, groups = _children(tree)
    blocks: list[Block] = []
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
        weights = _layer_weights(checkpoint, group, layer.name, base, layer.is_trainable, layer.config)
        blocks.append(Block(base, tuple(weights)))
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


def _written(checkpoint: Checkpoint, tree: Mapping[str, Any], model_name: str) -> GroupedWeights:
    """Without a configuration: layers of one class are counted in the model's order; classes among each other aren't."""
    labels, order = checkpoint.labels(), checkpoint.written_order()
    blocks: list[tuple[tuple[int, ...], Block]] = []

    def visit(group: Mapping[str, Any], path: str, kind: str, place: tuple[int, ...]) -> None:
        container, members = _children(group)
        if not container and path:
            shown = labels.get(f"{path}/vars") or path
            base = re.sub(r"_\d+$", "", path.rpartition("/")[2])
            blocks.append((place, Block(kind, tuple(_layer_weights(checkpoint, group, shown, base, True, {})))))
            return
        for name in sorted(members or group, key=lambda g: (_number(g), g)):
            if name == "vars" and not container:
                continue
            child = "/".join(p for p in (path, container, name) if p)
            counted = re.sub(r"_\d+$", "", name) if container else name
            visit((members or group)[name], child, f"{kind}/{counted}", (*place, order.get(child, 0)))

    visit(tree, "", "", ())
    own = [(((1 << 62),), b) for b in _own(checkpoint, tree, model_name)]
    in_order = tuple(b for _, b in sorted([*blocks, *own], key=lambda entry: entry[0]))
    is_written = bool(order) and bool(_children(tree)[0])
    return GroupedWeights(tuple(b for _, b in [*blocks, *own]), len(blocks) <= 1, in_order if is_written else ())


def _own(checkpoint: Checkpoint, tree: Mapping[str, Any], name: str) -> list[Block]:
    """Weights that the model holds itself, outside of any layer."""
    keys = tree.get("vars", {})
    weights = tuple(Weight(f"{name}/{i}", keys[i], checkpoint.tensors[keys[i]].shape, True) for i in sorted(keys))
    return [Block("", weights)] if weights else []


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
