"""The update rules' algebra, their reasons for silence, and what streaming relies on."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recorded_updates import recorded_updates
from support.rule_settings import FLAGS

from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import (
    IMPLEMENTATIONS,
    RULES,
    Implementation,
    Norms,
    Settings,
    State,
    UpdateRule,
    find_rule,
)
from ckpt_inspect.update_rules.arithmetic import beta_power
from ckpt_inspect.update_rules.implementations import BERT, KERAS1, KERAS3, OPTAX, OPTIMIZER_V2, TF1, TFA
from ckpt_inspect.update_rules.lamb import trust_ratio
from ckpt_inspect.update_rules.radam import average_length

GIVEN = Settings(KERAS3, 7, 0.01, 0.9, 0.999, 1e-7, others=FLAGS)


def rule(name: str) -> UpdateRule:
    found = find_rule(name)
    assert found is not None
    return found


def state(dtype: Any = np.float32, size: int = 1000) -> State:
    random = np.random.default_rng(5)
    m = random.normal(size=size) * np.geomspace(1e-6, 1, size)
    v = m * m * random.uniform(0.5, 4, size)
    v[::7] = 0
    return State(
        value=random.normal(size=size).astype(dtype),
        first_moment=np.where(v > 0, m, 0).astype(dtype),
        second_moment=v.astype(dtype),
        max_second_moment=(2 * v).astype(dtype),
    )


def piece(whole: State, start: int, stop: int) -> State:
    return State(*(None if a is None else a[start:stop] for a in (getattr(whole, s) for s in State.__slots__)))


def test_rules_have_unique_names_and_are_found_by_them() -> None:
    """The registry finds each rule under its name, and None for others."""
    assert len({r.name for r in RULES}) == len(RULES)
    assert all(find_rule(r.name) is r for r in RULES)
    assert find_rule("sgd") is None


@pytest.mark.parametrize("r", RULES, ids=lambda r: r.name)
def test_docstring_states_equation_and_source(r: UpdateRule) -> None:
    """Each rule's docstring has its equation and its upstream file."""
    text = type(r).__doc__ or ""
    assert "θ" in text
    assert ".py" in text
    assert "Source" in text


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("r", RULES, ids=lambda r: r.name)
def test_pieces_are_the_whole_bit_for_bit(r: UpdateRule, dtype: Any) -> None:
    """Cut anywhere, results are those of the whole tensor; rules that need norms are given the sum of the pieces'."""
    whole = state(dtype)
    cuts = [0, 1, 17, 400, 993, 1000]
    pieces = [piece(whole, a, b) for a, b in pairwise(cuts)]
    norms = sum((r.norms_of(p, GIVEN) for p in pieces), Norms())
    for method in (r.effective_lr, r.relative_effective_lr, r.last_update):
        try:
            want = method(whole, GIVEN, norms)
        except NotDetermined:
            continue
        got = np.concatenate([method(p, GIVEN, norms) for p in pieces])
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))  # nan of bfloat16 is not equal


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=lambda i: i.id)
@pytest.mark.parametrize("r", RULES, ids=lambda r: r.name)
def test_shapes_and_dtypes_are_kept_without_a_warning(
    r: UpdateRule, implementation: Implementation, dtype: Any
) -> None:
    """E has the state's dtype and shape, scalars and empty tensors included, and zero moments warn of nothing."""
    settings = replace(GIVEN, implementation=implementation)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape in ((), (0,), (2, 0), (2, 3)):
            zeros = np.zeros(shape, dtype)
            for method in (r.effective_lr, r.last_update):
                try:
                    got = method(State(zeros, zeros, zeros, zeros), settings)
                except NotDetermined:
                    continue
                assert (got.dtype, got.shape) == (zeros.dtype, shape)


