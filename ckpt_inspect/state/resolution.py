"""From what a layout found to numbers with their sources: the step, the hyperparameters, the rule.

Precedence: given > what governs in the file (a tensor, the graph, the configuration) > inferred from the state >
default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.jsonable import shortened
from ckpt_inspect.layouts.beta_powers import PowersReading
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.counting import GLOBAL_STEP, infer_beta, power_fault, read_powers, resolve_step
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.rates import has_scheduled_rate, resolve_learning_rate, resolve_weight_decay
from ckpt_inspect.state.sources import (
    SERIALIZED_NUMBERS,
    ImpossibleError,
    Scalars,
    assumed_default,
    check_form,
    given_value,
    saved_number,
)
from ckpt_inspect.update_rules import HYPERPARAMETERS, STATE_SLOTS, Hyperparameter, UpdateRule, find_optimizer
from ckpt_inspect.update_rules.hyperparameters import BETA_1, BETA_2, COMMON, LEARNING_RATE, WEIGHT_DECAY


class Resolved(NamedTuple):
    """One optimizer's numbers."""

    rule: Sourced[str]
    step: Sourced[int]
    raw_step: int | None
    """What the optimizer's counter holds; None if there is none, or it counts nothing."""
    hyperparameters: Mapping[str, Sourced[float]]
    """Every name that the rule has, in its order; of an optimizer that is not known at all, those that most have."""
    is_converged: bool
    """The step is unknown, but so large that the bias corrections are 1."""
    has_scheduled_rate: bool
    """Whether the learning rate follows the step, by the configuration, the graph or the optimizer's own variables: a
    schedule, or a `decay`. A callback that sets it is none of these."""
    has_textbook_epsilon: bool
    """Whether E is asked for in the textbook's form rather than the implementation's."""
    problems: tuple[Problem, ...]


def resolve(checkpoint: Checkpoint, found: FoundOptimizer, given: Given) -> Resolved:
    """Return every number of one optimizer, with where it came from. Reads scalars only."""
    rule = _resolve_rule(found, given)
    optimizer = find_optimizer(str(rule.value))
    has_formula = isinstance(optimizer, UpdateRule)
    is_asked = given.get("epsilon_placement") == "textbook"
    is_textbook = is_asked and isinstance(optimizer, UpdateRule) and optimizer.has_textbook_form
    scalars = Scalars(checkpoint)
    read: dict[str, Sourced[float] | None] = {}
    faults: dict[str, str] = {}

    def read_plain(h: Hyperparameter) -> None:
        try:
            read[h.name] = _resolve_plain(h, found, given, scalars)
        except ImpossibleError as error:
            read[h.name], faults[h.name] = None, str(error)

    read_plain(BETA_1)
    read_plain(BETA_2)
    betas = {h.name: value if (value := read[h.name]) and not _fault(h, value) else None for h in (BETA_1, BETA_2)}
    powers, others = read_powers(found, betas, scalars)
    if fault := power_fault(found, scalars):
        powers = others = PowersReading(None, None, None, 0, False, fault)
    has_own_decay = isinstance(optimizer, UpdateRule) and optimizer.has_own_decay
    is_scheduled = has_scheduled_rate(found, has_own_decay, scalars)
    is_corrected = optimizer is not None and optimizer.has_moment_pair
    raw, step, problems = resolve_step(
        checkpoint, found, given, powers, others, scalars, is_corrected=is_corrected, is_decayed=is_scheduled
    )
    if fault:
        problems.append(Problem("beta-power-impossible", f"{found.name}: {fault}", "the powers are left out", "error"))
    if found.beta_powers.own.keys and scalars.has(GLOBAL_STEP) and scalars.count(GLOBAL_STEP) is None:
        what = f"{found.name}: {GLOBAL_STEP} is {scalars.read(GLOBAL_STEP):g}, which is not a valid count"
        problems.append(Problem("step-malformed", what, "the beta powers tell the step without it", "error"))

    def resolved(h: Hyperparameter) -> Sourced[float]:
        if h.name in faults:
            raise ImpossibleError(faults[h.name])
        if h.name == LEARNING_RATE.name:
            return resolve_learning_rate(found, given, has_own_decay, raw, scalars)
        if h.name == WEIGHT_DECAY.name:
            decay = resolve_weight_decay(h, found, given, raw, scalars)
            return assumed_default(h, found, False) if optimizer is None and decay.source == "default" else decay
        value = read[h.name] if h.name in read else _resolve_plain(h, found, given, scalars)
        value = value or (infer_beta(h.name, powers, others) if h.name in read else _infer_flag(h, found))
        return value or assumed_default(h, found, has_formula)

    def judged(h: Hyperparameter) -> Sourced[float]:
        try:
            value = resolved(h)
            fault = _fault(h, value)
        except ImpossibleError as error:
            fault = str(error)
        if not fault:
            return value
        if fault not in found.malformed.values():  # reported when it was found
            problems.append(Problem("value-impossible", f"{found.name}: {fault}", "it is left unknown", "error"))
        return Sourced(None, "unknown", fault)

    own = COMMON if optimizer is None else optimizer.hyperparameters_in(found.implementation)
    hyperparameters = {h.name: judged(h) for h in own}
    if is_textbook:
        epsilon = hyperparameters["epsilon"]
        placed = f"{epsilon.where}; added to √(v/c2) as in Kingma & Ba's Algorithm 1, as asked for"
        hyperparameters["epsilon"] = Sourced(epsilon.value, epsilon.source, placed)
    for told in scalars.rounded.values():
        problems.append(
            Problem(
                "beta-rounded-to-one",
                f"{found.name}: {told}",
                "in that type 1 - β2^t is 0, and with it every update: such variables never move",
            )
        )
    if is_asked and not is_textbook:
        problems.append(
            Problem(
                "epsilon-placement-ignored",
                f"{found.name}: {rule.value} has no textbook placement of epsilon that differs from its own here",
                "epsilon stays where the implementation adds it",
                "info",
            )
        )
    if has_formula:
        problems += _ignored(found, str(rule.value), hyperparameters, given)
    is_converged = step.value is None and powers is not None and powers.is_converged
    if is_converged and powers is not None:
        problems.append(
            Problem("step-underflowed", f"{found.name}: {powers.evidence}", "the step is left unknown", "info")
        )
    counter = None if found.counter is None else scalars.count(found.counter)
    return Resolved(rule, step, counter, hyperparameters, is_converged, is_scheduled, is_textbook, tuple(problems))


