"""TF1's names: slots, scopes, pairs of powers and whose they are, with and without the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from support.memory_checkpoints import MemoryCheckpoint, graph_def, moments

from ckpt_inspect import OptimizerState, analyze, open_checkpoint, optimizer_states
from ckpt_inspect.update_rules.running_products import running_products


def _powers(step: int, tail: str = "", scope: str = "", beta_1: float = 0.9, beta_2: float = 0.999) -> dict[str, Any]:
    return {
        f"{scope}beta1_power{tail}": np.float32(running_products(float(np.float32(beta_1))).power(step + 1)),
        f"{scope}beta2_power{tail}": np.float32(running_products(float(np.float32(beta_2))).power(step + 1)),
    }


def _slots(variable: str, slot: str = "Adam", *, seed: int = 0, zero: bool = False, scope: str = "") -> dict[str, Any]:
    weights, m, v = moments((4, 3), seed=seed)
    second = f"{slot[:-1]}{int(slot[-1]) + 1}" if slot[-1].isdigit() else f"{slot}_1"
    stem = f"{scope}{variable}"
    return {variable: weights, f"{stem}/{slot}": m * (not zero), f"{stem}/{second}": v * np.float32(not zero)}


def _states(arrays: dict[str, Any]) -> dict[str, OptimizerState]:
    return {s.name: s for s in optimizer_states(MemoryCheckpoint(arrays))}


class TestNames:
    """What the names alone prove."""

    def test_names_of_outputs(self) -> None:
        """A Saver that was given `{v.name: v}` writes `w:0` and `w/Adam:0`: the same state, read under those keys."""
        arrays = {**_slots("net/w"), **_slots("net/b", seed=1), **_powers(5), "learning_rate": np.float32(0.01)}
        (plain,) = _states(arrays).values()
        (state,) = _states({f"{name}:0": array for name, array in arrays.items()}).values()
        assert (list(state.parameters), state.name, state.step.value) == (["net/b", "net/w"], "Adam", 5)
        assert state.parameters["net/w"].found.slots["first_moment"] == "net/w/Adam:0"
        for name, parameter in plain.parameters.items():
            for array in ("value", "first_moment", "second_moment"):
                np.testing.assert_array_equal(getattr(state.parameters[name], array)(), getattr(parameter, array)())

    def test_names_of_outputs_and_of_variables_of_one_name_stay_apart(self) -> None:
        """`w` beside `w:0` are two tensors, and neither is read for the other."""
        (state,) = _states({**_slots("w"), **_powers(5), "w:0": np.zeros((4, 3), np.float32)}).values()
        assert state.parameters["w"].found.value == "w"

    def test_a_graph_knows_variables_by_their_own_names(self) -> None:
        """The constants of the graph reach the optimizer of a file whose names are of outputs."""
        arrays = {f"{name}:0": array for name, array in TestGraph.arrays.items()}
        (state,) = optimizer_states(MemoryCheckpoint(arrays, graph=_adam_graph(dict.fromkeys("abc", "Adam"))))
        epsilon = state.hyperparameters["epsilon"]
        assert (epsilon.value, epsilon.source) == (pytest.approx(1e-6), "graph")
        assert state.parameters["a"].last_update() is not None

    def test_a_plain_optimizer(self) -> None:
        """`w/Adam` and `w/Adam_1` are w's moments; contrib's namesakes are named as alternatives."""
        (state,) = _states({**_slots("w"), **_powers(5)}).values()
        assert (state.name, state.rule, state.rule_source.source, state.step.value) == ("Adam", "adam", "default", 5)
        assert "nadam, lazyadam" in state.rule_source.where
        assert state.parameters["w"].found.slots == {"first_moment": "w/Adam", "second_moment": "w/Adam_1"}

    @pytest.mark.parametrize("scope", ["train/", "main/main/", "a/b/"])
    def test_slots_made_in_a_scope(self, scope: str) -> None:
        """A slot's scope before the variable's name is stripped, and powers of that scope are its own."""
        (state,) = _states({**_slots("net/w", scope=scope), **_powers(5, scope=scope)}).values()
        assert list(state.parameters) == ["net/w"]
        assert (state.step.value, state.step.source) == (5, "inferred")

    def test_a_partition_suffix_behind_the_variable(self) -> None:
        """Remains of a partition's name behind the variable's are stripped."""
        arrays = _slots("emb")
        arrays = {k.replace("emb/Adam", "emb/part_0/Adam"): a for k, a in arrays.items()}
        (state,) = _states({**arrays, **_powers(5)}).values()
        assert list(state.parameters) == ["emb"]

    def test_a_variable_in_a_scope_called_adam(self) -> None:
        """A network named Adam is no optimizer."""
        (state,) = _states({**_slots("Adam/w"), **_powers(5)}).values()
        assert list(state.parameters) == ["Adam/w"]

    def test_weights_alone_are_no_optimizer(self) -> None:
        """Variables `layer/w`, `layer/w_1` of one shape beside no variable `layer` are weights."""
        weights = np.ones((4, 3), np.float32)
        assert _states({"layer/w": weights, "layer/w_1": weights, "layer/b": weights}) == {}

    def test_two_averages_are_no_optimizer(self) -> None:
        """Two moving averages of one variable are no pair of moments, and take nobody's powers."""
        w = np.ones((4, 3), np.float32)
        averages = {"w/ExponentialMovingAverage": w, "w/ExponentialMovingAverage_1": w}
        (state,) = _states({**_slots("w"), **averages, **_powers(5)}).values()
        assert (state.name, state.step.value) == ("Adam", 5)
        assert state.parameters["w"].found.slots["average"] == "w/ExponentialMovingAverage"

    def test_a_third_slot_is_amsgrad_s_maximum(self) -> None:
        """`AMSGrad`, `AMSGrad_1`, `AMSGrad_2`: the class's name, and a third slot that is nowhere below the second."""
        arrays = _slots("w", "AMSGrad")
        arrays["w/AMSGrad_2"] = arrays["w/AMSGrad_1"] * np.float32(1.5)
        (state,) = _states({**arrays, **_powers(5)}).values()
        assert (state.rule, state.rule_source.source, state.step.value) == ("amsgrad", "checkpoint", 5)
        np.testing.assert_array_equal(state.parameters["w"].max_second_moment(), arrays["w/AMSGrad_2"])

    def test_a_third_slot_of_another_name_is_told_by_its_values(self) -> None:
        """A maximum is equal to the second moment where that is at its largest; a sum never is."""
        arrays = _slots("w", "mine")
        maximum = arrays["w/mine_1"].copy()
        maximum[0] *= np.float32(2)
        (state,) = _states({**arrays, "w/mine_2": maximum, **_powers(5)}).values()
        assert (state.rule, state.rule_source.source) == ("amsgrad", "inferred")
        (state,) = _states({**arrays, "w/mine_2": maximum * np.float32(3), **_powers(5)}).values()
        assert (state.rule, state.rule_source.source, state.update_rule) == ("unknown", "unknown", None)

    @pytest.mark.parametrize("slot", ["AMSGrad", "Adam"])
    def test_a_third_slot_below_the_second_is_no_maximum(self, slot: str) -> None:
        """Whatever the name: the rule is unknown."""
        arrays = _slots("w", slot)
        (state,) = _states({**arrays, f"w/{slot}_2": arrays[f"w/{slot}_1"] / np.float32(2), **_powers(5)}).values()
        assert (state.rule, state.update_rule) == ("unknown", None)
        assert list(state.parameters["w"].found.slots) == ["first_moment", "second_moment", f"{slot}_2"]
        assert "not known to be a maximum" in state.rule_source.where

    def test_rmsprop_is_not_taken_for_adam(self) -> None:
        """`RMSProp`, `RMSProp_1` look like a pair of moments, and aren't."""
        w = np.ones((4, 3), np.float32)
        (state,) = _states({"w": w, "w/RMSProp": w, "w/RMSProp_1": -w}).values()
        assert (state.rule, state.is_adam) == ("rmsprop", False)

    @pytest.mark.parametrize(
        "name", ["RMSProp", "Momentum", "Adagrad", "Adadelta", "Ftrl", "GradientDescent", "AdaMax"]
    )
    def test_a_name_that_someone_chose_is_no_class_s(self, name: str) -> None:
        """Adam under another's name: a signed slot and squares, and both powers of beta, are no other optimizer's."""
        arrays = {k: a for i in range(4) for k, a in _slots(f"w{i}", name, seed=i).items()}
        (state,) = _states({**arrays, **_powers(5)}).values()
        assert (state.rule, state.rule_source.source, state.step.value) == ("adam", "default", 5)
        assert "adamax" not in state.rule_source.where
        assert list(state.parameters["w0"].found.slots) == ["first_moment", "second_moment"]

    @pytest.mark.parametrize("name", ["Adam", "AdaMax", "opt"])
    @pytest.mark.parametrize("signs", [(1, -1), (1, 1), (1,), (-1,)])
    def test_what_can_t_be_moments_is_no_adam_s_whatever_its_name(self, name: str, signs: tuple[int, ...]) -> None:
        """RMSProp, Ftrl, Adadelta, Adagrad and Momentum under Adam's name, beside an Adam: nothing is computed."""
        w = np.ones((8, 5), np.float32)
        arrays = {"w": w} | {f"w/{name}{f'_{i}' * (i > 0)}": w * s for i, s in enumerate(signs)}
        states = _states({**_slots("other", "mine"), **arrays, **_powers(5)})
        assert states["mine"].step.value == 5
        if name != "opt" or len(signs) > 1:
            assert (states[name].rule, states[name].is_adam) == ("unknown", False)
            assert states[name].parameters["w"].first_moment() is None

    @pytest.mark.parametrize(("name", "rule"), [("LAMB", "lamb"), ("RectifiedAdam", "radam")])
    def test_a_name_that_nothing_in_tensorflow_1_gives_is_no_proof(self, name: str, rule: str) -> None:
        """A program's own class, or an Adam of that name."""
        (state,) = _states({**_slots("w", name), **_powers(5)}).values()
        assert (state.rule, state.rule_source.source) == (rule, "default")
        assert "could be adam," in state.rule_source.where

    def test_two_slots_without_powers_are_no_adam(self) -> None:
        """Every Adam of TensorFlow 1 keeps powers: a pair without any belongs to something else."""
        (state,) = _states(_slots("w", "mine")).values()
        assert (state.name, state.rule, state.is_adam) == ("mine", "unknown", False)
        assert list(state.parameters["w"].found.slots) == ["mine", "mine_1"]

    def test_a_pair_of_another_name_beside_adam_leaves_adam_its_powers(self) -> None:
        """One pair of powers and two sets of slots: the powers are those of the one that is called Adam."""
        states = _states({**_slots("w"), **_slots("w", "history", seed=1), **_powers(5)})
        assert states["Adam"].step.value == 5
        assert not states["history"].is_adam


