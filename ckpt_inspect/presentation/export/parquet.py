"""Parquet: a frame with its types, compressed, by columns. Written by pyarrow, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.export.frames import frame_pieces
from ckpt_inspect.presentation.export.target import Exported, Order, Target
from ckpt_inspect.presentation.written_files import written_whole

if TYPE_CHECKING:
    from pandas import DataFrame

_GROUP_ROWS = 1 << 15
"""Rows that are written together, at least, but for the last: 30 MB of a hundred columns."""


def write_parquet(order: Order, path: Path) -> Exported:
    """Write a Parquet file; what is not known is null in columns of integers and texts, NaN in those of floats."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise RequestError(
            "pyarrow, which writes Parquet, is not installed: pip install 'ckpt-inspect[parquet]'"
        ) from error
    pieces = frame_pieces(order)
    schema = pa.Schema.from_pandas(pieces.head, preserve_index=False)
    with written_whole(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for piece in _together(pieces.each):
            writer.write_table(pa.Table.from_pandas(piece, schema=schema, preserve_index=False))
    return Exported((path,))


def _together(pieces: Iterable[DataFrame]) -> Iterator[DataFrame]:
    """Yield the pieces, those that are small together."""
    import pandas as pd

    waiting: list[DataFrame] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= _GROUP_ROWS:
            yield pd.concat(waiting, ignore_index=True)
            waiting = []
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


PARQUET = Target("parquet", "a table with its types, compressed", "{frame}.parquet", True, write_parquet)
