"""The loops in C against the plain way, for every rule, type of elements and set of instructions, with any floats."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.histograms import FINE_BINS, FINE_SHIFT
from ckpt_inspect.measurement.kernels import Buffers, Formula, pieces
from ckpt_inspect.measurement.kernels.compiled_kernel import compiled_piece, is_compiled
from ckpt_inspect.measurement.kernels.plain_kernel import plain_piece
from ckpt_inspect.measurement.summaries import FineCounts, Piece
from ckpt_inspect.native import loops
from ckpt_inspect.update_rules import IMPLEMENTATIONS, RULES, Implementation, Settings, State, UpdateRule
from ckpt_inspect.update_rules.implementations import KERAS3, OPTAX, TFA

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(loops is None, reason="the loops were not compiled")

DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)
_LAST_FINITE_BIN = 0x7F7FFFFF >> FINE_SHIFT
INSTRUCTIONS = getattr(loops, "INSTRUCTIONS", ())
EXACT = ("elements", "touched", "untouched", "nonfinite", "negative", "epsilon_dominated", "effective_lr_min",
         "effective_lr_max", "second_moment_min", "second_moment_max")  # fmt: skip


@pytest.fixture(params=INSTRUCTIONS)
def instructions(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use each set of instructions that this processor has, in turn."""
    assert loops is not None
    loops.use_instructions(request.param)
    yield
    loops.use_instructions(INSTRUCTIONS[-1])


def formula_of(rule: UpdateRule, implementation: Implementation, state: State, **numbers: Any) -> Formula:
    """The formula with usual numbers, or those given."""
    usual = {"learning_rate": 1e-2, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-5, "weight_decay": 0.0}
    others = {"rectify": 1.0, "momentum": 0.9}
    options = Settings(implementation, numbers.pop("step", 50), others=others, **usual | numbers)
    held = frozenset(f.name for f in fields(State) if getattr(state, f.name) is not None)
    assert state.second_moment is not None
    with np.errstate(all="ignore"):
        sound = np.logical_and.reduce([np.isfinite(a.astype(np.float64)) for a in state.arrays() if a is not None])
        sound &= state.second_moment.astype(np.float64) >= 0
    try:
        norms = rule.norms_of(state.at(sound), options) if rule.needs_norms else None
    except NotDetermined:
        norms = None
    return Formula.of(rule, options, state.second_moment.dtype, held, norms)


def both(formula: Formula, state: State) -> tuple[tuple[Piece, FineCounts], tuple[Piece, FineCounts]]:
    """What C finds, and what the plain way finds."""
    assert loops is not None
    counts = FineCounts(), FineCounts()
    return (compiled_piece(loops, formula, state, Buffers(state.size), counts[0]), counts[0]), (
        plain_piece(formula, state, counts[1]),
        counts[1],
    )


def check_same(formula: Formula, state: State, *, has_moderate_numbers: bool) -> None:
    """Counts, extremes and histograms exactly, sums to rounding; Δ of halves exactly as well."""
    (found, counts), (plain, expected) = both(formula, state)
    for name in EXACT:
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name), err_msg=name)  # -0 is 0
    for each in (counts, expected):  # an infinite E of float32 has a bin of its own
        each.effective_lr[_LAST_FINITE_BIN] += each.effective_lr[_LAST_FINITE_BIN + 1]
        each.effective_lr[_LAST_FINITE_BIN + 1] = 0
    np.testing.assert_array_equal(counts.effective_lr, expected.effective_lr)
    np.testing.assert_array_equal(counts.second_moment, expected.second_moment)
    assert set(found.sums) == set(plain.sums)
    is_half = state.second_moment is not None and state.second_moment.dtype.itemsize == 2
    is_told = is_half or has_moderate_numbers
    for name, total in plain.sums.items():
        if name != "update_squares" or is_told:
            np.testing.assert_allclose(found.sums[name], total, rtol=2e-5, atol=1e-40, err_msg=name)
    np.testing.assert_allclose(found.ratio_max, plain.ratio_max, rtol=1e-5, atol=1e-40)
    if is_half:
        assert (found.update_max, found.lost) == (plain.update_max, plain.lost)
    elif has_moderate_numbers:
        np.testing.assert_allclose(found.update_max, plain.update_max, rtol=2e-5)
        assert abs(found.lost - plain.lost) <= 1  # an update within an ulp of the threshold


