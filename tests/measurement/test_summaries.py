"""Accumulators and the kernels that feed them, each way of computing held against the plain formulas in float64."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.ways import ways_of

from ckpt_inspect.measurement import kernels
from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS
from ckpt_inspect.measurement.kernels import Buffers, Formula, pieces
from ckpt_inspect.measurement.kernels.plain_kernel import half_ulp, plain_piece
from ckpt_inspect.measurement.summaries import SAMPLES, Summary, Tally, sample_indices
from ckpt_inspect.update_rules import RULES, Implementation, Norms, Settings, State, UpdateRule, find_rule
from ckpt_inspect.update_rules.implementations import KERAS2, KERAS3, OPTIMIZER_V2, TF1, TFA

Array = NDArray[Any]

ADAM = Settings(KERAS3, 1000, 1e-3, 0.9, 0.999, 1e-7, 0.0)


way = ways_of(kernels)


def moments(size: int, seed: int = 0, dtype: Any = np.float32) -> State:
    """State as training leaves it, second moments over some ten decades."""
    rng = np.random.default_rng(seed)
    gradient = rng.normal(size=size) * 10.0 ** rng.uniform(-6, 0, size)
    second = (gradient**2 * rng.uniform(0.5, 2.0, size)).astype(dtype)
    return State(
        (rng.normal(size=size) * 0.05).astype(dtype),
        (gradient * rng.uniform(-1, 1, size)).astype(dtype),
        second,
        (second * rng.uniform(1, 3, size)).astype(dtype),
    )


def spoiled(state: State) -> State:
    """With untouched, negative and non-finite elements among the rest."""
    arrays = [None if a is None else a.copy() for a in (state.value, state.first_moment, state.second_moment)]
    value, first, second = arrays
    assert value is not None and first is not None and second is not None
    second[3:40:7] = 0
    first[3:40:7] = 0
    second[50], second[51], second[52] = -1e-9, np.nan, np.inf
    first[60], value[61] = np.nan, -np.inf
    return State(value, first, second, None if state.max_second_moment is None else np.maximum(second, 0) * 2)


def formula(rule: UpdateRule, options: Settings, state: State, dtype: Any = np.float32) -> Formula:
    norms = rule.norms_of(state, options) if rule.needs_norms else None
    return Formula.of(rule, options, np.dtype(dtype), None, norms)


def tallied(f: Formula, state: State, cuts: list[int] | None = None, *, is_exact: bool = False) -> Tally:
    assert state.second_moment is not None
    size = state.second_moment.size
    edges = [0, *sorted(cuts or []), size]
    tally = Tally(size, is_exact=is_exact)
    for start, stop in itertools.pairwise(edges):
        if stop > start:
            part = State(*(None if a is None else a[start:stop] for a in arrays(state)))
            for piece in pieces(f, part, Buffers(stop - start), tally.counts):
                tally.add(piece)
    return tally


def arrays(state: State) -> list[Array | None]:
    return [getattr(state, f.name) for f in fields(State)]


def same(a: Summary, b: Summary, rtol: float) -> None:
    for f in fields(Summary):
        one, other = getattr(a, f.name), getattr(b, f.name)
        if isinstance(one, np.ndarray) and one.dtype.kind == "i":
            np.testing.assert_array_equal(one, other, err_msg=f.name)
        else:
            np.testing.assert_allclose(one, other, rtol=rtol, err_msg=f.name)


@pytest.mark.parametrize("implementation", [TF1, OPTIMIZER_V2, KERAS2, KERAS3, TFA], ids=lambda i: i.id)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_the_fast_way_agrees_with_the_plain_one(rule: UpdateRule, implementation: Implementation, decay: float) -> None:
    """float32 with buffers against the rule's own methods in float64, for every rule, with and without decay."""
    options = Settings(implementation, 50, 1e-3, 0.9, 0.999, 1e-5, decay)
    state = moments(3000)
    if rule.name == "rmsprop":
        state = State(state.value, state.first_moment, state.second_moment)
    f = formula(rule, options, state)
    plain = Tally(3000)
    plain.add(plain_piece(f, state, plain.counts))
    a, b = tallied(f, state).summary(), plain.summary()
    # both ways round; an update within an ulp of the threshold may be counted either way
    assert a.lost_in_rounding == pytest.approx(b.lost_in_rounding, abs=2 / 3000, nan_ok=True)
    for name in ("update_rms", "update_max"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=2e-5, nan_ok=True)
    same(*(without(s, "lost_in_rounding", "update_rms", "update_max") for s in (a, b)), rtol=3e-6)


