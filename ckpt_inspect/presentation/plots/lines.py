"""Quantities over a run: of one run a panel for kernels and one for biases and norms, of several a panel per layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.limits import robust_range
from ckpt_inspect.presentation.plots.marks import draw_marks, mark_key
from ckpt_inspect.presentation.plots.names import short_labels, shorten
from ckpt_inspect.presentation.plots.sheet import drawn, figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter

MOST_LINES = 8
"""Up to as many parameters have a line each in a panel; of more the fan of all is drawn, and the outermost by name."""
MOST_NAMED = 4
MOST_BOUNDED = 2
"""Up to as many have their bounds in a panel; more would hide each other."""
MOST_PANELS = 12
"""Of several runs; beyond it a panel stands for a branch of the model."""
FAN = (0.05, 0.25, 0.5, 0.75, 0.95)
_WIDTH = 28
"""Letters of a name in a key."""


@dataclass(frozen=True)
class Measure:
    """A positive quantity of each parameter over the runs of a chapter."""

    label: str
    """Of its axis, with the unit."""
    values: tuple[Floats, ...]
    """By run (K, P); NaN where it is not known or not positive."""
    bounds: tuple[tuple[Floats, Floats], ...] = ()
    """By run the least and the most that it can be, (K, P) each; nothing if it has no such."""


@dataclass(frozen=True)
class Reference:
    """What is usual: a band, and a line in it."""

    band: tuple[float, float]
    line: float
    text: str

    def draw(self, axes: Axes, *, vertical: bool = False) -> None:
        """Draw it under all else, across a horizontal axis or, if `vertical`, a vertical one."""
        span, line = (axes.axvspan, axes.axvline) if vertical else (axes.axhspan, axes.axhline)
        span(*self.band, color=style.HEALTHY, alpha=0.1, linewidth=0, zorder=0.5)
        line(self.line, color=style.HEALTHY, lw=0.9, dashes=(4, 2), zorder=0.6, gid="usual")

    def key(self) -> list[Artist]:
        """Return its entries for the key."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        text = f"usual, {style.power(self.band[0])} to {style.power(self.band[1])}"
        return [
            Patch(facecolor=style.HEALTHY, alpha=0.15, label=text),
            Line2D([], [], color=style.HEALTHY, lw=0.9, dashes=(4, 2), label=self.text),
        ]


def plot_over_run(
    chapter: Chapter,
    question: str,
    answer: str,
    measures: Sequence[Measure],
    note: str = "",
    reference: Reference | None = None,
) -> Figure:
    """Draw the measures, a row of panels each, over the steps of the chapter's run; of several runs the first measure.

    One run: a line per parameter, or the fan of all with the outermost by name. Several: a colour and dashes per run.
    """
    key = [*(reference.key() if reference else []), *mark_key(chapter)]
    if len(chapter.runs) > 1:
        return _plot_runs(chapter, question, answer, measures[0], note, reference, key)
    import pandas as pd
    import seaborn.objects as so

    (run,), kinds = chapter.runs, chapter.kinds()
    x = chapter.x(run)
    lines, fans, legends = [], [], []
    for measure in measures:
        for kind, members in kinds.items():
            values = _positive(measure.values[0][:, members])
            place = {"kind": kind, "measure": measure.label, "x": x}
            named = range(len(members)) if len(members) <= MOST_LINES else outermost(values)
            lines += [pd.DataFrame({**place, "y": values[:, at], "line": str(i)}) for i, at in enumerate(named)]
            if len(members) > MOST_LINES:
                fans.append(pd.DataFrame({**place, **fan(values)}))
            labels = short_labels([chapter.names[m] for m in members], _WIDTH)
            legends.append([(labels[at], values[:, at], i) for i, at in enumerate(named)])
    colors = dict(zip(map(str, range(MOST_LINES)), style.LINE_COLORS, strict=True))
    frame = pd.concat(lines, ignore_index=True)
    order = {"col": [*kinds], "row": [measure.label for measure in measures]}
    plot = so.Plot(frame, x="x", y="y").facet(col="kind", row="measure", order=order)
    plot = plot.share(x=True, y="row").label(x=chapter.x_label, y="")
    if fans:
        # a layer of other data needs its own panels: what it doesn't name is joined by the row's number
        own = {"data": pd.concat(fans, ignore_index=True), "x": "x", "col": "kind", "row": "measure", "legend": False}
        for low, high, alpha in (("q05", "q95", 0.15), ("q25", "q75", 0.25)):
            band = so.Band(color=style.FAN, alpha=alpha, edgewidth=0)
            plot = plot.add(band, y="q50", ymin=low, ymax=high, **own)
        plot = plot.add(so.Path(color=style.FAN, linewidth=2, artist_kws={"gid": "middle"}), y="q50", **own)
        key += fan_key()
    size = 3.5 if len(x) <= 12 else 0.0  # so few checkpoints that each can be seen
    mark = so.Path(linewidth=1.4, marker="o", pointsize=size, artist_kws={"gid": "line"})
    plot = plot.add(mark, color="line", legend=False).scale(color=so.Nominal(colors))
    body = sheet(question, answer, chapter.subtitle, note, 3.1 if len(measures) == 1 else 2.3 * len(measures), key)
    axes = drawn(plot, body)
    for position, (panel, legend) in enumerate(zip(axes, legends, strict=True)):
        row, column = divmod(position, len(kinds))
        kind, measure = list(kinds)[column], measures[row]
        title = f"{kind} ({len(kinds[kind])})"
        limits = robust_range([_positive(measure.values[0])], _reference_values(reference))
        finish_panel(panel, title, measure.label if column == 0 else "", limits, x)
        if measure.bounds and len(kinds[kind]) <= MOST_BOUNDED:
            for at, member in enumerate(kinds[kind]):
                bounds = measure.bounds[0][0][:, member], measure.bounds[0][1][:, member]
                _draw_bounds(panel, x, measure.values[0][:, member], bounds, style.LINE_COLORS[at])
        if reference:
            reference.draw(panel)
        draw_marks(panel, {float(x[k]): word for k, word in run.marks.items()}, has_labels=position == 0)
        _write_legend(panel, legend, limits, x)
    return figure_of(body)


