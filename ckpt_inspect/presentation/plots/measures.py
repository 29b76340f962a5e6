"""Quantities of every parameter: over a run, over several that are compared, or in one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, drawn, figure_of
from ckpt_inspect.presentation.plots.spread import apart, distance, fan, newest, positive
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import NDArray
    from pandas import DataFrame
    from seaborn.objects import Plot

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.questions import Question, Usual

Chosen = Mapping[str, "NDArray[np.intp]"]
"""Positions of parameters in a chapter, by kind."""
MOST_LINES = 8
"""Up to as many parameters have a line each in a panel; of more the fan of all is drawn, and the outermost by name."""
MOST_NAMED = 4
MOST_BOUNDED = 2
"""Up to as many have their bounds in a panel; more would hide each other."""
MOST_ROWS = 24
"""Of a kind; of more those that lie furthest from the middle."""
MOST_PANELS = 8
"""Of a kind, one for each parameter."""
ROW = 0.19
"""Inches, of a row."""
_COLUMNS, _PANEL, _TITLE = 4, 1.55, 0.25
"""Panels side by side; inches of a row of them, and of the title of a kind."""


@dataclass(frozen=True)
class Measure:
    """A positive quantity of each parameter over the runs of a chapter."""

    label: str
    """Of its axis, with the unit."""
    values: tuple[Floats, ...]
    """By run (K, P); NaN where it is not known or not positive."""
    sides: Mapping[str, tuple[Floats, ...]] = field(default_factory=dict)
    """What is drawn around it, each like `values`: `low` and `high`, the least and the most that it can be."""
    usual: Usual | None = None

    def limits(self, *, is_newest: bool = False) -> panels.Limits:
        """Return the ends of its axis; `is_newest`: of the newest checkpoints alone, sides and all."""
        ends = (self.usual.low, self.usual.high) if self.usual else ()
        shown = [*self.values, *(each for side in self.sides.values() for each in side)] if is_newest else self.values
        return panels.robust_range([positive(each)[-1:] if is_newest else positive(each) for each in shown], *ends)


def tidy(chapter: Chapter, measures: Sequence[Measure], chosen: Chosen) -> DataFrame:
    """Return a row for each measure, run, parameter chosen and checkpoint: `measure`, `run`, `kind`, `parameter` (its
    position), `place` (among those of its kind), `x`, `y`, its sides, and `part`, the line of training; between lines
    of training a row of NaN."""
    import pandas as pd

    frame: DataFrame = pd.concat(
        [
            pd.DataFrame(
                {
                    "measure": measure.label,
                    "run": run.name,
                    "kind": kind,
                    "parameter": int(at),
                    "place": place,
                    "x": run.with_gaps(chapter.x(run)),
                    "y": run.with_gaps(positive(of_run[:, at])),
                    "part": part_of(run),
                    **{side: run.with_gaps(values[number][:, at]) for side, values in measure.sides.items()},
                }
            )
            for measure in measures
            for number, (run, of_run) in enumerate(zip(chapter.runs, measure.values, strict=True))
            for kind, members in chosen.items()
            for place, at in enumerate(members)
        ],
        ignore_index=True,
    )
    return frame


def part_of(run: Run) -> Floats:
    """Return the line of training of each value of a curve, which bands are cut by; many at the end count as one."""
    parts = run.with_gaps(np.minimum(run.parts, panels.MOST_MARKS))
    return np.where(np.isnan(parts), 0.0, parts)


def plot_measures(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str = "") -> Figure:
    """Draw the measures, a row of panels each, kernels beside vectors: a line per parameter, or the fan of all with the
    outermost by name.

    Of several runs the first measure, a panel for each of those parameters in which they differ most. Of one checkpoint
    a dot per parameter, kernels above vectors.
    """
    plot = (_plot_run if len(chapter.runs) == 1 else _plot_runs) if chapter.is_series else _plot_rows
    return plot(chapter, asks, answer, measures, note or asks.note)


def _plot_run(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    import pandas as pd
    import seaborn.objects as so

    (run,), kinds, x = chapter.runs, chapter.kinds(), chapter.x(chapter.runs[0])
    # the lines of the first measure are those of the others: a person compares them
    telling = chapter.telling(distance(positive(measures[0].values[0])), MOST_NAMED)
    named = {kind: members if len(members) <= MOST_LINES else telling[kind] for kind, members in kinds.items()}
    fans = [
        pd.DataFrame(
            {"kind": kind, "measure": measure.label, "part": part_of(run), "x": run.with_gaps(x)}
            | {name: run.with_gaps(quantile) for name, quantile in fan(values[:, members]).items()}
        )
        for measure in measures
        for values in (positive(measure.values[0]),)
        for kind, members in kinds.items()
        if len(members) > MOST_LINES
    ]
    plot = so.Plot(tidy(chapter, measures, named), x="x", y="y").share(x=True, y="row")
    plot = plot.facet("kind", "measure", order={"col": [*kinds], "row": [m.label for m in measures]})
    if fans:
        # a layer of other data needs its own panels: what it doesn't name is joined by the row's number
        own: dict[str, Any] = {"x": "x", "y": "q50", "col": "kind", "row": "measure", "legend": False}
        own["data"] = pd.concat(fans, ignore_index=True)
        for low, high, alpha in (("q05", "q95", 0.15), ("q25", "q75", 0.25)):
            band = so.Band(color=style.FAN, alpha=alpha, edgewidth=0)
            plot = plot.add(band, ymin=low, ymax=high, group="part", **own)
        plot = plot.add(so.Path(color=style.FAN, linewidth=2, artist_kws={"gid": "middle"}), **own)
    size = 3.5 if len(x) <= 12 else 0.0  # so few checkpoints that each can be seen
    mark = so.Path(linewidth=1.4, marker="o", pointsize=size, artist_kws={"gid": "line"})
    plot = plot.add(mark, color="place", legend=False).label(x=chapter.x_label, y="")
    plot = plot.scale(color=so.Nominal(list(style.LINE_COLORS), order=list(range(MOST_LINES))))
    key = [*panels.key(chapter, measures[0].usual), *(panels.fan_key("parameters") if fans else [])]
    body = chapter_sheet(chapter, asks, answer, note, 3.1 if len(measures) == 1 else 2.2 * len(measures), key)
    places = ((measure, kind) for measure in measures for kind in kinds)
    for panel, (measure, kind) in zip(drawn(plot, body), places, strict=True):
        is_top, is_left = measure is measures[0], kind == next(iter(kinds))
        panel.set_title(chapter.title_of(kind) if is_top else "", color=style.INK)
        panel.set_ylabel(measure.label if is_left else "")
        panels.set_panel(panel, chapter, limits := measure.limits())
        panels.draw_usual(panel, measure.usual)
        if len(named[kind]) <= MOST_BOUNDED:
            _draw_bounds(panel, chapter, measure, named[kind])
        panels.draw_marks(panel, chapter, run, has_labels=is_top and is_left)
        lines = zip(chapter.labels(named[kind], 28), positive(measure.values[0]).T[named[kind]], strict=True)
        _name_lines(panel, x, dict(lines), limits)
    return figure_of(body)


def _name_lines(axes: Axes, x: Floats, lines: Mapping[str, Floats], limits: panels.Limits) -> None:
    """Name the lines right of the panel, the largest first, with their newest values; mark what leaves the axes."""
    from matplotlib.lines import Line2D

    last = {label: float(np.nan_to_num(newest(of[:, None])[0], nan=-np.inf)) for label, of in lines.items()}
    colors = dict(zip(lines, style.LINE_COLORS, strict=False))
    handles: list[Artist] = []
    for label in sorted(lines, key=lambda label: -last[label]):
        edge = panels.mark_beyond(axes, x, lines[label], limits, colors[label])
        text = f"{label}  {style.number(last[label])}" + (f"  {edge} beyond the axis" if edge else "")
        handles.append(Line2D([], [], color=colors[label], lw=1.4, label=text))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), fontsize=style.SMALL_SIZE)


def _draw_bounds(axes: Axes, chapter: Chapter, measure: Measure, members: NDArray[np.intp]) -> None:
    """Draw what bounds these curves; where a side is not known it is open, as far as the axes go."""
    (run,) = chapter.runs
    for color, at in zip(style.LINE_COLORS, members if measure.sides else (), strict=False):
        is_known = positive(measure.values[0])[:, at] > 0
        low, high = (
            np.where(is_known & np.isnan(measure.sides[side][0][:, at]), end, measure.sides[side][0][:, at])
            for side, end in zip(("low", "high"), axes.get_ylim(), strict=True)
        )
        for part in np.unique(run.parts):
            k = run.parts == part
            x = chapter.x(run)[k]
            axes.fill_between(x, low[k], high[k], color=color, alpha=0.12, linewidth=0, zorder=1, gid="bounds")


def _plot_runs(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    import seaborn.objects as so

    measure = measures[0]
    values = [positive(each) for each in measure.values]
    chosen = chapter.telling(apart(values), MOST_PANELS)
    plot = so.Plot(tidy(chapter, [measure], chosen), x="x", y="y", color="run", linestyle="run")
    plot = plot.add(so.Path(linewidth=1.4, artist_kws={"gid": "line"}), legend=False)
    note += left_out(chapter, chosen, "in which the runs differ most")
    body = chapter_sheet(chapter, asks, answer, note, height(chosen), panels.key(chapter, measure.usual))
    plot, limits = plot.scale(**panels.run_scales(chapter)), measure.limits()
    for at, panel in draw_multiples(body, chapter, chosen, plot, chapter.x_label, measure.label):
        panels.set_panel(panel, chapter, limits)
        panels.draw_usual(panel, measure.usual)
        for run, of_run, color in zip(chapter.runs, values, panels.run_colors(chapter), strict=True):
            panels.draw_marks(panel, chapter, run, color)
            panels.mark_beyond(panel, chapter.x(run), of_run[:, at], limits, color)
    return figure_of(body)


def _plot_rows(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    import seaborn.objects as so

    chosen = chapter.telling(np.fmax.reduce([distance(positive(each)) for each in measures[0].values]), MOST_ROWS)
    tall = [len(members) * ROW * max(1.0, 0.5 * len(chapter.runs)) + 0.35 for members in chosen.values()]
    note += left_out(chapter, chosen, "furthest from the middle")
    body = chapter_sheet(chapter, asks, answer, note, sum(tall) + 0.6, panels.key(chapter, measures[0].usual))
    frame, labels = tidy(chapter, measures, chosen).groupby(["measure", "run", "parameter"]).tail(1), [*measures]
    offsets = np.linspace(-0.25, 0.25, len(chapter.runs)) if len(chapter.runs) > 1 else [0.0]
    frame["row"] = frame["place"] + frame["run"].map(dict(zip([r.name for r in chapter.runs], offsets, strict=True)))
    plot = so.Plot(frame, x="y", y="row", color="run").share(x="col", y="row").label(x="", y="")
    plot = plot.facet("measure", "kind", order={"col": [m.label for m in labels], "row": [*chosen]})
    if measures[0].sides:
        plot = plot.add(so.Range(linewidth=2.5, alpha=0.4), xmin="low", xmax="high", orient="y", legend=False)
    plot = plot.add(so.Dot(pointsize=5, edgecolor="white", artist_kws={"gid": "dot"}), legend=False)
    every = drawn(plot.scale(color=panels.run_scales(chapter)["color"]), body)
    if grid := every[0].get_gridspec():
        grid.set_height_ratios(tall)
    places = ((kind, measure) for kind in chosen for measure in measures)
    for axes, (kind, measure) in zip(every, places, strict=True):
        is_left, limits = measure is measures[0], measure.limits(is_newest=True)
        set_rows(axes, chapter.labels(chosen[kind]), is_left=is_left)
        axes.set_title(chapter.title_of(kind) if is_left else "", color=style.INK)
        panels.set_log_axis(axes, "x", limits)
        panels.draw_usual(axes, measure.usual, vertical=True)
        axes.set_xlabel(measure.label if kind == [*chosen][-1] else "")
        own = frame[(frame["measure"] == measure.label) & (frame["kind"] == kind)]
        write_beyond(axes, own[["y", "place"]].to_numpy(float), limits)
    return figure_of(body)


def set_rows(axes: Axes, labels: Sequence[str], *, is_left: bool) -> None:
    """Set rows from top to bottom, every other one on a tinted ground, labelled at the left of all panels."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, color=style.INK)
    axes.tick_params(axis="y", length=0, labelleft=is_left)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
    for y in range(0, len(labels), 2):
        axes.axhspan(y - 0.5, y + 0.5, color="#f5f6f7", linewidth=0, zorder=0)


