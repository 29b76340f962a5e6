"""Checkpoints of a run, a few of them open at a time."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import TracebackType

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.formats import open_checkpoint

_OPEN_AT_A_TIME = 8
"""Checkpoints of a run that are open at a time."""


class OpenCheckpoints:
    """A few open checkpoints, those that were asked for last. A context manager: all are closed at the end."""

    def __init__(self, limit: int = _OPEN_AT_A_TIME) -> None:
        self._limit = limit
        self._open: OrderedDict[Path, Checkpoint] = OrderedDict()

    def get(self, path: Path) -> Checkpoint:
        """Return the checkpoint, open. Raises CkptInspectError."""
        if path not in self._open:
            self._open[path] = open_checkpoint(path)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]

    def __enter__(self) -> OpenCheckpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            self._open.popitem()[1].close()
