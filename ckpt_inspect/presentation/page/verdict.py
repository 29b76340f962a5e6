"""The page's first section: the answer, in words, before any detail; then what people ask of a run, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_inspect.findings.finding import Finding
from ckpt_inspect.presentation.answers import Answer, Asked, answers
from ckpt_inspect.presentation.optimizer_series import OptimizerSeries
from ckpt_inspect.presentation.page.anchors import Anchors, Link
from ckpt_inspect.presentation.page.contents import Contents, PageRun
from ckpt_inspect.presentation.verdict import Verdict, since, verdict_of
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The verdict on a run: healthy, or what to look at first; and the answers to what people ask."""

    run: str
    verdict: Verdict
    first: tuple[tuple[Finding, str, str], ...]
    """What to look at, where it stands in the page, and since when it is so (may be empty)."""
    answers: tuple[tuple[Answer, Link | None], ...]
    """Each with the figure that shows it; empty if there are no figures."""


def run_verdict(contents: Contents, run: PageRun, series: Sequence[OptimizerSeries], anchors: Anchors) -> RunVerdict:
    """Return what a person who has a minute should know of a run of these `series`."""
    verdict = verdict_of(run.findings, len(run.checkpoints), _unread(run))
    place = {id(finding): number for number, finding in enumerate(run.findings)}
    first = tuple((f, anchors.findings[run.name, place[id(f)]], since(f)) for f in verdict.first)
    names = tuple(map(str, run.checkpoints.get("checkpoint", ())))
    told = answers(Asked(names, tuple(series), run.findings, run.segments))
    figures = list(zip(contents.figures, anchors.figures, strict=True))
    links = (
        next((Link(f.question, anchor) for f, anchor in figures if set(f.metrics) & set(answer.metrics)), None)
        for answer in told
    )
    return RunVerdict(run.name, verdict, first, tuple(zip(told, links, strict=True)))


def _unread(run: PageRun) -> int:
    """How many checkpoints of the run are reported as errors."""
    table = run.problems
    if "severity" not in table or "checkpoint" not in table:
        return 0
    failed = set(table.loc[table["severity"] == "error", "checkpoint"].astype(str)) - {""}
    return len(failed - set(map(str, run.checkpoints.get("checkpoint", ()))))
