"""Results as tables of text: data in, `Table` out. How a table reaches a screen or a pipe is `terminal`'s business."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ckpt_inspect.checkpoint import Problem
    from ckpt_inspect.differences import Diff, ParameterDiff
    from ckpt_inspect.hyperparameters import Sourced
    from ckpt_inspect.show import Overview, ShownOptimizer

BLOCKS = "▁▂▃▄▅▆▇█"
NOTHING = "-"
"""What stands where a figure is not defined or not known."""

_KEY_TAIL = "/.ATTRIBUTES/VARIABLE_VALUE"
"""Ends every key of an object graph's variables and says nothing."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column's heading and behaviour."""

    title: str
    justify: Literal["left", "right"] = "right"
    keep: int = 9
    """Where the screen is too narrow, the columns with the smallest number go first; 9 stays."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """A sentence below the table."""


def show_tables(overview: Overview) -> tuple[Table, ...]:
    """A checkpoint's overview: what it is, each optimizer, what fills the disk, the parameters."""
    what = _facts(
        "",
        ("checkpoint", overview.path),
        ("is", overview.description),
        ("format", overview.format),
        ("on disk", f"{_bytes(overview.sizes.files)} in {_counted(len(overview.files), 'file')}"),
        ("tensors", str(overview.tensors)),
    )
    optimizers = tuple(_optimizer_table(o) for o in overview.optimizers)
    return (what, *optimizers, _size_table(overview), _parameter_table(overview))


def _facts(title: str, *facts: tuple[str, str]) -> Table:
    return Table(title, (Column("", "left"), Column("", "left")), facts)


def _optimizer_table(optimizer: ShownOptimizer) -> Table:
    rows = [("rule", optimizer.rule), ("step", optimizer.step), *optimizer.hyperparameters.items()]
    return Table(
        f"Optimizer {optimizer.name}: layout {optimizer.layout}, {_counted(optimizer.parameters, 'parameter')}",
        (Column("", "left"), Column("value", "left"), Column("source", "left"), Column("where", "left")),
        tuple((name, value_text(v), v.source, v.where) for name, v in rows),
        optimizer.description,
    )


def _size_table(overview: Overview) -> Table:
    sizes = overview.sizes
    tensors = sizes.weights + sizes.first_moments + sizes.second_moments + sizes.other_tensors
    rest = sizes.files - tensors
    rows = [
        ("weights", sizes.weights),
        ("first moments", sizes.first_moments),
        ("second moments", sizes.second_moments),
        ("other tensors" if overview.optimizers else "tensors", sizes.other_tensors),
        ("index, graph, configuration" if rest >= 0 else "saved by compression", rest),
    ]
    return Table(
        "Size",
        (Column("", "left"), Column("bytes"), Column("share")),
        tuple((name, _bytes(n), f"{n / sizes.files:.1%}" if sizes.files else NOTHING) for name, n in rows if n),
    )


def _parameter_table(overview: Overview) -> Table:
    several = len(overview.optimizers) > 1
    columns = [Column("parameter", "left"), Column("shape", "left"), Column("dtype", "left"), Column("elements")]
    if overview.optimizers:
        columns.append(Column("slot variables", "left", keep=3))
    if several:
        columns.insert(0, Column("optimizer", "left", keep=4))
    rows = []
    for p in overview.parameters:
        row = [p.name.removesuffix(_KEY_TAIL), shape_text(p.shape), p.dtype, f"{math.prod(p.shape):,}"]
        if overview.optimizers:
            row.append(", ".join(s.replace("_", " ") for s in p.slots) or "none")
        if several:
            row.insert(0, p.optimizer)
        rows.append(tuple(row))
    title = "Parameters" if any(p.optimizer for p in overview.parameters) else "Tensors"
    return Table(f"{title} ({len(rows)})", tuple(columns), tuple(rows))


def diff_tables(diff: Diff, *, all_rows: bool = False) -> tuple[Table, ...]:
    """A diff: optimizers and their changed values, what is in one checkpoint only, then what changed most first."""
    counts = ", ".join(f"{n} {status}" for status, n in diff.counts.items() if n) or "nothing to compare"
    tables = [_facts("", ("a", diff.path_a), ("b", diff.path_b), ("parameters", counts))]
    for optimizer in diff.optimizers:
        if optimizer.status in ("added", "removed"):
            tables.append(_facts("", (f"optimizer {optimizer.name}", f"{optimizer.status}: only one has its state")))
            continue
        changed = [h for h in optimizer.hyperparameters if h.is_changed]
        if changed:
            rows = tuple((h.name, value_text(h.a), h.a.source, value_text(h.b), h.b.source) for h in changed)
            source = Column("source", "left")
            headings = (Column("", "left"), Column("a"), source, Column("b"), source)
            apart = "" if optimizer.steps is None else f"{optimizer.steps:+,} updates from a to b"
            tables.append(Table(f"Optimizer {optimizer.name}", headings, rows, apart))
    tables += _structural_table(diff)
    moved = [p for p in diff.parameters if p.status == "changed" or (all_rows and p.status == "same")]
    if moved:
        tables.append(_changed_table(diff, moved))
    return tuple(tables)