@pytest.mark.parametrize("r", [r for r in RULES if not r.needs_norms], ids=lambda r: r.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relative_effective_lr_needs_no_learning_rate(r: UpdateRule, dtype: Any) -> None:
    """E/α is E over the learning rate, and is there where the learning rate is not known."""
    s = state(dtype)
    relative = r.relative_effective_lr(s, replace(GIVEN, learning_rate=None))
    np.testing.assert_allclose(relative * dtype(0.01), r.effective_lr(s, GIVEN), rtol=1e-6)


def test_relative_effective_lr_of_halves_does_not_overflow() -> None:
    """float16's E/α is float32: where v = 0 it is past float16's largest number."""
    adam = rule("adam")
    zeros = np.zeros(3, np.float16)
    relative = adam.relative_effective_lr(State(zeros, zeros, zeros), GIVEN)
    assert relative.dtype == np.float32
    assert np.isfinite(relative).all()
    assert relative.max() > 65504


def test_bfloat16_adam_is_inert_at_the_default_beta_2() -> None:
    """bfloat16(0.999) is 1: the bias correction is 0, and so are E and the update."""
    s = state(ml_dtypes.bfloat16)
    adam = rule("adam")
    assert float(adam.bias_corrections(GIVEN, np.dtype(ml_dtypes.bfloat16))[1]) == 0
    assert not adam.last_update(s, GIVEN).astype(np.float32).any()


def test_beta_powers_are_those_of_the_file() -> None:
    """TF1's powers are float32 running products; the others' are powers of float32(beta), in float64 too."""
    running = np.float32(1)
    for _ in range(1000):
        running = running * np.float32(0.999)
    assert beta_power(0.999, "beta_2", 1000, TF1, np.dtype(np.float64)) == np.float64(running)
    powered = np.float64(np.float32(0.999)) ** 1000
    assert beta_power(0.999, "beta_2", 1000, KERAS3, np.dtype(np.float64)) == powered
    assert beta_power(0.999, "beta_2", 1000, KERAS1, np.dtype(np.float64)) == 0.999**1000
    assert abs(float(running) - powered) > 1e-8


@pytest.mark.parametrize("step", [10**6, 10**12, 2**63 - 1])
@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.99999994, 1.0])
def test_running_product_of_any_length_ends(beta: float, step: int) -> None:
    """A damaged step counter costs no more than the product takes to vanish or to stand still."""
    assert 0 <= float(beta_power(beta, "beta_2", step, TF1, np.dtype(np.float32))) <= 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"step": 0}, "no update yet: the step is 0"),
        ({"step": -1}, "the step is -1"),
        ({"step": None}, "the number of updates is not known"),
        ({"learning_rate": None}, "the learning rate of the last update is not known"),
        ({"beta_1": None}, "the beta_1 is not known"),
        ({"beta_2": None}, "the beta_2 is not known"),
        ({"epsilon": None}, "the epsilon is not known"),
    ],
)
def test_missing_number_is_named(changed: dict[str, Any], message: str) -> None:
    """What the formula lacks is the reason that is given."""
    for method in (rule("adam").effective_lr, rule("adam").last_update):
        with pytest.raises(NotDetermined, match=message):
            method(state(), replace(GIVEN, **changed))


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("adam", "second_moment", "the second moment is not in the file"),
        ("adam", "first_moment", "the first moment is not in the file"),
        ("amsgrad", "max_second_moment", "the maximum of the second moment"),
        ("lamb", "value", "needs the weights, and none in the file are known to be this one's"),
        ("adamw", "value", "weight decay needs the weights, and none in the file are known to be this one's"),
    ],
)
def test_missing_array_is_named(name: str, missing: str, message: str) -> None:
    """Which array the update lacks is the reason that is given."""
    with pytest.raises(NotDetermined, match=message):
        rule(name).last_update(replace(state(), **{missing: None}), replace(GIVEN, weight_decay=0.1))


def test_converged_state_needs_neither_step_nor_betas() -> None:
    """Where both powers have vanished the corrections are 1: E is α/(√v + ε) exactly."""
    s = state()
    settings = Settings(TF1, None, 0.01, None, None, 1e-8, is_converged=True)
    want = np.float32(0.01) / (np.sqrt(s.second_moment) + np.float32(1e-8))
    np.testing.assert_array_equal(rule("adam").effective_lr(s, settings), want)


