"""Files that are written whole or not at all: whoever looks meanwhile sees the earlier file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ckpt_inspect.errors import StoreError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a name to write a file under; the file takes the place of `path` if all goes well.

    The folder must exist, and `path` must not be one. Raises StoreError, with the file, the cause and what to do.
    """
    from ckpt_inspect.runs.atomic import replacing

    if path.is_dir():
        raise StoreError(f"{path}: is a folder; name a file to write")
    if not path.parent.is_dir():
        raise StoreError(f"{path}: there is no folder {path.parent}; make it, or write elsewhere")
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{path}: can't be written ({cause_of(error)}); write elsewhere") from error


def write_whole(content: bytes, path: Path) -> None:
    """Write a file's bytes. Raises StoreError as `written_whole` does."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def cause_of(error: OSError) -> str:
    """Return what the system says, as half a sentence: `no space left on device`."""
    return (error.strerror or str(error) or type(error).__name__).lower()
