"""Compare two checkpoints and print what differs: what `diff` does once its words have been parsed. Needs no Typer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt_inspect.cli.answering import print_json, remark_on
from ckpt_inspect.cli.asked import Common

if TYPE_CHECKING:
    from ckpt_inspect.presentation.results import Diff


def print_diff(a: str, b: str, common: Common, *, output: str | None = None, infer: bool = True) -> int:
    """Compare, print and draw, and return the exit code."""
    from ckpt_inspect.api import diff
    from ckpt_inspect.cli.terminal import print_tables, progress_bar
    from ckpt_inspect.presentation.tables.changes import diff_tables

    with progress_bar("comparing", is_quiet=common.quiet) as progress:
        result = diff(
            a, b, given=common.given, include=common.include, exclude=common.exclude, infer=infer, progress=progress
        )
    if not common.json:
        print_tables(diff_tables(result, all_rows=common.verbose))
    if output is not None:
        _draw_diff(result, output, common)
    if common.json:
        from ckpt_inspect.presentation.documents import diff_document

        print_json(diff_document(result))
    remark_on(result.problems, quiet=common.quiet, verbose=common.verbose)
    return 0 if result.is_same else 1


def _draw_diff(result: Diff, output: str, common: Common) -> None:
    from ckpt_inspect.api import draw_diff
    from ckpt_inspect.cli.terminal import remark
    from ckpt_inspect.cli.writing import without_scipy

    with without_scipy():
        files = draw_diff(result, output, given=common.given, include=common.include, exclude=common.exclude)
    if not common.quiet:
        remark(f"drawn into {', '.join(map(str, files))}")
