"""Folders, patterns and paths -> the files of each checkpoint. Every format is asked which files it claims."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats.foreign import name_foreign
from ckpt_inspect.formats.format import Claim
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.formats.opening import is_recognised
from ckpt_inspect.formats.registry import FORMATS, NEWEST_FILES
from ckpt_inspect.storage import as_path, find_matches, is_pattern, locate, stat

_UNIMPORTANT_FOLDERS = {"__pycache__", "node_modules", "site-packages"}


def find_claims(paths: Sequence[Path]) -> list[list[Claim]]:
    """Return the checkpoints that each path stands for, in no particular order; an empty list if there are none.

    A folder stands for the checkpoints in and below it, a pattern for those that its matches belong to, any other path
    for its own. A damaged file that is named like a checkpoint counts as one: opening it raises the error. Each folder
    is listed once, and only the files in question are looked into.
    """
    search = _Search()
    questions = [search.ask(path) for path in paths]
    owners = search.owners(questions)
    return [list(search.answers(question, owners)) for question in questions]


def find_claims_among(folder: Path, names: Iterable[str]) -> list[Claim]:
    """Return the claims on some files of a folder, as if it held no other; those without a path are parts of none."""
    return list(_claims(Listing(folder, list(names))))


def claims_in(folder: Path, files: Iterable[str], folders: Iterable[str]) -> tuple[list[Claim], list[str]]:
    """Return the claims on these names in a folder, as if it held no others, and those of its folders that are searched
    as well, since they are part of none."""
    listing = Listing(folder, list(files), list(folders))
    claims = list(_claims(listing))
    return claims, _inner(listing, claims)


def _inner(listing: Listing, claims: Iterable[Claim]) -> list[str]:
    passed = {name for claim in claims for name in claim.names} | _UNIMPORTANT_FOLDERS
    return [name for name in listing.folders if name not in passed and not name.startswith(".")]


def find_left_over(folder: Path) -> list[Path]:
    """Return what in and below a folder is named as a part of a checkpoint and belongs to no whole one, the first file
    of each. A writer that was stopped leaves such files, and its temporary folder."""
    return sorted(
        claim.folder / min(claim.names) for claim in _scan(folder, set()) if claim.path is None and claim.names
    )


def explain_nothing_found(path: Path) -> CkptInspectError:
    """Return the error for a path that stands for no checkpoint."""
    location = locate(path)
    if location.kind == "absent" and is_pattern(path):
        return NotFoundError(f"{path}: no checkpoint matches this pattern")
    for place, newest in _named_newest(path) if location.kind == "folder" else ():
        return NotFoundError(
            f"{place}: names {newest}, which is not here, and no other checkpoint is in {path} or below it"
        )
    for known in FORMATS if location.kind == "folder" else ():
        if known.explain_nothing is not None and (error := known.explain_nothing(path)) is not None:
            return error
    return name_foreign(location)


def _named_newest(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file in and below a folder that names a newest checkpoint, and the name in it."""
    waiting = [folder]
    while waiting:
        listing = _list_or_nothing(waiting.pop())
        waiting += [listing.folder / name for name in listing.folders]
        for known in NEWEST_FILES:
            place = listing.folder / known.name
            if known.name in listing.files and stat(place).kind == "file" and (newest := known.read(place)):
                yield place, newest


class _Question(NamedTuple):
    """What a path asks of folders: the names and folders whose checkpoints it stands for."""

    names: Mapping[Path, set[str]] = MappingProxyType({})
    """By folder, the files whose checkpoints it stands for."""
    folders: Sequence[Path] = ()
    """Folders that it stands for, unless they belong to a checkpoint that it stands for."""
    itself: Claim | None = None
    """What it stands for if no format claims its names."""
    is_one: bool = False
    """Whether it stands for the checkpoint of that path alone."""


