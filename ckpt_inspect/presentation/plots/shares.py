"""Where the optimizer does not adapt: elements that no gradient reached, that epsilon drowns, that rounding loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.measurement.wording import percent
from ckpt_inspect.presentation.plots import questions, style
from ckpt_inspect.presentation.plots.heatmaps import draw_heatmap, label_rows, set_columns
from ckpt_inspect.presentation.plots.lines import run_colors, run_key
from ckpt_inspect.presentation.plots.marks import mark_key
from ckpt_inspect.presentation.plots.names import Group, group_by_structure, shared_prefix, shorten
from ckpt_inspect.presentation.plots.rows import set_rows
from ckpt_inspect.presentation.plots.sheet import figure_of, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

QUESTION = questions.SHARES.question
SHARES = tuple(questions.SHARE_LABELS.items())
"""Columns of the frame, and what they are called on the page."""
SHOWN = 0.0005
"""A share that rounds to 0.1 % or more anywhere in the run gives its parameter a row."""
_EXPLAINED = questions.SHARES.note


MOST_ROWS = 40
"""Up to as many affected parameters have a row each; beyond it a row stands for a branch of the model."""
_ROW = 0.19
"""Inches."""


def answer(chapter: Chapter) -> str:
    """Return the figure's answer in words: by share how many parameters it concerns, and the worst of them."""
    told, unknown = [], []
    for column, label in SHARES:
        values = np.stack([np.nan_to_num(run.column(column)[-1]) for run in chapter.runs]).max(axis=0)
        if all(np.isnan(run.column(column)).all() for run in chapter.runs):
            unknown.append(label)
        concerned = int((values >= SHOWN).sum())
        if concerned:
            worst = int(values.argmax())
            word, name = label.partition(" (")[0], shorten(chapter.names[worst], 40)
            share = percent(float(values[worst]), is_brief=True)
            told.append(f"{word}: {concerned} of {len(values)} parameters, most in {name} ({share})")
    if told:
        text = f"In the newest checkpoint {'; '.join(told)}."
    elif _affected(chapter):
        text = "Nowhere in the newest checkpoint; some elements in earlier ones."
    else:
        found = " or ".join(label for _, label in SHARES if label not in unknown)
        text = f"Nowhere: none of the {len(chapter.parameters)} parameters has elements that are {found}."
    return text + (f" Not known from this state: {', '.join(unknown)}." if unknown else "")


@style.styled
def plot_shares(chapter: Chapter) -> Figure:
    """Draw a row per parameter that is affected at all, a block of columns per share, checkpoint by checkpoint, in
    colour.

    One checkpoint, or several runs (the newest of each): a dot per row in place of the colours.
    """
    groups = _affected(chapter)
    others = len(chapter.parameters) - sum(len(group.members) for group in groups)
    note = _EXPLAINED
    if not groups:
        body = sheet(QUESTION, answer(chapter), chapter.subtitle, note, 0.3)
        body.subplots().set_axis_off()  # without axes nothing would be laid out
        return figure_of(body)
    if others:
        note += f" The other {others} parameters have none." if others > 1 else " The other parameter has none."
    if any(len(group.members) > 1 for group in groups):
        note += " Rows gather parameters by the model's structure (how many, in brackets)."
    if chapter.is_series and len(chapter.runs) == 1:
        return _plot_blocks(chapter, groups, note)
    return _plot_dots(chapter, groups, note + " No dot: none.")


def _affected(chapter: Chapter) -> list[Group]:
    """The parameters of which any share is above nothing, as rows; members are positions in the chapter."""
    is_affected = np.zeros(len(chapter.parameters), dtype=bool)
    for run in chapter.runs:
        for column, _ in SHARES:
            is_affected |= (np.nan_to_num(run.column(column)) >= SHOWN).any(axis=0)
    positions = np.flatnonzero(is_affected)
    if not positions.size:
        return []
    names = [chapter.names[position] for position in positions]
    groups = group_by_structure(names, MOST_ROWS, prefix=len(shared_prefix(chapter.names)))
    return [Group(g.label, tuple(int(positions[m]) for m in g.members)) for g in groups]


def group_share(run: Run, column: str, group: Group) -> Floats:
    """Return (K,) share of the group's elements: the members' shares weighted by their sizes; NaN if none is known."""
    values = run.column(column)[:, list(group.members)]
    sizes = np.where(np.isnan(values), 0.0, np.nan_to_num(run.column("size")[:, list(group.members)]))
    total = sizes.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = np.where(total > 0, (np.nan_to_num(values) * sizes).sum(axis=1) / total, np.nan)
    return share


def _plot_blocks(chapter: Chapter, groups: list[Group], note: str) -> Figure:
    import seaborn
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    (run,) = chapter.runs
    height = max(len(groups) * _ROW, 0.6)
    note += " At the right of each block: the newest share. Hatched: not known."
    body = sheet(QUESTION, answer(chapter), chapter.subtitle, note, height + 0.9, mark_key(chapter))
    panels = body.subplots(1, len(SHARES))
    colors, norm = seaborn.color_palette(style.SHARE, as_cmap=True), Normalize(0.0, 1.0)
    rows = [Group(group.label, (row,)) for row, group in enumerate(groups)]
    for axes, (column, label) in zip(panels, SHARES, strict=True):
        values = np.stack([group_share(run, column, group) for group in groups])
        draw_heatmap(axes, values, norm, colors)
        axes.set_title(label, loc="left", color=style.INK)
        set_columns(axes, chapter, run)
        label_rows(axes, rows, height, [percent(float(v), is_brief=True, nothing="–") for v in values[:, -1]])
        axes.tick_params(axis="y", labelleft=axes is panels[0])
        for edge in range(1, len(values)):
            axes.axhline(edge, color="white", lw=0.6)
    body.supxlabel(chapter.x_label, size=style.TEXT_SIZE, color=style.MUTED)
    bar = body.colorbar(
        ScalarMappable(norm, colors), ax=list(panels), pad=0.01, aspect=height / 0.15, ticks=[0, 0.5, 1]
    )
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    bar.set_label("share of elements", color=style.MUTED)
    return figure_of(body)


def _plot_dots(chapter: Chapter, groups: list[Group], note: str) -> Figure:
    height = len(groups) * _ROW * max(1.0, 0.5 * len(chapter.runs)) + 1.0
    body = sheet(QUESTION, answer(chapter), chapter.subtitle, note, height, run_key(chapter))
    panels = body.subplots(1, len(SHARES))
    offsets = np.linspace(-0.25, 0.25, len(chapter.runs)) if len(chapter.runs) > 1 else np.zeros(1)
    for axes, (column, label) in zip(panels, SHARES, strict=True):
        set_rows(axes, "", [group.label for group in groups], len(groups))
        axes.tick_params(axis="y", labelleft=axes is panels[0])
        axes.set_title(label, loc="left", color=style.INK)
        axes.set_xlim(-3, 103)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_xlabel("share of elements (%)")
        for run, color, offset in zip(chapter.runs, run_colors(chapter), offsets, strict=True):
            values = 100 * np.array([group_share(run, column, group)[-1] for group in groups])
            y = np.arange(len(values)) + offset
            for at in np.flatnonzero(np.isnan(values)):
                axes.text(0, y[at], "not known", va="center", color=style.MUTED, fontsize=style.SMALL_SIZE)
            values = np.where(values >= 100 * SHOWN, values, np.nan)
            axes.hlines(y, 0, values, color=color, lw=2.0, alpha=0.4)
            axes.plot(values, y, "o", color=color, ms=4.5, mec="white", mew=0.5, gid="share")
    return figure_of(body)
