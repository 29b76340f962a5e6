"""A table of text under headings: data."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Column(NamedTuple):
    """One column's heading and behaviour."""

    title: str
    justify: Literal["left", "right"] = "right"
    keep: int = 9
    """If the screen is too narrow, the columns with the smallest number go first; 9 stays."""
    is_text: bool = False
    """Whether it may be wrapped between words, even if it can go."""


class Table(NamedTuple):
    """Rows of text under headings."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """A sentence below the table."""


NOTHING = "-"
"""What is shown for a figure that is not defined or not known."""


def fact_table(*facts: tuple[str, str]) -> Table:
    """Return a table of facts, a line a fact: its subject and its value."""
    return Table("", (Column("", "left"), Column("", "left")), facts)


def without_empty(
    columns: tuple[Column, ...], rows: tuple[tuple[str, ...], ...]
) -> tuple[tuple[Column, ...], tuple[tuple[str, ...], ...]]:
    """Leave out the columns in which no row has anything."""
    used = [i for i, c in enumerate(columns) if c.keep == 9 or any(row[i] != NOTHING for row in rows)]
    return tuple(columns[i] for i in used), tuple(tuple(row[i] for i in used) for row in rows)
