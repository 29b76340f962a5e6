"""The answer before the details: is a run healthy, or what is to be looked at first; and what its numbers rest on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Literal, get_args

from ckpt_inspect.findings.finding import Finding, Severity
from ckpt_inspect.measurement.wording import counted, figure, spoken_name
from ckpt_inspect.records import dataclass

State = Literal["trouble", "look", "healthy"]
"""`look`: something deserves attention; `trouble`: something of it is critical."""
STATES = get_args(State)
"""All of them, the worst first."""
MOST_FIRST = 3
"""Findings that a verdict names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person who has a minute should know of a run."""

    state: State
    sentence: str
    first: tuple[Finding, ...]
    """What to look at, the most severe first, at most three, each of another kind."""
    more: str
    """What else there is, in half a sentence; empty if there is nothing."""
    limits: str
    """What checkpoints can't tell, in sentences; may be empty."""


def verdict_of(findings: Sequence[Finding], checkpoints: int, unread: int = 0) -> Verdict:
    """Return the verdict on a run of so many analysed `checkpoints`; `unread` of it could not be read."""
    serious = [finding for finding in findings if finding.severity > Severity.INFO]
    kinds: dict[tuple[str, str], Finding] = {}
    for finding in sorted(serious, key=lambda each: -each.severity):
        kinds.setdefault((finding.id, finding.optimizer), finding)
    first = tuple(kinds.values())[:MOST_FIRST]
    read = counted(checkpoints, "checkpoint")
    if not first:
        state: State = "healthy"
        sentence = f"Healthy: nothing in {read} needs attention."
        if checkpoints == 0:
            sentence = "Nothing is known: no checkpoint could be analysed."
            state = "trouble"
    else:
        state = "trouble" if first[0].severity == Severity.CRITICAL else "look"
        things = "One thing" if len(first) == 1 else f"{('Two', 'Three')[len(first) - 2]} things"
        sentence = f"In trouble: {things.lower()} to look at first." if state == "trouble" else f"{things} to look at."
    if unread and checkpoints:
        sentence += f" {counted(unread, 'checkpoint')} could not be read."
    others, noted = len(serious) - len(first), len(findings) - len(serious)
    rest = [counted(others, "more warning") if others else "", counted(noted, "remark") if noted else ""]
    limits = [_NO_LOSS if state == "healthy" else "", _NO_COURSE if checkpoints == 1 else ""]
    return Verdict(state, sentence, first, " and ".join(filter(None, rest)), " ".join(filter(None, limits)))


_NO_LOSS = "Checkpoints hold no loss and no accuracy: they don't show whether the model predicts well."
_NO_COURSE = "What changes during a run takes several checkpoints to see."


def since(finding: Finding) -> str:
    """Return where a run shows it first, `since step 1,200`; empty if that isn't known."""
    if finding.steps and (first := finding.steps[0]) is not None:
        last = finding.steps[-1]
        if finding.is_between and len(finding.steps) > 1 and (after := finding.steps[1]) is not None:
            return f"between steps {first:,} and {after:,}{' and later' if len(finding.steps) > 2 else ''}"
        word = "at" if len(finding.steps) == 1 else "after" if last is not None and last < first else "since"
        return f"{word} step {first:,}"
    if finding.checkpoints:
        return f"{'in' if len(finding.checkpoints) == 1 else 'since'} {finding.checkpoints[0]}"
    return ""


def pace(optimizers: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield how large the newest checkpoint's last updates are beside the weights, a sentence for each optimizer of
    which that is known.

    `optimizers`: of each the ‖Δ‖/‖θ‖ of its parameters by name; NaN if it is not known.
    """
    for optimizer, ratios in optimizers.items():
        known = sorted((ratio, name) for name, ratio in ratios.items() if math.isfinite(ratio) and ratio > 0)
        if not known:
            continue
        of = f" of {spoken_name(optimizer)}" if len(optimizers) > 1 else ""
        (least, slowest), (most, fastest) = known[0], known[-1]
        between = f", from {_share(least)} in {slowest} to {_share(most)} in {fastest}" if len(known) > 1 else ""
        middle = f"{_share(median(ratio for ratio, _ in known))} of the weights' norm"
        tensors = counted(len(known), "tensor")
        yield f"The last update{of} is {middle} (median of {tensors}{between}); about 0.1 % is usual."


def _share(ratio: float) -> str:
    return f"{figure(100 * ratio, 2)} %"


Value = tuple[str, str, bool]
"""A hyperparameter's value as text, its source, and whether the run's checkpoints contradict it."""


def trust(optimizers: Mapping[str, Mapping[str, Value]]) -> Iterator[str]:
    """Yield what the numbers of each optimizer rest on that no file says, a sentence each; one of all if nothing is
    so."""
    doubtful = False
    for optimizer, values in optimizers.items():
        groups = (
            ("contradicted by the run's own checkpoints", [n for n, (_, _, c) in values.items() if c]),
            ("assumed, because no file holds it", [n for n, (_, s, c) in values.items() if s == "default" and not c]),
            ("not known", [n for n, (_, s, c) in values.items() if s == "unknown" and not c]),
            ("inferred from several checkpoints", [n for n, (_, s, c) in values.items() if s == "inferred" and not c]),
        )
        for what, names in groups:
            if names:
                doubtful = True
                named = ", ".join(n if what == "not known" else f"{n} = {values[n][0]}" for n in names)
                beginning = f"{what[0].upper()}{what[1:]}" if len(optimizers) == 1 else f"Of {optimizer}, {what}"
                yield f"{beginning}: {named}."
    if not doubtful and optimizers:
        yield "All hyperparameters were read from the files or given."
