"""Whether a checkpoint that can't be read is at fault, or somebody deletes, replaces or writes it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import ChangedFileError, CkptInspectError
from ckpt_inspect.measurement.columns import CHANGED, GONE, UNFINISHED, UNREADABLE
from ckpt_inspect.series.meanwhile import MAYBE_UNFINISHED, YOUNG
from ckpt_inspect.series.run import Run
from ckpt_inspect.storage import Stat, link_target, stat

_PATIENCE = 2.0
"""Seconds that are waited in a whole run to see whether what can't be read is still changing."""

_LOOK = 0.1
"""Seconds between two looks."""

_UNSEEN = Stat("other")
"""Of what can't be looked at, or is a link that leads nowhere: it needn't be gone."""

_NEXT_TIME = "it was left out; the next analysis reads it again"
_LEFT_OUT = "it was left out; the rest of the run is analysed"


class Movement:
    """Watches the files of a run from now on."""

    def __init__(self, run: Run) -> None:
        """`run` is as it was found, so that its files were there."""
        self._run = run
        self._is_found = bool(run.claims)
        self._is_alone = len(run.checkpoints) == 1
        self._since = time.time()
        self._patience = _PATIENCE

    def trust(self) -> None:
        """Wait for nothing: whoever found the run looked at its files until nobody wrote them."""
        self._patience = 0.0

    def failure(self, path: Path, error: CkptInspectError) -> Problem:
        """Return the Problem for a checkpoint that can't be read: of severity `error` only if it is at fault.

        A file that was changed a moment ago is looked at for a while: if it goes on changing, its writer is not done. A
        checkpoint that is all that there is gets no such time.
        """
        parts = self._run.parts_of([path])[path]
        before = _stats(parts)
        if self._is_gone(before):
            return Problem(GONE, f"{path}: is gone: it was deleted while the run was analysed", _LEFT_OUT)
        if isinstance(error, ChangedFileError) or any(each.modified_ns > 1e9 * self._since for each in before):
            return Problem(CHANGED, f"{path}: was replaced or written to while it was read", _NEXT_TIME)
        age = time.time() - max((each.modified_ns for each in (*before, _stat(path.parent))), default=0) / 1e9
        if not abs(age) < YOUNG:
            return Problem(UNREADABLE, str(error), _LEFT_OUT, "error")
        while self._patience > 0 and not self._is_alone:
            time.sleep(_LOOK)
            self._patience -= _LOOK
            now = _stats(parts)
            if self._is_gone(now):
                return Problem(GONE, f"{path}: is gone: it was deleted while the run was analysed", _LEFT_OUT)
            if now != before:
                return Problem(UNFINISHED, f"{path}: is still being written", _NEXT_TIME)
        return Problem(UNREADABLE, f"{error} {MAYBE_UNFINISHED}", _LEFT_OUT, "error")

    def _is_gone(self, stats: Sequence[Stat]) -> bool:
        return self._is_found and any(each.kind == "absent" for each in stats)


def _stats(paths: Sequence[Path]) -> list[Stat]:
    return [_stat(path) for path in paths]


def _stat(path: Path) -> Stat:
    try:
        found = stat(path)
    except CkptInspectError:
        return _UNSEEN
    return _UNSEEN if found.kind == "absent" and link_target(path) is not None else found
