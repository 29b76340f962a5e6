"""What an update does to an element that no gradient reaches, which inference over a run rests on."""

from __future__ import annotations

import numpy as np
import pytest

from ckpt_inspect.update_rules import RULES, Settings, State, find_implementation, find_rule
from ckpt_inspect.update_rules.implementations import CONTRIB, KERAS3, OPTIMIZER_V2

M, V = np.array([0.3, -0.02], np.float64), np.array([1e-2, 4e-6], np.float64)


def settings(implementation: str = "keras3", step: int = 7) -> Settings:
    """Everyday ones."""
    found = find_implementation(implementation)
    assert found is not None
    return Settings(found, step, 1e-3, 0.9, 0.999, 1e-7, 0.0)


@pytest.mark.parametrize("name", ["adam", "adamw", "amsgrad", "bert-adamw", "adamax", "lazyadam"])
def test_it_is_the_last_update(name: str) -> None:
    """Where the last update follows from the moments, it is E·m times the factor."""
    rule = find_rule(name)
    assert rule is not None
    state = State(M, M, V, V)
    own = settings()
    factor = rule.silent_factor(own, rule.coefficients(own, V.dtype))
    expected = -rule.effective_lr(state, own) * M * factor
    np.testing.assert_allclose(rule.last_update(state, own), expected, rtol=1e-12)


@pytest.mark.parametrize("implementation, power", [(KERAS3, 1.0), (OPTIMIZER_V2, 0.004)])
def test_nadams_momentum_looks_ahead(implementation: object, power: float) -> None:
    """m̄ = μ_{t+1}·m/(1 - P·μ_{t+1}) if g is 0: keras/src/optimizers/nadam.py, optimizer_v2/nadam.py."""
    rule = find_rule("nadam")
    assert rule is not None
    own = settings("keras3" if implementation is KERAS3 else "optimizer-v2")
    mu = [0.9 * (1 - 0.5 * 0.96 ** (power * t)) for t in range(1, 9)]
    product = 1.0
    for each in mu:
        product *= each
    assert rule.silent_factor(own, rule.coefficients(own, V.dtype)) == pytest.approx(mu[-1] / (1 - product))


def test_contribs_nadam_shrinks_the_moment() -> None:
    """θ ← θ - α·√c2/c1·β1·m/(√v + ε) if g is 0."""
    rule = find_rule("nadam")
    assert rule is not None
    own = settings(CONTRIB.id)
    c = rule.coefficients(own, V.dtype)
    assert rule.silent_factor(own, c) == pytest.approx(0.9 / float(c.first_correction))


def test_every_rule_says_whether_it_decays() -> None:
    """Only rules with a pair of moments can, and those that leave moments alone are lazy."""
    for rule in RULES:
        assert not rule.decays_when_silent or rule.has_moment_pair
        assert rule.is_lazy or not rule.leaves_moments
