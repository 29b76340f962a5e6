"""What the charts of a chapter share: which checkpoints they hold, their panels, their horizontal axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.presentation.figures.chapter import MOST_MARKS, Chapter
from ckpt_inspect.presentation.figures.colors import colors_of, layer_of
from ckpt_inspect.presentation.figures.measures import Measure
from ckpt_inspect.presentation.figures.names import group_by_structure
from ckpt_inspect.presentation.figures.questions import Question
from ckpt_inspect.presentation.page.charts.drawing import Drawing, Form, Panel, Row, RunAxis
from ckpt_inspect.presentation.shown_names import printable
from ckpt_inspect.records import dataclass

MOST_ROWS = 24
"""Of a kind of parameters; beyond it a row stands for a branch of the model."""
MOST_LAYERS = 12
"""Panels of several runs laid over each other; beyond it a panel stands for a branch."""


@dataclass(frozen=True)
class ChartMaker:
    """One chapter's charts: the same checkpoints in all of them."""

    chapter: Chapter

    def panels(self, shown: Sequence[Measure]) -> tuple[Panel, ...]:
        """Return a panel per kind of parameter for each of these measures, or one for those that it concerns; several
        runs are compared layer by layer, in a panel per layer of the first."""
        chapter = self.chapter
        found = []
        for at, measure in enumerate(shown):
            if measure.concerns is not None:
                title = f"{measure.title}: {len(measure.concerns)} of {len(chapter.parameters)} parameters"
                found.append(Panel(title, tuple(map(int, measure.concerns)), at, self.rows_of(measure.concerns)))
            elif chapter.is_series and len(chapter.runs) > 1:
                groups = group_by_structure(chapter.names, MOST_LAYERS) if at == 0 else ()
                found += [Panel(printable(group.label), group.members) for group in groups]
            else:
                found += [
                    Panel(
                        f"{kind} ({len(members)})",
                        tuple(map(int, members)),
                        at,
                        () if chapter.is_series else self.rows_of(members),
                    )
                    for kind, members in chapter.kinds().items()
                ]
        return tuple(found)

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
            colors=tuple(map(int, colors_of(chapter))) if chapter.is_series and len(chapter.runs) == 1 else (),
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
            for run, kept in zip(self.chapter.runs, self.chapter.kept, strict=True)
        )
