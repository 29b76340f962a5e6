"""What of a run has to be read, and in which units of work: decided from names, sizes and what a store holds.

Nothing is opened here. A unit is the same whoever does it, and however many do: its bounds follow from sizes alone.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

import numpy as np

from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.packed import Chosen
from ckpt_inspect.series.run import Run
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.inferred import Inferred
from ckpt_inspect.state.selection import Selection
from ckpt_inspect.storage import absolutes, as_path, is_gone

UNIT_BYTES = 1 << 30
"""Arrays of so many bytes make a unit, about half a second's work for a thread: a checkpoint of more is several, unless
one parameter has more, or this process does all of it. Each costs some 7 ms: cutting 1.3 GB in two takes 1 % longer, in
three 4 %."""

_NUMBER = re.compile(r"\d+")

LONG = 2000
"""Checkpoints of a run that is long: with so many it takes less to append to a store than to write it."""


# --- what is asked for


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for: results of other options are other results."""

    given: Given = field(default_factory=dict)
    """Overrides what the files say, as in `optimizer_states`."""
    selection: Selection = field(default_factory=Selection)
    """The parameters."""
    has_elements: bool = False
    """Whether E of every element is kept as well."""
    infers: bool = True
    """Whether what the run's checkpoints tell together stands in for defaults, and for what is unknown."""

    def text(self) -> str:
        """Return the JSON by which a store knows them again."""
        wanted: dict[str, object] = {
            "given": dict(self.given),
            "include": self.selection.include,
            "exclude": self.selection.exclude,
        }
        if self.has_elements:
            wanted["elements"] = True
        if not self.infers:
            wanted["infer"] = False
        return json.dumps(wanted, sort_keys=True, default=float)


