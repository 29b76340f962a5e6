"""Whether one checkpoint of a run can have led to the next: steps, and second moments that fell too far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from ckpt_inspect.findings.finding import MOST_EVIDENCE, MOST_NAMED, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.intervals import SMALLEST_SQUARE, Interval, Intervals
from ckpt_inspect.findings.roles import are_biases
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.order import distinct
from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.measurement.wording import counted, figure, percent, setting, whole
from ckpt_inspect.records import dataclass

RESET = Kind(
    id="step-reset",
    title="Step counter fell back",
    severity=Severity.CRITICAL,
    condition="The optimizer's step is smaller than in the checkpoint before.",
    why="Bias correction depends on the counter, so the next updates are too large or too small. Usually the moments "
    "are gone as well.",
    action="Restore the optimizer together with the model (one tf.train.Checkpoint of both, or the whole model); if "
    "these are two runs, analyse them separately",
    source="tensorflow/tensorflow#44670, keras-team/keras#16983, keras-team/tf-keras#70",
    metrics=("step",),
)

LOST = Kind(
    id="state-lost",
    title="Optimizer state lost between two checkpoints",
    severity=Severity.CRITICAL,
    condition="At least half of the sampled elements of v fell to less than half of what k updates without a gradient "
    "leave: v2 < ½·β2^k·v1, k being the updates from one checkpoint to the next. Or all moments are 0 at a step above "
    "0.",
    why="The averages of the gradients are gone: in k updates v can't fall below β2^k of what it was, unless it is "
    "set back.",
    action="Restore the optimizer together with the model, and make sure that its variables exist before that; if "
    "these are two runs, analyse them separately",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v2 = β2^k·v1 + (what is not negative)",
    metrics=("second_moment_sample", "second_moment_mean"),
)

BROKEN = Kind(
    id="lineage-broken",
    title="Second moments fell faster than they can",
    severity=Severity.WARNING,
    condition="Some of the sampled elements of v, but fewer than half, fell below what k updates without a gradient "
    "leave: v2 < β2^k·v1, by more than rounding. They may be any number if β2 is assumed and a smaller one explains "
    "the fall: of at least 0.9, or 0.5 where v fell so all over the run.",
    why="In k updates v can't fall below β2^k of what it was. So β2 is smaller than assumed, these checkpoints are "
    "not of one run, or some variables were made anew.",
    action="Give the β2 that was used (--beta-2); if it is right, compare the two checkpoints with ckpt-inspect diff",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v2 = β2^k·v1 + (what is not negative)",
    metrics=("second_moment_sample",),
)

REPEATED = Kind(
    id="step-repeated",
    title="Several checkpoints of one step",
    severity=Severity.INFO,
    condition="Two or more checkpoints in a row have the same step, above 0, and parameters in common.",
    why="If their moments are the same, one state was saved several times. If not, they are of two trainings, or of "
    "one that was set back.",
    action="Nothing, if a state was saved twice, as at the end of a training or as the best so far. If their moments "
    "differ, check that all are of one run",
    source="the counters in the files",
    metrics=("step", "first_moment_rms", "second_moment_mean"),
)

KINDS = (RESET, LOST, BROKEN, REPEATED)


def find_resets(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find steps that fell back, over the whole run."""
    falls = _fallen(history)
    if falls:
        a, b = falls[-1]
        weights = _weights_after(history, a, b)
        origin = _origin(history, a, b) if weights == "carried on" else None
        start, stop = (f"{whole(history.step(row) or 0)} in {history.checkpoints[row]}" for row in (a, b))
        told, action = _WEIGHTS_TOLD[weights], _WEIGHTS_ACTIONS.get(weights, "")
        if origin is not None:
            told = (
                f", and the weights go on from there; the moments can have grown out of {history.at(origin)}: one "
                "training that went back to it, or that was resumed without its optimizer's state"
            )
            action = f"Nothing, if the training went back to {history.checkpoints[origin]}. Otherwise: {action}"
        more = f" ({len(falls)} such falls in the run)" if len(falls) > 1 else ""
        yield history.finding(
            RESET,
            f"The step fell from {start} to {stop}{told}{more}",
            thresholds,
            rows=[row for pair in falls for row in pair],
            evidence=[
                history.evidence(row, weights=(weights or None) if row == b and own == (a, b) else None)
                for own in falls[-MOST_EVIDENCE:]
                for row in own
            ],
            action=action,
        )


