"""How widely effective learning rates are spread within each layer, at a few checkpoints of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.chapter import chosen_checkpoints
from ckpt_inspect.presentation.plots.lines import run_colors, run_dashes
from ckpt_inspect.presentation.plots.names import Group, shorten
from ckpt_inspect.presentation.plots.questions import DISTRIBUTIONS
from ckpt_inspect.presentation.plots.rows import kind_groups, set_rows
from ckpt_inspect.presentation.plots.sheet import figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

QUESTION = DISTRIBUTIONS.question
CELLS_PER_DECADE = 40
SMOOTHING = 0.04
"""Decades: standard deviation of the normal kernel that densities are smoothed with, a little over a store's bins."""
MOST_RIDGES = 12
"""Of a kind; beyond it a ridge stands for a branch of the model."""


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: the parameters whose elements' rates differ most and least."""
    low, high = (
        np.stack([chapter.effective_lr(run, f"effective_lr_{q}")[-1] for run in chapter.runs]) for q in ("q05", "q95")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        decades = np.log10(high / low)
    is_known = np.isfinite(decades).any(axis=0)
    if not is_known.any():
        return "Not known in the newest checkpoint."
    spans = np.where(np.isfinite(decades), decades, -np.inf).max(axis=0)
    known = np.flatnonzero(is_known)
    most, least = known[spans[known].argmax()], known[spans[known].argmin()]
    ends = [f"{style.number(10 ** spans[at])}-fold in {shorten(chapter.names[at], 40)}" for at in (most, least)]
    if most == least:
        return f"The middle 90 % of the elements differ {ends[0]}."
    return f"The middle 90 % of the elements differ most {ends[0]}, least {ends[1]}."


@style.styled
def plot_distributions(chapter: Chapter) -> Figure:
    """Draw a ridge per layer: density of log10 E/α over touched elements, at up to four checkpoints, first and last
    included.

    Several runs: the newest checkpoint of each, in the runs' colours. Areas are equal, heights scaled to each row.
    Kernels stand left of vectors.
    """
    from matplotlib.lines import Line2D

    by_kind = kind_groups(chapter, MOST_RIDGES)
    groups = [group for of_kind in by_kind.values() for group in of_kind]
    curves = _curves(chapter, groups)
    edges = _edges([bins for curve in curves for bins in curve.by_group])
    centres = 10 ** ((edges[:-1] + edges[1:]) / 2)
    note = "The tick under a ridge is its median. Per unit of gradient: a large E is no large step."
    if len(groups) < len(chapter.parameters):
        note += " Ridges gather parameters by the model's structure (how many, in brackets)."
    key = [Line2D([], [], color=curve.color, ls=curve.dashes, label=curve.text) for curve in curves]
    height = max(map(len, by_kind.values())) * 0.42 + 0.9
    body = sheet(QUESTION, answer(chapter), chapter.subtitle, note, height, key)
    panels = body.subplots(1, len(by_kind), squeeze=False, sharex=True)[0]
    start = 0
    for axes, (kind, own) in zip(panels, by_kind.items(), strict=True):
        set_rows(axes, kind, [group.label for group in own], sum(len(g.members) for g in own))
        axes.set_ylim(len(own) - 0.8, -1.05)
        axes.set_xscale("log")
        limits = style.positive_range(centres, pad=0.01)
        axes.set_xlim(*limits)
        style.set_log_axis(axes.xaxis, *limits, most=6)
        axes.set_xlabel(chapter.lr_label)
        for row in range(len(own)):
            _draw_ridge(axes, row, [(curve, curve.by_group[start + row]) for curve in curves], edges, centres)
        start += len(own)
    return figure_of(body)


def _draw_ridge(axes: Axes, row: int, curves: Sequence[tuple[_Curve, Floats]], edges: Floats, centres: Floats) -> None:
    """Draw the densities of one row over each other, to the scale of the highest."""
    densities = [density(bins, edges) for _, bins in curves]
    peak = max((float(d.max()) for d in densities), default=0.0) or 1.0
    for (curve, bins), values in zip(curves, densities, strict=True):
        if not values.any():
            continue
        heights = np.where(values > 0.002 * peak, row - 0.92 * values / peak, np.nan)
        if curve.is_filled:
            axes.fill_between(centres, row, heights, color=curve.color, alpha=0.25, linewidth=0, zorder=2)
        axes.plot(centres, heights, color=curve.color, lw=1.2, linestyle=curve.dashes, zorder=3, gid="density")
        axes.plot([_median(bins)] * 2, [row, row + 0.08], color=curve.color, lw=1.6, zorder=4, clip_on=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """What is drawn in each row."""

    is_filled: bool
    color: str
    dashes: style.LineStyle
    text: str
    by_group: list[Floats]
    """The bins of each group."""


def _curves(chapter: Chapter, groups: Sequence[Group]) -> list[_Curve]:
    if len(chapter.runs) > 1:
        return [
            _Curve(True, color, dashes, shorten(run.name, 40), _bins(chapter, run, -1, groups))
            for run, color, dashes in zip(chapter.runs, run_colors(chapter), run_dashes(chapter), strict=True)
        ]
    import seaborn
    from matplotlib.colors import to_hex

    run = chapter.runs[0]
    chosen = chosen_checkpoints(len(run.checkpoints))
    palette = seaborn.color_palette(style.TIME, as_cmap=True)
    shades = np.linspace(0.0, 1.0, len(chosen)) if len(chosen) > 1 else [0.6]
    curves = []
    times = style.counts([float(chapter.x(run)[position]) for position in chosen])
    for position, shade, when in zip(chosen, shades, times, strict=True):
        text = f"step {when}" if chapter.has_steps else f"checkpoint {when}"
        color = str(to_hex(palette(shade)))
        curves.append(_Curve(position == chosen[-1], color, "solid", text, _bins(chapter, run, position, groups)))
    return curves


def _bins(chapter: Chapter, run: Run, position: int, groups: Sequence[Group]) -> list[Floats]:
    """By group the bins (low, high, count) of its parameters at one checkpoint, (n, 3)."""
    empty = np.empty((0, 3))
    if run.histogram is None:
        return [empty] * len(groups)
    frame = run.histogram[run.histogram["checkpoint_index"] == run.indices[position]]
    values = frame[["low", "high", "count"]].to_numpy(dtype=float)
    values[:, :2] = chapter.over_alpha(values[:, :2], run, position)
    of_parameter = {name: values[rows] for name, rows in frame.groupby("parameter", observed=True).indices.items()}
    return [
        np.concatenate([of_parameter.get(chapter.parameters[member], empty) for member in group.members])
        for group in groups
    ]


def _edges(bins: Sequence[Floats]) -> Floats:
    """Edges, in log10, of the cells on which densities are drawn: all bins, and room for the smoothing's tails."""
    ends = np.concatenate([b[:, :2].ravel() for b in bins]) if bins else np.empty(0)
    ends = ends[np.isfinite(ends) & (ends > 0)]
    low, high = (np.log10(ends.min()), np.log10(ends.max())) if ends.size else (-1.0, 1.0)
    cells = int(np.ceil((high - low + 8 * SMOOTHING) * CELLS_PER_DECADE))
    return np.linspace(low - 4 * SMOOTHING, high + 4 * SMOOTHING, max(cells, 40) + 1)


def density(bins: Floats, edges: Floats) -> Floats:
    """Return the density per decade on the cells between `edges` (log10), of area 1; zero without bins.

    Each bin's count is spread evenly, in log10, over the cells that it overlaps, then smoothed by a normal kernel.
    """
    cells = len(edges) - 1
    usable = bins[(bins[:, 0] > 0) & np.isfinite(bins).all(axis=1)]
    if not usable.size or usable[:, 2].sum() <= 0:
        return np.zeros(cells)
    low, high, counts = np.log10(usable[:, 0]), np.log10(usable[:, 1]), usable[:, 2]
    # The cumulative count at x is the sum of ramps from each bin's low to its high: a sum over unique pairs of ends.
    pairs, inverse = np.unique(np.stack([low, high], axis=1), axis=0, return_inverse=True)
    weights = np.bincount(inverse.ravel(), counts, len(pairs))
    width = np.maximum(pairs[:, 1] - pairs[:, 0], 1e-12)
    ramps = np.clip((edges[:, None] - pairs[:, 0]) / width, 0.0, 1.0)
    mass = np.diff(ramps @ weights) / weights.sum()
    step = edges[1] - edges[0]
    reach = int(np.ceil(4 * SMOOTHING / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / SMOOTHING) ** 2)
    smooth: Floats = np.convolve(mass, kernel / kernel.sum(), mode="full")[reach : reach + cells] / step
    return smooth


def _median(bins: Floats) -> float:
    """The median over all counts of the bins, log-linear within a bin."""
    usable = bins[bins[:, 0] > 0]
    usable = usable[np.argsort(usable[:, 0], kind="stable")]
    cumulative = np.cumsum(usable[:, 2])
    position = int(np.searchsorted(cumulative, cumulative[-1] / 2))
    low, high, number = usable[position]
    part = (cumulative[-1] / 2 - (cumulative[position] - number)) / number
    return float(low * (high / low) ** part)
