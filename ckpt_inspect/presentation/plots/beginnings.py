"""Marks where a run's segments begin: a thin line at the checkpoint, dashed by its reason, with a short label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.segments import BEGINNING_WORDS, Beginning
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.page import Key, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ckpt_inspect.presentation.plots.chapter import Chapter

LABEL_SIZE = 7.0
"""Points."""
MOST_LABELS = 3
_DASHES: Mapping[Beginning, style.LineStyle] = {"state-lost": (0, (1, 1)), "rate-jumped": (0, (5, 1.5, 1, 1.5))}
"""Dashes, not colours, tell the reasons apart; the nominal rate has others."""
_DASHES_WORDS: Mapping[Beginning, str] = {"state-lost": "dotted", "rate-jumped": "dash-dotted"}


def reasons(chapter: Chapter) -> tuple[Beginning, ...]:
    """Return why segments of the chapter's runs begin, each reason once."""
    found = {begins for run in chapter.runs for begins in run.beginnings.values()}
    return tuple(reason for reason in _DASHES if reason in found)


def beginning_key(chapter: Chapter) -> tuple[Key, ...]:
    """Return what the lines are, for the key; nothing if there is none."""
    return tuple(Key("line", style.INK, BEGINNING_WORDS[reason], dashes=_DASHES[reason]) for reason in reasons(chapter))


def draw_beginnings(
    axes: Axes, beginnings: Mapping[float, Beginning], color: str = style.INK, *, is_cased: bool = False
) -> None:
    """Draw a line across the axes at each place on their horizontal axis; `is_cased`: over a white one."""
    for x, begins in beginnings.items():
        if is_cased:
            axes.axvline(x, color="white", lw=2.0, zorder=1.4)
        axes.axvline(x, color=color, lw=0.8, ls=_DASHES[begins], zorder=1.5, gid="beginning")


def label_beginnings(axes: Axes, beginnings: Mapping[float, Beginning], width: float) -> None:
    """Write the reasons of at most `MOST_LABELS` lines under the top of axes that are `width` inches wide.

    A label stands right of its line, left of it where that leaves the axes, and is left out where neither has room.
    """
    low, high = axes.get_xlim()
    taken: list[tuple[float, float]] = []
    for x, begins in beginnings.items():
        place = (x - low) / (high - low) * width
        length = text_width(BEGINNING_WORDS[begins], LABEL_SIZE) + _AIR
        for start, align in ((place, "left"), (place - length, "right")):
            is_free = all(start + length <= left or right <= start for left, right in taken)
            if len(taken) < MOST_LABELS and start >= 0 and start + length <= width and is_free:
                taken.append((start, start + length))
                axes.annotate(
                    BEGINNING_WORDS[begins],
                    (x, 1.0),
                    xytext=(2.5 if align == "left" else -2.5, -2.0),
                    xycoords=axes.get_xaxis_transform(),
                    textcoords="offset points",
                    ha=align,
                    va="top",
                    color=style.INK,
                    fontsize=LABEL_SIZE,
                    bbox={"facecolor": "white", "alpha": 0.75, "pad": 0.5, "linewidth": 0},
                    zorder=3.0,
                    gid="beginning label",
                )
                break


_AIR = 0.08
"""Inches between a label's ends and what is beside it."""


def beginning_note(reasons: Sequence[Beginning]) -> str:
    """Return the sentence on a heatmap's lines; empty without any."""
    if not reasons:
        return ""
    return f" Vertical lines: {'; '.join(f'{_DASHES_WORDS[r]}, {BEGINNING_WORDS[r]}' for r in reasons)}."
