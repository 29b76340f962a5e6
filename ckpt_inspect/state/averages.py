"""Whether the weights in a file are their own moving averages, which Keras puts in their place.

Under `use_ema` an optimizer keeps an average of each weight. `fit` overwrites the weights with them when it ends, as
every `ema_overwrite_frequency` updates do (keras/src/optimizers/base_optimizer.py, `finalize_variable_values`), and no
flag in the file tells whether that was before it was saved: the values do.
"""

from __future__ import annotations

import numpy as np

from ckpt_inspect.checkpoint import Array, Checkpoint, Problem
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.layouts.optimizer_classes import AVERAGED_WEIGHTS
from ckpt_inspect.update_rules.implementations import KERAS2, KERAS2_EXPERIMENTAL, KERAS3

AVERAGE = "average"
KEEP_AVERAGES = (KERAS2, KERAS2_EXPERIMENTAL, KERAS3)
"""The implementations that take `use_ema`."""
LOOKED_AT = 64
"""Elements of a parameter that are compared: the first of them."""
FEWEST_WITNESSES = 3
"""Elements that must have moved, and all be equal."""


def averages_in_place(checkpoint: Checkpoint, found: FoundOptimizer, step: int | None) -> Problem | None:
    """Return the remark that the saved weights are their moving averages; None if there are none, or they differ, or
    another implementation keeps them, as `tf.train.ExponentialMovingAverage`.

    An element shows it if its first slot is not 0: then the weight moved of late, and its average lags behind. After
    the first update alone the two are equal by themselves.
    """
    kept = [p for p in found.parameters if p.value is not None and AVERAGE in p.slots]
    if not kept or found.implementation not in KEEP_AVERAGES or (step is not None and step < 2):
        return None
    witnesses = 0
    for p in kept:
        moment = next((key for slot, key in p.slots.items() if slot != AVERAGE), None)
        if p.value is None or moment is None:
            continue
        weights, averages, moved = (_first(checkpoint, key) for key in (p.value, p.slots[AVERAGE], moment))
        if not len(weights) == len(averages) == len(moved):
            continue
        has_moved = moved != 0
        if not np.array_equal(weights[has_moved], averages[has_moved]):
            return None
        witnesses += int(has_moved.sum())
    if witnesses < FEWEST_WITNESSES:
        return None
    return Problem(
        AVERAGED_WEIGHTS,
        f"{found.name}: the saved weights equal their moving averages (use_ema), which Keras puts in their place when "
        "fit ends, and every ema_overwrite_frequency updates",
        "the last update is the optimizer's own; what the weights were after it is not in the file, and what depends "
        "on the weights themselves (their size, weight decay, LAMB's trust ratio) is computed from the averages",
        "info",
    )


def _first(checkpoint: Checkpoint, key: str) -> Array:
    return checkpoint.read_range(key, 0, min(LOOKED_AT, checkpoint.tensors[key].size))
