"""Whether one checkpoint of a run leads to the next: steps, lineage of the second moment, hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.findings.finding import MOST_EVIDENCE, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, percent, worst_first
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.hyperparameters import HYPERPARAMETERS

RESET = Kind(
    id="step-reset",
    title="Step counter fell back",
    severity=Severity.CRITICAL,
    condition="The optimizer's step is smaller than in the checkpoint before.",
    why="A counter that starts anew makes the bias correction inflate or shrink the next updates, and usually the "
    "moments are gone as well: the training was resumed without the optimizer's state, or these are checkpoints of "
    "two runs.",
    action="Restore the optimizer together with the model (one tf.train.Checkpoint of both, or the whole model); if "
    "these are two runs, analyse them separately",
    source="tensorflow/tensorflow#44670, keras-team/keras#16983, keras-team/tf-keras#70",
    metrics=("step",),
)

LOST = Kind(
    id="state-lost",
    title="Optimizer state lost between two checkpoints",
    severity=Severity.CRITICAL,
    condition="For at least half of the sampled elements v2 < ½·β2^k·v1, k being the updates from one checkpoint to "
    "the next; or all moments are 0 at a step above 0.",
    why="v can't fall faster than β2 to the k: it was set back, so that the averages that training had built up are "
    "gone.",
    action="Restore the optimizer together with the model, and see that its variables exist before it is restored; "
    "if these are two runs, analyse them separately",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v2 = β2^k·v1 + (what is not negative)",
    metrics=("second_moment_sample", "second_moment_mean"),
)

BROKEN = Kind(
    id="lineage-broken",
    title="Second moments that can't have come from those before",
    severity=Severity.WARNING,
    condition="For some of the sampled elements, but fewer than half, v2 < β2^k·v1 by more than rounding.",
    why="v can't fall faster than β2 to the k: β2 is smaller than taken for, these checkpoints are not of one run, "
    "or some variables were made anew.",
    action="Give the β2 that was used (--beta-2); if it is right, compare the two checkpoints with ckpt-inspect diff",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v2 = β2^k·v1 + (what is not negative)",
    metrics=("second_moment_sample",),
)

STARVED_TENSORS = Kind(
    id="starved-tensors",
    title="Tensors that get no gradient any more",
    severity=Severity.WARNING,
    condition="mean(v2) = β2^k·mean(v1) to rounding over the last k updates, with k >= 10 and β2^(-k/2) >= "
    "starved_inflation.",
    why="Nothing was added to v all that time: the tensor has been frozen or cut off, and E inflates like β2^(-k/2) "
    "until the first gradient comes, which then moves it too far.",
    action="If it was frozen on purpose, nothing; else look for what cut it off from the loss",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: without gradients v2 = β2^k·v1",
    thresholds=("starved_inflation",),
    metrics=("second_moment_mean", "effective_lr"),
)

STARVED = Kind(
    id="starved-elements",
    title="Elements that get no gradient any more",
    severity=Severity.INFO,
    condition="In at least the share starved of a tensor's sampled elements v2 = β2^k·v1 to rounding over the last k "
    "updates, with k >= 10 and β2^(-k/2) >= starved_inflation.",
    why="These elements saw no gradient all that time (dead units, rare tokens): their E inflates like β2^(-k/2) "
    "until the first gradient comes, which then moves them too far.",
    action="Look for units that died; for rare tokens take a rule that leaves untouched rows alone (LazyAdam), or a "
    "smaller β2",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: without gradients v2 = β2^k·v1",
    thresholds=("starved", "starved_inflation"),
    metrics=("second_moment_sample", "effective_lr_sample"),
)

RATE_CHANGED = Kind(
    id="learning-rate-changed",
    title="Learning rate changed within the run",
    severity=Severity.INFO,
    condition="The known learning rates of two checkpoints differ by more than one in a million.",
    why="Effective learning rates of different checkpoints differ for this reason too: compare them with the nominal "
    "rate.",
    action="Nothing, if it was a schedule or a callback",
    source="the learning rates in the files",
    metrics=("learning_rate",),
)

CHANGED = Kind(
    id="hyperparameters-changed",
    title="Hyperparameters changed within the run",
    severity=Severity.WARNING,
    condition="beta_1, beta_2, epsilon, weight_decay or the rule, where read from the files, differ between two "
    "checkpoints by more than one in ten thousand.",
    why="A run seldom changes them on purpose: it was resumed with another optimizer, or these are checkpoints of "
    "two runs.",
    action="Make sure that these checkpoints are of one run; if not, analyse them separately",
    source="the hyperparameters in the files",
    metrics=("beta_1", "beta_2", "epsilon", "weight_decay", "rule"),
)

KINDS = (RESET, LOST, BROKEN, CHANGED, STARVED_TENSORS, STARVED, RATE_CHANGED)

_FEWEST_UPDATES = 10
"""Below so many updates a small gradient can't be told from none."""

_SMALLEST_SQUARE = 1e-36
"""β2^k·v1 below this may have been flushed to 0."""

