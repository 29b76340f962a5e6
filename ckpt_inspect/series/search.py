"""A folder or pattern -> its checkpoints, in training order: formats find them, layouts tell the step where names
don't."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats import grouping as files
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.formats.grouping import Run
from ckpt_inspect.state.optimizer_state import optimizer_states


def find_checkpoints(folder_or_glob: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Every checkpoint below the folder (or that the pattern matches), in training order, without duplicates.

    Raises NotFoundError where there is no such path.
    """
    return files.find_checkpoints(folder_or_glob, step_of)


def find_runs(paths: Sequence[str | os.PathLike[str]]) -> tuple[Run, ...]:
    """The checkpoints that the paths name, by run: those of one folder whose names differ in numbers alone."""
    return files.find_runs(paths, step_of)


def one_run(paths: Sequence[str | os.PathLike[str]]) -> Run:
    """Return all checkpoints that the paths name as one run, called as the first one's folder is.

    Raises NotFoundError where a path holds no checkpoint, or none was given.
    """
    if not paths:
        raise NotFoundError("no path was given: name a checkpoint or a folder of them")
    found = dict.fromkeys(checkpoint for path in paths for checkpoint in find_checkpoints(path))
    first = Path(paths[0])
    folder = first if first.is_dir() else next(iter(found)).parent
    return Run(Path(os.path.abspath(folder)).name, folder, tuple(found))  # noqa: PTH100 - Path.absolute keeps `..`


def step_of(path: Path) -> int | None:
    """The largest step of the checkpoint's optimizers; None where it can't be read."""
    try:
        with open_checkpoint(path) as checkpoint:
            steps = [s.step.value for s in optimizer_states(checkpoint) if s.step.value is not None]
    except CkptInspectError:
        return None
    return max(steps, default=None)
