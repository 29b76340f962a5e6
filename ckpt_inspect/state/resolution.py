"""From what a layout found to numbers with their sources: the step, the hyperparameters, the rule.

Precedence: given > what governs in the file (a tensor, the graph, the configuration) > inferred from the state >
default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import Checkpoint, DType, Problem, numpy_dtype
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.jsonable import JsonObject, JsonValue, shortened
from ckpt_inspect.layouts.beta_powers import PowersReading, read_beta_powers
from ckpt_inspect.layouts.found import BetaPowerKeys, FoundOptimizer, GraphRate
from ckpt_inspect.sourced import Source, Sourced
from ckpt_inspect.state.given import MOST_UPDATES, Given, check_given
from ckpt_inspect.update_rules import HYPERPARAMETERS, STATE_SLOTS, Hyperparameter, UpdateRule, find_optimizer
from ckpt_inspect.update_rules.hyperparameters import (
    BETA_1,
    BETA_2,
    COMMON,
    LEARNING_RATE,
    WEIGHT_DECAY,
)

__all__ = ["Resolved", "check_given", "resolve"]

_GLOBAL_STEP = "global_step"

IMPOSSIBLE = ("value-impossible", "beta-power-impossible", "step-malformed", "scalar-malformed")
"""Codes of the Problems about a number in the file that no training can have used."""
SERIALIZED_NUMBERS = ("__tensor__", "__numpy__")
"""Classes under which Keras serializes a number that is an array of no dimensions."""

OPEN_OWNER = "these beta powers are assigned to this optimizer by their order"


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
    scalars = _Scalars(checkpoint)
    read: dict[str, Sourced[float] | None] = {}
    faults: dict[str, str] = {}

    def read_plain(h: Hyperparameter) -> None:
        try:
            read[h.name] = _resolve_plain(h, found, given, scalars)
        except _ImpossibleError as error:
            read[h.name], faults[h.name] = None, str(error)

    read_plain(BETA_1)
    read_plain(BETA_2)
    betas = {h.name: value if (value := read[h.name]) and not _fault(h, value) else None for h in (BETA_1, BETA_2)}
    powers = _read_powers(found, betas, scalars)
    rivals = found.beta_powers.rivals
    others = _common([_read_pair(keys, betas, scalars) for keys in rivals]) if rivals else powers
    if fault := _power_fault(found, scalars):
        powers = others = PowersReading(None, None, None, 0, False, fault)
    raw, step, problems = _resolve_step(checkpoint, found, given, powers, others, scalars)
    if fault:
        problems.append(Problem("beta-power-impossible", f"{found.name}: {fault}", "the powers are left out", "error"))
    if found.beta_powers.own.keys and scalars.has(_GLOBAL_STEP) and scalars.count(_GLOBAL_STEP) is None:
        what = f"{found.name}: {_GLOBAL_STEP} is {scalars.read(_GLOBAL_STEP):g}, which is not a valid count"
        problems.append(Problem("step-malformed", what, "the beta powers tell the step without it", "error"))
    has_own_decay = isinstance(optimizer, UpdateRule) and optimizer.has_own_decay

    def resolved(h: Hyperparameter) -> Sourced[float]:
        if h.name in faults:
            raise _ImpossibleError(faults[h.name])
        if h.name == LEARNING_RATE.name:
            return _resolve_learning_rate(found, given, has_own_decay, raw, scalars)
        if h.name == WEIGHT_DECAY.name:
            decay = _resolve_weight_decay(h, found, given, raw, scalars)
            return _default(h, found, False) if optimizer is None and decay.source == "default" else decay
        value = read[h.name] if h.name in read else _resolve_plain(h, found, given, scalars)
        value = value or (_infer_beta(h.name, powers, others) if h.name in read else _infer_flag(h, found))
        return value or _default(h, found, has_formula)

    def judged(h: Hyperparameter) -> Sourced[float]:
        try:
            value = resolved(h)
            fault = _fault(h, value)
        except _ImpossibleError as error:
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
    is_scheduled = _has_scheduled_rate(found, has_own_decay, scalars)
    return Resolved(rule, step, counter, hyperparameters, is_converged, is_scheduled, is_textbook, tuple(problems))


def _ignored(
    found: FoundOptimizer, rule: str, hyperparameters: Mapping[str, Sourced[float]], given: Given
) -> Iterator[Problem]:
    """What was given for a rule that has no such hyperparameter."""
    for name in given:
        if name in HYPERPARAMETERS and name not in hyperparameters:
            what = f"{found.name}: {name} was given, and {rule} has none"
            yield Problem("given-ignored", what, "it is left out", "info")


class _ImpossibleError(Exception):
    """A number in the file that no training can have used; the message names it, and says what it must be."""


def _fault(h: Hyperparameter, value: Sourced[float]) -> str:
    """Why a value of the file can't be this hyperparameter's; empty if it can."""
    if value.value is None or value.source in ("given", "default"):
        return ""
    fault = h.fault(value.value)
    return f"{h.name} is {value.value:.9g} ({value.where}), and it {fault}" if fault else ""


def _power_fault(found: FoundOptimizer, scalars: _Scalars) -> str:
    """Which of the optimizer's beta powers is not a power of a number from 0 to 1; empty if there is none."""
    for key in found.beta_powers.own.keys:
        if not 0 <= (power := scalars.read(key)) <= 1:
            return f"{key} is {power:.9g}, which is not a power of a number below 1"
    return ""


