"""What was changed by hand, or by a schedule, between two checkpoints of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.findings.finding import MOST_EVIDENCE, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.wording import figure

CHANGED = Kind(
    id="hyperparameters-changed",
    title="Hyperparameters changed within the run",
    severity=Severity.WARNING,
    condition="beta_1, beta_2, epsilon, weight_decay or the rule, if read from the files or inferred, differ between "
    "two checkpoints by more than one in ten thousand; an inferred epsilon or weight decay by a factor of two or more.",
    why="Few trainings change them on purpose. Perhaps it was resumed with another optimizer, or these are "
    "checkpoints of two runs.",
    action="Make sure that these checkpoints are of one run; if not, analyse them separately",
    source="the hyperparameters in the files, and what the checkpoints tell of each other",
    metrics=("beta_1", "beta_2", "epsilon", "weight_decay", "rule"),
)

RATE_CHANGED = Kind(
    id="learning-rate-changed",
    title="Learning rate changed within the run",
    severity=Severity.INFO,
    condition="The known learning rates of two checkpoints differ by more than one in a million.",
    why="Effective learning rates change with it: compare E/α, which doesn't.",
    action="Nothing, if it was a schedule or a callback",
    source="the learning rates in the files",
    metrics=("learning_rate",),
)

KINDS = (CHANGED, RATE_CHANGED)


def find_changed_hyperparameters(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find changed values over the whole run, among those that were read."""
    rates: Floats = history["learning_rate"]
    (known,) = np.nonzero(~np.isnan(rates))
    moved = [row for _, row in _changes(rates, known, 1e-6)]
    if moved:
        first, last = known[0], known[-1]
        low, high = float(np.nanmin(rates)), float(np.nanmax(rates))
        between = "" if {low, high} == {rates[first], rates[last]} else f", between {figure(low)} and {figure(high)}"
        yield history.finding(
            RATE_CHANGED,
            f"The learning rate went from {figure(rates[first])} in {history.at(int(first))} to "
            f"{figure(rates[last])} in {history.at(int(last))}{between}, changing at {len(moved)} of "
            f"{len(known) - 1} checkpoints",
            thresholds,
            rows=moved,
            evidence=[history.evidence(row, learning_rate=rates[row]) for row in moved[:MOST_EVIDENCE]],
        )
    told: list[str] = []
    rows: set[int] = set()
    for name in history.hyperparameters:
        if name == "learning_rate":
            continue
        values: Floats = history[name]
        sources = history[f"{name}_source"]
        is_read = (sources != "default") & (sources != "unknown")
        (known,) = np.nonzero(is_read & ~np.isnan(values))
        is_fitted = (sources == "inferred") & (name not in ("beta_1", "beta_2"))
        changes = [
            (before, row)
            for before, row in _changes(values, known, 1e-4)
            if not (is_fitted[before] or is_fitted[row]) or _differ(values[before], values[row], _FITTED)
        ]
        told += [
            f"{name} from {history.quoted(name, before)} to {history.quoted(name, row)} in {history.at(row)}"
            for before, row in changes[-1:]
        ]
        rows.update(row for _, row in changes)
    rules = history["rule"]
    (read,) = np.nonzero(history["rule_source"] != "default")
    switches = read[1:][rules[read[:-1]] != rules[read[1:]]].tolist()
    told += [f"rule to {rules[row]} in {history.at(row)}" for row in switches[-1:]]
    rows.update(switches)
    if told:
        yield history.finding(
            CHANGED,
            f"Changed within the run: {', '.join(told)}",
            thresholds,
            rows=sorted(rows),
            evidence=[
                history.evidence(
                    row, **{n: float(history[n][row]) for n in history.hyperparameters if not np.isnan(history[n][row])}
                )
                for row in sorted(rows)[:MOST_EVIDENCE]
            ],
        )  # fmt: skip


_FITTED = 0.5
"""Relative difference from which fitted values, whose intervals are wide, differ."""


def _changes(values: Floats, known: NDArray[np.intp], tolerance: float) -> Sequence[tuple[int, int]]:
    """Rows whose value differs from the one known before it: that row, and the row itself."""
    before, after = known[:-1], known[1:]
    at = _differ(values[before], values[after], tolerance)
    return list(zip(before[at].tolist(), after[at].tolist(), strict=True))


def _differ(one: Floats, other: Floats, tolerance: float) -> Bools:
    differ: Bools = np.abs(one - other) > tolerance * np.maximum(np.abs(one), np.abs(other))
    return differ
