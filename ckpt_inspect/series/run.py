"""Runs: the checkpoints of one training, in the order in which they were written."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from itertools import pairwise, permutations
from pathlib import Path
from typing import NamedTuple

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats import Claim
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.packed import Packed
from ckpt_inspect.series.survey import Survey
from ckpt_inspect.state.renaming import pair_parameters
from ckpt_inspect.storage import absolute, absolutes, as_path, stat, total_size

Parameter = tuple[str, tuple[int, ...]]
"""Name and shape."""


class Held(NamedTuple):
    """What a checkpoint's own tensors tell about its place in a run."""

    step: int | None
    """The largest step of its optimizers; None if it is not known."""
    parameters: frozenset[Parameter] = frozenset()
    """What its optimizers train, by name and shape; empty if there is no optimizer."""


HeldBy = Callable[[Path], Held]
"""Opens the checkpoint at a path. Of a run of many only some are asked for, if names and those agree."""

_LOOKS = 24
"""Checkpoints of a run that are opened at most before names are trusted; each takes some milliseconds."""

_TRIAL = re.compile(r"trial|run|seed|fold|exp|job|worker|rank|model|version|\d{8}", re.IGNORECASE)
"""Words in names of folders that number trainings, not the checkpoints of one; a date does as well."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Run:
    """The checkpoints of one training: those of one folder that are named alike, or those that were named together."""

    name: str
    """The folder's name; if the folder holds several runs, with the checkpoints' own. Unique among the runs found."""
    folder: Path
    checkpoints: Sequence[Path]
    """In training order, each as `open_checkpoint` takes it."""
    claims: Sequence[Claim] = ()
    """What formats know about each checkpoint from its files' names; empty for a run that was put together by hand."""
    survey: Survey | None = field(default=None, compare=False)
    """What lay in and below a folder, before the run was sought there, in which it is the only one and a long one."""
    stored: int = field(default=0, compare=False)
    """How many checkpoints the training's store had when these were but its newest, and what had come after them: all
    others stand before these, unchanged, and none of them is called like one that is new. 0 if these are all."""

    def __repr__(self) -> str:
        names = [path.name for path in self.checkpoints]
        ends = f": {names[0]!r} .. {names[-1]!r}" if len(names) > 1 else f": {names[0]!r}" if names else ""
        return f"<ckpt_inspect.Run {self.name!r} in {str(self.folder)!r}, {len(names)} checkpoints{ends}>"

    def places(self) -> list[str]:
        """Return the absolute paths of the checkpoints, in their order."""
        return absolutes(self._texts())

    def parts(self) -> Mapping[Path, tuple[Path, ...]]:
        """Return the files and folders of each checkpoint, as they were found; its path alone if it was not sought."""
        return {path: self.parts_at(place) for place, path in enumerate(self.checkpoints)}

    def parts_of(self, among: Iterable[Path]) -> Mapping[Path, tuple[Path, ...]]:
        """Return the same of some checkpoints."""
        wanted = {str(path): path for path in among}
        return {wanted[text]: self.parts_at(place) for place, text in enumerate(self._texts()) if text in wanted}

    def parts_at(self, place: int) -> tuple[Path, ...]:
        """Return the same of the checkpoint at a place."""
        return self.claims[place].parts if self.claims else (self.checkpoints[place],)

    def without(self, paths: Collection[Path]) -> Run:
        """Return the run without some of its checkpoints."""
        if not paths:
            return self
        gone = set(map(str, paths))
        return self.only([place for place, text in enumerate(self._texts()) if text not in gone])

    def only(self, places: Sequence[int]) -> Run:
        """Return the run with some of its checkpoints, by their places."""
        if not self.claims:
            return replace(self, checkpoints=tuple(self.checkpoints[place] for place in places))
        own = _packed(self.claims[place] for place in places)
        return replace(self, checkpoints=own.seen_as(_path_in), claims=own)

    def followed_by(self, more: Sequence[Claim]) -> Run:
        """Return the run with other checkpoints behind its own."""
        own = self.claims.with_more(more, _plain) if isinstance(self.claims, Packed) else _packed((*self.claims, *more))
        return replace(self, checkpoints=own.seen_as(_path_in), claims=own)

    def sizes(self) -> Mapping[Path, int]:
        """Return the size on disk, in bytes, of each checkpoint; at least 1. Opens none."""
        return {path: self.size_at(place) for place, path in enumerate(self.checkpoints)}

    def size_at(self, place: int) -> int:
        """Return the same of the checkpoint at a place."""
        return sum(map(total_size, self.parts_at(place))) or 1

    def _texts(self) -> Iterable[str]:
        """The checkpoints' paths, none of which is made."""
        own = self.checkpoints
        return own.seen_as(_path_text) if isinstance(own, Packed) else map(str, own)


