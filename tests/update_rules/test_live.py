"""The rules against the optimizers of the TensorFlow and Keras that are installed, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.recorded_updates import RecordedUpdate

from ckpt_inspect.update_rules import Settings, State, find_rule
from ckpt_inspect.update_rules.implementations import KERAS3, TF1

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

LAST_STEP = 9
SLOTS = {
    "first_moment": ("_momentums", "_m"),
    "second_moment": ("_velocities", "_u", "_accumulators"),
    "max_second_moment": ("_velocity_hats",),
    "mean_gradient": ("_average_gradients",),
}
CASES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Adam", "adam", "float32", {}),
    ("Adam", "adam", "float32", {"learning_rate": 0.1, "beta_1": 0.0, "beta_2": 0.9, "epsilon": 0.1}),
    ("Adam", "adam", "float64", {}),
    ("Adam", "adam", "float16", {}),
    ("Adam", "adam", "bfloat16", {}),
    ("Adam", "adam", "bfloat16", {"beta_2": 0.98}),
    ("Adam", "amsgrad", "float32", {"amsgrad": True}),
    ("Adam", "adam", "float32", {"weight_decay": 0.05}),
    ("AdamW", "adamw", "float32", {"learning_rate": 0.02}),
    ("AdamW", "adamw", "float64", {"weight_decay": 0.3}),
    ("Adamax", "adamax", "float32", {}),
    ("Adamax", "adamax", "float32", {"beta_1": 0.5, "epsilon": 0.01}),
    ("Lamb", "lamb", "float32", {}),
    ("Lamb", "lamb", "float32", {"weight_decay": 0.05, "learning_rate": 0.1}),
    ("RMSprop", "rmsprop", "float32", {"momentum": 0.9}),
    ("RMSprop", "rmsprop", "float32", {"momentum": 0.9, "centered": True}),
)


def trained(optimizer: Any, start: Any, dtype: str) -> Iterator[tuple[int, Any, Any, State]]:
    """After each update: (t, gradient, weights before, state)."""
    variable = keras.Variable(np.zeros(start.shape, np.float32), dtype=dtype)
    variable.assign(start)
    optimizer.build([variable])
    random = np.random.default_rng(11)
    for step in range(1, LAST_STEP + 1):
        gradient = tf.cast(random.normal(size=start.shape) * np.geomspace(1e-3, 1, start.size), variable.dtype)
        before = variable.numpy().copy()
        optimizer.apply([gradient], [variable])
        found = {
            ours: next((getattr(optimizer, a)[0].numpy() for a in names if getattr(optimizer, a, None)), None)
            for ours, names in SLOTS.items()
        }
        yield step, gradient.numpy(), before, State(value=variable.numpy().copy(), **found)


def settings_of(optimizer: Any, step: int) -> Settings:
    config = optimizer.get_config()
    return Settings(
        KERAS3,
        step,
        float(config["learning_rate"]),
        config.get("beta_1"),
        config.get("beta_2"),
        config["epsilon"],
        config["weight_decay"],
        others={k: config[k] for k in ("momentum", "centered") if k in config},
    )


@pytest.mark.parametrize(("cls", "name", "dtype", "arguments"), CASES)
def test_last_update_is_what_keras_did(cls: str, name: str, dtype: str, arguments: dict[str, Any]) -> None:
    """Every step of a live Keras optimizer is reproduced within rounding, from its state and configuration alone."""
    optimizer, rule = getattr(keras.optimizers, cls)(**arguments), find_rule(name)
    assert rule is not None
    start = np.random.default_rng(2).normal(size=6)
    for step, _, before, state in trained(optimizer, start, dtype):
        settings = settings_of(optimizer, step)
        record = RecordedUpdate(f"step {step}", name, "keras3", dtype, before, state, settings)
        assert record.excess(rule.last_update(state, settings)) <= 1, step


def test_keras_lamb_starts_a_zero_bias_with_a_trust_ratio_of_one() -> None:
    """A bias that starts at zero, as biases do, has its first LAMB update reproduced too."""
    optimizer, rule = keras.optimizers.Lamb(learning_rate=0.01), find_rule("lamb")
    assert rule is not None
    for step, _, before, state in trained(optimizer, np.zeros(6), "float32"):
        settings = settings_of(optimizer, step)
        record = RecordedUpdate(f"step {step}", "lamb", "keras3", "float32", before, state, settings)
        assert record.excess(rule.last_update(state, settings)) <= 1, step


@pytest.mark.parametrize(
    ("cls", "name", "arguments"),
    [
        ("RMSprop", "rmsprop", {}),
        ("RMSprop", "rmsprop", {"centered": True, "epsilon": 0.01}),
        ("Adagrad", "adagrad", {"epsilon": 0.01}),
    ],
)
def test_effective_lr_is_the_factor_on_the_gradient(cls: str, name: str, arguments: dict[str, Any]) -> None:
    """For RMSprop and Adagrad, E times the gradient is what Keras subtracted."""
    optimizer, rule = getattr(keras.optimizers, cls)(**arguments), find_rule(name)
    assert rule is not None
    for step, gradient, before, state in trained(optimizer, np.linspace(-1, 1, 6), "float32"):
        settings = settings_of(optimizer, step)
        record = RecordedUpdate(f"step {step}", name, "keras3", "float32", before, state, settings)
        assert record.excess(-rule.effective_lr(state, settings) * gradient) <= 1, step


def test_nadam_s_effective_lr_is_the_factor_on_its_momentum() -> None:
    """For Nadam, E times Keras' look-ahead momentum, which needs the gradient, is what Keras subtracted."""
    optimizer, rule = keras.optimizers.Nadam(learning_rate=0.01), find_rule("nadam")
    assert rule is not None
    product = 1.0
    for step, gradient, before, state in trained(optimizer, np.linspace(-1, 1, 6), "float32"):
        u, ahead = (0.9 * (1 - 0.5 * 0.96**t) for t in (step, step + 1))
        product *= u
        momentum = ahead * state.first_moment / (1 - product * ahead) + (1 - u) * gradient / (1 - product)
        settings = settings_of(optimizer, step)
        record = RecordedUpdate(f"step {step}", "nadam", "keras3", "float32", before, state, settings)
        assert record.excess(-rule.effective_lr(state, settings) * momentum) <= 1, step


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_last_update_is_what_tf1_adam_did(dtype: str) -> None:
    """tf.compat.v1.train.AdamOptimizer, whose powers are float32 products, is reproduced exactly in every dtype."""
    rule = find_rule("adam")
    assert rule is not None
    v1, random = tf.compat.v1, np.random.default_rng(4)
    with tf.Graph().as_default(), v1.Session() as session:
        variable = v1.get_variable("w", initializer=tf.cast(tf.constant(random.normal(size=6)), dtype))
        feed = v1.placeholder(dtype, [6])
        optimizer = v1.train.AdamOptimizer(0.01, epsilon=1e-3)
        apply = optimizer.apply_gradients([(feed, variable)])
        slots = [optimizer.get_slot(variable, name) for name in ("m", "v")]
        session.run(v1.global_variables_initializer())
        for step in range(1, 31):
            before = session.run(variable)
            session.run(apply, {feed: random.normal(size=6)})
            after, m, v = session.run([variable, *slots])
            update = rule.last_update(State(after, m, v), Settings(TF1, step, 0.01, 0.9, 0.999, 1e-3))
            if dtype == "float32":
                np.testing.assert_allclose(before + update, after, rtol=3e-7, atol=0)
            else:
                np.testing.assert_array_equal(before + update, after)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        ("Adam", "adam"),
        ("AdamW", "adamw"),
        ("Nadam", "nadam"),
        ("Adamax", "adamax"),
        ("Lamb", "lamb"),
        ("RMSprop", "rmsprop"),
        ("Adagrad", "adagrad"),
    ],
)
def test_defaults_are_those_of_keras(cls: str, name: str) -> None:
    """`defaults` is what the constructor takes when it is given nothing."""
    config, rule = getattr(keras.optimizers, cls)().get_config(), find_rule(name)
    assert rule is not None
    names = {h.name for h in rule.hyperparameters} - {"learning_rate"}
    assert rule.defaults(KERAS3) == {name: config[name] or 0 for name in names}


def test_defaults_are_those_of_tf1() -> None:
    """`defaults` is what tf.train's constructors take when they are given nothing."""
    adam, rms = tf.compat.v1.train.AdamOptimizer(), tf.compat.v1.train.RMSPropOptimizer(0.1)
    rules = find_rule("adam"), find_rule("rmsprop")
    assert rules[0] is not None
    assert rules[1] is not None
    of_adam = {"beta_1": adam._beta1, "beta_2": adam._beta2, "epsilon": adam._epsilon}
    of_rms = {"rho": rms._decay, "momentum": rms._momentum, "centered": rms._centered, "epsilon": rms._epsilon}
    assert rules[0].defaults(TF1) == {**of_adam, "weight_decay": 0}
    assert rules[1].defaults(TF1) == {**of_rms, "weight_decay": 0}