class _Scalars:
    """Scalars of the checkpoint, as Python floats."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.rounded: dict[str, str] = {}
        """By name, what is to be said of a hyperparameter that its type rounded to 1."""

    def has(self, key: str) -> bool:
        """Return whether the checkpoint holds one number of that name."""
        return key in self._checkpoint.tensors and self._checkpoint.tensors[key].shape == ()

    def dtype(self, key: str) -> DType:
        """Return numpy's type of a tensor."""
        return numpy_dtype(self._checkpoint.tensors[key].dtype)

    def read(self, key: str) -> float:
        """A number; NaN for what is none, which a damaged file can have in its place."""
        return float(self._checkpoint.read_range(key, 0, 1)[0]) if self._is_number(key) else math.nan

    def count(self, key: str) -> int | None:
        """A whole number from 0 on; None for anything else."""
        value = self._checkpoint.read_range(key, 0, 1)[0].item() if self._is_number(key) else math.nan
        return int(value) if 0 <= value <= MOST_UPDATES and value == int(value) else None

    def _is_number(self, key: str) -> bool:
        return np.dtype(self.dtype(key)).kind not in "Oc"


def _resolve_rule(found: FoundOptimizer, given: Given) -> Sourced[str]:
    if "rule" in given:
        return Sourced(str(given["rule"]), "given", "given by the caller")
    reading = found.rule
    is_open = reading.source == "default" and reading.alternatives
    others = f"; could be {', '.join(reading.alternatives)} just as well" if is_open else ""
    return Sourced(reading.name, reading.source, f"{reading.where}{others}")


def _default(h: Hyperparameter, found: FoundOptimizer, is_assumed: bool = True) -> Sourced[float]:
    """The implementation's default; unknown if it has none, or if no formula stands behind the name."""
    implementation = found.implementation
    value = h.default_in(implementation) if is_assumed else None
    if value is None:
        return Sourced(None, "unknown", "not in the file")
    where = f"assumed: the default of this implementation ({implementation.id}); not in the file"
    return Sourced(bool(value) if h.is_flag else value, "default", where)


def _given(name: str, given: Given) -> Sourced[float] | None:
    return Sourced(float(given[name]), "given", "given by the caller") if name in given else None


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _saved(found: FoundOptimizer, *names: str) -> float | None:
    """Return the number that the configuration has under the first of these names that is there; None for a null, and
    if there is none.

    Raises _ImpossibleError for what is not a number.
    """
    config = found.config or {}
    name = next((n for n in names if n in config), None)
    value = None if name is None else config[name]
    if isinstance(value, Mapping) and value.get("class_name") in SERIALIZED_NUMBERS:
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, Mapping) else None
    if value is None:
        return None
    number = _number(value)
    if number is None:
        raise _ImpossibleError(f"{name} is {shortened(value)} ({found.config_where}: {name}), and it must be a number")
    return number


def _check_form(name: str, found: FoundOptimizer) -> None:
    """Raise _ImpossibleError if the tensor of that hyperparameter is not one number."""
    if name in found.malformed:
        raise _ImpossibleError(found.malformed[name])


