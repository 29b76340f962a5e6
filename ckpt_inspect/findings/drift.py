"""How effective learning rates moved over the run, tensor against tensor and within each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ckpt_inspect.findings.arithmetic import has_small_gradients
from ckpt_inspect.findings.finding import MOST_EVIDENCE, Finding, Kind, Severity
from ckpt_inspect.findings.history import Floats, History, worst_first
from ckpt_inspect.findings.intervals import Intervals
from ckpt_inspect.findings.lineage import find_restarts
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.wording import figure

DRIFTED = Kind(
    id="layer-drifted",
    title="Tensors whose E moved away from the others'",
    severity=Severity.INFO,
    condition="From the first to the newest checkpoint the median E changed by at least drift_decades more, or less, "
    "on a log10 scale, than it did in the median tensor (of three or more). The tensor isn't found starved or below ε. "
    "If state was not carried on, checkpoints before that don't count.",
    why="Their gradients grew or shrank more than those of the other tensors, and E follows.",
    action="See in the figures when it happened. A tensor whose E rises alone is losing its gradient",
    source="Kingma & Ba, arXiv 1412.6980: E goes with 1/√v",
    thresholds=("drift_decades",),
    metrics=("effective_lr",),
)

SPREAD = Kind(
    id="spread-growing",
    title="E spreads apart within a tensor",
    severity=Severity.INFO,
    condition="From the first to the newest checkpoint the spread of E over touched elements grew by at least "
    "spread_decades: log10(E95/E5), E5 and E95 being its 5 % and 95 % quantiles. If state was not carried on, "
    "checkpoints before that don't count.",
    why="The gradients of some elements fade (dead units, rare inputs), and their E grows: the next gradient that "
    "they get moves them too far.",
    action="Look at the tensor's distribution, and for elements that get no gradient any more",
    source="Kingma & Ba, arXiv 1412.6980: E goes with 1/√v",
    thresholds=("spread_decades",),
    metrics=("effective_lr",),
)

STUCK = Kind(
    id="stuck-direction",
    title="Gradients that hardly change direction",
    severity=Severity.WARNING,
    condition="The averaged gradient is nearly as large as the gradients: the RMS of (m/c1)/√(v/c2) is at least "
    "stuck_direction, and at most 1.1, at a step of 10/(1-β1) or more, with a β1 of at least 0.8. It doesn't count if "
    "noise could give as much, or if gradients have grown since the checkpoint before. If β1 is assumed, it is only "
    "worth knowing.",
    why="Adam then moves every element by the full learning rate, always to the same side. Values near 1 in many "
    "tensors are a sign that training is about to diverge.",
    action="See whether the loss still falls. If it doesn't, lower the learning rate",
    source="Balles & Hennig, arXiv 1705.07774; Molybog et al., arXiv 2304.09871",
    thresholds=("stuck_direction",),
    metrics=("signal_to_noise",),
)

KINDS = (STUCK, DRIFTED, SPREAD)

_FEWEST_TENSORS = 3
"""Of which the median is not one of two."""


def find_drift(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find tensors whose E moved apart, from the first checkpoint to the newest, or from that from which on state was
    carried on, and from which on E is comparable."""
    first = _first_comparable(history)
    found = list(_drift(history, thresholds, first))
    if found and (places := list(find_restarts(history))):
        found = list(_drift(history, thresholds, max(first, int(np.searchsorted(history.rows, max(places))))))
    yield from found


def _first_comparable(history: History) -> int:
    """Return the row from which on no epsilon is assumed that isn't the newest's: E would differ by that alone, where
    what some checkpoints tell together is not known of the others."""
    epsilon, is_assumed = history["epsilon"], history["epsilon_source"] == "default"
    (others,) = np.nonzero((epsilon != epsilon[-1]) & (is_assumed | is_assumed[-1]))
    return int(others[-1]) + 1 if others.size else 0


