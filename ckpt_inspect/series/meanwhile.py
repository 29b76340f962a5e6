"""What happened to a checkpoint's files while they were being read, for the error that it can't be."""

from __future__ import annotations

import contextlib
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


@contextlib.contextmanager
def telling_changes(paths: Sequence[PathLike]) -> Iterator[None]:
    """Have the error that a checkpoint at one of the paths can't be read say that its files were changed just now."""
    since = time.time()
    try:
        yield
    except ChangedFileError:
        raise
    except (DamagedFileError, NotFoundError, UnsupportedError) as error:
        newest = max((_modified(as_path(path), str(error)) for path in paths), default=0.0)
        if newest >= since:
            raise ChangedFileError(f"{error} (changed while it was read: try again when it is complete)") from error
        if isinstance(error, TruncatedFileError) and abs(time.time() - newest) < YOUNG:
            raise type(error)(
                f"{error} (changed less than {YOUNG:.0f} s ago: if it is still being written, try again when it is "
                "complete)"
            ) from error
        raise


def _modified(path: Path, message: str) -> float:
    """Return when the newest of the files that a message names was changed, in seconds since 1970; 0 if it names none.

    Those of the checkpoints at a path, or of the folder that holds them if they are gone.
    """
    times = [0.0]
    with contextlib.suppress(CkptInspectError):
        for claim in find_claims([path])[0]:
            if claim.path is not None and str(claim.path) in message:
                times += [stat(part).modified_ns / 1e9 for part in claim.parts]
    if len(times) == 1 and str(path) in message:
        with contextlib.suppress(CkptInspectError):
            times += [stat(each).modified_ns / 1e9 for each in (path, path.parent)]
    return max(times)
