"""Places within the page that other places link to; made of counters, never of names, which come from files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ckpt_inspect.findings.explanations import EXPLANATIONS
from ckpt_inspect.presentation.optimizer_series import OptimizerSeries
from ckpt_inspect.presentation.page.contents import Contents, PageFigure
from ckpt_inspect.presentation.page.markup import Html, element, joined

Row = tuple[str, str, str]
"""Run, optimizer, parameter."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """The ids of what can be linked to."""

    figures: Mapping[int, str]
    """By place among the page's figures."""
    rows: Mapping[Row, str]
    """Of the table of parameters."""
    definitions: Mapping[str, str]
    """By the explained name."""
    findings: Mapping[tuple[str, int], str]
    """By run and place among its findings."""
    of_row: Mapping[Row, Sequence[str]]
    """The findings that concern a row."""

    @classmethod
    def of(cls, contents: Contents, series: Iterable[OptimizerSeries]) -> Anchors:
        """Return the ids for everything in the page."""
        keys = [(s.run, s.optimizer, parameter) for s in series for parameter in s.parameters]
        rows = {key: f"parameter-{number}" for number, key in enumerate(keys, start=1)}
        names = [e.name for e in EXPLANATIONS.values() if e.sort in ("metric", "hyperparameter")]
        places = [(run.name, place) for run in contents.runs for place in range(len(run.findings))]
        findings = {place: f"finding-{number}" for number, place in enumerate(places, start=1)}
        of_row: dict[Row, list[str]] = {}
        for run in contents.runs:
            for place, finding in enumerate(run.findings):
                for parameter in dict.fromkeys(finding.parameters):
                    of_row.setdefault((run.name, finding.optimizer, parameter), []).append(findings[run.name, place])
        return cls(
            {place: f"figure-{place + 1}" for place in range(len(contents.figures))},
            rows,
            {name: f"definition-{number}" for number, name in enumerate(names, start=1)},
            findings,
            of_row,
        )

    def parameter(self, run: str, optimizer: str, parameter: str) -> Html:
        """Return the parameter's name, with a link to its row if it has one."""
        anchor = self.rows.get((run, optimizer, parameter))
        name = tensor(parameter)
        return name if anchor is None else element("a", name, href=f"#{anchor}")

    def definition(self, name: str) -> Html:
        """Return what the figure of that name is called, with a link to its definition if there is one."""
        if name not in self.definitions:
            return element("span", name.replace("_", " "))
        return element("a", EXPLANATIONS[name].title, href=f"#{self.definitions[name]}")

    def figures_of(self, figures: Sequence[PageFigure], optimizer: str, metrics: Sequence[str]) -> list[Html]:
        """Return the links to the figures that show any of these variables of an optimizer."""
        return [
            element("a", figure.question, href=f"#{self.figures[place]}")
            for place, figure in enumerate(figures)
            if figure.optimizer == optimizer and set(figure.metrics) & set(metrics)
        ]


def tensor(name: str) -> Html:
    """Return a parameter's name, which may be broken behind its slashes."""
    return element("code", breakable(name, "/"))


def breakable(name: str, marks: str = "/._") -> Html:
    """Return a name that may be broken behind any of these marks."""
    pieces = re.split(f"(?<=[{re.escape(marks)}])", name)
    return Html(element("wbr").join(joined(piece) for piece in pieces))
