"""How every figure looks: one palette, one font, numbers as people write them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, cast

import numpy as np

from ckpt_inspect.presentation.shown_names import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1f2328", "#646b73", "#d7dbdf"
RUN_COLORS = ("#0173b2", "#d55e00", "#029e73", "#cc78bc", "#de8f05", "#56b4e9")
"""seaborn's `colorblind`, in the order in which runs take them; the first also draws what belongs to no run."""
LINE_COLORS = (*RUN_COLORS, "#ca9161", "#949494")
"""The same and two more of `colorblind`: of single parameters, in the order of the model."""
FAN = "#646b73"
"""Of what many parameters do together."""
MAIN, ALERT, HEALTHY = RUN_COLORS[0], RUN_COLORS[1], RUN_COLORS[2]
DOUBT = "#a14700"
"""Of text about values that nobody read, dark enough to be legible."""
MAGNITUDE, SHARE, TIME = "viridis", "light:#0173b2", "crest"
"""Colour maps: of positive quantities, of shares, whose zero should look like nothing, and of early to late. Lightness
changes throughout, which survives greyscale and colour blindness."""
LineStyle: TypeAlias = str | tuple[int, tuple[float, ...]]
"""A line's dashes, as matplotlib takes them: a name, or an offset and the lengths of dashes and gaps."""
RUN_DASHES: tuple[LineStyle, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
FONT = "DejaVu Sans"
"""matplotlib ships it: the same letters, and so the same widths, on every machine."""
TITLE_SIZE, ANSWER_SIZE, TEXT_SIZE, SMALL_SIZE = 14.0, 10.0, 9.0, 8.0
"""Points."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

P = ParamSpec("P")


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Return a plot function that draws in the report's style, and leaves the caller's settings as they were."""

    @functools.wraps(plot)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(cast("Any", settings())):
            figure = plot(*args, **kwargs)
            for axes in figure.axes:  # ticks are made when first asked for, in the settings of that moment
                for axis in (axes.xaxis, axes.yaxis):
                    axis.get_major_ticks()
            return figure

    return wrapper


def settings() -> dict[str, Any]:
    """Return matplotlib's settings in which every figure is drawn."""
    import seaborn

    sizes = {f"{axis}tick.{name}": value for axis in "xy" for name, value in _TICKS.items()}
    return {
        **cast("dict[str, Any]", seaborn.axes_style("ticks", {"font.family": [FONT], "text.color": INK})),
        **sizes,
        "font.family": [FONT],
        "font.size": TEXT_SIZE,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "axes.labelsize": TEXT_SIZE,
        "axes.linewidth": 0.6,
        "axes.titlesize": TEXT_SIZE,
        "axes.titlelocation": "left",
        "axes.titlepad": 4.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.dpi": 150.0,
        "savefig.dpi": "figure",
        "svg.fonttype": "path",
        "text.parse_math": False,  # names come from files: `$x$` is no formula
    }


_TICKS = {"color": MUTED, "labelsize": SMALL_SIZE, "major.size": 3.0, "major.width": 0.6}


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
    """Return a quantity in two significant digits, as a person would write it: `0.001`, `1200`, `3.2·10⁻⁵`."""
    if not np.isfinite(value):
        return "–"
    rounded = float(f"{value:.2g}")
    if rounded == 0 or 1e-4 <= abs(rounded) < 1e5:
        return f"{rounded:.6f}".rstrip("0").rstrip(".")
    digits, _, exponent = f"{value:.1e}".partition("e")
    digits = digits.removesuffix(".0")
    return f"{'' if digits == '1' else digits + '·'}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
