"""The checkpoints of a run, by their paths -> what they tell together of the moments, for `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.comparison.carrying_on import carried_on, leading_windows
from ckpt_inspect.comparison.inference.evidence import WindowEvidence
from ckpt_inspect.comparison.inference.infer import infer
from ckpt_inspect.comparison.inference.laziness import lazy_alternative
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.observing import Glimpse, HeldElements, observe, reading_behind
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats.opened import OpenCheckpoints
from ckpt_inspect.layouts import find_optimizers
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.names import naming
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.inferred import Inferred, InferredValues
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states

_OF_MOMENTS = ("beta_1", "beta_2", "step")
"""What the moments alone tell; epsilon and rates are no part of how they decay."""


STRETCH = 512
"""Checkpoints of a run that are compared together: a longer run is told stretch by stretch, each with the last
checkpoints of the one before, and what was told of them."""

_BEFORE = 8
"""Those last checkpoints."""

Find = Callable[[Checkpoint], tuple[FoundOptimizer, ...]]
"""Finds the optimizers in a checkpoint, as `find_optimizers` does."""


@dataclass(frozen=True, slots=True)
class RunTold:
    """What the moments of checkpoints of a run tell together."""

    values: Mapping[str, Inferred] = field(default_factory=dict)
    """By the checkpoint's path: betas and steps that its file leaves open."""
    windows: Mapping[tuple[str, str, str], WindowEvidence] = field(default_factory=dict)
    """By the paths of two checkpoints and the optimizer's name in the second: what was seen of the decays in between,
    unless the rule may leave elements alone, which then decay less often than others."""


NOTHING = RunTold()

_Place = tuple[str, str]
"""A checkpoint's path, and the optimizer's name in it."""


def tell_run(
    paths: Sequence[Path], given: Given | None = None, find: Find = find_optimizers
) -> Iterator[tuple[Sequence[Path], RunTold]]:
    """Yield the checkpoints at the paths, in the run's order, some at a time, and what they tell together: of these and
    of the last ones before.

    A few are open, and chosen elements of a few are held at a time. What can't be read takes no part.
    """
    if len(paths) < 2:
        yield paths, NOTHING
        return
    name_of = naming([str(path) for path in paths])
    told: dict[_Place, InferredValues] = {}
    with OpenCheckpoints() as opened:
        for start in range(0, len(paths), STRETCH):
            own, before = paths[start : start + STRETCH], paths[max(start - _BEFORE, 0) : start]
            windows: dict[tuple[str, str, str], WindowEvidence] = {}
            now: dict[_Place, InferredValues] = {}
            for seen in _glimpses([*before, *own], name_of, given, find, opened).values():
                if len(seen) > 1:
                    _tell(seen, told, now, windows)
            told = now
            values: dict[str, dict[str, InferredValues]] = {}
            for (path_of, name), each in told.items():
                values.setdefault(path_of, {})[name] = {n: v for n, v in each.items() if n in _OF_MOMENTS}
            yield own, RunTold(values, windows)


def _glimpses(
    paths: Sequence[Path],
    name_of: Callable[[str], str],
    given: Given | None,
    find: Find,
    opened: OpenCheckpoints,
) -> Mapping[str, Mapping[_Place, Glimpse]]:
    """Each optimizer's, that of checkpoints with one under the same name."""
    found: dict[str, dict[_Place, Glimpse]] = {}
    held = HeldElements()
    with reading_behind() as take:
        for path in paths:
            try:
                checkpoint = opened.get(path)
                states = optimizer_states(checkpoint, given, find=find)
            except CkptInspectError:
                continue
            for state in filter(_has_decaying_moments, states):
                own = found.setdefault(state.name if len(states) > 1 else "", {})
                like = next(reversed(own.values()), None)
                name = name_of(str(path))
                own[str(checkpoint.path), state.name] = take(
                    Glimpse.of(name, state, partial(opened.get, path), held, like=like)
                )
    return found


def _tell(
    seen: Mapping[_Place, Glimpse],
    before: Mapping[_Place, InferredValues],
    told: dict[_Place, InferredValues],
    windows: dict[tuple[str, str, str], WindowEvidence],
) -> None:
    """Take in what one optimizer tells in a stretch; `before`: what was told of the one before."""
    places, observations = list(seen), observe(list(seen.values()))
    inference = infer(observations)
    values = inference.values
    if any(place in before for place in places):
        known = [before.get(place, {}) for place in places]
        values = carried_on(values, leading_windows(inference), observations, known)
    told.update(zip(places, values, strict=True))
    if not any(map(_may_leave_alone, observations)):
        for window in inference.windows:
            (first, _), (after, name) = (places[place] for place in window.places)
            windows[first, after, name] = window


def _has_decaying_moments(state: OptimizerState) -> bool:
    return state.update_rule is not None and state.is_adam and bool(state.parameters)


def _may_leave_alone(observation: Observation) -> bool:
    """Return whether the rule leaves elements alone that a gradient doesn't reach, or is one of which that is open."""
    return observation.is_lazy or lazy_alternative(observation) is not None
