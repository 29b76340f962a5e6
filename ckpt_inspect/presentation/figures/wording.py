"""Names and numbers as figures write them."""

from __future__ import annotations

import functools

import numpy as np

from ckpt_inspect.measurement.wording import figure, in_powers, is_plain
from ckpt_inspect.presentation.shown_names import printable

FONT = "DejaVu Sans"
"""matplotlib ships it: the same letters, and so the same widths, on every machine."""


def drawable(name: str) -> str:
    """Return the name made visible (see `printable`), with a mark for each letter that the font lacks."""
    text = printable(name)
    if text.isascii():
        return text
    letters = _letters()
    return "".join(letter if ord(letter) in letters else "\ufffd" for letter in text)


@functools.lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=[FONT]))).get_charmap())


def number(value: float) -> str:
    """Return a quantity in two significant digits."""
    return figure(value, 2)


def log_ticks(low: float, high: float, most: int) -> dict[float, str]:
    """Return at most `most` round numbers from `low` to `high` for a logarithmic axis, and their texts: all plain, or
    all in powers of ten."""
    exponents = np.arange(np.floor(np.log10(low)), np.floor(np.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{digit}e{exponent:.0f}") for exponent in exponents for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    ticks = ticks[:: -(-len(ticks) // most) or 1]
    text = number if all(is_plain(tick, 2) for tick in ticks) else in_powers
    return {tick: text(tick) for tick in ticks}
