"""A page: a question for its title, what was analysed, a key, room for axes, and a note on how to read it.

Positions are in inches from the page's top left, so that many rows make a taller page and never a tighter one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ckpt_inspect.presentation.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.3
"""Inches."""
KEY_SIZE = 8.5


@functools.lru_cache(maxsize=4)
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(8, 8, 720)  # type: ignore[no-untyped-call]  # matplotlib's own


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float = style.TEXT_SIZE, weight: str = "normal") -> float:
    """Return the width of one line of text in inches."""
    from matplotlib.font_manager import FontProperties

    width, _, _ = _renderer().get_text_width_height_descent(
        text, FontProperties(family=[style.FONT], size=size, weight=weight), False
    )
    return float(width) / 720 * 1.03  # hinting at a lower resolution makes letters a little wider


def fitting_labels(
    make: Callable[[int], Sequence[str]], width: float, size: float = style.TEXT_SIZE, longest: int = 40
) -> tuple[str, ...]:
    """Return the labels by `make(characters)` with as many characters as `width` inches hold."""
    labels = tuple(make(longest))
    for characters in range(longest, 9, -1):
        labels = tuple(make(characters))
        if max((text_width(label, size) for label in labels), default=0.0) <= width:
            break
    return labels


def wrapped(parts: Sequence[str], width: float, size: float) -> list[str]:
    """Return `parts` set in lines of at most `width` inches, joined by a middle dot; long parts break at spaces."""
    lines: list[str] = []
    current = ""
    for part in parts:
        joint = " · " if current else ""
        for position, word in enumerate(part.split(" ")):
            gap = joint if position == 0 else " "
            candidate = current + gap + word if current else word
            whole = current + gap + part if position == 0 and current else candidate
            breaks = position == 0 and text_width(whole, size) > width and text_width(part, size) <= width
            if current and (breaks or text_width(candidate, size) > width):
                lines.append(current)
                candidate = word
            current = candidate
    return [*lines, current] if current else lines


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the key above the axes."""

    mark: str
    """`line`, `band` or `dot`."""
    color: str
    text: str
    alpha: float = 1.0
    dashes: style.LineStyle = "solid"


_LINE = {"title": 0.27, "subtitle": 0.18}
"""Heights of the lines of a page's header, in inches."""


def header_height(figure: Figure) -> float:
    """Return the inches from a page's top to the end of its title and subtitle."""
    ends = [
        (1 - text.get_position()[1]) * figure.get_figheight() + _LINE[gid]
        for text in figure.texts
        if (gid := text.get_gid()) in _LINE
    ]
    return float(max(ends, default=0.0))


class Page:
    """A figure with a question above, a key, room for axes, and a note on how to read it below."""

    def __init__(
        self, question: str, parts: Sequence[str], note: str, *, width: float, height: float, key: Sequence[Key] = ()
    ) -> None:
        """`width` of the page and `height` of the room for axes, in inches; the page grows by its texts."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        inner = width - 2 * MARGIN
        titles = wrapped([question], inner, style.TITLE_SIZE * 1.05)
        subtitles = wrapped(parts, inner, style.TEXT_SIZE)
        notes = wrapped([note], inner, style.SMALL_SIZE) if note else []
        keys = _key_lines(key, inner)
        self.width = width
        self.body = 0.24 + 0.27 * len(titles) + 0.18 * len(subtitles) + (0.08 + 0.2 * len(keys) if keys else 0.0) + 0.12
        self.height = self.body + height + 0.18 * len(notes) + 0.22
        self.figure: Figure = Figure(figsize=(width, self.height))
        FigureCanvasAgg(self.figure)
        y = 0.24
        for line in titles:
            self.text(MARGIN, y, line, size=style.TITLE_SIZE, weight="bold", va="top", gid="title")
            y += 0.27
        for line in subtitles:
            self.text(MARGIN, y, line, size=style.TEXT_SIZE, color=style.MUTED, va="top", gid="subtitle")
            y += 0.18
        y += 0.08
        for entries in keys:
            for x, entry in entries:
                self._draw_key(x, y + 0.1, entry)
            y += 0.2
        for position, line in enumerate(reversed(notes)):
            bottom = self.height - 0.14 - 0.18 * position
            self.text(MARGIN, bottom, line, size=style.SMALL_SIZE, color=style.MUTED, va="bottom", gid="note")

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write text at `x`, `y` inches from the top left of the page."""
        self.figure.text(x / self.width, 1 - y / self.height, text, **style)

    def axes(self, left: float, top: float, width: float, height: float, **kwargs: Any) -> Axes:
        """Add axes of that place and size in inches; `top` counts from under the header."""
        bottom = self.height - self.body - top - height
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box, **kwargs)

    def label_y(self, text: str, top: float, height: float, x: float = MARGIN) -> None:
        """Write the label that a column of axes shares on its left, broken in two if it is longer than they are."""
        lines = wrapped([text], max(height, 1.2), style.TEXT_SIZE)
        self.text(
            x,
            self.body + top + height / 2,
            "\n".join(lines),
            rotation=90,
            color=style.MUTED,
            va="center",
            ha="center",
            rotation_mode="default",
            gid="ylabel",
            linespacing=1.15,
        )

    def label_x(self, text: str, left: float, width: float, top: float) -> None:
        """Write the label that a row of axes shares beneath them."""
        self.text(left + width / 2, self.body + top, text, color=style.MUTED, va="top", ha="center", gid="xlabel")

    def _draw_key(self, x: float, y: float, entry: Key) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle

        left, dot, right = (each / self.width for each in (x, x + 0.05, x + 0.26))
        middle = 1 - y / self.height
        frame, color, alpha = self.figure.transFigure, entry.color, entry.alpha
        artist: Rectangle | Line2D
        if entry.mark == "band":
            high = 0.11 / self.height
            corner = (left, middle - high / 2)
            artist = Rectangle(corner, right - left, high, facecolor=color, linewidth=0, alpha=alpha, transform=frame)
        elif entry.mark == "dot":
            artist = Line2D([dot], [middle], marker="o", ms=5, color=color, alpha=alpha, transform=frame)
        else:
            dashes = entry.dashes
            artist = Line2D([left, right], [middle] * 2, lw=1.6, ls=dashes, color=color, alpha=alpha, transform=frame)
        self.figure.add_artist(artist)
        start = x + _mark_width(entry)
        self.text(start, y, entry.text, size=KEY_SIZE, color=style.INK, va="center_baseline", gid="key")


def _mark_width(entry: Key) -> float:
    return 0.16 if entry.mark == "dot" else 0.33


def _key_lines(key: Sequence[Key], width: float) -> list[list[tuple[float, Key]]]:
    """The entries set in lines of at most `width` inches, each with its place."""
    lines: list[list[tuple[float, Key]]] = []
    x = width + 1.0
    for entry in key:
        length = _mark_width(entry) + text_width(entry.text, KEY_SIZE)
        if not lines or x + length > MARGIN + width:
            lines.append([])
            x = MARGIN
        lines[-1].append((x, entry))
        x += length + 0.28
    return lines
