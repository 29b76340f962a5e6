"""A run -> Analyses: every checkpoint in training order, what is new of it, kept in a store."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import CkptInspectError, NotFoundError, RequestError, StoreError
from ckpt_inspect.findings import Thresholds
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs.analyses import UNREADABLE, Analyses, assemble
from ckpt_inspect.runs.analysis import Analysis, analyze_checkpoint, fingerprint, require_state
from ckpt_inspect.runs.elements import ElementsFile
from ckpt_inspect.series.run import Run
from ckpt_inspect.series.search import one_run
from ckpt_inspect.state.selection import Selection
from ckpt_inspect.storage import absolute

PathLike = str | os.PathLike[str]

Progress = Callable[[int, int], None]
"""Called with bytes done so far and bytes in all, of the checkpoints that have to be read; from any thread, one at a
time."""

_SAVE_AFTER = 30.0
"""Seconds of work after which the store is written although there is more to do, so that little is lost to a kill."""

_SAVE_SHARE = 10.0
"""And at least so many times what the writing took, so that it never matters."""


def analyze(
    paths: PathLike | Run | Iterable[PathLike],
    *,
    store: PathLike | None = None,
    given: Mapping[str, Any] | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    elements: bool = False,
    thresholds: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Analyses:
    """Analyse a run: the checkpoints in a folder, behind a pattern, at paths that are named together, or of a `Run`.

    With `store` the result is also kept there: checkpoints that are in it already (same files, same options) are not
    read again, and those that have been deleted since keep their place. `given` overrides hyperparameters as in
    `optimizer_states`; `include` and `exclude` are glob patterns on parameters' names. With `elements` the store
    keeps E of every element as well (see `elements`), at four bytes each before compression. `thresholds` sets some of
    `findings.Thresholds`.

    In a series a checkpoint that can't be read becomes a Problem of severity `error` (`Analyses.failures`), and the
    rest is done. Raises CkptInspectError where there is nothing else: a single checkpoint that can't be read, or none
    that holds moments; StoreError, before anything is read, where the store can't be written or is not one.
    """
    limits = Thresholds.of(thresholds or {}).given()
    selection = Selection.of(include, exclude)
    given_paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    series = given_paths if isinstance(given_paths, Run) else one_run(given_paths)
    if elements and store is None:
        raise RequestError("whole arrays of effective learning rates are kept in a store: name one")
    place = None if store is None else Path(store)
    work = _Work(series, _options(given, selection, elements), place, elements, limits)
    try:
        work.read(given, selection, progress, threads)
        return work.result()
    finally:
        work.close()


def load(store: PathLike) -> Analyses:
    """What `analyze` wrote there; raises StoreError where there is no store."""
    return stores.load(store)


def _options(given: Mapping[str, Any] | None, selection: Selection, elements: bool) -> str:
    wanted: dict[str, Any] = {"given": dict(given or {}), "include": selection.include, "exclude": selection.exclude}
    if elements:
        wanted["elements"] = True
    return json.dumps(wanted, sort_keys=True, default=float)


class _Work:
    """What is known of a run, and what has still to be read."""

    def __init__(
        self, series: Run, options: str, store: Path | None, elements: bool, thresholds: Mapping[str, float]
    ) -> None:
        self._series = series
        self._options = options
        self._thresholds = thresholds
        self._store = store
        self._previous = self._load_previous()
        self._elements = ElementsFile(store.parent) if elements and store is not None else None
        self._fresh: dict[str, Analysis] = {}
        self._failures: list[tuple[str, Problem]] = []
        self._errors: list[CkptInspectError] = []
        self._known = self._find_known()
        self._saved_at, self._saving_took = time.monotonic(), 0.0

    def close(self) -> None:
        """Remove what is temporary."""
        if self._elements is not None:
            self._elements.close()

    def _save(self, analyses: Analyses, *, is_final: bool = True) -> None:
        if self._store is not None:
            stores.save(analyses, self._store, self._elements, is_final=is_final)

    def _load_previous(self) -> Analyses | None:
        if self._store is None:
            return None
        stores.check_writable(self._store)
        previous = stores.load(self._store) if self._store.exists() else None
        if previous is not None:
            self._check_same_run(previous)
        if previous is None or previous.options == self._options:
            return previous
        self._check_can_be_read_again(previous)
        return None

    def _check_can_be_read_again(self, previous: Analyses) -> None:
        """Results of other options replace those of a store; not those of checkpoints that are gone or not named."""
        gone = {absolute(path) for path in previous.checkpoints["path"]} - set(map(absolute, self._series.checkpoints))
        if gone:
            raise StoreError(
                f"{self._store}: holds results of other options, also of {len(gone)} checkpoints that would not be "
                f"read again now, such as {min(gone)}; name another store, or delete this one"
            )

    def _check_same_run(self, previous: Analyses) -> None:
        """Folders of different runs are often called alike, and then so are their stores: never mix or replace them."""
        before, now = (
            {str(Path(absolute(path)).parent) for path in paths}
            for paths in (previous.checkpoints["path"], self._series.checkpoints)
        )
        if before and not before & now:
            raise StoreError(
                f"{self._store}: holds the run in {min(before)}, not the one in {min(now)}; name another store, or "
                "delete this one"
            )

    def _find_known(self) -> dict[str, str]:
        """Absolute path -> fingerprint of each checkpoint that the store holds as it is now."""
        if self._previous is None:
            return {}
        columns = self._previous.checkpoints
        wanted = {absolute(path) for path in self._series.checkpoints}
        known = {}
        for path, stored, files in zip(columns["path"], columns["fingerprint"], columns["files"], strict=True):
            place = absolute(path)
            if place in wanted and _fingerprint_now(files.split("\n")) == stored:
                known[place] = stored
        return known

    def read(
        self, given: Mapping[str, Any] | None, selection: Selection, progress: Progress | None, threads: int | None
    ) -> None:
        """Read what is new; what was done is stored also when this is interrupted."""
        todo = [path for path in self._series.checkpoints if absolute(path) not in self._known]
        meter = _Meter(todo, self._series.sizes() if progress is not None else {}, progress)
        try:
            for path in todo:
                self._read_one(path, given, selection, meter, threads)
                self._save_sometimes()
        except BaseException:
            if self._fresh:
                self._save(self._assembled())
            raise

    def _read_one(
        self, path: Path, given: Mapping[str, Any] | None, selection: Selection, meter: _Meter, threads: int | None
    ) -> None:
        try:
            with open_checkpoint(path) as checkpoint:
                analysis = analyze_checkpoint(
                    checkpoint,
                    given=given,
                    selection=selection,
                    sink=None if self._elements is None else self._elements.add,
                    progress=meter.add,
                    threads=threads,
                )
            if self._elements is not None:
                self._elements.finish(analysis.fingerprint)
            self._fresh[analysis.fingerprint] = analysis
            self._known[absolute(path)] = analysis.fingerprint
        except CkptInspectError as error:
            if self._elements is not None:
                self._elements.finish(None)
            self._errors.append(error)
            problem = Problem(UNREADABLE, str(error), "it was left out; the rest of the run is analysed", "error")
            self._failures.append((path.name, problem))
        meter.finish(path)

    def _save_sometimes(self) -> None:
        waited = time.monotonic() - self._saved_at
        if self._store is None or waited < max(_SAVE_AFTER, _SAVE_SHARE * self._saving_took):
            return
        started = time.monotonic()
        self._save(self._assembled(), is_final=False)
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - started

    def result(self) -> Analyses:
        """The whole run, stored if anything is new; raises where there is nothing to analyse in it."""
        if not self._known and self._errors:
            raise self._errors[0]
        if not self._previous and not any(a.has_state for a in self._fresh.values()):
            require_state(list(self._fresh.values())[-1])
        if self._previous is not None and not self._fresh and not self._failures and self._is_unchanged():
            return self._previous
        analyses = self._assembled()
        if self._store is not None and (self._previous is None or analyses != self._previous):
            self._save(analyses)
        return analyses

    def _is_unchanged(self) -> bool:
        """Whether the store already holds what would be assembled, when nothing was read and nothing failed."""
        assert self._previous is not None
        if any(self._previous.failures) or self._previous.thresholds != self._thresholds:
            return False
        return list(self._previous.checkpoints["fingerprint"]) == self._order()

    def _assembled(self) -> Analyses:
        return assemble(
            self._series.name, self._options, self._order(), self._previous, self._fresh, self._failures,
            self._thresholds,
        )  # fmt: skip

    def _order(self) -> list[str]:
        """Fingerprints in training order, with those of checkpoints that were deleted since in their place."""
        found = [self._known[p] for p in map(absolute, self._series.checkpoints) if p in self._known]
        order = list(dict.fromkeys(found))
        current = set(order)
        if self._previous is not None:
            gone = {absolute(path) for path in self._series.checkpoints}
            columns = self._previous.checkpoints
            before = [
                stored
                for path, stored in zip(columns["path"], columns["fingerprint"], strict=True)
                if stored in current or absolute(path) not in gone
            ]
            order = merged_order(before, order)
        return order


def merged_order(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """`now`, with what has vanished from `before` kept ahead of what followed it there."""
    current, merged, waiting = set(now), [], list(before)
    for item in now:
        if item in waiting:
            at = waiting.index(item)
            merged += [w for w in waiting[:at] if w not in current]
            waiting = waiting[at + 1 :]
        elif not any(w in current for w in waiting):
            merged += waiting
            waiting = []
        merged.append(item)
    return merged + [w for w in waiting if w not in current]


def _fingerprint_now(files: Sequence[str]) -> str | None:
    """The fingerprint of files as they are; None if one is gone."""
    try:
        return fingerprint(files)
    except NotFoundError:
        return None


class _Meter:
    """Adds up what has been read, for the caller's progress."""

    def __init__(self, paths: Sequence[Path], sizes: Mapping[Path, int], progress: Progress | None) -> None:
        self._progress = progress
        self._lock = Lock()
        self._sizes = sizes
        self._total = sum(sizes.get(path, 0) for path in paths)
        self._finished = self._current = 0

    def add(self, nbytes: int) -> None:
        """Count bytes of the checkpoint that is being read."""
        if self._progress is None:
            return
        with self._lock:
            self._current += nbytes
            self._progress(min(self._finished + self._current, self._total), self._total)

    def finish(self, path: Path) -> None:
        """Count the checkpoint as read, whatever of it there was to read."""
        if self._progress is None:
            return
        with self._lock:
            self._finished += self._sizes[path]
            self._current = 0
            self._progress(self._finished, self._total)