@pytest.mark.parametrize("implementation", [KERAS3, TFA], ids=lambda i: i.id)
@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_weights_before_give_back_the_weights_after(name: str, implementation: Implementation) -> None:
    """Going back by Δ and forward again by the published update, decay and trust ratio included, is a closed loop."""
    s, r = state(np.float64), rule(name)
    settings = replace(GIVEN, implementation=implementation, weight_decay=0.1, learning_rate=0.05)
    before = s.value - r.last_update(s, settings)
    b1, b2 = np.float64(np.float32(0.9)) ** 7, np.float64(np.float32(0.999)) ** 7
    lr, wd = (0.05, 0.1) if implementation == KERAS3 else (np.float64(np.float32(0.05)), np.float64(np.float32(0.1)))
    if name == "adamw":
        decayed = before * (1 - (lr * wd if implementation == KERAS3 else wd))
        after = decayed - lr * np.sqrt(1 - b2) / (1 - b1) * s.first_moment / (np.sqrt(s.second_moment) + 1e-7)
    else:
        decayed = before * (1 - lr * wd) if implementation == KERAS3 else before
        direction = (s.first_moment / (1 - b1)) / (np.sqrt(s.second_moment / (1 - b2)) + 1e-7)
        direction = direction if implementation == KERAS3 else direction + wd * before
        after = decayed - lr * np.linalg.norm(decayed) / np.linalg.norm(direction) * direction
    np.testing.assert_allclose(after, s.value, rtol=0, atol=1e-13)


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=6).filter(lambda x: np.linalg.norm(x) > 1e-3),
    st.integers(0, 2**32 - 1),
    st.floats(1e-5, 0.3),
    st.floats(0, 0.5),
)
def test_trust_ratio_is_found_from_the_weights_after(before: list[float], seed: int, rate: float, decay: float) -> None:
    """The ratio that an update used is recovered from three sums over the weights that it left."""
    theta = np.array(before)
    d = np.random.default_rng(seed).normal(size=theta.size)
    r = d + decay * theta
    ratio = float(np.linalg.norm(theta) / np.linalg.norm(r))
    after = theta - rate * ratio * r
    norms = Norms(float(after @ after), float(d @ d), float(after @ d))
    leading = (d + decay * after) @ (d + decay * after) - rate**2 * (d @ d)
    if leading <= 1e-6 or np.linalg.norm(after) < 1e-3:
        return
    assert trust_ratio(norms, rate, decay) == pytest.approx(ratio, rel=1e-6)


def test_trust_ratio_of_a_fresh_bias_is_one() -> None:
    """A tensor that was zero before had a trust ratio of 1, and is told by its being -α·d."""
    d = np.random.default_rng(3).normal(size=50).astype(np.float32)
    after = (-np.float32(0.01) * d).astype(np.float64)
    d64 = d.astype(np.float64)
    norms = Norms(float(after @ after), float(d64 @ d64), float(after @ d64))
    assert trust_ratio(norms, float(np.float32(0.01)), 0.0) == 1


def test_coefficients_give_effective_lr_and_update() -> None:
    """The scalars alone suffice to compute E and Δ elementwise, which a fused kernel relies on."""
    s = state(np.float64)
    for r in RULES:
        for implementation in (KERAS3, TFA):
            settings = replace(GIVEN, implementation=implementation, weight_decay=0.01)
            norms = r.norms_of(s, settings)
            c = r.coefficients(settings, np.dtype(np.float64), norms)
            with np.errstate(all="ignore"):
                second = r.second_moment(s) / c.divisor + c.inner_epsilon
                root = np.sqrt(second) if c.has_root else second
                effective = c.numerator / (root + c.epsilon) if c.is_adaptive else np.full(1000, c.numerator)
            np.testing.assert_allclose(r.effective_lr(s, settings, norms), effective, rtol=1e-12)
            if r.name in ("nadam", "rmsprop", "adagrad"):
                continue
            step = effective * s.first_moment / c.first_correction
            before = (s.value + step) / (1 - c.decay)
            want = -(step + c.decay * before)
            np.testing.assert_allclose(r.last_update(s, settings, norms), want, rtol=1e-9, atol=1e-15)


def test_epsilon_dominates_at_the_rule_s_own_place() -> None:
    """√v < ε for Adam, √(v/c2) < ε for Nadam, u < ε for Adamax, v < ε inside Keras' RMSprop root."""
    settings = replace(GIVEN, epsilon=1e-2)
    c2 = 1 - 0.999**7
    s = State(second_moment=np.array([0.9e-4, 1.1e-4, 0.9e-4 * c2, 0.9e-2, 1.1e-2], np.float32))
    dominated = {r: rule(r).is_epsilon_dominated(s, settings).tolist() for r in ("adam", "nadam", "adamax", "rmsprop")}
    assert dominated == {
        "adam": [True, False, True, False, False],
        "nadam": [False, False, True, False, False],
        "adamax": [True, True, True, True, False],
        "rmsprop": [True, True, True, True, False],
    }


