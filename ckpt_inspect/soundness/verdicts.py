"""What `check` says: of each checkpoint a verdict with its reasons, and the newest that passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ckpt_inspect.comparison.segments import Segment, segments
from ckpt_inspect.findings.finding import Kind, Severity
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.records import dataclass
from ckpt_inspect.soundness.kinds import ANOTHER_LINE


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks against a checkpoint, or is worth knowing of it."""

    kind: Kind
    where: str
    """The tensor, optimizer or file; empty for the checkpoint as a whole."""
    text: str
    """What was seen, in one sentence with the figures, without a full stop."""

    @property
    def id(self) -> str:
        """Return the kind's id."""
        return self.kind.id

    @property
    def severity(self) -> str:
        """Return `critical` if it decides the verdict, else `warning` or `info`."""
        return self.kind.severity.word

    @property
    def action(self) -> str:
        """Return what to do, in one sentence."""
        return self.kind.action

    def to_json(self) -> JsonObject:
        """Return it in JSON's types."""
        return {
            "id": self.id,
            "severity": self.severity,
            "where": self.where,
            "text": self.text,
            "action": self.action,
        }


def is_decided(reasons: Iterable[Reason], among: Iterable[Kind]) -> bool:
    """Return whether one of the reasons is critical, and of one of these kinds."""
    kinds = {kind.id for kind in among}
    return any(r.kind.severity is Severity.CRITICAL and r.id in kinds for r in reasons)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one checkpoint can be relied on."""

    path: str
    is_whole: bool
    """Every byte could be read, every checksum agrees, nothing is missing, every number is finite."""
    is_complete: bool
    """What a resume needs is there."""
    continues: bool | None
    """Whether the state grew out of that of the checkpoint before; None if there is none before it, or nothing
    tells."""
    reasons: tuple[Reason, ...]
    step: int | None = None
    """The largest of its optimizers' counters; None if it is not known."""
    learning_rate: float | None = None
    """Of its first optimizer with a constant rate; NaN if it is a schedule's, None if it is not known."""
    before: str = ""
    """Path of the checkpoint that it was compared with; empty if there was none."""

    @property
    def is_sound(self) -> bool:
        """Return whether it passes: whole, complete, and nothing shows that it doesn't continue the one before."""
        return self.is_whole and self.is_complete and self.continues is not False

    @property
    def is_on_another_line(self) -> bool:
        """Return whether it lies on another line of training than the one before."""
        return self.continues is False and any(r.kind is ANOTHER_LINE for r in self.reasons)

    def to_json(self) -> JsonObject:
        """Return it in JSON's types."""
        return {
            "path": self.path,
            "is_whole": self.is_whole,
            "is_complete": self.is_complete,
            "continues": self.continues,
            "reasons": [reason.to_json() for reason in self.reasons],
            "step": self.step,
            "before": self.before or None,
        }


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """The checkpoints of one run, in training order."""

    name: str
    checkpoints: tuple[Verdict, ...]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Return its segments: cut where state was lost, where another line of training goes on, or where a constant
        learning rate jumped."""
        found = segments([v.continues for v in self.checkpoints], [v.learning_rate for v in self.checkpoints])
        return tuple(
            replace(s, begins="another-line") if self.checkpoints[s.start].is_on_another_line else s for s in found
        )


@dataclass(frozen=True, slots=True, repr=False)
class Soundness:
    """What `check` found."""

    runs: tuple[CheckedRun, ...]
    left_over: tuple[str, ...] = ()
    """Files that belong to no checkpoint, though they are named as parts of one: a writer was stopped before it had
    finished, or the rest was deleted."""
    remarks: tuple[Reason, ...] = ()
    """On the folders: of a state file that leads a resume astray, or of a training that may be resumed under other
    names. They decide no verdict."""

    @property
    def checkpoints(self) -> tuple[Verdict, ...]:
        """Return the verdicts of all runs, run by run in training order."""
        return tuple(verdict for run in self.runs for verdict in run.checkpoints)

    @property
    def is_sound(self) -> bool:
        """Return whether every checkpoint passes."""
        return all(verdict.is_sound for verdict in self.checkpoints)

    @property
    def newest_sound(self) -> str | None:
        """Return the path of the newest checkpoint that passes, of the last run if there are several; None if none
        does."""
        return next((v.path for v in reversed(self.checkpoints) if v.is_sound), None)

    def to_json(self) -> JsonObject:
        """Return it in JSON's types."""
        return {
            "checkpoints": [v.to_json() for v in self.checkpoints],
            "newest_sound": self.newest_sound,
            "runs": [
                {
                    "name": run.name,
                    "segments": [s.to_json([v.path for v in run.checkpoints]) for s in run.segments],
                }
                for run in self.runs
            ],
            "left_over": list(self.left_over),
            "remarks": [remark.to_json() for remark in self.remarks],
        }

    def __repr__(self) -> str:
        passing = sum(verdict.is_sound for verdict in self.checkpoints)
        return (
            f"<ckpt_inspect.Soundness: {passing} of {len(self.checkpoints)} checkpoints pass; "
            f"newest that does: {self.newest_sound}>"
        )
