"""The page's first section: the answer, in words, before any detail."""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.presentation.optimizer_series import OptimizerSeries, floats
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.contents import Contents, PageRun
from ckpt_inspect.presentation.page.markup import Html, element
from ckpt_inspect.presentation.page.overview import number
from ckpt_inspect.presentation.verdict import Value, since, trust, verdict_of
from ckpt_inspect.state.hyperparameters import hyperparameters_in

_MARKS = {"healthy": "✔", "look": "▲", "trouble": "✖"}


def verdict_section(contents: Contents, series: Sequence[OptimizerSeries], anchors: Anchors) -> Html:
    """Return the verdict on each run: healthy, or what to look at first; and what the numbers rest on."""
    several = len(contents.runs) > 1
    return element(
        "section",
        element("h2", "Verdict", id="verdict-heading"),
        [_verdict(run, [s for s in series if s.run == run.name], anchors, several) for run in contents.runs],
        id="verdict",
        aria_labelledby="verdict-heading",
    )


def _verdict(run: PageRun, series: Sequence[OptimizerSeries], anchors: Anchors, several: bool) -> Html:
    verdict = verdict_of(run.findings, len(run.checkpoints), _unread(run))
    place = {id(finding): number for number, finding in enumerate(run.findings)}
    things = [
        element(
            "li",
            element("a", finding.kind.title, href=f"#{anchors.findings[run.name, place[id(finding)]]}"),
            f", {when}: " if (when := since(finding)) else ": ",
            finding.title,
            ". ",
            element("b", "What to do: "),
            finding.action.rstrip("."),
            ".",
        )
        for finding in verdict.first
    ]
    return element(
        "div",
        element("h3", run.name) if several else None,
        element(
            "p", element("span", _MARKS[verdict.state], aria_hidden="true"), " ", verdict.sentence, class_="verdict"
        ),
        element("ol", things) if things else None,
        element("p", "There is more below: ", verdict.more, ".", class_="note") if verdict.more else None,
        _trust(series),
        class_=f"card verdict-{verdict.state}",
    )


def _unread(run: PageRun) -> int:
    """How many checkpoints of the run are reported as errors."""
    table = run.problems
    if "severity" not in table or "checkpoint" not in table:
        return 0
    return len({str(name) for name, severity in zip(table["checkpoint"], table["severity"], strict=True)
                if severity == "error" and name} - set(map(str, run.checkpoints.get("checkpoint", ()))))  # fmt: skip


def _trust(series: Sequence[OptimizerSeries]) -> Html | None:
    sentences = list(trust({s.optimizer: _values(s) for s in series}))
    if not sentences:
        return None
    link = element("a", "Hyperparameters and their sources", href="#hyperparameters")
    return element(
        "p", element("b", "What the numbers rest on. "), " ".join(text[:1].upper() + text[1:] for text in sentences),
        " ", link, class_="trust",
    )  # fmt: skip


def _values(s: OptimizerSeries) -> dict[str, Value]:
    found = {}
    for name in hyperparameters_in({str(column): s.heads[column].to_numpy() for column in s.heads}):
        sources = s.distinct(f"{name}_source")
        is_without = sources == ["default"] and not floats(s.heads[name]).any()  # a rule has none: nothing is assumed
        if sources and not is_without:
            value = number(float(floats(s.heads[name])[-1]))
            found[name] = (value, sources[-1], any(s.distinct(f"{name}{CONTRADICTION}")))
    return found
