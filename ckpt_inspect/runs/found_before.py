"""What layouts found in a run's checkpoints, for whoever opens them a second time: inference first, then measuring."""

from __future__ import annotations

from dataclasses import dataclass, field

from ckpt_inspect.checkpoint import Checkpoint, FileStat
from ckpt_inspect.layouts import find_optimizers
from ckpt_inspect.layouts.found import FoundOptimizer

_MOST = 20_000
"""Parameters that are remembered, about a kilobyte each."""


@dataclass(slots=True)
class FoundBefore:
    """Remembers names and places, no numbers; forgets those of a checkpoint whose files have changed."""

    _held: dict[str, tuple[tuple[FileStat, ...], tuple[FoundOptimizer, ...]]] = field(default_factory=dict)
    _count: int = 0

    def find(self, checkpoint: Checkpoint) -> tuple[FoundOptimizer, ...]:
        """Return what `find_optimizers` does, and raise the same."""
        stats = tuple(checkpoint.file_stats)
        place = str(checkpoint.path)
        if place in self._held and self._held[place][0] == stats:
            return self._held[place][1]
        found = find_optimizers(checkpoint)
        self._count += sum(len(optimizer.parameters) for optimizer in found)
        if stats and self._count <= _MOST:
            self._held[place] = stats, found
        return found
