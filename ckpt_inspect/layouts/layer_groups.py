"""The model's weights in a file of numbered groups: their order, their layers' names, their roles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.layouts.found import unique_names
from ckpt_inspect.layouts.model_config import LayerConfig, frozen_layers, layers_of, snake_case
from ckpt_inspect.layouts.object_graph import LIST_INDEX
from ckpt_inspect.layouts.trainable_order import NOT_TRAINED, Block, Weight
from ckpt_inspect.records import dataclass

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
MADE_ORDER = "made-order"
"""Kind of the block whose order is that of the layers' automatic names: usual, and no proof."""
NOT_LAYERS = ("optimizer", "metrics", "compile_metrics", "loss_tracker", "_metrics")

# Keras' own layers, by their group's name: roles of `vars/<i>`
_DENSE = ("kernel", "bias")
_CELL = ("kernel", "recurrent_kernel", "bias")
_NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")
_SEPARABLE = ("depthwise_kernel", "pointwise_kernel", "bias")
ROLES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("dense", "einsum_dense", "conv1d", "conv2d", "conv3d", "depthwise_conv1d", "depthwise_conv2d"), _DENSE
    ),
    **dict.fromkeys(
        ("conv1_d", "conv2_d", "conv3_d", "conv1d_transpose", "conv2d_transpose", "conv3d_transpose"), _DENSE
    ),
    **dict.fromkeys(("separable_conv1d", "separable_conv2d"), _SEPARABLE),
    **dict.fromkeys(("cell", "lstm_cell", "gru_cell", "simple_rnn_cell", "lstm", "gru", "simple_rnn"), _CELL),
    **dict.fromkeys(("layer_normalization", "group_normalization"), ("gamma", "beta")),
    "rms_normalization": ("scale",),
    "embedding": ("embeddings",),
    "batch_normalization": _NORMALIZATION,
    "normalization": ("mean", "variance", "count"),
    "p_re_lu": ("alpha",),
}
ADAPTED = ("kernel", "embeddings")
"""Roles of weights that low-rank adapters (LoRA) may stand in for."""
NEVER_TRAINED_CLASSES = ("normalization", "seed_generator")

# Composite layers: groups of the parts are written in alphabetical order, trained in the order of construction
PART_ORDERS = (
    ("_query_dense", "_key_dense", "_value_dense", "_attention_norm", "_output_dense"),
    ("query_dense", "key_dense", "value_dense", "output_dense"),
    ("forward_layer", "backward_layer"),
)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the file that holds weights, or groups that do."""

    keys: dict[int, str] = field(default_factory=dict)
    """The group's own weights: number -> key of `vars/<number>`."""
    groups: dict[str, Group] = field(default_factory=dict)
    """The groups inside by name, in the file's order."""

    @property
    def container(self) -> str:
        """Return the name of the group inside that holds the layers; empty if there is none."""
        return next((c for c in CONTAINERS if c in self.groups and self.groups[c].groups), "")

    @property
    def layers(self) -> Mapping[str, Group]:
        """Return the groups of the layers inside; none without a container."""
        return self.groups[self.container].groups if self.container else {}


def model_weights(checkpoint: Checkpoint, model: JsonObject | None) -> tuple[Block, ...]:
    """Return the model's floating-point weights, named `<layer>/<role>`, by layer: alternatives, the surest first."""
    tree = _tree(checkpoint)
    layers = layers_of(model)
    config = model.get("config") if model is not None else None
    name = str(config.get("name", "model")) if isinstance(config, Mapping) else "model"
    own = _own(checkpoint, tree, name)
    if layers is not None and tree.container:
        configured = Block("", (), (*_configured(checkpoint, tree, "", layers), *own))
        frozen = frozenset(name for layer in layers for name in _frozen_names(layer))
        return configured, _by_labels(checkpoint, configured, MADE_ORDER), *_in_made_order(checkpoint, tree, frozen)
    unordered = _unordered(checkpoint, tree, "", "", order=None)
    written = checkpoint.written_order()
    trees = [unordered]
    if written and tree.container and _agrees_with_counts(tree, "", written):
        trees.append(_unordered(checkpoint, tree, "", "", order=written))
    models = [Block("", (), (*t.parts, *own), t.is_ordered) for t in trees]
    models += [_by_labels(checkpoint, model, MADE_ORDER) for model in models]
    return *models, *_in_made_order(checkpoint, tree, frozenset())


