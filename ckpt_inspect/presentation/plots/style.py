"""How every figure looks: one palette, numbers as people write them, axes with few and round ticks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, cast

import numpy as np

from ckpt_inspect.presentation.shown_names import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

INK = "#1f2328"
MUTED = "#646b73"
FAINT = "#d7dbdf"
RUN_COLORS = ("#0173b2", "#d55e00", "#029e73", "#cc78bc", "#de8f05", "#56b4e9")
"""seaborn's `colorblind`, in the order in which runs take them; the first also draws what belongs to no run."""
LINE_COLORS = (*RUN_COLORS, "#ca9161", "#949494")
"""The same and two more of `colorblind`: of single parameters, in the order of the model."""
FAN = "#646b73"
"""Of what many parameters do together."""
MAIN = RUN_COLORS[0]
ALERT = RUN_COLORS[1]
HEALTHY = "#029e73"
MAGNITUDE = "viridis"
"""Colour map of positive quantities: lightness rises throughout, which survives greyscale and colour blindness."""
SHARE = "light:#0173b2"
"""seaborn's ramp from almost white to the main colour: of shares, whose zero should look like nothing."""
TIME = "crest"
"""Colour map of early to late."""
LineStyle: TypeAlias = str | tuple[int, tuple[float, ...]]
"""A line's dashes, as matplotlib takes them: a name, or an offset and the lengths of dashes and gaps."""

RUN_DASHES: tuple[LineStyle, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
FONT = "DejaVu Sans"
"""matplotlib ships it: the same letters, and so the same widths, on every machine."""
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 14.0, 9.0, 8.0
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
                    axis.get_minor_ticks()
            return figure

    return wrapper


def settings() -> dict[str, Any]:
    """Return matplotlib's settings in which every figure is drawn."""
    import seaborn

    return {
        **cast("dict[str, Any]", seaborn.axes_style("ticks")),
        "font.family": [FONT],
        "font.size": TEXT_SIZE,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "axes.labelsize": TEXT_SIZE,
        "axes.linewidth": 0.6,
        "axes.titlesize": TEXT_SIZE,
        "axes.titlepad": 4.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelsize": SMALL_SIZE,
        "ytick.labelsize": SMALL_SIZE,
        "xtick.major.size": 3.0,
        "ytick.major.size": 3.0,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "figure.dpi": 150.0,
        "savefig.dpi": "figure",
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "axes.unicode_minus": True,
        "hatch.linewidth": 0.5,
        "svg.fonttype": "path",
        "text.parse_math": False,
    }


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
    if value == 0:
        return "0"
    rounded = float(f"{value:.2g}")
    exponent = int(np.floor(np.log10(abs(rounded)) + 1e-12))
    if -5 < exponent < 5:
        return f"{rounded:.{1 - exponent}f}".rstrip("0").rstrip(".") if exponent < 1 else f"{rounded:.0f}"
    return power(value)


def power(value: float) -> str:
    """Return the same in powers of ten, whatever its size: `10⁻²`, `3·10⁵`."""
    digits, exponent = f"{value:.1e}".split("e")
    digits = digits.removesuffix(".0")
    if int(exponent) == 0:
        return digits
    return f"{'' if digits == '1' else digits + '·'}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def count(value: float) -> str:
    """Return a number of steps or elements, short if that loses nothing: `950`, `12k`, `1.5M`, `4940`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and value % (size / 10) == 0:
            return f"{value / size:g}{letter}"
    return f"{value:.15g}"


def counts(values: Sequence[float]) -> list[str]:
    """Return the labels of one axis: short if all of them can be without loss, else all with their digits."""
    short = [count(value) for value in values]
    is_short = all(label[-1].isalpha() or abs(value) < 1e3 for label, value in zip(short, values, strict=True))
    return short if is_short else [f"{value:.15g}" for value in values]


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values between `low` and `high` on a logarithmic axis, two at least if there are any."""
    from matplotlib.ticker import MaxNLocator

    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    if last - first >= 1:
        stride = -(-(last - first + 1) // most)
        start = first + (-first) % stride
        ticks = [10.0**exponent for exponent in range(start, last + 1, stride)]
        if len(ticks) > 1:
            return ticks
    for digits in ((1, 3), (1, 2, 5)):
        ticks = [d * 10.0**e for e in range(first - 2, last + 2) for d in digits if low <= d * 10.0**e <= high]
        if len(ticks) > 2:
            return ticks[:: -(-len(ticks) // most)]
    # within a few times of each other: evenly spaced values, so that neither end lacks any
    even = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = [float(tick) for tick in even if low <= tick <= high]
    if len(ticks) > 1:
        return ticks
    return [low, high] if high > low else [low]


def hatch_ground(axes: Axes) -> None:
    """Hatch a heatmap's ground, which is seen where there is no value, so that it is like no colour of the map."""
    axes.set_facecolor("white")
    axes.patch.set_hatch("////")
    axes.patch.set_edgecolor(FAINT)


def set_log_axis(axis: Axis, low: float, high: float, most: int = 5, *, labels: bool = True) -> None:
    """Set a logarithmic axis from `low` to `high` with few, round, labelled ticks."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    ticks = log_ticks(low, high, most)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FixedFormatter([tick_text(tick, ticks) if labels else "" for tick in ticks]))


def tick_text(tick: float, ticks: Sequence[float]) -> str:
    """Return a tick's label: all powers of ten, or all plain, whichever the whole axis can bear."""
    if all(0.99e-4 <= each <= 1.01e4 for each in ticks):
        return f"{tick:g}"
    return power(tick)


def count_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most about `most` round whole numbers from `low` to `high`."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]


def set_count_axis(axis: Axis, low: float, high: float, most: int = 5) -> None:
    """Set a linear axis of whole numbers: steps or checkpoints."""
    from matplotlib.ticker import FixedFormatter, FixedLocator

    ticks = count_ticks(low, high, most)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(counts(ticks)))


def positive_range(*arrays: ArrayLike, pad: float = 0.06, decades: float = 0.0) -> tuple[float, float]:
    """Return the limits of a logarithmic axis that shows all positive finite values, with a margin; (0.1, 10) without
    any.

    They are `decades` apart at least, so that small differences look small.
    """
    values = np.concatenate([np.ravel(np.asarray(a, dtype=float)) for a in arrays]) if arrays else np.empty(0)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return 0.1, 10.0
    low, high = np.log10(values.min()), np.log10(values.max())
    margin = max((high - low) * pad, (decades - (high - low)) / 2, 0.12)
    return float(10 ** (low - margin)), float(10 ** (high + margin))
