"""Tensors and elements that get no gradient any more, by what is left of their second moments."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ckpt_inspect.findings.finding import MOST_EVIDENCE, MOST_NAMED, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.intervals import SMALLEST_SQUARE, Interval, Intervals
from ckpt_inspect.findings.roles import kernels_beside
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.wording import counted, figure, percent

STARVED_TENSORS = Kind(
    id="starved-tensors",
    title="Tensors that get no gradient any more",
    severity=Severity.WARNING,
    condition="In the last k updates v only decayed: mean(v2) = β2^k·mean(v1) to rounding. m, if there is one, is no "
    "larger than decay leaves it, β1^k of what it was, or just that where β1 is known. k is at least 10, and large "
    "enough for E to grow by the factor starved_inflation: β2^(-k/2). The latter isn't needed if at least the share "
    "standstill of the tensors is so.",
    why="Nothing was added to v all that time: the tensor is frozen, or cut off from the loss. Meanwhile E grows like "
    "β2^(-k/2), so that the next gradient moves the tensor too far. If it is most tensors, training stands still.",
    action="Nothing, if it was frozen on purpose; otherwise look for what cut it off from the loss",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: without gradients v2 = β2^k·v1",
    thresholds=("starved_inflation", "standstill"),
    metrics=("second_moment_mean", "effective_lr"),
)

STARVED = Kind(
    id="starved-elements",
    title="Elements that get no gradient any more",
    severity=Severity.WARNING,
    condition="At least the share starved of a tensor's sampled elements got no gradient in the last k updates: v "
    "only decayed, v2 = β2^k·v1 to rounding, and is small enough to show gradients of m's size. k is at least 10, and "
    "large enough for E to grow by the factor starved_inflation: β2^(-k/2). A bias shows which of its layer's units "
    "are dead by now. It is a warning if at least the share dead_units of them is dead, or twice that share if only "
    "16 were sampled.",
    why="These elements got no gradient all that time (dead units, rare tokens). Meanwhile E grows like β2^(-k/2), so "
    "that the next gradient moves them too far.",
    action="Look for units that died. For rare tokens use LazyAdam, which leaves rows without a gradient alone, or a "
    "smaller β2",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: without gradients v2 = β2^k·v1",
    thresholds=("starved", "starved_inflation", "dead_units"),
    metrics=("second_moment_sample", "effective_lr_sample"),
)

KINDS = (STARVED_TENSORS, STARVED)

_DIED = (
    "Lower the learning rate of the next run: one step that is too large can push units to where they are never on. A "
    "leaky activation lets such units recover"
)

_SMALLEST_MOMENT = 1e-30
"""First moments below this may be what rounding leaves of larger ones: float32's smallest numbers stay where they are.
"""

_ROUNDING_OF_M = 1e-7
"""Relative, in an update: of float32 and of its β1, three times what was measured (3e-8, with β1 = 0.9)."""

_DOUBT = 2
"""Times the share of a layer's units that must be dead where only 16 were sampled: a quarter of the units is half of
such samples once in 40 layers."""

_ALL = 0.97
"""Share of sampled units that are all of them, as far as 16 samples tell."""

_VISIBLE = 0.01
"""Share of the mean square of m that a gradient's square is expected to have at least."""

_FEWEST_UPDATES = 10
"""Below so many updates a small gradient can't be distinguished from none."""


