"""What was analysed: runs and their optimizers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ckpt_inspect.measurement.wording import whole
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats
from ckpt_inspect.presentation.page.contents import PageRun
from ckpt_inspect.presentation.tables.wording import bytes_text, segments_text, span_text
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run is."""

    run: str
    facts: tuple[tuple[str, str], ...]
    """Names and values."""
    has_jumps: bool
    """Whether one of its segments begins because the learning rate jumped."""


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """What an optimizer of a run is: a row of the table of optimizers."""

    run: str
    optimizer: str
    rule: str
    parameters: int
    elements: int
    checkpoints: int
    steps: str
    """The first and the last."""
    learning_rate: str
    """The first and the last if they differ; empty if none is known."""
    sources: str
    """Of the learning rate."""


def run_facts(run: PageRun) -> RunFacts:
    """Return what a run's checkpoints are."""
    is_cut = len(run.segments) > 1 and run.segments[-1].stop <= len(run.checkpoints.get("checkpoint", ()))
    has_jumps = is_cut and any(segment.begins == "rate-jumped" for segment in run.segments)
    return RunFacts(run.name, tuple(_facts(run, is_cut)), has_jumps)


def _facts(run: PageRun, is_cut: bool) -> Iterator[tuple[str, str]]:
    table = run.checkpoints
    names = [str(name) for name in table.get("checkpoint", ())]
    between = f": {names[0]} to {names[-1]}" if len(names) > 1 else ""
    yield "checkpoints", names[0] if len(names) == 1 else f"{whole(len(table))}{between}"
    for column in ("format", "layout"):
        if column in table:
            yield column, ", ".join(dict.fromkeys(str(text) for text in table[column] if text)) or "unknown"
    if "size_bytes" in table and len(table):
        total = float(np.nansum(np.maximum(floats(table["size_bytes"]), 0)))
        yield "on disk", f"{bytes_text(int(total))}{' together' if len(table) > 1 else ''}"
    if is_cut:
        yield "segments", segments_text(run.segments, names)


def optimizer_facts(s: OptimizerSeries) -> OptimizerFacts:
    """Return an optimizer's row."""
    rates = floats(s.heads["learning_rate"])
    return OptimizerFacts(
        run=s.run,
        optimizer=s.optimizer,
        rule=", ".join(filter(None, s.distinct("rule"))) or "unknown",
        parameters=len(s.parameters),
        elements=int(np.nansum(s.newest_values("size"))),
        checkpoints=len(s.heads),
        steps=_steps(s.steps),
        learning_rate=span_text(rates),
        sources=", ".join(s.source_words("learning_rate")),
    )


def _steps(steps: Floats) -> str:
    known = [step for step in steps if not np.isnan(step)]
    if not known:
        return "unknown"
    return whole(known[0]) if len(steps) == 1 else f"{whole(known[0])} to {whole(known[-1])}"
