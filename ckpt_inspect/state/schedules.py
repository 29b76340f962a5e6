"""Keras' learning-rate schedules, evaluated from their JSON configuration: nothing is deserialized into code.

Keras computes a schedule in float32 tensors, so the formulas here round to float32 after each operation in upstream's
order. Source of all: keras/src/optimizers/schedules/learning_rate_schedule.py (Keras 3), of the same formulas in
tf_keras and in keras/optimizers/schedules/learning_rate_schedule.py (Keras 2), where LinearCosineDecay still was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.jsonable import JsonObject, JsonValue, shortened

Float32 = Any
"""A numpy float32 scalar (numpy's stubs give its arithmetic no type under every version)."""

_KERAS_PACKAGES = ("keras", "tf_keras", "tensorflow")
"""Packages under whose name Keras serializes its own schedules; a class of the same name elsewhere is another."""

_LARGEST = float(np.finfo(np.float32).max)
_PI = np.float32(math.pi)
_ONE = np.float32(1)
_HALF = np.float32(0.5)


class ImpossibleSchedule(NotDetermined):
    """A schedule's configuration holds what no training can have used; the message names it."""


def evaluate_schedule(schedule: JsonObject, completed: int) -> float:
    """Return the learning rate of the update that follows `completed` updates: for update t, `completed` is t - 1.

    `schedule` is what Keras' `serialize` makes, `{"class_name": .., "config": {..}}`, with or without `module` and
    `registered_name`. A float32 value, as a Python float. Raises NotDetermined for a schedule that isn't Keras' own, is
    random, or whose configuration is incomplete or is computed by Keras in integers; ImpossibleSchedule for one that
    holds numbers that can't be.
    """
    name = schedule.get("class_name")
    config = schedule.get("config")
    if not isinstance(name, str) or not isinstance(config, Mapping):
        raise NotDetermined("the learning rate's configuration is not a schedule that Keras serialized")
    plain = name.rpartition(">")[2]
    registered = schedule.get("registered_name") or (name if ">" in name else None)
    module = str(schedule.get("module") or "keras").partition(".")[0]
    formula = SCHEDULES.get(plain)
    if plain == "NoisyLinearCosineDecay":
        raise NotDetermined("the schedule NoisyLinearCosineDecay is random: its values can't be computed again")
    if formula is None or registered not in (None, plain) or module not in _KERAS_PACKAGES:
        raise NotDetermined(f"the schedule {registered or name!r} is not Keras' own: its value can't be computed")
    try:
        with np.errstate(all="ignore"):
            value = float(formula(_Configuration(plain, config), np.float32(completed)))
    except OverflowError:
        value = math.nan
    if not math.isfinite(value):
        raise ImpossibleSchedule(
            f"the schedule {plain} with this configuration has no finite value at step {completed}"
        )
    return value


def inverse_time_decay(learning_rate: float, decay: float, completed: int) -> float:
    """Return lr/(1 + decay·completed) in float32: the learning rate under `decay` in OptimizerV2 and Keras before it.

    `completed` is t - 1 for update t. Source: keras/optimizers/optimizer_v2/optimizer_v2.py `_decayed_lr`. Not for
    OptimizerV2's Nadam, whose serialized `decay` is the schedule of its momentum.
    """
    if not decay:
        return float(learning_rate)
    return float(np.float32(learning_rate) / (_ONE + np.float32(decay) * np.float32(completed)))


class _Configuration:
    """A schedule's JSON, of which every number is checked as it is asked for."""

    def __init__(self, name: str, values: JsonObject) -> None:
        self.name = name
        self.values = values

    def number(self, key: str, default: float | None = None) -> Float32:
        value = self.values.get(key)
        if value is None and default is not None:
            return np.float32(default)
        return self._float32(key, value)

    def initial(self) -> Float32:
        """The initial learning rate, whose type is that of the whole computation."""
        value = self.values.get("initial_learning_rate")
        if isinstance(value, int) and not isinstance(value, bool):
            raise NotDetermined(
                f"the schedule {self.name} starts at the integer {value}, and Keras computes it in integers"
            )
        return self._float32("initial_learning_rate", value)

    def numbers(self, key: str) -> list[Float32]:
        value = self.values.get(key)
        if not isinstance(value, (list, tuple)):
            raise NotDetermined(f"the schedule {self.name} has no list of {key} in its configuration")
        return [self._float32(key, v) for v in value]

    def steps(self, key: str) -> Float32:
        value = self.number(key)
        if not value > 0:
            raise ImpossibleSchedule(f"the schedule {self.name} has {key}={value}, which must be positive")
        return value

    def flag(self, key: str) -> bool:
        return bool(self.values.get(key, False))

    def _float32(self, key: str, value: JsonValue) -> Float32:
        if isinstance(value, Mapping) and value.get("class_name") in ("__tensor__", "__numpy__"):
            inner = value.get("config")
            value = inner.get("value") if isinstance(inner, Mapping) else None
        if value is None:
            raise NotDetermined(f"the schedule {self.name} has no number for {key} in its configuration")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
            raise ImpossibleSchedule(
                f"the schedule {self.name} has {key}={shortened(value)}, which must be a finite number"
            )
        return np.float32(value)


def _exponential_decay(c: _Configuration, step: Float32) -> Float32:
    """initial · rate^(step/steps)."""
    p = step / c.steps("decay_steps")
    return c.initial() * _power(c.number("decay_rate"), np.floor(p) if c.flag("staircase") else p)


def _inverse_time_decay(c: _Configuration, step: Float32) -> Float32:
    """initial / (1 + rate·step/steps)."""
    p = step / c.steps("decay_steps")
    return np.float32(c.initial() / (_ONE + c.number("decay_rate") * (np.floor(p) if c.flag("staircase") else p)))


def _piecewise_constant_decay(c: _Configuration, step: Float32) -> Float32:
    """The value of the interval that the step is in; intervals include their upper end."""
    boundaries, values = c.numbers("boundaries"), c.numbers("values")
    if not boundaries or len(boundaries) != len(values) - 1:
        raise NotDetermined("the schedule PiecewiseConstantDecay has boundaries and values that don't fit together")
    return next((value for bound, value in zip(boundaries, values, strict=False) if step <= bound), values[-1])


def _polynomial_decay(c: _Configuration, step: Float32) -> Float32:
    """(initial - end)·(1 - step/steps)^power + end; with `cycle`, steps grows to its next multiple."""
    steps, end = c.steps("decay_steps"), c.number("end_learning_rate", 0.0001)
    if c.flag("cycle"):
        steps = steps * (np.ceil(step / steps) if step else _ONE)
    else:
        step = min(step, steps)
    return (c.initial() - end) * _power(_ONE - step / steps, c.number("power", 1.0)) + end


def _cosine_decay(c: _Configuration, step: Float32) -> Float32:
    """start·((1 - alpha)·½(1 + cos(π·step/steps)) + alpha), after a linear warm-up if there is one (Keras 2.13+)."""
    steps, start = c.steps("decay_steps"), c.initial()
    if c.values.get("warmup_target") is not None:
        warm, target = c.number("warmup_steps", 0.0), c.number("warmup_target")
        step = min(step, steps + warm)
        if step < warm:
            return (target - start) * (step / warm) + start
        step, start = step - warm, target
    else:
        step = min(step, steps)
    # Python's 1 - alpha is rounded once, as it meets the tensor
    alpha = c.number("alpha", 0.0)
    return start * (np.float32(1 - _double(c, "alpha")) * _half_cosine(step / steps) + alpha)


def _cosine_decay_restarts(c: _Configuration, step: Float32) -> Float32:
    """Cosine decay over periods that grow by t_mul, each starting m_mul as high as the one before (SGDR, arXiv
    1608.03983)."""
    growth, alpha = c.number("t_mul", 2.0), c.number("alpha", 0.0)
    fraction = step / c.steps("first_decay_steps")
    if growth == 1:
        restart = np.floor(fraction)
        fraction = fraction - restart
    else:
        restart = np.floor(_log(_ONE - fraction * (_ONE - growth)) / _log(growth))
        scale = _power(growth, restart)
        fraction = (fraction - (_ONE - scale) / (_ONE - growth)) / scale
    height = _power(c.number("m_mul", 1.0), restart)
    cosine = _HALF * height * (_ONE + _cosine(_PI * fraction))
    return c.initial() * ((_ONE - alpha) * cosine + alpha)


def _linear_cosine_decay(c: _Configuration, step: Float32) -> Float32:
    """initial·((alpha + 1 - step/steps)·½(1 + cos(2π·periods·step/steps)) + beta) (arXiv 1709.07417)."""
    steps = c.steps("decay_steps")
    step = min(step, steps)
    linear = (steps - step) / steps
    cosine = _half_cosine(np.float32(2) * c.number("num_periods", 0.5) * (step / steps))
    return c.initial() * ((c.number("alpha", 0.0) + linear) * cosine + c.number("beta", 0.001))


SCHEDULES: Mapping[str, Callable[[_Configuration, Float32], Float32]] = {
    "ExponentialDecay": _exponential_decay,
    "InverseTimeDecay": _inverse_time_decay,
    "PiecewiseConstantDecay": _piecewise_constant_decay,
    "PolynomialDecay": _polynomial_decay,
    "CosineDecay": _cosine_decay,
    "CosineDecayRestarts": _cosine_decay_restarts,
    "LinearCosineDecay": _linear_cosine_decay,
}
"""Keras' own schedules by class name."""


def _double(c: _Configuration, key: str) -> float:
    value = c.values.get(key)
    return float(value) if isinstance(value, (int, float)) else float(c.number(key, 0.0))


def _half_cosine(fraction: Float32) -> Float32:
    return _HALF * (_ONE + _cosine(_PI * fraction))


def _cosine(x: Float32) -> Float32:
    return np.float32(math.cos(x))


def _power(base: Float32, exponent: Float32) -> Float32:
    return np.float32(np.power(np.float64(base), np.float64(exponent)))


def _log(x: Float32) -> Float32:
    return np.float32(np.log(np.float64(x)))
