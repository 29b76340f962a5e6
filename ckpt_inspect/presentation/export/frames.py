"""Runs -> one tidy frame, for targets that are tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt_inspect.presentation.chosen_run import ChosenRun
from ckpt_inspect.presentation.export.target import Order
from ckpt_inspect.runs.frames import encodable

if TYPE_CHECKING:
    from pandas import DataFrame


def joined_frame(order: Order) -> DataFrame:
    """Return the runs' frames of the kind, one below the other, after a first column `run`.

    Raises RequestError for a kind that there isn't.
    """
    import pandas as pd

    frames = []
    for name, run in zip(order.names, order.runs, strict=True):
        frame = ChosenRun(run, order.selection).to_frame(order.frame)
        frame.insert(0, "run", encodable(name))
        frames.append(frame)
    # Empty frames have no types worth keeping beside the others'
    joined: DataFrame = pd.concat([f for f in frames if len(f)] or frames[:1], ignore_index=True)
    return joined
