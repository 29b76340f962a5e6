"""Several runs beside each other: what a person compares before looking at any figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ckpt_inspect.measurement.wording import percent
from ckpt_inspect.presentation.answers import update_ratios
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats, known
from ckpt_inspect.presentation.page.verdict import RunVerdict
from ckpt_inspect.presentation.tables.wording import figure, span_text
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class RunBeside:
    """An optimizer of a run in the table of runs."""

    run: str
    optimizer: str
    state: str
    """The verdict in two words."""
    cells: tuple[str, ...]
    """By `HEADINGS`; a dash for what is not known."""


HEADINGS = (
    "checkpoints",
    "newest step",
    "learning rate α",
    "update/weight",
    "gradients (RMS)",
    "signal to noise",
    "ε-dominated",
    "untouched",
)
"""Of the figures: medians over tensors, of shares the largest."""


_STATES = {"healthy": "healthy", "look": "to look at", "trouble": "in trouble"}


def runs_beside(verdicts: Sequence[RunVerdict], series: Sequence[OptimizerSeries]) -> tuple[RunBeside, ...]:
    """Return a row for each optimizer of each run, in the order of the runs; nothing for a single run."""
    states = {each.run: _STATES[each.verdict.state] for each in verdicts}
    return tuple(RunBeside(s.run, s.optimizer, states[s.run], _cells(s)) for s in series) if len(states) > 1 else ()


def _cells(s: OptimizerSeries) -> tuple[str, ...]:
    step = s.steps[-1]
    return (
        f"{len(s.heads):,}",
        "-" if np.isnan(step) else f"{step:,.0f}",
        span_text(floats(s.heads["learning_rate"])) or "not known",
        figure(_median(np.array(list(update_ratios(s).values()), float))),
        figure(_median(s.newest_values("window_gradient_rms"))),
        figure(_median(s.newest_values("signal_to_noise"))),
        percent(_largest(s.newest_values("epsilon_dominated"))),
        percent(_largest(s.newest_values("untouched"))),
    )


def _median(values: Floats) -> float:
    own = known(values)
    return float(np.median(own)) if own.size else np.nan


def _largest(values: Floats) -> float:
    own = values[np.isfinite(values)]
    return float(own.max()) if own.size else np.nan
