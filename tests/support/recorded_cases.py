"""The recorded cases in fixtures/recorded, and what is wrong with the package's answers to them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ckpt_inspect import OptimizerState, open_checkpoint, optimizer_states
from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.state.optimizer_state import Parameter
from ckpt_inspect.update_rules import Hyperparameter, find_rule, normal_name, optimizer_of_class
from ckpt_inspect.update_rules.rule import UpdateRule

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "recorded"
CASES = tuple(sorted(f.parent.name for f in FIXTURES.glob("*/truth.json")))
ASSUMED = ("default", "unknown", "given")

TRUE_RULES = {
    "adam": "adam", "adamw": "adamw", "adamax": "adamax", "nadam": "nadam", "lamb": "lamb", "lazyadam": "lazyadam",
    "rectifiedadam": "radam", "adamweightdecay": "bert-adamw",
}  # fmt: skip
LAZY = ("lazyadam", "adamax", "radam", "nadam", "adamw")
"""Rules that leave untouched rows of an embedding alone, in TF1 and OptimizerV2."""
EMBEDDING_ROWS = 11


@dataclass(frozen=True)
class RecordedVariable:
    """One trained variable as the live object was."""

    names: frozenset[str]
    dtype: str
    slice: Mapping[str, Any] | None
    """Its place in the whole, for a partition."""
    arrays: Mapping[str, Any]
    stored: frozenset[str]
    """Which of the arrays are in the file."""

    def part(self, whole: Any) -> Any:
        """Its own part of a partitioned variable."""
        if self.slice is None or list(np.shape(whole)) != list(self.slice["full_shape"]):
            return whole
        offsets, sizes = self.slice["var_offset"], self.slice["var_shape"]
        return whole[tuple(slice(at, at + n) for at, n in zip(offsets, sizes, strict=True))]

    @property
    def second(self) -> Any:
        """Second moment, or Adamax' norm."""
        return self.arrays.get("slot_v", self.arrays.get("slot_u"))

    @property
    def has_moments(self) -> bool:
        """Whether both moments are in the file."""
        return "slot_m" in self.stored and bool({"slot_v", "slot_u"} & self.stored)


