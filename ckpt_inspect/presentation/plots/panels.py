"""What panels share: axes that a few outliers don't set, looks of runs, marks where something happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ckpt_inspect.comparison.segments import BEGINNING_WORDS
from ckpt_inspect.presentation.figures.chapter import MOST_MARKS
from ckpt_inspect.presentation.figures.names import shorten
from ckpt_inspect.presentation.figures.questions import NOT_FINITE, Usual
from ckpt_inspect.presentation.figures.spread import positive
from ckpt_inspect.presentation.figures.wording import log_ticks
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ckpt_inspect.presentation.figures.chapter import Chapter, Run
    from ckpt_inspect.presentation.figures.measures import Measure
    from ckpt_inspect.presentation.optimizer_series import Floats

Limits = tuple[float, float]
FAR = 1.5
"""Decades from the middle of all parameters, within which none is an outlier."""
DEVIATIONS = 5.0
"""Median absolute deviations from it, beyond which one is."""
LEAST_MARGIN = 0.12
"""Decades at either end."""
FEW = 4.0
"""Decades into which all values may fit to be shown whole: on so short an axis nothing is hidden."""
SEEN = 12
"""Up to as many checkpoints have a dot each."""
MANY = 150
"""More checkpoints have a thin line."""
_DASHES: Mapping[str, style.LineStyle] = {
    BEGINNING_WORDS["state-lost"]: (0, (1, 1)),
    BEGINNING_WORDS["another-line"]: (0, (2, 3)),
    BEGINNING_WORDS["rate-jumped"]: (0, (5, 1.5, 1, 1.5)),
    NOT_FINITE: (0, (4, 2)),
}
"""Dashes, not colours, tell the reasons apart."""
_MOST_LABELS, _APART = 3, 0.05
"""Marks that are labelled, and how much of the axis' length labels are apart at least."""


def robust_range(values: Sequence[Floats], *others: float, decades: float = 1.0) -> Limits:
    """Return limits, with a margin, that show all of `values` (each (K, P)) but outliers, and `others` in any case.

    The page's script has the same rule, `robustRange`, and a test holds both to the same limits. Values that span `FEW`
    decades or less are all shown. Of others an outlier is a parameter whose median over the run is more than `FAR`
    decades and `DEVIATIONS` median absolute deviations from the median of all; of the rest a spike that is rarer than
    1 % and more than a decade off. Limits are `decades` apart at least, so that small differences look small; (0.1, 10)
    without any value.
    """
    logs = [np.log10(positive(each)) for each in values]
    logs = [each[:, np.isfinite(each).any(axis=0)] for each in logs]
    middles = np.concatenate([np.nanmedian(each, axis=0) if each.size else np.empty(0) for each in logs])
    ends = [float(np.log10(other)) for other in others]
    if middles.size:
        middle = np.median(middles)
        reach = max(FAR, DEVIATIONS * float(np.median(np.abs(middles - middle))))
        kept = [each[:, np.abs(np.nanmedian(each, axis=0) - middle) <= reach] for each in logs if each.size]
        every, inside = (np.concatenate([each[np.isfinite(each)] for each in which]) for which in (logs, kept))
        for rank, extreme in ((0.01, np.min), (0.99, np.max)):
            rare, furthest = float(np.quantile(inside, rank)), float(extreme(inside))
            is_spike = abs(furthest - rare) > 1.0
            ends.append(float(extreme(every)) if np.ptp(every) <= FEW else rare if is_spike else furthest)
    low, high = (min(ends), max(ends)) if ends else (-0.88, 0.88)
    margin = max((high - low) * 0.06, (decades - (high - low)) / 2, LEAST_MARGIN)
    return float(10 ** (low - margin)), float(10 ** (high + margin))


def limits_of(chapter: Chapter, measure: Measure) -> Limits:
    """Return the ends of a measure's axis; of single checkpoints bounds have room in it too."""
    shown = [of_run[kept] for of_run, kept in zip(measure.values, chapter.drawn, strict=True)]
    if measure.is_share:
        largest = max(float(np.nanmax(each, initial=0.0)) for each in measure.values)
        return -0.04 * largest, 1.08 * largest
    ends = () if chapter.is_series else tuple(side for of_run in measure.bounds for side in of_run)
    return robust_range([*shown, *ends], *((measure.usual.low, measure.usual.high) if measure.usual else ()))


def set_axis(axes: Axes, which: Literal["x", "y"], limits: Limits, *, most: int = 6, is_share: bool = False) -> None:
    """Set one axis to be logarithmic, or of shares, with few ticks, labelled as people write numbers."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    if is_share:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    else:
        axes.set(**{f"{which}scale": "log"})
        ticks = log_ticks(*limits, most)
        axis.set_ticks([*ticks], [*ticks.values()])
    axis.set_minor_locator(NullLocator())
    axes.set(**{f"{which}lim": limits})


def set_panel(axes: Axes, chapter: Chapter, limits: Limits, *, is_share: bool = False) -> None:
    """Set the axes of a panel over the run: values up, checkpoints or steps, whole numbers, across."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    set_axis(axes, "y", limits, is_share=is_share)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    x = np.concatenate([chapter.x(run) for run in chapter.runs])
    margin = float(np.ptp(x)) * 0.02 or 0.5
    axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


