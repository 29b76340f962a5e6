"""The table of all parameters: the newest checkpoint, and what changed over the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ckpt_inspect.findings import Finding
from ckpt_inspect.measurement.wording import counted, percent
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats, known
from ckpt_inspect.presentation.page.anchors import Anchors, breakable, tensor
from ckpt_inspect.presentation.page.contents import Contents
from ckpt_inspect.presentation.page.markup import Html, element
from ckpt_inspect.presentation.page.sparklines import sparkline
from ckpt_inspect.presentation.tables.wording import figure, ratio_text, shape_text

NOTHING = "–"
"""What is shown for a figure that is not defined or not known."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    title: str
    hint: str
    """What it is, in a sentence."""
    is_number: bool = True
    is_kept: bool = False
    """Whether it is shown even if no row has anything in it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a row has in a column."""

    content: str | Html
    """Empty: nothing."""
    value: float | str | None = None
    """What rows are sorted by, if it isn't the text; NaN comes last."""


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter of one optimizer of one run."""

    key: tuple[str, str, str]
    """Run, optimizer, parameter."""
    cells: tuple[Cell, ...]


_NOTE = (
    "a heading sorts, once more the other way round. Over the run: the median effective learning rate, each line on "
    "its own log scale. Columns that would hold nothing, or nothing but 0, are left out."
)


def parameter_table(contents: Contents, series: Sequence[OptimizerSeries], anchors: Anchors) -> Html:
    """Return the table with its controls; sorted by the model's own order until a heading is used."""
    has_one_run, has_one_optimizer = len(contents.runs) == 1, len({s.optimizer for s in series}) == 1
    columns = _columns(all(s.is_relative[-1] for s in series))
    rows = [row for s in series for row in _rows(s, anchors, contents)]
    shown = [
        i
        for i, column in enumerate(columns)
        if column.is_kept or any(row.cells[i].content and row.cells[i].value != 0 for row in rows)
    ]
    shown = [i for i in shown if not (has_one_run and columns[i].title == "run")]
    shown = [i for i in shown if not (has_one_optimizer and columns[i].title == "optimizer")]
    heads = [_head(columns[i]) for i in shown]
    body = [_row(row, [row.cells[i] for i in shown], [columns[i] for i in shown], anchors) for row in rows]
    caption = "Each parameter in its newest checkpoint, and over the run"
    table = element(
        "table",
        element("caption", caption, class_="visually-hidden"),
        element("thead", element("tr", heads)),
        element("tbody", body),
        id="parameter-table",
        class_="sortable",
    )
    return element(
        "section",
        element("h2", "Parameters", id="parameters-heading"),
        element("p", f"{caption}: {_NOTE}", class_="note"),
        _controls(contents, anchors, len(rows)),
        element("div", table, class_="scroll tall", tabindex=0, role="region", aria_labelledby="parameters-heading"),
        id="parameters",
        aria_labelledby="parameters-heading",
    )  # fmt: skip


def _columns(is_relative: bool) -> tuple[Column, ...]:
    e = "E/α" if is_relative else "E"
    return (
        Column("parameter", "The trained variable, and the findings that concern it.", is_number=False, is_kept=True),
        Column("run", "The run.", is_number=False),
        Column("optimizer", "The optimizer.", is_number=False),
        Column("shape", "Lengths of its axes; sorted by the number of elements."),
        Column(f"median {e}", "Median effective learning rate over touched elements.", is_kept=True),
        Column("spread", "Decades from the 5 % to the 95 % quantile of E: how adaptive the tensor is."),
        Column("of α", "Median effective over nominal learning rate."),
        Column("over the run", "Median E at every checkpoint, and the newest over the first."),
        Column("update to weight", "‖Δ‖/‖θ‖ of the last update; about 1e-3 is healthy."),
        Column("signal to noise", "RMS of (m/c1)/√(v/c2) over touched elements."),
        Column("untouched", "Share of elements that no gradient has ever reached."),
        Column("ε-dominated", "Share of touched elements whose step ε sets rather than the gradients."),
        Column("lost in rounding", "Share of elements that the last update did not change for want of digits."),
    )


def _head(column: Column) -> Html:
    button = element("button", column.title, type="button", title=column.hint)
    kind = "number" if column.is_number else None
    return element("th", button, scope="col", aria_sort="none", class_=kind)


def _row(row: Row, cells: Iterable[Cell], columns: Iterable[Column], anchors: Anchors) -> Html:
    tags = []
    for cell, column in zip(cells, columns, strict=True):
        value = cell.value
        if isinstance(value, float):
            value = "" if math.isnan(value) else f"{value:.6g}"
        attributes: dict[str, str | None] = {"data-value": value, "class": "number" if column.is_number else None}
        if column.title == "parameter":
            tags.append(element("th", cell.content, scope="row", **attributes))
        else:
            tags.append(element("td", cell.content or NOTHING, **attributes))
    findings = " ".join(anchors.of_row.get(row.key, ()))
    return element("tr", tags, id=anchors.rows[row.key], data_findings=findings or None)


