"""Places within the page that other places link to; made of counters, never of names, which come from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ckpt_inspect.findings.explanations import EXPLANATIONS
from ckpt_inspect.presentation.optimizer_series import OptimizerSeries
from ckpt_inspect.presentation.page.contents import Contents
from ckpt_inspect.records import dataclass

Row = tuple[str, str, str]
"""Run, optimizer, parameter."""


@dataclass(frozen=True, slots=True)
class Link:
    """A text that may lead to a place within the page."""

    text: str
    anchor: str = ""
    """Empty if it leads nowhere."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """The ids of what can be linked to."""

    figures: Sequence[str]
    """Of the page's figures."""
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
        names = [e.name for e in EXPLANATIONS.values() if e.sort in ("metric", "hyperparameter")]
        places = [(run.name, place) for run in contents.runs for place in range(len(run.findings))]
        findings = {place: f"finding-{number}" for number, place in enumerate(places, start=1)}
        of_row: dict[Row, list[str]] = {}
        for run in contents.runs:
            for place, finding in enumerate(run.findings):
                for parameter in dict.fromkeys(finding.parameters):
                    of_row.setdefault((run.name, finding.optimizer, parameter), []).append(findings[run.name, place])
        return cls(
            [f"figure-{number + 1}" for number in range(len(contents.figures))],
            {key: f"parameter-{number}" for number, key in enumerate(keys, start=1)},
            {name: f"definition-{number}" for number, name in enumerate(names, start=1)},
            findings,
            of_row,
        )

    def definition(self, name: str) -> Link:
        """Return what the figure of that name is called, with a link to its definition if there is one."""
        if name not in self.definitions:
            return Link(name.replace("_", " "))
        return Link(EXPLANATIONS[name].title, self.definitions[name])
