"""Numbers, shares and counts as a person reads them: in tables, pages, findings and messages alike.

Numbers are `0.000182`, `1,280` and `4.57·10⁷`: few digits, commas between thousands, and a power of ten for what is
tiny or huge. Documents for programs (JSON, CSV) have the numbers themselves.
"""

from __future__ import annotations

import math

NOTHING = "-"
"""Stands for a number that is not known, or not defined."""
_PLAIN = (-4, 6)
"""Exponents of ten, half-open, that are written without a power."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: float, digits: int = 3) -> str:
    """Return a measured quantity in so many significant digits at most; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if not is_plain(value, digits):
        return in_powers(value, digits)
    rounded, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    text = f"{float(f'{rounded}e{exponent}'):,.{max(digits - 1 - int(exponent), 0)}f}"
    return _shortened(text).removeprefix("-0") or "0" if value == 0 else _shortened(text)


def is_plain(value: float, digits: int = 3) -> bool:
    """Return whether a finite number of so many digits is written without a power of ten."""
    return value == 0 or _PLAIN[0] <= int(f"{value:.{digits - 1}e}".partition("e")[2]) < _PLAIN[1]


def in_powers(value: float, digits: int = 3) -> str:
    """Return a finite number as a power of ten, or a multiple of one: `10⁻⁷`, `4.57·10⁷`."""
    rounded, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    rounded = _shortened(rounded)
    times = {"1": "", "-1": "-"}.get(rounded, f"{rounded}·")
    return f"{times}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def _shortened(text: str) -> str:
    """A number without the zeros that end its decimals."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def setting(value: float) -> str:
    """Return a number that somebody chose, such as a learning rate, in up to six digits."""
    return figure(value, 6)


def whole(count: float) -> str:
    """Return a count or a step, `1,280`; a dash for NaN."""
    return NOTHING if math.isnan(count) else f"{count:,.0f}"


def percent(share: float, *, nothing: str = NOTHING) -> str:
    """Return a share, `41.2 %`, in three significant digits; `nothing` for NaN.

    What is almost none or almost all is not rounded to none or all: `<0.1 %`, `>99.9 %`.
    """
    if math.isnan(share):
        return nothing
    return ">99.9 %" if 0.999 < share < 1 else "<0.1 %" if 0 < share < 0.001 else f"{share * 100:.3g} %"


def counted(count: int, noun: str) -> str:
    """Return how many there are of something: `1 file`, `3 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def spoken_name(optimizer: str) -> str:
    """Return `optimizer NAME` for a sentence; the name alone if it begins with that word itself."""
    return optimizer if optimizer.lower().startswith("optimizer") else f"optimizer {optimizer}"


def heading_name(optimizer: str) -> str:
    """Return the same for a heading."""
    spoken = spoken_name(optimizer)
    return spoken[:1].upper() + spoken[1:]
