"""The Markdown of the guide's pages as blocks that a terminal can lay out. Pure: text in, data out."""

from __future__ import annotations

import re
from itertools import groupby

from ckpt_inspect.presentation.tables.table import Column, Table
from ckpt_inspect.records import dataclass

_MARKER = re.compile(r"(?:- |\d+\. )")
_CELL_END = re.compile(r"(?<!\\)\|")
_INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|\*(?P<emphasis>[^*\s][^*]*)\*")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading."""

    text: str
    level: int
    """1 is the page's own."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text, to be broken into lines anywhere."""

    text: str
    """With its inline marks: see `spans`."""
    marker: str = ""
    """`- ` or `1. ` if it is an item of a list."""


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to be shown as they are."""

    lines: tuple[str, ...]


Block = Heading | Paragraph | Code | Table


def blocks(text: str) -> tuple[Block, ...]:
    """Return a page's blocks in their order.

    Knows headings, paragraphs, lists of one level, tables, fenced and indented code, which is what the pages use; the
    language of a fence is dropped.
    """
    found: list[Block] = []
    lines = text.splitlines()
    while lines:
        line = lines[0]
        if line.startswith("```"):
            end = lines.index("```", 1)
            found.append(Code(tuple(lines[1:end])))
            del lines[: end + 1]
            continue
        size = _block_size(lines)
        if line.startswith("#"):
            found.append(Heading(line.lstrip("#").strip(), len(line) - len(line.lstrip("#"))))
        elif line.startswith("|"):
            found.append(_table(lines[:size]))
        elif line.startswith("    "):
            found.append(Code(tuple(each[4:] for each in lines[:size])))
        elif line:
            marker = _MARKER.match(line)
            words = " ".join(each.strip() for each in lines[:size])
            found.append(Paragraph(words[marker.end() :], marker[0]) if marker else Paragraph(words))
        del lines[:size]
    return tuple(found)


def _block_size(lines: list[str]) -> int:
    """How many lines the block at the beginning has, fences aside."""
    if not lines[0] or lines[0].startswith("#"):
        return 1
    following = (i for i, each in enumerate(lines) if i and (not each or each.startswith("```") or _MARKER.match(each)))
    return next(following, len(lines))


def _table(lines: list[str]) -> Table:
    headings, _, *rows = [tuple(plain(cell.strip()) for cell in _CELL_END.split(line)[1:-1]) for line in lines]
    return Table("", tuple(Column(heading, "left") for heading in headings), tuple(rows))


def spans(text: str) -> tuple[tuple[str, str], ...]:
    """Split running text into pieces, each with what marks it: `code`, `strong`, `emphasis` or nothing."""
    pieces: list[tuple[str, str]] = []
    at = 0
    for found in _INLINE.finditer(text):
        pieces.append((text[at : found.start()], ""))
        pieces.append((found[found.lastgroup or 0], found.lastgroup or ""))
        at = found.end()
    pieces.append((text[at:], ""))
    merged = ((kind, "".join(piece for piece, _ in group)) for kind, group in groupby(pieces, key=lambda each: each[1]))
    return tuple((piece.replace("\\|", "|"), kind) for kind, piece in merged if piece)


def plain(text: str) -> str:
    """Return running text without its inline marks."""
    return "".join(piece for piece, _ in spans(text))
