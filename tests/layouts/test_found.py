"""What layouts hand on, field by field: where a rule was read, what counts the updates, where the rate is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bundle_writer import field
from support.memory_checkpoints import MemoryCheckpoint, moments, node, object_graph

from ckpt_inspect.layouts import find_optimizers
from ckpt_inspect.layouts import found as found_module
from ckpt_inspect.layouts.found import BetaPowerKeys, BetaPowers, FoundOptimizer, FoundParameter, RuleReading
from ckpt_inspect.layouts.graph_def import decode_graph_def
from ckpt_inspect.layouts.validation import checked
from ckpt_inspect.update_rules.implementations import TF1

SHAPE = (12, 3)
W, M, V = moments(SHAPE)
U = np.maximum(np.abs(M) * np.float32(1.5), np.float32(1e-3))
"""An infinity norm that fits these first moments."""
POWERS = {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999)}
ADAMAX = {"class_name": "Adamax", "config": {"learning_rate": 0.01}}


def _find(arrays: dict[str, Any], **options: Any) -> FoundOptimizer:
    (found,) = find_optimizers(MemoryCheckpoint(arrays, **options))
    return found


def _tf1(slot: str = "Adam") -> dict[str, Any]:
    return {"w": W, f"w/{slot}": M, f"w/{slot}_1": V, **POWERS}


def _groups(*arrays: Any) -> dict[str, Any]:
    variables = [np.int64(4), np.float32(0.01), *arrays]
    return {"layers/dense/vars/0": W, **{f"optimizer/vars/{i}": a for i, a in enumerate(variables)}}


def _h5(slots: dict[str, Any]) -> dict[str, Any]:
    return {"model_weights/dense/dense/kernel:0": W, **{f"optimizer_weights/{n}": a for n, a in slots.items()}}


def _graph(rate: Sequence[tuple[str, str, Sequence[str]]]) -> bytes:
    """A graph of one dense Adam over `w`; `rate` is the nodes that make `rate`, each (name, operation, inputs)."""
    variables = ("w", "w/Adam", "w/Adam_1", "beta1_power", "beta2_power", "global_step", "b1", "b2", "eps")
    nodes = [(name, "VariableV2", ()) for name in variables]
    inputs = ("w", "w/Adam", "w/Adam_1", "beta1_power", "beta2_power", "rate", "b1", "b2", "eps", "gradient")
    apply = ("Adam/update_w/ApplyAdam", "ApplyAdam", inputs)
    return b"".join(
        field(1, field(1, n.encode()) + field(2, op.encode()) + b"".join(field(3, i.encode()) for i in ins))
        for n, op, ins in (*nodes, *rate, apply)
    )


COMPUTED = _graph([("step", "Identity", ["global_step"]), ("rate", "Sqrt", ["step"])])


NADAM = {"w": W, "Nadam/w/m": M, "Nadam/w/v": V, "Nadam/iter": 3}
"""Named for it, without the product of momenta that it keeps."""


class TestRuleReading:
    """A reading says itself where it comes from."""

    @pytest.mark.parametrize(
        ("found", "rule", "source"),
        [
            (lambda: _find(_h5({}), kind="keras-h5", optimizer=ADAMAX), "adamax", "config"),
            (lambda: _find(_groups(M, U), kind="keras-archive", optimizer=ADAMAX), "adamax", "config"),
            (lambda: _find(_tf1(), graph=COMPUTED), "adam", "graph"),
            (lambda: _find({"w": W, "w/RMSProp": V, "w/RMSProp_1": M}), "rmsprop", "checkpoint"),
            (lambda: _find({"w": W, "w/adam_m": M, "w/adam_v": V}), "bert-adamw", "checkpoint"),
            (lambda: _find({**NADAM, "Nadam/momentum_cache": 0.5}), "nadam", "checkpoint"),
            (lambda: _find(NADAM), "adam", "default"),
            (lambda: _find(_h5({"a/w_momentum:0": M, "a/w_norm:0": U}), kind="keras-h5"), "adamax", "checkpoint"),
            (lambda: _find(_groups(M, V, V), kind="keras-weights-h5"), "amsgrad", "checkpoint"),
            (lambda: _find(_groups(M, U), kind="keras-weights-h5"), "adam", "default"),
            (lambda: _find(_groups(M, V), kind="keras-weights-h5"), "adam", "default"),
            (lambda: _find(_tf1()), "adam", "default"),
            (lambda: _find({"w": W, "mine/w/m": M, "mine/w/v": V, "mine/iter": 3}), "adam", "default"),
        ],
    )  # fmt: skip
    def test_source(self, found: Any, rule: str, source: str) -> None:
        """Configuration, graph, names, values, or merely the usual reading; `is_read` for the first three."""
        reading = found().rule
        assert (reading.name, reading.source) == (rule, source)
        assert reading.is_read == (source in ("config", "graph", "checkpoint"))

    def test_a_graph_that_does_not_speak_of_it(self) -> None:
        """A .meta that lies beside is no source by lying there: the slots' name told."""
        found = _find({"w": W, "w/Adamax": M, "w/Adamax_1": U, "beta1_power": np.float32(0.9)}, graph=COMPUTED)
        assert (found.rule.name, found.rule.source, found.constants_where) == ("adamax", "checkpoint", "made.meta")


