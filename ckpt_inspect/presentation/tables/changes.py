"""What differs between two checkpoints, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.measurement.wording import figure, heading_name, percent, spoken_name
from ckpt_inspect.presentation.tables.table import NOTHING, Column, Table, fact_table, without_empty
from ckpt_inspect.presentation.tables.wording import cosine_text, ratio_text, shape_text, value_text
from ckpt_inspect.sourced import quoted, shown_source

if TYPE_CHECKING:
    from ckpt_inspect.comparison.differences import Differences, ParameterDiff


def diff_tables(diff: Differences, *, all_rows: bool = False) -> tuple[Table, ...]:
    """Return a diff's tables: optimizers and their changed values, what is in one checkpoint only, then what changed
    most first."""
    counts = ", ".join(f"{n} {status}" for status, n in diff.counts.items() if n) or "nothing to compare"
    facts = [("a", diff.path_a), ("b", diff.path_b), ("parameters", counts)]
    if moved_scalars := [p.parameter for p in diff.scalars if p.status != "same"]:
        facts.append(("other scalars", f"{len(moved_scalars)} differ: {', '.join(moved_scalars)}"))
    tables = [fact_table(*facts)]
    for optimizer in diff.optimizers:
        if optimizer.status in ("added", "removed"):
            tables.append(fact_table((spoken_name(optimizer.name), f"{optimizer.status}: only one has its state")))
            continue
        changed = [h for h in optimizer.hyperparameters if h.is_changed or h.is_told]
        if changed:
            rows = tuple(
                (
                    h.name,
                    value_text(h.a),
                    shown_source(h.a.source, h.against_a),
                    value_text(h.b),
                    shown_source(h.b.source, h.against_b),
                )
                for h in changed
            )
            source = Column("source", "left", keep=1, is_text=True)
            headings = (Column("", "left"), Column("a"), source, Column("b"), source)
            apart = "" if optimizer.steps is None else f"{optimizer.steps:+,} updates from a to b"
            tables.append(Table(heading_name(optimizer.name), headings, rows, apart))
    tables += _structural_table(diff)
    moved = [p for p in diff.parameters if p.status == "changed" or (all_rows and p.status == "same")]
    if moved:
        tables.append(_changed_table(diff, moved))
    return tuple(tables)


def _structural_table(diff: Differences) -> list[Table]:
    rows = [
        (
            p.status,
            p.parameter,
            _shape_and_dtype(p.shape_a, p.dtype_a),
            _shape_and_dtype(p.shape_b, p.dtype_b),
        )
        for p in diff.parameters
        if p.status in ("added", "removed", "reshaped")
    ]
    columns = (Column("", "left"), Column("parameter", "left"), Column("a", "left"), Column("b", "left"))
    return [Table("In one only, or of another shape", columns, tuple(rows))] if rows else []


def _changed_table(diff: Differences, moved: Sequence[ParameterDiff]) -> Table:
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
            p.parameter, figure(p.weight_change), cosine_text(p.weight_cosine),
            ratio_text(p.effective_lr_ratio), figure(p.first_moment_change), figure(p.second_moment_change),
            figure(p.gradient_rms), percent(p.starved),
        ]  # fmt: skip
        rows.append(tuple([p.optimizer or NOTHING, *row] if several else row))
    if several:
        columns.insert(0, Column("optimizer", "left", keep=4))
    used, texts = without_empty(tuple(columns), tuple(rows))
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
    refuted = {
        f"{h.name} = {quoted(value.value, value.source, against)}": None
        for optimizer in diff.optimizers
        for h in optimizer.hyperparameters
        for value, against in ((h.a, h.against_a), (h.b, h.against_b))
        if against and isinstance(value.value, float)
    }
    if refuted:
        notes.append(f"by {' and '.join(refuted)}")
    return Table("Changed, most first", used, texts, "; ".join(notes))


def _shape_and_dtype(shape: tuple[int, ...] | None, dtype: str | None) -> str:
    return NOTHING if shape is None else f"{shape_text(shape)} {dtype}"
