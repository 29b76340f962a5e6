"""`ckpt-inspect analyze`, and `--follow`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.answering import print_json, remark_on
from ckpt_inspect.cli.options import Common, NoInfer, parsed_thresholds, with_common_options
from ckpt_inspect.cli.writing import write_figures

if TYPE_CHECKING:
    from ckpt_inspect.presentation.results import Analyses, RunResult


@with_common_options()
def analyze(
    common: Common,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Checkpoints, folders of them, or glob patterns; of one run or several."
        ),
    ],
    output: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "-o", "--output", metavar="STORE", help="Store of the one run, instead of <folder>.ckpt-inspect.h5."
        ),
    ] = None,
    report: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--report", metavar="DIR", help="Also write the page and its figures into this folder."),
    ] = None,
    elements: Annotated[
        bool, typer.Option("--elements", help="Also keep every element's effective learning rate in the store.")
    ] = False,
    no_infer: NoInfer = False,
    threshold: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--threshold",
            metavar="NAME=VALUE",
            autocompletion=completions.thresholds,
            help="Set a limit that decides what is found; `explain FINDING` names them. Repeatable.",
        ),
    ] = None,
    fail_on: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--fail-on",
            metavar="SEVERITY|FINDING",
            autocompletion=completions.severities,
            help="Exit with 1 if there is a finding of this severity or a higher one (info, warning or critical), or "
            "of this id.",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Keep running and analyse each new checkpoint of a training; Ctrl-C ends it."),
    ] = False,
    every: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--every",
            metavar="SECONDS",
            help="With --follow: time between two looks; by default 5, for an object store 30.",
        ),
    ] = None,
    until: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--until", metavar="STEP", help="With --follow: end, with exit status 0, after this step."),
    ] = None,
    idle: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--idle", metavar="SECONDS", help="With --follow: end, with exit status 0, if nothing changes for so long."
        ),
    ] = None,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--workers", metavar="N", min=1, help="Share the work among N processes."),
    ] = None,
    cluster: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--cluster", metavar="ADDRESS", help="Share the work among a Dask scheduler's workers: tcp://10.0.0.5:8786."
        ),
    ] = None,
) -> None:
    """Analyse every checkpoint of a run in training order, and keep the results in an HDF5 store.

    Checkpoints that the store already holds are not read again. Prints the parameters of the newest checkpoint, how
    they changed during training, and what deserves attention; on stderr, what is odd. A checkpoint that can't be read
    is reported and left out: the others are analysed, the store is kept, and the exit status is 1. One that is deleted,
    replaced or still being written meanwhile is only reported, as are weights without an optimizer beside the
    checkpoints of a run; the next analysis reads it again.
    """
    limits = parsed_thresholds(threshold or ())
    _check_fail_on(fail_on)
    if workers is not None and cluster is not None:
        raise typer.BadParameter("--workers and --cluster are two ways to do the work: give one")
    if elements and (workers or cluster):
        raise typer.BadParameter("--elements are written as they are read, in one process: leave out the workers")
    if follow:
        if elements:
            raise typer.BadParameter("--elements are not kept of a training that goes on; analyze keeps them later")
        _follow(
            common, paths, store=output, report=report, infer=not no_infer, thresholds=limits, fail_on=fail_on,
            every=every, until=until, idle=idle, workers=workers, cluster=cluster,
        )  # fmt: skip
        return
    if any(value is not None for value in (every, until, idle)):
        raise typer.BadParameter("--every, --until and --idle are for a training that goes on: give --follow as well")
    with common.answering(trouble=1):
        from ckpt_inspect.api import analyze_runs
        from ckpt_inspect.cli.terminal import progress_bars, telling_downloads
        from ckpt_inspect.errors import SeveralRunsError

        if report is not None:
            from ckpt_inspect.presentation.report import check_folder

            check_folder(report)
        with progress_bars("analysing", is_quiet=common.quiet) as progress:
            try:
                results = analyze_runs(
                    paths,
                    store=output,
                    folder=".",
                    given=common.given,
                    include=common.include,
                    exclude=common.exclude,
                    elements=elements,
                    infer=not no_infer,
                    thresholds=limits,
                    workers=workers,
                    cluster=cluster,
                    progress=telling_downloads(progress, paths, is_quiet=common.quiet),
                )
            except SeveralRunsError as error:
                raise typer.BadParameter(f"{error}; leave it out", param_hint="-o") from error
            done, unanswered = [], 0
            for result in results:
                done.append((_print_run(result, common), str(result.store)))
                unanswered += result.analyses is None and not result.is_without_state
        each = [analyses for analyses, _ in done if analyses is not None]
        odd = [
            r.problem
            for analyses in each
            for r in analyses.remarks
            if not r.is_failure or r.problem.severity != "error"
        ]
        remark_on(odd, quiet=common.quiet, verbose=common.verbose)
        if report is not None and each:
            write_figures(each, report, common)
        if common.json:
            from ckpt_inspect.presentation.documents import run_document

            print_json({"runs": [run_document(analyses, store) for analyses, store in done if analyses is not None]})
        has_failed = [_fails(analyses, fail_on) for analyses in each]
        if (
            unanswered
            or not each
            or any(has_failed)
            or any(f.problem.severity == "error" for analyses in each for f in analyses.failures)
        ):
            raise typer.Exit(1)


def _follow(common: Common, paths: Sequence[str], **options: Any) -> None:
    """Print what comes; exit with 1 if a finding ends it."""
    with common.answering(trouble=1, as_json=False):  # stdout holds a document a line
        from ckpt_inspect.api import follow
        from ckpt_inspect.cli.following import show_following
        from ckpt_inspect.errors import RequestError

        try:
            events = follow(paths, given=common.given, include=common.include, exclude=common.exclude, **options)
        except RequestError as error:
            raise typer.BadParameter(str(error)) from error
        if show_following(events, paths, common):
            raise typer.Exit(1)


def _print_run(result: RunResult, common: Common) -> Analyses | None:
    """Print what is known of a run, or why nothing is."""
    from ckpt_inspect.cli.terminal import print_tables, remark
    from ckpt_inspect.presentation.tables.findings import finding_tables
    from ckpt_inspect.presentation.tables.run import run_tables

    if result.analyses is None:
        remark(f"ckpt-inspect: {result.error}")
        return None
    if not common.json:
        print_tables(run_tables(result.analyses, str(result.store)))
        print_tables(finding_tables(result.analyses.findings, with_info=common.verbose))
    for failure in result.analyses.failures:
        if failure.problem.severity == "error":
            remark(f"ckpt-inspect: {failure.problem.message}")
    return result.analyses


def _check_fail_on(word: str | None) -> None:
    if word is None:
        return
    from ckpt_inspect.errors import RequestError
    from ckpt_inspect.presentation.arguments import failing_if_any

    try:
        failing_if_any(word)
    except RequestError as error:
        raise typer.BadParameter(str(error).removeprefix("fail_on: "), param_hint="--fail-on") from error


def _fails(analyses: Analyses, fail_on: str | None) -> bool:
    """Return whether a run has findings as severe as `--fail-on` says, or of that id, and report them."""
    if fail_on is None:
        return False
    from ckpt_inspect.cli.terminal import remark
    from ckpt_inspect.findings import SEVERITIES
    from ckpt_inspect.runs.following import failing_ids

    ids = failing_ids(analyses.findings, fail_on)
    if ids and fail_on in SEVERITIES:
        severities = " or ".join(SEVERITIES[SEVERITIES.index(fail_on) :])
        remark(f"ckpt-inspect: {analyses.run}: has findings of severity {severities}: {', '.join(ids)}")
    elif ids:
        remark(f"ckpt-inspect: {analyses.run}: has the finding {fail_on}")
    return bool(ids)
