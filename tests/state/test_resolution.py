"""From what a layout found to numbers with their sources: who wins, what is said, what stays unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.memory_checkpoints import MemoryCheckpoint

from ckpt_inspect.errors import NotFoundError, RequestError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.layouts.found import BetaPowerKeys, BetaPowers, Counted, FoundOptimizer, FoundParameter, RuleReading
from ckpt_inspect.state.given import check_given
from ckpt_inspect.state.optimizer_state import optimizer_states
from ckpt_inspect.state.resolution import Resolved, resolve
from ckpt_inspect.state.schedules import evaluate_schedule
from ckpt_inspect.state.sources import IMPOSSIBLE
from ckpt_inspect.update_rules import Implementation
from ckpt_inspect.update_rules.implementations import (
    CONTRIB,
    KERAS1,
    KERAS3,
    OPTAX,
    OPTIMIZER_V2,
    TF1,
    TFA,
)
from ckpt_inspect.update_rules.running_products import running_products

DIGITS = Path(__file__).parents[2] / "fixtures" / "digits"

ADAM = RuleReading("adam", "config", "class 'Adam' in the configuration")
OWN_POWERS = BetaPowers(BetaPowerKeys("beta1_power", "beta2_power"))
DECAY = {
    "class_name": "ExponentialDecay",
    "config": {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5, "staircase": False},
}


def _resolve(
    arrays: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    producer: Mapping[str, str] | None = None,
    **found: Any,
) -> Resolved:
    options = {
        "name": "opt",
        "layout": "keras-groups",
        "implementation": KERAS3,
        "rule": ADAM,
        "config_where": "config.json",
    }
    checkpoint = MemoryCheckpoint(arrays or {}, producer=producer)
    return resolve(checkpoint, FoundOptimizer(**{**options, **found}), given or {})


def _powers(step: int, beta_1: float = 0.9, beta_2: float = 0.999, tail: str = "") -> dict[str, Any]:
    return {
        f"beta1_power{tail}": np.float32(running_products(float(np.float32(beta_1))).power(step + 1)),
        f"beta2_power{tail}": np.float32(running_products(float(np.float32(beta_2))).power(step + 1)),
    }


@pytest.mark.parametrize("value", [b"3", 3 + 1j])
def test_what_is_no_number_is_no_hyperparameter_and_counts_nothing(value: Any) -> None:
    """A text or a complex number in a scalar's place, as damage leaves it: named, and nothing is computed with it."""
    arrays = {
        "it": np.array(value, object if isinstance(value, bytes) else None),
        "lr": np.array(value, object if isinstance(value, bytes) else None),
        "global_step": np.array(value, object if isinstance(value, bytes) else None),
        **_powers(3),
    }
    got = _resolve(arrays, counter="it", scalars={"learning_rate": "lr"}, beta_powers=OWN_POWERS, implementation=TF1)
    assert got.step.value is None or got.step.value == 3
    assert math.isnan(got.hyperparameters["learning_rate"].value or math.nan)
    assert {"step-malformed", "hyperparameter-impossible"} & {problem.code for problem in got.problems}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("beta1_power", np.complex64(0.5), "scalar-malformed"),
        ("beta1_power", np.bool_(True), "scalar-malformed"),
        ("beta2_power", np.int32(1), "scalar-malformed"),
        ("beta1_power", np.array([0.9, 0.8], np.float32), "scalar-malformed"),
        ("beta1_power", np.float32(-0.5), "beta-power-impossible"),
        ("global_step", np.int64(-3), "step-malformed"),
        ("global_step", np.float32(np.nan), "step-malformed"),
    ],
)
def test_what_tf1_counts_by_and_cannot_be_is_named(name: str, value: Any, code: str) -> None:
    """A beta power that is no number below 1, a global step that counts nothing: one problem that names it."""
    weight = np.ones((3, 2), np.float32)
    arrays = {"w": weight, "w/Adam": weight * 0.1, "w/Adam_1": weight * 0.01, "global_step": np.int64(4), **_powers(4)}
    (state,) = optimizer_states(MemoryCheckpoint({**arrays, name: value}))
    (problem,) = (problem for problem in state.problems if problem.code in IMPOSSIBLE)
    assert problem.code == code
    assert name in problem.message


