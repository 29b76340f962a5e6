"""A diff to its figures: what changed, whether larger rates moved weights further, and both distributions of E."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.errors import CkptInspectError, RequestError
from ckpt_inspect.presentation.written_files import write_whole
from ckpt_inspect.sourced import quoted
from ckpt_inspect.state.given import Given

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.comparison.differences import Differences
    from ckpt_inspect.presentation.plots import Chapter


def write_diff_figures(
    diff: Differences,
    path: Path,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> tuple[Path, ...]:
    """Draw into `path` what changed, and beside it, if both checkpoints have effective learning rates, the weights'
    change by rate (`-by-rate`) and for each optimizer the distributions of E laid over each other (`-distributions`).

    The checkpoints are read once more for their distributions. The suffix is the format. Raises RequestError for a
    suffix that isn't one, StoreError if the files can't be written.
    """
    from ckpt_inspect.presentation.plots import FIGURES, plot_change_by_rate, plot_diff
    from ckpt_inspect.presentation.report import file_slugs
    from ckpt_inspect.runs.frames import diff_frame
    from ckpt_inspect.series.names import checkpoint_names

    format_of(path)
    names = name_a, name_b = checkpoint_names([diff.path_a, diff.path_b])
    frame, doubts = diff_frame(diff), diff_doubts(diff)
    figures = {path: plot_diff(frame, name_a, name_b, doubts)}
    try:
        figures[_beside(path, "by-rate")] = plot_change_by_rate(frame, name_a, name_b, doubts)
    except RequestError:  # no parameter has a rate and moved: the first figure says all there is
        return _write(figures)
    (distributions,) = (kind for kind in FIGURES if kind.id == "distributions")
    chapters = _chapters(diff, names, given, include, exclude)
    for chapter, slug in zip(chapters, file_slugs([chapter.optimizer for chapter in chapters]), strict=True):
        tail = "distributions" if len(chapters) == 1 else f"{slug}-distributions"
        figures[_beside(path, tail)] = distributions.plot(chapter)
    return _write(figures)


def diff_doubts(diff: Differences) -> tuple[str, ...]:
    """Return the values that effective learning rates rest on although nobody read them, or the two checkpoints refute
    them: each with its source, and with the checkpoint if it is not so in both."""
    found: dict[str, list[str]] = {}
    for optimizer in diff.optimizers:
        for h in optimizer.hyperparameters:
            for side, sourced, against in (("A", h.a, h.against_a), ("B", h.b, h.against_b)):
                is_doubtful = sourced.source in ("default", "inferred") or bool(against)
                if isinstance(sourced.value, float) and sourced.value and is_doubtful:
                    found.setdefault(f"{h.name} {quoted(sourced.value, sourced.source, against)}", []).append(side)
    return tuple(text if {"A", "B"} <= set(sides) else f"{text} in {sides[0]}" for text, sides in found.items())


def format_of(path: Path) -> str:
    """Return the format of a figure's file by its suffix. Raises RequestError for one that figures can't have."""
    from ckpt_inspect.presentation.report import FILE_FORMATS

    if (suffix := path.suffix.lower().removeprefix(".")) not in FILE_FORMATS:
        *others, last = FILE_FORMATS
        raise RequestError(f"'{path}' must end in .{', .'.join(others)} or .{last}")
    return suffix


def _chapters(
    diff: Differences,
    names: list[str],
    given: Given | None,
    include: Iterable[str] | None,
    exclude: Iterable[str] | None,
) -> list[Chapter]:
    """Each optimizer that both checkpoints have, as two runs of one checkpoint; none if one can't be analysed."""
    from ckpt_inspect.presentation.plots import RunFrames, chapters
    from ckpt_inspect.runs.analyze import analyze
    from ckpt_inspect.runs.frames import frame
    from ckpt_inspect.series.search import one_run
    from ckpt_inspect.storage import absolute

    try:
        together = one_run([diff.path_a, diff.path_b])  # so that they tell of each other what they told the diff
        run = analyze(together, given=given, include=include, exclude=exclude, infer=diff.infers)
    except CkptInspectError:
        return []
    rows = {str(path): row for row, path in enumerate(run.checkpoints["path"])}
    places = [rows.get(absolute(path)) for path in (diff.path_a, diff.path_b)]
    # a parameter that goes by another name in the second checkpoint is called so in both, as in the table
    named = {"parameter": {before: name for name, before in diff.renamed.items()}}
    parameters, histogram = (frame(run, kind).replace(named) for kind in ("parameters", "histogram"))
    frames = [
        RunFrames(
            name,
            parameters[parameters["checkpoint_index"] == row],
            histogram[histogram["checkpoint_index"] == row],
        )
        for name, row in zip(names, places, strict=True)
        if row is not None
    ]
    if len(frames) < 2 or any(not len(each.parameters) for each in frames):
        return []
    found = chapters(frames, are_checkpoints=True)
    return [c for c in found if len(c.runs) == 2 and c.has_learning_rates]


def _beside(path: Path, tail: str) -> Path:
    return path.with_name(f"{path.stem}-{tail}{path.suffix}")


def _write(figures: Mapping[Path, Figure]) -> tuple[Path, ...]:
    from ckpt_inspect.presentation.report import rendered

    for path, figure in figures.items():
        write_whole(rendered(figure, format_of(path)), path)
    return tuple(figures)
