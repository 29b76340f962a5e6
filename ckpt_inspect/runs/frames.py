"""RunColumns -> tidy pandas frames, and an xarray tree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.comparison.differences import COLUMNS, Differences, row
from ckpt_inspect.errors import RequestError
from ckpt_inspect.measurement.columns import Column, read_ahead
from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS
from ckpt_inspect.measurement.variables import (
    AXES,
    CHECKPOINT_VARIABLES,
    DISTRIBUTIONS,
    METRICS,
    PARAMETER_VARIABLES,
    QUANTILE_NAMES,
    ROOT_VARIABLES,
    WINDOW_METRICS,
    Variable,
    checkpoint_variables_in,
    group_names,
    variables_in,
)
from ckpt_inspect.runs.remembered import findings_of
from ckpt_inspect.runs.stored_runs import taken_rows

if TYPE_CHECKING:
    from pandas import DataFrame
    from pandas.api.extensions import ExtensionArray
    from xarray import Dataset, DataTree

    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns


def frame(
    analyses: RunColumns, kind: str, checkpoints: Sequence[int] | None = None, drawn: Collection[str] | None = None
) -> DataFrame:
    """Return the frame of that kind; see `Analyses.to_frame`.

    `drawn`: of kind `parameters` only these of the figures of parameters, and texts as categories, which take a byte
    where a text takes dozens.
    """
    if kind not in _FRAMES:
        raise RequestError(f"there is no frame of kind {kind!r}: there are {', '.join(_FRAMES)}")
    make = _FRAMES[kind]
    if drawn is not None and kind == "parameters":
        make = functools.partial(_parameters, drawn=drawn)
    if checkpoints is None:
        return make(analyses)
    if kind not in RESTRICTABLE:
        raise RequestError(f"a frame of kind {kind!r} covers all checkpoints: leave out which")
    if beyond := [index for index in checkpoints if index >= len(analyses)]:
        raise RequestError(f"the run has {len(analyses)} checkpoints, and none of index {beyond[0]}")
    chosen = np.unique(np.asarray(checkpoints, np.int64))
    table = make(taken_rows(analyses, chosen.tolist(), _HELD_BY.get(kind)))
    table["checkpoint_index"] = chosen[table["checkpoint_index"].to_numpy(np.int64)]
    return table


def _table(columns: Mapping[str, Column | Sequence[object] | ExtensionArray], *, is_shared: bool = False) -> DataFrame:
    """Return a frame of these columns; in texts that pandas can't hold, halves of surrogate pairs are escaped.

    `is_shared`: the frame, which nobody may change then, holds the arrays themselves and no copy of them.
    """
    import pandas as pd

    table: DataFrame
    try:
        table = pd.DataFrame(columns, copy=not is_shared)
    except UnicodeEncodeError:
        encoded = {
            name: [encodable(cell) if isinstance(cell, str) else cell for cell in column]
            if not isinstance(column, np.ndarray) or column.dtype == object
            else column
            for name, column in columns.items()
        }
        table = pd.DataFrame(encoded)
    return table


def encodable(text: str) -> str:
    """Return the text with halves of surrogate pairs, which a path may hold, escaped: `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def _joined(
    analyses: RunColumns,
    columns_of: Callable[[RunColumns, OptimizerColumns], Mapping[str, Column | ExtensionArray]],
    names: tuple[str, ...],
    *,
    is_shared: bool = False,
) -> DataFrame:
    """The optimizers' columns, one below the other; `is_shared` as in `_table`."""
    import pandas as pd

    each = [columns_of(analyses, optimizer) for optimizer in analyses.optimizers.values()]
    joined = {n: _one_below_the_other([c[n] for c in each]) for n in names}
    table, steps = _table(joined, is_shared=is_shared), np.asarray(joined["step"])
    table["step"] = pd.array(np.where(steps < 0, 0, steps).astype(np.int64), dtype="Int64")
    table.loc[steps < 0, "step"] = pd.NA
    return table


def _one_below_the_other(columns: Sequence[Column | ExtensionArray]) -> Column | ExtensionArray:
    """The columns' values in one, texts as pandas holds them."""
    import pandas as pd

    if len(columns) < 2:
        return columns[0] if columns else np.empty(0)
    arrays = [column for column in columns if isinstance(column, np.ndarray)]
    if len(arrays) == len(columns):
        return np.concatenate(arrays)
    categories = [column for column in columns if isinstance(column, pd.Categorical)]
    if len(categories) == len(columns):
        return pd.api.types.union_categoricals(categories)
    joined: ExtensionArray = pd.concat([pd.Series(column) for column in columns]).array
    return joined


Spread = Callable[[Column, Column], "Column | ExtensionArray"]
"""Returns a column's values in these rows."""


def _spread(column: Column, rows: Column) -> Column | ExtensionArray:
    """A column's values in these rows; pandas makes each text once, although many rows have it."""
    if column.dtype != object:
        return column[rows]
    texts: ExtensionArray = _table({"": column})[""].array.take(rows)
    return texts


def _spread_as_categories(column: Column, rows: Column) -> Column | ExtensionArray:
    """The same, of texts as categories."""
    import pandas as pd

    if column.dtype != object:
        return column[rows]
    categories: ExtensionArray = pd.Categorical(_table({"": column})[""].array)[rows]
    return categories


def _head(
    analyses: RunColumns, optimizer: OptimizerColumns, row: Column, column: Column, spread: Spread = _spread
) -> dict[str, Column | ExtensionArray]:
    """What every row of a frame begins with."""
    return {
        "checkpoint": spread(analyses.checkpoints["checkpoint"], row),
        "checkpoint_index": row,
        "optimizer": spread(np.array([optimizer.name], object), np.zeros_like(row)),
        "step": optimizer.variables["step"][row],
        "parameter": spread(optimizer.variables["parameter"], column),
    }


_HEAD = ("checkpoint", "checkpoint_index", "optimizer", "step", "parameter")
_ALWAYS = frozenset(v.name for v in CHECKPOINT_VARIABLES)
_OF_PARAMETER = tuple(v.name for v in PARAMETER_VARIABLES if v.name != "parameter")
_QUANTILES = tuple(f"effective_lr_{name}" for name in QUANTILE_NAMES)
_SECOND_MOMENT_QUANTILES = tuple(f"second_moment_{name}" for name in QUANTILE_NAMES)


def _parameters(analyses: RunColumns, drawn: Collection[str] | None = None) -> DataFrame:
    held = {*_ALWAYS, *(name for optimizer in analyses.optimizers.values() for name in optimizer.variables)}
    of_checkpoint = [v for v in checkpoint_variables_in(held) if v.name != "step"]
    spread = _spread if drawn is None else _spread_as_categories
    metrics = [v.name for v in (*METRICS, *WINDOW_METRICS) if drawn is None or v.name in drawn]
    quantiles = {
        variable: {i: label for i, label in enumerate(labels) if drawn is None or label in drawn}
        for variable, labels in (("effective_lr", _QUANTILES), ("second_moment", _SECOND_MOMENT_QUANTILES))
    }
    before, behind = (list(quantiles[variable].values()) for variable in ("effective_lr", "second_moment"))
    if drawn is not None:
        spreads = (name for name, labels in quantiles.items() if labels)
        of_all = dict.fromkeys(["nonfinite", "step", *(v.name for v in of_checkpoint), *metrics, *spreads])
        for optimizer in analyses.optimizers.values():
            read_ahead(optimizer.variables, list(of_all))
    names = (*_HEAD[:4], *(v.name for v in of_checkpoint), "parameter", *_OF_PARAMETER, *before, *metrics, *behind)

    def columns(analyses: RunColumns, optimizer: OptimizerColumns) -> dict[str, Column | ExtensionArray]:
        variables = optimizer.variables
        row, column = np.nonzero(optimizer.present)
        is_full = len(row) == optimizer.present.size
        found = _head(analyses, optimizer, row, column, spread)
        found |= {
            v.name: spread(variables[v.name] if v.name in variables else _blank(v, len(analyses)), row)
            for v in of_checkpoint
        }
        found |= {name: spread(variables[name], column) for name in _OF_PARAMETER}
        each = {name: variables[name] for name in metrics}
        for variable, labels in quantiles.items():
            values = variables[variable] if labels else np.empty(0)
            each |= {label: values[..., i] for i, label in labels.items()}
        return found | {name: values.reshape(-1) if is_full else values[row, column] for name, values in each.items()}

    table = _joined(analyses, columns, names, is_shared=drawn is not None)
    table["effective_lr_is_relative"] = table["effective_lr_is_relative"].to_numpy() == 1
    return table


def _blank(variable: Variable, count: int) -> Column:
    """Values of a variable that an optimizer doesn't have, one for each of so many checkpoints."""
    return np.full(count, "", object) if variable.kind == "text" else np.full(count, np.nan)


def _histogram(analyses: RunColumns) -> DataFrame:
    def columns(analyses: RunColumns, optimizer: OptimizerColumns) -> dict[str, Column | ExtensionArray]:
        counts, edges = optimizer.variables["effective_lr_histogram"], optimizer.variables["bin_edges"]
        row, column, at = np.nonzero(counts)
        head = _head(analyses, optimizer, row, column)
        return {**head, "low": edges[at], "high": edges[at + 1], "count": counts[row, column, at]}

    return _joined(analyses, columns, (*_HEAD, "low", "high", "count"))


def _sample(analyses: RunColumns) -> DataFrame:
    def columns(analyses: RunColumns, optimizer: OptimizerColumns) -> dict[str, Column | ExtensionArray]:
        index = optimizer.variables["sample_index"]
        row, column, at = np.nonzero(optimizer.present[:, :, None] & (index >= 0))
        e = optimizer.variables["effective_lr_sample"][row, column, at]
        return {**_head(analyses, optimizer, row, column), "element": index[column, at], "effective_lr": e}

    return _joined(analyses, columns, (*_HEAD, "element", "effective_lr"))


def _checkpoints(analyses: RunColumns) -> DataFrame:
    table = _table({v.name: analyses.checkpoints[v.name] for v in ROOT_VARIABLES})
    table.insert(1, "checkpoint_index", np.arange(len(table)))
    return table


def _problems(analyses: RunColumns) -> DataFrame:
    names = ("checkpoint", "optimizer", "code", "severity", "message", "resolution")
    rows = [
        (r.checkpoint, r.optimizer, r.problem.code, r.problem.severity, r.problem.message, r.problem.resolution)
        for r in analyses.remarks
    ]
    return _table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def _findings(analyses: RunColumns) -> DataFrame:
    names = ("severity", "id", "title", "optimizer", "parameters", "checkpoints", "why", "action")
    rows = [
        {**f.to_json(), "parameters": _lines(f.parameters), "checkpoints": _lines(f.checkpoints)}
        for f in findings_of(analyses)
    ]
    return _table({name: [row[name] for row in rows] for name in names})


def _lines(names: Iterable[str]) -> str:
    """Return a line a name, whatever is in it."""
    return "\n".join(name.replace("\n", "\\n") for name in names)


RESTRICTABLE = frozenset({"parameters", "histogram", "sample"})
"""Those of which a run of many checkpoints has too many rows to want them all."""

_HELD_BY = {
    "histogram": frozenset({"checkpoint", "step", "effective_lr_histogram"}),
    "sample": frozenset({"checkpoint", "step", "nonfinite", "effective_lr_sample"}),
}
"""Columns along the checkpoints that a kind of frame is made of; the others take all of them."""

_FRAMES: Mapping[str, Callable[[RunColumns], DataFrame]] = {
    "parameters": _parameters,
    "histogram": _histogram,
    "sample": _sample,
    "checkpoints": _checkpoints,
    "problems": _problems,
    "findings": _findings,
}

KINDS = tuple(_FRAMES)
"""The kinds of tables by name."""


# --- differences


def diff_frame(differences: Differences) -> DataFrame:
    """Return one row a parameter, in their order, with a column for each of `differences.COLUMNS`."""
    import pandas as pd

    table: DataFrame = pd.DataFrame([row(p) for p in differences.parameters], columns=list(COLUMNS))
    return table


# --- xarray


_Labelled = tuple[tuple[str, ...], Column, dict[str, str]]
"""Dimensions, values and attributes, as xarray takes a variable."""


def tree(analyses: RunColumns) -> DataTree:
    """Return the store's groups as an xarray tree; see `Analyses.to_xarray`."""
    try:
        import xarray as xr
    except ImportError as error:
        raise RequestError("xarray is not installed: pip install 'ckpt-inspect[xarray]'") from error

    root = xr.Dataset(_variables(ROOT_VARIABLES, analyses.checkpoints))
    groups = {"/": root}
    for name, group in group_names(analyses.optimizers).items():
        columns = {**axes_of(analyses.optimizers[name]), **analyses.optimizers[name].variables}
        dataset: Dataset = xr.Dataset(_variables(variables_in(columns), columns), attrs={"optimizer": name})
        groups[group] = dataset.assign_coords(checkpoint=("checkpoint", analyses.checkpoints["checkpoint"]))
    result: DataTree = xr.DataTree.from_dict(groups)
    return result


def _variables(known: tuple[Variable, ...], columns: Mapping[str, Column]) -> dict[str, _Labelled]:
    return {
        v.name: (
            v.dimensions,
            columns[v.name],
            {"long_name": v.long_name, "units": v.units, "description": v.description},
        )
        for v in known
    }


def axes_of(optimizer: OptimizerColumns) -> dict[str, Column]:
    """Return the labels of dimensions that follow from the rest."""
    axes: dict[str, Column] = {"quantile": np.asarray(QUANTILE_LEVELS)}
    for bins in ("bin", "second_moment_bin"):
        edges = optimizer.variables[f"{bins}_edges"]
        axes[bins] = np.sqrt(edges[:-1] * edges[1:])
    return axes


assert {v.name for v in AXES} >= {"quantile", "bin", "second_moment_bin"}
assert {v.name for v in DISTRIBUTIONS} >= {"effective_lr", "effective_lr_histogram", "effective_lr_sample"}
