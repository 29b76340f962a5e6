"""`.keras` and `.weights.h5`: nameless variables in numbered groups, `optimizer/vars/<i>` and `layers/<class counter>/vars/<i>`.

Nothing in the file says which slot belongs to which weight but order: the optimizer's slots stand in the order of the model's
trainable weights, layer after layer as the configuration lists them. Groups are named for classes, not layers (`dense_3` is
the fourth Dense). A `.weights.h5` has no configuration; then the order in which the groups were written stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
from ckpt_inspect.layouts.found import Family, FoundOptimizer, FoundParameter, unique_names
from ckpt_inspect.layouts.layer_groups import model_weights
from ckpt_inspect.layouts.optimizer_classes import ADAM_FAMILY, OptimizerConfig, rule_of_class, unwrap_config
from ckpt_inspect.layouts.trainable_order import Block, Pairing, pair

LAYOUT = "keras-groups"
INTEGERS = ("int32", "int64", "uint32", "uint64")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read an optimizer's list of variables; each member is an index into the list, or a tuple of them."""

    has_learning_rate: bool
    u_product: int | None
    averages: tuple[int, ...]
    accumulators: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    maxima: tuple[int, ...]


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Every optimizer that was saved with a model into numbered groups, and one that its configuration merely names."""
    training = checkpoint.training_config()
    config = unwrap_config(training.optimizer) if training else None
    where = training.where if training and config else ""
    groups = _optimizer_groups(checkpoint)
    if not groups:
        return [_absent(config, where, _family(checkpoint))] if config is not None else []
    models = model_weights(checkpoint, training.model if training else None)
    found = []
    for path, keys in groups.items():
        is_compiled = path.split("/")[0] == "optimizer"
        found.append(_read_optimizer(checkpoint, path, keys, models, config if is_compiled else None, where))
    return found


def _optimizer_groups(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """Path of each optimizer's group -> its variables' keys in order; of a wrapper and what it wraps the wrapped one."""
    groups: dict[str, list[str]] = {}
    for key in checkpoint.tensors:
        path, _, tail = key.rpartition("/vars/")
        if path and tail.isdigit():
            groups.setdefault(path, []).append(key)
    labels = checkpoint.labels()
    chosen = {}
    for path, keys in groups.items():
        keys.sort(key=lambda k: int(k.rpartition("/")[2]))
        first = checkpoint.tensors[keys[0]]
        is_named = "optimizer" in path.rpartition("/")[2] or rule_of_class(labels.get(f"{path}/vars", "")) is not None
        if is_named and first.shape == () and first.dtype in INTEGERS and keys[0].endswith("/vars/0"):
            chosen[path] = keys
    return {p: k for p, k in chosen.items() if f"{p}/inner_optimizer" not in chosen}


def _family(checkpoint: Checkpoint) -> Family:
    version = checkpoint.producer().get("keras_version", "")
    if version:
        return "keras2" if version.startswith("2.") else "keras3"
    if checkpoint.labels():
        return "keras3"
    is_keras2 = any(k.startswith(("metrics/", "_layer_checkpoint_dependencies/")) for k in checkpoint.tensors)
    return "keras2" if is_keras2 else "keras3"


def _absent(config: OptimizerConfig, where: str, family: Family) -> FoundOptimizer:
    is_legacy = "decay" in config.config or config.config.get("is_legacy_optimizer") is True
    reason = (
        "legacy optimizers are not saved in this format; save as .h5 or in TensorFlow's format to keep them"
        if is_legacy
        else "the file holds the optimizer's configuration, but none of its variables"
    )
    return FoundOptimizer(
        "optimizer", LAYOUT, "optimizer-v2" if is_legacy else family, config.rule, True, f"class {config.class_name!r} in the configuration",
        config=config.config, config_where=where, extra={"state_is_absent": reason},
    )  # fmt: skip


def _read_optimizer(
    checkpoint: Checkpoint, path: str, keys: Sequence[str], models: Sequence[Block], config: OptimizerConfig | None, where: str
) -> FoundOptimizer:
    family = _family(checkpoint)
    label = checkpoint.labels().get(f"{path}/vars", "")
    named = config.rule if config else rule_of_class(label) if label else None
    rule, is_read = named or "adam", named is not None
    rule_where = (
        f"class {config.class_name!r} in the configuration" if config
        else f"the optimizer is named {label!r}, the class's own name" if named
        else "variables in pairs of one shape, as first and second moments are"
    )  # fmt: skip
    specs = [checkpoint.tensors[k] for k in keys]
    problems: list[Problem] = []
    parameters: tuple[FoundParameter, ...] = ()
    scalars: dict[str, str] = {}
    extra: dict[str, Any] = {}
    if rule in ADAM_FAMILY:
        reading, pairing = _choose_reading(specs, family, config, rule if is_read else None, models)
        if reading is None:
            extra["state_is_absent"] = "the optimizer was saved before its first update, without moments"
            if len([s for s in specs if s.shape != ()]) > 0:
                problems.append(_unreadable(path, len(keys)))
                extra["state_is_absent"] = "its variables fit no known order of moments"
        else:
            if reading.u_product is not None:
                scalars["u_product"] = keys[reading.u_product]
                rule, is_read, rule_where = ("nadam", True, "a scalar among the slots, as only Nadam keeps") if config is None else (rule, is_read, rule_where)
            if reading.has_learning_rate:
                scalars["learning_rate"] = keys[1]
            if reading.maxima and config is None:
                rule, is_read, rule_where = "amsgrad", True, "three variables for each weight: a maximum of the second moment"
            if reading.accumulators:
                extra["accumulates_gradients"] = "unknown"
            parameters = _parameters(checkpoint, keys, reading, pairing, rule, problems)
    if "learning_rate" not in scalars and config is None:
        extra["learning_rate_is_scheduled"] = family == "keras3"
    return FoundOptimizer(
        name=path,
        layout=LAYOUT,
        family=family,
        rule=rule,
        rule_is_read=is_read,
        rule_where=rule_where,
        rule_alternatives=() if is_read else tuple(r for r in ("adam", "adamw", "lamb", "adamax") if r != rule),
        parameters=parameters,
        counter=keys[0],
        scalars=scalars,
        config=config.config if config else None,
        config_where=where if config else "",
        extra=extra,
        problems=tuple(problems),
    )


def _unreadable(path: str, count: int) -> Problem:
    return Problem(
        "association-open", f"{path}: {count} variables fit no known order of first and second moments", "none was reported", "error"
    )


def _choose_reading(
    specs: Sequence[TensorSpec], family: Family, config: OptimizerConfig | None, rule: str | None, models: Sequence[Block]
) -> tuple[_Reading | None, Pairing | None]:
    """The first reading whose slots fit all of the model's weights; else some of them; else the first that fits itself."""
    best: tuple[_Reading | None, Pairing | None] = None, None
    best_score = (-1, -1)
    for reading in _readings(specs, family, config, rule):
        shapes = [specs[i].shape for i in reading.first]
        for model in models:
            pairing = pair(model, shapes)
            paired = 0 if pairing is None else sum(w is not None for w in pairing.weights)
            score = (int(pairing is not None) + int(pairing is not None and len(shapes) == len(model.trained())), paired)
            if score > best_score:
                best, best_score = (reading, pairing), score
    return best


