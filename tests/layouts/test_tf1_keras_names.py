"""Keras' and Addons' optimizers under TF1's Saver: what the names of their variables tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.memory_checkpoints import MemoryCheckpoint, graph_def, moments

from ckpt_inspect import OptimizerState, optimizer_states


def _state(name: str, slots: tuple[str, ...], **scalars: float) -> OptimizerState:
    """The one optimizer of that name over a variable `w`, which also has those scalars."""
    weights, m, v = moments((4, 3))
    arrays: dict[str, Any] = {"w": weights, f"{name}/iter": np.int64(5)}
    arrays |= {f"{name}/w/{slot}": m if slot == "m" else v for slot in slots}
    arrays |= {f"{name}/{scalar}": np.float32(value) for scalar, value in scalars.items()}
    (state,) = optimizer_states(MemoryCheckpoint(arrays))
    return state


ADAM = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "decay": 0.0}


@pytest.mark.parametrize("name", ["AdamW", "training/Adam"])
def test_addons_decay_is_read_from_its_tensor(name: str) -> None:
    """`weight_decay` beside an Adam's scalars: AdamW, whose decay isn't times the rate."""
    state = _state(name, ("m", "v"), **ADAM, weight_decay=0.002)
    decay = state.hyperparameters["weight_decay"]
    assert (state.rule, state.family, state.step.value) == ("adamw", "tfa", 5)
    assert (decay.value, decay.source) == (pytest.approx(0.002), "checkpoint")
    p = state.parameters["w"]
    m, v, value = (np.asarray(a, np.float64) for a in (p.first_moment(), p.second_moment(), p.value()))
    u = 0.01 * np.sqrt(1 - 0.999**5) / (1 - 0.9**5) * m / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(p.last_update(), -(u + 0.002 * (value + u) / (1 - 0.002)), rtol=1e-3)


def test_plain_adam_has_no_decay() -> None:
    """The usual optimizer stays what it is."""
    state = _state("training/Adam", ("m", "v"), **ADAM)
    assert (state.rule, state.family, state.hyperparameters["weight_decay"].value) == ("adam", "optimizer-v2", 0)


def test_a_scalar_that_one_rule_has_names_it() -> None:
    """`sma_threshold` under a name of the user's own."""
    state = _state("mine", ("m", "v"), **ADAM, sma_threshold=5.0)
    assert state.rule != "adam"


@pytest.mark.parametrize(
    ("name", "slots", "rule", "source"),
    [
        ("RMSprop", ("rms",), "rmsprop", "checkpoint"),
        ("mine", ("rms", "momentum"), "rmsprop", "checkpoint"),
        ("mine", ("accumulator",), "adagrad", "checkpoint"),
        ("mine", ("m", "v"), "adam", "default"),
        ("mine", ("fast", "slow"), "unknown", "unknown"),
    ],
)
def test_other_slots_are_read(name: str, slots: tuple[str, ...], rule: str, source: str) -> None:
    """Slots of other rules are found, and those of no known rule are called unknown rather than passed over."""
    state = _state(name, slots, learning_rate=0.01, decay=0.0)
    assert (state.rule, state.rule_source.source, list(state.parameters)) == (rule, source, ["w"])


