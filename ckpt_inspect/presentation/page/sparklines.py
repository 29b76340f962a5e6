"""A series of positive figures as a small line, inside a table's cell."""

from __future__ import annotations

import numpy as np

from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.records import dataclass

WIDTH, HEIGHT = 96, 20
"""Units of the drawing; pixels if nothing scales it."""
MOST_POINTS = 48
"""More would fall on the same pixels, and make pages of many parameters large."""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """What is drawn, in units from the upper left corner."""

    lines: tuple[str, ...]
    """Points of each piece without a gap, `x,y x,y`; a lone one is a dot."""
    last: str
    """The newest value's point."""
    text: str
    """The same for those who don't see it."""


def sparkline(values: Floats, text: str) -> Sparkline | None:
    """Return the line on its own logarithmic scale; None if there is nothing to draw.

    `values` (K,) in training order; what is missing leaves a gap. Longer series are thinned, first and last kept.
    """
    if len(values) > MOST_POINTS:
        values = values[np.round(np.linspace(0, len(values) - 1, MOST_POINTS)).astype(int)]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log10(values), np.nan)
    finite = np.flatnonzero(np.isfinite(logs))
    if not finite.size:
        return None
    low, high = float(logs[finite].min()), float(logs[finite].max())
    # A change that three digits don't show is none
    flat = high - low < 5e-4
    x = np.linspace(2, WIDTH - 2, len(logs)) if len(logs) > 1 else np.array([WIDTH / 2])
    y = np.full(len(logs), HEIGHT / 2) if flat else 2 + (high - logs) / (high - low) * (HEIGHT - 4)
    pieces = np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1)
    lines = tuple(" ".join(f"{x[i]:.3g},{y[i]:.3g}" for i in piece) for piece in pieces)
    return Sparkline(lines, lines[-1].rpartition(" ")[2], text)
