"""seaborn's heatmap with a row per parameter and a column per checkpoint: its ticks, labels and marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.marks import draw_marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.names import Group

_LABEL = 0.17
"""Inches that a row's label takes."""
_TICKS = 5


def draw_heatmap(axes: Axes, values: Floats, norm: Any, colors: Any) -> Any:
    """Draw (rows, columns) in colour, hatched where there is no value; return the mesh that carries the colours."""
    import seaborn

    style.hatch_ground(axes)
    seaborn.heatmap(
        values,
        mask=np.isnan(values),
        norm=norm,
        cmap=colors,
        cbar=False,
        ax=axes,
        xticklabels=False,
        yticklabels=False,
        rasterized=True,
    )
    return axes.collections[0]


def set_columns(axes: Axes, chapter: Chapter, run: Run) -> None:
    """Set ticks at a few checkpoints, and mark where something happened."""
    x = chapter.x(run)
    chosen = np.unique(np.linspace(0, len(x) - 1, min(_TICKS, len(x))).round().astype(int))
    axes.set_xticks(chosen + 0.5, style.counts([float(x[at]) for at in chosen]), rotation=0)
    axes.tick_params(axis="x", length=2.5)
    draw_marks(axes, {float(k): word for k, word in run.marks.items()}, is_cased=True)


def label_rows(axes: Axes, groups: Sequence[Group], height: float, texts: Sequence[str] = ()) -> None:
    """Label groups of rows at the left, and at the right with `texts`, those that have room in `height` inches.

    Larger groups are labelled first, so that none hides what most rows belong to.
    """
    edges = np.cumsum([0, *(len(group.members) for group in groups)])
    middles = (edges[:-1] + edges[1:]) / 2
    room = _LABEL * edges[-1] / height
    chosen: list[int] = []
    for at in sorted(range(len(groups)), key=lambda at: -len(groups[at].members)):
        if all(abs(middles[at] - middles[other]) >= room for other in chosen):
            chosen.append(at)
    chosen.sort()
    axes.set_yticks(middles[chosen], [groups[at].label for at in chosen], color=style.INK, rotation=0)
    axes.tick_params(axis="y", length=0, labelsize=style.SMALL_SIZE)
    if edges[-1] > len(groups):
        for edge in edges[1:-1]:
            axes.axhline(edge, color="white", lw=0.8)
    if len(texts):
        right = axes.secondary_yaxis("right")
        right.set_yticks(middles[chosen], [texts[at] for at in chosen], color=style.MUTED)
        right.tick_params(axis="y", length=0, labelsize=style.SMALL_SIZE)
        right.spines["right"].set_visible(False)
