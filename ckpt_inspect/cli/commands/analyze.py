"""`ckpt-inspect analyze`, and `--follow`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Optional

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.asked import Common
from ckpt_inspect.cli.options import NoInfer, parsed_thresholds, with_common_options


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
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Share the work among N processes; by default up to 4, if 500 checkpoints or more are to be read.",
        ),
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
        from ckpt_inspect.cli.analysing import print_analyses
        from ckpt_inspect.errors import SeveralRunsError

        try:
            code = print_analyses(
                paths, common, output=output, report=report, elements=elements, infer=not no_infer, thresholds=limits,
                fail_on=fail_on, workers=workers, cluster=cluster,
            )  # fmt: skip
        except SeveralRunsError as error:
            raise typer.BadParameter(f"{error}; leave it out", param_hint="-o") from error
        if code:
            raise typer.Exit(code)


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


def _check_fail_on(word: str | None) -> None:
    if word is None:
        return
    from ckpt_inspect.errors import RequestError
    from ckpt_inspect.presentation.arguments import failing_if_any

    try:
        failing_if_any(word)
    except RequestError as error:
        raise typer.BadParameter(str(error).removeprefix("fail_on: "), param_hint="--fail-on") from error
