"""What a run's checkpoints tell together, as those take it who measure them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from ckpt_inspect.records import dataclass
from ckpt_inspect.state.inferred import Inferred, InferredValues

if TYPE_CHECKING:
    from ckpt_inspect.runs.assembly import Evidence, RowEvidence
    from ckpt_inspect.runs.kept_elements import KeptState
    from ckpt_inspect.runs.planning import Plan
    from ckpt_inspect.runs.spilled import SpilledEvidence


@dataclass(frozen=True, slots=True)
class Seen:
    """One optimizer over a stretch of a run, as the inference saw it; each by the checkpoints' absolute paths."""

    values: Mapping[str, InferredValues]
    """What each checkpoint is given in place of what its file leaves open."""
    rows: Mapping[str, RowEvidence]
    kept: tuple[KeptState, ...]
    """Of the newest checkpoints up to there."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What checkpoints of a run that follow each other tell together, with those right before them."""

    optimizers: Mapping[str, Seen] = field(default_factory=dict)

    def of(self, place: str) -> Inferred:
        """Return the values for the checkpoint at an absolute path, by optimizer."""
        found = {name: seen.values.get(place, {}) for name, seen in self.optimizers.items()}
        return {name: values for name, values in found.items() if values}


NOTHING = Stretch()
"""Nothing is told, or nobody asked."""

_TOGETHER = 512
"""Checkpoints of which nothing is told that are given to be read at a time."""


def nothing_told(plan: Plan) -> Iterator[tuple[Stretch, Sequence[int]]]:
    """Yield which checkpoints of a run have to be read of which nothing is told, by their places in it."""
    places: list[int] = plan.unread.places.tolist()
    return ((NOTHING, places[start : start + _TOGETHER]) for start in range(0, len(places), _TOGETHER))


_PENDING = 6
"""Stretches that may be told before the first of them is read: few checkpoints are under way at a time."""


class Told:
    """What a run's checkpoints tell together, as far as they were asked by now: stretch after stretch."""

    def __init__(self, spilled: SpilledEvidence | None = None) -> None:
        """`spilled`: where it is put away, that of a long run; by default it is held."""
        self._spilled = spilled
        self._rows: dict[str, dict[str, RowEvidence]] = {}
        self._kept: list[Mapping[str, tuple[KeptState, ...]]] = []
        """Of each stretch, the last first."""

    def __bool__(self) -> bool:
        return bool(self._kept)

    def take(self, stretch: Stretch) -> None:
        """Take in the next stretch."""
        if not stretch.optimizers:
            return
        rows = {name: seen.rows for name, seen in stretch.optimizers.items()}
        if self._spilled is not None:
            self._spilled.add(rows)
        else:
            for name, own in rows.items():
                self._rows.setdefault(name, {}).update(own)
        before = self._kept[0] if self._kept else {}
        self._kept.insert(0, {**before, **{name: seen.kept for name, seen in stretch.optimizers.items()}})
        del self._kept[_PENDING:]

    def evidence(self) -> Evidence:
        """Return what is told of each checkpoint of a run that is held, by optimizer."""
        from ckpt_inspect.runs.assembly import OptimizerEvidence

        return {name: OptimizerEvidence(own, self._kept[0][name]) for name, own in self._rows.items()}

    # --- of a long run

    def of(self, places: Sequence[str]) -> Evidence:
        """Return what is told of these checkpoints, by optimizer: of each that anything is told of."""
        from ckpt_inspect.runs.assembly import OptimizerEvidence

        if self._spilled is None or not self._kept:
            return {}
        found = self._spilled.rows(places)
        return {name: OptimizerEvidence(found.get(name, {})) for name in self._kept[0]}

    def places(self) -> Iterator[str]:
        """Yield the absolute paths of the checkpoints of which anything is told, and isn't in the store yet."""
        return iter(()) if self._spilled is None else self._spilled.places()

    def kept(self, unread: Collection[str]) -> Mapping[str, tuple[KeptState, ...]]:
        """Return what the store is to keep of the newest checkpoints, by optimizer: of the last stretch of which those
        are not `unread`, else of the last one."""
        for kept in self._kept:
            if not any(each.place in unread for own in kept.values() for each in own):
                return kept
        return self._kept[0] if self._kept else {}

    def are_kept(self, unread: Collection[str]) -> None:
        """Take in that the store holds what is told of all checkpoints but the `unread`."""
        if self._spilled is not None:
            self._spilled.drop(unread)
