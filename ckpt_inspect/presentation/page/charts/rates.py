"""The learning rate and whatever other hyperparameter changes, over the run, each with where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ckpt_inspect.findings.explanations import EXPLANATIONS
from ckpt_inspect.presentation.figures.measures import Measure
from ckpt_inspect.presentation.figures.questions import Question
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats
from ckpt_inspect.presentation.page.charts.drawing import Drawing, Panel
from ckpt_inspect.presentation.page.charts.maker import ChartMaker
from ckpt_inspect.presentation.tables.wording import has_changed, span_text

ASKS = Question(
    "rates",
    "What were the learning rate and the other hyperparameters?",
    "",
    "Those that changed during the run, as each checkpoint's last update used them, and where they come from.",
    ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"),
)
"""Of the page alone."""


def answer(series: Sequence[OptimizerSeries]) -> str:
    """Return every hyperparameter of an optimizer in one sentence; `series`: its runs."""
    told = []
    for name in _names(series):
        spans = dict.fromkeys(span for s in series if name in s.heads and (span := span_text(floats(s.heads[name]))))
        if spans:
            told.append(f"{_title(name)} {' / '.join(spans)} ({_sources(series, name)})")
    return f"{'; '.join(told)}." if told else ""


def rates_drawing(maker: ChartMaker) -> Drawing | None:
    """Return the chart of the hyperparameters that changed; None if there is no run, or no such."""
    series = [run.series for run in maker.chapter.runs]
    names = [name for name in _names(series) if any(_changes(s, name) for s in series)]
    known = [name for name in names if any(name in s.heads and (floats(s.heads[name]) > 0).any() for s in series)]
    if not maker.chapter.is_series or not known:
        return None
    titles = [_title(name) for name in known]
    values = [
        np.column_stack([floats(s.heads[name]) if name in s.heads else _missing(s) for name in known])[kept]
        for s, kept in zip(series, maker.chapter.kept, strict=True)
    ]
    panels = [
        Panel(f"{title}: {_sources(series, name)}", (i,), i)
        for i, (name, title) in enumerate(zip(known, titles, strict=True))
    ]
    measures = [Measure(title, tuple(values)) for title in titles]
    chart = maker.chart(ASKS, measures, panels)
    return replace(chart, parameters=tuple(titles), layers=tuple(titles), colors=(), is_of_parameters=False)


def _names(series: Sequence[OptimizerSeries]) -> list[str]:
    return list(dict.fromkeys(name for s in series for name in s.hyperparameters))


def _title(name: str) -> str:
    return EXPLANATIONS[name].title if name in EXPLANATIONS else name.replace("_", " ")


def _missing(series: OptimizerSeries) -> Floats:
    return np.full(len(series.heads), np.nan)


def _changes(series: OptimizerSeries, name: str) -> bool:
    values = floats(series.heads[name]) if name in series.heads else _missing(series)
    return has_changed(values[np.isfinite(values)])


def _sources(series: Sequence[OptimizerSeries], name: str) -> str:
    return ", ".join(dict.fromkeys(word for s in series for word in s.source_words(name)))
