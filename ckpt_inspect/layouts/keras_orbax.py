"""Keras 3's state in an Orbax folder, as `keras.callbacks.OrbaxCheckpoint` writes it (Keras 3.14 and later).

`trainable_variables/<path>`, `non_trainable_variables/<path>` and `optimizer_variables/<optimizer>/<name>`, the names
being `iteration`, `learning_rate` (not if it is a schedule) and `<path joined by _>_<slot>`. A slot is paired by
joining each trained path, never by splitting, since paths have underscores of their own. Betas, epsilon and schedule
are in the model's configuration, which `save_weights_only` leaves out, together with the optimizer.

Sources: keras/src/callbacks/orbax_checkpoint.py, keras/src/trainers/trainer.py `get_state_tree`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckpt_inspect.checkpoint import Checkpoint, Problem, SavedTree
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, unique_names
from ckpt_inspect.layouts.keras_variables import KERAS3_SLOTS, SlotName, adapt_slots, read_rule
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig, unwrap_config
from ckpt_inspect.layouts.slot_lists import U_PRODUCT
from ckpt_inspect.update_rules.implementations import KERAS3

LAYOUT = "keras-orbax"
TRAINED, OPTIMIZERS = "trainable_variables", "optimizer_variables"
COUNTER, RATE = "iteration", "learning_rate"
WRAPPER_SCALARS = frozenset({"step_counter", "dynamic_scale"})
"""What LossScaleOptimizer keeps beside a counter and a rate that stay 0."""


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find the compiled optimizer, if its variables are in the folder."""
    tree = checkpoint.saved_tree()
    if tree is None:
        return []
    groups = _groups(tree)
    trained = {path[_after(path, TRAINED) :]: name for name, path in tree.paths.items() if TRAINED in path[:-1]}
    if not groups or not trained:
        return []
    training = checkpoint.training_config()
    config = unwrap_config(training.optimizer) if training else None
    where = training.where if training and config else ""
    own = {name: members for name, members in groups.items() if not WRAPPER_SCALARS & members.keys()} or groups
    return [
        _read_optimizer(checkpoint, "optimizer" if len(own) == 1 else name, name, members, trained, config, where)
        for name, members in own.items()
    ]


def _after(path: Sequence[str], key: str) -> int:
    return path.index(key) + 1


def _groups(tree: SavedTree) -> dict[str, dict[str, str]]:
    """Return the tensors of each optimizer: its name -> their own names -> their keys. A wrapped one's may lie in the
    wrapper's group in part."""
    groups: dict[str, dict[str, str]] = {}
    for name, path in tree.paths.items():
        if OPTIMIZERS in path[:-2]:
            groups.setdefault(path[-2], {})[path[-1]] = name
    return groups


def _read_optimizer(
    checkpoint: Checkpoint,
    name: str,
    own_name: str,
    members: Mapping[str, str],
    trained: Mapping[tuple[str, ...], str],
    config: OptimizerConfig | None,
    config_where: str,
) -> FoundOptimizer:
    slots = _pair(members, trained)
    parsed = [SlotName(own_name, slot, "/".join(path)) for path, own in slots.items() for slot in own]
    scalars = {key: members[key] for key in (RATE, U_PRODUCT) if key in members}
    rule = read_rule(own_name, parsed, U_PRODUCT in members, config)
    names = unique_names("/".join(path) for path in slots)
    parameters = []
    for (path, own), parameter in zip(slots.items(), names, strict=True):
        spec = checkpoint.tensors[own.get("first_moment") or next(iter(own.values()))]
        found = FoundParameter(parameter, spec.shape, spec.dtype, trained[path], own)
        parameters.append(adapt_slots(found, rule.name))
    has_accumulators = any(s.slot == "gradient_accumulator" for s in parsed)
    return FoundOptimizer(
        name=name,
        layout=LAYOUT,
        implementation=KERAS3,
        rule=rule,
        parameters=tuple(parameters),
        counter=members.get(COUNTER),
        counted="gradients-to-divide" if has_accumulators else "updates",
        scalars=scalars,
        config=config.config if config else None,
        config_where=config_where,
        has_scheduled_rate=RATE not in members,
        problems=tuple(_unpaired(members, slots)),
    )


def _pair(members: Mapping[str, str], trained: Mapping[tuple[str, ...], str]) -> dict[tuple[str, ...], dict[str, str]]:
    """Return the slots of each trained variable that has some: its path -> our name of the slot -> its key."""
    longest_first = sorted(trained, key=lambda path: -len("_".join(path)))
    joined = {"_".join(path): path for path in longest_first}
    slots: dict[tuple[str, ...], dict[str, str]] = {}
    for member, key in members.items():
        owner = _owner(member, joined)
        if owner is not None:
            path, slot = owner
            slots.setdefault(path, {})[slot] = key
    return {path: _in_order(slots[path]) for path in trained if path in slots}


def _in_order(slots: Mapping[str, str]) -> dict[str, str]:
    """Return the moments first, in the order in which Keras makes them."""
    known = ("first_moment", "second_moment")
    return {s: slots[s] for s in (*known, *slots) if s in slots}


def _owner(member: str, joined: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], str] | None:
    """Return the path of a slot's variable and the slot's name; None for what is not a slot."""
    for spelling, slot in KERAS3_SLOTS.items():
        path = joined.get(member.removesuffix(f"_{spelling}")) if member.endswith(f"_{spelling}") else None
        if path is not None:
            return path, slot
    # of a custom optimizer: whatever follows the longest path
    return next(
        ((path, member[len(start) + 1 :]) for start, path in joined.items() if member.startswith(f"{start}_")), None
    )


def _unpaired(members: Mapping[str, str], slots: Mapping[tuple[str, ...], Mapping[str, str]]) -> list[Problem]:
    paired = {key for own in slots.values() for key in own.values()}
    left = [m for m, key in members.items() if key not in paired and m not in (COUNTER, RATE, U_PRODUCT)]
    odd = [m for m in left if any(m.endswith(f"_{spelling}") for spelling in KERAS3_SLOTS)]
    if not odd:
        return []
    return [
        Problem(
            "association-open",
            f"{len(odd)} slots, {odd[0]!r} the first, are named for no trained variable in the folder",
            "they are left out",
        )
    ]
