"""Analyses of checkpoints -> the columns of their run, beside what a store held before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.measurement.columns import Column, Columns, OptimizerColumns, Remark, RunColumns
from ckpt_inspect.measurement.histograms import EFFECTIVE_LR_GRID, QUANTILE_LEVELS, SECOND_MOMENT_GRID, Grid
from ckpt_inspect.measurement.summaries import SAMPLES
from ckpt_inspect.measurement.variables import (
    BINS,
    CHECKPOINT_VARIABLES,
    FURTHER_VARIABLES,
    METRICS,
    PARAMETER_VARIABLES,
    ROOT_VARIABLES,
    Kind,
    checkpoint_variables_in,
    variables_in,
)
from ckpt_inspect.runs.analysis import Analysis, Histogram, OptimizerAnalysis, ParameterAnalysis
from ckpt_inspect.runs.first_names import with_first_names
from ckpt_inspect.storage import absolute

GRIDS: Mapping[str, Grid] = {
    "effective_lr_histogram": EFFECTIVE_LR_GRID,
    "second_moment_histogram": SECOND_MOMENT_GRID,
}

_SAMPLED = ("effective_lr_sample", "second_moment_sample")

_DTYPES: Mapping[Kind, type] = {"text": object, "float": np.float64, "integer": np.int64, "count": np.int64}
_EMPTY: Mapping[Kind, str | float] = {"text": "", "float": np.nan, "integer": -1, "count": 0}


def assemble(
    run: str,
    options: str,
    order: Sequence[str],
    previous: RunColumns | None,
    fresh: Mapping[str, Analysis],
    failures: Sequence[tuple[str, Problem]] = (),
    thresholds: Mapping[str, float] | None = None,
) -> RunColumns:
    """Return a run's columns, from what a store held and what was read now.

    `order` names checkpoints by fingerprint, in training order; each is a key of `fresh` or a fingerprint of
    `previous`. `failures`: paths that couldn't be read. Names of checkpoints are made anew from all paths.
    """
    fresh = with_first_names(order, previous, fresh)
    rows = _Rows.of(order, previous, fresh)
    checkpoints = _root_columns(rows)
    names = dict.fromkeys(previous.optimizers if previous is not None else ())
    for analysis in fresh.values():
        names.update(dict.fromkeys(o.name for o in analysis.optimizers))
    optimizers = {name: OptimizerColumns(name, _optimizer_columns(name, rows)) for name in names}
    return RunColumns(
        run, options, checkpoints, optimizers, tuple(_remarks(rows, checkpoints, failures)), thresholds or {}
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where each checkpoint of the result comes from."""

    previous: RunColumns | None
    kept: tuple[tuple[int, int], ...]
    """(row of the result, row of `previous`)"""
    fresh: tuple[tuple[int, Analysis], ...]
    """(row of the result, what was read)"""

    @classmethod
    def of(cls, order: Sequence[str], previous: RunColumns | None, fresh: Mapping[str, Analysis]) -> _Rows:
        old = {} if previous is None else {f: i for i, f in enumerate(previous.checkpoints["fingerprint"])}
        kept = tuple((row, old[f]) for row, f in enumerate(order) if f not in fresh)
        return cls(previous, kept, tuple((row, fresh[f]) for row, f in enumerate(order) if f in fresh))

    @property
    def count(self) -> int:
        return len(self.kept) + len(self.fresh)

    def copy_kept(self, target: Column, source: Column, *rest: Sequence[int]) -> None:
        """Copy the kept rows of a column; `rest` indexes the target's other dimensions."""
        if self.kept:
            to, of = (list(indices) for indices in zip(*self.kept, strict=True))
            target[np.ix_(to, *rest)] = source[of]


def blank(kind: Kind, *shape: int) -> Column:
    """Return a column of what stands where nothing is known: NaN, -1, 0 for counts, an empty text."""
    return np.full(shape, _EMPTY[kind], _DTYPES[kind])


def _root_columns(rows: _Rows) -> dict[str, Column]:
    columns = {v.name: blank(v.kind, rows.count) for v in ROOT_VARIABLES}
    for name, column in columns.items():
        if rows.previous is not None:
            rows.copy_kept(column, rows.previous.checkpoints[name])
        for row, analysis in rows.fresh:
            if name == "files":
                column[row] = "\n".join(analysis.files)
            elif name == "path":
                column[row] = absolute(analysis.path)
            elif name != "checkpoint":
                column[row] = getattr(analysis, name)
    columns["checkpoint"][:] = checkpoint_names([str(path) for path in columns["path"]])
    return columns


