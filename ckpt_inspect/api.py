"""The public functions: what the command line does, each in one call.

They take a path in place of an open checkpoint, and one pattern or several. They raise RequestError for an argument
that makes no sense, and return results with the methods that show them. What a function needs is imported when it is
called, so that importing this module costs nothing.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from ckpt_inspect.checkpoint import Checkpoint, Problem, Progress
from ckpt_inspect.errors import CkptInspectError, RequestError, SeveralRunsError
from ckpt_inspect.presentation.arguments import (
    PathLike,
    count_if_any,
    executor_if_any,
    failing_if_any,
    flag_in,
    function_if_any,
    given_if_any,
    instance_in,
    iterable_in,
    number_if_any,
    path_if_any,
    path_in,
    paths_in,
    seconds_if_any,
    text_if_any,
    text_in,
    texts_if_any,
    thresholds_if_any,
    with_rates_of,
    workers_if_any,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from ckpt_inspect.findings.explanations import Explanation
    from ckpt_inspect.measurement.columns import RunColumns
    from ckpt_inspect.overview.overview import Overview
    from ckpt_inspect.presentation.export import Exported
    from ckpt_inspect.presentation.report import Report
    from ckpt_inspect.presentation.results import Analyses, Diff, Followed, RunResult
    from ckpt_inspect.runs.unchanged import Grown, Stored, Unchanged
    from ckpt_inspect.runs.workers import Spare
    from ckpt_inspect.series.run import Run
    from ckpt_inspect.series.survey import Survey
    from ckpt_inspect.soundness.verdicts import Soundness
    from ckpt_inspect.state.given import Given
    from ckpt_inspect.state.optimizer_state import OptimizerState


def _given(given: Given | None, checkpoints: Sequence[Checkpoint | PathLike]) -> Given | None:
    """Check the given values and return them; a function of the step becomes its values at the checkpoints' steps."""
    from ckpt_inspect.state.optimizer_state import optimizer_states

    def steps() -> Iterator[int]:
        for checkpoint in checkpoints:
            try:
                opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint)
                states = optimizer_states(opened)
            except CkptInspectError:  # whoever reads it meets it again
                continue
            if opened is not checkpoint:
                opened.close()
            yield from (int(state.step.value) for state in states if state.step.value is not None)

    return given_if_any(with_rates_of(given, steps))


# --- one checkpoint


def open_checkpoint(path: PathLike) -> Checkpoint:
    """Open a checkpoint for reading; a context manager.

    `path`: a prefix, `.index`, `.data-*`, SavedModel folder, V1 file or pattern, `.h5`, `.keras`, `.weights.h5`, or a
    folder, whose newest checkpoint is opened. Raises NotFoundError (nothing there), DamagedFileError or
    UnsupportedError, each with the path, the cause and what to do.
    """
    from ckpt_inspect.series.newest import open_checkpoint

    return open_checkpoint(path_in(path, "path"))


def optimizer_states(
    checkpoint: Checkpoint | PathLike, given: Given | None = None, optimizer: str | None = None
) -> tuple[OptimizerState, ...]:
    """Return every optimizer whose state a checkpoint holds, with its parameters, and hyperparameters with sources.

    `given` overrides what the file says, and adds what it lacks: for the optimizer of the name `optimizer`, or for all.
    Its `learning_rate` is a number, or the rates by step: a mapping, or a function of the step. The rate of a step is
    that of the update that made it, so that a Keras schedule is given as `lambda step: schedule(step - 1)`.
    Arrays are read when you use them. Raises CkptInspectError for a checkpoint that can't be opened or read,
    RequestError for a value in `given` that doesn't fit.
    """
    from ckpt_inspect.state.optimizer_state import optimizer_states

    opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(path_in(checkpoint, "checkpoint"))
    return optimizer_states(opened, _given(given, [opened]), text_if_any(optimizer, "optimizer"))