class TestTwoOptimizers:
    """Whose powers are whose."""

    def test_over_the_same_variables_names_decide(self) -> None:
        """`Adam_2`, `Adam_3` are the second optimizer's, and so is `beta1_power_1`: both in order of construction."""
        states = _states({**_slots("w"), **_slots("w", "Adam_2", seed=1), **_powers(5), **_powers(9, "_1", beta_1=0.5)})
        assert {n: (s.step.value, s.step.source) for n, s in states.items()} == {
            "Adam": (5, "inferred"),
            "Adam_2": (9, "inferred"),
        }
        assert states["Adam_2"].hyperparameters["beta_1"].value == 0.5

    def test_over_some_of_the_same_variables_the_rest_is_open(self) -> None:
        """A variable that only one of two trains shows `Adam`, whichever it is: a head alone, then all of a model."""
        arrays = {**_slots("w"), **_slots("w", "Adam_2", seed=1), **_slots("b", seed=2)}
        states = _states({**arrays, **_powers(5), **_powers(9, "_1")})
        assert {n: (s.step.value, list(s.parameters)) for n, s in states.items()} == {
            "Adam": (5, ["w"]),
            "Adam_2": (9, ["w"]),
            "Adam#2": (None, ["b"]),
        }

    def test_over_other_variables_it_is_open(self) -> None:
        """A GAN's two Adams share their slots' name: one state, no step, and a problem that says why."""
        (state,) = _states({**_slots("d"), **_slots("g", seed=1), **_powers(5), **_powers(9, "_1")}).values()
        assert (state.step.value, state.step.source) == (None, "unknown")
        assert [p.code for p in state.problems] == ["beta-powers-open"]
        assert state.hyperparameters["beta_1"].source == "inferred"

    def test_pairs_that_agree_need_no_owner(self) -> None:
        """Two pairs that say the same: it is read."""
        (state,) = _states({**_slots("d"), **_slots("g", seed=1), **_powers(5), **_powers(5, "_1")}).values()
        assert (state.step.value, state.step.source) == (5, "inferred")

    def test_two_names_and_two_pairs_are_given_out_by_order_and_called_assumed(self) -> None:
        """Optimizers of two names: the order of names is a guess, and labelled one."""
        arrays = {**_slots("d", "d_opt"), **_slots("g", "g_opt", seed=1), **_powers(5), **_powers(9, "_1")}
        states = _states(arrays)
        assert {s.step.source for s in states.values()} == {"default"}
        assert all("beta-powers-by-order" in [p.code for p in s.problems] for s in states.values())


