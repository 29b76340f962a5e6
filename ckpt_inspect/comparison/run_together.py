"""The checkpoints of a run, by their paths -> what they tell together of the moments, for `check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path

from ckpt_inspect.comparison.inference import WindowEvidence, infer
from ckpt_inspect.comparison.inference.laziness import lazy_alternative
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.observing import Glimpse, HeldElements, observe, reading_behind
from ckpt_inspect.comparison.opened import OpenCheckpoints
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.names import checkpoint_names
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.inferred import Inferred, InferredValues
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states

_OF_MOMENTS = ("beta_1", "beta_2", "step")
"""What the moments alone tell; epsilon and rates are no part of how they decay."""


@dataclass(frozen=True, slots=True)
class RunTold:
    """What the moments of a run's checkpoints tell together."""

    values: Mapping[str, Inferred] = field(default_factory=dict)
    """By the checkpoint's path: betas and steps that its file leaves open."""
    windows: Mapping[tuple[str, str, str], WindowEvidence] = field(default_factory=dict)
    """By the paths of two checkpoints and the optimizer's name in the second: what was seen of the decays in between,
    unless the rule may leave elements alone, which then decay less often than others."""


NOTHING = RunTold()


def tell_run(paths: Sequence[Path], given: Given | None = None) -> RunTold:
    """Return what the checkpoints at the paths, in the run's order, tell together.

    A few are open, and chosen elements of a few are held at a time. What can't be read takes no part.
    """
    if len(paths) < 2:
        return NOTHING
    names = dict(zip(paths, checkpoint_names([str(path) for path in paths]), strict=True))
    glimpses: dict[str, dict[tuple[str, str], Glimpse]] = {}
    with OpenCheckpoints() as opened:
        held = HeldElements()
        with reading_behind() as take:
            for path in paths:
                try:
                    checkpoint = opened.get(path)
                    states = optimizer_states(checkpoint, given)
                except CkptInspectError:
                    continue
                for state in filter(_has_decaying_moments, states):
                    own = glimpses.setdefault(state.name if len(states) > 1 else "", {})
                    like = next(reversed(own.values()), None)
                    place = (str(checkpoint.path), state.name)
                    own[place] = take(Glimpse.of(names[path], state, partial(opened.get, path), held, like=like))
        values: dict[str, dict[str, InferredValues]] = {}
        windows: dict[tuple[str, str, str], WindowEvidence] = {}
        for own in glimpses.values():
            if len(own) < 2:
                continue
            places, observations = list(own), observe(list(own.values()))
            inference = infer(observations)
            for (path_of, name), told in zip(places, inference.values, strict=True):
                values.setdefault(path_of, {})[name] = {n: v for n, v in told.items() if n in _OF_MOMENTS}
            if not any(map(_may_leave_alone, observations)):
                for window in inference.windows:
                    (before, _), (after, name) = (places[place] for place in window.places)
                    windows[before, after, name] = window
    return RunTold(values, windows)


def _has_decaying_moments(state: OptimizerState) -> bool:
    return state.update_rule is not None and state.is_adam and bool(state.parameters)


def _may_leave_alone(observation: Observation) -> bool:
    """Return whether the rule leaves elements alone that a gradient doesn't reach, or is one of which that is open."""
    return observation.is_lazy or lazy_alternative(observation) is not None
