"""How results show themselves in a notebook: verdict, figure and tables as HTML, other figures by name."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ckpt_inspect.errors import RequestError
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.comparison.differences import Differences
    from ckpt_inspect.measurement.columns import RunColumns
    from ckpt_inspect.presentation.chosen_run import ChosenRun
    from ckpt_inspect.presentation.plots import Chapter, FigureKind, RunFrames
    from ckpt_inspect.presentation.tables.table import Column, Table
    from ckpt_inspect.state.selection import Selection

T = TypeVar("T")

MOST_ROWS = 30
"""Of a table that are shown; the frame has them all."""

_LONG = 60
"""Characters from which on a column's texts are wrapped."""


# --- tables


def run_html(run: RunColumns) -> str:
    """Return a run: the verdict, what to look at first, its figure, its parameters in the newest checkpoint and over
    the run."""
    from ckpt_inspect.findings.finding import Severity
    from ckpt_inspect.presentation.tables.findings import finding_tables
    from ckpt_inspect.presentation.tables.run import run_tables
    from ckpt_inspect.presentation.verdict import since, verdict_of
    from ckpt_inspect.runs.remembered import findings_of

    findings = findings_of(run)
    unread = {r.checkpoint for r in run.failures if r.problem.severity == "error"}
    verdict = verdict_of(findings, len(run), len(unread))
    rest = [f for f in findings if f.severity > Severity.INFO and f not in verdict.first]
    first = [(finding, since(finding)) for finding in verdict.first]
    tables = (*run_tables(run), *finding_tables(rest))
    return _page(tables, verdict=verdict, first=first, figures=_first_figure(run), optimizers=run.optimizers)


def diff_html(diff: Differences) -> str:
    """Return the tables of a diff: what changed, most first."""
    from ckpt_inspect.presentation.tables.changes import diff_tables

    return _page(diff_tables(diff), verdict=None, figures=())


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table as a notebook shows it."""

    title: str
    columns: tuple[tuple[str, str], ...]
    """Title and class."""
    rows: Sequence[Sequence[str]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A figure as a notebook shows it."""

    png: bytes
    width: int
    """Pixels."""
    height: int
    answer: str
    """What it shows, in one sentence."""


def _page(tables: Iterable[Table], **rest: object) -> str:
    from ckpt_inspect.presentation.page.templating import rendered

    return rendered("notebook.html", tables=[_shown_table(table) for table in tables], **rest)


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
    from ckpt_inspect.presentation.plots import FIGURES
    from ckpt_inspect.state.selection import Selection

    kind = _chosen({kind.id: kind for kind in FIGURES}, name)
    return _shown(kind.plot(_drawn(run, kind, optimizer, Selection.of(include, exclude))))


def _first_figure(run: RunColumns) -> tuple[ShownFigure, ...]:
    """The figure that `plot()` draws by default, of the first optimizer that has it; nothing if none has."""
    from ckpt_inspect.presentation.plots import FIGURES
    from ckpt_inspect.presentation.plots.sheet import page_picture
    from ckpt_inspect.presentation.report import rendered

    kind = FIGURES[0]
    for optimizer in run.optimizers:
        try:
            chapter = _drawn(run, kind, optimizer)
        except RequestError:
            continue
        return (ShownFigure(*page_picture(rendered(kind.plot(chapter)), 0), kind.answer(chapter)),)
    return ()


def _drawn(run: RunColumns, kind: FigureKind, optimizer: str | None, selection: Selection | None = None) -> Chapter:
    """What the figure is drawn from. Raises RequestError if there is nothing, or if several optimizers have it."""
    from ckpt_inspect.presentation.chosen_run import ChosenRun
    from ckpt_inspect.presentation.plots import RunFrames, chapters
    from ckpt_inspect.state.selection import Selection

    chosen = ChosenRun(run, selection or Selection(), is_drawn=True)
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
    return chapter


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
