"""A page's Markdown as blocks."""

from __future__ import annotations

import pytest

from ckpt_inspect.presentation.guide.markdown import Code, Heading, Paragraph, blocks, plain, spans
from ckpt_inspect.presentation.tables.table import Table


def test_every_kind_of_block_is_known() -> None:
    """Headings, paragraphs over several lines, items with their continuation, both kinds of code."""
    text = (
        "# A\n\n## B\n\none\ntwo\n\n- first\n  goes on\n- second\n\n1. item\n\n    E = 1\n\n    c\n\n"
        "```sh\nls\n\n# no heading\n```\nend\n"
    )
    assert blocks(text) == (
        Heading("A", 1),
        Heading("B", 2),
        Paragraph("one two"),
        Paragraph("first goes on", "- "),
        Paragraph("second", "- "),
        Paragraph("item", "1. "),
        Code(("E = 1",)),
        Code(("c",)),
        Code(("ls", "", "# no heading")),
        Paragraph("end"),
    )


def test_tables_are_tables() -> None:
    """Their cells have no marks; an escaped bar is a bar, an empty cell is empty."""
    (table,) = blocks("| a | |\n|---|---|\n| `x` | 0 < \\|Δ\\| |\n| **y** | |\n")
    assert isinstance(table, Table)
    assert [column.title for column in table.columns] == ["a", ""]
    assert table.rows == (("x", "0 < |Δ|"), ("y", ""))


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("a `b` c", [("a ", ""), ("b", "code"), (" c", "")]),
        ("**E is a rate.** Its *unit*", [("E is a rate.", "strong"), (" Its ", ""), ("unit", "emphasis")]),
        ("`ckpt-*.h5` and `*`", [("ckpt-*.h5", "code"), (" and ", ""), ("*", "code")]),
        ("2 * 3 * 4", [("2 * 3 * 4", "")]),
        ("", []),
    ],
)
def test_marked_words_are_told_apart(text: str, pieces: list[tuple[str, str]]) -> None:
    """Code, strong and emphasised words; asterisks inside code or between blanks mark nothing."""
    assert list(spans(text)) == pieces
    assert plain(text) == "".join(piece for piece, _ in pieces)
