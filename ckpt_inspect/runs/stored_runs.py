"""A run in a store that is too large to be held: its columns are read when they are asked for.

What was loaded stays what it was, though another analysis puts another file in the store's place: the file stays open.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.measurement.columns import Column, Columns, OptimizerColumns, Rows, RunColumns, StoredElsewhere
from ckpt_inspect.measurement.variables import ALONG_CHECKPOINTS
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.stored import count_rows

if TYPE_CHECKING:
    from ckpt_inspect.findings.looks import RunLooks

HELD_BYTES = 128 << 20
"""Columns that are held, about; the last that were asked for. One that is larger is read each time."""

_TOGETHER = 1 << 24
"""Bytes of columns that are read together, about."""

_ALONE = 1 << 21
"""Bytes of a column that take so long to read that what each reading costs doesn't count."""

LENGTH = "size_bytes"
"""Column of the checkpoints that an outline has: numbers, of which many are read in no time."""

_TEXT = 100
"""Bytes that a text takes, about; and of numbers that take as long to read."""

_FEW = 100
"""One row in so many is few: a chunk for each is unpacked."""

_Key = tuple[object, ...]
"""Of a column that is held: optimizer and name, and which rows if it isn't all of them."""

Pick = Mapping[str | None, tuple[str, ...]]
"""Names of variables by optimizer; None: of the checkpoints."""

ReadColumns = Callable[[Pick, Rows], RunColumns]
"""Returns these of a store's columns, of these rows; raises StoreError if they can't be read."""