class TestPrecedence:
    """given > what is in the file > inferred > default."""

    def test_given_beats_the_file(self) -> None:
        """A value of the caller's replaces tensor, configuration and default alike, and says so."""
        arrays = {"it": np.int64(3), "lr": np.float32(0.5)}
        given = {"learning_rate": 0.1, "beta_1": 0.8, "epsilon": 1e-3, "step": 9, "rule": "lamb", "weight_decay": 0.2}
        got = _resolve(arrays, given, counter="it", scalars={"learning_rate": "lr"}, config={"beta_1": 0.7})
        values = {name: (s.value, s.source) for name, s in got.hyperparameters.items() if name in given}
        assert values == {name: (v, "given") for name, v in given.items() if name not in ("step", "rule")}
        assert (got.step.value, got.step.source) == (9, "given")
        assert (got.rule.value, got.rule.source) == ("lamb", "given")

    @pytest.mark.parametrize(
        ("found", "value", "source", "where"),
        [
            (
                {"scalars": {"beta_1": "b"}, "constants": {"beta_1": 0.2}, "config": {"beta_1": 0.3}},
                0.5,
                "checkpoint",
                "b",
            ),
            ({"constants": {"beta_1": 0.25}, "constants_where": "x.meta"}, 0.25, "graph", "a constant in x.meta"),
            ({"config": {"beta_1": 0.3}}, 0.3, "config", "config.json: beta_1"),
            ({}, 0.9, "default", "assumed: the default of this implementation (keras3); not in the file"),
        ],
    )
    def test_a_beta_comes_from_the_best_place(self, found: Any, value: float, source: str, where: str) -> None:
        """A tensor before the graph's constant before the configuration before the default, each named."""
        beta = _resolve({"b": np.float32(0.5)}, **found).hyperparameters["beta_1"]
        assert (beta.value, beta.source, beta.where) == (value, source, where)

    def test_a_beta_read_out_of_the_powers_is_inferred(self) -> None:
        """TF1's betas come from the powers, with the evidence, where nothing else has them."""
        got = _resolve(_powers(41, 0.5, 0.99), implementation=TF1, beta_powers=OWN_POWERS)
        assert {n: (got.hyperparameters[n].value, got.hyperparameters[n].source) for n in ("beta_1", "beta_2")} == {
            "beta_1": (0.5, "inferred"),
            "beta_2": (0.99, "inferred"),
        }
        assert (got.step.value, got.step.source) == (41, "inferred")
        assert "0.99**42 to the last bit" in got.step.where

    def test_a_configuration_that_holds_null_is_passed_over(self) -> None:
        """A null in the JSON counts as not there."""
        assert _resolve(config={"beta_1": None}).hyperparameters["beta_1"].source == "default"

    @pytest.mark.parametrize("class_name", ["__tensor__", "__numpy__"])
    def test_a_number_that_keras_serialized_as_an_array_is_one(self, class_name: str) -> None:
        """Keras 3 writes a tensor without dimensions so."""
        value = {"class_name": class_name, "config": {"value": 0.5, "dtype": "float32"}}
        for name in ("learning_rate", "beta_1", "epsilon"):
            assert _resolve(config={name: value}).hyperparameters[name].value == 0.5


