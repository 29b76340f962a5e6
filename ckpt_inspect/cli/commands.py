"""The command line: parse, call, print, exit code. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.answering import answering, print_overviews
from ckpt_inspect.cli.answering import print_json as _print_json
from ckpt_inspect.cli.answering import remark_on as _remark_on
from ckpt_inspect.cli.coercion import Group, LateCommands
from ckpt_inspect.cli.options import (
    OF_STORES,
    SELECTION,
    Common,
    Run,
    check_choice,
    parsed_thresholds,
    with_common_options,
)

if TYPE_CHECKING:
    from ckpt_inspect.presentation.report import Report
    from ckpt_inspect.presentation.results import Analyses, Diff, RunResult


_COMMANDS: dict[str, Callable[[], Run]] = {}
"""Each command's function by name, in the order of the help; with its options once it is called."""


def _command(*, has_common: bool = True, **options: Collection[str]) -> Callable[[Run], Run]:
    """Return a decorator of a command that has the common options, but for what `with_common_options` is told."""

    def registered(command: Run) -> Run:
        _COMMANDS[command.__name__] = lambda: with_common_options(command, **options) if has_common else command
        return command

    return registered


class _Group(Group):
    """Prints the hand-written first page, which `__main__` prints as well without coming here."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LateCommands(_COMMANDS)  # type: ignore[assignment]  # nothing is put into it

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from ckpt_inspect.cli.usage import HELP

        formatter.write(HELP)


NoInfer = Annotated[
    bool,
    typer.Option(
        "--no-infer", help="Use defaults where the files don't say, not what several checkpoints show together."
    ),
]

app = typer.Typer(
    cls=_Group, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _print_version(wanted: bool) -> None:
    if wanted:
        from ckpt_inspect._version import __version__

        typer.echo(f"ckpt-inspect {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option("-V", "--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Effective learning rates, reconstructed from TensorFlow and Keras checkpoints."""


@_command()
def show(
    common: Common,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Checkpoints, or folders; of a folder the newest checkpoint is shown."),
    ],
    others: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--with",
            metavar="OTHER",
            help="Another checkpoint of the same run, to infer what neither file holds. Repeatable.",
        ),
    ] = None,
    tensors: Annotated[
        bool,
        typer.Option(
            "--tensors",
            help="List every tensor with its minimum, maximum, mean, deviation, zeros and elements that aren't finite.",
        ),
    ] = False,
) -> None:
    """Show what a checkpoint is: format, layout, optimizers, every hyperparameter and where it was read, sizes.

    Reads metadata and scalars only, so it is quick at any size; with --with, some elements as well, and with --tensors
    all. Whatever can be opened can be shown: a checkpoint without Adam's state is described as what it is.
    """
    code = print_overviews(
        paths,
        given=common.given,
        include=common.include,
        exclude=common.exclude,
        others=others or (),
        with_tensors=tensors,
        as_json=common.json,
        quiet=common.quiet,
        verbose=common.verbose,
    )
    raise typer.Exit(code)


@_command()
def diff(
    common: Common,
    a: Annotated[str, typer.Argument(metavar="A", help="The first checkpoint, or a folder: its newest.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The second one, usually the later of the two.")],
    output: Annotated[
        Optional[str], typer.Option("-o", "--output", metavar="FILE.png", help="Also draw the diff into this file.")  # noqa: UP045
    ] = None,
    no_infer: NoInfer = False,
) -> None:
    """Compare two checkpoints, paired by optimizer and parameter name; what changed most comes first.

    For each parameter: the relative change of the weights and their cosine, the ratio of the median effective learning
    rates, the relative change of both moments. Exit status: 0 the same, 1 different, 2 trouble.
    """
    if output is not None:
        _check_figure_name(output)
    with _answering(trouble=2, verbose=common.verbose, as_json=common.json):
        from ckpt_inspect.api import diff as compare
        from ckpt_inspect.cli.terminal import print_tables, progress_bar
        from ckpt_inspect.presentation.tables.changes import diff_tables

        with progress_bar("comparing", is_quiet=common.quiet) as progress:
            result = compare(
                a,
                b,
                given=common.given,
                include=common.include,
                exclude=common.exclude,
                infer=not no_infer,
                progress=progress,
            )
        if not common.json:
            print_tables(diff_tables(result, all_rows=common.verbose))
        if output is not None:
            _draw_diff(result, output, common)
        if common.json:
            from ckpt_inspect.presentation.documents import diff_document

            _print_json(diff_document(result))
        _remark_on(result.problems, quiet=common.quiet, verbose=common.verbose)
        raise typer.Exit(0 if result.is_same else 1)


