"""Updates that their own arithmetic swallows: lost in rounding, or scaled to nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

from ckpt_inspect.findings.finding import MOST_EVIDENCE, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.starvation import starved_in
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.order import median
from ckpt_inspect.measurement.wording import figure, percent, whole
from ckpt_inspect.update_rules import find_rule

ROUNDING = Kind(
    id="lost-in-rounding",
    title="Updates lost in rounding",
    severity=Severity.WARNING,
    condition="The share of elements whose update is too small to change the weight (0 < |Δ| < ½ ulp(θ), ulp being "
    "the gap to the next number) is at least lost_in_rounding, in a tensor that isn't found starved or below ε. It is "
    "only worth knowing if the tensor's other elements move, or if m has died away in it; not if m has died away in "
    "at least the share standstill of the tensors.",
    why="Such an update is too small to change the weight that it is added to: the weight stands still.",
    action="Find out why these updates are so small (the end of a schedule?). If the weights have 16 bits, keep them "
    "in float32",
    source="IEEE 754, round to nearest: θ + Δ = θ for |Δ| < ½ ulp(θ)",
    thresholds=("lost_in_rounding", "standstill"),
    metrics=("lost_in_rounding",),
)

INERT = Kind(
    id="inert-state",
    title="An optimizer that can't move its weights",
    severity=Severity.CRITICAL,
    condition="The bias correction √c2/c1, computed in the variable's own type, is 0 or NaN.",
    why="In bfloat16 β2 = 0.999 rounds to 1. Then 1 - β2^t is 0, and so is every update: such variables never move.",
    action="Keep variables in float32 and compute in bfloat16 (the mixed_bfloat16 policy), or take a β2 of at most "
    "0.99",
    source="keras-team/keras-hub#2629, tensorflow/tensorflow#58138; measured on TF 2.10 to 2.21",
    metrics=("bias_correction", "dtype"),
)

CORRECTION = Kind(
    id="bias-correction",
    title="Bias correction still far from 1",
    severity=Severity.INFO,
    condition="In the newest checkpoint bias correction still changes the update by at least the share "
    "bias_correction: |√c2/c1 - 1|, with c1 = 1 - β1^t and c2 = 1 - β2^t.",
    why="v has averaged few gradients so far: E is still a rough estimate, and is wrong if the step is.",
    action="Judge E by later checkpoints. Of this one, check that the step was read, not assumed",
    source="Kingma & Ba, arXiv 1412.6980, section 3",
    thresholds=("bias_correction",),
    metrics=("bias_correction",),
)

KINDS = (ROUNDING, INERT, CORRECTION)


def find_lost_updates(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find updates lost in rounding, in the newest checkpoint."""
    share: Floats = history.newest("lost_in_rounding")
    is_lost = are_lost(history, thresholds) & ~has_small_gradients(history, thresholds)
    places = worst_first(is_lost, share)
    if not places:
        return
    has_faded = _have_faded(history)
    faded = [i for i in places if has_faded[i]]
    is_all = len(faded) == len(places)
    gone = np.count_nonzero(history.newest("signal_to_noise")[places] < _STILL)
    stands_still = gone >= max(thresholds.standstill, 1e-12) * np.count_nonzero(history.present(-1))
    which = "" if not faded else f"; the gradients of these elements{'' if is_all else f' of {history.named(faded)}'}"
    which += "" if not faded else " have faded, for m has died away in them"
    yield history.finding(
        ROUNDING,
        f"In {history.counted(places)} the last update was lost in rounding in at least "
        f"{percent(thresholds.lost_in_rounding)} of the elements: "
        f"{history.named(places, [percent(share[i]) for i in places])}{which}",
        thresholds,
        parameters=places,
        evidence=history.tensor_evidence(-1, places, "lost_in_rounding", "update_rms", "weight_rms"),
        severity=Severity.INFO if is_all and not stands_still else Severity.WARNING,
        action="Look for units that died, or for inputs that don't occur any more" if is_all else "",
    )


def are_lost(history: History, thresholds: Thresholds) -> Bools:
    """(P,) whether the tensor's last update is lost in rounding, whatever the cause."""
    lost: Bools = history.newest("lost_in_rounding") >= max(thresholds.lost_in_rounding, 1e-12)
    return lost


def has_small_gradients(history: History, thresholds: Thresholds) -> Bools:
    """(P,) whether a tensor's gradients are gone, or below ε: each is found by a check of its own, as the cause."""
    explained: Bools = history.newest("epsilon_dominated") >= max(thresholds.epsilon_dominated, 1e-12)
    explained[starved_in(history, thresholds).places] = True
    return explained


