"""What was read of a long run, and told of it, and is not in its store yet: in files without a name, which go with
their process."""

from __future__ import annotations

import json
import tempfile
import zlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.comparison.paths import PathFigures
from ckpt_inspect.measurement.columns import Column, OptimizerColumns, RunColumns
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.assembly import RowEvidence
from ckpt_inspect.runs.carried import arrived, carried
from ckpt_inspect.runs.stacking import some_rows
from ckpt_inspect.runs.stored_runs import hashes_of
from ckpt_inspect.series.packed import Packed, Places

_DEFLATE_LEVEL = 1

_HELD = 4
"""Stretches of what was told that are held, those that were asked for last."""


class _Records:
    """Takes bytes after bytes, and gives any of them again."""

    def __init__(self, folder: Path) -> None:
        """The file is made in the folder when there is something to write."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._extents: list[tuple[int, int]] = []
        self._lock = Lock()
        """One thread may be told of a run while another stores it."""

    def __len__(self) -> int:
        return len(self._extents)

    def add(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Take some; raises OSError if the disk won't."""
        content = zlib.compress(b"".join(pieces), _DEFLATE_LEVEL)
        with self._lock:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".")  # noqa: SIM115 - closed by clear()
            start = self._extents[-1][1] if self._extents else 0
            self._file.seek(start)
            self._file.write(content)
            self._file.flush()
            self._extents.append((start, start + len(content)))

    def get(self, number: int) -> bytearray:
        """Return what was added as the so many-th."""
        with self._lock:
            assert self._file is not None
            start, stop = self._extents[number]
            self._file.seek(start)
            content = self._file.read(stop - start)
        return bytearray(zlib.decompress(content))

    def clear(self) -> None:
        """Let go of all."""
        self._extents = []
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, slots=True)
class Spilled:
    """Where all of it is."""

    parts: SpilledParts
    evidence: SpilledEvidence

    @classmethod
    def beside(cls, store: Path) -> Spilled:
        """Return files in the folder of the store; they are made when there is something to write."""
        return cls(SpilledParts(store.parent), SpilledEvidence(store.parent))

    def clear(self) -> None:
        """Let go of all."""
        self.parts.clear()
        self.evidence.clear()


class SpilledParts:
    """Takes part after part, and gives any of them again; what is held of each is little."""

    def __init__(self, folder: Path) -> None:
        """The file is made in the folder when there is something to write."""
        self._records = _Records(folder)
        self._last: tuple[int, RunColumns] | None = None
        self.outlines: list[RunColumns] = []
        """Of each part everything but its rows."""
        self.fingerprints: Packed[str] = Packed()
        """Of the checkpoints of all parts."""
        self._paths: Packed[str] = Packed()
        """Their absolute paths."""
        self._starts: list[int] = []
        """The number of checkpoints before each part."""
        self._places: Places | None = None
        """Of the fingerprints, once somebody has asked."""

    def add(self, part: RunColumns) -> None:
        """Take a part; raises OSError if the disk won't."""
        self._records.add(carried(part))
        self.outlines.append(_alone(some_rows(part, 0, 0)))
        self._starts.append(len(self.fingerprints))
        self.fingerprints.extend(map(str, part.checkpoints["fingerprint"]))
        self._paths.extend(map(str, part.checkpoints["path"]))
        self._places = None

    def __contains__(self, fingerprint: object) -> bool:
        """Return whether the checkpoint of a fingerprint is in a part."""
        return isinstance(fingerprint, str) and self._number(fingerprint) is not None

    def place(self, fingerprint: str) -> tuple[int, int] | None:
        """Return the part that a checkpoint is in, and its row there; None if it is in none."""
        number = self._number(fingerprint)
        if number is None:
            return None
        part = bisect_right(self._starts, number) - 1
        return part, number - self._starts[part]

    def path(self, fingerprint: str) -> str | None:
        """Return a checkpoint's absolute path; None if it is in no part."""
        number = self._number(fingerprint)
        return None if number is None else self._paths[number]

    def _number(self, fingerprint: str) -> int | None:
        if self._places is None:
            self._places = Places(self.fingerprints)
        return self._places.get(fingerprint)

    def part(self, number: int) -> RunColumns:
        """Return a part as it was given."""
        if self._last is None or self._last[0] != number:
            self._last = number, arrived(self._records.get(number))
        return self._last[1]

    def clear(self) -> None:
        """Let go of all parts."""
        self._records.clear()
        self.outlines, self._last, self._starts, self._places = [], None, [], None
        self.fingerprints, self._paths = Packed(), Packed()