def _ignored(
    found: FoundOptimizer, rule: str, hyperparameters: Mapping[str, Sourced[float]], given: Given
) -> Iterator[Problem]:
    """What was given for a rule that has no such hyperparameter."""
    for name in given:
        if name in HYPERPARAMETERS and name not in hyperparameters:
            what = f"{found.name}: {name} was given, and {rule} has none"
            yield Problem("given-ignored", what, "it is left out", "info")


def _fault(h: Hyperparameter, value: Sourced[float]) -> str:
    """Why a value of the file can't be this hyperparameter's; empty if it can."""
    if value.value is None or value.source in ("given", "default"):
        return ""
    fault = h.fault(value.value)
    return f"{h.name} is {value.value:.9g} ({value.where}), and it {fault}" if fault else ""


def _resolve_rule(found: FoundOptimizer, given: Given) -> Sourced[str]:
    if "rule" in given:
        return Sourced(str(given["rule"]), "given", "given by the caller")
    reading = found.rule
    is_open = reading.source == "default" and reading.alternatives
    others = f"; could be {', '.join(reading.alternatives)} just as well" if is_open else ""
    return Sourced(reading.name, reading.source, f"{reading.where}{others}")


def _resolve_plain(h: Hyperparameter, found: FoundOptimizer, given: Given, scalars: Scalars) -> Sourced[float] | None:
    """A hyperparameter that is used as it is written."""
    if (own := given_value(h.name, given)) is not None:
        return Sourced(bool(own.value), own.source, own.where) if h.is_flag else own
    for name in h.upstream_names:
        check_form(name, found)
        if name in found.scalars:
            own = Sourced(scalars.read(found.scalars[name]), "checkpoint", found.scalars[name])
            return _unrounded(h, found, own, scalars) if h.is_below_one and own.value == 1.0 else own
        if name in found.constants:
            return Sourced(found.constants[name], "graph", f"a constant in {found.constants_where}")
        saved = (found.config or {}).get(name)
        if isinstance(saved, Mapping) and saved.get("class_name") not in (None, *SERIALIZED_NUMBERS):
            what = f"{found.config_where}: {name} is computed by {shortened(saved['class_name'])}"
            return Sourced(None, "unknown", f"{what}, which this package doesn't follow; give --{_dashed(h.name)}")
        value = saved if h.is_flag and isinstance(saved, bool) else saved_number(found, name)
        if value is not None:
            return Sourced(value, "config", f"{found.config_where}: {name}")
    return None


def _unrounded(h: Hyperparameter, found: FoundOptimizer, value: Sourced[float], scalars: Scalars) -> Sourced[float]:
    """Return what a decay rate of exactly 1 stands for, if it is kept in a type of few digits: bfloat16(0.999) is 1."""
    dtype = scalars.dtype(value.where)
    default = h.default_in(found.implementation)
    if np.dtype(dtype).itemsize > 2 or value.value is None:
        return value
    what = f"{h.name} is 1 in {dtype} ({value.where}), which is what {dtype} makes of numbers so near below it"
    is_default = default is not None and float(np.asarray(default).astype(dtype)) == 1.0
    told = f"{what} as {default:g}, the default" if is_default else what
    scalars.rounded[h.name] = told
    if is_default and default is not None:
        return Sourced(default, "default", f"assumed: {told} of this implementation ({found.implementation.id})")
    return Sourced(None, "unknown", told)


def _infer_flag(h: Hyperparameter, found: FoundOptimizer) -> Sourced[float] | None:
    """Whether a flag is on, by the slots that exist only if it is."""
    if not h.array or not found.parameters:
        return None
    slots = [s for p in found.parameters for s in STATE_SLOTS[h.array] if s in p.slots]
    return Sourced(bool(slots), "inferred", f"slots {slots[0]}" if slots else f"no slots of a {_spoken(h.array)}")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _spoken(name: str) -> str:
    return name.replace("_", " ")
