"""What a mutation is: a healthy checkpoint's files, and one change of them that can be made again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random


class Checksum(Enum):
    """What the format's checksum says of the bytes that a mutator changed."""

    KEPT = "kept"
    """They are covered, and the checksum is the healthy file's: whoever compares it must notice."""
    RECOMPUTED = "recomputed"
    """They are covered, and the checksum was computed anew: only what the bytes mean can give the change away."""
    NONE = "none"
    """The format has no checksum of them."""


class NothingToMutateError(Exception):
    """These files have nothing that this mutator changes."""


@dataclass(frozen=True, slots=True)
class Special:
    """What stands in a file's place and has no bytes to speak of."""

    kind: str
    """`fifo`, `folder`, `link` or `sparse`."""
    target: str = ""
    """Of a link."""
    size: int = 0
    """Of a sparse file, in bytes."""


Content = bytes | Special
Files = dict[str, Content]
"""By path below the checkpoint's folder, with slashes."""


@dataclass(frozen=True, slots=True)
class Original:
    """A small healthy checkpoint, or a store."""

    name: str
    """Where its files lie, for a person."""
    target: str
    """What is opened, below its folder; `.` for the folder itself."""
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Mutator:
    """One way to damage an original."""

    name: str
    apply: Callable[[Files, Random], str]
    """Change the files, and return what was changed in a few words; NothingToMutateError if that can't be done."""
    checksum: Checksum
    weight: float = 1.0
    """How often it is taken, compared with the others; costly ones less."""


def contents(files: Files, name: str) -> bytes:
    """Return the bytes of a file."""
    content = files.get(name)
    if not isinstance(content, bytes):
        raise NothingToMutateError(f"{name}: no such file")
    return content


def choose_file(files: Files, rng: Random, is_meant: Callable[[str], bool]) -> str:
    """Return the name of one of the files that are meant."""
    names = sorted(name for name, content in files.items() if isinstance(content, bytes) and is_meant(name))
    if not names:
        raise NothingToMutateError("no such file")
    return rng.choice(names)


def of_bytes(
    name: str,
    change: Callable[[bytes, Random], tuple[bytes, str]],
    is_meant: Callable[[str], bool],
    checksum: Checksum,
    weight: float = 1.0,
) -> Mutator:
    """Return the mutator that changes the bytes of one of the files that are meant."""

    def apply(files: Files, rng: Random) -> str:
        chosen = choose_file(files, rng, is_meant)
        files[chosen], note = change(contents(files, chosen), rng)
        return f"{chosen}: {note}"

    return Mutator(name, apply, checksum, weight)


def digest(files: Mapping[str, Content]) -> str:
    """Return 16 hexadecimal digits, equal for equal cases."""
    found = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        text = content if isinstance(content, bytes) else repr(content).encode()
        found.update(name.encode() + b"\0" + text + b"\0")
    return found.hexdigest()[:16]


def write_files(files: Mapping[str, Content], folder: Path) -> None:
    """Write a case's files below `folder`, which is made."""
    _make_folder(folder)
    for name, content in files.items():
        path = folder / name
        _make_folder(path.parent)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content.kind == "fifo":
            os.mkfifo(path)
        elif content.kind == "folder":
            path.mkdir(exist_ok=True)
        elif content.kind == "link":
            path.symlink_to(content.target)
        else:
            with path.open("wb") as file:
                file.truncate(content.size)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, however deep: what Python has for it calls itself."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir()


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it, however deep; links are removed, not followed."""
    folders = [folder]
    for each in folders:  # grows
        with contextlib.suppress(FileNotFoundError), os.scandir(each) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                else:
                    Path(entry.path).unlink()
    for each in reversed(folders):
        with contextlib.suppress(FileNotFoundError):
            each.rmdir()


def whole_numbers(rng: Random, width: int, before: int = 0) -> int:
    """Return an unsigned integer of `width` bytes that readers tend not to expect."""
    top = (1 << 8 * width) - 1
    near = [before + 1, before - 1, before * 2, before // 2, before ^ (1 << rng.randrange(8 * width)), before + 8]
    plain = [0, 1, 2, 7, 8, 255, 256, 4095, 4096, 65535, 1 << 20, 1 << 28, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
    edges = [top, top - 1, top >> 1, (top >> 1) + 1, rng.randrange(top + 1)]
    return rng.choice((*near, *plain, *edges)) & top