def without(summary: Summary, *names: str) -> Summary:
    from dataclasses import replace

    return replace(summary, **dict.fromkeys(names, 0.0))


def test_elements_that_are_not_as_they_should_be_are_counted_and_left_out() -> None:
    """Untouched, negative, NaN and infinite elements: counted, and no figure is spoiled by them."""
    state = spoiled(moments(3000))
    rule = find_rule("adam")
    assert rule is not None
    f = formula(rule, ADAM, state)
    summary = tallied(f, state).summary()
    assert summary.nonfinite == 4
    assert summary.negative_second_moment == 1
    assert summary.untouched == pytest.approx(6 / 3000)
    assert summary.touched == 3000 - 6 - 3
    for name in (
        "weight_rms",
        "first_moment_rms",
        "second_moment_mean",
        "update_rms",
        "effective_lr_mean",
        "ratio_rms",
    ):
        assert math.isfinite(getattr(summary, name)), name
    plain = Tally(3000)
    plain.add(plain_piece(f, state, plain.counts))
    same(without(summary, "lost_in_rounding"), without(plain.summary(), "lost_in_rounding"), rtol=1e-5)


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize(
    "numbers",
    [(-1e-3, 0.999, 1e-7), (1e-3, 1.5, 1e-7), (1e-3, 0.999, -1e-3), (0.0, 0.999, 0.0), (math.nan, 0.999, 1e-7)],
    ids=["negative learning rate", "beta_2 above 1", "negative epsilon", "no learning rate", "NaN"],
)
def test_numbers_that_cannot_be_right_give_what_the_rule_gives(
    numbers: tuple[float, float, float], is_exact: bool
) -> None:
    """Files can hold anything: no index leaves the bins, and no way takes E to be positive that isn't."""
    rule, state = find_rule("adam"), moments(3000)
    assert rule is not None
    rate, beta_2, epsilon = numbers
    f = formula(rule, Settings(KERAS3, 50, rate, 0.9, beta_2, epsilon, 0.0), state)
    plain = Tally(3000, is_exact=is_exact)
    plain.add(plain_piece(f, state, plain.counts))
    found = tallied(f, state, is_exact=is_exact).summary()
    same(*(without(s, "lost_in_rounding") for s in (found, plain.summary())), rtol=3e-6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_of_a_pruned_weight_nothing_is_lost(dtype: Any) -> None:
    """Beside 0 there is room for any update."""
    state = State(np.zeros(500, dtype), np.full(500, 1e-3, dtype), np.full(500, 1e-4, dtype))
    rule = find_rule("adam")
    assert rule is not None
    options = Settings(KERAS3, 50, 1e-3, 0.9, 0.99, 1e-7, 0.0)
    assert tallied(formula(rule, options, state, dtype), state).summary().lost_in_rounding == 0


def test_an_update_that_was_flushed_to_zero_is_not_lost() -> None:
    """Rows that no gradient reached for thousands of steps keep subnormal moments, and are no longer moved."""
    state = State(np.ones(500, np.float32), np.full(500, 5.6e-45, np.float32), np.full(500, 1e-6, np.float32))
    rule = find_rule("adam")
    assert rule is not None
    assert tallied(formula(rule, ADAM, state), state).summary().lost_in_rounding == 0


def test_a_ratio_beyond_float32_is_a_number_all_the_same() -> None:
    """|m|/√v of a v near nothing."""
    state = moments(3000)
    assert state.first_moment is not None and state.second_moment is not None
    state.first_moment[7], state.second_moment[7] = 1e17, 1e-45
    rule = find_rule("adam")
    assert rule is not None
    summary = tallied(formula(rule, ADAM, state), state).summary()
    ratio = float(np.float32(1e17)) / math.sqrt(float(np.float32(1e-45)))
    assert summary.ratio_max == pytest.approx(ratio, rel=1e-6)
    assert summary.ratio_rms == pytest.approx(ratio / math.sqrt(3000), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_is_out_of_every_mean(dtype: Any) -> None:
    """Means are over the elements whose sums they divide, not over all: NaNs don't make the rest look smaller."""
    state = moments(3000, dtype=dtype)
    value, m, v = (np.array(a) for a in (state.value, state.first_moment, state.second_moment))
    v[:1000], m[1000] = np.nan, np.inf
    rule = find_rule("adam")
    assert rule is not None
    spoilt = State(value, m, v)
    summary = tallied(formula(rule, ADAM, spoilt, dtype), spoilt).summary()
    sound = State(value[1001:], m[1001:], v[1001:])
    expected = tallied(formula(rule, ADAM, sound, dtype), sound).summary()
    assert summary.nonfinite == 1001
    for name in ("weight_rms", "first_moment_rms", "second_moment_mean", "update_rms"):
        assert getattr(summary, name) == pytest.approx(getattr(expected, name), rel=1e-5), name


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_tensor_without_elements_has_no_figures(dtype: Any) -> None:
    """A variable of shape (0, 4) is no error; all of it is unknown."""
    state, rule = moments(0, dtype=dtype), find_rule("adam")
    assert rule is not None
    f = formula(rule, ADAM, state, dtype)
    tally = Tally(0, is_exact=True)
    for piece in pieces(f, state, Buffers(1), tally.counts):
        tally.add(piece)
    summary = tally.summary()
    assert (summary.size, summary.touched, summary.nonfinite) == (0, 0, 0)
    assert np.isnan(summary.effective_lr).all()
    assert math.isnan(summary.untouched)


@pytest.mark.parametrize("is_exact", [True, False])
def test_second_moments_are_summarised_where_e_is_not_determined(is_exact: bool) -> None:
    """v's quantiles and histogram need no step."""
    rule, state = find_rule("adam"), moments(3000)
    assert rule is not None and state.second_moment is not None
    summary = tallied(
        formula(rule, Settings(KERAS3, None, 1e-3, 0.9, 0.999, 1e-7, 0.0), state), state, is_exact=is_exact
    ).summary()
    assert np.isnan(summary.effective_lr).all()
    np.testing.assert_allclose(summary.second_moment, np.quantile(state.second_moment, QUANTILE_LEVELS), rtol=0.01)
    assert summary.second_moment_histogram.sum() == 3000


def test_figures_are_those_of_the_definition() -> None:
    """Adam's figures against METRICS' formulas written out in float64 on whole arrays."""
    state = moments(5000)
    value, m, v = (
        a.astype(np.float64) for a in (state.value, state.first_moment, state.second_moment) if a is not None
    )
    c1, c2 = (1 - np.float64(np.float32(beta)) ** 1000 for beta in (0.9, 0.999))
    e = 1e-3 * np.sqrt(c2) / (np.sqrt(v) + 1e-7)
    update = -e * m / c1
    rule = find_rule("adam")
    assert rule is not None
    summary = tallied(formula(rule, ADAM, state), state).summary()
    expected = {
        "effective_lr_mean": e.mean(),
        "update_rms": np.sqrt(np.mean(update**2)),
        "update_max": np.abs(update).max(),
        "weight_rms": np.sqrt(np.mean(value**2)),
        "first_moment_rms": np.sqrt(np.mean(m**2)),
        "second_moment_mean": v.mean(),
        "ratio_rms": np.sqrt(np.mean(m**2 / v)),
        "ratio_max": np.max(np.abs(m) / np.sqrt(v)),
        "epsilon_dominated": np.mean(np.sqrt(v) < 1e-7),
        "lost_in_rounding": np.mean(np.abs(update) < np.spacing(np.abs(value).astype(np.float32)) / 2),
    }
    for name, figure in expected.items():
        assert getattr(summary, name) == pytest.approx(figure, rel=1e-5), name
    np.testing.assert_allclose(summary.effective_lr, np.quantile(e, QUANTILE_LEVELS), rtol=0.01)
    np.testing.assert_allclose(summary.effective_lr[[0, -1]], [e.min(), e.max()], rtol=1e-6)
    np.testing.assert_allclose(summary.second_moment, np.quantile(v, QUANTILE_LEVELS), rtol=0.01)


def test_the_mean_is_exact_where_float32_would_drift() -> None:
    """The mean of E over a million elements is right to float64 rounding of float32 elements."""
    state = moments(1 << 20)
    rule = find_rule("adam")
    assert rule is not None
    e = rule.effective_lr(state, ADAM)
    mean = tallied(formula(rule, ADAM, state), state, list(range(0, 1 << 20, 1 << 16))).summary().effective_lr_mean
    assert mean == pytest.approx(math.fsum(e.astype(np.float64)) / e.size, rel=1e-13)


@pytest.mark.parametrize("is_exact", [True, False])
@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 3000), max_size=6), order=st.randoms())
def test_any_cutting_and_merging_gives_the_same_answer(is_exact: bool, cuts: list[int], order: Any) -> None:
    """However a tensor is cut, and in whatever order tallies are merged."""
    state = spoiled(moments(3000))
    rule = find_rule("adamw")
    assert rule is not None
    f = formula(rule, Settings(KERAS3, 1000, 1e-3, 0.9, 0.999, 1e-7, 0.01), state)
    whole = tallied(f, state, is_exact=is_exact).summary()
    edges = [0, *sorted(cuts), 3000]
    parts = [
        tallied(f, State(*(None if a is None else a[lo:hi] for a in arrays(state))), is_exact=is_exact)
        for lo, hi in itertools.pairwise(edges)
        if hi > lo
    ]
    order.shuffle(parts)
    merged = Tally(3000, is_exact=is_exact)
    for part in parts:
        merged.merge(part)
    same(merged.summary(), whole, rtol=1e-6)
    np.testing.assert_array_equal(merged.summary().effective_lr, whole.effective_lr)