def describe(
    checkpoint: Checkpoint | PathLike,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    others: Checkpoint | PathLike | Iterable[Checkpoint | PathLike] = (),
    with_tensors: bool = False,
    progress: Progress | None = None,
) -> Overview:
    """Describe one checkpoint: format, optimizers, every hyperparameter and where it was read, parameters, sizes.

    For a folder or pattern, describes the newest checkpoint. Reads scalars and metadata, no tensor of a parameter.
    `include` and `exclude` are glob patterns on parameters' names. `others` are further checkpoints of the same run:
    what they and this one tell together of values that no file holds, stands in for defaults; some elements are read
    then. `with_tensors` lists every tensor of the file with its extremes, mean, spread, zeros and what isn't finite,
    for which all are read; `progress` is called with bytes (done, total) meanwhile. Raises CkptInspectError for a
    checkpoint that can't be opened or read.
    """
    from ckpt_inspect.overview.overview import overview
    from ckpt_inspect.series.meanwhile import telling_changes
    from ckpt_inspect.series.newest import open_newest
    from ckpt_inspect.state.selection import Selection

    selection = Selection.of(texts_if_any(include, "include"), texts_if_any(exclude, "exclude"))
    with ExitStack() as stack:
        remarks: tuple[Problem, ...] = ()
        if not isinstance(checkpoint, Checkpoint):
            path = path_in(checkpoint, "checkpoint")
            stack.enter_context(telling_changes([path]))
            checkpoint, remarks = open_newest(path)
            stack.enter_context(checkpoint)
        beside = [stack.enter_context(open_checkpoint(path)) for path in paths_in(others, "others")]
        given = _given(given, [checkpoint, *beside])
        return overview(
            checkpoint,
            given=given,
            selection=selection,
            remarks=remarks,
            beside=beside,
            with_tensors=with_tensors,
            progress=progress,
        )


# --- several


def find_checkpoints(folder_or_glob: PathLike) -> tuple[Path, ...]:
    """Return every checkpoint in and below a folder, or that a glob pattern matches, in training order, each once.

    Order: by the optimizers' counters where they are known and differ, else by the numbers in the names, else by time
    of writing. Of a run of many, only some are opened if names and counters agree there. Raises
    NotFoundError if there is none.
    """
    from ckpt_inspect.series.search import find_checkpoints

    return find_checkpoints(path_in(folder_or_glob, "folder_or_glob"))


def find_runs(paths: PathLike | Iterable[PathLike]) -> tuple[Run, ...]:
    """Return the checkpoints that the paths name, by run: those of one folder whose names differ only in numbers.

    Different models, without a common parameter, are runs of their own. Numbered folders of one checkpoint each
    (`epoch_1/model.keras`, ..) are one run if the counters grow with the numbers. Raises NotFoundError for a
    path without checkpoints.
    """
    from ckpt_inspect.series.search import find_runs

    return find_runs(tuple(paths_in(paths, "paths")))


def diff(
    a: Checkpoint | PathLike,
    b: Checkpoint | PathLike,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    infer: bool = True,
    progress: Progress | None = None,
) -> Diff:
    """Compare two checkpoints: what was added, removed, reshaped, changed, and by how much.

    `a` and `b` are open checkpoints or paths; a folder stands for its newest. `given` overrides hyperparameters of both
    as in `optimizer_states`. `include` and `exclude` are glob patterns that parameters' names must match, or must not.
    What the two tell together of values that neither file holds stands in for defaults; `infer=False` leaves these.
    `progress` is called with bytes. Raises CkptInspectError for a checkpoint that can't be opened or read,
    NotFoundError if the patterns choose no parameter.
    """
    from ckpt_inspect.comparison.diff import compare
    from ckpt_inspect.presentation.results import Diff
    from ckpt_inspect.series.meanwhile import telling_changes

    one, two = (x if isinstance(x, Checkpoint) else path_in(x, name) for x, name in ((a, "a"), (b, "b")))
    with telling_changes([x for x in (one, two) if not isinstance(x, Checkpoint)]):
        compared = compare(
            one,
            two,
            given=_given(given, [one, two]),
            include=texts_if_any(include, "include"),
            exclude=texts_if_any(exclude, "exclude"),
            infer=flag_in(infer, "infer"),
            progress=function_if_any(progress, "progress"),
        )
    return Diff.of(compared)


