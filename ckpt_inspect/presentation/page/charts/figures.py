"""A figure's kind to the chart that the page shows in place of its picture: the same question, the same panels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.presentation.page.charts.distribution import distribution
from ckpt_inspect.presentation.page.charts.drawing import Drawing, Measure, Panel
from ckpt_inspect.presentation.page.charts.maker import ChartMaker
from ckpt_inspect.presentation.plots import questions
from ckpt_inspect.presentation.plots.chapter import Chapter

MOST_BOUNDED = 60
"""Up to as many parameters have bounds, which are shown of one or two lines at a time and make a page large."""


def drawing_of(figure: str, maker: ChartMaker) -> Drawing | None:
    """Return the chart of the figure of that id; None if it has none, and its picture is shown."""
    make = _DRAWINGS.get(figure)
    return make(maker) if make else None


def _movement(maker: ChartMaker) -> Drawing:
    runs = maker.chapter.runs
    measures = [Measure(questions.MOVEMENT.label, maker.column("update_rms"))]
    if any(run.is_scheduled for run in runs):
        relative = Measure(questions.RELATIVE_MOVEMENT, maker.column("relative_update_rms"))
        # A panel of several runs has room for one: the one that a schedule doesn't hide
        measures = [relative] if len(runs) > 1 else [*measures, relative]
    return maker.chart(questions.MOVEMENT, measures, maker.panels(len(measures)))


def _update_to_weight(maker: ChartMaker) -> Drawing:
    measure = Measure(questions.UPDATE_TO_WEIGHT.label, maker.column("update_to_weight"))
    return maker.chart(questions.UPDATE_TO_WEIGHT, [measure], maker.panels())


def _effective_lr(maker: ChartMaker) -> Drawing:
    chapter = maker.chapter

    def over_alpha(name: str) -> tuple[Floats, ...]:
        return maker.values(lambda run: chapter.effective_lr(run, f"effective_lr_{name}"))

    bounds = tuple(zip(over_alpha("q05"), over_alpha("q95"), strict=True)) if _has_bounds(chapter) else ()
    measure = Measure(questions.EFFECTIVE_LR.label, over_alpha("median"), bounds, "5–95 % of its elements")
    return maker.chart(questions.EFFECTIVE_LR, [measure], maker.panels())


def _gradients(maker: ChartMaker) -> Drawing:
    values, lows, highs = (maker.column(f"window_gradient_rms{end}") for end in ("", "_low", "_high"))
    bounds = tuple(zip(lows, highs, strict=True)) if _has_bounds(maker.chapter) else ()
    measure = Measure(questions.GRADIENTS.label, values, bounds, "where the plain RMS must lie")
    return maker.chart(questions.GRADIENTS, [measure], maker.panels())


def _path(maker: ChartMaker) -> Drawing:
    measures = [Measure(questions.PATH.label, maker.column("path_distance"))]
    moved = Measure(questions.DISPLACEMENT, maker.column("window_displacement"))
    if len(maker.chapter.runs) == 1 and any((values > 0).any() for values in moved.values):
        measures.append(moved)
    return maker.chart(questions.PATH, measures, maker.panels(len(measures)))


def _has_bounds(chapter: Chapter) -> bool:
    return len(chapter.parameters) <= MOST_BOUNDED


def _shares(maker: ChartMaker) -> Drawing:
    """A panel per share, with the parameters that it concerns at all."""
    measures: list[Measure] = []
    panels: list[Panel] = []
    for column, label in questions.SHARE_LABELS.items():
        values = maker.column(column)
        affected = np.flatnonzero(
            np.any([(np.nan_to_num(v) >= questions.LEAST_SHARE).any(axis=0) for v in values], axis=0)
        )
        if affected.size:
            title = f"{label}: {affected.size} of {len(maker.chapter.parameters)} parameters"
            panels.append(Panel(title, tuple(map(int, affected)), len(measures), maker.rows_of(affected)))
            measures.append(Measure(questions.SHARES.label, values, is_share=True))
    return maker.chart(questions.SHARES, measures, panels)


def _distributions(maker: ChartMaker) -> Drawing | None:
    found = distribution(maker.chapter)
    if found is None:
        return None
    panels = [
        Panel(f"{kind} ({len(members)})", tuple(map(int, members)), 0, maker.rows_of(members))
        for kind, members in maker.chapter.kinds().items()
    ]
    return replace(maker.chart(questions.DISTRIBUTIONS, [], panels, form="ridges"), distribution=found)


_DRAWINGS: Mapping[str, Callable[[ChartMaker], Drawing | None]] = {
    questions.MOVEMENT.id: _movement,
    questions.UPDATE_TO_WEIGHT.id: _update_to_weight,
    questions.EFFECTIVE_LR.id: _effective_lr,
    questions.GRADIENTS.id: _gradients,
    questions.SHARES.id: _shares,
    questions.PATH.id: _path,
    questions.DISTRIBUTIONS.id: _distributions,
}
"""By the figures' ids."""
