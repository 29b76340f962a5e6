"""Tensors and elements that get no gradient any more, by what is left of their second moments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ckpt_inspect.findings.finding import MOST_EVIDENCE, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.intervals import SMALLEST_SQUARE, Interval, Intervals
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.wording import percent

STARVED_TENSORS = Kind(
    id="starved-tensors",
    title="Tensors that get no gradient any more",
    severity=Severity.WARNING,
    condition="mean(v2) = β2^k·mean(v1) to rounding over the last k updates, with k >= 10 and β2^(-k/2) >= "
    "starved_inflation; and m, if there is one, is not larger than β1^k leaves of it.",
    why="Nothing was added to v all that time: the tensor has been frozen or cut off, and E inflates like β2^(-k/2) "
    "until the first gradient comes, which then moves it too far.",
    action="Nothing, if it was frozen on purpose; otherwise look for what cut it off from the loss",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: without gradients v2 = β2^k·v1",
    thresholds=("starved_inflation",),
    metrics=("second_moment_mean", "effective_lr"),
)

STARVED = Kind(
    id="starved-elements",
    title="Elements that get no gradient any more",
    severity=Severity.INFO,
    condition="In at least the share starved of a tensor's sampled elements v2 = β2^k·v1 to rounding over the last k "
    "updates, with k >= 10 and β2^(-k/2) >= starved_inflation, and v is small enough to show gradients of m's size.",
    why="These elements saw no gradient all that time (dead units, rare tokens): their E inflates like β2^(-k/2) "
    "until the first gradient comes, which then moves them too far.",
    action="Look for units that died; for rare tokens take a rule that leaves untouched rows alone (LazyAdam), or a "
    "smaller β2",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: without gradients v2 = β2^k·v1",
    thresholds=("starved", "starved_inflation"),
    metrics=("second_moment_sample", "effective_lr_sample"),
)

KINDS = (STARVED_TENSORS, STARVED)

_SMALLEST_MOMENT = 1e-30
"""First moments below this may be what rounding leaves of larger ones: float32's smallest numbers stay where they are.
"""

_VISIBLE = 0.01
"""Share of the mean square of m that a gradient's square is expected to have at least."""

_FEWEST_UPDATES = 10
"""Below so many updates a small gradient can't be distinguished from none."""


def find_starved(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Compare the newest checkpoint with the last one that is far enough back for E to have grown."""
    starved = starved_in(history, thresholds)
    if starved is None:
        return
    interval, whole, some, shares = starved
    told = (
        f"in the {interval.updates} updates since {history.checkpoints[interval.before]} (their E grew "
        f"×{interval.inflation:.3g} for it)"
    )
    if whole:
        before, after = (history.row("second_moment_mean", row) for row in (interval.before, interval.after))
        yield history.finding(
            STARVED_TENSORS,
            f"No gradient has reached {history.counted(whole)} {told}: {history.named(whole)}",
            thresholds,
            rows=(interval.before, interval.after),
            parameters=whole,
            evidence=[
                history.evidence(interval.after, i, second_moment_mean_before=before[i], second_moment_mean=after[i])
                for i in whole[:MOST_EVIDENCE]
            ],
        )
    if some:
        yield history.finding(
            STARVED,
            f"No gradient has reached many of the sampled elements of {history.counted(some)} {told}: "
            f"{history.named(some, [percent(shares[i]) for i in some])}",
            thresholds,
            rows=(interval.before, interval.after),
            parameters=some,
            evidence=[history.evidence(interval.after, i, starved=shares[i]) for i in some[:MOST_EVIDENCE]],
        )


class Starved(NamedTuple):
    """What gets no gradient any more."""

    interval: Interval
    """In which none came."""
    tensors: list[int]
    """Places of the tensors of which no element got one, the largest first."""
    some: list[int]
    """Places of other tensors of which many elements got none, the worst first."""
    shares: Floats
    """(P,) of the sampled elements."""


def starved_in(history: History, thresholds: Thresholds) -> Starved | None:
    """Return what gets no gradient any more; None if no two checkpoints are far enough apart to tell."""
    newest = len(history) - 1
    every = Intervals(history)
    intervals = (every.between(before, newest) for before in reversed(range(newest)))
    needed = max(thresholds.starved_inflation, 1.0)
    interval = next((i for i in intervals if i and i.inflation >= needed and i.updates >= _FEWEST_UPDATES), None)
    if interval is None:
        return None
    before, after = (history.row("second_moment_mean", row) for row in (interval.before, interval.after))
    floor = before * interval.factor
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = after / floor - 1
    sizes = history["size"].astype(np.float64)
    is_moving = _still_moving(history, interval)
    whole = worst_first((floor > SMALLEST_SQUARE) & (np.abs(excess) <= interval.tolerance) & ~is_moving, sizes)
    shares = _starved_shares(history, interval)
    some = worst_first(shares >= max(thresholds.starved, 1e-12), shares)
    return Starved(interval, whole, [i for i in some if i not in set(whole)], shares)


def _still_moving(history: History, interval: Interval) -> Bools:
    """(P,) whether m shows that gradients came: it is larger than β1^k leaves of the former one.

    After one huge gradient, the squares of ordinary ones are smaller than v's rounding, so that v alone can't tell.
    """
    before, after = (history.row("first_moment_rms", row) for row in (interval.before, interval.after))
    left = np.nan_to_num(history.row("beta_1", interval.after)) ** interval.updates * before
    moving: Bools = after > np.maximum(1.01 * left, _SMALLEST_MOMENT)
    return moving


def _starved_shares(history: History, interval: Interval) -> Floats:
    """(P,) share of a tensor's sampled elements, those never touched left out, whose v only decayed."""
    before, after = (history.row("second_moment_sample", row) for row in (interval.before, interval.after))
    floor = before * interval.factor
    is_telling = (floor > SMALLEST_SQUARE) & ~np.isnan(after)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.abs(after / floor - 1)
    # Ordinary gradients, of about m's size, must be seen beside what is left of v, or their absence says nothing
    squares: Floats = np.nan_to_num(history.row("first_moment_rms", interval.after)) ** 2
    visible = _VISIBLE * (1 - interval.factor) * squares[:, None]
    is_telling &= ~_still_moving(history, interval)[:, None] | (floor * interval.tolerance < visible)
    starved = is_telling & (excess <= interval.tolerance)
    sampled = np.maximum((history["sample_index"] >= 0).sum(axis=1), 1)
    shares: Floats = starved.sum(axis=1) / sampled
    return shares
