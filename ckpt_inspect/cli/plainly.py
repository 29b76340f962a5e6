"""The usual command lines, answered without Typer, whose import takes as long as a checkpoint of 100 MB."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

_FLAGS = {"-q": "quiet", "--quiet": "quiet", "--no-infer": "no_infer"}
_OUTPUT = ("-o", "--output")


class _Words(NamedTuple):
    """What follows a command."""

    paths: tuple[str, ...]
    flags: frozenset[str]
    output: str | None


def answer_plainly(arguments: Sequence[str]) -> bool:
    """Answer `show PATH`, `analyze PATH..` and `diff A B`, the latter two with `-q`, `--no-infer` or, but for `diff`,
    `-o STORE`, and exit; return False, and do nothing, for any other command line, which Typer parses."""
    command, words = arguments[0], _words(arguments[1:])
    if words is None:
        return False
    if command == "show" and len(words.paths) == 1 and not words.flags and words.output is None:
        from ckpt_inspect.cli.answering import print_overviews

        sys.exit(print_overviews(words.paths))
    if command == "analyze" and words.paths:
        return _analyze(words)
    if command == "diff" and len(words.paths) == 2 and words.output is None:
        from ckpt_inspect.cli.asked import Common
        from ckpt_inspect.cli.comparing import print_diff

        common = Common({}, (), (), json=False, quiet="quiet" in words.flags, verbose=False)
        with common.answering(trouble=2):
            code = print_diff(*words.paths, common, infer="no_infer" not in words.flags)
        sys.exit(code)
    return False


def _words(arguments: Sequence[str]) -> _Words | None:
    """Take the words apart; None if one is an option that isn't known here, or is given twice."""
    paths: list[str] = []
    flags: set[str] = set()
    output = None
    rest = iter(arguments)
    for word in rest:
        if word in _OUTPUT:
            value = next(rest, "-")
            if value.startswith("-") or output is not None:
                return None
            output = value
        elif word in _FLAGS:
            flags.add(_FLAGS[word])
        elif word.startswith("-"):
            return None
        else:
            paths.append(word)
    return _Words(tuple(paths), frozenset(flags), output)


def _analyze(words: _Words) -> bool:
    from ckpt_inspect.cli.analysing import print_analyses
    from ckpt_inspect.cli.asked import Common
    from ckpt_inspect.errors import SeveralRunsError

    common = Common({}, (), (), json=False, quiet="quiet" in words.flags, verbose=False)
    with common.answering(trouble=1):
        try:
            code = print_analyses(words.paths, common, output=words.output, infer="no_infer" not in words.flags)
        except SeveralRunsError:  # wrong usage, which Typer's way has its own words for
            return False
    sys.exit(code)
