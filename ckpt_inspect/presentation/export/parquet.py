"""Parquet: a frame with its types, compressed, by columns. Written by pyarrow."""

from __future__ import annotations

from pathlib import Path

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.export.frames import joined_frame
from ckpt_inspect.presentation.export.target import Exported, Order, Target
from ckpt_inspect.presentation.written_files import written_whole


def write_parquet(order: Order, path: Path) -> Exported:
    """Write a Parquet file; what is not known is null in columns of integers and texts, NaN in those of floats."""
    try:
        import pyarrow  # noqa: F401 - pandas imports it; this is to say what to do if it can't
    except ImportError as error:
        raise RequestError(
            "pyarrow, which writes Parquet, is not installed: pip install 'ckpt-inspect[parquet]'"
        ) from error
    frame = joined_frame(order)
    with written_whole(path) as temporary:
        frame.to_parquet(temporary, engine="pyarrow", index=False)
    return Exported((path,))


PARQUET = Target("parquet", "a table with its types, compressed", "{frame}.parquet", True, write_parquet)
