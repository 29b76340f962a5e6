"""CSV: a frame as text that any program reads; numbers as short as gives the same float64 again."""

from __future__ import annotations

from pathlib import Path

from ckpt_inspect.presentation.export.frames import joined_frame
from ckpt_inspect.presentation.export.target import Exported, Order, Target
from ckpt_inspect.presentation.written_files import written_whole


def write_csv(order: Order, path: Path) -> Exported:
    """Write RFC 4180 in UTF-8 with a heading line; what is not known is an empty field."""
    frame = joined_frame(order)
    with written_whole(path) as temporary:
        frame.to_csv(temporary, index=False, encoding="utf-8", errors="backslashreplace")
    return Exported((path,))


CSV = Target("csv", "a table as text", "{frame}.csv", True, write_csv)
