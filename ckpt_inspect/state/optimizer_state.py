"""An optimizer's state in one checkpoint, with every number resolved: where layouts meet update rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace

import numpy as np

from ckpt_inspect.checkpoint import Array, Checkpoint, Problem, numpy_dtype
from ckpt_inspect.errors import NotDetermined, NotFoundError, RequestError
from ckpt_inspect.layouts import find_optimizers
from ckpt_inspect.layouts.found import Counted, FoundOptimizer, FoundParameter
from ckpt_inspect.layouts.optimizer_classes import AVERAGE_SLOTS, AVERAGED_WEIGHTS
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.averages import averages_in_place
from ckpt_inspect.state.counting import counts_gradients
from ckpt_inspect.state.exclusions import Exclusions, unsaved
from ckpt_inspect.state.given import Given, check_given
from ckpt_inspect.state.hyperparameters import HYPERPARAMETERS
from ckpt_inspect.state.inferred import Inferred, InferredValues, with_inferred
from ckpt_inspect.state.rate_tables import decode_rate_table, rate_at
from ckpt_inspect.state.resolution import Resolved, resolve
from ckpt_inspect.state.rows import open_rows, with_rows
from ckpt_inspect.update_rules import (
    STATE_SLOTS,
    Settings,
    State,
    UpdateRule,
    find_optimizer,
    find_rule,
    has_moment_pair,
)


@dataclass(frozen=True, slots=True, repr=False)
class Parameter:
    """One trained variable with its optimizer's slots. Each method reads from the file anew, and returns a whole
    array."""

    name: str
    """The variable's own name if the file has it; unique within its optimizer."""
    shape: tuple[int, ...]
    dtype: str
    """Of the optimizer's slots: numpy's or ml_dtypes' name."""
    found: FoundParameter
    """Keys of its tensors."""
    checkpoint: Checkpoint
    update_rule: UpdateRule | None
    settings: Settings
    """This parameter's: weight decay is 0 if the implementation excludes it."""
    open_reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a quantity isn't known of this parameter alone, by `effective_lr` and `last_update`."""

    def key(self, array: str) -> str | None:
        """Return the key of the tensor behind a field of `State`; None if the file has none."""
        if array == "value":
            return self.found.value
        slots = self.found.slots
        for slot in STATE_SLOTS[array]:
            if slot in slots:
                return slots[slot]
        rule = self.update_rule
        more = () if rule is None else rule.slots_in(self.settings.implementation).get(array, ())
        return next((slots[slot] for slot in more if slot in slots), None)

    def value(self) -> Array | None:
        """Return the weights, in the file's shape and dtype; None if they aren't in the file, or aren't known to be
        this one's."""
        return self._read("value")

    def first_moment(self) -> Array | None:
        """Return m, uncorrected; None if the optimizer keeps none."""
        return self._read("first_moment")

    def second_moment(self) -> Array | None:
        """Return v, uncorrected (Adamax: the infinity norm u); None if the optimizer keeps none."""
        return self._read("second_moment")

    def max_second_moment(self) -> Array | None:
        """Return AMSGrad's maximum of v; None for other rules."""
        return self._read("max_second_moment")

    def state(self) -> State:
        """Return all arrays at once."""
        return State(
            self.value(),
            self.first_moment(),
            self.second_moment(),
            self.max_second_moment(),
            self._read("mean_gradient"),
        )

    def effective_lr(self) -> Array | None:
        """Return E (see `UpdateRule.effective_lr`); None if it is not defined or not determined: `reason` says why."""
        if self.reason("effective_lr") is not None or self.update_rule is None:
            return None
        return self.update_rule.effective_lr(self.state(), self.settings)

    def last_update(self) -> Array | None:
        """Return Δ (see `UpdateRule.last_update`); None if it is not defined or not determined: `reason` says why.

        A variable that had no gradient in the last update did not move, which no file shows; Δ takes it to have had
        one. Of a table of embeddings, Δ is None where rows alone moved.
        """
        if self.reason("last_update") is not None or self.update_rule is None:
            return None
        return self.update_rule.last_update(self.state(), self.settings)

    def reason(self, quantity: str) -> str | None:
        """Return why `effective_lr`, `last_update` or one of the arrays gives None; None if it gives an array. Reads
        nothing. Raises RequestError for any other name."""
        if quantity == "value" and self.found.value is None:
            return "no weights in the file are known to be this variable's"
        if quantity in (arrays := ("value", *STATE_SLOTS)):
            return None if self.key(quantity) is not None else f"the {quantity.replace('_', ' ')} is not in the file"
        if quantity not in (figures := ("effective_lr", "last_update")):
            raise RequestError(f"there is no {quantity!r} of a parameter: ask for {', '.join((*figures, *arrays))}")
        if self.update_rule is None:
            return "this package has no formula for this optimizer's update"
        if quantity in self.open_reasons:
            return self.open_reasons[quantity]
        if quantity == "last_update" and self.settings.weight_decay is None:
            return "the weight decay is not known: give it"
        empty = np.empty(0, numpy_dtype(self.dtype))
        state = State(**{a: empty if self.key(a) is not None else None for a in arrays})
        try:
            getattr(self.update_rule, quantity)(state, self.settings)
        except NotDetermined as reason:
            return str(reason)
        return None

    def __repr__(self) -> str:
        arrays = [array for array in ("value", *STATE_SLOTS) if self.key(array) is not None]
        return f"<ckpt_inspect.Parameter {self.name!r} {self.dtype} {self.shape}: {', '.join(arrays) or 'no arrays'}>"

    def _read(self, array: str) -> Array | None:
        key = self.key(array)
        return None if key is None else self.checkpoint.read(key)


