"""Parameters by checkpoints in colour: which layers Adam scales up, and where the optimizer does not adapt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.wording import percent
from ckpt_inspect.presentation.plots import panels, style
from ckpt_inspect.presentation.plots.names import Group, shorten
from ckpt_inspect.presentation.plots.questions import LAYERS_BY_STEP, LEAST_SHARE, SHARE_LABELS, SHARES
from ckpt_inspect.presentation.plots.sheet import figure_of, sheet
from ckpt_inspect.presentation.plots.spread import newest, spread_words, where_known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

MOST_LABELLED = 24
"""Of a kind; up to as many rows have a label each, beyond it branches of the model have one."""
MOST_RUNS = 6
MOST_AFFECTED = 20
"""Rows of a kind; of more parameters those with the largest shares."""
_ROW, _LEAST, _TALLEST, _TEXT = 0.19, 0.45, 4.2, 0.16
"""Inches: a row, a panel at least and at most, and a label."""


def _heights(rows: Sequence[int]) -> list[float]:
    return [min(max(count * _ROW, _LEAST), _TALLEST) for count in rows]


def _draw_heatmap(axes: Axes, values: Floats, norm: Any, colors: Any) -> None:
    """Draw (rows, columns) in colour, hatched where there is no value."""
    # seaborn's heatmap draws the whole figure, each time, to see whether labels overlap, and here none is its own
    axes.patch.set(facecolor="white", hatch="////", edgecolor=style.FAINT)
    axes.pcolormesh(np.ma.masked_invalid(values), norm=norm, cmap=colors, rasterized=True)
    axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0), xticks=[])


def _set_checkpoints(axes: Axes, chapter: Chapter, run: Run) -> None:
    """Set ticks at a few columns of a run's checkpoints, and mark where something happened."""
    x = chapter.x(run)
    chosen = np.unique(np.linspace(0, len(x) - 1, min(5, len(x))).round().astype(int))
    axes.set_xticks(chosen + 0.5, [f"{x[at]:.0f}" for at in chosen])
    panels.draw_marks(axes, chapter, run, are_columns=True)


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

    Beside a row its newest median and how that compares with the first. Several runs, at most six: a block of columns
    each, on one scale.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    runs, asks, by_kind = (
        chapter.runs[:MOST_RUNS],
        LAYERS_BY_STEP,
        {kind: chapter.groups(members, MOST_LABELLED, 30) for kind, members in chapter.kinds().items()},
    )
    medians, is_one = [chapter.effective_lr(run, "effective_lr_median") for run in runs], len(runs) == 1
    low, high = panels.robust_range(medians, decades=0.3)
    norm, known = LogNorm(low, high), np.concatenate([each[np.isfinite(each)] for each in medians])
    note = asks.note + (" At the right: the newest median, × the first." if is_one else "")
    note += f" The first {MOST_RUNS} of {len(chapter.runs)} runs." if len(chapter.runs) > MOST_RUNS else ""
    counts = [sum(len(group.members) for group in groups) for groups in by_kind.values()]
    tall, key = _heights(counts), panels.key(chapter) if is_one else ()
    body = sheet(
        asks,
        layers_answer(chapter),
        chapter.made_from,
        chapter.doubts_of(asks.rests_on),
        note,
        max(sum(tall), 1.2) + 1.0,
        key,
    )
    grid = body.subplots(len(by_kind), len(runs), squeeze=False, sharex="col", height_ratios=tall)
    for axes_of_row, (kind, groups), height, count in zip(grid, by_kind.items(), tall, counts, strict=True):
        for axes, run, values in zip(axes_of_row, runs, medians, strict=True):
            own = values[:, [member for group in groups for member in group.members]].T
            _draw_heatmap(axes, own, norm, style.MAGNITUDE)
            _set_checkpoints(axes, chapter, run)
            axes.set_xlabel("" if is_one or axes not in grid[-1] else shorten(run.name, 60 // len(runs)))
        axes_of_row[0].set_title(f"{kind} ({count})", color=style.INK)
        is_told = is_one and len(groups) == count
        _label_rows(axes_of_row[0], groups, height, [*map(_newest_and_change, own)] if is_told else ())
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    is_low, is_high = bool((known < low).any()), bool((known > high).any())
    extend = ("both" if is_high else "min") if is_low else ("max" if is_high else "neither")
    colors = ScalarMappable(norm, style.MAGNITUDE)
    bar = body.colorbar(colors, ax=grid.ravel().tolist(), extend=extend, pad=0.01, aspect=sum(tall) / 0.15)
    bar.set_label(asks.label, color=style.MUTED)
    panels.set_log_axis(bar.ax, "y", (low, high))
    return figure_of(body)


def _newest_and_change(medians: Floats) -> str:
    known = medians[np.isfinite(medians)]
    return f"{style.number(known[-1])}  ×{style.number(known[-1] / known[0])}" if known.size else "–"


def shares_answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: by share how many parameters it concerns, and the worst of them."""
    told, unknown = [], []
    for column, label in SHARE_LABELS.items():
        if all(np.isnan(run.column(column)).all() for run in chapter.runs):
            unknown.append(label)
        values = np.stack([np.nan_to_num(newest(run.column(column))) for run in chapter.runs]).max(axis=0)
        if (values >= LEAST_SHARE).any():
            worst, word = int(values.argmax()), label.partition(" (")[0]
            name, share = shorten(chapter.names[worst], 40), percent(float(values[worst]))
            told.append(
                f"{word}: {(values >= LEAST_SHARE).sum()} of {len(values)} parameters, most in {name} ({share})"
            )
    known = [column for column, label in SHARE_LABELS.items() if label not in unknown]
    of_all = [np.concatenate([run.column(column) for column in known], axis=1) for run in chapter.runs] if known else []
    where = where_known(chapter, of_all)
    if told:
        text = f"{where[0].upper()}{where[1:]}: {'; '.join(told)}."
    elif (largest_shares(chapter) >= LEAST_SHARE).any():
        text = f"Nowhere {where}; some elements in earlier ones."
    else:
        found = " or ".join(label for label in SHARE_LABELS.values() if label not in unknown)
        text = f"Nowhere: none of the {len(chapter.parameters)} parameters has elements that are {found}."
    return text + (f" Not known from this state: {', '.join(unknown)}." if unknown else "")


def largest_shares(chapter: Chapter) -> Floats:
    """Return (P,) the largest of all shares in any checkpoint of any run."""
    values = [np.nan_to_num(run.column(column)).max(axis=0) for run in chapter.runs for column in SHARE_LABELS]
    largest: Floats = np.max(values, axis=0)
    return largest


def _is_anywhere(chapter: Chapter, column: str) -> bool:
    """Whether a share is worth a block: any parameter has it in any checkpoint; a NaN compares as none."""
    return any(bool((run.column(column) >= LEAST_SHARE).any()) for run in chapter.runs)


@style.styled
def plot_shares(chapter: Chapter) -> Figure:
    """Draw a row per parameter that is affected at all, a block of columns per share of any, in colour: a column per
    checkpoint; of one checkpoint, or several runs (the newest of each), with the share in every cell."""
    import seaborn
    from matplotlib.colors import Normalize

    scores, is_over_run = largest_shares(chapter), chapter.is_series and len(chapter.runs) == 1
    chosen = {kind: m[scores[m] >= LEAST_SHARE] for kind, m in chapter.telling(scores, MOST_AFFECTED).items()}
    chosen = {kind: members for kind, members in chosen.items() if members.size}
    affected = int((scores >= LEAST_SHARE).sum())
    labels = {column: label for column, label in SHARE_LABELS.items() if _is_anywhere(chapter, column)}
    others, hidden = len(scores) - affected, affected - sum(map(len, chosen.values()))
    note = SHARES.note + (f" {others} parameter{'s have' if others > 1 else ' has'} none." if others else "")
    note += f" Not drawn: {hidden} with smaller shares." if hidden else ""
    note += " Blue: all. At the right of each block: the newest share. Hatched: not known." if is_over_run else ""
    tall = _heights([len(members) for members in chosen.values()])
    height, key = sum(tall) + 1.0 if chosen else 0.3, panels.key(chapter) if is_over_run else ()
    body = sheet(
        SHARES, shares_answer(chapter), chapter.made_from, chapter.doubts_of(SHARES.rests_on), note, height, key
    )
    if not chosen:
        body.subplots().set_axis_off()  # without axes nothing would be laid out
        return figure_of(body)
    grid = body.subplots(len(chosen), len(labels), squeeze=False, height_ratios=tall, sharex="col")
    colors, norm = seaborn.color_palette(style.SHARE, as_cmap=True), Normalize(0.0, 1.0)
    names = [shorten(run.name, 60 // len(chapter.runs) // len(labels)) for run in chapter.runs]
    for axes_of_row, (kind, members), height in zip(grid, chosen.items(), tall, strict=True):
        rows = [Group(label, (int(at),)) for label, at in zip(chapter.labels(members), members, strict=True)]
        for axes, (column, label) in zip(axes_of_row, labels.items(), strict=True):
            shares = [run.column(column)[:, members] for run in chapter.runs]
            values = shares[0].T if is_over_run else np.stack([of_run[-1] for of_run in shares], axis=1)
            shown = values[:, -1:] if is_over_run else values
            told = np.array([[percent(float(v), nothing="–") for v in row] for row in shown])
            _draw_heatmap(axes, values, norm, colors)
            for (row, column_of), text in np.ndenumerate(np.empty((0, 0)) if is_over_run else told):
                axes.text(column_of + 0.5, row + 0.5, text, ha="center", va="center", size=style.SMALL_SIZE)
            _label_rows(axes, rows, height, told[:, -1].tolist() if is_over_run else ())
            if is_over_run:
                _set_checkpoints(axes, chapter, chapter.runs[0])
            else:
                axes.set_xticks(np.arange(len(names)) + 0.5, names if len(names) > 1 else [""])
            title = f"{kind} ({len(members)} of {len(chapter.kinds()[kind])})" if axes is axes_of_row[0] else ""
            axes.set_title(f"{label}\n{title}" if axes in grid[0] else title, color=style.INK)
            axes.tick_params(axis="y", labelleft=axes is axes_of_row[0])
    body.supxlabel(chapter.x_label if is_over_run else "", size=style.TEXT_SIZE, color=style.MUTED)
    return figure_of(body)
