"""Inference over recorded runs of live trainings, each with a trap, against what the live optimizer had."""

from __future__ import annotations

import pytest
from support.recorded_runs import RECORDED_RUNS, recorded_run

from ckpt_inspect.comparison.inference.infer import infer

ALLOWED = {"beta_1": 1e-5, "beta_2": 1e-6}

RIGHT: dict[str, dict[str, int]] = {
    "emb_adam": {"beta_1": 4, "beta_2": 4, "epsilon": 4},
    "gradaccum4": {"beta_1": 4, "beta_2": 4, "epsilon": 4, "step": 4},
    "adamw_wd01": {"beta_1": 4, "beta_2": 4, "epsilon": 4, "weight_decay": 4},
    "two_runs": {"beta_1": 6, "beta_2": 6, "epsilon": 6},
    "constant_input": {},
    "spike": {"beta_2": 4},
    "ema_overwrite": {"beta_1": 4, "beta_2": 4},
    "weights_by_hand": {"beta_1": 5, "beta_2": 5, "epsilon": 4},
    "reset_moments": {"beta_1": 5, "beta_2": 5, "epsilon": 5},
    "step_drop": {"beta_1": 5, "beta_2": 5, "epsilon": 4},
    "amsgrad": {"beta_1": 4, "beta_2": 4, "epsilon": 4},
}
"""How many values of each are known at least; all others stay open."""


def is_right(name: str, value: float, truth: float) -> bool:
    """Whether a claim is what the live optimizer had."""
    if name == "step":
        return value == truth
    if name in ALLOWED:
        return abs(value - truth) <= ALLOWED[name]
    return abs(value / truth - 1) <= 0.01


@pytest.mark.parametrize("name", RECORDED_RUNS)
def test_nothing_wrong_is_claimed(name: str) -> None:
    """Every inferred value is that of the live optimizer."""
    observations, truths = recorded_run(name)
    for observation, values, truth in zip(observations, infer(observations).values, truths, strict=True):
        for quantity, found in values.items():
            assert found.value is not None and found.source == "inferred"
            assert is_right(quantity, found.value, truth[quantity]), (observation.checkpoint, quantity, found)


@pytest.mark.parametrize("name", RECORDED_RUNS)
def test_what_can_be_known_is_known(name: str) -> None:
    """As many values as an honest tool can know are inferred; a learning rate never is."""
    observations, _ = recorded_run(name)
    values = infer(observations).values
    counts = {q: sum(q in v for v in values) for q in ("beta_1", "beta_2", "epsilon", "step", "weight_decay")}
    assert all(counts[q] >= least for q, least in RIGHT[name].items()), counts
    assert not any("learning_rate" in v for v in values)


@pytest.mark.parametrize("name", RECORDED_RUNS)
def test_refuted_values_were_not_used(name: str) -> None:
    """No true value is called refuted; nothing that a file tells is, in these runs."""
    observations, truths = recorded_run(name)
    for contradiction in infer(observations).contradictions:
        assert observations[contradiction.places[0]].hyperparameters[contradiction.name].is_assumed
        for place in contradiction.places:
            truth = truths[place][contradiction.name]
            assert abs(truth / contradiction.value - 1) > 1e-6, contradiction.sentence


def test_every_run_has_an_expectation() -> None:
    """A run that is recorded is also judged."""
    assert set(RECORDED_RUNS) == set(RIGHT)


def test_an_average_that_moves_weights_tells_no_rate() -> None:
    """Overwritten weights fit another rate than the file's: no window of that run gives a rate or an epsilon."""
    observations, _ = recorded_run("ema_overwrite")
    assert all(w.epsilon is None and w.learning_rate is None for w in infer(observations).windows)


def test_a_schedule_is_a_figure_of_the_window() -> None:
    """Windows on either side of a drop of the rate show different rates."""
    observations, _ = recorded_run("step_drop")
    windows = [w for w in infer(observations).windows if w.learning_rate is not None]
    rates = [w.learning_rate.best for w in windows if w.learning_rate is not None and w.learning_rate.best is not None]
    assert rates[0] == pytest.approx(2e-3, rel=1e-3) and rates[-1] == pytest.approx(2e-4, rel=1e-3)


def test_two_runs_in_one_folder_are_told_apart() -> None:
    """Pairs that are no neighbours are tried, and each run gets its own betas."""
    observations, _ = recorded_run("two_runs")
    inference = infer(observations)
    betas = [v["beta_2"].value for v in inference.values]
    assert betas == [0.98, 0.95, 0.95, 0.98, 0.95, 0.98]
    assert any(not w.is_continuous for w in inference.windows)
