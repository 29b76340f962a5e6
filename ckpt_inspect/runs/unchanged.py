"""Whether a long run is as it was when its store was written: told by a survey of its folder, and nothing is opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckpt_inspect._version import __version__
from ckpt_inspect.measurement.columns import Column, Columns, RunColumns
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs.analysis import fingerprint_now
from ckpt_inspect.runs.planning import LONG, Options
from ckpt_inspect.series.run import Run
from ckpt_inspect.series.survey import Survey, survey
from ckpt_inspect.storage import PathLike, absolute, as_path, is_folder


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


def unchanged_run(
    folder: PathLike,
    survey: Survey,
    store: Path | None,
    place: Path | None,
    options: Options,
    thresholds: Mapping[str, float],
) -> Unchanged | None:
    """Return the one run in a folder if nothing was changed in the folder since its store was written, with the same
    options; None if that isn't certain. The store is `store`, or that of the folder's name in `place`."""
    candidates = [] if store is None else [store]
    if store is None and place is not None:
        candidates = [place / stores.default_store(each) for each in dict.fromkeys((folder, survey.largest_folder))]
    for store in candidates:
        seen = stores.load_seen(store)
        if seen is None or (seen.folder, seen.digest, seen.writer) != (survey.folder, survey.digest, __version__):
            continue
        columns = stores.load(store)
        if columns.options == options.text() and columns.thresholds == thresholds:
            return Unchanged(functools.partial(_run_in, folder, survey, seen, columns), store, columns)
    return None


def _run_in(folder: PathLike, survey: Survey, seen: stores.Seen, columns: RunColumns) -> Run:
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

    def __init__(self, survey: Survey | None, store: Path | None, previous: RunColumns | None) -> None:
        self._known: dict[str, str] = {}
        if survey is None or store is None or previous is None:
            return
        stored = stores.load_stamps(store)
        files = previous.checkpoints["files"]
        if stored is None or len(stored) != len(files):
            return
        is_same = (stored != 0) & (stored == survey.stamps(files))
        fingerprints = previous.checkpoints["fingerprint"]
        self._known = dict(zip(files[is_same].tolist(), fingerprints[is_same].tolist(), strict=True))

    def __call__(self, files: Sequence[str]) -> str | None:
        """Return the fingerprint of files; None if one is gone."""
        known = self._known.get("\n".join(files))
        return fingerprint_now(files) if known is None else known


def what_is_seen(survey: Survey, run_folder: str, checkpoints: Columns, *, is_all: bool) -> tuple[stores.Seen, Column]:
    """Return what a store keeps of a survey that was made before its checkpoints were read, and (C,) their stamps.

    `is_all`: whether everything that can be found in the folder was analysed.
    """
    files = checkpoints["files"]
    stamps = survey.stamps(files, checkpoints["size_bytes"], checkpoints["modified"])
    gone = int(np.count_nonzero(survey.stamps(files[stamps == 0]) == 0))
    is_certain = is_all and survey.is_settled and np.count_nonzero(stamps == 0) == gone
    return stores.Seen(survey.folder, survey.digest if is_certain else "", run_folder, gone), stamps
