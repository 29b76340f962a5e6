"""One row per parameter and a column per quantity: what a single checkpoint, or the newest of each run, looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.names import Group
from ckpt_inspect.presentation.plots.page import MARGIN, Key, Page, fitting_labels, text_width, wrapped
from ckpt_inspect.presentation.plots.panels import run_color, run_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.plots.chapter import Chapter

MOST_ROWS = 48
"""Up to as many parameters have a row each; beyond that a row stands for a branch of the model."""
ROW = 0.2
_WIDTH, _LABELS, _BELOW = 10.0, 2.7, 0.55


class Rows:
    """A page of rows, their labels at the left, and columns of axes that share them."""

    def __init__(
        self,
        question: str,
        parts: Sequence[str],
        note: str,
        labels: Callable[[int], Sequence[str]],
        columns: Sequence[tuple[str, float]],
        *,
        key: Sequence[Key] = (),
        row: float = ROW,
        width: float = _WIDTH,
        has_titles: bool = False,
    ) -> None:
        """`labels(characters)` gives the rows' labels; `columns` are (axis label, share of the width).

        `has_titles` leaves room for a title above each column.
        """
        names = fitting_labels(labels, _LABELS)
        left = MARGIN + max(text_width(name, style.TEXT_SIZE) for name in names) + 0.1
        body = max(len(names) * row, 0.5) + 0.15
        top = 0.28 if has_titles else 0.05
        gap = 0.3
        room = width - left - MARGIN - 0.15 - gap * (len(columns) - 1)
        total = sum(share for _, share in columns)
        widths = [room * share / total for _, share in columns]
        label_lines = [
            wrapped([label], room, style.TEXT_SIZE) for (label, _), room in zip(columns, widths, strict=True)
        ]
        below = _BELOW + 0.16 * (max(map(len, label_lines)) - 1)
        self.names = names
        self.page = Page(question, parts, note, width=width, height=top + body + below, key=key)
        self.axes: list[Axes] = []
        for position, (lines, column_width) in enumerate(zip(label_lines, widths, strict=True)):
            x = left + sum(widths[:position]) + gap * position
            axes = self.page.axes(x, top, column_width, body, ylim=(len(names) - 0.5, -0.5))
            axes.set_xlabel("\n".join(lines))
            axes.set_yticks(range(len(names)), names if position == 0 else [""] * len(names), color=style.INK)
            axes.tick_params(axis="y", length=0, labelsize=style.TEXT_SIZE)
            axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
            for y in range(0, len(names), 2):
                axes.axhspan(y - 0.5, y + 0.5, color="#f5f6f7", linewidth=0, zorder=0)
            axes.set_axisbelow(True)
            axes.spines["left"].set_visible(False)
            self.axes.append(axes)


def row_groups(chapter: Chapter) -> tuple[Group, ...]:
    """Return the parameters as at most `MOST_ROWS` rows."""
    return chapter.groups(MOST_ROWS)


def row_labels(chapter: Chapter) -> Callable[[int], list[str]]:
    """Return the labels of `row_groups` in so many characters."""
    return lambda characters: [group.label for group in chapter.groups(MOST_ROWS, characters)]


def dodge(count: int) -> list[float]:
    """Return the offsets within a row at which `count` runs lie beside one another."""
    return [0.0] if count == 1 else [float(o) for o in np.linspace(-0.28, 0.28, count)]


def plot_intervals(chapter: Chapter) -> Figure:
    """Draw a row per layer: median of E as a dot, 25-75 % as a bar, 5-95 % as a thin one; the nominal rate a dashed
    line."""
    groups = row_groups(chapter)
    quantiles = [[chapter.quantiles(run, g, (0.05, 0.25, 0.5, 0.75, 0.95))[-1] for g in groups] for run in chapter.runs]
    nominal = [] if chapter.is_relative else [run.learning_rate[-1] for run in chapter.runs]
    limits = style.positive_range(*quantiles, nominal)
    color = style.MAIN if len(chapter.runs) == 1 else style.MUTED
    key = [Key("dot", color, "median of its touched elements"), Key("line", color, "25–75 %, thin 5–95 %")]
    if nominal:
        key.append(Key("line", style.INK, "nominal learning rate α", dashes=(0, (4, 2))))
    question = "Which layers have larger effective learning rates?"
    row = ROW * max(1.0, 0.6 * len(chapter.runs))
    rows = Rows(
        question,
        chapter.subtitle,
        gathered_note(chapter, groups),
        row_labels(chapter),
        [(chapter.lr_label, 1.0)],
        key=(*key, *run_key(chapter)),
        row=row,
    )
    (axes,) = rows.axes
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    style.set_log_axis(axes.xaxis, *limits, most=8)
    for position, (of_run, offset) in enumerate(zip(quantiles, dodge(len(chapter.runs)), strict=True)):
        q, y = np.asarray(of_run), np.arange(len(groups)) + offset
        axes.hlines(y, q[:, 0], q[:, 4], color=run_color(position), lw=1.0, alpha=0.5)
        axes.hlines(y, q[:, 1], q[:, 3], color=run_color(position), lw=3.0, alpha=0.5)
        axes.plot(q[:, 2], y, "o", color=run_color(position), ms=4.5, mec="white", mew=0.5, gid="median")
    for rate in sorted(set(nominal)):
        axes.axvline(rate, color=style.INK, lw=0.9, dashes=(4, 2), gid="nominal")
    return rows.page.figure


def gathered_note(chapter: Chapter, groups: Sequence[Group]) -> str:
    """Say that rows are branches, if they are."""
    if len(groups) == len(chapter.parameters):
        return ""
    return f"Rows gather {len(chapter.parameters)} parameters by the model's structure (how many, in brackets)."
