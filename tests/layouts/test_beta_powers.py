"""TF1's beta powers, read back into the number of updates and the betas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ckpt_inspect.layouts.beta_powers import COMMON_BETA_1, COMMON_BETA_2, SMALLEST, read_beta_powers
from ckpt_inspect.update_rules.running_products import running_products


def _after(beta: float, step: int) -> float:
    """The float32 variable after that many updates: beta, multiplied by beta `step` times."""
    return running_products(float(np.float32(beta))).power(step + 1)


def _equals(power: float, beta: float) -> bool:
    """Whether the power is one of beta, to the last bit, as a running product or rounded once."""
    count = round(1.01 * np.log(power) / np.log(float(np.float32(beta)))) + 50 if power else 0
    products = np.multiply.accumulate(np.full(max(count, 1), beta, np.float32))
    counts = np.arange(1, max(count, 1) + 1)
    rounded = [np.float32(float(base) ** counts) for base in (beta, np.float32(beta))]
    return any(bool(np.any(powers == np.float32(power))) for powers in (products, *rounded))


@settings(max_examples=150)
@given(st.sampled_from(COMMON_BETA_1), st.sampled_from(COMMON_BETA_2), st.integers(0, 90_000))
@example(0.9, 0.9998, 27117)
@example(0.9, 0.9998, 2641)
def test_common_betas_give_the_exact_step(beta_1: float, beta_2: float, step: int) -> None:
    """Any pair of betas that people use, after any number of updates up to 90,000: the step, unless all underflowed, or
    unless one is left that is a power of another beta as well."""
    power_1, power_2 = _after(beta_1, step), _after(beta_2, step)
    reading = read_beta_powers(power_1, power_2)
    if max(power_1, power_2) < SMALLEST:
        assert reading.step is None
        assert reading.is_converged
        assert reading.at_least <= step
    elif reading.step is None:
        assert min(power_1, power_2) < SMALLEST or beta_1 == beta_2
        left, betas, own = (power_2, COMMON_BETA_2, beta_2) if power_1 < SMALLEST else (power_1, COMMON_BETA_1, beta_1)
        assert own == 0.99999 or any(_equals(left, other) for other in betas if 0 < other != own)
    else:
        assert reading.step == step
        assert reading.beta_2 in (beta_2, None)
        assert reading.beta_1 in (beta_1, None)


def test_one_power_that_two_betas_fit_gives_no_step() -> None:
    """beta_1's power has underflowed, and beta_2's is one of 0.999 and one of 0.9997: no step, and the reason."""
    reading = read_beta_powers(0.0, _after(0.9997, 6_298))
    assert (reading.step, reading.beta_2, reading.is_converged) == (None, None, False)
    assert "0.999**1889 and" in reading.evidence
    assert "0.9997**6299 alike, to the last bit" in reading.evidence
    assert reading.at_least == 1_888


def test_a_power_that_is_rounded_once_fits_as_well_as_a_running_product() -> None:
    """A running product of 0.9998 that is 0.998**2709 rounded once: whatever writes powers may have written either."""
    reading = read_beta_powers(0.0, _after(0.9998, 27_117))
    assert reading.step is None
    assert "0.9998**27118 and 0.998**2709 alike, to the last bit" in reading.evidence


@pytest.mark.parametrize(("beta", "count"), [(0.9999, 2), (0.9999, 3), (0.985, 170), (0.995, 6458), (0.997, 3537)])
def test_a_rounded_power_is_not_read_as_another_s(beta: float, count: int) -> None:
    """Powers that `pow` computed, which are running products of 0.9997 or 0.9998 by chance: never those."""
    assert read_beta_powers(0.0, float(np.float32(beta**count))).step in (count - 1, None)
    assert read_beta_powers(0.0, float(np.float32(float(np.float32(beta)) ** count))).step in (count - 1, None)


def test_two_equal_powers_tell_no_more_than_one() -> None:
    """beta_1 = beta_2 = 0.99, rounded once: near a power of 0.997, and of that in both alike."""
    power = float(np.float32(0.99**7903))
    assert read_beta_powers(power, power).step in (7902, None)


def test_a_known_beta_or_the_global_step_decides_between_two() -> None:
    """Of two exact readings, the one that a graph's beta or the graph's own count of steps tells."""
    power = _after(0.9997, 6_298)
    assert read_beta_powers(0.0, power, beta_2=0.9997).step == 6_298
    assert read_beta_powers(0.0, power, global_step=6_298).step == 6_298
    assert read_beta_powers(0.0, power, global_step=1_000).step is None


@settings(max_examples=150, derandomize=True)  # chance gives one in some 1,000 floats away
@given(st.sampled_from((0.9, 0.5, 0.0)), st.floats(0.95, 0.9999), st.integers(0, 50_000))
def test_other_betas_give_the_step_or_none(beta_1: float, beta_2: float, step: int) -> None:
    """A beta_2 that nobody uses: the step where beta_1's power tells it, else unknown; never a step by chance."""
    reading = read_beta_powers(_after(beta_1, step), _after(beta_2, step))
    assert reading.step in (step, None)
    if beta_2 not in COMMON_BETA_2 and reading.step is not None and reading.beta_2 is not None:
        assert reading.beta_2 == pytest.approx(beta_2, abs=3e-6)