def _drift(history: History, thresholds: Thresholds, first: int) -> Iterator[Finding]:
    """What moved from that row to the newest."""
    if first >= len(history) - 1:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        low, median, high = (
            np.log10([history.quantile("effective_lr", name, row) for row in (first, -1)])
            for name in ("q05", "median", "q95")
        )
        # that one is E/α and the other E cancels out, because the median tensor's shift is subtracted
        shift: Floats = median[-1] - median[0]
        spread: Floats = high - low
        growth: Floats = spread[-1] - spread[0]
    known = np.isfinite(shift) & ~has_small_gradients(history, thresholds)  # whose E is found elsewhere
    if np.count_nonzero(known) >= _FEWEST_TENSORS:
        ordered = np.sort(shift[known])  # np.median imports numpy.ma, which takes longer than all findings
        apart: Floats = shift - (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        places = worst_first(known & (np.abs(apart) >= max(thresholds.drift_decades, 1e-12)), np.abs(apart))
        if places:
            yield history.finding(
                DRIFTED,
                f"From {history.at(first)} to {history.at(-1)} the median E of {history.counted(places)} moved away "
                f"from the others': {history.named(places, [f'×{figure(10 ** apart[i])}' for i in places])}",
                thresholds,
                rows=(first, -1),
                parameters=places,
                evidence=[
                    history.evidence(-1, i, decades_apart=apart[i], decades=shift[i]) for i in places[:MOST_EVIDENCE]
                ],
            )
    places = worst_first(np.isfinite(growth) & (growth >= max(thresholds.spread_decades, 1e-12)), growth)
    if places:
        figures = [f"{figure(spread[0, i], 2)} to {figure(spread[-1, i], 2)} decades" for i in places]
        yield history.finding(
            SPREAD,
            f"From {history.at(first)} to {history.at(-1)} the spread of E grew in {history.counted(places)}: "
            f"{history.named(places, figures)}",
            thresholds,
            rows=(first, -1),
            parameters=places,
            evidence=[
                history.evidence(-1, i, spread_decades_first=spread[0, i], spread_decades=spread[-1, i])
                for i in places[:MOST_EVIDENCE]
            ],
        )


def find_stuck_directions(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find constant directions in the newest checkpoint, once the averages have seen enough gradients to average
    out."""
    ratio: Floats = history.newest("signal_to_noise")
    step, beta_1 = history.step(-1), float(history.newest("beta_1"))
    if not 0 <= beta_1 < 1 or (step is not None and step * (1 - beta_1) < 10):
        return
    is_assumed = history.newest("beta_1_source") == "default"
    noise = _noise(beta_1)
    limit = max(thresholds.stuck_direction, 1e-12)
    if beta_1 < _SHORTEST_MEMORY or noise >= limit:  # of few gradients in a row, many point the same way
        return
    # of n elements the RMS of noise is within four of its own deviations
    highest = _noise(min(beta_1, _SMALLEST_USUAL_BETA_1) if is_assumed else beta_1)
    reach: Floats = highest * (1 + 4 / np.sqrt(2 * np.maximum(history["size"], 1).astype(np.float64)))
    is_stuck = (ratio >= np.maximum(limit, reach)) & (ratio <= max(_GROWN, limit))
    is_stuck &= ~(_beside_recent_gradients(history) < limit)
    places = worst_first(is_stuck, ratio)
    if places:
        value, _, doubts = history.quoted("beta_1").partition(", ")
        yield history.finding(
            STUCK,
            f"The gradients of {history.counted(places)} hardly change direction: |m̂|/√v̂ of "
            f"{history.named(places, [figure(ratio[i], 2) for i in places])}, where noise gives {figure(noise, 2)}"
            f"{f' (β1 = {value} is {doubts})' if doubts else ''}",
            thresholds,
            parameters=places,
            evidence=history.tensor_evidence(-1, places, "signal_to_noise"),
            severity=Severity.INFO if is_assumed else Severity.WARNING,
            action="Give the β1 that was used (--beta-1): a smaller one forgets before a direction can show"
            if is_assumed
            else "",
        )


_SHORTEST_MEMORY = 0.8
"""β1 below which m averages fewer than five gradients, and tells no lasting direction."""

_SMALLEST_USUAL_BETA_1 = 0.5
"""Of GANs: what is assumed may be this."""

_GROWN = 1.1
"""RMS of (m/c1)/√(v/c2) above which gradients have grown, which says nothing of their direction: a constant gradient
gives 1."""


def _noise(beta_1: float) -> float:
    """Return the RMS of m over that of gradients that are noise."""
    return float(np.sqrt((1 - beta_1) / (1 + beta_1)))


def _beside_recent_gradients(history: History) -> Floats:
    """(P,) RMS of m over that of the gradients since the checkpoint before; NaN if that isn't known.

    √v̂ remembers longer than m: where gradients have grown since, m is large beside it whatever their direction.
    """
    newest = len(history) - 1
    interval = Intervals(history).between(newest - 1, newest) if newest else None
    if interval is None:
        return np.full(len(history.parameters), np.nan)
    before, after = (history.row("second_moment_mean", row) for row in (newest - 1, newest))
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (after - interval.factor * before) / (1 - interval.factor)
        ratio: Floats = history.newest("first_moment_rms") / np.sqrt(squares)
    return ratio