def _readings(
    specs: Sequence[TensorSpec], family: Family, config: OptimizerConfig | None, rule: str | None
) -> Iterator[_Reading]:
    """Every way to read the list that is consistent in itself, likelier ones first."""
    settings = config.config if config else {}
    known = config is not None
    is_scheduled = isinstance(settings.get("learning_rate"), Mapping)
    rates = [False] if family == "keras2" or is_scheduled else [True] if known else [True, False]
    ema = [bool(settings.get("use_ema"))] if known else [False, True]
    accumulation = [bool(settings.get("gradient_accumulation_steps"))] if known else [False, True] if family == "keras3" else [False]
    maxima = [rule == "amsgrad"] if known else [True, False] if rule == "amsgrad" else [False, True]
    products = ["before", "after", None] if rule == "nadam" else [None] if rule is not None else [None, "before", "after"]
    for has_rate in rates:
        for has_ema in ema:
            for has_accumulators in accumulation:
                for has_maxima in maxima:
                    for product in products:
                        reading = _lay_out(specs, has_rate, has_ema, has_accumulators, has_maxima, product)
                        if reading is not None:
                            yield reading


def _lay_out(
    specs: Sequence[TensorSpec], has_rate: bool, has_ema: bool, has_accumulators: bool, has_maxima: bool, product: str | None
) -> _Reading | None:
    """[iteration][rate][averages][accumulators][product][m0 v0 m1 v1 ..][maxima][product], where the shapes allow it."""
    start = 1 + has_rate
    if has_rate and (len(specs) < 2 or specs[1].shape != () or "float" not in specs[1].dtype):
        return None
    per_weight = 2 + has_ema + has_accumulators + has_maxima
    count, rest = divmod(len(specs) - start - (product is not None), per_weight)
    if rest or count < 1:
        return None
    indices = iter(range(start, len(specs)))

    def take(n: int) -> tuple[int, ...]:
        return tuple(next(indices) for _ in range(n))

    if has_ema and has_accumulators:  # one of each for each weight in turn
        both = take(2 * count)
        averages, accumulators = both[::2], both[1::2]
    else:
        averages = take(count if has_ema else 0)
        accumulators = take(count if has_accumulators else 0)
    u_product = take(1)[0] if product == "before" else None
    pairs = take(2 * count)
    maxima = take(count if has_maxima else 0)
    u_product = take(1)[0] if product == "after" else u_product
    first, second = pairs[::2], pairs[1::2]
    shapes = [specs[i].shape for i in first]
    blocks = (second, averages, accumulators, maxima)
    if any(block and [specs[i].shape for i in block] != shapes for block in blocks):
        return None
    if u_product is not None and specs[u_product].shape != ():
        return None
    return _Reading(has_rate, u_product, averages, accumulators, first, second, maxima)


