"""Results in a few lines of text, as an interactive session prints them: at most a screen, whatever their size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.differences import STATUSES, Differences
from ckpt_inspect.findings.finding import SEVERITIES
from ckpt_inspect.presentation.shown_names import printable

if TYPE_CHECKING:
    from pathlib import Path

    from ckpt_inspect.errors import CkptInspectError
    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns
    from ckpt_inspect.series.run import Run

MOST_LINES = 8
"""Of optimizers, of changed parameters, of files."""
MOST_LETTERS = 90
"""Of such a line: names come from files, and may be of any length."""


def run_repr(run: RunColumns) -> str:
    """Return what a run is: checkpoints, optimizers, how many findings of each severity."""
    from ckpt_inspect.runs.remembered import findings_of

    names = run.checkpoints["checkpoint"]
    ends = f": {names[0]} .. {names[-1]}" if len(names) > 1 else f": {names[0]}" if len(names) else ""
    lines = [f"<ckpt_inspect.Analyses of {run.run!r}>", f"Checkpoints: {len(names)}{ends}"]
    lines += _list([_optimizer_line(o) for o in run.optimizers.values()], "optimizers")
    count = Counter(finding.severity.word for finding in findings_of(run))
    found = ", ".join(f"{count[word]} {word}" for word in reversed(SEVERITIES) if count[word])
    lines.append(f"Findings: {found or 'none'}")
    if failures := len(run.failures):
        lines.append(f"Not read: {failures}")
    return _joined([*lines, "Methods: findings, to_frame(), to_xarray(), plot()"])


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
    return _joined([*lines, "Methods: to_frame(), to_xarray(), plot()"])


def run_result_repr(run: Run, store: Path | None, error: CkptInspectError | None) -> str:
    """Return the outcome for a run, in one line."""
    lines = ["<ckpt_inspect.RunResult>", f"Run: {run!r}", f"Store: {store or 'none'}"]
    return _joined([*lines, "Analysed: .analyses" if error is None else f"Not analysed: {error}"])


def report_repr(page: Path, figures: Sequence[Path], omitted: int) -> str:
    """Return where a report is, and which figures it has."""
    lines = ["<ckpt_inspect.Report>", f"Page: {page}", f"Figures: {len(figures)}, not drawn: {omitted}"]
    return _joined(lines + _list([f"  {file.name}" for file in figures], "figures"))


def exported_repr(files: Sequence[Path]) -> str:
    """Return what was written."""
    return _joined(["<ckpt_inspect.Exported>", *_list([f"  {file}" for file in files], "files")])


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(map(printable, lines))


def _optimizer_line(optimizer: OptimizerColumns) -> str:
    steps = [int(step) for step in optimizer.variables["step"] if step >= 0]
    span = f", steps {steps[0]} .. {steps[-1]}" if steps else ""
    rules = [rule for rule in dict.fromkeys(optimizer.variables["rule"]) if rule]
    return f"  {optimizer.name} ({', '.join(rules)}{span}): {len(optimizer.variables['parameter'])} parameters"


def _list(lines: Sequence[str], what: str) -> list[str]:
    more = len(lines) - MOST_LINES
    shown = [f"{line[: MOST_LETTERS - 2]}.." if len(line) > MOST_LETTERS else line for line in lines[:MOST_LINES]]
    return [*shown, f"  .. and {more} more {what}"] if more > 0 else shown
