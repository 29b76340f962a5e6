"""AdaBelief: what its record in fixtures/recorded doesn't show."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import Settings, State, find_rule
from ckpt_inspect.update_rules.implementations import TFA

BETA_1, BETA_2 = 0.9, 0.99


def settings(step: int, **others: float) -> Settings:
    """Of an update with a rate of 0.1."""
    return Settings(TFA, step, 0.1, BETA_1, BETA_2, 1e-14, others=others)


@pytest.mark.parametrize("gradients", ["constant", "noise", "growing"])
def test_the_bound_holds_for_its_own_moments(gradients: str) -> None:
    """Adam's does not: m/√v of steady gradients grows beyond it."""
    rule, rng = find_rule("adabelief"), np.random.default_rng(0)
    assert rule is not None
    m = v = 0.0
    for step in range(1, 200):
        g = {"constant": 1.0, "noise": rng.standard_normal(), "growing": 1.05**step}[gradients]
        m = BETA_1 * m + (1 - BETA_1) * g
        v = BETA_2 * v + (1 - BETA_2) * (g - m) ** 2 + 1e-14
        assert abs(m) <= rule.moment_bound(settings(step)) * math.sqrt(v) * (1 + 1e-12)


def test_without_rectification_the_first_updates_are_adaptive() -> None:
    """With it E is the learning rate until the average is long enough."""
    rule = find_rule("adabelief")
    assert rule is not None
    state = State(first_moment=np.full(2, 0.1), second_moment=np.array([1e-4, 1e-2]))
    early = rule.effective_lr(state, settings(2, rectify=1.0))
    np.testing.assert_allclose(early, [0.1, 0.1], rtol=1e-7)
    free = rule.effective_lr(state, settings(2, rectify=0.0))
    c2 = 1 - float(np.float32(BETA_2)) ** 2
    np.testing.assert_allclose(free, 0.1 / (np.sqrt(state.second_moment / c2) + 1e-14), rtol=1e-7)


def test_rectification_is_no_guess() -> None:
    """In the first updates E is off by far with the wrong one, so without a configuration there is none."""
    rule = find_rule("adabelief")
    assert rule is not None
    with pytest.raises(NotDetermined, match="give rectify"):
        rule.effective_lr(State(first_moment=np.ones(1), second_moment=np.ones(1)), settings(2))