def _alone(outline: RunColumns) -> RunColumns:
    """Return the outline of a part in arrays of its own: others, though of no row, would keep all of the part."""

    def own(columns: Mapping[str, Column]) -> dict[str, Column]:
        return {name: column.copy() for name, column in columns.items()}

    optimizers = {name: OptimizerColumns(name, own(o.variables)) for name, o in outline.optimizers.items()}
    return replace(outline, checkpoints=own(outline.checkpoints), optimizers=optimizers)


class SpilledEvidence:
    """Takes what stretch after stretch of a run tells, and gives what is told of any checkpoint."""

    def __init__(self, folder: Path) -> None:
        """The file is made in the folder when there is something to write."""
        self._records = _Records(folder)
        self._pending: dict[int, Column] = {}
        """Of each stretch that is not in the store yet, in their order, (n,) hashes of its checkpoints' paths."""
        self._lasting: set[int] = set()
        """Those that say what can't be done any more: the store has nothing else to tell it by."""
        self._held: dict[int, dict[str, dict[str, RowEvidence]]] = {}

    def add(self, told: Mapping[str, Mapping[str, RowEvidence]]) -> None:
        """Take in what a stretch tells, by optimizer and absolute path; raises OSError if the disk won't."""
        number = len(self._records)
        documents = {name: {place: _listed(row) for place, row in rows.items()} for name, rows in told.items()}
        self._records.add([json.dumps(documents).encode("ascii")])
        self._pending[number] = hashes_of({place for rows in told.values() for place in rows})
        if any(row.problems for rows in told.values() for row in rows.values()):
            self._lasting.add(number)

    def rows(self, places: Sequence[str]) -> dict[str, dict[str, RowEvidence]]:
        """Return what is told of these checkpoints, by optimizer and absolute path."""
        wanted, hashes = dict.fromkeys(places), hashes_of(places)
        found: dict[str, dict[str, RowEvidence]] = {}
        for number, own in list(self._pending.items()):
            if np.isin(hashes, own).any():
                for name, rows in self._stretch(number).items():
                    found.setdefault(name, {}).update((p, row) for p, row in rows.items() if p in wanted)
        return found

    def places(self) -> Iterator[str]:
        """Yield the absolute paths of the checkpoints that are told of, stretch by stretch."""
        for number in list(self._pending):
            yield from dict.fromkeys(place for rows in self._stretch(number).values() for place in rows)

    def drop(self, but: Collection[str]) -> None:
        """Forget the stretches in which none of these checkpoints is: the others are stored."""
        hashes = hashes_of(but)
        for number, own in list(self._pending.items()):
            if number not in self._lasting and not np.isin(own, hashes).any():
                del self._pending[number]

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()
        self._pending, self._lasting, self._held = {}, set(), {}

    def _stretch(self, number: int) -> dict[str, dict[str, RowEvidence]]:
        if number not in self._held:
            document = json.loads(self._records.get(number))
            self._held[number] = {
                name: {place: _row(listed) for place, listed in rows.items()} for name, rows in document.items()
            }
            while len(self._held) > _HELD:
                del self._held[next(iter(self._held))]
        return self._held[number]


def _listed(row: RowEvidence) -> list[object]:
    path = None
    if row.path is not None:
        names, figures = row.path
        path = [names, *(column.tolist() for column in astuple(figures))]
    problems = [astuple(problem) for problem in row.problems]
    return [row.window_updates, row.window_from, row.window_learning_rate, path, dict(row.contradictions), problems]


def _row(listed: Sequence[Any]) -> RowEvidence:
    """Return what `_listed` made this of."""
    updates, before, rate, path, contradictions, problems = listed
    figures = None
    if path is not None:
        names, *columns, elements = path
        displacement, from_first, cosine, straightness = (np.array(column, np.float64) for column in columns)
        counts = np.array(elements, np.int64)
        figures = tuple(names), PathFigures(displacement, from_first, cosine, straightness, counts)
    return RowEvidence(updates, before, rate, figures, contradictions, tuple(Problem(*p) for p in problems))
