"""Parameters by checkpoints in colour: which layers Adam scales up, and where the optimizer does not adapt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.wording import percent
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.names import Group, shorten
from ckpt_inspect.presentation.plots.questions import LAYERS_BY_STEP, LEAST_SHARE, SHARE_LABELS, SHARES
from ckpt_inspect.presentation.plots.sheet import chapter_sheet, figure_of
from ckpt_inspect.presentation.plots.spread import NEWEST, newest, spread_words, where_known
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

MOST_LABELLED = 24
"""Of a kind; up to as many rows have a label each, beyond it branches of the model have one."""
MOST_RUNS = 6
MOST_AFFECTED = 20
"""Rows of a kind; of more parameters those with the largest shares."""
_ROW, _LEAST, _TALLEST, _TEXT = 0.19, 0.45, 4.2, 0.16
"""Inches: a row, a panel at least and at most, and a label."""

Rows = Mapping[str, Sequence[Group]]
"""Rows by kind; a group of several has one label."""


@dataclass(frozen=True)
class _Block:
    """Columns that belong together."""

    title: str
    values: Floats
    """(columns, P)"""
    run: Run | None
    """The columns are its checkpoints; None: a column for each run, with the value in every cell."""
    text: Callable[[Floats], str] | None
    """The text at the right of a row of values; None: no text."""


def _heights(rows: Rows) -> list[float]:
    return [min(max(sum(len(g.members) for g in groups) * _ROW, _LEAST), _TALLEST) for groups in rows.values()]


def _draw(body: SubFigure, chapter: Chapter, rows: Rows, blocks: Sequence[_Block], norm: Any, colors: Any) -> Any:
    """Draw the blocks beside each other, kernels above vectors, hatched where a value is missing; return the axes."""
    tall = _heights(rows)
    grid = body.subplots(len(rows), len(blocks), squeeze=False, sharex="col", height_ratios=tall)
    for axes_of_row, (kind, groups), height in zip(grid, rows.items(), tall, strict=True):
        members = [member for group in groups for member in group.members]
        for axes, block in zip(axes_of_row, blocks, strict=True):
            own = block.values[:, members].T
            axes.patch.set(facecolor="white", hatch="////", edgecolor=style.FAINT)
            # seaborn's heatmap draws the whole figure, each time, to see whether its labels overlap: there are none
            axes.pcolormesh(np.ma.masked_invalid(own), norm=norm, cmap=colors, rasterized=True)
            axes.set(xlim=(0, own.shape[1]), ylim=(len(own), 0))
            _label_rows(axes, groups, height, [*map(block.text, own)] if block.text and len(groups) == len(own) else ())
            if block.run is None:
                names = [shorten(r.name, 60 // len(chapter.runs) // len(blocks)) for r in chapter.runs]
                axes.set_xticks(np.arange(len(names)) + 0.5, names if len(names) > 1 else [""])
                for (y, x), value in np.ndenumerate(own):
                    axes.text(x + 0.5, y + 0.5, _share(value), ha="center", va="center", size=style.SMALL_SIZE)
            else:
                x = chapter.x(block.run)
                few = np.unique(np.linspace(0, len(x) - 1, min(5, len(x))).round().astype(int))
                axes.set_xticks(few + 0.5, [f"{x[at]:.0f}" for at in few])
                panels.draw_marks(axes, chapter, block.run, are_columns=True)
            title = chapter.title_of(kind, len(members)) if axes is axes_of_row[0] else ""
            axes.set_title(f"{block.title}\n{title}" if block.title and axes in grid[0] else title, color=style.INK)
            axes.tick_params(axis="y", labelleft=axes is axes_of_row[0])
    return grid


def _label_rows(axes: Axes, groups: Sequence[Group], height: float, texts: Sequence[str] = ()) -> None:
    """Label groups of rows at the left, and at the right with `texts`, those that have room in `height` inches.

    Larger groups are labelled first, so that none hides what most rows belong to.
    """
    edges = np.cumsum([0, *(len(group.members) for group in groups)])
    middles = (edges[:-1] + edges[1:]) / 2
    chosen: list[int] = []
    for at in sorted(range(len(groups)), key=lambda at: -len(groups[at].members)):
        if all(abs(middles[at] - middles[other]) * height >= edges[-1] * _TEXT for other in chosen):
            chosen.append(at)
    axes.set_yticks(middles[chosen], [groups[at].label for at in chosen], color=style.INK, rotation=0)
    axes.hlines(edges[1:-1], *axes.get_xlim(), color="white", lw=0.6)
    sides: list[Any] = [axes]
    if len(texts):
        sides.append(axes.secondary_yaxis("right"))
        sides[1].set_yticks(middles[chosen], [texts[at] for at in chosen], color=style.MUTED)
    for side in sides:
        side.tick_params(axis="y", length=0)
        side.spines[:].set_visible(False)


def layers_answer(chapter: Chapter) -> str:
    """Return the figure's answer in words."""
    medians = [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs]
    words = spread_words(chapter, medians)
    return f"Medians of E/α, per unit of gradient, {where_known(chapter, medians)}: {words}."


