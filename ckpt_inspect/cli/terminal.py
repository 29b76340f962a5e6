"""The way to the person: tables to stdout, remarks and progress to stderr; rich on a terminal, plain text in a pipe."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import UnsupportedOperation
from typing import TYPE_CHECKING, TextIO

from ckpt_inspect.presentation.shown_names import printable

if TYPE_CHECKING:
    from rich.console import Console, Group

    from ckpt_inspect.checkpoint import Progress
    from ckpt_inspect.presentation.tables.table import Column, Table

INTERRUPTED = 128 + 2
"""Exit code after Ctrl-C: what a shell reports of a program that SIGINT ended."""
BROKEN_PIPE = 128 + 13
"""Exit code when the reader of stdout went away: what a shell reports of a program that SIGPIPE ended."""

_NAME = 32
"""Columns that a table's first one, which is of names, gets before others have to go."""

_SENTENCE = 20
"""Columns that a text which wraps gets before others have to go."""

_PAGE = 110
"""Columns that a page of text takes at most: longer lines are hard to read."""

_INLINE_STYLES = {"": "", "code": "cyan", "strong": "bold", "emphasis": "italic"}
"""How marked words of a page look on a terminal."""

_GAP = 2
"""Blanks that rich leaves between columns."""

ASCII = str.maketrans(
    dict(zip("▁▂▃▄▅▆▇█", "_.-=+*#@", strict=True))
    | {"×": "x", "Δ": "d", "…": "~", "‖": "|", "→": ">", "ε": "e", "α": "a", "√": "v", "β": "b", "·": "*", "∞": "inf"}
    | dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))
)
"""What is printed for our symbols if the output's encoding doesn't have them."""


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP: what Ctrl-C ends ends then as well, with everything temporary."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stopping() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end what is inside in good order, and then this process as they do; not where ignored."""
    import signal
    import threading

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not disturb the putting away
        raise Stopped(number)

    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    except Stopped as stopped:
        signal.signal(stopped.number, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)
        raise
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def drop_output() -> None:
    """Have whatever is still buffered for stdout go nowhere, since it can't be written: otherwise the interpreter would
    try once more at its end, and complain."""
    with suppress(UnsupportedOperation):  # a stdout of somebody's own, in memory
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_tables(tables: Iterable[Table], stream: TextIO | None = None) -> None:
    """Write tables to stdout: on a terminal as wide as that, in a pipe in full width and plain."""
    stream = stream or sys.stdout
    if not stream.isatty():
        for text in map(_plain_text, tables):
            stream.write(_encodable(text, stream) + "\n")
        return
    console = _console(stream)
    for table in tables:
        _print_rich(table, console)


def print_page(text: str, stream: TextIO | None = None) -> None:
    """Write a page of the guide to stdout: laid out on a terminal, in a pipe the Markdown as it is."""
    stream = stream or sys.stdout
    if not stream.isatty():
        stream.write(_encodable(text, stream))
        return
    from rich.table import Table as Grid
    from rich.text import Text

    from ckpt_inspect.presentation.guide.markdown import Code, Heading, Paragraph, blocks, spans

    console = _console(stream)
    console.width = min(console.width, _PAGE)
    was_item, is_apart = False, True
    for block in blocks(text):
        is_item = isinstance(block, Paragraph) and bool(block.marker)
        if not (is_apart or (is_item and was_item)):
            console.print()
        was_item, is_apart = is_item, False
        if isinstance(block, Heading):
            console.print(Text(block.text, style="bold underline" if block.level == 1 else "bold"))
        elif isinstance(block, Paragraph):
            words = Text.assemble(*((piece, _INLINE_STYLES[kind]) for piece, kind in spans(block.text)))
            item = Grid.grid(padding=0)
            item.add_row(block.marker, words)
            console.print(item if is_item else words)
        elif isinstance(block, Code):
            for line in block.lines:
                console.print(Text(f"  {line}", style="dim"), soft_wrap=True)
        else:
            _print_rich(block, console)
            is_apart = True


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Write one line, escaped and encodable, to stdout or `stream`."""
    stream = stream or sys.stdout
    stream.write(_encodable(printable(text), stream) + "\n")
    stream.flush()


def remark(text: str) -> None:
    """Write one line to stderr."""
    print_line(text, sys.stderr)


@contextmanager
def live_table(stream: TextIO | None = None) -> Iterator[Callable[[Table], None]]:
    """Yield a function that draws a table on a terminal in the place of the one before; the last one stays."""
    from rich.live import Live

    console = _console(stream or sys.stdout)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield lambda table: live.update(_rich_lines(table, console), refresh=True)


@contextmanager
def progress_bar(what: str, *, is_quiet: bool) -> Iterator[Progress | None]:
    """Yield a function that advances a bar on stderr if that is a terminal; otherwise None."""
    if is_quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress

    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False), progress.BarColumn(),
        progress.TextColumn("{task.percentage:>3.0f}%"), progress.TimeRemainingColumn(),
        console=_console(sys.stderr), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(printable(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def progress_bars(what: str, *, is_quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a bar for one thing after another, by name, on stderr if that is a terminal; each goes when full."""
    with ExitStack() as stack:
        current: dict[str, Progress | None] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in current:
                stack.close()
                current.clear()
                current[name] = stack.enter_context(progress_bar(f"{what} {name}", is_quiet=False))
            if (bar := current[name]) is not None:
                bar(done, total)
            if done >= total:
                stack.close()

        yield None if is_quiet or not sys.stderr.isatty() else progress


