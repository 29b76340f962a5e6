"""What was odd, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_inspect.measurement.wording import counted, spoken_name
from ckpt_inspect.presentation.page.contents import Contents
from ckpt_inspect.presentation.tables.wording import SEVERITY_ORDER
from ckpt_inspect.records import dataclass

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class ShownProblem:
    """One problem, wherever it was met."""

    severity: str
    message: str
    resolution: str
    places: str
    """Checkpoints and optimizers; of many the first and the number of others."""


def shown_problems(contents: Contents) -> tuple[ShownProblem, ...]:
    """Return each problem once, the most severe first."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for key, place in _problems(contents):
        found.setdefault(key, []).append(place)
    ranked = sorted(found.items(), key=lambda each: _rank(each[0][0]))
    return tuple(ShownProblem(*key, _named(places)) for key, places in ranked)


def _rank(severity: str) -> int:
    return SEVERITY_ORDER.index(severity) if severity in SEVERITY_ORDER else len(SEVERITY_ORDER)


def _problems(contents: Contents) -> Iterator[tuple[tuple[str, str, str], str]]:
    columns = ["severity", "message", "resolution", "checkpoint", "optimizer"]
    for run in contents.runs:
        name = run.name if len(contents.runs) > 1 else ""
        for *key, checkpoint, optimizer in run.problems[columns].astype(str).itertuples(index=False):
            where = (name, checkpoint, spoken_name(optimizer) if optimizer else "")
            yield (key[0], key[1], key[2]), ", ".join(filter(None, where))
    for problem in contents.problems:
        yield (problem.severity, problem.message, problem.resolution), "this report"


def _named(places: list[str]) -> str:
    distinct = list(dict.fromkeys(filter(None, places)))
    more = len(distinct) - _MOST_NAMED
    return "; ".join(distinct[:_MOST_NAMED]) + (f" and {counted(more, 'more place')}" if more > 0 else "")
