"""Runs made in numpy by the optimizers' own arithmetic, as inference over their checkpoints sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.comparison.inference.observations import Moments, Observation
from ckpt_inspect.layouts.found import Counted
from ckpt_inspect.sourced import Source, Sourced
from ckpt_inspect.update_rules import find_implementation, find_rule

Array = NDArray[Any]


@dataclass
class Plan:
    """What a simulated run does. Steps count from 1; what happens `at` a step happens before its update."""

    saves: Sequence[int] = (100, 140, 300)
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    rate: float | Callable[[int], float] = 1e-3
    weight_decay: float = 0.0
    rule: str = "adam"
    family: str = "keras3"
    dtype: str = "float32"
    seed: int = 0
    rows: int = 60
    """Of an embedding whose rows a batch seldom touches; 0: none."""
    untouched_rows: int = 6
    """Of them, those that no batch ever touches."""
    dense: int = 200
    """Elements that every gradient reaches."""
    proportional: bool = False
    """Whether the dense gradients are all one number times a constant: a constant input."""
    scale: float = 1e-2
    """Of the gradients."""
    spike_at: int = 0
    spike: float = 1e4
    change_at: int = 0
    changed: Mapping[str, float] = field(default_factory=dict)
    """Hyperparameters from that step on."""
    reset_at: int = 0
    by_hand_at: int = 0
    by_hand: float = 0.9
    average_every: int = 0
    shows_average: bool = True
    skipped: frozenset[int] = frozenset()
    """Steps that are counted, and make no update."""
    accumulated: int = 1
    counted: Counted = "updates"
    is_lazy: bool = False
    frozen_until: int = 0
    """Step until which the embedding is not trained."""
    known: Mapping[str, Source] = field(default_factory=lambda: {"learning_rate": "checkpoint"})


@dataclass
class Truth:
    """What the run really used, at one checkpoint."""

    beta_1: float
    beta_2: float
    epsilon: float
    learning_rate: float
    step: int
    weight_decay: float


class _Variable:
    def __init__(self, size: int, dtype: np.dtype[Any], rng: np.random.Generator) -> None:
        self.value = (rng.normal(size=size) * 0.05).astype(dtype)
        self.first = np.zeros(size, dtype)
        self.second = np.zeros(size, dtype)
        self.maximum = np.zeros(size, dtype)
        self.average = self.value.copy()
        self.sum = np.zeros(size, dtype)


def simulate(plan: Plan) -> tuple[list[Observation], list[Truth]]:
    """Return what each checkpoint of the run shows, and what was true."""
    return _Simulation(plan).run()


class _Simulation:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = np.random.default_rng(plan.seed)
        self.dtype = np.dtype(_float_type(plan.dtype))
        self.width = 6
        sizes = {"embedding": plan.rows * self.width, "dense": plan.dense}
        self.variables = {n: _Variable(s, self.dtype, self.rng) for n, s in sizes.items() if s}
        self.direction = self.rng.normal(size=plan.dense)
        self.popularity = self.rng.choice([0.0005, 0.005, 0.05, 0.4], size=max(plan.rows, 1))
        self.popularity[: plan.untouched_rows] = 0.0
        self.step = 0
        self.applied = 0

    def now(self, name: str) -> float:
        plan = self.plan
        if plan.change_at and self.step >= plan.change_at and name in plan.changed:
            return plan.changed[name]
        value = plan.rate if name == "learning_rate" else getattr(plan, name)
        return value(self.exponent()) if callable(value) else value

    def exponent(self) -> int:
        return self.step // self.plan.accumulated

    def gradient(self, name: str) -> tuple[Array, Array]:
        """The gradient, and where a sparse one touches."""
        plan, variable = self.plan, self.variables[name]
        size = variable.value.size
        decline = 1 / (1 + self.step / 300)
        if name == "embedding":
            touched = np.repeat(self.rng.random(plan.rows) < self.popularity, self.width)
            if self.step < plan.frozen_until:
                touched[:] = False
            gradient = np.where(touched, self.rng.normal(size=size), 0.0) * plan.scale * decline
        elif plan.proportional:
            touched = np.ones(size, bool)
            gradient = self.direction * np.exp(-self.step / 250) * plan.scale
        else:
            touched = np.ones(size, bool)
            gradient = (self.rng.normal(size=size) + variable.value) * plan.scale * decline
        if plan.spike_at and self.step == plan.spike_at:
            gradient = gradient * plan.spike
        return gradient.astype(self.dtype), touched

    def run(self) -> tuple[list[Observation], list[Truth]]:
        plan = self.plan
        observations, truths = [], []
        for step in range(1, max(plan.saves) + 1):
            self.step = step
            if step == plan.reset_at:
                for variable in self.variables.values():
                    variable.first[:] = 0
                    variable.second[:] = 0
            if step == plan.by_hand_at:
                for variable in self.variables.values():
                    variable.value = (variable.value * self.dtype.type(plan.by_hand)).astype(self.dtype)
            with np.errstate(all="ignore"):
                for name, variable in self.variables.items():
                    self.update(name, variable)
            if step in plan.saves:
                observations.append(self.observed())
                truths.append(
                    Truth(
                        self.now("beta_1"),
                        self.now("beta_2"),
                        self.now("epsilon"),
                        self.now("learning_rate"),
                        self.exponent(),
                        plan.weight_decay,
                    )
                )
        return observations, truths

    def update(self, name: str, variable: _Variable) -> None:
        plan = self.plan
        gradient, touched = self.gradient(name)
        if self.step in plan.skipped or (name == "embedding" and self.step < plan.frozen_until):
            return
        if plan.accumulated > 1:
            variable.sum += gradient
            if self.step % plan.accumulated:
                return
            gradient = variable.sum / self.dtype.type(plan.accumulated)
            variable.sum = np.zeros_like(variable.sum)
        before = variable.value.copy(), variable.first.copy(), variable.second.copy()
        self.apply(variable, gradient)
        if plan.is_lazy and name == "embedding":
            for array, old in zip((variable.value, variable.first, variable.second), before, strict=True):
                array[~touched] = old[~touched]
        if plan.average_every:
            variable.average = (0.95 * variable.average + 0.05 * variable.value).astype(self.dtype)
            if self.step % plan.average_every == 0:
                variable.value = variable.average.copy()

    def apply(self, variable: _Variable, gradient: Array) -> None:
        """One update: Keras' order of operations, or the kernels' of TensorFlow 1 and OptimizerV2."""
        plan, number = self.plan, self.dtype.type
        beta_1, beta_2, epsilon, rate = (self.now(n) for n in ("beta_1", "beta_2", "epsilon", "learning_rate"))
        t = self.exponent()
        if plan.family in ("keras2", "keras3"):
            b1, b2 = number(np.float32(beta_1)), number(np.float32(beta_2))
            one_1, one_2 = number(1 - beta_1), number(1 - beta_2)
        else:
            b1, b2 = number(np.float32(beta_1)), number(np.float32(beta_2))
            one_1, one_2 = number(1) - b1, number(1) - b2
        alpha = number(np.float32(rate)) * np.sqrt(number(1) - b2 ** number(t)) / (number(1) - b1 ** number(t))
        variable.first = (variable.first + (gradient - variable.first) * one_1).astype(self.dtype)
        variable.second = (variable.second + (gradient * gradient - variable.second) * one_2).astype(self.dtype)
        second = variable.second
        if plan.rule == "amsgrad":
            variable.maximum = np.maximum(variable.maximum, variable.second)
            second = variable.maximum
        if plan.weight_decay:
            variable.value = (variable.value - variable.value * number(plan.weight_decay * rate)).astype(self.dtype)
        update = variable.first * alpha / (np.sqrt(second) + number(epsilon))
        variable.value = (variable.value - update).astype(self.dtype)

    def observed(self) -> Observation:
        plan = self.plan
        rule, implementation = find_rule(plan.rule), find_implementation(plan.family)
        assert rule is not None and implementation is not None
        hyperparameters: dict[str, Sourced[float]] = {}
        for h in rule.hyperparameters:
            source = plan.known.get(h.name)
            if source is not None:
                hyperparameters[h.name] = Sourced(self.now(h.name), source, "")
            elif (default := h.default_in(implementation)) is not None:
                hyperparameters[h.name] = Sourced(default, "default", "")
            else:
                hyperparameters[h.name] = Sourced(None, "unknown", "")
        is_counted = plan.counted == "updates"
        return Observation(
            checkpoint=f"ckpt-{self.step}",
            rule=Sourced(plan.rule, "checkpoint", ""),
            update_rule=rule,
            implementation=implementation,
            layout="keras3",
            step=Sourced(self.exponent(), "checkpoint", "") if is_counted else Sourced(None, "unknown", ""),
            raw_step=self.step,
            counted=plan.counted,
            hyperparameters=hyperparameters,
            moves_by_itself=bool(plan.average_every) and plan.shows_average,
            elements={
                n: Moments(
                    v.first.copy(),
                    v.second.copy(),
                    v.maximum.copy() if plan.rule == "amsgrad" else None,
                    v.value.copy(),
                )
                for n, v in self.variables.items()
            },
            others={},
        )


def _float_type(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(name).type
