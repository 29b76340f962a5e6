"""Analyses of checkpoints -> the columns of their run, beside what a store held before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.comparison.gradients import KnownWindows, path_columns, window_columns
from ckpt_inspect.comparison.paths import PathFigures
from ckpt_inspect.measurement.columns import Column, Columns, OptimizerColumns, Remark, RunColumns
from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS
from ckpt_inspect.measurement.summaries import SAMPLES, sample_indices
from ckpt_inspect.measurement.variables import (
    BINS,
    CHECKPOINT_VARIABLES,
    CONTRADICTION,
    FURTHER_VARIABLES,
    KEPT,
    METRICS,
    PARAMETER_VARIABLES,
    PATHS,
    ROOT_VARIABLES,
    WINDOW_METRICS,
    Kind,
    checkpoint_variables_in,
    variables_in,
)
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.analysis import Analysis, OptimizerAnalysis
from ckpt_inspect.runs.figures import GRIDS
from ckpt_inspect.runs.first_names import with_first_names
from ckpt_inspect.runs.kept_elements import KeptState, kept_columns
from ckpt_inspect.series.names import checkpoint_names
from ckpt_inspect.storage import absolute

_SAMPLED = ("effective_lr_sample", "second_moment_sample", "value_sample")

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
    evidence: Evidence | None = None,
    names: Sequence[str] | None = None,
    windows: dict[str, KnownWindows] | None = None,
) -> RunColumns:
    """Return a run's columns, from what a store held and what was read now.

    `order` names checkpoints by fingerprint, in training order; each is a key of `fresh` or a fingerprint of
    `previous`. `failures`: paths that couldn't be read. `names` of the checkpoints: by default made anew from all
    paths. `evidence`: what the checkpoints tell of each other; None if they weren't asked, so that what the store has
    of it stands. `windows`: what an earlier call found of the same run, by optimizer; it takes in what this one finds.
    """
    fresh = with_first_names(order, previous, fresh)
    rows = _Rows.of(order, previous, fresh)
    checkpoints = _root_columns(rows, names)
    own = dict.fromkeys(previous.optimizers if previous is not None else ())
    for analysis in fresh.values():
        own.update(dict.fromkeys(o.name for o in analysis.optimizers))
    optimizers = {}
    for name in own:
        columns = _optimizer_columns(name, rows)
        if evidence is not None and name in evidence:
            _write_evidence(columns, checkpoints, evidence[name])
        known = None if windows is None else windows.setdefault(name, KnownWindows())
        columns |= window_columns(columns, checkpoints["fingerprint"], known)
        optimizers[name] = OptimizerColumns(name, {v.name: columns[v.name] for v in variables_in(columns)})
    remarks = _remarks(rows, checkpoints, failures, evidence or {})
    return RunColumns(run, options, checkpoints, optimizers, tuple(remarks), thresholds or {})


@dataclass(frozen=True, slots=True)
class RowEvidence:
    """What a run's checkpoints tell of one of them, about one optimizer."""

    window_updates: int = -1
    """Updates since the checkpoint from which its training went on; 0 if none led to it; -1 if it was compared with
    none."""
    window_from: str = ""
    """Absolute path of that checkpoint; empty if there is none."""
    window_learning_rate: float = np.nan
    """Rate of the first of these updates, as weights without a gradient moved by it; NaN if not known."""
    path: tuple[tuple[str, ...], PathFigures] | None = None
    """The parameters of which many elements were looked at, and how their weights moved; None if that isn't known."""
    contradictions: Mapping[str, str] = field(default_factory=dict)
    """Why a hyperparameter's value can't be right, by its name."""
    problems: tuple[Problem, ...] = ()
    """What can't be done any more."""


@dataclass(frozen=True, slots=True)
class OptimizerEvidence:
    """What a run's checkpoints tell of each other, about one optimizer."""

    rows: Mapping[str, RowEvidence]
    """By the checkpoint's absolute path."""
    kept: tuple[KeptState, ...] = ()
    """What the store is to keep of the newest ones' elements."""


Evidence = Mapping[str, OptimizerEvidence]
"""By optimizer."""

INFERRED_LATE = "inferred-late"
"""Code of the Problem of a checkpoint whose file is gone, and of which later ones tell other numbers."""

NEVER_INFERRED = "inferred-never"
"""Code of the Problem of a checkpoint whose file is gone, and of which no store kept anything to compare."""


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


def _root_columns(rows: _Rows, names: Sequence[str] | None) -> dict[str, Column]:
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
    columns["checkpoint"][:] = checkpoint_names([str(path) for path in columns["path"]]) if names is None else names
    return columns


