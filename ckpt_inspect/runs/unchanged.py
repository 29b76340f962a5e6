"""Whether a long run is as it was when its store was written: told by a survey of its folder, and nothing is opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckpt_inspect._version import __version__
from ckpt_inspect.measurement.columns import Column, Columns, RunColumns, StoredElsewhere, column_rows
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs import store_seen
from ckpt_inspect.runs.analysis import fingerprint_now
from ckpt_inspect.runs.planning import LONG, Options
from ckpt_inspect.runs.stored_runs import stored_run
from ckpt_inspect.series.run import Run, are_numbered_on
from ckpt_inspect.series.search import next_in
from ckpt_inspect.series.survey import Files, Survey, survey
from ckpt_inspect.storage import PathLike, absolute, absolutes, as_path, is_folder


class Unchanged(NamedTuple):
    """A run of which nothing is new."""

    run: Callable[[], Run]
    """Makes it, with all its paths."""
    store: Path
    columns: RunColumns
    """What the store holds."""


def survey_of(paths: Sequence[PathLike]) -> Survey | None:
    """Return what lies in the one folder that is named, if that is much; None for other paths."""
    if len(paths) != 1 or not is_folder(as_path(paths[0])):
        return None
    return survey(paths[0], LONG)


class Stored(NamedTuple):
    """What a store held."""

    columns: RunColumns
    file: tuple[int, ...] | None
    """What another file in its place doesn't share."""

    @classmethod
    def of(cls, path: Path) -> Stored:
        """Read it; raises StoreError."""
        file = stores.identity(path)
        return cls(stores.load(path), file)


class Grown(NamedTuple):
    """A run to which only checkpoints have come."""

    newest: Run
    """The new ones, and those of the store that they are compared with."""
    store: Path
    run: Callable[[RunColumns], Run]
    """Makes the whole of it, of the columns that it has by then."""
    held: Stored


def stored_before(
    folder: PathLike,
    survey: Survey,
    store: Path | None,
    place: Path | None,
    options: Options,
    thresholds: Mapping[str, float],
) -> Unchanged | Grown | None:
    """Return the one run in a folder, if its store tells that nothing was changed there since it was written, or that
    only newer checkpoints have come; None if neither is certain. The store is `store`, or that of the folder's name in
    `place`, with the same options. Nothing is opened but the newest."""
    candidates = [_Candidate.of(path, survey) for path in _candidates(folder, survey, store, place)]
    known = [
        (each, seen) for each in candidates
        if (seen := each.seen) is not None
        and seen.digest and (seen.folder, seen.writer) == (survey.folder, __version__)
    ]  # fmt: skip
    for each, seen in known:
        if seen.digest == survey.digest and (held := _as_asked(each.load(), options, thresholds)) is not None:
            return Unchanged(functools.partial(_run_in, folder, survey, seen, held.columns), each.path, held.columns)
    found = (_grown(folder, survey, each, seen, options, thresholds) for each, seen in known)
    return next((each for each in found if each is not None), None)


class _Candidate(NamedTuple):
    """A store that may be that of a run."""

    path: Path
    file: tuple[int, ...] | None
    """What another file in its place doesn't share."""
    known: stores.Known | None
    """What a large store of a long run holds."""
    seen: store_seen.Seen | None

    @classmethod
    def of(cls, path: Path, survey: Survey) -> _Candidate:
        """Read what is needed of it, at once if it is large."""
        file, known = stores.identity(path), _known(path, survey) if stores.is_very_large(path) else None
        return cls(path, file, known, stores.load_seen(path) if known is None else known.seen)

    def load(self) -> Stored:
        """Return what it holds; raises StoreError."""
        return Stored.of(self.path) if self.known is None else Stored(self.known.run.columns(), self.file)


def _known(path: Path, survey: Survey) -> stores.Known | None:
    """What a large store of a long run holds; None for any other."""
    from ckpt_inspect.runs.inferring import first_of_end

    known = stores.load_known(path, first_of_end, survey.digest)
    return None if known is None or known.run.length <= LONG else known


def _held(path: Path, options: Options, thresholds: Mapping[str, float]) -> Stored | None:
    """What a store holds; None for results of other options, or thresholds."""
    return _as_asked(Stored.of(path), options, thresholds)


def _as_asked(held: Stored, options: Options, thresholds: Mapping[str, float]) -> Stored | None:
    return held if held.columns.options == options.text() and held.columns.thresholds == thresholds else None