@dataclass(frozen=True, slots=True, repr=False)
class OptimizerState:
    """One optimizer in one checkpoint."""

    name: str
    """Unique in the checkpoint, the same in every checkpoint of a run."""
    rule: str
    """Name of the update rule, or of the other optimizer that this is (`sgd`, `lion`, ..)."""
    rule_source: Sourced[str]
    """Its value is `rule`; source `default` if it is merely the usual reading of such a layout."""
    layout: str
    family: str
    """Whose implementation: its id in `update_rules.IMPLEMENTATIONS`."""
    step: Sourced[int]
    """t, the exponent of the bias correction in the last update."""
    hyperparameters: Mapping[str, Sourced[float]]
    parameters: Mapping[str, Parameter]
    update_rule: UpdateRule | None
    """None for an optimizer that is named but whose formula isn't here."""
    settings: Settings
    raw_step: int | None
    """What the counter holds; None if there is no counter."""
    counted: Counted
    """What the counter counts, as the layout reads it."""
    counts_gradients: bool
    """Whether `step` counts gradients of which several make an update, as it does in Keras 3.0 to 3.4."""
    moves_by_itself: bool
    """Whether something else than the update may have set the weights: averages, Lookahead."""
    keys: tuple[str, ...]
    """Keys of its own scalars: counter, beta powers, hyperparameters."""
    counters: tuple[str, ...]
    """Keys of what counts its updates: one counter, or TF1's powers of beta (of several pairs that it can be, all)."""
    has_scheduled_rate: bool
    """Whether its learning rate follows the step by itself, as the file shows: a schedule, or a `decay`."""
    absence: str | None
    """Why there are no moments; None if there are."""
    problems: tuple[Problem, ...]

    @property
    def is_adam(self) -> bool:
        """Return whether the rule is of Adam's family."""
        return has_moment_pair(self.rule)

    def __repr__(self) -> str:
        values = [f"{name} = {value.value} ({value.source})" for name, value in self.hyperparameters.items()]
        names = list(self.parameters)
        ends = f": {names[0]!r} .. {names[-1]!r}" if len(names) > 1 else f": {names[0]!r}" if names else ""
        return "\n".join(
            [
                f"<ckpt_inspect.OptimizerState {self.name!r} ({self.rule}, {self.layout})>",
                f"step = {self.step.value} ({self.step.source})",
                *values,
                f"{len(names)} parameters{ends}",
            ]
        )


def optimizer_states(
    checkpoint: Checkpoint,
    given: Given | None = None,
    optimizer: str | None = None,
    inferred: Inferred | None = None,
    find: Callable[[Checkpoint], tuple[FoundOptimizer, ...]] | None = None,
) -> tuple[OptimizerState, ...]:
    """Return every optimizer in the checkpoint, by the order in which the file lists them; none if it holds weights
    alone.

    `given` overrides what the file says (the rule's hyperparameters by name, `step`, `rule`, and `epsilon_placement`:
    `implementation` or `textbook`), for the optimizer of that name or for all;
    `{"generator.beta_1": 0.5}` gives it for one of several. `inferred`, what other checkpoints of the run tell, stands
    in for what the file leaves to a default, or open. `find` may remember what it found before. Reads metadata and
    scalars only. Raises RequestError for a value that can't be given, NotFoundError for an optimizer that isn't there.
    """
    given = dict(given or {})
    found = (find or find_optimizers)(checkpoint)
    given_to: dict[str, dict[str, float | int | str]] = {}
    for target, value in given.items():
        owner, dot, name = target.rpartition(".")
        given_to.setdefault(owner if dot else "", {})[name] = value
    for values in given_to.values():
        check_given(values, str(checkpoint.path))
    for owner in (*given_to, optimizer or ""):
        if owner and owner not in [f.name for f in found]:
            names = ", ".join(repr(f.name) for f in found) or "none"
            raise NotFoundError(f"{checkpoint.path}: holds no optimizer {owner!r}; it holds {names}")
    for_all = given_to.get("", {})
    return tuple(
        _state(
            checkpoint,
            f,
            (for_all if optimizer in (None, f.name) else {}) | given_to.get(f.name, {}),
            (inferred or {}).get(f.name, {}),
        )
        for f in found
    )


