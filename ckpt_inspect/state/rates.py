"""The learning rate and the weight decay of the last update: numbers, or what a schedule makes of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.layouts.found import FoundOptimizer, GraphRate
from ckpt_inspect.sourced import Source, Sourced
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.sources import (
    SERIALIZED_NUMBERS,
    ImpossibleError,
    Scalars,
    assumed_default,
    check_form,
    given_value,
    number_of,
    saved_number,
)
from ckpt_inspect.update_rules import Hyperparameter, find_optimizer


def resolve_learning_rate(
    found: FoundOptimizer, given: Given, has_own_decay: bool, raw: int | None, scalars: Scalars
) -> Sourced[float]:
    """Return the learning rate of the last update. `raw`: what the counter holds, None if that is not known.

    Raises ImpossibleError for a number that no training can have used.
    """
    if (own := given_value("learning_rate", given)) is not None:
        return own
    config = found.config or {}
    completed = None if raw is None else max(raw - 1, 0)
    for name in ("current_learning_rate", "learning_rate", "decay"):
        check_form(name, found)
    if "current_learning_rate" in found.scalars:
        key = found.scalars["current_learning_rate"]
        return Sourced(scalars.read(key), "checkpoint", f"{key}, the scheduled learning rate that the last update used")
    if "learning_rate" in found.scalars:
        key = found.scalars["learning_rate"]
        decay = scalars.read(found.scalars["decay"]) if "decay" in found.scalars else _rate_decay(found, has_own_decay)
        return _decayed(scalars.read(key), decay, "checkpoint", key, found, has_own_decay, completed)
    if "learning_rate" in found.constants:
        return Sourced(found.constants["learning_rate"], "graph", f"a constant in {found.constants_where}")
    if found.graph_rate is not None:
        return _from_graph(found.graph_rate, found.constants_where, scalars)
    saved = config.get("learning_rate", config.get("lr"))
    if isinstance(saved, Mapping) and saved.get("class_name") not in SERIALIZED_NUMBERS:
        return _scheduled(saved, found, completed, "--learning-rate")
    value = saved_number(found, "learning_rate", "lr")
    if value is not None:
        return _decayed(
            value,
            _rate_decay(found, has_own_decay),
            "config",
            f"{found.config_where}: learning_rate",
            found,
            has_own_decay,
            completed,
        )
    if found.has_scheduled_rate:
        return Sourced(
            None,
            "unknown",
            "the optimizer has no learning-rate variable, as under a schedule, which this format doesn't save; give "
            "--learning-rate",
        )
    optimizer = find_optimizer(found.rule.name)
    has_default = found.implementation.has_class_rates and optimizer is not None
    if has_default and optimizer is not None and found.config == {}:
        where = f"assumed: the default of the class, which {found.config_where} names and sets nothing of"
        return Sourced(optimizer.traces.keras_rate, "default", where)
    return Sourced(None, "unknown", "this layout doesn't save it; give --learning-rate")


def has_scheduled_rate(found: FoundOptimizer, has_own_decay: bool, scalars: Scalars) -> bool:
    """Return whether the learning rate follows the step, by the configuration, the graph or variables."""
    config = found.config or {}
    if found.has_scheduled_rate or "current_learning_rate" in found.scalars:
        return True
    if "learning_rate" not in found.scalars:
        if found.graph_rate is not None and "learning_rate" not in found.constants:
            return True
        if isinstance(config.get("learning_rate", config.get("lr")), Mapping):
            return True
    key = found.scalars.get("decay")
    decay = number_of(config.get("decay")) if key is None else scalars.read(key)
    return bool(decay) and found.implementation.decays_rate and not has_own_decay


def _rate_decay(found: FoundOptimizer, has_own_decay: bool) -> float:
    """Return the configuration's `decay` of the learning rate; 0 where the name means something else."""
    return 0.0 if has_own_decay or not found.implementation.decays_rate else saved_number(found, "decay") or 0.0