def runs_of(claims: Iterable[Claim], held_by: HeldBy) -> tuple[Run, ...]:
    """Return the runs that checkpoints belong to, folder by folder."""
    groups: dict[tuple[Path, str], list[Claim]] = {}
    for claim in claims:
        path = _path(claim)
        groups.setdefault((path.parent, _series_name(claim)), []).append(claim)
    by_folder: dict[Path, list[tuple[str, list[Claim]]]] = {}
    for (folder, series), group in _with_folders_joined(groups, held_by).items():
        for same in _with_renamed_joined(_of_one_model(group, held_by), held_by):
            by_folder.setdefault(folder, []).append((series, in_training_order(same, held_by)))
    runs = []
    names = _folder_names(list(by_folder))
    for folder in sorted(by_folder, key=lambda f: natural_key(str(f))):
        several = _in_order_of_steps(by_folder[folder], held_by)
        labels = _labels([group for _, group in several])
        for label, (_, group) in zip(labels, several, strict=True):
            name = names[folder] if len(several) == 1 else f"{names[folder]}.{label}"
            runs.append(run_of(name, folder, group))
    return tuple(runs)


def are_named_alike(one: Run, other: Run) -> bool:
    """Return whether the names of the checkpoints of two runs differ in numbers alone."""
    return len({_series_name(claim) for run in (one, other) for claim in run.claims}) == 1


def are_numbered_on(names: Sequence[str]) -> bool:
    """Return whether names differ in numbers alone, and each has larger ones than the one before; places where some
    name has a fraction don't count. Of many names little is held."""
    if not names:
        return False
    kind, count = _without_numbers(names[0]), len(_NUMBER.findall(names[0]))
    fractions: set[int] = set()
    for name in names:
        numbers = _NUMBER.findall(name)
        if len(numbers) != count or _without_numbers(name) != kind:
            return False
        if "." in name:
            fractions.update(place for place, number in enumerate(numbers) if "." in number)
    places = [place for place in range(count) if place not in fractions]
    before: list[int] | None = None
    for name in names:
        numbers = _NUMBER.findall(name)
        whole = [int(numbers[place]) for place in places]
        if before is not None and not before < whole:
            return False
        before = whole
    return True


def are_counted_on(steps: Sequence[int | None]) -> bool:
    """Return whether counters grow, as far as they are known: then what comes last by its name comes last whatever was
    before."""
    known = [step for step in steps if step is not None]
    return all(before < after for before, after in pairwise(known))


def run_of(name: str, folder: Path, claims: Sequence[Claim]) -> Run:
    """Return one run of these checkpoints in this order."""
    own = _packed(claims)
    return Run(name, folder, own.seen_as(_path_in), own)


def _packed(claims: Iterable[Claim]) -> Packed[Claim]:
    return Packed(claims, _plain, _claim)


_Plain = tuple[str, str, Sequence[str], str, str]
"""What is held of a claim: the texts of its path and its folder, and the rest."""


def _plain(claim: Claim) -> _Plain:
    return str(claim.path), str(claim.folder), claim.names, claim.stem, claim.suffix


def _claim(plain: _Plain) -> Claim:
    path, folder, names, stem, suffix = plain
    return Claim(_folder(folder), tuple(names), as_path(path), stem, suffix)


def _path_in(plain: _Plain) -> Path:
    return as_path(plain[0])


def _path_text(plain: _Plain) -> str:
    return plain[0]


_folder = functools.lru_cache(16)(as_path)
"""Many checkpoints share one."""


# --- which belong together


def _with_folders_joined(
    groups: Mapping[tuple[Path, str], list[Claim]], held_by: HeldBy
) -> dict[tuple[Path, str], list[Claim]]:
    """Return the groups, those of one checkpoint a folder (`epoch_1/model.keras`, ..) joined in the folder above.

    Folders of trials look the same: only folders whose checkpoints' counters all grow with their numbers are joined.
    """
    alone = Counter(folder for folder, _ in groups)
    numbered: dict[tuple[Path, str], list[Claim]] = {}
    for (folder, series), group in groups.items():
        if len(group) == 1 and alone[folder] == 1 and _NUMBER.search(folder.name) and not _TRIAL.search(folder.name):
            above = f"{_without_numbers(folder.name)}/{series}"
            numbered.setdefault((folder.parent, above), []).append(group[0])
    joined = dict(groups)
    for place, group in numbered.items():
        ordered = _by_rows(group, [claim.folder.name for claim in group])
        if len(group) > 1 and ordered is not None and _grows(ordered, held_by):
            for claim in group:
                del joined[_path(claim).parent, _series_name(claim)]
            joined[place] = ordered
    return joined


