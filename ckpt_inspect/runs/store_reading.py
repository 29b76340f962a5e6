"""An HDF5 file that is open -> RunColumns. It is untrusted: whatever `store_writing` doesn't write is an error of
Python's own, which `store` turns into a StoreError."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.measurement.columns import Column, OptimizerColumns, Remark, Rows, RunColumns
from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS, Grid
from ckpt_inspect.measurement.summaries import SAMPLES
from ckpt_inspect.measurement.variables import (
    BINS,
    CHECKPOINT,
    CONTRADICTION,
    FINDINGS,
    FURTHER_VARIABLES,
    KEPT,
    METRICS,
    OPTIMIZER_VARIABLES,
    PARAMETER,
    PROBLEM_VARIABLES,
    PROBLEMS,
    ROOT_VARIABLES,
    WINDOW_METRICS,
    Variable,
    variables_in,
)
from ckpt_inspect.runs.bin_room import filled_in, only_filled
from ckpt_inspect.runs.figures import GRIDS
from ckpt_inspect.runs.store_writing import MEMORY
from ckpt_inspect.runs.stored import count_rows, is_own, own_dataset, own_group, own_groups, read_values, text_attribute
from ckpt_inspect.runs.stored_runs import Pick

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any


NOT_IN_STORE = "not-in-store"
"""Code of the Problem that stands for figures that a store of another version lacks."""

_LABELS = frozenset({"quantile", "bin", "second_moment_bin"})
"""Variables that label a dimension and follow from the rest."""

_OF_EVERY_ROOT = frozenset({CHECKPOINT, "path", "fingerprint"})

_OF_EVERY_OPTIMIZER = frozenset({"parameter", "shape", "size", "step", "rule", "nonfinite"})
"""What tells rows and columns from one another, and which of them there are: a store without it is none."""

_SEVERITIES = frozenset({"info", "warning", "error"})

_SHAPE = re.compile(r"(\d{1,19}(,\d{1,19})*)?", re.ASCII)


def read_memory(group: h5py.Group) -> str:
    return str(read_values(group, MEMORY, "text", ())) if is_own(group, MEMORY) else ""


def read(file: h5py.File, rows: Rows = slice(None), pick: Pick | None = None) -> RunColumns:
    """Return everything out of an open store, or of some of its checkpoints, or some columns and nothing else.

    Raises KeyError for what every store has, ValueError for what can't be.
    """
    count, checkpoints = _read_checkpoints(file, rows, None if pick is None else pick.get(None, ()))
    optimizers: dict[str, OptimizerColumns] = {}
    lacking: list[Remark] = []
    for group_name, group in own_groups(file):
        if group_name in (FINDINGS, PROBLEMS):
            continue
        name = _text_of(group, "optimizer")
        if name in optimizers:
            raise ValueError(f"two groups are of the optimizer {name}")
        if pick is not None and name not in pick:
            continue
        columns = _read_optimizer(group, count, rows, None if pick is None else pick[name])
        optimizers[name] = OptimizerColumns(name, columns)
        if absent := [figure.name for figure in (*METRICS, *WINDOW_METRICS) if not is_own(group, figure.name)]:
            lacking.append(Remark("", name, _not_stored(absent)))
    run, options = _text_of(file, "run"), _text_of(file, "options")
    if pick is not None:
        return RunColumns(run, options, checkpoints, optimizers, ())
    remarks = (*_read_remarks(own_group(file, PROBLEMS)), *lacking)
    return RunColumns(run, options, checkpoints, optimizers, remarks, _read_thresholds(own_group(file, FINDINGS)))


def _not_stored(names: Sequence[str]) -> Problem:
    """Return the Problem for figures that an earlier version, or another program, left out."""
    verb = "is" if len(names) == 1 else "are"
    return Problem(
        NOT_IN_STORE,
        f"{', '.join(names)} {verb} not in this store",
        "they count as not known (NaN); analysing the checkpoints into a new store determines them",
        "info",
    )


def _text_of(thing: h5py.Group, name: str) -> str:
    text = text_attribute(thing, name)
    if text is None:
        raise KeyError(f"there is no attribute {name}")
    return text


def _read_thresholds(group: h5py.Group) -> dict[str, float]:
    try:
        found = json.loads(_text_of(group, "thresholds"))
    except RecursionError as error:
        raise ValueError("the thresholds are nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError("the thresholds are not names with numbers")
    for name, value in found.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"the threshold {name} is no number")
    from ckpt_inspect.findings.thresholds import Thresholds

    try:
        return Thresholds.of(found).given()
    except CkptInspectError as error:
        raise ValueError(str(error)) from error


def _read_checkpoints(file: h5py.File, rows: Rows, only: Container[str] | None) -> tuple[int, dict[str, Column]]:
    """Return how many there are, and the columns, or only some."""
    if only is not None:
        count = len(own_dataset(file, CHECKPOINT))
        wanted = [v for v in ROOT_VARIABLES if v.name in only]
        return count, {v.name: _read_variable(file, v, {CHECKPOINT: count}, _OF_EVERY_ROOT, rows) for v in wanted}
    names = read_values(file, CHECKPOINT, "text", (None,))
    if not len(names):
        raise ValueError("it has no checkpoint")
    lengths = {CHECKPOINT: len(names)}
    columns = {v.name: _read_variable(file, v, lengths, _OF_EVERY_ROOT, rows) for v in ROOT_VARIABLES}
    if len(set(names)) < len(names):
        raise ValueError("two checkpoints have the same name")
    return len(names), columns


def _read_optimizer(group: h5py.Group, checkpoints: int, rows: Rows, only: Container[str] | None) -> dict[str, Column]:
    names = read_values(group, PARAMETER, "text", (None,))
    if len(set(names)) < len(names):
        raise ValueError("two parameters have the same name")
    lengths = {
        CHECKPOINT: checkpoints, PARAMETER: len(names), "quantile": len(QUANTILE_LEVELS), "sample": SAMPLES,
    }  # fmt: skip
    columns = {}
    filled: dict[str, slice] = {}
    for histogram, grid in GRIDS.items():
        bins = BINS[histogram]
        edges = _read_edges(group, f"{bins}_edges", grid)
        lengths |= {bins: len(edges) - 1, f"{bins}_edge": len(edges)}
        if is_own(group, f"{bins}_edges"):
            filled[histogram] = own = filled_in(group[f"{bins}_edges"])
            edges = edges[own.start : own.stop + 1]
        columns[f"{bins}_edges"] = edges
    if is_own(group, "kept_checkpoint"):
        lengths |= _kept_lengths(group)
    for variable in _variables_of(group):
        is_wanted = only is None or variable.name in only
        if is_wanted and variable.name not in _LABELS and variable.name not in columns:
            column = _read_variable(group, variable, lengths, _OF_EVERY_OPTIMIZER, rows)
            bins_of = filled.get(variable.name)
            columns[variable.name] = column if bins_of is None else only_filled(column, bins_of)
    for parameter, shape, size in zip(names, columns.get("shape", ()), columns.get("size", ()), strict=False):
        if not _SHAPE.fullmatch(shape) or math.prod(int(length) for length in shape.split(",") if length) != size:
            raise ValueError(f"{parameter!r} has the shape {shape!r} and {size} elements")
    return {v.name: columns[v.name] for v in variables_in(columns)}


def _kept_lengths(group: h5py.Group) -> dict[str, int]:
    counts = read_values(group, "kept_parameter_count", "integer", (None,))
    if (counts < 0).any():
        raise ValueError("kept_parameter_count has a negative count")
    kept = len(read_values(group, "kept_checkpoint", "text", (None,)))
    return {"kept": kept, "kept_parameter": len(counts), "kept_element": int(counts.sum())}


def _read_edges(group: h5py.Group, name: str, grid: Grid) -> Column:
    """Return the edges of a histogram's bins, which are some of the grid's, one after another."""
    if not is_own(group, name):
        none: Column = grid.edges[:1].copy()
        return none
    edges: Column = read_values(group, name, "float", (None,))
    start = int(np.searchsorted(grid.edges, edges[0])) if len(edges) else 0
    if not len(edges) or not np.array_equal(edges, grid.edges[start : start + len(edges)]):
        raise ValueError(f"{name} are not those of our bins")
    return edges


def _variables_of(group: h5py.Group) -> tuple[Variable, ...]:
    """What every optimizer has, and of what some have that which the group holds."""
    further = {
        v.name
        for own in FURTHER_VARIABLES.values()
        if all(is_own(group, v.name) for v in own if not v.name.endswith(CONTRADICTION))
        for v in own
    }
    kept = {v.name for v in KEPT} if is_own(group, "kept_checkpoint") else set()
    return variables_in({*further, *kept, *(v.name for v in OPTIMIZER_VARIABLES)})


def _read_variable(
    group: h5py.Group, variable: Variable, lengths: Mapping[str, int], required: frozenset[str], rows: Rows
) -> Column:
    """Return the variable, of one along checkpoints the rows; blank if the store lacks it and not every store has
    it."""
    from ckpt_inspect.runs.assembly import blank

    shape = tuple(lengths[dimension] for dimension in variable.dimensions)
    own = rows if variable.dimensions[0] == CHECKPOINT else slice(None)
    if variable.name not in required and not is_own(group, variable.name):
        return blank(variable.kind, count_rows(own, shape[0]), *shape[1:])
    values: Column = read_values(group, variable.name, variable.kind, shape, own)
    return values


def _read_remarks(group: h5py.Group) -> Iterator[Remark]:
    count = len(read_values(group, "code", "text", (None,)))
    columns = {v.name: read_values(group, v.name, "text", (count,)) for v in PROBLEM_VARIABLES}
    for i in range(count):
        at = {name: str(column[i]) for name, column in columns.items()}
        if at["severity"] not in _SEVERITIES:
            raise ValueError(f"a problem is of the severity {at['severity'][:40]!r}")
        text = (at["code"], at["message"], at["resolution"], at["severity"])
        yield Remark(at["checkpoint"], at["optimizer"], Problem(*text))  # type: ignore[arg-type]  # severity as written
