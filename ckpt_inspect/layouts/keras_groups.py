"""`.keras` and `.weights.h5`: nameless variables in numbered groups, `optimizer/vars/<i>` and `layers/<class
counter>/vars/<i>`.

Only the order says which slot belongs to which weight: the optimizer's slots stand in the order of the model's
trainable weights, layer after layer as the configuration lists them. Groups are named for classes, not layers
(`dense_3` is the fourth Dense). A `.weights.h5` has no configuration; the order in which the groups were written is
used instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
from ckpt_inspect.layouts.evidence import (
    contradicts_moments,
    contradicts_squares,
    exceeds_root,
    is_average,
    is_momentum_product,
    is_nonnegative,
    tell_adamax,
)
from ckpt_inspect.layouts.found import Counted, FoundOptimizer, FoundParameter, RuleReading, unique_names
from ckpt_inspect.layouts.layer_groups import MADE_ORDER, model_weights
from ckpt_inspect.layouts.object_graph import LIST_INDEX
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig, unwrap_config
from ckpt_inspect.layouts.slot_lists import (
    ONLY_SLOT,
    U_PRODUCT,
    SlotReading,
    block_readings,
    has_listed_rate,
    mixed_readings,
    slot_readings,
    turn_readings,
)
from ckpt_inspect.layouts.trainable_order import Block, Pairing, frozen_since, pair
from ckpt_inspect.update_rules import (
    OPTIMIZERS,
    USUAL_RULE,
    Implementation,
    Optimizer,
    UpdateRule,
    find_optimizer,
    optimizer_of_class,
    rules_of,
    rules_of_scalars,
    second_slot,
)
from ckpt_inspect.update_rules.hyperparameters import BETA_1, BETA_2
from ckpt_inspect.update_rules.implementations import KERAS2, KERAS3, OPTIMIZER_V2

LAYOUT = "keras-groups"
INNER = ("inner_optimizer", "_optimizer")
"""Groups of the optimizer inside a LossScaleOptimizer: of Keras 3, and of Keras 2, whose wrapper saves its variables
once more."""
INTEGERS = ("int32", "int64", "uint32", "uint64")


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find every optimizer saved with a model in numbered groups, or one that only the configuration names."""
    training = checkpoint.training_config()
    config = unwrap_config(training.optimizer) if training else None
    where = training.where if training and config else ""
    groups = _optimizer_groups(checkpoint)
    if not groups:
        return [_absent(config, where, _implementation(checkpoint))] if config is not None else []
    models = model_weights(checkpoint, training.model if training else None)
    found = []
    for path, keys in groups.items():
        is_compiled = path.split("/")[0] == "optimizer"
        found.append(_read_optimizer(checkpoint, path, keys, models, config if is_compiled else None, where))
    return found


