"""What a following brings, as people meet it, and the page that is written meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ckpt_inspect.errors import StoreError
from ckpt_inspect.presentation.arguments import PathLike
from ckpt_inspect.presentation.results import Analyses, Followed
from ckpt_inspect.runs.following import Ends, Taken, passing_problem

RELOAD = 10.0
"""Seconds after which an open page loads itself anew while a training goes on; it is written no more often."""

_DRAWING_SHARE = 0.25
"""Share of the time, at most, in which a page is written, however many checkpoints come."""


def followed(news: Iterator[Taken], ends: Ends, page: PathLike | None) -> Iterator[Followed]:
    """Yield each new checkpoint by itself, and each problem. `page`: the folder of a report that is kept up to date.

    Raises StoreError, before anything is awaited, if a report can't be written there.
    """
    if page is None:
        for taken in news:
            yield from _each(taken, ends)
        return
    from ckpt_inspect.presentation.report import check_folder, end_reloading

    check_folder(page)
    live = LivePage(page)
    try:
        for taken in news:
            each = list(_each(taken, ends))
            if taken.rows and taken.store is not None and each[-1].analyses is not None:
                live.take(taken.store, each[-1].analyses)
            yield from live.write_if_due()
            yield from each
        live.write()
    except KeyboardInterrupt:
        live.write()
        raise
    finally:
        end_reloading(page)


def _each(taken: Taken, ends: Ends) -> Iterator[Followed]:
    if taken.columns is None:
        yield from (Followed("" if taken.run is None else taken.run.name, taken.store, None, None, p)
                    for p in taken.problems)  # fmt: skip
        return
    assert taken.run is not None
    name, analyses = taken.run.name, Analyses.of(taken.columns)
    findings, fails_on = ends.findings(taken.columns), ends.fails_on(taken.columns)
    for problem in taken.problems:
        yield Followed(name, taken.store, analyses, None, problem, findings=findings)
    for row in taken.rows:
        yield Followed(name, taken.store, analyses, row, None, fails_on if row == taken.rows[-1] else (), findings)


class LivePage:
    """The report of trainings that go on: it is as new as its share of the time allows, and up to date at the end."""

    def __init__(self, folder: PathLike, clock: Callable[[], float] = time.monotonic) -> None:
        """`folder` as of `write_report`; nothing is written yet."""
        self._folder, self._clock = folder, clock
        self._runs: dict[Path, Analyses] = {}
        self._is_outdated = self._is_full = False
        self._next = 0.0
        """When it may be written again, by the clock."""

    def take(self, store: Path, analyses: Analyses) -> None:
        """Take in a run as it is now."""
        self._runs[store], self._is_outdated = analyses, True

    def write_if_due(self) -> Iterator[Followed]:
        """Write the page if it is outdated and may be written again; yield the problem, once, if it can't be now."""
        if not self._is_outdated or self._clock() < self._next:
            return
        try:
            self.write()
        except StoreError as error:
            if (problem := passing_problem(error)) is None:
                raise
            if not self._is_full:
                yield Followed("", None, None, None, problem)
            self._is_full = True

    def write(self) -> None:
        """Write the page if it is outdated."""
        if not self._is_outdated:
            return
        from ckpt_inspect.presentation.report import write_report

        begun = self._clock()
        write_report(list(self._runs.values()), self._folder, reload=RELOAD)
        done = self._clock()
        self._is_outdated = self._is_full = False
        self._next = max(begun + RELOAD, begun + (done - begun) / _DRAWING_SHARE)
