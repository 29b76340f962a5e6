"""What was seen of all checkpoints of a run, for a look at the same run when it has grown: that begins where the one
before ended, and finds what a look at everything would.

Nothing here is a finding: these are columns, and rows in which something holds that follows from them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.measurement.columns import Column
from ckpt_inspect.records import dataclass

_MOST = 500
"""Stretches of one column, or of one thing that was sought, that are written down; of more it is looked at again."""

Stretches = tuple[tuple[int, int], ...]
"""Rows, half-open, ascending, with gaps in between."""


def stretches_of(rows: NDArray[np.intp]) -> Stretches:
    """Return ascending rows as stretches of rows that follow each other."""
    if not rows.size:
        return ()
    breaks = np.flatnonzero(np.diff(rows) > 1)
    firsts = rows[np.concatenate([[0], breaks + 1])]
    lasts = rows[np.concatenate([breaks, [rows.size - 1]])]
    return tuple(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


def rows_of(stretches: Stretches) -> NDArray[np.intp]:
    """Return the rows of stretches, ascending."""
    return np.concatenate([np.empty(0, np.intp), *(np.arange(start, stop) for start, stop in stretches)])


@dataclass(slots=True)
class _Runs:
    """A column as stretches of the same value: most have few."""

    dtype: np.dtype[np.generic]
    values: list[object] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(self.counts)

    def extend(self, column: Column) -> None:
        """Take in the next rows."""
        if not len(column):
            return
        is_other = np.asarray(column[1:] != column[:-1], bool)
        if column.dtype.kind == "f":
            is_other &= ~(np.isnan(column[1:]) & np.isnan(column[:-1]))
        starts = np.concatenate([[0], np.flatnonzero(is_other) + 1])
        values = column[starts].tolist()
        counts = np.diff(np.concatenate([starts, [len(column)]])).tolist()
        if self.values and _is_same(self.values[-1], values[0]):
            self.counts[-1] += counts[0]
            values, counts = values[1:], counts[1:]
        self.values += values
        self.counts += counts

    def first(self, rows: int) -> _Runs:
        """Return the same of the first rows alone."""
        kept, left = _Runs(self.dtype), rows
        for value, count in zip(self.values, self.counts, strict=True):
            if left <= 0:
                break
            kept.values.append(value)
            kept.counts.append(min(count, left))
            left -= count
        return kept

    def column(self) -> Column:
        """Return all rows."""
        values = np.empty(len(self.values), self.dtype)
        values[:] = self.values
        return np.repeat(values, self.counts)


def _is_same(one: object, other: object) -> bool:
    """Whether two values of a column are the same; NaN is NaN."""
    return one == other or (isinstance(one, float) and isinstance(other, float) and one != one and other != other)


@dataclass(slots=True)
class Looks:
    """One optimizer over the first checkpoints of a run, as far as its columns were looked at."""

    parameters: tuple[tuple[str, str], ...] = ()
    """Names and dtypes: of other parameters nothing counts."""
    _columns: dict[str, _Runs | Column] = field(default_factory=dict)
    _found: dict[str, tuple[int, Stretches]] = field(default_factory=dict)
    """By what is sought: how many checkpoints were looked at, and in which it is so."""

    def are_of(self, parameters: tuple[tuple[str, str], ...]) -> None:
        """Forget everything if these aren't the parameters."""
        if parameters != self.parameters:
            self.parameters, self._columns, self._found = parameters, {}, {}

    def column(self, name: str, count: int, read: Callable[[int, int], Column]) -> Column:
        """Return the first `count` rows of a column along the checkpoints; `read` gives those from a row to before
        another, of which those that are known are not asked for."""
        known = self._columns.get(name)
        have = 0 if known is None else len(known)
        if known is None or have < count:
            new = read(have, count)
            if known is None:
                known = _Runs(new.dtype)
            if isinstance(known, _Runs):
                known.extend(new)
                known = known.column() if len(known.values) > _MOST else known
            else:
                known = np.concatenate([known, new])
            self._columns[name] = known
        return (known.column() if isinstance(known, _Runs) else known)[:count]

    def known(self, name: str, count: int) -> Column | None:
        """Return the first `count` rows of a column along the checkpoints; None if not all of them were looked at."""
        known = self._columns.get(name)
        if known is None or len(known) < count:
            return None
        return (known.column() if isinstance(known, _Runs) else known)[:count]

    def rows(self, sought: str, count: int, look: Callable[[int, int], NDArray[np.intp]]) -> NDArray[np.intp]:
        """Return in which of the first `count` checkpoints something is so; `look` gives those from one to before
        another, of which those that are known are not asked for."""
        have, before = self._found.get(sought, (0, ()))
        if have > count:
            return (known := rows_of(before))[known < count]
        new = look(have, count)
        every = np.concatenate([rows_of(before), new])
        self._found[sought] = count, stretches_of(every)
        return every

    def forget_from(self, row: int) -> None:
        """Forget the checkpoints from one on: they are others by now."""
        for name, known in self._columns.items():
            self._columns[name] = known.first(row) if isinstance(known, _Runs) else known[:row]
        for sought, (have, stretches) in self._found.items():
            kept = tuple((start, min(stop, row)) for start, stop in stretches if start < row)
            self._found[sought] = min(have, row), kept

    def to_json(self) -> dict[str, object]:
        """Return what `looks_in` makes the same of, but for what is too long to be worth it."""
        columns = {
            name: [known.dtype.str, known.values, known.counts]
            for name, known in self._columns.items()
            if isinstance(known, _Runs)
        }
        found = {name: [have, each] for name, (have, each) in self._found.items() if len(each) <= _MOST}
        return {"parameters": self.parameters, "columns": columns, "found": found}


