"""Tensors that no optimizer trains: numbers in them that are not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.adam_bundles import save_bundle
from support.keras_files import Run

from ckpt_inspect import analyze


def messages(prefix: Path, **options: object) -> list[str]:
    remarks = analyze(prefix, **options).remarks  # type: ignore[arg-type]  # include and exclude
    return [r.problem.message for r in remarks if r.problem.code == "nonfinite-tensors"]


def test_nan_in_a_statistic_is_named(tmp_path: Path) -> None:
    """With how many elements there are, and nothing of those that are sound."""
    extra = {
        "norm/moving_mean": np.array([0, np.nan, np.inf], np.float32),
        "norm/moving_variance": np.ones(3, np.float32),
        "seen": np.array(3, np.int64),
    }
    (message,) = messages(save_bundle(Run().train(5), tmp_path / "m", **extra))
    assert "NaN" in message
    assert "norm/moving_mean (2)" in message
    assert "moving_variance" not in message


def test_sound_and_excluded_tensors_are_not_named(tmp_path: Path) -> None:
    """What the patterns leave out is not looked at."""
    run = Run().train(5)
    assert not messages(save_bundle(run, tmp_path / "a"))
    extra = {"norm/moving_mean": np.array([np.nan], np.float32)}
    assert not messages(save_bundle(run, tmp_path / "b", **extra), exclude="norm/*")
