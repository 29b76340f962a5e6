"""What a page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.findings.finding import Finding
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.measurement.wording import counted
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from pandas import DataFrame

    from ckpt_inspect.comparison.segments import Segment


@dataclass(frozen=True, slots=True, eq=False)
class PageRun:
    """One run: its frames, as `Analyses.to_frame(kind)` gives them, and what was found in it."""

    name: str
    """Unique among the runs of the page."""
    parameters: DataFrame
    checkpoints: DataFrame
    problems: DataFrame
    findings: tuple[Finding, ...]
    """The most severe first."""
    segments: tuple[Segment, ...] = ()
    """In order; empty if they are not known."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as a picture inside the page."""

    png: bytes
    width: int
    """Pixels."""
    height: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure that the page's script draws, in the page's colours."""

    kind: str
    """Which drawing of `assets/charts/`."""
    title: str
    data: JsonObject
    """What is drawn; NaN is null there, and names are made printable."""
    alternative: str
    """What it shows, in words: for those who don't see it, and where no script runs."""


@dataclass(frozen=True, slots=True)
class PageFigure:
    """One figure of an optimizer, under its question."""

    optimizer: str
    question: str
    caption: str
    """How to read it."""
    subtitle: str
    """What it was made from, the same for all figures of the optimizer."""
    file: str
    """Name of the file beside the page; empty if the page alone has it."""
    metrics: tuple[str, ...]
    """The variables that it shows; findings link to figures by them."""
    picture: Picture | None = None
    chart: Chart | None = None
    """Shown instead of a picture."""
    answer: str = ""
    """In a sentence; stands above the caption."""


@dataclass(frozen=True, slots=True)
class MissingFigure:
    """A question that has no figure, and why, in half a sentence."""

    optimizer: str
    question: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a page shows."""

    runs: Sequence[PageRun]
    figures: Sequence[PageFigure]
    """By optimizer, in the order in which they are shown."""
    missing: Sequence[MissingFigure]
    problems: Sequence[Problem]
    """Of drawing, beside those that the runs hold."""
    version: str
    """Of the package."""
    reload: float | None = None
    """Seconds after which it loads itself anew; None if it is not about a training that goes on."""

    @property
    def title(self) -> str:
        """Return what the page is called."""
        names = [run.name for run in self.runs]
        return names[0] if len(names) == 1 else f"{counted(len(names), 'run')}: {', '.join(names)}"
