"""The store of a long run: rows that are new are appended to a copy of it, which takes its place when it is whole.

A copy costs what the disk takes for it, and nothing if the file system shares blocks; no array is unpacked but the last
chunks, which are short. Where rows come before others, or there are new parameters, bins or variables, the store is
written anew. Either way no more than some rows are held.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.columns import (
    Column,
    Columns,
    OptimizerColumns,
    Remark,
    RunColumns,
    column_rows,
    slabs,
)
from ckpt_inspect.measurement.variables import ALONG_CHECKPOINTS, BINS, ROOT_VARIABLES, WINDOW_METRICS
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs import store_seen, store_writing
from ckpt_inspect.runs.assembly import Evidence, assemble, blank, remarks_of
from ckpt_inspect.runs.atomic import replacing
from ckpt_inspect.runs.figures import GRIDS
from ckpt_inspect.runs.kept_elements import kept_columns
from ckpt_inspect.runs.remembered import Remembered, looks_before
from ckpt_inspect.runs.spilled import SpilledParts
from ckpt_inspect.runs.stacking import Layouts, layouts_of, some_rows, stacked
from ckpt_inspect.runs.stored_runs import LENGTH, StoredRun, hashes_of, stored_run
from ckpt_inspect.runs.told import Told
from ckpt_inspect.runs.unchanged import files_seen, is_one_after_another, what_is_seen, what_is_seen_now
from ckpt_inspect.series.names import naming
from ckpt_inspect.series.packed import Packed, Places
from ckpt_inspect.series.survey import Files, Survey
from ckpt_inspect.storage import absolutes

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any

    from ckpt_inspect.findings.looks import RunLooks

_SLAB = 1024
"""Rows that are put together at a time."""

_CONTEXT = 8
"""Rows before them that are looked at as well, for the windows of updates."""

_STEPS = 2
"""Checkpoints back from one along its path that its figures depend on: an angle is that between two steps."""

_MOST_HELD = 32 << 20
"""Bytes of a store's columns that are held, about, while the run is looked at: each is asked for but a few times."""

_OF_WHOLE_PATHS = ("path_distance", "path_straightness")
"""Figures that every checkpoint since the first has a part in: of a long run they aren't known."""

_OF_WINDOWS = tuple(v.name for v in WINDOW_METRICS)


