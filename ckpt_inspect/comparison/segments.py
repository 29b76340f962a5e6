"""A run cut where it was resumed with loss of state, or where its learning rate jumped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.records import dataclass

JUMP = 2.0
"""Factor between two constant learning rates, up or down, that counts as a jump."""

Beginning = Literal["start", "state-lost", "another-line", "rate-jumped"]

MEANING_OF_A_JUMP = (
    f"there the learning rate, constant in both files, went up or down by a factor of {JUMP:g} or more: no schedule, "
    "but a callback, a person or a resume changed it"
)
"""What `rate-jumped` says, for a person."""

BEGINNING_WORDS: Mapping[Beginning, str] = {
    "start": "start",
    "state-lost": "state not carried on",
    "another-line": "another line of training",
    "rate-jumped": "rate jumped",
}
"""How each is written where there is little room: two runs in one folder have lost nothing."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Checkpoints of a run that lie on one line of training, at about one rate."""

    start: int
    stop: int
    """Places in the run, half-open."""
    begins: Beginning
    """Why it begins there: the run's start, state of the checkpoint before that was not carried on, another line of
    training than that checkpoint's (which `check` alone tells apart), or a rate that jumped."""

    def to_json(self, paths: Sequence[str]) -> JsonObject:
        """Return it in JSON's types, its ends as two of the `paths` of the run's checkpoints."""
        return {"first": paths[self.start], "last": paths[self.stop - 1], "begins": self.begins}


def segments(continues: Sequence[bool | None], rates: Sequence[float | None] = ()) -> tuple[Segment, ...]:
    """Return the segments of a run, in order; they cover it without a gap.

    `continues`: for each checkpoint whether it continues the one before; None, for the first and where nothing tells,
    begins no segment. `rates`: each one's learning rate, None where it is not known, NaN where it follows a schedule. A
    rate is compared with the last one that is known, but not across a schedule's, or one that moves (`constant_rates`).
    """
    rates = constant_rates(rates)
    found: list[Segment] = []
    start = 0
    begins: Beginning = "start"
    last: float | None = None
    for place, goes_on in enumerate(continues):
        rate = rates[place] if place < len(rates) else None
        if goes_on is False or (rate != last and _is_jump(last, rate)):  # as in most runs, however long
            if place > start:
                found.append(Segment(start, place, begins))
            start, begins = place, "state-lost" if goes_on is False else "rate-jumped"
        last = rate if rate is not None else last
    return (*found, Segment(start, len(continues), begins)) if continues else ()


def constant_rates(rates: Sequence[float | None]) -> list[float | None]:
    """Return the rates with NaN for those that move from checkpoint to checkpoint, as where a callback sets one after
    the other: a rate that is neither that before nor that after, and the first or last if it is not that of one which
    moves."""
    found = list(rates)
    if len(set(rates)) <= 1:  # as in most runs, however long
        return found
    known = [place for place, rate in enumerate(rates) if rate is not None and not math.isnan(rate)]
    moving = {
        place
        for before, place, after in zip(known, known[1:], known[2:], strict=False)
        if not _is_same(rates[before], rates[place]) and not _is_same(rates[place], rates[after])
    }
    for end, neighbour in ((known[:1], known[1:2]), (known[-1:], known[-2:-1])):
        if set(neighbour) & moving:
            moving.update(end)
    for place in moving:
        found[place] = math.nan
    return found


def _is_same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-6)


def _is_jump(before: float | None, after: float | None) -> bool:
    if before is None or after is None or math.isnan(before) or math.isnan(after) or min(before, after) <= 0:
        return False
    return not 1 / JUMP < after / before < JUMP
