"""The learning rate and whatever other hyperparameter changes, over the run, each with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ckpt_inspect.findings.explanations import EXPLANATIONS
from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats
from ckpt_inspect.presentation.page.charts.drawing import Drawing, Measure, Panel
from ckpt_inspect.presentation.page.charts.maker import ChartMaker
from ckpt_inspect.presentation.plots.chapter import Chapter
from ckpt_inspect.presentation.plots.questions import Question
from ckpt_inspect.presentation.tables.wording import figure
from ckpt_inspect.sourced import SOURCE_WORDS
from ckpt_inspect.state.hyperparameters import hyperparameters_in

ASKS = Question(
    "rates",
    "What were the learning rate and the other hyperparameters?",
    "",
    "Those that changed during the run, as each checkpoint's last update used them, and where they come from.",
    "",
    ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"),
)
"""Of the page alone."""


def answer(series: Sequence[OptimizerSeries]) -> str:
    """Return every hyperparameter of an optimizer in one sentence; `series`: its runs."""
    told = []
    for name in _names(series):
        spans = dict.fromkeys(span for s in series if name in s.heads and (span := _span(floats(s.heads[name]))))
        if spans:
            told.append(f"{_title(name)} {' / '.join(spans)} ({_sources(series, name)})")
    return f"{'; '.join(told)}." if told else ""


def rates_drawing(chapter: Chapter, series: Sequence[OptimizerSeries]) -> Drawing | None:
    """Return the chart of the hyperparameters that changed; None if there is no run, or no such.

    `series`: the chapter's runs, in the same order.
    """
    maker = ChartMaker(chapter)
    names = [name for name in _names(series) if any(_changes(s, name) for s in series)]
    known = [name for name in names if any(name in s.heads and (floats(s.heads[name]) > 0).any() for s in series)]
    if not chapter.is_series or not known:
        return None
    titles = [_title(name) for name in known]
    values = [
        np.column_stack([floats(s.heads[name]) if name in s.heads else _missing(s) for name in known])[kept]
        for s, kept in zip(series, maker.kept, strict=True)
    ]
    panels = [
        Panel(f"{title}: {_sources(series, name)}", (i,), i)
        for i, (name, title) in enumerate(zip(known, titles, strict=True))
    ]
    measures = [Measure(title, tuple(values)) for title in titles]
    chart = maker.chart(ASKS, measures, panels)
    return replace(chart, parameters=tuple(titles), layers=tuple(titles), is_of_parameters=False)


def _names(series: Sequence[OptimizerSeries]) -> list[str]:
    return list(
        dict.fromkeys(
            name
            for s in series
            for name in hyperparameters_in({str(column): s.heads[column].to_numpy() for column in s.heads})
        )
    )


def _title(name: str) -> str:
    return EXPLANATIONS[name].title if name in EXPLANATIONS else name.replace("_", " ")


def _missing(series: OptimizerSeries) -> Floats:
    return np.full(len(series.heads), np.nan)


def _changes(series: OptimizerSeries, name: str) -> bool:
    values = floats(series.heads[name]) if name in series.heads else _missing(series)
    values = values[np.isfinite(values)]
    return bool(values.size and np.ptp(values) > 1e-9 * abs(values).max())


def _span(values: Floats) -> str:
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    ends = [figure(float(value)) for value in (values[0], values[-1])]
    return ends[0] if np.ptp(values) <= 1e-9 * abs(values).max() else f"{ends[0]} → {ends[1]}"


def _sources(series: Sequence[OptimizerSeries], name: str) -> str:
    return ", ".join(dict.fromkeys(word for s in series for word in _source_words(s, name)))


def _source_words(series: OptimizerSeries, name: str) -> Iterator[str]:
    yield from (SOURCE_WORDS.get(source, source) for source in series.distinct(f"{name}_source") if source)
    if any(series.distinct(f"{name}{CONTRADICTION}")):
        yield "contradicted"
