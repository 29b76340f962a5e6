"""What every target of an export is: where it writes, from what, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.selection import Selection

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import RunColumns

PARAMETERS = "parameters"
"""The kind of frame that is exported if no other is asked for."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be exported."""

    runs: tuple[RunColumns, ...]
    names: tuple[str, ...]
    """Of the runs, for people; no two are alike."""
    frame: str = PARAMETERS
    """Kind of frame, as `Analyses.to_frame` knows them; targets that are not tables pay no heed to it."""
    selection: Selection = field(default_factory=Selection)
    """The parameters."""
    figures: tuple[str, ...] | None = None
    """For targets that are not tables: which figures; None for the target's own choice."""
    steps_per_epoch: int | None = None
    """For the same targets: how many steps an epoch has, if the horizontal axis counts epochs."""


@dataclass(frozen=True, slots=True, repr=False)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()
    """What was odd about the runs, and what was done about it."""

    def __repr__(self) -> str:
        from ckpt_inspect.presentation.reprs import exported_repr

        return exported_repr(self.files)


@dataclass(frozen=True, slots=True)
class Target:
    """A form of export."""

    name: str
    """What it is asked for by."""
    summary: str
    """What comes out, in half a sentence."""
    default: str
    """Name of the file or folder if none is given; `{frame}` stands for the kind of frame."""
    has_frames: bool
    """Whether it writes a frame of a kind that can be chosen."""
    write: Callable[[Order, Path], Exported]
    """Raise CkptInspectError if this machine can't write it."""
