"""A run -> what its checkpoints tell together, before any of them is measured: the numbers that figures then use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.comparison.carrying_on import CONSTANTS, carried_on
from ckpt_inspect.comparison.element_choice import BUDGET
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.observing import TELLABLE, is_open
from ckpt_inspect.formats.opened import OpenCheckpoints
from ckpt_inspect.layouts.found_before import FoundBefore
from ckpt_inspect.measurement.columns import Columns, RunColumns
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.assembly import INFERRED_LATE, NEVER_INFERRED, RowEvidence
from ckpt_inspect.runs.comparing import Compared, Comparing, Comparison, Together, states_of
from ckpt_inspect.runs.kept_elements import KEPT_CHECKPOINTS, KEPT_ELEMENTS, kept_states, observation_of
from ckpt_inspect.runs.planning import Options, Plan
from ckpt_inspect.runs.stored_runs import stored_run, taken_rows
from ckpt_inspect.runs.told import Seen, Stretch, nothing_told
from ckpt_inspect.series.names import naming
from ckpt_inspect.series.packed import Packed, Places
from ckpt_inspect.series.run import Run
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.inferred import InferredValues, overlaid

if TYPE_CHECKING:
    from concurrent.futures import Executor

STRETCH = 512
"""Checkpoints of a run that are compared together: all that most runs have. A longer run is told stretch by stretch,
each with what the one before told."""

LATER_STRETCH = 64
"""Checkpoints of each stretch but the first: what another checkpoint of a long run costs is bounded by that, as all of
the last stretch are compared again. These carry on what the many of the first told."""

ASKED = 8
"""Stretches that workers are asked to compare before the one is told that comes first."""


def told_stretches(
    plan: Plan, found: FoundBefore, opened: OpenCheckpoints, executor: Executor | None = None, *, is_stored: bool
) -> Generator[tuple[Stretch, Sequence[int]], None, None]:
    """Yield what the checkpoints of a run tell together, those that are there and those that the store keeps something
    of, stretch by stretch, and which of each have to be read with that, by their places in the run. `found`, `opened`:
    what is known of them, for whoever opens them next. `executor`: whose workers compare many, some stretches ahead of
    the one that is told. `is_stored`: whether elements are to be kept, for checkpoints that are yet to come.

    Nothing is told, and no element is read, if the first and the last hold all that could be told. What can't be read
    takes no part. Of a run of more than `STRETCH` checkpoints, those stretches are asked that have unread checkpoints,
    and all that follow; of the others the store has what they tell.
    """
    places, past = Packed(plan.places()), plan.first
    here = Places(Packed(plan.run.places()))
    stored = _Stored(plan.previous)
    least = 1 if is_stored else 2
    checkpoints = plan.run.checkpoints
    if len(places) < least or not checkpoints or (past > 0 and not plan.was_inferred):
        yield from nothing_told(plan)
        return
    name_of = naming(places)
    given = plan.options.given
    with Comparing(given, found, opened, executor) as comparing:
        first, last = checkpoints[0], checkpoints[-1]
        is_told = past > 0 and plan.was_inferred  # the first of all was open, or the last when it was told
        if not is_told and not any(
            is_open(state) for path in (last, first) for state in states_of(opened, path, given, found.find)
        ):
            yield from nothing_told(plan)
            return
        budget = BUDGET if len(places) > 1 else KEPT_ELEMENTS

        def asked() -> Iterator[tuple[_Stretch, Callable[[], Comparison]]]:
            stop = _first_stretch(plan, places, here)
            while (start := stop) < len(places):
                stop = end_of_stretch(past + start) - past
                before = places[max(start - KEPT_CHECKPOINTS, 0) : start]
                own = places[start:stop]
                numbers = {place: n for place in (*before, *own) if (n := here.get(place)) is not None}
                stretch = _Stretch(own, before, numbers, past + start == 0)
                stored.look_at(stretch.places)
                names = [name_of(place) for place in stretch.places]
                named = {place: str(checkpoints[n]) for place, n in numbers.items()}
                gone = stored.observations(stretch.places, names)
                yield (
                    stretch,
                    comparing.ask(
                        Together(stretch.places, names, named, gone, least, budget, stretch.is_first, KEPT_CHECKPOINTS)
                    ),
                )

        told: dict[str, Seen] = {}
        for stretch, compared in _ahead(asked(), 0 if executor is None else ASKED):
            stored.look_at(stretch.places)
            new: dict[str, Seen] = {}
            stale: set[str] = set()
            for name, seen in compared().items():
                new[name] = _seen(name, stretch, seen, stored, told.get(name))
                stale |= _differing(name, seen, new[name], plan, stored)
                new[name] = _with_lost(name, new[name], stretch, plan, stored)
            told |= new
            own = (place for place in stretch.own if place in stretch.numbers)
            unread = [stretch.numbers[place] for place in own if place not in plan.known or place in stale]
            yield Stretch(new), unread


_Each = TypeVar("_Each")


def _ahead(several: Iterable[_Each], count: int) -> Iterator[_Each]:
    """Yield each when so many that follow it have been made."""
    waiting: deque[_Each] = deque()
    for each in several:
        waiting.append(each)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Checkpoints that are compared together, by their absolute paths in training order."""

    own: Sequence[str]
    before: Sequence[str]
    """The last ones of the stretch before, whose values stand: what the first of these are compared with."""
    numbers: Mapping[str, int]
    """The places in the run of those that are there."""
    is_first: bool
    """Whether the run begins with it: a path that begins elsewhere is followed by the elements that the store has."""

    @property
    def places(self) -> list[str]:
        return [*self.before, *self.own]