_DECAYING = ("adam", "amsgrad", "adamw", "nadam", "adamax", "lamb", "radam", "lazyadam", "bert-adamw")
"""Rules whose second moment decays by β2 at every update, or (the lazy ones) at most at every update."""


@dataclass(frozen=True, slots=True)
class _Interval:
    """From one checkpoint of a history to the next."""

    before: int
    after: int
    updates: int
    factor: float
    """β2^k: what is left of a second moment without gradients."""

    @property
    def tolerance(self) -> float:
        """Relative; of k roundings of float32, and of implementations that take β2 for 0.999 or float32(0.999)."""
        return 1e-6 + 3e-7 * self.updates

    @property
    def inflation(self) -> float:
        """Of E, where no gradient came."""
        return float(self.factor**-0.5)


class _Intervals:
    """All that can be had of a history; what is looked up for each is looked up once."""

    def __init__(self, history: History) -> None:
        self._steps = history["step"].tolist()
        self._rules = history["rule"].tolist()
        self._beta_2 = history["beta_2"].tolist()

    def between(self, before: int, after: int) -> _Interval | None:
        """None where the number of updates or β2 is not known, or the rule's v doesn't decay by it."""
        start, stop, beta_2 = self._steps[before], self._steps[after], self._beta_2[after]
        if not 0 <= start < stop or not 0 < beta_2 < 1:
            return None
        if self._rules[before] != self._rules[after] or self._rules[after] not in _DECAYING:
            return None
        factor = beta_2 ** (stop - start)
        return _Interval(before, after, stop - start, factor) if factor > 0 else None