class TestImpossible:
    @pytest.mark.parametrize("name", ["learning_rate", "beta_1", "beta_2", "epsilon"])
    @pytest.mark.parametrize("value", ["0.9", "nan", True, [0.9], {}, 10**400, -(10**400), math.nan, 1e39])
    def test_what_is_no_number_is_named_and_left_unknown(self, name: str, value: Any) -> None:
        """In a configuration; no default stands in for it."""
        if value == {} and name == "learning_rate":
            pytest.skip("a schedule that isn't known")
        resolved = _resolve(config={name: value})
        assert resolved.hyperparameters[name].value is None
        assert resolved.hyperparameters[name].source == "unknown"
        (problem,) = [p for p in resolved.problems if p.code == "value-impossible"]
        assert name in problem.message
        assert len(problem.message) < 200

    def test_a_class_that_computes_a_beta_is_not_followed(self) -> None:
        """The beta is unknown then, not the default."""
        beta = _resolve(config={"beta_1": {"class_name": "Mine", "config": {}}}).hyperparameters["beta_1"]
        assert (beta.value, beta.source) == (None, "unknown")
        assert "Mine" in beta.where

    @pytest.mark.parametrize(
        "odd",
        [
            {"initial_learning_rate": math.nan}, {"initial_learning_rate": "0.1"}, {"decay_rate": True},
            {"decay_rate": [0.9]}, {"decay_steps": -1}, {"decay_steps": 10**400}, {"decay_rate": -math.inf},
        ],
    )  # fmt: skip
    def test_a_schedule_of_what_cannot_be_is_named(self, odd: dict[str, Any]) -> None:
        """And the learning rate is unknown."""
        config = {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9, **odd}
        resolved = _resolve(
            {"t": np.int64(5)}, counter="t",
            config={"learning_rate": {"class_name": "ExponentialDecay", "config": config}},
        )  # fmt: skip
        assert resolved.hyperparameters["learning_rate"].value is None
        (problem,) = [p for p in resolved.problems if p.code == "value-impossible"]
        assert "ExponentialDecay" in problem.message

    def test_a_scalar_that_is_no_number_is_not_replaced(self) -> None:
        """The tensor governs, so that neither the configuration nor a default stands in for it."""
        resolved = _resolve(malformed={"learning_rate": "lr is of shape (2,)"}, config={"learning_rate": 0.1})
        assert resolved.hyperparameters["learning_rate"].value is None
        assert "lr is of shape (2,)" in resolved.hyperparameters["learning_rate"].where

    def test_a_complex_counter_counts_nothing(self) -> None:
        """Neither does it end the reading."""
        resolved = _resolve(
            {**_powers(5, 0.9, 0.999), "global_step": np.complex64(1)}, implementation=TF1, beta_powers=OWN_POWERS
        )
        assert resolved.step.value == 5

    """Numbers in the file that no training can have used."""

    @pytest.mark.parametrize(
        ("name", "value", "what"),
        [
            ("beta_1", float("nan"), "beta_1 is nan (config.json: beta_1), and it must be from 0 up to"),
            ("beta_2", 1.5, "beta_2 is 1.5 (config.json: beta_2), and it must be from 0 up to"),
            ("beta_1", 10**400, "beta_1 is inf (config.json: beta_1), and it must be from 0 up to"),
            ("epsilon", -1, "epsilon is -1 (config.json: epsilon), and it must not be negative"),
            ("epsilon", float("inf"), "epsilon is inf (config.json: epsilon), and it must be finite"),
            ("learning_rate", -0.1, "learning_rate is -0.1 (config.json: learning_rate), and it must not be negative"),
            ("weight_decay", float("nan"), "weight_decay is nan (config.json: weight_decay), and it must be finite"),
        ],
    )
    def test_a_configured_value_that_cannot_be(self, name: str, value: float, what: str) -> None:
        """It is left unknown, without a default in its place, and a Problem names it."""
        got = _resolve(config={name: value})
        assert (got.hyperparameters[name].value, got.hyperparameters[name].source) == (None, "unknown")
        (problem,) = got.problems
        assert (problem.code, problem.severity) == ("value-impossible", "error")
        assert problem.message.startswith(f"opt: {what}")

    @pytest.mark.parametrize("value", [-3.0, 1.5, float("nan")])
    def test_a_variable_that_cannot_be(self, value: float) -> None:
        """Judged as a configured value is, and as a given one."""
        got = _resolve({"b": np.float32(value)}, scalars={"beta_2": "b"}).hyperparameters["beta_2"]
        assert (got.value, got.source) == (None, "unknown")

    @pytest.mark.parametrize(
        ("name", "beta", "value", "source"), [("beta_2", 0.999, 0.999, "default"), ("beta_1", 0.999, None, "unknown")]
    )
    def test_a_beta_that_bfloat16_rounds_to_one(self, name: str, beta: float, value: float | None, source: str) -> None:
        """bfloat16(0.999) is 1: that is reported, and possible; the default is taken if it becomes 1 too."""
        arrays = {"it": np.int64(3), "beta": np.asarray(beta, ml_dtypes.bfloat16)}
        got = _resolve(arrays, counter="it", scalars={name: "beta"}, implementation=OPTIMIZER_V2)
        assert (got.hyperparameters[name].value, got.hyperparameters[name].source) == (value, source)
        (problem,) = got.problems
        assert problem.code == "beta-rounded-to-one"
        assert (
            f"{name} is 1 in bfloat16 (beta), which is what bfloat16 makes of numbers so near below it"
            in problem.message
        )

    def test_a_beta_of_one_in_float32_cannot_be(self) -> None:
        """There 0.999 and its like have digits enough."""
        got = _resolve({"beta": np.float32(1)}, scalars={"beta_2": "beta"}, implementation=OPTIMIZER_V2)
        assert [problem.code for problem in got.problems] == ["value-impossible"]

    @pytest.mark.parametrize("decay", [-1.0, float("nan"), float("inf")])
    def test_a_decay_of_the_rate_that_cannot_be(self, decay: float) -> None:
        """The learning rate depends on it, and is left unknown."""
        config = {"learning_rate": 0.1, "decay": decay}
        got = _resolve({"it": np.int64(2)}, implementation=OPTIMIZER_V2, config=config, counter="it")
        assert got.hyperparameters["learning_rate"].value is None
        assert [p.code for p in got.problems] == ["value-impossible"]
        assert got.hyperparameters["learning_rate"].where.startswith("decay is ")

    @pytest.mark.parametrize("power", [-2.0, 1.5, float("nan")])
    def test_a_power_that_cannot_be(self, power: float) -> None:
        """The step is left unknown, even if the other power is sound."""
        arrays = {**_powers(41), "beta2_power": np.float32(power)}
        got = _resolve(arrays, implementation=TF1, beta_powers=OWN_POWERS)
        assert (got.step.value, got.step.source) == (None, "unknown")
        assert [p.code for p in got.problems if p.severity == "error"] == ["beta-power-impossible"]
        assert "beta2_power is" in got.step.where

    def test_a_given_value_replaces_it(self) -> None:
        """Then nothing depends on the bad one."""
        got = _resolve(config={"epsilon": -1}, given={"epsilon": 1e-3})
        assert (got.hyperparameters["epsilon"].value, got.problems) == (1e-3, ())