class _Search:
    """A search for several paths; keeps the listings, because paths may lead to the same folders."""

    def __init__(self) -> None:
        self._listings: dict[Path, Listing] = {}

    def ask(self, path: Path) -> _Question:
        """Find out what kind of path it is; raises NotFoundError or UnsupportedError if it can't be looked at."""
        location = locate(path)
        if location.kind == "folder":
            return _Question(folders=[path])
        if location.kind == "file":
            if path.name in {known.name for known in NEWEST_FILES} and not is_recognised(location):
                return _Question(folders=[path.parent])
            return _Question({path.parent: {path.name}}, itself=_unclaimed(path))
        if is_recognised(location):
            return self._ask_for_prefix(path)
        return _ask_for_matches(path) if is_pattern(path) else _Question()

    def _ask_for_prefix(self, path: Path) -> _Question:
        """Return the question for a path that is not a file: a prefix of files' names, or a pattern of shards."""
        start = re.split(r"[*?\[]", path.name)[0]
        names = {name for name in self._listing(path.parent).files if name.startswith(start)}
        return _Question({path.parent: names}, itself=Claim(path.parent, (), path, path.name), is_one=True)

    def owners(self, questions: Sequence[_Question]) -> dict[Path, dict[str, Claim]]:
        """Return, by folder and name, the claims on the files that the questions name."""
        wanted: dict[Path, set[str]] = {}
        for question in questions:
            for folder, names in question.names.items():
                wanted.setdefault(folder, set()).update(names)
        return {
            folder: {name: claim for claim in _claims(self._listing(folder).only(names)) for name in claim.names}
            for folder, names in wanted.items()
        }

    def answers(self, question: _Question, owners: dict[Path, dict[str, Claim]]) -> Iterator[Claim]:
        """Yield the checkpoints that a path stands for, each once."""
        found: dict[Path, Claim] = {}
        for folder, names in question.names.items():
            for name in sorted(names):
                claim = owners[folder].get(name)
                path = claim.path if claim else None
                is_meant = not question.is_one or (question.itself is not None and path == question.itself.path)
                if claim is not None and path is not None and is_meant:
                    found.setdefault(path, claim)
        if not found and question.itself is not None:
            yield question.itself
        inside = {claim.folder / name for claim in found.values() for name in claim.names}
        scanned: set[Path] = set()  # a pattern may match each folder of a branch, and each stands for all below it
        for folder in question.folders:
            if folder not in inside and folder not in scanned:
                for claim in _scan(folder, scanned):
                    if claim.path is not None:
                        found.setdefault(claim.path, claim)
        if not found and question.itself is None:
            for folder in question.folders:
                yield from self._led_to(folder)
        yield from found.values()

    def _led_to(self, folder: Path) -> Iterator[Claim]:
        """Yield the checkpoint that a folder's file names, if the file leads out of a folder that holds none itself."""
        for place, newest in _named_newest(folder):
            known = next(known for known in NEWEST_FILES if known.name == place.name)
            path, _ = known.resolve(newest, place.parent)
            with suppress(CkptInspectError):  # a name that can't be one is reported by whoever asks what is here
                if is_recognised(locate(path)):
                    yield from self._alone(path)

    def _alone(self, path: Path) -> Iterator[Claim]:
        question = self.ask(path)
        yield from self.answers(question, self.owners([question]))

    def _listing(self, folder: Path) -> Listing:
        known = self._listings.get(folder)
        if known is None:
            known = self._listings[folder] = _list_or_nothing(folder)
        return known


def _unclaimed(file: Path) -> Claim:
    """Return a claim for a named file that no format knows: opening it raises an error that says what it is."""
    suffix = file.suffix if re.fullmatch(r"\.[A-Za-z]\w*", file.suffix) else ""
    return Claim(file.parent, (file.name,), file, file.name.removesuffix(suffix), suffix)


def _ask_for_matches(pattern: Path) -> _Question:
    names: dict[Path, set[str]] = {}
    folders: list[Path] = []
    for entry in find_matches(pattern):
        path = as_path(entry.name)
        if entry.is_folder:
            folders.append(path)
        else:
            names.setdefault(path.parent, set()).add(path.name)
    return _Question(names, folders)


def _scan(folder: Path, scanned: set[Path]) -> Iterator[Claim]:
    """Yield the claims in and below a folder, and add what was listed to `scanned`, which isn't listed again.

    Links to folders are not followed, because they'd yield some twice.
    """
    listing, waiting = Listing.of(folder), [folder]
    while waiting:
        current = waiting.pop()
        if current in scanned:
            continue
        scanned.add(current)
        if current is not folder:
            listing = _list_or_nothing(current)
        claims = list(_claims(listing))
        yield from claims
        waiting += [current / name for name in _inner(listing, claims)]


def _list_or_nothing(folder: Path) -> Listing:
    """Return the folder's names; none if it can't be listed."""
    try:
        return Listing.of(folder)
    except NotFoundError:
        return Listing(folder, ())


def _claims(listing: Listing) -> Iterator[Claim]:
    """Yield the claims of each format, in the formats' order; no name is claimed twice."""
    for known in FORMATS:
        claims = list(known.claims(listing))
        yield from claims
        if claims:
            listing = listing.without({name for claim in claims for name in claim.names})