def finish_panel(axes: Axes, title: str, label: str, limits: tuple[float, float], x: Floats) -> None:
    """Set a panel's title and its axes: logarithmic values up, checkpoints or steps across."""
    axes.set_title("")
    axes.set_title(title, loc="left", color=style.INK)
    axes.set_ylabel(label)
    axes.set_yscale("log", nonpositive="mask")
    axes.set_ylim(*limits)
    style.set_log_axis(axes.yaxis, *limits, most=6)
    margin = (float(x.max()) - float(x.min())) * 0.02 or 0.5
    axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    style.set_count_axis(axes.xaxis, float(x.min()), float(x.max()), most=6)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)


def fan_key() -> list[Artist]:
    """Return what stands for the fan of many parameters in the key."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=style.FAN, lw=2, label="median of all parameters"),
        Patch(facecolor=style.FAN, alpha=0.5, label="25–75 % of them"),
        Patch(facecolor=style.FAN, alpha=0.2, label="5–95 %"),
    ]


def _write_legend(axes: Axes, lines: Sequence[tuple[str, Floats, int]], limits: tuple[float, float], x: Floats) -> None:
    """Name the lines right of the panel, the largest first, with their newest values; mark what leaves the axes."""
    from matplotlib.lines import Line2D

    handles: list[Artist] = []
    for label, values, at in sorted(lines, key=lambda line: -_newest(line[1])):
        edge = mark_beyond(axes, x, values, limits, style.LINE_COLORS[at])
        text = f"{label}  {style.number(_newest(values))}" + (f"  {edge} beyond the axis" if edge else "")
        handles.append(Line2D([], [], color=style.LINE_COLORS[at], lw=1.4, label=text))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, fontsize=style.SMALL_SIZE)


def mark_beyond(axes: Axes, x: Floats, values: Floats, limits: tuple[float, float], color: str) -> str:
    """Mark, at the edge of the axes, where a curve lies furthest beyond it; return an arrow that way, or nothing."""
    low, high = limits
    for is_beyond, place, marker, arrow in ((values > high, high, "^", "↑"), (values < low, low, "v", "↓")):
        if is_beyond.any():
            at = np.flatnonzero(is_beyond)[-1]
            axes.plot([x[at]], [place], marker, color=color, ms=6, clip_on=False, zorder=4, gid="beyond")
            return arrow
    return ""


def _draw_bounds(axes: Axes, x: Floats, values: Floats, bounds: tuple[Floats, Floats], color: str) -> None:
    """Draw what bounds a curve; where a side is not known it is open, as far as the axes go."""
    (bottom, top), is_known = axes.get_ylim(), np.isfinite(values)
    low, high = (np.where(is_known & np.isnan(b), end, b) for b, end in zip(bounds, (bottom, top), strict=True))
    axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0, zorder=1, gid="bounds")


def _plot_runs(
    chapter: Chapter,
    question: str,
    answer: str,
    measure: Measure,
    note: str,
    reference: Reference | None,
    key: list[Artist],
) -> Figure:
    """Draw a panel per layer with a line per run: the middle of the layer's parameters."""
    import pandas as pd
    import seaborn.objects as so

    groups = chapter.groups(MOST_PANELS)
    frames = [
        pd.DataFrame(
            {"x": chapter.x(run), "y": middle(_positive(values[:, list(g.members)])), "layer": g.label, "run": run.name}
        )
        for g in groups
        for run, values in zip(chapter.runs, measure.values, strict=True)
    ]
    frame = pd.concat(frames, ignore_index=True)
    columns = min(4, len(groups))
    plot = so.Plot(frame, x="x", y="y", color="run", linestyle="run")
    plot = plot.facet("layer", order=[g.label for g in groups], wrap=columns)
    plot = plot.add(so.Path(linewidth=1.4, artist_kws={"gid": "line"}), legend=False)
    names = [run.name for run in chapter.runs]
    colors, dashes = (
        dict(zip(names, run_colors(chapter), strict=True)),
        dict(zip(names, run_dashes(chapter), strict=True)),
    )
    plot = plot.scale(color=so.Nominal(colors), linestyle=so.Nominal(dashes)).label(x="", y="")
    rows = -(-len(groups) // columns)
    body = sheet(question, answer, chapter.subtitle, note, 1.9 * rows + 0.6, [*run_key(chapter), *key])
    axes = drawn(plot, body)
    limits = robust_range([_positive(v) for v in measure.values], _reference_values(reference))
    x = np.concatenate([chapter.x(run) for run in chapter.runs])
    for panel, group in zip(axes, groups, strict=True):
        finish_panel(panel, group.label, "", limits, x)
        if reference:
            reference.draw(panel)
        for run, color in zip(chapter.runs, run_colors(chapter), strict=True):
            draw_marks(panel, {float(chapter.x(run)[k]): word for k, word in run.marks.items()}, color)
    body.supylabel(measure.label, size=style.TEXT_SIZE, color=style.MUTED)
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    return figure_of(body)


def run_colors(chapter: Chapter) -> list[str]:
    """Return a colour for each run."""
    return [style.RUN_COLORS[i % len(style.RUN_COLORS)] for i in range(len(chapter.runs))]


def run_dashes(chapter: Chapter) -> list[style.LineStyle]:
    """Return dashes for each run, which tell them apart even without colour."""
    return [style.RUN_DASHES[i % len(style.RUN_DASHES)] for i in range(len(chapter.runs))]


def run_key(chapter: Chapter) -> list[Artist]:
    """Return the runs' colours and dashes, if there are several."""
    from matplotlib.lines import Line2D

    if len(chapter.runs) < 2:
        return []
    looks = zip(chapter.runs, run_colors(chapter), run_dashes(chapter), strict=True)
    return [Line2D([], [], color=c, ls=d, lw=1.4, label=shorten(run.name, 40)) for run, c, d in looks]


def fan(values: Floats) -> Mapping[str, Floats]:
    """Return (K,) quantiles over the P parameters in each checkpoint by name, `q05` to `q95`; NaN if none is known."""
    result = np.full((len(FAN), len(values)), np.nan)
    is_known = np.isfinite(values).any(axis=1)
    if is_known.any():
        result[:, is_known] = np.exp(np.nanquantile(np.log(values[is_known]), FAN, axis=1))
    return {f"q{round(100 * level):02}": row for level, row in zip(FAN, result, strict=True)}


def outermost(values: Floats) -> list[int]:
    """Return at most `MOST_NAMED` columns that lie furthest from the middle of all in the newest checkpoint with any,
    most first."""
    rows = np.flatnonzero(np.isfinite(values).any(axis=1))
    if not rows.size:
        return []
    newest = np.log(values[rows[-1]])
    distance = np.abs(newest - np.nanmedian(newest))
    order = np.argsort(-np.nan_to_num(distance, nan=-1.0), kind="stable")
    return [int(at) for at in order[:MOST_NAMED] if np.isfinite(distance[at])]


def middle(values: Floats) -> Floats:
    """Return (K,) geometric median over members, NaN if none has a value."""
    return fan(values)["q50"]


def _positive(values: Floats) -> Floats:
    positive: Floats = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return positive


def _newest(values: Floats) -> float:
    """The newest known value; -inf without any, so that it sorts last."""
    known = values[np.isfinite(values)]
    return float(known[-1]) if known.size else float("-inf")


def _reference_values(reference: Reference | None) -> Floats:
    return np.array(reference.band if reference else ())


def spread_words(chapter: Chapter, values: Sequence[Floats]) -> str:
    """Return in words what the newest values of each kind of parameter are: the middle and both ends, by name."""
    parts = list(_spreads(chapter, values))
    return "; ".join(parts) if parts else "not known"


def _spreads(chapter: Chapter, values: Sequence[Floats]) -> Iterator[str]:
    if len(chapter.runs) > 1:
        for run, each in zip(chapter.runs, values, strict=True):
            last = _newest(middle(_positive(each)))
            if np.isfinite(last):
                yield f"{shorten(run.name, 30)}: median of the parameters {style.number(last)}"
        return
    for kind, members in chapter.kinds().items():
        newest = np.array([_newest(column) for column in _positive(values[0][:, members]).T])
        known = np.flatnonzero(np.isfinite(newest))
        if known.size:
            low, high = known[newest[known].argmin()], known[newest[known].argmax()]
            labels = short_labels([chapter.names[m] for m in members], _WIDTH)
            text = f"{kind.lower()} {style.number(float(np.median(newest[known])))}"
            if known.size > 1:
                ends = [style.number(newest[at]) for at in (low, high)]
                is_even = ends[0] == ends[1]
                text += " each" if is_even else f" ({labels[low]} {ends[0]} to {labels[high]} {ends[1]})"
            yield text