def _parameters(
    checkpoint: Checkpoint, keys: Sequence[str], reading: _Reading, pairing: Pairing | None, rule: str, problems: list[Problem]
) -> tuple[FoundParameter, ...]:
    chosen = pairing.weights if pairing else (None,) * len(reading.first)
    if pairing is None:
        problems.append(
            Problem(
                "association-open",
                f"the {len(reading.first)} pairs of moments don't fit the order of the model's weights",
                "they are reported by their place, without weights",
            )
        )
    elif not pairing.is_certain:
        problems.append(
            Problem(
                "association-uncertain",
                "the file records no order of the layers (or not which are trained), and several choices of weights have the moments' shapes",
                f"{sum(w is None for w in chosen)} of {len(chosen)} were left without weights, and are reported by their place",
            )
        )
    names = unique_names(w.name if w else f"weight {i}" for i, w in enumerate(chosen))
    second = "infinity_norm" if rule == "adamax" else "second_moment"
    parameters = []
    for i, (name, weight) in enumerate(zip(names, chosen, strict=True)):
        slots = {"first_moment": keys[reading.first[i]], second: keys[reading.second[i]]}
        for kind, block in (("max_second_moment", reading.maxima), ("average", reading.averages), ("gradient_accumulator", reading.accumulators)):
            if block:
                slots[kind] = keys[block[i]]
        spec = checkpoint.tensors[keys[reading.first[i]]]
        parameters.append(FoundParameter(name, spec.shape, spec.dtype, weight.key if weight else None, slots))
    return tuple(parameters)
