"""What each figure draws of every parameter, by the figures' ids: pictures and the page's charts draw the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.presentation.figures import questions
from ckpt_inspect.presentation.figures.chapter import Chapter
from ckpt_inspect.presentation.figures.spread import distance, positive
from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.records import dataclass

MOST_LINES = 8
"""Up to as many parameters have a line each in a panel; of more the fan of all is drawn, and the outermost by name."""
MOST_NAMED = 4


@dataclass(frozen=True, eq=False)
class Measure:
    """A quantity of each parameter over the runs of a chapter."""

    label: str
    """Of its axis, with the unit."""
    values: tuple[Floats, ...]
    """By run (K, P); NaN if it is not known."""
    bounds: tuple[tuple[Floats, Floats], ...] = ()
    """By run what is drawn around it, the least and the most, (K, P) each; empty if it has no such."""
    bounds_label: str = ""
    usual: questions.Usual | None = None
    title: str = ""
    """Of its panels, if it has any of its own."""
    concerns: NDArray[np.intp] | None = None
    """Positions of the parameters that have a place in it; None: all."""
    is_beside: bool = False
    """Whether it is there to be compared with the first, and has a figure of its own."""

    @property
    def is_share(self) -> bool:
        """Return whether it is a share, on an axis from 0 up; any other is positive, on a logarithmic axis."""
        return self.label == questions.SHARES.label

    def at(self, kept: Sequence[NDArray[np.intp]]) -> Measure:
        """Return the same at some of each run's checkpoints, by their positions."""
        values = tuple(of_run[at] for of_run, at in zip(self.values, kept, strict=True))
        bounds = tuple((low[at], high[at]) for (low, high), at in zip(self.bounds, kept, strict=False))
        return replace(self, values=values, bounds=bounds)

    @property
    def is_known(self) -> bool:
        """Return whether it has any value above 0."""
        return any(bool((values > 0).any()) for values in self.values)


def measures_of(figure: str, chapter: Chapter) -> list[Measure] | None:
    """Return what the figure of that id draws; of several runs, which are compared parameter by parameter, there is
    room for the first alone. None if it draws no quantity of each parameter."""
    return _MEASURES[figure](chapter) if figure in _MEASURES else None


def concerned(measures: Sequence[Measure]) -> NDArray[np.intp] | None:
    """Return the positions of the parameters that have a place in any of these; None: all have."""
    of_each = [measure.concerns for measure in measures if measure.concerns is not None]
    return np.unique(np.concatenate(of_each)) if of_each else None


def named(chapter: Chapter, measures: Sequence[Measure]) -> Iterator[dict[str, NDArray[np.intp]]]:
    """Yield for each measure, by kind, the parameters that have a line of their own: of many those that stand out most,
    in all measures those of the first but where each concerns some."""
    for measure in measures:
        scores = standing_out(measures[0] if measure.concerns is None else measure)
        outermost = chapter.telling(scores, MOST_NAMED, measure.concerns)
        kinds = chapter.kinds(measure.concerns).items()
        yield {kind: members if len(members) <= MOST_LINES else outermost[kind] for kind, members in kinds}


def standing_out(measure: Measure) -> Floats:
    """Return (P,) how much each parameter stands out, in that of the runs in which it does most: its largest share, of
    equal ones the newest, or how far its newest value is from the middle of all."""
    known = [np.nan_to_num(of_run) if measure.is_share else positive(of_run) for of_run in measure.values]
    out = [each.max(axis=0) + 1e-6 * each[-1] if measure.is_share else distance(each) for each in known]
    found: Floats = np.fmax.reduce(out)
    return found


def _of(chapter: Chapter, label: str, column: str) -> Measure:
    return Measure(label, tuple(run.column(column) for run in chapter.runs))


def _bounded(label: str, values: Sequence[Floats], low: Sequence[Floats], high: Sequence[Floats], text: str) -> Measure:
    return Measure(label, tuple(values), tuple(zip(low, high, strict=True)), text)


def _movement(chapter: Chapter) -> list[Measure]:
    """The RMS of the last update Δ, and of Δ/α if α changes over the run: of several runs that alone."""
    measures = [_of(chapter, questions.MOVEMENT.label, "update_rms")]
    relative = _of(chapter, questions.RELATIVE_MOVEMENT, "relative_update_rms")
    if relative.is_known and any(run.is_scheduled for run in chapter.runs):
        return [relative] if len(chapter.runs) > 1 else [*measures, relative]
    return measures


def _update_to_weight(chapter: Chapter) -> list[Measure]:
    asks = questions.UPDATE_TO_WEIGHT
    return [Measure(asks.label, _of(chapter, "", "update_to_weight").values, usual=asks.usual)]


def _effective_lr(chapter: Chapter) -> list[Measure]:
    """The median of E/α, and how far the same parameters moved: the RMS of Δ/α."""
    of = {q: [chapter.effective_lr(run, f"effective_lr_{q}") for run in chapter.runs] for q in ("median", "q05", "q95")}
    median = _bounded(questions.EFFECTIVE_LR.label, of["median"], of["q05"], of["q95"], "5–95 % of its elements")
    moved = _of(chapter, questions.RELATIVE_MOVEMENT, "relative_update_rms")
    return [median, *([Measure(moved.label, moved.values, is_beside=True)] if moved.is_known else [])]


def _gradients(chapter: Chapter) -> list[Measure]:
    rms, low, high = (_of(chapter, "", f"window_gradient_rms{end}").values for end in ("", "_low", "_high"))
    return [_bounded(questions.GRADIENTS.label, rms, low, high, "bounds of the unweighted RMS")]


def _path(chapter: Chapter) -> list[Measure]:
    distance = _of(chapter, questions.PATH.label, "path_distance")
    moved = _of(chapter, questions.DISPLACEMENT, "window_displacement")
    return [each for each in (distance, moved) if each.is_known or each is distance]


def _shares(chapter: Chapter) -> list[Measure]:
    """A measure for each share that concerns any parameter at all."""
    found = []
    for column, label in questions.SHARE_LABELS.items():
        values = [run.column(column) for run in chapter.runs]
        affected = np.flatnonzero(
            np.any([(np.nan_to_num(v) >= questions.LEAST_SHARE).any(axis=0) for v in values], axis=0)
        )
        if affected.size:
            found.append(Measure(questions.SHARES.label, tuple(values), title=label, concerns=affected))
    return found


_MEASURES: Mapping[str, Callable[[Chapter], list[Measure]]] = {
    questions.MOVEMENT.id: _movement,
    questions.UPDATE_TO_WEIGHT.id: _update_to_weight,
    questions.EFFECTIVE_LR.id: _effective_lr,
    questions.GRADIENTS.id: _gradients,
    questions.PATH.id: _path,
    questions.SHARES.id: _shares,
}