def weight_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Return `<layer>/<role>` by key for weights whose layer's name is in the configuration or in the file's labels;
    unique."""
    training = checkpoint.training_config()
    model = training.model if training else None
    if layers_of(model) is None and not checkpoint.labels():
        return {}
    weights = [w for block in model_weights(checkpoint, model)[0].layers() for w in block.weights if w.key]
    return dict(zip((w.key for w in weights), unique_names(w.name for w in weights), strict=True))


def _frozen_names(layer: LayerConfig) -> frozenset[str]:
    return frozen_layers(layer)[1] | (frozenset() if layer.is_trainable else {layer.name})


def _by_labels(checkpoint: Checkpoint, block: Block, kind: str) -> Block:
    """The block with parts of unknown order put in that of the layers' automatic names inside them, class by class."""
    parts = tuple(_by_labels(checkpoint, part, part.kind) for part in block.parts)
    if block.is_ordered or len(parts) < 2:
        return Block(kind, block.weights, parts, block.is_ordered)
    made = [_numbers(checkpoint, part) for part in parts]
    shared = Counter(base for numbers in made for base in numbers)
    placed = []
    for part, numbers in zip(parts, made, strict=True):
        base = max(numbers, key=lambda name: (shared[name], name), default=part.kind)
        placed.append((numbers.get(base, 0), Block(base, part.weights, part.parts, part.is_ordered)))
    placed.sort(key=lambda entry: entry[0])
    return Block(kind, block.weights, tuple(part for _, part in placed), False)


def _numbers(checkpoint: Checkpoint, block: Block) -> dict[str, int]:
    """Class of automatic name -> its lowest number among the block's layers."""
    labels = checkpoint.labels()
    found: dict[str, int] = {}
    for weight in (w for layer in block.layers() for w in layer.weights):
        label = labels.get(weight.key.rpartition("/")[0], "")
        if label:
            base = re.sub(r"_\d+$", "", label)
            found[base] = min(_number(label), found.get(base, _number(label)))
    return found


def _in_made_order(checkpoint: Checkpoint, tree: Group, frozen: frozenset[str]) -> tuple[Block, ...]:
    """The layers by the names that the file labels them with (Keras 3.8+): Keras numbers those of one class as they are
    made, and they are usually trained in that order. The order between classes stays open."""
    labels = checkpoint.labels()
    leaves: list[tuple[int, Block]] = []

    def visit(group: Group, path: str) -> bool:
        if group.keys:
            label = labels.get(f"{path}/vars") if path else labels.get("vars")
            if not label:
                return False
            base = re.sub(r"_\d+$", "", label)
            own = Group(group.keys)
            leaves.append((_number(label), _layer(checkpoint, own, label, base, base, label not in frozen, {})))
        return all(visit(inner, f"{path}/{name}" if path else name) for name, inner in group.groups.items())

    if not visit(tree, "") or not leaves:
        return ()
    leaves.sort(key=lambda leaf: leaf[0])
    return (Block(MADE_ORDER, (), tuple(block for _, block in leaves), is_ordered=False),)


def _tree(checkpoint: Checkpoint) -> Group:
    """Collect the file's groups of weights, without those of optimizers and metrics."""
    tree = Group()
    for key, spec in checkpoint.tensors.items():
        path, _, tail = key.rpartition("/")
        parts = path.split("/")
        if not LIST_INDEX.match(tail) or parts[-1] != "vars" or "optimizer" in parts[0] or parts[0] in NOT_LAYERS:
            continue
        if "float" not in spec.dtype:
            continue
        at = tree
        for part in parts[:-1]:
            at = at.groups.setdefault(part, Group())
        at.keys[int(tail)] = key
    return tree


def _configured(checkpoint: Checkpoint, tree: Group, path: str, layers: Sequence[LayerConfig]) -> list[Block]:
    """One block a layer, in the order of the configuration; a model inside gives one for each of its own."""
    container, groups = tree.container, tree.layers
    blocks: list[Block] = []
    seen: dict[str, int] = {}
    for layer in layers:
        base = snake_case(layer.class_name)
        index = seen[base] = seen.get(base, -1) + 1
        name = _group_of(groups, base, index, is_doubled=container == CONTAINERS[1])
        if name is None:
            continue
        group, here = groups[name], f"{path}{container}/{name}"
        if layer.layers is not None and group.container:
            blocks += _configured(checkpoint, group, f"{here}/", layer.layers)
        else:
            blocks.append(_layer(checkpoint, group, layer.name, base, base, layer.is_trainable, layer.config))
    return blocks


def _group_of(groups: Mapping[str, Group], base: str, index: int, is_doubled: bool) -> str | None:
    """The group of the index-th layer of a class. Keras 2.13 counts each layer with weights twice."""
    if is_doubled:
        members = sorted((g for g in groups if re.fullmatch(rf"{re.escape(base)}(_\d+)?", g)), key=_number)
        return members[index] if index < len(members) else None
    name = base if index == 0 else f"{base}_{index}"
    return name if name in groups else None


def _number(group: str) -> int:
    tail = group.rpartition("_")[2]
    return int(tail) if LIST_INDEX.match(tail) else 0