class TestStep:
    """The exponent of the last update."""

    def test_counter_governs(self) -> None:
        """A counter is taken as it is, with its key; powers beside it aren't asked."""
        got = _resolve({"it": np.int64(7)}, counter="it")
        assert (got.step.value, got.step.source, got.step.where) == (7, "checkpoint", "it")

    @pytest.mark.parametrize(
        "counter", [np.int64(-1), np.float32("nan"), np.float32(1.5), np.float64("inf"), np.float64(1e30)]
    )
    def test_a_counter_that_counts_nothing_is_a_problem(self, counter: Any) -> None:
        """A negative, broken or endless counter leaves the step unknown, and says what it is."""
        got = _resolve({"it": counter}, counter="it")
        assert (got.step.value, got.step.source) == (None, "unknown")
        assert [p.code for p in got.problems] == ["step-malformed"]

    def test_counter_of_shape_1_and_unsigned(self) -> None:
        """Counters come as uint64 and in one-element arrays too."""
        assert _resolve({"it": np.array([5], np.uint64)}, counter="it").step.value == 5

    @pytest.mark.parametrize(
        ("version", "step", "phrase"),
        [
            ("3.4.1", 12, "Keras before 3.5 counts each accumulated gradient"),
            ("3.5.0", 3, "divided by gradient_accumulation_steps = 4"),
            ("3.15.0", 3, "divided by gradient_accumulation_steps = 4"),
            ("", 3, "divided by gradient_accumulation_steps = 4"),
        ],
    )
    def test_gradient_accumulation_by_version(self, version: str, step: int, phrase: str) -> None:
        """Keras 3.5 began to divide the raw count by the number of accumulated gradients."""
        producer = {"keras_version": version} if version else {}
        config = {"gradient_accumulation_steps": 4}
        got = _resolve({"it": np.int64(12)}, producer=producer, counter="it", config=config)
        assert got.step.value == step
        assert phrase in got.step.where

    def test_schedules_go_by_the_raw_count_under_accumulation(self) -> None:
        """The schedule's step is the raw counter, the exponent the divided one."""
        config = {"gradient_accumulation_steps": 4, "learning_rate": DECAY}
        got = _resolve({"it": np.int64(12)}, producer={"keras_version": "3.8.0"}, counter="it", config=config)
        assert got.hyperparameters["learning_rate"].value == evaluate_schedule(DECAY, 11)

    @pytest.mark.parametrize(
        ("version", "raw", "step"),
        [("3.3.3", 10, 8), ("3.3.3", 3, 0), ("3.8.0", 10, 2), ("3.8.0", 3, 0)],
    )
    def test_between_two_updates_of_accumulated_gradients(self, version: str, raw: int, step: int) -> None:
        """The last update was at the last multiple of the gradients that one takes, and so was its rate."""
        config = {"gradient_accumulation_steps": 4, "learning_rate": DECAY}
        got = _resolve({"it": np.int64(raw)}, producer={"keras_version": version}, counter="it", config=config)
        assert (got.step.value, got.step.source) == (step, "checkpoint")
        assert f"it = {raw}" in got.step.where
        assert got.hyperparameters["learning_rate"].value == evaluate_schedule(DECAY, 7 if step else 0)

    @pytest.mark.parametrize("counted", ["gradients", "gradients-to-divide", "gradients-either"])
    def test_accumulators_without_a_configuration_leave_the_step_open(self, counted: Counted) -> None:
        """The slots tell that gradients are accumulated, not how many."""
        got = _resolve({"it": np.int64(12)}, counter="it", counted=counted)
        assert got.step.value is None
        assert "it = 12 counts every accumulated gradient" in got.step.where

    def test_old_keras_by_its_counter_s_name(self) -> None:
        """Before 3.5 the count itself is the exponent, also where only the counter's name tells the release."""
        config = {"gradient_accumulation_steps": 4}
        got = _resolve({"it": np.int64(10)}, counter="it", counted="gradients", config=config)
        assert got.step.value == 8
        assert "Keras before 3.5 counts each accumulated gradient, and applied the last at 8" in got.step.where

    def test_global_step_is_labelled(self) -> None:
        """Where a layout has nothing but global_step, it is read and called that."""
        got = _resolve({"global_step": np.int64(9)}, counter="global_step", counted="global-step")
        assert "the only counter that the file has for it" in got.step.where

    def test_underflowed_powers(self) -> None:
        """Both powers 0: no step, but converged, said once as information; given betas give a bound."""
        arrays = {"beta1_power": np.float32(0), "beta2_power": np.float32(0)}
        got = _resolve(arrays, implementation=TF1, beta_powers=OWN_POWERS)
        assert got.step.value is None
        assert got.is_converged
        assert [(p.code, p.severity) for p in got.problems] == [("step-underflowed", "info")]
        assert got.hyperparameters["beta_1"].source == "default"

    def test_nothing_counts(self) -> None:
        """No counter and no powers: unknown, in words."""
        assert _resolve().step.where == "nothing in the file counts this optimizer's updates"

    def test_a_given_beta_reads_powers_of_uncommon_ones(self) -> None:
        """Powers of betas that nobody uses are read once the caller names one."""
        arrays = _powers(300, 0.9123, 0.98765)
        options: dict[str, Any] = {"implementation": TF1, "beta_powers": OWN_POWERS}
        assert _resolve(arrays, **options).step.value is None
        assert _resolve(arrays, {"beta_2": 0.98765}, **options).step.value == 300