def _grown(
    folder: PathLike,
    survey: Survey,
    candidate: _Candidate,
    seen: store_seen.Seen,
    options: Options,
    thresholds: Mapping[str, float],
) -> Grown | None:
    """The run if nothing has happened since but that files have come, and these are checkpoints that come after all
    others by their names, and by their counters."""
    if not seen.is_numbered_on:
        return None
    candidate = candidate._replace(known=candidate.known or _known(candidate.path, survey))
    known = None if candidate.known is None else Files.of_bytes(candidate.known.files)
    others = None if known is None else survey.files().beside(known)
    above = f"{seen.run_folder[len(survey.folder.rstrip('/')) + 1 :]}/".lstrip("/")
    if known is None or not others or not all(name.startswith(above) for name in others):
        return None
    files = [name[len(above) :] for name in others]
    folders = {name.partition("/")[0] for name in files if "/" in name}
    if folders and not folders.isdisjoint(name[len(above) :].partition("/")[0] for name in known.own()):
        return None  # something has come into the folder of a checkpoint
    held = _as_asked(candidate.load(), options, thresholds)
    if held is None:
        return None
    files = [name for name in files if "/" not in name]
    newest = _newest(as_path(folder) / above, seen.run_folder, files, folders, held.columns, survey)
    if newest is None or newest.name != held.columns.run:
        return None
    return Grown(newest, candidate.path, functools.partial(_run_in, folder, survey, seen), held)


def _newest(
    folder: Path, place: str, files: Sequence[str], folders: Collection[str], columns: RunColumns, survey: Survey
) -> Run | None:
    """Return the last checkpoints of a store, as far as their files are there, and those after them that other files
    and folders of their folder make. `place`: the same folder, from the root."""
    from ckpt_inspect.runs.inferring import first_of_end

    first = first_of_end(len(columns))
    if stored_run(columns) is None or first <= 0:
        return None
    paths, own = (column_rows(columns.checkpoints, name, slice(first, None)) for name in ("path", "files"))
    is_here = survey.stamps(own) != 0
    start = len(place.rstrip("/")) + 1
    before = [path[start:] for path in paths[is_here]]
    parts = [file[start:].partition("/") for text in own[is_here] for file in text.split("\n")]
    files = [*(name for name, slash, _ in parts if not slash), *files]
    folders = dict.fromkeys([*(name for name, slash, _ in parts if slash), *sorted(folders)])
    found = next_in(folder, [folder / name for name in before], files, folders)
    return None if found is None else replace(found, survey=survey, stored=len(columns))


def newest_of(run: Run, store: Path, options: Options, thresholds: Mapping[str, float]) -> tuple[Run, Stored] | None:
    """Return the run as one of which the store has but the newest, and what the store holds, if all checkpoints of it
    are the newest of the store and others whose names are numbered on: most of what was analysed has been deleted.

    None if that isn't certain, or if the store isn't that of a long run with the same options."""
    if not store.is_file() or store.stat().st_size <= stores.LARGE:
        return None
    seen = stores.load_seen(store)
    if seen is None or not seen.is_numbered_on or seen.writer != __version__ or seen.run_folder != absolute(run.folder):
        return None
    held = _held(store, options, thresholds)
    if held is None or stored_run(held.columns) is None or run.name != held.columns.run:
        return None
    from ckpt_inspect.runs.inferring import first_of_end

    count = len(held.columns)
    first = first_of_end(count)
    if first <= 0 or count <= LONG:
        return None
    stored = column_rows(held.columns.checkpoints, "path", slice(first, None)).tolist()
    at = {path: row for row, path in enumerate(stored)}
    places = absolutes(run.checkpoints)
    rows = [at[path] for path in places if path in at]
    new = [path for path in places if path not in at]
    is_end = places[: len(rows)] == [stored[row] for row in rows] and rows == sorted(rows)
    if not is_end or not _are_numbered_on(seen.run_folder, [stored[-1], *new]):
        return None
    return replace(run, stored=count), held


def _are_numbered_on(folder: str, paths: Sequence[str]) -> bool:
    """Whether paths lie in the folder, or in folders of it, and their names there are numbered on."""
    above = f"{folder.rstrip('/')}/"
    return all(path.startswith(above) for path in paths) and are_numbered_on([path[len(above) :] for path in paths])


def _candidates(folder: PathLike, survey: Survey, store: Path | None, place: Path | None) -> Iterator[Path]:
    """Yield where the store of the run may be."""
    if store is not None:
        yield store
    elif place is not None:
        for each in dict.fromkeys((folder, survey.largest_folder)):
            yield place / stores.default_store(each)


def _run_in(folder: PathLike, survey: Survey, seen: store_seen.Seen, columns: RunColumns) -> Run:
    """The run, its paths spelled as the folder is, without what was deleted before."""
    top = as_path(folder)
    start = len(absolute(folder)) + 1
    paths = columns.checkpoints["path"].tolist()
    if seen.gone:
        is_here = survey.stamps(columns.checkpoints["files"]) != 0
        paths = [path for path, is_one in zip(paths, is_here.tolist(), strict=True) if is_one]
    return Run(columns.run, top / seen.run_folder[start:], tuple(top / path[start:] for path in paths))


