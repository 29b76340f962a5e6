"""Which elements no gradient reached, by both moments, and what they tell."""

from __future__ import annotations

import math
from itertools import product

import ml_dtypes
import numpy as np
import pytest

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.comparison.inference.silence import Pair, find_silence
from ckpt_inspect.comparison.inference.usual import USUAL, find_pairs, rounded_beta, usual_beta

RNG = np.random.default_rng(3)


def decayed(start: Array, beta: float, updates: int, in_kernel: bool) -> Array:
    """What is left after so many updates without a gradient, in float32: as kernels or as Keras round."""
    one = np.float32(1) - np.float32(beta) if in_kernel else np.float32(1 - beta)
    for _ in range(updates):
        start = start + (np.float32(0) - start) * one
    return start


def pair(updates: int, beta_1: float = 0.9, beta_2: float = 0.999, silent: int = 10, others: int = 40) -> Pair:
    """Some silent elements, and others that gradients reached."""
    v = RNG.uniform(1e-6, 1e-2, silent + others).astype(np.float32)
    m = RNG.normal(size=silent + others).astype(np.float32) * np.float32(1e-2)
    v_b, m_b = decayed(v, beta_2, updates, True), decayed(m, beta_1, updates, True)
    v_b[silent:] *= RNG.uniform(1.001, 3, others).astype(np.float32)
    m_b[silent:] += RNG.normal(size=others).astype(np.float32)
    return Pair(m, m_b, v, v_b)


def test_silent_elements_are_found_among_others() -> None:
    """They are those whose second moments fell most, and together, and whose first moments did too."""
    found = find_silence(pair(20), 20)
    assert found is not None and sorted(found.silent) == list(range(10)) and found.different == 10
    assert found.log_2 == pytest.approx(20 * math.log(0.999), abs=found.tolerance)
    assert found.log_1 == pytest.approx(20 * math.log(0.9), abs=found.tolerance)


def test_two_elements_are_too_few() -> None:
    """Three different ones must agree; many equal ones are one."""
    few = find_silence(pair(20, silent=2), 20)
    assert few is not None and not few.is_by_both and not few.is_by_one
    p = pair(20, silent=1, others=5)
    equal = Pair(
        *(np.concatenate([np.repeat(a[:1], 12), a[1:]]) for a in (p.first_a, p.first_b, p.second_a, p.second_b))
    )
    found = find_silence(equal, 20)
    assert found is not None and not found.is_by_both and not found.is_by_one


def test_small_gradients_after_a_spike_are_no_silence() -> None:
    """v decays exactly while later squares vanish in its rounding; m shows that gradients came."""
    v = RNG.uniform(1e2, 1e4, 300).astype(np.float32)
    m = RNG.normal(size=300).astype(np.float32)
    p = Pair(m, RNG.normal(size=300).astype(np.float32), v, decayed(v, 0.999, 50, False))
    found = find_silence(p, 50)
    assert found is not None and found.is_by_one and not found.is_by_both
    assert usual_beta(found.log_2, found.tolerance, 50) == 0.999


def test_a_vanished_second_moment_is_no_decay() -> None:
    """An element that fell to 0 is counted apart: a reset, or another run."""
    p = pair(20)
    p.second_b[-3:] = 0
    found = find_silence(p, 20)
    assert found is not None and found.vanished == 3


def test_halves_tell_nothing() -> None:
    """Rounding is the decay of 16-bit moments."""
    for dtype in (np.float16, ml_dtypes.bfloat16):
        p = pair(20)
        assert (
            find_silence(Pair(*(a.astype(dtype) for a in (p.first_a, p.first_b, p.second_a, p.second_b))), 20) is None
        )


def test_what_was_flushed_contradicts_nothing() -> None:
    """Second moments near the smallest numbers stop, and are left out."""
    p = pair(20)
    p.second_a[-5:] = 1e-36
    p.second_b[-5:] = 1e-37
    found = find_silence(p, 20)
    assert found is not None and sorted(found.silent) == list(range(10))


@pytest.mark.parametrize("in_kernel", [True, False])
@pytest.mark.parametrize("updates", [1, 2, 3, 10, 100, 700])
def test_usual_betas_are_known_again(updates: int, in_kernel: bool) -> None:
    """Whatever the number of updates, a decay in float32 is told apart from that of every other usual beta."""
    v = RNG.uniform(1e-4, 1.0, 40).astype(np.float32)
    for beta in (0.9, 0.95, 0.98, 0.985, 0.99, 0.997, 0.999, 0.9995, 0.9999):
        p = Pair(v, v, v, decayed(v, beta, updates, in_kernel))
        found = find_silence(p, updates)
        assert found is not None
        if np.all(p.second_b > 1e-30):
            assert usual_beta(found.log_2, found.tolerance, updates) == beta


def test_betas_in_between_are_no_usual_ones() -> None:
    """A decay by anything else than a beta that people write is refused."""
    for beta, updates in product((0.980071, 0.9990021, 0.99931, 0.98001), (30, 100, 300)):
        log = updates * math.log(beta)
        assert usual_beta(log, 2.0**-24 * (3 + 2 * math.sqrt(updates)), updates) is None


def test_skipped_updates_are_counted() -> None:
    """The ratio of both logarithms tells the pair of betas, whatever the number of decays."""
    (found,) = find_pairs(18 * math.log(0.9), 1e-6, 18 * math.log(0.98), 1e-6, 20)
    assert (found.decays, found.beta_1, found.beta_2) == (18, 0.9, 0.98)
    assert find_pairs(18 * math.log(0.9), 1e-6, 17 * math.log(0.98), 1e-6, 20) == []


def test_no_usual_beta_is_within_rounding_of_another() -> None:
    """So that a claim of one is never a claim of its neighbour."""
    assert float(np.min(np.diff(USUAL))) > 1e-6


def test_unusual_betas_are_rounded_to_four_decimals() -> None:
    """If the measurement is that sharp."""
    assert rounded_beta(50 * math.log(0.9876), 1e-6, 50) == 0.9876
    assert rounded_beta(50 * math.log(0.98765), 1e-6, 50) is None
