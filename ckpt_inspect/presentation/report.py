"""Analyses to a folder of figures and a page: a set per optimizer, several runs laid over each other."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ckpt_inspect.checkpoint import Problem, Progress
from ckpt_inspect.errors import CkptInspectError, RequestError, StoreError
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.presentation.shown_names import distinct
from ckpt_inspect.presentation.written_files import cause_of, write_whole
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ckpt_inspect.comparison.segments import Segment
    from ckpt_inspect.findings.finding import Finding
    from ckpt_inspect.presentation.page import PageFigure, PageRun, Picture
    from ckpt_inspect.presentation.plots import Chapter, FigureKind, RunFrames

FILE_FORMATS = ("png", "svg", "pdf")
PAGE = "index.html"
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""What matplotlib would write into a file that differs from day to day and version to version."""


class ReportedRun(Protocol):
    """What a report needs of a run: frames and findings, whoever made them."""

    @property
    def run(self) -> str:
        """Return the run's name."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what deserves a person's attention, the most severe first."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Return its segments, in order."""

    def __len__(self) -> int:
        """Number of checkpoints."""

    def to_frame(self, kind: str = "parameters", checkpoints: Sequence[int] | None = None) -> DataFrame:
        """Return the tidy frame of that kind, of those checkpoints (by index)."""


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """One figure of a report, and the file that it is in."""

    id: str
    """The figure's kind (`effective-lr`), the same in every report."""
    optimizer: str
    question: str
    """Its title: what it answers."""
    caption: str
    """How to read it."""
    subtitle: str
    """What it was made from: runs, optimizer, rule, nominal learning rate and where that comes from."""
    file: Path
    answer: str = ""
    """The answer in words, as it stands in the figure."""


@dataclass(frozen=True, slots=True)
class Omission:
    """A figure that could not be drawn of an optimizer."""

    id: str
    optimizer: str
    reason: str
    """Half a sentence: `it shows a run, and there is one checkpoint`."""


_SLUG = 80
"""Letters of a file's name that an optimizer's may take; of a longer one the beginning and the end."""


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What `write_report` wrote."""

    folder: Path
    figures: tuple[ReportFigure, ...]
    """By optimizer, then in the order in which the page shows them."""
    omitted: tuple[Omission, ...]
    page: Path
    """The file that shows it all, findings and parameters too; it needs no other file and no network."""
    problems: tuple[Problem, ...] = ()
    """What was odd about the runs, and what was done about it."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Return every figure's file, in the order of `figures`."""
        return tuple(figure.file for figure in self.figures)

    def __repr__(self) -> str:
        from ckpt_inspect.presentation.reprs import report_repr

        return report_repr(self.page, self.files, len(self.omitted))


def write_report(
    runs: Sequence[ReportedRun],
    folder: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    file_format: str = "png",
    figures: Sequence[str] | None = None,
    progress: Progress | None = None,
    reload: float | None = None,
) -> Report:
    """Draw figures of every optimizer into `folder`, made if it doesn't exist, and a page that shows them all.

    `figures`: their ids, or `all`; by default those that a person acts on.

    `runs` are drawn over each other, called by `names` (default: their own). Files are named
    `<optimizer>-<number>-<figure>.<format>`, always the same for the same figure, and `index.html`; those of an earlier
    report are replaced, each at once. The same runs give the same bytes. `reload`: seconds after which an open page
    loads itself anew, until `end_reloading`.

    Raises RequestError for an unknown `file_format`, no runs, or runs without anything to draw; StoreError if the
    folder can't be written.
    """
    from ckpt_inspect._version import __version__
    from ckpt_inspect.presentation.page import Contents, MissingFigure, page_html
    from ckpt_inspect.presentation.page.charts import ChartMaker
    from ckpt_inspect.presentation.page_figures import charts_alone, page_figure
    from ckpt_inspect.presentation.plots import chapters, chosen_figures

    if file_format not in FILE_FORMATS:
        raise RequestError(f"figures can't be written as {file_format!r}: choose one of {', '.join(FILE_FORMATS)}")
    kinds = chosen_figures(figures)
    is_whole = figures is None or "all" in figures
    frames = _frames(runs, names, {kind.asks.needs for kind in kinds} | ({"histogram"} if is_whole else set()))
    drawn = chapters(frames)
    makers = {chapter: ChartMaker(chapter) for chapter in drawn}
    target = _made_folder(Path(folder))
    written: list[ReportFigure] = []
    shown: list[PageFigure] = []
    omitted: list[Omission] = []
    missing: list[MissingFigure] = []
    for done, (chapter, kind, stem) in enumerate(_jobs(drawn, kinds)):
        if progress is not None:
            progress(done, len(drawn) * len(kinds))
        reason = kind.reason_to_omit(chapter)
        if reason is not None:
            omitted.append(Omission(kind.id, chapter.optimizer, reason))
            missing.append(MissingFigure(chapter.optimizer, kind.question, reason))
            continue
        figure, file = kind.plot(chapter), target / f"{stem}.{file_format}"
        content = rendered(figure, file_format)
        write_whole(content, file)
        subtitle = " · ".join(chapter.subtitle)
        answer = kind.answer(chapter)
        written.append(
            ReportFigure(kind.id, chapter.optimizer, kind.question, kind.asks.caption, subtitle, file, answer)
        )
        picture = partial(_picture, figure, content if file_format == "png" else None)
        shown.append(page_figure(makers[chapter], kind, answer, file.name, picture))
    if is_whole:
        shown += [each for maker in makers.values() for each in charts_alone(maker, kinds)]
    problems = _problems(drawn)
    page = target / PAGE
    contents = Contents(_page_runs(runs, frames), shown, missing, problems, __version__, reload)
    write_whole(page_html(contents).encode("utf-8"), page)
    if progress is not None:
        progress(len(drawn) * len(kinds), len(drawn) * len(kinds))
    return Report(target, tuple(written), tuple(omitted), page, problems)