def check(
    paths: PathLike | Iterable[PathLike],
    *,
    given: Given | None = None,
    reader: str | None = None,
    progress: Progress | None = None,
) -> Soundness:
    """Check whether checkpoints can be relied on: whole, complete, and each a continuation of the one before.

    Reads every byte once, compares every checksum that a format keeps, and looks for numbers that are not finite. Says
    what a resume would silently start anew. Compares each checkpoint with the one before in its run: state that was
    kept, lost, reset or restored in part. `paths`: checkpoints that are named one by one are one run; folders and
    patterns hold the runs that `find_runs` finds. `given` overrides hyperparameters as in `optimizer_states`; a
    `beta_2` lets the moments be judged exactly. `reader`: `tensorflow` reads each tensor with TensorFlow as well and
    compares the bits. `progress` is called with bytes.

    A damaged checkpoint is a verdict. Raises NotFoundError for a path without checkpoints, UnsupportedError if nothing
    that was named is one, RequestError for another reader, or if it is not installed.
    """
    from ckpt_inspect.series.search import find_checkpoints
    from ckpt_inspect.soundness.check import check
    from ckpt_inspect.soundness.second_reader import second_reader

    each = tuple(paths_in(paths, "paths"))
    has_function = isinstance(given, Mapping) and any(map(callable, given.values()))
    return check(
        each,
        given=_given(given, [path for one in each for path in find_checkpoints(one)] if has_function else ()),
        second_reader=second_reader(text_if_any(reader, "reader")),
        progress=function_if_any(progress, "progress"),
    )


def analyze(
    paths: PathLike | Checkpoint | Run | Iterable[PathLike | Checkpoint],
    *,
    store: PathLike | None = None,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    elements: bool = False,
    infer: bool = True,
    thresholds: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    workers: int | Literal["auto"] | None = None,
    cluster: str | None = None,
) -> Analyses:
    """Analyse a run: the checkpoints in a folder, behind a pattern, at paths that are named together, or of a `Run`.

    `store` is a file that keeps the result. Checkpoints that are in it already (same files, same options) are not read
    again, and those that have been deleted since stay in it. `given` overrides hyperparameters as in
    `optimizer_states`; `include` and `exclude` are glob patterns on parameters' names. With `elements` the store keeps
    E of every element as well, at four bytes each before compression. `thresholds` sets some of `Thresholds`.
    `progress` is called with bytes.

    Numbers that no file holds (betas, epsilon, the rate, the number of updates) are inferred from several checkpoints
    where these show them, and used in place of defaults; `infer=False` leaves the defaults.

    `executor` does the work elsewhere: any `concurrent.futures.Executor` whose workers see the same files, such as a
    `ProcessPoolExecutor`. `workers` starts so many processes for it; "auto" up to 4, if 500 checkpoints or more of this
    machine are to be read. `cluster` is the address of a Dask scheduler whose workers do it. By default this process
    does it, with `threads` threads (2). The result is the same to the bit. What a worker that ends had begun is done
    again. `elements` can't be combined with any of the three.

    In a series, a checkpoint that can't be read becomes a Problem of severity `error` (`Analyses.failures`), and the
    others are analysed; one that is deleted, replaced or written meanwhile, a Problem of severity `warning`, and it is
    read again the next time. Raises CkptInspectError for a single checkpoint that can't be read, and if no checkpoint
    holds moments; StoreError, before anything is read, if the store can't be written or the file is not a store.
    """
    return _analyzed(
        paths,
        None,
        store,
        given,
        progress=progress,
        threads=threads,
        executor=executor,
        workers=workers,
        cluster=cluster,
        include=include,
        exclude=exclude,
        elements=elements,
        infer=infer,
        thresholds=thresholds,
    )