def _controls(contents: Contents, anchors: Anchors, count: int) -> Html:
    options = [
        element("option", f"{finding.severity.word}: {finding.title}", value=anchors.findings[run.name, place])
        for run in contents.runs
        for place, finding in enumerate(run.findings)
        if finding.parameters
    ]
    by_finding = element(
        "label", "Concerned by ",
        element("select", element("option", "any or no finding", value=""), options, id="finding-filter"),
    ) if options else None  # fmt: skip
    text = element(
        "label", "Filter by name ",
        element("input", id="name-filter", type="search", placeholder="kernel dense_1 or *kernel", autocomplete="off",
                spellcheck="false"),
    )  # fmt: skip
    status = element("output", f"{counted(count, 'parameter')}", id="filter-count", aria_live="polite")
    return element("div", text, by_finding, status, class_="controls", role="search", hidden=True)


def _rows(s: OptimizerSeries, anchors: Anchors, contents: Contents) -> list[Row]:
    """The optimizer's parameters."""
    medians = s.values("effective_lr_median")
    is_alike = s.is_relative == s.is_relative[-1]
    medians[~is_alike] = np.nan  # how E changed can't be seen from E/α
    rates = floats(s.heads["learning_rate"])[s.row[s.newest]]
    is_relative = s.is_relative[s.row[s.newest]]
    newest = {
        name: s.newest_values(name)
        for name in (
            "effective_lr_median", "effective_lr_q05", "effective_lr_q95", "size", "update_to_weight",
            "signal_to_noise", "untouched", "epsilon_dominated", "lost_in_rounding",
        )
    }  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        newest["spread"] = np.log10(newest["effective_lr_q95"] / newest["effective_lr_q05"])
        newest["of"] = np.where(is_relative, np.nan, newest["effective_lr_median"] / rates)
    shapes = s.newest_texts("shape")
    found = {
        anchors.findings[run.name, place]: finding
        for run in contents.runs
        for place, finding in enumerate(run.findings)
    }
    rows = []
    for i, parameter in enumerate(s.parameters):
        v = {name: float(values[i]) for name, values in newest.items()}
        key = (s.run, s.optimizer, parameter)
        concerned = {anchor: found[anchor] for anchor in anchors.of_row.get(key, ())}
        path = known(medians[:, i])
        change = float(path[-1] / path[0]) if len(path) > 1 else math.nan
        rows.append(
            Row(
                key,
                (
                    Cell(_name(s, i, concerned), parameter),
                    Cell(breakable(s.run)),
                    Cell(breakable(s.optimizer)),
                    Cell(_shape(shapes[i]), v["size"]),
                    _figured(v["effective_lr_median"]),
                    Cell("" if math.isnan(v["spread"]) else f"{v['spread']:.1f}", v["spread"]),
                    Cell("" if math.isnan(v["of"]) else ratio_text(v["of"]), v["of"]),
                    Cell(_drawn(medians[:, i], path, change), change),
                    _figured(v["update_to_weight"]),
                    _figured(v["signal_to_noise"]),
                    *(_shared(v[name]) for name in ("untouched", "epsilon_dominated", "lost_in_rounding")),
                ),
            )
        )
    return rows


def _name(s: OptimizerSeries, i: int, concerned: Mapping[str, Finding]) -> Html:
    """The parameter's name, until when it was there if it has vanished, and links to the findings that concern it."""
    row = int(s.row[s.newest[i]])
    until = None
    if row < len(s.heads) - 1:
        step = float(s.steps[row])
        until = "until an earlier checkpoint" if math.isnan(step) else f"until step {step:,.0f}"
    links = [
        [" ", element("a", f.id, href=f"#{anchor}", class_=f"badge severity-{f.severity.word}", title=f.title)]
        for anchor, f in concerned.items()
    ]
    return element(
        "span",
        tensor(s.parameters[i]),
        [" ", element("span", until, class_="note")] if until else None,
        element("span", links, class_="badges") if links else None,
    )


def _shape(text: str) -> str:
    return shape_text([int(length) for length in text.split(",") if length])


def _figured(value: float) -> Cell:
    return Cell("" if math.isnan(value) else figure(value), value)


def _shared(value: float) -> Cell:
    return Cell("" if math.isnan(value) else percent(value), value)


def _drawn(medians: Floats, path: Floats, change: float) -> Html:
    if math.isnan(change):
        return Html()
    text = f"median from {figure(float(path[0]))} to {figure(float(path[-1]))}"
    return element("span", sparkline(medians, text), " ", element("span", ratio_text(change), class_="change"))
