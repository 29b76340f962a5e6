"""The horizontal axis of exported curves: which checkpoint stands where."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """Where an optimizer's checkpoints stand, and what that is."""

    rows: tuple[int, ...]
    """Checkpoints that are shown, as indices into those that were asked about; ascending."""
    places: tuple[int, ...]
    """Where each stands; rising, from 0 up."""
    words: str
    """What the numbers are, in one sentence."""
    lack: str = ""
    """Why they are not steps, as the end of a sentence about the steps; empty if they are, or are epochs of them."""
    left_out: int = 0
    """Checkpoints that are not shown, because a later one is of the same epoch."""


def horizontal_axis(steps: Sequence[int], steps_per_epoch: int | None = None) -> Axis:
    """Return the axis of checkpoints that hold these steps, in training order; -1: not known.

    With `steps_per_epoch` it counts epochs as Keras' `TensorBoard` callback does (keras/src/callbacks/tensorboard.py,
    `_log_epoch_metrics`): from 0, so that the updates 1 to n belong to epoch 0. Of several checkpoints in one epoch the
    last is shown.
    """
    if any(step < 0 for step in steps):
        return _training_order(len(steps), "are not known in every checkpoint")
    if any(a >= b for a, b in pairwise(steps)):  # a line would go back and forth
        return _training_order(len(steps), "do not rise throughout")
    if steps_per_epoch is None:
        return Axis(tuple(range(len(steps))), tuple(steps), "Horizontal axis: steps of the optimizer.")
    last = {max(step - 1, 0) // steps_per_epoch: row for row, step in enumerate(steps)}
    words = f"Horizontal axis: epochs of {steps_per_epoch:,} steps, counted from 0 as Keras' TensorBoard callback does."
    return Axis(tuple(last.values()), tuple(last), words, left_out=len(steps) - len(last))


def _training_order(count: int, lack: str) -> Axis:
    words = "Horizontal axis: checkpoints in training order, because their steps are not known or do not rise."
    return Axis(tuple(range(count)), tuple(range(count)), words, lack)