# --- what is new


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a run is known, and what has to be read."""

    run: Run
    options: Options
    previous: RunColumns | None
    """What the store holds, with or without inference; None if there is none, or other options were asked for."""
    known: Mapping[str, str]
    """Absolute path -> fingerprint of each checkpoint of the run that `previous` has as it is now."""

    whole: RunColumns | None = None
    """All that the store holds, if `previous` is but its end: what comes before stands as it is."""

    @property
    def first(self) -> int:
        """Return the row of the store that is the first of `previous`."""
        return 0 if self.whole is None or self.previous is None else len(self.whole) - len(self.previous)

    @property
    def was_inferred(self) -> bool:
        """Return whether the store holds what the checkpoints told together: not if inference was left out, if an
        earlier version wrote it, or if nothing was open."""
        if self.previous is None or self.previous.options != self.options.text():
            return False
        return any("kept_checkpoint" in o.variables for o in self.previous.optimizers.values())

    @property
    def unread(self) -> Chosen[Path]:
        """Return the checkpoints that have to be read, in training order, and their places in the run."""
        places: list[int] = []
        if len(self.known) < len(self.run.checkpoints):
            places = [number for number, place in enumerate(self.run.places()) if place not in self.known]
        return Chosen(self.run.checkpoints, np.array(places, np.int64))

    def places(self) -> list[str]:
        """Return the absolute paths of the run's checkpoints and of those that the store has besides, in training
        order."""
        here = list(dict.fromkeys(self.run.places()))
        if self.previous is None:
            return here
        return merged_order(absolutes(self.previous.checkpoints["path"]), here)

    def count(self) -> int:
        """Return how many `places` there are."""
        return len(self.places())

    def order(self, read: Mapping[str, str]) -> list[str]:
        """Return the fingerprints of what is known or `read` (absolute path -> fingerprint), in training order.

        Checkpoints that were deleted since stay in their place; those that are there and could not be read have none.
        """
        found = ((path, read.get(path) or self.known.get(path)) for path in self.run.places())
        current = {own: path for path, own in found if own is not None}
        now = list(current)
        if self.previous is None or all(stored in current for stored in self.previous.checkpoints["fingerprint"]):
            return now
        columns, present = self.previous.checkpoints, set(self.run.places())
        before = [
            (stored, place)
            for place, stored in zip(absolutes(columns["path"]), columns["fingerprint"], strict=True)
            if stored in current or place not in present
        ]
        places = {**dict(before), **current}
        return merged_order([stored for stored, _ in before], now, places.__getitem__)


def plan_run(
    run: Run,
    options: Options,
    store: Path | None,
    previous: RunColumns | None,
    fingerprint_of: Callable[[Sequence[str]], str | None],
) -> Plan:
    """Compare a run with what its store holds.

    `fingerprint_of` gives the fingerprint of files as they are now, None if one is gone. Raises StoreError if the store
    is another run's, or if results of other options would take the place of what can't be read again.
    """
    if previous is None:
        return Plan(run, options, None, {})
    _check_same_run(run, store, previous)
    without = replace(options, infers=False).text()
    if previous.options not in (options.text(), without):
        _check_can_be_read_again(run, store, previous)
        return Plan(run, options, None, {})
    return Plan(run, options, previous, _known(run, previous, fingerprint_of))


def _check_same_run(run: Run, store: Path | None, previous: RunColumns) -> None:
    """Folders of different runs are often called alike, and then so are their stores: never mix or replace them."""
    before, now = (
        {place.rpartition("/")[0] for place in absolutes(paths)}
        for paths in (previous.checkpoints["path"], run.places())
    )
    if before and not before & now:
        raise StoreError(
            f"{store}: holds the run in {min(before)}, not the one in {min(now)}; name another store, or delete this "
            "one"
        )


def _check_can_be_read_again(run: Run, store: Path | None, previous: RunColumns) -> None:
    """Results of other options replace those of a store; not those of checkpoints that are gone or not named."""
    gone = set(absolutes(previous.checkpoints["path"])) - set(run.places())
    if gone:
        raise StoreError(
            f"{store}: holds results of other options, also of {len(gone)} checkpoints that would not be read again "
            f"now, such as {min(gone)}; name another store, or delete this one"
        )


def _known(run: Run, previous: RunColumns, fingerprint_of: Callable[[Sequence[str]], str | None]) -> dict[str, str]:
    columns = previous.checkpoints
    wanted = set(run.places())
    each = zip(absolutes(columns["path"]), columns["fingerprint"], columns["files"], strict=True)
    return {
        place: stored
        for place, stored, files in each
        if place in wanted and fingerprint_of(files.split("\n")) == stored
    }


def without_gone(plan: Plan) -> Plan:
    """Return the plan without what was deleted since the run was listed: it stays in the store, as what was deleted
    before does."""
    if plan.previous is None or len(plan.known) == len(plan.run.checkpoints):
        return plan
    columns = plan.previous.checkpoints
    here = {place: number for number, place in enumerate(plan.run.places())}
    gone = {
        plan.run.checkpoints[here[place]]
        for place, files in zip(absolutes(columns["path"]), columns["files"], strict=True)
        if place in here and place not in plan.known and is_gone(as_path(files.split("\n")[0]))
    }
    return replace(plan, run=plan.run.without(gone))


def merged_order(before: Sequence[str], now: Sequence[str], name: Callable[[str], str] = str) -> list[str]:
    """Return `now`, with what has vanished from `before` kept ahead of what followed it there.

    Where something came late, between what is known, to where something has vanished, the numbers in their names order
    the two if nothing else differs in these; `name` returns an item's.
    """
    current, merged, came = set(now), list[str](), list[str]()
    at = dict(zip(before, range(len(before)), strict=True))
    done = 0
    """Places of `before` that are merged."""
    for item in now:
        if at.get(item, -1) < done:
            came.append(item)
            continue
        gone = [w for w in before[done : at[item]] if w not in current]
        if came and gone and len({_NUMBER.sub("0", name(i)) for i in (*came, *gone)}) == 1:
            merged += sorted((*came, *gone), key=lambda item: natural_key(name(item)))
        else:
            merged += (*came, *gone)
        merged.append(item)
        came, done = [], at[item] + 1
    return [*merged, *(w for w in before[done:] if w not in current), *came]


# --- units of work


@dataclass(frozen=True, slots=True)
class Span:
    """Some of a checkpoint's parameters, by their places among those that are chosen; half-open."""

    first: int = 0
    last: int | None = None
    """None: up to the last, so that no parameter is left out, whatever a file holds by the time it is read."""

    @property
    def slice(self) -> slice:
        """Return the slice of the sequence of all parameters."""
        return slice(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work for whoever sees the files: another process or machine gets it pickled."""

    paths: tuple[str, ...]
    """As they were named: the checkpoint that is measured, or its neighbour before it in training order and that one.
    Relative ones are of the folder in which the analysis was begun."""
    options: Options
    span: Span = Span()
    """Of the parameters of the checkpoint that is measured."""
    nbytes: int = 0
    """About what its part of the checkpoint's files comes to; for progress."""
    inferred: Inferred = field(default_factory=dict)
    """What the run tells of the checkpoint that is measured, in place of defaults."""

    def __post_init__(self) -> None:
        assert 1 <= len(self.paths) <= 2

    @property
    def path(self) -> Path:
        """Return the checkpoint that is measured."""
        return as_path(self.paths[-1])


def plan_units(
    path: Path,
    options: Options,
    nbytes: int,
    parameter_bytes: Callable[[], Sequence[int]],
    inferred: Inferred | None = None,
) -> list[Unit]:
    """Return the units that measure every chosen parameter of a checkpoint once, with what is inferred of it.

    `nbytes`: about the size of its files. `parameter_bytes` gives what reading each chosen parameter comes to, in
    order; only a checkpoint of more than UNIT_BYTES is asked for it.
    """
    place = (str(path),)
    if nbytes <= UNIT_BYTES:
        return [Unit(place, options, Span(), nbytes, inferred or {})]
    sizes = parameter_bytes()
    spans = split_evenly(sizes, UNIT_BYTES)
    total = max(sum(sizes), 1)
    shares = [nbytes * sum(sizes[span.slice]) // total for span in spans]
    shares[-1] += nbytes - sum(shares)
    return [Unit(place, options, span, share, inferred or {}) for span, share in zip(spans, shares, strict=True)]


def split(sizes: Sequence[int], most: int) -> list[Span]:
    """Return spans that cover parameters of those sizes, each of at most `most` bytes, or of one parameter."""
    starts, held = [0], 0
    for place, size in enumerate(sizes):
        if held + size > most and place > starts[-1]:
            starts.append(place)
            held = 0
        held += size
    return [Span(first, last) for first, last in zip(starts, [*starts[1:], None], strict=True)]


def split_evenly(sizes: Sequence[int], most: int) -> list[Span]:
    """Return as few spans as `split` does, the largest of them as small as it can be, so that several workers share a
    checkpoint evenly."""
    count = len(split(sizes, most))
    least = bisect_left(range(most), True, key=lambda limit: len(split(sizes, limit)) <= count)
    return split(sizes, least)
