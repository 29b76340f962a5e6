"""RunColumns -> an HDF5 file that is open, by netCDF-4's conventions, schema 1.

The file: attributes of the root; the root's variables along `checkpoint`; a group for each optimizer, whose own
`checkpoint` repeats the names so that the group can be opened by itself; groups `problems` and `findings`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect._version import __version__
from ckpt_inspect.jsonable import json_object
from ckpt_inspect.measurement.columns import Column, OptimizerColumns, Remark, RunColumns
from ckpt_inspect.measurement.variables import (
    ALONG_CHECKPOINTS,
    CHECKPOINT,
    FINDING_VARIABLES,
    FINDINGS,
    PROBLEM_VARIABLES,
    PROBLEMS,
    ROOT_VARIABLES,
    Variable,
    group_names,
    variables_in,
)
from ckpt_inspect.runs.bin_room import EDGES, mark_filled, places_in, with_room
from ckpt_inspect.runs.netcdf import Dimensions
from ckpt_inspect.runs.quick_writing import add_number, add_texts, create, fill, fill_compressed
from ckpt_inspect.runs.stored import own_dataset, own_groups, storable

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any

    from ckpt_inspect.findings.finding import Finding

CONVENTIONS = "ckpt-inspect-1"
"""Root attribute `Conventions`; the number is the schema's."""

CHUNK_BYTES = 1 << 20

_CHUNK_ROWS = 256
"""Checkpoints of a chunk of a store that grows: the last chunk is written anew with each that is appended."""

MEMORY = "remembered"
"""Variable of the group `findings` that holds what a long run's `Remembered` is made of."""

_FILL_VALUES = {"float": math.nan, "integer": -1, "count": 0}
"""By a variable's kind; texts have none."""


def write(analyses: RunColumns, file: h5py.File) -> Dimensions:
    """Write everything into an open, empty h5py file; return what numbers its dimensions."""
    dimensions = write_outline(analyses, file)
    write_problems(analyses.remarks, file, dimensions)
    from ckpt_inspect.findings.checks import find_findings

    write_findings(finding_columns(find_findings(analyses)), analyses.thresholds, file, dimensions)
    return dimensions


def write_outline(analyses: RunColumns, file: h5py.File, rows: int | None = None) -> Dimensions:
    """Write everything but problems and findings; `rows`: of how many checkpoints these are the first, to be grown."""
    from ckpt_inspect.runs.frames import axes_of

    file.attrs["Conventions"] = CONVENTIONS
    file.attrs["ckpt_inspect_version"] = __version__
    file.attrs["title"] = "Effective learning rates, reconstructed from checkpoints"
    file.attrs["run"] = storable(analyses.run)
    file.attrs["options"] = storable(analyses.options)
    dimensions = Dimensions()
    _write_group(file, ROOT_VARIABLES, analyses.checkpoints, dimensions, rows)
    for name, group_name in group_names(analyses.optimizers).items():
        optimizer = analyses.optimizers[name] if rows is None else with_room(analyses.optimizers[name])
        group = file.create_group(group_name, track_order=True)
        group.attrs["optimizer"] = storable(name)
        columns = {"checkpoint": analyses.checkpoints["checkpoint"], **axes_of(optimizer), **optimizer.variables}
        _write_group(group, (ROOT_VARIABLES[0], *variables_in(columns)), columns, dimensions, rows)
        if rows is not None:
            mark_filled(group, analyses.optimizers[name].variables)
    return dimensions


def write_problems(remarks: Iterable[Remark], file: h5py.File, dimensions: Dimensions | None = None) -> None:
    """Write the group `problems`; without `dimensions` in place of the one that is there."""
    if dimensions is None:
        dimensions = Dimensions.like(file[PROBLEMS]["problem"])
        del file[PROBLEMS]
    group = file.create_group(PROBLEMS, track_order=True)
    _write_group(group, PROBLEM_VARIABLES, _problem_columns(tuple(remarks)), dimensions)