def _differing(name: str, compared: Compared, seen: Seen, plan: Plan, stored: _Stored) -> set[str]:
    """Return which checkpoints have figures of other numbers in the store."""
    return {
        place
        for place in seen.values
        if place in plan.known
        and stored.differs(name, place, overlaid(alone(compared.observations[place]), seen.values[place]))
    }


def _with_lost(name: str, seen: Seen, stretch: _Stretch, plan: Plan, stored: _Stored) -> Seen:
    """Return the same with a remark on each checkpoint that can't be inferred any more."""
    lost = () if plan.was_inferred else [p for p in stretch.own if p not in seen.rows]
    never = {p: row for p in lost if (row := stored.never_inferred(name, p)) is not None}
    return replace(seen, rows={**seen.rows, **never})


def is_newest_open(run: Run, options: Options, found: FoundBefore) -> bool:
    """Return whether other checkpoints could tell something that the newest one leaves open, or it can't be read."""
    with OpenCheckpoints() as opened:
        states = states_of(opened, run.checkpoints[-1], options.given, found.find)
        return not states or any(map(is_open, states))


def _first_stretch(plan: Plan, places: Sequence[str], here: Places) -> int:
    """Return where the stretch begins that has the first checkpoint that is unread, or was not inferred."""
    if not plan.was_inferred:
        return 0
    first = next((at for at, place in enumerate(places) if place not in plan.known and place in here), 0)
    return start_of_stretch(plan.first + first) - plan.first


def start_of_stretch(place: int) -> int:
    """Return where the stretch of a run begins in which the checkpoint at a place is."""
    return 0 if place < STRETCH else place - (place - STRETCH) % LATER_STRETCH


def end_of_stretch(start: int) -> int:
    """Return the place after the last of the stretch that begins at a place."""
    return start + LATER_STRETCH if start else STRETCH


def first_of_end(count: int) -> int:
    """Return the first of so many checkpoints that the next one is told with, or compared with."""
    return start_of_stretch(count) - KEPT_CHECKPOINTS


def end_of(previous: RunColumns) -> RunColumns | None:
    """Return the end of what a store holds of a run, with the remarks on it: all that what comes after it is compared
    with. None if that is nearly everything, or has to be told together with what comes after."""
    stored, first = stored_run(previous), first_of_end(len(previous))
    if stored is None or first <= 0 or previous.failures:
        return None
    return stored.rows(first, len(previous))


def alone(observation: Observation) -> dict[str, Sourced[float]]:
    """Return the hyperparameters and the `step`, as the checkpoint's own file tells them."""
    return {"step": observation.step, **observation.hyperparameters}


def _seen(name: str, stretch: _Stretch, compared: Compared, stored: _Stored, told: Seen | None) -> Seen:
    """Return one optimizer in a stretch. `told`: of the stretches before."""
    places, observations, gone = list(compared.observations), list(compared.observations.values()), compared.gone
    inference, windows = compared.inference, compared.windows
    values = inference.values
    earlier = set(stretch.before)
    if gone or earlier:
        before = [_told_before(name, p, stored, told) if p in gone or p in earlier else {} for p in places]
        values = carried_on(values, windows, observations, before)
    rows = {}
    for number, place in enumerate(places):
        if place in earlier:
            continue
        refuted = {
            c.name: c.sentence for c in inference.contradictions if number in c.places and c.name not in values[number]
        }
        problems = stored.outdated(name, place, values[number]) if place in gone else ()
        window = windows.get(number)
        row = RowEvidence(-1 if number not in windows else 0, contradictions=refuted, problems=problems)
        if window is not None:
            rate = None if window.learning_rate is None else window.learning_rate.best
            row = replace(
                row,
                window_updates=window.updates or 0,
                window_from=places[window.places[0]],
                window_learning_rate=np.nan if rate is None else rate,
            )
        rows[place] = row if place not in compared.paths else replace(row, path=compared.paths[place])
    known = dict(zip(places, values, strict=True))
    kept = tuple(replace(state, replaced=tuple(known[state.place])) for state in compared.newest)
    return Seen({place: known[place] for place in rows}, rows, kept)


def _told_before(optimizer: str, place: str, stored: _Stored, told: Seen | None) -> InferredValues:
    """The values of a checkpoint of the stretch before, or of one that is gone."""
    if told is not None and place in told.values:
        return told.values[place]
    return stored.inferred(optimizer, place)


# --- what the store has