@dataclass(slots=True, eq=False)
class StoredRun:
    """The store of a run, and the columns that were read of it last."""

    outline: RunColumns
    """Everything but what lies along the checkpoints: of that there is the column `LENGTH`, and of the rest no row."""
    read: ReadColumns
    read_memory: Callable[[], str] = field(default=lambda: "")
    """Returns what the store remembers of the whole run, as it is written there; empty if that is nothing."""
    tail: RunColumns | None = None
    """The newest checkpoints, as they are in the store; whoever asks for those alone needn't read it."""
    looks: RunLooks | None = None
    """What whoever wrote the store saw of all checkpoints; None if that was another process."""
    known_memory: str | None = None
    """The same, if it has been read, or was written by this process."""
    known_hashes: Column | None = None
    """(C,) what `hashes` returns, as far as somebody has asked, or this process wrote the store."""
    known_stamps: Column | None = None
    """(C,) what the store has of the checkpoints' files, if it has been read."""
    most_held: int = HELD_BYTES
    """Bytes of columns that are held, about."""
    is_ours: bool = False
    """Whether this process reads it itself, so that each reading costs little."""
    _held: OrderedDict[_Key, Column] = field(default_factory=OrderedDict)
    _nbytes: int = 0
    _lock: RLock = field(default_factory=RLock)

    @property
    def length(self) -> int:
        """Return the number of checkpoints."""
        return len(self.outline.checkpoints[LENGTH])

    def columns(self) -> RunColumns:
        """Return the run; nothing is read yet."""
        outline = self.outline
        return RunColumns(
            outline.run,
            outline.options,
            StoredColumns(self, None, outline.checkpoints),
            {n: OptimizerColumns(n, StoredColumns(self, n, o.variables)) for n, o in outline.optimizers.items()},
            outline.remarks,
            outline.thresholds,
        )

    def rows(self, start: int, stop: int) -> RunColumns:
        """Return some of the run's checkpoints, half-open, with everything that is known of them."""
        found = self.taken(slice(start, stop))
        names = set(found.checkpoints["checkpoint"].tolist())
        return replace(found, remarks=tuple(r for r in self.outline.remarks if r.checkpoint in names))

    def taken(self, rows: Rows, names: Container[str] | None = None) -> RunColumns:
        """Return these checkpoints, with everything that is known of them but remarks; of columns that lie along them
        perhaps only some `names`."""
        outline = self.outline
        if (own := self._in_tail(rows)) is not None and self.tail is not None:
            return replace(self.tail, **_taken(self.tail, own), remarks=(), thresholds=outline.thresholds)
        wanted: Pick = picked(outline)
        if names is not None:
            wanted = {n: tuple(name for name in own if name in names) for n, own in wanted.items()}
        return self.with_lasting(self.read(wanted, rows))

    def with_lasting(self, found: RunColumns) -> RunColumns:
        """Return rows that were read with what is known of all checkpoints, but without remarks."""
        outline = self.outline
        optimizers = {
            n: OptimizerColumns(n, {**_lasting(o.variables), **found.optimizers[n].variables})
            for n, o in outline.optimizers.items()
        }
        return RunColumns(outline.run, outline.options, found.checkpoints, optimizers, (), outline.thresholds)

    def is_all_of(self, run: RunColumns) -> bool:
        """Return whether these are the columns of the whole store, with the remarks in it."""
        if run.remarks != self.outline.remarks or list(run.optimizers) != list(self.outline.optimizers):
            return False
        own = [run.checkpoints, *(optimizer.variables for optimizer in run.optimizers.values())]
        return all(isinstance(columns, StoredColumns) and columns.stored is self for columns in own)

    def memory(self) -> str:
        """Return what the store remembers of the whole run, as it is written there."""
        if self.known_memory is None:
            self.known_memory = self.read_memory()
        return self.known_memory

    def hashes(self) -> Column:
        """Return (C,) hashes of the checkpoints' fingerprints, int64; of two that differ, the fingerprints do."""
        if self.known_hashes is None:
            self.known_hashes = hashes_of(self.column(None, "fingerprint"))
        return self.known_hashes

    def column(self, optimizer: str | None, name: str) -> Column:
        """Return a whole variable along the checkpoints."""
        with self._lock:
            if (seen := self._seen(optimizer, name)) is not None:
                return seen
            key = optimizer, name
            if key not in self._held:
                return self._read_whole(optimizer, self._read_with(optimizer, name))[name]
            self._held.move_to_end(key)
            return self._held[key]

    def read_ahead(self, optimizer: str | None, names: Sequence[str]) -> None:
        """Read whole variables along the checkpoints that are not held yet."""
        with self._lock:
            wanted = tuple(
                name for name in names if (optimizer, name) not in self._held and self._seen(optimizer, name) is None
            )
            if wanted:
                self._read_whole(optimizer, wanted)

    def _seen(self, optimizer: str | None, name: str) -> Column | None:
        """Return a whole column that whoever wrote the store has looked at."""
        looks = None if self.looks is None or optimizer is None else self.looks.get(optimizer)
        return None if looks is None else looks.known(name, self.length)

    def _read_whole(self, optimizer: str | None, names: tuple[str, ...]) -> Columns:
        found = self.read({optimizer: names}, slice(None))
        columns = found.checkpoints if optimizer is None else found.optimizers[optimizer].variables
        for each in reversed(names):
            self._hold((optimizer, each), columns[each])
        return columns

    def column_rows(self, optimizer: str | None, name: str, rows: Rows) -> Column:
        """Return some rows of a variable along the checkpoints; it is read as a whole if it is small, and they are not
        but a few."""
        own = self.outline.checkpoints if optimizer is None else self.outline.optimizers[optimizer].variables
        if not count_rows(rows, self.length):
            return own[name][:0]
        if (near := self._in_tail(rows)) is not None and self.tail is not None:
            newest = self.tail.checkpoints if optimizer is None else self.tail.optimizers[optimizer].variables
            return newest[name][near]
        is_few = _FEW * count_rows(rows, self.length) <= self.length
        places = (rows.start, rows.stop, rows.step) if isinstance(rows, slice) else tuple(rows)
        with self._lock:
            if (optimizer, name) in self._held or (self._size(own[name]) <= _TOGETHER and not is_few):
                return self.column(optimizer, name)[rows]
            if (few := self._held.get((optimizer, name, places))) is not None:
                return few
        found = self.read({optimizer: (name,)}, rows)
        columns = found.checkpoints if optimizer is None else found.optimizers[optimizer].variables
        if is_few:  # several questions are asked about the same checkpoints
            with self._lock:
                self._hold((optimizer, name, places), columns[name])
        return columns[name]

    def _in_tail(self, rows: Rows) -> Rows | None:
        """Return the same rows of the tail; None if it hasn't all of them."""
        start = self.length if self.tail is None else self.length - len(self.tail)
        if isinstance(rows, slice):
            first, stop, step = rows.indices(self.length)
            return slice(first - start, stop - start, step) if start <= first < stop and step > 0 else None
        return [row - start for row in rows] if len(rows) and rows[0] >= start else None

    def _read_with(self, optimizer: str | None, name: str) -> tuple[str, ...]:
        """Return the names of those that are read together, the one that is wanted first: each reading has its cost.

        Texts, each of which is decoded, and numbers are read apart.
        """
        own = self.outline.checkpoints if optimizer is None else self.outline.optimizers[optimizer].variables
        if self.is_ours or self._size(own[name]) > _ALONE:
            return (name,)
        names, nbytes = [name], self._size(own[name])
        is_text = own[name].dtype == object
        following = [
            other
            for other, column in own.items()
            if other in ALONG_CHECKPOINTS and len(column) == 0 and (column.dtype == object) == is_text
        ]
        for other in following[following.index(name) + 1 :] if name in following else ():
            nbytes += self._size(own[other])
            if nbytes > _TOGETHER:
                break
            names.append(other)
        return tuple(names)

    def _size(self, column: Column) -> int:
        each = _TEXT if column.dtype == object else 8
        return int(np.prod(column.shape[1:])) * each * self.length

    def _hold(self, key: _Key, column: Column) -> None:
        if _nbytes(column) > self.most_held // 2:
            return
        self._nbytes += _nbytes(column) - (_nbytes(self._held.pop(key)) if key in self._held else 0)
        self._held[key] = column
        while self._nbytes > self.most_held:
            self._nbytes -= _nbytes(self._held.popitem(last=False)[1])


