"""Which layers have larger effective learning rates, and when: every parameter by every checkpoint, in colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.beginnings import beginning_note, draw_beginnings, reasons
from ckpt_inspect.presentation.plots.names import Group, shorten
from ckpt_inspect.presentation.plots.page import MARGIN, Page, fitting_labels, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

QUESTION = "Which layers have larger effective learning rates, and when?"
MOST_LABELLED = 48
"""Up to as many rows have a label each; beyond that branches of the model have one."""
MOST_RUNS = 6
_LABELS, _NUMBERS, _BAR = 2.7, 1.15, 0.62


@dataclass(frozen=True, slots=True)
class _Layout:
    """Inches."""

    left: float
    width: float
    gap: float
    height: float
    page: float


@style.styled
def plot_layers_by_step(chapter: Chapter) -> Figure:
    """Draw a row per parameter, a column per checkpoint, the median of E over touched elements in (logarithmic) colour.

    Beside each row, or each branch of the model if rows are many, its newest median and how that compares with the
    first. Several runs, at most six: a block of columns each, on one scale.
    """
    from matplotlib.colors import LogNorm

    runs = chapter.runs[:MOST_RUNS]
    groups = chapter.groups(MOST_LABELLED) if len(chapter.parameters) <= MOST_LABELLED else chapter.groups(30)
    order = [member for group in groups for member in group.members]
    medians = [chapter.effective_lr(run, "effective_lr_median")[:, order].T for run in runs]
    low, high, extend = _colour_range(medians)
    labels = fitting_labels(lambda n: [g.label for g in chapter.groups(len(groups), n)], _LABELS)
    layout = _layout(labels, len(order), [len(run.checkpoints) for run in runs])
    note = "Hatched: not defined."
    if len(runs) == 1:
        note = "Beside the rows: the newest median, and how many times the first it is. " + note
    if len(order) > len(groups):
        note += f" All {len(order)} parameters have a row; labels name branches of the model (how many, in brackets)."
    if len(chapter.runs) > MOST_RUNS:
        note += f" The first {MOST_RUNS} of {len(chapter.runs)} runs."
    note += beginning_note(reasons(chapter))
    page = Page(QUESTION, chapter.subtitle, note, width=layout.page, height=_BAR + 0.2 + layout.height + 0.52)
    norm = LogNorm(low, high)
    for position, (run, values) in enumerate(zip(runs, medians, strict=True)):
        axes = page.axes(layout.left + position * (layout.width + layout.gap), _BAR + 0.2, layout.width, layout.height)
        mesh = _draw(axes, values, norm)
        if len(runs) > 1:
            axes.set_title(shorten(run.name, int(layout.width * 12)), loc="left", color=style.INK)
        set_checkpoint_ticks(axes, chapter, run, layout.width)
        draw_column_beginnings(axes, run)
        _separate(axes, groups, len(order))
        if position == 0:
            label_groups(axes, groups, labels, layout.height)
        if len(runs) == 1:
            _write_numbers(axes, chapter, run, groups, layout)
    page.label_x(
        chapter.x_label,
        layout.left,
        len(runs) * (layout.width + layout.gap) - layout.gap,
        _BAR + 0.2 + layout.height + 0.28,
    )
    _colour_bar(page, mesh, f"median {chapter.lr_label}", layout, (low, high), extend)
    return page.figure


def _layout(labels: Sequence[str], rows: int, columns: Sequence[int]) -> _Layout:
    left = MARGIN + max(text_width(label) for label in labels) + 0.25
    height = rows * 0.2 if rows <= MOST_LABELLED else 9.0
    room = 5.6 if len(columns) == 1 else max(2.0, 6.4 / len(columns))
    page = left + len(columns) * (room + 0.2) - 0.2 + (_NUMBERS if len(columns) == 1 else 0.0) + MARGIN
    return _Layout(left, room, 0.2, height, max(page, 9.0))


def _colour_range(values: Sequence[Floats]) -> tuple[float, float, str]:
    """Limits of the colours, and on which sides values lie beyond: all values, or 99 % if few span many decades."""
    known = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in values])
    if not known.size:
        return 0.1, 10.0, "neither"
    low, high = float(known.min()), float(known.max())
    if np.log10(high / low) > 6:
        low, high = (float(q) for q in np.quantile(known, (0.005, 0.995)))
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (bool(known.min() < low), bool(known.max() > high)), "neither"
    )
    if high / low < 1.05:
        low, high = low / 1.5, high * 1.5
    return low, high, extend


def _draw(axes: Axes, values: Floats, norm: Any) -> Any:
    """seaborn's heatmap of one run; the mesh that carries the colours."""
    import seaborn

    shown = np.ma.masked_invalid(np.where(values > 0, values, np.nan))
    style.hatch_ground(axes)
    seaborn.heatmap(
        shown.filled(np.nan),
        mask=np.ma.getmaskarray(shown),
        norm=norm,
        cmap=style.MAGNITUDE,
        cbar=False,
        ax=axes,
        xticklabels=False,
        yticklabels=False,
        rasterized=True,
    )
    return axes.collections[0]


