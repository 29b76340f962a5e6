"""Write a report and print what was drawn: for `report`, and for `analyze --report`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from ckpt_inspect.cli.answering import remark_on
from ckpt_inspect.cli.asked import Common

if TYPE_CHECKING:
    from ckpt_inspect.presentation.report import Report
    from ckpt_inspect.presentation.results import Analyses


def write_figures(
    runs: Sequence[Analyses | str],
    folder: str,
    common: Common,
    file_format: str = "png",
    figures: Sequence[str] | None = None,
) -> Report:
    """Write the page and its figures into a folder, and say on stderr what was drawn and what was not."""
    from ckpt_inspect.api import write_report
    from ckpt_inspect.cli.terminal import progress_bar, remark
    from ckpt_inspect.measurement.wording import counted

    # analyze computed with the rate that was given; stores are drawn for it
    rate = common.learning_rate if all(isinstance(run, str) for run in runs) else None
    with without_scipy(), progress_bar("drawing", is_quiet=common.quiet) as progress:
        written = write_report(
            runs,
            folder,
            learning_rate=rate,
            include=common.include,
            exclude=common.exclude,
            file_format=file_format,
            figures=figures,
            progress=progress,
        )
    if not common.quiet:
        for omission in written.omitted:
            remark(f"info: {omission.optimizer}: no figure {omission.id}: {omission.reason}")
        remark(
            f"drew {counted(len(written.figures), 'figure')} into {folder}; {written.page} shows them all in a browser"
        )
    remark_on(written.problems, quiet=common.quiet, verbose=common.verbose)
    return written


@contextlib.contextmanager
def without_scipy() -> Iterator[None]:
    """Have what is imported within this do without scipy: seaborn takes a second for it, and no figure needs it.

    In this process alone: whoever uses seaborn themselves would miss what it draws with scipy.
    """
    modules = cast("dict[str, object]", sys.modules)
    if "scipy" in modules:
        yield
        return
    modules["scipy"] = None  # importing it fails, as if it were not installed
    try:
        yield
    finally:
        del modules["scipy"]