def write_findings(
    columns: Mapping[str, Column],
    thresholds: Mapping[str, float],
    file: h5py.File,
    dimensions: Dimensions | None = None,
) -> None:
    """Write the group `findings`; without `dimensions` in place of the one that is there."""
    if dimensions is None:
        dimensions = Dimensions.like(file[FINDINGS]["finding"])
        del file[FINDINGS]
    group = file.create_group(FINDINGS, track_order=True)
    group.attrs["thresholds"] = json.dumps(dict(thresholds), sort_keys=True)
    _write_group(group, FINDING_VARIABLES, columns, dimensions)


def write_memory(text: str, file: h5py.File) -> None:
    """Write what is to be remembered of the whole run into the group `findings` that has just been written."""
    import h5py

    dataset = file[FINDINGS].create_dataset(MEMORY, (), h5py.string_dtype("utf-8"), data=storable(text))
    dataset.attrs["long_name"] = "what was found"
    dataset.attrs["description"] = "JSON: the findings and the segments of the run, for the version that found them."


def resize(file: h5py.File, rows: int) -> None:
    """Make room for so many checkpoints in an open store."""
    for dataset in _along_checkpoints(file):
        dataset.resize(rows, axis=0)


def _along_checkpoints(file: h5py.File) -> Iterator[h5py.Dataset]:
    groups = [file, *(group for name, group in own_groups(file) if name not in (FINDINGS, PROBLEMS))]
    for group in groups:
        yield from (own_dataset(group, name) for name in group if name in ALONG_CHECKPOINTS)


def write_rows(analyses: RunColumns, file: h5py.File, start: int) -> None:
    """Write the checkpoints of these columns into the rows of an open store from `start` on."""
    _put(file, analyses.checkpoints, start)
    for name, group_name in group_names(analyses.optimizers).items():
        columns = {CHECKPOINT: analyses.checkpoints[CHECKPOINT], **analyses.optimizers[name].variables}
        bins = dict(places_in(file[group_name], columns))
        _put(file[group_name], {n: c for n, c in columns.items() if n in ALONG_CHECKPOINTS}, start, bins)


def write_others(optimizers: Mapping[str, OptimizerColumns], file: h5py.File) -> None:
    """Write what doesn't lie along the checkpoints over what an open store has of it; lengths stay."""
    for name, group_name in group_names(optimizers).items():
        variables = optimizers[name].variables
        known = ALONG_CHECKPOINTS | EDGES.keys()
        _put(file[group_name], {n: c for n, c in variables.items() if n not in known})
        mark_filled(file[group_name], variables)


def _put(
    group: h5py.Group, columns: Mapping[str, Column], start: int = 0, bins: Mapping[str, slice] | None = None
) -> None:
    """Write columns into the rows from `start` on; `bins`: where those of each histogram are."""
    for name, column in columns.items():
        if column.size:
            values = [storable(text) for text in column] if column.dtype == object else column
            rows = slice(start, start + len(column))
            group[name][(rows, slice(None), bins[name]) if bins and name in bins else rows] = values


def _problem_columns(remarks: Sequence[Remark]) -> dict[str, Column]:
    fields = {
        "code": [r.problem.code for r in remarks],
        "severity": [r.problem.severity for r in remarks],
        "checkpoint": [r.checkpoint for r in remarks],
        "optimizer": [r.optimizer for r in remarks],
        "message": [r.problem.message for r in remarks],
        "resolution": [r.problem.resolution for r in remarks],
    }
    return {name: np.array(values, object) for name, values in fields.items()}


