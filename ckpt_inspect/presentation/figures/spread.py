"""What many parameters' values come to: the newest, the fan of all, who lies furthest out, and that in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.measurement.wording import whole
from ckpt_inspect.presentation.figures.names import shorten
from ckpt_inspect.presentation.figures.wording import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.optimizer_series import Floats

FAN = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def positive(values: Floats) -> Floats:
    """Return the values that a logarithmic axis can show, NaN in place of all others."""
    known: Floats = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return known


def newest(values: Floats) -> Floats:
    """Return (P,) each parameter's newest known value of (K, P); NaN without any."""
    found: Floats = values[_last_known(values), np.arange(values.shape[1])]
    return found


NEWEST = "in the newest checkpoint"


def where_known(chapter: Chapter, values: Sequence[Floats]) -> str:
    """Return in words which checkpoints the newest known values of runs, (K, P) each, are of: those of a run that ended
    in NaN are of an earlier one."""
    rows = [np.unique(_last_known(each)[np.isfinite(each).any(axis=0)]) for each in values]
    if all(set(of_run.tolist()) <= {len(each) - 1} for of_run, each in zip(rows, values, strict=True)):
        return NEWEST
    if len(rows) == 1 and rows[0].size == 1:
        x = chapter.x(chapter.runs[0])[rows[0][0]]
        return f"at {chapter.x_label.partition(' ')[0]} {whole(x)}, the newest in which they are known"
    return "in the newest checkpoints in which they are known"


def _last_known(values: Floats) -> NDArray[np.intp]:
    """(P,) row of the newest known of (K, P) values; the last without any."""
    found: NDArray[np.intp] = len(values) - 1 - np.isfinite(values)[::-1].argmax(axis=0)
    return found


def apart(values: Sequence[Floats]) -> Floats:
    """Return (P,) how many decades the newest values of several runs, (K, P) each, are apart; NaN if any has none."""
    logs = np.log10(np.stack([newest(positive(each)) for each in values]))
    found: Floats = logs.max(axis=0) - logs.min(axis=0)
    return found


def fan(values: Floats, *, is_log: bool = True) -> Mapping[str, Floats]:
    """Return (K,) quantiles over the P parameters in each checkpoint by name, `q05` to `q95`; NaN if none is known.

    `is_log`: between two values the middle is that of their logarithms.
    """
    ordered = np.sort(np.log(values) if is_log else values, axis=1)  # NaN comes last
    last = np.maximum(np.isfinite(ordered).sum(axis=1) - 1, 0)
    row, found = np.arange(len(values)), {}
    for name, rank in FAN.items():
        below = np.floor(rank * last).astype(int)
        low, high = ordered[row, below], ordered[row, np.minimum(below + 1, last)]
        found[name] = low + (high - low) * (rank * last - below)
    return {name: np.exp(level) if is_log else level for name, level in found.items()}


def distance(values: Floats) -> Floats:
    """Return (P,) how far, in logarithms, the newest value of each parameter is from the middle of all; NaN without
    any."""
    last = np.log(newest(values))
    far: Floats = np.abs(last - np.nanmedian(last)) if np.isfinite(last).any() else last
    return far


def decades(chapter: Chapter) -> Floats:
    """Return (P,) decades between the 5 % and the 95 % quantile of E in the newest checkpoint, the widest of all runs;
    NaN if none is known."""
    found = np.full(len(chapter.parameters), np.nan)
    for run in chapter.runs:
        low, high = (newest(chapter.effective_lr(run, f"effective_lr_{q}")) for q in ("q05", "q95"))
        found = np.fmax(found, np.log10(high / low))
    return found


def spread_words(chapter: Chapter, values: Sequence[Floats]) -> str:
    """Return in words what the newest values of each kind of parameter are: how many are 0, and the middle and both
    ends of the others, by name."""
    parts = list(_spreads(chapter, [newest(each) for each in values]))
    return "; ".join(parts) if parts else "not known"


def _spreads(chapter: Chapter, values: Sequence[Floats]) -> Iterator[str]:
    for kind, members in chapter.kinds().items():
        known = [members[np.isfinite(of_run[members]) & (of_run[members] > 0)] for of_run in values]
        none = int((values[0][members] == 0).sum()) if len(values) == 1 else 0
        zeros = f"0 in {none} of {none + known[0].size}" if none else ""
        medians = [number(float(np.median(v[k]))) for v, k in zip(values, known, strict=True) if k.size]
        if len(values) > 1 and medians:
            names = [shorten(run.name, 30) for run, k in zip(chapter.runs, known, strict=True) if k.size]
            yield f"{kind.lower()} {', '.join(f'{m} in {n}' for m, n in zip(medians, names, strict=True))} (medians)"
        elif medians:
            ends = known[0][[values[0][known[0]].argmin(), values[0][known[0]].argmax()]]
            (low, high), told = chapter.labels(ends, 28), [number(values[0][at]) for at in ends]
            text = " each" if told[0] == told[1] else f" ({low} {told[0]} to {high} {told[1]})"
            others = f"{medians[0]}{text if known[0].size > 1 else ''}"
            yield f"{kind.lower()} {f'{zeros}, else ' if zeros else ''}{others}"
        elif zeros:
            yield f"{kind.lower()} {zeros}"
