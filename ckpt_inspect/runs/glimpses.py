"""Glimpses of a run's checkpoints, many at a time: taken by this process, or ahead of time by an executor's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.comparison.observing import HELD_BYTES, CarriedGlimpse, Glimpse, HeldElements, reading_behind
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats.opened import OpenCheckpoints
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.layouts.found_before import FoundBefore
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.execution import found_by_worker
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states
from ckpt_inspect.storage import as_path

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

TOGETHER = 32
"""Checkpoints that a worker looks at for one asking: some 40 ms. Fewer than two such parts are looked at here."""

_HELD = HELD_BYTES // 32
"""Bytes of elements that come with such a part, about: of two stretches there are some 32."""

Find = Callable[[Checkpoint], tuple[FoundOptimizer, ...]]


@dataclass(frozen=True, slots=True)
class Look:
    """Checkpoints to be looked at; picklable."""

    names: Sequence[str]
    """Short names, in training order."""
    paths: Sequence[str]
    """As they were named."""
    budget: int
    """Elements that are chosen in each."""

    def __len__(self) -> int:
        return len(self.paths)

    def parts(self) -> Iterator[Look]:
        """Yield what one worker is asked for at a time."""
        for start in range(0, len(self), TOGETHER):
            own = slice(start, start + TOGETHER)
            yield Look(self.names[own], self.paths[own], self.budget)


_Found = list[list[tuple[str, CarriedGlimpse]]]
"""Of each checkpoint each optimizer's, by its name."""


def look_at(look: Look, given: Given) -> _Found:
    """Look at some checkpoints: what an executor's worker does."""
    with OpenCheckpoints() as opened:
        seen = list(_looked(look, given, found_by_worker().find, opened, HeldElements(_HELD)))
    return [[(name, glimpse.carried()) for name, glimpse in own] for own in seen]


def _looked(
    look: Look, given: Given, find: Find, opened: OpenCheckpoints, held: HeldElements
) -> Iterator[list[tuple[str, Glimpse]]]:
    """Yield of each checkpoint what there is to see of each optimizer; elements of the last are read at the end."""
    before: dict[str, Glimpse] = {}
    with reading_behind() as take:
        for name, place in zip(look.names, look.paths, strict=True):
            path = as_path(place)
            own = []
            for state in states_of(opened, path, given, find):
                like = before.get(state.name)
                seen = Glimpse.of(name, state, partial(opened.get, path), held, like=like, budget=look.budget)
                before[state.name] = take(seen)
                own.append((state.name, seen))
            yield own


def states_of(opened: OpenCheckpoints, path: Path, given: Given, find: Find) -> tuple[OptimizerState, ...]:
    """Return the optimizers in a checkpoint; none if it can't be read, which whoever measures it will meet again."""
    try:
        return optimizer_states(opened.get(path), given, find=find)
    except CkptInspectError:
        return ()


Looked = Callable[[HeldElements], Iterator[list[tuple[str, Glimpse]]]]
"""Yields of each checkpoint what there is to see of each optimizer, by its name; given what holds elements."""


class Glimpses:
    """Looks at checkpoints. A context manager: what workers have not begun by the end is not done."""

    def __init__(
        self, given: Given, found: FoundBefore, opened: OpenCheckpoints, executor: Executor | None = None
    ) -> None:
        """`found`: what was found in checkpoints before. Without an executor this process does it."""
        self._given, self._found, self._opened, self._executor = given, found, opened, executor
        self._asked: set[Future[_Found]] = set()

    def __enter__(self) -> Glimpses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._asked:
            future.cancel()

    def ask(self, look: Look) -> Looked:
        """Have workers look, if there are any, and don't wait for them: whoever calls what this returns does."""
        if self._executor is None or len(look) < 2 * TOGETHER:
            return partial(self._look_here, look)
        parts = list(look.parts())
        return partial(self._arrived, parts, [self._submitted(part) for part in parts])

    def _look_here(self, look: Look, held: HeldElements) -> Iterator[list[tuple[str, Glimpse]]]:
        return _looked(look, self._given, self._found.find, self._opened, held)

    def _submitted(self, part: Look) -> Future[_Found] | None:
        """None if the workers are lost."""
        assert self._executor is not None
        try:
            future = self._executor.submit(look_at, part, self._given)
        except Exception:  # of many kinds: whoever submits what is to be measured says what it is
            return None
        self._asked.add(future)
        return future

    def _arrived(
        self, parts: Sequence[Look], futures: Sequence[Future[_Found] | None], held: HeldElements
    ) -> Iterator[list[tuple[str, Glimpse]]]:
        before: dict[str, Glimpse] = {}
        for part, future in zip(parts, futures, strict=True):
            found = None if future is None else self._result(future)
            if found is None:
                yield from self._look_here(part, held)
                continue
            for place, several in zip(part.paths, found, strict=True):
                reopened = partial(self._opened.get, as_path(place))
                own = [(name, each.arrived(reopened, held, like=before.get(name))) for name, each in several]
                before |= own
                yield own

    def _result(self, future: Future[_Found]) -> _Found | None:
        """What a worker saw; None if it couldn't tell, since it was lost, or ended by what it looked at."""
        try:
            return future.result()
        except Exception:  # of many kinds: looking here meets it again, if it is a checkpoint's
            return None
        finally:
            self._asked.discard(future)