def _remarks(
    rows: _Rows, checkpoints: Columns, failures: Sequence[tuple[str, Problem]], evidence: Evidence
) -> Iterator[Remark]:
    names = checkpoints["checkpoint"]
    by_row: dict[int, list[Remark]] = {}
    if rows.previous is not None:
        old = {name: i for i, name in enumerate(rows.previous.checkpoints["checkpoint"])}
        new_row = {before: now for now, before in rows.kept}
        for remark in rows.previous.remarks:
            row = new_row.get(old.get(remark.checkpoint, -1))
            if row is not None and not (remark.problem.code == INFERRED_LATE and remark.optimizer in evidence):
                by_row.setdefault(row, []).append(Remark(names[row], remark.optimizer, remark.problem))
    for row, analysis in rows.fresh:
        found = [Remark(names[row], "", p) for p in analysis.problems]
        found += [Remark(names[row], o.name, p) for o in analysis.optimizers for p in o.problems]
        by_row[row] = list(dict.fromkeys(found))
    places = {str(path): row for row, path in enumerate(checkpoints["path"])}
    for optimizer, told in evidence.items():
        for place, each in told.rows.items():
            if place in places:
                row = places[place]
                by_row.setdefault(row, []).extend(Remark(names[row], optimizer, p) for p in each.problems)
    for row in sorted(by_row):
        yield from by_row[row]
    yield from remarks_of(failures)


def remarks_of(failures: Sequence[tuple[str, Problem]]) -> Iterator[Remark]:
    """Yield the remarks on checkpoints that couldn't be read."""
    return (Remark(path, "", problem) for path, problem in failures)


def _optimizer_columns(name: str, rows: _Rows) -> dict[str, Column]:
    old = None if rows.previous is None else rows.previous.optimizers.get(name)
    fresh = [(row, o) for row, analysis in rows.fresh for o in analysis.optimizers if o.name == name]
    parameters = dict.fromkeys(() if old is None else old.variables["parameter"])
    for _, optimizer in fresh:
        parameters.update(dict.fromkeys(optimizer.parameters.names))
    place = {parameter: i for i, parameter in enumerate(parameters)}
    columns: dict[str, Column] = {v.name: blank(v.kind, rows.count) for v in CHECKPOINT_VARIABLES}
    had = {name for _, o in fresh for name in o.hyperparameters} | ({*old.variables} if old is not None else set())
    columns |= {v.name: blank(v.kind, rows.count) for n, own in FURTHER_VARIABLES.items() if n in had for v in own}
    columns |= {v.name: blank(v.kind, len(place)) for v in PARAMETER_VARIABLES}
    columns |= {v.name: blank(v.kind, rows.count, len(place)) for v in (*METRICS, *WINDOW_METRICS)}
    for quantiles in ("effective_lr", "second_moment"):
        columns[quantiles] = blank("float", rows.count, len(place), len(QUANTILE_LEVELS))
    for sample in _SAMPLED:
        columns[sample] = blank("float", rows.count, len(place), SAMPLES)
    columns["sample_index"] = blank("integer", len(place), SAMPLES)
    columns |= _histogram_columns(old, fresh, rows, place)
    if old is not None:
        _copy_previous(columns, old.variables, rows, place)
        columns |= {v.name: old.variables[v.name] for v in KEPT if v.name in old.variables}
    for row, optimizer in fresh:
        _fill(columns, row, optimizer)
    _fill_parameters(columns, fresh, place)
    _describe_parameters(columns, (optimizer for _, optimizer in fresh), place)
    return columns


def _write_evidence(columns: dict[str, Column], checkpoints: Columns, evidence: OptimizerEvidence) -> None:
    """Write what the checkpoints tell of each other over what was known of it, in those that were compared."""
    places = {str(path): row for row, path in enumerate(checkpoints["path"])}
    fingerprints = checkpoints["fingerprint"]
    parameters = {str(name): i for i, name in enumerate(columns["parameter"])}
    for place, found in evidence.rows.items():
        row = places.get(place)
        if row is None:
            continue
        before = places.get(found.window_from)
        origin = "" if before is None else str(fingerprints[before])
        if columns["window_from"][row] != origin:  # what was known of the path, before some files were deleted, is void
            for name in PATHS:
                columns[name][row] = np.nan
        columns["window_from"][row] = origin
        columns["window_updates"][row] = found.window_updates
        columns["window_learning_rate"][row] = found.window_learning_rate
        if found.path is not None:
            at = [parameters[name] for name in found.path[0] if name in parameters]
            is_here = [name in parameters for name in found.path[0]]
            for name, figures in path_columns(found.path[1], found.window_updates).items():
                columns[name][row, at] = figures[is_here]
        for name, column in columns.items():
            if name.endswith(CONTRADICTION):
                column[row] = found.contradictions.get(name.removesuffix(CONTRADICTION), "")
    kept = [replace(k, place=str(fingerprints[places[k.place]])) for k in evidence.kept if k.place in places]
    columns.update(kept_columns(kept))