def _state(checkpoint: Checkpoint, found: FoundOptimizer, given: Given, inferred: InferredValues) -> OptimizerState:
    resolved = with_inferred(_resolved(checkpoint, found, given), inferred)
    values = {n: None if s.value is None else float(s.value) for n, s in resolved.hyperparameters.items()}
    rule_name = resolved.rule.value or ""
    rule = find_rule(rule_name)
    settings = Settings(
        implementation=found.implementation,
        step=resolved.step.value,
        learning_rate=values.get("learning_rate"),
        beta_1=values.get("beta_1"),
        beta_2=values.get("beta_2"),
        epsilon=values.get("epsilon"),
        weight_decay=values.get("weight_decay", 0.0),
        is_converged=resolved.is_converged,
        has_textbook_epsilon=resolved.has_textbook_epsilon,
        others={n: v for n, v in values.items() if n not in HYPERPARAMETERS and v is not None},
    )
    exclusions = Exclusions.of(found.config)
    found_parameters = found.parameters
    if found.has_numbered_slots and "rule" in given and rule is not None:
        found_parameters = tuple(_named_by(rule, p) for p in found.parameters)
    parameters = {
        p.name: Parameter(
            p.name, p.shape, p.dtype, p, checkpoint, rule, *_settings_of(p, settings, rule, exclusions, found)
        )
        for p in found_parameters
    }
    if "rule" in given and rule is not None:
        _check_arrays(rule, tuple(parameters.values()), f"{checkpoint.path}: {found.name}")
    decay = resolved.hyperparameters.get("weight_decay")
    averaged = averages_in_place(checkpoint, found, resolved.step.value)
    return OptimizerState(
        name=found.name,
        rule=rule_name,
        rule_source=resolved.rule,
        layout=found.layout,
        family=found.implementation.id,
        step=resolved.step,
        hyperparameters=resolved.hyperparameters,
        parameters=parameters,
        update_rule=rule,
        settings=settings,
        raw_step=resolved.raw_step,
        counted=found.counted,
        counts_gradients=counts_gradients(found, resolved.raw_step, resolved.step.value),
        moves_by_itself=averaged is not None or _moves_by_itself(found),
        counters=_counters(found),
        has_scheduled_rate=resolved.has_scheduled_rate,
        keys=tuple(k for k in (found.counter, *found.beta_powers.own.keys, *found.scalars.values()) if k is not None),
        absence=_absence(found, resolved.step, rule_name),
        problems=(
            *found.problems,
            *resolved.problems,
            *(() if averaged is None else (averaged,)),
            *exclusions.problems(found.config_where),
            *(unsaved(rule, settings, decay, found.config, found.name) if rule is not None and parameters else ()),
            *(open_rows(rule, {n: p.settings for n, p in parameters.items()}, found.name) if rule is not None else ()),
        ),
    )


_NO_REASONS: Mapping[str, str] = {}


def _settings_of(
    parameter: FoundParameter,
    settings: Settings,
    rule: UpdateRule | None,
    exclusions: Exclusions,
    found: FoundOptimizer,
) -> tuple[Settings, Mapping[str, str]]:
    """Return the settings of one parameter, and why quantities of it alone are open. Most share the optimizer's."""
    if rule is None:
        return settings, _NO_REASONS
    own = exclusions.applied(settings, rule, parameter.name) if exclusions.patterns else settings
    if settings.weight_decay and not rule.is_decayed(parameter.name, found.implementation):
        own = replace(own, weight_decay=0.0)
    own = with_rows(own, rule, parameter)
    if not exclusions.patterns:
        return own, _NO_REASONS
    reasons = {
        quantity: reason
        for quantity in ("effective_lr", "last_update")
        if (reason := exclusions.open_for(rule, parameter.name, quantity, found.config_where)) is not None
    }
    return own, reasons