def set_checkpoint_ticks(axes: Axes, chapter: Chapter, run: Run, width: float) -> None:
    """Set ticks at as many steps (or indices) as `width` inches hold: each column's own, or round ones."""
    x = chapter.x(run)
    widest = max(text_width(label, style.SMALL_SIZE) for label in style.counts([*x])) + 0.25
    room = max(2, int(width / widest))
    if len(x) <= room:
        places, values = np.arange(len(x)) + 0.5, x
    else:
        values = np.asarray(style.count_ticks(float(x[0]), float(x[-1]), min(room, 8)))
        places = np.interp(values, x, np.arange(len(x)) + 0.5)
        is_apart = np.diff(places, prepend=-np.inf) * width / len(x) >= widest
        if not is_apart.all():  # checkpoints are spaced unevenly: round steps would crowd
            stride = -(-len(x) // room)
            places, values = np.arange(0, len(x), stride) + 0.5, x[::stride]
    axes.set_xticks(places, style.counts([*values]), rotation=0)
    axes.tick_params(axis="x", length=2.5)


def draw_column_beginnings(axes: Axes, run: Run) -> None:
    """Draw a line, light around dark so that no colour hides it, before each column at which a segment begins."""
    draw_beginnings(axes, {float(k): begins for k, begins in run.beginnings.items()}, is_cased=True)


def _separate(axes: Axes, groups: Sequence[Group], rows: int) -> None:
    """White lines between branches of the model, if these share labels."""
    if rows == len(groups):
        return
    for edge in np.cumsum([len(group.members) for group in groups])[:-1]:
        axes.axhline(edge, color="white", lw=1.0)


def label_groups(axes: Axes, groups: Sequence[Group], labels: Sequence[str], height: float) -> None:
    """Draw labels left of a heatmap's rows, moved apart if they would touch, with lines to the rows they name."""
    edges = np.cumsum([0, *(len(group.members) for group in groups)]).astype(float)
    rows = edges[-1]
    middles = (edges[:-1] + edges[1:]) / 2
    places = spread(middles, 0.17 * rows / height, rows)
    inch = 1 / axes.bbox.width * float(axes.figure.dpi)  # in units of the axes' width
    for label, place, middle, start, end in zip(labels, places, middles, edges[:-1], edges[1:], strict=True):
        axes.text(
            -0.16 * inch,
            place,
            label,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center_baseline",
            color=style.INK,
            fontsize=style.TEXT_SIZE,
            gid="row label",
        )
        if rows > len(groups):
            axes.plot(
                [-0.13 * inch, -0.06 * inch, -0.06 * inch, -0.06 * inch],
                [place, middle, start + 0.2, end - 0.2],
                transform=axes.get_yaxis_transform(),
                color=style.MUTED,
                lw=0.7,
                clip_on=False,
                gid="leader",
            )


def spread(middles: Floats, gap: float, rows: float) -> Floats:
    """Return places near `middles`, ascending, at least `gap` apart, within 0 and `rows` (if so many gaps fit).

    Labels that would touch are set in a block about the middle of what they name; blocks that touch join.
    """
    gap = min(gap, rows / max(len(middles), 1))
    blocks: list[list[int]] = []
    for label in range(len(middles)):
        blocks.append([label])
        while len(blocks) > 1 and _start(blocks[-1], middles, gap, rows) < _end(blocks[-2], middles, gap, rows) - 1e-9:
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    places = [
        _start(block, middles, gap, rows) + gap * (position + 0.5) for block in blocks for position in range(len(block))
    ]
    return np.asarray(places, dtype=float)


def _start(block: list[int], middles: Floats, gap: float, rows: float) -> float:
    """Where a block of labels begins: centred, as far as it stays on the page."""
    length = gap * len(block)
    return min(max(float(middles[block].mean()) - length / 2, 0.0), rows - length)


def _end(block: list[int], middles: Floats, gap: float, rows: float) -> float:
    return _start(block, middles, gap, rows) + gap * len(block)


def _write_numbers(axes: Axes, chapter: Chapter, run: Run, groups: Sequence[Group], layout: _Layout) -> None:
    """The newest median and its ratio to the first, right of the rows."""
    edges = np.cumsum([0, *(len(group.members) for group in groups)]).astype(float)
    places = spread((edges[:-1] + edges[1:]) / 2, 0.17 * edges[-1] / layout.height, edges[-1])
    inch = 1 / layout.width
    columns = ((0.55, "newest"), (_NUMBERS - 0.05, "× first"))
    for x, heading in columns:
        axes.text(
            1 + x * inch,
            1 + 0.06 / layout.height,
            heading,
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            color=style.MUTED,
            fontsize=style.SMALL_SIZE,
            gid="heading",
        )
    for place, group in zip(places, groups, strict=True):
        medians = chapter.quantiles(run, group, (0.5,))[:, 0]
        known = medians[np.isfinite(medians)]
        texts = ("–", "") if not known.size else (style.number(known[-1]), f"×{style.number(known[-1] / known[0])}")
        for (x, _), text in zip(columns, texts, strict=True):
            axes.text(
                1 + x * inch,
                place,
                text,
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="center_baseline",
                color=style.MUTED,
                fontsize=style.SMALL_SIZE,
                gid="row number",
            )


def _colour_bar(page: Page, mesh: Any, label: str, layout: _Layout, limits: tuple[float, float], extend: str) -> None:
    """A flat bar above the rows: its label, its ticks, and arrow heads if values lie beyond."""
    width = min(3.6, page.width - layout.left - MARGIN)
    page.text(layout.left, page.body, label, color=style.MUTED, va="top", gid="colour label")
    axes = page.axes(layout.left, 0.2, width, 0.11)
    page.figure.colorbar(mesh, cax=axes, orientation="horizontal", extend=extend, extendfrac=0.03)
    style.set_log_axis(axes.xaxis, *limits, most=6)
    axes.tick_params(axis="x", length=2.0, pad=2.0)
    for spine in axes.spines.values():
        spine.set_visible(False)
