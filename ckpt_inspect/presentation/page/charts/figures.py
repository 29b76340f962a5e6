"""A figure's kind to the chart that the page shows in place of its picture: the same question, the same panels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.presentation.page.charts.distribution import distribution
from ckpt_inspect.presentation.page.charts.drawing import Drawing, Measure, Panel, Usual
from ckpt_inspect.presentation.page.charts.maker import ChartMaker
from ckpt_inspect.presentation.plots import distributions, effective_lr, gradients, movement, shares, update_to_weight
from ckpt_inspect.presentation.plots.chapter import Chapter

MOST_BOUNDED = 60
"""Up to as many parameters have bounds, which are shown of one or two lines at a time and make a page large."""


def drawing_of(figure: str, chapter: Chapter) -> Drawing | None:
    """Return the chart of the figure of that id; None if it has none, and its picture is shown."""
    make = _DRAWINGS.get(figure)
    return make(ChartMaker(chapter)) if make else None


def _movement(maker: ChartMaker) -> Drawing:
    runs = maker.chapter.runs
    measures = [Measure("RMS of Δ", maker.column("update_rms"))]
    if any(_is_scheduled(run.learning_rate) for run in runs):
        relative = Measure("RMS of Δ/α", maker.column("relative_update_rms"))
        # A panel of several runs has room for one: the one that a schedule doesn't hide
        measures = [relative] if len(runs) > 1 else [*measures, relative]
    return maker.chart(movement.QUESTION, measures, maker.panels(len(measures)))


def _is_scheduled(rates: Floats) -> bool:
    known = rates[np.isfinite(rates) & (rates > 0)]
    return bool(known.size and known.max() > movement.CHANGED * known.min())


def _update_to_weight(maker: ChartMaker) -> Drawing:
    measure = Measure("‖Δ‖/‖θ‖, ratio of norms", maker.column("update_to_weight"))
    usual = update_to_weight.USUAL
    chart = maker.chart(update_to_weight.QUESTION, [measure], maker.panels())
    return replace(chart, usual=Usual(*usual.band, usual.line, usual.text))


def _effective_lr(maker: ChartMaker) -> Drawing:
    chapter = maker.chapter

    def over_alpha(name: str) -> tuple[Floats, ...]:
        return maker.values(lambda run: chapter.effective_lr(run, f"effective_lr_{name}"))

    bounds = tuple(zip(over_alpha("q05"), over_alpha("q95"), strict=True)) if _has_bounds(chapter) else ()
    measure = Measure(chapter.lr_label, over_alpha("median"), bounds, "5–95 % of its elements")
    return maker.chart(effective_lr.QUESTION, [measure], maker.panels())


def _gradients(maker: ChartMaker) -> Drawing:
    values, lows, highs = (maker.column(f"window_gradient_rms{end}") for end in ("", "_low", "_high"))
    bounds = tuple(zip(lows, highs, strict=True)) if _has_bounds(maker.chapter) else ()
    measure = Measure("RMS of the gradients", values, bounds, "where the plain RMS must lie")
    return maker.chart(gradients.QUESTION, [measure], maker.panels())


def _has_bounds(chapter: Chapter) -> bool:
    return len(chapter.parameters) <= MOST_BOUNDED


def _shares(maker: ChartMaker) -> Drawing:
    """A panel per share, with the parameters that it concerns at all."""
    measures: list[Measure] = []
    panels: list[Panel] = []
    for column, label in shares.SHARES:
        values = maker.column(column)
        affected = np.flatnonzero(np.any([(np.nan_to_num(v) >= shares.SHOWN).any(axis=0) for v in values], axis=0))
        if affected.size:
            title = f"{label}: {affected.size} of {len(maker.chapter.parameters)} parameters"
            panels.append(Panel(title, tuple(map(int, affected)), len(measures), maker.rows_of(affected)))
            measures.append(Measure("share of elements", values, is_share=True))
    return maker.chart(shares.QUESTION, measures, panels)


def _distributions(maker: ChartMaker) -> Drawing | None:
    found = distribution(maker.chapter)
    if found is None:
        return None
    panels = [
        Panel(f"{kind} ({len(members)})", tuple(map(int, members)), 0, maker.rows_of(members))
        for kind, members in maker.chapter.kinds().items()
    ]
    return replace(maker.chart(distributions.QUESTION, [], panels, form="ridges"), distribution=found)


_DRAWINGS: Mapping[str, Callable[[ChartMaker], Drawing | None]] = {
    "movement": _movement,
    "update-to-weight": _update_to_weight,
    "effective-lr": _effective_lr,
    "gradients": _gradients,
    "shares": _shares,
    "distributions": _distributions,
}
"""By the figures' ids."""