def _decayed(
    value: float,
    decay: float,
    source: Source,
    where: str,
    found: FoundOptimizer,
    has_own_decay: bool,
    completed: int | None,
) -> Sourced[float]:
    """The learning rate under an implementation's `decay`, unless that name means something else in the rule."""
    if not decay or not found.implementation.decays_rate or has_own_decay:
        return Sourced(value, source, where)
    if found.config is not None and find_optimizer(found.rule.name) is None:
        what = f"{where} = {value:.9g}; whether {found.rule.name} lets it decay by decay = {decay:.9g} is not known"
        return Sourced(None, "unknown", what)
    if not 0 <= decay < math.inf:
        raise ImpossibleError(f"decay is {decay:.9g} ({where} decays by it), and it must be finite and not negative")
    if completed is None:
        return Sourced(None, "unknown", f"{where} = {value:g} decays with the step, which is not known")
    from ckpt_inspect.state.schedules import inverse_time_decay

    return Sourced(
        inverse_time_decay(value, decay, completed),
        source,
        f"{where} = {value:.9g} / (1 + decay·(step - 1)), decay = {decay:g}, step = {completed + 1}",
    )


def _scheduled(schedule: JsonObject, found: FoundOptimizer, completed: int | None, option: str) -> Sourced[float]:
    """Return a schedule's value at that step; if it has none, `option` gives it on the command line."""
    name = schedule.get("class_name", "a schedule")
    if completed is None:
        return Sourced(None, "unknown", f"{found.config_where}: {name} depends on the step, which is not known")
    from ckpt_inspect.state.schedules import ImpossibleSchedule, evaluate_schedule

    try:
        value = evaluate_schedule(schedule, completed)
    except ImpossibleSchedule as reason:
        raise ImpossibleError(f"{found.config_where}: {reason}") from reason
    except NotDetermined as reason:
        return Sourced(None, "unknown", f"{found.config_where}: {reason}; give {option}")
    return Sourced(value, "config", f"{found.config_where}: {name} at step - 1 = {completed}")


def _from_graph(rate: GraphRate, where: str, scalars: Scalars) -> Sourced[float]:
    """A learning rate that the graph computes, from what its variables were in the last update."""
    numbers = [_in_last_update(rate, name, key, scalars) for name, key in sorted(rate.variables.items())]
    usual = {n.name: n.candidates[0] for n in numbers if n.candidates}
    value = rate.graph.evaluate(rate.node, usual)
    if value is None:
        unknown = next((n for n in numbers if not n.candidates), None)
        if unknown is not None and rate.graph.evaluate(rate.node, {**usual, unknown.name: unknown.saved}) is not None:
            return Sourced(None, "unknown", f"{where}: {unknown.why_open}; give --learning-rate")
        return _not_computed(rate, usual, where)
    for n in numbers:
        values = [rate.graph.evaluate(rate.node, {**usual, n.name: at}) for at in n.candidates[1:]]
        if any(v != value for v in values):
            open_count = "so that its value in the last update, on which the learning rate depends, is open"
            return Sourced(None, "unknown", f"{where}: {n.why_open}, {open_count}; give --learning-rate")
    open_together = [n for n in numbers if len(n.candidates) > 1]
    if len(open_together) > 1:
        others = usual | {n.name: n.candidates[-1] for n in open_together}
        if rate.graph.evaluate(rate.node, others) != value:
            names = " and ".join(n.name for n in open_together)
            what = f"the values of {names} in the last update, on which the learning rate depends, are open"
            return Sourced(None, "unknown", f"{where}: {what}; give --learning-rate")
    return Sourced(value, "graph", f"{where}: the expression {rate.node!r}{_spoken(numbers)}")


class _Variable(NamedTuple):
    """A variable that a learning rate is computed from."""

    name: str
    """In the graph."""
    saved: float
    candidates: tuple[float, ...]
    """What it can have been in the last update, the likeliest first; empty if that can't be told."""
    why_open: str
    """Why there is more than one candidate, or none; empty if there is one."""
    is_counter: bool


