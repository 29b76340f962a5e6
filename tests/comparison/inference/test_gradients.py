"""The gradients of a window, from second moments alone, against the gradients that were logged."""

from __future__ import annotations

import numpy as np
import pytest

from ckpt_inspect.comparison.inference.gradients import GradientRms, window_gradient_rms


def trained(updates: int, beta_2: float, fade: float = 1.0, seed: int = 0) -> tuple[list[np.ndarray], list[float]]:
    """v after each update, in float32 as Keras computes it, and each gradient's mean square."""
    rng = np.random.default_rng(seed)
    v = np.zeros(400, np.float32)
    one = np.float32(1 - beta_2)
    states, squares = [v], []
    for step in range(updates):
        g = (rng.normal(size=v.size) * 0.03 * fade**step).astype(np.float32)
        v = v + (g * g - v) * one
        states.append(v)
        squares.append(float(np.mean(g.astype(np.float64) ** 2)))
    return states, squares


def mean(v: np.ndarray) -> np.ndarray:
    """In float64, of one tensor."""
    return np.array([np.mean(v, dtype=np.float64)])


def one(found: GradientRms) -> tuple[float, float, float]:
    """Value and bounds of the one tensor."""
    ((value,), (low,), (high,)) = (found.values, found.lows, found.highs)
    return float(value), float(low), float(high)


@pytest.mark.parametrize("beta_2", [0.9, 0.99, 0.999, 0.9999])
@pytest.mark.parametrize("window", [1, 2, 5, 20, 100, 600])
def test_it_is_the_weighted_rms_of_the_logged_gradients(window: int, beta_2: float) -> None:
    """Within the uncertainty that is told, for windows of any length."""
    states, squares = trained(200 + window, beta_2)
    value, low, high = one(
        window_gradient_rms(mean(states[200]), mean(states[-1]), beta_2, window, np.dtype(np.float32))
    )
    weights = beta_2 ** np.arange(window - 1, -1, -1)
    truth = float(np.sqrt(np.average(squares[200:], weights=weights)))
    assert low <= truth <= high
    assert value == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize("window, allowed", [(1, 1e-3), (10, 0.01), (100, 0.05)])
def test_short_windows_weigh_all_gradients_alike(window: int, allowed: float) -> None:
    """So that it is their plain RMS too, even if they fade; the error grows with the window."""
    states, squares = trained(200 + window, 0.999, fade=0.999)
    value, _, _ = one(window_gradient_rms(mean(states[200]), mean(states[-1]), 0.999, window, np.dtype(np.float32)))
    assert value == pytest.approx(float(np.sqrt(np.mean(squares[200:]))), rel=allowed)


def test_no_gradient_is_no_more_than_rounding() -> None:
    """Without gradients it is 0, whatever rounding left, and the interval ends far below what was there before."""
    states, _ = trained(200, 0.999)
    v = states[-1]
    for _ in range(50):
        v = v + (np.float32(0) - v) * np.float32(1 - 0.999)
    value, low, high = one(window_gradient_rms(mean(states[-1]), mean(v), 0.999, 50, np.dtype(np.float32)))
    assert value == low == 0.0 and high < 1e-2 * 0.03


def test_small_gradients_beside_a_large_second_moment_are_uncertain() -> None:
    """After a spike, rounding of v is larger than the squares of ordinary gradients; the interval says so."""
    states, _ = trained(10, 0.999)
    spiked = states[-1] + np.float32(1e6)
    after = spiked + (np.float32(1e-4) - spiked) * np.float32(1 - 0.999)
    _, low, high = one(window_gradient_rms(mean(spiked), mean(after), 0.999, 1, np.dtype(np.float32)))
    assert low <= 1e-2 <= high and high > 1.0


def test_what_no_run_can_show_is_refused() -> None:
    """NaN for second moments that fell faster than beta_2 lets them, halves, and figures that are none."""
    single, ones = np.dtype(np.float32), np.ones(3)
    found = window_gradient_rms(np.array([1.0, np.nan, 1.0]), np.array([0.5, 1.0, 1.0]), 0.999, 10, single)
    for figures in (found.values, found.lows, found.highs):
        assert np.isnan(figures).tolist() == [True, True, False]
    for beta_2, updates, dtype in ((0.999, 10, np.dtype(np.float16)), (1.0, 10, single), (0.999, 0, single)):
        assert np.isnan(window_gradient_rms(ones, ones, beta_2, updates, dtype).values).all()
