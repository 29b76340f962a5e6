"""Verdicts on checkpoints, as tables: a line each, then the reasons with what to do, then the newest that passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.segments import BEGINNING_WORDS, MEANING_OF_A_JUMP
from ckpt_inspect.presentation.tables.table import NOTHING, Column, Table, fact_table

if TYPE_CHECKING:
    from ckpt_inspect.comparison.segments import Segment
    from ckpt_inspect.soundness.verdicts import CheckedRun, Reason, Soundness, Verdict


def soundness_tables(soundness: Soundness, *, with_info: bool = False) -> tuple[Table, ...]:
    """Return the verdicts of every run, their reasons, and the newest checkpoint that passes.

    `with_info`: also reasons that are merely worth knowing.
    """
    tables = [table for run in soundness.runs for table in _run_tables(run, with_info=with_info)]
    passing = sum(verdict.is_sound for verdict in soundness.checkpoints)
    facts = [("sound", f"{passing} of {len(soundness.checkpoints)} checkpoints")]
    facts.append(("newest that passes", soundness.newest_sound or "none: nothing here can be relied on"))
    facts += [
        ("left over", f"{name}: belongs to no whole checkpoint; its writer was stopped, or a part is gone")
        for name in soundness.left_over
    ]
    facts += [(remark.id, f"{remark.text}; {remark.action}") for remark in soundness.remarks]
    hidden = sum(r.severity == "info" for v in soundness.checkpoints for r in v.reasons)
    if hidden and not with_info:
        facts.append(("remarks", f"{hidden} of severity info: -v shows them"))
    return (*tables, fact_table(*facts))


_COLUMNS = (
    Column("checkpoint", "left"),
    Column("step"),
    Column("whole", "left"),
    Column("complete", "left"),
    Column("continues", "left"),
    Column("verdict", "left"),
)
_WORDS = {True: "yes", False: "no", None: NOTHING}


def _run_tables(run: CheckedRun, *, with_info: bool) -> Iterator[Table]:
    names = _names(run)
    rows = tuple(
        (
            names[v.path],
            NOTHING if v.step is None else str(v.step),
            _WORDS[v.is_whole],
            _WORDS[v.is_complete],
            _WORDS[v.continues],
            "sound" if v.is_sound else "not sound",
        )
        for v in run.checkpoints
    )
    yield Table(f"{run.name}: {len(rows)} checkpoint{'s' * (len(rows) != 1)}", _COLUMNS, rows)
    if len(segments := run.segments) > 1:
        has_jump = any(s.begins == "rate-jumped" for s in segments)
        note = f"{BEGINNING_WORDS['rate-jumped']}: {MEANING_OF_A_JUMP}" if has_jump else ""
        yield Table("Segments", _SEGMENTS, tuple(_segment_row(s, run, names) for s in segments), note)
    reasons = tuple(row for v in run.checkpoints for row in _reason_rows(v, names[v.path], with_info=with_info))
    if reasons:
        first = next(r for v in run.checkpoints for r in v.reasons if _is_shown(r, with_info=with_info))
        yield Table(
            "Reasons", (Column("", "left"), Column("", "left")), reasons, f"ckpt-inspect explain {first.id} says more"
        )


_SEGMENTS = (Column("from", "left"), Column("to", "left"), Column("steps", "left"), Column("begins", "left"))
_BEGINNINGS = {
    "start": "at the start",
    "state-lost": "where state was lost",
    "another-line": "where another line begins or goes on",
    "rate-jumped": "where the learning rate jumped",
}


def _segment_row(segment: Segment, run: CheckedRun, names: dict[str, str]) -> tuple[str, ...]:
    own = run.checkpoints[segment.start : segment.stop]
    steps = [v.step for v in own if v.step is not None]
    span = NOTHING if not steps else str(steps[0]) if len(steps) == 1 else f"{steps[0]} .. {steps[-1]}"
    return names[own[0].path], names[own[-1].path], span, _BEGINNINGS[segment.begins]


def _reason_rows(verdict: Verdict, name: str, *, with_info: bool) -> Iterator[tuple[str, str]]:
    for reason in verdict.reasons:
        if _is_shown(reason, with_info=with_info):
            yield f"{name}, {reason.severity}", reason.text
            yield "", f"{reason.id}: {reason.action}"


def _is_shown(reason: Reason, *, with_info: bool) -> bool:
    return with_info or reason.severity != "info"


def _names(run: CheckedRun) -> dict[str, str]:
    """Return the last parts of the paths; the whole paths where those aren't all different."""
    paths = [verdict.path for verdict in run.checkpoints]
    short = [path.rstrip("/").rpartition("/")[2] for path in paths]
    return dict(zip(paths, short if len(set(short)) == len(short) else paths, strict=True))