@dataclass(frozen=True)
class RecordedOptimizer:
    """One optimizer as the live object was."""

    record: Mapping[str, Any]
    variables: tuple[RecordedVariable, ...]
    has_applied_gradient: bool = True
    """Whether `grad` is the very array that was applied, rather than computed once more beside `train_on_batch`."""

    def option(self, *names: str) -> Any:
        """A setting of its configuration, the innermost's."""
        config = self.record["config"] or {}
        for wrapper in ("inner_optimizer", "optimizer"):
            if isinstance(config.get(wrapper), dict):
                config = config[wrapper].get("config", config)
        return next((config[n] for n in names if config.get(n) is not None), None)

    @property
    def has_slots(self) -> bool:
        """Whether the file holds a slot of any kind, and an update was made."""
        slots = [w for v in self.variables for w in v.stored if w.startswith("slot_")]
        return bool(slots) and any("before" in v.arrays for v in self.variables)

    @property
    def flavor(self) -> str:
        return str(self.record["inner_flavor"])

    @property
    def rule(self) -> str | None:
        """The true rule; None for what is no Adam."""
        rule = TRUE_RULES.get(self.record["inner_cls"].lower().removesuffix("optimizer")) or self._rule_of_class
        has_maximum = any("slot_vhat" in v.arrays for v in self.variables)
        return "amsgrad" if rule in ("adam", "adamw") and self.option("amsgrad") and has_maximum else rule

    @property
    def _rule_of_class(self) -> str | None:
        known = optimizer_of_class(self.record["inner_cls"])
        return known.name if known is not None and known.has_moment_pair else None

    @property
    def step(self) -> int:
        """The exponent that the last update used."""
        raw, every = self.record["iterations"], self.option("gradient_accumulation_steps")
        if self.record.get("t_used_last"):
            return int(self.record["t_used_last"])
        return int(raw // every if every else raw)

    @property
    def saved_steps(self) -> tuple[int, ...]:
        """What can rightly be called its step: graphs of Keras 2.2 and 2.3 race, and the last update may have used one
        more than the counter says."""
        is_race = "race" in (self.record.get("t_used_last_source") or "")
        return (self.step, self.record["iterations"]) if is_race else (self.step,)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The true ones, of the last update."""
        is_tf1 = self.flavor in ("tf1", "bert")
        found = {
            "learning_rate": self.record["lr_used_last"],
            "beta_1": self.option("beta_1", "_beta1"),
            "beta_2": self.option("beta_2", "_beta2"),
            "epsilon": self.option("epsilon", "_epsilon"),
            "weight_decay": self.option("weight_decay", "_weight_decay", "weight_decay_rate"),
        }
        rule = find_rule(self.rule or "")
        found |= {h.name: self.option(h.name) for h in (rule.hyperparameters if rule else ()) if h.name not in found}
        found = {name: value for name, value in found.items() if isinstance(value, (bool, int, float))}
        defaults = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8} if is_tf1 else {"epsilon": 1e-7}
        return {k: float(v) for k, v in {**defaults, **{k: v for k, v in found.items() if v is not None}}.items()}

    @property
    def rates(self) -> list[float]:
        """All that can rightly be called its learning rate in the file: the last, the next, the undecayed one."""
        scalars = self.record.get("scalars") or {}
        rates = [self.record["lr_used_last"], self.record.get("lr_next")]
        rates += [v for k, v in scalars.items() if k.endswith("learning_rate")]
        if len(self.saved_steps) > 1:  # the graph raced, and the rate's decay with it
            rates.append(
                self.option("learning_rate", "lr") / (1 + (self.option("decay") or 0) * (self.saved_steps[1] - 1))
            )
        return [float(r) for r in rates if isinstance(r, (int, float))]


@dataclass(frozen=True)
class RecordedCase:
    """One checkpoint and its record."""

    name: str
    path: Path
    optimizers: tuple[RecordedOptimizer, ...]

    def faults(self) -> list[str]:
        """Everything that the package says of this checkpoint and the record denies."""
        with open_checkpoint(self.path) as checkpoint:
            every = optimizer_states(checkpoint)
            states = [s for s in every if s.is_adam and s.parameters]
            found: list[str] = []
            live = [o for o in self.optimizers if o.rule and any(v.has_moments for v in o.variables)]
            others = [o for o in self.optimizers if o not in live and o.has_slots]
            claimed = [s for s in states if not s.rule_source.is_assumed] if others else states
            if len(claimed) > len(live):
                found.append(f"{len(claimed)} optimizers of Adam's family, the record has {len(live)}")
            for optimizer in others:
                found += other_faults(checkpoint, every, optimizer)
            for optimizer in live:
                state = max(states, key=lambda s: len(_pairing(s, optimizer)), default=None)
                if state is None or not _pairing(state, optimizer):
                    found.append("no state with the recorded moments")
                    continue
                found += _state_faults(state, optimizer)
                found += _honesty_faults(state, optimizer)
                given = {**optimizer.hyperparameters, "step": optimizer.step, "rule": optimizer.rule}
                again = optimizer_states(checkpoint, given, optimizer=state.name)
                found += _exactness_faults(next(s for s in again if s.name == state.name), optimizer)
            return found


@lru_cache
def recorded_case(name: str) -> RecordedCase:
    """The case of that name."""
    (case,) = cases_in(FIXTURES / name)
    return case


def cases_in(folder: Path) -> Iterator[RecordedCase]:
    """Every recorded checkpoint of a folder, as `record_cases.py` or `keep_cases.py` leave it."""
    truth = json.loads((folder / "truth.json").read_text())
    with np.load(folder / "truth.npz") as npz:
        arrays = {key: npz[key] for key in npz.files}
    for checkpoint in truth["checkpoints"]:
        tag = checkpoint["tag"]
        keymap = truth.get("keymap") or json.loads((folder / "keymap.json").read_text())["keymap"].get(tag, {})
        own = {key.removeprefix(f"{tag}/"): a for key, a in arrays.items() if key.startswith(f"{tag}/")}
        optimizers = tuple(
            RecordedOptimizer(
                o, tuple(_variables(o, own, keymap.get(label, {}))), truth["format"].startswith("tf.train.")
            )
            for label, o in checkpoint["optimizers"].items()
        )
        yield RecordedCase(folder.name, folder / checkpoint["path"], optimizers)


def _variables(
    optimizer: Mapping[str, Any], arrays: Mapping[str, Any], keymap: Mapping[str, Any]
) -> Iterator[RecordedVariable]:
    for entry in optimizer["variables"]:
        prefix = entry["npz_prefix"] + "/"
        own = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
        own.setdefault("value", own.get("after"))
        label = f"{entry['index']} {entry.get('path') or entry['name']} | "
        stored = frozenset(k.removeprefix(label) for k, found in keymap.items() if k.startswith(label) and found)
        names = frozenset(re.sub(r":0$", "", n) for n in (entry["name"], entry.get("path")) if n)
        yield RecordedVariable(names, entry["dtype"].replace("_ref", ""), entry.get("slice"), own, stored)


def _same(got: Any, want: Any) -> bool:
    return (
        got is not None and np.shape(got) == np.shape(want) and np.array_equal(_wide(got), _wide(want), equal_nan=True)
    )


def _wide(array: Any) -> Any:
    return np.asarray(array).astype(np.float64)


def _pairing(state: OptimizerState, optimizer: RecordedOptimizer) -> dict[int, Parameter]:
    """For each recorded variable the parameter that has its moments and, where they are stored, its weights."""
    found = {}
    for i, variable in enumerate(optimizer.variables):
        for parameter in state.parameters.values():
            is_whole = parameter.shape == np.shape(variable.arrays["slot_m"]) if "slot_m" in variable.arrays else False
            if not (is_whole or variable.slice) or not variable.has_moments:
                continue
            reads = [("slot_m", parameter.first_moment)]
            reads.append(("slot_v" if "slot_v" in variable.arrays else "slot_u", parameter.second_moment))
            reads += [("value", parameter.value)] if "value" in variable.stored else []
            reads += [("slot_vhat", parameter.max_second_moment)] if optimizer.rule == "amsgrad" else []
            if all(_same(variable.part(read()), variable.arrays[what]) for what, read in reads):
                found[i] = parameter
                break
    return found


def _state_faults(state: OptimizerState, optimizer: RecordedOptimizer) -> list[str]:
    pairing = _pairing(state, optimizer)
    faults = [
        f"{sorted(v.names)}: no parameter has its moments and its weights"
        for i, v in enumerate(optimizer.variables)
        if v.has_moments and i not in pairing
    ]
    for i, parameter in pairing.items():
        others = {n for j, v in enumerate(optimizer.variables) if j != i for n in v.names}
        if parameter.name in others - optimizer.variables[i].names:
            faults.append(f"{sorted(optimizer.variables[i].names)} is reported as {parameter.name!r}")
    wholes = {str(v.slice["full_name"]) if v.slice else i for i, v in enumerate(optimizer.variables)}
    if len(state.parameters) > len(wholes):
        faults.append(f"{len(state.parameters)} parameters, the record has {len(wholes)}")
    return faults


def _honesty_faults(state: OptimizerState, optimizer: RecordedOptimizer) -> list[str]:
    faults = []
    if state.step.value not in optimizer.saved_steps:
        faults.append(f"step {state.step.value} from {state.step.source}, the record says {optimizer.step}")
    alternatives = [optimizer.rule, "adam"] if state.rule_source.source == "default" else [optimizer.rule]
    if state.rule_source.source == "default" and f"{optimizer.rule}" in state.rule_source.where:
        alternatives.append(state.rule)  # said to be the usual reading, and the true one named beside it
    if optimizer.option("weight_decay") and optimizer.rule == "adam":
        alternatives.append("adamw")
    if state.rule not in alternatives:
        faults.append(f"rule {state.rule} from {state.rule_source.source}, the record says {optimizer.rule}")
    for name, want in optimizer.hyperparameters.items():
        if name not in state.hyperparameters and state.rule != optimizer.rule:
            continue  # of the true rule alone
        got = state.hyperparameters[name]
        wants = optimizer.rates if name == "learning_rate" else [want]
        is_right = got.value is not None and any(abs(got.value - w) <= 2e-6 * abs(w) + 1e-12 for w in wants)
        if got.source not in ASSUMED and not is_right:
            faults.append(f"{name} {got.value} from {got.source}, the record says {want}")
    return faults


def _exactness_faults(state: OptimizerState, optimizer: RecordedOptimizer) -> list[str]:
    faults = []
    every = optimizer.option("gradient_accumulation_steps")
    is_between = bool(every) and optimizer.record["iterations"] % every != 0
    for i, parameter in _pairing(state, optimizer).items():
        variable = optimizer.variables[i]
        want = _expected_effective_lr(optimizer, variable)
        if want is not None:
            got = parameter.effective_lr()
            tolerance = 2e-2 if variable.dtype == "float16" else 1e-4
            if got is None or not np.allclose(_wide(variable.part(got)), want, rtol=tolerance, atol=0):
                faults.append(f"{parameter.name}: effective_lr() is not the formula's")
        if not is_between and _has_determined_update(optimizer, variable):
            excess = _excess(parameter.last_update(), variable, optimizer.rule)
            if not excess <= 1:
                faults.append(f"{parameter.name}: last_update() is off by {excess:.1e} of what rounding explains")
    return faults


# ------------------------------------------------------------------------------- optimizers beside Adam's family


def other_faults(
    checkpoint: Checkpoint, states: Sequence[OptimizerState], optimizer: RecordedOptimizer
) -> Iterator[str]:
    """What is wrong with an optimizer without a pair of moments as Adam's, or of a class that no rule is known of."""
    state = max(states, key=lambda s: len(_owners(checkpoint, s, optimizer)), default=None)
    owners = {} if state is None else _owners(checkpoint, state, optimizer)
    if state is None or not owners:
        yield f"no state with the recorded slots; found {[(s.name, s.rule, s.absence) for s in states]}"
        return
    for i, variable in enumerate(optimizer.variables):
        if any(w.startswith("slot_") for w in variable.stored) and i not in owners:
            yield f"{sorted(variable.names)}: no parameter has its slots and its weights"
    for i, parameter in owners.items():
        others = {n for j, v in enumerate(optimizer.variables) if j != i for n in v.names}
        if parameter.name in others - optimizer.variables[i].names:
            yield f"{sorted(optimizer.variables[i].names)} is reported as {parameter.name!r}"
    if state.step.value not in (None, *optimizer.saved_steps):
        yield f"step {state.step.value} from {state.step.source}, the record says {optimizer.step}"
    known = optimizer_of_class(optimizer.record["inner_cls"])
    true = known.name if known is not None else normal_name(optimizer.record["inner_cls"])
    if not state.rule_source.is_assumed and state.rule not in (true, "unknown", f"{true}w"):
        yield f"rule {state.rule} from {state.rule_source.source}, the record says {true}"
    if known is not None and state.rule in (true, "unknown"):
        yield from _setting_faults(state, optimizer, known.hyperparameters)
    rule = find_rule(true)
    has_pairs = any({"slot_m", "slot_v"} <= v.stored for v in optimizer.variables)
    if has_pairs and state.rule_source.is_assumed:
        return  # nothing in the file names the class: pairs are Adam's by habit, and that is said
    if rule is not None:
        yield from _witnessed_faults(checkpoint, state, optimizer, rule)
    elif known is not None or state.rule not in ("adam", "amsgrad", "adamw"):
        yield from (
            f"{p.name}: an effective rate of {state.rule}" for p in owners.values() if p.effective_lr() is not None
        )


def _owners(checkpoint: Checkpoint, state: OptimizerState, optimizer: RecordedOptimizer) -> dict[int, Parameter]:
    """For each recorded variable the parameter that has all of its slots that are in the file, and its weights."""
    found = {}
    for i, variable in enumerate(optimizer.variables):
        slots = [w for w in variable.stored if w.startswith("slot_")]
        for parameter in state.parameters.values():
            held = [checkpoint.read(key) for key in parameter.found.slots.values()]
            has_all = all(any(_same(variable.part(h), variable.arrays[w]) for h in held) for w in slots)
            value = parameter.value() if has_all and slots else None
            is_its = (
                value is None or "value" not in variable.stored or _same(variable.part(value), variable.arrays["value"])
            )
            if slots and has_all and is_its and parameter not in found.values():
                found[i] = parameter
                break
    return found


SPELLED = {"rho": ("rho", "_decay"), "momentum": ("momentum", "_momentum"), "learning_rate": ()}
"""What hyperparameters are called in the record's configuration, where that isn't our name."""


def _true_settings(optimizer: RecordedOptimizer, hyperparameters: Sequence[Hyperparameter]) -> dict[str, float]:
    found = {h.name: optimizer.option(*SPELLED.get(h.name, (h.name, f"_{h.name}"))) for h in hyperparameters}
    found["learning_rate"] = optimizer.record["lr_used_last"]
    return {name: float(v) for name, v in found.items() if isinstance(v, (bool, int, float))}


def _setting_faults(
    state: OptimizerState, optimizer: RecordedOptimizer, hyperparameters: Sequence[Hyperparameter]
) -> Iterator[str]:
    for name, want in _true_settings(optimizer, hyperparameters).items():
        got = state.hyperparameters.get(name)
        wants = optimizer.rates if name == "learning_rate" else [want]
        if got is None or got.value is None or got.source in ASSUMED:
            continue
        if not any(abs(float(got.value) - w) <= 2e-6 * abs(w) + 1e-12 for w in wants):
            yield f"{name} {got.value} from {got.source}, the record says {want}"


def _witnessed_faults(
    checkpoint: Checkpoint, state: OptimizerState, optimizer: RecordedOptimizer, rule: UpdateRule
) -> Iterator[str]:
    """Hold E against what it did to the recorded gradient, and the last update against the real one."""
    step = optimizer.step or 1  # Keras 1 counts no update of RMSprop and Adagrad, whose E needs none
    settings = {**_true_settings(optimizer, rule.hyperparameters), "step": step, "rule": rule.name}
    given = {name: value for name, value in settings.items() if name != "centered"}
    states = optimizer_states(checkpoint, given, optimizer=state.name)
    state = next(s for s in states if s.name == state.name)
    momentum = settings.get("momentum", 0.0)
    every = optimizer.option("gradient_accumulation_steps")
    for i, parameter in _owners(checkpoint, state, optimizer).items():
        variable = optimizer.variables[i]
        arrays = variable.arrays
        effective = parameter.effective_lr()
        if effective is None:
            yield f"{parameter.name}: no effective rate: {parameter.reason('effective_lr')}"
            continue
        if momentum and "before" in arrays:
            update = parameter.last_update()
            if update is None and optimizer.flavor not in ("v2", "tf1"):  # these move rows alone
                yield f"{parameter.name}: no last update: {parameter.reason('last_update')}"
            is_lazy = np.shape(effective)[:1] == (EMBEDDING_ROWS,) and optimizer.flavor in ("v2", "tf1")
            if update is not None and not is_lazy and not (excess := _excess(update, variable, rule.name)) <= 1:
                yield f"{parameter.name}: last_update() is off by {excess:.1e} of what rounding explains"
        if "grad" not in arrays or every or "before" not in arrays:
            continue
        e, g = _wide(variable.part(effective)), _wide(arrays["grad"])
        if momentum and "prior_momentum" not in arrays:
            continue
        if momentum:
            moved, rows = _wide(arrays["slot_momentum"]) - momentum * _wide(arrays["prior_momentum"]), np.abs(g) > 0
        else:
            decay = settings["learning_rate"] * settings.get("weight_decay", 0.0) * _wide(arrays["before"])
            moved, rows = _wide(arrays["before"]) - _wide(arrays["after"]) - decay, np.ones(g.shape, bool)
        largest = max(np.max(np.abs(moved), initial=0), np.max(np.abs(_wide(arrays["before"])), initial=0) * 2e-3)
        off = np.max(np.abs(e * g - moved)[rows], initial=0) / largest
        tolerance = 3e-5 if optimizer.has_applied_gradient else 1e-3
        if not off <= (2e-4 if settings.get("centered") and optimizer.has_applied_gradient else tolerance):
            yield f"{parameter.name}: effective_lr() times the gradient is off by {off:.1e} of the real step"


def _expected_effective_lr(optimizer: RecordedOptimizer, variable: RecordedVariable) -> Any:
    """The formula in float64, from the record alone; None where there is no closed form."""
    h, t = optimizer.hyperparameters, optimizer.step
    if "learning_rate" not in h:
        return None
    second, c2 = _wide(variable.second), 1 - float(np.float32(h["beta_2"])) ** t
    if optimizer.flavor == "sonnet":  # Algorithm 1 of Kingma & Ba itself
        return h["learning_rate"] / (np.sqrt(second / c2) + h["epsilon"])
    if optimizer.rule in ("adam", "adamw", "lazyadam"):
        return h["learning_rate"] * np.sqrt(c2) / (np.sqrt(second) + h["epsilon"])
    if optimizer.rule == "amsgrad":
        return h["learning_rate"] * np.sqrt(c2) / (np.sqrt(_wide(variable.arrays["slot_vhat"])) + h["epsilon"])
    if optimizer.rule == "bert-adamw":
        return h["learning_rate"] / (np.sqrt(second) + h["epsilon"])
    if optimizer.rule == "adamax":
        return h["learning_rate"] / (second + h["epsilon"])
    if optimizer.rule == "nadam" and optimizer.flavor != "tf1":
        return h["learning_rate"] / (np.sqrt(second / c2) + h["epsilon"])
    return None


def _has_determined_update(optimizer: RecordedOptimizer, variable: RecordedVariable) -> bool:
    """Whether the file determines the last change, without the gradient, the rows of the last batch or lists of
    exclusions."""
    is_embedding = np.shape(variable.arrays["slot_m"])[:1] == (EMBEDDING_ROWS,)
    rule = find_rule(optimizer.rule or "")
    is_lazy_rule = optimizer.rule in LAZY or (rule is not None and rule.is_lazy)
    is_lazy = is_embedding and is_lazy_rule and optimizer.flavor in ("v2", "tf1")
    has_exclusions = optimizer.rule in ("lamb", "bert-adamw") or (optimizer.rule, optimizer.flavor) == ("adamw", "tf1")
    excludes = has_exclusions and bool(optimizer.hyperparameters.get("weight_decay"))
    has_schedule = isinstance(optimizer.option("weight_decay"), dict)  # of which no tensor is saved
    if "learning_rate" not in optimizer.hyperparameters or has_schedule:
        return False
    return "before" in variable.arrays and optimizer.rule != "nadam" and not is_lazy and not excludes


def _excess(update: Any, variable: RecordedVariable, rule: str | None) -> float:
    """The worst miss of the real change, in units of the tolerance: 2e-5 of the largest change (1e-6 for float64; RAdam
    cancels, 2e-3) and two units in the last place of the weights."""
    if update is None:
        return np.inf
    before, after = _wide(variable.arrays["before"]), _wide(variable.arrays["after"])
    got, change = _wide(variable.part(update)), after - before
    if got.shape != change.shape:
        return np.inf
    relative = 2e-3 if rule == "radam" else 1e-6 if variable.dtype == "float64" else 2e-5
    kind = np.dtype(variable.dtype).type
    ulp = np.maximum(*(np.spacing(np.maximum(abs(w), np.finfo(kind).tiny).astype(kind)) for w in (before, after)))
    limit = relative * np.max(abs(change), initial=0) + 2 * ulp.astype(np.float64)
    return float(np.max(abs(got - change) / limit, initial=0))


def first_fault(names: Sequence[str] = CASES) -> str | None:
    """The first fault of any of the cases; None where there is none."""
    for name in names:
        for fault in recorded_case(name).faults():
            return f"{name}: {fault}"
    return None
