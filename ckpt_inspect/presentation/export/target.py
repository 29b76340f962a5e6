"""What every target of an export is: where it writes, from what, and what it says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import StoreError
from ckpt_inspect.state.selection import Selection

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import RunColumns

PARAMETERS = "parameters"
"""The kind of frame that is exported where no other is asked for."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be exported."""

    runs: tuple[RunColumns, ...]
    names: tuple[str, ...]
    """Of the runs, for people; no two are alike."""
    frame: str = PARAMETERS
    """Kind of frame, as `Analyses.to_frame` knows them; targets that are no tables pay no heed to it."""
    selection: Selection = field(default_factory=Selection)
    """The parameters."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()
    """What was odd about the runs, and what was done about it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A form of export."""

    name: str
    """What it is asked for by."""
    summary: str
    """What comes out, in half a sentence."""
    default: str
    """Name of the file or folder where none is given; `{frame}` stands for the kind of frame."""
    has_frames: bool
    """Whether it writes a frame of a kind that can be chosen."""
    write: Callable[[Order, Path], Exported]
    """Raises CkptInspectError where it can't."""


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write a file under, which takes the place of `path` if all goes well; else StoreError.

    The folder must be there, and `path` must not be one.
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
        raise StoreError(f"{path}: can't be written ({error.strerror or error}); write elsewhere") from None
