"""What a format says of itself, so that nothing else has to know it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.storage import Location


class Claim(NamedTuple):
    """Names in a folder that are one format's: a checkpoint's, or what is left of one."""

    folder: Path
    names: tuple[str, ...]
    """The files and folders in `folder` that belong to it, the one that its time is taken from first."""
    path: Path | None
    """As `open_checkpoint` takes it; None for names that no other format is asked of and that make no checkpoint."""
    stem: str = ""
    """What tells it from its neighbours: its name without what only says the format."""
    suffix: str = ""
    """What its name ends in besides, such as `.weights.h5`."""

    @property
    def parts(self) -> tuple[Path, ...]:
        """Return what belongs to it, as paths; a folder stands for all that is in it."""
        return (self.path,) if self.path == self.folder else tuple(self.folder / name for name in self.names)


class NewestFile(NamedTuple):
    """A file beside checkpoints that names the newest of them."""

    name: str
    read: Callable[[Path], str | None]
    """The file's path -> what it names, as it is written there; None if it names nothing."""
    resolve: Callable[[str, Path], tuple[Path, tuple[Problem, ...]]]
    """What it names and the folder that it lies in -> the checkpoint's path there, and what was odd."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way in which checkpoints lie on disk."""

    names: tuple[str, ...]
    """What `Checkpoint.format` of an opened one may be."""
    title: str
    """For a person."""
    recognises: Callable[[Location], bool]
    """Whether it will try; by content wherever there is content."""
    open: Callable[[Path], Checkpoint]
    """Opens a path that it recognises."""
    claims: Callable[[Listing], Iterable[Claim]]
    """Which of a listing's names are its own, each in one claim at most."""
    newest_file: NewestFile | None = None
    """How the newest is named in a folder of them, if it is."""