def moderate_state(rule: UpdateRule, dtype: Any, seed: int, size: int = 3000) -> State:
    """What training leaves, some of it spoiled."""
    rng = np.random.default_rng(seed)
    gradient = rng.normal(size=size) * 10.0 ** rng.uniform(-3, 0, size)
    second = gradient**2 * rng.uniform(0.5, 2.0, size) + 1e-6
    second[3:40:7] = 0
    second[50:53] = -1e-3, np.nan, np.inf
    first = gradient * rng.uniform(-1, 1, size)
    first[60], first[3:40:7] = np.nan, 0
    value = rng.normal(size=size) * 0.05
    value[61:64] = -np.inf, 0, 1e-8
    maximum = np.maximum(second, 0) * rng.uniform(1, 2, size) if "max_second_moment" in rule.slots else None
    mean = gradient * 0.1 if "mean_gradient" in rule.slots and seed % 2 else None
    arrays = (value, first if seed % 3 or rule.has_moment_pair else None, second, maximum, mean)
    with np.errstate(all="ignore"):
        return State(*(None if a is None else a.astype(dtype) for a in arrays))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=lambda i: i.id)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_in_every_implementation_and_type(
    rule: UpdateRule, implementation: Implementation, dtype: Any
) -> None:
    """What training leaves, with elements that are untouched, negative, infinite and not numbers; with and without
    decay, early and late, whether or not the rule has all arrays."""
    cases = ((0, 0.0, 50, 1e-3), (1, 0.01, 50, 1e-2), (2, 0.0, 3, 3e-3), (3, 0.01, 5000, 1e-3))
    for seed, decay, step, epsilon in cases:
        state = moderate_state(rule, dtype, seed)
        formula = formula_of(rule, implementation, state, weight_decay=decay, step=step, epsilon=epsilon)
        if formula.coefficients is not None:
            assert is_compiled(formula, state), formula
            check_same(formula, state, has_moderate_numbers=True)


def any_bits(dtype: Any) -> st.SearchStrategy[Array]:
    """Arrays of any floats of a type: subnormals, zeros of either sign, infinities and NaNs of any kind among them."""
    width = np.dtype(dtype).itemsize
    bits = st.integers(0, (1 << 8 * width) - 1)
    return hnp.arrays(f"u{width}", 60, elements=bits, fill=bits).map(lambda a: a.view(dtype))


HALVES = (np.float16, ml_dtypes.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=25)
@given(data=st.data())
def test_any_floats_are_counted_as_the_plain_way_counts_them(rule: UpdateRule, dtype: Any, data: st.DataObject) -> None:
    """Whatever bits a file holds, and whether or not a half's scalars overflow or its beta is 1."""
    names = ("value", "first_moment", "second_moment", "max_second_moment", "mean_gradient")
    held = {"value", "first_moment", *rule.slots}
    state = State(*(data.draw(any_bits(dtype)) if name in held else None for name in names))
    implementation = data.draw(st.sampled_from((KERAS3, OPTAX)))
    formula = formula_of(
        rule,
        implementation,
        state,
        epsilon=data.draw(st.sampled_from((1e-3, 1e-12))),
        weight_decay=data.draw(st.sampled_from((0.0, 0.01))),
        step=data.draw(st.sampled_from((1, 50, 100_000))),
        beta_2=data.draw(st.sampled_from((0.99, 0.9999))),
    )
    if formula.coefficients is not None:
        # E of LAMB is no number where the sums over a tensor are none, and has few digits where it is subnormal
        numerator = float(formula.coefficients.numerator)
        is_odd = not math.isfinite(numerator) or 0 < numerator < float(ml_dtypes.finfo(dtype).tiny)
        assert is_compiled(formula, state) or is_odd
        if is_compiled(formula, state):
            check_same(formula, state, has_moderate_numbers=False)


@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", ["nadam", "radam", "lamb", "adabelief"])
def test_halves_whose_correction_vanishes_are_compiled(name: str, dtype: Any) -> None:
    """1 - beta_2**t of bfloat16(0.999) is 0, and so is E, but of what nothing was added to: 0/0."""
    rule = next(rule for rule in RULES if rule.name == name)
    state = moderate_state(rule, dtype, 2)
    formula = formula_of(rule, TFA, state, beta_2=0.9999, epsilon=1e-3)
    assert formula.coefficients is not None
    assert formula.coefficients.divisor == 0
    assert is_compiled(formula, state)
    check_same(formula, state, has_moderate_numbers=True)