def _of_one_model(group: list[Claim], held_by: HeldBy) -> list[list[Claim]]:
    """Return the checkpoints by model: those that no parameter connects are of different ones.

    What holds no parameters, or can't be read, stays with the one before it in the order of names.
    """
    if len(group) == 1:
        return [group]
    named = sorted(group, key=_name_key)
    if len(_connected([named[i] for i in _sample(len(named))], held_by)) == 1:
        return [group]
    return _connected(named, held_by)


def _connected(named: Sequence[Claim], held_by: HeldBy) -> list[list[Claim]]:
    parts: list[tuple[set[Parameter], list[Claim]]] = []
    waiting: list[Claim] = []
    last: list[Claim] | None = None
    for claim in named:
        parameters = held_by(_path(claim)).parameters
        if not parameters:
            (waiting if last is None else last).append(claim)
            continue
        same = [part for part in parts if not part[0].isdisjoint(parameters)]
        parts = [part for part in parts if part[0].isdisjoint(parameters)]
        last = [each for _, members in same for each in members] + waiting + [claim]
        waiting = []
        parts.append((set(parameters).union(*(known for known, _ in same)), last))
    return [members for _, members in parts] or [waiting]


def _with_renamed_joined(parts: list[list[Claim]], held_by: HeldBy) -> list[list[Claim]]:
    """Return the parts as one if they are a training that was resumed under other names of its layers.

    Keras numbers layers anew where a model is built a second time in a process: `dense_3` is what was `dense`. Several
    trainings of one architecture look the same, so that more is asked for: shapes and structure of all names
    correspond, the counter grows along the names of the files from part to part, and each part begins where it could
    not have been if it had begun at 0.
    """
    if len(parts) < 2:
        return parts
    steps = {claim: held_by(_path(claim)).step for part in parts for claim in part}
    if None in steps.values():
        return parts
    known = {claim: step for claim, step in steps.items() if step is not None}
    ordered = sorted((sorted(part, key=known.__getitem__) for part in parts), key=lambda part: known[part[0]])
    whole = [claim for part in ordered for claim in part]
    names = _orders_of_names(sorted(whole, key=_name_key))
    if not names or names[0] != whole or not _grows(whole, held_by):
        return parts
    if not all(_goes_on([known[c] for c in a], [known[c] for c in b]) for a, b in pairwise(ordered)):
        return parts
    first, *others = (_shapes(held_by(_path(part[0])).parameters) for part in ordered)
    return [whole] if all(first and pair_parameters(first, other) for other in others) else parts


