"""Four quantities of every parameter: how far it moved, in proportion to what, how Adam scaled it, its gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.measures import Measure, plot_measures
from ckpt_inspect.presentation.plots.questions import (
    DISPLACEMENT,
    EFFECTIVE_LR,
    GRADIENTS,
    MOVEMENT,
    PATH,
    RELATIVE_MOVEMENT,
    UPDATE_TO_WEIGHT,
)
from ckpt_inspect.presentation.plots.spread import NEWEST, newest, positive, spread_words, where_known

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.plots.chapter import Chapter


def _measure(chapter: Chapter, label: str, column: str) -> Measure:
    return Measure(label, tuple(run.column(column) for run in chapter.runs))


def _is_known(measure: Measure) -> bool:
    return any(bool((values > 0).any()) for values in measure.values)


def _words(chapter: Chapter, column: str) -> str:
    return spread_words(chapter, [run.column(column) for run in chapter.runs])


def _where(chapter: Chapter, column: str) -> str:
    return where_known(chapter, [positive(run.column(column)) for run in chapter.runs])


def _last_update(where: str) -> str:
    """Begin a sentence about the last update."""
    return "The newest update" if where == NEWEST else f"The last update {where},"


def movement_answer(chapter: Chapter) -> str:
    """Return how far the newest update moved an element, in words."""
    update = _last_update(_where(chapter, "update_rms"))
    return f"{update} moved an element by (RMS): {_words(chapter, 'update_rms')}."


@style.styled
def plot_movement(chapter: Chapter) -> Figure:
    """Draw the RMS of the last update Δ of every parameter, and of Δ/α if α changes over the run."""
    measures = [_measure(chapter, MOVEMENT.label, "update_rms")]
    relative = _measure(chapter, RELATIVE_MOVEMENT, "relative_update_rms")
    if _is_known(relative) and any(run.is_scheduled for run in chapter.runs):
        # several runs have room for one, which a schedule doesn't hide
        measures = [relative] if len(chapter.runs) > 1 else [*measures, relative]
    return plot_measures(chapter, MOVEMENT, movement_answer(chapter), measures)


def update_to_weight_answer(chapter: Chapter) -> str:
    """Return how many parameters are outside the usual band, and which, in words."""
    usual = UPDATE_TO_WEIGHT.usual
    assert usual is not None
    if len(chapter.runs) > 1:
        return f"{_where(chapter, 'update_to_weight').capitalize()}: {_words(chapter, 'update_to_weight')}."
    where, ratios = _where(chapter, "update_to_weight"), newest(positive(chapter.runs[0].column("update_to_weight")))
    known = np.flatnonzero(np.isfinite(ratios))
    if not known.size:
        return "Not known."
    told = []
    for is_off, word in (
        (ratios[known] > usual.high, "more than 10⁻²: too fast"),
        (ratios[known] < usual.low, "less than 10⁻⁴: hardly learning"),
    ):
        if is_off.any():
            off = known[is_off][np.argsort(-np.abs(np.log10(ratios[known[is_off]] / usual.line)), kind="stable")]
            named = zip(chapter.labels(off[:3]), ratios[off[:3]], strict=True)
            text = ", ".join(f"{label} {style.number(value)}" for label, value in named)
            told.append(f"{off.size} of {known.size} parameters by {word} ({text}{', ..' if off.size > 3 else ''})")
    if not told:
        return f"All {known.size} parameters whose ratio is known lie in the usual band {where}."
    return f"{_last_update(where)} changed {'; '.join(told)}."


@style.styled
def plot_update_to_weight(chapter: Chapter) -> Figure:
    """Draw the ratio of every parameter on the usual band and the line of a thousandth."""
    measure = _measure(chapter, UPDATE_TO_WEIGHT.label, "update_to_weight")
    measure = replace(measure, usual=UPDATE_TO_WEIGHT.usual)
    return plot_measures(chapter, UPDATE_TO_WEIGHT, update_to_weight_answer(chapter), [measure])


def effective_lr_answer(chapter: Chapter) -> str:
    """Return how Adam scales gradients in the newest checkpoint, in words."""
    medians = [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs]
    return f"Per unit of gradient, over α, {where_known(chapter, medians)}: {spread_words(chapter, medians)}."


@style.styled
def plot_effective_lr(chapter: Chapter) -> Figure:
    """Draw the median of E/α of every parameter, of one checkpoint also the bars of 5-95 % of its elements; and beside
    it how far the same parameters moved, the RMS of Δ/α."""
    median, *ends = (
        tuple(chapter.effective_lr(run, f"effective_lr_{name}") for run in chapter.runs)
        for name in ("median", "q05", "q95")
    )
    sides = {} if chapter.is_series else dict(zip(("low", "high"), ends, strict=True))
    moved = _measure(chapter, RELATIVE_MOVEMENT, "relative_update_rms")
    measures = [Measure(EFFECTIVE_LR.label, median, sides), *([moved] if _is_known(moved) else [])]
    note = EFFECTIVE_LR.note if chapter.is_series else f"Bars: 5–95 % of the elements. {EFFECTIVE_LR.note}"
    return plot_measures(chapter, EFFECTIVE_LR, effective_lr_answer(chapter), measures, note)


def gradients_answer(chapter: Chapter) -> str:
    """Return how large the gradients were in the newest window, in words."""
    where = _where(chapter, "window_gradient_rms")
    window = "In the newest window" if where == NEWEST else f"In the window that ends {where}"
    return f"{window} (RMS): {_words(chapter, 'window_gradient_rms')}."


@style.styled
def plot_gradients(chapter: Chapter) -> Figure:
    """Draw the RMS of every parameter's gradients over the run, and what bounds it."""
    values, lows, highs = (
        tuple(run.column(f"window_gradient_rms{end}") for run in chapter.runs) for end in ("", "_low", "_high")
    )
    measure = Measure(GRADIENTS.label, values, {"low": lows, "high": highs})
    sources = {source for run in chapter.runs for source in run.beta_2_sources}
    words = [word for source, word in (("default", "assumed"), ("inferred", "inferred")) if source in sources]
    note = f" β2 is {' and '.join(words)}, and with it all of this." if words else ""
    return plot_measures(chapter, GRADIENTS, gradients_answer(chapter), [measure], GRADIENTS.note + note)


def path_answer(chapter: Chapter) -> str:
    """Return how far the weights are from where they were first, in words."""
    where = _where(chapter, "path_distance")
    far = _words(chapter, "path_distance")
    return f"{where[0].upper()}{where[1:]} an element is so far from where it was first (RMS): {far}."


@style.styled
def plot_path(chapter: Chapter) -> Figure:
    """Draw how far every parameter is from the first checkpoint of its path, and how far it went for each update."""
    measures = [_measure(chapter, PATH.label, "path_distance"), _measure(chapter, DISPLACEMENT, "window_displacement")]
    return plot_measures(chapter, PATH, path_answer(chapter), [each for each in measures if _is_known(each)])
