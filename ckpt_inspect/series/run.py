"""Runs: the checkpoints of one training, in the order in which they were written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats import Claim
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.storage import absolute, stat, total_size

StepOf = Callable[[Path], "int | None"]
"""Path -> the step that the checkpoint's own tensors hold, None if they hold none; used only if names don't decide."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Run:
    """The checkpoints of one training: those of one folder that are named alike, or those that were named together."""

    name: str
    """The folder's name; if the folder holds several runs, with the checkpoints' own. Unique among the runs found."""
    folder: Path
    checkpoints: tuple[Path, ...]
    """In training order, each as `open_checkpoint` takes it."""
    claims: tuple[Claim, ...] = ()
    """What formats know about each checkpoint from its files' names; empty for a run that was put together by hand."""

    def __repr__(self) -> str:
        names = [path.name for path in self.checkpoints]
        ends = f": {names[0]!r} .. {names[-1]!r}" if len(names) > 1 else f": {names[0]!r}" if names else ""
        return f"<ckpt_inspect.Run {self.name!r} in {str(self.folder)!r}, {len(names)} checkpoints{ends}>"

    def sizes(self, among: Iterable[Path] | None = None) -> Mapping[Path, int]:
        """Return the size on disk, in bytes, of each checkpoint or of those `among` them; at least 1. Opens none."""
        every = [claim.parts for claim in self.claims] or [(path,) for path in self.checkpoints]
        parts = dict(zip(self.checkpoints, every, strict=True))
        wanted = self.checkpoints if among is None else among
        return {path: sum(map(total_size, parts[path])) or 1 for path in wanted}


def runs_of(claims: Iterable[Claim], step_of: StepOf) -> tuple[Run, ...]:
    """Return the runs that checkpoints belong to, folder by folder."""
    groups: dict[tuple[Path, str], list[Claim]] = {}
    for claim in claims:
        path = _path(claim)
        groups.setdefault((path.parent, _series_name(claim)), []).append(claim)
    by_folder: dict[Path, list[tuple[str, list[Claim]]]] = {}
    for (folder, series), group in groups.items():
        by_folder.setdefault(folder, []).append((series, in_training_order(group, step_of)))
    runs = []
    names = _folder_names(list(by_folder))
    for folder in sorted(by_folder, key=lambda f: natural_key(str(f))):
        several = _in_order_of_steps(by_folder[folder], step_of)
        labels = _labels([group for _, group in several])
        for label, (_, group) in zip(labels, several, strict=True):
            name = names[folder] if len(several) == 1 else f"{names[folder]}.{label}"
            runs.append(run_of(name, folder, group))
    return tuple(runs)


def run_of(name: str, folder: Path, claims: Sequence[Claim]) -> Run:
    """Return one run of these checkpoints in this order."""
    return Run(name, folder, tuple(map(_path, claims)), tuple(claims))


def in_training_order(group: Sequence[Claim], step_of: StepOf) -> list[Claim]:
    """Return one run's checkpoints in training order.

    Sorts by the first whole number that differs in all names, else by all whole numbers, else by step, else by time of
    writing.
    """
    named = sorted(group, key=lambda claim: natural_key(_path(claim).name))
    if len(group) == 1:
        return named
    numbers = [_NUMBER.findall(claim.stem) for claim in named]
    if len({len(n) for n in numbers}) == 1:
        whole = [column for column in zip(*numbers, strict=True) if not any("." in number for number in column)]
        columns: list[list[tuple[int, ...]]] = [[(int(number),) for number in column] for column in whole]
        columns.append([tuple(map(int, row)) for row in zip(*whole, strict=True)])
        for keys in columns:
            if len(set(keys)) == len(named):
                return [named[i] for i in sorted(range(len(named)), key=keys.__getitem__)]
    steps = [step_of(_path(claim)) for claim in named]
    if None not in steps:
        return [named[i] for i in sorted(range(len(named)), key=lambda i: steps[i] or 0)]
    return sorted(named, key=_modified)


def _path(claim: Claim) -> Path:
    assert claim.path is not None
    return claim.path


def _modified(claim: Claim) -> int:
    try:
        parts = claim.parts
        return stat(parts[0]).modified_ns if parts else 0
    except CkptInspectError:
        return 0


def _series_name(claim: Claim) -> str:
    """Return a checkpoint's name without its numbers and their separators."""
    return re.sub(r"[-_.=@ ]*\d+(\.\d+)?", "", claim.stem) + claim.suffix


def _labels(groups: Sequence[Sequence[Claim]]) -> list[str]:
    """Return a label for each run of one folder: the part of the name that its checkpoints share."""
    labels = []
    for group in groups:
        shared = _shared_start([_path(claim).name for claim in group])
        if group[0].suffix and shared.endswith(group[0].suffix):
            shared = shared.removesuffix(Path(group[0].suffix).suffix or group[0].suffix)
        labels.append(re.sub(r"[-_.=@ ]+\d*$", "", shared) if len(group) > 1 else shared)
    return [
        label if label and labels.count(label) == 1 else _series_name(group[0])
        for label, group in zip(labels, groups, strict=True)
    ]


def _shared_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)  # what these two share, all names between them share
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def _in_order_of_steps(runs: list[tuple[str, list[Claim]]], step_of: StepOf) -> list[tuple[str, list[Claim]]]:
    """Return the runs of one folder: by the step of their last checkpoint if all have one, else by name."""
    runs = sorted(runs, key=lambda run: natural_key(run[0]))
    if len(runs) > 1:
        steps = [step_of(_path(group[-1])) for _, group in runs]
        if None not in steps:
            return [run for _, run in sorted(zip(steps, runs, strict=True), key=lambda pair: pair[0] or 0)]
    return runs


def _folder_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the shortest ends of the folders' paths that are all different, joined by dots."""
    parts = {folder: [part for part in absolute(folder).split("/") if part] or ["root"] for folder in folders}
    names: dict[Path, str] = {}
    length = 1
    while waiting := [folder for folder in parts if folder not in names]:
        ends = Counter(tuple(own[-length:]) for own in parts.values())
        for folder in waiting:
            own = parts[folder]
            if ends[tuple(own[-length:])] == 1 or length >= len(own):
                names[folder] = ".".join(own[-length:])
        length += 1
    return names
