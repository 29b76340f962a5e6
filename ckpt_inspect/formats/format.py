"""The interface of a format: everything that other files need to know about it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.storage import Location


class Claim(NamedTuple):
    """Names in a folder that belong to one format: the files of a checkpoint, or remains of one."""

    folder: Path
    names: tuple[str, ...]
    """The files and folders in `folder` that belong to it; the first one's time is the checkpoint's."""
    path: Path | None
    """As `open_checkpoint` takes it; None for names that are not checkpoints and that no other format may claim."""
    stem: str = ""
    """Its name without the part that only marks the format."""
    suffix: str = ""
    """The ending of its name that is not in `stem`, such as `.weights.h5`."""

    @property
    def parts(self) -> tuple[Path, ...]:
        """Return the paths that belong to it; a folder stands for everything in it."""
        return (self.path,) if self.path == self.folder else tuple(self.folder / name for name in self.names)


class NewestFile(NamedTuple):
    """A file beside checkpoints that names the newest of them."""

    name: str
    read: Callable[[Path], str | None]
    """The file's path -> the name in it, as it is written; None if it names nothing."""
    resolve: Callable[[str, Path], tuple[Path, tuple[Problem, ...]]]
    """The name in it and its folder -> the checkpoint's path, and what was odd."""


class Format(NamedTuple):
    """One way in which checkpoints lie on disk."""

    names: tuple[str, ...]
    """The values that `Checkpoint.format` can have."""
    title: str
    """For a person."""
    recognises: Callable[[Location], bool]
    """Whether it can try to open a path; decides by content if there is any."""
    open: Callable[[Path], Checkpoint]
    """Opens a path that it recognises."""
    claims: Callable[[Listing], Iterable[Claim]]
    """Claims the names of a listing that belong to it; a name is in at most one claim."""
    newest_file: NewestFile | None = None
    """The file that names the newest checkpoint of a folder; None if the format has none."""
    explain_nothing: Callable[[Path], CkptInspectError | None] | None = None
    """A folder without checkpoints -> the error that says why, if this format knows; None if it never does."""


def late(module: str, name: str) -> Callable[[Path], Checkpoint]:
    """Return a module's function of that name, for `Format.open`; the module is imported when it is called."""

    def opened(path: Path) -> Checkpoint:
        found: Checkpoint = getattr(importlib.import_module(module), name)(path)
        return found

    return opened
