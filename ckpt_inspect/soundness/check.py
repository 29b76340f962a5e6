"""Paths -> the runs that they hold -> every checkpoint read once, beside the one before -> verdicts."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ckpt_inspect.checkpoint import Checkpoint, Progress
from ckpt_inspect.comparison.run_together import NOTHING, tell_run
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError, UnsupportedError
from ckpt_inspect.formats import find_left_over, open_checkpoint
from ckpt_inspect.formats.keras_files import is_named_so
from ckpt_inspect.layouts.found_before import FoundBefore
from ckpt_inspect.records import dataclass
from ckpt_inspect.series.run import Run
from ckpt_inspect.series.search import runs_named
from ckpt_inspect.soundness import kinds
from ckpt_inspect.soundness.complete import judge_complete, optimizer_keys
from ckpt_inspect.soundness.continues import (
    Bound,
    Drift,
    Stage,
    StillWindows,
    agrees,
    bounds_of,
    drifts_of,
    judge_continues,
    judge_decays,
    pairs_of,
    passages_between,
)
from ckpt_inspect.soundness.reading import Reading, owns_of, read_whole
from ckpt_inspect.soundness.split_runs import judge_split_runs
from ckpt_inspect.soundness.state_files import judge_state_files
from ckpt_inspect.soundness.verdicts import CheckedRun, Reason, Soundness, Verdict, is_decided
from ckpt_inspect.soundness.whole import judge_whole
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.optimizer_state import OptimizerState, optimizer_states
from ckpt_inspect.storage import NoAnswerError, PathLike, as_path, is_folder

SecondReader = Callable[[Checkpoint], Iterable[Reason]]
"""Reads a checkpoint another way, and yields what differs."""


def check(
    paths: Iterable[PathLike],
    *,
    given: Given | None = None,
    second_reader: SecondReader | None = None,
    progress: Progress | None = None,
) -> Soundness:
    """Check every checkpoint that the paths hold: whole, complete, and a continuation of the one before.

    Checkpoints that are named one by one are one run, in training order. A damaged checkpoint is a verdict. Raises
    NotFoundError for a path without checkpoints, and what opening raises if nothing that was named is a checkpoint.
    """
    given_paths = [as_path(path) for path in paths]
    runs = runs_named(given_paths)
    work = _Work(given, second_reader, progress, sum(sum(run.sizes().values()) for run in runs))
    checked = tuple(work.check_run(run) for run in runs)
    refused = [error for error in work.refused.values() if error is not None]
    if refused and len(refused) == sum(len(run.checkpoints) for run in runs):
        raise refused[0]
    left_over = dict.fromkeys(str(file) for path in given_paths if is_folder(path) for file in find_left_over(path))
    remarks = [r for folder in dict.fromkeys(filter(is_folder, given_paths)) for r in judge_state_files(folder, runs)]
    remarks += judge_split_runs(runs)
    return Soundness(checked, tuple(left_over), tuple(dict.fromkeys(remarks)))


@dataclass(slots=True)
class _Judged:
    """A verdict, and what later ones may add to it."""

    verdict: Verdict
    drifts: tuple[Drift, ...] = ()
    bounds: tuple[Bound, ...] = ()
    back_to: int | None = None
    """Place in the run of the checkpoint further back that it continues instead of the one before."""
    distance: float = 0.0
    """Sum of squares of what its weights moved since the checkpoint before."""


class _Work:
    def __init__(
        self, given: Given | None, second_reader: SecondReader | None, progress: Progress | None, total: int
    ) -> None:
        self._given, self._second_reader = given, second_reader
        self._progress, self._total, self._done = progress, total, 0
        self.refused: dict[Path, CkptInspectError | None] = {}
        """Errors of paths at which there is no checkpoint."""
        self._told, self._found = NOTHING, FoundBefore()

    def check_run(self, run: Run) -> CheckedRun:
        sizes, keys = run.sizes(), _optimizer_keys(run)
        judged: list[_Judged] = []
        earlier: deque[Path] = deque(maxlen=_BACK + 1)
        before: Stage | None = None
        try:
            for path in self._as_told(run):
                others = {name: found for name, found in keys.items() if name != path.name}
                result, stage = self._judge(path, before, others)
                if stage is not None and result.verdict.continues is False:
                    result = self._with_earlier(result, stage, list(earlier)[-1 - _BACK : -1], run.checkpoints)
                judged.append(result)
                if stage is not None:
                    earlier.append(path)
                    if before is not None:
                        before.checkpoint.close()
                    before = stage
                self._report(sizes[path])
        finally:
            if before is not None:
                before.checkpoint.close()
        return CheckedRun(run.name, tuple(_with_contradictions(list(_with_lines(judged)))))

    def _as_told(self, run: Run) -> Iterator[Path]:
        """Yield the checkpoints of a run, each once it is known what it and others tell together."""
        for some, told in tell_run(run.checkpoints, self._given, self._found.find):
            self._told = told
            yield from some

    def _states(self, checkpoint: Checkpoint) -> tuple[OptimizerState, ...]:
        """Return its optimizers, with what the run's checkpoints tell together."""
        inferred = self._told.values.get(str(checkpoint.path), {})
        return optimizer_states(checkpoint, self._given, inferred=inferred, find=self._found.find)

    def _with_earlier(self, judged: _Judged, stage: Stage, earlier: Sequence[Path], run: Sequence[Path]) -> _Judged:
        """Return what was judged, with the checkpoint further back that it continues, if there is one."""
        verdict = judged.verdict
        for path in reversed(earlier):
            try:
                with open_checkpoint(path) as checkpoint:
                    before = Stage(checkpoint, self._states(checkpoint))
                    passages = passages_between(before, stage)
                    pairs = [pair for passage in passages for pair in pairs_of(passage)]
                    reading = read_whole(stage.checkpoint, pairs, is_rest_read=False)
                    reasons = list(judge_continues(before, stage, passages, reading))
            except CkptInspectError:
                continue
            counts = reading.compared.values()
            if (
                sum(c.judged for c in counts)
                and _distance(reading) <= judged.distance  # else it is the moments that were lost
                and not is_decided(reasons, kinds.CONTINUES)
                and all((p.updates or 0) > 0 for p in passages)
            ):
                what = f"its state can have grown out of {path.name}, and not out of {Path(verdict.before).name}"
                found = Reason(kinds.CONTINUES_ANOTHER, "", what)
                back_to = None if any(c.doubtful for c in counts) else run.index(path)
                return replace(judged, verdict=_with(verdict, found), back_to=back_to)
        return judged

    def _report(self, nbytes: int) -> None:
        self._done += nbytes
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _judge(
        self, path: Path, before: Stage | None, others: Mapping[str, Sequence[str]]
    ) -> tuple[_Judged, Stage | None]:
        """Return the verdict, and the stage if the next checkpoint can be compared with it; it is then still open."""
        try:
            checkpoint = open_checkpoint(path)
        except NoAnswerError:
            raise
        except (DamagedFileError, NotFoundError, UnsupportedError) as error:
            if not isinstance(error, DamagedFileError) and not is_named_so(path.name):
                self.refused[path] = error
            reason = Reason(kinds.UNREADABLE, str(path), str(error))
            return _Judged(Verdict(str(path), False, False, None, (reason,))), None
        if checkpoint.unreadable is not None:
            checkpoint.close()
            self.refused[path] = UnsupportedError(checkpoint.unreadable)
            reason = Reason(kinds.UNREADABLE, str(path), checkpoint.unreadable)
            return _Judged(Verdict(str(path), False, False, None, (reason,))), None
        keep = False
        try:
            judged, stage = self._judge_open(checkpoint, before, others)
            keep = stage is not None
            return judged, stage
        finally:
            if not keep:
                checkpoint.close()

    def _judge_open(
        self, checkpoint: Checkpoint, before: Stage | None, others: Mapping[str, Sequence[str]]
    ) -> tuple[_Judged, Stage | None]:
        states: tuple[OptimizerState, ...] | None = None
        unreadable = ""
        try:
            states = self._states(checkpoint)
        except NoAnswerError:
            raise
        except CkptInspectError as error:
            unreadable = str(error)
        stage = Stage(checkpoint, states or ())
        comparable = before is not None and bool(stage.states)
        passages = passages_between(before, stage) if before is not None and comparable else ()
        pairs = [pair for passage in passages for pair in pairs_of(passage)]
        reading = read_whole(checkpoint, pairs, [own for state in stage.states for own in owns_of(state)])
        reasons = list(judge_whole(checkpoint, stage.states, reading))
        if unreadable and not any(unreadable in reason.text for reason in reasons):
            reasons.append(Reason(kinds.DAMAGED, str(checkpoint.path), unreadable))
        if self._second_reader is not None and checkpoint.tensors:
            reasons += self._second_reader(checkpoint)
        if states is not None:
            reasons += judge_complete(checkpoint, states, reading, others)
        if before is not None and comparable:
            reasons += judge_continues(before, stage, passages, reading)
            if not is_decided(reasons, kinds.CONTINUES):
                places = str(before.checkpoint.path), str(checkpoint.path)
                for passage in passages:
                    reasons += judge_decays(passage, self._told.windows.get((*places, passage.name)))
        is_whole = not is_decided(reasons, kinds.WHOLE)
        is_complete = states is not None and not is_decided(reasons, kinds.COMPLETE)
        steps = [int(s.step.value) for s in stage.states if s.step.value is not None]
        verdict = Verdict(
            path=str(checkpoint.path),
            is_whole=is_whole,
            is_complete=is_complete,
            continues=_continues(reasons, comparable),
            reasons=_ranked(reasons),
            step=max(steps, default=None),
            learning_rate=_rate(stage.states),
            before=str(before.checkpoint.path) if before is not None and comparable else "",
        )
        can_lead_on = bool(stage.states) and reading.is_readable and not reading.error
        drifts = tuple(drifts_of(passages, reading))
        bounds = tuple(bounds_of(passages, reading)) if verdict.continues else ()
        found = _Judged(verdict, drifts, bounds, distance=_distance(reading))
        return found, Stage(checkpoint, stage.states, reading) if can_lead_on else None


