"""Optimizers of a user's own under TF1's Saver: shown, and not taken for another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from support.bundle_writer import field
from support.memory_checkpoints import MemoryCheckpoint, moments

from ckpt_inspect import OptimizerState, optimizer_states
from ckpt_inspect.overview.overview import overview

SHAPES: Mapping[str, tuple[int, ...]] = {"a/kernel": (4, 3), "a/bias": (3,), "b/kernel": (3, 2)}


def _arrays(slots: tuple[str, ...]) -> dict[str, Any]:
    """Weights of `SHAPES`, and slots of these names under each: a first moment, then second ones."""
    arrays: dict[str, Any] = {}
    for seed, (name, shape) in enumerate(SHAPES.items()):
        arrays[name], m, v = moments(shape, seed=seed)
        arrays |= {f"{name}/{slot}": m if i == 0 else v for i, slot in enumerate(slots)}
    return arrays


def _states(arrays: Mapping[str, Any], graph: bytes | None = None) -> tuple[OptimizerState, ...]:
    return optimizer_states(MemoryCheckpoint(arrays, graph=graph))


@pytest.mark.parametrize("slots", [("lamb_m", "lamb_v"), ("m", "v"), ("my_mu", "my_nu"), ("exp_avg", "exp_avg_sq")])
def test_a_pair_of_moments_is_shown_and_its_rule_unknown(slots: tuple[str, str]) -> None:
    """Names that people give a pair of moments: shown as such; no rule, and no number of one, is assumed."""
    arrays = _arrays(slots)
    (state,) = _states(arrays)
    assert (state.rule_source.source, state.update_rule, list(state.parameters)) == ("unknown", None, sorted(SHAPES))
    assert all(h.value is None for h in state.hyperparameters.values())
    for name, parameter in state.parameters.items():
        np.testing.assert_array_equal(parameter.first_moment(), arrays[f"{name}/{slots[0]}"])
        np.testing.assert_array_equal(parameter.second_moment(), arrays[f"{name}/{slots[1]}"])
    assert ", ".join(slots) in state.rule_source.where


def test_a_rule_that_the_names_point_to_is_offered() -> None:
    """`lamb_m` proves no arithmetic; given by the caller, the rule is taken."""
    arrays = _arrays(("lamb_m", "lamb_v"))
    (state,) = _states(arrays)
    assert "give --rule lamb" in state.rule_source.where
    (given,) = optimizer_states(MemoryCheckpoint(arrays), {"rule": "lamb", "step": 5, "learning_rate": 0.1})
    assert given.parameters["a/kernel"].effective_lr() is not None


@pytest.mark.parametrize("slots", [("cache",), ("fast", "slow"), ("opt", "opt_1")])
def test_other_slots_keep_their_names(slots: tuple[str, ...]) -> None:
    """Slots that no name explains are listed under the file's names."""
    (state,) = _states(_arrays(slots))
    assert (state.rule, state.update_rule) == ("unknown", None)
    assert {tuple(p.found.slots) for p in state.parameters.values()} == {slots}


def test_averages_and_masks_are_no_optimizer() -> None:
    """Copies and averages of the weights, and masks of zeros and ones."""
    weights = _arrays(())
    averages = {f"{n}/shadow": a * np.float32(0.99) for n, a in weights.items()}
    masks = {f"{n}/mask": (a > 0).astype(np.float32) for n, a in weights.items()}
    assert _states(weights | averages) == _states(weights | masks) == _states(weights) == ()


def _nameless() -> dict[str, Any]:
    """Adam by hand: a counter, then m and v of each parameter, as plain variables."""
    arrays: dict[str, Any] = {"Variable": np.float32(24)}
    for i, (name, shape) in enumerate(SHAPES.items()):
        arrays[name], arrays[f"Variable_{2 * i + 1}"], arrays[f"Variable_{2 * i + 2}"] = moments(shape, seed=i)
    return arrays


def test_unnamed_variables_of_the_parameters_shapes_are_pointed_out() -> None:
    """Without a graph nothing says whose they are: they are named, and paired with none."""
    (state,) = _states(_nameless())
    assert (state.rule_source.source, len(state.parameters)) == ("unknown", 0)
    assert "Variable_1 .. Variable_6" in (state.absence or "")
    assert "look like the state of an optimizer" in (state.absence or "")


