"""Folders, patterns and paths -> their checkpoints in training order: formats find them, layouts find the step if
names don't decide."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats import Claim, explain_nothing_found, find_claims, open_checkpoint
from ckpt_inspect.series.run import Run, StepOf, run_of, runs_of
from ckpt_inspect.state.optimizer_state import optimizer_states
from ckpt_inspect.storage import PathLike, absolute, as_path, is_folder, without_links


def step_of(path: Path) -> int | None:
    """Return the largest step of a checkpoint's optimizers; None if it can't be read."""
    try:
        with open_checkpoint(path) as checkpoint:
            steps = [s.step.value for s in optimizer_states(checkpoint) if s.step.value is not None]
    except CkptInspectError:
        return None
    return max(steps, default=None)


def find_checkpoints(folder_or_glob: PathLike, step_of: StepOf = step_of) -> tuple[Path, ...]:
    """Find the checkpoints in a folder and below it, behind a glob pattern, or at a path, in training order, each
    once.

    Order: folder by folder; in a folder by the number that grows in the names, else by `step_of`, else by time of
    writing. A damaged file that is named like a checkpoint is listed: opening it raises the error. Raises NotFoundError
    if there is none.
    """
    return tuple(c for run in find_runs([folder_or_glob], step_of) for c in run.checkpoints)


def find_runs(paths: Iterable[PathLike], step_of: StepOf = step_of) -> tuple[Run, ...]:
    """Find the runs in folders, behind glob patterns and at paths: the checkpoints of one folder whose names differ
    only in numbers. Raises NotFoundError for a path without checkpoints."""
    return runs_of(_once(claim for found in _claims(paths) for claim in found), step_of)


def one_run(paths: Iterable[PathLike], step_of: StepOf = step_of) -> Run:
    """Return the checkpoints at all paths as one run, in the order of the paths.

    Those of a folder or pattern stand in training order. The run is named after the first path's folder. Raises
    NotFoundError for a path without checkpoints.
    """
    given = [as_path(path) for path in paths]
    if not given:
        raise NotFoundError("no path was given: name a checkpoint or a folder of them")
    found = _once(claim for claims in _claims(given) for claim in _ordered(claims, step_of))
    run = run_of("", given[0], found)
    folder = given[0] if is_folder(given[0]) else run.checkpoints[0].parent
    return Run(Path(absolute(folder)).name, folder, run.checkpoints, run.claims)


def _ordered(claims: list[Claim], step_of: StepOf) -> list[Claim]:
    """Return the claims in training order."""
    if len(claims) == 1:
        return claims
    by_path = {claim.path: claim for claim in claims}
    return [by_path[path] for run in runs_of(claims, step_of) for path in run.checkpoints]


def _claims(paths: Iterable[PathLike]) -> list[list[Claim]]:
    """Return the claims that each path stands for; NotFoundError for a path without any."""
    given = [as_path(path) for path in paths]
    claims = find_claims(given)
    for path, found in zip(given, claims, strict=True):
        if not found:
            raise explain_nothing_found(path)
    return claims


def _once(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims, each checkpoint once, even if its path is spelled in two ways or leads through links."""
    found: dict[tuple[str, str], Claim] = {}
    places: dict[str, str] = {}
    for claim in claims:
        assert claim.path is not None
        path = as_path(absolute(claim.path))
        folder = str(path.parent)
        if folder not in places:
            places[folder] = without_links(path.parent)
        found.setdefault((places[folder], path.name), claim)
    return list(found.values())
