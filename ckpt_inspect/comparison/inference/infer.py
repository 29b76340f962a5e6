"""Infer what no single checkpoint holds, from all checkpoints of a run."""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_inspect.comparison.inference.evidence import Inference
from ckpt_inspect.comparison.inference.observations import Observation


def infer(observations: Sequence[Observation]) -> Inference:
    """Return what the checkpoints of a run tell together of one optimizer, in the run's order."""
    return Inference(tuple({} for _ in observations))
