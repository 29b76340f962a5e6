"""A run's analyses as columns: per optimizer, arrays over checkpoints and parameters under the store's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.measurement.histograms import EFFECTIVE_LR_GRID, QUANTILE_LEVELS, SECOND_MOMENT_GRID, Grid
from ckpt_inspect.measurement.summaries import SAMPLES
from ckpt_inspect.measurement.variables import (
    BINS,
    CHECKPOINT_VARIABLES,
    METRICS,
    OPTIMIZER_VARIABLES,
    PARAMETER_VARIABLES,
    ROOT_VARIABLES,
    Kind,
)
from ckpt_inspect.state.hyperparameters import HYPERPARAMETERS
from ckpt_inspect.storage import absolute

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from xarray import DataTree

    from ckpt_inspect.findings import Finding
    from ckpt_inspect.runs.analysis import Analysis, Histogram, OptimizerAnalysis, ParameterAnalysis

Column = NDArray[Any]
Columns = Mapping[str, Column]

GRIDS: Mapping[str, Grid] = {
    "effective_lr_histogram": EFFECTIVE_LR_GRID,
    "second_moment_histogram": SECOND_MOMENT_GRID,
}

_SAMPLED = ("effective_lr_sample", "second_moment_sample")

_DTYPES: Mapping[Kind, Any] = {"text": object, "float": np.float64, "integer": np.int64, "count": np.int64}
_EMPTY: Mapping[Kind, Any] = {"text": "", "float": np.nan, "integer": -1, "count": 0}


@dataclass(frozen=True, slots=True)
class Remark:
    """A Problem, and what it is about."""

    checkpoint: str
    """Name; empty for the whole run."""
    optimizer: str
    """Name; empty for the whole checkpoint."""
    problem: Problem


@dataclass(frozen=True, slots=True, eq=False)
class OptimizerRun:
    """One optimizer over a run: C checkpoints by P parameters."""

    name: str
    variables: Columns
    """By the names of `variables.OPTIMIZER_VARIABLES`, with their dimensions; texts are object arrays of str. What a
    checkpoint or a parameter in it lacks is NaN, -1, 0 (counts) or empty."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(C, P) whether the parameter is in the checkpoint."""
        return ~np.isnan(self.variables["nonfinite"])


@dataclass(frozen=True, slots=True, eq=False)
class Analyses:
    """All that is known of a run; what a store holds. Equal if all of it is."""

    run: str
    """The run's name, for people: its folder's."""
    options: str
    """JSON of what was asked for: results of other options are other results."""
    checkpoints: Columns
    """(C,) each, by the names of `variables.ROOT_VARIABLES`, in training order."""
    optimizers: Mapping[str, OptimizerRun]
    remarks: tuple[Remark, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of `findings.Thresholds`, those that are not at their defaults."""

    def __len__(self) -> int:
        return len(self.checkpoints["checkpoint"])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Analyses)
            and (self.run, self.options, self.remarks) == (other.run, other.options, other.remarks)
            and self.thresholds == other.thresholds
            and _same_columns(self.checkpoints, other.checkpoints)
            and list(self.optimizers) == list(other.optimizers)
            and all(_same_columns(o.variables, other.optimizers[n].variables) for n, o in self.optimizers.items())
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was odd anywhere, each once."""
        return tuple(dict.fromkeys(remark.problem for remark in self.remarks))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What deserves a person's attention, by `thresholds`, the most severe first; found anew at every call."""
        from ckpt_inspect.findings import Thresholds, find_findings

        return find_findings(self, Thresholds.of(self.thresholds))

    @property
    def failures(self) -> tuple[Remark, ...]:
        """The remarks on checkpoints that couldn't be read."""
        return tuple(r for r in self.remarks if r.problem.code == UNREADABLE)

    def to_frame(self, kind: str = "parameters", checkpoints: Sequence[int] | None = None) -> DataFrame:
        """A tidy pandas frame of a kind: `parameters`, `histogram`, `sample`, `checkpoints`, `problems` or `findings`.

        `parameters`: a row per checkpoint, optimizer and parameter, every figure a column; `histogram`: a row per bin
        that isn't empty; `sample`: a row per sampled element. `checkpoints`: of these two kinds the rows of
        those alone, by their `checkpoint_index`. Raises RequestError for another kind.
        """
        from ckpt_inspect.runs.frames import frame

        return frame(self, kind, checkpoints)

    def to_xarray(self) -> DataTree:
        """An xarray tree like the store's groups; raises RequestError where xarray is not installed."""
        from ckpt_inspect.runs.frames import tree

        return tree(self)

    def plot(
        self,
        name: str = "effective-lr",
        *,
        optimizer: str | None = None,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
    ) -> Figure:
        """A report's figure (`plots.FIGURES` by `id`) of one optimizer, as a matplotlib Figure.

        `optimizer` must be said where there are several; `include` and `exclude` are glob patterns on parameters'
        names. Raises RequestError, which lists what there is, for another name, and where there is nothing to draw.
        """
        from ckpt_inspect.presentation.notebook import run_figure

        return run_figure(self, name, optimizer, include, exclude)

    def _repr_html_(self) -> str:
        from ckpt_inspect.presentation.notebook import run_html

        return run_html(self)


UNREADABLE = "unreadable-checkpoint"
"""Code of the Problem that stands for a checkpoint that couldn't be read."""


def _same_columns(a: Columns, b: Columns) -> bool:
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f")
        for name in a
    )