def test_unnamed_variables_are_paired_by_the_graph() -> None:
    """A parameter's assignment reads its own two."""
    out = b""
    for i, name in enumerate(SHAPES):
        own = (f"Variable_{2 * i + 1}", f"Variable_{2 * i + 2}")
        for variable in (name, *own):
            out += field(1, field(1, variable.encode()) + field(2, b"VariableV2"))
        for op, inputs in (("Mul", own), ("Assign", (name, f"Mul_{i}"))):
            body = field(1, f"{op}_{i}".encode()) + field(2, op.encode())
            out += field(1, body + b"".join(field(3, v.encode()) for v in inputs))
    (state,) = _states(_nameless(), out)
    (given,) = optimizer_states(MemoryCheckpoint(_nameless(), graph=out), {"rule": "adam", "step": 5})
    assert all(p.key("second_moment") == p.found.slots["second_moment"] for p in given.parameters.values())
    found = {n: tuple(p.found.slots.values()) for n, p in state.parameters.items()}
    assert found == {n: (f"Variable_{2 * i + 1}", f"Variable_{2 * i + 2}") for i, n in enumerate(SHAPES)}


def test_unnamed_variables_of_other_shapes_are_weights() -> None:
    """One too many or too few, or of both signs: nothing is claimed."""
    arrays = _nameless()
    assert _states({n: a for n, a in arrays.items() if n != "Variable_6"}) == ()
    flipped = {n: -a if n.startswith("Variable_") else a for n, a in arrays.items()}
    assert _states(flipped) == ()


@pytest.mark.parametrize("name", ["train/trace{}/trace", "train/slot{}"])
def test_numbered_tensors_of_the_variables_shapes_are_named(name: str) -> None:
    """`trace/trace`, `trace_1/trace`, ..: one of each variable's shape is said to be there, not "weights only"."""
    arrays = {n: moments(shape, seed=seed)[0] for seed, (n, shape) in enumerate(SHAPES.items())}
    arrays |= {name.format(f"_{i}" if i else ""): moments(shape, seed=i)[1] for i, shape in enumerate(SHAPES.values())}
    (state,) = _states(arrays)
    assert (state.rule, state.rule_source.source, len(state.parameters)) == ("unknown", "unknown", 0)
    assert "3 numbered tensors" in state.rule_source.where


def test_a_copy_of_the_weights_is_no_optimizer() -> None:
    """Numbered tensors beside their like are two networks; those near the weights are averages."""
    two = {f"{net}/w{n}": moments((i + 2, 3), seed=i)[0] for net in ("q", "target") for i, n in enumerate(("", "_1"))}
    assert _states(two) == ()
    weights = {n: moments(shape, seed=seed)[0] for seed, (n, shape) in enumerate(SHAPES.items())}
    near = {f"copy{f'_{i}' if i else ''}": w * np.float32(1.01) for i, w in enumerate(weights.values())}
    assert _states({**weights, **near}) == ()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({f"Variable_{i}": np.ones((4, 3), np.float32) for i in range(9)}, "9 tensors, Variable_0 .. Variable_8"),
        ({f"trainer/{n}_0": np.ones((4, 3), np.float32) for n in ("w", "m", "v")}, "2 tensors"),
        ({"w": np.ones((4, 3), np.float32), "optimizer/fast": np.ones((2, 2), np.float32)}, "1 tensor, optimizer/fast"),
        (
            {n: np.ones(s, np.float32) for n, s in (("w", (4, 3)), ("b", 3), ("grad", 15), ("window", (5, 15)))},
            "2 tensors, grad .. window",
        ),
    ],
)
def test_what_may_be_an_optimizers_is_not_called_weights(arrays: Mapping[str, Any], words: str) -> None:
    """Unnamed variables of one shape, numbered moments, a part that is called an optimizer, all weights in one vector:
    it can't be told."""
    described = overview(MemoryCheckpoint(arrays)).description
    assert described.startswith("no optimizer state of a known kind")
    assert words in described


def test_weights_are_called_weights() -> None:
    """Unnamed variables of different shapes can't be slots of each other."""
    arrays = {f"Variable_{i}": np.ones(i + 2, np.float32) for i in range(5)}
    assert overview(MemoryCheckpoint(arrays)).description.startswith("weights only")


@pytest.mark.parametrize("slots", [("fast", "wide"), ("z_first", "a_second")])
def test_a_rule_that_is_given_takes_two_slots_that_values_tell_apart(slots: tuple[str, str]) -> None:
    """Of two slots the one without negative elements is the second moment, if the caller says that there is one."""
    arrays = _arrays(slots)
    (state,) = optimizer_states(MemoryCheckpoint(arrays), {"rule": "adam", "step": 5, "learning_rate": 0.1})
    for name, parameter in state.parameters.items():
        np.testing.assert_array_equal(parameter.first_moment(), arrays[f"{name}/{slots[0]}"])
        assert parameter.effective_lr() is not None
