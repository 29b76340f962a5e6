"""What changed between two checkpoints: medians of the effective learning rate, and the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.optimizer_series import floats
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.names import shared_prefix, short_labels, shorten
from ckpt_inspect.presentation.plots.page import Key
from ckpt_inspect.presentation.plots.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_ROWS = 40
STATUSES = {"added": "added", "removed": "removed", "reshaped": "reshaped", "same": "same"}
_WEIGHT_LABEL = "change of the weights, ‖b − a‖/‖a‖ (ratio of norms)"
_MOMENT_LABEL = "change of the moments, ‖b − a‖/‖a‖ (ratio of norms)"


@style.styled
def plot_diff(frame: DataFrame, name_a: str = "A", name_b: str = "B") -> Figure:
    """Draw a row per parameter of `Diff.to_frame()`, in its order, those that changed most (40 at most).

    Left the median effective learning rate in both, joined; then the relative change of the weights; then that of both
    moments. Rows that are only in one of both, or of another shape, say so in place of a bar.
    `name_a` and `name_b` are what the two are called. Raises RequestError for a frame without rows.
    """
    if not len(frame):
        raise RequestError("there is nothing to draw: no parameter or tensor was compared")
    shown = frame.head(MOST_ROWS)
    name_a, name_b = (shorten(style.drawable(name), 60) for name in (name_a, name_b))
    note = f"The {MOST_ROWS} of {len(frame)} that changed most." if len(frame) > MOST_ROWS else ""
    counts = frame["status"].value_counts()
    told = [f"{counts[s]} {s}" for s in ("changed", "same", "added", "removed", "reshaped") if s in counts.index]
    names = [style.drawable(str(name)) for name in frame["parameter"]]
    symbol = symbol_of_rates(frame).partition(" ")[0]
    rows = Rows(
        "What changed between the two checkpoints?",
        [f"A: {name_a}", f"B: {name_b}", f"{len(frame)} tensors: {', '.join(told)}"],
        note,
        lambda characters: short_labels(names[:MOST_ROWS], characters, len(shared_prefix(names))),
        [
            (f"median effective learning rate {symbol_of_rates(frame)}", 1.25),
            (_WEIGHT_LABEL, 1.0),
            (_MOMENT_LABEL, 1.0),
        ],
        key=[
            Key("dot", style.MUTED, f"{symbol} in A"),
            Key("dot", style.MAIN, f"{symbol} in B, where it rose"),
            Key("dot", style.ALERT, f"{symbol} in B, where it fell"),
            Key("dot", style.RUN_COLORS[2], "first moment"),
            Key("dot", style.RUN_COLORS[3], "second moment"),
        ],
        width=12.5,
    )
    medians, weights, moments = rows.axes
    _draw_medians(medians, floats(shown["effective_lr_a"]), floats(shown["effective_lr_b"]))
    _draw_ratios(weights, [(floats(shown["weight_change"]), style.MAIN)])
    _draw_ratios(
        moments,
        [
            (floats(shown["first_moment_change"]), style.RUN_COLORS[2]),
            (floats(shown["second_moment_change"]), style.RUN_COLORS[3]),
        ],
    )
    for row, status in enumerate(shown["status"]):
        if status in STATUSES:
            weights.text(
                0.02,
                row,
                STATUSES[status],
                transform=weights.get_yaxis_transform(),
                va="center_baseline",
                color=style.MUTED,
                fontsize=style.SMALL_SIZE,
                style="italic",
                gid="status",
            )
    return rows.page.figure


def symbol_of_rates(frame: DataFrame) -> str:
    """Return what the medians of `Diff.to_frame()` are: E, or E/α where the learning rate is not known, with units."""
    drawn = frame[np.isfinite(floats(frame["effective_lr_a"])) | np.isfinite(floats(frame["effective_lr_b"]))]
    if "is_effective_lr_relative" not in drawn:
        return "E (weight change per unit of gradient)"
    is_relative = drawn["is_effective_lr_relative"].to_numpy(bool)
    if not is_relative.any():
        return "E (weight change per unit of gradient)"
    if is_relative.all():
        return "E/α (over the learning rate α, which is not known)"
    return "E or, of an optimizer whose learning rate α is not known, E/α"


def _log_axis(axes: Axes, *values: Floats) -> tuple[float, float]:
    low, high = style.positive_range(*values, decades=1.5)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    style.set_log_axis(axes.xaxis, low, high, most=5)
    return low, high


def _draw_medians(axes: Axes, a: Floats, b: Floats) -> None:
    """A dumbbell a row: grey in A, coloured in B by where it went."""
    _log_axis(axes, a, b)
    for row, (before, after) in enumerate(zip(a, b, strict=True)):
        color = style.ALERT if after < before else style.MAIN
        if np.isfinite(before) and np.isfinite(after):
            axes.plot([before, after], [row, row], color=color, lw=1.8, alpha=0.45, gid="dumbbell")
        if np.isfinite(before):
            axes.plot([before], [row], "o", color=style.MUTED, ms=4.5, mec="white", mew=0.5, gid="a")
        if np.isfinite(after):
            axes.plot([after], [row], "o", color=color, ms=5.5, mec="white", mew=0.5, gid="b")


def _draw_ratios(axes: Axes, series: list[tuple[Floats, str]]) -> None:
    """A dot and a stalk a row, logarithmic; a change from all zeros (infinite) is an arrow head at the edge."""
    low, high = _log_axis(axes, *(values for values, _ in series))
    rows = np.arange(len(series[0][0]))
    offsets = np.linspace(-0.2, 0.2, len(series)) if len(series) > 1 else [0.0]
    for (values, color), offset in zip(series, offsets, strict=True):
        is_drawn = np.isfinite(values) & (values > 0)
        drawn, places = values[is_drawn], rows[is_drawn] + offset
        axes.hlines(places, low, drawn, color=color, lw=1.6, alpha=0.35)
        axes.plot(drawn, places, "o", color=color, ms=4.5, mec="white", mew=0.5, gid="change")
        is_infinite = np.isposinf(values)
        edge = [high] * int(is_infinite.sum())
        axes.plot(edge, rows[is_infinite] + offset, ">", color=color, ms=5, clip_on=False, gid="from zero")
