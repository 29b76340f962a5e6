"""What the charts of a chapter share: which checkpoints they hold, their panels, their horizontal axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.presentation.page.charts.drawing import Drawing, Form, Measure, Panel, Row, RunAxis
from ckpt_inspect.presentation.page.charts.thinning import most_checkpoints, telling_positions
from ckpt_inspect.presentation.plots.chapter import Chapter, Run
from ckpt_inspect.presentation.plots.names import group_by_structure
from ckpt_inspect.presentation.plots.panels import MOST_MARKS
from ckpt_inspect.presentation.plots.questions import Question
from ckpt_inspect.presentation.shown_names import printable
from ckpt_inspect.records import dataclass

MOST_ROWS = 24
"""Of a kind of parameters; beyond it a row stands for a branch of the model."""
MOST_LAYERS = 12
"""Panels of several runs laid over each other; beyond it a panel stands for a branch."""
_TELLING = ("update_rms", "update_to_weight", "effective_lr_median", "window_gradient_rms", "untouched",
            "epsilon_dominated")  # fmt: skip
"""Columns whose extremes are kept when a long run is thinned."""


@dataclass(frozen=True)
class ChartMaker:
    """One chapter's charts: the same checkpoints in all of them."""

    chapter: Chapter

    @cached_property
    def kept(self) -> tuple[NDArray[np.intp], ...]:
        """Return by run the positions of the checkpoints that are drawn; of runs of one checkpoint the newest."""
        if not self.chapter.is_series:
            return tuple(np.array([len(run.indices) - 1]) for run in self.chapter.runs)
        most = most_checkpoints(len(self.chapter.parameters), len(self.chapter.runs))
        return tuple(_kept(run, most) for run in self.chapter.runs)

    def values(self, get: Callable[[Run], Floats]) -> tuple[Floats, ...]:
        """Return a quantity (K, P) of each run at those checkpoints."""
        return tuple(get(run)[kept] for run, kept in zip(self.chapter.runs, self.kept, strict=True))

    def column(self, name: str) -> tuple[Floats, ...]:
        """Return a column of the frame, as `values` does."""
        return self.values(lambda run: run.column(name))

    def panels(self, measures: int = 1) -> tuple[Panel, ...]:
        """Return a panel per kind of parameter for each of so many measures; of several runs, which are compared layer
        by layer, a panel per layer of the first."""
        chapter = self.chapter
        if chapter.is_series and len(chapter.runs) > 1:
            return tuple(
                Panel(printable(group.label), group.members) for group in group_by_structure(chapter.names, MOST_LAYERS)
            )
        return tuple(
            Panel(
                f"{kind} ({len(members)})",
                tuple(map(int, members)),
                measure,
                () if chapter.is_series else self.rows_of(members),
            )
            for measure in range(measures)
            for kind, members in chapter.kinds().items()
        )

    def rows_of(self, members: NDArray[np.intp]) -> tuple[Row, ...]:
        """Return the rows of dots or ridges for these parameters: one each, or a branch of the model if they are
        many."""
        return tuple(Row(printable(group.label), group.members) for group in self.chapter.groups(members, MOST_ROWS))

    def chart(
        self, asks: Question, measures: Sequence[Measure], panels: Sequence[Panel], form: Form | None = None
    ) -> Drawing:
        """Return the chart of these panels: over the run, or as dots if there is one checkpoint."""
        chapter = self.chapter
        names = tuple(printable(name) for name in chapter.parameters)
        return Drawing(
            title=asks.question,
            form=form or ("lines" if chapter.is_series else "dots"),
            x_label=chapter.x_label,
            parameters=names,
            layers=tuple(map(layer_of, names)),
            runs=self.axes,
            panels=tuple(panels),
            measures=tuple(measures),
            usual=asks.usual,
            doubts=chapter.doubts_of(asks.rests_on),
        )

    @cached_property
    def axes(self) -> tuple[RunAxis, ...]:
        """Return the runs' horizontal axes."""
        return tuple(
            RunAxis(
                printable(run.name),
                np.nan_to_num(self.chapter.x(run)[kept]),
                tuple((float(self.chapter.x(run)[k]), word) for k, word in list(run.marks.items())[:MOST_MARKS]),
                max(len(run.marks) - MOST_MARKS, 0),
                tuple(map(float, self.chapter.x(run)[kept][1:][np.diff(run.parts[kept]) > 0])),
            )
            for run, kept in zip(self.chapter.runs, self.kept, strict=True)
        )


def layer_of(name: str) -> str:
    """Return the layer that a parameter is of: its name without the last component."""
    return name.rpartition("/")[0] or name


def _kept(run: Run, most: int) -> NDArray[np.intp]:
    columns = [run.column(name) for name in _TELLING]
    known = [values for values in columns if not np.isnan(values).all()]
    also = {k for mark in list(run.marks)[:MOST_MARKS] for k in (mark - 1, mark)}
    return telling_positions(known or columns[:1], most, also)
