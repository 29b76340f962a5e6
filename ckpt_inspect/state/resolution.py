"""From what a layout found to numbers with their sources: the step, the hyperparameters, the rule.

Precedence: given > what governs in the file (a tensor, the graph, the configuration) > inferred from the state >
default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import NotDetermined, RequestError
from ckpt_inspect.jsonable import JsonObject, JsonValue
from ckpt_inspect.layouts.beta_powers import PowersReading, read_beta_powers
from ckpt_inspect.layouts.found import BetaPowerKeys, FoundOptimizer, GraphRate
from ckpt_inspect.layouts.optimizer_classes import ADAM_FAMILY
from ckpt_inspect.sourced import Source, Sourced
from ckpt_inspect.state.hyperparameters import HYPERPARAMETERS
from ckpt_inspect.state.schedules import evaluate_schedule, inverse_time_decay
from ckpt_inspect.update_rules import RULES, UpdateRule, find_rule

GIVEN_NAMES = (*HYPERPARAMETERS, "step", "rule", "epsilon_placement")
EPSILON_PLACEMENTS = ("implementation", "textbook")
"""Where epsilon is asked to stand: where that implementation has it, or as in Kingma & Ba's Algorithm 1."""
TEXTBOOK_RULES = ("adam", "amsgrad", "adamw", "lazyadam")
DECAYING_FAMILIES = ("optimizer-v2", "tfa", "keras1")
"""Families whose `decay` shrinks the learning rate with every update."""
MOST_UPDATES = 1 << 53
"""No counter is believed beyond: floats are no longer whole numbers there."""
OPEN_OWNER = "that these beta powers are this optimizer's is a reading of their order"
DIVIDED_SINCE = (3, 5)
"""Keras release from which gradient accumulation's exponent is the raw count divided by its steps."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One optimizer's numbers."""

    rule: Sourced
    step: Sourced
    hyperparameters: Mapping[str, Sourced]
    """Every name of HYPERPARAMETERS."""
    extra: Mapping[str, Any]
    """What only one rule needs, by its upstream name."""
    is_converged: bool
    """The step is unknown, but so large that the bias corrections are 1."""
    has_textbook_epsilon: bool
    """Whether E is asked for in the textbook's form rather than the implementation's."""
    problems: tuple[Problem, ...]


def check_given(given: Mapping[str, Any], path: str) -> None:
    """Raise RequestError for a name or a value that can't be given."""
    for name, value in given.items():
        if name not in GIVEN_NAMES:
            raise RequestError(f"{path}: {name!r} can't be given; one of {', '.join(GIVEN_NAMES)} can")
        if name == "rule":
            if find_rule(str(value)) is None:
                raise RequestError(
                    f"{path}: there is no rule {value!r}; the rules are {', '.join(r.name for r in RULES)}"
                )
        elif name == "epsilon_placement":
            if value not in EPSILON_PLACEMENTS:
                raise RequestError(f"{path}: {name} must be one of {', '.join(EPSILON_PLACEMENTS)}, not {value!r}")
        elif not _is_finite(value):
            raise RequestError(f"{path}: {name} must be a number, not {value!r}")
        elif name == "step" and not (0 <= value <= MOST_UPDATES and value == int(value)):
            raise RequestError(f"{path}: step must be a whole number from 0 on, not {value!r}")
        elif name in ("beta_1", "beta_2") and not 0 <= value < 1:
            raise RequestError(f"{path}: {name} must be from 0 up to, not including, 1, not {value!r}")
        elif value < 0:
            raise RequestError(f"{path}: {name} must not be negative, not {value!r}")


