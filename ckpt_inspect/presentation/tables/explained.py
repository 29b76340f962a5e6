"""What a name means, and all names that can be explained, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ckpt_inspect.measurement.wording import setting
from ckpt_inspect.presentation.tables.table import Column, Table

if TYPE_CHECKING:
    from ckpt_inspect.findings.explanations import Explanation
    from ckpt_inspect.presentation.guide import Topic

_HEADINGS = {
    "metric": "Figures of a tensor, from one checkpoint",
    "comparison": "Figures of two checkpoints",
    "hyperparameter": "Resolved values of an optimizer",
    "finding": "Findings",
    "reason": "Reasons of `check`",
}


def explanation_tables(explanations: Iterable[Explanation]) -> tuple[Table, ...]:
    """Return one table for each explanation, with all that it says."""
    return tuple(_in_full(explanation) for explanation in explanations)


def index_tables(topics: Iterable[Topic], explanations: Iterable[Explanation]) -> tuple[Table, ...]:
    """List every name with its title: the topics first, then the explanations by their sort."""
    listed = list(explanations)
    columns = (Column("", "left"), Column("", "left"))
    return (
        Table("Topics, a page each", columns, tuple((topic.name, topic.title) for topic in topics)),
        *(
            Table(heading, columns, tuple((e.name, e.title) for e in listed if e.sort == sort))
            for sort, heading in _HEADINGS.items()
        ),
    )


def _in_full(e: Explanation) -> Table:
    is_finding = e.sort in ("finding", "reason")
    rows = [
        ("what it is" if not is_finding else "found where", e.definition),
        ("formula", e.formula),
        ("severity", e.severity),
        ("why it matters" if is_finding else "how to read it", e.reading),
        ("what to do", e.action),
        *(
            (f"threshold {t.name}", f"{setting(t.value)} ({t.source}); --threshold {t.name}=VALUE")
            for t in e.thresholds
        ),
        ("source", e.source),
        ("see", ", ".join(e.see)),
    ]
    title = f"{e.name}: {e.title}"
    return Table(title, (Column("", "left"), Column("", "left")), tuple(row for row in rows if row[1]))
