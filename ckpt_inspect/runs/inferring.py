"""A run -> what its checkpoints tell together, before any of them is measured: the numbers that figures then use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.comparison.inference import Inference, WindowEvidence, infer
from ckpt_inspect.comparison.observing import Glimpse, HeldElements, is_open, observe
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.runs.assembly import Evidence, RowEvidence
from ckpt_inspect.series.names import checkpoint_names
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.inferred import Inferred
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states

_OPEN_AT_A_TIME = 8
"""Checkpoints of a run that are open at a time."""


class OpenCheckpoints:
    """A few open checkpoints, those that were asked for last. A context manager: all are closed at the end."""

    def __init__(self, limit: int = _OPEN_AT_A_TIME) -> None:
        self._limit = limit
        self._open: OrderedDict[Path, Checkpoint] = OrderedDict()

    def get(self, path: Path) -> Checkpoint:
        """Return the checkpoint, open. Raises CkptInspectError."""
        if path not in self._open:
            self._open[path] = open_checkpoint(path)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]

    def __enter__(self) -> OpenCheckpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            self._open.popitem()[1].close()


@dataclass(frozen=True, slots=True)
class Seen:
    """One optimizer over a run, as the inference saw it."""

    places: tuple[str, ...]
    """Absolute path of each checkpoint that holds it, in the run's order."""
    alone: tuple[Mapping[str, Sourced[float]], ...]
    """The hyperparameters and the `step` of each, as its own file tells them."""
    inference: Inference

    def rows(self) -> dict[str, RowEvidence]:
        """Return what is told of each checkpoint."""
        refuted: dict[int, dict[str, str]] = {}
        for contradiction in self.inference.contradictions:
            for place in contradiction.places:
                refuted.setdefault(place, {})[contradiction.name] = contradiction.sentence
        tried: dict[int, list[WindowEvidence]] = {}
        for window in self.inference.windows:
            tried.setdefault(window.places[1], []).append(window)
        return {path: self._row(tried.get(place, []), refuted.get(place, {})) for place, path in enumerate(self.places)}

    def _row(self, tried: Sequence[WindowEvidence], refuted: Mapping[str, str]) -> RowEvidence:
        if not tried:
            return RowEvidence(contradictions=refuted)
        window = max(filter(_leads_on, tried), key=lambda window: window.places[0], default=None)
        if window is None:
            return RowEvidence(window_updates=0, contradictions=refuted)
        updates = window.counted if window.decays is None else window.decays
        rate = None if window.learning_rate is None else window.learning_rate.best
        return RowEvidence(self.places[window.places[0]], updates or 0, np.nan if rate is None else rate, refuted)


def _leads_on(window: WindowEvidence) -> bool:
    """Whether the later of the two can have followed from the earlier, by a known number of updates."""
    return window.is_continuous and (window.counted or 0) > 0


@dataclass(frozen=True, slots=True)
class RunInference:
    """What a run's checkpoints tell together."""

    optimizers: Mapping[str, Seen] = field(default_factory=dict)

    def of(self, place: str) -> Inferred:
        """Return the values for the checkpoint at an absolute path, by optimizer."""
        found = {}
        for name, seen in self.optimizers.items():
            if place in seen.places:
                found[name] = seen.inference.values[seen.places.index(place)]
        return {name: values for name, values in found.items() if values}

    def evidence(self) -> Evidence:
        """Return what is told of each checkpoint, by optimizer."""
        return {name: seen.rows() for name, seen in self.optimizers.items()}


NOTHING = RunInference()


def infer_run(checkpoints: Mapping[str, Path], given: Given) -> RunInference:
    """Return what the checkpoints of a run tell together; `checkpoints` are in its order, by their absolute paths.

    Nothing, and no element is read, if there is only one, or if the first and the last hold all that could be told.
    What can't be read takes no part.
    """
    if len(checkpoints) < 2:
        return NOTHING
    names = dict(zip(checkpoints, checkpoint_names(list(checkpoints)), strict=True))
    with OpenCheckpoints() as opened:
        first, *_, last = checkpoints.values()
        if not any(is_open(state) for path in (last, first) for state in _states(opened, path, given)):
            return NOTHING
        glimpses: dict[str, dict[str, Glimpse]] = {}
        for place, path in checkpoints.items():
            for state in _states(opened, path, given):
                own = glimpses.setdefault(state.name, {})
                glimpse = Glimpse.of(names[place], state, partial(opened.get, path))
                own[place] = glimpse.like(next(reversed(own.values()))) if own else glimpse
        held = HeldElements()
        return RunInference({name: _seen(own, held) for name, own in glimpses.items() if _can_tell(own.values())})


def _can_tell(glimpses: Collection[Glimpse]) -> bool:
    return len(glimpses) > 1 and any(glimpse.is_open for glimpse in glimpses)


def _states(opened: OpenCheckpoints, path: Path, given: Given) -> tuple[OptimizerState, ...]:
    """The optimizers in a checkpoint; none if it can't be read, which whoever measures it will meet again."""
    try:
        return optimizer_states(opened.get(path), given)
    except CkptInspectError:
        return ()


def _seen(glimpses: Mapping[str, Glimpse], held: HeldElements) -> Seen:
    observations = observe(list(glimpses.values()), held)
    alone = tuple({"step": o.step, **o.hyperparameters} for o in observations)
    return Seen(tuple(glimpses), alone, infer(observations))
