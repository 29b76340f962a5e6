"""A checkpoint of a training that goes on, as a row: what is worth a look while it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.jsonable import JsonObject, json_object
from ckpt_inspect.measurement.columns import row_of
from ckpt_inspect.measurement.variables import QUANTILE_NAMES
from ckpt_inspect.measurement.wording import figure
from ckpt_inspect.presentation.tables.table import NOTHING, Column, Table

if TYPE_CHECKING:
    from ckpt_inspect.findings.finding import Finding
    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns

_MEDIAN = QUANTILE_NAMES.index("median")

COLUMNS = (
    Column("checkpoint", "left"),
    Column("step", "right"),
    Column("E median", "right"),
    Column("update RMS", "right"),
    Column("findings", "left"),
)


def _is_present(optimizer: OptimizerColumns, row: int) -> bool:
    return not bool(np.isnan(row_of(optimizer.variables, "nonfinite", row)).all())


def median_effective_lr(optimizer: OptimizerColumns, row: int) -> float:
    """Return the median over the parameters of each one's median E; NaN if none has one."""
    medians = row_of(optimizer.variables, "effective_lr", row)[:, _MEDIAN]
    known = medians[~np.isnan(medians)]
    return float(np.median(known)) if known.size else math.nan


def update_rms(optimizer: OptimizerColumns, row: int) -> float:
    """Return the RMS of the last update over all elements whose parameters have one; NaN if none has."""
    rms, sizes = row_of(optimizer.variables, "update_rms", row), optimizer.variables["size"]
    known = ~np.isnan(rms)
    return float(np.sqrt(np.average(rms[known] ** 2, weights=sizes[known]))) if known.any() else math.nan


def following_rows(columns: RunColumns, row: int, findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """Return the cells of `COLUMNS` of one checkpoint, a row for each optimizer that has a state in it.

    `findings` are those of the run as far as it has come: those of severity info are left out.
    """
    name = str(row_of(columns.checkpoints, "checkpoint", row))
    present = [o for o in columns.optimizers.values() if _is_present(o, row)]
    rows: list[tuple[str, ...]] = []
    for optimizer in present:
        step = int(row_of(optimizer.variables, "step", row))
        told = [f.id for f in findings if f.severity.word != "info" and f.optimizer in ("", optimizer.name)]
        rows.append(
            (
                name if len(columns.optimizers) == 1 else f"{name} {optimizer.name}",
                NOTHING if step < 0 else str(step),
                figure(median_effective_lr(optimizer, row)),
                figure(update_rms(optimizer, row)),
                ", ".join(dict.fromkeys(told)) or NOTHING,
            )
        )
    return rows or [(name, NOTHING, NOTHING, NOTHING, "no optimizer state")]


def following_table(title: str, rows: Sequence[tuple[str, ...]], note: str = "") -> Table:
    """Return the table of the rows that are shown."""
    return Table(title, COLUMNS, tuple(rows), note)


def following_document(
    run: str, store: str | None, columns: RunColumns, row: int, findings: Sequence[Finding]
) -> JsonObject:
    """Return a document on one checkpoint, for a line of JSON."""
    optimizers = {
        name: {
            "step": None if (step := int(row_of(o.variables, "step", row))) < 0 else step,
            "effective_lr_median": median_effective_lr(o, row),
            "update_rms": update_rms(o, row),
        }
        for name, o in columns.optimizers.items()
        if _is_present(o, row)
    }
    return json_object(
        {
            "run": run,
            "store": store,
            "checkpoint": row_of(columns.checkpoints, "checkpoint", row),
            "path": row_of(columns.checkpoints, "path", row),
            "optimizers": optimizers,
            "findings": [{"id": f.id, "severity": f.severity.word, "optimizer": f.optimizer} for f in findings],
        }
    )
