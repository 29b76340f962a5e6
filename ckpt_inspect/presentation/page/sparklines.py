"""A series of positive figures as a small line, inside a table's cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.presentation.page.markup import Html, element

WIDTH, HEIGHT = 96, 20
"""Units of the drawing; pixels if nothing scales it."""
MOST_POINTS = 48
"""More would fall on the same pixels, and make pages of many parameters large."""


def sparkline(values: Floats, text: str) -> Html:
    """Return the line on its own logarithmic scale; `text` says the same to those who don't see it.

    `values` (K,) in training order; what is missing leaves a gap. Longer series are thinned, first and last kept.
    """
    if len(values) > MOST_POINTS:
        values = values[np.round(np.linspace(0, len(values) - 1, MOST_POINTS)).astype(int)]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log10(values), np.nan)
    finite = np.isfinite(logs)
    if not finite.any():
        return Html()
    low, high = float(logs[finite].min()), float(logs[finite].max())
    # A change that three digits don't show is none
    flat = high - low < 5e-4
    x = np.linspace(2, WIDTH - 2, len(logs)) if len(logs) > 1 else np.array([WIDTH / 2])
    y = np.full(len(logs), HEIGHT / 2) if flat else 2 + (high - logs) / (high - low) * (HEIGHT - 4)
    lines = []
    for piece in _pieces(finite):
        points = " ".join(f"{x[i]:.3g},{y[i]:.3g}" for i in piece)
        lines.append(element("polyline", points=points) if len(piece) > 1 else _dot(x[piece[0]], y[piece[0]], "lone"))
    last = int(np.flatnonzero(finite)[-1])
    lines.append(_dot(x[last], y[last], "last"))
    box = f"0 0 {WIDTH} {HEIGHT}"
    attributes: dict[str, str | int] = {
        "class": "sparkline", "viewBox": box, "width": WIDTH, "height": HEIGHT, "role": "img", "aria-label": text,
    }  # fmt: skip
    return element("svg", lines, **attributes)


def _dot(x: float, y: float, kind: str) -> Html:
    return element("circle", class_=kind, cx=f"{x:.3g}", cy=f"{y:.3g}", r="1.8")


def _pieces(finite: NDArray[np.bool_]) -> list[list[int]]:
    """Runs of neighbours that have a value."""
    pieces: list[list[int]] = []
    for i in np.flatnonzero(finite).tolist():
        if pieces and pieces[-1][-1] == i - 1:
            pieces[-1].append(i)
        else:
            pieces.append([i])
    return pieces