def write_beyond(axes: Axes, dots: Floats, limits: panels.Limits) -> None:
    """Write the values that lie beyond the axes at their edge, those of a row beside each other."""
    beyond: dict[tuple[float, bool], list[str]] = {}
    for x, y in dots:
        if x > 0 and not limits[0] <= x <= limits[1]:
            beyond.setdefault((y, x > limits[1]), []).append(style.number(x) if np.isfinite(x) else "∞")
    for (y, is_high), values in beyond.items():
        text = ", ".join(values)
        axes.annotate(
            f"{text} ▸" if is_high else f"◂ {text}", (float(is_high), y), xycoords=axes.get_yaxis_transform(),
            va="center_baseline", ha="right" if is_high else "left", color=style.ALERT, fontsize=style.SMALL_SIZE,
            gid="beyond",
        )  # fmt: skip


# --- small multiples: a panel per parameter


def height(chosen: Chosen) -> float:
    """Return the inches that the panels take."""
    return sum(-(-len(members) // _COLUMNS) * _PANEL + _TITLE for members in chosen.values()) + 0.2


def left_out(chapter: Chapter, chosen: Chosen, reason: str) -> str:
    """Return a sentence that says which parameters are drawn, if not all are."""
    count = sum(map(len, chosen.values()))
    return "" if count == len(chapter.parameters) else f" Drawn: the {count} of {len(chapter.parameters)} {reason}."


def draw_multiples(
    body: SubFigure, chapter: Chapter, chosen: Chosen, plot: Plot, x_label: str, y_label: str
) -> Iterator[tuple[int, Axes]]:
    """Draw a panel for each parameter chosen, kernels' above vectors'; yield its position in the chapter, and its axes.

    `plot`: seaborn's, of a frame like that of `tidy`, without facets.
    """
    ratios = [-(-len(members) // _COLUMNS) * _PANEL + _TITLE for members in chosen.values()]
    parts = body.subfigures(len(chosen), 1, squeeze=False, height_ratios=ratios).ravel()
    for part, (kind, members) in zip(parts, chosen.items(), strict=True):
        title = chapter.title_of(kind, len(members))
        part.suptitle(title, x=0.01, ha="left", size=style.TEXT_SIZE, color=style.INK)
        order: list[Any] = [int(member) for member in members]
        axes = drawn(plot.facet("parameter", order=order, wrap=_COLUMNS).label(x="", y=""), part)
        for at, label, panel in zip(order, chapter.labels(members, 26), axes, strict=True):
            panel.set_title(label, color=style.INK, size=style.SMALL_SIZE)
            yield at, panel
    body.supxlabel(x_label, size=style.TEXT_SIZE, color=style.MUTED)
    body.supylabel(y_label, size=style.TEXT_SIZE, color=style.MUTED)
