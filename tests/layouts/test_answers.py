"""Which checkpoints are alike to layouts: those that answer the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.memory_checkpoints import MemoryCheckpoint

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.layouts.answers import AskedCheckpoint

_W = np.zeros((2, 3), np.float32)


def _made(step: int = 1, **how: Any) -> MemoryCheckpoint:
    """One tensor, a counter, and a graph of objects that is none."""
    return MemoryCheckpoint({"w": _W + step, "count": np.int64(step), "objects": np.array(b"graph", object)}, **how)


def _are_alike(ask: Callable[[Checkpoint], object], one: Checkpoint, other: Checkpoint) -> bool:
    shown = AskedCheckpoint(one)
    ask(shown)
    return shown.answers.are_those_of(other)


def test_values_that_nobody_asked_for_may_differ() -> None:
    """Names, shapes and types are the same: so is what was found by them."""
    assert _are_alike(lambda c: c.tensors["w"], _made(1), _made(2))


@pytest.mark.parametrize(
    ("ask", "other"),
    [
        (lambda c: c.read("count"), _made(2)),
        (lambda c: c.labels(), _made(labels={"optimizer/vars": "adam"})),
        (lambda c: c.training_config(), _made(optimizer={"class_name": "Adam"})),
        (lambda c: c.producer(), _made(producer={"keras_version": "3.1"})),
        (lambda c: c.format, _made(kind="keras-h5")),
        (lambda c: c.tensors, MemoryCheckpoint({"w": _W})),
        (lambda c: c.tensors, MemoryCheckpoint({"count": np.int64(1), "w": _W, "objects": np.array(b"", object)})),
    ],
    ids=["number", "labels", "configuration", "writer", "format", "fewer tensors", "order of tensors"],
)
def test_another_answer_is_another_checkpoint(ask: Callable[[Checkpoint], object], other: Checkpoint) -> None:
    """Whatever was asked has to be the same."""
    assert _are_alike(ask, _made(), _made())
    assert not _are_alike(ask, _made(), other)


def test_the_date_of_saving_is_every_file_s_own() -> None:
    """It tells nothing of the layout."""
    one, other = (_made(producer={"keras_version": "3.8.0", "date_saved": day}) for day in ("Monday", "Tuesday"))
    assert _are_alike(lambda c: c.producer(), one, other)


@pytest.mark.parametrize(
    "ask", [lambda c: c.path, lambda c: c.files, lambda c: list(c.stream("w")), lambda c: c.graph()],
    ids=["path", "files", "values", "graph"],
)  # fmt: skip
def test_what_is_a_checkpoint_s_own_is_no_other_s(ask: Callable[[Checkpoint], object]) -> None:
    """A finding that may name a file, or rests on many values, is not carried over, not even to an equal one."""
    made = [MemoryCheckpoint({"w": np.zeros(100, np.float32)}, graph=b"graph") for _ in range(2)]
    assert not _are_alike(ask, *made)


def test_strings_are_compared() -> None:
    """As the object graph is, which layouts read whole."""
    other = MemoryCheckpoint({"w": _W, "count": np.int64(1), "objects": np.array(b"other", object)})
    assert _are_alike(lambda c: c.read("objects"), _made(1), _made(2))
    assert not _are_alike(lambda c: c.read("objects"), _made(), other)


def test_what_can_t_be_read_is_not_alike() -> None:
    """The error is met again by whoever looks at that checkpoint."""

    class Damaged(MemoryCheckpoint):
        def read_range(self, name: str, start: int, stop: int, out: Any = None) -> Any:
            self.spec("nothing of that name")

    other = Damaged({"w": _W, "count": np.int64(1), "objects": np.array(b"graph", object)})
    assert not _are_alike(lambda c: c.read("count"), _made(), other)