def _continues(reasons: Sequence[Reason], comparable: bool) -> bool | None:
    """Return whether it continues; None if there is nothing to compare with, or nothing tells."""
    if not comparable:
        return None
    if is_decided(reasons, kinds.CONTINUES):
        return False
    return None if any(r.kind in (kinds.CANNOT_TELL, kinds.RULE_CHANGED) for r in reasons) else True


def _ranked(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the reasons once each, the most severe first."""
    return tuple(sorted(dict.fromkeys(reasons), key=lambda reason: -reason.kind.severity))


def _distance(reading: Reading) -> float:
    return sum(max(c.dot_aa - 2 * c.dot_ab + c.dot_bb, 0.0) for c in reading.compared.values())


def _with(verdict: Verdict, reason: Reason) -> Verdict:
    return replace(verdict, reasons=_ranked([*verdict.reasons, reason]))


def _with_lines(judged: Sequence[_Judged]) -> Iterator[_Judged]:
    """Yield what was judged; where lines of training cross, no state was lost that the one before has.

    A checkpoint is on another line than the one before if it continues one from further back itself, or if a later
    one does, across it.
    """
    spans = [(each.back_to, end) for end, each in enumerate(judged) if each.back_to is not None]
    crossed = {place for start, end in spans for place in range(start + 1, end + 1)}
    for place, each in enumerate(judged):
        if place in crossed:
            reasons = (
                replace(r, kind=kinds.ANOTHER_LINE) if r.kind in (kinds.PARTLY_RESTORED, kinds.MOMENTS_RESET) else r
                for r in each.verdict.reasons
            )
            each = replace(each, verdict=replace(each.verdict, reasons=_ranked(reasons)))
        yield each


def _rate(states: Sequence[OptimizerState]) -> float | None:
    """The learning rate of the first optimizer that has a constant one; else NaN if one has a schedule."""
    for state in states:
        rate = state.hyperparameters.get("learning_rate")
        if rate is not None and not rate.is_assumed and not state.has_scheduled_rate:
            return rate.value
    return math.nan if any(state.has_scheduled_rate for state in states) else None


def _with_contradictions(judged: Sequence[_Judged]) -> Iterator[Verdict]:
    """Yield the verdicts; a window in which untouched weights moved, while in another they did not, is one in which
    something else set the weights."""
    in_agreement, windows = _in_agreement(judged), StillWindows(drift for each in judged for drift in each.drifts)
    for place, each in enumerate(judged):
        verdict = each.verdict
        if place in in_agreement:
            verdict = replace(verdict, reasons=_ranked(map(_explained, verdict.reasons)))
        for drift in each.drifts:
            still = windows.that_contradicts(drift)
            if still is not None and verdict.continues is not False:
                what = (
                    f"{drift.optimizer}: {drift.moved} weights that no gradient ever reached moved in these "
                    f"{drift.updates} updates, and none in {still.updates} others of the run at the same learning "
                    f"rate, {drift.rate:g}"
                )
                reason = Reason(kinds.WEIGHTS_REPLACED, drift.optimizer, what)
                kept = [r for r in verdict.reasons if r.kind is not kinds.WEIGHTS_MOVED]
                verdict = replace(verdict, continues=False, reasons=_ranked([*kept, reason]))
        yield verdict


def _in_agreement(judged: Sequence[_Judged]) -> set[int]:
    """Return the places of those with bounds each of which agrees with one of another window: then it does with the
    next smaller or the next larger one."""
    bounds: dict[str, list[tuple[float, int, Bound]]] = {}
    for place, each in enumerate(judged):
        for bound in each.bounds:
            bounds.setdefault(bound.optimizer, []).append((bound.most, place, bound))
    agreeing = Counter[int]()
    for own in bounds.values():
        own.sort(key=lambda one: one[:2])
        for at, (_, place, bound) in enumerate(own):
            beside = (*own[max(at - 1, 0) : at], *own[at + 1 : at + 2])
            agreeing[place] += any(agrees(bound, other) for *_, other in beside)
    return {place for place, count in agreeing.items() if count == len(judged[place].bounds)}


def _explained(reason: Reason) -> Reason:
    """Return a reason whose doubt other windows of the run dispel."""
    return replace(reason, kind=kinds.SMALLER_RATE) if reason.kind is kinds.RATE_CONTRADICTED else reason


def _optimizer_keys(run: Run) -> dict[str, Sequence[str]]:
    """Return the keys of the optimizers' tensors of the first checkpoint of a run that has any, by its name."""
    for path in run.checkpoints[:_LOOKS]:
        try:
            with open_checkpoint(path) as checkpoint:
                keys = [key for state in optimizer_states(checkpoint) for key in optimizer_keys(state)]
        except CkptInspectError:
            continue
        if keys:
            return {path.name: keys}
    return {}


_BACK = 4
"""Checkpoints further back that one is compared with if it doesn't continue the one before."""

_LOOKS = 8
"""Checkpoints that are opened in search of one with an optimizer."""
