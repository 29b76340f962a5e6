"""How the effective learning rate of every layer evolves over the run, against the nominal rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.page import Key
from ckpt_inspect.presentation.plots.panels import (
    MOST_PANELS,
    Panels,
    draw_nominal,
    marker,
    nominal_key,
    run_color,
    run_dashes,
)
from ckpt_inspect.presentation.plots.rows import plot_intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.plots.chapter import Chapter

QUESTION = "How does each layer's effective learning rate evolve?"
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@style.styled
def plot_effective_lr(chapter: Chapter) -> Figure:
    """Draw a panel per layer: median of E over its touched elements, bands of 25-75 % and 5-95 %, the nominal rate
    dashed.

    With one checkpoint a row per layer in place of a panel. Several runs: a colour each, and the inner band only.
    """
    if not chapter.is_series:
        return plot_intervals(chapter)
    groups = chapter.groups(MOST_PANELS)
    quantiles = [[chapter.quantiles(run, group, LEVELS) for run in chapter.runs] for group in groups]
    nominal = [] if chapter.is_relative else [run.learning_rate for run in chapter.runs]
    is_alone = len(chapter.runs) == 1
    shown = [q if is_alone else q[:, 1:4] for of_group in quantiles for q in of_group]
    y_range = style.positive_range(*shown, *nominal)
    key = [Key("band", style.MAIN if is_alone else style.MUTED, "25–75 % of its elements", 0.35)]
    if is_alone:
        key = [
            Key("line", style.MAIN, "median of its touched elements"),
            *key,
            Key("band", style.MAIN, "5–95 %", 0.14),
        ]
    key += nominal_key(chapter)
    note = "At each panel's right: the newest median." if is_alone else "Lines: medians of touched elements."
    panels = Panels(chapter, QUESTION, note, chapter.lr_label, y_range, key)
    for axes, of_group in zip(panels.axes, quantiles, strict=True):
        for position, (run, q) in enumerate(zip(chapter.runs, of_group, strict=True)):
            x, color = chapter.x(run), run_color(position)
            if is_alone:
                axes.fill_between(x, q[:, 0], q[:, 4], color=color, alpha=0.14, linewidth=0)
            axes.fill_between(x, q[:, 1], q[:, 3], color=color, alpha=0.35 if is_alone else 0.15, linewidth=0)
            axes.plot(
                x,
                q[:, 2],
                color=color,
                lw=1.5,
                marker=marker(run),
                ms=3,
                label=run.name,
                gid="median",
                linestyle=run_dashes(position),
            )
        draw_nominal(axes, chapter)
        if is_alone:
            panels.show_value(axes, of_group[0][-1, 2], style.MAIN)
    return panels.page.figure
