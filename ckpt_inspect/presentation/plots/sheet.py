"""The frame that all figures share: a question, its answer in words, what was analysed, a key, axes, a note.

Each line of the header is the title of a subfigure inside the one before; matplotlib's constrained layout makes room.
"""

from __future__ import annotations

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

WIDTH = 11.0
"""Inches, of every figure."""
_HEADER = (
    ("title", 14.0, "bold", style.INK),
    ("answer", 10.0, "normal", style.INK),
    ("subtitle", 9.0, "normal", style.MUTED),
)
"""The header's lines: group id, size in points, weight, colour."""
_LEFT = 0.01
_LINE = 1.35
"""Distance of lines over the size of their letters."""


def sheet(
    question: str,
    answer: str,
    made_from: Sequence[str],
    note: str,
    height: float,
    key: Iterable[Artist] = (),
) -> SubFigure:
    """Return an empty subfigure for axes in a new figure with this header; `height` is what axes need, in inches.

    `key`: artists with labels that explain colours and lines of all axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = zip((question, answer, " · ".join(made_from)), _HEADER, strict=True)
    texts = [_wrapped(text, size) for text, (_, size, _, _) in lines]
    notes = _wrapped(note, style.SMALL_SIZE)
    handles = list(key)
    header = sum((text.count("\n") + 1) * size for text, (_, size, _, _) in zip(texts, _HEADER, strict=True))
    below = (notes.count("\n") + 1) * style.SMALL_SIZE
    keys = -(-len(handles) // 4) * style.TEXT_SIZE
    figure = Figure(figsize=(WIDTH, height + (header + below + keys) * _LINE / 72 + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    if notes:
        figure.supxlabel(notes, x=_LEFT, ha="left", size=style.SMALL_SIZE, color=style.MUTED, gid="note")
    body: Figure | SubFigure = figure
    for text, (gid, size, weight, color) in zip(texts, _HEADER, strict=True):
        if body is not figure or gid != "title":
            body = _inner(body)
        if text:
            body.suptitle(text, x=_LEFT, ha="left", size=size, weight=weight, color=color, gid=gid)
    body = _inner(body)
    if handles:
        body.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False)
    return _inner(body)


def _inner(figure: Figure | SubFigure) -> SubFigure:
    """A subfigure that takes all the room its figure's title leaves."""
    inner = figure.subfigures(squeeze=False)[0, 0]
    return cast("SubFigure", inner)


def _wrapped(text: str, size: float) -> str:
    """The text in lines that the width surely holds: letters of this font are 0.57 of their size wide on average."""
    return textwrap.fill(text, int(WIDTH * 72 / (0.57 * size)))


def drawn(plot: Plot, body: SubFigure) -> list[Axes]:
    """Draw seaborn's plot into the subfigure, in the report's style; return its axes row by row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # seaborn's own calls of pandas, which no one here can mend
        plot.theme(style.settings()).on(body).plot()
    return list(body.axes)


def figure_of(body: SubFigure) -> Figure:
    """Return the whole figure of a sheet's subfigure."""
    return body.get_figure(root=True)


def header_height(figure: Figure) -> float:
    """Return the pixels from the top of a figure that was drawn to the end of its title, answer and subtitle."""
    from matplotlib.text import Text

    gids = [gid for gid, *_ in _HEADER]
    found = [text for text in figure.findobj(Text) if text.get_gid() in gids and text.get_text()]
    return float(max((figure.bbox.height - text.get_window_extent().y0 for text in found), default=0.0))
