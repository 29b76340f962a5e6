"""Shares and counts as a person reads them: in tables, figures, pages, findings and messages alike."""

from __future__ import annotations

import math


def percent(share: float, *, nothing: str = "-") -> str:
    """Return a share, `41.2 %`, in three significant digits; `nothing` for NaN.

    What is almost none or almost all is not rounded to none or all: `<0.1 %`, `>99.9 %`.
    """
    if math.isnan(share):
        return nothing
    return ">99.9 %" if 0.999 < share < 1 else "<0.1 %" if 0 < share < 0.001 else f"{share * 100:.3g} %"


def counted(count: int, noun: str) -> str:
    """Return how many there are of something: `1 file`, `3 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def spoken_name(optimizer: str) -> str:
    """Return `optimizer NAME` for a sentence; the name alone if it begins with that word itself."""
    return optimizer if optimizer.lower().startswith("optimizer") else f"optimizer {optimizer}"


def heading_name(optimizer: str) -> str:
    """Return the same for a heading."""
    spoken = spoken_name(optimizer)
    return spoken[:1].upper() + spoken[1:]
