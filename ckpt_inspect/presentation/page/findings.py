"""What deserves attention: each finding with its evidence, what to do, and where to see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ckpt_inspect.findings.finding import Evidence, Finding
from ckpt_inspect.measurement.wording import counted, figure, percent
from ckpt_inspect.presentation.page.anchors import Anchors, Link
from ckpt_inspect.presentation.page.contents import Contents, PageRun
from ckpt_inspect.records import dataclass

_SHARES = ("untouched", "untouched_rows", "epsilon_dominated", "lost_in_rounding", "starved")


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A tensor's figures, or the optimizer's, in a checkpoint."""

    parameter: Link | None
    """None if they are not a parameter's."""
    checkpoint: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FindingCard:
    """A finding as the page shows it."""

    run: str
    finding: Finding
    anchor: str
    when: str
    """At which checkpoints; empty if that is not known."""
    figures: tuple[Link, ...]
    """Those that show it."""
    has_rows: bool
    """Whether the table of parameters has any that it concerns."""
    headings: tuple[Link, ...]
    """What the figures of the evidence are."""
    evidence: tuple[EvidenceRow, ...]
    more: int
    """Parameters that it concerns and of which there is no evidence here."""

    @property
    def names_parameters(self) -> bool:
        """Return whether the evidence is of parameters."""
        return any(row.parameter for row in self.evidence)

    @property
    def names_checkpoints(self) -> bool:
        """Return whether the evidence is of several checkpoints."""
        return len({e.checkpoint for e in self.finding.evidence}) > 1


def finding_cards(contents: Contents, anchors: Anchors) -> tuple[FindingCard, ...]:
    """Return all findings, the most severe of any run first."""
    cards = [_card(contents, run, place, anchors) for run in contents.runs for place in range(len(run.findings))]
    return tuple(sorted(cards, key=lambda card: -card.finding.severity))


def _card(contents: Contents, run: PageRun, place: int, anchors: Anchors) -> FindingCard:
    finding = run.findings[place]
    rows = {key[2]: anchor for key, anchor in anchors.rows.items() if key[:2] == (run.name, finding.optimizer)}
    names = list(dict.fromkeys(name for e in finding.evidence for name in e.figures))
    shown = {e.parameter for e in finding.evidence if e.parameter}
    return FindingCard(
        run=run.name,
        finding=finding,
        anchor=anchors.findings[run.name, place],
        when=_when(finding),
        figures=tuple(
            Link(figure.question, anchor)
            for figure, anchor in zip(contents.figures, anchors.figures, strict=True)
            if figure.optimizer == finding.optimizer and set(figure.metrics) & set(finding.kind.metrics)
        ),
        has_rows=any(parameter in rows for parameter in finding.parameters),
        headings=tuple(map(anchors.definition, names)),
        evidence=tuple(_row(e, names, rows) for e in finding.evidence),
        more=len(set(finding.parameters)) - len(shown) if shown else 0,
    )


def _row(evidence: Evidence, names: Sequence[str], rows: Mapping[str, str]) -> EvidenceRow:
    parameter = Link(evidence.parameter, rows.get(evidence.parameter, "")) if evidence.parameter else None
    checkpoint = evidence.checkpoint if evidence.step is None else f"{evidence.checkpoint} (step {evidence.step:,})"
    return EvidenceRow(parameter, checkpoint, tuple(_figure(name, evidence) for name in names))


def _figure(name: str, evidence: Evidence) -> str:
    value = evidence.figures.get(name, math.nan)
    if isinstance(value, str):
        return value
    return percent(value) if name in _SHARES else figure(float(value))


def _when(finding: Finding) -> str:
    names, steps = finding.checkpoints, [step for step in finding.steps if step is not None]
    if not names:
        return ""
    if len(names) == 1:
        return f"{names[0]}, step {steps[0]:,}" if steps else names[0]
    between = f", steps {steps[0]:,} to {steps[-1]:,}" if len(steps) == len(names) else f", {names[0]} to {names[-1]}"
    if len(names) == 2:
        return (
            f"{names[0]} and {names[1]}, steps {steps[0]:,} and {steps[1]:,}"
            if len(steps) == 2
            else " and ".join(names)
        )
    return counted(len(names), "checkpoint") + between
