"""Whether weights are their moving averages, by the arrays alone."""

from __future__ import annotations

import numpy as np
import pytest
from support.memory_checkpoints import MemoryCheckpoint

from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading
from ckpt_inspect.layouts.optimizer_classes import AVERAGED_WEIGHTS
from ckpt_inspect.state.averages import averages_in_place
from ckpt_inspect.update_rules.implementations import KERAS3, TF1, Implementation

WEIGHTS = np.linspace(-1, 1, 6, dtype=np.float32)
MOMENTS = np.asarray([0.1, -0.2, 0.0, 0.3, 0.1, 0.0], np.float32)


def _found(slots: dict[str, str], implementation: Implementation = KERAS3) -> FoundOptimizer:
    parameter = FoundParameter("w", WEIGHTS.shape, "float32", "w", slots)
    return FoundOptimizer("adam", "made", implementation, RuleReading("adam", "default", ""), (parameter,))


def _code(averages: np.ndarray, moments: np.ndarray = MOMENTS, step: int | None = 5) -> str | None:
    tensors = {"w": WEIGHTS, "average": averages, "m": moments}
    slots = {"average": "average", "first_moment": "m"}
    problem = averages_in_place(MemoryCheckpoint(tensors), _found(slots), step)
    return None if problem is None else problem.code


@pytest.mark.parametrize("step", [5, None])
def test_weights_that_are_their_averages(step: int | None) -> None:
    """All that moved are equal: fit put the averages in their place."""
    assert _code(WEIGHTS, step=step) == AVERAGED_WEIGHTS


def test_averages_that_lag_behind() -> None:
    """One element that moved and differs is enough, and elements that didn't move show nothing."""
    assert _code(WEIGHTS + np.float32(1e-6) * np.eye(1, 6, 3, dtype=np.float32)[0]) is None
    assert _code(WEIGHTS, moments=np.zeros_like(MOMENTS)) is None


def test_the_first_average_is_the_weight() -> None:
    """Keras 3 starts the average from the weights after the first update."""
    assert _code(WEIGHTS, step=1) is None
    assert _code(WEIGHTS, step=0) is None


def test_an_optimizer_without_averages_of_keras() -> None:
    """Nothing is compared, and nothing read; TensorFlow 1's averages never take the weights' place in a file."""
    checkpoint = MemoryCheckpoint({"w": WEIGHTS, "average": WEIGHTS, "m": MOMENTS})
    slots = {"first_moment": "m"}
    assert averages_in_place(checkpoint, _found(slots), 5) is None
    assert averages_in_place(checkpoint, _found(slots | {"average": "average"}, TF1), 5) is None
    assert not checkpoint.read_names
