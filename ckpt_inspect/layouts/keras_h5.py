"""Whole-model Keras HDF5: `model_weights` and `optimizer_weights`, each in the order of its attribute `weight_names`.

The slots' names show who wrote them: `Adam/dense/kernel/m:0` OptimizerV2; `Adam/m/dense/kernel:0` Keras 2.11+;
`adam/dense_kernel_momentum` Keras 3; `training/Adam/Variable_7:0` or `m_3_1:0` Keras before OptimizerV2. The last are
paired by order alone: all first moments, all second moments, and (from 2.1.6) as many maxima, dummies of shape (1,)
unless AMSGrad is on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.layouts.evidence import has_moved
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, unique_names, whole_slot
from ckpt_inspect.layouts.keras_variables import SlotName, adapt_slots, parse_keras2_slot, parse_keras3_slot, read_rule
from ckpt_inspect.layouts.model_config import LayerConfig, frozen_layers, layers_of
from ckpt_inspect.layouts.optimizer_classes import (
    AVERAGE_SLOTS,
    OptimizerConfig,
    averaged_weights,
    never_counted,
    unwrap_config,
)
from ckpt_inspect.layouts.slot_lists import slots_in_blocks
from ckpt_inspect.layouts.trainable_order import Block, Pairing, Weight, frozen_since, is_untrained, pair
from ckpt_inspect.update_rules import (
    TELLING_SCALARS,
    USUAL_RULE,
    Implementation,
    find_optimizer,
    has_moment_pair,
    second_slot,
)
from ckpt_inspect.update_rules.implementations import KERAS1, KERAS2, KERAS3, OPTIMIZER_V2, TFA

LAYOUT = "keras-h5"
MODEL, OPTIMIZER = "model_weights/", "optimizer_weights/"
V2_SLOTS = {"m": "first_moment", "v": "second_moment", "vhat": "max_second_moment"}
COUNTER = re.compile(r"(^|/)(iter|iteration|iterations(_\d+)?)$")
KERAS1_COUNTER = re.compile(r"(^|/)Variable(_\d+)?$")
"""Name of the counter before Keras 2, whose variables have no names."""
NAMELESS = re.compile(r"(^|/)(Variable(_\d+)?|(m|v|u|vhat|vs|ms|moment|(delta_)?accumulator)_\d+(_\d+)?)$")
NOT_SLOTS = ("m_schedule", "lr", "beta_1", "beta_2", "decay")
SCALE = "dynamic_scale"
"""A variable that Keras 3's LossScaleOptimizer has, and no other."""
MOMENTS = ("first_moment", "second_moment", "max_second_moment")
SORTED_BEFORE = (2, 0, 6)
"""Keras release up to which `compile` sorted the trainable weights by name (keras/engine/training.py)."""


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find the compiled optimizer, if its weights or at least its configuration are in the file."""
    training = checkpoint.training_config()
    config = unwrap_config(training.optimizer) if training else None
    names = {n.removeprefix(OPTIMIZER).removesuffix(":0"): n for n in checkpoint.tensors if n.startswith(OPTIMIZER)}
    if config is None and not names:
        return []
    weights = _model_weights(checkpoint, training.model if training else None)
    if any(NAMELESS.search(n) for n in names):
        weights = _named_by_layers(weights)
    implementation, parameters, problems = _read_slots(checkpoint, names, weights, config)
    slots = [s for p in parameters for s in p.slots]
    rule = read_rule("", [SlotName("", s, "") for s in slots], False, config)
    if who := (config.averaging_wrapper if config else "") or _averaging_slots(names):
        problems.append(averaged_weights(who))
    own = _own(names)
    counter = _counter(checkpoint, names)
    if (
        implementation.counts_decayed_rates_alone
        and counter is not None
        and _never_raised(checkpoint, counter, parameters)
    ):
        problems.append(_uncounted(counter))
        counter = None
    if config is not None and len(config.averaging_wrappers) > 1:
        problems.append(never_counted(who))
        counter = None
    scalars = {
        tail: names[n]
        for n in own
        if (tail := n.rpartition("/")[2]) in ("learning_rate", *TELLING_SCALARS) and _is_scalar(checkpoint, names[n])
    }
    return [
        FoundOptimizer(
            name="optimizer",
            layout=LAYOUT,
            implementation=implementation,
            rule=rule,
            parameters=tuple(adapt_slots(_with_second_slot(checkpoint, p, rule.name), rule.name) for p in parameters),
            counter=counter,
            counted="gradients-either" if "gradient_accumulator" in slots else "updates",
            scalars=scalars,
            config=config.config if config else None,
            config_where=training.where if training and config else "",
            absence=_absence(checkpoint, names, counter) if not parameters else None,
            problems=tuple(problems),
        )
    ]


def _absence(checkpoint: Checkpoint, names: Mapping[str, str], counter: str | None) -> str | None:
    """Say what there is instead of slots that are understood; None if there are scalars alone."""
    if not names:
        return "the file holds the optimizer's configuration, but none of its weights"
    left = [n for n, key in names.items() if key != counter and checkpoint.tensors[key].shape]
    if not left:
        return None
    count = f"{len(left)} variable{'s' * (len(left) != 1)}"
    return f"optimizer state of a kind that is not known: {count}, {left[0]!r} .. {left[-1]!r}"


def _averaging_slots(names: Mapping[str, str]) -> str:
    """Return what is named in the slots of a wrapper, `Lookahead` of `Lookahead/dense/kernel/slow`; empty if none."""
    tailed = (n.rpartition("/") for n in names)
    return next((h.partition("/")[0] for h, _, t in tailed if t in AVERAGE_SLOTS and f"{h}/m" in names), "")


def _in_order(checkpoint: Checkpoint, weights: Sequence[Weight]) -> Block:
    """Return the weights as a model of layers, in the order in which that Keras release passed them to the
    optimizer."""
    version = tuple(int(part) for part in re.findall(r"\d+", checkpoint.producer().get("keras_version", ""))[:3])
    if version and version < SORTED_BEFORE:
        by_name = sorted(weights, key=lambda w: w.key.removeprefix(MODEL).partition("/")[2])
        return Block("", (), tuple(Block(w.name, (w,)) for w in by_name))
    layers: dict[str, list[Weight]] = {}
    for weight in weights:
        layers.setdefault(_layer_of(weight), []).append(weight)
    return Block("", (), tuple(Block(name, tuple(members)) for name, members in layers.items()))


def _own(names: Mapping[str, str]) -> list[str]:
    """Return the names that are not those of a wrapper's own variables: where it scales losses, its counter and rate
    stay 0."""
    wrappers = {head for head, _, tail in (n.rpartition("/") for n in names) if tail == SCALE}
    return [n for n in names if n.rpartition("/")[0] not in wrappers - {""}]


def _counter(checkpoint: Checkpoint, names: Mapping[str, str]) -> str | None:
    """Return the key of the scalar that counts the updates: by its name, or, before Keras 2, as the first of nameless
    variables."""
    own = _own(names)
    named = next((names[n] for n in own if COUNTER.search(n) and _is_scalar(checkpoint, names[n])), None)
    if named is None and own and KERAS1_COUNTER.search(own[0]) and _is_scalar(checkpoint, names[own[0]]):
        return names[own[0]]
    return named


def _never_raised(checkpoint: Checkpoint, counter: str, parameters: Sequence[FoundParameter]) -> bool:
    """Return whether a counter is 0 though updates have been made: Keras 1 raises that of some optimizers under a
    `decay` alone (keras/optimizers.py)."""
    return float(checkpoint.read(counter)) == 0 and has_moved(
        checkpoint, [k for p in parameters for k in p.slots.values()]
    )


def _uncounted(counter: str) -> Problem:
    return Problem(
        "counter-open",
        f"{counter} is 0, and slots have moved: such an optimizer's updates are counted under a decay alone",
        "the step is left unknown; give --step",
    )


def _is_scalar(checkpoint: Checkpoint, key: str) -> bool:
    return checkpoint.tensors[key].shape == ()


def _with_second_slot(checkpoint: Checkpoint, parameter: FoundParameter, rule: str) -> FoundParameter:
    """Adamax of OptimizerV2 calls its infinity norm `v`; NovoGrad's v is one number for each variable."""
    own = second_slot(rule)
    if not has_moment_pair(rule) and parameter.shape:
        key = parameter.slots.get(USUAL_RULE.second_slot)
        own = "v" if key is not None and checkpoint.tensors[key].shape == () else own
    slots = {(own if s == USUAL_RULE.second_slot else s): k for s, k in parameter.slots.items()}
    return FoundParameter(parameter.name, parameter.shape, parameter.dtype, parameter.value, slots)