def end_reloading(folder: str | os.PathLike[str]) -> None:
    """Have the page in a folder, if there is one, not load itself anew any more."""
    from ckpt_inspect.presentation.page import without_reloading

    page = Path(folder) / PAGE
    if page.is_file() and (text := without_reloading(before := page.read_text("utf-8"))) != before:
        write_whole(text.encode("utf-8"), page)


def _picture(figure: Figure, png: bytes | None) -> Picture:
    """The figure, drawn, as the page shows it: without title and answer, which stand above it there."""
    from ckpt_inspect.presentation.page import Picture
    from ckpt_inspect.presentation.plots.sheet import header_height, page_picture

    return Picture(*page_picture(png or rendered(figure), header_height(figure)))


def _page_runs(runs: Sequence[ReportedRun], frames: Sequence[RunFrames]) -> list[PageRun]:
    from ckpt_inspect.presentation.page import PageRun

    return [
        PageRun(
            frame.name,
            frame.parameters,
            run.to_frame("checkpoints"),
            run.to_frame("problems"),
            run.findings,
            frame.segments,
        )
        for run, frame in zip(runs, frames, strict=True)
    ]


def rendered(figure: Figure, file_format: str = "png") -> bytes:
    """Return the figure as a file's bytes: the same for the same figure, whatever the day and the caller's settings."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ckpt-inspect", "svg.fonttype": "path", "pdf.fonttype": 42}):
        if file_format == "png" and isinstance(figure.canvas, FigureCanvasAgg):
            # `savefig` draws twice, first to lay it out
            figure.canvas.print_png(buffer, metadata=_METADATA["png"])  # type: ignore[no-untyped-call]  # so it is
        else:
            figure.savefig(buffer, format=file_format, metadata=_METADATA[file_format])
    return buffer.getvalue()


def _frames(runs: Sequence[ReportedRun], names: Sequence[str] | None, needs: Collection[str]) -> list[RunFrames]:
    if names is None:
        names = [run.run for run in runs]
    if len(names) != len(runs):
        raise RequestError(f"{len(runs)} runs can't be called by {len(names)} names: give one for each")
    return [_run_frames(name, run, needs) for name, run in zip(distinct(names), runs, strict=True)]


def _run_frames(name: str, run: ReportedRun, needs: Collection[str]) -> RunFrames:
    """A run's frames, those that figures need; bins of no more checkpoints than are drawn, because there are many."""
    from ckpt_inspect.presentation.page.charts import slider_checkpoints
    from ckpt_inspect.presentation.plots import RunFrames, chosen_checkpoints

    parameters = run.to_frame("parameters")
    histogram = None
    if "histogram" in needs:
        # An optimizer need not be in every checkpoint: which few are drawn is chosen among its own
        with_bins = sorted(
            {
                int(own[at])
                for _, rows in parameters.groupby("optimizer", sort=False, observed=True)
                for own in (rows["checkpoint_index"].unique(),)
                for at in {*chosen_checkpoints(len(own)), *slider_checkpoints(len(own), rows["parameter"].nunique())}
            }
        )
        histogram = run.to_frame("histogram", with_bins)
    return RunFrames(name, parameters, histogram, run.segments)


def _jobs(drawn: Sequence[Chapter], kinds: Sequence[FigureKind]) -> Iterator[tuple[Chapter, FigureKind, str]]:
    """These figures of every chapter, and each one's file's name without the ending."""
    from ckpt_inspect.presentation.plots import FIGURES

    for chapter, slug in zip(drawn, file_slugs([chapter.optimizer for chapter in drawn]), strict=True):
        for kind in kinds:
            yield chapter, kind, f"{slug}-{FIGURES.index(kind) + 1}-{kind.id}"


def file_slugs(optimizers: Sequence[str]) -> list[str]:
    """Return what stands for each optimizer in the names of its files: plain, and no two alike."""
    slugs = [re.sub(r"[^a-z0-9]+", "-", optimizer.lower()).strip("-") or "optimizer" for optimizer in optimizers]
    slugs = [s if len(s) <= _SLUG else f"{s[: _SLUG // 2]}-{s[-_SLUG // 2 :]}" for s in slugs]
    return distinct(slugs, "{}-{}".format)


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Raise StoreError, before any work is done, if a report can't be written there; makes nothing."""
    existing = Path(folder)
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise _unwritable(Path(folder), NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unwritable(Path(folder), PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _made_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _unwritable(folder: Path, error: OSError) -> CkptInspectError:
    return StoreError(f"{folder}: the report can't be written there ({cause_of(error)}): give another folder")


def _problems(drawn: Sequence[Chapter]) -> tuple[Problem, ...]:
    problems = []
    for chapter in drawn:
        if chapter.is_series and not chapter.has_steps:
            problems.append(
                Problem(
                    "steps-not-drawn",
                    f"The steps of {spoken_name(chapter.optimizer)} are not known, or do not rise, in every "
                    "checkpoint.",
                    "Figures show the checkpoints in training order, evenly spaced.",
                    "info",
                )
            )
        if chapter.is_relative:
            problems.append(
                Problem(
                    "learning-rate-not-drawn",
                    f"The nominal learning rate of {spoken_name(chapter.optimizer)} is not known in every checkpoint.",
                    "Figures show E/α, the effective learning rate relative to the nominal one.",
                    "info",
                )
            )
    return tuple(problems)
