"""The checkpoint that a person means by a folder or a pattern: its newest."""

from __future__ import annotations

import os
from pathlib import Path

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import NotFoundError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.series.search import find_checkpoints


def open_newest(path: str | os.PathLike[str]) -> tuple[Checkpoint, tuple[Problem, ...]]:
    """The checkpoint of that path, open; of a folder or glob pattern the newest one, and a Problem that says so.

    Raises CkptInspectError for what can't be opened.
    """
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