def test_very_small_and_very_large_moments_keep_their_squares() -> None:
    """Squares that float32 can't hold are added in float64."""
    for scale in (1e-25, 1e25):
        m = np.full(2000, scale, np.float32)
        state = State(np.ones(2000, np.float32), m, np.full(2000, 1e-30, np.float32))
        rule = find_rule("adam")
        assert rule is not None
        assert tallied(formula(rule, ADAM, state), state).summary().first_moment_rms == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_dtypes_are_summarised_in_their_own_arithmetic(dtype: Any) -> None:
    """Quantiles of E are those of the rule's own array in the variable's dtype."""
    rng = np.random.default_rng(1)
    v = rng.uniform(1e-3, 1.0, 500).astype(dtype)
    state = State(rng.normal(size=500).astype(dtype), rng.normal(size=500).astype(dtype), v)
    rule = find_rule("adam")
    assert rule is not None
    options = Settings(KERAS3, 20, 1e-2, 0.9, 0.99, 1e-3, 0.0)
    summary = tallied(formula(rule, options, state, dtype), state, is_exact=True).summary()
    e = rule.effective_lr(state, options).astype(np.float64)
    np.testing.assert_allclose(summary.effective_lr, np.quantile(e, QUANTILE_LEVELS), rtol=1e-12)