def _analyzed(
    paths: PathLike | Checkpoint | Run | Iterable[PathLike | Checkpoint],
    held: Stored | None,
    store: PathLike | None,
    given: Given | None,
    *,
    progress: Progress | None,
    threads: int | None,
    executor: Executor | Spare | None,
    workers: int | Literal["auto"] | None = None,
    cluster: str | None = None,
    **options: Any,
) -> Analyses:
    """Do what `analyze` does. `held`: what the store of a `Run` is known to hold."""
    from pathlib import Path

    from ckpt_inspect.runs.analyze import analyze
    from ckpt_inspect.runs.saving import Held
    from ckpt_inspect.runs.unchanged import Unchanged, survey_of
    from ckpt_inspect.runs.workers import workers as workers_of
    from ckpt_inspect.series.run import Run
    from ckpt_inspect.series.search import one_run
    from ckpt_inspect.storage import unpacking_once

    each = (paths.folder,) if isinstance(paths, Run) else _seen_by(cluster, paths_in(paths, "paths"))
    asked: dict[str, Any] = {
        "include": texts_if_any(options["include"], "include"),
        "exclude": texts_if_any(options["exclude"], "exclude"),
        "elements": flag_in(options["elements"], "elements"),
        "infer": flag_in(options["infer"], "infer"),
        "thresholds": thresholds_if_any(options["thresholds"]),
    }
    target = path_if_any(store, "store")
    survey = None
    if target is not None and not isinstance(paths, Run) and (survey := survey_of(each)) is not None:
        before = _stored_before(each[0], survey, Path(target), None, given=given, **asked)
        if isinstance(before, Unchanged):
            return _analyses(before.columns)
        if before is not None:
            paths, held = before.newest, before.held
        else:
            survey = survey.packed()
    run = paths if isinstance(paths, Run) else one_run(each, survey=survey)
    if target is not None and held is None and run.survey is None:
        run, held = _newest_of(run, Path(target), given=given, **asked)
    work = functools.partial(
        analyze,
        run,
        store=target,
        given=_given(given, run.checkpoints),
        progress=function_if_any(progress, "progress"),
        threads=count_if_any(threads, "threads"),
        held=None if held is None else Held(*held),
        **asked,
    )
    own = executor_if_any(executor), workers_if_any(workers), text_if_any(cluster, "cluster")
    with unpacking_once(), workers_of(*own, each) as executor:
        return _analyses(work(executor=executor))


def analyze_runs(
    paths: PathLike | Run | Iterable[PathLike | Run],
    *,
    store: PathLike | None = None,
    folder: PathLike | None = None,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    elements: bool = False,
    infer: bool = True,
    thresholds: Mapping[str, float] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    workers: int | Literal["auto"] | None = None,
    cluster: str | None = None,
) -> Iterator[RunResult]:
    """Analyse every run that the paths hold, one after the other; each is yielded when it is done.

    If one run can't be analysed, its `RunResult` holds the error, and the next run follows. `folder` is where each run
    gets a store, named `<run>.ckpt-inspect.h5`. `store` is the store of a single run: paths of single checkpoints then
    count as one run, and several runs raise RequestError. With neither, nothing is stored. `progress` is called with a
    run's name, bytes done and bytes in all. The other arguments are those of `analyze`. Raises NotFoundError for a path
    without checkpoints, before anything is read.
    """
    from pathlib import Path

    from ckpt_inspect.runs.store import store_for
    from ckpt_inspect.runs.unchanged import Unchanged, survey_of
    from ckpt_inspect.runs.workers import workers as workers_of
    from ckpt_inspect.series.run import Run

    is_one = isinstance(paths, (str, os.PathLike, Run))
    each = [paths] if is_one else list(iterable_in(paths, "paths", "a path or several"))
    runs = [run for run in each if isinstance(run, Run)]
    others = _seen_by(cluster, paths_in([path for path in each if not isinstance(path, Run)], "paths"))
    target = None if store is None else Path(path_in(store, "store"))
    place = None if folder is None else Path(path_in(folder, "folder"))
    function_if_any(progress, "progress")
    given_if_any(with_rates_of(given, None))
    asked: dict[str, Any] = {
        "given": given,
        "include": texts_if_any(include, "include"),
        "exclude": texts_if_any(exclude, "exclude"),
        "elements": flag_in(elements, "elements"),
        "infer": flag_in(infer, "infer"),
        "thresholds": thresholds_if_any(thresholds),
    }
    thread_count = count_if_any(threads, "threads")
    survey = None if runs else survey_of(others)
    before = None if survey is None else _stored_before(others[0], survey, target, place, **asked)
    if isinstance(before, Unchanged):
        return iter([_result(before.run, before.store, _analyses(before.columns))])
    if (grown := before) is not None:
        runs, target = [grown.newest], grown.store
    elif others:
        survey = None if survey is None else survey.packed()
        runs += _runs_of(others, survey, is_one=store is not None)
    if target is not None and len(runs) != 1:
        told = f"{target}: one store can't hold {len(runs)} runs ({', '.join(r.name for r in runs)})"
        raise SeveralRunsError(told) if runs else RequestError(told)
    whose = executor_if_any(executor), workers_if_any(workers), text_if_any(cluster, "cluster")

    held = None if grown is None else grown.held

    def results() -> Iterator[RunResult]:
        with workers_of(*whose, [*others, *(run.folder for run in runs)]) as executor:
            for run in runs:
                own = target or (None if place is None else store_for(run, place))
                told = None if progress is None else functools.partial(progress, run.name)
                try:
                    analyses = _analyzed(
                        run, held, own, progress=told, threads=thread_count, executor=executor, **asked
                    )
                except CkptInspectError as error:
                    yield _result(run, own, None, error)
                else:
                    all_of_it = run if grown is None else functools.partial(grown.run, analyses)
                    yield _result(all_of_it, own, analyses)

    return results()