class KnownFiles:
    """Fingerprints of the checkpoints' files as they are now; those that weren't touched are not opened for it."""

    def __init__(
        self,
        survey: Survey | None,
        store: Path | None,
        previous: RunColumns | None,
        first: int = 0,
        stamps: Column | None = None,
    ) -> None:
        """`previous`: what the store holds from the row `first` on. `stamps`: of all its rows, if they are known."""
        self._known: dict[str, str] = {}
        if survey is None or store is None or previous is None:
            return
        stored = stores.load_stamps(store) if stamps is None else stamps
        files = previous.checkpoints["files"]
        if stored is None or len(stored) != first + len(files):
            return
        own = stored[first:]
        is_same = (own != 0) & (own == survey.stamps(files))
        fingerprints = previous.checkpoints["fingerprint"]
        self._known = dict(zip(files[is_same].tolist(), fingerprints[is_same].tolist(), strict=True))

    def __call__(self, files: Sequence[str]) -> str | None:
        """Return the fingerprint of files; None if one is gone."""
        known = self._known.get("\n".join(files))
        return fingerprint_now(files) if known is None else known


def what_is_seen(
    survey: Survey, run_folder: str, checkpoints: Columns, *, is_all: bool
) -> tuple[store_seen.Seen, Column]:
    """Return what a store keeps of a survey that was made before its checkpoints were read, and (C,) their stamps.

    `is_all`: whether everything that can be found in the folder was analysed.
    """
    parts = [np.empty(0, np.int64)]
    gone = 0
    for files, sizes, modified in _slabs_of(checkpoints, ("files", "size_bytes", "modified"), 0):
        parts.append(survey.stamps(files, sizes, modified))
        if not parts[-1].all():
            gone += int(np.count_nonzero(survey.stamps(files[parts[-1] == 0]) == 0))
    stamps = np.concatenate(parts)
    is_certain = is_all and survey.is_settled and np.count_nonzero(stamps == 0) == gone
    is_numbered = is_one_after_another(run_folder, checkpoints, 0)
    return store_seen.Seen(survey.folder, survey.digest if is_certain else "", run_folder, gone, is_numbered), stamps


def files_seen(survey: Survey, known: Files | None, checkpoints: Columns, first: int) -> Files:
    """Return the files of a survey: parts of checkpoints are those of the rows from `first` on, and those that were
    `known` as such."""
    own = [survey.places(files) for (files,) in _slabs_of(checkpoints, ("files",), first)]
    found = survey.files(np.concatenate([np.empty(0, np.int64), *own]))
    return found if known is None else found.with_own_of(known)


def _slabs_of(checkpoints: Columns, names: Sequence[str], first: int) -> Iterator[list[Column]]:
    """Yield columns of the checkpoints from a row on, some rows at a time: their texts take much memory."""
    count = checkpoints.length if isinstance(checkpoints, StoredElsewhere) else len(checkpoints["checkpoint"])
    for start in range(first, count, _SLAB):
        yield [column_rows(checkpoints, name, slice(start, min(start + _SLAB, count))) for name in names]


_SLAB = 1 << 15
"""Checkpoints of which texts are held at a time."""


def is_one_after_another(run_folder: str, checkpoints: Columns, first: int) -> bool:
    """Return whether checkpoints, from a row on, are called as they lie in the folder, each by larger numbers than
    the one before."""
    above = f"{run_folder.rstrip('/')}/"
    names: list[str] = []
    for paths, own in _slabs_of(checkpoints, ("path", "checkpoint"), first):
        if not all(path == above + name for path, name in zip(paths.tolist(), own.tolist(), strict=True)):
            return False
        names += own.tolist()
    return are_numbered_on(names)


def what_is_seen_now(
    before: store_seen.Seen, stamps: Column, survey: Survey, first: int, checkpoints: Columns, *, is_all: bool
) -> tuple[store_seen.Seen, Column]:
    """Return the same of a store to which checkpoints were added (`Grown`): of what was seen `before`, the (C,)
    stamps then, and a survey by which nothing else has happened. Rows from `first` on may be others."""
    files, sizes, modified = (
        column_rows(checkpoints, name, slice(first, None)) for name in ("files", "size_bytes", "modified")
    )
    own = survey.stamps(files, sizes, modified)
    lost = files[own == 0]
    is_certain = is_all and survey.is_settled and bool(before.digest) and not survey.stamps(lost).any()
    digest = survey.digest if is_certain else ""
    is_numbered = before.is_numbered_on and is_one_after_another(before.run_folder, checkpoints, first)
    return replace(before, digest=digest, is_numbered_on=is_numbered), np.concatenate([stamps[:first], own])
