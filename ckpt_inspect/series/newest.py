"""A folder or a pattern stands for its newest checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ckpt_inspect import formats
from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats import NEWEST_FILES, is_recognised
from ckpt_inspect.series.run import Run
from ckpt_inspect.series.search import count_checkpoints, find_runs
from ckpt_inspect.storage import Location, NoAnswerError, PathLike, as_path, is_pattern, locate, stat


def open_checkpoint(path: PathLike) -> Checkpoint:
    """Open a checkpoint: a prefix, `.index`, `.data-*`, SavedModel folder, V1 file or pattern, `.h5`, `.keras`,
    `.weights.h5`. For a folder of checkpoints, or the `checkpoint` file in it, open the newest.

    Raises NotFoundError (nothing there), DamagedFileError or UnsupportedError, each with the path, the cause and what
    to do; RequestError for a glob pattern.
    """
    folder = _folder_meant(locate(as_path(path)))
    return formats.open_checkpoint(path) if folder is None else _open(_newest_in(folder))


def open_newest(path: PathLike) -> tuple[Checkpoint, tuple[Problem, ...]]:
    """Open as `open_checkpoint` does; for a glob pattern, open the newest checkpoint that it matches.

    If there were several, a Problem reports which one was opened. Raises CkptInspectError if it can't be opened.
    """
    place = as_path(path)
    location = locate(place)
    folder = _folder_meant(location)
    if folder is not None:
        newest = _newest_in(folder)
    elif location.kind == "absent" and is_pattern(place) and not is_recognised(location):
        newest = _last_of(find_runs([place]))
    else:
        return formats.open_checkpoint(place), ()
    if newest.among == 1:
        return _open(newest), ()
    chosen = Problem(
        "newest-chosen",
        f"{path} holds {newest.among} checkpoints",
        f"the newest was taken: {newest.path}",
        "info",
    )
    return _open(newest), (chosen,)


class _Newest(NamedTuple):
    path: Path
    among: int
    """Checkpoints that it was chosen among."""
    problems: tuple[Problem, ...] = ()
    """What was odd when it was searched for."""


def _open(newest: _Newest) -> Checkpoint:
    checkpoint = formats.open_checkpoint(newest.path)
    checkpoint.problems = (*newest.problems, *checkpoint.problems)
    return checkpoint


def _folder_meant(location: Location) -> Path | None:
    """Return the folder whose newest checkpoint is meant; None for a checkpoint's own path, or if nothing is there."""
    path = location.path
    if location.kind == "folder":
        return None if is_recognised(location) else path
    files = [known for known in NEWEST_FILES if known.name == path.name and location.kind == "file"]
    names_newest = files and not is_recognised(location) and any(known.read(path) for known in files)
    return path.parent if names_newest else None


def _newest_in(folder: Path) -> _Newest:
    """Return the checkpoint that a file in the folder names as the newest, else the last one of the last run."""
    problems: tuple[Problem, ...] = ()
    for known in NEWEST_FILES:
        place = folder / known.name
        try:
            if stat(place).kind != "file" or not (name := known.read(place)):
                continue
            path, problems = known.resolve(name, folder)
            if is_recognised(locate(path)):
                return _Newest(path, count_checkpoints(folder), problems)
            text = f"{place}: names {name}, which is not here"
            problems = (Problem("state-file-stale", text, "the last one found here was taken"),)
        except NoAnswerError:
            raise
        except CkptInspectError as error:  # of the file, or of what it names
            what = str(error) if str(error).startswith(f"{place}: ") else f"{place}: names what can't be read: {error}"
            problems = (Problem("state-file-unreadable", what, "the last one found here was taken"),)
    runs = find_runs([folder])
    newest = _last_of(runs)
    if len(runs) > 1:
        text = f"{folder}: holds the checkpoints of {len(runs)} runs: {', '.join(run.name for run in runs)}"
        several = Problem("several-runs", text, f"the last of the last run was taken, {newest.path}", "info")
        problems = (*problems, several)
    return newest._replace(problems=problems)


def _last_of(runs: tuple[Run, ...]) -> _Newest:
    return _Newest(runs[-1].checkpoints[-1], sum(len(run.checkpoints) for run in runs))
