"""A run's figures as columns: per optimizer, arrays over checkpoints and parameters under the store's names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, Problem
from ckpt_inspect.records import dataclass

Column = Array
Columns = Mapping[str, Column]

Rows = slice | Sequence[int]
"""Some of a dimension's places: a slice, or ascending ones."""

_SLAB_BYTES = 1 << 23
"""Of a column that are looked at together, about."""


class StoredElsewhere(Mapping[str, Column]):
    """Columns that are read when they are asked for."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Return the number of checkpoints; nothing is read."""

    @abstractmethod
    def rows(self, name: str, rows: Rows) -> Column:
        """Return some rows of a column that lies along the checkpoints."""

    @abstractmethod
    def read_ahead(self, names: Sequence[str]) -> None:
        """Read these columns together, since all of them are about to be asked for."""


def column_rows(columns: Columns, name: str, rows: Rows) -> Column:
    """Return some rows of a column that lies along the checkpoints; what is stored elsewhere is not read as a whole."""
    if isinstance(columns, StoredElsewhere):
        return columns.rows(name, rows)
    column: Column = columns[name][rows]
    return column


def row_of(columns: Columns, name: str, row: int) -> Column:
    """Return one row of a column that lies along the checkpoints, a value or an array; no other is read."""
    own: Column = column_rows(columns, name, slice(row, row + 1))[0]
    return own


def read_ahead(columns: Columns, names: Sequence[str]) -> None:
    """Announce that these columns are about to be asked for: what is stored elsewhere is read at once."""
    if isinstance(columns, StoredElsewhere):
        columns.read_ahead(names)


def slabs(count: int, row_bytes: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the stretches, half-open, in which so many rows of that size are looked at, from `first` on."""
    length = max(_SLAB_BYTES // max(row_bytes, 1), 1)
    return ((start, min(start + length, first + count)) for start in range(first, first + count, length))


UNREADABLE = "unreadable-checkpoint"
"""Code of the Problem that stands for a checkpoint that couldn't be read."""

GONE, CHANGED, UNFINISHED = "checkpoint-gone", "checkpoint-changed", "checkpoint-unfinished"
"""Codes of the Problems that stand for one that somebody deleted, replaced or wrote meanwhile."""

_FAILURES = frozenset({UNREADABLE, GONE, CHANGED, UNFINISHED})


@dataclass(frozen=True, slots=True)
class Remark:
    """A Problem, and what it is about."""

    checkpoint: str
    """Name; empty for the whole run."""
    optimizer: str
    """Name; empty for the whole checkpoint."""
    problem: Problem

    @property
    def is_failure(self) -> bool:
        """Return whether it says that a checkpoint couldn't be read."""
        return self.problem.code in _FAILURES


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OptimizerColumns:
    """One optimizer over a run: C checkpoints by P parameters."""

    name: str
    variables: Columns
    """By the names of `variables.OPTIMIZER_VARIABLES`, with their dimensions; texts are object arrays of str. What a
    checkpoint or a parameter in it lacks is NaN, -1, 0 (counts) or empty."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """Return (C, P) whether the parameter is in the checkpoint."""
        return ~np.isnan(self.variables["nonfinite"])

    def __repr__(self) -> str:
        checkpoints, parameters = self.variables["nonfinite"].shape
        counts = f"{checkpoints} checkpoints, {parameters} parameters, {len(self.variables)} variables"
        return f"<ckpt_inspect.OptimizerColumns {self.name!r}: {counts}>"


@dataclass(frozen=True, slots=True, eq=False)
class RunColumns:
    """All that is known of a run, as columns; what a store holds. Equal if all of it is."""

    run: str
    """The run's name, for people: its folder's."""
    options: str
    """JSON of what was asked for: results of other options are other results."""
    checkpoints: Columns
    """(C,) each, by the names of `variables.ROOT_VARIABLES`, in training order."""
    optimizers: Mapping[str, OptimizerColumns]
    remarks: tuple[Remark, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of `findings.Thresholds`, those that are not at their defaults."""

    def __len__(self) -> int:
        found = self.checkpoints
        return found.length if isinstance(found, StoredElsewhere) else len(found["checkpoint"])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RunColumns)
            and (self.run, self.options, self.remarks) == (other.run, other.options, other.remarks)
            and self.thresholds == other.thresholds
            and _same_columns(self.checkpoints, other.checkpoints)
            and list(self.optimizers) == list(other.optimizers)
            and all(_same_columns(o.variables, other.optimizers[n].variables) for n, o in self.optimizers.items())
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what was odd anywhere, each once."""
        return tuple(dict.fromkeys(remark.problem for remark in self.remarks))

    @property
    def failures(self) -> tuple[Remark, ...]:
        """Return the remarks on checkpoints that couldn't be read.

        Of severity `error` if they are at fault; of `warning` if they were only deleted or written meanwhile.
        """
        return tuple(r for r in self.remarks if r.is_failure)


def _same_columns(a: Columns, b: Columns) -> bool:
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f")
        for name in a
    )
