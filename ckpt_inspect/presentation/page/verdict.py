"""The page's first section: the answer, in words, before any detail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ckpt_inspect.findings import Finding
from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.presentation.optimizer_series import OptimizerSeries, floats
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.contents import PageRun
from ckpt_inspect.presentation.page.hyperparameters import number
from ckpt_inspect.presentation.verdict import Value, Verdict, pace, since, trust, verdict_of
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The verdict on a run: healthy, or what to look at first; and what the numbers rest on."""

    run: str
    verdict: Verdict
    first: tuple[tuple[Finding, str, str], ...]
    """What to look at, where it stands in the page, and since when it is so (may be empty)."""
    pace: str
    """How large its updates are, in sentences; empty if that is not known for sure, or the run is in trouble."""
    trust: str
    """Sentences; empty if there are no numbers."""


def run_verdict(run: PageRun, series: Sequence[OptimizerSeries], anchors: Anchors) -> RunVerdict:
    """Return what a person who has a minute should know of a run of these `series`."""
    verdict = verdict_of(run.findings, len(run.checkpoints), _unread(run))
    place = {id(finding): number for number, finding in enumerate(run.findings)}
    first = tuple((f, anchors.findings[run.name, place[id(f)]], since(f)) for f in verdict.first)
    values = {s.optimizer: _values(s) for s in series}
    is_sure = verdict.state != "trouble" and not any(wrong for of in values.values() for _, _, wrong in of.values())
    speed = " ".join(pace({s.optimizer: _ratios(s) for s in series})) if is_sure else ""
    return RunVerdict(run.name, verdict, first, speed, " ".join(trust(values)))


def _unread(run: PageRun) -> int:
    """How many checkpoints of the run are reported as errors."""
    table = run.problems
    if "severity" not in table or "checkpoint" not in table:
        return 0
    failed = set(table.loc[table["severity"] == "error", "checkpoint"].astype(str)) - {""}
    return len(failed - set(map(str, run.checkpoints.get("checkpoint", ()))))


def _ratios(s: OptimizerSeries) -> dict[str, float]:
    """The newest checkpoint's ‖Δ‖/‖θ‖ by parameter: of those with two axes or more, if there are any, since the ratio
    of a bias, which begins at zero, says little."""
    is_there = s.row[s.newest] == len(s.heads) - 1
    is_kernel = is_there & np.array(["," in shape for shape in s.newest_texts("shape")], bool)
    chosen = is_kernel if is_kernel.any() else is_there
    ratios = s.newest_values("update_to_weight")
    return {s.parameters[i]: float(ratios[i]) for i in np.flatnonzero(chosen)}


def _values(s: OptimizerSeries) -> dict[str, Value]:
    found = {}
    for name in s.hyperparameters:
        sources = s.distinct(f"{name}_source")
        is_without = sources == ["default"] and not floats(s.heads[name]).any()  # a rule has none: nothing is assumed
        if sources and not is_without:
            value = number(float(floats(s.heads[name])[-1]))
            found[name] = (value, sources[-1], any(s.distinct(f"{name}{CONTRADICTION}")))
    return found