@style.styled
def plot_layers_by_step(chapter: Chapter) -> Figure:
    """Draw a row per parameter, a column per checkpoint, the median of E/α over touched elements in colour.

    Beside a row its newest median and how that compares with the first of the same line of training. Several runs, at
    most six: a block of columns each, on one scale.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    asks, runs = LAYERS_BY_STEP, chapter.runs[:MOST_RUNS]
    medians, is_one = [chapter.effective_lr(run, "effective_lr_median") for run in runs], len(runs) == 1
    rows = {kind: chapter.groups(members, MOST_LABELLED, 30) for kind, members in chapter.kinds().items()}
    is_told = is_one and any(len(groups) == len(chapter.kinds()[kind]) for kind, groups in rows.items())
    since = runs[0].parts == runs[0].parts[-1]

    def newest_and_change(values: Floats) -> str:
        known, own = (each[np.isfinite(each)] for each in (values, values[since]))
        change = f"  ×{style.number(own[-1] / own[0])}" if own.size else ""
        return style.number(known[-1]) + change if known.size else "–"

    note = asks.note + (" At the right: the newest median, × the first." if is_told else "")
    note += " That is the first since state was last not carried on." if is_told and not since.all() else ""
    note += f" The first {MOST_RUNS} of {len(chapter.runs)} runs." if len(chapter.runs) > MOST_RUNS else ""
    tall, key = sum(_heights(rows)), panels.key(chapter) if is_one else ()
    body = chapter_sheet(chapter, asks, layers_answer(chapter), note, max(tall, 1.2) + 1.0, key)
    low, high = panels.robust_range(medians, decades=0.3)
    norm, known = LogNorm(low, high), np.concatenate([each[np.isfinite(each)] for each in medians])
    names = [""] if is_one else [shorten(run.name, 60 // len(runs)) for run in runs]
    text = newest_and_change if is_told else None
    blocks = [_Block(name, of_run, run, text) for name, run, of_run in zip(names, runs, medians, strict=True)]
    grid = _draw(body, chapter, rows, blocks, norm, style.MAGNITUDE)
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[
        bool((known < low).any()), bool((known > high).any())
    ]
    colors = ScalarMappable(norm, style.MAGNITUDE)
    bar = body.colorbar(colors, ax=grid.ravel().tolist(), extend=extend, pad=0.01, aspect=tall / 0.15)
    bar.set_label(asks.label, color=style.MUTED)
    panels.set_log_axis(bar.ax, "y", (low, high))
    return figure_of(body)


def shares_answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: by share how many parameters it concerns, and the worst of them."""
    told, unknown = [], []
    for column, label in SHARE_LABELS.items():
        if all(np.isnan(run.column(column)).all() for run in chapter.runs):
            unknown.append(label)
        values = np.stack([np.nan_to_num(newest(run.column(column))) for run in chapter.runs]).max(axis=0)
        if (values >= LEAST_SHARE).any():
            worst, word = int(values.argmax()), label.partition(" (")[0]
            count, name = (values >= LEAST_SHARE).sum(), shorten(chapter.names[worst], 40)
            told.append(f"{word}: {count} of {len(values)} parameters, most in {name} ({_share(values[worst])})")
    known = [column for column, label in SHARE_LABELS.items() if label not in unknown]
    of_all = [np.concatenate([run.column(column) for column in known], axis=1) for run in chapter.runs] if known else []
    where = where_known(chapter, of_all)
    if told:
        text = f"{where[0].upper()}{where[1:]}: {'; '.join(told)}."
    elif (largest_shares(chapter) >= LEAST_SHARE).any():
        text = f"Nowhere {where}; some elements in earlier ones."
    else:
        found = " or ".join(label for label in SHARE_LABELS.values() if label not in unknown)
        place = "" if where == NEWEST else f" {where}"
        text = f"Nowhere{place}: none of the {len(chapter.parameters)} parameters has elements that are {found}."
    return text + (f" Not known from this state: {', '.join(unknown)}." if unknown else "")