RunLooks = dict[str, Looks]
"""By optimizer."""


def looks_in(document: dict[str, dict[str, object]]) -> RunLooks:
    """Return what `Looks.to_json` was made of, by optimizer; raises ValueError, TypeError or LookupError for what can't
    be that."""
    return {str(name): _looks(each) for name, each in document.items()}


def _looks(document: dict[str, object]) -> Looks:
    parameters, columns, found = (document[name] for name in ("parameters", "columns", "found"))
    if not isinstance(parameters, list) or not isinstance(columns, dict) or not isinstance(found, dict):
        raise TypeError("they are of other types")
    return Looks(
        tuple((str(name), str(dtype)) for name, dtype in parameters),
        {str(name): _runs(*each) for name, each in columns.items()},
        {str(name): _stretches(*each) for name, each in found.items()},
    )


_DTYPES = frozenset({"|O", "<f8", "<i8"})
"""Of the columns that a run has."""


def _runs(dtype: str, values: Sequence[object], counts: Sequence[object]) -> _Runs:
    if dtype not in _DTYPES or len(values) != len(counts):
        raise ValueError("no column is like that")
    kind = {"|O": str, "<f8": float, "<i8": int}[dtype]
    whole = [int(str(count)) for count in counts]
    if not all(type(value) is kind for value in values) or min(whole, default=1) < 1 or sum(whole) > _MOST_ROWS:
        raise ValueError("no column is like that")
    return _Runs(np.dtype(dtype), list(values), whole)


_MOST_ROWS = 1 << 28
"""Checkpoints that no run has."""


def _stretches(have: object, stretches: Sequence[Sequence[object]]) -> tuple[int, Stretches]:
    count, before = int(str(have)), -1
    found: list[tuple[int, int]] = []
    for first, last in stretches:
        start, stop = int(str(first)), int(str(last))
        if not before < start < stop <= count <= _MOST_ROWS:
            raise ValueError("rows must ascend")
        found.append((start, stop))
        before = stop
    return count, tuple(found)