@dataclass(frozen=True, slots=True)
class LongRun:
    """What the store of a long run is to hold."""

    run: str
    options: str
    order: Sequence[str]
    """Fingerprints of all checkpoints but those before `previous`, in training order."""
    previous: RunColumns | None
    """What the store holds, or its end."""
    parts: SpilledParts
    """What is new."""
    failures: Sequence[tuple[str, Problem]]
    thresholds: Mapping[str, float]
    told: Told
    unread: Collection[str]
    """Absolute paths of checkpoints that are told of, and not read yet."""
    survey: Survey | None = None
    """What lay in the folder before its checkpoints were read."""
    run_folder: str = ""
    """Of the checkpoints, from the root."""
    is_all: bool = False
    """Whether everything that can be found there has been analysed with this."""
    whole: RunColumns | None = None
    """What the store holds, if `previous` is but its end."""

    @property
    def first(self) -> int:
        """Return the row of the store that is the first of `order`."""
        return 0 if self.whole is None or self.previous is None else len(self.whole) - len(self.previous)

    def with_all(self) -> LongRun:
        """Return the same with all checkpoints in `order`; one that has another name by now at its new place."""
        if self.whole is None:
            return self
        own = set(self.order)
        before = [fingerprint for fingerprint in self._before() if fingerprint not in own]
        return replace(self, order=Packed([*before, *self.order]), previous=self.whole, whole=None)

    def _before(self) -> list[str]:
        """Return the fingerprints of the checkpoints before `previous`."""
        return [] if self.whole is None else self.whole.checkpoints["fingerprint"][: self.first].tolist()

    def _may_have_before(self) -> bool:
        """Return whether what is new may be among the checkpoints before `previous`; no text of theirs is read."""
        if self.whole is None or self._are_other_files():
            return False
        return bool(np.isin(_hashes(self.whole)[: self.first], hashes_of(self.parts.fingerprints)).any())

    def _are_other_files(self) -> bool:
        """Return whether the sizes and times of what is new, which is little, are those of none before `previous`: then
        neither are the fingerprints. False if not all of them are known."""
        stored = None if self.whole is None else stored_run(self.whole)
        if stored is None or stored.known_stamps is None or self.survey is None or len(self.parts.outlines) != 1:
            return False
        checkpoints, before = self.parts.part(0).checkpoints, stored.known_stamps[: self.first]
        own = self.survey.stamps(checkpoints["files"], checkpoints["size_bytes"], checkpoints["modified"])
        return len(stored.known_stamps) == stored.length and bool(
            before.all() and own.all() and not np.isin(own, before).any()
        )

    def save(self, path: Path) -> RunColumns:
        """Write the store, and return what it holds; raises StoreError if that can't be done, and then the store is as
        it was."""
        if self._may_have_before():  # one of them was renamed, or copied
            return self.with_all().save(path)
        with replacing(path) as temporary:
            try:
                written = self._with_findings(temporary, self._write_rows(path, temporary))
            except OSError as error:
                raise StoreError(
                    f"{path}: can't be written ({error.strerror or error}); write the store elsewhere"
                ) from error
        found = stores.stored(path, written.outline)
        found.tail, found.looks, found.known_memory = written.tail, written.looks, written.known_memory
        found.known_hashes = written.known_hashes
        return found.columns()

    def _write_rows(self, path: Path, target: Path) -> _Written:
        """Write everything but what is found in the whole run; what that took is no longer held."""
        writing = _Writing(self)
        first = writing.first_row(path)
        if first is not None:
            return writing.append(path, target, first)
        if self.whole is not None:
            writing = _Writing(self.with_all())
        return writing.write(target)

    def _with_findings(self, target: Path, written: _Written) -> StoredRun:
        """Look at the whole run in the new store, at what is new of it alone if the looks before tell the rest, and
        write what is found."""
        stored = stores.stored(target, written.outline, is_ours=True)
        stored.tail, stored.looks, stored.most_held = written.tail, written.looks, _MOST_HELD
        stored.known_hashes = written.hashes
        columns = stored.columns()
        found = Remembered.of(columns, written.looks)
        with stores.grown_file(target) as file:
            store_writing.write_findings(store_writing.finding_columns(found.findings), self.thresholds, file)
            stored.known_memory = found.text()
            store_writing.write_memory(stored.known_memory, file)
            self._write_seen(file, columns.checkpoints)
        return stored

    def _write_seen(self, file: h5py.File, checkpoints: Columns) -> None:
        before, old_stamps, old_files = store_seen.seen_before(file)
        if self.survey is None:
            was_numbered = not self.first or (before is not None and before.is_numbered_on)
            is_numbered = was_numbered and is_one_after_another(self.run_folder, checkpoints, self.first)
            store_seen.write_seen(file, store_seen.Seen("", "", self.run_folder, 0, is_numbered), None)
            return
        known = Files.of_bytes(old_files)
        if self.first and before is not None and known is not None:
            seen, stamps = what_is_seen_now(
                before, old_stamps, self.survey, self.first, checkpoints, is_all=self.is_all
            )
            first = self.first
        else:
            known, first = None, 0
            seen, stamps = what_is_seen(self.survey, self.run_folder, checkpoints, is_all=self.is_all)
        files = files_seen(self.survey, known, checkpoints, first).to_bytes() if seen.digest else b""
        store_seen.write_seen(file, seen, stamps, files)