def _origin(history: History, before: int, after: int) -> int | None:
    """Return the checkpoint before a fall of the step that the state after it can have grown out of, the latest; None
    if there is none. Moments that began anew may look like that as well, if they had time enough."""
    now, intervals = history.row("second_moment_sample", after), Intervals(history)
    for row in range(before - 1, max(before - 1 - _FARTHEST_BACK, -1), -1):
        interval = intervals.between(row, after)
        if interval is None or not history.step(row):
            continue
        floor = history.row("second_moment_sample", row) * interval.factor
        is_telling = (floor > SMALLEST_SQUARE) & ~np.isnan(now)
        if np.count_nonzero(is_telling) < _FEWEST_WEIGHTS:
            continue
        if not (is_telling & (now < floor * (1 - 1e-3 - interval.tolerance))).any():
            return row
    return None


Weights = Literal["carried on", "others", ""]
"""What became of the weights where state was not carried on; empty if that can't be told."""

_WEIGHTS_TOLD: Mapping[Weights, str] = {
    "carried on": ", and the weights go on from there: one training that was resumed without its optimizer's state",
    "others": ", and the weights are others as well: these are two trainings",
    "": "; whether one training was resumed or these are two can't be told from the weights",
}
_WEIGHTS_ACTIONS: Mapping[Weights, str] = {
    "carried on": "Restore the optimizer together with the model (one tf.train.Checkpoint of both, or the whole "
    "model), and make sure that its variables exist before that",
    "others": "Keep each training in a folder of its own, and analyse them separately",
}
_FEWEST_WEIGHTS = 32
"""Sampled elements of weight matrices that it takes: the correlation of so many that don't depend on each other is
within 0.35 of 0 (two standard deviations)."""
_FARTHEST_BACK = 64
"""Checkpoints before a fall of the step that are tried as what the training went back to."""
_SAME, _OTHER = 0.9, 0.5
"""Correlations of the weights of two checkpoints, above which they are the same training's, and below which another's.
"""
_LONGER = 10
"""Times as many updates as between the two checkpoints before, after which weights may be elsewhere by themselves."""


def _weights_after(history: History, before: int, after: int) -> Weights:
    """Tell by sampled weights whether a training goes on in the next checkpoint although its state doesn't.

    They go on if they are nearly where they were, and nearer to that than to where the training began, as a new one
    from the same seed would be. They are others if they are not related, while they hardly turned before.
    """
    if "value_sample" not in history.run.variables:
        return ""
    places = ~are_biases(history) & history.present(before) & history.present(after)
    first, a, b = (history.row("value_sample", row)[places] for row in (0, before, after))
    alike = _correlation(a, b)
    if np.isnan(alike):
        return ""
    is_nearest = before == 0 or _distance(a, b) <= _distance(first, b)
    if alike >= _SAME and is_nearest:
        return "carried on"
    if alike >= _OTHER or before == 0:
        return ""
    turned = _correlation(history.row("value_sample", before - 1)[places], a)
    usual, since = ((history.step(row) or 0) for row in (before, after))
    usual -= history.step(before - 1) or 0
    return "others" if turned >= _SAME and 0 <= since <= _LONGER * usual else ""


def _correlation(a: Floats, b: Floats) -> float:
    """Return the correlation of the same sampled elements (P, S) of two checkpoints, each tensor about its own mean;
    NaN if they are too few, or all alike."""
    is_known = np.isfinite(a) & np.isfinite(b)
    if np.count_nonzero(is_known) < _FEWEST_WEIGHTS:
        return np.nan
    counts = np.maximum(is_known.sum(axis=1, keepdims=True), 1)
    a, b = (np.where(is_known, each, 0) for each in (a, b))
    a, b = (np.where(is_known, each - each.sum(axis=1, keepdims=True) / counts, 0) for each in (a, b))
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else np.nan


def _distance(a: Floats, b: Floats) -> float:
    return float(np.sqrt(np.nansum((a - b) ** 2)))


