"""A run's findings as Markdown, for programs that show texts beside curves."""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_inspect.findings.finding import Finding
from ckpt_inspect.presentation.shown_names import printable
from ckpt_inspect.presentation.verdict import since, verdict_of


def findings_text(findings: Sequence[Finding], checkpoints: int, unread: int = 0) -> str:
    """Return the verdict and each finding with what to do, the most severe first.

    `findings`: of a run of so many analysed `checkpoints`, in any order; `unread` of it could not be read.
    """
    verdict = verdict_of(findings, checkpoints, unread)
    pieces = [verdict.sentence, *map(_item, sorted(findings, key=lambda finding: -finding.severity))]
    return "\n\n".join([*pieces, *filter(None, [verdict.limits])])


def _item(finding: Finding) -> str:
    when = since(finding)
    lines = [
        f"**{finding.severity.word}: {finding.kind.title}**{f', {when}' if when else ''}.",
        _sentence(finding.title),
        f"*What to do:* {_sentence(finding.action)}",
    ]
    return printable(" ".join(lines))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
