"""What deserves attention, as cards: the finding, its evidence, what to do, and where to see it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ckpt_inspect.findings import Evidence, Finding, Severity
from ckpt_inspect.measurement.wording import counted, percent
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.contents import Contents, PageRun
from ckpt_inspect.presentation.page.markup import Html, element
from ckpt_inspect.presentation.tables.wording import figure

_SHARES = ("untouched", "untouched_rows", "epsilon_dominated", "lost_in_rounding", "starved")
_OPEN_ROWS = 3
"""Rows of evidence that are shown without being asked for."""
_MARKS = {"critical": "✖", "warning": "▲", "info": "●"}


def finding_cards(contents: Contents, anchors: Anchors) -> Html:
    """Return all findings, the most severe of any run first."""
    found = [
        (run, place, finding) for run in contents.runs for place, finding in enumerate(run.findings)
    ]  # fmt: skip
    found.sort(key=lambda each: -each[2].severity)
    if not found:
        body: Html = element("p", "Nothing that deserves attention was found.", class_="card quiet")
    else:
        several = len(contents.runs) > 1
        cards = [_card(contents, run, place, finding, anchors, several) for run, place, finding in found]
        serious = sum(finding.severity > Severity.INFO for _, _, finding in found)
        body = element("div", _counts([f for _, _, f in found]), cards[:serious], _remarks(cards[serious:]))
    return element(
        "section", element("h2", "Findings", id="findings-heading"), body,
        id="findings", aria_labelledby="findings-heading",
    )  # fmt: skip


def _remarks(cards: Sequence[Html]) -> Html | None:
    """What is only worth knowing, folded."""
    if not cards:
        return None
    return element("details", element("summary", f"{counted(len(cards), 'remark')}, worth knowing"), cards)


def _counts(found: Sequence[Finding]) -> Html:
    words = [finding.severity.word for finding in found]
    told = [
        element("li", _severity(word), " ", str(words.count(word)))
        for word in dict.fromkeys(words)
    ]  # fmt: skip
    return element("ul", told, class_="counts", aria_label="Findings by severity")


def _severity(word: str) -> Html:
    mark = element("span", _MARKS.get(word, "●"), aria_hidden="true")
    return element("span", mark, " ", word, class_=f"badge severity-{word}")


def _card(contents: Contents, run: PageRun, place: int, finding: Finding, anchors: Anchors, several_runs: bool) -> Html:
    anchor = anchors.findings[run.name, place]
    links = anchors.figures_of(contents.figures, finding.optimizer, finding.kind.metrics)
    where = [("run", run.name)] if several_runs else []
    where += [("optimizer", finding.optimizer), ("when", _when(finding))]
    has_rows = any((run.name, finding.optimizer, parameter) in anchors.rows for parameter in finding.parameters)
    in_table = element("a", "These parameters in the table", href="#parameters", data_finding=anchor)
    see = [*links, *([in_table] if has_rows else [])]
    return element(
        "article",
        element("h3", _severity(finding.severity.word), " ", finding.title),
        element("p", [element("span", f"{name}: ", element("b", value)) for name, value in where if value],
                class_="meta"),
        element("p", element("b", "Why it matters. "), finding.why),
        element("p", element("b", "What to do. "), _sentence(finding.action)),
        _evidence(run, finding, anchors),
        element("p", element("b", "See "), _listed(see), class_="links") if see else None,
        _details(finding),
        class_=f"card finding severity-{finding.severity.word}",
        id=anchor,
        aria_labelledby=None,
    )  # fmt: skip


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def _listed(links: Sequence[Html]) -> list[Html | str]:
    pieces: list[Html | str] = []
    for link in links:
        pieces += [" · ", link] if pieces else [link]
    return pieces


def _when(finding: Finding) -> str:
    """At which checkpoints, briefly."""
    names, steps = finding.checkpoints, [step for step in finding.steps if step is not None]
    if not names:
        return ""
    if len(names) == 1:
        return f"{names[0]}, step {steps[0]:,}" if steps else names[0]
    between = f", steps {steps[0]:,} to {steps[-1]:,}" if len(steps) == len(names) else f", {names[0]} to {names[-1]}"
    return counted(len(names), "checkpoint") + between


def _evidence(run: PageRun, finding: Finding, anchors: Anchors) -> Html | None:
    if not finding.evidence:
        return None
    names = list(dict.fromkeys(name for e in finding.evidence for name in e.figures))
    has_parameter = any(e.parameter for e in finding.evidence)
    if not has_parameter and len(finding.evidence) == 1:
        e = finding.evidence[0]
        facts = [
            element("div", element("dt", anchors.definition(name)), element("dd", _figure(name, e))) for name in names
        ]
        return element("dl", facts, class_="facts")
    several = len({e.checkpoint for e in finding.evidence}) > 1
    heads: list[Html] = [element("th", "parameter", scope="col")] if has_parameter else []
    heads += [element("th", "checkpoint", scope="col")] if several else []
    heads += [element("th", anchors.definition(name), scope="col", class_="number") for name in names]
    rows = []
    for e in finding.evidence:
        cells = [element("th", _tensor(run, finding, e, anchors), scope="row")] if has_parameter else []
        cells += [element("td", _checkpoint(e))] if several else []
        cells += [element("td", _figure(name, e), class_="number") for name in names]
        rows.append(element("tr", cells))
    title = f"Evidence: {finding.title}"
    head = element("thead", element("tr", heads))
    table = element("table", element("caption", title, class_="visually-hidden"), head, element("tbody", rows))
    body = element("div", table, class_="scroll", tabindex=0, role="region", aria_label=title)
    concerned = len(dict.fromkeys(finding.parameters))
    more = concerned - len({e.parameter for e in finding.evidence if e.parameter})
    note = element("p", f"and {counted(more, 'more parameter')}", class_="note") if more > 0 and has_parameter else None
    if len(rows) <= _OPEN_ROWS:
        return element("div", body, note)
    count = f"{len(rows)} of {concerned} parameters" if more > 0 and has_parameter else counted(len(rows), "row")
    return element("details", element("summary", f"Evidence: {count}"), body, note)


def _tensor(run: PageRun, finding: Finding, evidence: Evidence, anchors: Anchors) -> Html:
    if not evidence.parameter:
        return element("span", "the optimizer" if finding.optimizer else "the checkpoint")
    return anchors.parameter(run.name, finding.optimizer, evidence.parameter)


def _checkpoint(evidence: Evidence) -> str:
    return evidence.checkpoint if evidence.step is None else f"{evidence.checkpoint} (step {evidence.step:,})"


def _figure(name: str, evidence: Evidence) -> str:
    value = evidence.figures.get(name, math.nan)
    if isinstance(value, str):
        return value
    return percent(value) if name in _SHARES else figure(float(value))


def _details(finding: Finding) -> Html:
    """When this is found, and where that comes from."""
    limits = [
        element("li", element("code", f"{limit.name} = {limit.value:g}"), f" ({limit.source})")
        for limit in finding.limits
    ]
    return element(
        "details",
        element("summary", "When this is found"),
        element("p", finding.kind.condition),
        element("ul", limits) if limits else None,
        element("p", f"Source: {finding.kind.source}. Id: ", element("code", finding.id), class_="note"),
    )
