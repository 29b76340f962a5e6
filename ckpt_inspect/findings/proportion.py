"""Whether the last update is in proportion to the weights, and to what weight decay takes off them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ckpt_inspect.findings.arithmetic import are_lost, has_small_gradients
from ckpt_inspect.findings.finding import MOST_EVIDENCE, MOST_NAMED, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.roles import are_biases
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.wording import figure, percent, setting

_RULE_OF_THUMB = "Karpathy, makemore part 3: about 0.001 is healthy"

TOO_LARGE = Kind(
    id="updates-too-large",
    title="Updates too large for the weights",
    severity=Severity.WARNING,
    condition="The last update is large beside the weights, ‖Δ‖/‖θ‖ > update_to_weight_max, in a tensor of two or more "
    "axes that is not a bias; or it was so in two or more checkpoints of the newer half of the run, at no higher "
    "learning rate than the newest. Unless the threshold is given, not in the first 1/(1-β1) updates (10), where m has "
    "averaged too few gradients.",
    why="At 1 % a step, a hundred steps replace the weights: such a layer trains noisily, or diverges.",
    action="Lower the learning rate, or that of these layers. Early in a warm-up, or with weights near 0, it may pass "
    "by itself",
    source=_RULE_OF_THUMB,
    thresholds=("update_to_weight_max",),
    metrics=("update_to_weight",),
)

TOO_SMALL = Kind(
    id="updates-too-small",
    title="Updates too small for the weights",
    severity=Severity.INFO,
    condition="The last update is small beside the weights, 0 < ‖Δ‖/‖θ‖ < update_to_weight_min, in a tensor of two or "
    "more axes that is not a bias. Its gradients are neither gone nor below ε, and its update is not lost in rounding.",
    why="Such a layer barely learns: a thousand such updates, all in one direction, change it by less than 10 %.",
    action="Raise the learning rate, unless a schedule lowered it on purpose or the loss is as low as it gets",
    source=_RULE_OF_THUMB,
    thresholds=("update_to_weight_min",),
    metrics=("update_to_weight",),
)

DECAY_OUTWEIGHS = Kind(
    id="decay-outweighs-gradient",
    title="Weight decay outweighs the gradient",
    severity=Severity.WARNING,
    condition="Decay is at least the share decay_share of the last update: d·‖θ‖/‖Δ‖, d being the share of θ that "
    "decoupled decay removes in a step.",
    why="Most of the last update was weight decay: such weights shrink towards 0, whatever the data say.",
    action="Exclude these tensors from weight decay, lower it, or see why their gradients are so small",
    source="Loshchilov & Hutter, arXiv 1711.05101",
    thresholds=("decay_share",),
    metrics=("decay_balance",),
)

EQUILIBRIUM = Kind(
    id="decay-equilibrium",
    title="Weight decay balances the update",
    severity=Severity.INFO,
    condition="Decay and updates balance each other in a tensor that is not a bias: 2d·(1-β1)/(1+β1)·‖θ‖²/‖Δ‖² is "
    "within decay_equilibrium of 1, after 1/(2d) updates or more. d is the share of θ that decoupled decay removes in "
    "a step.",
    why="Decay takes as much off the weights' norm as the updates add. The norm stands still, and decay and learning "
    "rate together set how fast the weights turn.",
    action="Nothing. A change of the learning rate now changes the speed only until there is a new balance",
    source="Kosson et al., arXiv 2305.17212: rotational equilibrium",
    thresholds=("decay_equilibrium",),
    metrics=("decay_balance", "update_to_weight"),
)

KINDS = (TOO_LARGE, TOO_SMALL, DECAY_OUTWEIGHS, EQUILIBRIUM)


def find_disproportion(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Compare updates with weights in the newest checkpoint, for matrices and kernels: biases and scales, which start
    at 0 or 1, have no such norm."""
    ratio: Floats = history.newest("update_to_weight")
    has_axes = ~are_biases(history)
    is_small = (ratio > 0) & (ratio < thresholds.update_to_weight_min)
    is_small &= ~has_small_gradients(history, thresholds) & ~are_lost(history, thresholds)
    is_early = "update_to_weight_max" not in thresholds.given() and _is_early(history)
    sides = (
        (TOO_LARGE, ratio > thresholds.update_to_weight_max, ratio, thresholds.update_to_weight_max, "above"),
        (
            TOO_SMALL,
            is_small,
            -ratio,
            thresholds.update_to_weight_min,
            "below",
        ),
    )
    for kind, mask, badness, limit, side in sides:
        places = worst_first(mask & has_axes, badness)
        if kind is TOO_LARGE and is_early:
            continue
        if kind is TOO_LARGE and not places:
            yield from _large_now_and_then(history, thresholds, has_axes)
        if places:
            rows = _rows_beyond(history, kind, places, limit)
            since = _since(history, rows, len(places))
            yield history.finding(
                kind,
                f"‖Δ‖/‖θ‖ of the last update is {side} {setting(limit)} in {history.counted(places)}, biases aside: "
                f"{history.named(places, [figure(ratio[i]) for i in places])}{_of_rate(history)}{since}",
                thresholds,
                rows=rows,
                parameters=places,
                evidence=history.tensor_evidence(-1, places, *_EVIDENCE),
            )