def _resolve_plain(h: Hyperparameter, found: FoundOptimizer, given: Given, scalars: _Scalars) -> Sourced[float] | None:
    """A hyperparameter that is used as it is written."""
    if (own := _given(h.name, given)) is not None:
        return Sourced(bool(own.value), own.source, own.where) if h.is_flag else own
    for name in h.upstream_names:
        _check_form(name, found)
        if name in found.scalars:
            own = Sourced(scalars.read(found.scalars[name]), "checkpoint", found.scalars[name])
            return _unrounded(h, found, own, scalars) if h.is_below_one and own.value == 1.0 else own
        if name in found.constants:
            return Sourced(found.constants[name], "graph", f"a constant in {found.constants_where}")
        saved = (found.config or {}).get(name)
        if isinstance(saved, Mapping) and saved.get("class_name") not in (None, *SERIALIZED_NUMBERS):
            what = f"{found.config_where}: {name} is computed by {shortened(saved['class_name'])}"
            return Sourced(None, "unknown", f"{what}, which this package doesn't follow; give --{_dashed(h.name)}")
        value = saved if h.is_flag and isinstance(saved, bool) else _saved(found, name)
        if value is not None:
            return Sourced(value, "config", f"{found.config_where}: {name}")
    return None


def _unrounded(h: Hyperparameter, found: FoundOptimizer, value: Sourced[float], scalars: _Scalars) -> Sourced[float]:
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


def _read_powers(
    found: FoundOptimizer, betas: Mapping[str, Sourced[float] | None], scalars: _Scalars
) -> PowersReading | None:
    powers = found.beta_powers
    if not powers.own.keys:
        return _common([_read_pair(keys, betas, scalars) for keys in powers.rivals]) if powers.rivals else None
    reading = _read_pair(powers.own, betas, scalars)
    return reading._replace(evidence=f"{reading.evidence}; {powers.evidence}") if powers.evidence else reading


def _common(readings: Sequence[PowersReading]) -> PowersReading:
    """What all of several pairs of powers say, one of which is the optimizer's; None for what they don't agree on."""
    first = readings[0]

    is_agreed = {name: len({getattr(r, name) for r in readings}) == 1 for name in ("step", "beta_1", "beta_2")}
    step = first.step if is_agreed["step"] else None
    evidence = (
        f"all {len(readings)} pairs of beta powers say so: {first.evidence}"
        if step is not None
        else f"{len(readings)} pairs of beta powers lie in the file; nothing says which is this optimizer's"
    )
    at_least = min(r.at_least for r in readings)
    is_converged = all(r.is_converged for r in readings)
    beta_1 = first.beta_1 if is_agreed["beta_1"] else None
    beta_2 = first.beta_2 if is_agreed["beta_2"] else None
    return PowersReading(step, beta_1, beta_2, at_least, is_converged, evidence)


def _read_pair(keys: BetaPowerKeys, betas: Mapping[str, Sourced[float] | None], scalars: _Scalars) -> PowersReading:
    power_1, power_2 = (scalars.read(k) if k is not None else None for k in (keys.beta_1, keys.beta_2))
    known = [b.value if b is not None and b.source != "given" else None for b in (betas["beta_1"], betas["beta_2"])]
    global_step = scalars.count(_GLOBAL_STEP) if scalars.has(_GLOBAL_STEP) else None
    reading = read_beta_powers(power_1, power_2, known[0], known[1], global_step)
    if reading.step is None and not reading.is_converged:
        given = [b.value if b is not None else None for b in (betas["beta_1"], betas["beta_2"])]
        reading = read_beta_powers(power_1, power_2, given[0], given[1], global_step)
    return reading


def _infer_beta(name: str, powers: PowersReading | None, others: PowersReading | None) -> Sourced[float] | None:
    """`others`: what all pairs of powers that could be this optimizer's have in common."""
    value = getattr(powers, name) if powers is not None else None
    if value is None or powers is None:
        return None
    own = name.replace("_", "") + "_power"
    evidence = powers.evidence
    if own not in evidence:  # the count follows from the other power
        evidence = f"{own} is the same power of {value:g}: {evidence}"
    if others is None or getattr(others, name) != value:
        return Sourced(value, "default", f"assumed: {evidence}; {OPEN_OWNER}")
    return Sourced(value, "inferred", evidence)


