"""Whether weights with larger effective learning rates moved further between two checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.optimizer_series import floats
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.changes import compared, symbol_of_rates
from ckpt_inspect.presentation.plots.names import shared_prefix, short_labels
from ckpt_inspect.presentation.plots.questions import CHANGE_BY_RATE
from ckpt_inspect.presentation.plots.sheet import drawn, figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_NAMED = 6


@style.styled
def plot_change_by_rate(frame: DataFrame, name_a: str = "A", name_b: str = "B", doubts: Sequence[str] = ()) -> Figure:
    """Draw a dot per parameter of `Diff.to_frame()`: median E in B across, relative change of the weights up, both
    logarithmic.

    The parameters furthest from the common trend are named; `doubts` as in `plot_diff`.
    Raises RequestError if no parameter has both.
    """
    import pandas as pd
    import seaborn.objects as so

    rates, changes = (floats(frame[c]) for c in ("effective_lr_b", "weight_change"))
    is_drawn = np.isfinite(rates) & np.isfinite(changes) & (rates > 0) & (changes > 0)
    if not is_drawn.any():
        raise RequestError("there is nothing to draw: no parameter has an effective learning rate and moved")
    rates, changes = rates[is_drawn], changes[is_drawn]
    names = [style.drawable(str(name)) for name in frame["parameter"][is_drawn]]
    labels = short_labels(names, 34, len(shared_prefix(names)))
    far = np.argsort(-distance_from_trend(rates, changes), kind="stable")[:MOST_NAMED]
    parts = [*compared(name_a, name_b), f"{len(rates)} of {len(frame)} tensors"]
    body = sheet(CHANGE_BY_RATE, answer(rates, changes), parts, doubts, CHANGE_BY_RATE.note, 5.0)
    symbol, space, unit = symbol_of_rates(frame[is_drawn]).partition(" ")
    plot = so.Plot(pd.DataFrame({"x": rates, "y": changes}), x="x", y="y")
    plot = plot.add(so.Dot(color=style.FAN, alpha=0.6, edgecolor="white", artist_kws={"gid": "parameters"}))
    plot = plot.label(x=f"median {symbol} in B{space}{unit}", y=CHANGE_BY_RATE.label)
    (axes,) = drawn(plot, body)
    panels.set_log_axis(axes, "x", panels.robust_range([rates[None, :]]))
    panels.set_log_axis(axes, "y", panels.robust_range([changes[None, :]]))
    axes.grid(color=style.FAINT, lw=0.6)
    for at, color in zip(far, style.LINE_COLORS, strict=False):
        x, y = (float(np.clip(v[at], *ends)) for v, ends in ((rates, axes.get_xlim()), (changes, axes.get_ylim())))
        axes.plot([x], [y], "o", color=color, ms=7, mec="white", label=labels[at], clip_on=False, gid="name")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="furthest from the trend", alignment="left")
    return figure_of(body)


def answer(rates: Floats, changes: Floats) -> str:
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
    slope = float((spread * y).sum() / (spread**2).sum()) if np.any(spread) else 0.0
    distance: Floats = np.abs(y - y.mean() - slope * spread)
    return distance
