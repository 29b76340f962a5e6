"""What happens just before a checkpoint is opened to be analysed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.formats.opened import OpenCheckpoints
from ckpt_inspect.runs import execution


def before_opening(monkeypatch: pytest.MonkeyPatch, do: Callable[[Path], object]) -> None:
    """Have something done with the path of each checkpoint before this process opens it to measure it."""
    take, anew = OpenCheckpoints.take, execution.open_checkpoint

    def taking(opened: OpenCheckpoints, path: Path) -> Checkpoint:
        do(path)
        return take(opened, path)

    def opening(path: Path) -> Checkpoint:
        do(path)
        return anew(path)

    monkeypatch.setattr(OpenCheckpoints, "take", taking)
    monkeypatch.setattr(execution, "open_checkpoint", opening)
