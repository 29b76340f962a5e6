"""Small multiples over the run: one panel per layer, all on the same axes, so that layers can be compared by eye."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.beginnings import beginning_key, draw_beginnings, label_beginnings
from ckpt_inspect.presentation.plots.names import Group, shorten
from ckpt_inspect.presentation.plots.page import MARGIN, Key, Page, fitting_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

MOST_PANELS = 24
"""Up to as many parameters have a panel each; beyond that a panel stands for a branch of the model."""


@dataclass(frozen=True, slots=True)
class _Grid:
    columns: int
    page_width: float
    panel_height: float


def _grid(count: int) -> _Grid:
    if count <= 1:
        return _Grid(1, 8.5, 3.6)
    if count <= 4:
        return _Grid(2, 10.0, 2.3)
    if count <= 9:
        return _Grid(3, 11.5, 1.75)
    return _Grid(4, 12.5, 1.3)


TITLE = 8.5
"""Points, of panels' titles."""
_LEFT, _GAP, _TITLE, _BETWEEN, _BELOW = 1.0, 0.3, 0.26, 0.17, 0.5


class Panels:
    """A page of equal panels with shared axes, the vertical one logarithmic."""

    def __init__(
        self,
        chapter: Chapter,
        question: str,
        note: str,
        y_label: str,
        y_range: tuple[float, float],
        key: Sequence[Key] = (),
    ) -> None:
        count = len(chapter.groups(MOST_PANELS))
        grid = _grid(count)
        rows = -(-count // grid.columns)
        width = (grid.page_width - _LEFT - MARGIN - 0.1 - _GAP * (grid.columns - 1)) / grid.columns
        pitch = grid.panel_height + _TITLE + _BETWEEN
        body = rows * pitch - _BETWEEN
        self.groups: tuple[Group, ...] = _fitting_groups(chapter, width - 0.55)
        if count < len(chapter.parameters):
            note += f" Panels gather {len(chapter.parameters)} parameters by the model's structure"
            note += " (how many, in brackets)."
        self.page = Page(
            question,
            chapter.subtitle,
            note,
            width=grid.page_width,
            height=body + _BELOW,
            key=(*key, *run_key(chapter), *beginning_key(chapter)),
        )
        self.axes: list[Axes] = []
        x_range = run_range(chapter)
        for position, group in enumerate(self.groups):
            row, column = divmod(position, grid.columns)
            left, top = _LEFT + column * (width + _GAP), row * pitch + _TITLE
            axes = self.page.axes(left, top, width, grid.panel_height, xlim=x_range)
            axes.set_yscale("log", nonpositive="mask")
            axes.set_ylim(*y_range)
            axes.set_title(group.label, loc="left", color=style.INK, fontsize=TITLE)
            is_lowest = position + grid.columns >= count
            style.set_log_axis(axes.yaxis, *y_range, most=4 if grid.panel_height < 2 else 6, labels=column == 0)
            style.set_count_axis(axes.xaxis, *x_range, most=4 if grid.columns > 2 else 7)
            axes.tick_params(axis="x", labelbottom=is_lowest)
            axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
            axes.set_axisbelow(True)
            self.axes.append(axes)
            self._draw_beginnings(axes, chapter, width)
        self.page.label_y(y_label, 0.0, body)
        self.page.label_x(chapter.x_label, _LEFT, grid.page_width - _LEFT - MARGIN, body + 0.3)

    def _draw_beginnings(self, axes: Axes, chapter: Chapter, width: float) -> None:
        """Mark where segments begin: of one run labelled in the first panel, of several in their colours."""
        is_alone = len(chapter.runs) == 1
        for position, run in enumerate(chapter.runs):
            beginnings = {float(chapter.x(run)[k]): begins for k, begins in run.beginnings.items()}
            draw_beginnings(axes, beginnings, style.INK if is_alone else run_color(position))
            if is_alone and axes is self.axes[0]:
                label_beginnings(axes, beginnings, width)

    def show_value(self, axes: Axes, value: float, color: str = style.MUTED) -> None:
        """Write the newest value at a panel's upper right, beside its title."""
        if np.isfinite(value):
            axes.set_title(style.number(value), loc="right", color=color, fontsize=style.SMALL_SIZE)


def _fitting_groups(chapter: Chapter, width: float) -> tuple[Group, ...]:
    make: Callable[[int], list[str]] = lambda characters: [g.label for g in chapter.groups(MOST_PANELS, characters)]  # noqa: E731
    labels = fitting_labels(make, width, TITLE)
    groups = chapter.groups(MOST_PANELS)
    return tuple(Group(label, group.members) for label, group in zip(labels, groups, strict=True))


def run_range(chapter: Chapter) -> tuple[float, float]:
    """Return the limits of the horizontal axis: from the first to the last checkpoint of any run, with a little air."""
    x = np.concatenate([chapter.x(run) for run in chapter.runs])
    low, high = float(x.min()), float(x.max())
    margin = (high - low) * 0.02 or 0.5
    return low - margin, high + margin


def run_key(chapter: Chapter) -> tuple[Key, ...]:
    """Return the runs' colours and dashes, if there are several."""
    if len(chapter.runs) < 2:
        return ()
    return tuple(
        Key("line", run_color(i), shorten(run.name, 40), dashes=run_dashes(i)) for i, run in enumerate(chapter.runs)
    )


def run_color(position: int) -> str:
    """Return the colour of the run at that position."""
    return style.RUN_COLORS[position % len(style.RUN_COLORS)]


def run_dashes(position: int) -> style.LineStyle:
    """Return its dashes, which distinguish runs even without colour."""
    return style.RUN_DASHES[position % len(style.RUN_DASHES)]


def nominal_key(chapter: Chapter) -> list[Key]:
    """Return what stands for the nominal rate in the key; nothing if it is not known."""
    if chapter.is_relative:
        return []
    text = "nominal learning rate α" if len(chapter.runs) == 1 else "nominal learning rate α (thin, the run's colour)"
    return [Key("line", style.INK, text, dashes=(0, (4, 2)))]


def draw_nominal(axes: Axes, chapter: Chapter) -> None:
    """Draw the nominal rates of all runs, equal ones once."""
    drawn: list[Run] = []
    for position, run in enumerate([] if chapter.is_relative else chapter.runs):
        is_drawn = any(np.array_equal(run.learning_rate, other.learning_rate) for other in drawn)
        if not is_drawn:
            color = style.INK if len(chapter.runs) == 1 else run_color(position)
            axes.plot(chapter.x(run), run.learning_rate, color=color, lw=0.9, dashes=(4, 2), gid="nominal")
            drawn.append(run)


def marker(run: Run) -> str | None:
    """Return dots for the lines of runs so short that each checkpoint can be seen."""
    return "o" if len(run.checkpoints) <= 12 else None
