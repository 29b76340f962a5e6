"""What single weights see: the fan of a layer's rates over the run, and the element that changed most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.limits import robust_range
from ckpt_inspect.presentation.plots.lines import (
    MOST_PANELS,
    finish_panel,
    mark_beyond,
    run_colors,
    run_dashes,
    run_key,
)
from ckpt_inspect.presentation.plots.marks import draw_marks, mark_key
from ckpt_inspect.presentation.plots.questions import ELEMENTS
from ckpt_inspect.presentation.plots.sheet import drawn, figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.names import Group

QUESTION = ELEMENTS.question
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_NAMES = ("q05", "q25", "q50", "q75", "q95")


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: how many times its least a layer's largest rate is, of 90 % of elements."""
    ratios = []
    for run in chapter.runs:
        low, high = (chapter.effective_lr(run, f"effective_lr_{q}")[-1] for q in ("q05", "q95"))
        ratios.append(high / low)
    known = np.concatenate(ratios)
    known = known[np.isfinite(known)]
    if not known.size:
        return "Not known in the newest checkpoint."
    text = style.number(float(np.median(known)))
    return f"Within a parameter E differs {text}-fold over the middle 90 % of its elements (median of all parameters)."


@style.styled
def plot_elements(chapter: Chapter) -> Figure:
    """Draw a panel per layer: median, 25-75 % and 5-95 % of E/α of its elements, and the curve of the sampled element
    that changed most."""
    import pandas as pd
    import seaborn.objects as so
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    groups = chapter.groups(MOST_PANELS)
    fans = {(group.label, run.name): chapter.quantiles(run, group, _LEVELS) for group in groups for run in chapter.runs}
    x_of = {run.name: chapter.x(run) for run in chapter.runs}
    frame = pd.concat(
        [
            pd.DataFrame({"layer": layer, "run": name, "x": x_of[name], **dict(zip(_NAMES, q.T, strict=True))})
            for (layer, name), q in fans.items()
        ],
        ignore_index=True,
    )
    is_alone = len(chapter.runs) == 1
    columns = min(4, len(groups))
    names = [run.name for run in chapter.runs]
    plot = so.Plot(frame, x="x", color="run").facet("layer", order=[g.label for g in groups], wrap=columns)
    for low, high, alpha in (("q05", "q95", 0.15), ("q25", "q75", 0.3))[0 if is_alone else 1 :]:
        band = so.Band(alpha=alpha if is_alone else 0.15, edgewidth=0)
        plot = plot.add(band, ymin=low, ymax=high, legend=False)
    line = so.Path(linewidth=1.4, artist_kws={"gid": "median"})
    plot = plot.add(line, y="q50", linestyle="run", legend=False).label(x="", y="")
    plot = plot.scale(
        color=so.Nominal(dict(zip(names, run_colors(chapter), strict=True))),
        linestyle=so.Nominal(dict(zip(names, run_dashes(chapter), strict=True))),
    )
    color = style.MAIN if is_alone else style.MUTED
    key = [
        Line2D([], [], color=color, lw=1.4, label="median of the elements"),
        Patch(facecolor=color, alpha=0.4, label="25–75 %"),
    ]
    if is_alone:
        key += [
            Patch(facecolor=color, alpha=0.15, label="5–95 %"),
            Line2D([], [], color=style.ALERT, lw=1.2, label="sampled element that changed most (× first)"),
        ]
    body = sheet(
        QUESTION, answer(chapter), chapter.subtitle, "E/α of touched elements, per unit of gradient.",
        1.9 * -(-len(groups) // columns) + 0.6, [*key, *run_key(chapter), *mark_key(chapter)],
    )  # fmt: skip
    axes = drawn(plot, body)
    limits = robust_range([q[:, [1, 3] if not is_alone else [0, 4]] for q in fans.values()])
    x = np.concatenate([chapter.x(run) for run in chapter.runs])
    for position, (panel, group) in enumerate(zip(axes, groups, strict=True)):
        finish_panel(panel, group.label, "", limits, x)
        for run, own in zip(chapter.runs, run_colors(chapter), strict=True):
            places = {float(chapter.x(run)[k]): word for k, word in run.marks.items()}
            draw_marks(panel, places, style.INK if is_alone else own, has_labels=is_alone and position == 0)
        if is_alone:
            _stress_most_changed(panel, chapter, group, limits)
    body.supylabel(chapter.lr_label, size=style.TEXT_SIZE, color=style.MUTED)
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    return figure_of(body)


def _stress_most_changed(axes: Axes, chapter: Chapter, group: Group, limits: tuple[float, float]) -> None:
    """Draw the sampled element that rose or fell by most over the fan, with its newest value over its first."""
    (run,) = chapter.runs
    curves = element_curves(chapter, run, group)
    change = changes(curves)
    if np.isfinite(change).any():
        most = int(np.nanargmax(np.abs(np.log(change))))
        x = chapter.x(run)[run.sampled]
        axes.plot(x, curves[:, most], color=style.ALERT, lw=1.1, gid="most changed")
        mark_beyond(axes, x, curves[:, most], limits, style.ALERT)
        text = f"×{style.number(change[most])}"
        axes.text(
            0.99, 0.97, text, transform=axes.transAxes, ha="right", va="top", color=style.ALERT,
            fontsize=style.SMALL_SIZE,
        )  # fmt: skip


def changes(curves: Floats) -> Floats:
    """Return (n,) last known value over first of each of (K, n) curves; NaN for fewer than two."""
    result = np.full(curves.shape[1], np.nan)
    for position, curve in enumerate(curves.T):
        known = curve[np.isfinite(curve)]
        if known.size > 1:
            result[position] = known[-1] / known[0]
    return result


def element_curves(chapter: Chapter, run: Run, group: Group) -> Floats:
    """Return (S, n) E/α of the group's sampled elements, in the S checkpoints at the positions `run.sampled`."""
    frame = run.sample
    if frame is None or not len(frame):
        return np.empty((len(run.sampled), 0))
    curves = []
    for member in group.members:
        rows = run.sample_rows.get(chapter.parameters[member], np.empty(0, dtype=int))
        elements, column = np.unique(frame["element"].to_numpy()[rows], return_inverse=True)
        values = np.full((len(run.sampled), len(elements)), np.nan)
        position = np.searchsorted(run.indices[run.sampled], frame["checkpoint_index"].to_numpy()[rows])
        values[position, column] = frame["effective_lr"].to_numpy(dtype=float)[rows]
        curves.append(values)
    values = chapter.over_alpha(np.concatenate(curves, axis=1), run, run.sampled)
    values = np.where(values > 0, values, np.nan)
    return values[:, ~np.isnan(values).all(axis=0)]
