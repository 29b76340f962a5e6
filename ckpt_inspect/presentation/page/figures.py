"""The figures, each under the question that it answers."""

from __future__ import annotations

from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.contents import Contents, MissingFigure, PageFigure
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class FigureSet:
    """The figures of an optimizer."""

    optimizer: str
    subtitle: str
    """What they were made from; empty if there are none."""
    figures: tuple[tuple[str, PageFigure], ...]
    """Each under its id in the page."""
    missing: tuple[MissingFigure, ...]
    """Those that could not be drawn, with the reason."""


def figure_sets(contents: Contents, anchors: Anchors) -> tuple[FigureSet, ...]:
    """Return the figures by optimizer."""
    sets = []
    optimizers = [*(f.optimizer for f in contents.figures), *(m.optimizer for m in contents.missing)]
    for optimizer in dict.fromkeys(optimizers):
        placed = zip(anchors.figures, contents.figures, strict=True)
        own = tuple((anchor, figure) for anchor, figure in placed if figure.optimizer == optimizer)
        missing = tuple(each for each in contents.missing if each.optimizer == optimizer)
        sets.append(FigureSet(optimizer, own[0][1].subtitle if own else "", own, missing))
    return tuple(sets)
