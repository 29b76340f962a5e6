"""Measures over one run: a row of panels each, kernels beside vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.wording import percent
from ckpt_inspect.presentation.figures.spread import distance, fan, newest, positive
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, drawn, figure_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ckpt_inspect.presentation.figures.chapter import Chapter
    from ckpt_inspect.presentation.figures.measures import Measure
    from ckpt_inspect.presentation.figures.questions import Question
    from ckpt_inspect.presentation.optimizer_series import Floats

MOST_LINES = 8
"""Up to as many parameters have a line each in a panel; of more the fan of all is drawn, and the outermost by name."""
MOST_NAMED = 4
MOST_BOUNDED = 2
"""Up to as many have their bounds in a panel; more would hide each other."""
_SHADES = {"25–75 %": 0.4, "5–95 %": 0.15}
_SEEN = 12
"""Up to as many checkpoints have a dot each."""


@dataclass(frozen=True)
class _Panel:
    measure: Measure
    kind: str
    members: NDArray[np.intp]
    """Positions of those that have a place in it."""
    named: NDArray[np.intp]
    """Positions of those that have a line."""

    @property
    def values(self) -> Floats:
        """(K, P) values that can be drawn."""
        (values,) = self.measure.values
        return values if self.measure.is_share else positive(values)

    @property
    def is_fan(self) -> bool:
        return len(self.named) < len(self.members)


def plot_over_run(chapter: Chapter, asks: Question, answer: str, measures: Sequence[Measure], note: str) -> Figure:
    """Draw a line per parameter, or the fan of all with the outermost by name."""
    import pandas as pd
    import seaborn.objects as so

    (run,), (kept,) = chapter.runs, chapter.kept
    x, curve = chapter.x(run), partial(run.curve, at=kept)
    every = _panels(chapter, measures)
    rows = list(dict.fromkeys(panel.measure.title or panel.measure.label for panel in every))
    lines, fans = [], []
    for panel in every:
        place = {"row": panel.measure.title or panel.measure.label, "kind": panel.kind, "x": curve(x)}
        own = panel.values
        lines += [pd.DataFrame(place | {"line": i, "y": curve(own[:, at])}) for i, at in enumerate(panel.named)]
        if panel.is_fan:
            levels = fan(own[np.ix_(kept, panel.members)], is_log=not panel.measure.is_share)
            of_levels = {name: run.with_gaps(level, kept) for name, level in levels.items()}
            fans.append(pd.DataFrame(place | {"part": run.part_of_curve(kept)} | of_levels))
    plot = (
        so.Plot(pd.concat(lines, ignore_index=True), x="x", y="y").share(x=True, y="row").label(x=chapter.x_label, y="")
    )
    plot = plot.facet("kind", "row", order={"col": list(dict.fromkeys(panel.kind for panel in every)), "row": rows})
    if fans:
        # a layer of other data needs its own panels: what it doesn't name is joined by the row's number
        of_fans: dict[str, Any] = {"x": "x", "y": "q50", "col": "kind", "row": "row", "legend": False}
        of_fans["data"] = pd.concat(fans, ignore_index=True)
        for low, high, alpha in (("q05", "q95", 0.15), ("q25", "q75", 0.25)):
            band = so.Band(color=style.FAN, alpha=alpha, edgewidth=0)
            plot = plot.add(band, ymin=low, ymax=high, group="part", **of_fans)
        plot = plot.add(so.Path(color=style.FAN, linewidth=2, artist_kws={"gid": "middle"}), **of_fans)
    size = 3.5 if len(kept) <= _SEEN else 0.0
    plot = plot.add(
        so.Path(linewidth=1.4, marker="o", pointsize=size, artist_kws={"gid": "line"}), color="line", legend=False
    ).scale(color=so.Nominal(list(style.LINE_COLORS), order=list(range(MOST_LINES))))
    body = chapter_sheet(chapter, asks, answer, note, max(2.2 * len(rows), 3.1), _key(chapter, every))
    limits = {id(measure): panels.limits_of(chapter, measure) for measure in measures}
    for axes, panel in zip(drawn(plot, body), every, strict=True):
        _finish(axes, chapter, panel, limits[id(panel.measure)], is_first=panel is every[0])
        is_top, is_left = panel.measure is measures[0], panel.kind == every[0].kind
        own_title = f"{panel.measure.title}: " if panel.measure.title else ""
        count = None if panel.measure.concerns is None else len(panel.members)
        axes.set_title(own_title + chapter.title_of(panel.kind, count) if is_top or own_title else "", color=style.INK)
        axes.set_ylabel(panel.measure.label if is_left else "")
    return figure_of(body)


def _panels(chapter: Chapter, measures: Sequence[Measure]) -> list[_Panel]:
    """A row of panels for each measure; the lines of the first are those of the others, for a person compares them."""
    (values,), found = measures[0].values, []
    shown = None if measures[0].concerns is None else np.unique(np.concatenate([m.concerns for m in measures]))
    outermost = chapter.telling(distance(positive(values)), MOST_NAMED)
    for measure in measures:
        if measure.concerns is not None:
            outermost = chapter.telling(newest(measure.values[0]), MOST_NAMED)
        for kind, all_of_kind in chapter.kinds(shown).items():
            members = all_of_kind if measure.concerns is None else np.intersect1d(all_of_kind, measure.concerns)
            found.append(_Panel(measure, kind, members, members if len(members) <= MOST_LINES else outermost[kind]))
    return found


def _key(chapter: Chapter, every: Sequence[_Panel]) -> list[Artist]:
    from matplotlib.patches import Patch

    handles = panels.key(chapter, every[0].measure.usual)
    if any(panel.is_fan for panel in every):
        handles += panels.fan_key("parameters", style.FAN, _SHADES)
    bounded = {p.measure.bounds_label for p in every if p.measure.bounds and len(p.named) <= MOST_BOUNDED}
    return handles + [Patch(facecolor=style.MUTED, alpha=0.2, label=label) for label in bounded]


def _finish(axes: Axes, chapter: Chapter, panel: _Panel, limits: panels.Limits, *, is_first: bool) -> None:
    """Set the axes, and draw what is around the lines: what is usual, bounds, marks, names."""
    (run,), measure = chapter.runs, panel.measure
    panels.set_panel(axes, chapter, limits, is_share=measure.is_share)
    panels.draw_usual(axes, measure.usual)
    if measure.bounds and len(panel.named) <= MOST_BOUNDED:
        _draw_bounds(axes, chapter, panel)
    panels.draw_marks(axes, run, chapter.x(run), has_labels=is_first)
    names = chapter.labels(panel.named, 28)
    _name_lines(axes, chapter.x(run), dict(zip(names, panel.values.T[panel.named], strict=True)), limits, measure)


def _name_lines(axes: Axes, x: Floats, lines: Mapping[str, Floats], limits: panels.Limits, measure: Measure) -> None:
    """Name the lines right of the panel, the largest first, with their newest values; mark what leaves the axes."""
    from matplotlib.lines import Line2D

    text = percent if measure.is_share else number
    last = {label: float(newest(of[:, None])[0]) for label, of in lines.items()}
    colors = dict(zip(lines, style.LINE_COLORS, strict=False))
    handles: list[Artist] = []
    for label in sorted(lines, key=lambda label: -np.nan_to_num(last[label], nan=-np.inf)):
        edge = panels.mark_beyond(axes, x, lines[label], limits, colors[label])
        told = f"{label}  {text(last[label])}" + (f"  {edge} beyond the axis" if edge else "")
        handles.append(Line2D([], [], color=colors[label], lw=1.4, label=told))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), fontsize=style.SMALL_SIZE)


def _draw_bounds(axes: Axes, chapter: Chapter, panel: _Panel) -> None:
    """Draw what bounds these curves; where a side is not known it is open, as far as the axes go."""
    (run,), (bounds,) = chapter.runs, panel.measure.bounds
    for color, at in zip(style.LINE_COLORS, panel.named, strict=False):
        is_known = panel.values[:, at] > 0
        low, high = (
            np.where(is_known & np.isnan(side[:, at]), end, side[:, at])
            for side, end in zip(bounds, axes.get_ylim(), strict=True)
        )
        for part in np.unique(run.parts):
            k = run.parts == part
            x = chapter.x(run)[k]
            axes.fill_between(x, low[k], high[k], color=color, alpha=0.12, linewidth=0, zorder=1, gid="bounds")