def _unordered(checkpoint: Checkpoint, tree: Group, path: str, kind: str, order: Mapping[str, int] | None) -> Block:
    """Without a configuration: layers of one class are counted in the model's order; classes among each other aren't.

    `order` says when each group was written, and so the order of a container's layers.
    """
    container = tree.container
    if path and not container:
        shown = checkpoint.labels().get(f"{path}/vars") or path
        bases = [re.sub(r"_\d+$", "", name.rpartition("/")[2]) for name in (path, shown)]
        base = next((b for b in bases if b in ROLES), bases[0])
        return _layer(checkpoint, tree, shown, base, kind, True, {})
    parts = []
    for name, inner in (tree.layers if container else tree.groups).items():
        child = "/".join(p for p in (path, container, name) if p)
        counted = re.sub(r"_\d+$", "", name) if container else name
        place = order.get(child, 0) if order is not None else 0
        number = _number(name) if container else 0
        parts.append((place, number, child, _unordered(checkpoint, inner, child, counted, order)))
    parts.sort(key=lambda p: p[:3])
    return Block(kind, (), tuple(p[3] for p in parts), order is not None and bool(container))


def _agrees_with_counts(tree: Group, path: str, written: Mapping[str, int]) -> bool:
    """Return whether the offsets grow with each class's counter: then space was not reused, and they show the order of
    writing."""
    container, members = tree.container, tree.layers
    for base in {re.sub(r"_\d+$", "", m) for m in members}:
        counted = sorted((m for m in members if re.fullmatch(rf"{re.escape(base)}(_\d+)?", m)), key=_number)
        places = [written[p] for m in counted if (p := f"{path}{container}/{m}") in written]
        if places != sorted(places):
            return False
    return all(
        _agrees_with_counts(group, f"{path}{container}/{m}/", written)
        for m, group in members.items()
        if group.container
    )


def _own(checkpoint: Checkpoint, tree: Group, name: str) -> list[Block]:
    """Weights that the model holds itself, outside of any layer."""
    keys = tree.keys
    weights = tuple(Weight(f"{name}/{i}", keys[i], checkpoint.tensors[keys[i]].shape, True) for i in sorted(keys))
    return [Block("", weights)] if weights else []


def _layer(
    checkpoint: Checkpoint,
    group: Group,
    name: str,
    base: str,
    kind: str,
    is_trainable: bool,
    config: JsonObject,
) -> Block:
    """A layer's own weights, and its parts'; `base` is its class as groups spell it."""
    keys = group.keys
    roles = _roles(base, len(keys), config)
    weights: list[Weight] = []
    adapters: list[Weight] = []  # created after the layer's own weights
    for i in sorted(keys):
        role = roles[i] if i < len(roles) else str(i)
        is_trained_kind = role not in NOT_TRAINED and base not in NEVER_TRAINED_CLASSES
        trained = is_trainable and is_trained_kind
        shape = checkpoint.tensors[keys[i]].shape
        rank = _adapters_rank(role, shape, config)
        is_frozen = not is_trainable and is_trained_kind and rank is None
        weights.append(Weight(f"{name}/{role}", keys[i], shape, trained and rank is None, is_frozen))
        if rank is not None:
            sides = (("a", (*shape[:-1], rank)), ("b", (rank, shape[-1])))
            adapters += [Weight(f"{name}/lora_{role}_{side}", "", of_side, trained) for side, of_side in sides]
    names = list(group.groups)
    known = next((order for order in PART_ORDERS if sum(n in order for n in names) > 1), None)
    parts = []
    for part in sorted(
        names,
        key=(lambda p: (known.index(p) if p in known else len(known), p)) if known else (lambda p: (_number(p), p)),
    ):
        inner = part if part in ROLES else re.sub(r"_\d+$", "", part.strip("_"))
        inner = "dense" if inner.endswith("_dense") else inner
        parts.append(
            _layer(
                checkpoint, group.groups[part], f"{name}/{part}", inner, re.sub(r"_\d+$", "", part), is_trainable, {}
            )
        )
    return Block(kind, (*weights, *adapters), tuple(parts), known is not None)


def _adapters_rank(role: str, shape: tuple[int, ...], config: JsonObject) -> int | None:
    """Return the rank of the two matrices that are trained in a weight's place (LoRA); they are merged into the weight
    as it is saved. None if the weight has none."""
    rank = config.get("lora_rank")
    if role not in ADAPTED or len(shape) < 2 or isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        return None
    return rank


def _roles(base: str, count: int, config: JsonObject) -> tuple[str, ...]:
    roles = ROLES.get(base, ())
    if base == "batch_normalization" and count < len(roles):
        kept = [r for r, flag in (("gamma", "scale"), ("beta", "center")) if config.get(flag, True) is not False]
        return (*(kept if len(kept) == count - 2 else ["gamma", "beta"][: max(0, count - 2)]), *roles[2:])
    if base in ("layer_normalization", "group_normalization") and config.get("scale") is False:
        return ("beta",)
    return roles