def follow(
    paths: PathLike | Iterable[PathLike],
    *,
    store: PathLike | None = None,
    folder: PathLike = ".",
    report: PathLike | None = None,
    every: float | None = None,
    until: int | None = None,
    idle: float | None = None,
    fail_on: str | None = None,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    infer: bool = True,
    thresholds: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    workers: int | Literal["auto"] | None = None,
    cluster: str | None = None,
) -> Iterator[Followed]:
    """Analyse the checkpoints of a training that is going on, each once it is complete; yield each as it is taken.

    Looks at `paths` (folders, patterns) `every` so many seconds, by default 5, of an object store 30; they need not be
    there yet. What is in the store already is not yielded. A checkpoint that is replaced is taken again; one that can't
    be read is yielded once with its Problem, and tried again when it changes. Each run gets a store in `folder` as of
    `analyze_runs`, or a single run the `store`; it is whole after each checkpoint. `report` is a folder in which the
    page is written anew after each look that brought something; open in a browser it reloads itself until this ends.

    Ends when a step of `until` or more was taken; `idle` seconds after the last change in the folder; or when there is
    a finding that `fail_on` names, a severity or an id (`Followed.fails_on` has it). Otherwise it goes on until it is
    closed or interrupted. The other arguments are those of `analyze`; `given` takes no function of the step here.

    Raises RequestError for arguments that make no sense, or several runs for one `store`; StoreError for a store or
    report that can't be written.
    """
    from pathlib import Path

    from ckpt_inspect.presentation.following import followed
    from ckpt_inspect.runs.analyze import analyze
    from ckpt_inspect.runs.following import Ends, follow
    from ckpt_inspect.runs.workers import workers as workers_of

    each = _seen_by(cluster, paths_in(paths, "paths"))
    numbers = given_if_any(with_rates_of(given, None))
    if len(numbers or {}) < len(given or {}):
        raise RequestError("a training that goes on has steps that no table has yet: give the rates as a table")
    work = functools.partial(
        analyze,
        given=numbers,
        include=texts_if_any(include, "include"),
        exclude=texts_if_any(exclude, "exclude"),
        infer=flag_in(infer, "infer"),
        thresholds=thresholds_if_any(thresholds),
        progress=function_if_any(progress, "progress"),
        threads=count_if_any(threads, "threads"),
    )
    place, target = Path(path_in(folder, "folder")), None if store is None else Path(path_in(store, "store"))
    seconds = {name: seconds_if_any(value, name) for name, value in (("every", every), ("idle", idle))}
    whose = executor_if_any(executor), workers_if_any(workers), text_if_any(cluster, "cluster")
    ends = Ends(count_if_any(until, "until"), failing_if_any(fail_on))
    page = path_if_any(report, "report")

    def results() -> Iterator[Followed]:
        with workers_of(*whose, each) as executor:
            news = follow(each, target or place, functools.partial(work, executor=executor), ends.are_met, **seconds)
            yield from followed(news, ends, page)

    return results()