def largest_shares(chapter: Chapter) -> Floats:
    """Return (P,) the largest of all shares in any checkpoint of any run."""
    values = [np.nan_to_num(run.column(column)).max(axis=0) for run in chapter.runs for column in SHARE_LABELS]
    largest: Floats = np.max(values, axis=0)
    return largest


def _share(value: float) -> str:
    return percent(float(value), nothing="–")


@style.styled
def plot_shares(chapter: Chapter) -> Figure:
    """Draw a row per parameter that is affected at all, a block of columns per share of any, in colour: a column per
    checkpoint; of one checkpoint, or several runs (the newest of each), with the share in every cell."""
    import seaborn
    from matplotlib.colors import Normalize

    scores, is_over_run = largest_shares(chapter), chapter.is_series and len(chapter.runs) == 1
    chosen = {kind: m[scores[m] >= LEAST_SHARE] for kind, m in chapter.telling(scores, MOST_AFFECTED).items()}
    rows = {
        kind: [Group(label, (int(at),)) for label, at in zip(chapter.labels(members), members, strict=True)]
        for kind, members in chosen.items()
        if members.size
    }
    affected = int((scores >= LEAST_SHARE).sum())
    others, hidden = len(scores) - affected, affected - sum(map(len, rows.values()))
    note = SHARES.note + (f" {others} parameter{'s have' if others > 1 else ' has'} none." if others else "")
    note += f" Not drawn: {hidden} with smaller shares." if hidden else ""
    note += " Blue: all. At the right of each block: the newest share. Hatched: not known." if is_over_run else ""
    height, key = sum(_heights(rows)) + 1.0 if rows else 0.3, panels.key(chapter) if is_over_run else ()
    body = chapter_sheet(chapter, SHARES, shares_answer(chapter), note, height, key)
    if not rows:
        body.subplots().set_axis_off()  # without axes nothing would be laid out
        return figure_of(body)
    columns = {column: [run.column(column) for run in chapter.runs] for column in SHARE_LABELS}
    blocks = [
        _Block(SHARE_LABELS[column], of_runs[0], chapter.runs[0], lambda values: _share(values[-1]))
        if is_over_run
        else _Block(SHARE_LABELS[column], np.stack([of_run[-1] for of_run in of_runs]), None, None)
        for column, of_runs in columns.items()
        if any(bool((of_run >= LEAST_SHARE).any()) for of_run in of_runs)
    ]
    _draw(body, chapter, rows, blocks, Normalize(0.0, 1.0), seaborn.color_palette(style.SHARE, as_cmap=True))
    body.supxlabel(chapter.x_label if is_over_run else "", size=style.TEXT_SIZE, color=style.MUTED)
    return figure_of(body)
