"""What checkpoints of a run show when they are compared: found by this process, or ahead of time by a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Array, Checkpoint
from ckpt_inspect.comparison.carrying_on import leading_windows
from ckpt_inspect.comparison.inference.evidence import Inference, WindowEvidence
from ckpt_inspect.comparison.inference.infer import infer
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.observing import Glimpse, HeldElements, joined_values, observe, reading_behind
from ckpt_inspect.comparison.paths import PathFigures, follow_paths
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats.opened import OpenCheckpoints
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.layouts.found_before import FoundBefore
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.execution import found_by_worker
from ckpt_inspect.runs.kept_elements import KEPT_CHECKPOINTS, KeptState, keep
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states
from ckpt_inspect.storage import as_path

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

MANY = 64
"""Checkpoints from which on a worker is asked to compare them: what goes to it and back is worth some ten of them."""

Find = Callable[[Checkpoint], tuple[FoundOptimizer, ...]]


@dataclass(frozen=True, slots=True)
class Together:
    """Checkpoints that are to be compared with each other, in training order; picklable."""

    places: Sequence[str]
    """Their absolute paths."""
    names: Sequence[str]
    """Their short names."""
    paths: Mapping[str, str]
    """As they were named, of those whose files are there."""
    gone: Mapping[str, Mapping[str, Observation]]
    """By optimizer and place, what is kept of some."""
    least: int
    """Checkpoints of an optimizer that tell anything, or are worth keeping."""
    budget: int
    """Elements that are looked at in each."""
    are_followed: bool
    """Whether the way of the weights from checkpoint to checkpoint is wanted."""
    kept: int = KEPT_CHECKPOINTS
    """Newest checkpoints of which some elements are kept."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What one optimizer's checkpoints show together."""

    observations: Mapping[str, Observation]
    """By place, in training order; without elements."""
    gone: frozenset[str]
    """Places whose files are not there."""
    inference: Inference
    windows: Mapping[int, WindowEvidence | None]
    """The `leading_windows` of the inference."""
    paths: Mapping[str, tuple[tuple[str, ...], PathFigures]]
    """How the weights moved to each place, of the parameters of these names: where they are followed, and the path
    leads through checkpoints whose files are there."""
    newest: tuple[KeptState, ...]
    """What is to be kept of the newest checkpoints, but for what is inferred of them."""


Comparison = Mapping[str, Compared]
"""By optimizer; without those of which nothing is open, or too few are there."""


def compare(together: Together, given: Given) -> Comparison:
    """Compare checkpoints: what an executor's worker does."""
    with OpenCheckpoints() as opened:
        return _compared(together, given, found_by_worker().find, opened)


def states_of(opened: OpenCheckpoints, path: Path, given: Given, find: Find) -> tuple[OptimizerState, ...]:
    """Return the optimizers in a checkpoint; none if it can't be read, which whoever measures it will meet again."""
    try:
        return optimizer_states(opened.get(path), given, find=find)
    except CkptInspectError:
        return ()


class Comparing:
    """Compares checkpoints. A context manager: what workers have not begun by the end is not done."""

    def __init__(
        self, given: Given, found: FoundBefore, opened: OpenCheckpoints, executor: Executor | None = None
    ) -> None:
        """`found`, `opened`: what is known of checkpoints. Without an executor this process does it."""
        self._given, self._found, self._opened, self._executor = given, found, opened, executor
        self._asked: set[Future[Comparison]] = set()

    def __enter__(self) -> Comparing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._asked:
            future.cancel()

    def ask(self, together: Together) -> Callable[[], Comparison]:
        """Have a worker compare them, if there are any and it is worth it, and don't wait for it: whoever calls what
        this returns does."""
        future = self._submitted(together) if len(together.paths) >= MANY else None
        return partial(self._answer, together, future)

    def _submitted(self, together: Together) -> Future[Comparison] | None:
        """None if there are no workers, or they are lost."""
        if self._executor is None:
            return None
        try:
            future = self._executor.submit(compare, together, self._given)
        except Exception:  # of many kinds: whoever submits what is to be measured says what it is
            return None
        self._asked.add(future)
        return future

    def _answer(self, together: Together, future: Future[Comparison] | None) -> Comparison:
        """What a worker found; if it couldn't tell, since it was lost, or ended by what it looked at, what is found
        here, which meets it again if it is a checkpoint's fault."""
        if future is not None:
            self._asked.discard(future)
            with suppress(Exception):  # of many kinds
                return future.result()
        return _compared(together, self._given, self._found.find, self._opened)


