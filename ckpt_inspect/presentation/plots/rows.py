"""Quantities of one checkpoint, or of the newest of several runs: a row per parameter, kernels above vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.multiples import left_out
from ckpt_inspect.presentation.plots.over_run import Measure
from ckpt_inspect.presentation.plots.sheet import drawn, figure_of, sheet
from ckpt_inspect.presentation.plots.spread import distance, positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter
    from ckpt_inspect.presentation.plots.questions import Question

MOST_ROWS = 24
"""Of a kind; of more those that lie furthest from the middle."""
ROW = 0.19
"""Inches."""


def plot_rows(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str = "") -> Figure:
    """Draw a dot per parameter at its newest value, a column of panels for each measure, with its bounds as a bar.

    What lies far beyond the others is written at the edge.
    """
    import pandas as pd
    import seaborn.objects as so

    far = np.fmax.reduce([distance(positive(of_run)) for of_run in measures[0].values])
    chosen = chapter.telling(far, MOST_ROWS)
    note = (note or asks.note) + left_out(chapter, chosen, "furthest from the middle")
    tall = [len(members) * ROW * max(1.0, 0.5 * len(chapter.runs)) + 0.35 for members in chosen.values()]
    handles = panels.key(chapter, next((m.usual for m in measures if m.usual), None))
    body = sheet(asks, answer, chapter.made_from, chapter.doubts_of(asks.rests_on), note, sum(tall) + 0.6, handles)
    parts = body.subfigures(len(chosen), 1, squeeze=False, height_ratios=tall).ravel()
    offsets = np.linspace(-0.25, 0.25, len(chapter.runs)) if len(chapter.runs) > 1 else [0.0]
    for part, (kind, members) in zip(parts, chosen.items(), strict=True):
        frames = [
            pd.DataFrame(
                {
                    "measure": measure.label,
                    "run": run.name,
                    "y": np.arange(len(members)) + offset,
                    "x": positive(of_run)[-1, members],
                    **{side: of_bound[-1, members] for side, of_bound in zip(("low", "high"), bounds, strict=False)},
                }
            )
            for measure in measures
            for run, of_run, offset, bounds in zip(
                chapter.runs, measure.values, offsets, measure.bounds or [()] * len(chapter.runs), strict=True
            )
        ]
        frame = pd.concat(frames, ignore_index=True).dropna(subset="x")
        plot = so.Plot(frame, y="y", color="run").facet(col="measure", order=[m.label for m in measures])
        plot = plot.share(x=False, y=False).scale(color=panels.run_scales(chapter)["color"]).label(x="", y="")
        if measures[0].bounds:
            plot = plot.add(so.Range(linewidth=2.5, alpha=0.4), xmin="low", xmax="high", orient="y", legend=False)
        dot = so.Dot(pointsize=5, edgecolor="white", artist_kws={"gid": "dot"})
        for axes, measure in zip(drawn(plot.add(dot, x="x", legend=False), part), measures, strict=True):
            limits = panels.robust_range(
                [positive(each)[-1:] for sides in (measure.values, *measure.bounds) for each in sides],
                *((measure.usual.low, measure.usual.high) if measure.usual else ()),
            )
            is_left = measure is measures[0]
            set_rows(axes, chapter.labels(members) if is_left else [""] * len(members))
            axes.set_title(f"{kind} ({len(chapter.kinds()[kind])})" if is_left else "", color=style.INK)
            panels.set_log_axis(axes, "x", limits)
            panels.draw_usual(axes, measure.usual, vertical=True)
            axes.set_xlabel(measure.label if part is parts[-1] else "")
            write_beyond(axes, frame[frame["measure"] == measure.label][["x", "y"]].to_numpy(float), limits)
    return figure_of(body)


def set_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Set rows from top to bottom, every other one on a tinted ground."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, color=style.INK)
    axes.tick_params(axis="y", length=0, labelleft=any(labels))
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
    for y in range(0, len(labels), 2):
        axes.axhspan(y - 0.5, y + 0.5, color="#f5f6f7", linewidth=0, zorder=0)


def write_beyond(axes: Axes, dots: Floats, limits: panels.Limits) -> None:
    """Write the values that lie beyond the axes at their edge."""
    for x, y in dots:
        if x > 0 and not limits[0] <= x <= limits[1]:
            is_high = x > limits[1]
            value = style.number(x) if np.isfinite(x) else "∞"
            text = f"{value} ▸" if is_high else f"◂ {value}"
            axes.annotate(
                text, (1.0 if is_high else 0.0, y), xycoords=axes.get_yaxis_transform(), va="center_baseline",
                ha="right" if is_high else "left", color=style.ALERT, fontsize=style.SMALL_SIZE, gid="beyond",
            )  # fmt: skip