def _in_last_update(rate: GraphRate, name: str, key: str, scalars: Scalars) -> _Variable:
    """Return what a variable was in the last update: a counter as it was before it was raised, any other as saved."""
    saved = scalars.read(key)
    raised = rate.graph.increments(name)
    is_counter = scalars.is_integer(key) or any(step is not None for step in raised.values())
    if not math.isfinite(saved):
        kind = "count" if is_counter else "number"
        raise ImpossibleError(f"{key} is {saved:g}, which is not a valid {kind}, and the learning rate depends on it")
    if not is_counter:
        later = next((op for op in raised if rate.scopes and rate.graph.waits_for_updates(op, rate.scopes)), None)
        if later is None:
            return _Variable(name, saved, (saved,), "", False)
        what = f"{later!r} changes {name} after each update, and the learning rate depends on what it was before"
        return _Variable(name, saved, (), what, False)
    reason = _why_count_is_open(rate, name, raised)
    steps = [step or 1.0 for step in raised.values()] or [1.0]
    before = [max(saved - step, 0.0) for step in ((*steps, sum(steps), 0.0) if reason else steps)]
    return _Variable(name, saved, tuple(before), reason, True)


def _why_count_is_open(rate: GraphRate, counter: str, raised: Mapping[str, float | None]) -> str:
    """Return why the counter's value in the last update can't be told from the one saved; empty if it can."""
    if len(raised) > 1:
        return f"{len(raised)} operations raise {counter}"
    if None in raised.values() or not raised:
        return f"no operation raises {counter} by a constant"
    (operation,) = raised
    if rate.scopes and not rate.graph.waits_for_updates(operation, rate.scopes):
        return f"{operation!r}, which raises {counter}, doesn't wait for this optimizer's updates"
    return ""


def _spoken(numbers: Sequence[_Variable]) -> str:
    """Return the values that an expression was computed with, for a person."""
    if not numbers:
        return ""
    counts = [f"{n.name} = {int(n.candidates[0])}, before the last update" for n in numbers if n.is_counter]
    others = [f"{n.name} = {n.candidates[0]:.9g}" for n in numbers if not n.is_counter]
    return " at " + ", and ".join((*counts, *others))


def _not_computed(rate: GraphRate, variables: Mapping[str, float], where: str) -> Sourced[float]:
    from ckpt_inspect.layouts.graph_def import PLACEHOLDER_OPS
    from ckpt_inspect.layouts.graph_values import VARIABLE_OPS

    node = rate.graph.obstacle(rate.node, variables)
    if node is None:
        what = f"the expression {rate.node!r} of the learning rate is incomplete"
    elif node.op in PLACEHOLDER_OPS:
        what = f"the learning rate depends on {node.name!r}, which is fed at run time"
    elif node.op in VARIABLE_OPS:
        what = f"the learning rate depends on the variable {node.name!r}, which the checkpoint doesn't hold"
    else:
        what = f"the learning rate depends on {node.name!r}, an operation {node.op} that this package can't evaluate"
    return Sourced(None, "unknown", f"{where}: {what}; give --learning-rate")


def resolve_weight_decay(
    h: Hyperparameter, found: FoundOptimizer, given: Given, raw: int | None, scalars: Scalars
) -> Sourced[float]:
    """Return the weight decay of the last update, as `resolve_learning_rate` does the rate; `h`: the rule's own."""
    if (own := given_value(h.name, given)) is not None:
        return own
    for name in h.upstream_names:
        check_form(name, found)
        if name in found.scalars:
            return Sourced(scalars.read(found.scalars[name]), "checkpoint", found.scalars[name])
        if name in found.constants:
            return Sourced(found.constants[name], "graph", f"a constant in {found.constants_where}")
        if found.config is not None and name in found.config:
            saved = found.config[name]
            if isinstance(saved, Mapping) and saved.get("class_name") not in SERIALIZED_NUMBERS:
                return _scheduled(saved, found, None if raw is None else max(raw - 1, 0), "--weight-decay")
            number = 0.0 if saved is False else saved_number(found, name)
            return Sourced(number or 0.0, "config", f"{found.config_where}: {name}")
    default = h.default_in(found.implementation)
    if default is None:
        return Sourced(None, "unknown", "this layout doesn't save it; give --weight-decay")
    if default:
        return assumed_default(h, found)
    if found.implementation.can_extend_decay and not found.constants_where:
        where = "assumed: none; extend_with_decoupled_weight_decay of tf.contrib adds one that no tensor shows"
        return Sourced(0.0, "default", where)
    is_assumed = found.implementation.takes_weight_decay and found.config is None
    return Sourced(0.0, "default", "assumed: none, the default" if is_assumed else "the rule has none")
