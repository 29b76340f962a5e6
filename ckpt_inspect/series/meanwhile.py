"""What happened to a checkpoint's files while they were being read, for the error that it can't be."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ckpt_inspect.errors import (
    ChangedFileError,
    CkptInspectError,
    DamagedFileError,
    NotFoundError,
    TruncatedFileError,
    UnsupportedError,
)
from ckpt_inspect.formats import find_claims
from ckpt_inspect.storage import PathLike, as_path, stat

YOUNG = 30.0
"""Seconds after a file was changed within which whoever changed it may not be done."""

MAYBE_UNFINISHED = f"(changed less than {YOUNG:.0f} s ago: if it is still being written, try again when it is complete)"
"""What an error says of a file that is as young as that."""

_PATIENCE, _LOOK = 1.0, 0.05
"""Seconds that are waited to see whether a checkpoint that lacks a file is being deleted, and between two looks."""


@contextlib.contextmanager
def telling_changes(paths: Sequence[PathLike]) -> Iterator[None]:
    """Have the error that a checkpoint at one of the paths can't be read say that its files were changed just now, or
    that it is gone."""
    since = time.time()
    try:
        yield
    except ChangedFileError:
        raise
    except (DamagedFileError, NotFoundError, UnsupportedError) as error:
        newest = max((_modified(as_path(path), str(error)) for path in paths), default=0.0)
        if newest >= since:
            raise ChangedFileError(f"{error} (changed while it was read: try again when it is complete)") from error
        if isinstance(error, NotFoundError) and (gone := _vanishing([as_path(path) for path in paths], str(error))):
            raise ChangedFileError(f"{gone}: is gone: it was deleted while it was read") from error
        if isinstance(error, TruncatedFileError) and abs(time.time() - newest) < YOUNG:
            raise type(error)(f"{error} {MAYBE_UNFINISHED}") from error
        raise


def _vanishing(paths: Sequence[Path], message: str) -> Path | None:
    """Return the checkpoint that a message about a missing file names, if the rest of its files goes within a second.

    Whoever deletes a checkpoint deletes one file after another. In a folder in which nothing has changed for a while
    nobody does, and nothing is waited for.
    """
    named = _named(paths, message)
    if named is None or not abs(time.time() - stat(named.parent).modified_ns / 1e9) < YOUNG:
        return None
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        time.sleep(_LOOK)
        if _named(paths, message) is None:
            return named
    return None


def _named(paths: Sequence[Path], message: str) -> Path | None:
    """Return the first checkpoint at the paths that a message names."""
    for path in paths:
        with contextlib.suppress(CkptInspectError):
            for claim in find_claims([path])[0]:
                if claim.path is not None and re.search(rf"{re.escape(str(claim.path))}(?![\w-])", message):
                    return claim.path
    return None


def _modified(path: Path, message: str) -> float:
    """Return when the newest of the files that a message names was changed, in seconds since 1970; 0 if it names none.

    Those of the checkpoints at a path, the one that the message begins with, or of the folder that holds them if they
    are gone.
    """
    times = [0.0]
    with contextlib.suppress(CkptInspectError):
        for claim in find_claims([path])[0]:
            if claim.path is not None and str(claim.path) in message:
                times += [stat(part).modified_ns / 1e9 for part in claim.parts]
    if len(times) == 1 and str(path) in message:
        with contextlib.suppress(CkptInspectError):
            times += [stat(each).modified_ns / 1e9 for each in (path, path.parent)]
    with contextlib.suppress(CkptInspectError, ValueError):
        begins = stat(as_path(message.partition(": ")[0]))
        times += [begins.modified_ns / 1e9] if begins.kind == "file" else []
    return max(times)