def _structural_table(diff: Diff) -> list[Table]:
    rows = [
        (
            p.status,
            p.parameter.removesuffix(_KEY_TAIL),
            _shape_and_dtype(p.shape_a, p.dtype_a),
            _shape_and_dtype(p.shape_b, p.dtype_b),
        )
        for p in diff.parameters
        if p.status in ("added", "removed", "reshaped")
    ]
    columns = (Column("", "left"), Column("parameter", "left"), Column("a", "left"), Column("b", "left"))
    return [Table("In one only, or of another shape", columns, tuple(rows))] if rows else []


def _changed_table(diff: Diff, moved: Sequence[ParameterDiff]) -> Table:
    several = len(diff.optimizers) > 1
    is_relative = any(p.is_effective_lr_relative for p in moved)
    columns = [
        Column("parameter", "left"), Column("Δ weights"), Column("cosine", keep=7),
        Column("E/α" if is_relative else "E", keep=6), Column("Δ m", keep=5), Column("Δ v", keep=5),
        Column("gradient RMS", keep=2), Column("starved", keep=1),
    ]  # fmt: skip
    rows = []
    for p in moved:
        row = [
            p.parameter.removesuffix(_KEY_TAIL), figure(p.weight_change), cosine_text(p.weight_cosine),
            ratio_text(p.effective_lr_ratio), figure(p.first_moment_change), figure(p.second_moment_change),
            figure(p.gradient_rms), share(p.starved),
        ]  # fmt: skip
        rows.append(tuple([p.optimizer or NOTHING, *row] if several else row))
    if several:
        columns.insert(0, Column("optimizer", "left", keep=4))
    used, texts = _without_empty(tuple(columns), tuple(rows))
    shown = {c.title for c in used}
    notes = ["Δ: ‖b-a‖/‖a‖ of the weights" + (" and of the moments m, v" if "Δ m" in shown else "")]
    if "E" in shown:
        notes.append("E: median effective learning rate, b over a")
    if "E/α" in shown:
        notes.append("E/α: median effective learning rate over the learning rate, which is not known, b over a")
    if "gradient RMS" in shown:
        notes.append("gradient RMS: of the gradients between the two")
    if "starved" in shown:
        notes.append("starved: elements that none of them reached")
    return Table("Changed, most first", used, texts, "; ".join(notes))


def problem_lines(problems: Iterable[Problem], *, with_info: bool = True) -> list[str]:
    """One line a problem, the most severe first."""
    order = ("error", "warning", "info")
    chosen = sorted((p for p in problems if with_info or p.severity != "info"), key=lambda p: order.index(p.severity))
    return [f"{p.severity}: {p.message}; {p.resolution}" for p in chosen]


def _without_empty(
    columns: tuple[Column, ...], rows: tuple[tuple[str, ...], ...]
) -> tuple[tuple[Column, ...], tuple[tuple[str, ...], ...]]:
    """Columns in which no row has anything are left out."""
    used = [i for i, c in enumerate(columns) if c.keep == 9 or any(row[i] != NOTHING for row in rows)]
    return tuple(columns[i] for i in used), tuple(tuple(row[i] for i in used) for row in rows)


def sparkline(values: Sequence[float], width: int = 12) -> str:
    """Positive values over the run on a log scale from their smallest to their largest; a blank where there is none.

    Longer series are thinned to `width` of their values, first and last included. A constant series is a flat low line.
    """
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    logs = [math.log(v) if v > 0.0 and math.isfinite(v) else None for v in values]
    known = [x for x in logs if x is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    scale = (len(BLOCKS) - 1) / (high - low) if high - low > 1e-6 else 0.0
    return "".join(" " if x is None else BLOCKS[round((x - low) * scale)] for x in logs)


def value_text(value: Sourced) -> str:
    """A resolved value as a person would write it."""
    if value.value is None:
        return "unknown"
    return f"{value.value:.6g}" if isinstance(value.value, float) else str(value.value)


def figure(value: float) -> str:
    """Three significant digits; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    return f"{value:.3g}" if value == 0.0 or 1e-3 <= abs(value) < 1e4 or math.isinf(value) else f"{value:.2e}"


def cosine_text(value: float) -> str:
    """Four decimals; near 1 as far below it as it is, so that small turns can be told apart."""
    if math.isnan(value):
        return NOTHING
    return f"{value:.4f}" if value < 0.99995 else f"1-{max(0.0, 1.0 - value):.0e}" if value < 1.0 else "1"


def ratio_text(value: float) -> str:
    """A factor, `×0.53`; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"×{figure(value)}"


def share(value: float) -> str:
    """A percentage; tells almost none from none and almost all from all."""
    if math.isnan(value):
        return NOTHING
    if 0.0 < value < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < value < 1.0 else f"{value:.1%}"


def shape_text(shape: Sequence[int]) -> str:
    """`12×3`; `scalar` for no dimensions."""
    return "×".join(map(str, shape)) or "scalar"


def _shape_and_dtype(shape: tuple[int, ...] | None, dtype: str | None) -> str:
    return NOTHING if shape is None else f"{shape_text(shape)} {dtype}"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError("the loop returns")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
