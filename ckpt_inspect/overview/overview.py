"""What one checkpoint is, for someone who has never seen it: what is known, from where, and what is assumed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import DamagedFileError, NotFoundError
from ckpt_inspect.formats.keras_files import ONE_SHARD
from ckpt_inspect.layouts import suspects, weight_names
from ckpt_inspect.measurement.wording import counted
from ckpt_inspect.overview.tensors import TENSOR_UNREADABLE, ShownTensor, shown_tensors
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states
from ckpt_inspect.state.selection import Selection

if TYPE_CHECKING:
    from ckpt_inspect.checkpoint import Progress
    from ckpt_inspect.comparison.together import Told

UNREADABLE = "a checkpoint whose values can't be read here: what its metadata lists can be shown"
"""What a checkpoint is for which a library is missing."""
DAMAGED = "a damaged checkpoint: what its index lists can be shown"
"""What a checkpoint is whose values can't be read."""
STATE_UNREADABLE = "state-unreadable"
_NOT_THERE = ("missing-shard", "truncated-shard", "missing-datasets")
"""Codes of the Problems of formats by which values are not there, whoever's they are."""
"""Code of the Problem of a checkpoint whose index can be read and whose values can't."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk, and what they hold."""

    weights: int
    """Values of the parameters that the optimizers update."""
    first_moments: int
    second_moments: int
    """AMSGrad's maxima and Adamax' norms included."""
    other_tensors: int
    """Everything else: frozen weights, statistics, averages, counters; all tensors if there is no optimizer."""
    files: int
    """All files of the checkpoint as they lie on disk: with index, graph and configuration, compressed or not."""


@dataclass(frozen=True, slots=True)
class ShownParameter:
    """One row of the parameters' table."""

    optimizer: str
    """Empty for a tensor that no optimizer knows."""
    name: str
    shape: tuple[int, ...]
    dtype: str
    slots: tuple[str, ...]
    """Slot variables in the file, by our names (`first_moment`, ..)."""


@dataclass(frozen=True, slots=True)
class ShownOptimizer:
    """One optimizer, with the source of everything that was resolved."""

    name: str
    layout: str
    rule: Sourced[str]
    """What the update formula is, and whether that was read."""
    step: Sourced[int]
    hyperparameters: Mapping[str, Sourced[float]]
    parameters: int
    """How many there are, before any selection."""
    description: str
    """What its state is good for, in one sentence."""
    contradictions: Mapping[str, str] = field(default_factory=dict)
    """By hyperparameter: why its value can't be right, as another checkpoint of the run shows."""


@dataclass(frozen=True, slots=True, repr=False)
class Overview:
    """What `show` shows."""

    path: str
    format: str
    files: tuple[str, ...]
    sizes: Sizes
    optimizers: tuple[ShownOptimizer, ...]
    parameters: tuple[ShownParameter, ...]
    tensors: int
    """How many tensors the file lists in all."""
    description: str
    """What the checkpoint is, in one sentence."""
    problems: tuple[Problem, ...]
    listed: tuple[ShownTensor, ...] = ()
    """Every tensor with its figures, if that was asked for."""

    @property
    def is_damaged(self) -> bool:
        """Return whether values of it can't be read."""
        return any(p.code in (STATE_UNREADABLE, TENSOR_UNREADABLE, *_NOT_THERE) for p in self.problems)

    def __repr__(self) -> str:
        where = f"{self.format}, {counted(self.tensors, 'tensor')} in {counted(len(self.files), 'file')}"
        return f"<ckpt_inspect.Overview of {self.path!r}: {where}; {self.description}>"


