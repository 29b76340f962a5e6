"""What deserves attention in a run, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.presentation.tables.table import Column, Table, fact_table

if TYPE_CHECKING:
    from ckpt_inspect.findings.finding import Finding


def finding_tables(findings: Sequence[Finding], *, with_info: bool = False) -> tuple[Table, ...]:
    """Return what deserves attention, the most severe first, and what to do about it; no table if there is nothing."""
    shown = [f for f in findings if with_info or f.severity.word != "info"]
    more = len(findings) - len(shown)
    notes = [f"{more} of severity info: -v shows them"] if more else []
    if not shown:
        return (fact_table(("findings", f"no warning; {notes[0]}")),) if more else ()
    notes.append(f"ckpt-inspect explain {shown[0].id} says more")
    has_several = len({f.optimizer for f in findings if f.optimizer}) > 1
    rows = []
    for f in shown:
        rows.append((f.severity.word, f"{f.optimizer}: {f.title}" if has_several and f.optimizer else f.title))
        rows.append(("", f"{f.id}: {f.action}"))
    return (Table("Findings", (Column("", "left"), Column("", "left")), tuple(rows), "; ".join(notes)),)