def _is_finite(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    try:
        return bool(np.isfinite(float(value)))
    except OverflowError:
        return False


def resolve(checkpoint: Checkpoint, found: FoundOptimizer, given: Mapping[str, Any]) -> Resolved:
    """Every number of one optimizer, with where it came from. Reads scalars only."""
    rule = _resolve_rule(found, given)
    is_textbook = given.get("epsilon_placement") == "textbook" and rule.value in TEXTBOOK_RULES
    scalars = _Scalars(checkpoint)
    betas = {n: _resolve_plain(n, found, given, scalars) for n in ("beta_1", "beta_2")}
    powers = _read_powers(found, betas, scalars)
    rivals = found.beta_powers.rivals
    others = _common([_read_pair(keys, betas, scalars) for keys in rivals]) if rivals else powers
    raw, step, problems = _resolve_step(checkpoint, found, given, powers, others, scalars)
    defaults = _defaults(found, rule.value)
    hyperparameters: dict[str, Sourced] = {
        "learning_rate": _resolve_learning_rate(found, given, rule.value, raw, step, scalars),
        **{n: betas[n] or _infer_beta(n, powers, others) or _default(n, defaults, found) for n in ("beta_1", "beta_2")},
        "epsilon": _resolve_plain("epsilon", found, given, scalars) or _default("epsilon", defaults, found),
        "weight_decay": _resolve_weight_decay(found, given, rule.value, scalars, defaults),
    }
    if is_textbook:
        epsilon = hyperparameters["epsilon"]
        placed = f"{epsilon.where}; added to √(v/c2) as in Kingma & Ba's Algorithm 1, as asked for"
        hyperparameters["epsilon"] = Sourced(epsilon.value, epsilon.source, placed)
    extra = {
        name: value
        for name in (
            "sma_threshold",
            "total_steps",
            "warmup_proportion",
            "min_lr",
            "momentum",
            "centered",
            "u_product",
            "momentum_cache",
        )
        if (value := scalars.read(found.scalars[name]) if name in found.scalars else (found.config or {}).get(name))
        is not None
    }
    if given.get("epsilon_placement") == "textbook" and not is_textbook:
        problems.append(
            Problem(
                "epsilon-placement-ignored",
                f"{found.name}: {rule.value} has no textbook placement of epsilon that differs from its own here",
                "epsilon stands where the implementation has it",
                "info",
            )
        )
    is_converged = step.value is None and powers is not None and powers.is_converged
    if is_converged and powers is not None:
        problems.append(
            Problem("step-underflowed", f"{found.name}: {powers.evidence}", "the step is left unknown", "info")
        )
    return Resolved(rule, step, hyperparameters, extra, is_converged, is_textbook, tuple(problems))


class _Scalars:
    """Scalars of the checkpoint, as Python floats."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def read(self, key: str) -> float:
        return float(np.asarray(self._checkpoint.read_range(key, 0, 1))[0])

    def count(self, key: str) -> int | None:
        """A whole number from 0 on; None for anything else."""
        value = np.asarray(self._checkpoint.read_range(key, 0, 1))[0].item()
        return int(value) if 0 <= value <= MOST_UPDATES and value == int(value) else None


def _resolve_rule(found: FoundOptimizer, given: Mapping[str, Any]) -> Sourced:
    if "rule" in given:
        return Sourced(str(given["rule"]), "given", "given by the caller")
    reading = found.rule
    is_open = reading.source == "default" and reading.alternatives
    others = f"; could be {', '.join(reading.alternatives)} just as well" if is_open else ""
    return Sourced(reading.name, reading.source, f"{reading.where}{others}")


def _defaults(found: FoundOptimizer, rule: str) -> Mapping[str, float]:
    update_rule: UpdateRule | None = find_rule(rule)
    return update_rule.defaults(found.family) if update_rule is not None else {}


def _default(name: str, defaults: Mapping[str, float], found: FoundOptimizer) -> Sourced:
    if name in defaults:
        return Sourced(
            defaults[name], "default", f"assumed: the default of this implementation ({found.family}); not in the file"
        )
    return Sourced(None, "unknown", "not in the file")


def _given(name: str, given: Mapping[str, Any]) -> Sourced | None:
    return Sourced(given[name], "given", "given by the caller") if name in given else None


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if np.isfinite(float(value)) else None
    except OverflowError:
        return None


def _resolve_plain(name: str, found: FoundOptimizer, given: Mapping[str, Any], scalars: _Scalars) -> Sourced | None:
    """A hyperparameter that is used as it is written."""
    if (own := _given(name, given)) is not None:
        return own
    if name in found.scalars:
        return Sourced(scalars.read(found.scalars[name]), "checkpoint", found.scalars[name])
    if name in found.constants:
        return Sourced(found.constants[name], "graph", f"a constant in {found.constants_where}")
    value = _number((found.config or {}).get(name))
    return Sourced(value, "config", f"{found.config_where}: {name}") if value is not None else None


def _read_powers(found: FoundOptimizer, betas: Mapping[str, Sourced | None], scalars: _Scalars) -> PowersReading | None:
    powers = found.beta_powers
    if not powers.own.keys:
        return _common([_read_pair(keys, betas, scalars) for keys in powers.rivals]) if powers.rivals else None
    reading = _read_pair(powers.own, betas, scalars)
    return replace(reading, evidence=f"{reading.evidence}; {powers.evidence}") if powers.evidence else reading


def _common(readings: Sequence[PowersReading]) -> PowersReading:
    """What all of several pairs of powers say, one of which is the optimizer's; None for what they don't agree on."""
    first = readings[0]

    def agreed(name: str) -> Any:
        return getattr(first, name) if len({getattr(r, name) for r in readings}) == 1 else None

    step = agreed("step")
    evidence = (
        f"all {len(readings)} pairs of beta powers say so: {first.evidence}"
        if step is not None
        else f"{len(readings)} pairs of beta powers lie in the file; nothing says which is this optimizer's"
    )
    at_least = min(r.at_least for r in readings)
    is_converged = all(r.is_converged for r in readings)
    return PowersReading(step, agreed("beta_1"), agreed("beta_2"), at_least, is_converged, evidence)


def _read_pair(keys: BetaPowerKeys, betas: Mapping[str, Sourced | None], scalars: _Scalars) -> PowersReading:
    power_1, power_2 = (scalars.read(k) if k is not None else None for k in (keys.beta_1, keys.beta_2))
    known = [b.value if b is not None and b.source != "given" else None for b in (betas["beta_1"], betas["beta_2"])]
    reading = read_beta_powers(power_1, power_2, known[0], known[1])
    if reading.step is None and not reading.is_converged:
        given = [b.value if b is not None else None for b in (betas["beta_1"], betas["beta_2"])]
        reading = read_beta_powers(power_1, power_2, given[0], given[1])
    return reading


def _infer_beta(name: str, powers: PowersReading | None, others: PowersReading | None) -> Sourced | None:
    """`others`: what all pairs of powers that could be this optimizer's have in common."""
    value = getattr(powers, name) if powers is not None else None
    if value is None or powers is None:
        return None
    own = name.replace("_", "") + "_power"
    evidence = powers.evidence
    if own not in evidence:  # the other power told the count
        evidence = f"{own} is the same power of {value:g}: {evidence}"
    if others is None or getattr(others, name) != value:
        return Sourced(value, "default", f"assumed: {evidence}; {OPEN_OWNER}")
    return Sourced(value, "inferred", evidence)


def _resolve_step(
    checkpoint: Checkpoint,
    found: FoundOptimizer,
    given: Mapping[str, Any],
    powers: PowersReading | None,
    others: PowersReading | None,
    scalars: _Scalars,
) -> tuple[int | None, Sourced, list[Problem]]:
    """(raw count of the counter, the exponent of the last update, problems)."""
    problems: list[Problem] = []
    raw = scalars.count(found.counter) if found.counter is not None else None
    if found.counter is not None and raw is None:
        what = f"{found.counter} is {scalars.read(found.counter):g}, which counts nothing"
        problems.append(Problem("step-malformed", what, "the step is left unknown", "error"))
        if "step" not in given:
            return None, Sourced(None, "unknown", what), problems
    if "step" in given:
        step = int(given["step"])
        # A schedule follows the step as well, but under accumulation it goes by the raw count, which isn't the exponent
        is_divided = bool((found.config or {}).get("gradient_accumulation_steps")) and raw is not None
        return (raw if is_divided else step), Sourced(step, "given", "given by the caller"), problems
    if raw is not None:
        if found.family == "keras1" and raw > 0:
            problems.append(_unordered_counter(raw))
        return raw, _counted(checkpoint, found, raw), problems
    if powers is not None:
        if powers.step is not None:
            if others is None or others.step != powers.step:
                where = f"assumed: {powers.evidence}; {OPEN_OWNER}"
                return powers.step, Sourced(powers.step, "default", where), problems
            return powers.step, Sourced(powers.step, "inferred", powers.evidence), problems
        return None, Sourced(None, "unknown", powers.evidence), problems
    open_powers = next((p.message for p in found.problems if p.code == "beta-powers-open"), None)
    return (
        None,
        Sourced(None, "unknown", open_powers or "nothing in the file counts this optimizer's updates"),
        problems,
    )


def _unordered_counter(raw: int) -> Problem:
    return Problem(
        "step-unordered",
        f"Keras before OptimizerV2 counts an update while it computes it: the last one used {raw} or {raw + 1} for its "
        "step",
        f"{raw} was taken; the two differ by about {100 / (2 * raw):.2g} % in the effective learning rate",
        "info",
    )


def _counted(checkpoint: Checkpoint, found: FoundOptimizer, raw: int) -> Sourced:
    """The exponent behind a raw count: the count itself, but for gradient accumulation."""
    where = str(found.counter)
    if found.counted == "global-step":
        return Sourced(raw, "checkpoint", f"{where}, the only counter that this layout has")
    accumulated = (found.config or {}).get("gradient_accumulation_steps")
    if isinstance(accumulated, int) and accumulated > 1:
        version = _version(checkpoint.producer().get("keras_version", ""))
        if version is None or version >= DIVIDED_SINCE:
            return Sourced(
                raw // accumulated,
                "checkpoint",
                f"{where} = {raw}, divided by gradient_accumulation_steps = {accumulated} ({found.config_where})",
            )
        return Sourced(raw, "checkpoint", f"{where}; Keras before 3.5 counts each accumulated gradient")
    if found.counted in ("gradients-to-divide", "gradients-either") and found.config is None:
        return Sourced(
            None,
            "unknown",
            f"{where} = {raw} counts every accumulated gradient; by how many Keras divides it is not in the file",
        )
    return Sourced(raw, "checkpoint", where)


def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", text)
    return None if match is None else (int(match[1]), int(match[2]))


def _resolve_learning_rate(
    found: FoundOptimizer, given: Mapping[str, Any], rule: str, raw: int | None, step: Sourced, scalars: _Scalars
) -> Sourced:
    if (own := _given("learning_rate", given)) is not None:
        return own
    config = found.config or {}
    completed = None if raw is None else max(raw - 1, 0)
    if "current_learning_rate" in found.scalars:
        key = found.scalars["current_learning_rate"]
        return Sourced(scalars.read(key), "checkpoint", f"{key}, the scheduled learning rate that the last update used")
    if "learning_rate" in found.scalars:
        key = found.scalars["learning_rate"]
        decay = (
            scalars.read(found.scalars["decay"]) if "decay" in found.scalars else _number(config.get("decay")) or 0.0
        )
        return _decayed(scalars.read(key), decay, "checkpoint", key, found, rule, completed)
    if "learning_rate" in found.constants:
        return Sourced(found.constants["learning_rate"], "graph", f"a constant in {found.constants_where}")
    if found.graph_rate is not None:
        return _from_graph(found.graph_rate, found.constants_where, scalars)
    saved = config.get("learning_rate", config.get("lr"))
    if isinstance(saved, Mapping):
        return _scheduled(saved, found, completed)
    value = _number(saved)
    if value is not None:
        return _decayed(
            value,
            _number(config.get("decay")) or 0.0,
            "config",
            f"{found.config_where}: learning_rate",
            found,
            rule,
            completed,
        )
    if found.has_scheduled_rate:
        return Sourced(
            None,
            "unknown",
            "the optimizer has no learning-rate variable: a schedule, which this format doesn't save; give "
            "--learning-rate",
        )
    return Sourced(None, "unknown", "this layout doesn't save it; give --learning-rate")


def _decayed(
    value: float, decay: float, source: Source, where: str, found: FoundOptimizer, rule: str, completed: int | None
) -> Sourced:
    """The learning rate under OptimizerV2's `decay` (whose Nadam means its momentum schedule by that name)."""
    if not decay or found.family not in DECAYING_FAMILIES or rule == "nadam":
        return Sourced(value, source, where)
    if completed is None:
        return Sourced(None, "unknown", f"{where} = {value:g} decays with the step, which is not known")
    return Sourced(
        inverse_time_decay(value, decay, completed),
        source,
        f"{where} = {value:.9g} / (1 + decay·(step - 1)), decay = {decay:g}, step = {completed + 1}",
    )


def _scheduled(schedule: JsonObject, found: FoundOptimizer, completed: int | None) -> Sourced:
    name = schedule.get("class_name", "a schedule")
    if completed is None:
        return Sourced(None, "unknown", f"{found.config_where}: {name} depends on the step, which is not known")
    try:
        value = evaluate_schedule(schedule, completed)
    except NotDetermined as reason:
        return Sourced(None, "unknown", f"{found.config_where}: {reason}; give --learning-rate")
    return Sourced(value, "config", f"{found.config_where}: {name} at step - 1 = {completed}")


def _from_graph(rate: GraphRate, where: str, scalars: _Scalars) -> Sourced:
    """A learning rate that the graph computes, at the global step before the last update's increment."""
    variables = {rate.counter: scalars.read(rate.counter)} if rate.counter is not None else {}
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
    found: FoundOptimizer, given: Mapping[str, Any], rule: str, scalars: _Scalars, defaults: Mapping[str, float]
) -> Sourced:
    if (own := _given("weight_decay", given)) is not None:
        return own
    for name in ("weight_decay", "weight_decay_rate"):
        if name in found.scalars:
            return Sourced(scalars.read(found.scalars[name]), "checkpoint", found.scalars[name])
        if found.config is not None and name in found.config:
            value = _number(found.config[name])
            return Sourced(value or 0.0, "config", f"{found.config_where}: {name}")
    if "weight_decay" in defaults:
        return _default("weight_decay", defaults, found)
    if rule in ("adamw", "lamb") and found.family in ("contrib", "tfa"):
        return Sourced(None, "unknown", "this layout doesn't save it; give --weight-decay")
    where = (
        "assumed: none, the default"
        if found.family in ("keras2", "keras3") and found.config is None and rule in ADAM_FAMILY
        else "the rule has none"
    )
    return Sourced(0.0, "default", where)