def hashes_of(texts: Collection[str]) -> Column:
    """Return (n,) hashes of texts, int64; they count in this process alone."""
    return np.fromiter(map(hash, texts), np.int64, len(texts))


def _nbytes(column: Column) -> int:
    """About what a column takes in memory; of one of texts, its own bytes are but where they are."""
    return column.size * _TEXT if column.dtype == object else column.nbytes


def picked(outline: RunColumns) -> Pick:
    """Return the names of all variables along checkpoints."""
    wanted: dict[str | None, tuple[str, ...]] = {None: tuple(outline.checkpoints)}
    return wanted | {n: _along_checkpoints(o.variables) for n, o in outline.optimizers.items()}


def _along_checkpoints(columns: Columns) -> tuple[str, ...]:
    return tuple(name for name in columns if name in ALONG_CHECKPOINTS)


def _lasting(columns: Columns) -> Columns:
    """Those that don't lie along the checkpoints."""
    return {name: column for name, column in columns.items() if name not in ALONG_CHECKPOINTS}


class StoredColumns(StoredElsewhere):
    """Columns of a store, each read when it is asked for."""

    def __init__(self, stored: StoredRun, optimizer: str | None, outline: Columns) -> None:
        """`outline`: the same columns; those along checkpoints without a row."""
        self.stored = stored
        self._optimizer, self._outline = optimizer, outline

    @property
    def length(self) -> int:
        return self.stored.length

    def __getitem__(self, name: str) -> Column:
        column = self._outline[name]
        is_here = name not in ALONG_CHECKPOINTS or len(column) == self.stored.length
        return column if is_here else self.stored.column(self._optimizer, name)

    def rows(self, name: str, rows: Rows) -> Column:
        column = self._outline[name]
        is_here = name not in ALONG_CHECKPOINTS or len(column) == self.stored.length
        return column[rows] if is_here else self.stored.column_rows(self._optimizer, name, rows)

    def read_ahead(self, names: Sequence[str]) -> None:
        outline = self._outline
        self.stored.read_ahead(
            self._optimizer, [n for n in names if n in ALONG_CHECKPOINTS and n in outline and not len(outline[n])]
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._outline)

    def __len__(self) -> int:
        return len(self._outline)

    def __contains__(self, name: object) -> bool:
        return name in self._outline

    def __reduce__(self) -> tuple[type, tuple[dict[str, Column]]]:
        """Whoever gets it in another process gets what it holds."""
        return dict, ({name: self[name] for name in self},)


def stored_run(columns: RunColumns) -> StoredRun | None:
    """Return the store that the columns are read from when they are asked for; None if they are all here."""
    found = columns.checkpoints
    return found.stored if isinstance(found, StoredColumns) else None


def taken_rows(columns: RunColumns, rows: Sequence[int], names: Container[str] | None = None) -> RunColumns:
    """Return some of a run's checkpoints, by their ascending places, with everything that is known of them but
    remarks; no more is read. `names`: of a store's columns that lie along checkpoints these are enough."""
    stored = stored_run(columns)
    if stored is not None:
        follow_each_other = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
        return stored.taken(slice(rows[0], rows[-1] + 1) if follow_each_other else rows, names)
    return replace(columns, **_taken(columns, np.asarray(rows, np.int64)), remarks=())


def _taken(columns: RunColumns, rows: slice | Column | Sequence[int]) -> dict[str, Any]:
    """These rows of columns that are all here: `checkpoints` and `optimizers`."""
    optimizers = {
        name: OptimizerColumns(
            name, {n: column[rows] if n in ALONG_CHECKPOINTS else column for n, column in o.variables.items()}
        )
        for name, o in columns.optimizers.items()
    }
    return {"checkpoints": {n: column[rows] for n, column in columns.checkpoints.items()}, "optimizers": optimizers}


class PinnedFile:
    """A file that stays open as long as this is held, and so stays what it was."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if it can't be opened."""
        handle = os.open(path, os.O_RDONLY)
        self._path, self._pinned = path, Path(f"/proc/self/fd/{handle}")
        weakref.finalize(self, os.close, handle)

    @property
    def path(self) -> Path:
        """Return a name by which this process and its copies open it, whatever lies at its place by now.

        Where a system has no such names, its place.
        """
        return self._pinned if self._pinned.exists() else self._path
