"""CSV: a frame as text that any program reads; numbers as short as gives the same float64 again."""

from __future__ import annotations

from pathlib import Path

from ckpt_inspect.presentation.export.frames import joined_frame
from ckpt_inspect.presentation.export.target import Exported, Order, Target
from ckpt_inspect.presentation.shown_names import printable
from ckpt_inspect.presentation.written_files import written_whole


def write_csv(order: Order, path: Path) -> Exported:
    """Write RFC 4180 in UTF-8 with a heading line; what is not known is an empty field, no text is a formula."""
    from pandas.api.types import is_string_dtype

    frame = joined_frame(order)
    for name in frame.columns:
        if frame[name].dtype.kind == "O" or is_string_dtype(frame[name].dtype):
            frame[name] = frame[name].map(_cell, na_action="ignore")
    with written_whole(path) as temporary:
        frame.to_csv(temporary, index=False, encoding="utf-8", errors="backslashreplace")
    return Exported((path,))


def _cell(value: object) -> object:
    """Return a text as a spreadsheet shows it rather than does it.

    It takes what begins with =, +, - or @ for a formula. An apostrophe goes before such a beginning; control characters
    are escaped, line breaks apart.
    """
    if not isinstance(value, str):
        return value
    text = "\n".join(map(printable, value.split("\n")))
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet takes for a formula."""

CSV = Target("csv", "a table as text", "{frame}.csv", True, write_csv)
