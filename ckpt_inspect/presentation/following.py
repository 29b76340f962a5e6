"""What a following brings, as people meet it, and the page that is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ckpt_inspect.presentation.arguments import PathLike
from ckpt_inspect.presentation.results import Analyses, Followed
from ckpt_inspect.runs.following import Ends, Taken

RELOAD = 10
"""Seconds after which an open page loads itself anew while a training goes on."""


def followed(news: Iterator[Taken], ends: Ends, page: PathLike | None) -> Iterator[Followed]:
    """Yield each new checkpoint by itself, and each problem. `page`: the folder of a report that is kept up to date.

    Raises StoreError, before anything is awaited, if a report can't be written there.
    """
    if page is None:
        yield from _each(news, ends, {})
        return
    from ckpt_inspect.presentation.report import check_folder, end_reloading

    check_folder(page)
    runs: dict[Path, Analyses] = {}
    try:
        yield from _each(news, ends, runs, page)
    finally:
        end_reloading(page)


def _each(
    news: Iterator[Taken], ends: Ends, runs: dict[Path, Analyses], page: PathLike | None = None
) -> Iterator[Followed]:
    for taken in news:
        name = "" if taken.run is None else taken.run.name
        analyses = None if taken.columns is None else Analyses.of(taken.columns)
        if analyses is not None and taken.store is not None and taken.rows:
            runs[taken.store] = analyses
            if page is not None:
                _write(runs, page)
        fails_on = () if taken.columns is None else ends.fails_on(taken.columns)
        for problem in taken.problems:
            yield Followed(name, taken.store, analyses, None, problem)
        for row in taken.rows:
            is_last = row == taken.rows[-1]
            yield Followed(name, taken.store, analyses, row, None, fails_on if is_last else ())


def _write(runs: dict[Path, Analyses], page: PathLike) -> None:
    from ckpt_inspect.presentation.report import write_report

    write_report(list(runs.values()), page, reload=RELOAD)
