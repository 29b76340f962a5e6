"""Learning rates given for the checkpoints of a run: a table of steps and rates, as text.

The text is CSV: a line `step,learning_rate`, then a line for each step. The rate of a step is that of the update which
made it, the last one of a checkpoint at that step.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping

from ckpt_inspect.errors import RequestError

HEADING = ("step", "learning_rate")


def decode_rate_table(text: str, where: str) -> dict[int, float]:
    """Return the rates by step, in the order of the steps; RequestError, which names `where`, if it is not a table."""
    import csv  # for a table that is given

    lines = [line for line in csv.reader(text.splitlines()) if line and not line[0].lstrip().startswith("#")]
    if not lines or tuple(cell.strip().lower() for cell in lines[0][:2]) != HEADING:
        raise RequestError(
            f"{where}: learning_rate must be a number, or a table whose first line is step,learning_rate"
        )
    rates: dict[int, float] = {}
    for line in lines[1:]:
        try:
            step, rate = float(line[0]), float(line[1])
        except (ValueError, IndexError) as error:
            raise RequestError(f"{where}: {','.join(line)!r} is not a line of a step and a learning rate") from error
        if not (step >= 0 and step.is_integer()):
            raise RequestError(f"{where}: {line[0]!r} in {','.join(line)!r} is not a whole number of updates")
        if not (math.isfinite(rate) and rate >= 0):
            raise RequestError(f"{where}: {line[1]!r} in {','.join(line)!r} can't be a learning rate")
        if rates.setdefault(int(step), rate) != rate:
            raise RequestError(f"{where}: step {int(step)} has two learning rates, {rates[int(step)]:g} and {rate:g}")
    if not rates:
        raise RequestError(f"{where}: the table of learning rates has no line of a step and a rate")
    return dict(sorted(rates.items()))


def encode_rate_table(rates: Mapping[int, float]) -> str:
    """Return the table's text."""
    return "\n".join([",".join(HEADING), *(f"{step},{rate!r}" for step, rate in sorted(rates.items()))])


def rate_at(rates: Mapping[int, float], step: int) -> float | None:
    """Return the rate of a step; None if the table doesn't determine it.

    Between two lines of the same rate it is that rate; between others anything may have happened.
    """
    if step in rates:
        return rates[step]
    steps = list(rates)
    place = bisect_left(steps, step)
    if 0 < place < len(steps) and rates[steps[place - 1]] == rates[steps[place]]:
        return rates[steps[place]]
    return None