def test_signal_to_noise_is_the_ratio_of_the_corrected_moments() -> None:
    """(m/c1)/√(v/c2): ±1 for a constant gradient at any step, nan where there never was one."""
    g = np.array([0.5, -0.25, 0.0], np.float32)
    c1, c2 = 1 - np.float32(0.9) ** 7, 1 - np.float32(0.999) ** 7
    s = State(first_moment=g * c1, second_moment=g * g * c2)
    for name in ("adam", "nadam", "lamb", "bert-adamw"):
        np.testing.assert_allclose(rule(name).signal_to_noise(s, GIVEN), [1, -1, np.nan], rtol=1e-4)
    norm = State(first_moment=g * c1, second_moment=abs(g))
    np.testing.assert_allclose(rule("adamax").signal_to_noise(norm, GIVEN), [1, -1, np.nan], rtol=1e-4)


def test_moment_bound_holds_for_every_recorded_state() -> None:
    """No state that an optimizer really left has an |m|/√v (Adamax: |m|/u) above the bound; swapped moments do."""
    for record in recorded_updates():
        if record.dtype not in ("float32", "float64") or record.rule in ("rmsprop", "adagrad"):
            continue
        r = rule(record.rule)
        m, v = record.state.first_moment, record.state.second_moment
        assert m is not None
        assert v is not None
        root = v if record.rule == "adamax" else np.sqrt(v)
        with np.errstate(all="ignore"):
            ratio = np.nanmax(abs(m) / root)
        assert ratio <= r.moment_bound(record.settings) * (1 + 1e-4), record.label


def test_moment_bound_is_the_published_limit() -> None:
    """At (0.9, 0.999) it tends to 7.27, and is 1 after a single update."""
    adam = rule("adam")
    assert adam.moment_bound(replace(GIVEN, step=None, is_converged=True)) == pytest.approx(7.27, abs=0.005)
    single = adam.moment_bound(replace(GIVEN, step=1))
    assert single == pytest.approx(0.1 / np.sqrt(0.001))


def test_bert_excludes_biases_and_layer_norms_from_decay() -> None:
    """`create_optimizer`'s patterns decide; every other rule decays what it is given."""
    bert = rule("bert-adamw")
    assert bert.is_decayed("bert/encoder/layer_0/output/dense/kernel", BERT)
    assert not bert.is_decayed("bert/encoder/layer_0/output/dense/bias", BERT)
    assert not bert.is_decayed("bert/embeddings/LayerNorm/gamma", BERT)
    assert rule("adamw").is_decayed("dense/bias", KERAS3)


def test_centered_rmsprop_needs_the_mean_gradient() -> None:
    """Centered RMSprop divides by √(s - a² + ε), and says what is missing where `a` is not in the file."""
    s = State(second_moment=np.array([4.0], np.float32))
    settings = Settings(KERAS3, 3, 0.5, epsilon=0.0, others={"centered": True})
    with pytest.raises(NotDetermined, match="needs the mean gradient"):
        rule("rmsprop").effective_lr(s, settings)
    centered = replace(s, mean_gradient=np.array([np.sqrt(3.0)], np.float32))
    np.testing.assert_allclose(rule("rmsprop").effective_lr(centered, settings), [0.5], rtol=1e-6)


@pytest.mark.parametrize(("implementation", "momentum"), [(TF1, 0.0), (OPTIMIZER_V2, 0.5)])
def test_momentum_of_rows_that_stay_is_no_last_update(implementation: Implementation, momentum: float) -> None:
    """Where a sparse gradient moves its rows alone, the accumulator doesn't say what moved last: the reason is told."""
    s = State(second_moment=np.array([4.0], np.float32))
    settings = Settings(implementation, 3, 0.5, epsilon=0.0, others={"momentum": momentum})
    with pytest.raises(NotDetermined, match="whether the last one was sparse"):
        rule("rmsprop").last_update(s, settings)
    assert rule("rmsprop").slots_in(implementation) == {}
    assert rule("rmsprop").slots_in(KERAS3) == {"first_moment": ("momentum",)}