def _fallen(history: History) -> list[tuple[int, int]]:
    """Two rows each, one after the other of those whose step is known, where it is smaller in the second.

    Checkpoints without a common parameter are of different models, and neither led to the other.
    """
    steps = history["step"]
    known = np.flatnonzero(steps >= 0)
    at = np.flatnonzero(np.diff(steps[known]) < 0)
    falls = zip(known[at].tolist(), known[at + 1].tolist(), strict=True)
    return [(a, b) for a, b in falls if (history.present(a) & history.present(b)).any()]


def find_restarts(history: History) -> Iterator[int]:
    """Yield the run's checkpoints whose state was not carried on from the one before, by their places in the run.

    The step fell, all moments vanished, or v fell faster than it can; not where another β2 in place of an assumed one
    explains that. A checkpoint before the first update that follows others is where a counter was set back.
    """
    if not len(history):
        return
    steps = history.of_all("step")
    for fallen in _fallen(history):
        before, after = (int(history.rows[row]) for row in fallen)
        zeros = before + 1 + np.flatnonzero(steps[before + 1 : after] == 0)
        yield int(zeros[0]) if zeros.size else after
    vanished = _vanished(history)
    lost, broken = _falls(history, vanished)
    lost |= {row: fall for row, fall in broken.items() if fall.largest_beta_2 is None}
    gone = set(vanished)
    for row in (*vanished, *lost):
        if row > 0 and not {row - 1, row} <= gone:
            yield int(history.rows[row])