def load(store: PathLike) -> Analyses:
    """Return what `analyze` wrote into a store. Raises StoreError if there is no store."""
    from ckpt_inspect.presentation.results import Analyses
    from ckpt_inspect.runs.store import load

    return Analyses.of(load(path_in(store, "store")))


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

    The suffix of `path` decides the format: .png, .svg or .pdf. Reads the checkpoints once more. Raises RequestError
    for another suffix, StoreError if a file can't be written.
    """
    from pathlib import Path

    from ckpt_inspect.comparison.differences import Differences
    from ckpt_inspect.presentation.diff_figures import write_diff_figures

    return write_diff_figures(
        instance_in(diff, "diff", Differences, "what diff() returned"),
        Path(path_in(path, "path")),
        given=given_if_any(given),
        include=texts_if_any(include, "include"),
        exclude=texts_if_any(exclude, "exclude"),
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
    figures: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write a page with findings, figures and all parameters of one or several runs, and the figures as files.

    `runs`: what `analyze` and `load` return, or stores. Several are drawn over each other and labelled with `names`
    (default: their own). `learning_rate` draws them as they would be at that rate. `file_format`: png, svg or pdf.
    `figures`: those of these ids, or `"all"`; by default those that a person acts on.
    `progress` is called with figures. Raises RequestError if there is nothing to draw, StoreError if `folder` can't be
    written.
    """
    from ckpt_inspect.presentation.chosen_run import ChosenRun
    from ckpt_inspect.presentation.report import write_report
    from ckpt_inspect.state.selection import Selection

    selection = Selection.of(texts_if_any(include, "include"), texts_if_any(exclude, "exclude"))
    return write_report(
        [ChosenRun(run, selection, is_drawn=True) for run in _runs(runs, learning_rate)],
        path_in(folder, "folder"),
        names=texts_if_any(names, "names"),
        file_format=text_in(file_format, "file_format"),
        figures=texts_if_any(figures, "figures"),
        progress=function_if_any(progress, "progress"),
    )


