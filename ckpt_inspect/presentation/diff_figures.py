"""A diff to its figures: what changed, whether larger rates moved weights further, and both distributions of E."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckpt_inspect.errors import CkptInspectError, RequestError, StoreError
from ckpt_inspect.state.given import Given

if TYPE_CHECKING:
    from ckpt_inspect.comparison.differences import Diff
    from ckpt_inspect.presentation.plots import Chapter


def write_diff_figures(
    diff: Diff,
    path: Path,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> tuple[Path, ...]:
    """Draw into `path` what changed, and beside it, where both checkpoints have effective learning rates, the weights'
    change by rate (`-by-rate`) and for each optimizer the distributions of E laid over each other (`-distributions`).

    The checkpoints are read once more for their distributions. The suffix is the format. Raises StoreError where the
    files can't be written.
    """
    from ckpt_inspect.presentation.plots import plot_change_by_rate, plot_diff, plot_distributions
    from ckpt_inspect.presentation.report import file_slugs
    from ckpt_inspect.runs.analyses import checkpoint_names

    names = checkpoint_names([diff.path_a, diff.path_b])
    frame = diff.to_frame()
    figures = {path: plot_diff(frame, *names)}
    try:
        figures[_beside(path, "by-rate")] = plot_change_by_rate(frame, *names)
    except RequestError:  # no parameter has a rate and moved: the first figure says all there is
        return _write(figures)
    chapters = _chapters(diff, names, given, include, exclude)
    for chapter, slug in zip(chapters, file_slugs([chapter.optimizer for chapter in chapters]), strict=True):
        tail = "distributions" if len(chapters) == 1 else f"{slug}-distributions"
        figures[_beside(path, tail)] = plot_distributions(chapter)
    return _write(figures)


def _chapters(
    diff: Diff,
    names: list[str],
    given: Given | None,
    include: Iterable[str] | None,
    exclude: Iterable[str] | None,
) -> list[Chapter]:
    """Each optimizer that both checkpoints have, as two runs of one checkpoint; none where one can't be analysed."""
    from ckpt_inspect.presentation.plots import RunFrames, chapters
    from ckpt_inspect.runs.analyze import analyze

    try:
        both = [analyze(path, given=given, include=include, exclude=exclude) for path in (diff.path_a, diff.path_b)]
    except CkptInspectError:
        return []
    frames = [
        RunFrames(name, run.to_frame("parameters"), run.to_frame("histogram"))
        for name, run in zip(names, both, strict=True)
    ]
    return [c for c in chapters(frames) if len(c.runs) == 2 and c.has_learning_rates]


def _beside(path: Path, tail: str) -> Path:
    return path.with_name(f"{path.stem}-{tail}{path.suffix}")


def _write(figures: Mapping[Path, Any]) -> tuple[Path, ...]:
    from ckpt_inspect.presentation.report import rendered

    try:
        for path, figure in figures.items():
            path.write_bytes(rendered(figure, path.suffix[1:].lower()))
    except OSError as error:
        raise StoreError(f"{path}: the figure can't be written: {error.strerror or error}") from None
    return tuple(figures)
