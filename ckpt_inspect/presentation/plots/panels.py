"""What panels share: axes that a few outliers don't set, looks of runs, marks where something happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ckpt_inspect.comparison.segments import BEGINNING_WORDS
from ckpt_inspect.presentation.figures.chapter import MOST_MARKS
from ckpt_inspect.presentation.figures.colors import colors_of
from ckpt_inspect.presentation.figures.questions import NOT_FINITE, Usual
from ckpt_inspect.presentation.figures.spread import positive
from ckpt_inspect.presentation.figures.wording import log_ticks
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
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
    """Return the ends of a measure's axis; of single checkpoints its bounds, too, are values of the parameter."""
    if measure.is_share:
        largest = max(float(np.nanmax(each, initial=0.0)) for each in measure.values)
        return -0.04 * largest, 1.08 * largest
    shown = [of_run[kept] for of_run, kept in zip(measure.values, chapter.drawn, strict=True)]
    if measure.bounds and not chapter.is_series:
        shown = [np.concatenate([own, *sides]) for own, sides in zip(measure.values, measure.bounds, strict=True)]
    return robust_range(shown, *((measure.usual.low, measure.usual.high) if measure.usual else ()))


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
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    set_axis(axes, "y", limits, is_share=is_share)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    x = np.concatenate([chapter.x(run) for run in chapter.runs])
    margin = float(np.ptp(x)) * 0.02 or 0.5
    axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


@dataclass(frozen=True)
class Curves:
    """Draws what a run's checkpoints have, over the run; nothing across where another line of training begins."""

    axes: Axes
    chapter: Chapter
    run: Run
    at: NDArray[np.intp]
    """Positions of the checkpoints that are drawn."""

    def line(self, values: Floats, **looks: Any) -> Line2D:
        """Draw a line through values (K,): with a dot for each of few checkpoints, even one between two gaps; thin if
        they are many, so that what lies behind is seen."""
        few, many = len(self.at) <= SEEN, len(self.at) > MANY
        look: dict[str, Any] = {
            "marker": "o",
            "ms": 3.5 if few else 0.0,
            "zorder": 2.6,
            "lw": 0.7 if many else 1.4,
            "gid": "line",
        }
        (line,) = self.axes.plot(self._x, self.run.curve(values, self.at), **look | looks)
        return line

    def band(self, low: Floats, high: Floats, color: str, alpha: float, label: str = "") -> None:
        """Fill what lies between two values (K,) of each checkpoint."""
        bottom, top = (self.run.curve(side, self.at) for side in (low, high))
        look: dict[str, Any] = {"color": color, "alpha": alpha, "linewidth": 0, "label": label, "gid": "band"}
        self.axes.fill_between(self._x, bottom, top, **look)

    @property
    def _x(self) -> Floats:
        return self.run.curve(self.chapter.x(self.run), self.at)


def mark_beyond(axes: Axes, x: Floats, values: Floats, limits: Limits, color: Any) -> str:
    """Mark, at the edge of the axes, where a curve lies beyond it, each beside the one before; return an arrow that
    way if it ends there, or nothing."""
    from matplotlib.transforms import ScaledTranslation

    for is_beyond, place, marker, arrow in (
        (values > limits[1], limits[1], "^", "  ↑"),
        (values < limits[0], limits[0], "v", "  ↓"),
    ):
        if is_beyond.any():
            last = np.flatnonzero(is_beyond)[-1]
            taken = sum(line.get_gid() == "beyond" for line in axes.lines)
            aside = taken / 9 if x[last] < np.mean(axes.get_xlim()) else -taken / 9
            beside = axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)
            look: dict[str, Any] = {"ms": 6, "zorder": 4, "gid": "beyond", "transform": beside, "clip_on": False}
            axes.plot([x[last]], [place], marker, color=color, **look)
            return arrow if last == np.flatnonzero(np.isfinite(values))[-1] else ""
    return ""


def draw_usual(axes: Axes, usual: Usual | None, *, vertical: bool = False) -> None:
    """Draw what is usual under all else, across a horizontal axis or, if `vertical`, a vertical one."""
    if usual is not None:
        span, line = (axes.axvspan, axes.axvline) if vertical else (axes.axhspan, axes.axhline)
        span(usual.low, usual.high, color=style.HEALTHY, alpha=0.1, linewidth=0, zorder=0.5, label=usual.band_text)
        look: dict[str, Any] = {"color": style.HEALTHY, "lw": 0.9, "dashes": (1, 1.5), "zorder": 0.6}
        line(usual.line, **look, label=usual.line_text, gid="usual")


def draw_marks(axes: Axes, run: Run, x: Floats, color: str = style.INK) -> None:
    """Draw a vertical line, cased in white, wherever something happened to the run, whose checkpoints lie at `x` (K,);
    the key says what."""
    from matplotlib.patheffects import withStroke

    look: dict[str, Any] = {"lw": 0.9, "zorder": 2.5, "path_effects": [withStroke(linewidth=2.4, foreground="white")]}
    for k, word in list(run.marks.items())[:MOST_MARKS]:
        axes.axvline(x[k], color=color, ls=_DASHES[word], label=word, gid="beginning", **look)


def looks_of_runs(chapter: Chapter) -> list[tuple[str, style.LineStyle]]:
    """Return a colour for each run, and dashes, which tell them apart even without colour."""
    colors, dashes = style.COLORS, style.DASHES
    return [(colors[i % len(colors)], dashes[i % len(dashes)]) for i in range(len(chapter.runs))]


def looks_of(chapter: Chapter, members: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each parameter with the looks of its line: its layer's colour, and dashes that tell it from others."""
    members = list(members)
    for at, (color, way) in zip(members, told_apart(colors_of(chapter)[members]), strict=True):
        yield at, {"color": color, "ls": style.DASHES[way]}


def told_apart(places: Iterable[int]) -> Iterator[tuple[str, int]]:
    """Yield the colour of each place in the palette, and which of four ways tells it from others: dashes or markers.

    Places of one way look different without red, green or blue as well; the same place again has another way.
    """
    seen: Counter[int] = Counter()
    for place in places:
        yield style.COLORS[place], (place // 2 % 3 + 3 * seen[place]) % 4
        seen[place] += 1
