"""Checkpoints of a run, a few of them open at a time."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import TracebackType

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.formats.opening import open_checkpoint

_OPEN_AT_A_TIME = 8
"""Checkpoints of a run that are open at a time."""

_KNOWN = 1 << 15
"""Tensors of checkpoints that rest, about half a kilobyte each: what is in their index needn't be read again."""


class OpenCheckpoints:
    """A few open checkpoints, those that were asked for last; of others it is known what is in them, as far as there is
    room, until their files are replaced. A context manager: all are closed at the end."""

    def __init__(self, limit: int = _OPEN_AT_A_TIME) -> None:
        self._limit = limit
        self._open: OrderedDict[Path, Checkpoint] = OrderedDict()
        self._resting: dict[Path, Checkpoint] = {}
        self._known = 0
        """Tensors of those that rest."""

    def get(self, path: Path) -> Checkpoint:
        """Return the checkpoint, open. Raises CkptInspectError."""
        checkpoint = self._open.pop(path, None) or self._opened(path)
        self._open[path] = checkpoint
        while len(self._open) > self._limit:
            self._put_away(*self._open.popitem(last=False))
        return checkpoint

    def take(self, path: Path) -> Checkpoint:
        """Return the checkpoint as if it had just been opened; whoever takes it closes it. Raises CkptInspectError."""
        known = self._open.pop(path, None)
        if known is not None:
            self._put_away(path, known)
        return self._opened(path)

    def _opened(self, path: Path) -> Checkpoint:
        known = self._resting.pop(path, None)
        if known is None:
            return open_checkpoint(path)
        self._known -= len(known.tensors)
        if known.is_current():
            return known
        known.close()
        return open_checkpoint(path)

    def _put_away(self, path: Path, checkpoint: Checkpoint) -> None:
        if self._known + len(checkpoint.tensors) <= _KNOWN and checkpoint.rest():
            self._resting[path] = checkpoint
            self._known += len(checkpoint.tensors)
        else:
            checkpoint.close()

    def __enter__(self) -> OpenCheckpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for some in (self._open, self._resting):
            while some:
                some.popitem()[1].close()