class TestRivalPowers:
    """Several pairs of powers, of which nothing says whose they are."""

    def _resolve(self, first: dict[str, Any], second: dict[str, Any], is_assigned: bool) -> Resolved:
        rivals = (OWN_POWERS.own, BetaPowerKeys("beta1_power_1", "beta2_power_1"))
        powers = BetaPowers(rivals[0] if is_assigned else BetaPowerKeys(), rivals)
        return _resolve({**first, **second}, implementation=TF1, beta_powers=powers)

    @pytest.mark.parametrize("is_assigned", [True, False])
    def test_all_pairs_agree(self, is_assigned: bool) -> None:
        """Where all pairs say the same it doesn't matter whose they are."""
        got = self._resolve(_powers(12), _powers(12, tail="_1"), is_assigned)
        assert (got.step.value, got.step.source) == (12, "inferred")
        assert (got.hyperparameters["beta_1"].value, got.hyperparameters["beta_1"].source) == (0.9, "inferred")

    def test_unassigned_pairs_that_differ_leave_it_open(self) -> None:
        """Different counts: no step; betas that all share are read all the same."""
        got = self._resolve(_powers(12), _powers(15, tail="_1"), False)
        assert (got.step.value, got.step.source) == (None, "unknown")
        assert (got.hyperparameters["beta_1"].value, got.hyperparameters["beta_1"].source) == (0.9, "inferred")

    def test_pairs_given_out_by_order_are_assumptions(self) -> None:
        """A step and betas from a pair that was chosen by its place are labelled default."""
        got = self._resolve(_powers(12, 0.5), _powers(15, 0.9, tail="_1"), True)
        assert (got.step.value, got.step.source) == (12, "default")
        assert (got.hyperparameters["beta_1"].value, got.hyperparameters["beta_1"].source) == (0.5, "default")
        assert "assigned to this optimizer by their order" in got.step.where


class TestLearningRate:
    """α of the last update."""

    def _rate(self, *args: Any, **found: Any) -> Any:
        return _resolve(*args, **found).hyperparameters["learning_rate"]

    def test_scheduled_rate_that_the_file_holds(self) -> None:
        """Keras 2.11+ saves the rate that the last update used."""
        rate = self._rate({"now": np.float32(0.03)}, scalars={"current_learning_rate": "now", "learning_rate": "x"})
        assert (rate.value, rate.source) == (pytest.approx(0.03), "checkpoint")
        assert "that the last update used" in rate.where

    def test_decay_of_optimizer_v2(self) -> None:
        """lr/(1 + decay·(t-1)), with how it was combined."""
        arrays = {"it": np.int64(5), "lr": np.float32(0.01), "d": np.float32(0.5)}
        rate = self._rate(
            arrays, implementation=OPTIMIZER_V2, counter="it", scalars={"learning_rate": "lr", "decay": "d"}
        )
        assert rate.value == pytest.approx(0.01 / 3, rel=1e-6)
        assert "decay = 0.5, step = 5" in rate.where

    def test_decay_without_a_step_is_unknown(self) -> None:
        """A decayed rate can't be told without the step."""
        rate = self._rate(implementation=KERAS1, config={"lr": 0.01, "decay": 0.1})
        assert (rate.value, rate.source) == (None, "unknown")

    @pytest.mark.parametrize(("implementation", "rule"), [(OPTIMIZER_V2, "nadam"), (KERAS3, "adam")])
    def test_decay_that_is_no_decay(self, implementation: Implementation, rule: str) -> None:
        """Nadam's `decay` is its momentum schedule's, and Keras 2.11+ has none."""
        config = {"learning_rate": 0.01, "decay": 0.004}
        reading = RuleReading(rule, "config", "configuration")
        rate = self._rate({"it": np.int64(9)}, implementation=implementation, rule=reading, counter="it", config=config)
        assert rate.value == 0.01

    def test_decay_of_an_unknown_class_leaves_the_rate_open(self) -> None:
        """It may be the rate's, or derive from Nadam, whose `decay` is not."""
        found = {
            "implementation": OPTIMIZER_V2,
            "rule": RuleReading("mine", "config", "configuration"),
            "counter": "it",
            "config": {"learning_rate": 0.01, "decay": 0.004},
        }
        rate = self._rate({"it": np.int64(9)}, **found)
        assert (rate.value, rate.source) == (None, "unknown")
        assert "whether mine lets it decay by decay = 0.004 is not known" in rate.where

    def test_schedule_at_the_step_before(self) -> None:
        """A schedule is evaluated at t - 1, and the source is the configuration."""
        rate = self._rate({"it": np.int64(6)}, counter="it", config={"learning_rate": DECAY})
        assert (rate.value, rate.source) == (evaluate_schedule(DECAY, 5), "config")
        assert rate.where == "config.json: ExponentialDecay at step - 1 = 5"

    def test_schedule_at_a_given_step(self) -> None:
        """A step that the caller gives governs the schedule too, not the counter that it corrects."""
        rate = self._rate({"it": np.int64(6)}, {"step": 11}, counter="it", config={"learning_rate": DECAY})
        assert rate.value == evaluate_schedule(DECAY, 10)

    def test_schedule_before_the_first_update(self) -> None:
        """At step 0 the schedule's beginning stands for the rate."""
        rate = self._rate({"it": np.int64(0)}, counter="it", config={"learning_rate": DECAY})
        assert rate.value == evaluate_schedule(DECAY, 0)

    @pytest.mark.parametrize(
        ("schedule", "phrase"),
        [
            ({"class_name": "Mine>Warmup", "config": {}}, "is not Keras' own"),
            ({"class_name": "ExponentialDecay", "config": {}}, "no number for"),
            ({"class_name": 5, "config": {}}, "not a schedule that Keras serialized"),
        ],
    )
    def test_schedules_that_cannot_be_evaluated(self, schedule: Any, phrase: str) -> None:
        """A custom or incomplete schedule leaves the rate unknown, with the reason."""
        rate = self._rate({"it": np.int64(6)}, counter="it", config={"learning_rate": schedule})
        assert (rate.value, rate.source) == (None, "unknown")
        assert phrase in rate.where
        assert "give --learning-rate" in rate.where

    def test_schedule_without_a_step(self) -> None:
        """A schedule needs the step."""
        assert "which is not known" in self._rate(config={"learning_rate": DECAY}).where

    def test_constant_of_the_graph(self) -> None:
        """TF1's rate is a constant in the .meta."""
        rate = self._rate(implementation=TF1, constants={"learning_rate": 0.02}, constants_where="x.meta")
        assert (rate.value, rate.source) == (0.02, "graph")

    @pytest.mark.parametrize(
        ("has_schedule", "phrase"),
        [(True, "a schedule, which this format doesn't save"), (False, "doesn't save it")],
    )
    def test_no_rate_in_the_file(self, has_schedule: bool, phrase: str) -> None:
        """Absence is told from a schedule's absence; neither becomes a default."""
        rate = self._rate(has_scheduled_rate=has_schedule)
        assert (rate.value, rate.source) == (None, "unknown")
        assert phrase in rate.where