class TestAnEstimatorsOptimizer:
    """`Estimator` sets its optimizer's `iterations` to the `global_step`, so that the file has no `iter`."""

    @staticmethod
    def _arrays(*names: str, **more: Any) -> dict[str, Any]:
        arrays: dict[str, Any] = dict(more)
        for i, name in enumerate(names):
            weights, m, v = moments((4, 3), seed=i)
            arrays |= {f"w{i}": weights, f"{name}/w{i}/m": m, f"{name}/w{i}/v": v}
            arrays |= {f"{name}/{scalar}": np.float32(value) for scalar, value in ADAM.items()}
        return arrays

    def test_its_step_is_the_global_step(self) -> None:
        """The one optimizer without a counter of its own."""
        arrays = self._arrays("training/Adam", global_step=np.int64(5))
        (state,) = optimizer_states(MemoryCheckpoint(arrays))
        assert (state.name, state.rule, list(state.parameters)) == ("training/Adam", "adam", ["w0"])
        assert (state.step.value, state.step.source) == (5, "checkpoint")
        assert "global_step" in state.step.where

    def test_beside_one_that_counts_for_itself(self) -> None:
        """A wide and deep model has two: one with `iter`, which is the linear part's."""
        arrays = self._arrays("training/Adam", "training/Adam_1", global_step=np.int64(5))
        arrays["training/Adam_1/iter"] = np.int64(3)
        steps = {s.name: s.step.value for s in optimizer_states(MemoryCheckpoint(arrays))}
        assert steps == {"training/Adam": 5, "training/Adam_1": 3}

    def test_of_two_that_share_the_global_step_none_is_known(self) -> None:
        """Each raises it."""
        arrays = self._arrays("training/Adam", "training/Adam_1", global_step=np.int64(10))
        for state in optimizer_states(MemoryCheckpoint(arrays)):
            assert (state.step.value, state.step.source) == (None, "unknown")
            assert "2 optimizers together" in state.step.where

    def test_a_counter_that_was_not_saved(self) -> None:
        """The graph has its `iter`, so that `global_step` counts something else."""
        arrays = self._arrays("training/Adam", global_step=np.int64(10))
        graph = graph_def(("training/Adam/iter", "VarHandleOp", ()))
        (state,) = optimizer_states(MemoryCheckpoint(arrays, graph=graph))
        assert state.step.value is None
        assert "training/Adam/iter, which the graph has" in state.step.where

    def test_without_a_global_step(self) -> None:
        """The moments are found, the step is not."""
        (state,) = optimizer_states(MemoryCheckpoint(self._arrays("training/Adam")))
        assert (state.step.value, list(state.parameters)) == (None, ["w0"])

    def test_the_graph_holds_what_no_variable_does(self) -> None:
        """Epsilon is a constant of `ResourceApplyAdam`."""
        slots = ("w0", "training/Adam/w0/m", "training/Adam/w0/v")
        scalars = ("power_1", "power_2", "rate", "beta_1", "beta_2", "epsilon")
        graph = graph_def(
            *((name, "VarHandleOp", ()) for name in slots),
            ("training/Adam/Adam/update_w0/ResourceApplyAdam", "ResourceApplyAdam", (*slots, *scalars, "gradient")),
            constants={"epsilon": 1e-3},
        )
        arrays = self._arrays("training/Adam", global_step=np.int64(5))
        (state,) = optimizer_states(MemoryCheckpoint(arrays, graph=graph))
        epsilon = state.hyperparameters["epsilon"]
        assert (epsilon.value, epsilon.source) == (pytest.approx(1e-3), "graph")
        assert state.hyperparameters["learning_rate"].source == "checkpoint"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("RMSprop", ("velocity",)), ("SGD", ("momentum",)), ("Adadelta", ("accumulated_grad", "accumulated_delta_var"))],
)
def test_nameless_slots_that_are_no_moments(name: str, kinds: tuple[str, ...]) -> None:
    """Keras 2 under a Saver: all slots of a kind in a row, of optimizers other than Adam as well."""
    weights = {"dense/kernel": np.ones((4, 3), np.float32), "dense/bias": np.ones(3, np.float32)}
    slots = [np.full(w.shape, i + 1, np.float32) for i in range(len(kinds)) for w in weights.values()]
    arrays: dict[str, Any] = {**weights, f"{name}/iterations": np.int64(5), f"{name}/lr": np.float32(0.01)}
    arrays |= {f"training/{name}/Variable{f'_{i}' if i else ''}": slot for i, slot in enumerate(slots)}
    (state,) = optimizer_states(MemoryCheckpoint(arrays))
    assert {n: tuple(p.found.slots) for n, p in state.parameters.items()} == dict.fromkeys(weights, kinds)
    assert state.parameters["dense/bias"].found.slots[kinds[0]] == f"training/{name}/Variable_1"
    if name == "RMSprop":
        np.testing.assert_allclose(state.parameters["dense/bias"].effective_lr(), 0.01, rtol=1e-6)


@pytest.mark.parametrize("name", ["Adamax", "AdamW", "LAMB", "RectifiedAdam", "Nadam", "RMSprop"])
def test_a_name_that_someone_chose_is_no_proof(name: str) -> None:
    """An Adam under another's name: its moments are too large for a norm, and scalars that the class keeps are
    missing."""
    state = _state(f"training/{name}", ("m", "v"), **ADAM)
    assert (state.rule, state.rule_source.source) == ("adam", "default")
    assert not {"adamax", "adamw", "lamb"} & set(state.rule_source.where.partition("could be ")[2].split(", "))
