"""Whether weights with larger effective learning rates moved further between two checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.optimizer_series import floats
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.changes import symbol_of_rates
from ckpt_inspect.presentation.plots.names import shared_prefix, short_labels, shorten
from ckpt_inspect.presentation.plots.questions import CHANGE_BY_RATE
from ckpt_inspect.presentation.plots.sheet import figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import BboxBase
    from pandas import DataFrame

    from ckpt_inspect.presentation.optimizer_series import Floats

QUESTION = CHANGE_BY_RATE
HEIGHT = 5.0
"""Inches."""
MOST_NAMED = 6


@style.styled
def plot_change_by_rate(frame: DataFrame, name_a: str = "A", name_b: str = "B") -> Figure:
    """Draw a dot per parameter of `Diff.to_frame()`: median E in B across, relative change of the weights up, both
    logarithmic.

    The parameters furthest from the common trend are named. Raises RequestError if no parameter has both.
    """
    rates, changes = (floats(frame[c]) for c in ("effective_lr_b", "weight_change"))
    is_drawn = np.isfinite(rates) & np.isfinite(changes) & (rates > 0) & (changes > 0)
    if not is_drawn.any():
        raise RequestError("there is nothing to draw: no parameter has an effective learning rate and moved")
    rates, changes = rates[is_drawn], changes[is_drawn]
    names = [style.drawable(str(name)) for name in frame["parameter"][is_drawn]]
    told = [f"{label}: {shorten(style.drawable(name), 60)}" for label, name in (("A", name_a), ("B", name_b))]
    note = (
        f"Named: up to {MOST_NAMED} that lie furthest from the trend of all. Not drawn: tensors without an optimizer's "
        "state, and those that did not move."
    )
    made_from = [*told, f"{len(rates)} of {len(frame)} tensors"]
    body = sheet(QUESTION, answer(rates, changes), made_from, note, HEIGHT)
    axes = body.subplots()
    for axis, values, limits in ((axes.xaxis, rates, axes.set_xlim), (axes.yaxis, changes, axes.set_ylim)):
        low, high = style.positive_range(values, decades=1.0)
        limits(low, high)
        (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
        style.set_log_axis(axis, low, high)
    axes.plot(rates, changes, "o", color=style.MAIN, ms=6, alpha=0.75, mec="white", mew=0.5, gid="parameters")
    axes.grid(True, color=style.FAINT, lw=0.6)
    symbol, space, unit = symbol_of_rates(frame[is_drawn]).partition(" ")
    axes.set_xlabel(f"median {symbol} in B{space}{unit}")
    axes.set_ylabel("change of the weights, ‖b − a‖/‖a‖ (ratio of norms)")
    _name_outliers(axes, rates, changes, short_labels(names, 34, len(shared_prefix(names))))
    return figure_of(body)


def answer(rates: Floats, changes: Floats) -> str:
    """Return the figure's answer in words: Spearman's correlation, and what to make of it."""
    if len(rates) < 4:
        return "Too few parameters for a trend."
    places = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (rates, changes)]
    if not all(np.ptp(values) > 0 for values in (rates, changes)):
        return "No trend: all are alike."
    correlation = float(np.corrcoef(np.stack(places).astype(float))[0, 1])
    word = "Yes, mostly" if correlation > 0.5 else "No, rather less" if correlation < -0.5 else "Hardly"
    return f"{word}: the correlation of their ranks is {correlation:.2f} over {len(rates)} parameters."


def distance_from_trend(rates: Floats, changes: Floats) -> Floats:
    """Return (P,) decades between each change and the line that fits all, by least squares of the logarithms."""
    x, y = np.log10(rates), np.log10(changes)
    spread = x - x.mean()
    slope = float((spread * y).sum() / (spread**2).sum()) if np.any(spread) else 0.0
    distance: Floats = np.abs(y - y.mean() - slope * spread)
    return distance


def _name_outliers(axes: Axes, rates: Floats, changes: Floats, labels: tuple[str, ...]) -> None:
    """Names beside the dots, furthest from the trend first, as long as they overlap no other name."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # so that the axes have their place
    frame, middle = axes.get_window_extent(), np.sqrt(np.prod(axes.get_xlim()))
    taken: list[BboxBase] = []
    for at in np.argsort(-distance_from_trend(rates, changes), kind="stable"):
        is_left = rates[at] > middle
        name = axes.annotate(
            labels[at], (rates[at], changes[at]), xytext=(-7 if is_left else 7, 0), textcoords="offset points",
            ha="right" if is_left else "left", va="center", fontsize=style.SMALL_SIZE, color=style.INK, gid="name",
        )  # fmt: skip
        name.set_in_layout(False)
        box = name.get_window_extent()
        if any(box.overlaps(other) for other in taken) or not frame.y0 <= (box.y0 + box.y1) / 2 <= frame.y1:
            name.remove()
            continue
        taken.append(box)
        if len(taken) == MOST_NAMED:
            return