class _Stored:
    """An optimizer's rows in the store, by the checkpoints' absolute paths."""

    def __init__(self, previous: RunColumns | None) -> None:
        self._optimizers = {} if previous is None else previous.optimizers
        self._previous = previous
        checkpoints = {} if previous is None else previous.checkpoints
        self._rows = {str(path): row for row, path in enumerate(checkpoints.get("path", ()))}
        self._fingerprints = [str(fingerprint) for fingerprint in checkpoints.get("fingerprint", ())]
        self._kept = {name: kept_states(columns.variables) for name, columns in self._optimizers.items()}
        self._near = self._rows
        """Where the rows of `_optimizers` are, by the checkpoints' absolute paths."""

    def look_at(self, places: Iterable[str]) -> None:
        """Take the rows of these checkpoints, which are asked for next, out of the store of a long run."""
        if self._previous is not None and stored_run(self._previous) is not None:
            own = {row: place for place in places if (row := self._rows.get(place)) is not None}
            rows = sorted(own)
            self._near = {own[row]: at for at, row in enumerate(rows)}
            self._optimizers = taken_rows(self._previous, rows).optimizers if rows else self._previous.optimizers

    def observations(self, places: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Observation]]:
        """Return what is kept of checkpoints of these short names, as their files told it, by optimizer and place."""
        return {
            optimizer: {
                place: observation
                for place, name in zip(places, names, strict=True)
                if (observation := self._observation(optimizer, place, name)) is not None
            }
            for optimizer, kept in self._kept.items()
            if kept
        }

    def _observation(self, optimizer: str, place: str, name: str) -> Observation | None:
        row = self._rows.get(place)
        state = None if row is None else self._kept.get(optimizer, {}).get(self._fingerprints[row])
        if row is None or state is None:
            return None
        return observation_of(state, self._optimizers[optimizer].variables, self._near[place], name)

    def inferred(self, optimizer: str, place: str) -> InferredValues:
        """Return the constants that were inferred of a checkpoint before."""
        columns, row = self._row(optimizer, place)
        if columns is None:
            return {}
        return {
            name: Sourced(float(columns[name][row]), "inferred", str(columns[f"{name}_where"][row]))
            for name in CONSTANTS
            if name in columns and columns[f"{name}_source"][row] == "inferred"
        }

    def differs(self, optimizer: str, place: str, wanted: Mapping[str, Sourced[float]]) -> bool:
        """Return whether a checkpoint's figures were computed with other numbers than these."""
        columns, row = self._row(optimizer, place)
        if columns is None:
            return False
        return any(
            name in columns and not _is_same(name, value, columns[name][row], str(columns[f"{name}_source"][row]))
            for name, value in wanted.items()
        )

    def outdated(self, optimizer: str, place: str, values: InferredValues) -> tuple[Problem, ...]:
        """Say which of a checkpoint's figures would be others, had its file been there."""
        columns, row = self._row(optimizer, place)
        if columns is None:
            return ()
        late = {
            name: value
            for name, value in values.items()
            if name in columns and not _is_same(name, value, columns[name][row], str(columns[f"{name}_source"][row]))
        }
        if not late:
            return ()
        told = ", ".join(
            f"{name} = {value.value:.6g} in place of "
            f"{'nothing' if columns[f'{name}_source'][row] == 'unknown' else format(float(columns[name][row]), '.6g')}"
            for name, value in late.items()
        )
        return (
            Problem(
                INFERRED_LATE,
                f"{place}: {spoken_name(optimizer)}: later checkpoints tell {told}, and its file is gone",
                "its figures stay as they were computed",
            ),
        )

    def never_inferred(self, optimizer: str, place: str) -> RowEvidence | None:
        """Return, of a checkpoint that was analysed without inference, that nothing of it can be compared any more;
        None if that changes nothing."""
        columns, row = self._row(optimizer, place)
        if columns is None or str(columns["window_from"][row]) or int(columns["window_updates"][row]) >= 0:
            return None
        names = [
            n for n in TELLABLE if f"{n}_source" in columns and columns[f"{n}_source"][row] in ("default", "unknown")
        ]
        if not names:
            return None
        what = (
            f"{place}: {spoken_name(optimizer)}: it was analysed without inference, and its file is gone: what its "
            f"neighbours show of {', '.join(names)} doesn't reach its figures"
        )
        return RowEvidence(problems=(Problem(NEVER_INFERRED, what, "its figures stay as they were computed"),))

    def _row(self, optimizer: str, place: str) -> tuple[Columns | None, int]:
        if optimizer not in self._optimizers or place not in self._near:
            return None, -1
        return self._optimizers[optimizer].variables, self._near[place]


def _is_same(name: str, wanted: Sourced[float], stored: float, source: str) -> bool:
    """Whether a stored number is the one that is wanted. What is fitted may differ in digits that change no figure."""
    if source != wanted.source:
        return False
    if name == "step":
        return int(stored) == (-1 if wanted.value is None else int(wanted.value))
    value = np.nan if wanted.value is None else float(wanted.value)
    is_fitted = wanted.source == "inferred" and name not in ("beta_1", "beta_2")
    return bool(np.isclose(stored, value, rtol=1e-3 if is_fitted else 1e-12, atol=0, equal_nan=True))
