"""`analyze --follow`: a live table on a terminal, a line a checkpoint in a pipe."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from ckpt_inspect.cli.asked import Common
from ckpt_inspect.cli.terminal import live_table, print_line, remark

if TYPE_CHECKING:
    from ckpt_inspect.presentation.results import Followed

_SHOWN = 15
"""Checkpoints that the table on a terminal shows, the newest last."""

Show = Callable[["Followed"], None]


def show_following(events: Iterator[Followed], paths: Sequence[str], common: Common) -> bool:
    """Print each checkpoint as it is taken, until there are no more; return whether a finding ended it."""
    has_failed = False
    with closing(events), _shown(paths, common) as show:  # type: ignore[type-var]  # a generator
        for event in events:
            if event.problem is not None:
                if event.problem.severity == "error" or not common.quiet:
                    remark(f"ckpt-inspect: {event.problem.message}; {event.problem.resolution}")
                continue
            show(event)
            if event.fails_on:
                has_failed = True
                remark(f"ckpt-inspect: {event.run}: ended by --fail-on: {', '.join(event.fails_on)}")
    return has_failed


@contextmanager
def _shown(paths: Sequence[str], common: Common) -> Iterator[Show]:
    """Give what shows a checkpoint: a line of JSON, a line of text, or a table that changes."""
    from ckpt_inspect.presentation.tables.following import COLUMNS, following_document, following_rows, following_table

    def show_document(event: Followed) -> None:
        assert event.analyses is not None
        assert event.row is not None
        store = None if event.store is None else str(event.store)
        document = following_document(event.run, store, event.analyses, event.row, event.findings)
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
        sys.stdout.flush()

    def rows_of(event: Followed) -> list[tuple[str, ...]]:
        assert event.analyses is not None
        assert event.row is not None
        return following_rows(event.analyses, event.row, event.findings)

    def show_line(event: Followed) -> None:
        for row in rows_of(event):
            print_line("  ".join(f"{cell:>12}" if c.justify == "right" else f"{cell:<24}"
                                 for cell, c in zip(row, COLUMNS, strict=True)).rstrip())  # fmt: skip

    if common.json:
        yield show_document
    elif not sys.stdout.isatty():
        print_line("  ".join(f"{c.title:>12}" if c.justify == "right" else f"{c.title:<24}" for c in COLUMNS).rstrip())
        yield show_line
    else:
        shown: deque[tuple[str, ...]] = deque(maxlen=_SHOWN)
        count = 0
        with live_table() as draw:
            title = ", ".join(paths)
            draw(following_table(title, (), "waiting for the first checkpoint; Ctrl-C ends it"))

            def show_in_table(event: Followed) -> None:
                nonlocal count
                count += 1
                shown.extend(rows_of(event))
                note = f"{count} new so far, in {event.store}; Ctrl-C ends it"
                draw(following_table(title, tuple(shown), note))

            yield show_in_table
