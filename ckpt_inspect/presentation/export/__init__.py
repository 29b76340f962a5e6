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
) -> Exported:
    """Write one run or several into a file (csv, parquet) or below a folder (tensorboard).

    `path`: by default the target's own name in the current directory (`parameters.csv`, `tensorboard`). `frame`: for
    tables, the kind of frame as `Analyses.to_frame` knows them, by default `parameters`. `selection`: of which
    parameters. Files that are there are replaced, each at once.

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
        raise RequestError(f"{target} is no table: a kind of frame ({frame}) can't be chosen for it")
    selection = selection or Selection()
    if not any(
        selection.has(name) for run in runs for o in run.optimizers.values() for name in o.variables["parameter"]
    ):
        raise RequestError("there is nothing to export: no parameter, or none of a name that was included")
    order = Order(runs, tuple(distinct([run.run for run in runs])), frame or PARAMETERS, selection)
    return chosen.write(order, Path(path if path is not None else chosen.default.format(frame=order.frame)))