class TestWeightDecay:
    """Decoupled decay."""

    @pytest.mark.parametrize(
        ("rule", "implementation", "config", "value", "source"),
        [
            ("adamw", KERAS3, None, 0.004, "default"),
            ("adamw", KERAS3, {"weight_decay": 0.01}, 0.01, "config"),
            ("adam", KERAS3, {"weight_decay": None}, 0.0, "config"),
            ("adam", KERAS3, None, 0.0, "default"),
            ("adamw", TFA, None, None, "unknown"),
            ("lamb", TFA, {"weight_decay_rate": 0.02}, 0.02, "config"),
            ("adamw", CONTRIB, None, None, "unknown"),
            ("adam", TF1, None, 0.0, "default"),
            ("radam", TFA, None, None, "unknown"),
            ("radam", TFA, {"weight_decay": 0}, 0.0, "config"),
            ("radam", TFA, {"weight_decay": DECAY}, None, "unknown"),
        ],
    )
    def test_by_rule_and_family(
        self, rule: str, implementation: Implementation, config: Any, value: Any, source: str
    ) -> None:
        """Keras has a default, Addons and contrib have none; a null in the JSON is a decision for none."""
        reading = RuleReading(rule, "checkpoint", "slots")
        decay = _resolve(implementation=implementation, rule=reading, config=config).hyperparameters["weight_decay"]
        assert (decay.value, decay.source) == (value, source)

    def test_a_schedule_at_the_step_before(self) -> None:
        """Addons take a schedule of weight decay, and evaluate it as they do the learning rate's."""
        reading = RuleReading("radam", "checkpoint", "slots")
        got = _resolve(
            {"it": np.int64(6)}, implementation=TFA, rule=reading, counter="it", config={"weight_decay": DECAY}
        )
        decay = got.hyperparameters["weight_decay"]
        assert (decay.value, decay.source) == (evaluate_schedule(DECAY, 5), "config")


class TestRule:
    """Where the rule was read."""

    @pytest.mark.parametrize(
        ("found", "source"),
        [
            ({"config": {}}, "config"),
            ({"rule": RuleReading("adam", "checkpoint", "slots named adam")}, "checkpoint"),
            ({"rule": RuleReading("adam", "graph", "operations in x.meta")}, "graph"),
            ({"rule": RuleReading("adam", "default", "two slots", ("lamb",))}, "default"),
            ({"rule": RuleReading("adamax", "inferred", "its values")}, "inferred"),
        ],
    )
    def test_source(self, found: Any, source: str) -> None:
        """Configuration, names, graph, values, or merely the usual reading."""
        assert _resolve(**found).rule.source == source

    def test_alternatives_are_named(self) -> None:
        """An ambiguous file's other readings stand in the words."""
        rule = _resolve(rule=RuleReading("adam", "default", "two slots", ("lamb", "adamw"))).rule
        assert rule.where == "two slots; could be lamb, adamw just as well"