def export(
    runs: Analyses | PathLike | Sequence[Analyses | PathLike],
    target: str,
    path: PathLike | None = None,
    *,
    frame: str | None = None,
    figures: Sequence[str] | None = None,
    steps_per_epoch: int | None = None,
    learning_rate: float | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> Exported:
    """Write one run or several into a table (csv, parquet) or as TensorBoard's scalars, histograms and findings.

    `runs` as in `write_report`. `path`: by default the target's own name in the current directory (`parameters.csv`,
    `tensorboard`). `frame`, for tables: a kind of frame of `Analyses.to_frame`, by default `parameters`. `figures`,
    for TensorBoard: by name, such as `effective_lr_median`, or `all`; by default a few. `steps_per_epoch`: its
    horizontal axis counts epochs of so many steps, as Keras' callback does; by default steps. Raises RequestError for
    an unknown target, kind of frame or figure, for no runs, and if a library is not installed; StoreError if `path`
    can't be written.
    """
    from ckpt_inspect.presentation.export import export
    from ckpt_inspect.state.selection import Selection

    return export(
        _runs(runs, learning_rate),
        text_in(target, "target"),
        path_if_any(path, "path"),
        frame=text_if_any(frame, "frame"),
        selection=Selection.of(texts_if_any(include, "include"), texts_if_any(exclude, "exclude")),
        figures=texts_if_any(figures, "figures"),
        steps_per_epoch=count_if_any(steps_per_epoch, "steps_per_epoch"),
    )


def explain(name: str | None = None) -> tuple[Explanation, ...]:
    """Return what a figure, a finding or a reason of `check` means: definition, formula, how to read it, source.

    Without a name, return all. Raises NotFoundError for an unknown name; the message lists similar names.
    """
    from ckpt_inspect.findings.explanations import explain
    from ckpt_inspect.soundness.explanations import EXPLANATIONS

    every = tuple(EXPLANATIONS.values())
    return every if name is None else tuple(explain(text_in(name, "name"), among=every))


# --- arguments


def _seen_by(cluster: object, paths: Iterable[PathLike]) -> tuple[PathLike, ...]:
    """Return the paths; for workers of a cluster, who are elsewhere, from their root."""
    from ckpt_inspect.storage import absolute, as_path

    return tuple(paths) if cluster is None else tuple(as_path(absolute(path)) for path in paths)


def _analyses(columns: RunColumns) -> Analyses:
    from ckpt_inspect.presentation.results import Analyses

    return Analyses.of(columns)


def _result(
    run: Run | Callable[[], Run], store: Path | None, analyses: Analyses | None, error: CkptInspectError | None = None
) -> RunResult:
    from ckpt_inspect.presentation.results import RunResult

    return RunResult(run, store, analyses, error)


def _stored_before(
    folder: PathLike,
    survey: Survey,
    store: Path | None,
    place: Path | None,
    *,
    given: Given | None,
    thresholds: Mapping[str, float] | None,
    **asked: Any,
) -> Unchanged | Grown | None:
    """Return the run in a folder if its store tells that nothing is new there, or that checkpoints have come and
    nothing else has happened; None where a function gives the rates of steps, which are asked of the checkpoints."""
    from ckpt_inspect.runs.analyze import limits_of, options_of
    from ckpt_inspect.runs.unchanged import stored_before

    if with_rates_of(given, None) != given:
        return None
    options, limits = options_of(given_if_any(given), **asked), limits_of(thresholds)
    return stored_before(folder, survey, store, place, options, limits)


def _newest_of(
    run: Run, store: Path, *, given: Given | None, thresholds: Mapping[str, float] | None, **asked: Any
) -> tuple[Run, Stored | None]:
    """Return the run as what has come to its store alone, and what that holds, if the store tells so; else the run."""
    from ckpt_inspect.runs.analyze import limits_of, options_of
    from ckpt_inspect.runs.unchanged import newest_of

    if with_rates_of(given, None) != given:
        return run, None
    options, limits = options_of(given_if_any(given), **asked), limits_of(thresholds)
    return newest_of(run, store, options, limits) or (run, None)


def _runs_of(paths: Sequence[PathLike], survey: Survey | None = None, *, is_one: bool) -> tuple[Run, ...]:
    """Return the runs that paths hold; with `is_one`, single checkpoints that are named together are one run."""
    from ckpt_inspect.series.search import find_runs, one_run
    from ckpt_inspect.storage import as_path, is_folder

    runs = find_runs(paths, survey=survey)
    if is_one and len(runs) > 1 and not any(is_folder(as_path(path)) for path in paths):
        return (one_run(paths),)
    return runs


def _runs(runs: object, learning_rate: float | None) -> tuple[Analyses, ...]:
    """Return the runs, loaded if they are stores, and rescaled if another learning rate is given."""
    from ckpt_inspect.presentation.results import Analyses

    rate = number_if_any(learning_rate, "learning_rate")
    each = (
        [runs] if isinstance(runs, (Analyses, str, os.PathLike)) else list(iterable_in(runs, "runs", "runs or stores"))
    )
    found = [run if isinstance(run, Analyses) else load(path_in(run, "runs")) for run in each]
    if rate is None:
        return tuple(found)
    from ckpt_inspect.runs.rescaling import with_learning_rate

    return tuple(Analyses.of(with_learning_rate(run, rate)) for run in found)
