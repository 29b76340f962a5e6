"""Runs -> one tidy frame, for targets that are tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns
from ckpt_inspect.presentation.chosen_run import ChosenRun
from ckpt_inspect.presentation.export.target import Order
from ckpt_inspect.runs.frames import RESTRICTABLE, encodable
from ckpt_inspect.runs.stored_runs import taken_rows

if TYPE_CHECKING:
    from pandas import DataFrame

_CELLS = 4000
"""Checkpoints times parameters of a piece, about."""


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


def frame_pieces(order: Order) -> Iterator[DataFrame]:
    """Yield what `joined_frame` returns, a piece at a time; each has all of its columns, and the first is there.

    Raises RequestError for a kind that there isn't.
    """
    if order.frame not in RESTRICTABLE:
        yield joined_frame(order)
        return
    runs = list(zip(order.names, order.runs, strict=True))
    filled = [(name, run, first) for name, run in runs if len(first := next(_pieces(order, run), _none(order, run)))]
    heads = [first for *_, first in filled] or [_none(order, runs[0][1])]
    columns = ["run", *dict.fromkeys(name for head in heads for name in head.columns)]
    if not filled:
        yield heads[0].reindex(columns=columns)
    for name, run, _ in filled:
        for piece in _pieces(order, run):
            piece.insert(0, "run", encodable(name))
            yield piece.reindex(columns=columns)


def _none(order: Order, run: RunColumns) -> DataFrame:
    return ChosenRun(run, order.selection).to_frame(order.frame, ())


def _pieces(order: Order, run: RunColumns) -> Iterator[DataFrame]:
    """Yield the frame of a run, optimizer by optimizer as it is, some checkpoints at a time; no empty piece."""
    for name, optimizer in run.optimizers.items():
        length = max(_CELLS // max(len(optimizer.variables["parameter"]), 1), 1)
        for start in range(0, len(run), length):
            rows = range(start, min(start + length, len(run)))
            part = _with_one(taken_rows(run, rows), name)
            piece = ChosenRun(part, order.selection).to_frame(order.frame)
            if len(piece):
                piece["checkpoint_index"] += start
                yield piece


def _with_one(run: RunColumns, name: str) -> RunColumns:
    """Return the run as if its checkpoints held nothing of other optimizers."""
    others = {
        other: OptimizerColumns(other, {**o.variables, "nonfinite": np.full_like(o.variables["nonfinite"], np.nan)})
        for other, o in run.optimizers.items()
        if other != name
    }
    return replace(run, optimizers={own: others.get(own, o) for own, o in run.optimizers.items()})