_LARGE = 100_000_000
"""Bytes from which on a download is worth a line before it begins."""


def telling_downloads(
    progress: Callable[[str, int, int], None] | None, paths: Iterable[str], *, is_quiet: bool
) -> Callable[[str, int, int], None] | None:
    """Return a `progress` that first says how much will be fetched of each run, if paths are addresses."""
    if is_quiet or not any("://" in path for path in paths):
        return progress
    from ckpt_inspect.presentation.tables.wording import bytes_text

    told: set[str] = set()

    def telling(name: str, done: int, total: int) -> None:
        if name not in told and total >= _LARGE:
            remark(f"{name}: up to {bytes_text(total)} will be fetched")
        told.add(name)
        if progress is not None:
            progress(name, done, total)

    return telling


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def _encodable(text: str, stream: TextIO) -> str:
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = re.sub("(?<![⁻⁰-⁹¹²³])(?=[⁻⁰-⁹¹²³])", "^", text)  # 10^-7
        return text.translate(ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _plain_text(table: Table) -> str:
    """Columns aligned by blanks, two between them, nothing cut off."""
    lines = [printable(table.title)] if table.title else []
    rows = [tuple(map(printable, row)) for row in table.rows]
    headings = tuple(printable(c.title) for c in table.columns)
    if any(headings):
        rows.insert(0, headings)
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(len(headings))]
    for row in rows:
        cells = (
            cell.ljust(width) if column.justify == "left" else cell.rjust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    if table.note:
        lines.append(printable(table.note))
    return "\n".join(lines) + "\n"


def _print_rich(table: Table, console: Console) -> None:
    console.print(_rich_lines(table, console))
    console.print()


def _rich_lines(table: Table, console: Console) -> Group:
    """The table as rich draws it, fitted to the console, and its notes."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    rows = [tuple(map(printable, row)) for row in table.rows]
    kept = _fitting_columns(table, rows, console.width)
    has_headings = any(c.title for c in table.columns)
    rich_table = RichTable(
        title=Text(printable(table.title), style="bold") if table.title else None,
        title_justify="left", show_header=has_headings,
        box=box.SIMPLE_HEAD if has_headings else None, pad_edge=False,
        show_edge=False, padding=(0, 1, 0, 0), header_style="bold",
    )  # fmt: skip
    for position, i in enumerate(kept):
        column = table.columns[i]
        # Sentences wrap; names and figures are worth more whole, and a name that is too long loses its end last
        is_short = has_headings and _width(table, rows, i) <= console.width // 3
        wraps = _is_sentence(column) if position > 0 else not is_short
        rich_table.add_column(
            Text(printable(column.title)), justify=column.justify, overflow="fold", no_wrap=not wraps,
            style="cyan" if position == 0 else "",
        )  # fmt: skip
    for row in rows:
        rich_table.add_row(*(Text(row[i]) for i in kept))
    dropped = [table.columns[i].title for i in range(len(table.columns)) if i not in kept]
    notes = [table.note] if table.note else []
    if dropped:
        notes.append(f"too narrow for: {', '.join(dropped)} (widen the terminal, pipe the output, or use --json)")
    return Group(rich_table, *(Text(printable(note), style="dim") for note in notes))


def _fitting_columns(table: Table, rows: list[tuple[str, ...]], width: int) -> list[int]:
    """Indices of the columns to show: the least worth keeping go first until the rest fits."""
    needs = [_width(table, rows, i) for i in range(len(table.columns))]
    needs[0] = min(needs[0], _NAME)
    for i, column in enumerate(table.columns[1:], 1):
        if _is_sentence(column):
            words = (word for text in (column.title, *(row[i] for row in rows)) for word in text.split())
            needs[i] = min(needs[i], max(map(len, words), default=0) if column.is_text else _SENTENCE)
    kept = list(range(len(needs)))
    while sum(needs[i] + _GAP for i in kept) - _GAP > width:
        droppable = [i for i in kept if table.columns[i].keep < 9]
        if not droppable:
            break
        kept.remove(min(droppable, key=lambda i: (table.columns[i].keep, -i)))
    return kept


def _is_sentence(column: Column) -> bool:
    """Whether a column that isn't the first may be wrapped."""
    return column.is_text or (column.justify == "left" and column.keep == 9)


def _width(table: Table, rows: list[tuple[str, ...]], i: int) -> int:
    """How wide a column is if nothing in it is wrapped."""
    from rich.cells import cell_len

    return max([cell_len(table.columns[i].title), *(cell_len(row[i]) for row in rows)])
