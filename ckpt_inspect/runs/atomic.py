"""Files that are written whole or not at all: what whoever reads sees is the old one or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, made: Path | None = None) -> Iterator[Path]:
    """Give a name for a file to be written in the same folder, which takes the place of `path` if all goes well.

    With `made` it is that file, which is in the folder already. If anything goes wrong, `path` is as it was and the
    other file is gone. The bytes are on the disk when this ends. Raises OSError if the folder can't be written.
    """
    if made is None:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        made = Path(name)
    temporary = made
    try:
        yield temporary
        _make_durable(temporary)
        temporary.chmod(_mode(path))
        temporary.replace(path)
        _make_durable(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _make_durable(path: Path) -> None:
    """Have the bytes, or a folder's names, reach the disk; filesystems that can't sync a folder do without."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those a new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