def _model_weights(checkpoint: Checkpoint, model: JsonObject | None) -> list[Weight]:
    """Return the model's weights in recorded order; the configuration says which are trained."""
    layers = {layer.name: layer for layer in layers_of(model) or ()}
    prefixes: dict[str, set[str]] = {}
    found: list[tuple[str, str, str]] = []
    for key in checkpoint.tensors:
        if not key.startswith(OPTIMIZER):
            layer, _, name = key.removeprefix(MODEL).partition("/")
            name = (name or layer).removesuffix(":0")
            found.append((key, layer, name))
            prefixes.setdefault(layer, set()).add(name.partition("/")[0])
    weights = []
    for key, layer, name in found:
        spec = checkpoint.tensors[key]
        is_frozen = _is_frozen(layers.get(layer), name, prefixes[layer])
        is_trained_kind = not is_untrained(name.rpartition("/")[2]) and "float" in spec.dtype
        # Keras 3.0 to 3.2 record a weight's short name alone
        shown = name if "/" in name or not key.startswith(MODEL) else f"{layer}/{name}"
        is_trained = is_trained_kind and not is_frozen
        weights.append(Weight(shown, key, spec.shape, is_trained, is_trained_kind and is_frozen))
    return weights


def weight_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Return `<layer>/<role>` by key for the weights under `model_weights`; unique."""
    training = checkpoint.training_config()
    weights = _named_by_layers(_model_weights(checkpoint, training.model if training else None))
    own = [weight for weight in weights if weight.key.startswith(MODEL)]
    return dict(zip((w.key for w in own), unique_names(w.name for w in own), strict=True))


def _named_by_layers(weights: Sequence[Weight]) -> list[Weight]:
    """Return the weights named for their layer where that is what they were named for when the model was made.

    Keras before OptimizerV2 numbers the variables of a model that is loaded beside others anew: those of the layer
    `dense_1` become `dense_1_1/kernel`.
    """
    scopes: dict[str, set[str]] = {}
    for weight in weights:
        scopes.setdefault(_layer_of(weight), set()).add(weight.name.partition("/")[0])
    named = []
    for weight in weights:
        layer = _layer_of(weight)
        scope, _, role = weight.name.partition("/")
        is_renamed = role and scopes[layer] == {scope} and re.fullmatch(rf"{re.escape(layer)}_\d+", scope)
        named.append(weight._replace(name=f"{layer}/{role}") if is_renamed else weight)
    return named


def _layer_of(weight: Weight) -> str:
    return weight.key.removeprefix(MODEL).partition("/")[0]


def _is_frozen(layer: LayerConfig | None, weight: str, prefixes: set[str]) -> bool:
    """Return whether the layer is frozen, or the layer inside it that the weight is named for."""
    if layer is None or layer.is_trainable is False:
        return layer is not None
    inside, frozen = frozen_layers(layer)
    return bool(frozen) and prefixes <= inside and weight.partition("/")[0] in frozen


def _is_partly_frozen_somehow(checkpoint: Checkpoint, model: JsonObject | None) -> bool:
    """Return whether a model inside has frozen layers that its weights' names don't show (those of TF 1.4 do)."""
    for layer in layers_of(model) or ():
        inside, frozen = frozen_layers(layer)
        own = f"{MODEL}{layer.name}/"
        prefixes = {k.removeprefix(own).partition("/")[0] for k in checkpoint.tensors if k.startswith(own)}
        if frozen and layer.is_trainable and not prefixes <= inside:
            return True
    return False


def _read_slots(
    checkpoint: Checkpoint, names: Mapping[str, str], weights: Sequence[Weight], config: OptimizerConfig | None
) -> tuple[Implementation, list[FoundParameter], list[Problem]]:
    by_name: dict[str, list[Weight]] = {}
    for weight in weights:
        by_name.setdefault(weight.name, []).append(weight)
    v2 = TFA if config is not None and config.is_addon else OPTIMIZER_V2
    problems: list[Problem] = []
    if any(NAMELESS.search(n) for n in names):
        return KERAS1, _pair_nameless(checkpoint, names, weights, config, problems), problems
    if any(n.rpartition("/")[2] in V2_SLOTS for n in names) or "iter" in {n.rpartition("/")[2] for n in names}:
        slots = [(names[n], s) for n in names if (s := _parse_v2_slot(n, by_name)) is not None]
        return v2, _pair_named(checkpoint, slots, {**_without_layers(weights), **by_name}, problems), problems
    is_keras3 = checkpoint.producer().get("keras_version", "").startswith("3.")
    is_keras2 = "iteration" in names or any(re.search(r"(^|/)(m|v|velocity|momentum|accumulator)/", n) for n in names)
    if is_keras2 and not is_keras3:
        slots = [(names[n], s) for n in names if (s := parse_keras2_slot(n, by_name)) is not None]
        return KERAS2, _pair_named(checkpoint, slots, {**_without_layers(weights), **by_name}, problems), problems
    slots = [(names[n], s) for n in names if (s := parse_keras3_slot(n)) is not None]
    lossy: dict[str, list[Weight]] = {}
    for weight in weights:
        lossy.setdefault(weight.name.replace("/", "_"), []).append(weight)
    implementation = KERAS3 if names or config is None or "decay" not in config.config else v2
    return implementation, _pair_named(checkpoint, slots, lossy, problems), problems


def _without_layers(weights: Sequence[Weight]) -> dict[str, list[Weight]]:
    """Return the weights by the names that they have by themselves, where these lack their layer's: Keras 2 gives a
    weight no other if its layer was built before there was a model."""
    found: dict[str, list[Weight]] = {}
    for weight in weights:
        _, _, name = weight.key.removeprefix(MODEL).removesuffix(":0").partition("/")
        if name and "/" not in name:
            found.setdefault(name, []).append(weight)
    return found


def _parse_v2_slot(name: str, by_name: Mapping[str, object]) -> SlotName | None:
    """`cond_1/Adam/dense/kernel/m` -> (Adam, first_moment, dense/kernel); of several readings the one whose weight
    exists. A slot of another name (`rms`) needs that weight to be known as one."""
    *parts, tail = name.split("/")
    slot = V2_SLOTS.get(tail, tail)
    readings = [SlotName("/".join(parts[:i]), slot, "/".join(parts[i:])) for i in range(len(parts))]
    known = next((r for r in readings if r.variable in by_name), None)
    if known is not None or tail not in V2_SLOTS or not readings:
        return known
    return readings[min(1, len(readings) - 1)]


def _pair_named(
    checkpoint: Checkpoint,
    slots: Sequence[tuple[str, SlotName]],
    by_name: Mapping[str, Sequence[Weight]],
    problems: list[Problem],
) -> list[FoundParameter]:
    """Pair slots that name their weight; several weights of one name (Keras 3's names are lossy) are paired in order,
    by shape."""
    counts: dict[tuple[str, str], int] = {}
    grouped: dict[tuple[str, int], dict[str, str]] = {}
    for key, slot in slots:
        index = counts[slot.variable, slot.slot] = counts.get((slot.variable, slot.slot), -1) + 1
        grouped.setdefault((slot.variable, index), {})[slot.slot] = key
    taken: set[str] = set()
    chosen: list[Weight | None] = []
    for (variable, _), keys in grouped.items():
        shape = checkpoint.tensors[whole_slot(keys)].shape
        rivals = [w for w in by_name.get(variable, ()) if w.key not in taken and w.shape == shape]
        chosen.append(rivals[0] if rivals else None)
        taken |= {w.key for w in rivals[:1]}
        if len(rivals) > 1:
            problems.append(
                Problem(
                    "variables-of-one-name",
                    f"{len(rivals)} weights of shape {shape} have the slots' name {variable!r}",
                    "they are paired in the order in which both are listed",
                )
            )
    names = unique_names(w.name if w else variable for w, (variable, _) in zip(chosen, grouped, strict=True))
    return [
        _parameter(checkpoint, name, weight, keys)
        for name, weight, keys in zip(names, chosen, grouped.values(), strict=True)
    ]


def _parameter(checkpoint: Checkpoint, name: str, weight: Weight | None, keys: Mapping[str, str]) -> FoundParameter:
    spec = checkpoint.tensors[whole_slot(keys)]
    return FoundParameter(name, spec.shape, spec.dtype, weight.key if weight else None, keys)


def _pair_nameless(
    checkpoint: Checkpoint,
    names: Mapping[str, str],
    weights: Sequence[Weight],
    config: OptimizerConfig | None,
    problems: list[Problem],
) -> list[FoundParameter]:
    rule = config.rule if config else USUAL_RULE.name
    counter = _counter(checkpoint, names)
    keys = [
        k for n, k in names.items() if not COUNTER.search(n) and n.rpartition("/")[2] not in NOT_SLOTS and k != counter
    ]
    optimizer = find_optimizer(rule)
    shapes = [checkpoint.tensors[k].shape for k in keys]
    slots = slots_in_blocks(optimizer, shapes)
    if not slots and optimizer is not None and not optimizer.has_moment_pair:
        return []
    ways = [len(slots)] if slots else [n for n in (3, 2) if _are_blocks(shapes, n)]
    if not ways:
        if keys:
            problems.append(
                Problem(
                    "association-open",
                    f"{len(keys)} nameless slots are not pairs of first and second moments",
                    "none is reported",
                )
            )
        return []
    training = checkpoint.training_config()
    is_open = _is_partly_frozen_somehow(checkpoint, training.model if training else None)
    model = _in_order(checkpoint, weights)
    pairings = {n: None if is_open else pair(model, shapes[: len(keys) // n]) for n in ways}
    blocks = max(ways, key=lambda n: _fitness(pairings[n]))
    count, pairing = len(keys) // blocks, pairings[blocks]
    kept = "nameless slots" if slots else "pairs of nameless moments"
    if pairing is None:
        problems.append(
            Problem(
                "association-open",
                f"{count} {kept} don't fit the order of the model's {len(weights)} weights",
                "they are reported by their place, without weights",
            )
        )
    elif not pairing.is_certain:
        problems.append(
            Problem(
                "association-uncertain",
                "the slots have no names, and some layers aren't trained: more than one choice of weights fits "
                "their order and shapes",
                "those that could belong to several weights are reported by their place",
            )
        )
    if pairing is not None and pairing.frozen_since:
        problems.append(frozen_since(pairing))
    has_maximum = blocks == 3 and config is not None and config.keeps_maximum
    kinds = slots or ("first_moment", "second_moment", *(("max_second_moment",) if has_maximum else ()))
    return _nameless_parameters(checkpoint, keys, count, pairing.weights if pairing else (None,) * count, kinds)


def _fitness(pairing: Pairing | None) -> int:
    """Return how well slots of these shapes fit the model: all of its weights, some of them, or none."""
    return 0 if pairing is None else 1 + pairing.is_certain


def _are_blocks(shapes: Sequence[tuple[int, ...]], blocks: int) -> bool:
    """Return whether the list can be as many times all weights' slots: all first moments, all second moments, and for
    3 blocks all maxima or dummies of shape (1,)."""
    count, rest = divmod(len(shapes), blocks)
    first, second, maxima = shapes[:count], shapes[count : 2 * count], shapes[2 * count :]
    if count == 0 or rest or second not in ([], first):
        return False
    return maxima in ([], first) or all(s == (1,) for s in maxima)


def _nameless_parameters(
    checkpoint: Checkpoint, keys: Sequence[str], count: int, weights: Sequence[Weight | None], kinds: Sequence[str]
) -> list[FoundParameter]:
    """Return the parameters with their slots, of which each kind is listed for all weights in a row."""
    names = unique_names(w.name if w else f"weight {i}" for i, w in enumerate(weights))
    parameters = []
    for i, (name, weight) in enumerate(zip(names, weights, strict=True)):
        slots = {kind: keys[n * count + i] for n, kind in enumerate(kinds)}
        parameters.append(_parameter(checkpoint, name, weight, slots))
    return parameters