def finding_columns(findings: Iterable[Finding]) -> dict[str, Column]:
    """Return the variables of the group `findings`."""
    rows: list[dict[str, object]] = []
    for finding in findings:
        row = dict(json_object(finding.to_json()))
        texts = {name: json.dumps(row[name], ensure_ascii=False) for name in ("evidence", "thresholds")}
        lines = {"parameters": "\n".join(finding.parameters), "checkpoints": "\n".join(finding.checkpoints)}
        rows.append({**row, **texts, **lines})
    return {v.name: np.array([row[v.name] for row in rows], object) for v in FINDING_VARIABLES}


def _write_group(
    group: h5py.Group,
    variables: Iterable[Variable],
    columns: Mapping[str, Column],
    dimensions: Dimensions,
    rows: int | None = None,
) -> None:
    """Write a group's variables and the scales of their dimensions; `rows`: make room for so many checkpoints, whose
    own values are written later."""
    variables = [v for v in variables if v.name in columns]
    lengths: dict[str, int] = {}
    for variable in variables:
        lengths.update(zip(variable.dimensions, columns[variable.name].shape, strict=True))
    written = {v.name: _write_variable(group, v, columns[v.name], rows) for v in variables}
    scales = {}
    for dimension, length in lengths.items():
        if dimension not in written:
            blank = {"shape": (length,), "dtype": np.dtype(">f4")}
            if dimension == CHECKPOINT:
                blank |= {"maxshape": (None,), "chunks": (max(length, 1),)}
            scales[dimension] = group.create_dataset(dimension, **blank)
            dimensions.leave_blank(scales[dimension])
        else:
            scales[dimension] = written[dimension]
            dimensions.label(scales[dimension], dimension)
    for variable in variables:
        if variable.dimensions == (variable.name,):
            continue
        for axis, dimension in enumerate(variable.dimensions):
            written[variable.name].dims[axis].attach_scale(scales[dimension])


def _write_variable(group: h5py.Group, variable: Variable, column: Column, rows: int | None) -> h5py.Dataset:
    import h5py

    is_text = variable.kind == "text"
    is_growing = variable.dimensions[0] == CHECKPOINT
    shape = column.shape
    if is_growing and rows is not None:
        shape = (rows, *shape[1:])
    is_chunked = is_growing or column.nbytes > CHUNK_BYTES
    is_compressed = is_chunked and not is_text and column.ndim > 1
    dataset = create(
        group,
        variable.name,
        shape,
        h5py.string_dtype("utf-8") if is_text else column.dtype,
        chunks=_chunks(shape, column.dtype.itemsize, None if rows is None else _CHUNK_ROWS) if is_chunked else None,
        # a chunk may not be longer than a dimension that can't grow, and none may be 0 long
        maxshape=(None, *(length or None for length in column.shape[1:])) if is_growing else None,
        fillvalue=_FILL_VALUES.get(variable.kind),
        is_compressed=is_compressed,
    )
    if column.size and shape == column.shape and is_compressed:
        fill_compressed(dataset, column)
    elif column.size and shape == column.shape:
        fill(dataset, np.array([storable(text) for text in column], object) if is_text else column)
    if variable.kind == "float":  # a fill value would turn integers into floats wherever they are decoded
        add_number(dataset, "_FillValue", math.nan, column.dtype)
    about = {"long_name": variable.long_name, "description": variable.description}
    texts = {name: text for name, text in about.items() if text}
    add_texts(dataset, texts if is_text else {"units": variable.units, **texts})
    return dataset


def _chunks(shape: tuple[int, ...], itemsize: int, most: int | None) -> tuple[int, ...]:
    """A chunk spans as many checkpoints as fit, or at `most`, and everything else as far as it fits."""
    inner = [max(length, 1) for length in shape[1:]]
    while inner and int(np.prod(inner)) * itemsize > CHUNK_BYTES:
        longest = int(np.argmax(inner))
        inner[longest] = -(-inner[longest] // 2)
    each = int(np.prod(inner)) * itemsize if inner else itemsize
    rows = max(shape[0], 1) if most is None else most
    return (max(1, min(rows, CHUNK_BYTES // each)), *inner)
