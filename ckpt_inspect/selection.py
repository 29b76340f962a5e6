"""Which checkpoint and which parameters a person asked for."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import NotFoundError

if TYPE_CHECKING:
    from pandas import DataFrame

    from ckpt_inspect.analyses import Analyses
    from ckpt_inspect.findings import Finding


@dataclass(frozen=True, slots=True)
class Selection:
    """Glob patterns on parameters' names; matching minds case, and `*` crosses `/`."""

    include: tuple[str, ...] = ()
    """At least one must match; none given: every name does."""
    exclude: tuple[str, ...] = ()
    """None of them may match."""

    @classmethod
    def of(cls, include: Iterable[str] | None, exclude: Iterable[str] | None) -> Selection:
        """From what a caller gave: None for no patterns."""
        return cls(tuple(include or ()), tuple(exclude or ()))

    def has(self, name: str) -> bool:
        """Whether the parameter of that name was asked for."""
        included = not self.include or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.include)
        return included and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude)


class ChosenRun:
    """A run of which only some parameters are looked at."""

    def __init__(self, run: Analyses, selection: Selection) -> None:
        self._run = run
        self._selection = selection

    @property
    def run(self) -> str:
        """The run's name."""
        return self._run.run

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The run's findings that concern a chosen parameter, or an optimizer as a whole."""
        return tuple(f for f in self._run.findings if not f.parameters or any(map(self._selection.has, f.parameters)))

    def __len__(self) -> int:
        return len(self._run)

    def to_frame(self, kind: str = "parameters", checkpoints: Sequence[int] | None = None) -> DataFrame:
        """As the run's own, with the rows of the chosen parameters."""
        frame = self._run.to_frame(kind, checkpoints)
        if "parameter" not in frame:
            return frame
        chosen: DataFrame = frame[[self._selection.has(name) for name in frame["parameter"]]].reset_index(drop=True)
        return chosen


def open_newest(path: str | os.PathLike[str]) -> tuple[Checkpoint, tuple[Problem, ...]]:
    """The checkpoint of that path, open; of a folder or glob pattern the newest one, and a Problem that says so.

    Raises CkptInspectError for what can't be opened.
    """
    from ckpt_inspect.formats import open_checkpoint
    from ckpt_inspect.series import find_checkpoints

    if not Path(path).is_dir() and not any(c in os.fspath(path) for c in "*["):
        return open_checkpoint(path), ()
    found = find_checkpoints(Path(path))
    if not found:
        raise NotFoundError(f"{os.fspath(path)}: no checkpoint there; name a checkpoint or a folder that holds some")
    newest = found[-1]
    if len(found) == 1:
        return open_checkpoint(newest), ()
    chosen = Problem(
        "newest-chosen", f"{os.fspath(path)} holds {len(found)} checkpoints", f"the newest was taken: {newest}", "info"
    )
    return open_checkpoint(newest), (chosen,)
