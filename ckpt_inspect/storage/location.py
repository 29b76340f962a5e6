"""What lies at a path, as far as telling formats apart needs it: decided by content, not by suffix."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.storage.byte_file import unreadable

HEAD_SIZE = 256


@dataclass(frozen=True, slots=True)
class Location:
    """A path, and the first look at it."""

    path: Path
    kind: Literal["file", "folder", "absent"]
    size: int = 0
    """In bytes; 0 unless a file."""
    head: bytes = b""
    """The file's first bytes, at most HEAD_SIZE."""
    tail: bytes = b""
    """The file's last 8 bytes, fewer if it is shorter."""

    def has(self, name: str) -> bool:
        """Whether the folder holds something of that name."""
        return self.kind == "folder" and (self.path / name).exists()


def locate(path: Path) -> Location:
    """Look at a path; NotFoundError for a file that can't be read, UnsupportedError for what is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - in the loop over a folder's files; Path.stat costs thrice
    except (FileNotFoundError, NotADirectoryError):
        return Location(path, "absent")
    except (OSError, ValueError) as error:
        raise unreadable(path, error if isinstance(error, OSError) else OSError(str(error))) from None
    if stat.S_ISDIR(status.st_mode):
        return Location(path, "folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnsupportedError(f"{path}: is neither a file nor a folder (a pipe, socket or device)")
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD_SIZE)
            file.seek(max(status.st_size - 8, 0))
            tail = file.read(8)
    except OSError as error:
        raise unreadable(path, error) from None
    return Location(path, "file", status.st_size, head, tail)