def _goes_on(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the steps of a part continue those of the part before, rather than begin at 0.

    A training that began anew has its first checkpoint after about as many updates as lie between the next ones; one
    that goes on, as many after the last one before.
    """
    if len(after) > 1:
        return after[0] > _NEXT * (after[1] - after[0])
    return len(before) > 1 and after[0] - before[-1] <= _NEXT * max(b - a for a, b in pairwise(before))


_NEXT = 1.5
"""Times the updates between two checkpoints in which the next one is expected."""


def _shapes(parameters: Iterable[Parameter]) -> dict[str, tuple[int, ...]]:
    """Return the shapes by name; none if two parameters share a name, as those of two optimizers may."""
    every = list(parameters)
    shapes = dict(every)
    return shapes if len(shapes) == len(every) else {}


def _sample(count: int) -> list[int]:
    """Return the places that are looked into: all of a few, else the ends and some in between and their neighbours.

    They lie unevenly, so that no regular pattern of names can hide between them.
    """
    if count <= _LOOKS:
        return list(range(count))
    spread = (int(count * (i * 0.6180339887498949 % 1)) for i in range(1, _LOOKS // 2))
    return sorted({0, count - 1, *(min(place + more, count - 1) for place in spread for more in (0, 1))})


# --- which comes first


def in_training_order(group: Sequence[Claim], held_by: HeldBy) -> list[Claim]:
    """Return one run's checkpoints in training order: by the counters in them, else by names, else by time of writing.

    Counters that fall now and then in an order that the names tell are a training that began anew: the names' order
    stands. What holds no counter stays where the names put it.
    """
    named = sorted(group, key=_name_key)
    if len(group) == 1:
        return named
    orders = _orders_of_names(named)
    if orders and _grows([orders[0][i] for i in _sample(len(named))], held_by):
        return orders[0]
    steps = {claim: held_by(_path(claim)).step for claim in named}
    if not orders:
        if None in steps.values():
            return sorted(named, key=_modified)
        return _by_steps(sorted(named, key=_modified), steps)
    if len(set(steps.values()) - {None}) < 2:
        return orders[0]
    best = min(orders, key=lambda order: _count_falls(order, steps, ties=True))
    if _count_falls(best, steps) <= max(1, len(named) // 10):
        return best
    return _by_steps(orders[0], steps)


def _orders_of_names(named: list[Claim]) -> list[list[Claim]]:
    """Return the orders in which the whole numbers of the names can be read, the likeliest first; none if they don't
    tell all apart."""
    whole = _whole_numbers([claim.stem for claim in named])
    columns = [column for column in zip(*whole, strict=True) if len(set(column)) > 1]
    ways = [way for length in (len(columns), 1) for way in permutations(columns, length)] if len(columns) <= 3 else []
    readings = [whole, *(list(zip(*way, strict=True)) for way in ways)]
    return [_sorted_by(named, keys) for keys in readings if len(set(keys)) == len(named)]


def _sorted_by(group: list[Claim], keys: list[tuple[int, ...]]) -> list[Claim]:
    return [group[i] for i in sorted(range(len(group)), key=keys.__getitem__)]


def _by_rows(group: list[Claim], names: Sequence[str]) -> list[Claim] | None:
    """Return the claims by all whole numbers of their names; None if these don't tell all apart."""
    whole = _whole_numbers(names)
    if len(set(whole)) < len(group):
        return None
    return _sorted_by(group, whole)


def _whole_numbers(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return each name's whole numbers, without the places where some name has a fraction; none if their counts
    differ."""
    numbers = [_NUMBER.findall(name) for name in names]
    if len({len(n) for n in numbers}) != 1:
        return []
    places = [i for i, column in enumerate(zip(*numbers, strict=True)) if not any("." in number for number in column)]
    return [tuple(int(own[i]) for i in places) for own in numbers]


def _grows(ordered: Sequence[Claim], held_by: HeldBy) -> bool:
    """Return whether every counter is known and larger than the one before."""
    before = -1
    for claim in ordered:
        step = held_by(_path(claim)).step
        if step is None or step <= before:
            return False
        before = step
    return True


def _count_falls(order: Sequence[Claim], steps: Mapping[Claim, int | None], *, ties: bool = False) -> int:
    """Return how often the counter falls, or with `ties` does not grow, from one checkpoint to the next."""
    known = [step for claim in order if (step := steps[claim]) is not None]
    return sum(later < before or (ties and later == before) for before, later in pairwise(known))


def _by_steps(order: Sequence[Claim], steps: Mapping[Claim, int | None]) -> list[Claim]:
    """Return the order with those whose step is known sorted by it, and the others in their places."""
    known = iter(sorted((c for c in order if steps[c] is not None), key=lambda claim: steps[claim] or 0))
    return [claim if steps[claim] is None else next(known) for claim in order]


def _name_key(claim: Claim) -> tuple[object, ...]:
    return natural_key(_path(claim).name)


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
    return _without_numbers(claim.stem) + claim.suffix


def _without_numbers(name: str) -> str:
    return re.sub(r"[-_.=@ ]*\d+(\.\d+)?", "", name)


def _labels(groups: Sequence[Sequence[Claim]]) -> list[str]:
    """Return a label for each run of one folder: the part of the name that its checkpoints share."""
    labels = []
    for group in groups:
        shared = _shared_start([_path(claim).name for claim in group])
        if group[0].suffix and shared.endswith(group[0].suffix):
            shared = shared.removesuffix(Path(group[0].suffix).suffix or group[0].suffix)
        labels.append(re.sub(r"[-_.=@ ]+\d*$", "", shared) if len(group) > 1 else shared)
    names = [
        label if label and labels.count(label) == 1 else _series_name(group[0])
        for label, group in zip(labels, groups, strict=True)
    ]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else _path(group[0]).name for name, group in zip(names, groups, strict=True)
    ]  # different models whose names differ only in numbers


def _shared_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)  # what these two share, all names between them share
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def _in_order_of_steps(runs: list[tuple[str, list[Claim]]], held_by: HeldBy) -> list[tuple[str, list[Claim]]]:
    """Return the runs of one folder: by the step of their last checkpoint if all have one, else by name."""
    runs = sorted(runs, key=lambda run: natural_key(run[0]))
    if len(runs) > 1:
        steps = [held_by(_path(group[-1])).step for _, group in runs]
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