@dataclass(frozen=True, slots=True)
class _Written:
    """A store that lacks nothing but what is found in the whole run."""

    outline: RunColumns
    """What it holds, as `StoredRun` has it."""
    tail: RunColumns | None
    """Its newest rows."""
    looks: RunLooks
    """What was seen of the rows that are as they were."""
    hashes: Column | None
    """(C,) of the fingerprints; None if nobody has asked for them."""


class _Writing:
    """One writing of a long run's store."""

    def __init__(self, long: LongRun) -> None:
        self._long = long
        previous = long.previous
        pieces = [*([] if previous is None else [previous]), *long.parts.outlines]
        self._layouts: Layouts = layouts_of(pieces)
        self._stored = Packed[str](() if previous is None else map(str, previous.checkpoints["fingerprint"]))
        """Fingerprints of the store before."""
        self._old = Places(self._stored)
        self._places = Places(long.order)
        self._same = next((i for i, (a, b) in enumerate(zip(long.order, self._stored, strict=False)) if a != b),
                          min(len(long.order), len(self._stored)))  # fmt: skip
        """Rows, the first ones, that are those of the store before, and go on from such rows before them."""
        if self._same < len(self._stored):
            self._same = self._first_moved(self._same)
        if previous is not None and any(fingerprint not in self._places for fingerprint in self._stored):
            self._leave_out_bins(previous)
        self._paths = self._all_paths()
        self._name_of = naming(self._paths)
        self._rows = Places(self._paths)
        for name, states in long.told.kept(long.unread).items():
            if name not in self._layouts:  # nothing of it has been read
                continue
            kept = [replace(k, place=long.order[self._rows[k.place]]) for k in states if k.place in self._rows]
            self._layouts[name].kept = kept_columns(kept) or self._layouts[name].kept

    def _all_paths(self) -> Packed[str]:
        """Absolute paths, in order."""
        long = self._long
        stored = [] if long.previous is None else absolutes(long.previous.checkpoints["path"])
        return Packed(long.parts.path(f) or stored[self._old[f]] for f in long.order)

    # --- where rows come from

    def _slab(self, first: int, last: int) -> RunColumns:
        """Rows of the result, half-open, with the remarks on them."""
        long = self._long
        rows = list(range(max(first - _CONTEXT, 0), last))
        before, told = self._rows_of(rows)
        anew = {place for each in told.values() for place in each.rows}
        own = {row for row in range(first, last) if row >= self._same or self._paths[row] in anew}
        for _ in range(_STEPS):
            own = self._origins(before, rows, own, told)
            if not own <= set(rows):
                rows = sorted(own | set(rows))
                before, told = self._rows_of(rows)
        start = rows.index(first)
        stop = start + last - first
        order, names = [long.order[row] for row in rows], [self._name_of(self._paths[row]) for row in rows]
        found = assemble(
            long.run, long.options, order, before, {}, (), long.thresholds, told, names=names
        )  # fmt: skip
        found = some_rows(stacked([found], self._layouts), start, stop)
        self._restore_windows(found, some_rows(before, start, stop), order[start:stop], told)
        return found

    def _rows_of(self, rows: Sequence[int]) -> tuple[RunColumns, Evidence]:
        """Rows of the result, ascending, as they were stored or read, and what is told of them since."""
        pieces = [self._piece(source, numbers) for source, numbers in self._pieces(rows)]
        return stacked(pieces, self._layouts), self._long.told.of([self._paths[row] for row in rows])

    def _origins(self, before: RunColumns, rows: Sequence[int], own: Collection[int], told: Evidence) -> set[int]:
        """The rows from which the training went on to `own` of these."""
        at = {row: place for place, row in enumerate(rows)}
        found: set[int] = set()
        for name, optimizer in before.optimizers.items():
            known = told[name].rows if name in told else {}
            stored, updates = optimizer.variables["window_from"], optimizer.variables["window_updates"]
            for row in own:
                each = known.get(self._paths[row])
                if each is not None:
                    origin, count = self._rows.get(each.window_from), each.window_updates
                else:
                    origin, count = self._places.get(str(stored[at[row]])), int(updates[at[row]])
                if count < 0 < row:  # not compared: from the one before it
                    origin = row - 1
                found |= set() if origin is None else {origin}
        return found

    def _first_moved(self, same: int) -> int:
        """The first of as many rows that goes on from one that isn't before it by now."""
        previous = self._long.previous
        if previous is None:
            return same
        for optimizer in previous.optimizers.values():
            origins = column_rows(optimizer.variables, "window_from", slice(0, same)).tolist()
            same = next((i for i, o in enumerate(origins) if o and self._places.get(str(o), i) >= i), same)
        return same

    def _leave_out_bins(self, previous: RunColumns) -> None:
        """Leave out the bins that nothing is in but what is no longer part of the run."""
        long = self._long
        rows = [row for row, fingerprint in enumerate(self._stored) if fingerprint in self._places]
        new = layouts_of(long.parts.outlines)
        for name, optimizer in previous.optimizers.items():
            spans = dict(new[name].spans) if name in new else {}
            for histogram, grid in GRIDS.items():
                start = int(np.searchsorted(grid.edges, optimizer.variables[f"{BINS[histogram]}_edges"][0]))
                filled = np.flatnonzero(_filled(optimizer.variables, histogram, rows))
                if filled.size:
                    own = start + int(filled[0]), start + int(filled[-1]) + 1
                    first, last = spans.get(histogram, own)
                    spans[histogram] = min(first, own[0]), max(last, own[1])
            self._layouts[name].spans = spans

    def _pieces(self, rows: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
        """The part (-1: the store before) and the rows there, for each stretch of rows that follow each other there."""
        own = [self._long.order[row] for row in rows]
        found = [self._long.parts.place(fingerprint) or (-1, self._old[fingerprint]) for fingerprint in own]
        at = 0
        for _, same in groupby(enumerate(found), key=lambda each: (each[1][0], each[1][1] - each[0])):
            stretch = list(same)
            at += len(stretch)
            yield stretch[0][1][0], [row for _, (_, row) in stretch]

    def _piece(self, source: int, numbers: list[int]) -> RunColumns:
        """Rows of a part, each called by its path."""
        previous = self._long.previous
        start, stop = numbers[0], numbers[-1] + 1
        if source >= 0:
            piece = some_rows(self._long.parts.part(source), start, stop)
        else:
            assert previous is not None
            piece = _stored_rows(previous, start, stop)
        checkpoints = piece.checkpoints
        paths = dict(zip(checkpoints["checkpoint"].tolist(), absolutes(checkpoints["path"]), strict=True))
        names = np.empty(len(paths), object)
        names[:] = list(paths.values())
        remarks = tuple(replace(r, checkpoint=paths[r.checkpoint]) for r in piece.remarks if r.checkpoint in paths)
        return replace(piece, checkpoints={**piece.checkpoints, "checkpoint": names}, remarks=remarks)

    def _restore_windows(self, found: RunColumns, before: RunColumns, order: Sequence[str], told: Evidence) -> None:
        """Leave the figures of windows as they were stored, where nothing new is told of them and nothing before has
        changed: the checkpoint before may not be among these rows."""
        for name, optimizer in found.optimizers.items():
            rows = told[name].rows if name in told else {}
            paths = before.checkpoints["checkpoint"]
            at = [
                i
                for i, f in enumerate(order)
                if f not in self._long.parts and paths[i] not in rows and self._places[f] < self._same
            ]
            for figure in _OF_WINDOWS:
                optimizer.variables[figure][at] = before.optimizers[name].variables[figure][at]
            for figure in _OF_WHOLE_PATHS:
                optimizer.variables[figure][:] = np.nan

    # --- what has to be written

    def first_row(self, path: Path) -> int | None:
        """Return the first of these rows that is written into a copy of the store; None if it is written anew."""
        long, previous = self._long, self._long.previous
        if previous is None or not stores.is_growing(path, {n: layout.spans for n, layout in self._layouts.items()}):
            return None
        count = len(previous)
        if self._same < count or previous.options != long.options or any(f in long.parts for f in self._stored):
            return None
        names = map(self._name_of, self._paths)
        if any(stored != name for stored, name in zip(previous.checkpoints["checkpoint"], names, strict=False)):
            return None
        own = layouts_of([previous])
        if list(own) != list(self._layouts) or not all(self._layouts[name].is_like(own[name]) for name in own):
            return None
        first = min((self._rows[place] for place in long.told.places() if place in self._rows), default=count)
        first = min(count, first)
        return self._first_difference(previous, first, count)

    def _first_difference(self, previous: RunColumns, first: int, count: int) -> int:
        """The first of these rows that isn't as it is stored."""
        for start in range(first, count, _SLAB):
            stop = min(start + _SLAB, count)
            found = self._slab(start, stop)
            before = stacked([_stored_rows(previous, start, stop)], self._layouts)
            different = _different(found.checkpoints, before.checkpoints, stop - start)
            for name, optimizer in found.optimizers.items():
                different |= _different(optimizer.variables, before.optimizers[name].variables, stop - start)
            if different.any():
                return start + int(np.argmax(different))
        return count

    def _slabs(self, first: int) -> Iterator[tuple[int, RunColumns]]:
        for start in range(first, len(self._long.order), _SLAB):
            yield start, self._slab(start, min(start + _SLAB, len(self._long.order)))

    # --- writing

    def write(self, target: Path) -> _Written:
        """Write the whole store."""
        remarks: list[Remark] = []
        sizes: list[Column] = []
        with stores.new_file(target, is_growing=True) as file:
            dimensions = tail = None
            for start, slab in self._slabs(0):
                remarks += slab.remarks
                sizes.append(slab.checkpoints[LENGTH])
                tail = _newest(slab, self._layouts)
                if dimensions is None:
                    dimensions = store_writing.write_outline(slab, file, len(self._long.order))
                store_writing.write_rows(slab, file, start)
            assert dimensions is not None
            remarks += remarks_of(self._long.failures)
            store_writing.write_problems(remarks, file, dimensions)
            store_writing.write_findings(store_writing.finding_columns(()), self._long.thresholds, file, dimensions)
        hashes = hashes_of(self._long.order)
        return _Written(self._outline(np.concatenate(sizes), remarks), tail, {}, hashes)

    def append(self, path: Path, target: Path, first: int) -> _Written:
        """Write a copy of the store with other rows from `first` on."""
        long, previous = self._long, self._long.previous
        assert previous is not None
        whole = long.whole or previous
        copy_file(path, target)
        others = set(previous.checkpoints["checkpoint"][first:].tolist())
        remarks = [r for r in whole.remarks if r.checkpoint and not r.is_failure and r.checkpoint not in others]
        sizes = [column_rows(whole.checkpoints, LENGTH, slice(0, long.first + first))]
        tail = _end_before(previous, first, self._layouts)
        with stores.grown_file(target) as file:
            store_writing.resize(file, long.first + len(long.order))
            for start, slab in self._slabs(first):
                remarks += slab.remarks
                sizes.append(slab.checkpoints[LENGTH])
                tail = _newest(slab if tail is None else stacked([tail, slab], self._layouts), self._layouts)
                store_writing.write_rows(slab, file, long.first + start)
            store_writing.write_others(
                {name: OptimizerColumns(name, layout.columns([(None, 0)])) for name, layout in self._layouts.items()},
                file,
            )
            remarks += remarks_of(long.failures)
            store_writing.write_problems(remarks, file)
        looks = looks_before(whole)
        if (held := stored_run(whole)) is not None:
            held.looks = None  # they go on with the new store, of which rows may be others
        for each in looks.values():
            each.forget_from(long.first + first)
        hashes = None if held is None else held.known_hashes
        if hashes is not None:
            hashes = np.concatenate([hashes[: long.first + first], hashes_of(long.order[first:])])
        return _Written(self._outline(np.concatenate(sizes), remarks), tail, looks, hashes)

    def _outline(self, sizes: Column, remarks: Sequence[Remark]) -> RunColumns:
        """What a store holds, as `StoredRun` has it."""
        long = self._long
        checkpoints = {v.name: blank(v.kind, 0) for v in ROOT_VARIABLES}
        optimizers = {n: OptimizerColumns(n, layout.columns([(None, 0)])) for n, layout in self._layouts.items()}
        return RunColumns(
            long.run, long.options, {**checkpoints, LENGTH: sizes}, optimizers, tuple(remarks), long.thresholds
        )


def copy_file(path: Path, target: Path) -> None:
    """Copy a file's content; a file system that can share blocks has little to do. Raises OSError."""
    with path.open("rb") as source, target.open("wb") as sink:
        size = done = os.fstat(source.fileno()).st_size
        try:
            while done:
                copied = os.copy_file_range(source.fileno(), sink.fileno(), done)
                if not copied:  # it was cut meanwhile, by whoever doesn't ask for the lock
                    break
                done -= copied
        except OSError as error:
            if error.errno not in _NOT_THERE or done < size:
                raise
        else:
            return
    shutil.copyfile(path, target)


_NOT_THERE = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""What a kernel or a file system says that has no `copy_file_range`."""


def _hashes(run: RunColumns) -> Column:
    """(C,) of the fingerprints of a run."""
    stored = stored_run(run)
    return hashes_of(run.checkpoints["fingerprint"]) if stored is None else stored.hashes()


def _end_before(previous: RunColumns, row: int, layouts: Layouts) -> RunColumns | None:
    """What is held of a store's rows before one, the newest; None if that is nothing."""
    stored = stored_run(previous)
    held = previous if stored is None else stored.tail
    first = 0 if held is None else len(previous) - len(held)
    if held is None or first >= row:
        return None
    return _newest(some_rows(held, 0, row - first), layouts)


def _newest(rows: RunColumns, layouts: Layouts) -> RunColumns:
    """The newest of these, as many as the next checkpoints are compared with and as take little memory."""
    columns = [rows.checkpoints, *(optimizer.variables for optimizer in rows.optimizers.values())]
    nbytes = sum(c.nbytes for own in columns for n, c in own.items() if n in ALONG_CHECKPOINTS)
    most = min(_TAIL, len(rows) * _TAIL_BYTES // max(nbytes, 1))
    return stacked([some_rows(rows, max(len(rows) - most, 0), len(rows))], layouts)


_TAIL, _TAIL_BYTES = 128, 1 << 25
"""Rows, and bytes of them, about, that are held of the end of a store that was written: what comes next needs no more
than a later stretch of `inferring`, and those before it."""


def _filled(columns: Columns, histogram: str, rows: Sequence[int]) -> Column:
    """(B,) whether anything is in a bin of a histogram, in some rows."""
    shape = column_rows(columns, histogram, slice(0, 0)).shape[1:]
    found = np.zeros(shape[1], bool)
    for start, stop in slabs(len(rows), 8 * int(np.prod(shape))):
        found |= column_rows(columns, histogram, rows[start:stop]).astype(bool).any(axis=(0, 1))
    return found


def _stored_rows(previous: RunColumns, start: int, stop: int) -> RunColumns:
    stored = stored_run(previous)
    return some_rows(previous, start, stop) if stored is None else stored.rows(start, stop)


def _different(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """(count,) whether any column along checkpoints differs there."""
    found = np.zeros(count, bool)
    for name in a:
        if name in ALONG_CHECKPOINTS:
            one, two = a[name].reshape(count, -1), b[name].reshape(count, -1)
            differs = one != two
            if one.dtype.kind == "f":
                differs &= ~(np.isnan(one) & np.isnan(two))
            found |= differs.astype(bool).any(axis=1)
    return found
