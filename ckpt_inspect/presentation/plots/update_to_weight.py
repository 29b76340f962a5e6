"""Whether the last update was in proportion to the weights: their norms' ratio, against a thousandth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.page import Key
from ckpt_inspect.presentation.plots.panels import MOST_PANELS, Panels, marker, run_color, run_dashes, run_key
from ckpt_inspect.presentation.plots.rows import ROW, Rows, dodge, gathered_note, row_groups, row_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.names import Group

QUESTION = "Are the updates in proportion to the weights?"
HEALTHY = (1e-4, 1e-2)
"""Below, a layer barely learns; above, it changes too fast (Karpathy, makemore part 3; MosaicML's OptimizerMonitor)."""
USUAL = 1e-3
LABEL = "last update over weights, ‖Δ‖/‖θ‖ (ratio of norms)"
_NOTE = "Not drawn if the weights are all zero, or if the state doesn't determine the update."


def _key() -> list[Key]:
    return [
        Key("band", style.HEALTHY, "usual, 10⁻⁴ to 10⁻²", 0.13),
        Key("line", style.HEALTHY, "rule of thumb, 10⁻³", dashes=(0, (4, 2))),
    ]


def ratios(run: Run, group: Group) -> Floats:
    """Return (K, members) of the group's ratios, NaN if they are not positive and finite."""
    values = run.column("update_to_weight")[:, list(group.members)]
    positive: Floats = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return positive


def middle(values: Floats) -> Floats:
    """Return (K,) median over members, NaN if none has a value."""
    ordered = np.sort(values, axis=1)  # NaNs last
    known = (~np.isnan(values)).sum(axis=1)
    rows = np.arange(len(values))
    low, high = ordered[rows, np.maximum(known - 1, 0) // 2], ordered[rows, np.maximum(known, 1) // 2]
    result: Floats = np.where(known % 2 == 1, low, np.sqrt(low * high))
    return result


@style.styled
def plot_update_to_weight(chapter: Chapter) -> Figure:
    """Draw a panel per layer with the ratio over the run, on the usual band and the line of a thousandth.

    Panels of several parameters: each a thin line, their median a thick one. With one checkpoint: a dot per layer.
    """
    if not chapter.is_series:
        return _plot_rows(chapter)
    groups = chapter.groups(MOST_PANELS)
    values = [[ratios(run, group) for run in chapter.runs] for group in groups]
    y_range = style.positive_range(*(v for of_group in values for v in of_group), HEALTHY)
    key = [Key("line", style.MAIN, "the layer")] if len(chapter.runs) == 1 else []
    if len(groups) < len(chapter.parameters):
        color = style.MAIN if len(chapter.runs) == 1 else style.MUTED
        key = [Key("line", color, "median of a panel's parameters"), Key("line", color, "each", 0.35)]
    note = _NOTE
    if len(chapter.runs) == 1:
        note = "At each panel's right: the newest ratio, orange if it is out of the usual band. " + note
    panels = Panels(chapter, QUESTION, note, LABEL, y_range, (*key, *_key()))
    for axes, of_group in zip(panels.axes, values, strict=True):
        _draw_usual(axes)
        for position, (run, each) in enumerate(zip(chapter.runs, of_group, strict=True)):
            x, color = chapter.x(run), run_color(position)
            if each.shape[1] > 1:
                axes.plot(x, each, color=color, lw=0.6, alpha=0.35, gid="member")
            axes.plot(
                x,
                middle(each),
                color=color,
                lw=1.5,
                marker=marker(run),
                ms=3,
                linestyle=run_dashes(position),
                label=run.name,
                gid="ratio",
            )
        if len(chapter.runs) == 1:
            newest = float(middle(of_group[0])[-1])
            is_usual = HEALTHY[0] <= newest <= HEALTHY[1]
            panels.show_value(axes, newest, style.MAIN if is_usual else style.ALERT)
    return panels.page.figure


def _draw_usual(axes: Axes, *, vertical: bool = False) -> None:
    span, line = (axes.axvspan, axes.axvline) if vertical else (axes.axhspan, axes.axhline)
    span(*HEALTHY, color=style.HEALTHY, alpha=0.1, linewidth=0, zorder=0.5)
    line(USUAL, color=style.HEALTHY, lw=0.9, dashes=(4, 2), zorder=0.6, gid="usual")


def _plot_rows(chapter: Chapter) -> Figure:
    groups = row_groups(chapter)
    values = [[ratios(run, group)[-1] for group in groups] for run in chapter.runs]
    limits = style.positive_range(*(v for of_run in values for v in of_run), HEALTHY)
    note = " ".join(filter(None, (gathered_note(chapter, groups), _NOTE)))
    rows = Rows(
        QUESTION,
        chapter.subtitle,
        note,
        row_labels(chapter),
        [(LABEL, 1.0)],
        key=(*_key(), *run_key(chapter)),
        row=ROW * max(1.0, 0.6 * len(chapter.runs)),
    )
    (axes,) = rows.axes
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    style.set_log_axis(axes.xaxis, *limits, most=8)
    _draw_usual(axes, vertical=True)
    for position, (of_run, offset) in enumerate(zip(values, dodge(len(chapter.runs)), strict=True)):
        for y, each in enumerate(of_run):
            known = each[~np.isnan(each)]
            if not known.size:
                continue
            if known.size > 1:
                axes.plot(known, [y + offset] * len(known), "o", color=run_color(position), ms=3, alpha=0.35, mew=0)
            newest = float(middle(each[None, :])[0])
            is_usual = HEALTHY[0] <= newest <= HEALTHY[1] or len(chapter.runs) > 1
            color = run_color(position) if is_usual else style.ALERT
            axes.plot([newest], [y + offset], "o", color=color, ms=5, mec="white", mew=0.5, gid="ratio")
    return rows.page.figure
