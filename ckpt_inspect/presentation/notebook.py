"""How results show themselves in a notebook: tables as HTML, figures by name."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ckpt_inspect.errors import RequestError
from ckpt_inspect.measurement.wording import spoken_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.comparison.differences import Differences
    from ckpt_inspect.measurement.columns import RunColumns
    from ckpt_inspect.presentation.chosen_run import ChosenRun
    from ckpt_inspect.presentation.plots import Chapter, FigureKind, RunFrames
    from ckpt_inspect.presentation.tables.table import Column, Table

T = TypeVar("T")

MOST_ROWS = 30
"""Of a table that are shown; the frame has them all."""

_LONG = 60
"""Characters from which on a column's texts are wrapped."""


# --- tables


def run_html(run: RunColumns) -> str:
    """Return a run: what it is, what in it is amiss, and its parameters in the newest checkpoint and over the run."""
    from ckpt_inspect.findings import find_findings
    from ckpt_inspect.presentation.tables.findings import finding_tables
    from ckpt_inspect.presentation.tables.run import run_tables

    head, *rest = run_tables(run)
    amiss = [finding for finding in find_findings(run) if finding.severity.word != "info"]
    return _page((head, *finding_tables(amiss), *rest))


def diff_html(diff: Differences) -> str:
    """Return the tables of a diff: what changed, most first."""
    from ckpt_inspect.presentation.tables.changes import diff_tables

    return _page(diff_tables(diff))


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table as a notebook shows it."""

    title: str
    columns: tuple[tuple[str, str], ...]
    """Title and class."""
    rows: Sequence[Sequence[str]]
    notes: tuple[str, ...]


def _page(tables: Iterable[Table]) -> str:
    from ckpt_inspect.presentation.page.templating import rendered

    return rendered("notebook.html", tables=[_shown_table(table) for table in tables])


def _shown_table(table: Table) -> ShownTable:
    columns = tuple((c.title, _class(c, [row[i] for row in table.rows])) for i, c in enumerate(table.columns))
    left_out = len(table.rows) - MOST_ROWS
    cut = f"{left_out} more rows: .to_frame() has them all" if left_out > 0 else ""
    return ShownTable(table.title, columns, table.rows[:MOST_ROWS], tuple(filter(None, (cut, table.note))))


def _class(column: Column, cells: Sequence[str]) -> str:
    is_long = any(len(cell) > _LONG for cell in cells)
    return " ".join(filter(None, ("number" * (column.justify == "right"), "wrapped" * is_long)))


# --- figures


def run_figure(
    run: RunColumns,
    name: str,
    optimizer: str | None,
    include: Iterable[str] | None,
    exclude: Iterable[str] | None,
) -> Figure:
    """Return a report's figure of one optimizer; see `Analyses.plot`."""
    from ckpt_inspect.presentation.chosen_run import ChosenRun
    from ckpt_inspect.presentation.plots import FIGURES, RunFrames, chapters
    from ckpt_inspect.state.selection import Selection

    kind = _chosen({kind.id: kind for kind in FIGURES}, name)
    chosen = ChosenRun(run, Selection.of(include, exclude), is_drawn=True)
    frames = RunFrames(run.run, chosen.to_frame(), segments=chosen.segments)
    if not len(frames.parameters):
        raise RequestError("there is nothing to draw: no parameter with moments, or none of a name that was included")
    chapter = _of_optimizer({chapter.optimizer: chapter for chapter in chapters([frames])}, optimizer)
    if kind.asks.needs != "parameters":
        (chapter,) = (
            c for c in chapters([_with_needed(frames, kind, chosen, chapter)]) if c.optimizer == chapter.optimizer
        )
    reason = kind.reason_to_omit(chapter)
    if reason is not None:
        raise RequestError(f"there is no figure {kind.id} of {spoken_name(chapter.optimizer)}: {reason}")
    return _shown(kind.plot(chapter))


def diff_figure(diff: Differences, name: str, name_a: str, name_b: str) -> Figure:
    """Return a figure of what changed between what is called `name_a` and `name_b`; see `Diff.plot`."""
    from ckpt_inspect.presentation.diff_figures import diff_doubts
    from ckpt_inspect.presentation.plots import plot_change_by_rate, plot_diff
    from ckpt_inspect.runs.frames import diff_frame

    plot = _chosen({"changes": plot_diff, "change-by-rate": plot_change_by_rate}, name)
    return _shown(plot(diff_frame(diff), name_a, name_b, diff_doubts(diff)))


def _chosen(figures: Mapping[str, T], name: str) -> T:
    figure = figures.get(name.replace("_", "-"))
    if figure is None:
        raise RequestError(f"there is no figure {name!r}: there are {', '.join(figures)}")
    return figure


def _of_optimizer(of: Mapping[str, Chapter], name: str | None) -> Chapter:
    if name is None and len(of) == 1:
        return next(iter(of.values()))
    if name is None:
        raise RequestError(f"the run has {len(of)} optimizers, say which: optimizer={' or '.join(map(repr, of))}")
    if name not in of:
        raise RequestError(f"there is no optimizer {name!r} with moments: there are {', '.join(of)}")
    return of[name]


def _with_needed(frames: RunFrames, kind: FigureKind, run: ChosenRun, chapter: Chapter) -> RunFrames:
    """The frames with bins or elements, of no more checkpoints than are drawn, because there are many of each."""
    from ckpt_inspect.presentation.plots import chosen_checkpoints

    (of_optimizer,) = chapter.runs
    chosen = [int(of_optimizer.indices[at]) for at in chosen_checkpoints(len(of_optimizer.indices))]
    return replace(frames, histogram=run.to_frame("histogram", chosen))


def _shown(figure: Figure) -> Figure:
    """The figure, which notebooks show without pyplot having been imported."""
    from ckpt_inspect.presentation.report import rendered

    setattr(figure, "_repr_png_", functools.partial(rendered, figure))  # noqa: B010 - no attribute that Figure declares
    return figure