# --- assembling


def of_one(analysis: Analysis) -> Analyses:
    """A run of one checkpoint, called by its name."""
    return assemble(analysis.name, "{}", [analysis.fingerprint], None, {analysis.fingerprint: analysis})


def assemble(
    run: str,
    options: str,
    order: Sequence[str],
    previous: Analyses | None,
    fresh: Mapping[str, Analysis],
    failures: Sequence[tuple[str, Problem]] = (),
    thresholds: Mapping[str, float] | None = None,
) -> Analyses:
    """A run's columns, from what a store held and what was read now.

    `order` names checkpoints by fingerprint, in training order; each is a key of `fresh` or a fingerprint of
    `previous`. `failures`: paths that couldn't be read. Names of checkpoints are made anew from all paths.
    """
    rows = _Rows.of(order, previous, fresh)
    checkpoints = _root_columns(rows)
    names = dict.fromkeys(previous.optimizers if previous is not None else ())
    for analysis in fresh.values():
        names.update(dict.fromkeys(o.name for o in analysis.optimizers))
    optimizers = {name: OptimizerRun(name, _optimizer_columns(name, rows)) for name in names}
    return Analyses(
        run, options, checkpoints, optimizers, tuple(_remarks(rows, checkpoints, failures)), thresholds or {}
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where each checkpoint of the result comes from."""

    previous: Analyses | None
    kept: tuple[tuple[int, int], ...]
    """(row of the result, row of `previous`)"""
    fresh: tuple[tuple[int, Analysis], ...]
    """(row of the result, what was read)"""

    @classmethod
    def of(cls, order: Sequence[str], previous: Analyses | None, fresh: Mapping[str, Analysis]) -> _Rows:
        old = {} if previous is None else {f: i for i, f in enumerate(previous.checkpoints["fingerprint"])}
        kept = tuple((row, old[f]) for row, f in enumerate(order) if f not in fresh)
        return cls(previous, kept, tuple((row, fresh[f]) for row, f in enumerate(order) if f in fresh))

    @property
    def count(self) -> int:
        return len(self.kept) + len(self.fresh)

    def copy_kept(self, target: Column, source: Column, *rest: Any) -> None:
        """Copy the kept rows of a column; `rest` indexes the target's other dimensions."""
        if self.kept:
            to, of = (list(indices) for indices in zip(*self.kept, strict=True))
            target[np.ix_(to, *rest)] = source[of]


def _blank(kind: Kind, *shape: int) -> Column:
    return np.full(shape, _EMPTY[kind], _DTYPES[kind])


def _root_columns(rows: _Rows) -> dict[str, Column]:
    columns = {v.name: _blank(v.kind, rows.count) for v in ROOT_VARIABLES}
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
    """The last part of each path, or as many of the last parts as tell them all apart; in doubt numbered."""
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
    columns: dict[str, Column] = {v.name: _blank(v.kind, rows.count) for v in CHECKPOINT_VARIABLES}
    columns |= {v.name: _blank(v.kind, len(place)) for v in PARAMETER_VARIABLES}
    columns |= {v.name: _blank(v.kind, rows.count, len(place)) for v in METRICS}
    for quantiles in ("effective_lr", "second_moment"):
        columns[quantiles] = _blank("float", rows.count, len(place), len(QUANTILE_LEVELS))
    for sample in _SAMPLED:
        columns[sample] = _blank("float", rows.count, len(place), SAMPLES)
    columns["sample_index"] = _blank("integer", len(place), SAMPLES)
    columns |= _histogram_columns(old, fresh, rows, place)
    if old is not None:
        _copy_previous(columns, old.variables, rows, place)
    for row, optimizer in fresh:
        _fill(columns, row, optimizer, place)
    return {v.name: columns[v.name] for v in OPTIMIZER_VARIABLES if v.name in columns}


def _copy_previous(columns: dict[str, Column], old: Columns, rows: _Rows, place: Mapping[str, int]) -> None:
    at = [place[name] for name in old["parameter"]]
    for variable in CHECKPOINT_VARIABLES:
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
    for name in HYPERPARAMETERS:
        if name in optimizer.hyperparameters and optimizer.hyperparameters[name].value is not None:
            columns[name][row] = optimizer.hyperparameters[name].value
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
    old: OptimizerRun | None,
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
        counts = _blank("count", rows.count, len(place), last - first)
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