class TestGiven:
    """What the caller may say."""

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (
                {"beta": 0.9},
                "x: 'beta' can't be given; one of learning_rate, beta_1, beta_2, epsilon, weight_decay, step, ",
            ),
            ({"rule": "adamm"}, "x: there is no rule 'adamm'; the rules are adam, "),
            ({"beta_1": 1.0}, "x: beta_1 must be from 0 up to, not including, 1, not 1.0"),
            ({"beta_2": -0.1}, "x: beta_2 must be from 0 up to, not including, 1, not -0.1"),
            ({"step": 1.5}, "x: step must be a whole number from 0 on, not 1.5"),
            ({"step": -1}, "x: step must be a whole number from 0 on, not -1"),
            ({"step": 1e300}, "x: step must be a whole number from 0 on, not 1e+300"),
            ({"learning_rate": "0.1"}, "x: learning_rate must be a number, not '0.1'"),
            ({"learning_rate": float("nan")}, "x: learning_rate must be a number, not nan"),
            ({"epsilon": -1e-8}, "x: epsilon must not be negative, not -1e-08"),
            ({"epsilon": True}, "x: epsilon must be a number, not True"),
            ({"epsilon": 1j}, "x: epsilon must be a number, not 1j"),
        ],
    )
    def test_what_cannot_be_given(self, given: Any, message: str) -> None:
        """One sentence: which, why, and what could be."""
        with pytest.raises(RequestError) as error:
            check_given(given, "x")
        assert str(error.value).startswith(message)

    def test_a_rule_that_divides_by_what_is_not_there(self) -> None:
        """Adam's state can't be read as AMSGrad's: the file is named, the rule, what it lacks, and what to do."""
        path = DIGITS / "epoch-03.keras"
        with open_checkpoint(path) as checkpoint, pytest.raises(RequestError) as error:
            optimizer_states(checkpoint, given={"rule": "amsgrad"})
        assert str(error.value) == (
            f"{path}: optimizer: can't be read as AMSGrad, as was asked for: that divides by the maximum of the second "
            "moment, which is not in the file; give another rule, or none"
        )

    @pytest.mark.parametrize("given", [{"step": 10**400}, {"learning_rate": 10**400}, {"beta_1": 10**400}])
    def test_numbers_beyond_floats_are_refused(self, given: Any) -> None:
        """An integer that no float holds is a request at fault, not an overflow."""
        with pytest.raises(RequestError):
            check_given(given, "x")

    def _gan(self) -> MemoryCheckpoint:
        arrays: dict[str, Any] = {}
        for variable in ("d", "g"):
            arrays[variable] = np.ones((2,), np.float32)
            arrays |= {f"{variable}/{variable}_opt{tail}": np.ones((2,), np.float32) for tail in ("", "_1")}
        return MemoryCheckpoint({**arrays, **_powers(3), **_powers(5, tail="_1")})

    def test_one_of_several_optimizers(self) -> None:
        """`g_opt.beta_1` is for that optimizer; a name alone for all; the particular wins."""
        states = optimizer_states(self._gan(), {"beta_1": 0.7, "g_opt.beta_1": 0.5})
        assert {s.name: s.hyperparameters["beta_1"].value for s in states} == {"d_opt": 0.7, "g_opt": 0.5}

    def test_an_optimizer_that_is_not_there(self) -> None:
        """The names of those that are there are listed."""
        with pytest.raises(NotFoundError, match="holds no optimizer 'h'; it holds 'd_opt', 'g_opt'"):
            optimizer_states(self._gan(), {"h.step": 1})
        with pytest.raises(NotFoundError, match="holds no optimizer 'h'"):
            optimizer_states(self._gan(), optimizer="h")

    def test_given_for_one_by_argument(self) -> None:
        """`optimizer=` restricts what is given to the one of that name, and all are still returned."""
        states = optimizer_states(self._gan(), {"step": 8}, optimizer="g_opt")
        assert [(s.name, s.step.source) for s in states] == [("d_opt", "default"), ("g_opt", "given")]


class TestEpsilonPlacement:
    """The textbook's formula on request, and never silently."""

    def test_the_textbook_form_is_marked_where_epsilon_is_shown(self) -> None:
        """The source of epsilon stays what it was; its place in the formula is told beside it."""
        got = _resolve(given={"epsilon_placement": "textbook"}, config={"epsilon": 1e-3})
        epsilon = got.hyperparameters["epsilon"]
        assert got.has_textbook_epsilon
        assert (epsilon.value, epsilon.source) == (1e-3, "config")
        assert epsilon.where.endswith("added to √(v/c2) as in Kingma & Ba's Algorithm 1, as asked for")

    def test_other_rules_say_that_they_ignore_it(self) -> None:
        """Nadam's epsilon stands beside the corrected root anyway: a remark, and nothing else changes."""
        got = _resolve(given={"epsilon_placement": "textbook", "rule": "nadam"})
        assert not got.has_textbook_epsilon
        assert [p.code for p in got.problems] == ["epsilon-placement-ignored"]

    def test_an_unknown_place_is_refused(self) -> None:
        """The message names both places."""
        with pytest.raises(RequestError, match="must be one of implementation, textbook, not 'inside'"):
            check_given({"epsilon_placement": "inside"}, "ckpt-1")


