"""Assumed and read values that the checkpoints of a run refute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckpt_inspect.comparison.inference.claims import Motions
from ckpt_inspect.comparison.inference.evidence import Contradiction
from ckpt_inspect.comparison.inference.lineage import Lineage
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.windows import Elements, Window
from ckpt_inspect.sourced import Sourced


def least_rate(a: Observation, b: Observation, window: Window, elements: Elements) -> float | None:
    return None


def find_contradictions(
    lineage: Lineage,
    motions: Motions,
    rates: Mapping[tuple[int, int], float],
    values: Sequence[Mapping[str, Sourced[float]]],
    observations: Sequence[Observation],
) -> tuple[Contradiction, ...]:
    return ()
