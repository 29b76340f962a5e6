"""Thin vertical lines where something happened to a run: state not carried on, a rate that jumped, NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.segments import BEGINNING_WORDS
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.questions import NOT_FINITE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from ckpt_inspect.presentation.plots.chapter import Chapter

_DASHES: Mapping[str, style.LineStyle] = {
    BEGINNING_WORDS["state-lost"]: (0, (1, 1)),
    BEGINNING_WORDS["rate-jumped"]: (0, (5, 1.5, 1, 1.5)),
    NOT_FINITE: (0, (4, 2)),
}
"""Dashes, not colours, tell the reasons apart."""
MOST_LABELS = 3
APART = 0.05
"""Of the axis' length, that labels are apart at least."""


def mark_key(chapter: Chapter) -> list[Artist]:
    """Return what the lines are, for the key; nothing if there is none."""
    from matplotlib.lines import Line2D

    found = {word for run in chapter.runs for word in run.marks.values()}
    return [Line2D([], [], color=style.INK, lw=0.9, ls=d, label=word) for word, d in _DASHES.items() if word in found]


def draw_marks(
    axes: Axes, places: Mapping[float, str], color: str = style.INK, *, is_cased: bool = False, has_labels: bool = False
) -> None:
    """Draw a line at each place on the horizontal axis; `is_cased`: over a white one, for heatmaps.

    With `has_labels` the first lines have their reason beside them, as far as there is room.
    """
    low, high = axes.get_xlim()
    last, labels = low, 0
    for x, word in places.items():
        if is_cased:
            axes.axvline(x, color="white", lw=2.2, zorder=2.4)
        axes.axvline(x, color=color, lw=0.9, ls=_DASHES[word], zorder=2.5, gid="beginning")
        if has_labels and labels < MOST_LABELS and x - last >= APART * (high - low):
            last, labels = x, labels + 1
            axes.annotate(
                word, (x, 0.98), xytext=(-1.5, 0), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                rotation=90, ha="right", va="top", fontsize=7.0, color=style.INK, zorder=3.0, gid="beginning label",
                bbox={"facecolor": "white", "alpha": 0.75, "pad": 0.3, "linewidth": 0}, annotation_clip=True,
            ).set_in_layout(False)  # fmt: skip
