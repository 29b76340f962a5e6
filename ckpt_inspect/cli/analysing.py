"""Analyse runs and print what is known of each: what `analyze` does once its words have been parsed. Needs no Typer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.cli.answering import error_document, print_json, remark_on
from ckpt_inspect.cli.asked import Common

if TYPE_CHECKING:
    from ckpt_inspect.presentation.results import Analyses, RunResult


def print_analyses(
    paths: Sequence[str],
    common: Common,
    *,
    output: str | None = None,
    report: str | None = None,
    elements: bool = False,
    infer: bool = True,
    thresholds: Mapping[str, float] | None = None,
    fail_on: str | None = None,
    workers: int | None = None,
    cluster: str | None = None,
) -> int:
    """Analyse the runs, print what came out, and return the exit code.

    Raises SeveralRunsError, before anything is read, for an `output` of several runs.
    """
    from ckpt_inspect.api import analyze_runs
    from ckpt_inspect.cli.terminal import progress_bars, telling_downloads

    if report is not None:
        from ckpt_inspect.presentation.report import check_folder

        check_folder(report)
    with progress_bars("analysing", is_quiet=common.quiet) as progress:
        results = analyze_runs(
            paths,
            store=output,
            folder=".",
            given=common.given,
            include=common.include,
            exclude=common.exclude,
            elements=elements,
            infer=infer,
            thresholds=thresholds,
            workers=workers or (None if cluster else "auto"),
            cluster=cluster,
            progress=telling_downloads(progress, paths, is_quiet=common.quiet),
        )
        done, unanswered = [], 0
        for result in results:
            _print_run(result, common)
            done.append(result)
            unanswered += result.analyses is None and not result.is_without_state
    each = [result.analyses for result in done if result.analyses is not None]
    odd = [
        r.problem for analyses in each for r in analyses.remarks if not r.is_failure or r.problem.severity != "error"
    ]
    remark_on(odd, quiet=common.quiet, verbose=common.verbose)
    if report is not None and each:
        from ckpt_inspect.cli.writing import write_figures

        write_figures(each, report, common)
    if common.json:
        print_json(_document(done))
    has_failed = [_fails(analyses, fail_on) for analyses in each]
    are_damaged = any(f.problem.severity == "error" for analyses in each for f in analyses.failures)
    return int(bool(unanswered) or not each or any(has_failed) or are_damaged)


def _print_run(result: RunResult, common: Common) -> None:
    """Print what is known of a run, or why nothing is."""
    from ckpt_inspect.cli.terminal import print_tables, remark
    from ckpt_inspect.presentation.tables.findings import finding_tables
    from ckpt_inspect.presentation.tables.run import run_tables

    if result.analyses is None:
        remark(f"ckpt-inspect: {result.error}")
        return
    if not common.json:
        print_tables(run_tables(result.analyses, str(result.store)))
        print_tables(finding_tables(result.analyses.findings, with_info=common.verbose))
    for failure in result.analyses.failures:
        if failure.problem.severity == "error":
            remark(f"ckpt-inspect: {failure.problem.message}")


def _document(results: Sequence[RunResult]) -> Mapping[str, object]:
    """Return what is known of the runs that were analysed, and why others could not be."""
    from ckpt_inspect.presentation.documents import run_document

    document: dict[str, object] = {
        "runs": [run_document(each.analyses, str(each.store)) for each in results if each.analyses is not None]
    }
    errors = [
        {
            "run": each.run.name,
            **error_document(str(each.error), int(not each.is_without_state), type(each.error).__name__),
        }
        for each in results
        if each.analyses is None
    ]
    return {**document, "errors": errors} if errors else document


def _fails(analyses: Analyses, fail_on: str | None) -> bool:
    """Return whether a run has findings as severe as `--fail-on` says, or of that id, and report them."""
    if fail_on is None:
        return False
    from ckpt_inspect.cli.terminal import remark
    from ckpt_inspect.findings.finding import SEVERITIES
    from ckpt_inspect.runs.following import failing_ids

    ids = failing_ids(analyses.findings, fail_on)
    if ids and fail_on in SEVERITIES:
        severities = " or ".join(SEVERITIES[SEVERITIES.index(fail_on) :])
        remark(f"ckpt-inspect: {analyses.run}: has findings of severity {severities}: {', '.join(ids)}")
    elif ids:
        remark(f"ckpt-inspect: {analyses.run}: has the finding {fail_on}")
    return bool(ids)