def _copy_previous(columns: dict[str, Column], old: Columns, rows: _Rows, place: Mapping[str, int]) -> None:
    at = [place[name] for name in old["parameter"]]
    for variable in checkpoint_variables_in(old):
        rows.copy_kept(columns[variable.name], old[variable.name])
    for variable in PARAMETER_VARIABLES:
        columns[variable.name][at] = old[variable.name]
    columns["sample_index"][at] = old["sample_index"]
    for name in (*(v.name for v in METRICS), *PATHS, "effective_lr", "second_moment", *_SAMPLED):
        rest = [range(length) for length in columns[name].shape[2:]]
        rows.copy_kept(columns[name], old[name], at, *rest)


def _fill(columns: dict[str, Column], row: int, optimizer: OptimizerAnalysis) -> None:
    """Write what one checkpoint has for all parameters together into its row."""
    step = optimizer.step
    columns["step"][row] = -1 if step.value is None else step.value
    sourced = {"step": step, "rule": optimizer.rule, **optimizer.hyperparameters}
    for name, value in sourced.items():
        columns[f"{name}_source"][row], columns[f"{name}_where"][row] = value.source, value.where
    columns["rule"][row], columns["layout"][row] = optimizer.rule.value, optimizer.layout
    columns["family"][row] = optimizer.family
    columns["learning_rate_is_scheduled"][row] = int(optimizer.has_scheduled_rate)
    columns["effective_lr_is_relative"][row] = int(optimizer.is_relative)
    if optimizer.counts_gradients:
        columns["window_updates"][row] = 0  # the steps don't tell them, and comparing the checkpoints may
    for name, hyperparameter in optimizer.hyperparameters.items():
        if hyperparameter.value is not None:
            columns[name][row] = hyperparameter.value


def _fill_parameters(
    columns: dict[str, Column], fresh: Sequence[tuple[int, OptimizerAnalysis]], place: Mapping[str, int]
) -> None:
    """Write the figures of each parameter: of all checkpoints that hold the same ones at once."""
    alike: dict[tuple[tuple[str, ...], ...], list[tuple[int, Mapping[str, Column]]]] = {}
    for row, optimizer in fresh:
        found = optimizer.parameters
        alike.setdefault((tuple(found.names), tuple(found.columns)), []).append((row, found.columns))
    for (parameters, names), several in alike.items():
        at = np.ix_([row for row, _ in several], [place[parameter] for parameter in parameters])
        for name in names:
            columns[name][at] = [figures[name] for _, figures in several]


def _describe_parameters(
    columns: dict[str, Column], optimizers: Iterable[OptimizerAnalysis], place: Mapping[str, int]
) -> None:
    """Write what stands once for each parameter, as the last checkpoint has it."""
    described = {
        name: (shape, dtype)
        for found in (optimizer.parameters for optimizer in optimizers)
        for name, shape, dtype in zip(found.names, found.shapes, found.dtypes, strict=True)
    }
    for name, (shape, dtype) in described.items():
        i, size = place[name], math.prod(shape)
        columns["parameter"][i], columns["dtype"][i], columns["size"][i] = name, dtype, size
        columns["shape"][i] = ",".join(map(str, shape))
        columns["sample_index"][i] = sample_indices(size)


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
        filled = _filled_bins(old, name, rows)
        spans = [(start + filled.start, start + filled.stop)]
        histograms = [
            (row, [place[parameter] for parameter in found.names], found.histograms[name])
            for row, found in ((row, optimizer.parameters) for row, optimizer in fresh)
        ]
        spans += [(h.first, h.first + h.counts.shape[1]) for _, _, h in histograms]
        spans = [span for span in spans if span[1] > span[0]]
        first, last = min((s[0] for s in spans), default=0), max((s[1] for s in spans), default=0)
        counts = blank("count", rows.count, len(place), last - first)
        if old is not None:
            at = [place[parameter] for parameter in old.variables["parameter"]]
            before = range(start - first + filled.start, start - first + filled.stop)
            rows.copy_kept(counts, old.variables[name][:, :, filled], at, before)
        for row, own, found in histograms:
            begin = found.first - first
            counts[row, own, begin : begin + found.counts.shape[1]] = found.counts
        columns[name] = counts
        columns[f"{bins}_edges"] = grid.edges[first : last + 1].copy()
    return columns


def _filled_bins(old: OptimizerColumns | None, name: str, rows: _Rows) -> slice:
    """Which of a histogram's bins hold anything in the rows that are kept."""
    if old is None or not rows.kept:
        return slice(0, 0)
    (filled,) = np.nonzero(old.variables[name][[before for _, before in rows.kept]].any(axis=(0, 1)))
    return slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0)
