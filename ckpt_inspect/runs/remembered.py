"""What was found in a whole long run, kept in its store: a look at the run needn't go through every column again.

It counts for the run as it is stored, with the thresholds that decided, and for the version that found it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import get_args

from ckpt_inspect._version import __version__
from ckpt_inspect.comparison.segments import Beginning, Segment
from ckpt_inspect.findings.checks import KINDS, find_findings
from ckpt_inspect.findings.finding import Evidence, Finding, Limit, Severity
from ckpt_inspect.findings.looks import RunLooks, looks_in
from ckpt_inspect.findings.restarts import run_segments
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.stored_runs import StoredColumns, stored_run


@dataclass(frozen=True, slots=True)
class Remembered:
    """The findings and the segments of a run."""

    findings: tuple[Finding, ...]
    segments: tuple[Segment, ...]
    thresholds: Mapping[str, float]
    """Those that are not at their defaults."""
    looks: RunLooks = field(default_factory=dict, compare=False)
    """What was seen of all checkpoints, for a look at the run when it has grown."""

    @classmethod
    def of(cls, run: RunColumns, looks: RunLooks | None = None) -> Remembered:
        """Look at the whole run, column by column; at those of its checkpoints alone that `looks` have not seen."""
        seen = {} if looks is None else looks
        return cls(find_findings(run, looks=seen), run_segments(run, seen), dict(run.thresholds), seen)

    def text(self) -> str:
        """Return what `remembered` makes the same of."""
        findings = [
            {
                "kind": finding.kind.id,
                "severity": int(finding.severity),
                "title": finding.title,
                "optimizer": finding.optimizer,
                "parameters": finding.parameters,
                "checkpoints": finding.checkpoints,
                "steps": finding.steps,
                "evidence": [[e.parameter, e.checkpoint, e.step, dict(e.figures)] for e in finding.evidence],
                "limits": [asdict(limit) for limit in finding.limits],
                "action": finding.action,
                "is_between": finding.is_between,
            }
            for finding in self.findings
        ]
        segments = [[segment.start, segment.stop, segment.begins] for segment in self.segments]
        document = {
            "writer": __version__,
            "findings": findings,
            "segments": segments,
            "thresholds": self.thresholds,
            "looks": {name: looks.to_json() for name, looks in self.looks.items()},
        }
        return json.dumps(document)


def remembered(text: str) -> Remembered | None:
    """Return what a store remembers; None if that is nothing, or another version's."""
    try:
        document = json.loads(text)
        if document["writer"] != __version__:
            return None
        kinds = {kind.id: kind for kind in KINDS}
        findings = tuple(
            Finding(
                kinds[each["kind"]],
                Severity(each["severity"]),
                str(each["title"]),
                str(each["optimizer"]),
                tuple(map(str, each["parameters"])),
                tuple(map(str, each["checkpoints"])),
                tuple(None if step is None else int(step) for step in each["steps"]),
                tuple(Evidence(str(p), str(c), s, dict(figures)) for p, c, s, figures in each["evidence"]),
                tuple(Limit(**limit) for limit in each["limits"]),
                str(each["action"]),
                bool(each["is_between"]),
            )
            for each in document["findings"]
        )
        segments = tuple(Segment(int(start), int(stop), _beginning(why)) for start, stop, why in document["segments"])
        thresholds = {str(n): float(x) for n, x in document["thresholds"].items()}
        return Remembered(findings, segments, thresholds, looks_in(document["looks"]))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _beginning(word: object) -> Beginning:
    found: Beginning | None = next((each for each in get_args(Beginning) if each == word), None)
    if found is None:
        raise ValueError(f"no segment begins with {word}")
    return found


def look_at(run: RunColumns) -> Remembered:
    """Return the findings and the segments of a run by its own thresholds: what its store remembers, if it is all of
    that, otherwise found in one look at its columns."""
    return _known(run) or Remembered.of(run)


def findings_of(run: RunColumns) -> tuple[Finding, ...]:
    """Return all findings of a run by its own thresholds, as `find_findings` does: what its store remembers, if it is
    all of that."""
    known = _known(run)
    return find_findings(run) if known is None else known.findings


def segments_of(run: RunColumns) -> tuple[Segment, ...]:
    """Return the segments of a run, as `run_segments` does: what its store remembers, if it is all of that."""
    known = _known(run)
    return run_segments(run) if known is None else known.segments


def looks_before(run: RunColumns | None) -> RunLooks:
    """Return what was seen of all checkpoints of a run when its store was written; empty if that isn't known."""
    stored = None if run is None else stored_run(run)
    if stored is None:
        return {}
    if stored.looks is None:
        known = remembered(stored.memory())
        return {} if known is None else known.looks
    return stored.looks


def _known(run: RunColumns) -> Remembered | None:
    """What the store remembers of the run; None if this is but a part of the run, or has other thresholds."""
    stored = stored_run(run) if isinstance(run, RunColumns) else None
    if (
        stored is None
        or run.remarks != stored.outline.remarks
        or list(run.optimizers) != list(stored.outline.optimizers)
    ):
        return None
    own = [optimizer.variables for optimizer in run.optimizers.values()]
    if not all(isinstance(columns, StoredColumns) and columns.stored is stored for columns in own):
        return None
    known = remembered(stored.memory())
    return known if known is not None and known.thresholds == dict(run.thresholds) else None
