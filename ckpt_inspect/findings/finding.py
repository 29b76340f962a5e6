"""What a finding is: something that deserves a person's attention, with its evidence and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.records import dataclass

MOST_NAMED = 3
"""Tensors that a title names; the rest are counted."""

MOST_EVIDENCE = 12
"""Tensors whose figures a finding carries, the worst first; the rest are in the analyses."""


class Severity(IntEnum):
    """How much it matters; ordered."""

    INFO = 1
    """Worth knowing when the figures are read; nothing need be wrong."""
    WARNING = 2
    """Training, or what is known of it, is probably not as intended."""
    CRITICAL = 3
    """The state is damaged, lost or inert, or read wrongly: nothing that builds on it can be trusted."""

    @property
    def word(self) -> str:
        """Return `info`, `warning` or `critical`: how it is shown, stored and given."""
        return self.name.lower()


SEVERITIES: tuple[str, ...] = tuple(severity.word for severity in Severity)
"""The words, the least severe first."""


@dataclass(frozen=True, slots=True, repr=False)
class Kind:
    """All findings of one id: what they have in common."""

    id: str
    """Stable, in kebab-case."""
    title: str
    """What it is, as a heading."""
    severity: Severity
    """The highest that it can have."""
    condition: str
    """When it is found, in one sentence with the formula; the thresholds by their names."""
    why: str
    """Why it matters, in one sentence."""
    action: str
    """What to do, in one sentence."""
    source: str
    """Where the condition comes from."""
    thresholds: tuple[str, ...] = ()
    """Fields of `Thresholds` that decide."""
    metrics: tuple[str, ...] = ()
    """Variables that show it; the report's figures of them are where to look."""

    def __repr__(self) -> str:
        return f"<ckpt_inspect.Kind {self.id!r}, {self.severity.word}: {self.title!r}>"


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold that decided."""

    name: str
    """Field of `Thresholds`."""
    value: float
    source: str
    """Where its default comes from; `given` if it was set."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Figures of one tensor, or of the optimizer, in one checkpoint."""

    parameter: str
    """Name; empty if the figures are the optimizer's."""
    checkpoint: str
    """Name."""
    step: int | None
    """None if it is not known."""
    figures: Mapping[str, float | str]
    """By the names of variables if they are such, else by what they are."""


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """One thing that deserves attention, in one optimizer of a run."""

    kind: Kind
    severity: Severity
    title: str
    """One sentence with the figures, without a full stop."""
    optimizer: str
    """Name; empty if it is about what no optimizer trains."""
    parameters: tuple[str, ...] = ()
    """All that are concerned, the worst first; empty if it concerns the optimizer as a whole."""
    checkpoints: tuple[str, ...] = ()
    """Names of the checkpoints that show it, in training order."""
    steps: tuple[int | None, ...] = ()
    """Of these checkpoints."""
    evidence: tuple[Evidence, ...] = ()
    """The worst first; of at most `MOST_EVIDENCE` tensors."""
    limits: tuple[Limit, ...] = ()
    action: str = ""
    """What to do, in one sentence."""
    is_between: bool = False
    """Whether it happened between two checkpoints: the first two of `checkpoints` are those before and after."""

    @property
    def id(self) -> str:
        """Return the kind's id."""
        return self.kind.id

    @property
    def why(self) -> str:
        """Return why it matters, in one sentence."""
        return self.kind.why

    def __repr__(self) -> str:
        return f"<ckpt_inspect.Finding {self.id!r}, {self.severity.word}, optimizer {self.optimizer!r}: {self.title!r}>"

    def to_json(self) -> JsonObject:
        """Return it in JSON's types, but for figures that are NaN or infinite."""
        return {
            "id": self.id,
            "severity": self.severity.word,
            "title": self.title,
            "optimizer": self.optimizer,
            "parameters": list(self.parameters),
            "checkpoints": list(self.checkpoints),
            "steps": list(self.steps),
            "why": self.why,
            "action": self.action,
            "evidence": [
                {"parameter": e.parameter, "checkpoint": e.checkpoint, "step": e.step, "figures": dict(e.figures)}
                for e in self.evidence
            ],
            "thresholds": [{"name": t.name, "value": t.value, "source": t.source} for t in self.limits],
        }
