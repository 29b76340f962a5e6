"""CSV: a frame as text that any program reads; numbers as short as gives the same float64 again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.presentation.export.frames import frame_pieces
from ckpt_inspect.presentation.export.target import Exported, Order, Target
from ckpt_inspect.presentation.shown_names import printable
from ckpt_inspect.presentation.written_files import written_whole

if TYPE_CHECKING:
    from pandas import DataFrame


def write_csv(order: Order, path: Path) -> Exported:
    """Write RFC 4180 in UTF-8 with a heading line; what is not known is an empty field, no text is a formula."""
    with (
        written_whole(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        for number, piece in enumerate(frame_pieces(order).each):
            _plain(piece).to_csv(file, index=False, header=not number, lineterminator="\n")
    return Exported((path,))


def _plain(frame: DataFrame) -> DataFrame:
    """Return the frame with texts as they are written."""
    from pandas.api.types import is_string_dtype

    for name in frame.columns:
        if frame[name].dtype.kind == "O" or is_string_dtype(frame[name].dtype):
            frame[name] = frame[name].map(_cell if name in _LISTS else _line, na_action="ignore")
    frame.columns = [_line(name) for name in frame.columns]
    return frame


_LISTS = ("files", "parameters", "checkpoints")
"""Columns whose cells have a name a line."""


def _line(value: object) -> object:
    """Return the same as `_cell`, in one line."""
    return _cell(value.replace("\n", "\\n")) if isinstance(value, str) else value


def _cell(value: object) -> object:
    """Return a text as a spreadsheet shows it rather than does it.

    It takes what begins with =, +, - or @ for a formula, some of them also behind blanks and quotes, or in their
    full-width forms; and what follows a semicolon begins a cell wherever that separates them. An apostrophe goes before
    such a beginning; control characters are escaped, line breaks apart.
    """
    if not isinstance(value, str):
        return value
    text = "\n".join(map(printable, value.split("\n")))
    return text if _is_number(text) else _FORMULA.sub(r"\1'", text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_FORMULA = re.compile("(^|;)(?=[\\s\"'`]*[=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212])")
"""Where a cell begins that a spreadsheet takes for a formula."""

CSV = Target("csv", "a table as text", "{frame}.csv", True, write_csv)
