"""A few open checkpoints of one run -> what they tell together, for `diff` and `show --with`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.comparison.inference.evidence import Inference, WindowEvidence
from ckpt_inspect.comparison.inference.infer import infer
from ckpt_inspect.comparison.observing import Glimpse, HeldElements, observe
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.names import checkpoint_names
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.inferred import Inferred, InferredValues
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states


@dataclass(frozen=True, slots=True)
class Told:
    """What the others tell of one checkpoint."""

    states: tuple[OptimizerState, ...]
    """With what is inferred in place of defaults."""
    inferred: Inferred = field(default_factory=dict)
    """By optimizer and name: the values that are in `states` for that reason."""
    contradictions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By optimizer and hyperparameter: why its value can't be right."""
    windows: Mapping[str, tuple[WindowEvidence, ...]] = field(default_factory=dict)
    """By optimizer: what was seen of the updates between these checkpoints."""


def states_together(checkpoints: Sequence[Checkpoint], given: Given | None = None) -> list[Told]:
    """Return the optimizers of each checkpoint, with what the checkpoints tell together; elements are read only where
    that may be something. Raises CkptInspectError for the states of what can't be read."""
    alone = [optimizer_states(checkpoint, given) for checkpoint in checkpoints]
    values: list[dict[str, InferredValues]] = [{} for _ in checkpoints]
    refuted: list[dict[str, dict[str, str]]] = [{} for _ in checkpoints]
    windows: dict[str, tuple[WindowEvidence, ...]] = {}
    names = checkpoint_names([str(checkpoint.path) for checkpoint in checkpoints])
    for own in _shared(alone):
        inference, places = _inferred(own, checkpoints, names)
        for number, place in enumerate(places):
            name = own[place].name
            values[place][name] = inference.values[number]
            refuted[place][name] = {
                c.name: c.sentence
                for c in inference.contradictions
                if number in c.places and c.name not in inference.values[number]
            }
            windows[name] = inference.windows
    return [
        Told(_with(checkpoint, given, states, inferred), inferred, against, windows)
        for checkpoint, states, inferred, against in zip(checkpoints, alone, values, refuted, strict=True)
    ]


def _shared(alone: Sequence[Sequence[OptimizerState]]) -> list[dict[int, OptimizerState]]:
    """Each optimizer that several checkpoints have, by the checkpoint's place: of one name, or the only one of each."""
    if all(len(states) == 1 for states in alone):
        return [{place: states[0] for place, states in enumerate(alone)}] if len(alone) > 1 else []
    names = dict.fromkeys(state.name for states in alone for state in states)
    each = [{p: s for p, states in enumerate(alone) for s in states if s.name == name} for name in names]
    return [own for own in each if len(own) > 1]


def _inferred(
    states: Mapping[int, OptimizerState], checkpoints: Sequence[Checkpoint], names: Sequence[str]
) -> tuple[Inference, list[int]]:
    """What they tell, and the order in which they were looked at: by the optimizer's counter, if all have one."""
    places = list(states)
    steps = {p: s.step.value if s.raw_step is None else s.raw_step for p, s in states.items()}
    if None not in steps.values():
        places.sort(key=lambda place: steps[place] or 0)
    held = HeldElements()
    glimpses = [Glimpse.of(names[p], states[p], partial(_same, checkpoints[p]), held) for p in places]
    if not any(glimpse.is_open for glimpse in glimpses):
        return Inference(tuple({} for _ in places)), places
    return infer(observe(glimpses)), places


def _same(checkpoint: Checkpoint) -> Checkpoint:
    return checkpoint


def _with(
    checkpoint: Checkpoint, given: Given | None, states: tuple[OptimizerState, ...], inferred: Inferred
) -> tuple[OptimizerState, ...]:
    return optimizer_states(checkpoint, given, inferred=inferred) if any(inferred.values()) else states
