"""Runs -> one tidy frame, for targets that are tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

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


class Pieces(NamedTuple):
    """A frame, a piece at a time."""

    head: DataFrame
    """Some rows of it, by which the types of its columns are told."""
    each: Iterator[DataFrame]
    """At least one; each has all columns."""


def frame_pieces(order: Order) -> Pieces:
    """Return what `joined_frame` returns in pieces; raises RequestError for a kind that there isn't."""
    import pandas as pd

    if order.frame not in RESTRICTABLE:
        whole = joined_frame(order)
        return Pieces(whole, iter([whole]))
    runs = list(zip(order.names, order.runs, strict=True))
    firsts = [(name, run, next(_pieces(order, run), _none(order, run))) for name, run in runs]
    filled = [(name, run, first) for name, run, first in firsts if len(first)]
    head: DataFrame = pd.concat([first for *_, first in filled] or [firsts[0][-1]], ignore_index=True)
    head.insert(0, "run", encodable(firsts[0][0]))
    types = head.dtypes.to_dict()

    def each() -> Iterator[DataFrame]:
        if not filled:
            yield head
        for name, run, _ in filled:
            for piece in _pieces(order, run):
                piece.insert(0, "run", encodable(name))
                yield piece.reindex(columns=head.columns).astype(types)

    return Pieces(head, each())


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