class TestCopiesThatNeverStepped:
    """Several copies of a graph in one file: the one that moved is told by its moments."""

    def test_a_second_pair_that_never_moved_does_not_answer(self) -> None:
        """One set of slots, two pairs of powers, one of them still beta itself: the other is the live one's."""
        (state,) = _states({**_slots("w"), **_powers(0), **_powers(9, "_1")}).values()
        assert (state.step.value, state.step.source) == (9, "inferred")
        assert "its moments aren't zero" in state.step.where
        assert state.problems == ()

    @pytest.mark.parametrize("live", ["a_opt", "b_opt"])
    def test_of_two_optimizers_the_one_with_moments_has_moved(self, live: str) -> None:
        """Whatever the order: zero moments go with powers that never moved."""
        arrays: dict[str, Any] = {}
        for name in ("a_opt", "b_opt"):
            arrays |= _slots(f"{name[0]}/w", name, zero=name != live)
        for powers in ({**_powers(0), **_powers(9, "_1")}, {**_powers(9), **_powers(0, "_1")}):
            states = _states({**arrays, **powers})
            assert {n: s.step.value for n, s in states.items()} == {n: 9 if n == live else 0 for n in states}
            assert {s.step.source for s in states.values()} == {"inferred"}

    def test_copies_whose_slots_share_a_name(self) -> None:
        """Of variables with slots of one name, those that moved are the optimizer's that stepped; the others aren't
        counted under its step."""
        arrays = {**_slots("a", zero=True), **_slots("b", zero=True), **_slots("c"), **_slots("d", seed=3)}
        states = _states({**arrays, **_powers(0), **_powers(9, "_1")})
        assert {n: (s.step.value, list(s.parameters)) for n, s in states.items()} == {
            "Adam": (9, ["c", "d"]),
            "Adam#2": (0, ["a", "b"]),
        }
        (problem,) = states["Adam#2"].problems
        assert (problem.code, problem.severity) == ("never-stepped-apart", "info")

    def test_one_pair_of_powers_splits_nothing(self) -> None:
        """Variables that no gradient reached are the one optimizer's own."""
        (state,) = _states({**_slots("a", zero=True), **_slots("b"), **_powers(9)}).values()
        assert (state.step.value, len(state.parameters)) == (9, 2)

    def test_powers_in_scopes_of_copies(self) -> None:
        """Powers under the copies' scopes, slots under the variables': the same evidence decides."""
        arrays = {**_slots("w"), **_powers(0, scope="eval/"), **_powers(9, scope="train/")}
        (state,) = _states(arrays).values()
        assert (state.step.value, state.step.source) == (9, "inferred")

    def test_two_that_moved_stay_open(self) -> None:
        """Where both moved, moments prove nothing."""
        (state,) = _states({**_slots("w"), **_powers(3), **_powers(9, "_1")}).values()
        assert state.step.value is None

    def test_moments_are_not_read_where_names_decide(self) -> None:
        """A common checkpoint costs no reading of arrays."""
        checkpoint = MemoryCheckpoint({**_slots("w"), **_powers(5)})
        optimizer_states(checkpoint)
        assert set(checkpoint.read_names) == {"beta1_power", "beta2_power"}


# ------------------------------------------------------------------------------------------- with TensorFlow itself


_RATES: dict[str, Callable[[Any, Any], Any]] = {
    "whole": lambda tf, step: 0.1 * 0.5 ** tf.cast(tf.cast(tf.cast(step, tf.float32) / 3.0, tf.int32), tf.float32),
    "divided": lambda tf, step: 0.1 * 0.5 ** tf.cast(tf.raw_ops.Div(x=step, y=tf.constant(3, step.dtype)), tf.float32),
    "flag": lambda tf, step: 0.1 * tf.cast(tf.cast(step, tf.bool), tf.float32),
    "rest": lambda tf, step: 0.1 / tf.cast(1 + tf.math.floormod(step, 3), tf.float32),
    "variable": lambda tf, _: 0.1 * tf.get_variable("base", initializer=0.5, trainable=False),
    "largest": lambda tf, step: tf.reduce_max([0.1 / tf.cast(step + 1, tf.float32), 0.01]),
    "branch": lambda tf, step: _without_functions(lambda: tf.cond(step < 4, lambda: 0.1, lambda: 0.05)),
    "pieces": lambda tf, step: _without_functions(lambda: tf.train.piecewise_constant(step, [1, 3], [0.3, 0.1, 0.05])),
    "branch-function": lambda tf, step: tf.cond(step < 4, lambda: 0.1, lambda: 0.05 * tf.cast(step - 3, tf.float32)),
    "pieces-functions": lambda tf, step: tf.train.piecewise_constant(step, [1, 3], [0.3, 0.1, 0.05]),
    "noisy-function": lambda tf, step: tf.cond(tf.random.uniform([]) < 0.5, lambda: 0.1, lambda: 0.05),
    "cycles": lambda tf, step: _without_functions(lambda: tf.train.polynomial_decay(0.1, step, 3, 0.01, cycle=True)),
    "table": lambda tf, step: tf.gather([0.5, 0.4, 0.3, 0.2, 0.05, 0.01], step),
    "stages": lambda tf, step: tf.reduce_sum(
        [0.3, 0.1, 0.05] * tf.one_hot(tf.reduce_max(tf.where(step >= [0, 2, 4], [0, 1, 2], [0, 0, 0])), 3)
    ),
    "noise": lambda tf, _: tf.random.uniform([]),
    "noisy-branch": lambda tf, step: _without_functions(
        lambda: tf.cond(tf.random.uniform([]) < tf.cast(step, tf.float32), lambda: 0.1, lambda: 0.05)
    ),
}
"""Learning rates that a graph computes from its step; the last update of five sees 4."""


