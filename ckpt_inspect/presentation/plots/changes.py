"""What changed between two checkpoints: E in B over E in A, the weights, and the moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.optimizer_series import floats
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.limits import robust_range
from ckpt_inspect.presentation.plots.names import shared_prefix, short_labels, shorten
from ckpt_inspect.presentation.plots.questions import CHANGES
from ckpt_inspect.presentation.plots.rows import ROW, set_rows
from ckpt_inspect.presentation.plots.sheet import figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ckpt_inspect.presentation.optimizer_series import Floats

QUESTION = CHANGES
MOST_ROWS = 40
MOST_LABELS = 3
"""Values written beside the dots of a column: its extremes."""
STATUSES = ("added", "removed", "reshaped", "same")
FIRST, SECOND = style.RUN_COLORS[2], style.RUN_COLORS[3]


def answer(frame: DataFrame) -> str:
    """Return the figure's answer in words: which weights moved most, and how E changed."""
    change, ratio = floats(frame["weight_change"]), ratios_of_rates(frame)
    parts = []
    moved = np.where(np.isfinite(change), change, -1.0)
    if moved.max() > 0:
        name, share = _name(frame, int(moved.argmax())), style.number(moved.max())
        parts.append(f"the weights of {name} changed most, by {share} times their norm")
    elif np.isfinite(change).any() and not np.isposinf(change).any():
        parts.append("no weight changed")
    known = ratio[np.isfinite(ratio)]
    if known.size:
        middle, low, high = (style.number(float(each)) for each in (np.median(known), known.min(), known.max()))
        parts.append(f"{symbol_of_rates(frame).partition(' ')[0]} went to ×{middle} (median; ×{low} to ×{high})")
    text = "; ".join(parts) or "no parameter is in both with a value to compare"
    return text[0].upper() + text[1:] + "."


def _name(frame: DataFrame, at: int) -> str:
    return shorten(style.drawable(str(frame["parameter"].iloc[at])), 40)


def ratios_of_rates(frame: DataFrame) -> Floats:
    """Return each parameter's median effective learning rate in B over that in A; NaN where either is not known."""
    before, after = floats(frame["effective_lr_a"]), floats(frame["effective_lr_b"])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = np.where((before > 0) & (after > 0), after / before, np.nan)
    return ratio


@style.styled
def plot_diff(frame: DataFrame, name_a: str = "A", name_b: str = "B") -> Figure:
    """Draw a row per parameter of `Diff.to_frame()`, in its order, those that changed most (40 at most).

    Left E in B over E in A; then the relative change of the weights; then that of both moments. Rows that are only in
    one of both, or of another shape, say so in place of a dot, and so do those that did not change.
    `name_a` and `name_b` are what the two are called. Raises RequestError for a frame without rows.
    """
    from matplotlib.lines import Line2D

    if not len(frame):
        raise RequestError("there is nothing to draw: no parameter or tensor was compared")
    shown = frame.head(MOST_ROWS)
    told = [f"{label}: {shorten(style.drawable(name), 60)}" for label, name in (("A", name_a), ("B", name_b))]
    counts = frame["status"].value_counts()
    by_status = ", ".join(f"{counts[s]} {s}" for s in ("changed", *reversed(STATUSES)) if s in counts.index)
    names = [style.drawable(str(name)) for name in frame["parameter"]]
    labels = short_labels(names[:MOST_ROWS], 34, len(shared_prefix(names)))
    note = f"The {MOST_ROWS} of {len(frame)} that changed most. " if len(frame) > MOST_ROWS else ""
    note += "E is per unit of gradient: a larger one is no larger step. Numbers name the extremes."
    dots = [("first moment", FIRST), ("second moment", SECOND)]
    key = [Line2D([], [], ls="", marker="o", color=color, label=text) for text, color in dots]
    parts = [*told, f"{len(frame)} tensors: {by_status}"]
    body = sheet(QUESTION, answer(frame), parts, note, max(len(shown) * ROW, 0.6) + 0.9, key)
    rates, weights, moments = panels = body.subplots(1, 3)
    for axes in panels:
        set_rows(axes, "", labels, len(labels))
        axes.tick_params(axis="y", labelleft=axes is rates)
    ratio = ratios_of_rates(shown)
    _draw_dots(rates, [(ratio, style.MAIN)], np.array([1.0]))
    rates.axvline(1.0, color=style.INK, lw=0.8, zorder=1)
    rates.set_xlabel(f"median {symbol_of_rates(frame)}, B over A")
    _draw_dots(weights, [(floats(shown["weight_change"]), style.MAIN)])
    weights.set_xlabel("change of the weights, ‖b − a‖/‖a‖")
    both = [(floats(shown[f"{name}_moment_change"]), color) for name, color in (("first", FIRST), ("second", SECOND))]
    _draw_dots(moments, both)
    moments.set_xlabel("change of the moments, ‖b − a‖/‖a‖")
    for row, status in enumerate(shown["status"]):
        if status in STATUSES:
            weights.annotate(
                status, (0.02, row), xycoords=weights.get_yaxis_transform(), va="center_baseline", color=style.MUTED,
                fontsize=style.SMALL_SIZE, style="italic", gid="status",
            )  # fmt: skip
    return figure_of(body)