@_command(without=SELECTION)
def check(
    common: Common,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Checkpoints, which count as one run, or folders and patterns of them."),
    ],
    reader: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--reader",
            metavar="NAME",
            autocompletion=completions.readers,
            help="Read every tensor again with tensorflow, which must be installed, and compare the bits.",
        ),
    ] = None,
) -> None:
    """Check whether checkpoints are whole and complete, and whether each continues the one before.

    Whole: every byte is read, checksums agree, no part is missing, every number is finite. Complete: what a resume
    needs is there. Continues: its state grew out of the one before in the run, rather than being lost or reset.
    Exit status: 0 all are sound, 1 some are not, 2 trouble.
    """
    with _answering(trouble=2, verbose=common.verbose, as_json=common.json):
        from ckpt_inspect.api import check as check_soundness
        from ckpt_inspect.cli.terminal import print_tables, progress_bar
        from ckpt_inspect.presentation.tables.soundness import soundness_tables

        with progress_bar("checking", is_quiet=common.quiet) as progress:
            result = check_soundness(paths, given=common.given, reader=reader, progress=progress)
        if common.json:
            _print_json(result.to_json())
        else:
            print_tables(soundness_tables(result, with_info=common.verbose))
        raise typer.Exit(0 if result.is_sound else 1)


@_command()
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
    with _answering(trouble=1, verbose=common.verbose, as_json=common.json):
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
        _remark_on(odd, quiet=common.quiet, verbose=common.verbose)
        if report is not None and each:
            _write_report(each, report, common)
        if common.json:
            from ckpt_inspect.presentation.documents import run_document

            _print_json({"runs": [run_document(analyses, store) for analyses, store in done if analyses is not None]})
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
    with _answering(trouble=1, verbose=common.verbose, as_json=False):  # stdout holds a document a line
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


