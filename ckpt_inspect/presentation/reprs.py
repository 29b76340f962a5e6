"""Results in a few lines of text, as an interactive session prints them: at most a screen, whatever their size."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.differences import STATUSES, Differences
from ckpt_inspect.findings import SEVERITIES, find_findings

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns

MOST_LINES = 8
"""Of optimizers, and of changed parameters."""


def run_repr(run: RunColumns) -> str:
    """Return what a run is: checkpoints, optimizers, how many findings of each severity."""
    names = run.checkpoints["checkpoint"]
    ends = f": {names[0]} .. {names[-1]}" if len(names) > 1 else f": {names[0]}" if len(names) else ""
    lines = [f"<ckpt_inspect.Analyses of {run.run!r}>", f"Checkpoints: {len(names)}{ends}"]
    lines += _list([_optimizer_line(o) for o in run.optimizers.values()], "optimizers")
    count = Counter(finding.severity.word for finding in find_findings(run))
    found = ", ".join(f"{count[word]} {word}" for word in reversed(SEVERITIES) if count[word])
    lines.append(f"Findings: {found or 'none'}")
    if failures := len(run.failures):
        lines.append(f"Not read: {failures}")
    return "\n".join([*lines, "Methods: findings, to_frame(), to_xarray(), plot()"])


def diff_repr(diff: Differences) -> str:
    """Return how many parameters changed, and those that changed most."""
    counts = ", ".join(f"{diff.counts[status]} {status}" for status in STATUSES if diff.counts[status])
    lines = [
        "<ckpt_inspect.Diff>",
        f"A: {diff.path_a}",
        f"B: {diff.path_b}",
        f"Parameters and tensors: {counts or 'none'}",
    ]
    changed = [p for p in diff.parameters if p.status != "same"]
    lines += _list([f"  {p.status} {p.optimizer} {p.parameter}".rstrip() for p in changed], "changed")
    return "\n".join([*lines, "Methods: to_frame(), to_xarray(), plot()"])


def _optimizer_line(optimizer: OptimizerColumns) -> str:
    steps = [int(step) for step in optimizer.variables["step"] if step >= 0]
    span = f", steps {steps[0]} .. {steps[-1]}" if steps else ""
    rules = [rule for rule in dict.fromkeys(optimizer.variables["rule"]) if rule]
    return f"  {optimizer.name} ({', '.join(rules)}{span}): {len(optimizer.variables['parameter'])} parameters"


def _list(lines: list[str], what: str) -> list[str]:
    more = len(lines) - MOST_LINES
    return lines[:MOST_LINES] + ([f"  .. and {more} more {what}"] if more > 0 else [])