def _check_arrays(rule: UpdateRule, parameters: Sequence[Parameter], where: str) -> None:
    """Raise RequestError, which names `where`, for a rule that divides by what the file keeps for no parameter."""
    stepped = [p for p in parameters if p.key("second_moment") is not None]
    if rule.has_maximum and stepped and all(p.key("max_second_moment") is None for p in stepped):
        raise RequestError(
            f"{where}: can't be read as {rule.title}, as was asked for: that divides by the maximum of the second "
            "moment, which is not in the file; give another rule, or none"
        )


def _named_by(rule: UpdateRule, parameter: FoundParameter) -> FoundParameter:
    """Return the parameter with its numbered slots named as a rule that is given names them."""
    names = rule.slots_in_order(len(parameter.slots))
    return replace(parameter, slots=dict(zip(names, parameter.slots.values(), strict=True))) if names else parameter


def _counters(found: FoundOptimizer) -> tuple[str, ...]:
    powers = (found.beta_powers.own, *found.beta_powers.rivals)
    keys = (found.counter, *(key for pair in powers for key in pair.keys))
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def _resolved(checkpoint: Checkpoint, found: FoundOptimizer, given: Given) -> Resolved:
    """What `resolve` gives; of a table of learning rates the one of this checkpoint's step."""
    table = given.get("learning_rate")
    if not isinstance(table, str):
        return resolve(checkpoint, found, given)
    others = {name: value for name, value in given.items() if name != "learning_rate"}
    without = resolve(checkpoint, found, others)
    step = without.step.value
    rate = None if step is None else rate_at(decode_rate_table(table, str(checkpoint.path)), step)
    if rate is None:
        told = "its step is not known" if step is None else f"the table has no line for its step, {step}"
        problem = Problem(
            "rate-not-in-table",
            f"{checkpoint.path}: {found.name}: the table of learning rates doesn't cover this checkpoint: {told}",
            "the file's own learning rate is used, if it has one; add the step to the table",
        )
        return without._replace(problems=(*without.problems, problem))
    resolved = resolve(checkpoint, found, {**others, "learning_rate": rate})
    of_step = Sourced(rate, "given", f"given by the caller, in a table, for step {step}")
    return resolved._replace(hyperparameters={**resolved.hyperparameters, "learning_rate": of_step})


def _moves_by_itself(found: FoundOptimizer) -> bool:
    """Whether something else than the update may have set the weights that were saved: an average that is kept beside
    them, unless the configuration says that it never overwrites them."""
    config = found.config or {}
    if config.get("use_ema") is True:
        return config.get("ema_overwrite_frequency") is not None
    has_averages = any(AVERAGE_SLOTS & parameter.slots.keys() for parameter in found.parameters)
    return has_averages or any(problem.code == AVERAGED_WEIGHTS for problem in found.problems)


def _absence(found: FoundOptimizer, step: Sourced[int], rule: str) -> str | None:
    if found.absence is not None and not found.parameters:
        return found.absence
    if find_optimizer(rule) is None:
        return _unknown_kind(found, step, rule)
    if find_rule(rule) is not None and found.parameters:
        return None
    if not has_moment_pair(rule) and (paired := _paired(found)):
        return (
            f"the optimizer is {rule}, whose formula this package doesn't have; {paired} of {len(found.parameters)} "
            "variables have a first and a second moment as Adam's do"
        )
    if find_rule(rule) is None:
        slots = ", ".join(dict.fromkeys(slot for p in found.parameters for slot in p.slots))
        count = len(found.parameters)
        kept = f"slots {slots} for {count} variable{'s' * (count != 1)}" if slots else "the file has none of its slots"
        return f"the optimizer is {rule}, for whose update this package has no formula: {kept}"
    if not found.parameters:
        return "the optimizer was saved without its moments (before its first update, or without the model's variables)"
    return None


def _paired(found: FoundOptimizer) -> int:
    """Return how many variables have a first and a second moment."""
    return sum({"first_moment", "second_moment"} <= p.slots.keys() for p in found.parameters)


def _unknown_kind(found: FoundOptimizer, step: Sourced[int], rule: str) -> str:
    """Say what the file holds of an optimizer that this package doesn't know."""
    if found.parameters:
        slots = ", ".join(dict.fromkeys(slot for p in found.parameters for slot in p.slots))
        count = sum(bool(p.slots) for p in found.parameters)
        held = f"slots {slots} for {count} variable{'' if count == 1 else 's'}"
        advice = "; if it computes as a rule that is known does, name that with --rule"
    elif step.value == 0:
        return "the optimizer was saved before its first update: it has no slots yet"
    else:
        held, advice = "no slot variables", ""
    who = "" if rule == "unknown" else f" ({rule})"
    return f"optimizer state of a kind that is not known{who}: {held}{advice}"
