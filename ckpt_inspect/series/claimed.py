"""The checkpoints in and below a local folder, from look to look: only what has come, gone or changed is sought anew.

A folder's names are listed at each look; that costs little. Which of them make checkpoints is asked for those names
that are new, or another file by now, and for what they may belong to. Folders below that have been quiet for a while
are listed in turn, some at each look.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TypeVar

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats import Claim, claims_in
from ckpt_inspect.records import dataclass
from ckpt_inspect.storage import ABSENT, Identities, Stat, list_identities, native_path, stat

_SMALL = 64
"""Names of a folder up to which all of them are asked about."""

QUIET = 3
"""Looks at which nothing has changed until what is there is looked at in turn."""

_TURN, _TURNS = 256, 64
"""What is looked at in turn at each look at least, and in how many looks everything had its turn, of more."""

_Thing = TypeVar("_Thing")


class Round(OrderedDict[_Thing, None]):
    """Things that are looked at in turn, each once."""

    def turn(self) -> list[_Thing]:
        """Take out those whose turn it is."""
        count = min(len(self), max(_TURN, -(-len(self) // _TURNS)))
        return [self.popitem(last=False)[0] for _ in range(count)]


@dataclass(slots=True)
class _Folder:
    """A folder as it was listed last."""

    names: Identities
    owners: dict[str, Claim] = field(default_factory=dict)
    """By name, the checkpoint that it is part of."""
    stems: dict[str, dict[Claim, None]] = field(default_factory=dict)
    """The checkpoints whose other files begin so."""
    loose: dict[str, Stat] = field(default_factory=dict)
    """Files of no checkpoint, which may become parts of one."""
    kept_out: set[str] = field(default_factory=set)
    """Folders that aren't searched, though they are of no checkpoint: of writers that aren't done."""
    inner: set[str] = field(default_factory=set)
    """Folders that are searched."""
    quiet: int = 0
    """Looks at which nothing was otherwise."""

    @property
    def size(self) -> int:
        return len(self.names.files) + len(self.names.folders)


class ClaimedFolder:
    """What lies in and below a folder, as it was at the last look. Links to folders are not followed."""

    def __init__(self, top: Path) -> None:
        """Nothing is looked at yet."""
        self._top = top
        self._folders: dict[Path, _Folder] = {}
        self._due: dict[Path, None] = {}
        """Folders that are listed at each look."""
        self._round = Round[Path]()
        self._came: dict[Path, Claim] = {}
        self._gone: dict[Path, None] = {}
        self.claims: dict[Path, Claim] = {}
        """Checkpoints by their paths."""

    def look(self, changed: Collection[Path]) -> tuple[list[Claim], list[Path]]:
        """Look; return the checkpoints that have come, or have other files or changed ones, and the paths of those that
        are gone. `changed`: of checkpoints whose files are known to be otherwise. Raises CkptInspectError if the folder
        can't be listed, and then nothing counts as changed."""
        names = list_identities(self._top) or Identities({}, {})
        touched: dict[Path, set[str]] = {}
        for path in changed:
            if (claim := self.claims.get(path)) is not None:
                touched.setdefault(claim.folder, set()).update(claim.names)
        self._came, self._gone = {}, {}
        if self._top not in self._folders:
            self._enter(self._top, names)
        else:
            turn = self._round.turn()
            for folder in dict.fromkeys((self._top, *touched, *self._due, *turn)):
                if folder in self._folders:
                    self._look_into(folder, names if folder is self._top else None, touched.get(folder, set()))
            for folder in turn:
                if folder in self._folders and folder not in self._due:
                    self._round[folder] = None
        came = [claim for path, claim in self._came.items() if self.claims.get(path) is claim]
        return came, [path for path in self._gone if path not in self.claims]

    # --- one folder

    def _enter(self, folder: Path, names: Identities | None = None) -> None:
        """Search a folder, and those below, for the first time."""
        names = _listed(folder) if names is None else names
        self._folders[folder] = _Folder(names)
        self._due[folder] = None
        self._ask(folder, set(names.files), set(names.folders))

    def _leave(self, folder: Path) -> None:
        """Forget a folder, and those below."""
        own = self._folders.pop(folder, None)
        self._due.pop(folder, None)
        if own is not None:
            for claim in set(own.owners.values()):
                self._drop(own, claim)
            for name in own.inner:
                self._leave(folder / name)

    def _look_into(self, folder: Path, names: Identities | None, touched: set[str]) -> None:
        own = self._folders[folder]
        names = _listed(folder) if names is None else names
        before, own.names = own.names, names
        files = touched | _differing(before.files, names.files)
        folders = _differing(before.folders, names.folders)
        files |= {name for name, found in own.loose.items() if name not in files and _stat(folder / name) != found}
        if files or folders:
            own.quiet = 0
            self._due[folder] = None
            self._ask(folder, files, folders)
            self._ask_above(folder)
            return
        own.quiet += 1
        is_settled = own.quiet >= QUIET and bool(own.owners or own.inner)
        if is_settled and folder is not self._top and folder in self._due:
            del self._due[folder]
            self._round[folder] = None

    def _ask_above(self, folder: Path) -> None:
        """What is in a folder may make the one above a checkpoint, or no longer."""
        while folder is not self._top and folder.parent in self._folders:
            name, folder = folder.name, folder.parent
            self._ask(folder, set(), {name})

    def _ask(self, folder: Path, files: set[str], folders: set[str]) -> None:
        """Ask which checkpoints these names are parts of, each there or gone, and take that for what is so."""
        own = self._folders[folder]
        is_whole = folder in self.claims and self.claims[folder].folder == folder
        if is_whole or own.size <= _SMALL:
            files = files | own.names.files.keys() | own.owners.keys() | own.loose.keys()
            folders = folders | own.names.folders.keys()
        else:
            files = files | own.loose.keys() | {name for each in files for name in _beside(each, own)}
            folders = folders | own.kept_out
        asked = set(files)
        for name in files:
            if name in own.owners:
                asked.update(own.owners[name].names)
        claims, inner = claims_in(folder, asked & own.names.files.keys(), folders & own.names.folders.keys())
        if any(claim.path == folder for claim in claims) and not is_whole and own.size > _SMALL:
            asked |= own.names.files.keys() | own.owners.keys()
            folders |= own.names.folders.keys()
            claims, inner = claims_in(folder, own.names.files, own.names.folders)
        self._take(folder, asked | folders, claims, set(inner), folders)

    def _take(self, folder: Path, asked: set[str], claims: list[Claim], inner: set[str], folders: set[str]) -> None:
        own = self._folders[folder]
        found = {claim.path: claim for claim in claims if claim.path is not None}
        before = {own.owners[name] for name in asked if name in own.owners}
        for claim in before - set(found.values()):
            self._drop(own, claim)
        for path, claim in found.items():
            own.owners.update(dict.fromkeys(claim.names, claim))
            for stem in {claim.stem, path.name}:
                own.stems.setdefault(stem, {})[claim] = None
            self.claims[path] = self._came[path] = claim
        for name in asked:
            own.loose.pop(name, None)
            own.kept_out.discard(name)
        for name in asked & own.names.files.keys():
            if name not in own.owners:
                own.loose[name] = _stat(folder / name)
        claimed = {name for claim in claims for name in claim.names}
        own.kept_out |= {name for claim in claims if claim.path is None for name in claim.names} & folders
        own.kept_out &= own.names.folders.keys()
        inner -= claimed
        for name in (own.inner & folders) - inner:
            own.inner.discard(name)
            self._leave(folder / name)
        for name in inner:
            if name not in own.inner:
                own.inner.add(name)
                self._enter(folder / name)
            elif name in folders:  # it may be another
                self._due[folder / name] = None
                self._folders[folder / name].quiet = 0

    def _drop(self, own: _Folder, claim: Claim) -> None:
        for name in claim.names:
            if own.owners.get(name) is claim:
                del own.owners[name]
        assert claim.path is not None
        for stem in {claim.stem, claim.path.name}:
            if (known := own.stems.get(stem)) is not None:
                known.pop(claim, None)
                if not known:
                    del own.stems[stem]
        if self.claims.get(claim.path) is claim:
            del self.claims[claim.path]
            self._gone[claim.path] = None


def _listed(folder: Path) -> Identities:
    """The names in a folder; none if it is gone, or can't be listed."""
    with suppress(CkptInspectError):
        return list_identities(folder) or Identities({}, {})
    return Identities({}, {})


def _differing(before: dict[str, int], now: dict[str, int]) -> set[str]:
    """The names that are only in one of the two, or another file's in the other."""
    if before == now:
        return set()
    return {name for name, _ in before.items() ^ now.items()}


_CUT = re.compile(r"[-_.]")


def _beside(name: str, own: _Folder) -> Iterator[str]:
    """Yield the files of the checkpoints that a file of that name may belong to."""
    for start in (*(name[: found.start()] for found in _CUT.finditer(name)), name):
        for claim in own.stems.get(start, ()):
            yield from claim.names


def _stat(path: Path) -> Stat:
    with suppress(CkptInspectError):
        return stat(path)
    return ABSENT


def claimed_folder(paths: Sequence[Path]) -> ClaimedFolder | None:
    """Return what keeps the checkpoints of paths from look to look; None if they aren't one local folder."""
    if len(paths) != 1 or native_path(paths[0]) is None or _stat(paths[0]).kind != "folder":
        return None
    return ClaimedFolder(paths[0])
