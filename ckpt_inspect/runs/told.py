"""What a run's checkpoints tell together, as those take it who measure them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from ckpt_inspect.records import dataclass
from ckpt_inspect.state.inferred import Inferred, InferredValues

if TYPE_CHECKING:
    from ckpt_inspect.runs.assembly import Evidence, RowEvidence
    from ckpt_inspect.runs.kept_elements import KeptState


@dataclass(frozen=True, slots=True)
class Seen:
    """One optimizer over a run, as the inference saw it; each by the checkpoints' absolute paths."""

    values: Mapping[str, InferredValues]
    """What each checkpoint is given in place of what its file leaves open."""
    rows: Mapping[str, RowEvidence]
    kept: tuple[KeptState, ...]
    """Of the newest checkpoints."""


@dataclass(frozen=True, slots=True)
class RunInference:
    """What a run's checkpoints tell together."""

    optimizers: Mapping[str, Seen] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()
    """Absolute paths of checkpoints whose stored figures were computed with other numbers; their files are there."""

    def of(self, place: str) -> Inferred:
        """Return the values for the checkpoint at an absolute path, by optimizer."""
        found = {name: seen.values.get(place, {}) for name, seen in self.optimizers.items()}
        return {name: values for name, values in found.items() if values}

    def evidence(self) -> Evidence:
        """Return what is told of each checkpoint, by optimizer."""
        from ckpt_inspect.runs.assembly import OptimizerEvidence

        return {name: OptimizerEvidence(seen.rows, seen.kept) for name, seen in self.optimizers.items()}


NOTHING = RunInference()