class TestHyperparametersOfARule:
    """A rule has its own, and no others."""

    RMSPROP = RuleReading("rmsprop", "checkpoint", "slots rms")

    def _parameter(self, *slots: str) -> FoundParameter:
        return FoundParameter("w", (2,), "float32", "w", {slot: f"w/{slot}" for slot in slots})

    def test_rmsprop_has_no_betas(self) -> None:
        """rho and momentum from their tensors, whatever else the layout may look for."""
        arrays = {"rho": np.float32(0.75), "mu": np.float32(0.5)}
        scalars = {"rho": "rho", "momentum": "mu"}
        got = _resolve(arrays, rule=self.RMSPROP, implementation=OPTIMIZER_V2, scalars=scalars).hyperparameters
        assert list(got) == ["learning_rate", "rho", "momentum", "centered", "epsilon", "weight_decay"]
        assert (got["rho"].value, got["rho"].source, got["rho"].where) == (0.75, "checkpoint", "rho")
        assert (got["momentum"].value, got["momentum"].source) == (0.5, "checkpoint")

    @pytest.mark.parametrize(("slot", "implementation"), [("momentum", KERAS3), ("trace", OPTAX)])
    def test_a_slot_that_a_default_has_not_refutes_it(self, slot: str, implementation: Implementation) -> None:
        """Keras and optax keep a momentum only if there is one; TensorFlow 1 always does."""
        parameters = (self._parameter("second_moment", slot),)
        for who, value in ((implementation, None), (TF1, 0.0)):
            got = _resolve(rule=self.RMSPROP, implementation=who, parameters=parameters).hyperparameters["momentum"]
            assert (got.value, got.source) == (value, "unknown" if value is None else "default")
            assert (f"slots {slot}" in got.where) is (value is None)

    def test_a_configuration_s_flag(self) -> None:
        """A flag is read as one, and a default of it as well."""
        got = _resolve(rule=self.RMSPROP, config={"centered": True, "rho": 0.8}).hyperparameters
        assert (got["centered"].value, got["centered"].source) == (True, "config")
        assert (got["rho"].value, got["rho"].source) == (0.8, "config")
        assert _resolve(rule=self.RMSPROP).hyperparameters["centered"].value is False

    @pytest.mark.parametrize(("slots", "is_centered"), [(("rms", "mg"), True), (("rms",), False)])
    def test_slots_tell_a_flag(self, slots: tuple[str, ...], is_centered: bool) -> None:
        """A mean gradient is kept by centered RMSprop alone."""
        got = _resolve(rule=self.RMSPROP, parameters=(self._parameter(*slots),)).hyperparameters["centered"]
        assert (got.value, got.source) == (is_centered, "inferred")

    def test_a_rule_s_own_can_be_given(self) -> None:
        """By the rule's own names; what the rule has none of is left out, with a remark."""
        got = _resolve(given={"rho": 0.5, "centered": 1, "beta_1": 0.5, "rule": "rmsprop"})
        values = {n: (s.value, s.source) for n, s in got.hyperparameters.items() if s.source == "given"}
        assert values == {"rho": (0.5, "given"), "centered": (True, "given")}
        assert [(p.code, p.message) for p in got.problems] == [
            ("given-ignored", "opt: beta_1 was given, and rmsprop has none")
        ]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"rho": 1.0}, "x: rho must be from 0 up to, not including, 1, not 1.0"),
            ({"centered": 0.5}, "x: centered must be 0 or 1, not 0.5"),
            ({"sma_threshold": -1}, "x: sma_threshold must not be negative, not -1"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_given(self, given: Any, message: str) -> None:
        """By the same bounds as the betas, or as a flag has them."""
        with pytest.raises(RequestError) as error:
            check_given(given, "x")
        assert str(error.value) == message

    def test_they_reach_the_formula(self) -> None:
        """RAdam's threshold is in the settings of each parameter."""
        arrays = {"w": np.ones(2, np.float32), "w/RectifiedAdam": np.ones(2, np.float32)}
        arrays["w/RectifiedAdam_1"] = np.ones(2, np.float32)
        (state,) = optimizer_states(MemoryCheckpoint(arrays), {"step": 4, "sma_threshold": 6.5, "learning_rate": 0.5})
        assert state.rule == "radam"
        assert state.settings.others["sma_threshold"] == 6.5
        np.testing.assert_array_equal(state.parameters["w"].effective_lr(), [0.5, 0.5])

    def test_an_optimizer_without_a_formula(self) -> None:
        """SGD has a momentum and no beta, and nothing is assumed of it; one that nobody knows may have any."""
        sgd = _resolve(rule=RuleReading("sgd", "checkpoint", "slots momentum"), config={"momentum": 0.9})
        assert {n: s.source for n, s in sgd.hyperparameters.items()} == {
            "learning_rate": "unknown", "momentum": "config", "weight_decay": "default",
        }  # fmt: skip
        unknown = _resolve(rule=RuleReading("mine", "default", "slots a"), config={"beta_1": 0.5}).hyperparameters
        assert (unknown["beta_1"].value, unknown["beta_2"].source) == (0.5, "unknown")
