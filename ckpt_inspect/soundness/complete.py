"""Is a checkpoint complete? Whether what a resume needs is there, and what the framework would silently start anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ckpt_inspect.checkpoint import STRING, Checkpoint
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.layouts import suspects
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.measurement.wording import counted
from ckpt_inspect.soundness import kinds
from ckpt_inspect.soundness.reading import Reading
from ckpt_inspect.soundness.verdicts import Reason
from ckpt_inspect.soundness.whole import named
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter
from ckpt_inspect.state.sources import IMPOSSIBLE
from ckpt_inspect.update_rules import find_optimizer, find_rule
from ckpt_inspect.update_rules.hyperparameters import MOMENTUM

NO_MOMENTS = ("average", "slow", "gradient_accumulator")
"""Slots that are not averages of gradients or their squares."""


def judge_complete(
    checkpoint: Checkpoint, states: Sequence[OptimizerState], reading: Reading, others: Mapping[str, Sequence[str]]
) -> Iterator[Reason]:
    """Yield what a resume lacks; `others`: keys of the optimizers' tensors in other checkpoints of the run, by name.

    A learning rate that no tensor holds lies in the code or in a schedule, and is not missing.
    """
    if not states and (suspected := suspects(checkpoint)):
        what = "it holds no optimizer state of a known kind; tensors that may be such state, or weights"
        yield Reason(kinds.STATE_UNKNOWN, "", f"{what}: {suspected}")
    elif not states:
        yield Reason(kinds.WEIGHTS_ONLY, "", f"it holds weights and no optimizer{_started_anew(checkpoint, others)}")
    for state in states:
        yield from _judge(checkpoint, state, reading, others)
    if states and _is_without_weights(checkpoint, states):
        yield Reason(
            kinds.WEIGHTS_MISSING, "", "all its tensors are an optimizer's: the parameters are not in the file"
        )
    yield from _judge_configuration(checkpoint, states)


def moments_of(parameter: Parameter) -> tuple[str, ...]:
    """Return the keys of a parameter's slots, without averages of its weights."""
    return tuple(key for slot, key in parameter.found.slots.items() if slot not in NO_MOMENTS)


def has_all_moments_zero(state: OptimizerState, reading: Reading) -> bool:
    """Return whether every moment of every parameter is 0; False if there are none."""
    return reading.is_zero([key for p in state.parameters.values() for key in moments_of(p)])


def _judge(
    checkpoint: Checkpoint, state: OptimizerState, reading: Reading, others: Mapping[str, Sequence[str]]
) -> Iterator[Reason]:
    who = state.name
    for problem in state.problems:
        if problem.code in IMPOSSIBLE:
            yield Reason(kinds.IMPOSSIBLE_VALUE, who, problem.message)
    if state.step.value == 0 and (not state.parameters or has_all_moments_zero(state, reading)):
        yield Reason(kinds.NEVER_STEPPED, who, f"{who} was saved before its first update ({state.step.where})")
        return
    lacking = _without_moments(state)
    if not state.parameters and _keeps_moments(state):
        kind = kinds.MOMENTS_MISSING if state.counters else kinds.WEIGHTS_ONLY
        why = state.absence or "the file has none of its slots"
        yield Reason(kind, who, f"{who} ({state.rule}): {why}{_started_anew(checkpoint, others)}")
        return
    if lacking:
        what = f"{len(lacking)} of {counted(len(state.parameters), 'parameter')} of {who} lack a moment"
        yield Reason(kinds.MOMENTS_MISSING, lacking[0], f"{what}: {named(lacking)}")
    elif state.step.value != 0 and _keeps_moments(state) and has_all_moments_zero(state, reading):
        at = f" at step {state.step.value}" if state.step.value is not None else ""
        keys = [_shown(key) for p in state.parameters.values() for key in moments_of(p)]
        what = f"all moments of {counted(len(state.parameters), 'parameter')} of {who} are 0{at}"
        yield Reason(kinds.MOMENTS_ZERO, who, f"{what}, as if started anew: {named(keys)}")
    rule = find_optimizer(state.rule)
    if rule is not None and rule.has_moment_pair and not state.counters and state.step.value is None:
        yield Reason(kinds.COUNTER_MISSING, who, f"{who}: {state.step.where}")