def find_repeated_steps(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find checkpoints of the same step in a row, over the whole run: where it fell in between, it was set back."""
    known = history["step"][history["step"] >= 0]
    if distinct(known).size == known.size:  # as in most runs, however long
        return
    places: dict[int, list[int]] = {}
    before: int | None = None
    for row, step in enumerate(history.steps):
        if step is None:
            continue
        if step not in places or (step == before and (history.present(row) & history.present(places[step][0])).any()):
            places.setdefault(step, []).append(row)
        before = step
    repeated = {step: rows for step, rows in places.items() if len(rows) > 1}
    if not repeated:
        return
    step, rows = max(repeated.items())
    names = history.checkpoints
    told = ", ".join(names[row] for row in rows[:MOST_NAMED])
    told += f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    is_same = all(_have_same_moments(history, rows[0], row) for row in rows[1:])
    states = "with the same moments" if is_same else "whose moments differ"
    more = f"; {len(repeated)} steps are in several" if len(repeated) > 1 else ""
    every = sorted(row for own in repeated.values() for row in own)
    yield history.finding(
        REPEATED,
        f"Step {whole(step)} is in {len(rows)} checkpoints, {states}: {told}{more}",
        thresholds,
        rows=every,
        evidence=[history.evidence(row) for row in every[-MOST_EVIDENCE:]],
    )


def _have_same_moments(history: History, a: int, b: int) -> bool:
    """Whether the figures of two checkpoints' moments are the same to the bit, of the parameters in both."""
    moments = ("first_moment_rms", "second_moment_mean", "second_moment_sample")
    both = history.present(a) & history.present(b)
    return all(
        np.array_equal(history.row(name, a)[both], history.row(name, b)[both], equal_nan=True) for name in moments
    )


def find_lost_state(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find moments that vanished or fell faster than they can, over the whole run."""
    vanished = _vanished(history)
    if vanished:
        yield _vanished_finding(history, thresholds, vanished)
    lost, broken = _falls(history, vanished)
    for kind, found in ((LOST, lost), (BROKEN, broken)):
        if found:
            yield _lineage_finding(history, thresholds, kind, found)


@dataclass(frozen=True, slots=True)
class _Fall:
    """Second moments that fell too fast since the row before."""

    below: Bools
    """(P, S) which sampled elements."""
    beta_2: float
    """By which they can't have, that of the interval."""
    largest_beta_2: float | None
    """By which they can have fallen so far, where β2 is assumed; None where it is not, or where none that is in use
    explains it."""


def _falls(history: History, vanished: list[int]) -> tuple[dict[int, _Fall], dict[int, _Fall]]:
    """Return by row where second moments fell too fast: where the state was lost, and elsewhere."""
    found: dict[int, tuple[_Fall, bool]] = {}
    is_half = np.array([str(dtype) in ("float16", "bfloat16") for dtype in history["dtype"]], np.bool_)
    gone = set(vanished)
    intervals = Intervals(history)
    for interval, former, now in intervals.falling("second_moment_sample", 1 - 1e-3):
        if interval.after in gone:
            continue
        floor = former * interval.factor
        is_telling = (floor > SMALLEST_SQUARE) & ~np.isnan(now)
        is_telling &= ~is_half[:, None]
        below = is_telling & (now < floor * (1 - 1e-3 - interval.tolerance))
        if not below.any():
            continue
        is_lost = bool(np.count_nonzero(is_telling & (now < floor / 2)) >= np.count_nonzero(is_telling) / 2)
        largest = _largest_beta_2(history, interval, former, now, below)
        found[interval.after] = _Fall(below, interval.beta_2, largest), is_lost
    every = {row: fall for row, (fall, _) in found.items()}
    smallest = _SMALLEST_BETA_2
    if not all(_explains(fall, smallest) for fall in every.values()) and _falls_throughout(
        history, intervals, every, ~is_half
    ):
        smallest = _SMALLEST_OF_A_RUN
    lost: dict[int, _Fall] = {}
    broken: dict[int, _Fall] = {}
    for row, (fall, is_lost) in found.items():
        is_explained = _explains(fall, smallest)
        own = fall if is_explained else replace(fall, largest_beta_2=None)
        (lost if is_lost and not is_explained else broken)[row] = own
    return lost, broken


def _explains(fall: _Fall, smallest: float) -> bool:
    """Whether a β2 that is in use, in place of an assumed one, explains a fall: by rounding v falls a little faster."""
    return fall.largest_beta_2 is not None and fall.largest_beta_2 * (1 + _ROUNDING) >= smallest


def _falls_throughout(history: History, intervals: Intervals, found: Mapping[int, _Fall], are_telling: Bools) -> bool:
    """Whether v fell too far for an assumed β2 all over the run, wherever it fell: the β2 was smaller all along, as a
    state that is lost again and again is not.

    An interval in which v fell, but nowhere too far, is of the assumed β2. One in which gradients grew tells nothing.
    """
    if len(found) < 2 or not (history["beta_2_source"] == "default").all():
        return False
    for row in range(1, len(history)):
        interval = None if row in found else intervals.between(row - 1, row)
        if interval is None:
            continue
        former, now = (history.row("second_moment_sample", own) for own in (row - 1, row))
        is_telling = (former * interval.factor > SMALLEST_SQUARE) & ~np.isnan(now) & are_telling[:, None]
        if np.count_nonzero(is_telling & (now < former)) > np.count_nonzero(is_telling) / _FEW:
            return False
    return True


def _lineage_finding(history: History, thresholds: Thresholds, kind: Kind, found: dict[int, _Fall]) -> Finding:
    row = max(found)
    weights: Weights = _weights_after(history, row - 1, row) if kind is LOST else ""
    told = _WEIGHTS_TOLD[weights] if kind is LOST else ""
    sampled = ~np.isnan(history.row("second_moment_sample", row))
    shares: Floats = found[row].below.sum(axis=1) / np.maximum(sampled.sum(axis=1), 1)
    places = worst_first(shares > 0, shares)
    before, after = history.step(row - 1), history.step(row)
    more = f" ({len(found)} such pairs in the run)" if len(found) > 1 else ""
    action = _WEIGHTS_ACTIONS.get(weights, "")
    severity = None
    beta_2 = setting(found[row].beta_2)
    alike = {at: fall.largest_beta_2 for at, fall in found.items() if setting(fall.beta_2) == beta_2}
    explained = {at: bound for at, bound in alike.items() if bound is not None}
    if (largest := found[row].largest_beta_2) is not None:
        is_refuted = any(history[f"beta_2{CONTRADICTION}"])
        if is_refuted and len(explained) == len(found):  # that value is a finding of its own, and this what follows
            severity = Severity.INFO
        refuted = ", contradicted" if is_refuted else ""
        at_most = f"was {figure(largest, 4)} at most, unless the state was lost"
        if found[row].beta_2 != history.row("beta_2", row):
            more += f"; β2 = {history.quoted('beta_2', row - 1)}, before, and by this fall it then {at_most}"
            action = (
                f"If β2 was changed to {figure(largest, 4)} or less, give it (--beta-2). If it was not, the "
                "optimizer's state was lost between the two: restore it together with the model"
            )
        else:
            more += f"; β2 = {beta_2} is assumed{refuted}, and by this fall {at_most}"
            tightest = min(explained, key=lambda at: explained[at])
            if figure(explained[tightest], 4) != figure(largest, 4):
                ends = f"{history.at(tightest - 1)} to {history.at(tightest)}"
                more += f" (from {ends} {figure(explained[tightest], 4)} at most)"
            action = (
                f"Give the β2 that was used (--beta-2): {beta_2} is this implementation's default. If it was larger "
                f"than {figure(largest, 4)}, the optimizer's state was lost between the two: restore it together with "
                "the model"
            )
    own = row if found[row].beta_2 == history.row("beta_2", row) else row - 1
    if found[row].largest_beta_2 is None and "inferred" in (quoted := history.quoted("beta_2", own)):
        more += f"; β2 = {quoted}"
    return history.finding(
        kind,
        f"From {history.at(row - 1)} to {history.at(row)} v fell faster than {beta_2}^"
        f"{(after or 0) - (before or 0)} in {history.counted(places, row)}, by share of their sampled elements: "
        f"{history.named(places, [percent(shares[i]) for i in places])}{told}{more}",
        thresholds,
        rows=[r for later in found for r in (later - 1, later)],
        is_between=True,
        parameters=places,
        evidence=[
            history.evidence(
                row, i,
                share_below_bound=shares[i],
                second_moment_mean_before=history.row("second_moment_mean", row - 1)[i],
                second_moment_mean=history.row("second_moment_mean", row)[i],
                weights=weights or None,
            )
            for i in places[:MOST_EVIDENCE]
        ],
        severity=severity,
        action=action,
    )  # fmt: skip


_SMALLEST_BETA_2, _SMALLEST_OF_A_RUN = 0.9, 0.5
"""The smallest β2 that is in use: below it, a fall of v is not explained by another β2. Rarer ones are believed where v
falls too far all over the run."""
_ROUNDING = 1.3e-6
"""Relative, in an update: of float32, and of implementations that take β2 for 0.999 or float32(0.999)."""
_FEW = 16
"""Where v fell in no more than one element of so many, gradients grew."""


def _largest_beta_2(history: History, interval: Interval, before: Floats, after: Floats, below: Bools) -> float | None:
    """Return the largest β2 by which v can have fallen so far in the interval, where β2 is assumed.

    None where β2 is not assumed. v2 >= β2^k·v1 holds for every element.
    """
    if history.row("beta_2_source", interval.after) != "default":
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.min((after / before)[below]) ** (1 / interval.updates))


def _vanished(history: History) -> list[int]:
    """Checkpoints whose m and v are all 0 although updates have been made."""

    def is_left(untouched: Floats, rms: Floats, counts: Floats) -> Bools:
        left: Bools = ~((untouched == 1) & (rms == 0)) & ~np.isnan(counts)
        return left

    left = history.where("moments", ("untouched", "first_moment_rms", "nonfinite"), is_left)
    is_gone = np.ones(len(history), np.bool_)
    is_gone[left] = False
    return [int(row) for row in np.flatnonzero(is_gone)]


def _vanished_finding(history: History, thresholds: Thresholds, rows: list[int]) -> Finding:
    row = rows[-1]
    weights: Weights = _weights_after(history, row - 1, row) if row and row - 1 not in rows else ""
    is_told = row > 0 and row - 1 not in rows
    return history.finding(
        LOST,
        f"In {history.at(row)} all moments of {counted(int(np.count_nonzero(history.present(row))), 'tensor')} are 0"
        f"{_WEIGHTS_TOLD[weights] if is_told else ''}",
        thresholds,
        rows=rows,
        evidence=[history.evidence(row, untouched=1.0, weights=weights or None)],
        action=_WEIGHTS_ACTIONS.get(weights, ""),
    )