def symbol_of_rates(frame: DataFrame) -> str:
    """Return what the medians of `Diff.to_frame()` are: E, or E/α where the learning rate is not known, with units."""
    drawn = frame[np.isfinite(floats(frame["effective_lr_a"])) | np.isfinite(floats(frame["effective_lr_b"]))]
    if "is_effective_lr_relative" not in drawn:
        return "E (per unit of gradient)"
    is_relative = drawn["is_effective_lr_relative"].to_numpy(bool)
    if not is_relative.any():
        return "E (per unit of gradient)"
    if is_relative.all():
        return "E/α (α is not known)"
    return "E, or E/α if α is not known"


def _draw_dots(axes: Axes, series: list[tuple[Floats, str]], *others: Floats) -> None:
    """Draw a dot a row, logarithmic; what lies beyond the axis, such as a change from all zeros, is an arrow head."""
    values = [each for each, _ in series]
    low, high = robust_range([each[None, :] for each in values], *others, decades=1.0)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    style.set_log_axis(axes.xaxis, low, high, most=5)
    offsets = np.linspace(-0.2, 0.2, len(series)) if len(series) > 1 else [0.0]
    for (each, color), offset in zip(series, offsets, strict=True):
        rows = np.arange(len(each)) + offset
        is_drawn = np.isfinite(each) & (each > 0)
        is_high, is_low = each > high, is_drawn & (each < low)
        if is_drawn.any():
            axes.plot(each[is_drawn], rows[is_drawn], "o", color=color, ms=4.5, mec="white", mew=0.5, gid="change")
        for is_beyond, edge, marker in ((is_high, high, ">"), (is_low, low, "<")):
            if is_beyond.any():
                places = [edge] * int(is_beyond.sum())
                axes.plot(places, rows[is_beyond], marker, color=color, ms=5, clip_on=False, gid="beyond")
    if len(series) == 1:
        _label_extremes(axes, values[0], (low, high))


def _label_extremes(axes: Axes, values: Floats, limits: tuple[float, float]) -> None:
    """Write the largest values beside their dots, and the smallest, on the side where there is room."""
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    order = known[np.argsort(-values[known], kind="stable")]
    middle = float(np.sqrt(limits[0] * limits[1]))
    for at in dict.fromkeys([*order[: MOST_LABELS - 1], *order[-1:]]):
        is_right = values[at] > middle
        axes.annotate(
            style.number(values[at]), (float(np.clip(values[at], *limits)), at), xytext=(-6 if is_right else 6, 0),
            textcoords="offset points", ha="right" if is_right else "left", va="center_baseline",
            fontsize=style.SMALL_SIZE, color=style.INK, gid="extreme",
        )  # fmt: skip
