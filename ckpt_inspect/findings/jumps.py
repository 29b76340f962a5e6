"""Whether weights once went much further between two checkpoints than ever before: what a divergence leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ckpt_inspect.findings.finding import MOST_EVIDENCE, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.roles import are_biases
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.columns import slabs
from ckpt_inspect.measurement.wording import counted, figure

JUMPED = Kind(
    id="weights-jumped",
    title="Weights jumped between two checkpoints",
    severity=Severity.CRITICAL,
    condition="Between two checkpoints the weights of a tensor moved further per update than ever in the 32 windows "
    "before (four of them known), by the factor jump_factor or more, and their RMS changed by the factor jump_growth "
    "or more. The tensor has two or more axes and is not a bias. It is critical if the RMS of one changed by a factor "
    "of ten or more.",
    why="Weights that moved evenly were suddenly thrown far away: the training diverged, and most of what it had "
    "learned is lost. Small updates later don't bring it back.",
    action="Go back to the checkpoint before, and find out what happened: a higher learning rate, a broken batch, or "
    "weights loaded from elsewhere",
    source="our choice: no healthy run of ours does that",
    thresholds=("jump_factor", "jump_growth"),
    metrics=("window_displacement", "weight_rms", "learning_rate"),
)

KINDS = (JUMPED,)

_NEEDED = ("window_displacement", "weight_rms")
_BACK, _LEAST = 32, 4
"""Windows before, with which one is compared, and how many of them must be known."""
_FAR = 10
"""Factor by which the weights' RMS changes where hardly anything is left of what they were."""
_RISE = 2
"""Factor from which a rise of the learning rate is told as the likely cause."""
_RAISED = "Go back to the checkpoint before, and leave the learning rate as it was there"


def find_jumps(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find the checkpoints up to which weights jumped, over the whole run; what is told is the first time."""
    if not set(_NEEDED) <= set(history.run.variables):
        return
    has_axes = ~are_biases(history)

    def look(first: int, last: int) -> Iterator[int]:
        for start, stop in slabs(max(last - first, 0), 16 * history.width("weight_rms"), first):
            begin = max(start - _BACK, 0)
            moved, size = history.between(_NEEDED, begin, stop)
            (grown,) = np.nonzero((_growth(size) >= thresholds.jump_growth)[:, has_axes].any(axis=1))
            for row in grown.tolist():  # few
                if row and begin + row >= start and _have_jumped(moved, size, row, thresholds)[has_axes].any():
                    yield begin + row

    rows = history.rows_where(f"weights jumped {thresholds.jump_factor} {thresholds.jump_growth}", look).tolist()
    if not rows:
        return
    row = rows[0]
    begin = max(row - _BACK, 0)
    moved, size = history.between(_NEEDED, begin, row + 1)
    excess = _excess(moved, row - begin)
    jumped = _have_jumped(moved, size, row - begin, thresholds)
    places = sorted(worst_first(jumped, excess), key=lambda i: not has_axes[i])
    is_far = bool((_growth(size[row - begin - 1 :])[1] >= _FAR)[jumped & has_axes].any())
    rates = history["learning_rate"][[row - 1, row]].tolist()
    sizes = [f"RMS {figure(size[row - begin - 1, i])} to {figure(size[row - begin, i])}" for i in places]
    least = float(excess[places].min())
    again = f"; {counted(len(rows) - 1, 'more jump')} later" if len(rows) > 1 else ""
    yield history.finding(
        JUMPED,
        f"The weights of {history.counted(places, row)} jumped on the way to {history.at(row)}: "
        f"{history.named(places, sizes)}; each update moved them at least {figure(least)} times as "
        f"far as ever before{_of_rates(*rates)}{again}",
        thresholds,
        rows=(row - 1, row),
        parameters=places,
        evidence=[
            history.evidence(row, i, window_displacement=moved[-1, i], weight_rms=size[-1, i], times=excess[i])
            for i in places[:MOST_EVIDENCE]
        ],
        severity=Severity.CRITICAL if is_far else Severity.WARNING,
        action=_RAISED if rates[1] >= _RISE * rates[0] > 0 else "",
        is_between=True,
    )  # fmt: skip


def _of_rates(before: float, after: float) -> str:
    """What the learning rate did meanwhile, if it rose."""
    return (
        f", while the learning rate rose from {figure(before)} to {figure(after)}"
        if after >= _RISE * before > 0
        else ""
    )


def _growth(size: Floats) -> Floats:
    """By which factor the weights' RMS changed since the row before, up or down; 1 where that can't be told: from
    weights that are all 0, any is infinitely far."""
    grown = np.ones_like(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size[1:] / size[:-1]
        grown[1:] = np.where((size[:-1] > 0) & np.isfinite(ratio), np.maximum(ratio, 1 / ratio), 1)
    return grown


def _excess(moved: Floats, row: int) -> Floats:
    """(P,) a row's displacement of an update over the largest of the windows before; NaN where fewer than four are
    known, or in none of which the tensor moved: it was frozen."""
    before = moved[max(row - _BACK, 0) : row]
    is_known = np.isfinite(before)
    largest = np.where(is_known, before, 0).max(axis=0, initial=0)
    can_tell = (is_known.sum(axis=0) >= _LEAST) & (largest > 0)
    return np.where(can_tell, moved[row] / np.where(can_tell, largest, 1), np.nan)


def _have_jumped(moved: Floats, size: Floats, row: int, thresholds: Thresholds) -> Bools:
    jumped: Bools = _excess(moved, row) >= thresholds.jump_factor
    jumped &= _growth(size[row - 1 : row + 1])[1] >= thresholds.jump_growth
    return jumped