def checkpoint_names(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path, or as many of the last parts as make them distinct; numbered if that fails."""
    parts = [Path(path).parts for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name}#{i + 1}" for i, name in enumerate(names)]


def _remarks(rows: _Rows, checkpoints: Columns, failures: Sequence[tuple[str, Problem]]) -> Iterator[Remark]:
    names = checkpoints["checkpoint"]
    by_row: dict[int, list[Remark]] = {}
    if rows.previous is not None:
        old = {name: i for i, name in enumerate(rows.previous.checkpoints["checkpoint"])}
        new_row = {before: now for now, before in rows.kept}
        for remark in rows.previous.remarks:
            row = new_row.get(old.get(remark.checkpoint, -1))
            if row is not None:
                by_row.setdefault(row, []).append(Remark(names[row], remark.optimizer, remark.problem))
    for row, analysis in rows.fresh:
        found = [Remark(names[row], "", p) for p in analysis.problems]
        found += [Remark(names[row], o.name, p) for o in analysis.optimizers for p in o.problems]
        by_row[row] = list(dict.fromkeys(found))
    for row in sorted(by_row):
        yield from by_row[row]
    for path, problem in failures:
        yield Remark(path, "", problem)


def _optimizer_columns(name: str, rows: _Rows) -> dict[str, Column]:
    old = None if rows.previous is None else rows.previous.optimizers.get(name)
    fresh = [(row, o) for row, analysis in rows.fresh for o in analysis.optimizers if o.name == name]
    parameters = dict.fromkeys(() if old is None else old.variables["parameter"])
    for _, optimizer in fresh:
        parameters.update(dict.fromkeys(p.name for p in optimizer.parameters))
    place = {parameter: i for i, parameter in enumerate(parameters)}
    columns: dict[str, Column] = {v.name: blank(v.kind, rows.count) for v in CHECKPOINT_VARIABLES}
    had = {name for _, o in fresh for name in o.hyperparameters} | ({*old.variables} if old is not None else set())
    columns |= {v.name: blank(v.kind, rows.count) for n, own in FURTHER_VARIABLES.items() if n in had for v in own}
    columns |= {v.name: blank(v.kind, len(place)) for v in PARAMETER_VARIABLES}
    columns |= {v.name: blank(v.kind, rows.count, len(place)) for v in METRICS}
    for quantiles in ("effective_lr", "second_moment"):
        columns[quantiles] = blank("float", rows.count, len(place), len(QUANTILE_LEVELS))
    for sample in _SAMPLED:
        columns[sample] = blank("float", rows.count, len(place), SAMPLES)
    columns["sample_index"] = blank("integer", len(place), SAMPLES)
    columns |= _histogram_columns(old, fresh, rows, place)
    if old is not None:
        _copy_previous(columns, old.variables, rows, place)
    for row, optimizer in fresh:
        _fill(columns, row, optimizer, place)
    return {v.name: columns[v.name] for v in variables_in(columns)}


def _copy_previous(columns: dict[str, Column], old: Columns, rows: _Rows, place: Mapping[str, int]) -> None:
    at = [place[name] for name in old["parameter"]]
    for variable in checkpoint_variables_in(old):
        rows.copy_kept(columns[variable.name], old[variable.name])
    for variable in PARAMETER_VARIABLES:
        columns[variable.name][at] = old[variable.name]
    columns["sample_index"][at] = old["sample_index"]
    for name in (*(v.name for v in METRICS), "effective_lr", "second_moment", *_SAMPLED):
        rest = [range(length) for length in columns[name].shape[2:]]
        rows.copy_kept(columns[name], old[name], at, *rest)


def _fill(columns: dict[str, Column], row: int, optimizer: OptimizerAnalysis, place: Mapping[str, int]) -> None:
    """Write one checkpoint's row."""
    step = optimizer.step
    columns["step"][row] = -1 if step.value is None else step.value
    sourced = {"step": step, "rule": optimizer.rule, **optimizer.hyperparameters}
    for name, value in sourced.items():
        columns[f"{name}_source"][row], columns[f"{name}_where"][row] = value.source, value.where
    columns["rule"][row], columns["layout"][row] = optimizer.rule.value, optimizer.layout
    columns["family"][row] = optimizer.family
    columns["effective_lr_is_relative"][row] = int(optimizer.is_relative)
    for name, hyperparameter in optimizer.hyperparameters.items():
        if hyperparameter.value is not None:
            columns[name][row] = hyperparameter.value
    found = optimizer.parameters
    at = [place[p.name] for p in found]
    columns["parameter"][at] = [p.name for p in found]
    columns["shape"][at] = [",".join(map(str, p.shape)) for p in found]
    columns["dtype"][at] = [p.dtype for p in found]
    columns["size"][at] = [p.size for p in found]
    for variable in METRICS:
        columns[variable.name][row, at] = [p.metrics[variable.name] for p in found]
    for i, parameter in zip(at, found, strict=True):
        columns["sample_index"][i] = parameter.sample_index
        columns["effective_lr"][row, i] = parameter.effective_lr
        columns["effective_lr_sample"][row, i] = parameter.effective_lr_sample
        columns["second_moment"][row, i] = parameter.second_moment
        columns["second_moment_sample"][row, i] = parameter.second_moment_sample


def _histogram_columns(
    old: OptimizerColumns | None,
    fresh: Sequence[tuple[int, OptimizerAnalysis]],
    rows: _Rows,
    place: Mapping[str, int],
) -> dict[str, Column]:
    """The histograms and their bins' edges: as many of the grid's bins as hold anything in the run."""
    columns: dict[str, Column] = {}
    for name, grid in GRIDS.items():
        bins = BINS[name]
        start = 0 if old is None else int(np.searchsorted(grid.edges, old.variables[f"{bins}_edges"][0]))
        spans = [] if old is None else [(start, start + old.variables[name].shape[2])]
        histograms = [(row, place[p.name], _histogram(p, name)) for row, o in fresh for p in o.parameters]
        spans += [(h.first, h.first + len(h.counts)) for _, _, h in histograms if len(h.counts)]
        spans = [span for span in spans if span[1] > span[0]]
        first, last = min((s[0] for s in spans), default=0), max((s[1] for s in spans), default=0)
        counts = blank("count", rows.count, len(place), last - first)
        if old is not None:
            at = [place[parameter] for parameter in old.variables["parameter"]]
            before = range(start - first, start - first + old.variables[name].shape[2])
            rows.copy_kept(counts, old.variables[name], at, before)
        for row, i, histogram in histograms:
            begin = histogram.first - first
            counts[row, i, begin : begin + len(histogram.counts)] = histogram.counts
        columns[name] = counts
        columns[f"{bins}_edges"] = grid.edges[first : last + 1].copy()
    return columns


def _histogram(parameter: ParameterAnalysis, name: str) -> Histogram:
    histogram: Histogram = getattr(parameter, name)
    return histogram
