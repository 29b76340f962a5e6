"""The table of all parameters: the newest checkpoint, and what changed over the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.findings.finding import Finding
from ckpt_inspect.measurement.wording import figure, percent, whole
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats, known
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.contents import Contents
from ckpt_inspect.presentation.page.sparklines import Sparkline, sparkline
from ckpt_inspect.presentation.tables.wording import ratio_text, shape_text
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures."""

    title: str
    id: str
    text: Callable[[float], str]
    """A figure as it is shown."""
    hint: str
    """What it is, in a sentence."""
    is_kept: bool = False
    """Whether it is shown even if no row has anything in it."""


COLUMNS = (
    Column("shape", "size", whole, "Lengths of its axes; sorted by the number of elements."),
    Column("update RMS", "update_rms", figure, "How far the last update moved an element (root mean square)."),
    Column("update/weight", "update_to_weight", figure, "‖Δ‖/‖θ‖ of the last update; about 0.001 is usual."),
    Column("median E", "effective_lr_median", figure,
           "Median effective learning rate over touched elements: per unit of gradient, not a distance.", True),
    Column("spread", "spread", "{:.1f}".format,
           "Decades from the 5 % to the 95 % quantile of E: how adaptive the tensor is."),
    Column("of α", "of_rate", ratio_text, "Median effective learning rate over the nominal one, per unit of gradient."),
    Column("over the run", "change", ratio_text,
           "Median E at each checkpoint since the state was last lost, and the newest over the first."),
    Column("signal to noise", "signal_to_noise", figure, "Size of the averaged gradient beside the gradients: noise "
    "alone gives 0.23 at β1 = 0.9."),
    Column("untouched", "untouched", percent, "Share of elements that no gradient has ever reached."),
    Column("ε-dominated", "epsilon_dominated", percent,
           "Share of touched elements whose update is set by ε, not by the gradients."),
    Column("lost in rounding", "lost_in_rounding", percent,
           "Share of elements that the last update was too small to change."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a parameter."""

    value: float
    """What rows are sorted by; NaN if it is not defined or not known."""
    text: str
    line: Sparkline | None = None


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One parameter of one optimizer of one run."""

    anchor: str
    name: str
    run: str
    optimizer: str
    until: str
    """When it was last there; empty if the newest checkpoint has it."""
    findings: Mapping[str, Finding]
    """Those that concern it, by their ids in the page."""
    cells: Mapping[str, Cell]
    """By column."""


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """The table, in the model's own order, with what its rows are chosen by."""

    columns: tuple[Column, ...]
    rows: tuple[ParameterRow, ...]
    findings: tuple[tuple[str, Finding], ...]
    """Those that name parameters, each after its id in the page."""
    has_several_optimizers: bool
    is_relative: bool
    """Whether its effective learning rates are E/α."""


def parameter_table(contents: Contents, series: Sequence[OptimizerSeries], anchors: Anchors) -> ParameterTable:
    """Return the table; columns that would hold nothing, or nothing but 0, are left out."""
    found = tuple(zip(anchors.findings.values(), (f for run in contents.runs for f in run.findings), strict=True))
    segments = {run.name: run.segments for run in contents.runs}
    rows = tuple(row for s in series for row in _rows(s, segments[s.run], anchors, dict(found)))
    return ParameterTable(
        columns=tuple(c for c in COLUMNS if c.is_kept or any(_has_content(row.cells[c.id]) for row in rows)),
        rows=rows,
        findings=tuple((anchor, finding) for anchor, finding in found if finding.parameters),
        has_several_optimizers=len({s.optimizer for s in series}) > 1,
        is_relative=all(s.is_relative[-1] for s in series),
    )


def _has_content(cell: Cell) -> bool:
    return not math.isnan(cell.value) and cell.value != 0


def _rows(
    s: OptimizerSeries, segments: Sequence[Segment], anchors: Anchors, found: Mapping[str, Finding]
) -> Iterator[ParameterRow]:
    medians = s.values_of_line("effective_lr_median", segments)
    medians[s.is_relative != s.is_relative[-1]] = np.nan  # how E changed can't be seen from E/α
    newest = _newest(s)
    shapes = s.newest_texts("shape")
    for i, name in enumerate(s.parameters):
        cells = {c.id: _cell(c, float(newest[c.id][i])) for c in COLUMNS}
        lengths = [int(length) for length in shapes[i].split(",") if length]
        cells["size"] = Cell(cells["size"].value, shape_text(lengths))
        cells["change"] = _change(medians[:, i])
        key = (s.run, s.optimizer, name)
        concerned = {anchor: found[anchor] for anchor in anchors.of_row.get(key, ())}
        yield ParameterRow(anchors.rows[key], name, s.run, s.optimizer, _until(s, i), concerned, cells)


def _newest(s: OptimizerSeries) -> dict[str, Floats]:
    """(P,) figures of each parameter's newest checkpoint, by column."""
    newest = {column.id: s.newest_values(column.id) for column in COLUMNS}
    low, high = s.newest_values("effective_lr_q05"), s.newest_values("effective_lr_q95")
    rows = s.row[s.newest]
    with np.errstate(divide="ignore", invalid="ignore"):
        newest["spread"] = np.log10(high / low)
        of_rate = newest["effective_lr_median"] / floats(s.heads["learning_rate"])[rows]
    newest["of_rate"] = np.where(s.is_relative[rows], np.nan, of_rate)
    return newest


def _cell(column: Column, value: float) -> Cell:
    return Cell(value, "" if math.isnan(value) else column.text(value))


def _change(medians: Floats) -> Cell:
    """How a parameter's median E (K,) changed over the run."""
    path = known(medians)
    if len(path) < 2:
        return Cell(math.nan, "")
    change = float(path[-1] / path[0])
    text = f"median from {figure(float(path[0]))} to {figure(float(path[-1]))}"
    return Cell(change, ratio_text(change), sparkline(medians, text))


def _until(s: OptimizerSeries, i: int) -> str:
    row = int(s.row[s.newest[i]])
    if row == len(s.heads) - 1:
        return ""
    step = float(s.steps[row])
    return "until an earlier checkpoint" if math.isnan(step) else f"until step {whole(step)}"
