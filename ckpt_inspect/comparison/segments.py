"""A run cut where it was resumed with loss of state, or where its learning rate jumped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

JUMP = 2.0
"""Factor between two constant learning rates, up or down, that counts as a jump."""

Beginning = Literal["start", "state-lost", "another-line", "rate-jumped"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Checkpoints of a run that lie on one line of training, at about one rate."""

    start: int
    stop: int
    """Places in the run, half-open."""
    begins: Beginning
    """Why it begins there: the run's start, state of the checkpoint before that was not carried on, another line of
    training than that checkpoint's, or a rate that jumped."""


def segments(continues: Sequence[bool | None], rates: Sequence[float | None] = ()) -> tuple[Segment, ...]:
    """Return the segments of a run, in order; they cover it without a gap.

    `continues`: for each checkpoint whether it continues the one before; None, for the first and where nothing tells,
    begins no segment. `rates`: each one's constant learning rate, None where it is a schedule's or not known; a rate is
    compared with the last one that is known.
    """
    found: list[Segment] = []
    start = 0
    begins: Beginning = "start"
    last: float | None = None
    for place, goes_on in enumerate(continues):
        rate = rates[place] if place < len(rates) else None
        if goes_on is False or _is_jump(last, rate):
            if place > start:
                found.append(Segment(start, place, begins))
            start, begins = place, "state-lost" if goes_on is False else "rate-jumped"
        last = rate if rate is not None else last
    return (*found, Segment(start, len(continues), begins)) if continues else ()


def _is_jump(before: float | None, after: float | None) -> bool:
    if before is None or after is None or min(before, after) <= 0:
        return False
    return not 1 / JUMP < after / before < JUMP