class TestBetaPowers:
    """Which pairs count the updates, and why."""

    def test_one_pair_is_its_own(self) -> None:
        """No rivals, and no evidence needed but the names."""
        own = BetaPowerKeys("beta1_power", "beta2_power")
        assert _find(_tf1()).beta_powers == BetaPowers(own)
        assert own.keys == ("beta1_power", "beta2_power")

    def test_a_missing_power_has_no_key(self) -> None:
        """Adamax keeps one power alone."""
        arrays = {k: a for k, a in _tf1().items() if k != "beta2_power"}
        assert _find(arrays).beta_powers.own.keys == ("beta1_power",)

    def test_rivals_are_handed_on(self) -> None:
        """Two networks, two pairs, one set of slots: every pair is a rival and none its own."""
        moved = {k: np.float32(a * a) for k, a in POWERS.items()}
        arrays = {**_tf1(), "g": W, "g/Adam": M, "g/Adam_1": V, **moved, **{f"{k}_1": a for k, a in moved.items()}}
        powers = _find(arrays).beta_powers
        assert powers.own.keys == ()
        assert [pair.beta_1 for pair in powers.rivals] == ["beta1_power", "beta1_power_1"]

    def test_values_that_told_are_the_evidence(self) -> None:
        """Of two pairs the one that moved is the one of the moments that did."""
        arrays = {**_tf1(), "beta1_power_1": np.float32(0.81), "beta2_power_1": np.float32(0.999) ** 2}
        powers = _find(arrays).beta_powers
        assert (powers.own.beta_2, powers.rivals) == ("beta2_power_1", ())
        assert "its moments aren't zero" in powers.evidence

    def test_a_malformed_power_is_skipped(self) -> None:
        """A power in an object graph that isn't one number leaves the other."""
        names = ("beta1_power", "beta2_power")
        arrays = {"w": W, "m": M, "v": V, "beta1_power": np.float32(0.9), "beta2_power": np.ones(2, np.float32)}
        graph = [
            node({"optimizer": 1}),
            node({names[0]: 5, names[1]: 6}, slots=[(2, "m", 3), (2, "v", 4)]),
            *(node(variable=(n, n)) for n in ("w", "m", "v", *names)),
        ]
        found = _find({**arrays, **object_graph(graph)})
        assert found.beta_powers.own == BetaPowerKeys("beta1_power", None)
        assert [p.code for p in found.problems] == ["scalar-malformed"]