def _resolve_step(
    checkpoint: Checkpoint,
    found: FoundOptimizer,
    given: Given,
    powers: PowersReading | None,
    others: PowersReading | None,
    scalars: _Scalars,
) -> tuple[int | None, Sourced[int], list[Problem]]:
    """(raw count of the counter, the exponent of the last update, problems)."""
    problems: list[Problem] = []
    raw = scalars.count(found.counter) if found.counter is not None else None
    if found.counter is not None and raw is None:
        what = f"{found.counter} is {scalars.read(found.counter):g}, which is not a valid count"
        problems.append(Problem("step-malformed", what, "the step is left unknown", "error"))
        if "step" not in given:
            return None, Sourced(None, "unknown", what), problems
    if "step" in given:
        step = int(given["step"])
        # A schedule follows the step as well, but under accumulation it goes by the raw count, which isn't the exponent
        count = _applied(found, raw) if _accumulated(found) > 1 and raw is not None else step
        return count, Sourced(step, "given", "given by the caller"), problems
    if raw is not None:
        if found.implementation.has_unordered_counter and raw > 0:
            problems.append(_unordered_counter(found.implementation.title, raw))
        return _applied(found, raw), _counted(checkpoint, found, raw), problems
    if powers is not None:
        if powers.step is not None:
            if others is None or others.step != powers.step:
                where = f"assumed: {powers.evidence}; {OPEN_OWNER}"
                return powers.step, Sourced(powers.step, "default", where), problems
            return powers.step, Sourced(powers.step, "inferred", powers.evidence), problems
        return None, Sourced(None, "unknown", powers.evidence), problems
    open_counter = next((p.message for p in found.problems if p.code in ("beta-powers-open", "counter-open")), None)
    return (
        None,
        Sourced(None, "unknown", open_counter or "nothing in the file counts this optimizer's updates"),
        problems,
    )


def _unordered_counter(who: str, raw: int) -> Problem:
    return Problem(
        "step-unordered",
        f"{who} counts an update while it computes it: the last one used {raw} or {raw + 1} for its step",
        f"{raw} was taken; the two differ by about {100 / (2 * raw):.2g} % in the effective learning rate",
        "info",
    )


