"""Runs one below the other: pieces of one run -> its columns, over the same parameters and bins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

import numpy as np

from ckpt_inspect.measurement.columns import Column, Columns, OptimizerColumns, RunColumns
from ckpt_inspect.measurement.variables import (
    ALONG_CHECKPOINTS,
    BINS,
    DISTRIBUTIONS,
    FURTHER_VARIABLES,
    KEPT,
    METRICS,
    OPTIMIZER_VARIABLES,
    PARAMETER_VARIABLES,
    WINDOW_METRICS,
    Variable,
    variables_in,
)
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.assembly import blank
from ckpt_inspect.runs.figures import GRIDS

_KINDS = {v.name: v for v in (*OPTIMIZER_VARIABLES, *(v for own in FURTHER_VARIABLES.values() for v in own))}
_OF_CELLS = frozenset(v.name for v in (*METRICS, *WINDOW_METRICS, *DISTRIBUTIONS))
_OF_PARAMETERS = (*(v.name for v in PARAMETER_VARIABLES), "sample_index")


@dataclass(slots=True)
class Layout:
    """What an optimizer's columns have in common over a run, as far as it has been seen."""

    parameters: dict[str, dict[str, Column]] = field(default_factory=dict)
    """By name, what is known of each, a row of each of the variables."""
    names: dict[str, None] = field(default_factory=dict)
    """Of the variables along checkpoints."""
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each histogram the bins of its grid, half-open, that hold anything."""
    kept: dict[str, Column] = field(default_factory=dict)
    """Elements that are kept of the newest checkpoints."""

    def take(self, columns: Columns) -> None:
        """Take in another piece of the run, which comes after those before."""
        for i, name in enumerate(columns["parameter"]):
            self.parameters[str(name)] = {own: columns[own][i] for own in _OF_PARAMETERS}
        self.names |= dict.fromkeys(name for name in columns if name in ALONG_CHECKPOINTS)
        for name, grid in GRIDS.items():
            edges = columns[f"{BINS[name]}_edges"]
            start = int(np.searchsorted(grid.edges, edges[0]))
            if len(edges) > 1:
                first, last = self.spans.get(name, (start, start))
                self.spans[name] = min(first, start), max(last, start + len(edges) - 1)
        kept = {v.name: columns[v.name] for v in KEPT if v.name in columns}
        self.kept = kept or self.kept

    def is_like(self, other: Layout) -> bool:
        """Return whether columns of both have the same variables, of the same lengths but for bins."""
        return (
            list(self.parameters) == list(other.parameters)
            and set(self.names) == set(other.names)
            and {n: c.shape for n, c in self.kept.items()} == {n: c.shape for n, c in other.kept.items()}
        )

    def columns(self, pieces: Sequence[tuple[Columns | None, int]]) -> dict[str, Column]:
        """Return the columns of pieces one below the other; None stands for so many rows without this optimizer."""
        found = {
            name: np.concatenate([self._rows(name, columns, count) for columns, count in pieces]) for name in self.names
        }
        for own in _OF_PARAMETERS:
            rows = [known[own] for known in self.parameters.values()]
            column = blank(_KINDS[own].kind, len(rows), *np.shape(rows[0]) if rows else self._rest(_KINDS[own])[1:])
            if rows:
                column[:] = rows
            found[own] = column
        for name, grid in GRIDS.items():
            first, last = self.spans.get(name, (0, 0))
            found[f"{BINS[name]}_edges"] = grid.edges[first : last + 1].copy()
        found |= self.kept
        return {v.name: found[v.name] for v in variables_in(found)}

    def _rest(self, variable: Variable) -> tuple[int, ...]:
        """The lengths of a variable's axes but the first."""
        lengths = {"parameter": len(self.parameters), "quantile": 9, "sample": 16}
        for name, (first, last) in self.spans.items():
            lengths[BINS[name]] = last - first
        return tuple(lengths.get(dimension, 0) for dimension in variable.dimensions[1:])

    def _rows(self, name: str, columns: Columns | None, count: int) -> Column:
        variable = _KINDS[name]
        target = blank(variable.kind, count, *self._rest(variable))
        if columns is None or name not in columns:
            return target
        source = columns[name]
        if name not in _OF_CELLS:
            target[:] = source
            return target
        places = {parameter: i for i, parameter in enumerate(self.parameters)}
        at = [places[str(parameter)] for parameter in columns["parameter"]]
        if name in GRIDS:
            start = int(np.searchsorted(GRIDS[name].edges, columns[f"{BINS[name]}_edges"][0]))
            first, last = self.spans.get(name, (start, start))
            begin, stop = max(start, first), min(start + source.shape[2], last)
            if begin < stop:  # nothing is in the others
                target[:, at, begin - first : stop - first] = source[:, :, begin - start : stop - start]
        else:
            target[:, at] = source
        return target


Layouts = dict[str, Layout]
"""By optimizer."""


def layouts_of(pieces: Iterable[RunColumns]) -> Layouts:
    """Return what the pieces of a run have in common, the later ones last; no column of theirs is looked at."""
    found: Layouts = {}
    for piece in pieces:
        for name, optimizer in piece.optimizers.items():
            found.setdefault(name, Layout()).take(optimizer.variables)
    return found


def stacked(pieces: Sequence[RunColumns], layouts: Layouts) -> RunColumns:
    """Return pieces of a run one below the other; run, options and thresholds are the last one's."""
    counts = [len(piece) for piece in pieces]
    names = list(pieces[-1].checkpoints)
    checkpoints = {name: np.concatenate([piece.checkpoints[name] for piece in pieces]) for name in names}
    optimizers = {}
    for name, layout in layouts.items():
        own = [piece.optimizers[name].variables if name in piece.optimizers else None for piece in pieces]
        optimizers[name] = OptimizerColumns(name, layout.columns(list(zip(own, counts, strict=True))))
    remarks = tuple(remark for piece in pieces for remark in piece.remarks)
    return replace(pieces[-1], checkpoints=checkpoints, optimizers=optimizers, remarks=remarks)


def some_rows(run: RunColumns, start: int, stop: int) -> RunColumns:
    """Return some of the checkpoints of a run, half-open, with the remarks on them."""
    checkpoints = {name: column[start:stop] for name, column in run.checkpoints.items()}
    names = set(checkpoints["checkpoint"])
    optimizers = {
        name: OptimizerColumns(name, _rows_of(optimizer.variables, start, stop))
        for name, optimizer in run.optimizers.items()
    }
    remarks = tuple(remark for remark in run.remarks if remark.checkpoint in names)
    return replace(run, checkpoints=checkpoints, optimizers=optimizers, remarks=remarks)


def _rows_of(columns: Columns, start: int, stop: int) -> Mapping[str, Column]:
    return {n: column[start:stop] if n in ALONG_CHECKPOINTS else column for n, column in columns.items()}
