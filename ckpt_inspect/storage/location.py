"""A first look at a path, enough to recognise its format by content and not by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.storage.registry import is_there, open_file, stat

HEAD_SIZE = 512


class Location(NamedTuple):
    """What a first look at a path shows."""

    path: Path
    kind: Literal["file", "folder", "absent"]
    size: int = 0
    """In bytes; 0 unless a file."""
    head: bytes = b""
    """The file's first bytes, at most HEAD_SIZE."""
    tail: bytes = b""
    """The file's last 8 bytes, fewer if it is shorter."""

    def has(self, name: str) -> bool:
        """Return whether the folder holds something of that name.

        Asked of what looks absent too: a web server needn't show its folders.
        """
        return self.kind != "file" and is_there(self.path / name)


def locate(path: Path) -> Location:
    """Look at a path; NotFoundError for a file that can't be read, UnsupportedError for a pipe, socket or device."""
    found = stat(path)
    if found.kind == "other":
        raise UnsupportedError(f"{path}: is neither a file nor a folder (a pipe, socket or device)")
    if found.kind != "file":
        return Location(path, found.kind)
    with open_file(path) as file:
        size = file.size
        head = file.read(0, min(size, HEAD_SIZE))
        tail = head[-8:] if size <= HEAD_SIZE else file.read(size - 8, 8)
    return Location(path, "file", size, head, tail)