def overview(
    checkpoint: Checkpoint,
    *,
    given: Given | None = None,
    selection: Selection | None = None,
    remarks: Sequence[Problem] = (),
    beside: Sequence[Checkpoint] = (),
    with_tensors: bool = False,
    progress: Progress | None = None,
) -> Overview:
    """Describe an open checkpoint; reads scalars and metadata, no tensor of a parameter, unless `with_tensors`, which
    reads them all.

    `remarks`: what was odd about finding it. `beside`: others of the same run, open. What they and this one tell
    together of values that no file holds, stands in for defaults; for that, elements of them all are read. Raises
    CkptInspectError.
    """
    selection = selection or Selection()
    unreadable: tuple[Problem, ...] = ()
    told: Told | None = None
    try:
        if beside and not checkpoint.unreadable:
            from ckpt_inspect.comparison.together import states_together  # many modules, which few questions need

            told = states_together([checkpoint, *beside], given)[0]
        if told is not None and told.states:
            states = told.states
        else:
            states = () if checkpoint.unreadable else optimizer_states(checkpoint, given)
    except (DamagedFileError, NotFoundError) as error:
        if isinstance(error, NotFoundError) and not any(p.severity == "error" for p in checkpoint.problems):
            raise  # what was asked for isn't there, rather than a shard: of one, the index lists names and shapes still
        states = ()
        unreadable = (
            Problem(STATE_UNREADABLE, str(error), "names and shapes are shown as the index lists them", "error"),
        )
    known: set[str] = set()
    sizes = dict.fromkeys(("weights", "first_moments", "second_moments"), 0)
    parameters: list[ShownParameter] = []
    for state in states:
        for parameter in state.parameters.values():
            keys = {"value": parameter.found.value, **parameter.found.slots}
            for slot, key in keys.items():
                if key is not None and key not in known:
                    known.add(key)
                    sizes[_KINDS.get(slot, "")] = sizes.get(_KINDS.get(slot, ""), 0) + checkpoint.spec(key).nbytes
            slots = tuple(parameter.found.slots)
            parameters.append(ShownParameter(state.name, parameter.name, parameter.shape, parameter.dtype, slots))
    others = [spec for key, spec in checkpoint.tensors.items() if key not in known]
    if not parameters:
        named = {} if unreadable else weight_names(checkpoint)
        parameters = [
            ShownParameter("", named.get(spec.name, spec.name), spec.shape, spec.dtype, ()) for spec in others
        ]
    if checkpoint.unreadable:
        description = UNREADABLE
    elif unreadable:
        description = DAMAGED
    else:
        description = _description(states, checkpoint.problems, "" if states else suspects(checkpoint))
    listed: tuple[ShownTensor, ...] = ()
    if with_tensors and not checkpoint.unreadable:
        listed, faults = shown_tensors(checkpoint, states, selection, progress)
        unreadable += faults
    said = tuple(p.message for p in unreadable)
    problems = [
        p for p in checkpoint.problems if p.code not in _NOT_THERE or not any(s.startswith(p.message) for s in said)
    ]
    return Overview(
        str(checkpoint.path),
        checkpoint.format,
        tuple(str(f) for f in checkpoint.files),
        Sizes(
            sizes["weights"], sizes["first_moments"], sizes["second_moments"],
            sizes.get("", 0) + sum(spec.nbytes for spec in others), checkpoint.size_bytes,
        ),
        tuple(_shown(state, told) for state in states),
        tuple(p for p in parameters if selection.has(p.name)),
        len(checkpoint.tensors),
        description,
        tuple(dict.fromkeys((*remarks, *unreadable, *problems, *(p for s in states for p in s.problems)))),
        listed,
    )  # fmt: skip


_KINDS = {
    "value": "weights",
    "first_moment": "first_moments",
    "second_moment": "second_moments",
    "max_second_moment": "second_moments",
    "infinity_norm": "second_moments",
}


def _shown(state: OptimizerState, told: Told | None) -> ShownOptimizer:
    """Of an optimizer without a formula here (sgd) only what is known: it may have no betas."""
    hyperparameters = {n: v for n, v in state.hyperparameters.items() if state.update_rule is not None or v.is_known}
    inferred = () if told is None else told.inferred.get(state.name, ())
    contradictions = {} if told is None else told.contradictions.get(state.name, {})
    return ShownOptimizer(
        state.name, state.layout, state.rule_source, state.step, hyperparameters, len(state.parameters),
        _state_description(state, inferred), contradictions,
    )  # fmt: skip


def _state_description(state: OptimizerState, inferred: Collection[str]) -> str:
    """Say whether effective learning rates follow from it, and if not, why."""
    if state.absence is not None:
        return state.absence if state.parameters else f"no moments: {state.absence}"
    if state.step.value == 0:
        return f"{state.rule} before its first update, by its counter: effective learning rates are not defined yet"
    # A weight decay of 0 because the rule has none is no assumption
    assumed = [n for n, value in state.hyperparameters.items() if value.source == "default" and value.value]
    unknown = [name for name, value in state.hyperparameters.items() if value.source == "unknown"]
    if state.step.value is None and state.step.source == "unknown":
        unknown.append("step")
    if state.rule_source.is_assumed:
        assumed.insert(0, f"rule = {state.rule}")
    parts = []
    if assumed:
        parts.append(f"assumed, nothing in the file says so: {', '.join(assumed)}")
    if unknown:
        parts.append(f"not known: {', '.join(unknown)}")
    if inferred:
        parts.insert(0, f"no file holds, and the checkpoints tell together: {', '.join(inferred)}")
    return "; ".join(parts) or "nothing is assumed: every value is in the checkpoint or lies with it"


def _description(states: tuple[OptimizerState, ...], problems: Sequence[Problem], suspected: str = "") -> str:
    if not states and any(p.code == ONE_SHARD for p in problems):
        return "one shard of several: the optimizer's state, if there is any, begins in another"
    if not states and suspected:
        return f"no optimizer state of a known kind; tensors that may be such state, or weights: {suspected}"
    if not states:
        return "weights only: it holds no optimizer's state, so there are no effective learning rates to reconstruct"
    analysable = [s for s in states if s.update_rule is not None and s.step.value != 0 and s.parameters]
    if len(states) == 1 and states[0].name == "optimizer" and states == tuple(analysable):
        return f"1 optimizer ({states[0].rule})"
    names = ", ".join(f"{s.name} ({s.rule})" for s in states)
    if not analysable:
        return f"no optimizer in it has an effective learning rate to reconstruct: {names}"
    return f"{counted(len(states), 'optimizer')}: {names}"