_STILL = 1e-3
"""RMS of (m/c1)/√(v/c2) below which a tensor's gradients are gone: noise alone gives 0.2."""

_ROUNDINGS = 8.0
"""RMS of Δ over RMS of θ, in ulps of 1, above which a tensor moves."""


def _have_faded(history: History) -> Bools:
    """(P,) whether it is for m that updates are small, rather than for the learning rate or the type: m is gone in
    the whole tensor, or other elements of it move."""
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = history.newest("update_rms") / history.newest("weight_rms")
    ulps = np.array([_ULPS.get(str(dtype), _ULPS["float32"]) for dtype in history["dtype"]])
    faded: Bools = (history.newest("signal_to_noise") < _STILL) | (moves > _ROUNDINGS * ulps)
    return faded


_ULPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Distance from 1 to the next number: IEEE 754, and bfloat16's 8 bits."""


def find_inert(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find a bias correction that is 0, in the newest checkpoint."""
    correction: Floats = history.newest("bias_correction")
    if inert := _inert_in(history):
        yield from _inert(history, thresholds, inert, correction)


def _inert_in(history: History) -> list[int]:
    correction: Floats = history.newest("bias_correction")
    present = history.present(-1)
    is_undetermined = np.isnan(history.newest("moment_bound"))  # of the same betas and step
    return worst_first(present & ((correction == 0) | (np.isnan(correction) & ~is_undetermined)), -correction)


def find_bias_correction(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find a bias correction that is far from 1, in the newest checkpoint."""
    correction: Floats = history.newest("bias_correction")
    present = history.present(-1)
    distance: Floats = np.abs(correction - 1)
    inert = set(_inert_in(history))
    far = worst_first(present & (distance >= max(thresholds.bias_correction, 1e-12)), distance)
    far = [i for i in far if i not in inert]
    rule = find_rule(str(history.newest("rule")))
    if far and (rule is None or rule.has_average):
        value, beta_2 = median(correction[far]), float(history.newest("beta_2"))
        quoted = history.quoted("beta_2").replace(", ", " (", 1)
        quoted += ")" * ("(" in quoted)
        yield history.finding(
            CORRECTION,
            f"At {history.at(-1)} the bias correction √c2/c1 is still {figure(value)}: by this step v has averaged "
            f"{whole(history.step(-1) or 0)} gradients, of about {whole(1 / (1 - beta_2))} that β2 = {quoted} lets it "
            "remember",
            thresholds,
            evidence=[history.evidence(-1, bias_correction=value)],
        )


def _inert(history: History, thresholds: Thresholds, places: list[int], correction: Floats) -> Iterator[Finding]:
    """A warning if β2 is assumed, unless the weights stood still between two checkpoints; nothing if then they did
    move: another β2 was used."""
    is_assumed = history.newest("beta_2_source") == "default"
    stood = ""
    if is_assumed and len(history) > 1:
        newest = history.newest("weight_rms")[places]
        if (newest != history.row("weight_rms", -2)[places]).any():
            return
        if (history.newest("first_moment_rms") != history.row("first_moment_rms", -2))[places].any():
            earlier = range(len(history) - 2)  # where they stood still once, they did ever since
            still = bisect_left(
                earlier, True, key=lambda k: bool((newest == history.row("weight_rms", k)[places]).all())
            )
            stood = f"; none has moved since {history.at(still)}, while their moments changed"
    zero = set(history.where("no correction", ("bias_correction",), lambda values: values == 0).tolist())
    first = len(history) - 1
    while first - 1 in zero:
        first -= 1
    dtypes = history["dtype"]
    types = ", ".join(dict.fromkeys(str(dtypes[i]) for i in places))
    cannot = "couldn't move with the β2 that is assumed" if is_assumed and not stood else "can't move"
    yield history.finding(
        INERT,
        f"{history.counted(places)} {cannot}, because 1 - β2^t is 0 in {types} (β2 = "
        f"{history.quoted('beta_2')}): {history.named(places)}{stood}",
        thresholds,
        rows=(first, -1),
        parameters=places,
        evidence=[
            history.evidence(-1, i, bias_correction=correction[i], dtype=str(dtypes[i])) for i in places[:MOST_EVIDENCE]
        ],
        severity=Severity.WARNING if is_assumed and not stood else Severity.CRITICAL,
        action="Give the β2 that was used (--beta-2)" if is_assumed and not stood else "",
    )