class TestCounted:
    """What the counter counts."""

    def test_updates(self) -> None:
        """The common case."""
        found = _find(_groups(M, V), kind="keras-weights-h5")
        assert (found.counter, found.counted) == ("optimizer/vars/0", "updates")

    @pytest.mark.parametrize("scope", ["", "sequential/"])
    @pytest.mark.parametrize("wrapper", ["loss_scale_optimizer", "mine"])
    def test_updates_that_a_scaled_loss_led_to(self, scope: str, wrapper: str) -> None:
        """Keras 3's LossScaleOptimizer never counts itself; its name and a scope before it are the user's."""
        outer = {"iteration": np.int64(0), "learning_rate": np.float32(0), "dynamic_scale": np.float32(1024)}
        slots = {
            **{f"{scope}{wrapper}/{name}": a for name, a in outer.items()},
            f"{scope}adam/iteration": np.int64(7),
            f"{scope}adam/learning_rate": np.float32(0.01),
            f"{scope}{wrapper}/adam/dense_kernel_momentum": M,
            f"{scope}{wrapper}/adam/dense_kernel_velocity": V,
        }
        found = _find(_h5(slots), kind="keras-h5", producer={"keras_version": "3.15.1"})
        assert found.counter == f"optimizer_weights/{scope}adam/iteration"
        assert found.scalars == {"learning_rate": f"optimizer_weights/{scope}adam/learning_rate"}

    def test_the_global_step(self) -> None:
        """BERT's optimizer keeps no counter of its own."""
        found = _find({"w": W, "w/adam_m": M, "w/adam_v": V, "global_step": 7})
        assert (found.counter, found.counted) == ("global_step", "global-step")

    def test_accumulated_gradients_of_either_release(self) -> None:
        """A `.weights.h5` without configuration doesn't tell whether the count is divided."""
        bias, m, v = moments((3,))
        sums = (np.zeros(SHAPE, np.float32), np.zeros(3, np.float32))
        arrays = {**_groups(*sums, M, V, m, v), "layers/dense/vars/1": bias}
        found = _find(arrays, kind="keras-weights-h5")
        assert found.counted == "gradients-either"
        labelled = _find(arrays, kind="keras-weights-h5", labels={"optimizer/vars": "adam"})
        assert labelled.counted == "gradients-to-divide"  # Keras 3.8 began to write them

    @pytest.mark.parametrize(
        ("counter", "counted"), [("_iterations", "gradients-to-divide"), ("iterations", "gradients")]
    )
    def test_accumulated_gradients_by_release(self, counter: str, counted: str) -> None:
        """Keras 3.5 renamed the counter when it began to divide it."""
        names = {
            "adam/iteration": np.int64(4),
            "adam/w_gradient_accumulator": W,
            "adam/w_momentum": M,
            "adam/w_velocity": V,
        }
        graph = [
            node({"optimizer": 1}),
            node({"_variables": 2, "_trainable_variables": 3, counter: 4}),
            node({str(i): 4 + i for i in range(4)}),
            node({"0": 8}),
            *(node(variable=(n, n)) for n in (*names, "w")),
        ]
        found = _find({**names, "w": W, **object_graph(graph)})
        assert (found.counter, found.counted) == ("adam/iteration", counted)


