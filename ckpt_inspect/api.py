"""The public functions: what the command line does, each in one call.

They take what people have at hand (a path wherever an open checkpoint is taken, one pattern or several), refuse
what can't be meant with RequestError, and return results with the methods that show them. What a function needs is
imported when it is called: importing this module costs nothing.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ckpt_inspect.checkpoint import Checkpoint, Progress
from ckpt_inspect.errors import CkptInspectError, RequestError

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from ckpt_inspect.findings.explanations import Explanation
    from ckpt_inspect.formats.grouping import Run
    from ckpt_inspect.overview.overview import Overview
    from ckpt_inspect.presentation.export import Exported
    from ckpt_inspect.presentation.report import Report
    from ckpt_inspect.presentation.results import Analyses, Diff, RunResult
    from ckpt_inspect.state.optimizer_state import OptimizerState

PathLike = str | os.PathLike[str]
"""A path of the local file system."""

Given = Mapping[str, float | int | str]
"""Hyperparameters, `step`, `rule`, `epsilon_placement` by name; for one of several optimizers as `OPTIMIZER.beta_1`."""

T = TypeVar("T")


# --- one checkpoint


def open_checkpoint(path: PathLike) -> Checkpoint:
    """Open a checkpoint for reading; a context manager.

    `path`: a prefix, `.index`, `.data-*`, SavedModel folder, V1 file or pattern, `.h5`, `.keras`, `.weights.h5`, or a
    folder, whose newest checkpoint is opened. Raises NotFoundError (nothing there), DamagedFileError or
    UnsupportedError, each with the path, the cause and what to do.
    """
    from ckpt_inspect.formats import open_checkpoint

    return open_checkpoint(_path(path, "path"))


def optimizer_states(
    checkpoint: Checkpoint | PathLike, given: Given | None = None, optimizer: str | None = None
) -> tuple[OptimizerState, ...]:
    """Return every optimizer that a checkpoint holds state of, with its parameters, and hyperparameters with sources.

    `given` overrides what the file says or lacks, for the optimizer of that name or for all. Arrays are read when they
    are asked for. Raises CkptInspectError for what can't be opened or read, RequestError for what can't be given.
    """
    from ckpt_inspect.state.optimizer_state import optimizer_states

    is_open = isinstance(checkpoint, Checkpoint)
    opened = checkpoint if is_open else open_checkpoint(checkpoint)  # type: ignore[arg-type]  # said by is_open
    return optimizer_states(opened, _mapping(given, "given"), _text(optimizer, "optimizer"))  # type: ignore[arg-type]


def describe(
    checkpoint: Checkpoint | PathLike,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> Overview:
    """Say what one checkpoint is: format, optimizers, every hyperparameter and where it was read, parameters, sizes.

    Of a folder or pattern the newest is taken. Reads scalars and metadata, no tensor of a parameter. `include` and
    `exclude` are glob patterns on parameters' names. Raises CkptInspectError.
    """
    from ckpt_inspect.overview.overview import overview
    from ckpt_inspect.series.newest import open_newest
    from ckpt_inspect.state.selection import Selection

    selection = Selection.of(_texts(include, "include"), _texts(exclude, "exclude"))
    given = _mapping(given, "given")
    if isinstance(checkpoint, Checkpoint):
        return overview(checkpoint, given=given, selection=selection)
    opened, remarks = open_newest(_path(checkpoint, "checkpoint"))
    with opened:
        return overview(opened, given=given, selection=selection, remarks=remarks)


# --- several


def find_checkpoints(folder_or_glob: PathLike) -> tuple[Path, ...]:
    """Return every checkpoint below a folder, or that a glob pattern matches, in training order, without duplicates.

    Raises NotFoundError if there is none.
    """
    from ckpt_inspect.series.search import find_checkpoints

    return find_checkpoints(_path(folder_or_glob, "folder_or_glob"))


def find_runs(paths: PathLike | Iterable[PathLike]) -> tuple[Run, ...]:
    """Return the checkpoints that the paths name, by run: those of one folder whose names differ in numbers alone.

    Raises NotFoundError for a path at which there is none.
    """
    from ckpt_inspect.series.search import find_runs

    return find_runs(tuple(_paths(paths, "paths")))


def diff(
    a: Checkpoint | PathLike,
    b: Checkpoint | PathLike,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Diff:
    """Compare two checkpoints: what was added, removed, reshaped, changed, and by how much.

    `a` and `b` are open checkpoints or paths (of a folder its newest). `given` overrides hyperparameters of both as in
    `optimizer_states`. `include` and `exclude` are glob patterns that parameters' names must match, or must not.
    `progress` is called with bytes. Raises CkptInspectError for what can't be opened or read, NotFoundError if no
    parameter is chosen.
    """
    from ckpt_inspect.comparison.diff import compare
    from ckpt_inspect.presentation.results import Diff

    one, two = (x if isinstance(x, Checkpoint) else _path(x, name) for x, name in ((a, "a"), (b, "b")))
    return Diff.of(
        compare(
            one,
            two,
            given=_mapping(given, "given"),
            include=_texts(include, "include"),
            exclude=_texts(exclude, "exclude"),
            progress=_callable(progress, "progress"),
        )
    )


def analyze(
    paths: PathLike | Checkpoint | Run | Iterable[PathLike | Checkpoint],
    *,
    store: PathLike | None = None,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    elements: bool = False,
    thresholds: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
) -> Analyses:
    """Analyse a run: the checkpoints in a folder, behind a pattern, at paths that are named together, or of a `Run`.

    With `store` the result is also kept there: checkpoints that are in it already (same files, same options) are not
    read again, and those that have been deleted since keep their place. `given` overrides hyperparameters as in
    `optimizer_states`; `include` and `exclude` are glob patterns on parameters' names. With `elements` the store keeps
    E of every element as well, at four bytes each before compression. `thresholds` sets some of `Thresholds`.
    `progress` is called with bytes.

    `executor` does the work elsewhere: any `concurrent.futures.Executor` whose workers see the same files, such as a
    `ProcessPoolExecutor`; by default this process does it, with `threads` threads (2). The result is the same to the
    bit. `elements` are not available with an executor.

    In a series a checkpoint that can't be read becomes a Problem of severity `error` (`Analyses.failures`), and the
    rest is done. Raises CkptInspectError if there is nothing else: a single checkpoint that can't be read, or none that
    holds moments; StoreError, before anything is read, if the store can't be written or is not one.
    """
    from ckpt_inspect.formats.grouping import Run
    from ckpt_inspect.presentation.results import Analyses
    from ckpt_inspect.runs.analyze import analyze
    from ckpt_inspect.series.search import one_run

    limits = _mapping(thresholds, "thresholds")
    return Analyses.of(
        analyze(
            paths if isinstance(paths, Run) else one_run(tuple(_paths(paths, "paths"))),
            store=None if store is None else _path(store, "store"),
            given=_mapping(given, "given"),
            include=_texts(include, "include"),
            exclude=_texts(exclude, "exclude"),
            elements=elements,
            thresholds=limits,
            progress=_callable(progress, "progress"),
            threads=threads,
            executor=_executor(executor),
        )
    )


def analyze_runs(
    paths: PathLike | Iterable[PathLike | Run],
    *,
    store: PathLike | None = None,
    folder: PathLike | None = None,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    elements: bool = False,
    thresholds: Mapping[str, float] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
) -> Iterator[RunResult]:
    """Analyse every run that the paths hold, one after the other; each is yielded when it is done.

    Where one run can't be analysed, its `RunResult` has the error, and the next one follows. `folder` takes a store of
    each run, named `<run>.ckpt-inspect.h5`; `store` names that of the only run: paths of single checkpoints are one run
    then, folders that hold several raise RequestError. With neither, nothing is stored. `progress` is called with a
    run's name, bytes done and bytes in all. The rest as in `analyze`. Raises NotFoundError for a path without
    checkpoints, before anything is read.
    """
    from pathlib import Path

    from ckpt_inspect.formats.grouping import Run
    from ckpt_inspect.presentation.results import RunResult
    from ckpt_inspect.runs.store import default_store

    each = [paths] if isinstance(paths, (str, os.PathLike)) else list(_iterable(paths, "paths", "a path or several"))
    runs = [run for run in each if isinstance(run, Run)]
    if others := tuple(_paths([path for path in each if not isinstance(path, Run)], "paths")):
        runs += _runs_of(others, is_one=store is not None)
    target = None if store is None else Path(_path(store, "store"))
    if target is not None and len(runs) != 1:
        raise RequestError(f"{target}: one store can't hold {len(runs)} runs ({', '.join(r.name for r in runs)})")
    place = None if folder is None else Path(_path(folder, "folder"))
    options = {
        "given": given, "include": include, "exclude": exclude, "elements": elements, "thresholds": thresholds,
        "threads": threads, "executor": executor,
    }  # fmt: skip

    def results() -> Iterator[RunResult]:
        for run in runs:
            own = target or (None if place is None else place / default_store(run.name))
            told = None if progress is None else functools.partial(progress, run.name)
            try:
                analyses = analyze(run, store=own, progress=told, **options)  # type: ignore[arg-type]  # as they came
            except CkptInspectError as error:
                yield RunResult(run, own, None, error)
            else:
                yield RunResult(run, own, analyses)

    return results()


def load(store: PathLike) -> Analyses:
    """Return what `analyze` wrote into a store. Raises StoreError if there is no store."""
    from ckpt_inspect.presentation.results import Analyses
    from ckpt_inspect.runs.analyze import load

    return Analyses.of(load(_path(store, "store")))


# --- results into files, and what their names mean


def draw_diff(
    diff: Diff,
    path: PathLike,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> tuple[Path, ...]:
    """Draw what changed into `path`, and beside it the change by rate and the distributions of E; return the files.

    The suffix of `path` is the format: .png, .svg or .pdf. The checkpoints are read once more. Raises RequestError for
    another suffix, StoreError if a file can't be written.
    """
    from pathlib import Path

    from ckpt_inspect.presentation.diff_figures import write_diff_figures

    return write_diff_figures(
        diff,
        Path(_path(path, "path")),
        given=_mapping(given, "given"),
        include=_texts(include, "include"),
        exclude=_texts(exclude, "exclude"),
    )


def write_report(
    runs: Analyses | PathLike | Sequence[Analyses | PathLike],
    folder: PathLike = "report",
    *,
    learning_rate: float | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    names: Sequence[str] | None = None,
    file_format: str = "png",
    progress: Progress | None = None,
) -> Report:
    """Write a page with findings, figures and all parameters of one or several runs, and the figures as files.

    `runs`: what `analyze` and `load` return, or stores; several are drawn over each other, called by `names` (default:
    their own). `learning_rate` draws them as they would be at that rate. `file_format`: png, svg or pdf. `progress` is
    called with figures. Raises RequestError for runs without anything to draw, StoreError if `folder` can't be written.
    """
    from ckpt_inspect.presentation.chosen_run import ChosenRun
    from ckpt_inspect.presentation.report import write_report
    from ckpt_inspect.state.selection import Selection

    selection = Selection.of(_texts(include, "include"), _texts(exclude, "exclude"))
    return write_report(
        [ChosenRun(run, selection) for run in _runs(runs, learning_rate)],
        _path(folder, "folder"),
        names=None if names is None else tuple(_texts(names, "names") or ()),
        file_format=file_format,
        progress=_callable(progress, "progress"),
    )


def export(
    runs: Analyses | PathLike | Sequence[Analyses | PathLike],
    target: str,
    path: PathLike | None = None,
    *,
    frame: str | None = None,
    learning_rate: float | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> Exported:
    """Write one run or several into a table (csv, parquet) or as TensorBoard's scalars and histograms.

    `runs` as in `write_report`. `path`: by default the target's own name in the current directory (`parameters.csv`,
    `tensorboard`). `frame`: of tables, the kind of frame as `Analyses.to_frame` knows them, by default `parameters`.
    Raises RequestError for a target or kind of frame that does not exist, no runs, or a library that is not installed;
    StoreError if `path` can't be written.
    """
    from ckpt_inspect.presentation.export import export
    from ckpt_inspect.state.selection import Selection

    return export(
        _runs(runs, learning_rate),
        target,
        None if path is None else _path(path, "path"),
        frame=frame,
        selection=Selection.of(_texts(include, "include"), _texts(exclude, "exclude")),
    )


def explain(name: str | None = None) -> tuple[Explanation, ...]:
    """Return what a figure or a finding means: definition, formula, how to read it, source; without a name all of them.

    Raises NotFoundError, with names that are near, for one that nothing has.
    """
    from ckpt_inspect.findings.explanations import EXPLANATIONS, explain

    return tuple(EXPLANATIONS.values()) if name is None else tuple(explain(_text(name, "name") or ""))


# --- arguments


def _runs_of(paths: Sequence[PathLike], *, is_one: bool) -> tuple[Run, ...]:
    """The runs that paths hold; where one is wanted, single checkpoints that are named together are one."""
    from ckpt_inspect.series.search import find_runs, one_run

    runs = find_runs(paths)
    if is_one and len(runs) > 1 and not any(map(os.path.isdir, paths)):
        return (one_run(paths),)
    return runs


def _runs(runs: object, learning_rate: float | None) -> tuple[Analyses, ...]:
    """The runs that were named, loaded where they are stores, rescaled where another rate is asked for."""
    from ckpt_inspect.presentation.results import Analyses

    each = [runs] if isinstance(runs, (Analyses, str, os.PathLike)) else list(_iterable(runs, "runs", "runs or stores"))
    found = [run if isinstance(run, Analyses) else load(_path(run, "runs")) for run in each]
    if learning_rate is None:
        return tuple(found)
    from ckpt_inspect.runs.rescaling import with_learning_rate

    return tuple(Analyses.of(with_learning_rate(run, learning_rate)) for run in found)


def _path(value: object, name: str) -> PathLike:
    if not isinstance(value, (str, os.PathLike)) or isinstance(os.fspath(value), bytes):
        raise RequestError(f"{name} must be a path (text or pathlib.Path), not {_named(value)}")
    return value


def _paths(value: object, name: str) -> Iterator[PathLike]:
    is_one = isinstance(value, (str, os.PathLike, Checkpoint))
    for path in [value] if is_one else _iterable(value, name, "a path or several"):
        yield path.path if isinstance(path, Checkpoint) else _path(path, name)


def _iterable(value: object, name: str, wanted: str) -> Iterable[object]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise RequestError(f"{name} must be {wanted}, not {_named(value)}")
    return value


def _texts(value: object, name: str) -> tuple[str, ...] | None:
    """Several patterns; a single one may stand by itself."""
    if value is None:
        return None
    each = (value,) if isinstance(value, str) else tuple(_iterable(value, name, "text or several"))
    return tuple(_text(text, name) or "" for text in each)


def _text(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{name} must be text, not {_named(value)}")
    return value


def _mapping(value: Mapping[str, T] | None, name: str) -> Mapping[str, T] | None:
    if value is not None and not isinstance(value, Mapping):
        raise RequestError(f"{name} must be a mapping of names to values, not {_named(value)}")
    return value


def _callable(value: Progress | None, name: str) -> Progress | None:
    if value is not None and not callable(value):
        raise RequestError(f"{name} must be a function of what is done and what there is in all, not {_named(value)}")
    return value


def _executor(value: Executor | None) -> Executor | None:
    if value is not None and not callable(getattr(value, "submit", None)):
        raise RequestError(f"executor must be a concurrent.futures.Executor, not {_named(value)}")
    return value


def _named(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
