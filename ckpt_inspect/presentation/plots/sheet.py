"""A figure's frame: question, answer, what it was made from and what is doubtful above; a key, and a note below.

Axes are drawn first, into a blank sheet. Their artists' labels make the key; matplotlib lays it all out under the
engine `constrained`.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ckpt_inspect.presentation.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from seaborn.objects import Plot

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.questions import Question

WIDTH = 11.0
"""Inches, of every figure."""
_LEFT, _PAD = 0.01, 0.06
"""Where texts begin, as a share of the width; inches above and below them."""
_LINE = 1.35 / 72
"""Inches that a line takes for each point of its letters' size."""
_COLUMNS = 5
"""Of a key."""
_COLORS = 256
"""Of a picture in a page."""


def blank() -> SubFigure:
    """Return a new figure's part for axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    return cast("SubFigure", figure.subfigures())


def sheet(
    body: SubFigure,
    asks: Question,
    answer: str,
    made_from: Sequence[str],
    doubts: Sequence[str],
    note: str,
    height: float,
) -> Figure:
    """Return the figure of what was drawn, with this header, note and the key; `height` is what axes need, in inches.

    `doubts`: values that the figure rests on although nobody read them.
    """
    figure, told = body.get_figure(root=True), f"Uncertain values: {'; '.join(doubts)}" if doubts else ""
    header = [
        ("title", asks.question, style.TITLE_SIZE, style.INK),
        ("answer", answer, style.ANSWER_SIZE, style.INK),
        ("subtitle", " · ".join(made_from), style.TEXT_SIZE, style.MUTED),
        ("doubts", told, style.TEXT_SIZE, style.DOUBT),
    ]
    handles = {text: h for axes in body.axes for h, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if handles:
        body.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=_COLUMNS)
    texts = [(gid, _wrapped(text, size), size, color) for gid, text, size, color in header if text]
    notes = _wrapped(note, style.SMALL_SIZE)
    top, bottom = sum(_tall(text, size) for _, text, size, _ in texts) + _PAD, _tall(notes, style.SMALL_SIZE) + _PAD
    whole = height + top + bottom + 0.22 * -(-len(handles) // _COLUMNS)
    figure.set_size_inches(WIDTH, whole)
    figure.set_layout_engine("constrained", rect=(0, bottom / whole, 1, 1 - (top + bottom) / whole))
    y = whole - _PAD
    for gid, text, size, color in texts:
        weight = "bold" if gid == "title" else "normal"
        figure.text(_LEFT, y / whole, text, va="top", size=size, weight=weight, color=color, gid=gid)
        y -= _tall(text, size)
    figure.text(_LEFT, _PAD / whole, notes, va="bottom", size=style.SMALL_SIZE, color=style.MUTED, gid="note")
    return figure


def chapter_sheet(body: SubFigure, chapter: Chapter, asks: Question, answer: str, note: str, height: float) -> Figure:
    """Return the same of what was drawn of a chapter."""
    return sheet(body, asks, answer, chapter.made_from, chapter.doubts_of(asks.rests_on), note, height)


def _wrapped(text: str, size: float) -> str:
    """The text in lines that the width surely holds: letters of this font are 0.57 of their size wide on average."""
    return textwrap.fill(text, int(WIDTH * 72 / (0.57 * size)))


def _tall(text: str, size: float) -> float:
    """The inches that lines take."""
    return (text.count("\n") + 1) * size * _LINE


def drawn(plot: Plot, body: SubFigure) -> list[Axes]:
    """Draw seaborn's plot into the sheet, in the report's style; return its axes row by row."""
    import seaborn

    theme: dict[str, Any] = {**cast("dict[str, Any]", seaborn.axes_style("ticks")), **style.settings()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # seaborn's own calls of pandas, which no one here can mend
        # a run's colours stay its own where another has nothing to draw
        warnings.filterwarnings("ignore", "The .* list has more values", UserWarning)
        plot.theme(theme).on(body).plot()
    for axes in body.axes:
        axes.set_title("")  # of a facet
    return list(body.axes)


def header_height(figure: Figure) -> float:
    """Return the pixels from the top of a figure to the end of its subtitle."""
    header = [text for text in figure.texts if text.get_gid() != "note"]
    return float(figure.bbox.height - min(text.get_window_extent().y0 for text in header))


def page_picture(png: bytes, top: float) -> tuple[bytes, int, int]:
    """Return the picture without its uppermost `top` pixels and with its own palette, as PNG; its width and height.

    A palette makes it three times smaller. The eye sees no difference because figures have few colours.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        whole = image.convert("RGB")
    cut = whole.crop((0, min(round(top), whole.height - 1), whole.width, whole.height))
    few = cut.quantize(_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "png")
    return buffer.getvalue(), few.width, few.height