def find_starved(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Compare the newest checkpoint with the last one that is far enough back for E to have grown, or, if most tensors
    get no gradient, with the first one since which they got none."""
    starved = starved_in(history, thresholds)
    if whole := starved.tensors:
        places = set(whole.places)
        interval = _longest(history, whole.interval, lambda longer: places <= set(_whole(history, longer)))
        before, after = (history.row("second_moment_mean", row) for row in (interval.before, interval.after))
        yield history.finding(
            STARVED_TENSORS,
            f"No gradient has reached {history.counted(whole.places)} {_since_when(history, interval)}: "
            f"{history.named(whole.places)}",
            thresholds,
            rows=(interval.before, interval.after),
            parameters=whole.places,
            evidence=[
                history.evidence(interval.after, i, second_moment_mean_before=before[i], second_moment_mean=after[i])
                for i in whole.places[:MOST_EVIDENCE]
            ],
        )
    if starved.elements:
        yield _of_elements(history, thresholds, starved.elements, starved.shares)


def _of_elements(history: History, thresholds: Thresholds, some: Places, shares: Floats) -> Finding:
    """Return the finding about tensors of which many elements get no gradient: first of layers whose units died."""
    dead = _dead_units(history, thresholds, some, shares)
    layers = [i for i in some.places if i in dead]
    others = [i for i in some.places if i not in dead]
    interval = some.interval
    if layers:
        interval = _longest(history, interval, lambda i: bool((_starved_shares(history, i) >= shares)[layers].all()))
    named = history.named(others, [percent(shares[i]) for i in others])
    since = _since_when(history, interval)
    title = f"No gradient has reached many of the sampled elements of {history.counted(others)} {since}: {named}"
    if layers:
        units = ", ".join(_units_text(history, i, dead[i]) for i in layers[:MOST_NAMED])
        more = f" and units of {counted(len(layers) - MOST_NAMED, 'more layer')}" if len(layers) > MOST_NAMED else ""
        besides = f"; nor many of the sampled elements of {history.counted(others)}: {named}" if others else ""
        title = f"No gradient has reached {units}{more} {since}{besides}"
    places = layers + others
    return history.finding(
        STARVED,
        title,
        thresholds,
        rows=(interval.before, interval.after),
        parameters=places,
        evidence=[
            history.evidence(interval.after, i, starved=shares[i], dead_units=dead.get(i))
            for i in places[:MOST_EVIDENCE]
        ],
        severity=Severity.WARNING if layers else Severity.INFO,
        action=_DIED if layers else "",
    )


def _dead_units(history: History, thresholds: Thresholds, some: Places, shares: Floats) -> dict[int, float]:
    """Return the share of its layer's units that get no gradient, by the places of biases of which enough are so; those
    that never got one are among them."""
    kernels, untouched = kernels_beside(history), np.nan_to_num(history.row("untouched", some.interval.after))
    dead = {i: min(float(shares[i] + untouched[i]), 1.0) for i in some.places if kernels[i]}
    is_part = history["size"] > history["sample_index"].shape[1]
    return {i: each for i, each in dead.items() if each >= thresholds.dead_units * (_DOUBT if is_part[i] else 1)}


def _units_text(history: History, bias: int, share: float) -> str:
    """Return how many of a layer's units that is: `4 of the 10 units of third`, or by a sample of them a share."""
    size = int(history["size"][bias])
    is_part = size > history["sample_index"].shape[1]
    many = str(round(share * size))
    if is_part:  # large gradients before can hide that there are none by now
        many = "about all" if share >= _ALL else f"at least about {percent(round(share, 2))}"
    return f"{many} of the {counted(size, 'unit')} of {history.parameters[bias].rpartition('/')[0]}"


def _since_when(history: History, interval: Interval) -> str:
    """Since when, and how far E grew for it: `in the 300 updates since m-200.h5 (meanwhile their E grew ×1.16)`."""
    since = history.checkpoints[interval.before]
    updates = counted(interval.updates, "update")
    return f"in the {updates} since {since} (meanwhile their E grew ×{figure(interval.inflation)})"


class Places(NamedTuple):
    """Tensors, and the interval in which they, or elements of them, got no gradient."""

    interval: Interval
    places: list[int]


class Starved(NamedTuple):
    """What gets no gradient any more."""

    tensors: Places | None
    """The tensors of which no element got one, the largest first."""
    elements: Places | None
    """Other tensors of which many elements got none, the worst first."""
    shares: Floats
    """(P,) of the sampled elements."""

    @property
    def places(self) -> list[int]:
        """Return the places of them all."""
        return [i for found in (self.tensors, self.elements) if found for i in found.places]


def starved_in(history: History, thresholds: Thresholds) -> Starved:
    """Return what gets no gradient any more, as far as two checkpoints are far enough apart to tell."""
    newest = len(history) - 1
    every = Intervals(history)
    intervals = (i for before in reversed(range(newest)) if (i := every.between(before, newest)))
    telling = (i for i in intervals if i.updates >= _FEWEST_UPDATES)
    latest = next(telling, None)
    none = np.zeros(len(history.parameters))
    if latest is None:
        return Starved(None, None, none)
    needed = max(thresholds.starved_inflation, 1.0)
    long = next((i for i in itertools.chain((latest,), telling) if i.inflation >= needed), None)
    whole = _whole(history, latest)
    if len(whole) < max(thresholds.standstill, 1e-12) * np.count_nonzero(history.present(-1)):
        whole = [] if long is None else _whole(history, long)
        latest = long or latest
    tensors = Places(latest, whole) if whole else None
    if long is None:
        return Starved(tensors, None, none)
    shares = _starved_shares(history, long)
    some = [i for i in worst_first(shares >= max(thresholds.starved, 1e-12), shares) if i not in set(whole)]
    return Starved(tensors, Places(long, some) if some else None, shares)


def _whole(history: History, interval: Interval) -> list[int]:
    """Return the places of the tensors that got no gradient in an interval, the largest first."""
    before, after = (history.row("second_moment_mean", row) for row in (interval.before, interval.after))
    floor = before * interval.factor
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = after / floor - 1
    is_starved = (floor > SMALLEST_SQUARE) & (np.abs(excess) <= interval.tolerance) & ~_still_moving(history, interval)
    return worst_first(is_starved, history["size"].astype(np.float64))


def _longest(history: History, shorter: Interval, holds: Callable[[Interval], bool]) -> Interval:
    """Return the longest interval up to the same checkpoint in which something holds as well: what holds of one holds
    of all shorter ones."""
    every = Intervals(history)

    def holds_from(before: int) -> bool:
        longer = every.between(before, shorter.after)
        return longer is not None and holds(longer)

    first = bisect_left(range(shorter.before), True, key=holds_from)
    return every.between(first, shorter.after) or shorter


def _still_moving(history: History, interval: Interval) -> Bools:
    """(P,) whether m shows that gradients came: it is larger than β1^k leaves of the former one, or, where β1 is known,
    not what that leaves to rounding.

    After one huge gradient, the squares of ordinary ones are smaller than v's rounding, so that v alone can't tell.
    """
    rows = (interval.before, interval.after)
    after, left = history.row("first_moment_rms", interval.after), _left_of_m(history, interval)
    one, beta_1 = (history.row("beta_1", row) for row in rows)
    moving: Bools = after > np.maximum(1.01 * left, _SMALLEST_MOMENT)
    if one == beta_1 and "default" not in [history.row("beta_1_source", row) for row in rows]:
        is_half = np.array([str(dtype) in ("float16", "bfloat16") for dtype in history["dtype"]], np.bool_)
        tolerance = _ROUNDING_OF_M * (1 + interval.updates)
        moving |= ~is_half & (left > _SMALLEST_MOMENT) & (np.abs(after - left) > tolerance * left)
    return moving


def _left_of_m(history: History, interval: Interval) -> Floats:
    """(P,) what β1^k leaves of the RMS of m."""
    beta_1 = float(np.nan_to_num(history.row("beta_1", interval.after)))
    left: Floats = beta_1**interval.updates * history.row("first_moment_rms", interval.before)
    return left


def _starved_shares(history: History, interval: Interval) -> Floats:
    """(P,) share of a tensor's sampled elements, those never touched left out, whose v only decayed."""
    before, after = (history.row("second_moment_sample", row) for row in (interval.before, interval.after))
    floor = before * interval.factor
    is_telling = (floor > SMALLEST_SQUARE) & ~np.isnan(after)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_left = is_telling & (np.abs(after / floor - 1) <= interval.tolerance)
    sampled = np.maximum((history["sample_index"] >= 0).sum(axis=1), 1)
    # Ordinary gradients must be seen beside what is left of v, or their absence says nothing. They are of about m's
    # size in the elements that have any: of those whose v only decayed m has nothing left
    moving = np.maximum(1 - is_left.sum(axis=1) / sampled, 1 / history["sample_index"].shape[1])
    size = np.nan_to_num(history.row("first_moment_rms", interval.after))
    left = np.nan_to_num(_left_of_m(history, interval))
    size = np.where(size > 1.01 * left, size, np.abs(size - left))  # what is of gradients before is of none since
    squares: Floats = size**2 / moving
    visible = _VISIBLE * (1 - interval.factor) * squares[:, None]
    starved = is_left & (~_still_moving(history, interval)[:, None] | (floor * interval.tolerance < visible))
    shares: Floats = starved.sum(axis=1) / sampled
    return shares