def _compared(together: Together, given: Given, find: Find, opened: OpenCheckpoints) -> Comparison:
    glimpses: dict[str, dict[str, Glimpse]] = {}
    for place, several in _looked(together, given, find, opened):
        for name, glimpse in several:
            glimpses.setdefault(name, {})[place] = glimpse
    each = {name: _one_compared(together, own, together.gone.get(name, {})) for name, own in glimpses.items()}
    return {name: compared for name, compared in each.items() if compared is not None}


def _looked(
    together: Together, given: Given, find: Find, opened: OpenCheckpoints
) -> Iterator[tuple[str, list[tuple[str, Glimpse]]]]:
    """Yield of each checkpoint what there is to see of each optimizer, by its name; elements of the last are read at
    the end. They are held until all is told."""
    before: dict[str, Glimpse] = {}
    held = HeldElements()
    with reading_behind() as take:
        for place, name in zip(together.places, together.names, strict=True):
            if place not in together.paths:
                continue
            path, own = as_path(together.paths[place]), []
            for state in states_of(opened, path, given, find):
                like = before.get(state.name)
                seen = Glimpse.of(name, state, partial(opened.get, path), held, like=like, budget=together.budget)
                before[state.name] = take(seen)
                own.append((state.name, seen))
            yield place, own


def _one_compared(together: Together, here: Mapping[str, Glimpse], kept: Mapping[str, Observation]) -> Compared | None:
    """One optimizer; None if there is nothing to be told."""
    gone = {place: kept[place] for place in together.places if place in kept and place not in here}
    if len(here) + len(gone) < together.least or not any(glimpse.is_open for glimpse in here.values()):
        return None
    read = dict(zip(here, observe(list(here.values())), strict=True))
    observations = {p: read[p] if p in read else gone[p] for p in together.places if p in read or p in gone}
    inference = infer(tuple(observations.values()))
    windows = leading_windows(inference)
    paths = _paths(observations, windows, here) if together.are_followed else ()
    sizes = {name: tensors.size for glimpse in here.values() for name, tensors in glimpse.chosen.tensors.items()}
    newest = list(observations.items())[-together.kept :]
    return Compared(
        {place: replace(observation, elements={}) for place, observation in observations.items()},
        frozenset(gone),
        inference,
        windows,
        dict(paths),
        tuple(keep(place, observation, (), sizes) for place, observation in newest),
    )


def _paths(
    observed: Mapping[str, Observation],
    windows: Mapping[int, WindowEvidence | None],
    here: Mapping[str, Glimpse],
) -> Iterator[tuple[str, tuple[tuple[str, ...], PathFigures]]]:
    """Yield how the weights moved to each checkpoint, by the chosen elements."""
    places, observations = list(observed), list(observed.values())
    sizes: dict[str, int] = {}
    for glimpse in here.values():
        for name, count in glimpse.chosen.values().items():
            sizes[name] = max(sizes.get(name, 0), count)
    before: list[int | None] = []
    is_here: list[bool] = []
    for number, place in enumerate(places):
        window = windows.get(number)
        before.append(None if window is None else window.places[0])
        is_here.append(place in here and (window is None or is_here[window.places[0]]))

    def values(number: int) -> Array:
        return joined_values(observations[number].elements, sizes)

    if not any(is_here) or all(b is None for b in before):
        return
    for number, figures in enumerate(follow_paths(before, values, list(sizes.values()))):
        if before[number] is not None and is_here[number]:
            yield places[number], (tuple(sizes), figures)