def _keeps_moments(state: OptimizerState) -> bool:
    """Return whether the optimizer keeps slots, by its rule or by the momentum that the file gives it."""
    momentum = state.hyperparameters.get(MOMENTUM.name)
    has_momentum = momentum is not None and not momentum.is_assumed and bool(momentum.value)
    optimizer = find_optimizer(state.rule)
    return find_rule(state.rule) is not None or has_momentum or (optimizer is not None and optimizer.has_moment_pair)


def _without_moments(state: OptimizerState) -> list[str]:
    """Return the parameters that lack a slot that the rule always keeps."""
    rule = state.update_rule
    if rule is None:
        return []
    needed = ("first_moment", "second_moment") if rule.has_moment_pair else ("second_moment",)
    return [name for name, p in state.parameters.items() if any(p.key(array) is None for array in needed)]


def _is_without_weights(checkpoint: Checkpoint, states: Sequence[OptimizerState]) -> bool:
    """Return whether the file holds nothing but optimizers' tensors and single numbers."""
    own = {key for state in states for key in optimizer_keys(state)}
    has_values = any(p.found.value is not None for state in states for p in state.parameters.values())
    others = [s for key, s in checkpoint.tensors.items() if key not in own and s.dtype != STRING and s.is_readable]
    return not has_values and bool(own) and all(spec.size <= 1 for spec in others)


def optimizer_keys(state: OptimizerState) -> tuple[str, ...]:
    """Return the keys of all tensors that are the optimizer's, its counter first."""
    slots = (key for p in state.parameters.values() for key in p.found.slots.values())
    return tuple(dict.fromkeys((*state.counters, *state.keys, *slots)))


def _started_anew(checkpoint: Checkpoint, others: Mapping[str, Sequence[str]]) -> str:
    """Name the keys that another checkpoint of the run has, and this one lacks."""
    for name, keys in others.items():
        missing = [_shown(key) for key in keys if key not in checkpoint.tensors]
        if missing:
            return f"; a resume silently starts anew {counted(len(missing), 'key')} that {name} has: {named(missing)}"
    return "; a resume silently starts anew its counter, moments and learning rate"


def _shown(key: str) -> str:
    return key.removesuffix(KEY_TAIL)


def _judge_configuration(checkpoint: Checkpoint, states: Sequence[OptimizerState]) -> Iterator[Reason]:
    """Yield what the configuration in the file says that an optimizer keeps, and the file doesn't hold."""
    if len(states) != 1 or states[0].step.value == 0:
        return
    state = states[0]
    try:
        training = checkpoint.training_config()
    except CkptInspectError:  # a configuration that can't be read is reported by whoever reads the file
        return
    entry = training.optimizer if training is not None else None
    if entry is None or training is None or not state.parameters:
        return
    config, name = entry.get("config"), str(entry.get("class_name"))
    if not isinstance(config, Mapping):
        return
    names = " ".join(checkpoint.tensors)
    is_named = checkpoint.format == "keras-h5" or checkpoint.format == "saved-model"  # others keep nameless lists
    has_scale = "loss_scale/" in names or "dynamic_scale" in names
    if is_named and not has_scale and "LossScaleOptimizer" in name and config.get("dynamic", True) is not False:
        what = f"{training.where} names {name}, whose scale changes as it trains; no tensor holds it"
        yield Reason(kinds.LOSS_SCALE_MISSING, state.name, what)
    slots = {slot for p in state.parameters.values() for slot in p.found.slots}
    if _innermost(config).get("use_ema") is True and not slots & {"average", "gradient_accumulator"}:
        what = f"{training.where} says use_ema, and the file holds no averages"
        yield Reason(kinds.AVERAGE_MISSING, state.name, f"{what} of {counted(len(state.parameters), 'parameter')}")


def _innermost(config: JsonObject) -> JsonObject:
    """Return the configuration of the optimizer that wrappers stand around."""
    inner = config.get("inner_optimizer")
    while isinstance(inner, Mapping) and isinstance(found := inner.get("config"), Mapping):
        config, inner = found, found.get("inner_optimizer")
    return config
