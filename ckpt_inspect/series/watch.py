"""A folder that a training writes into, looked at again and again: which checkpoints are new and complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats import Claim
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.meanwhile import YOUNG
from ckpt_inspect.series.run import Held, Run, runs_of
from ckpt_inspect.series.search import claims_now, held_by
from ckpt_inspect.series.survey import survey
from ckpt_inspect.storage import (
    ABSENT,
    PathLike,
    Stat,
    absolute,
    absolutes,
    as_path,
    forget,
    list_folder,
    native_path,
    stat,
)

Signature = tuple[tuple[str, Stat], ...]
"""Every file of a checkpoint: equal as long as none was written or replaced."""

UPLOADING = 300.0
"""Seconds after an object came within which others of the same checkpoint may follow: each appears when it is whole."""

State = Literal["new", "taken", "failed", "stateless"]
"""`failed`: it can't be read as it is. `stateless`: it is sound, and alone it holds nothing to analyse."""


@dataclass(slots=True)
class _Known:
    """A checkpoint as it was at the last look."""

    claim: Claim
    signature: Signature
    since: float
    """When it was first seen like this, by the clock."""
    is_settled: bool = False
    """Whether nobody seems to be writing it."""
    state: State = "new"
    is_reported: bool = False
    """Whether its failure was."""
    failure: Problem | None = None
    held: Held | None = None
    is_going: bool = False
    """Whether some of its files are gone since it was taken, and the others are as they were."""

    def is_going_with(self, signature: Signature) -> bool:
        """Return whether these are what is left of the files of what was taken."""
        here = {entry for entry in signature if entry[1].kind == "file"}
        return (self.is_going or self.state == "taken") and here < set(self.signature)


