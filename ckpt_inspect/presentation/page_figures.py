"""What a report's page shows of its figures: those that its script draws as charts, the others as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ckpt_inspect.presentation.figures.questions import Question
from ckpt_inspect.presentation.page import Chart, PageFigure, Picture
from ckpt_inspect.presentation.page.charts import ChartMaker, Drawing, drawing_of, rates
from ckpt_inspect.presentation.plots import FIGURES, Chapter, FigureKind

_ALONE = tuple(kind for kind in FIGURES if kind.id in ("path", "distributions"))
"""Those that the page has even if no file of them is asked for."""


def page_figure(
    maker: ChartMaker, kind: FigureKind, answer: str, file: str, picture: Callable[[], Picture]
) -> PageFigure:
    """Return a figure that is in `file` as the page shows it; `picture` is asked for it only if it has no chart."""
    chapter, drawing = maker.chapter, drawing_of(kind.id, maker)
    return _shown(chapter, kind.asks, answer, drawing, file, picture() if drawing is None else None)


def charts_alone(maker: ChartMaker, drawn: Sequence[FigureKind]) -> Iterator[PageFigure]:
    """Yield the charts of a chapter that the page shows beside its figures: `drawn` are those that have a file."""
    chapter = maker.chapter
    for kind in _ALONE:
        if kind not in drawn and kind.reason_to_omit(chapter) is None and (drawing := drawing_of(kind.id, maker)):
            yield _shown(chapter, kind.asks, kind.answer(chapter), drawing)
    series = [run.series for run in chapter.runs]
    if drawing := rates.rates_drawing(maker):
        yield _shown(chapter, rates.ASKS, rates.answer(series), drawing)


def _shown(
    chapter: Chapter,
    asks: Question,
    answer: str,
    drawing: Drawing | None,
    file: str = "",
    picture: Picture | None = None,
) -> PageFigure:
    chart = None
    if drawing is not None:
        chart = Chart(drawing.form, drawing.title, drawing.data(), drawing.alternative())
    subtitle = " · ".join(chapter.subtitle)
    return PageFigure(
        chapter.optimizer, asks.question, asks.caption, subtitle, file, asks.metrics, picture, chart, answer
    )
