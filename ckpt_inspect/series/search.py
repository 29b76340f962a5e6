"""Folders, patterns and paths -> their checkpoints in training order: formats find them, their optimizers' counters
and names order them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats import Claim, explain_nothing_found, find_claims, find_claims_among, open_checkpoint
from ckpt_inspect.series.run import (
    Held,
    HeldBy,
    Run,
    are_counted_on,
    are_numbered_on,
    in_training_order,
    run_of,
    runs_of,
)
from ckpt_inspect.series.survey import Survey
from ckpt_inspect.state.optimizer_state import optimizer_states
from ckpt_inspect.storage import PathLike, absolute, as_path, is_folder, without_links


def held_by(path: Path) -> Held:
    """Return the largest step of a checkpoint's optimizers, and what they train; nothing if it can't be read."""
    try:
        with open_checkpoint(path) as checkpoint:
            states = optimizer_states(checkpoint)
    except CkptInspectError:
        return Held(None)
    parameters = frozenset((p.name, p.shape) for state in states for p in state.parameters.values())
    return Held(max((s.step.value for s in states if s.step.value is not None), default=None), parameters)


def find_checkpoints(folder_or_glob: PathLike, held_by: HeldBy = held_by) -> tuple[Path, ...]:
    """Find the checkpoints in a folder and below it, behind a glob pattern, or at a path, in training order, each
    once.

    Order: folder by folder; in a folder run by run, by the optimizers' counters (`held_by`) where they are known and
    differ, else by the numbers in the names, else by time of writing. A damaged file that is named like a checkpoint is
    listed: opening it raises the error. Raises NotFoundError if there is none.
    """
    return tuple(c for run in find_runs([folder_or_glob], held_by) for c in run.checkpoints)


def find_runs(paths: Iterable[PathLike], held_by: HeldBy = held_by, survey: Survey | None = None) -> tuple[Run, ...]:
    """Find the runs in folders, behind glob patterns and at paths: the checkpoints of one folder whose names differ
    only in numbers, and that have parameters in common. Checkpoints in a folder each (`epoch_1/model.keras`, ..) are a
    run of the folder above. A run that is the only one takes the `survey` with it, which was made of the one folder
    that is searched. Raises NotFoundError for a path without checkpoints."""
    runs = runs_of(_once(claim for found in _claims(paths) for claim in found), functools.cache(held_by))
    return (replace(runs[0], survey=survey),) if len(runs) == 1 else runs


def count_checkpoints(path: PathLike) -> int:
    """Return how many checkpoints are in a folder, behind a pattern or at a path; opens none."""
    return len(_once(claim for found in _claims([path]) for claim in found))


def claims_now(paths: Iterable[PathLike]) -> list[Claim]:
    """Return the checkpoints that paths stand for at the moment, each once; none for a path that leads to nothing."""
    return _once(claim for found in find_claims([as_path(path) for path in paths]) for claim in found)


def one_run(paths: Iterable[PathLike], held_by: HeldBy = held_by, survey: Survey | None = None) -> Run:
    """Return the checkpoints at all paths as one run, in the order of the paths.

    Those of a folder or pattern stand in training order. The run is named after the first path's folder. `survey` as in
    `find_runs`. Raises NotFoundError for a path without checkpoints.
    """
    given = [as_path(path) for path in paths]
    if not given:
        raise NotFoundError("no path was given: name a checkpoint or a folder of them")
    look = functools.cache(held_by)
    parts = [part for claims in _claims(given) for part in _ordered(claims, look)]
    run = run_of("", given[0], _once(claim for part in parts for claim in part))
    folder = given[0] if is_folder(given[0]) else run.checkpoints[0].parent
    own = survey if len(parts) == 1 else None
    return Run(Path(absolute(folder)).name, folder, run.checkpoints, run.claims, own)


def next_in(
    folder: Path, before: Sequence[Path], files: Iterable[str], folders: Iterable[str] = (), held_by: HeldBy = held_by
) -> Run | None:
    """Return the run of some checkpoints in a folder, or in folders of it, the newest of theirs, with those after them
    that files and folders make that have come there.

    `files`, `folders`: all names in question, also of those before. None unless the names of all of them are numbered
    on, and the counters in them as well.
    """
    claims = [claim for claim in find_claims_among(folder, files) if claim.path is not None]
    claims += [claim for found in find_claims([folder / name for name in folders]) for claim in found]
    if not before or len(claims) <= len(before):
        return None
    look = functools.cache(held_by)
    runs = runs_of(claims, look)
    if len(runs) > 1 or runs[0].folder != folder or runs[0].checkpoints[: len(before)] != tuple(before):
        return None
    found = runs[0].checkpoints
    is_next = are_numbered_on([str(path.relative_to(folder)) for path in found])
    return runs[0] if is_next and are_counted_on([look(path).step for path in found[len(before) - 1 :]]) else None


def runs_named(paths: Iterable[PathLike], held_by: HeldBy = held_by) -> tuple[Run, ...]:
    """Return the runs that paths stand for: checkpoints that are named one by one are one run, in training order; those
    of folders and patterns are as `find_runs` finds them. Raises NotFoundError for a path without checkpoints."""
    given = [as_path(path) for path in paths]
    if not given:
        raise NotFoundError("no path was given: name a checkpoint or a folder of them")
    look = functools.cache(held_by)
    singles: list[Claim] = []
    others: list[Claim] = []
    for path, found in zip(given, _claims(given), strict=True):
        is_one = len(found) == 1 and (not is_folder(path) or found[0].path == path)
        (singles if is_one else others).extend(found)
    alone = in_training_order(_once(singles), look) if singles else []
    named = {claim.path for claim in alone}
    runs = runs_of((claim for claim in _once([*alone, *others]) if claim.path not in named), look)
    if not alone:
        return runs
    first = run_of("", given[0], alone).checkpoints[0]
    return (run_of(Path(absolute(first.parent)).name, first.parent, alone), *runs)


def _ordered(claims: list[Claim], held_by: HeldBy) -> list[Sequence[Claim]]:
    """Return the claims run by run, in training order."""
    return [claims] if len(claims) == 1 else [run.claims for run in runs_of(claims, held_by)]


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
        folder, _, name = absolute(claim.path).rpartition("/")  # no Path, which costs more than all the rest
        if folder not in places:
            places[folder] = without_links(as_path(folder or "/"))
        found.setdefault((places[folder], name), claim)
    return list(found.values())
