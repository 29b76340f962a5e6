"""Whether weights with larger effective learning rates moved further between two checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.optimizer_series import floats
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.changes import symbol_of_rates
from ckpt_inspect.presentation.plots.names import shared_prefix, short_labels, shorten
from ckpt_inspect.presentation.plots.page import Key, Page, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ckpt_inspect.presentation.optimizer_series import Floats

QUESTION = "Did the weights with larger effective learning rates move further?"
WIDTH, LEFT, RIGHT, HEIGHT, BELOW = 9.5, 0.95, 0.35, 5.0, 0.6
"""Inches: the page, margins of the axes, their height, and the room for ticks and label beneath."""
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
    page = Page(
        QUESTION,
        [*told, f"{len(rates)} of {len(frame)} tensors"],
        f"Named: up to {MOST_NAMED} that lie furthest from the trend of all. Not drawn: tensors without an optimizer's "
        "state, and those that did not move.",
        width=WIDTH,
        height=HEIGHT + BELOW,
        key=[Key("dot", style.MAIN, "a parameter")],
    )
    axes = page.axes(LEFT, 0, WIDTH - LEFT - RIGHT, HEIGHT)
    for axis, values, limits in ((axes.xaxis, rates, axes.set_xlim), (axes.yaxis, changes, axes.set_ylim)):
        low, high = style.positive_range(values, decades=1.0)
        limits(low, high)
        (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
        style.set_log_axis(axis, low, high)
    axes.plot(rates, changes, "o", color=style.MAIN, ms=6, alpha=0.75, mec="white", mew=0.5, gid="parameters")
    axes.grid(True, color=style.FAINT, lw=0.6)
    _name_outliers(axes, rates, changes, short_labels(names, 34, len(shared_prefix(names))))
    symbol, space, unit = symbol_of_rates(frame[is_drawn]).partition(" ")
    label = f"median effective learning rate {symbol} in B{space}{unit}"
    page.label_x(label, LEFT, WIDTH - LEFT - RIGHT, HEIGHT + 0.3)
    page.label_y("change of the weights, ‖b − a‖/‖a‖ (ratio of norms)", 0, HEIGHT)
    return page.figure


def distance_from_trend(rates: Floats, changes: Floats) -> Floats:
    """Return (P,) decades between each change and the line that fits all, by least squares of the logarithms."""
    x, y = np.log10(rates), np.log10(changes)
    spread = x - x.mean()
    slope = float((spread * y).sum() / (spread**2).sum()) if np.any(spread) else 0.0
    distance: Floats = np.abs(y - y.mean() - slope * spread)
    return distance


def _name_outliers(axes: Axes, rates: Floats, changes: Floats, labels: tuple[str, ...]) -> None:
    """Names beside the dots, furthest from the trend first, as long as they overlap no other name."""
    width, height = WIDTH - LEFT - RIGHT, HEIGHT
    (x0, x1), (y0, y1) = np.log10(axes.get_xlim()), np.log10(axes.get_ylim())
    xs, ys = (np.log10(rates) - x0) / (x1 - x0) * width, (np.log10(changes) - y0) / (y1 - y0) * height
    taken: list[tuple[float, float, float]] = []
    for at in np.argsort(-distance_from_trend(rates, changes), kind="stable"):
        if len(taken) == MOST_NAMED:
            return
        length = text_width(labels[at], style.SMALL_SIZE)
        is_left = xs[at] + 0.1 + length > width
        start = xs[at] - 0.1 - length if is_left else xs[at] + 0.1
        if any(abs(ys[at] - y) < 0.2 and start < end and start + length > begin for begin, end, y in taken):
            continue
        taken.append((start, start + length, float(ys[at])))
        axes.annotate(
            labels[at],
            (rates[at], changes[at]),
            xytext=(-7 if is_left else 7, 0),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
            fontsize=style.SMALL_SIZE,
            color=style.INK,
            gid="name",
        )
