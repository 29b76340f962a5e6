"""A figure's frame: question, answer, what it was made from and what is doubtful above; a key, and a note below.

Matplotlib lays it out: nested subfigures, each with a title, under the engine `constrained`.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from ckpt_inspect.presentation.plots import style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from seaborn.objects import Plot

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.questions import Question

WIDTH = 11.0
"""Inches, of every figure."""
_LEFT = 0.01
_LINE = 1.35 / 72
"""Inches that a line takes for each point of its letters' size."""
_COLUMNS = 4
"""Of a key."""
_COLORS = 256
"""Of a picture in a page."""


def sheet(
    asks: Question,
    answer: str,
    made_from: Sequence[str],
    doubts: Sequence[str],
    note: str,
    height: float,
    key: Iterable[Artist] = (),
) -> SubFigure:
    """Return an empty subfigure for axes in a new figure with this header; `height` is what axes need, in inches.

    `doubts`: values that the figure rests on although nobody read them. `key`: artists with labels that explain colours
    and lines of all axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    told = f"Uncertain values: {'; '.join(doubts)}" if doubts else ""
    lines = [
        ("title", asks.question, style.TITLE_SIZE, style.INK),
        ("answer", answer, style.ANSWER_SIZE, style.INK),
        ("subtitle", " · ".join(made_from), style.TEXT_SIZE, style.MUTED),
        ("doubts", told, style.TEXT_SIZE, style.DOUBT),
    ]
    texts = [(gid, _wrapped(text, size), size, color) for gid, text, size, color in lines if text]
    handles, notes = list(key), _wrapped(note, style.SMALL_SIZE)
    below = [("note", notes, style.SMALL_SIZE, ""), *[("key", "", style.TEXT_SIZE, "")] * -(-len(handles) // _COLUMNS)]
    frame = sum((text.count("\n") + 1) * size * _LINE for _, text, size, _ in [*texts, *below])
    figure = Figure(figsize=(WIDTH, height + frame + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.supxlabel(notes, x=_LEFT, ha="left", size=style.SMALL_SIZE, color=style.MUTED, gid="note")
    body: Figure | SubFigure = figure
    for gid, text, size, color in texts:
        weight = "bold" if gid == "title" else "normal"
        body.suptitle(text, x=_LEFT, ha="left", size=size, weight=weight, color=color, gid=gid)
        body = cast("SubFigure", body.subfigures())
    if handles:
        body.legend(handles=handles, loc="outside upper left", ncols=_COLUMNS)
        body = cast("SubFigure", body.subfigures())
    return cast("SubFigure", body)


def chapter_sheet(
    chapter: Chapter, asks: Question, answer: str, note: str, height: float, key: Iterable[Artist] = ()
) -> SubFigure:
    """Return the same for a figure of a chapter."""
    return sheet(asks, answer, chapter.made_from, chapter.doubts_of(asks.rests_on), note, height, key)


def _wrapped(text: str, size: float) -> str:
    """The text in lines that the width surely holds: letters of this font are 0.57 of their size wide on average."""
    return textwrap.fill(text, int(WIDTH * 72 / (0.57 * size)))


def drawn(plot: Plot, body: SubFigure) -> list[Axes]:
    """Draw seaborn's plot into the subfigure, in the report's style; return its axes row by row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # seaborn's own calls of pandas, which no one here can mend
        # a run's colours stay its own where another has nothing to draw
        warnings.filterwarnings("ignore", "The .* list has more values", UserWarning)
        plot.theme(style.settings()).on(body).plot()
    for axes in body.axes:
        axes.set_title("")  # of a facet
    return list(body.axes)


def figure_of(body: SubFigure) -> Figure:
    """Return the whole figure of a sheet's subfigure."""
    return body.get_figure(root=True)


def header_height(figure: Figure) -> float:
    """Return the pixels from the top of a figure that was drawn to the end of its subtitle."""
    from matplotlib.text import Text

    found = [text for text in figure.findobj(Text) if text.get_gid() in ("title", "answer", "subtitle", "doubts")]
    return float(max((figure.bbox.height - text.get_window_extent().y0 for text in found), default=0.0))


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
