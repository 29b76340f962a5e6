"""Answers of commands: errors as one sentence and an exit code, JSON, remarks; and the smallest command as a whole.

Nothing here needs Typer, whose import takes a third as long as all that `show` does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ckpt_inspect.errors import CkptInspectError

if TYPE_CHECKING:
    from ckpt_inspect.checkpoint import Problem


def show_plainly(arguments: Sequence[str]) -> bool:
    """Run `show PATH` without an option and exit; return False for any other command line, which Typer parses."""
    if len(arguments) != 2 or arguments[0] != "show" or arguments[1].startswith("-"):
        return False
    sys.exit(print_overview(arguments[1]))


def print_overview(
    path: str,
    *,
    given: Mapping[str, float | int | str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    others: Sequence[str] = (),
    as_json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Print what one checkpoint is, and return the exit code."""
    with answering(trouble=1, verbose=verbose):
        from ckpt_inspect.api import describe
        from ckpt_inspect.cli.terminal import print_tables
        from ckpt_inspect.presentation.tables.overview import show_tables

        result = describe(path, given=given or {}, include=include, exclude=exclude, others=others)
        if as_json:
            from ckpt_inspect.presentation.documents import overview_document

            print_json(overview_document(result))
        else:
            print_tables(show_tables(result))
        remark_on(result.problems, quiet=quiet, verbose=True)
        if result.is_damaged and quiet:  # nothing else says why it fails
            from ckpt_inspect.cli.terminal import remark

            for problem in result.problems:
                if problem.severity == "error":
                    remark(f"ckpt-inspect: {problem.message}")
    return 1 if result.is_damaged else 0


@contextmanager
def answering(*, trouble: int, verbose: bool, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn whatever goes wrong inside into one sentence on stderr and an exit code; a traceback only if asked for.

    `passing`: exceptions by which whoever parses the command line answers itself.
    """
    from ckpt_inspect.cli.terminal import BROKEN_PIPE, INTERRUPTED, Stopped, drop_output, remark, stopping

    try:
        try:
            with stopping():
                yield
        finally:
            sys.stdout.flush()
    except CkptInspectError as error:
        remark(f"ckpt-inspect: {error}")
        raise SystemExit(trouble) from error
    except BrokenPipeError as error:
        drop_output()
        raise SystemExit(BROKEN_PIPE) from error
    except Stopped as error:  # whoever sent it has been told already, unless the system has no such way to end
        raise SystemExit(128 + error.number) from error
    except KeyboardInterrupt as error:
        raise SystemExit(INTERRUPTED) from error
    except OSError as error:
        drop_output()
        place = f"{error.filename}: " if error.filename else ""
        remark(f"ckpt-inspect: {place}{error.strerror or error}")
        raise SystemExit(trouble) from error
    except passing:
        raise
    except Exception as error:
        if verbose:
            raise
        remark(
            f"ckpt-inspect: this should not happen ({type(error).__name__}: {error}): please report it; -v shows where"
        )
        raise SystemExit(trouble) from error


def print_json(document: Mapping[str, object]) -> None:
    """Write one JSON document to stdout."""
    import json

    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def remark_on(problems: Iterable[Problem], *, quiet: bool, verbose: bool) -> None:
    """Write problems to stderr, of each kind a few unless all are asked for; none if `quiet`."""
    from ckpt_inspect.cli.terminal import remark
    from ckpt_inspect.presentation.tables.wording import problem_lines

    if not quiet:
        for line in problem_lines(problems, is_brief=not verbose):
            remark(line)
