"""Optimizers that are modules of a user's own, by lists of variables beside each other, and what only looks so."""

from __future__ import annotations

import numpy as np
from support.memory_checkpoints import VALUE, MemoryCheckpoint, moments, node, object_graph

from ckpt_inspect import optimizer_states

WEIGHTS = ("model/a", "model/b")


def checkpoint_of(names: tuple[str, str], *, has_attributes: bool) -> MemoryCheckpoint:
    """A model of two weights; beside it an object with two variables in the list `variables` and a scalar, `at`."""
    w, m, _ = moments()
    arrays = {f"{name}{VALUE}": array for name, array in zip((*WEIGHTS, *names), (w, w + 1, m, m), strict=True)}
    arrays[f"it/at{VALUE}"] = np.array(3, np.int64)
    own = {"x": 5, "y": 6} if has_attributes else {}
    nodes = [
        node({"model": 1, "it": 4}),
        node({"a": 2, "b": 3}),
        *(node(variable=(n, f"{n}{VALUE}")) for n in WEIGHTS),
        node({"variables": 7, "at": 8, **own}),
        *(node(variable=(n, f"{n}{VALUE}")) for n in names),
        node({"0": 5, "1": 6}),
        node(variable=("at", f"it/at{VALUE}")),
    ]
    return MemoryCheckpoint(arrays | object_graph(nodes))


def test_a_list_of_what_nothing_else_names_may_be_an_optimizers() -> None:
    """One list in the weights' shapes beside a counter: reported, under the object's name."""
    (state,) = optimizer_states(checkpoint_of(("it/variables/0", "it/variables/1"), has_attributes=False))
    assert (state.name, state.layout, len(state.parameters)) == ("it", "module-lists", 2)


def test_a_list_of_an_objects_own_attributes_is_no_optimizers() -> None:
    """Keras' metrics and layers have their variables by name, and in a list besides."""
    assert optimizer_states(checkpoint_of(("it/x", "it/y"), has_attributes=True)) == ()
