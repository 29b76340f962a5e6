"""What changed between two checkpoints, and whether weights with larger effective learning rates moved further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.errors import RequestError
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.presentation.figures.colors import places_of
from ckpt_inspect.presentation.figures.names import shared_prefix, short_labels, shorten
from ckpt_inspect.presentation.figures.questions import CHANGE_BY_RATE, CHANGES
from ckpt_inspect.presentation.figures.spread import positive
from ckpt_inspect.presentation.figures.wording import drawable, number
from ckpt_inspect.presentation.optimizer_series import floats
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.rows import Quantity, draw_dots, height, rows, write
from ckpt_inspect.presentation.plots.sheet import blank, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_ROWS = 40
STATUSES = ("added", "removed", "reshaped", "same")
MOST_NAMED = 6
"""Parameters that lie furthest from the trend."""


def changes_answer(frame: DataFrame) -> str:
    """Return the figure's answer in words: which weights moved most, and how E changed."""
    change, ratio = floats(frame["weight_change"]), ratios_of_rates(frame)
    parts = []
    moved = np.where(np.isfinite(change), change, -1.0)
    if moved.max() > 0:
        name = shorten(drawable(str(frame["parameter"].iloc[int(moved.argmax())])), 40)
        parts.append(f"the weights of {name} changed most, by {number(moved.max())} times their norm")
    elif np.isfinite(change).any() and not np.isposinf(change).any():
        parts.append("no weight changed")
    known = ratio[np.isfinite(ratio)]
    if known.size:
        middle, low, high = (number(float(each)) for each in (np.median(known), known.min(), known.max()))
        of_all = f"median of {known.size}; ×{low} to ×{high}"
        parts.append(f"{symbol_of_rates(frame).partition(' ')[0]} went to ×{middle} ({of_all})")
    text = "; ".join(parts) or "no parameter is in both with a value to compare"
    return text[0].upper() + text[1:] + "."


def ratios_of_rates(frame: DataFrame) -> Floats:
    """Return each parameter's median effective learning rate in B over that in A; NaN where either is not known."""
    before, after = (positive(floats(frame[f"effective_lr_{side}"])) for side in "ab")
    ratio: Floats = after / before
    return ratio


def symbol_of_rates(frame: DataFrame) -> str:
    """Return what the medians of `Diff.to_frame()` are: E, or E/α where the learning rate is not known, with units."""
    shown = frame[np.isfinite(floats(frame["effective_lr_a"])) | np.isfinite(floats(frame["effective_lr_b"]))]
    is_relative = shown["is_effective_lr_relative"].to_numpy(bool) if "is_effective_lr_relative" in shown else []
    if not any(is_relative):
        return "E (per unit of gradient)"
    return "E/α (α is not known)" if all(is_relative) else "E, or E/α if α is not known"


def _compared(name_a: str, name_b: str) -> list[str]:
    """What the two checkpoints are called, for a subtitle."""
    return [f"{label}: {shorten(drawable(name), 60)}" for label, name in (("A", name_a), ("B", name_b))]


@style.styled
def plot_diff(frame: DataFrame, name_a: str = "A", name_b: str = "B", doubts: Sequence[str] = ()) -> Figure:
    """Draw a row per parameter of `Diff.to_frame()`, in its order, those that changed most (40 at most).

    Left E in B over E in A; then the relative change of the weights. Rows that are only in one of both, or of another
    shape, say so in place of a dot, and so do those that did not change.
    `name_a` and `name_b` are what the two are called; `doubts`: values that E rests on although nobody read them.
    Raises RequestError for a frame without rows.
    """
    if not len(frame):
        raise RequestError("there is nothing to draw: no parameter or tensor was compared")
    shown, counts = frame.head(MOST_ROWS), frame["status"].value_counts()
    change = floats(shown["weight_change"])
    values = [ratios_of_rates(shown), np.where(change > 0, change, np.nan)]
    ends = [panels.robust_range([x[None, :]], *others) for x, others in zip(values, ([1.0], []), strict=True)]
    columns = [Quantity(f"median {symbol_of_rates(frame)}, B over A", ends[0]), Quantity(CHANGES.label, ends[1])]
    names, body = [drawable(str(name)) for name in frame["parameter"]], blank()
    labels = {"": short_labels(names[:MOST_ROWS], 34, len(shared_prefix(names)))}
    for axes, at, _ in rows(body, columns, labels):
        draw_dots(axes, columns[at], [(style.MAIN, values[at])])
        if at == 0:
            axes.axvline(1.0, color=style.INK, lw=0.8, zorder=1)
        _label_extremes(axes, values[at], ends[at])
        for row, status in enumerate(shown["status"] if at == 1 else ()):
            if status in STATUSES:
                write(axes, status, 0.02, row, color=style.MUTED, style="italic", gid="status")
    by_status = ", ".join(f"{counts[s]} {s}" for s in ("changed", *reversed(STATUSES)) if s in counts.index)
    parts = [*_compared(name_a, name_b), f"{len(frame)} tensors: {by_status}"]
    note = f"The {MOST_ROWS} of {len(frame)} that changed most. " if len(frame) > MOST_ROWS else ""
    tall = max(height(len(shown)), 0.95) + 0.4
    return sheet(body, CHANGES, changes_answer(frame), parts, doubts, note + CHANGES.note, tall)