@dataclass(frozen=True)
class Curves:
    """Draws what a run's checkpoints have, over the run; nothing across where another line of training begins."""

    axes: Axes
    chapter: Chapter
    run: Run
    at: NDArray[np.intp]
    """Positions of the checkpoints that are drawn."""

    def line(self, values: Floats, **looks: Any) -> None:
        """Draw a line through values (K,)."""
        self.axes.plot(self._x, self.run.curve(values, self.at), **looks)

    def band(self, low: Floats, high: Floats, color: str, alpha: float) -> None:
        """Fill what lies between two values (K,) of each checkpoint."""
        bottom, top = (self.run.curve(side, self.at) for side in (low, high))
        self.axes.fill_between(self._x, bottom, top, color=color, alpha=alpha, linewidth=0, gid="band")

    @property
    def looks(self) -> dict[str, Any]:
        """Return the looks of a line: with a dot for each of few checkpoints, even one between two gaps, and at a mark;
        thin if they are many, so that what lies behind is seen."""
        few = len(self.at) <= SEEN
        return {"marker": "o", "ms": 3.5 if few else 0.0, "zorder": 2.6, "lw": 1.4 if len(self.at) <= MANY else 0.7}

    @property
    def _x(self) -> Floats:
        return self.run.curve(self.chapter.x(self.run), self.at)


def mark_beyond(axes: Axes, x: Floats, values: Floats, limits: Limits, color: str) -> str:
    """Mark, at the edge of the axes, where a curve lies beyond it; return an arrow that way, or nothing.

    Where there is a mark already the next stands beside it.
    """
    from matplotlib.transforms import ScaledTranslation

    low, high = limits
    for is_beyond, place, marker, arrow in ((values > high, high, "^", "↑"), (values < low, low, "v", "↓")):
        if is_beyond.any():
            at = np.flatnonzero(is_beyond)[-1]
            taken = sum(line.get_gid() == "beyond" and np.asarray(line.get_xdata())[0] == x[at] for line in axes.lines)
            beside = axes.transData + ScaledTranslation(-taken / 9, 0, axes.figure.dpi_scale_trans)
            (mark,) = axes.plot([x[at]], [place], marker, color=color, ms=6, zorder=4, gid="beyond", transform=beside)
            mark.set_clip_on(False)
            return arrow
    return ""


def draw_usual(axes: Axes, usual: Usual | None, *, vertical: bool = False) -> None:
    """Draw what is usual under all else, across a horizontal axis or, if `vertical`, a vertical one."""
    if usual is not None:
        span, line = (axes.axvspan, axes.axvline) if vertical else (axes.axhspan, axes.axhline)
        span(usual.low, usual.high, color=style.HEALTHY, alpha=0.1, linewidth=0, zorder=0.5)
        line(usual.line, color=style.HEALTHY, lw=0.9, dashes=(4, 2), zorder=0.6, gid="usual")


def draw_marks(axes: Axes, run: Run, x: Floats, color: str = style.INK, *, has_labels: bool = False) -> None:
    """Draw a vertical line, cased in white, wherever something happened to the run, whose checkpoints lie at `x` (K,);
    `has_labels`: beside the first, where there is room, why."""
    from matplotlib.patheffects import withStroke

    case = [withStroke(linewidth=2.4, foreground="white")]
    low, high = axes.get_xlim()
    last, labels = low, 0
    for k, word in list(run.marks.items())[:MOST_MARKS]:
        axes.axvline(x[k], color=color, lw=0.9, ls=_DASHES[word], zorder=2.5, gid="beginning", path_effects=case)
        if has_labels and labels < _MOST_LABELS and x[k] - last >= _APART * (high - low):
            last, labels = float(x[k]), labels + 1
            axes.annotate(
                word, (last, 0.98), xytext=(-1.5, 0), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                rotation=90, ha="right", va="top", fontsize=7.0, zorder=3.0, gid="beginning label", path_effects=case,
            ).set_in_layout(False)  # fmt: skip


def key(chapter: Chapter, usual: Usual | None = None) -> list[Artist]:
    """Return what stands in every figure's key: the runs, if there are several, what is usual, and the marks."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = []
    if len(chapter.runs) > 1:
        for run, (color, dashes) in zip(chapter.runs, looks(chapter), strict=True):
            handles.append(Line2D([], [], color=color, ls=dashes, lw=1.4, label=shorten(run.name, 40)))
    if usual is not None:
        handles.append(Patch(facecolor=style.HEALTHY, alpha=0.15, label=usual.band_text))
        handles.append(Line2D([], [], color=style.HEALTHY, lw=0.9, dashes=(4, 2), label=usual.line_text))
    found = {word for run in chapter.runs for word in run.marks.values()}
    words = [(word, dashes) for word, dashes in _DASHES.items() if word in found]
    return handles + [Line2D([], [], color=style.INK, lw=0.9, ls=dashes, label=word) for word, dashes in words]


def fan_key(of: str, color: str, shades: Mapping[str, float]) -> list[Artist]:
    """Return what stands in the key for the fan of all these: the median, and what its bands are by their opacity."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [Line2D([], [], color=color, lw=2, label=f"median of the {of}")]
    return handles + [Patch(facecolor=color, alpha=alpha, label=text) for text, alpha in shades.items()]


def looks(chapter: Chapter) -> list[tuple[str, style.LineStyle]]:
    """Return a colour for each run, and dashes, which tell them apart even without colour."""
    colors, dashes = style.RUN_COLORS, style.RUN_DASHES
    return [(colors[i % len(colors)], dashes[i % len(dashes)]) for i in range(len(chapter.runs))]
