"""The median effective learning rate from one pass over the optimizer's state."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from support.rule_settings import FLAGS
from support.ways import ways_of

from ckpt_inspect.measurement import histograms
from ckpt_inspect.measurement.medians import EffectiveLrMedian
from ckpt_inspect.update_rules import RULES, Settings, State, UpdateRule
from ckpt_inspect.update_rules.implementations import KERAS3

way = ways_of(histograms)

SETTINGS = Settings(KERAS3, 100, 0.01, 0.9, 0.999, 1e-7, others=FLAGS)


def median(rule: UpdateRule, state: State, size: int, piece: int) -> float:
    accumulator = EffectiveLrMedian(rule, SETTINGS, size)
    arrays = {name: getattr(state, name) for name in ("value", "first_moment", "second_moment", "max_second_moment")}
    for start in range(0, size, piece):
        accumulator.add(State(**{name: array[start : start + piece] for name, array in arrays.items()}))
    return accumulator.median()


def random_state(size: int, dtype: str = "float32") -> State:
    rng = np.random.default_rng(size)
    v = np.exp(rng.normal(-12, 4, size)) * (rng.uniform(size=size) > 0.3)
    value, m = rng.normal(size=(2, size)).astype(dtype)
    return State(value, m * np.sqrt(v).astype(dtype), v.astype(dtype), (2 * v).astype(dtype))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize(("size", "tolerance"), [(1, 1e-6), (1000, 1e-6), (1001, 1e-6), (50_000, 0.01)])
def test_it_is_the_median_of_e(rule: UpdateRule, size: int, tolerance: float) -> None:
    """For every rule it is what np.median says of the touched elements' E, exactly so for small tensors."""
    state = random_state(size)
    touched = rule.second_moment(state) > 0
    expected = np.median(rule.effective_lr(state, SETTINGS)[touched].astype(np.float64)) if touched.any() else math.nan
    assert median(rule, state, size, 777) == pytest.approx(expected, rel=tolerance, nan_ok=True)


@pytest.mark.parametrize("dtype", ["float16", "float64", ml_dtypes.bfloat16])
@pytest.mark.parametrize("size", [1000, 50_000])
def test_other_dtypes(dtype: str, size: int) -> None:
    """Half and double precision are counted as well, and evaluated in their own arithmetic."""
    state = random_state(size, dtype)
    rule = RULES[0]
    assert state.second_moment is not None
    expected = np.median(rule.effective_lr(state, SETTINGS)[state.second_moment > 0].astype(np.float64))
    assert median(rule, state, size, 4096) == pytest.approx(expected, rel=0.01)


def test_nothing_touched_has_no_median() -> None:
    """Elements that no gradient reached have no meaningful E: they are left out, be they all."""
    zeros = np.zeros(20_000, np.float32)
    assert math.isnan(median(RULES[0], State(zeros, zeros, zeros, zeros), zeros.size, 4096))


def test_damaged_elements_are_left_out() -> None:
    """NaN, infinite and negative second moments are no part of the median, and nothing warns of them."""
    v = np.array([np.nan, np.inf, -1.0, 1e-4, 1e-4], np.float32)
    rule = RULES[0]
    good = rule.effective_lr(State(second_moment=v[3:]), SETTINGS)
    assert median(rule, State(v, v, v, v), 5, 2) == pytest.approx(float(good[0]))