def _label_extremes(axes: Axes, values: Floats, limits: panels.Limits) -> None:
    """Write the two largest values beside their dots, and the smallest, on the side where there is room."""
    known = np.flatnonzero((values >= limits[0]) & (values <= limits[1]))  # the others are written at the edge
    order = known[np.argsort(-values[known], kind="stable")]
    for at in dict.fromkeys([*order[:2], *order[-1:]]):
        is_right = values[at] ** 2 > limits[0] * limits[1]
        axes.annotate(
            number(values[at]), (values[at], at), xytext=(-6 if is_right else 6, 0), textcoords="offset points",
            ha="right" if is_right else "left", va="center_baseline", fontsize=style.SMALL_SIZE, gid="extreme",
        )  # fmt: skip


@style.styled
def plot_change_by_rate(frame: DataFrame, name_a: str = "A", name_b: str = "B", doubts: Sequence[str] = ()) -> Figure:
    """Draw a dot per parameter of `Diff.to_frame()`: median E in B across, relative change of the weights up, both
    logarithmic.

    The parameters furthest from the common trend are named; `doubts` as in `plot_diff`.
    Raises RequestError if no parameter has both.
    """
    import seaborn

    own = frame.assign(x=positive(floats(frame["effective_lr_b"])), y=positive(floats(frame["weight_change"])))
    # by their names, which give layers their colours: the rows' own order is that of their changes
    own = own.dropna(subset=["x", "y"]).sort_values("parameter", key=lambda names: names.astype(str).map(natural_key))
    if not len(own):
        raise RequestError("there is nothing to draw: no parameter has an effective learning rate and moved")
    rates, changes = floats(own["x"]), floats(own["y"])
    names, body = [drawable(str(name)) for name in own["parameter"]], blank()
    axes, ends = body.subplots(), [panels.robust_range([values[None, :]]) for values in (rates, changes)]
    order = np.argsort(-distance_from_trend(rates, changes), kind="stable")
    far, others = order[:MOST_NAMED], own.iloc[np.sort(order[MOST_NAMED:])]
    seaborn.scatterplot(others, x="x", y="y", color=style.MUTED, alpha=0.6, ax=axes, gid="parameters")
    for which, limits in zip("xy", ends, strict=True):
        panels.set_axis(axes, "x" if which == "x" else "y", limits)
    axes.grid(color=style.FAINT, lw=0.6)
    symbol, space, unit = symbol_of_rates(own).partition(" ")
    axes.set(xlabel=f"median {symbol} in B{space}{unit}", ylabel=CHANGE_BY_RATE.label)
    labels = short_labels(names, 34, len(shared_prefix(names)))
    places, dots = places_of(names, [far]), []
    for at, (color, way) in zip(far, panels.told_apart(places[at] for at in far), strict=True):
        place = [[np.clip(values[at], *limits)] for values, limits in zip((rates, changes), ends, strict=True)]
        look: dict[str, Any] = {"color": color, "ms": 8, "mec": "white", "clip_on": False, "gid": "name"}
        dots += axes.plot(*place, style.MARKERS[way], **look)
    told = {"title": "furthest from the trend", "alignment": "left"}
    axes.legend(dots, [labels[at] for at in far], loc="upper left", bbox_to_anchor=(1.0, 1.0), **told)
    parts = [*_compared(name_a, name_b), f"{len(own)} of {len(frame)} tensors"]
    return sheet(body, CHANGE_BY_RATE, by_rate_answer(rates, changes), parts, doubts, CHANGE_BY_RATE.note, 5.0)


def by_rate_answer(rates: Floats, changes: Floats) -> str:
    """Return the figure's answer in words: Spearman's correlation, and what to make of it."""
    import pandas as pd

    if len(rates) < 4:
        return "Too few parameters for a trend."
    correlation = float(pd.Series(rates).rank().corr(pd.Series(changes).rank()))
    if np.isnan(correlation):
        return "No trend: all are alike."
    word = "Yes, mostly" if correlation > 0.5 else "No, rather less" if correlation < -0.5 else "Hardly"
    return f"{word}: the correlation of their ranks is {correlation:.2f} over {len(rates)} parameters."


def distance_from_trend(rates: Floats, changes: Floats) -> Floats:
    """Return (P,) decades between each change and the line that fits all, by least squares of the logarithms."""
    x, y = np.log10(rates), np.log10(changes)
    spread = x - x.mean()
    slope = (spread @ y) / ((spread @ spread) or 1.0)
    distance: Floats = np.abs(y - y.mean() - slope * spread)
    return distance
