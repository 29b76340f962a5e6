"""Runs into other programs' files: CSV, Parquet, TensorBoard; one file a target."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.export.csv import CSV
from ckpt_inspect.presentation.export.parquet import PARQUET
from ckpt_inspect.presentation.export.target import PARAMETERS, Exported, Order, Target
from ckpt_inspect.presentation.export.tensorboard import TENSORBOARD
from ckpt_inspect.presentation.shown_names import distinct
from ckpt_inspect.state.selection import Selection

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import RunColumns

TARGETS: tuple[Target, ...] = (CSV, PARQUET, TENSORBOARD)
"""Every target, in the order in which they are listed."""

__all__ = ["TARGETS", "Exported", "Target", "export"]


def export(
    analyses: RunColumns | Sequence[RunColumns],
    target: str,
    path: str | os.PathLike[str] | None = None,
    *,
    frame: str | None = None,
    selection: Selection | None = None,
    figures: Sequence[str] | None = None,
    steps_per_epoch: int | None = None,
) -> Exported:
    """Write one run or several into a file (csv, parquet) or below a folder (tensorboard).

    `path`: by default the target's own name in the current directory (`parameters.csv`, `tensorboard`). `frame`: for
    tables, the kind of frame as `Analyses.to_frame` knows them, by default `parameters`. `selection`: of which
    parameters. `figures`: which of `charts.FIGURES` TensorBoard gets, or `all`; by default `charts.DEFAULTS`.
    `steps_per_epoch`: TensorBoard's horizontal axis counts epochs of so many steps, instead of steps. Files that are
    there are replaced, each at once.

    Raises RequestError for a target or kind of frame that there isn't, no runs, or a library that is not installed;
    StoreError if the path can't be written.
    """
    from ckpt_inspect.measurement.columns import RunColumns

    runs = (analyses,) if isinstance(analyses, RunColumns) else tuple(analyses)
    chosen = {t.name: t for t in TARGETS}.get(target)
    if chosen is None:
        raise RequestError(f"nothing is exported to {target!r}: there are {', '.join(t.name for t in TARGETS)}")
    if not runs:
        raise RequestError("there is nothing to export: no run was given")
    if frame is not None and not chosen.has_frames:
        raise RequestError(f"{target} is not a table: a kind of frame ({frame}) can't be chosen for it")
    if chosen.has_frames and (figures is not None or steps_per_epoch is not None):
        raise RequestError(f"{target} is a table, with every figure and step: leave out figures and steps per epoch")
    selection = selection or Selection()
    if not any(
        selection.has(name) for run in runs for o in run.optimizers.values() for name in o.variables["parameter"]
    ):
        raise RequestError("there is nothing to export: no parameter, or none of a name that was included")
    names = tuple(distinct([run.run for run in runs]))
    wanted = None if figures is None else tuple(figures)
    order = Order(runs, names, frame or PARAMETERS, selection, wanted, steps_per_epoch)
    return chosen.write(order, Path(path if path is not None else chosen.default.format(frame=order.frame)))