@pytest.mark.parametrize("power", [-500, -300, -150, 150, 300, 500])
@pytest.mark.parametrize("name", ["amsgrad", "radam", "adagrad"])
def test_doubles_far_from_1_have_the_same_ratio(name: str, power: int) -> None:
    """m²/v, of which the root is |m|/√v, is taken of numbers alone whose squares are neither infinite nor lost."""
    rule = next(rule for rule in RULES if rule.name == name)
    state = moderate_state(rule, np.float64, 1)
    scale = 2.0**power
    some = State(
        state.value,
        None if state.first_moment is None else state.first_moment * scale,
        *(None if a is None else a * scale * scale for a in (state.second_moment, state.max_second_moment)),
    )
    found, plain = (piece for piece, _ in both(formula_of(rule, KERAS3, some, epsilon=1e-3), some))
    assert found.sums.get("ratio_squares") == pytest.approx(plain.sums.get("ratio_squares"), rel=1e-12)
    assert found.ratio_max == pytest.approx(plain.ratio_max, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rate_of_minus_zero_is_counted_as_zero(dtype: Any) -> None:
    """LAMB's trust ratio is -0 where the weights' norm underflows and the step's is negative."""
    rule = next(rule for rule in RULES if rule.name == "lamb")
    tiny = np.full(60, np.finfo(dtype).smallest_subnormal, dtype)
    first = np.zeros(60, dtype)
    first[0] = -0.05
    state = State(tiny, first, tiny.copy())
    formula = formula_of(rule, KERAS3, state, epsilon=1e-3)
    check_same(formula, state, has_moderate_numbers=False)
    counts = FineCounts()
    with pytest.MonkeyPatch.context() as patch:  # and by numpy
        patch.setattr("ckpt_inspect.measurement.kernels.loops", None)
        list(pieces(formula, state, Buffers(60), counts))
    assert counts.effective_lr[0] == counts.effective_lr.sum() == 60


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", ["adam", "amsgrad", "adamax", "adagrad", "rmsprop", "nadam", "radam", "lamb"])
def test_every_set_of_instructions_finds_the_same(name: str, dtype: Any, instructions: None) -> None:
    """Wide registers and narrow ones."""
    rule = next(rule for rule in RULES if rule.name == name)
    state = moderate_state(rule, dtype, 1, size=5000)
    formula = formula_of(rule, OPTAX, state, weight_decay=0.01, epsilon=1e-3)
    assert is_compiled(formula, state)
    check_same(formula, state, has_moderate_numbers=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_small_tensors_bring_their_values(dtype: Any) -> None:
    """E and v of each touched element, for exact quantiles."""
    assert loops is not None
    rule = next(rule for rule in RULES if rule.name == "adagrad")
    state = moderate_state(rule, dtype, 0, size=200)
    formula = formula_of(rule, KERAS3, state, epsilon=1e-3)
    found, plain = compiled_piece(loops, formula, state, Buffers(state.size), None), plain_piece(formula, state, None)
    for one, other in ((found.effective_lrs, plain.effective_lrs), (found.second_moments, plain.second_moments)):
        assert one is not None and other is not None
        np.testing.assert_array_equal(np.sort(one.astype(np.float64)), np.sort(other))


@given(st.binary(max_size=3000), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_checksums_are_those_of_the_library(data: bytes, before: int) -> None:
    """CRC-32C by tables, by the processor's instruction and by products, for any start, length and alignment."""
    import google_crc32c

    assert loops is not None
    data = data * (1 + before % 20)
    for start in (0, 1, 7):
        expected = google_crc32c.extend(before, data[start:])
        for name in INSTRUCTIONS:
            loops.use_instructions(name)
            assert loops.extend_checksum(before, memoryview(data)[start:]) == expected


def test_a_ratio_beyond_float32_is_done_over() -> None:
    """|m|/√v of a bfloat16, whose range is float32's."""
    rule = next(rule for rule in RULES if rule.name == "adam")
    state = moderate_state(rule, ml_dtypes.bfloat16, 1)
    assert state.first_moment is not None and state.second_moment is not None
    state.first_moment[7], state.second_moment[7] = 1e30, 1e-38
    formula = formula_of(rule, KERAS3, state, epsilon=1e-3)
    found, plain = (piece for piece, _ in both(formula, state))
    assert found.sums["ratio_squares"] == pytest.approx(plain.sums["ratio_squares"], rel=1e-6)
    assert math.isfinite(found.ratio_max)


@pytest.mark.parametrize("numbers", [(0.0, math.inf, 0.0), (0.0, 2.0, 0.0), (1.0, math.inf, 0.0), (-0.0, 1.0, 0.0)])
@pytest.mark.parametrize("has_root", [True, False])
def test_an_effective_lr_that_is_no_number_is_counted_nowhere(
    numbers: tuple[float, float, float], has_root: bool
) -> None:
    """0/0 of sound elements has bits that number no bin: the counts stay within their memory."""
    assert loops is not None
    v = np.full(5000, 1e-45, np.float32)
    room = np.zeros(3 * FINE_BINS, np.int64)
    counts, under = room[FINE_BINS : 2 * FINE_BINS], np.zeros(FINE_BINS, np.int64)
    numerator, divisor, epsilon = numbers
    found = loops.measure(
        v, v, v, v, None, counts, under, numerator, divisor, 0.0, epsilon, 1.0, 0.0, has_root, 0.0, True, True
    )
    assert found["touched"] == under.sum() == 5000
    assert not room[:FINE_BINS].any()
    assert not room[2 * FINE_BINS :].any()