def _without_functions(build: Callable[[], Any]) -> Any:
    """Build branches as TensorFlow 1 does: of `Switch` and `Merge`, not of functions."""
    import tensorflow as tf

    tf.compat.v1.disable_control_flow_v2()
    try:
        return build()
    finally:
        tf.compat.v1.enable_control_flow_v2()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints that `tf.compat.v1` wrote, by what they show."""
    tf = pytest.importorskip("tensorflow").compat.v1
    folder = tmp_path_factory.mktemp("tf1")
    found = {}

    def save(name: str, build: Callable[[], list[tuple[Any, int]]], has_graph: bool = True, **saver: Any) -> None:
        with tf.Graph().as_default(), tf.Session() as session:
            runs = build()
            session.run(tf.global_variables_initializer())
            for operation, times in runs:
                for _ in range(times):
                    session.run(operation)
            path = tf.train.Saver(**saver).save(session, str(folder / name), write_meta_graph=has_graph)
        found[name] = Path(path)

    def variable(name: str, size: int = 3, **options: Any) -> Any:
        return tf.get_variable(name, [4, size], initializer=tf.random_normal_initializer(seed=1), **options)

    def adam(w: Any, rate: float = 0.01, **options: Any) -> Any:
        loss = tf.reduce_sum(tf.square(tf.convert_to_tensor(w) - 0.1))
        return tf.train.AdamOptimizer(rate, **options).minimize(loss)

    def gan(first: str) -> list[tuple[Any, int]]:
        weights = {"d": variable("d/w"), "g": variable("g/w")}
        order = [first, "g" if first == "d" else "d"]
        steps, betas = {"d": 5, "g": 2}, {"d": 0.5, "g": 0.9}
        return [(adam(weights[n], beta1=betas[n]), steps[n]) for n in order]

    def scoped() -> list[tuple[Any, int]]:
        w = variable("net/w")
        with tf.variable_scope("train"):
            return [(adam(w), 3)]

    def partitioned() -> list[tuple[Any, int]]:
        w = tf.get_variable("emb", [7, 3], partitioner=tf.fixed_size_partitioner(3))
        return [(adam(w), 4)]

    def scheduled() -> list[tuple[Any, int]]:
        w, step = variable("w"), tf.train.get_or_create_global_step()
        rate = tf.train.exponential_decay(0.1, step, 2, 0.5)
        loss = tf.reduce_sum(tf.square(w))
        return [(tf.train.AdamOptimizer(rate, epsilon=1e-4).minimize(loss, global_step=step), 4)]

    def rated(count: Callable[[Any], Any]) -> list[tuple[Any, int]]:
        """A rate that halves every two steps, counted apart from the update."""
        w, step = variable("w"), tf.train.get_or_create_global_step()
        rate = tf.train.exponential_decay(0.1, step, 2, 0.5)
        update = tf.train.AdamOptimizer(rate).minimize(tf.reduce_sum(tf.square(w)))
        with tf.control_dependencies([update]):
            return [(count(step), 4)]

    def counted_twice(step: Any) -> Any:
        with tf.control_dependencies([tf.assign_add(step, 1)]):
            return tf.assign_add(step, 1)

    def counted_apart() -> list[tuple[Any, int]]:
        """The step is raised by an operation of its own, which is run before each update."""
        w, step = variable("w"), tf.train.get_or_create_global_step()
        rate = tf.train.exponential_decay(0.1, step, 2, 0.5)
        update = tf.train.AdamOptimizer(rate).minimize(tf.reduce_sum(tf.square(w)))
        count = tf.assign_add(step, 1)
        return [(count, 1), (update, 1)] * 3

    def counted_by_one_of_two() -> list[tuple[Any, int]]:
        """Two optimizers by turns with one schedule; the first alone counts."""
        step = tf.train.get_or_create_global_step()
        rate = tf.train.exponential_decay(0.1, step, 2, 0.5)
        updates = [
            tf.train.AdamOptimizer(rate).minimize(tf.reduce_sum(tf.square(variable(name))), global_step=counter)
            for name, counter in (("d/w", step), ("g/w", None))
        ]
        return [(updates[0], 1), (updates[1], 1)] * 3

    def computed(rate: Callable[[Any], Any]) -> list[tuple[Any, int]]:
        w, step = variable("w"), tf.train.get_or_create_global_step()
        optimizer = tf.train.AdamOptimizer(rate(step))
        return [(optimizer.minimize(tf.reduce_sum(tf.square(w)), global_step=step), 5)]

    def changed_after(schedule: Callable[[Any, Any], Any]) -> list[tuple[Any, int]]:
        """A rate, or its base, that shrinks after each update."""
        w, step = variable("w"), tf.train.get_or_create_global_step()
        base = tf.get_variable("base", initializer=0.1, trainable=False)
        optimizer = tf.train.AdamOptimizer(schedule(base, step))
        with tf.control_dependencies([optimizer.minimize(tf.reduce_sum(tf.square(w)), global_step=step)]):
            return [(tf.assign(base, base * 0.9), 3)]

    def partitioned_in_scope() -> list[tuple[Any, int]]:
        w = tf.get_variable("net/w", [7, 3], partitioner=tf.fixed_size_partitioner(1))
        with tf.variable_scope("dnn"):
            return [(adam(w, 0.02, epsilon=1e-4), 4)]

    def minimized(optimizer: Any, is_sparse: bool = False) -> list[tuple[Any, int]]:
        w = variable("w")
        taken = tf.gather(w, [1, 3]) if is_sparse else w
        return [(optimizer.minimize(tf.reduce_sum(tf.square(taken - 0.1))), 3)]

    def branched() -> list[tuple[Any, int]]:
        """An update that is made only if something holds, as under a loss scale."""
        w = variable("w")
        gradient = tf.gradients(tf.reduce_sum(tf.square(tf.convert_to_tensor(w) - 0.1)), w)
        optimizer = tf.train.AdamOptimizer(0.02, epsilon=1e-4)
        tf.disable_control_flow_v2()
        is_finite = tf.reduce_all(tf.is_finite(gradient[0]))
        update = tf.cond(is_finite, lambda: optimizer.apply_gradients([(gradient[0], w)]), lambda: tf.no_op())
        tf.enable_control_flow_v2()
        return [(update, 3)]

    def centered(name: str) -> Any:
        return tf.train.RMSPropOptimizer(0.02, 0.8, 0.7, epsilon=1e-3, centered=True, name=name)

    save("adagrad", lambda: minimized(tf.train.AdagradOptimizer(0.3, 0.25, name="opt")))
    save("adagrad-rows", lambda: minimized(tf.train.AdagradOptimizer(0.3, 0.25, name="opt"), is_sparse=True))
    save("rmsprop", lambda: minimized(centered("mine")))
    save("rmsprop-rows", lambda: minimized(centered("mine"), is_sparse=True))
    save("rmsprop-no-graph", lambda: minimized(centered("RMSProp")), has_graph=False)
    save("branched", branched)
    save("called-rmsprop", lambda: minimized(tf.train.AdamOptimizer(0.02, epsilon=1e-4, name="RMSProp")))
    save("momentum", lambda: minimized(tf.train.MomentumOptimizer(0.1, 0.9, name="heavy")))
    for first in ("d", "g"):
        save(f"gan-{first}-first", lambda first=first: gan(first))  # type: ignore[misc]
    save("gan-no-graph", lambda: gan("g"), has_graph=False)
    save("scoped", scoped, has_graph=False)
    save("partitioned", partitioned, has_graph=False)
    save("partitioned-graph", partitioned)
    save("scheduled", scheduled)
    save("counted-by-threes", lambda: rated(lambda step: tf.assign_add(step, 3)))
    save("counted-by-assign", lambda: rated(lambda step: tf.assign(step, step + 1)))
    save("counted-twice", lambda: rated(counted_twice))
    save("counted-apart", counted_apart)
    save("counted-by-one-of-two", counted_by_one_of_two)
    for name, rate in _RATES.items():
        save(f"rate-{name}", lambda rate=rate: computed(lambda step: rate(tf, step)))  # type: ignore[misc]
    save("changed-after", lambda: changed_after(lambda base, step: base))
    save("based-after", lambda: changed_after(lambda base, step: tf.train.exponential_decay(base, step, 2, 0.5)))
    save("partitioned-in-scope", partitioned_in_scope)
    save("v1-names", lambda: [(adam(variable("w"), name="my_opt"), 3)], has_graph=False)
    save("sharded", lambda: [(adam(variable("w")), 3)], has_graph=False, sharded=True)
    return found


@pytest.mark.parametrize("first", ["d", "g"])
def test_the_graph_tells_whose_powers_are_whose(saved: dict[str, Path], first: str) -> None:
    """Whichever was made first: the .meta gives each network's optimizer its own powers, betas and rate."""
    with open_checkpoint(saved[f"gan-{first}-first"]) as checkpoint:
        states = {next(iter(s.parameters)): s for s in optimizer_states(checkpoint)}
        assert {n: s.step.value for n, s in states.items()} == {"d/w": 5, "g/w": 2}
        assert {s.step.source for s in states.values()} == {"inferred"}
        assert {n: s.hyperparameters["beta_1"].source for n, s in states.items()} == {"d/w": "graph", "g/w": "graph"}
        assert states["d/w"].hyperparameters["beta_1"].value == pytest.approx(0.5)
        assert all(s.hyperparameters["epsilon"].source == "graph" for s in states.values())
        assert all(s.problems == () for s in states.values())