def _counted(checkpoint: Checkpoint, found: FoundOptimizer, raw: int) -> Sourced[int]:
    """The exponent behind a raw count: the count itself, but for gradient accumulation."""
    where = str(found.counter)
    if found.counted == "global-step":
        return Sourced(raw, "checkpoint", f"{where}, the only counter that this layout has")
    accumulated = _accumulated(found)
    if accumulated > 1:
        version = _version(checkpoint.producer().get("keras_version", ""))
        since = found.implementation.divides_accumulated_since
        source = f"gradient_accumulation_steps = {accumulated} ({found.config_where})"
        if since is not None and found.counted != "gradients" and (version is None or version >= since):
            return Sourced(raw // accumulated, "checkpoint", f"{where} = {raw}, divided by {source}")
        who = f"Keras before {'.'.join(map(str, since))}" if since is not None else found.implementation.title
        counts = f"{who} counts each accumulated gradient"
        if raw % accumulated == 0:
            return Sourced(raw, "checkpoint", f"{where}; {counts}")
        applied = _applied(found, raw)
        return Sourced(applied, "checkpoint", f"{where} = {raw}; {counts}, and applied the last at {applied}: {source}")
    if found.counted != "updates" and found.config is None:
        what = (
            "it made its last update at the last multiple of a number of accumulated gradients that is not in the file"
            if found.counted == "gradients"
            else "by how many Keras divides it is not in the file"
        )
        return Sourced(None, "unknown", f"{where} = {raw} counts every accumulated gradient; {what}")
    return Sourced(raw, "checkpoint", where)


def _accumulated(found: FoundOptimizer) -> int:
    """How many gradients an update takes; 1 if the configuration is missing or doesn't say."""
    steps = (found.config or {}).get("gradient_accumulation_steps")
    return steps if isinstance(steps, int) and steps > 1 else 1


def _applied(found: FoundOptimizer, raw: int) -> int:
    """The count of gradients at which the last update was made: the last multiple of those that an update takes."""
    return raw - raw % _accumulated(found)


def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", text)
    return None if match is None else (int(match[1]), int(match[2]))


def _resolve_learning_rate(
    found: FoundOptimizer, given: Given, has_own_decay: bool, raw: int | None, scalars: _Scalars
) -> Sourced[float]:
    if (own := _given("learning_rate", given)) is not None:
        return own
    config = found.config or {}
    completed = None if raw is None else max(raw - 1, 0)
    for name in ("current_learning_rate", "learning_rate", "decay"):
        _check_form(name, found)
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
    value = _saved(found, "learning_rate", "lr")
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


def _has_scheduled_rate(found: FoundOptimizer, has_own_decay: bool, scalars: _Scalars) -> bool:
    config = found.config or {}
    if found.has_scheduled_rate or "current_learning_rate" in found.scalars:
        return True
    if "learning_rate" not in found.scalars:
        if found.graph_rate is not None and "learning_rate" not in found.constants:
            return True
        if isinstance(config.get("learning_rate", config.get("lr")), Mapping):
            return True
    key = found.scalars.get("decay")
    decay = _number(config.get("decay")) if key is None else scalars.read(key)
    return bool(decay) and found.implementation.decays_rate and not has_own_decay


def _rate_decay(found: FoundOptimizer, has_own_decay: bool) -> float:
    """Return the configuration's `decay` of the learning rate; 0 where the name means something else."""
    return 0.0 if has_own_decay or not found.implementation.decays_rate else _saved(found, "decay") or 0.0


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
    if not 0 <= decay < math.inf:
        raise _ImpossibleError(f"decay is {decay:.9g} ({where} decays by it), and it must be finite and not negative")
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
        raise _ImpossibleError(f"{found.config_where}: {reason}") from reason
    except NotDetermined as reason:
        return Sourced(None, "unknown", f"{found.config_where}: {reason}; give {option}")
    return Sourced(value, "config", f"{found.config_where}: {name} at step - 1 = {completed}")


def _from_graph(rate: GraphRate, where: str, scalars: _Scalars) -> Sourced[float]:
    """A learning rate that the graph computes, at the global step before the last update's increment."""
    variables = {rate.counter: scalars.read(rate.counter)} if rate.counter is not None else {}
    for key, count in variables.items():
        if not math.isfinite(count):
            raise _ImpossibleError(
                f"{key} is {count:g}, which is not a valid count, and the learning rate depends on it"
            )
    before = {k: max(v - 1, 0) for k, v in variables.items()}
    value = rate.graph.evaluate(rate.node, before)
    if value is None:
        return Sourced(
            None,
            "unknown",
            f"{where}: the learning rate is fed at run time, or computed from what isn't saved; give --learning-rate",
        )
    at = "".join(f" at {k} = {int(v)}, before the last update" for k, v in before.items())
    return Sourced(value, "graph", f"{where}: the expression {rate.node!r}{at}")


def _resolve_weight_decay(
    h: Hyperparameter, found: FoundOptimizer, given: Given, raw: int | None, scalars: _Scalars
) -> Sourced[float]:
    if (own := _given(h.name, given)) is not None:
        return own
    for name in h.upstream_names:
        _check_form(name, found)
        if name in found.scalars:
            return Sourced(scalars.read(found.scalars[name]), "checkpoint", found.scalars[name])
        if name in found.constants:
            return Sourced(found.constants[name], "graph", f"a constant in {found.constants_where}")
        if found.config is not None and name in found.config:
            saved = found.config[name]
            if isinstance(saved, Mapping) and saved.get("class_name") not in SERIALIZED_NUMBERS:
                return _scheduled(saved, found, None if raw is None else max(raw - 1, 0), "--weight-decay")
            number = 0.0 if saved is False else _saved(found, name)
            return Sourced(number or 0.0, "config", f"{found.config_where}: {name}")
    default = h.default_in(found.implementation)
    if default is None:
        return Sourced(None, "unknown", "this layout doesn't save it; give --weight-decay")
    if default:
        return _default(h, found)
    is_assumed = found.implementation.takes_weight_decay and found.config is None
    return Sourced(0.0, "default", "assumed: none, the default" if is_assumed else "the rule has none")
