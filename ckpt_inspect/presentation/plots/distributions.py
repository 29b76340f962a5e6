"""How widely effective learning rates are spread within each layer, at a few checkpoints of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.chapter import chosen_checkpoints
from ckpt_inspect.presentation.plots.names import Group, shorten
from ckpt_inspect.presentation.plots.page import MARGIN, Key, Page, fitting_labels, text_width
from ckpt_inspect.presentation.plots.panels import MOST_PANELS, run_color, run_dashes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

QUESTION = "How widely are effective learning rates spread within each layer?"
CELLS_PER_DECADE = 40
SMOOTHING = 0.04
"""Decades: standard deviation of the normal kernel that densities are smoothed with, a little over a store's bins."""
_WIDTH, _LABELS = 10.0, 2.7


@style.styled
def plot_distributions(chapter: Chapter) -> Figure:
    """Draw a ridge per layer: density of log10 E over touched elements, at up to four checkpoints, first and last
    included.

    Several runs: the newest checkpoint of each, in the runs' colours. Areas are equal, heights scaled to each row.
    """
    groups = chapter.groups(MOST_PANELS)
    curves = _curves(chapter, groups)
    edges = _edges([bins for _, _, by_group in curves for bins in by_group])
    centres = 10 ** ((edges[:-1] + edges[1:]) / 2)
    labels = fitting_labels(lambda n: [g.label for g in chapter.groups(MOST_PANELS, n)], _LABELS)
    left = MARGIN + max(text_width(label) for label in labels) + 0.15
    row = 0.75 if len(groups) <= 6 else 0.42
    height = row * len(groups) + 0.1
    nominal = set() if chapter.is_relative else {float(run.learning_rate[-1]) for run in chapter.runs}
    note = f"Density of log₁₀ {chapter.lr_symbol}, each row scaled to its peak, smoothed by {SMOOTHING:g} decades."
    note += " Ticks: medians."
    if len(groups) < len(chapter.parameters):
        note += f" Rows gather {len(chapter.parameters)} parameters by the model's structure (how many, in brackets)."
    page = Page(
        QUESTION,
        chapter.subtitle,
        note,
        width=_WIDTH,
        height=height + 0.6,
        key=[*(entry for _, entry, _ in curves), *_nominal_key(chapter, nominal)],
    )
    width = _WIDTH - left - MARGIN - 0.15
    axes = page.axes(left, 0.05, width, height, xscale="log", ylim=(len(groups) - 0.9, -1.05))
    limits = style.positive_range(centres, list(nominal), pad=0.01)
    axes.set_xlim(*limits)
    style.set_log_axis(axes.xaxis, *limits, most=8)
    axes.set_xlabel(chapter.lr_label)
    axes.set_yticks(np.arange(len(groups)) - 0.1, labels, color=style.INK)
    axes.tick_params(axis="y", length=0, labelsize=style.TEXT_SIZE)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    for position in range(len(groups)):
        densities = [density(by_group[position], edges) for _, _, by_group in curves]
        peak = max((float(d.max()) for d in densities), default=0.0) or 1.0
        axes.axhline(position, color=style.FAINT, lw=0.6, zorder=1)
        for (is_filled, entry, by_group), values in zip(curves, densities, strict=True):
            if not values.any():
                continue
            heights = np.where(values > 0.002 * peak, position - 0.92 * values / peak, np.nan)
            if is_filled:
                axes.fill_between(centres, position, heights, color=entry.color, alpha=0.25, linewidth=0, zorder=2)
            axes.plot(centres, heights, color=entry.color, lw=1.2, linestyle=entry.dashes, zorder=3, gid="density")
            middle = _median(by_group[position])
            axes.plot([middle] * 2, [position, position + 0.07], color=entry.color, lw=1.6, zorder=4, clip_on=False)
    for rate in sorted(nominal):
        axes.axvline(rate, color=style.INK, lw=0.9, dashes=(4, 2), gid="nominal")
    return page.figure


def _nominal_key(chapter: Chapter, nominal: set[float]) -> list[Key]:
    text = "nominal learning rate α of the newest" if chapter.is_series else "nominal learning rate α"
    return [Key("line", style.INK, text, dashes=(0, (4, 2)))] if nominal else []


def _curves(chapter: Chapter, groups: Sequence[Group]) -> list[tuple[bool, Key, list[Floats]]]:
    """What is drawn in each row: whether it is filled, its entry in the key, and its bins by group."""
    if len(chapter.runs) > 1:
        return [
            (True, Key("line", run_color(i), name, dashes=run_dashes(i)), _bins(chapter, run, -1, groups))
            for i, (name, run) in enumerate((shorten(run.name, 40), run) for run in chapter.runs)
        ]
    import seaborn

    run = chapter.runs[0]
    chosen = chosen_checkpoints(len(run.checkpoints))
    palette = seaborn.color_palette(style.TIME, as_cmap=True)
    shades = np.linspace(0.0, 1.0, len(chosen)) if len(chosen) > 1 else [0.6]
    curves = []
    times = style.counts([float(chapter.x(run)[position]) for position in chosen])
    for position, shade, when in zip(chosen, shades, times, strict=True):
        text = f"step {when}" if chapter.has_steps else f"checkpoint {when}"
        entry = Key("line", _hex(palette(shade)), text)
        curves.append((position == chosen[-1], entry, _bins(chapter, run, position, groups)))
    return curves


def _hex(color: Any) -> str:
    from matplotlib.colors import to_hex

    return str(to_hex(color))


def _bins(chapter: Chapter, run: Run, position: int, groups: Sequence[Group]) -> list[Floats]:
    """By group the bins (low, high, count) of its parameters at one checkpoint, (n, 3)."""
    empty = np.empty((0, 3))
    if run.histogram is None:
        return [empty] * len(groups)
    frame = run.histogram[run.histogram["checkpoint_index"] == run.indices[position]]
    values = frame[["low", "high", "count"]].to_numpy(dtype=float)
    values[:, :2] = chapter.scaled(values[:, :2], run, position)
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