class TestRate:
    """Where the learning rate is, where no variable holds it."""

    def test_a_rate_that_the_graph_computes(self) -> None:
        """Its node, the graph, and the variable that counts; no constant and no scalar."""
        found = _find({**_tf1(), "global_step": np.int64(9)}, graph=COMPUTED)
        assert found.graph_rate is not None
        assert (found.graph_rate.node, found.graph_rate.variables) == ("rate", {"global_step": "global_step"})
        assert found.graph_rate.graph.evaluate("rate", {"global_step": 9.0}) == 3.0
        assert "learning_rate" not in {*found.constants, *found.scalars}

    def test_a_computed_rate_without_a_counter(self) -> None:
        """The checkpoint holds no global step: the expression is handed on all the same."""
        found = _find(_tf1(), graph=COMPUTED)
        assert found.graph_rate is not None
        assert found.graph_rate.variables == {}

    def test_a_variable_is_no_computed_rate(self) -> None:
        """A rate that the checkpoint holds is read from there."""
        graph = _graph([("rate", "VariableV2", [])])
        found = _find({**_tf1(), "rate": np.float32(0.01)}, graph=graph)
        assert (found.graph_rate, found.scalars) == (None, {"learning_rate": "rate"})

    @pytest.mark.parametrize("has_rate", [True, False])
    def test_no_variable_means_a_schedule(self, has_rate: bool) -> None:
        """OptimizerV2 keeps a variable for a constant rate, and for a schedule none."""
        rate = {"Adam/learning_rate": np.float32(0.01)} if has_rate else {}
        found = _find({"w": W, "Adam/w/m": M, "Adam/w/v": V, "Adam/iter": 3, **rate})
        assert found.has_scheduled_rate is not has_rate

    def test_a_tf1_optimizer_has_no_schedule_to_miss(self) -> None:
        """TF1 keeps no variable for a constant rate either: nothing follows."""
        assert not _find(_tf1()).has_scheduled_rate


class TestAbsence:
    """Why there is no state."""

    @pytest.mark.parametrize(
        ("found", "phrase"),
        [
            (lambda: _find(_h5({}), kind="keras-h5", optimizer=ADAMAX), "none of its weights"),
            (lambda: _find({"layers/d/vars/0": W}, kind="keras-archive", optimizer=ADAMAX), "none of its variables"),
            (lambda: _find(_groups(), kind="keras-weights-h5"), "none of its slots, though it counts 4 updates"),
            (lambda: _find(_groups(M, V, np.ones(7)), kind="keras-weights-h5"), "order that is not known"),
        ],
    )  # fmt: skip
    def test_reason(self, found: Any, phrase: str) -> None:
        """In words, for the screen."""
        assert phrase in found().absence

    def test_none_where_there_is_state(self) -> None:
        """Moments need no excuse."""
        assert _find(_groups(M, V), kind="keras-weights-h5").absence is None


def test_nothing_is_of_any_type() -> None:
    """No layout takes, keeps or hands on a value whose type isn't told."""
    files = sorted(Path(found_module.__file__).parent.glob("*.py"))
    assert [file.name for file in files if re.search(r"\bAny\b", file.read_text(encoding="utf-8"))] == []


def test_the_graph_of_these_tests_is_one() -> None:
    """What was put together by hand reads as one application of Adam."""
    (application,) = decode_graph_def(COMPUTED, "made.meta").applications
    assert (application.rule, application.scalars["learning_rate"]) == ("adam", "rate")


def test_a_numbered_name_is_no_variables_own() -> None:
    """The second of two variables gets the next number that no variable bears in its own name."""
    assert found_module.unique_names(["a", "a#2", "a", "a", "b", "b"]) == ["a", "a#2", "a#3", "a#4", "b", "b#2"]
    assert found_module.unique_names(["a", "a", "a#2", "a#2"]) == ["a", "a#3", "a#2", "a#2#2"]


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, object])
def test_moments_that_are_no_floats_are_skipped(dtype: Any) -> None:
    """With a Problem; the parameter's element type is that of the slots that are left."""
    odd = np.full(SHAPE, b"x", object) if dtype is object else np.ones(SHAPE, dtype)
    checkpoint = MemoryCheckpoint({"m": odd, "v": V})
    slots = {"first_moment": "m", "second_moment": "v"}
    parameter = FoundParameter("w", SHAPE, checkpoint.tensors["m"].dtype, None, slots)
    reading = RuleReading("adam", "default", "")
    (found,) = checked(checkpoint, [FoundOptimizer("opt", "tf1-names", TF1, reading, (parameter,))])
    assert [(p.code, p.severity) for p in found.problems] == [("shapes-differ", "error")]
    assert [(p.dtype, list(p.slots)) for p in found.parameters] == [("float32", ["second_moment"])]
