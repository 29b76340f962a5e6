"""Where the optimizer does not adapt: elements that no gradient reached, that epsilon drowns, that rounding loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.wording import percent
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.beginnings import beginning_note, reasons
from ckpt_inspect.presentation.plots.layers_by_step import draw_column_beginnings, label_groups, set_checkpoint_ticks
from ckpt_inspect.presentation.plots.names import Group, group_by_structure, shared_prefix
from ckpt_inspect.presentation.plots.page import MARGIN, Page, fitting_labels, text_width, wrapped
from ckpt_inspect.presentation.plots.panels import run_color, run_key
from ckpt_inspect.presentation.plots.rows import MOST_ROWS, ROW, Rows, dodge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run

QUESTION = "Where does the optimizer not adapt?"
SHARES = (
    ("untouched", "untouched (v = 0)"),
    ("epsilon_dominated", "ε-dominated (√v < ε)"),
    ("lost_in_rounding", "lost in rounding (|Δ| < ½ ulp θ)"),
)
"""Columns of the frame, and what they are called on the page."""
SHOWN = 0.0005
"""A share that rounds to 0.1 % or more anywhere in the run gives its parameter a row."""
_EXPLAINED = (
    "Untouched: no gradient ever came. ε-dominated: of the touched, those whose update ε sets, not the gradients. "
    "Lost: the last update was too small to change the weight."
)


@dataclass(frozen=True, slots=True)
class _Affected:
    """The parameters of which any share is above nothing, as rows."""

    prefix: int
    """Length of what the names of all parameters share."""
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    """Members are positions in the chapter."""

    def labels(self, characters: int) -> list[str]:
        return [group.label for group in group_by_structure(self.names, MOST_ROWS, characters, self.prefix)]


@style.styled
def plot_shares(chapter: Chapter) -> Figure:
    """Draw a row per parameter that is affected at all, a block of columns per share, checkpoint by checkpoint, in
    colour.

    One checkpoint, or several runs (the newest of each): a dot per row in place of the colours.
    """
    affected = _affected(chapter)
    others = len(chapter.parameters) - len(affected.names)
    note = _EXPLAINED
    if others and affected.names:
        note += f" The other {others} parameters have none." if others > 1 else " The other parameter has none."
    if len(affected.groups) < len(affected.names):
        note += " Rows gather parameters by the model's structure (how many, in brackets)."
    if not affected.names:
        return _plot_nothing(chapter)
    if chapter.is_series and len(chapter.runs) == 1:
        return _plot_blocks(chapter, affected, note)
    return _plot_dots(chapter, affected, note)


def _affected(chapter: Chapter) -> _Affected:
    is_affected = np.zeros(len(chapter.parameters), dtype=bool)
    for run in chapter.runs:
        for column, _ in SHARES:
            is_affected |= (np.nan_to_num(run.column(column)) >= SHOWN).any(axis=0)
    positions = np.flatnonzero(is_affected)
    names = tuple(chapter.names[position] for position in positions)
    prefix = len(shared_prefix(chapter.names))
    groups = group_by_structure(names, MOST_ROWS, prefix=prefix) if names else ()
    in_chapter = tuple(Group(g.label, tuple(int(positions[m]) for m in g.members)) for g in groups)
    return _Affected(prefix, names, in_chapter)


def group_share(run: Run, column: str, group: Group) -> Floats:
    """Return (K,) share of the group's elements: the members' shares weighted by their sizes; NaN if none is known."""
    values = run.column(column)[:, list(group.members)]
    sizes = np.where(np.isnan(values), 0.0, np.nan_to_num(run.column("size")[:, list(group.members)]))
    total = sizes.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = np.where(total > 0, (np.nan_to_num(values) * sizes).sum(axis=1) / total, np.nan)
    return share


def _plot_nothing(chapter: Chapter) -> Figure:
    """The answer if there is nothing to be drawn is a sentence."""
    parts = [*chapter.subtitle]
    page = Page(QUESTION, parts, _EXPLAINED, width=9.0, height=0.75)
    known = [any(not np.isnan(run.column(column)).all() for run in chapter.runs) for column, _ in SHARES]
    unknown = [label for (_, label), is_known in zip(SHARES, known, strict=True) if not is_known]
    found = " or ".join(label for _, label in SHARES if label not in unknown)
    text = f"Nowhere: none of the {len(chapter.parameters)} parameters has elements that are {found}."
    if unknown:
        text += f" Not known from this state: {', '.join(unknown)}."
    for position, line in enumerate(wrapped([text], 9.0 - 2 * MARGIN, 10.0)):
        page.text(MARGIN, page.body + 0.12 + 0.2 * position, line, size=10.0, va="top", gid="answer")
    return page.figure


def _plot_blocks(chapter: Chapter, affected: _Affected, note: str) -> Figure:
    from matplotlib.colors import Normalize

    (run,) = chapter.runs
    labels = fitting_labels(affected.labels, 2.6)
    left = MARGIN + max(text_width(label) for label in labels) + 0.25
    width, numbers, top = 2.3, 0.62, 0.85
    height = len(labels) * ROW
    right = left + 3 * (width + numbers)
    page = Page(
        QUESTION,
        chapter.subtitle,
        note + " At right of each block: the newest share. Hatched: not known." + beginning_note(reasons(chapter)),
        width=right + MARGIN,
        height=top + height + 0.52,
    )
    rows = tuple(Group(label, (position,)) for position, label in enumerate(labels))
    for block, (column, label) in enumerate(SHARES):
        values = np.stack([group_share(run, column, group) for group in affected.groups])
        x = left + block * (width + numbers)
        axes = page.axes(x, top, width, height)
        _draw_block(axes, values, Normalize(0.0, 1.0))
        axes.set_title(label, loc="left", color=style.INK)
        set_checkpoint_ticks(axes, chapter, run, width)
        draw_column_beginnings(axes, run)
        if block == 0:
            label_groups(axes, rows, labels, height)
        for row, newest in enumerate(values[:, -1]):
            axes.text(
                1 + 0.07 / width,
                row + 0.5,
                percent(float(newest), is_brief=True, nothing="–"),
                transform=axes.get_yaxis_transform(),
                ha="left",
                va="center_baseline",
                color=style.INK if newest >= SHOWN else style.MUTED,
                fontsize=style.SMALL_SIZE,
                gid="row number",
            )
    page.label_x(chapter.x_label, left, right - left - numbers, top + height + 0.28)
    bar = page.axes(left, 0.2, 2.3, 0.11)
    page.text(left, page.body, "share of elements (%)", color=style.MUTED, va="top", gid="colour label")
    mesh = page.figure.axes[0].collections[0]
    page.figure.colorbar(mesh, cax=bar, orientation="horizontal")
    bar.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100"])
    bar.tick_params(axis="x", length=2.0, pad=2.0)
    for spine in bar.spines.values():
        spine.set_linewidth(0.4)
    return page.figure


def _draw_block(axes: Axes, values: Floats, norm: Any) -> None:
    import seaborn

    style.hatch_ground(axes)
    seaborn.heatmap(
        values,
        mask=np.isnan(values),
        norm=norm,
        vmin=0.0,
        vmax=1.0,
        cmap=seaborn.color_palette(style.SHARE, as_cmap=True),
        cbar=False,
        ax=axes,
        xticklabels=False,
        yticklabels=False,
        rasterized=True,
    )
    for edge in range(1, len(values)):
        axes.axhline(edge, color="white", lw=0.6)


def _plot_dots(chapter: Chapter, affected: _Affected, note: str) -> Figure:
    columns = [("share of elements (%)", 1.0) for _ in SHARES]
    rows = Rows(
        QUESTION,
        chapter.subtitle,
        note,
        affected.labels,
        columns,
        key=run_key(chapter),
        width=11.5,
        has_titles=True,
        row=ROW * max(1.0, 0.6 * len(chapter.runs)),
    )
    for axes, (column, label) in zip(rows.axes, SHARES, strict=True):
        axes.set_title(label, loc="left", color=style.INK)
        axes.set_xlim(-3, 103)
        axes.set_xticks([0, 25, 50, 75, 100])
        for position, (run, offset) in enumerate(zip(chapter.runs, dodge(len(chapter.runs)), strict=True)):
            values = 100 * np.array([group_share(run, column, group)[-1] for group in affected.groups])
            y = np.arange(len(values)) + offset
            axes.hlines(y, 0, values, color=run_color(position), lw=2.0, alpha=0.4)
            axes.plot(values, y, "o", color=run_color(position), ms=4.5, mec="white", mew=0.5, gid="share")
    return rows.page.figure