_AGAIN = 2
"""Checkpoints in which updates were too large, from which on it is no accident."""


def _large_now_and_then(history: History, thresholds: Thresholds, has_axes: Bools) -> Iterator[Finding]:
    """Find updates that were too large in the newer half of the run, though not in the newest checkpoint."""
    limit = thresholds.update_to_weight_max
    count = len(history)
    start = max((count + 1) // 2, count - _MOST_BACK)
    if count - start < _AGAIN:
        return
    (ratios,) = history.between(("update_to_weight",), start, count)
    rates: Floats = history["learning_rate"][start:]
    is_settled = "update_to_weight_max" in thresholds.given() or history["step"][start:] > _early_updates(history)
    is_comparable = is_settled & ~(rates > rates[-1] * (1 + 1e-6))
    beyond = np.where(is_comparable[:, None] & has_axes & (ratios > limit), ratios, 0.0)
    rows = np.flatnonzero(beyond.any(axis=1))
    if len(rows) < _AGAIN:
        return
    largest = beyond.max(axis=0)
    places, at = worst_first(largest > 0, largest), start + beyond.argmax(axis=0)
    told = [f"{figure(largest[i])} in {history.checkpoints[int(at[i])]}" for i in places[:MOST_NAMED]]
    yield history.finding(
        TOO_LARGE,
        f"‖Δ‖/‖θ‖ of the last update was above {setting(limit)} in {len(rows)} of the newest {count - start} "
        f"checkpoints, but not in the last, biases aside: {history.named(places, told)}{_of_rate(history)}",
        thresholds,
        rows=(start + rows).tolist(),
        parameters=places,
        evidence=[
            history.evidence(int(at[i]), i, **{n: float(history.row(n, int(at[i]))[i]) for n in _EVIDENCE})
            for i in places[:MOST_EVIDENCE]
        ],
    )


_EVIDENCE = ("update_to_weight", "update_rms", "weight_rms")

_MOST_BACK = 1000
"""The most rows that are searched for the onset; if the first of them qualifies, no onset is reported."""


def _rows_beyond(history: History, kind: Kind, places: Sequence[int], limit: float) -> list[int]:
    """The rows in which any of these tensors is beyond the limit; the newest alone if that is so as far back as one
    looks."""
    start, count = max(len(history) - _MOST_BACK, 0), len(history)
    (ratios,) = history.between(("update_to_weight",), start, count)
    own = ratios[:, places]
    is_beyond = own > limit if kind is TOO_LARGE else (own > 0) & (own < limit)
    is_off = np.asarray(is_beyond.any(axis=1))
    rows: list[int] = (start + np.flatnonzero(is_off)).tolist()
    return [count - 1] if start and is_off[0] else rows


def _since(history: History, rows: Sequence[int], tensors: int) -> str:
    """In how many checkpoints it is so; nothing if in the newest alone."""
    if len(rows) < 2:
        return ""
    who = "so" if tensors == 1 else "one of them was"
    if rows[-1] - rows[0] < len(rows):
        return f"; {who} in the newest {len(rows)} of {len(history)} checkpoints"
    return f"; {who} in {len(rows)} of {len(history)} checkpoints, first in {history.at(rows[0])}"


def _is_early(history: History) -> bool:
    """Whether the newest checkpoint is among the first 1/(1-β1) updates (10 for β1 = 0.9).

    Until m has averaged many gradients, they all point one way: the update is up to α in every element, several times
    what it is later, and the weights are as small as they were initialised.
    """
    return 0 <= int(history.newest("step")) <= _early_updates(history)


def _early_updates(history: History) -> float:
    """Return 1/(1-β1), of the newest checkpoint."""
    beta_1 = float(history.newest("beta_1"))
    return 1 / (1 - (beta_1 if 0 <= beta_1 < 1 else 0.9))


def _of_rate(history: History) -> str:
    """Where the newest learning rate stands in the run's."""
    rates: Floats = history["learning_rate"]
    highest = float(np.nanmax(rates)) if not np.isnan(rates).all() else np.nan
    newest = float(rates[-1])
    if not newest < highest * (1 - 1e-6):
        return f", at a learning rate of {figure(newest)}"
    return f", at a learning rate of {figure(newest)}, {percent(newest / highest)} of the run's highest"


def find_decay_balance(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Compare weight decay with the updates, in the newest checkpoint."""
    share: Floats = history.newest("decay_balance")
    places = worst_first(share >= max(thresholds.decay_share, 1e-12), share)
    if places:
        yield history.finding(
            DECAY_OUTWEIGHS,
            f"Weight decay makes up at least {percent(thresholds.decay_share)} of the last update in "
            f"{history.counted(places)}: {history.named(places, [figure(share[i], 2) for i in places])}",
            thresholds,
            parameters=places,
            evidence=history.tensor_evidence(-1, places, "decay_balance", "update_to_weight"),
        )
    beta_1 = float(history.newest("beta_1"))
    # d = decay_balance·‖Δ‖/‖θ‖, so that 2d·‖θ‖²/‖Δ‖² = 2·decay_balance/update_to_weight
    with np.errstate(divide="ignore", invalid="ignore"):
        balance: Floats = 2 * share / history.newest("update_to_weight") * (1 - beta_1) / (1 + beta_1)
        distance = np.abs(np.log(balance))
    is_balanced = (distance <= np.log(max(thresholds.decay_equilibrium, 1.0))) & ~(share >= thresholds.decay_share)
    is_balanced &= _has_had_time(history, share) & ~are_biases(history)
    places = worst_first(is_balanced, -distance)
    if places:
        yield history.finding(
            EQUILIBRIUM,
            f"Weight decay balances the updates of {history.counted(places)}: "
            f"{history.named(places, [f'{figure(balance[i], 2)} of what they add to the norm' for i in places])}",
            thresholds,
            parameters=places,
            evidence=[
                history.evidence(-1, i, balance=balance[i], decay_balance=share[i]) for i in places[:MOST_EVIDENCE]
            ],
        )


def _has_had_time(history: History, share: Floats) -> Bools:
    """(P,) whether decay has had the 1/(2d) updates in which it can change the norm, d at the run's highest rate.

    Before, what decay takes off and what updates add are both next to nothing, however they compare.
    """
    rates: Floats = history["learning_rate"]
    highest = float(np.nanmax(rates) / rates[-1]) if rates[-1] > 0 else 1.0
    decay: Floats = share * history.newest("update_to_weight") * highest
    enough: Bools = 2 * decay * (history.step(-1) or 0) >= 1
    return enough
