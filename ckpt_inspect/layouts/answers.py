"""What a layout asked a checkpoint, and was answered: another checkpoint that answers the same holds the same state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TypeVar

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, FileStat, Graph, SavedTree, TensorSpec, TrainingConfig
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.records import dataclass

_FEW = 16
"""Numbers that are remembered as an answer; who reads more looks at values, which differ in every checkpoint."""

Answer = TypeVar("Answer")


def _producer(checkpoint: Checkpoint) -> Mapping[str, str]:
    """Return what the file says about its writer, without the date, which is every file's own."""
    return {name: told for name, told in checkpoint.producer().items() if name != "date_saved"}


_QUESTIONS: Mapping[str, Callable[[Checkpoint], object]] = {
    "training_config": lambda checkpoint: checkpoint.training_config(),
    "graph": lambda checkpoint: checkpoint.graph(),
    "saved_tree": lambda checkpoint: checkpoint.saved_tree(),
    "labels": lambda checkpoint: checkpoint.labels(),
    "producer": _producer,
    "written_order": lambda checkpoint: checkpoint.written_order(),
}


@dataclass(slots=True)
class Answers:
    """A checkpoint's answers to all that was asked."""

    format: str
    unreadable: str | None
    tensors: Mapping[str, TensorSpec]
    is_general: bool = True
    """Whether nothing was asked that is each checkpoint's own: its path, its graph, many values."""
    others: dict[str, object] = field(default_factory=dict)
    """By question, of `_QUESTIONS`."""
    ranges: dict[tuple[str, int, int], object] = field(default_factory=dict)
    """Elements, by what `read_range` was asked."""

    def are_those_of(self, checkpoint: Checkpoint) -> bool:
        """Return whether another checkpoint answers the same, in everything that was asked."""
        if not self.is_general or (checkpoint.format, checkpoint.unreadable) != (self.format, self.unreadable):
            return False
        tensors = checkpoint.tensors
        if tensors is not self.tensors and list(tensors.items()) != list(self.tensors.items()):
            return False
        try:
            return all(_QUESTIONS[question](checkpoint) == answer for question, answer in self.others.items()) and all(
                checkpoint.read_range(*elements).tolist() == answer for elements, answer in self.ranges.items()
            )
        except CkptInspectError:
            return False


class AskedCheckpoint(Checkpoint):
    """A checkpoint as layouts are shown it; what they ask is written down in `answers`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Take the checkpoint, which stays open."""
        self._checkpoint = checkpoint
        self.format, self.tensors, self.unreadable = checkpoint.format, checkpoint.tensors, checkpoint.unreadable
        self.answers = Answers(self.format, self.unreadable, self.tensors)

    @property
    def path(self) -> Path:  # type: ignore[override]  # asking is written down, and nobody sets it
        self.answers.is_general = False
        return self._checkpoint.path

    @property
    def files(self) -> tuple[Path, ...]:  # type: ignore[override]  # as above
        self.answers.is_general = False
        return self._checkpoint.files

    @property
    def file_stats(self) -> tuple[FileStat, ...]:  # type: ignore[override]  # as above
        self.answers.is_general = False
        return self._checkpoint.file_stats

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        found = self._checkpoint.read_range(name, start, stop, out)
        if stop - start <= _FEW or self.spec(name).dtype == STRING:
            self.answers.ranges[name, start, stop] = found.tolist()
        else:
            self.answers.is_general = False
        return found

    def training_config(self) -> TrainingConfig | None:
        return self._told("training_config", self._checkpoint.training_config())

    def graph(self) -> Graph | None:
        found = self._checkpoint.graph()
        self.answers.is_general &= found is None  # it may be large, and names its file
        return self._told("graph", found)

    def saved_tree(self) -> SavedTree | None:
        return self._told("saved_tree", self._checkpoint.saved_tree())

    def labels(self) -> Mapping[str, str]:
        return self._told("labels", self._checkpoint.labels())

    def producer(self) -> Mapping[str, str]:
        return self._told("producer", _producer(self._checkpoint))

    def written_order(self) -> Mapping[str, int]:
        return self._told("written_order", self._checkpoint.written_order())

    def _told(self, question: str, answer: Answer) -> Answer:
        self.answers.others[question] = answer
        return answer