def test_unknown_learning_rate_gives_relative_figures() -> None:
    """E/α where α is not known; a decay that needs α leaves the update undetermined."""
    rule, state = find_rule("adam"), moments(300)
    assert rule is not None
    known = tallied(formula(rule, Settings(TF1, 9, 0.5, 0.9, 0.999, 1e-8, 0.0), state), state).summary()
    f = formula(rule, Settings(TF1, 9, None, 0.9, 0.999, 1e-8, 0.0), state)
    assert f.is_relative
    np.testing.assert_allclose(tallied(f, state).summary().effective_lr * 0.5, known.effective_lr, rtol=1e-2)
    assert not formula(rule, Settings(KERAS3, 9, None, 0.9, 0.999, 1e-7, 0.01), state).has_update


def test_lamb_without_norms_has_no_effective_lr_but_keeps_its_moments() -> None:
    """The reason is kept, and what doesn't need E is there."""
    rule, state = find_rule("lamb"), moments(300)
    assert rule is not None
    f = Formula.of(rule, ADAM, np.dtype(np.float32), None, None)
    summary = tallied(f, state).summary()
    assert "norms" in f.reason
    assert np.isnan(summary.effective_lr).all()
    assert summary.weight_rms > 0
    assert Formula.of(rule, ADAM, np.dtype(np.float32), None, Norms(1.0, 1.0, 0.5)).coefficients is not None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_half_ulp_is_half_of_numpys_spacing(dtype: Any) -> None:
    """For normal numbers and powers of two."""
    values = np.array([1.0, 1.5, -2.0, 0.3, 1e-3, 100.0], dtype)
    np.testing.assert_array_equal(half_ulp(values), np.spacing(np.abs(values)).astype(np.float64) / 2)


def test_half_ulp_of_bfloat16() -> None:
    """Seven bits of mantissa: half an ulp of 1 is 2⁻⁸."""
    assert half_ulp(np.array([1.0], ml_dtypes.bfloat16))[0] == 2.0**-8


@given(st.integers(0, 10_000))
def test_sampled_elements_are_distinct_ascending_and_inside(size: int) -> None:
    """Every element of a small tensor, SAMPLES of a larger one, the same each time."""
    indices = sample_indices(size)
    real = indices[indices >= 0]
    assert len(real) == min(size, SAMPLES)
    assert np.all(np.diff(real) > 0)
    assert not len(real) or 0 <= real[0] <= real[-1] < size
    np.testing.assert_array_equal(indices, sample_indices(size))
