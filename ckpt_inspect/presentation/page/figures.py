"""The figures, each under the question that it answers."""

from __future__ import annotations

from ckpt_inspect.presentation.page.anchors import Anchors, Link
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
    empty: tuple[tuple[str, PageFigure], ...]
    """Those whose answer is that there is nothing: they have no picture."""
    missing: tuple[MissingFigure, ...]
    """Those that could not be drawn, with the reason."""
    cause: Link | None
    """The finding that is the reason for most of that."""


def figure_sets(contents: Contents, anchors: Anchors) -> tuple[FigureSet, ...]:
    """Return the figures by optimizer."""
    sets = []
    optimizers = [*(f.optimizer for f in contents.figures), *(m.optimizer for m in contents.missing)]
    for optimizer in dict.fromkeys(optimizers):
        placed = zip(anchors.figures, contents.figures, strict=True)
        own = tuple((anchor, figure) for anchor, figure in placed if figure.optimizer == optimizer)
        missing = tuple(each for each in contents.missing if each.optimizer == optimizer)
        empty = tuple(each for each in own if _is_empty(each[1]))
        shown = tuple(each for each in own if each not in empty)
        cause = _cause(contents, optimizer, anchors) if missing else None
        sets.append(FigureSet(optimizer, own[0][1].subtitle if own else "", shown, empty, missing, cause))
    return tuple(sets)


def _is_empty(figure: PageFigure) -> bool:
    return figure.chart is not None and bool(figure.answer) and figure.chart.data.get("panels") == []


def _cause(contents: Contents, optimizer: str, anchors: Anchors) -> Link | None:
    """The finding that the optimizer moves nothing."""
    for run in contents.runs:
        for place, finding in enumerate(run.findings):
            if finding.optimizer == optimizer and finding.id == "inert-state":
                return Link(finding.kind.title, anchors.findings[run.name, place])
    return None