@pytest.mark.parametrize(("step", "length"), [(6, 5.9747314453125), (7, 6.9615478515625), (50, 49.556396484375)])
def test_radam_of_optax_takes_beta_as_a_number_of_pythons(step: int, length: float) -> None:
    """n as optax 0.2.8 has it under jit, for 0.999: n∞ is 1999, where float32's β2 gives 1999.03."""
    settings = replace(GIVEN, implementation=OPTAX, beta_2=0.999, step=step)
    assert [float(n) for n in average_length(settings, np.dtype(np.float32), step)] == [length, 1999.0]


def test_radam_is_not_adaptive_during_its_first_updates() -> None:
    """Below the threshold E is α for every element; from there on it is rectified."""
    radam, s = rule("radam"), state()
    early = radam.effective_lr(s, replace(GIVEN, implementation=TFA, step=5))
    np.testing.assert_array_equal(early, np.float32(0.01))
    late = radam.effective_lr(s, replace(GIVEN, implementation=TFA, step=6))
    assert late.std() > 0
    assert not radam.is_epsilon_dominated(s, replace(GIVEN, implementation=TFA, step=5)).any()


def test_radam_s_own_warm_up_scales_the_learning_rate() -> None:
    """`total_steps` switches on a linear warm-up, then a linear decay to `min_lr`."""
    radam, s = rule("radam"), state(size=1)
    others = {"total_steps": 10, "warmup_proportion": 0.4, "min_lr": 0.004}
    rates = [
        float(
            radam.effective_lr(
                s, replace(GIVEN, implementation=TFA, step=t, beta_2=0.5, others={**others, "sma_threshold": 1e9})
            )[0]
        )
        for t in (1, 4, 7, 10, 20)
    ]
    np.testing.assert_allclose(rates, [0.0025, 0.01, 0.007, 0.004, 0.004], rtol=1e-5)


def test_textbook_form_is_there_on_request() -> None:
    """`has_textbook_epsilon` gives α/(√(v/c2) + ε) and its update, and differs from what was applied by ε's place
    alone."""
    adam, s = rule("adam"), state(np.float64)
    settings = replace(GIVEN, epsilon=1e-3, has_textbook_epsilon=True)
    b1, b2 = np.float64(np.float32(0.9)) ** 7, np.float64(np.float32(0.999)) ** 7
    effective = 0.01 / (np.sqrt(s.second_moment / (1 - b2)) + 1e-3)
    np.testing.assert_allclose(adam.effective_lr(s, settings), effective, rtol=1e-12)
    np.testing.assert_allclose(adam.last_update(s, settings), -effective * s.first_moment / (1 - b1), rtol=1e-12)
    same = replace(settings, epsilon=1e-3 * np.sqrt(1 - b2), has_textbook_epsilon=False)
    np.testing.assert_allclose(adam.effective_lr(s, same), effective, rtol=1e-12)


def test_an_implementation_may_apply_the_textbook_form() -> None:
    """A row with `has_textbook_epsilon` is Algorithm 1, without being asked for."""
    adam, s = rule("adam"), state(np.float64)
    asked = replace(GIVEN, epsilon=1e-3, has_textbook_epsilon=True)
    applied = replace(GIVEN, epsilon=1e-3, implementation=replace(KERAS3, has_textbook_epsilon=True))
    np.testing.assert_array_equal(adam.effective_lr(s, applied), adam.effective_lr(s, asked))
    np.testing.assert_array_equal(adam.last_update(s, applied), adam.last_update(s, asked))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_senseless_numbers_give_nan_or_inf_and_no_error(dtype: Any) -> None:
    """Hyperparameters and counters of a damaged file neither raise nor warn: what they yield is seen in the result."""
    s = state(dtype, size=4)
    senseless = {"learning_rate": 1e300, "beta_1": 5.0, "beta_2": -3.0, "epsilon": -1.0, "step": 2**63 - 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for r, implementation, (name, value) in product(RULES, IMPLEMENTATIONS, senseless.items()):
            with suppress(NotDetermined):
                r.last_update(s, replace(GIVEN, implementation=implementation, **{name: value}))


@pytest.mark.parametrize("beta", [float("nan"), float("inf"), -3.0, 5.0, 1.0000001])
def test_running_product_of_a_senseless_beta_ends(beta: float) -> None:
    """A beta that no optimizer has doesn't keep the product going for as long as a damaged counter says."""
    assert not 0 <= float(beta_power(beta, "beta_2", 2**63 - 1, TF1, np.dtype(np.float32))) <= 1