@settings(max_examples=100)
@given(st.floats(0.01, 0.9995), st.integers(0, 20_000))
def test_a_known_beta_gives_the_step(beta_2: float, step: int) -> None:
    """Where beta_2 is known from a graph or from the caller, any value of it serves."""
    power = _after(beta_2, step)
    if power >= SMALLEST:
        assert read_beta_powers(None, power, beta_2=beta_2).step == step


def test_a_wrong_known_beta_gives_no_step() -> None:
    """A beta that doesn't fit the power is not made to fit."""
    assert read_beta_powers(None, _after(0.999, 1234), beta_2=0.98).step is None


@pytest.mark.parametrize("step", [831, 2_000, 60_000])
def test_beta_1_underflows_first(step: int) -> None:
    """0.9**831 is 0 in float32; beta_2's power goes on counting, and beta_1 is left open."""
    reading = read_beta_powers(0.0, _after(0.999, step))
    assert (reading.step, reading.beta_1, reading.beta_2) == (step, None, 0.999)
    assert "to the last bit" in reading.evidence


def test_beta_1_of_zero_is_told_while_another_would_still_count() -> None:
    """A power of 0 after few updates can only be that of 0; after many it proves nothing."""
    assert read_beta_powers(0.0, _after(0.9, 4)).beta_1 == 0.0
    assert read_beta_powers(0.0, _after(0.999, 5000)).beta_1 is None


def test_both_underflowed_give_a_bound() -> None:
    """Both powers 0: no step, but corrections of 1 whatever it is, and a lower bound where beta_2 is known."""
    reading = read_beta_powers(0.0, 0.0, 0.9, 0.999)
    assert reading.step is None
    assert reading.is_converged
    assert 87_000 < reading.at_least < 88_000
    assert "bias corrections are 1" in reading.evidence
    assert read_beta_powers(0.0, 0.0).at_least == 0


def test_a_bound_holds_for_the_real_running_product() -> None:
    """The bound is below the step at which float32 really underflows."""
    products = np.multiply.accumulate(np.full(100_000, 0.999, np.float32))
    last = int(np.flatnonzero(products >= SMALLEST)[-1])
    assert read_beta_powers(0.0, 0.0, 0.9, 0.999).at_least <= last + 1


def test_before_the_first_update() -> None:
    """Powers that are the betas themselves: step 0."""
    reading = read_beta_powers(float(np.float32(0.9)), float(np.float32(0.999)))
    assert (reading.step, reading.beta_1, reading.beta_2) == (0, 0.9, 0.999)


@pytest.mark.parametrize("powers", [(np.nan, np.nan), (np.inf, 2.0), (-0.5, -0.5), (1.0, 1.0), (0.0, np.nan)])
def test_what_is_no_power_is_said_to_be_none(powers: tuple[float, float]) -> None:
    """NaN, negative numbers and numbers from 1 on are no powers of a beta, and no underflow."""
    reading = read_beta_powers(*powers)
    assert reading.step is None
    assert not reading.is_converged
    assert "are not powers of numbers below 1" in reading.evidence


def test_a_beta_1_power_beyond_1_gives_no_beta_1() -> None:
    """A damaged power beside a sound one is not turned into a beta."""
    reading = read_beta_powers(2.0, _after(0.999, 7))
    assert (reading.step, reading.beta_1) == (7, None)


def test_no_powers_at_all() -> None:
    """A file without powers is told from one whose powers say nothing."""
    assert "holds no beta powers" in read_beta_powers(None, None).evidence


def test_adamax_has_only_the_first() -> None:
    """contrib's AdaMax keeps beta1_power alone."""
    reading = read_beta_powers(_after(0.9, 40), None)
    assert (reading.step, reading.beta_1, reading.beta_2) == (40, 0.9, None)
