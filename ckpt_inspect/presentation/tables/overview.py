"""What one checkpoint is, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.measurement.wording import counted, figure, heading_name, percent, whole
from ckpt_inspect.presentation.tables.table import NOTHING, Column, Table, fact_table, without_empty
from ckpt_inspect.presentation.tables.wording import bytes_text, shape_text, tensor_title, value_text
from ckpt_inspect.sourced import Sourced, shown_source

if TYPE_CHECKING:
    from ckpt_inspect.overview.overview import Overview, ShownOptimizer
    from ckpt_inspect.overview.tensors import ShownTensor


def show_tables(overview: Overview) -> tuple[Table, ...]:
    """Return a checkpoint's overview: what it is, each optimizer, what fills the disk, the parameters."""
    what = fact_table(
        ("checkpoint", overview.path),
        ("is", overview.description),
        ("format", overview.format),
        ("on disk", f"{bytes_text(overview.sizes.files)} in {counted(len(overview.files), 'file')}"),
        ("tensors", str(overview.tensors)),
    )
    optimizers = tuple(_optimizer_table(o) for o in overview.optimizers)
    last = _tensor_table(overview.listed) if overview.listed else _parameter_table(overview)
    return (what, *optimizers, _size_table(overview), last)


def _optimizer_table(optimizer: ShownOptimizer) -> Table:
    rows: list[tuple[str, Sourced[float | str]]] = [
        ("rule", optimizer.rule),
        ("step", optimizer.step),
        *optimizer.hyperparameters.items(),
    ]
    against = optimizer.contradictions
    return Table(
        f"{heading_name(optimizer.name)}: layout {optimizer.layout}, {counted(optimizer.parameters, 'parameter')}",
        (Column("", "left"), Column("value", "left"), Column("source", "left"), Column("where", "left")),
        tuple(
            (name, value_text(v), shown_source(v.source, against.get(name, "")), _place(v.where, against.get(name, "")))
            for name, v in rows
        ),
        optimizer.description,
    )


def _place(where: str, against: str) -> str:
    """Where a value is from, and what speaks against it."""
    return "; but ".join(filter(None, (where, against)))


def _size_table(overview: Overview) -> Table:
    sizes = overview.sizes
    tensors = sizes.weights + sizes.first_moments + sizes.second_moments + sizes.other_tensors
    rest = sizes.files - tensors
    is_cut = rest < 0 and overview.is_damaged
    whole = tensors if is_cut else sizes.files
    rows = [
        ("weights", sizes.weights),
        ("first moments", sizes.first_moments),
        ("second moments", sizes.second_moments),
        ("other tensors" if overview.optimizers else "tensors", sizes.other_tensors),
        (
            "index, graph, configuration"
            if rest >= 0
            else "of these missing, at least"
            if is_cut
            else "saved by compression",
            abs(rest),
        ),
    ]
    return Table(
        "Size",
        (Column("", "left"), Column("bytes"), Column("share")),
        tuple((name, bytes_text(n), percent(n / whole) if 0 < n <= whole else NOTHING) for name, n in rows if n),
    )


def _tensor_table(tensors: Sequence[ShownTensor]) -> Table:
    columns = (
        Column("tensor", "left"), Column("holds", "left", keep=6), Column("shape", "left"),
        Column("dtype", "left", keep=7), Column("bytes", keep=1), Column("min"), Column("max"),
        Column("mean", keep=5), Column("std", keep=8), Column("zeros", keep=4), Column("not finite", keep=8),
        Column("from weight", keep=3),
    )  # fmt: skip
    rows = tuple(
        (
            tensor_title(t.name), t.holds or NOTHING, shape_text(t.shape), t.dtype,
            bytes_text(t.nbytes) if t.nbytes or not math.prod(t.shape) else NOTHING,  # texts don't say
            figure(t.minimum), figure(t.maximum), figure(t.mean), figure(t.deviation),
            percent(t.zeros / math.prod(t.shape)) if t.zeros else NOTHING,
            whole(t.nonfinite) if t.nonfinite else NOTHING, figure(t.from_weight),
        )
        for t in tensors
    )  # fmt: skip
    shown = without_empty(columns, rows)
    note = "from weight: how far a moving average is from its weight, relative to the weight's norm"
    return Table(f"Tensors ({len(rows)})", *shown, note if any(c.title == "from weight" for c in shown[0]) else "")


def _parameter_table(overview: Overview) -> Table:
    several = len(overview.optimizers) > 1
    columns = [Column("parameter", "left"), Column("shape", "left"), Column("dtype", "left"), Column("elements")]
    if overview.optimizers:
        columns.append(Column("slot variables", "left", keep=3))
    if several:
        columns.insert(0, Column("optimizer", "left", keep=4))
    rows = []
    for p in overview.parameters:
        row = [tensor_title(p.name), shape_text(p.shape), p.dtype, whole(math.prod(p.shape))]
        if overview.optimizers:
            row.append(", ".join(s.replace("_", " ") for s in p.slots) or "none")
        if several:
            row.insert(0, p.optimizer)
        rows.append(tuple(row))
    title = "Parameters" if any(p.optimizer for p in overview.parameters) else "Tensors"
    return Table(f"{title} ({len(rows)})", tuple(columns), tuple(rows))
