"""Small multiples: a panel per parameter, kernels' above those of biases and norms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.sheet import drawn

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from numpy.typing import NDArray
    from seaborn.objects import Plot

    from ckpt_inspect.presentation.plots.chapter import Chapter

Chosen = Mapping[str, "NDArray[np.intp]"]
"""Positions of parameters in a chapter, by kind."""
MOST = 8
"""Panels of a kind."""
COLUMNS = 4
_ROW, _TITLE = 1.55, 0.25
"""Inches: a row of panels, and the title of a kind."""


def height(chosen: Chosen) -> float:
    """Return the inches that the panels take."""
    return sum(-(-len(members) // COLUMNS) * _ROW + _TITLE for members in chosen.values()) + 0.2


def left_out(chapter: Chapter, chosen: Chosen, reason: str) -> str:
    """Return a sentence that says which parameters are drawn, if not all are."""
    count = sum(map(len, chosen.values()))
    return "" if count == len(chapter.parameters) else f" Drawn: the {count} of {len(chapter.parameters)} {reason}."


def draw_multiples(
    body: SubFigure, chapter: Chapter, chosen: Chosen, plot: Plot, x_label: str, y_label: str
) -> Iterator[tuple[int, Axes]]:
    """Draw a panel for each parameter chosen; yield its position in the chapter, and its axes.

    `plot`: seaborn's, without data's facets: rows of its frame belong to the parameter whose position is in the column
    `parameter`, which each of its variables shares.
    """
    ratios = [-(-len(members) // COLUMNS) * _ROW + _TITLE for members in chosen.values()]
    parts = body.subfigures(len(chosen), 1, squeeze=False, height_ratios=ratios).ravel()
    for part, (kind, members) in zip(parts, chosen.items(), strict=True):
        of_all = len(chapter.kinds()[kind])
        count = f"{len(members)} of {of_all}" if len(members) < of_all else str(of_all)
        part.suptitle(f"{kind} ({count})", x=0.01, ha="left", size=style.TEXT_SIZE, color=style.INK)
        order: list[Any] = [int(member) for member in members]
        axes = drawn(plot.facet("parameter", order=order, wrap=COLUMNS).label(x="", y=""), part)
        for at, label, panel in zip(order, chapter.labels(members, 26), axes, strict=True):
            panel.set_title(label, color=style.INK, size=style.SMALL_SIZE)
            yield at, panel
    body.supxlabel(x_label, size=style.TEXT_SIZE, color=style.MUTED)
    body.supylabel(y_label, size=style.TEXT_SIZE, color=style.MUTED)