@_command(has_common=False)
def explain(
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="[NAME]",
            autocompletion=completions.explained,
            help="A topic, figure or finding. Without a name, all of them are listed.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Explain a figure, a finding or a table's heading (definition, formula, how to read it, thresholds, source), or
    print the page on a topic.

    In a pipe a page is Markdown. Without a name, all topics, figures and findings are listed.
    """
    with _answering(trouble=1, verbose=False, as_json=json):
        from ckpt_inspect.cli.terminal import print_page, print_tables
        from ckpt_inspect.findings.explanations import NOTATION
        from ckpt_inspect.findings.explanations import explain as explanations_of
        from ckpt_inspect.presentation.guide import TOPICS, find_topic
        from ckpt_inspect.presentation.tables.explained import explanation_tables, index_tables
        from ckpt_inspect.presentation.tables.headings import explained_headings
        from ckpt_inspect.soundness.explanations import EXPLANATIONS

        topic = None if name is None else find_topic(name)
        topics = TOPICS if name is None else (topic,) if topic else ()
        found = every = tuple(EXPLANATIONS.values())
        if name is not None:
            found = () if topic else explained_headings(name)
            if not topic and not found:
                found = explanations_of(name, others=[t.name for t in TOPICS], among=every)
        if json:
            pages = [asdict(t) | {"text": t.text()} for t in topics]
            _print_json({"notation": NOTATION, "topics": pages, "explanations": [asdict(e) for e in found]})
        elif topic:
            print_page(topic.text())
        elif name is None:
            print_tables(index_tables(topics, found))
        else:
            print_tables(explanation_tables(found))
            print_page(f"{NOTATION}\n")


@_command(only=OF_STORES)
def report(
    common: Common,
    stores: Annotated[
        list[str],
        typer.Argument(metavar="STORE...", help="Stores that analyze wrote; several runs are drawn over each other."),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Folder for the page and its figures.")
    ] = "report",
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=completions.file_formats,
            help="File format of the figures: png, svg or pdf.",
        ),
    ] = "png",
    figures: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--figures",
            metavar="NAME,..",
            help="Figures to draw, by name, or all; by default the few that a person acts on.",
        ),
    ] = None,
) -> None:
    """Write a page with findings, figures and all parameters of one or several runs, and the figures as files.

    The page, index.html, opens in any browser and needs no network; the checkpoints are not needed any more.

    --learning-rate draws them as they would be at that rate; other hyperparameters can be given to analyze only.
    """
    _check_file_format(file_format)
    with _answering(trouble=1, verbose=common.verbose, as_json=common.json):
        from ckpt_inspect.cli.terminal import print_line

        chosen = None if figures is None else figures.split(",")
        written = _write_report(stores, output, common, file_format, chosen)
        if common.json:
            _print_json(
                {
                    "page": str(written.page),
                    "figures": [{"id": f.id, "optimizer": f.optimizer, "file": str(f.file)} for f in written.figures],
                }
            )
        else:
            print_line(f"{written.page}: findings, figures and all parameters on one page")
            for figure in written.figures:
                print_line(f"{figure.file}: {figure.question}")


@_command(only=OF_STORES)
def export(
    common: Common,
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Stores that analyze wrote.")],
    target: Annotated[
        str,
        typer.Option("--to", metavar="TARGET", autocompletion=completions.targets, help="csv, parquet or tensorboard."),
    ],
    output: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, or TensorBoard's log folder; by default parameters.csv, parameters.parquet or tensorboard.",
        ),
    ] = None,
    frame: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--frame",
            metavar="KIND",
            autocompletion=completions.frames,
            help="Kind of table: parameters (a row per checkpoint and parameter; the default), histogram, sample, "
            "checkpoints, problems or findings.",
        ),
    ] = None,
    figures: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--figures",
            metavar="NAME,..",
            autocompletion=completions.charts,
            help="For TensorBoard: figures by name, or all; by default learning_rate, effective_lr_median, "
            "effective_lr_log10 and update_to_weight.",
        ),
    ] = None,
    steps_per_epoch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--steps-per-epoch",
            metavar="N",
            min=1,
            help="For TensorBoard: count epochs of N steps on the horizontal axis, as Keras' callback does.",
        ),
    ] = None,
) -> None:
    """Write one or several runs as a table (csv, parquet), or as TensorBoard's scalars, histograms and findings.

    TensorBoard shows them beside a training's own curves if PATH is its log folder: each optimizer of a run becomes a
    separate run. The horizontal axis is the optimizer's steps; Keras' callback logs epochs, for which there is
    --steps-per-epoch.
    """
    with _answering(trouble=1, verbose=common.verbose, as_json=common.json):
        from ckpt_inspect.api import export as export_runs
        from ckpt_inspect.cli.terminal import print_line

        written = export_runs(
            stores,
            target,
            output,
            frame=frame,
            figures=None if figures is None else figures.split(","),
            steps_per_epoch=steps_per_epoch,
            learning_rate=common.learning_rate,
            include=common.include,
            exclude=common.exclude,
        )
        files = [str(file) for file in written.files]
        if common.json:
            _print_json({"files": files})
        else:
            for file in files:
                print_line(file)
        _remark_on(written.problems, quiet=common.quiet, verbose=True)


def _check_file_format(name: str) -> None:
    from ckpt_inspect.presentation.report import FILE_FORMATS

    check_choice(name, FILE_FORMATS, "--format")


def _write_report(
    runs: Sequence[Analyses | str],
    folder: str,
    common: Common,
    file_format: str = "png",
    figures: Sequence[str] | None = None,
) -> Report:
    from ckpt_inspect.api import write_report
    from ckpt_inspect.cli.terminal import progress_bar, remark

    # analyze computed with the rate that was given; stores are drawn for it
    rate = common.learning_rate if all(isinstance(run, str) for run in runs) else None
    with progress_bar("drawing", is_quiet=common.quiet) as progress:
        written = write_report(
            runs,
            folder,
            learning_rate=rate,
            include=common.include,
            exclude=common.exclude,
            file_format=file_format,
            figures=figures,
            progress=progress,
        )
    if not common.quiet:
        for omission in written.omitted:
            remark(f"info: {omission.optimizer}: no figure {omission.id}: {omission.reason}")
        remark(f"drew {len(written.figures)} figures into {folder}; {written.page} shows them all in a browser")
    _remark_on(written.problems, quiet=common.quiet, verbose=common.verbose)
    return written


def main() -> None:
    """Run the command line and exit."""
    if any(word.endswith("-completion") for word in sys.argv[1:2]):
        completions.answer_first_tab_of_zsh()
    app(prog_name="ckpt-inspect")


@contextmanager
def _answering(*, trouble: int, verbose: bool, as_json: bool) -> Iterator[None]:
    passing = (typer.Exit, typer.Abort, typer.BadParameter)
    with answering(trouble=trouble, verbose=verbose, as_json=as_json, passing=passing):
        yield


def _check_figure_name(name: str) -> None:
    from ckpt_inspect.errors import RequestError
    from ckpt_inspect.presentation.diff_figures import format_of

    try:
        format_of(Path(name))
    except RequestError as error:
        raise typer.BadParameter(str(error), param_hint="-o") from error


def _draw_diff(result: Diff, output: str, common: Common) -> None:
    from ckpt_inspect.api import draw_diff
    from ckpt_inspect.cli.terminal import remark

    files = draw_diff(result, output, given=common.given, include=common.include, exclude=common.exclude)
    if not common.quiet:
        remark(f"drawn into {', '.join(map(str, files))}")