def _optimizer_groups(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """Return, by path of each optimizer's group, its variables' keys in order; for a wrapper, those of the optimizer
    inside."""
    groups: dict[str, list[str]] = {}
    for key in checkpoint.tensors:
        path, _, tail = key.rpartition("/vars/")
        if path and LIST_INDEX.match(tail):
            groups.setdefault(path, []).append(key)
    labels = checkpoint.labels()
    chosen = {}
    for path, keys in groups.items():
        keys.sort(key=lambda k: int(k.rpartition("/")[2]))
        first = checkpoint.tensors[keys[0]]
        is_named = (
            "optimizer" in path.rpartition("/")[2] or optimizer_of_class(labels.get(f"{path}/vars", "")) is not None
        )
        if is_named and first.shape == () and first.dtype in INTEGERS and keys[0].endswith("/vars/0"):
            chosen[path] = keys
    return {p: k for p, k in chosen.items() if not any(f"{p}/{inner}" in chosen for inner in INNER)}


def _implementation(checkpoint: Checkpoint) -> Implementation:
    version = checkpoint.producer().get("keras_version", "")
    if version:
        return KERAS2 if version.startswith("2.") else KERAS3
    if checkpoint.labels():
        return KERAS3
    is_keras2 = any(k.startswith(("metrics/", "_layer_checkpoint_dependencies/")) for k in checkpoint.tensors)
    return KERAS2 if is_keras2 else KERAS3


def _absent(config: OptimizerConfig, where: str, implementation: Implementation) -> FoundOptimizer:
    """Return the optimizer of a model that was saved with its configuration, but without the optimizer's variables."""
    is_legacy = "decay" in config.config or config.config.get("is_legacy_optimizer") is True
    reason = (
        "legacy optimizers are not saved in this format; save as .h5 or in TensorFlow's format to keep them"
        if is_legacy
        else "the file holds the optimizer's configuration, but none of its variables"
    )
    return FoundOptimizer(
        name="optimizer",
        layout=LAYOUT,
        implementation=OPTIMIZER_V2 if is_legacy else implementation,
        rule=_read_rule(config, "", None),
        config=config.config,
        config_where=where,
        absence=reason,
    )


def _read_optimizer(
    checkpoint: Checkpoint,
    path: str,
    keys: Sequence[str],
    models: Sequence[Block],
    config: OptimizerConfig | None,
    where: str,
) -> FoundOptimizer:
    implementation = _implementation(checkpoint)
    label = checkpoint.labels().get(f"{path}/vars", "")
    rule = _read_rule(config, label, None)
    specs = [checkpoint.tensors[k] for k in keys]
    problems: list[Problem] = []
    parameters: tuple[FoundParameter, ...] = ()
    scalars: dict[str, str] = {}
    counted: Counted = "updates"
    absence: str | None = None
    optimizer = find_optimizer(rule.name) if rule.is_read else None
    if optimizer is not None and not _has_known_order(optimizer):
        optimizer = None
    reading, pairing, by_names = _choose_reading(specs, implementation, config, optimizer, models)
    if reading is None and config is None and optimizer is not None and not optimizer.has_moment_pair:
        others = _choose_reading(specs, implementation, None, None, models)
        if others[0] is not None and _are_moments(checkpoint, keys, others[0]):
            reading, pairing, by_names = others  # a name is the caller's to choose: Adam(name="SGD")
            label, optimizer, rule = "", None, _read_rule(None, "", None)
    if config is None and optimizer is not None:
        is_own = _can_be_its_own(checkpoint, keys, optimizer, reading)
        if not is_own or (reading is not None and reading.first and pairing is None):
            others = _choose_reading(specs, implementation, None, None, models)
            if not is_own or others[1] is not None:
                label, optimizer, rule = "", None, _read_rule(None, "", None)
                reading, pairing, by_names = others
    is_assumed = config is None and optimizer is not None and bool(optimizer.traces.slots_in_lists)
    if is_assumed and reading is not None and len(reading.slots) > 1 and not _are_told(checkpoint, keys, reading):
        reading = None
    if reading is not None and reading.has_learning_rate and config is None and reading.u_product is None:
        reading = _with_product(checkpoint, keys, reading, rule)
    if reading is not None:
        if by_names:
            problems.append(_assumed_order())
        if config is None and reading.first:
            reading = _told_by_values(checkpoint, keys, reading, pairing, problems)
        has_product = optimizer is not None and U_PRODUCT in optimizer.traces.scalars
        rule = _read_rule(config, "" if has_product and reading.u_product is None else label, reading)
        if config is None and reading.first and reading.u_product is None and not reading.maxima:
            rule = _told_by_moments(checkpoint, rule, _moments(keys, reading))
        parameters = _parameters(checkpoint, keys, reading, pairing, _pair_names(rule, config), problems)
        scalars = {U_PRODUCT: keys[reading.u_product]} if reading.u_product is not None else {}
        scalars |= {"learning_rate": keys[1]} if reading.has_learning_rate else {}
        # the releases that write labels, from 3.8 on, all divide the count
        gradients: Counted = "gradients-to-divide" if checkpoint.labels() else "gradients-either"
        counted = gradients if reading.accumulators else "updates"
    elif len(specs) <= 1 + has_listed_rate(specs, implementation):
        scalars = {"learning_rate": keys[1]} if has_listed_rate(specs, implementation) else {}
        rule, absence = _without_slots(checkpoint, keys[0], rule)
    elif optimizer is None or optimizer.has_moment_pair or optimizer.traces.slots_in_lists:
        absence = "its variables fit no known order of slots"
        problems.append(
            _unreadable(path, len(keys), is_known=config is None if optimizer is None else optimizer.has_moment_pair)
        )
        if is_assumed:
            absence = (
                "its variables may be several slots for each weight: which ones, depends on settings (momentum, "
                "averages, ..) that this file doesn't hold; a .keras file does"
            )
        is_rate = has_listed_rate(specs, implementation) and not any(w.shape == () for m in models for w in m.trained())
        if is_assumed and is_rate:  # the rule has no scalar of its own, and no weight is one
            scalars = {"learning_rate": keys[1]}
        if optimizer is None:
            absence = (
                f"optimizer state of a kind that is not known: {len(keys)} variables in an order that is not known"
            )
        if not rule.is_read:
            rule = RuleReading("unknown", "default", "its variables fit no known order of slots")
    return FoundOptimizer(
        name=path,
        layout=LAYOUT,
        implementation=implementation,
        rule=rule,
        parameters=parameters,
        counter=keys[0],
        counted=counted,
        scalars=scalars,
        config=config.config if config else None,
        config_where=where if config else "",
        has_numbered_slots=all(ONLY_SLOT in p.slots for p in parameters),
        has_scheduled_rate=implementation.has_listed_rate and config is None and "learning_rate" not in scalars,
        absence=absence,
        problems=tuple(problems),
    )


def _with_product(checkpoint: Checkpoint, keys: Sequence[str], reading: SlotReading, rule: RuleReading) -> SlotReading:
    """Return the reading in which the second scalar is not a learning rate, if it is the running product of Nadam's
    momenta: of a schedule's rate there is no variable."""
    (nadam,) = rules_of_scalars([U_PRODUCT])
    if not reading.first or (rule.is_read and rule.name != nadam.name):
        return reading
    count = int(checkpoint.read_range(keys[0], 0, 1)[0])
    value = float(checkpoint.read_range(keys[1], 0, 1)[0])
    return replace(reading, has_learning_rate=False, u_product=1) if is_momentum_product(value, count) else reading


def _are_told(checkpoint: Checkpoint, keys: Sequence[str], reading: SlotReading) -> bool:
    """Return whether values prove the order of several blocks of slots, of which settings that aren't in the file might
    have added others: the first a mean of squares, the second no mean of what it squares, as an average of gradients
    is."""
    first, second = ([keys[i] for i in block if i is not None] for block in list(reading.slots.values())[:2])
    is_mean = is_nonnegative(checkpoint, first) and not is_nonnegative(checkpoint, second)
    return is_mean and exceeds_root(checkpoint, list(zip(second, first, strict=True)))


def _are_moments(checkpoint: Checkpoint, keys: Sequence[str], reading: SlotReading) -> bool:
    """Return whether the values of a reading's pairs can be those of first and second moments."""
    pairs = _moments(keys, reading)
    return bool(pairs) and not contradicts_moments(checkpoint, pairs)


def _can_be_its_own(
    checkpoint: Checkpoint, keys: Sequence[str], optimizer: Optimizer, reading: SlotReading | None
) -> bool:
    """Return whether what was read as an optimizer's slots, because of a name, can be: whether it keeps as many, and
    with their signs."""
    if reading is None:
        return not optimizer.has_moment_pair and not optimizer.traces.slots_by_turns
    if reading.first:
        return not contradicts_moments(checkpoint, _moments(keys, reading))
    if optimizer.traces.slots_in_lists and len(reading.slots) > 1:
        return True  # which blocks these are is open
    squares = optimizer.traces.squares_in_lists
    blocks = {name: [(keys[i],) for i in block if i is not None] for name, block in reading.slots.items()}
    return squares is None or not any(
        contradicts_squares(checkpoint, block, (name in squares,)) for name, block in blocks.items()
    )


def _has_known_order(optimizer: Optimizer) -> bool:
    """Return whether it is known how Keras lists its slots."""
    traces = optimizer.traces
    listed = traces.slots_in_lists or traces.slots_by_turns or traces.pairs_some
    return optimizer.has_moment_pair or bool(listed) or isinstance(optimizer, UpdateRule)


def _without_slots(checkpoint: Checkpoint, counter: str, rule: RuleReading) -> tuple[RuleReading, str | None]:
    """Read an optimizer that has scalars alone: what it may be, and why it has no slots."""
    count = int(checkpoint.read_range(counter, 0, 1)[0])
    if count == 0:
        unbuilt = "the optimizer was saved before its first update, without slots"
        if rule.is_read:
            return rule, unbuilt
        return RuleReading(
            "unknown", "default", "an optimizer before its first update has no slots that identify it"
        ), unbuilt
    absence = f"the file has none of its slots, though it counts {count} updates"
    optimizer = find_optimizer(rule.name)
    if rule.is_read:
        is_complete = optimizer is not None and any(switch for _, switch in optimizer.traces.slots_in_lists[:1])
        return rule, None if is_complete else absence
    others = tuple(o.name for o in OPTIMIZERS if any(switch for _, switch in o.traces.slots_in_lists[:1]))
    where = f"no slots after {count} updates, as of an optimizer that keeps none, or in a part of a checkpoint"
    return RuleReading("unknown", "default", where, others), absence


def _read_rule(config: OptimizerConfig | None, label: str, reading: SlotReading | None) -> RuleReading:
    """Read the rule from the configuration, else from slots that only one rule has, else from the optimizer's name."""
    if config is not None:
        return RuleReading(config.rule, "config", f"class {config.class_name!r} in the configuration")
    if reading is not None and reading.u_product is not None:
        (rule,) = rules_of_scalars([U_PRODUCT])
        if reading.u_product == 1:
            where = f"the second scalar is the running product of {rule.title}'s momenta"
            return RuleReading(rule.name, "inferred", where)
        return RuleReading(rule.name, "checkpoint", f"a scalar among the slots, as only {rule.title} keeps")
    if reading is not None and reading.maxima:
        where = "three variables for each weight: a maximum of the second moment"
        return RuleReading(USUAL_RULE.with_maximum, "checkpoint", where)
    named = optimizer_of_class(label) if label else None
    if named is not None:
        return RuleReading(named.name, "checkpoint", f"the optimizer is named {label!r}, the class's default name")
    if reading is not None and reading.only_of:
        return RuleReading(reading.only_of, "checkpoint", f"slots of rows and of columns, as {reading.only_of} keeps")
    if reading is not None and not reading.first:
        where = "one variable for each weight, of its shape"
        others = tuple(o.name for o in OPTIMIZERS if o.traces.slots_in_lists)
        return RuleReading("unknown", "default", where, others)
    where = "variables in pairs of one shape, as first and second moments are"
    others = tuple(name for name in _pair_rules() if name != USUAL_RULE.name)
    return RuleReading(USUAL_RULE.name, "default", where, others)


def _pair_rules() -> tuple[str, ...]:
    """Return the rules of Keras that keep a pair of moments for each weight, and no maximum."""
    return tuple(r.name for r in rules_of(KERAS2, KERAS3) if r.has_moment_pair and not r.has_maximum)


def _told_by_moments(checkpoint: Checkpoint, rule: RuleReading, pairs: Sequence[tuple[str, str]]) -> RuleReading:
    """Return the rule of pairs, after a look at their values: a name is the caller's to choose."""
    if not rule.is_read and (reason := contradicts_moments(checkpoint, pairs)):
        kept = [o.name for o in OPTIMIZERS if [shape for _, shape in o.traces.slots_by_turns] == ["whole"] * 2]
        return RuleReading("unknown", "default", f"variables in pairs of one shape, {reason}", tuple(kept))
    return tell_adamax(checkpoint, rule, pairs, others=_pair_rules())


def _pair_names(rule: RuleReading, config: OptimizerConfig | None) -> tuple[str, str]:
    """Return our names of the two slots: a class that is not known keeps moments if it has their decay rates."""
    optimizer = find_optimizer(rule.name)
    is_of_its_own = (optimizer is None or not _has_known_order(optimizer)) and config is not None
    if rule.name == "unknown":
        return ONLY_SLOT, f"{ONLY_SLOT}_1"
    if is_of_its_own and config is not None and not {BETA_1.name, BETA_2.name} <= config.config.keys():
        return ONLY_SLOT, f"{ONLY_SLOT}_1"
    return "first_moment", second_slot(rule.name)


def _moments(keys: Sequence[str], reading: SlotReading) -> list[tuple[str, str]]:
    return [(keys[i], keys[j]) for i, j in zip(reading.first, reading.second, strict=True)]


def _told_by_values(
    checkpoint: Checkpoint,
    keys: Sequence[str],
    reading: SlotReading,
    pairing: Pairing | None,
    problems: list[Problem],
) -> SlotReading:
    """Decide by their values whether variables are moving averages or accumulated gradients: both have one for each
    weight, in the same place."""
    block = reading.averages or reading.accumulators
    if not block or (reading.averages and reading.accumulators):
        return reading
    weights = [(w.key or None) if w else None for w in pairing.weights] if pairing else [None] * len(block)
    is_ema = is_average(checkpoint, [(keys[i], w) for i, w in zip(block, weights, strict=True)])
    kind = "moving averages" if is_ema else "accumulated gradients"
    told = "near the weights" if is_ema else "zero, or far from the weights"
    reason = "which leaves the step open" if is_ema is None else f"because they are {told}"
    problems.append(
        Problem(
            "block-told-by-values",
            f"{len(block)} variables before the moments can be moving averages or accumulated gradients",
            f"they are read as {kind}, {reason}",
            "info",
        )
    )
    if is_ema:
        return replace(reading, averages=block, accumulators=())
    return replace(reading, averages=(), accumulators=block)


def _unreadable(path: str, count: int, is_known: bool) -> Problem:
    return Problem(
        "association-open",
        f"{path}: {count} variables fit no known order of slots",
        "none is reported",
        "error" if is_known else "warning",
    )


def _assumed_order() -> Problem:
    return Problem(
        "association-assumed",
        "the file doesn't record in which order the model's layers are trained",
        "moments and weights are paired in the order of the layers' automatic names (dense, dense_1, ..), the order in "
        "which they were made; moments that stay open are reported by their place",
    )


def _choose_reading(
    specs: Sequence[TensorSpec],
    implementation: Implementation,
    config: OptimizerConfig | None,
    rule: Optimizer | None,
    models: Sequence[Block],
) -> tuple[SlotReading | None, Pairing | None, bool]:
    """Return the first reading whose slots fit all of the model's weights, else some of them, else the first that is
    consistent; its pairing; and whether that rests on the order of the layers' automatic names."""
    best: tuple[SlotReading | None, Pairing | None, bool] = None, None, False
    best_score = (-1, -1)
    for reading in _readings(specs, implementation, config, rule, models):
        shapes = [specs[i].shape for i in reading.leading]
        for model in models:
            pairing = pair(model, shapes)
            if pairing is None and (config is None or rule is None) and reading.slots:
                continue  # any list is one slot each of so many weights: the model must have these
            paired = 0 if pairing is None else sum(w is not None for w in pairing.weights)
            score = (
                int(pairing is not None) + int(pairing is not None and len(shapes) == len(model.trained())),
                paired,
            )
            if score > best_score:
                best, best_score = (reading, pairing, model.kind == MADE_ORDER), score
    return best


def _readings(
    specs: Sequence[TensorSpec],
    implementation: Implementation,
    config: OptimizerConfig | None,
    rule: Optimizer | None,
    models: Sequence[Block],
) -> Iterator[SlotReading]:
    """Yield the readings that the rule allows; of one that is not known pairs of moments first, then one slot a
    weight."""
    if rule is None or rule.has_moment_pair:
        yield from slot_readings(specs, implementation, config, rule)
    if rule is not None and rule.traces.pairs_some:
        for model in models:
            yield from mixed_readings(specs, implementation, config, [w.shape for w in model.trained()])
    elif rule is not None and rule.traces.slots_by_turns:
        yield from turn_readings(specs, implementation, config, rule.traces.slots_by_turns)
    elif rule is None or not rule.has_moment_pair:
        yield from block_readings(specs, implementation, config, rule)
    if rule is None and config is None:
        for optimizer in OPTIMIZERS:
            turns = optimizer.traces.slots_by_turns
            if any(shape != "whole" for _, shape in turns):
                for reading in turn_readings(specs, implementation, config, turns):
                    yield replace(reading, only_of=optimizer.name)


def _parameters(
    checkpoint: Checkpoint,
    keys: Sequence[str],
    reading: SlotReading,
    pairing: Pairing | None,
    pair_names: tuple[str, str],
    problems: list[Problem],
) -> tuple[FoundParameter, ...]:
    leading = reading.leading
    chosen = pairing.weights if pairing else (None,) * len(leading)
    kept = "pairs of moments" if reading.first else "variables' slots"
    if pairing is not None and pairing.frozen_since:
        problems.append(frozen_since(pairing))
    if pairing is None:
        problems.append(
            Problem(
                "association-open",
                f"the {len(leading)} {kept} don't fit the order of the model's weights",
                "they are reported by their place, without weights",
            )
        )
    elif not pairing.is_certain:
        problems.append(
            Problem(
                "association-uncertain",
                "the file doesn't record the order of the layers (or which are trained), and several choices of "
                "weights have the moments' shapes",
                f"{sum(w is None for w in chosen)} of {len(chosen)} have no weights and are reported by their place",
            )
        )
    names = unique_names(w.name if w else f"weight {i}" for i, w in enumerate(chosen))
    parameters = []
    for i, (name, weight) in enumerate(zip(names, chosen, strict=True)):
        slots = {}
        if reading.first:
            slots = dict(zip(pair_names, (keys[reading.first[i]], keys[reading.second[i]]), strict=True))
        slots |= {name: keys[at] for name, block in reading.slots.items() if (at := block[i]) is not None}
        for kind, block in (
            ("max_second_moment", reading.maxima),
            ("average", reading.averages),
            ("gradient_accumulator", reading.accumulators),
        ):
            if block:
                slots[kind] = keys[block[i]]
        spec = checkpoint.tensors[keys[leading[i]]]
        parameters.append(FoundParameter(name, spec.shape, spec.dtype, (weight.key or None) if weight else None, slots))
    return tuple(parameters)
