"""Answers of commands: errors as one sentence and an exit code, JSON, remarks; and all that `show` does.

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


def print_overviews(
    paths: Sequence[str],
    *,
    given: Mapping[str, float | int | str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    others: Sequence[str] = (),
    with_tensors: bool = False,
    as_json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Print what checkpoints are, one after another, and return the exit code; one that can't be shown stops no other.

    As JSON one checkpoint is a document, and several are the list `checkpoints` of one, where what couldn't be shown
    stands as its error.
    """

    def shown(path: str) -> tuple[int, Mapping[str, object]]:
        from ckpt_inspect.api import describe
        from ckpt_inspect.cli.terminal import print_tables, progress_bar, remark
        from ckpt_inspect.presentation.tables.overview import show_tables

        with progress_bar("reading", is_quiet=quiet or not with_tensors) as progress:
            result = describe(
                path,
                given=given or {},
                include=include,
                exclude=exclude,
                others=others,
                with_tensors=with_tensors,
                progress=progress,
            )
        if not as_json:
            print_tables(show_tables(result))
        remark_on(result.problems, quiet=quiet, verbose=True)
        if result.is_damaged and quiet:  # nothing else says why it fails
            for problem in result.problems:
                if problem.severity == "error":
                    remark(f"ckpt-inspect: {problem.message}")
        if not as_json:
            return int(result.is_damaged), {}
        from ckpt_inspect.presentation.documents import overview_document

        return int(result.is_damaged), overview_document(result)

    def answered(path: str) -> tuple[int, Mapping[str, object]]:
        try:
            with answering(trouble=1, verbose=verbose, as_json=as_json and len(paths) == 1):
                return shown(path)
        except Failed as failure:
            if len(paths) == 1:
                raise
            return failure.number, failure.document | {"path": path}

    answers = [answered(path) for path in paths]
    if as_json:
        documents = [document for _, document in answers]
        with answering(trouble=1, verbose=verbose):
            print_json(documents[0] if len(documents) == 1 else {"checkpoints": documents})
    return max(code for code, _ in answers)


class Failed(SystemExit):
    """One sentence has been said of what went wrong, and the process may end with this code."""

    def __init__(self, code: int, document: Mapping[str, object]) -> None:
        super().__init__(code)
        self.number = code
        self.document = dict(document)


@contextmanager
def answering(
    *, trouble: int, verbose: bool, as_json: bool = False, passing: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn whatever goes wrong inside into one sentence on stderr and an exit code; a traceback only if asked for.

    With `as_json` what went wrong is a document on stdout as well; a command prints its own last. `passing`: exceptions
    by which whoever parses the command line answers itself.
    """
    from ckpt_inspect.cli.terminal import BROKEN_PIPE, INTERRUPTED, Stopped, drop_output, stopping

    try:
        try:
            with stopping():
                yield
        finally:
            sys.stdout.flush()
    except CkptInspectError as error:
        raise failed(str(error), trouble, type(error).__name__, as_json=as_json) from error
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
        raise failed(f"{place}{error.strerror or error}", trouble, type(error).__name__) from error
    except passing:
        raise
    except Exception as error:
        if verbose:
            raise
        kind = type(error).__name__
        message = f"this should not happen ({kind}: {error}): please report it; -v shows where"
        raise failed(message, trouble, kind, as_json=as_json) from error


def failed(message: str, code: int, kind: str, *, as_json: bool = False) -> Failed:
    """Say what went wrong in one line on stderr, with `as_json` also as a document on stdout; return what ends it."""
    from ckpt_inspect.cli.terminal import remark

    remark(f"ckpt-inspect: {message}")
    document = error_document(message, code, kind)
    if as_json:
        print_json(document)
        sys.stdout.flush()
    return Failed(code, document)


def error_document(message: str, code: int, kind: str) -> Mapping[str, object]:
    """Return what a JSON document says of what went wrong."""
    return {"error": {"kind": kind, "message": message, "exit_code": code}}


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
