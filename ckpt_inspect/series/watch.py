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
from ckpt_inspect.series.claimed import QUIET, ClaimedFolder, Round, claimed_folder
from ckpt_inspect.series.meanwhile import YOUNG
from ckpt_inspect.series.run import Held, Run, are_counted_on, runs_of
from ckpt_inspect.series.search import claims_now, held_by
from ckpt_inspect.storage import (
    ABSENT,
    NoAnswerError,
    PathLike,
    Stat,
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

_COMPARED = 24
"""Last checkpoints of a run that tell whether others go on with it."""

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
    quiet: int = 0
    """Looks at which it was as it had been before."""
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
        """Why the last look saw nothing, or not every file, if the storage refused."""
        self._claimed: ClaimedFolder | None = None
        """None if it is no folder, or one without checkpoints."""
        self._open: dict[Path, None] = {}
        """Checkpoints that are looked at each time."""
        self._round = Round[Path]()
        """The others."""
        self._runs: tuple[Run, ...] = ()
        """As they were when they were asked for last."""
        self._grouped: set[Path] = set()
        """What they consist of."""
        self._other: set[Path] = set()
        """What is gone since, or otherwise."""
        self.groupings = 0
        """How often all checkpoints were put into runs anew."""

    @property
    def is_far(self) -> bool:
        """Return whether each look asks an object store or a web server."""
        return any(native_path(path) is None for path in self._paths)

    @property
    def count(self) -> int:
        """Return how many checkpoints there were at the last look."""
        return len(self._known)

    def look(self, *, at_all: bool = False) -> bool:
        """List the folders once, and look at each file; return whether anything is otherwise than at the last look.

        A checkpoint counts as complete when it is as it was at the look before, or was last changed half a minute ago.
        Objects in a store appear whole. In a folder of many checkpoints those that were taken are looked at in turn,
        some at each look, unless it is `at_all`: only a file that was rewritten in its place is noticed later for it.
        """
        self.error, self.lost = None, []
        if self._claimed is None:
            self._claimed = claimed_folder(self._paths)
        if self._claimed is not None:
            try:
                is_changed = self._look_again(self._claimed, at_all=at_all)
            except NoAnswerError as error:
                self.error = error
                return False
            except NotFoundError:
                self._claimed = None
            except CkptInspectError as error:  # for the moment, it may be
                self.error = error
                return False
            else:
                if is_changed is not None:
                    return is_changed
                self._claimed = None  # a file in it may lead elsewhere
        return self._look_at_all()

    def _look_again(self, folder: ClaimedFolder, *, at_all: bool) -> bool | None:
        """Look at what has come, changed or gone, at what isn't done, and at some of the rest; return whether anything
        is otherwise, None if no checkpoint is there."""
        turn = list(self._round) if at_all else self._round.turn()
        now, signatures = self._clock(), dict[Path, Signature]()
        is_changed = False
        for path in dict.fromkeys((*self._open, *turn)):
            if (known := self._known.get(path)) is None:
                self._open.pop(path, None)
                self._round.pop(path, None)
                continue
            signature = tuple(self._files(known.claim.parts))
            if signature != known.signature:
                signatures[path] = signature
            else:
                self._is_as_it_was(path, known)
        came, gone = folder.look(signatures)
        if not folder.claims:
            return None
        lost = [self._known.pop(path) for path in gone if path in self._known]
        self._other.update(gone)
        for path in gone:
            self._open.pop(path, None)
            self._round.pop(path, None)
        for claim in came:
            assert claim.path is not None
            known = self._known.get(claim.path)
            signature = tuple(self._files(claim.parts))
            if known is None or (known.claim, known.signature) != (claim, signature):
                self._known[claim.path] = self._met(claim, signature, now, known)
                is_changed = True
        self._lose(lost)
        return is_changed or bool(lost)

    def _is_as_it_was(self, path: Path, known: _Known) -> None:
        known.is_settled = not any(found.kind == "absent" for _, found in known.signature)
        known.quiet += 1
        is_done = known.state == "taken" or (known.state == "stateless" and known.is_reported)
        if known.quiet < QUIET or not (known.is_settled and is_done):
            self._open[path] = None
        else:
            self._open.pop(path, None)
            self._round[path] = None

    def _met(self, claim: Claim, signature: Signature, now: float, before: _Known | None) -> _Known:
        """What is new, or otherwise than before."""
        assert claim.path is not None
        # what failed before was being written, or nobody needs it any more
        known = _Known(claim, signature, now, is_going=before is not None and before.is_going_with(signature))
        known.is_settled = _is_older(signature, YOUNG) or native_path(claim.path) is None
        if any(found.kind == "absent" for _, found in signature):
            known.is_settled = False
        self._open[claim.path] = None
        if before is not None:
            self._other.add(claim.path)
        return known

    def _lose(self, lost: Iterable[_Known]) -> None:
        gone = list(lost)
        self.lost = [k.failure for k in gone if k.failure is not None and not (k.is_reported or k.is_going)]

    def _look_at_all(self) -> bool:
        try:
            for path in self._paths:
                forget(path)
            claims = claims_now(self._paths)
        except NoAnswerError as error:  # of what lies there nothing follows
            self.error = error
            return False
        except NotFoundError:
            claims = []
        except CkptInspectError as error:  # for the moment, it may be
            self.error = error
            return False
        now, before = self._clock(), self._known
        self._known = {}
        self._open.clear()
        self._round.clear()
        is_changed = False
        for claim in claims:
            assert claim.path is not None
            signature = tuple(self._files(claim.parts))
            known = before.pop(claim.path, None)
            if known is not None and known.signature == signature:
                self._is_as_it_was(claim.path, known)
            else:
                known = self._met(claim, signature, now, known)
                is_changed = True
            self._known[claim.path] = known
        self._lose(before.values())
        self._other.update(before)
        return is_changed or bool(before)

    @property
    def is_unsettled(self) -> bool:
        """Return whether something may be complete at the next look."""
        return any(not self._known[path].is_settled for path in self._open)

    def fresh(self) -> list[Path]:
        """Return the checkpoints to be read now: new or changed, and complete as far as names and sizes tell."""
        return [path for path in self._open if (known := self._known[path]).is_settled and self._is_due(known)]

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
        """Return the runs that what is complete belongs to; without what can't be read, unless it is asked for.

        Where checkpoints have only come after those of a run, or are gone, they stay the runs that they were.
        """
        if with_failed:
            claims = [k.claim for k in self._known.values() if k.is_settled]
            return runs_of(claims, self._held_by) if claims else ()
        came = [path for path in self._open if path not in self._grouped and self._is_readable(path)]
        gone = self._other & self._grouped
        found = self._grown_runs(came, gone)
        if found is None:
            came = [path for path in self._known if self._is_readable(path)]
            gone = self._grouped
            found = runs_of([self._known[path].claim for path in came], self._held_by) if came else ()
            self.groupings += 1
        self._runs, self._grouped, self._other = found, (self._grouped - gone) | set(came), set()
        return found

    def _is_readable(self, path: Path) -> bool:
        """Whether it is complete, and nobody has found that it can't be read."""
        return self._known[path].is_settled and self._known[path].state != "failed"

    def _grown_runs(self, came: Sequence[Path], gone: set[Path]) -> tuple[Run, ...] | None:
        """The runs as they were, without what is gone, and with what has come after it; None if there is more to it."""
        if not self._runs or any(path in self._known and self._known[path].state != "failed" for path in gone):
            return None
        runs = [run.without(gone) for run in self._runs]
        ends = [run.claims[-_COMPARED:] for run in runs]
        if not all(ends):
            return None
        if not came:
            return tuple(runs)
        together = [claim for end in ends for claim in end]
        places = {claim.path: place for place, end in enumerate(ends) for claim in end}
        found = runs_of([*together, *(self._known[path].claim for path in came)], self._held_by)
        if len(found) != len(runs):
            return None
        for each in found:
            place = places.get(each.checkpoints[0])
            if place is None or each.claims[: len(ends[place])] != ends[place]:
                return None
            more = each.claims[len(ends[place]) :]
            last = [path for claim in (ends[place][-1], *more) if (path := claim.path) is not None]
            is_next = are_counted_on([self._held_by(path).step for path in last])
            if not is_next or any(claim.path in places for claim in more):
                return None
            runs[place] = runs[place].followed_by(more)
        return tuple(runs)

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
            self._open[path] = None
            if state == "failed":
                self._other.add(path)

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
        return [path for path in self._open if self._known[path].state == "failed"]

    def unreported(self) -> list[Path]:
        """Return those, and the ones without state that were not reported yet."""
        return [
            path
            for path in self._open
            if (known := self._known[path]).state == "failed" or (known.state == "stateless" and not known.is_reported)
        ]

    def _files(self, parts: Sequence[Path]) -> Iterator[tuple[str, Stat]]:
        """Yield every file of a checkpoint; one that can't be looked at is as if it were not there."""
        waiting = list(parts)
        while waiting:
            path = waiting.pop()
            found = ABSENT
            try:
                found = stat(path)
            except CkptInspectError as error:  # of what isn't there nothing is raised: somebody refuses
                self.error = error
            if found.kind == "folder":
                with suppress(CkptInspectError):  # it may be gone since
                    waiting += sorted((path / entry.name for entry in list_folder(path)), reverse=True)
            yield str(path), found


def _is_older(signature: Signature, seconds: float) -> bool:
    newest = max((found.modified_ns for _, found in signature), default=0) / 1e9
    return abs(time.time() - newest) >= seconds
