"""What a report's page shows of its figures: those that its script draws as charts, the others as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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
    if drawing is not None:
        return _drawn(chapter, drawing, f"{answer} {kind.asks.caption}", kind.asks.metrics, file)
    subtitle = " · ".join(chapter.subtitle)
    return PageFigure(
        chapter.optimizer, kind.question, f"{answer} {kind.asks.caption}", subtitle, file, kind.asks.metrics, picture()
    )


def charts_alone(maker: ChartMaker, drawn: Sequence[FigureKind]) -> Iterator[PageFigure]:
    """Yield the charts of a chapter that the page shows beside its figures: `drawn` are those that have a file."""
    chapter = maker.chapter
    for kind in _ALONE:
        if kind not in drawn and kind.reason_to_omit(chapter) is None and (drawing := drawing_of(kind.id, maker)):
            yield _drawn(chapter, drawing, f"{kind.answer(chapter)} {kind.asks.caption}", kind.asks.metrics)
    series = [run.series for run in chapter.runs]
    if drawing := rates.rates_drawing(maker):
        yield _drawn(chapter, drawing, f"{rates.answer(series)} {rates.ASKS.caption}", rates.ASKS.metrics)


def _drawn(chapter: Chapter, drawing: Drawing, caption: str, metrics: tuple[str, ...], file: str = "") -> PageFigure:
    chart = Chart(drawing.form, drawing.title, drawing.data(), drawing.alternative())
    subtitle = " · ".join(chapter.subtitle)
    return PageFigure(chapter.optimizer, drawing.title, caption, subtitle, file, metrics, chart=chart)
