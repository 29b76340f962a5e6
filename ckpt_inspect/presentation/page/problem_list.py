"""What was odd, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_inspect.measurement.wording import counted, spoken_name
from ckpt_inspect.presentation.page.contents import Contents
from ckpt_inspect.presentation.page.markup import Html, element
from ckpt_inspect.presentation.tables.wording import SEVERITY_ORDER

_MOST_NAMED = 3

Problems = dict[tuple[str, str, str], list[str]]
"""(severity, message, resolution) -> where it was."""


def problem_list(contents: Contents) -> Html:
    """Return each problem once, the most severe first, with the checkpoints that have it."""
    found: Problems = {}
    for key, place in _problems(contents):
        found.setdefault(key, []).append(place)
    ranked = sorted(found.items(), key=lambda each: _rank(each[0][0]))
    items = [_item(*key, places) for key, places in ranked]
    body = element("ul", items, class_="problems") if items else element("p", "Nothing was odd.", class_="note")
    heading = element("h2", "Problems", id="problems-heading")
    return element("section", heading, body, id="problems", aria_labelledby="problems-heading")


def _rank(severity: str) -> int:
    return SEVERITY_ORDER.index(severity) if severity in SEVERITY_ORDER else len(SEVERITY_ORDER)


def _problems(contents: Contents) -> Iterator[tuple[tuple[str, str, str], str]]:
    several = len(contents.runs) > 1
    for run in contents.runs:
        columns = ("severity", "message", "resolution", "checkpoint", "optimizer")
        for severity, message, resolution, checkpoint, optimizer in zip(
            *(run.problems[column].astype(str) for column in columns), strict=True
        ):
            where = [run.name if several else "", checkpoint, spoken_name(optimizer) if optimizer else ""]
            yield (severity, message, resolution), ", ".join(filter(None, where))
    for problem in contents.problems:
        yield (problem.severity, problem.message, problem.resolution), "this report"


def _item(severity: str, message: str, resolution: str, places: list[str]) -> Html:
    word = "critical" if severity == "error" else severity
    distinct = list(dict.fromkeys(filter(None, places)))
    named = "; ".join(distinct[:_MOST_NAMED])
    more = f" and {counted(len(distinct) - _MOST_NAMED, 'more place')}" if len(distinct) > _MOST_NAMED else ""
    return element(
        "li",
        element("span", severity, class_=f"badge severity-{word}"),
        " ",
        message,
        ". " if not message.endswith(".") else " ",
        resolution,
        element("p", f"In {named}{more}", class_="note") if distinct else None,
        class_="card",
    )
