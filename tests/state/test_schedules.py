"""Learning-rate schedules from their JSON, with Keras' own live schedules as the oracle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.state.schedules import SCHEDULES, evaluate_schedule, inverse_time_decay

STEPS = (0, 1, 3, 4, 7, 9, 10, 13, 14, 26, 29, 30, 31, 39, 100, 101, 12345)

LIVE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ExponentialDecay", {"initial_learning_rate": 0.01, "decay_steps": 7, "decay_rate": 0.93}),
    ("ExponentialDecay", {"initial_learning_rate": 0.01, "decay_steps": 7, "decay_rate": 0.93, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.01, "decay_steps": 7, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.01, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 30], "values": [0.1, 0.01, 0.003]}),
    ("PiecewiseConstantDecay", {"boundaries": [3.5], "values": [0.1, 0.01]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.01, "decay_steps": 100}),
    ("PolynomialDecay", {"initial_learning_rate": 0.01, "decay_steps": 30, "end_learning_rate": 1e-5, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.01, "decay_steps": 13, "power": 0.5, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 100}),
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 30, "alpha": 0.1}),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 30, "warmup_target": 0.01, "warmup_steps": 10, "alpha": 0.05},
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.01, "first_decay_steps": 10}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.01, "first_decay_steps": 10, "t_mul": 1.0, "m_mul": 0.9}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.01, "first_decay_steps": 9, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.01},
    ),
)


@pytest.mark.parametrize(("name", "arguments"), LIVE)
def test_schedule_equals_keras_own(name: str, arguments: Mapping[str, Any]) -> None:
    """A schedule that Keras serialized gives what Keras computes, to a few units of float32 of its largest value."""
    keras = pytest.importorskip("keras")
    live = getattr(keras.optimizers.schedules, name)(**arguments)
    serialized = json.loads(json.dumps(keras.optimizers.schedules.serialize(live)))
    want = np.array([float(live(np.int64(step))) for step in STEPS])
    got = np.array([evaluate_schedule(serialized, step) for step in STEPS])
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=2.4e-7 * abs(want).max())


def test_every_schedule_has_an_oracle() -> None:
    """Each schedule is held against Keras' own, but for the one that Keras has dropped."""
    assert set(SCHEDULES) - {name for name, _ in LIVE} == {"LinearCosineDecay"}


def test_linear_cosine_decay_is_its_published_formula() -> None:
    """LinearCosineDecay, gone from Keras, is (alpha + linear)·cosine + beta, and constant after its last step."""
    config = {
        "class_name": "LinearCosineDecay",
        "config": {"initial_learning_rate": 0.1, "decay_steps": 8, "num_periods": 1.5, "alpha": 0.2, "beta": 0.01},
    }
    for step in range(12):
        done = min(step, 8) / 8
        want = 0.1 * ((0.2 + 1 - done) * 0.5 * (1 + math.cos(2 * math.pi * 1.5 * done)) + 0.01)
        assert evaluate_schedule(config, step) == pytest.approx(want, rel=1e-5, abs=1e-8)


def test_configuration_of_keras_2_has_no_module() -> None:
    """What Keras 2 serialized, `class_name` and `config` alone, is understood, with name None and defaults missing."""
    config = {
        "class_name": "PolynomialDecay",
        "config": {"initial_learning_rate": 0.1, "decay_steps": 10, "name": None},
    }
    assert evaluate_schedule(config, 5) == pytest.approx((0.1 - 0.0001) * 0.5 + 0.0001, rel=1e-6)


def test_serialized_tensor_is_a_number() -> None:
    """An argument that was a tensor when Keras serialized it is read from its value."""
    config = {
        "class_name": "ExponentialDecay",
        "config": {
            "initial_learning_rate": {"class_name": "__tensor__", "config": {"value": 0.5, "dtype": "float32"}},
            "decay_steps": 10,
            "decay_rate": 0.5,
        },
    }
    assert evaluate_schedule(config, 10) == 0.25


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"class_name": "WarmupCosine", "config": {}}, "'WarmupCosine' is not Keras' own"),
        ({"class_name": "My>CosineDecay", "config": {}}, "'My>CosineDecay' is not Keras' own"),
        (
            {"class_name": "CosineDecay", "module": "train", "registered_name": "CosineDecay", "config": {}},
            "'CosineDecay' is not Keras' own",
        ),
        ({"class_name": "NoisyLinearCosineDecay", "config": {}}, "is random"),
        ({"class_name": "CosineDecay"}, "not a schedule that Keras serialized"),
        ({"class_name": 3, "config": {}}, "not a schedule that Keras serialized"),
        ({"class_name": "CosineDecay", "config": {"decay_steps": 10}}, "no number for initial_learning_rate"),
        ({"class_name": "CosineDecay", "config": {"initial_learning_rate": "x"}}, "no number for decay_steps"),
        (
            {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 0}},
            "decay_steps=0.0, which must be positive",
        ),
        (
            {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0, "decay_steps": 10}},
            "starts at the integer 0, and Keras computes it in integers",
        ),
        (
            {"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [1], "values": [0.1]}},
            "boundaries and values that don't fit together",
        ),
        ({"class_name": "PiecewiseConstantDecay", "config": {"boundaries": 1}}, "no list of boundaries"),
        (
            {
                "class_name": "ExponentialDecay",
                "config": {"initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 1e30},
            },
            "no finite value at step 5",
        ),
    ],
)
def test_schedule_that_cannot_be_evaluated_says_why(schedule: dict[str, Any], message: str) -> None:
    """A custom, random, incomplete or senseless schedule is NotDetermined, by name."""
    with pytest.raises(NotDetermined, match=message):
        evaluate_schedule(schedule, 5)


def test_inverse_time_decay_is_of_the_updates_before() -> None:
    """OptimizerV2's `decay` leaves the first update alone: lr/(1 + decay·(t-1))."""
    assert inverse_time_decay(0.5, 0.25, 0) == 0.5
    assert inverse_time_decay(0.5, 0.25, 4) == 0.25
    assert inverse_time_decay(0.1, 0.0, 7) == 0.1
