"""How every figure looks: one palette, one font."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, cast

from ckpt_inspect.presentation.figures.wording import FONT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1f2328", "#646b73", "#d7dbdf"
COLORS = ("#0173b2", "#c25400", "#027f5d", "#b3559f", "#a86600", "#2f8fc4", "#96623a", "#6f6f6f")
"""The page's own (`--series-0` and on), which are seaborn's `colorblind` made dark enough for lines: of runs in their
order, and of parameters by their place among those of their kind. The first also draws what belongs to no run."""
MAIN, ALERT, HEALTHY = COLORS[:3]
DOUBT = "#a14700"
"""Of text about values that nobody read, dark enough to be legible."""
MAGNITUDE, TIME = "viridis", "crest"
"""Colour maps: of positive quantities, and of early to late. Lightness changes throughout, which survives greyscale and
colour blindness."""
LineStyle: TypeAlias = str | tuple[int, tuple[float, ...]]
"""A line's dashes, as matplotlib takes them: a name, or an offset and the lengths of dashes and gaps."""
DASHES: tuple[LineStyle, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
MARKERS = "oDs^"
TITLE_SIZE, ANSWER_SIZE, TEXT_SIZE, SMALL_SIZE = 14.0, 10.0, 9.0, 8.0
"""Points."""

P = ParamSpec("P")


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Return a plot function that draws in the report's style, and leaves the caller's settings as they were."""

    @functools.wraps(plot)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(cast("Any", settings()))
            figure = plot(*args, **kwargs)
            for axes in figure.axes:  # ticks are made when first asked for, in the settings of that moment
                for axis in (axes.xaxis, axes.yaxis):
                    axis.get_major_ticks()
            return figure

    return wrapper


def settings() -> dict[str, Any]:
    """Return matplotlib's settings in which every figure is drawn."""
    sizes = {f"{axis}tick.{name}": value for axis in "xy" for name, value in _TICKS.items()}
    return {
        **sizes,
        "font.family": [FONT],
        "text.color": INK,
        "axes.axisbelow": True,
        "lines.solid_capstyle": "round",
        "font.size": TEXT_SIZE,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "axes.labelsize": TEXT_SIZE,
        "axes.linewidth": 0.6,
        "axes.titlesize": TEXT_SIZE,
        "axes.titlelocation": "left",
        "axes.titlepad": 4.0,
        "axes.titley": 1.0,  # where it is anyway, which takes matplotlib long to find out
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.dpi": 150.0,
        "savefig.dpi": "figure",
        "svg.fonttype": "path",
        "text.parse_math": False,  # names come from files: `$x$` is no formula
    }


_TICKS = {"color": MUTED, "labelsize": SMALL_SIZE, "major.size": 3.0, "major.width": 0.6}
