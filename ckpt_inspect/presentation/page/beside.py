"""Several runs beside each other: what a person compares before looking at any figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ckpt_inspect.measurement.wording import figure, percent, whole
from ckpt_inspect.presentation.answers import update_ratios
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats, known
from ckpt_inspect.presentation.page.verdict import RunVerdict
from ckpt_inspect.presentation.tables.wording import span_text
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
    "update/weight",
    "learning rate α",
    "newest step",
    "checkpoints",
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


def steps_beside(series: Sequence[OptimizerSeries]) -> str:
    """Return which run takes the largest last updates beside its weights, in a sentence; empty for a single run, or if
    that is known of fewer than two."""
    ratios = {s.run: ratio for s in series if np.isfinite(ratio := _ratio(s)) and ratio > 0}
    if len(ratios) < 2 or len({s.run for s in series}) < len(series):
        return ""
    (small, least), *_, (large, most) = sorted(ratios.items(), key=lambda each: each[1])
    if most < _ALIKE * least:
        return "Their last updates are about as large beside the weights."
    return (
        f"The last update of {large} is the largest beside its weights: {percent(most)} of their norm, "
        f"{figure(most / least, 2)} times that of {small} ({percent(least)})."
    )


_ALIKE = 1.5
"""Factor below which two runs' updates are as large."""


def _ratio(s: OptimizerSeries) -> float:
    """The median of the weight matrices' ‖Δ‖/‖θ‖ in the newest checkpoint."""
    return _median(np.array(list(update_ratios(s).values()), float))


def _cells(s: OptimizerSeries) -> tuple[str, ...]:
    step = s.steps[-1]
    return (
        figure(_ratio(s)),
        span_text(floats(s.heads["learning_rate"])) or "not known",
        whole(step),
        whole(len(s.heads)),
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
