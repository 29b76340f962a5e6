"""What two checkpoints tell together, as `diff` uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.silent_runs import save_run

from ckpt_inspect import Diff, diff
from ckpt_inspect.comparison.differences import HyperparameterDiff

TRUTH = {"beta_1": 0.8, "beta_2": 0.98, "epsilon": 1e-5}


def value(found: Diff, name: str) -> HyperparameterDiff:
    (optimizer,) = found.optimizers
    return next(h for h in optimizer.hyperparameters if h.name == name)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_run(tmp_path_factory.mktemp("pair"), (100, 130), **TRUTH)


def test_a_diff_infers_from_its_pair(pair: list[Path]) -> None:
    """Its step-wise figures are those of the betas that were used."""
    found = diff(*pair)
    for name, truth in TRUTH.items():
        both = value(found, name)
        assert both.is_inferred
        assert {both.a.source, both.b.source} == {"inferred"}
        assert both.b.value == pytest.approx(truth, rel=0.05)
    given = diff(*pair, given=TRUTH)
    by_name = {p.parameter: p for p in given.parameters}
    for parameter in found.parameters:
        same = by_name[parameter.parameter]
        assert parameter.gradient_rms == pytest.approx(same.gradient_rms, rel=1e-5, nan_ok=True)
        assert parameter.effective_lr_ratio == pytest.approx(same.effective_lr_ratio, rel=1e-3, nan_ok=True)
    assert next(p for p in found.parameters if p.parameter == "emb/kernel").starved == pytest.approx(0.3)


def test_a_diff_without_inference_assumes(pair: list[Path]) -> None:
    """As the files alone leave it."""
    assert value(diff(*pair, infer=False), "beta_2").b.source == "default"


def test_the_order_in_which_they_are_given_does_not_matter(pair: list[Path]) -> None:
    """The counters tell which is the earlier."""
    assert value(diff(pair[1], pair[0]), "beta_2").b.value == 0.98


def test_nothing_is_told_of_two_trainings(tmp_path: Path) -> None:
    """Checkpoints of which neither led to the other leave the defaults."""
    (one,) = save_run(tmp_path / "a", (100,), beta_2=0.98)
    (two,) = save_run(tmp_path / "b", (130,), unseen=0.3, beta_2=0.95)
    found = diff(one, two)
    assert not value(found, "beta_2").is_inferred
    assert np.isnan([p.gradient_rms for p in found.parameters if p.parameter == "emb/kernel"]).all() or any(
        problem.code == "not-a-continuation" for problem in found.problems
    )
