"""Whether a long run is as it was when its store was written: told by a survey of its folder, and nothing is opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckpt_inspect._version import __version__
from ckpt_inspect.measurement.columns import Column, Columns, RunColumns, column_rows
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs import store_seen
from ckpt_inspect.runs.analysis import fingerprint_now
from ckpt_inspect.runs.planning import LONG, Options
from ckpt_inspect.runs.stored_runs import stored_run
from ckpt_inspect.series.run import Run, are_numbered_on
from ckpt_inspect.series.search import next_in
from ckpt_inspect.series.survey import Files, Survey, survey
from ckpt_inspect.storage import PathLike, absolute, as_path, is_folder, name_of


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
    every = [(path, stores.load_seen(path)) for path in _candidates(folder, survey, store, place)]
    known = [
        (path, seen) for path, seen in every
        if seen is not None and seen.digest and (seen.folder, seen.writer) == (survey.folder, __version__)
    ]  # fmt: skip
    for path, seen in known:
        if seen.digest == survey.digest and (held := _held(path, options, thresholds)) is not None:
            return Unchanged(functools.partial(_run_in, folder, survey, seen, held.columns), path, held.columns)
    found = (_grown(folder, survey, path, seen, options, thresholds) for path, seen in known)
    return next((each for each in found if each is not None), None)


def _held(path: Path, options: Options, thresholds: Mapping[str, float]) -> Stored | None:
    """What a store holds; None for results of other options, or thresholds."""
    held = Stored.of(path)
    return held if held.columns.options == options.text() and held.columns.thresholds == thresholds else None


def _grown(
    folder: PathLike,
    survey: Survey,
    store: Path,
    seen: store_seen.Seen,
    options: Options,
    thresholds: Mapping[str, float],
) -> Grown | None:
    """The run if nothing has happened since but that files have come, and these are checkpoints that come after all
    others by their names, and by their counters."""
    known = Files.of_bytes(stores.load_files(store)) if seen.is_numbered_on else None
    others = None if known is None else survey.files().beside(known)
    below = f"{seen.run_folder[len(survey.folder.rstrip('/')) + 1 :]}/".lstrip("/")
    if not others or not all(name.startswith(below) and "/" not in name[len(below) :] for name in others):
        return None
    held = _held(store, options, thresholds)
    if held is None:
        return None
    newest = _newest(as_path(folder) / below, [name[len(below) :] for name in others], held.columns, survey)
    if newest is None or newest.name != held.columns.run:
        return None
    return Grown(newest, store, functools.partial(_run_in, folder, survey, seen), held)


def _newest(folder: Path, others: Sequence[str], columns: RunColumns, survey: Survey) -> Run | None:
    """Return the last checkpoints of a store, as far as their files are there, and those after them that other files
    of their folder are."""
    from ckpt_inspect.runs.inferring import first_of_end

    first = first_of_end(len(columns))
    if stored_run(columns) is None or first <= 0:
        return None
    paths, files = (column_rows(columns.checkpoints, name, slice(first, None)) for name in ("path", "files"))
    is_here = survey.stamps(files) != 0
    before = [folder / name_of(path) for path in paths[is_here]]
    names = [name_of(file) for text in files[is_here] for file in text.split("\n")]
    found = next_in(folder, before, [*names, *others])
    return None if found is None else replace(found, survey=survey, stored=len(columns))


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

    def __init__(self, survey: Survey | None, store: Path | None, previous: RunColumns | None, first: int = 0) -> None:
        """`previous`: what the store holds from the row `first` on."""
        self._known: dict[str, str] = {}
        if survey is None or store is None or previous is None:
            return
        stored = stores.load_stamps(store)
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
    files = checkpoints["files"]
    stamps = survey.stamps(files, checkpoints["size_bytes"], checkpoints["modified"])
    gone = int(np.count_nonzero(survey.stamps(files[stamps == 0]) == 0))
    is_certain = is_all and survey.is_settled and np.count_nonzero(stamps == 0) == gone
    paths, names = checkpoints["path"].tolist(), checkpoints["checkpoint"].tolist()
    above = f"{run_folder.rstrip('/')}/"
    is_numbered = all(p == above + n for p, n in zip(paths, names, strict=True)) and are_numbered_on(names)
    return store_seen.Seen(survey.folder, survey.digest if is_certain else "", run_folder, gone, is_numbered), stamps


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
    return replace(before, digest=survey.digest if is_certain else ""), np.concatenate([stamps[:first], own])
