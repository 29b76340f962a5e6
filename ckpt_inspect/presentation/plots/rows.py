"""Quantities of one checkpoint, or of the newest of several runs: a row per parameter, kernels apart from vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.limits import robust_range
from ckpt_inspect.presentation.plots.lines import Measure, Reference, run_colors, run_key
from ckpt_inspect.presentation.plots.names import Group, group_by_structure, shared_prefix
from ckpt_inspect.presentation.plots.sheet import drawn, figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

MOST_ROWS = 24
"""Of a kind; beyond it a row stands for a branch of the model."""
ROW = 0.19
"""Inches."""


def kind_groups(chapter: Chapter, most: int = MOST_ROWS, width: int = 30) -> dict[str, list[Group]]:
    """Return by kind at most `most` groups of its parameters; members are positions in the chapter."""
    prefix = len(shared_prefix(chapter.names))
    found = {}
    for kind, members in chapter.kinds().items():
        groups = group_by_structure([chapter.names[m] for m in members], most, width, prefix)
        found[kind] = [Group(g.label, tuple(int(members[m]) for m in g.members)) for g in groups]
    return found


def plot_rows(
    chapter: Chapter,
    question: str,
    answer: str,
    measure: Measure,
    note: str = "",
    reference: Reference | None = None,
    ranges: Callable[[Run, Group], tuple[float, float]] | None = None,
) -> Figure:
    """Draw a dot per parameter at its newest value, or at the middle of a branch's with a bar over all of them.

    `ranges` gives the ends of the bar in place of that. What lies far beyond the others is written at the edge.
    """
    import pandas as pd
    import seaborn.objects as so

    by_kind = kind_groups(chapter)
    rows = []
    offsets = np.linspace(-0.25, 0.25, len(chapter.runs)) if len(chapter.runs) > 1 else np.zeros(1)
    for (kind, groups), (run, values, offset) in (
        (of_kind, of_run)
        for of_kind in by_kind.items()
        for of_run in zip(chapter.runs, measure.values, offsets, strict=True)
    ):
        for y, group in enumerate(groups):
            known = values[-1, list(group.members)]
            known = known[np.isfinite(known) & (known > 0)]
            if known.size:
                ends = ranges(run, group) if ranges else (known.min(), known.max())
                x = float(np.exp(np.median(np.log(known))))
                rows.append({"kind": kind, "y": y + offset, "x": x, "low": ends[0], "high": ends[1], "run": run.name})
    frame = pd.DataFrame(rows, columns=["kind", "y", "x", "low", "high", "run"])
    gathered = sum(map(len, by_kind.values())) < len(chapter.parameters)
    if gathered:
        note = f"{note} Rows gather parameters by the model's structure (how many, in brackets).".strip()
    height = max(map(len, by_kind.values())) * ROW * max(1.0, 0.5 * len(chapter.runs)) + 0.9
    key = [*run_key(chapter), *(reference.key() if reference else [])]
    plot = so.Plot(frame, x="x", y="y").facet(col="kind", order=[*by_kind]).share(x=True, y=False)
    plot = plot.label(x=measure.label, y="")
    plot = plot.add(so.Range(linewidth=2.5, alpha=0.4), xmin="low", xmax="high", color="run", legend=False, orient="y")
    plot = plot.add(so.Dot(pointsize=5, edgecolor="white", artist_kws={"gid": "dot"}), color="run", legend=False)
    plot = plot.scale(color=so.Nominal(dict(zip([run.name for run in chapter.runs], run_colors(chapter), strict=True))))
    body = sheet(question, answer, chapter.subtitle, note, height, key)
    axes = drawn(plot, body)
    others = np.array(reference.band if reference else ())
    limits = robust_range([frame[["low", "x", "high"]].to_numpy(float).reshape(1, -1)], others)
    for panel, (kind, groups) in zip(axes, by_kind.items(), strict=True):
        set_rows(panel, kind, [group.label for group in groups], sum(len(g.members) for g in groups))
        panel.set_xscale("log")
        panel.set_xlim(*limits)
        style.set_log_axis(panel.xaxis, *limits, most=6)
        if reference:
            reference.draw(panel, vertical=True)
        _write_beyond(panel, frame[frame["kind"] == kind][["x", "y"]].to_numpy(float), limits)
    return figure_of(body)


def set_rows(axes: Axes, kind: str, labels: Sequence[str], count: int) -> None:
    """Set a panel's title and its rows from top to bottom, every other one on a tinted ground."""
    axes.set_title("")
    axes.set_title(f"{kind} ({count})" if kind else "", loc="left", color=style.INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, color=style.INK)
    axes.tick_params(axis="y", length=0, labelsize=style.SMALL_SIZE, labelleft=True)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
    axes.grid(axis="y", visible=False)
    axes.set_axisbelow(True)
    for y in range(0, len(labels), 2):
        axes.axhspan(y - 0.5, y + 0.5, color="#f5f6f7", linewidth=0, zorder=0)


def _write_beyond(axes: Axes, dots: Floats, limits: tuple[float, float]) -> None:
    """Write the values that lie beyond the axes at their edge."""
    for x, y in dots:
        if not limits[0] <= x <= limits[1]:
            is_high = x > limits[1]
            text = f"{style.number(x)} ▸" if is_high else f"◂ {style.number(x)}"
            axes.annotate(
                text, (1.0 if is_high else 0.0, y), xycoords=axes.get_yaxis_transform(), va="center_baseline",
                ha="right" if is_high else "left", color=style.ALERT, fontsize=style.SMALL_SIZE, gid="beyond",
            )  # fmt: skip
