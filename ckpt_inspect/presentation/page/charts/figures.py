"""A figure's kind to the chart that the page shows in place of its picture: the same question, the same panels."""

from __future__ import annotations

from dataclasses import replace

from ckpt_inspect.presentation.figures.measures import measures_of
from ckpt_inspect.presentation.figures.questions import DISTRIBUTIONS, QUESTIONS
from ckpt_inspect.presentation.page.charts.distribution import distribution
from ckpt_inspect.presentation.page.charts.drawing import Drawing, Panel
from ckpt_inspect.presentation.page.charts.maker import ChartMaker

MOST_BOUNDED = 60
"""Up to as many parameters have bounds, which are shown of one or two lines at a time and make a page large."""


def drawing_of(figure: str, maker: ChartMaker) -> Drawing | None:
    """Return the chart of the figure of that id; None if it has none, and its picture is shown."""
    if figure == DISTRIBUTIONS.id:
        return _distributions(maker)
    measures = measures_of(figure, maker.chapter)
    if measures is None:
        return None
    shown = [each for each in measures if not each.is_beside]
    if len(maker.chapter.parameters) > MOST_BOUNDED:
        shown = [replace(each, bounds=()) for each in shown]
    return maker.chart(QUESTIONS[figure], [each.at(maker.chapter.kept) for each in shown], maker.panels(shown))


def _distributions(maker: ChartMaker) -> Drawing | None:
    found = distribution(maker.chapter)
    if found is None:
        return None
    panels = [
        Panel(f"{kind} ({len(members)})", tuple(map(int, members)), 0, maker.rows_of(members))
        for kind, members in maker.chapter.kinds().items()
    ]
    return replace(maker.chart(DISTRIBUTIONS, [], panels, form="ridges"), distribution=found)