def find_resets(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Over the whole run."""
    steps = history.steps
    known = [(row, step) for row, step in enumerate(steps) if step is not None]
    falls = [(a, b) for (a, s), (b, t) in pairwise(known) if t < s]
    if falls:
        a, b = falls[-1]
        start, stop = (f"{steps[row]} in {history.checkpoints[row]}" for row in (a, b))
        more = f" ({len(falls)} such falls in the run)" if len(falls) > 1 else ""
        yield history.finding(
            RESET,
            f"The step fell from {start} to {stop}{more}",
            thresholds,
            rows=[row for pair in falls for row in pair],
            evidence=[history.evidence(row) for pair in falls[-MOST_EVIDENCE:] for row in pair],
        )


def find_lost_state(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Over the whole run: moments that vanished or fell faster than they can."""
    yield from _vanished(history, thresholds)
    sample: Floats = history["second_moment_sample"]
    lost: dict[int, Bools] = {}
    broken: dict[int, Bools] = {}
    intervals = _Intervals(history)
    is_half = np.array([str(dtype) in ("float16", "bfloat16") for dtype in history["dtype"]])
    for row in range(1, len(history)):
        interval = intervals.between(row - 1, row)
        if interval is None:
            continue
        floor = sample[interval.before] * interval.factor
        now = sample[interval.after]
        is_telling = (floor > _SMALLEST_SQUARE) & ~np.isnan(now)
        is_telling &= ~is_half[:, None]
        # Tensors that are 0 throughout in the later checkpoint have vanished, which is told already
        below = is_telling & (now < floor * (1 - 1e-3 - interval.tolerance))
        if not below.any():
            continue
        is_lost = np.count_nonzero(is_telling & (now < floor / 2)) >= np.count_nonzero(is_telling) / 2
        (lost if is_lost else broken)[interval.after] = below
    for kind, found in ((LOST, lost), (BROKEN, broken)):
        if found:
            yield _lineage_finding(history, thresholds, kind, found)


def _lineage_finding(history: History, thresholds: Thresholds, kind: Kind, found: dict[int, Bools]) -> Finding:
    row, below = max(found.items())
    shares: Floats = below.sum(axis=1) / np.maximum((~np.isnan(history["second_moment_sample"][row])).sum(axis=1), 1)
    places = worst_first(shares > 0, shares)
    before, after = history.steps[row - 1], history.steps[row]
    more = f" ({len(found)} such pairs in the run)" if len(found) > 1 else ""
    return history.finding(
        kind,
        f"From {history.at(row - 1)} to {history.at(row)} v fell faster than {history.newest('beta_2'):.6g}^"
        f"{(after or 0) - (before or 0)} in {history.counted(places, row)}: "
        f"{history.named(places, [percent(shares[i]) for i in places])} of their sampled elements{more}",
        thresholds,
        rows=[r for later in found for r in (later - 1, later)],
        parameters=places,
        evidence=[
            history.evidence(
                row, i,
                share_below_bound=shares[i],
                second_moment_mean_before=history["second_moment_mean"][row - 1, i],
                second_moment_mean=history["second_moment_mean"][row, i],
            )
            for i in places[:MOST_EVIDENCE]
        ],
    )  # fmt: skip


def _vanished(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """m and v all 0 although updates have been made."""
    present = history.run.present[history.rows]
    is_zero = (history["untouched"] == 1) & (history["first_moment_rms"] == 0)
    (rows,) = np.nonzero((is_zero | ~present).all(axis=1) & present.any(axis=1))
    if rows.size:
        row = int(rows[-1])
        yield history.finding(
            LOST,
            f"In {history.at(row)} the moments of all {np.count_nonzero(present[row])} tensors are 0",
            thresholds,
            rows=rows.tolist(),
            evidence=[history.evidence(row, untouched=1.0)],
        )


def find_starved(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Between the newest checkpoint and the last one that is far enough back for E to have grown."""
    newest = len(history) - 1
    every = _Intervals(history)
    intervals = (every.between(before, newest) for before in reversed(range(newest)))
    needed = max(thresholds.starved_inflation, 1.0)
    interval = next((i for i in intervals if i and i.inflation >= needed and i.updates >= _FEWEST_UPDATES), None)
    if interval is None:
        return
    mean: Floats = history["second_moment_mean"]
    floor = mean[interval.before] * interval.factor
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = mean[interval.after] / floor - 1
    sizes = history["size"].astype(np.float64)
    told = (
        f"in the {interval.updates} updates since {history.checkpoints[interval.before]} (their E grew "
        f"×{interval.inflation:.3g} for it)"
    )
    whole = worst_first((floor > _SMALLEST_SQUARE) & (np.abs(excess) <= interval.tolerance), sizes)
    if whole:
        yield history.finding(
            STARVED_TENSORS,
            f"No gradient has reached {history.counted(whole)} {told}: {history.named(whole)}",
            thresholds,
            rows=(interval.before, interval.after),
            parameters=whole,
            evidence=[
                history.evidence(
                    interval.after, i,
                    second_moment_mean_before=mean[interval.before, i],
                    second_moment_mean=mean[interval.after, i],
                )
                for i in whole[:MOST_EVIDENCE]
            ],
        )  # fmt: skip
    shares = _starved_shares(history, interval)
    some = worst_first(shares >= max(thresholds.starved, 1e-12), shares)
    some = [i for i in some if i not in set(whole)]
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


def _starved_shares(history: History, interval: _Interval) -> Floats:
    """(P,) share of a tensor's sampled elements, those never touched left out, whose v only decayed."""
    sample: Floats = history["second_moment_sample"]
    floor = sample[interval.before] * interval.factor
    is_telling = (floor > _SMALLEST_SQUARE) & ~np.isnan(sample[interval.after])
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.abs(sample[interval.after] / floor - 1)
    starved = is_telling & (excess <= interval.tolerance)
    sampled = np.maximum((history["sample_index"] >= 0).sum(axis=1), 1)
    shares: Floats = starved.sum(axis=1) / sampled
    return shares


def find_changed_hyperparameters(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Over the whole run, among values that were read."""
    rates: Floats = history["learning_rate"]
    (known,) = np.nonzero(~np.isnan(rates))
    changes = _changes(rates, known, 1e-6)
    if changes:
        first, last = known[0], known[-1]
        low, high = float(np.nanmin(rates)), float(np.nanmax(rates))
        between = "" if {low, high} == {rates[first], rates[last]} else f", between {low:.3g} and {high:.3g}"
        yield history.finding(
            RATE_CHANGED,
            f"The learning rate went from {rates[first]:.3g} in {history.at(int(first))} to {rates[last]:.3g} in "
            f"{history.at(int(last))}{between}, changing at {len(changes)} of {len(known) - 1} checkpoints",
            thresholds,
            rows=changes,
            evidence=[history.evidence(row, learning_rate=rates[row]) for row in changes[:MOST_EVIDENCE]],
        )
    told: list[str] = []
    rows: set[int] = set()
    for name in HYPERPARAMETERS:
        if name == "learning_rate":
            continue
        values: Floats = history[name]
        is_read = ~np.isin(history[f"{name}_source"].astype(str), ("default", "unknown"))
        (known,) = np.nonzero(is_read & ~np.isnan(values))
        changes = _changes(values, known, 1e-4)
        told += [f"{name} to {values[row]:.6g} in {history.at(row)}" for row in changes[-1:]]
        rows.update(changes)
    rules = history["rule"]
    (read,) = np.nonzero(history["rule_source"] != "default")
    switches = [int(b) for a, b in pairwise(read) if rules[a] != rules[b]]
    told += [f"rule to {rules[row]} in {history.at(row)}" for row in switches[-1:]]
    rows.update(switches)
    if told:
        yield history.finding(
            CHANGED,
            f"Changed within the run: {', '.join(told)}",
            thresholds,
            rows=sorted(rows),
            evidence=[
                history.evidence(
                    row, **{n: float(history[n][row]) for n in HYPERPARAMETERS if not np.isnan(history[n][row])}
                )
                for row in sorted(rows)[:MOST_EVIDENCE]
            ],
        )  # fmt: skip


def _changes(values: Floats, known: NDArray[np.intp], tolerance: float) -> Sequence[int]:
    """Rows whose value differs from the one known before it."""
    return [
        int(b)
        for a, b in pairwise(known)
        if abs(values[b] - values[a]) > tolerance * max(abs(values[a]), abs(values[b]))
    ]