def test_without_the_graph_a_gan_is_open(saved: dict[str, Path]) -> None:
    """The same network without its .meta: no step is claimed."""
    with open_checkpoint(saved["gan-no-graph"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert (state.step.value, state.step.source) == (None, "unknown")


@pytest.mark.parametrize(
    ("name", "step", "parameter", "slot"),
    [
        ("scoped", 3, "net/w", "train/net/w/Adam"),
        ("partitioned", 4, "emb", "emb/Adam"),
        ("partitioned-graph", 4, "emb", "emb/Adam"),
        ("v1-names", 3, "w", "w/my_opt"),
        ("sharded", 3, "w", "w/Adam"),
    ],
)
def test_what_tensorflow_wrote_is_found(
    saved: dict[str, Path], name: str, step: int, parameter: str, slot: str
) -> None:
    """Scopes, partitions, own names and shards, against TensorFlow's own reader."""
    import tensorflow as tf

    with open_checkpoint(saved[name]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert state.step.value == step
        assert list(state.parameters) == [parameter]
        reader = tf.train.load_checkpoint(str(saved[name]))
        got = state.parameters[parameter]
        np.testing.assert_array_equal(got.first_moment(), reader.get_tensor(slot))
        np.testing.assert_array_equal(got.second_moment(), reader.get_tensor(f"{slot}_1"))
        np.testing.assert_array_equal(got.value(), reader.get_tensor(parameter))


def test_a_rate_that_the_graph_computes(saved: dict[str, Path]) -> None:
    """exponential_decay at the global step before the last update: 0.1·0.5^(3/2)."""
    with open_checkpoint(saved["scheduled"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (pytest.approx(0.1 * 0.5**1.5, rel=1e-6), "graph")
        assert state.hyperparameters["epsilon"].value == pytest.approx(1e-4)


@pytest.mark.parametrize(("name", "step"), [("counted-by-threes", 9), ("counted-by-assign", 3)])
def test_the_step_of_a_rate_is_what_it_was_before_it_was_raised(saved: dict[str, Path], name: str, step: int) -> None:
    """By a constant other than 1, or by an assignment of the step plus 1."""
    with open_checkpoint(saved[name]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (pytest.approx(0.1 * 0.5 ** (step / 2), rel=1e-6), "graph")
        assert f"global_step = {step}" in rate.where


def test_a_step_that_is_raised_twice_leaves_the_rate_open(saved: dict[str, Path]) -> None:
    """Which of its values the last update saw is in no file."""
    with open_checkpoint(saved["counted-twice"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (None, "unknown")
        assert "2 operations raise global_step" in rate.where


@pytest.mark.parametrize(
    "name", ["variable", "branch", "pieces", "branch-function", "pieces-functions", "table", "stages"]
)
def test_a_rate_of_branches_and_tables(saved: dict[str, Path], name: str) -> None:
    """The branch that the step before the last update takes, the entry of a table, a base rate in a saved variable."""
    with open_checkpoint(saved[f"rate-{name}"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (pytest.approx(0.05, rel=1e-6), "graph")


def test_a_rate_that_starts_anew(saved: dict[str, Path]) -> None:
    """polynomial_decay with `cycle`: at step 4 of 3 the second cycle of 6 has a third to go."""
    with open_checkpoint(saved["rate-cycles"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (pytest.approx(0.09 * (1 - 4 / 6) + 0.01, rel=1e-6), "graph")


@pytest.mark.parametrize("name", ["changed-after", "based-after"])
def test_a_rate_that_is_changed_after_each_update_is_open(saved: dict[str, Path], name: str) -> None:
    """The variable, by itself or as the base of a schedule, holds what the next update will use."""
    with open_checkpoint(saved[name]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (None, "unknown")
        assert "changes base after each update" in rate.where


@pytest.mark.parametrize(("name", "expected"), [("whole", 0.05), ("divided", 0.05), ("flag", 0.1), ("rest", 0.05)])
def test_a_rate_is_computed_in_whole_numbers_where_the_graph_does(
    saved: dict[str, Path], name: str, expected: float
) -> None:
    """A cast to whole numbers drops what is behind the point, and whole numbers are divided without a rest."""
    with open_checkpoint(saved[f"rate-{name}"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (pytest.approx(expected, rel=1e-6), "graph")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("noise", "'random_uniform/RandomUniform', an operation RandomUniform"),
        ("noisy-function", "'random_uniform/RandomUniform', an operation RandomUniform"),
        ("noisy-branch", "'random_uniform/RandomUniform', an operation RandomUniform"),
    ],
)
def test_what_keeps_a_rate_from_being_computed_is_named(saved: dict[str, Path], name: str, says: str) -> None:
    """An operation, be it in a branch's condition: nothing of it is fed."""
    with open_checkpoint(saved[f"rate-{name}"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (None, "unknown")
        assert f"the learning rate depends on {says}" in rate.where


def test_a_step_that_is_raised_apart_from_the_update_leaves_the_rate_open(saved: dict[str, Path]) -> None:
    """It may have been raised before the last update, as here, or after it."""
    with open_checkpoint(saved["counted-apart"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (None, "unknown")
        assert "which raises global_step, doesn't wait for this optimizer's updates" in rate.where


def test_a_step_that_another_optimizer_raises_leaves_the_rate_open(saved: dict[str, Path]) -> None:
    """Of two with one schedule the one that counts has its rate at the step before; the other's is open."""
    with open_checkpoint(saved["counted-by-one-of-two"]) as checkpoint:
        states = {next(iter(s.parameters)): s for s in optimizer_states(checkpoint)}
        rates = {name: s.hyperparameters["learning_rate"] for name, s in states.items()}
        assert rates["d/w"].value == pytest.approx(0.05, rel=1e-6)
        assert (rates["g/w"].value, rates["g/w"].source) == (None, "unknown")


def test_slots_of_a_partition_made_in_a_scope_are_the_graph_s(saved: dict[str, Path]) -> None:
    """TensorFlow cuts their names in the middle, `net/w/t_0/Adam`: the graph's constants reach them all the same."""
    tf = pytest.importorskip("tensorflow")
    with open_checkpoint(saved["partitioned-in-scope"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert (list(state.parameters), state.step.value) == (["net/w"], 4)
        numbers = {name: state.hyperparameters[name].value for name in ("learning_rate", "epsilon")}
        assert numbers == pytest.approx({"learning_rate": 0.02, "epsilon": 1e-4})
        reader = tf.train.load_checkpoint(str(saved["partitioned-in-scope"]))
        w = state.parameters["net/w"]
        np.testing.assert_array_equal(w.first_moment(), reader.get_tensor("net/w/t_0/Adam"))
        np.testing.assert_array_equal(w.value(), reader.get_tensor("net/w"))


@pytest.mark.parametrize("name", ["adagrad", "adagrad-rows"])
def test_a_renamed_adagrad_is_read_from_the_graph(saved: dict[str, Path], name: str) -> None:
    """One slot of any name: `ApplyAdagrad`, dense or of rows, names it; rate and start value are constants there."""
    with open_checkpoint(saved[name]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert (state.name, state.rule, state.rule_source.source) == ("opt", "adagrad", "graph")
        numbers = {n: (h.value, h.source) for n, h in state.hyperparameters.items()}
        assert numbers["learning_rate"] == (pytest.approx(0.3), "graph")
        assert numbers["initial_accumulator_value"] == (pytest.approx(0.25), "graph")
        accumulator = checkpoint.read("w/opt")
        np.testing.assert_allclose(state.parameters["w"].effective_lr(), 0.3 / np.sqrt(accumulator), rtol=1e-6)


def test_rows_at_adagrad_s_start_value_are_untouched(saved: dict[str, Path]) -> None:
    """Rows that no gradient reached stay at the start value, which is not 0."""
    result = analyze(saved["adagrad-rows"]).optimizers["opt"].variables
    assert result["untouched"].ravel() == pytest.approx([0.5])
    assert result["untouched_rows"].ravel() == pytest.approx([0.5])
    assert analyze(saved["adagrad"]).optimizers["opt"].variables["untouched"].ravel() == pytest.approx([0.0])


def test_a_renamed_centered_rmsprop_is_read_from_the_graph(saved: dict[str, Path]) -> None:
    """Three slots: mean square, mean gradient and momentum, which is the last update; its numbers are constants."""
    with open_checkpoint(saved["rmsprop"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert (state.name, state.rule, state.rule_source.source) == ("mine", "rmsprop", "graph")
        numbers = {n: h.value for n, h in state.hyperparameters.items() if h.source == "graph"}
        expected = {"learning_rate": 0.02, "rho": 0.8, "momentum": 0.7, "epsilon": 1e-3}
        assert numbers == pytest.approx(expected)
        assert state.parameters["w"].found.slots == {
            "mean_square": "w/mine",
            "mean_gradient": "w/mine_1",
            "first_moment": "w/mine_2",
        }
        np.testing.assert_array_equal(state.parameters["w"].last_update(), -checkpoint.read("w/mine_2"))


def test_momentum_of_rows_is_no_last_update(saved: dict[str, Path]) -> None:
    """`SparseApplyCenteredRMSProp` moves the batch's rows alone: the momentum of the others says nothing of the last
    update."""
    with open_checkpoint(saved["rmsprop-rows"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert state.rule == "rmsprop"
        assert state.parameters["w"].last_update() is None
        assert state.parameters["w"].effective_lr() is not None


def test_three_slots_of_rmsprop_without_the_graph(saved: dict[str, Path]) -> None:
    """The second of three is the mean gradient."""
    with open_checkpoint(saved["rmsprop-no-graph"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        slots = state.parameters["w"].found.slots
        assert (slots["mean_gradient"], slots["momentum"]) == ("w/RMSProp_1", "w/RMSProp_2")
        assert state.hyperparameters["centered"].value is True


def test_a_renamed_momentum_is_read_from_the_graph(saved: dict[str, Path]) -> None:
    """One slot of any name: `ApplyMomentum` names it."""
    with open_checkpoint(saved["momentum"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert (state.name, state.rule) == ("heavy", "momentum")
        assert state.hyperparameters["momentum"].value == pytest.approx(0.9)


@pytest.mark.parametrize("name", ["branched", "called-rmsprop"])
def test_the_operation_tells_the_rule_wherever_and_however_it_is_called(saved: dict[str, Path], name: str) -> None:
    """Adam's operation is Adam's, behind the `Switch` of a `tf.cond`, and under a name that RMSProp's slots have; its
    constants are read either way."""
    with open_checkpoint(saved[name]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        (parameter,) = state.parameters.values()
        assert (state.rule, state.rule_source.source, state.step.value) == ("adam", "graph", 3)
        read = {n: h.value for n, h in state.hyperparameters.items() if h.source == "graph"}
        assert read == pytest.approx({"learning_rate": 0.02, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-4})
        slots = "w/Adam" if name == "branched" else "w/RMSProp"
        m, v = (checkpoint.read(f"{slots}{tail}").astype(np.float64) for tail in ("", "_1"))
        expected = -0.02 * np.sqrt(1 - 0.999**3) / (1 - 0.9**3) * m / (np.sqrt(v) + 1e-4)
        np.testing.assert_allclose(parameter.last_update(), expected, rtol=1e-4)


# ------------------------------------------------------------------------------------------- a graph by hand


def _adam_graph(
    scopes: Mapping[str, str],
    *extra: tuple[str, str, tuple[str, ...]],
    decay: bool = False,
    slot: str = "Adam",
    fed: str = "",
) -> bytes:
    """The updates of variables in the scopes given, all by one Adam whose constants are in `Adam`; `fed`: the one that
    can be fed as well."""
    nodes = [("beta1_power", "VariableV2", ()), ("beta2_power", "VariableV2", ())]
    nodes += [(f"Adam/{fed}", "PlaceholderWithDefault", ("Adam/default",))] if fed else []
    scalars = ("beta1_power", "beta2_power", *(f"Adam/{n}" for n in ("rate", "beta1", "beta2", "epsilon")))
    for variable, scope in scopes.items():
        slots = (variable, f"{variable}/{slot}", f"{variable}/{slot}_1")
        nodes += [(name, "VariableV2", ()) for name in slots]
        update = f"{scope}/update_{variable}"
        before: tuple[str, ...] = ()
        if decay:
            nodes.append((f"{update}/mul", "Mul", ("Adam/decay", variable)))
            nodes.append((f"{update}/AssignSub", "AssignSub", (variable, f"{update}/mul")))
            before = (f"^{update}/AssignSub",)
        nodes.append((f"{update}/ApplyAdam", "ApplyAdam", (*slots, *scalars, "gradient", *before)))
    values = {"rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "decay": 0.03}
    values = {"default" if name == fed else name: value for name, value in values.items()}
    return graph_def(*nodes, *extra, constants={f"Adam/{n}": v for n, v in values.items()})


class TestGraph:
    """What update operations prove, and where they contradict each other."""

    arrays: ClassVar = {**_slots("a"), **_slots("b", seed=1), **_slots("c", seed=2), **_powers(5)}

    def test_a_damaged_name_makes_no_second_optimizer(self) -> None:
        """One of three operations in a scope of its own, with the same beta powers: one optimizer, and a warning."""
        graph = _adam_graph({"a": "Cdam", "b": "Adam", "c": "Adam"})
        (state,) = optimizer_states(MemoryCheckpoint(self.arrays, graph=graph))
        assert (len(state.parameters), state.step.value) == (3, 5)
        (problem,) = [p for p in state.problems if p.code == "graph-inconsistent"]
        assert problem.severity == "warning"
        assert "'Adam' and in 'Cdam'" in problem.message

    def test_an_optimizer_that_is_applied_twice_is_one(self) -> None:
        """A second `apply_gradients` makes its operations in `Adam_1`, with the same beta powers: no damage."""
        graph = _adam_graph({"a": "Adam_1", "b": "Adam", "c": "Adam"})
        (state,) = optimizer_states(MemoryCheckpoint(self.arrays, graph=graph))
        assert (len(state.parameters), state.step.value) == (3, 5)
        assert [(p.code, p.severity) for p in state.problems] == [("optimizer-applied-twice", "info")]

    def test_a_sound_graph_has_no_remark(self) -> None:
        """All operations in one scope."""
        graph = _adam_graph(dict.fromkeys("abc", "Adam"))
        (state,) = optimizer_states(MemoryCheckpoint(self.arrays, graph=graph))
        assert state.problems == ()

    def test_a_decay_before_the_update_is_read(self) -> None:
        """`AssignSub(w, decay * w)` before `ApplyAdam` is contrib's decoupled decay: AdamW, not times the rate."""
        graph = _adam_graph(dict.fromkeys("abc", "Adam"), decay=True)
        (state,) = optimizer_states(MemoryCheckpoint(self.arrays, graph=graph))
        decay = state.hyperparameters["weight_decay"]
        assert (state.rule, state.family) == ("adamw", "contrib")
        assert (decay.value, decay.source) == (pytest.approx(0.03), "graph")
        assert state.parameters["a"].last_update() is not None

    @pytest.mark.parametrize("name", ["AdaMax", "LAMB", "RectifiedAdam", "LazyAdam"])
    def test_what_adam_s_operation_updates_is_adam_s_whatever_its_name(self, name: str) -> None:
        """`ApplyAdam` computes the whole update."""
        arrays = {k.replace("Adam", name): array for k, array in self.arrays.items()}
        graph = _adam_graph(dict.fromkeys("abc", "Adam"), slot=name)
        (state,) = optimizer_states(MemoryCheckpoint(arrays, graph=graph))
        assert (state.rule, state.rule_source.source, state.name) == ("adam", "graph", name)

    def test_a_rate_that_can_be_fed_is_no_constant(self) -> None:
        """A `placeholder_with_default`: its default is what no run need have used."""
        graph = _adam_graph(dict.fromkeys("abc", "Adam"), fed="rate")
        (state,) = optimizer_states(MemoryCheckpoint(self.arrays, graph=graph))
        rate = state.hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (None, "unknown")
        assert "fed at run time" in rate.where


def test_lars_hands_momentum_s_operation_a_rate_of_1() -> None:
    """contrib's LARS scales the gradient itself: 1 is not its learning rate."""
    arrays = {"w": np.ones((4, 3), np.float32), "w/LARSOptimizer": np.ones((4, 3), np.float32)}
    graph = graph_def(
        *((name, "VariableV2", ()) for name in arrays),
        ("LARS/update_w/ApplyMomentum", "ApplyMomentum", (*arrays, "one", "scaled", "momentum")),
        constants={"one": 1.0, "momentum": 0.9},
    )
    (state,) = optimizer_states(MemoryCheckpoint(arrays, graph=graph))
    assert (state.rule, state.hyperparameters["learning_rate"].value) == ("lars", None)


def test_rows_don_t_hide_the_decay_of_the_others() -> None:
    """MomentumW shrinks each variable before `ApplyMomentum`, and of an embedding the touched rows, in another way."""
    arrays = {k: np.ones((4, 3), np.float32) for n in ("w", "rows") for k in (n, f"{n}/MomentumW")}
    dense, sparse = (("w", "w/MomentumW", "rate", "gradient"), ("rows", "rows/MomentumW", "rate", "gradient", "ids"))
    graph = graph_def(
        *((name, "VariableV2", ()) for name in arrays),
        ("decayed", "Mul", ("decay", "w")),
        ("shrunk", "AssignSub", ("w", "decayed")),
        ("MomentumW/update_w/ApplyMomentum", "ApplyMomentum", (*dense, "momentum", "^shrunk")),
        ("MomentumW/update_rows/SparseApplyMomentum", "SparseApplyMomentum", (*sparse, "momentum", "^some_rows")),
        constants={"rate": 0.1, "momentum": 0.9, "decay": 0.03},
    )
    (state,) = optimizer_states(MemoryCheckpoint(arrays, graph=graph))
    read = {n: h.value for n, h in state.hyperparameters.items() if h.source == "graph"}
    assert read == pytest.approx({"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.03})


def _rows(variable: str, *operations: tuple[str, str], prefix: str = "") -> list[tuple[str, str, tuple[str, ...]]]:
    """A sparse gradient's operations on a variable and its slots, as TF 1.15 makes them: (operation, target)."""
    handle = "VarHandleOp" if prefix else "VariableV2"
    targets = {"m": f"{variable}/Adam", "v": f"{variable}/Adam_1", "w": variable}
    nodes: list[tuple[str, str, tuple[str, ...]]] = [(name, handle, ()) for name in targets.values()]
    for i, (operation, target) in enumerate(operations):
        nodes.append((f"Adam/update_{variable}/{i}", operation, (targets[target], "rows", "change")))
    return nodes


class TestRows:
    """What operations on rows prove of an Adam."""

    arrays: ClassVar = {**_slots("a"), **_slots("net/w", seed=1), **_powers(5)}

    def _state(self, *rows: tuple[str, str, tuple[str, ...]]) -> OptimizerState:
        graph = _adam_graph({"a": "Adam"}, *rows)
        (state,) = optimizer_states(MemoryCheckpoint(self.arrays, graph=graph), {"learning_rate": 0.01})
        return state

    @pytest.mark.parametrize("prefix", ["", "Resource"])
    def test_a_lazy_adam_is_no_adam(self, prefix: str) -> None:
        """contrib's LazyAdam sets rows of the moments: the variable's last update is open, whatever its name; the dense
        one's is Adam's."""
        operations = ((f"{prefix}ScatterUpdate", "m"), (f"{prefix}ScatterUpdate", "v"), (f"{prefix}ScatterSub", "w"))
        state = self._state(*_rows("net/w", *operations, prefix=prefix))
        assert (state.rule, state.rule_source.source, state.family) == ("lazyadam", "graph", "contrib")
        assert state.parameters["net/w"].last_update() is None
        assert "which rows" in str(state.parameters["net/w"].reason("last_update"))
        dense, plain = state.parameters["a"].last_update(), self._state().parameters["a"].last_update()
        np.testing.assert_array_equal(dense, plain)
        assert state.hyperparameters["epsilon"].source == "graph"

    def test_a_sparse_adam_moves_all_rows(self) -> None:
        """Adam lets all of the moments decay, adds to rows, and moves all: nothing is open."""
        operations = (("Assign", "m"), ("ScatterAdd", "m"), ("Assign", "v"), ("ScatterAdd", "v"), ("AssignSub", "w"))
        state = self._state(*_rows("net/w", *operations))
        assert (state.rule, state.rule_source.source) == ("adam", "graph")
        assert all(p.last_update() is not None for p in state.parameters.values())
        assert {n: p.found.has_sparse_gradient for n, p in state.parameters.items()} == {"a": False, "net/w": True}


def test_a_dense_operation_outweighs_a_name() -> None:
    """A variable called `embeddings` that the graph updates as a whole is no table, though the rule is lazy."""
    arrays = {**_slots("embeddings"), **_slots("w", seed=1), **_powers(5)}
    graph = _adam_graph({"embeddings": "Adam"}, *_rows("w", ("ScatterUpdate", "m"), ("ScatterSub", "w")))
    (state,) = optimizer_states(MemoryCheckpoint(arrays, graph=graph), {"learning_rate": 0.01})
    assert state.rule == "lazyadam"
    assert {n: p.last_update() is None for n, p in state.parameters.items()} == {"embeddings": False, "w": True}


def test_the_rate_of_optimize_loss() -> None:
    """`tf.contrib.layers.optimize_loss` makes slots and the rate's variable in one scope."""
    w = np.ones((4, 3), np.float32)
    arrays = {"w": w, "Train/w/Adagrad": w, "Train/learning_rate": np.float32(0.07), "learning_rate": np.float32(9)}
    (state,) = _states(arrays).values()
    assert [p.code for p in state.problems] == ["rate-before-decay"]  # a decay would be in a graph alone
    rate = state.hyperparameters["learning_rate"]
    assert (state.rule, rate.value, rate.source, rate.where) == (
        "adagrad", pytest.approx(0.07), "checkpoint", "Train/learning_rate"
    )  # fmt: skip


def test_a_decay_that_a_wrapper_adds_is_in_no_tensor() -> None:
    """`extend_with_decoupled_weight_decay` keeps the names of what it wraps: that there is no decay is assumed."""
    decays = [
        state.hyperparameters["weight_decay"]
        for graph in (None, _adam_graph({"w": "Adam"}))
        for state in optimizer_states(MemoryCheckpoint({**_slots("w"), **_powers(5)}, graph=graph))
    ]
    assert [decay.value for decay in decays] == [0.0, 0.0]
    assert ["extend_with_decoupled_weight_decay" in decay.where for decay in decays] == [True, False]


def test_a_rule_that_is_given_names_numbered_slots() -> None:
    """`opt` and `opt_1` are what the rule's optimizer makes first and second."""
    w = np.full((4, 3), 4.0, np.float32)
    arrays = {"w": w, "u": w, "w/opt": w, "w/opt_1": -w, "u/opt": w, "u/opt_1": -w}
    (state,) = optimizer_states(MemoryCheckpoint(arrays), {"rule": "rmsprop", "learning_rate": 0.5, "epsilon": 0.0})
    np.testing.assert_allclose(state.parameters["w"].effective_lr(), 0.25)
