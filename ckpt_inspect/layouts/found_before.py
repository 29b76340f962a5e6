"""What layouts found in a run's checkpoints, for the next one that is like one of them, or that one opened again."""

from __future__ import annotations

from dataclasses import field

from ckpt_inspect.checkpoint import Checkpoint, FileStat
from ckpt_inspect.layouts import find_optimizers
from ckpt_inspect.layouts.answers import Answers, AskedCheckpoint
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.records import dataclass

_MOST = 20_000
"""Parameters that are remembered of single checkpoints, about a kilobyte each."""

_KINDS = 4
"""Kinds of checkpoints that are remembered: those of most runs are of one."""


@dataclass(slots=True)
class FoundBefore:
    """Remembers names and places, no numbers; forgets those of a checkpoint whose files have changed."""

    _kinds: list[tuple[Answers, tuple[FoundOptimizer, ...]]] = field(default_factory=list)
    """What was found in any checkpoint that gives these answers; the one that was met last comes first."""
    _single: dict[str, tuple[tuple[FileStat, ...], tuple[FoundOptimizer, ...]]] = field(default_factory=dict)
    """What was found in those of which values or a graph of their own were looked at, by their paths."""
    _count: int = 0

    def find(self, checkpoint: Checkpoint) -> tuple[FoundOptimizer, ...]:
        """Return what `find_optimizers` does, and raise the same."""
        place, stats = str(checkpoint.path), tuple(checkpoint.file_stats)
        if place in self._single and self._single[place][0] == stats:
            return self._single[place][1]
        for number, (answers, found) in enumerate(self._kinds):
            if answers.are_those_of(checkpoint):
                self._kinds.insert(0, self._kinds.pop(number))
                return found
        shown = AskedCheckpoint(checkpoint)
        found = find_optimizers(shown)
        if shown.answers.is_general:
            self._kinds = [(shown.answers, found), *self._kinds[: _KINDS - 1]]
        self._count += sum(len(optimizer.parameters) for optimizer in found)
        if stats and self._count <= _MOST:
            self._single[place] = stats, found
        return found