class Watch:
    """Keeps what it knows of each checkpoint from one look to the next, and forgets those that are gone."""

    def __init__(self, paths: Iterable[PathLike], clock: Callable[[], float] = time.monotonic) -> None:
        """`paths` as `find_runs` takes them; nothing has to be there yet."""
        self._paths = [as_path(path) for path in paths]
        self._clock = clock
        self._known: dict[Path, _Known] = {}
        self._parameters: dict[frozenset[object], Held] = {}
        self.lost: list[Problem] = []
        """Failures not reported yet, of checkpoints that were gone at the last look."""
        self.error: CkptInspectError | None = None
        """Why the last look saw nothing, if the storage refused."""
        self._surveys: tuple[str, ...] | None = None
        """Digests of the folders before the last look, if these alone tell whether anything has changed since."""
        self._is_surveyable = True

    @property
    def is_far(self) -> bool:
        """Return whether each look asks an object store or a web server."""
        return any(native_path(path) is None for path in self._paths)

    def look(self) -> bool:
        """List the folders once, and look at each file; return whether anything is otherwise than at the last look.

        A checkpoint counts as complete when it is as it was at the look before, or was last changed half a minute ago.
        Objects in a store appear whole.
        """
        self.error, self.lost = None, []
        surveys = self._surveyed() if self._is_surveyable else None
        if surveys is not None and surveys == self._surveys:
            for each in self._known.values():
                each.is_settled = True
            return False
        self._surveys = None
        try:
            for path in self._paths:
                forget(path)
            claims = claims_now(self._paths)
        except NotFoundError:
            claims = []
        except CkptInspectError as error:  # for the moment, it may be
            self.error = error
            return False
        now, before = self._clock(), self._known
        self._known = {}
        is_changed = False
        for claim in claims:
            assert claim.path is not None
            signature = tuple(_files(claim.parts))
            known = before.pop(claim.path, None)
            if known is not None and known.signature == signature:
                known.is_settled = True
            else:  # what failed before was being written, or nobody needs it any more
                is_going = known is not None and known.is_going_with(signature)
                known = _Known(claim, signature, now, is_going=is_going)
                known.is_settled = _is_older(signature, YOUNG) or native_path(claim.path) is None
                is_changed = True
            if any(found.kind == "absent" for _, found in signature):
                known.is_settled = False
            self._known[claim.path] = known
        self._is_surveyable = self._is_all_in_folders()
        self._surveys = surveys if self._is_surveyable else None
        self.lost = [k.failure for k in before.values() if k.failure is not None and not (k.is_reported or k.is_going)]
        return is_changed or bool(before)

    def _surveyed(self) -> tuple[str, ...] | None:
        """The folders' names, sizes and times, in a fraction of the time of a look; None for anything else."""
        surveys = [survey(path, 0) if native_path(path) is not None else None for path in self._paths]
        digests = [found.digest for found in surveys if found is not None and found.is_settled]
        return tuple(digests) if len(digests) == len(surveys) else None

    def _is_all_in_folders(self) -> bool:
        """Whether a survey sees all that the signatures do: each is of files in and below the folders, and none leads
        through a link to a folder."""
        if any(native_path(path) is None for path in self._paths):
            return False
        above = tuple(f"{absolute(path).rstrip('/')}/" for path in self._paths)
        files = [entry for known in self._known.values() for entry in known.signature]
        return all(found.kind == "file" for _, found in files) and all(
            place.startswith(above) for place in absolutes(place for place, _ in files)
        )

    @property
    def is_unsettled(self) -> bool:
        """Return whether something may be complete at the next look."""
        return any(not known.is_settled for known in self._known.values())

    def fresh(self) -> list[Path]:
        """Return the checkpoints to be read now: new or changed, and complete as far as names and sizes tell."""
        return [path for path, known in self._known.items() if known.is_settled and self._is_due(known)]

    def _is_due(self, known: _Known) -> bool:
        """What failed while it was young is tried once more when it isn't."""
        return known.state == "new" or (
            known.state in ("failed", "stateless") and not known.is_reported and not self._is_young(known)
        )

    def _is_young(self, known: _Known) -> bool:
        """Whether more of it may be on its way."""
        patience = UPLOADING if native_path(known.claim.parts[0]) is None else YOUNG
        return self._clock() - known.since < patience and not _is_older(known.signature, patience)

    def runs(self, *, with_failed: bool = False) -> tuple[Run, ...]:
        """Return the runs that what is complete belongs to; without what can't be read, unless it is asked for."""
        claims = [k.claim for k in self._known.values() if k.is_settled and (with_failed or k.state != "failed")]
        return runs_of(claims, self._held_by) if claims else ()

    def _held_by(self, path: Path) -> Held:
        known = self._known[path]
        if known.held is None:
            found = held_by(path)
            # Those of one run hold the same parameters: once is enough
            shared = self._parameters.setdefault(frozenset(found.parameters), found)
            known.held = Held(found.step, shared.parameters)
        return known.held

    def mark(self, path: Path, state: State, failure: Problem | None = None) -> None:
        """Say what a checkpoint came to, as it was at the last look."""
        if path in self._known:
            self._known[path].state, self._known[path].failure = state, failure

    def should_report(self, path: Path, *, at_once: bool = False) -> bool:
        """Return whether a failure, or a lack of state, is news: once, and of a file that may still be written only
        when it has been left alone for half a minute, unless `at_once`."""
        known = self._known.get(path)
        if known is None or known.is_reported:
            return False
        known.is_reported = at_once or not self._is_young(known)
        return known.is_reported

    def failed(self) -> list[Path]:
        """Return the checkpoints that can't be read as they are."""
        return [path for path, known in self._known.items() if known.state == "failed"]

    def unreported(self) -> list[Path]:
        """Return those, and the ones without state that were not reported yet."""
        return [
            path
            for path, known in self._known.items()
            if known.state == "failed" or (known.state == "stateless" and not known.is_reported)
        ]


def _files(parts: Sequence[Path]) -> Iterator[tuple[str, Stat]]:
    waiting = list(parts)
    while waiting:
        path = waiting.pop()
        found = ABSENT
        with suppress(CkptInspectError):
            found = stat(path)
        if found.kind == "folder":
            with suppress(CkptInspectError):
                waiting += sorted((path / entry.name for entry in list_folder(path)), reverse=True)
        yield str(path), found


def _is_older(signature: Signature, seconds: float) -> bool:
    newest = max((found.modified_ns for _, found in signature), default=0) / 1e9
    return abs(time.time() - newest) >= seconds
