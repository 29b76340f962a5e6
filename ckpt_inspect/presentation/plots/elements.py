"""What single weights see: the effective learning rates of the same elements, over the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.page import Key
from ckpt_inspect.presentation.plots.panels import MOST_PANELS, Panels, draw_nominal, nominal_key, run_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.names import Group

QUESTION = "What do single weights see?"
MOST_CURVES = 12
"""Elements drawn in a panel (of one run; of several, fewer each)."""


@style.styled
def plot_elements(chapter: Chapter) -> Figure:
    """Draw a panel per layer with the curves of a few of its sampled elements; the one that changed most stands out."""
    groups = chapter.groups(MOST_PANELS)
    each = max(3, MOST_CURVES // len(chapter.runs))
    curves = [[element_curves(chapter, run, group, each) for run in chapter.runs] for group in groups]
    nominal = [] if chapter.is_relative else [run.learning_rate for run in chapter.runs]
    y_range = style.positive_range(*(c for of_group in curves for c in of_group), *nominal)
    is_alone = len(chapter.runs) == 1
    key = []
    if is_alone:
        key = [
            Key("line", style.MAIN, f"one element each, up to {each} a panel", 0.6),
            Key("line", style.ALERT, "the one that changed most (at right: newest over first)"),
        ]
    key += nominal_key(chapter)
    note = "The same elements in every checkpoint, chosen once; no curve if no gradient has reached an element yet."
    panels = Panels(chapter, QUESTION, note, chapter.lr_label, y_range, key)
    for axes, of_group in zip(panels.axes, curves, strict=True):
        for position, (run, values) in enumerate(zip(chapter.runs, of_group, strict=True)):
            axes.plot(chapter.x(run)[run.sampled], values, color=run_color(position), lw=0.8, alpha=0.5, gid="element")
        draw_nominal(axes, chapter)
        if is_alone:
            _stress_most_changed(axes, chapter.x(chapter.runs[0])[chapter.runs[0].sampled], of_group[0])
    return panels.page.figure


def _stress_most_changed(axes: Axes, x: Floats, curves: Floats) -> None:
    """Draw the curve that rose or fell by most over the others, and write its newest value over its first."""
    change = changes(curves)
    if np.isfinite(change).any():
        most = int(np.nanargmax(np.abs(np.log(change))))
        axes.plot(x, curves[:, most], color=style.ALERT, lw=1.4, gid="most changed")
        text = f"×{style.number(change[most])}"
        axes.set_title(text, loc="right", color=style.ALERT, fontsize=style.SMALL_SIZE)


def changes(curves: Floats) -> Floats:
    """Return (n,) last known value over first of each of (K, n) curves; NaN for fewer than two."""
    result = np.full(curves.shape[1], np.nan)
    for position, curve in enumerate(curves.T):
        known = curve[np.isfinite(curve)]
        if known.size > 1:
            result[position] = known[-1] / known[0]
    return result


def element_curves(chapter: Chapter, run: Run, group: Group, most: int) -> Floats:
    """Return (S, n) effective learning rates of at most `most` sampled elements of the group, spread evenly over it.

    In the S checkpoints at the positions `run.sampled`.
    """
    frame = run.sample
    members = {chapter.parameters[member]: i for i, member in enumerate(group.members)}
    if frame is None or not len(frame):
        return np.empty((len(run.sampled), 0))
    rows = np.concatenate([run.sample_rows.get(name, np.empty(0, dtype=int)) for name in members])
    if not rows.size:
        return np.empty((len(run.sampled), 0))
    of_parameter = np.array([members[str(name)] for name in frame["parameter"].to_numpy()[rows]])
    elements = np.stack([of_parameter, frame["element"].to_numpy()[rows]], axis=1)
    unique, column = np.unique(elements, axis=0, return_inverse=True)
    position = np.searchsorted(run.indices[run.sampled], frame["checkpoint_index"].to_numpy()[rows])
    values = np.full((len(run.sampled), len(unique)), np.nan)
    values[position, column.ravel()] = frame["effective_lr"].to_numpy(dtype=float)[rows]
    values = chapter.scaled(values, run, run.sampled)
    values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    values = values[:, ~np.isnan(values).all(axis=0)]
    chosen = np.unique(np.round(np.linspace(0, values.shape[1] - 1, min(most, values.shape[1]))).astype(int))
    return values[:, chosen]
