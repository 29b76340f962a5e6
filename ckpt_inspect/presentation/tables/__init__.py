"""Results as tables of text: data in, `Table` out. How a table reaches a screen or a pipe is `terminal`'s business."""

from __future__ import annotations

from ckpt_inspect.presentation.tables.changes import diff_tables
from ckpt_inspect.presentation.tables.explained import explanation_tables, index_tables
from ckpt_inspect.presentation.tables.findings import finding_tables
from ckpt_inspect.presentation.tables.overview import show_tables
from ckpt_inspect.presentation.tables.run import run_tables
from ckpt_inspect.presentation.tables.table import Column, Table
from ckpt_inspect.presentation.tables.wording import problem_lines

__all__ = [
    "Column",
    "Table",
    "diff_tables",
    "explanation_tables",
    "finding_tables",
    "index_tables",
    "problem_lines",
    "run_tables",
    "show_tables",
]
