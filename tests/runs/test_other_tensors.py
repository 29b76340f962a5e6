"""Tensors that no optimizer trains: numbers in them that are not finite."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
from support.adam_bundles import save_bundle
from support.adam_runs import AdamRun
from support.keras_files import Run

from ckpt_inspect import analyze, open_checkpoint, optimizer_states


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


def test_an_average_that_an_optimizer_keeps_is_looked_at(tmp_path: Path) -> None:
    """It is a slot, and nothing that is measured: named by the parameter that it is of."""
    case = Path(__file__).parents[2] / "fixtures" / "recorded" / "k333_tf216_fit_weights_h5_ema_dup"
    (source, *_) = sorted(case.glob("*.weights.h5"))
    path = tmp_path / source.name
    shutil.copy(source, path)
    assert not messages(path)
    with open_checkpoint(path) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        parameter = next(iter(state.parameters.values()))
        (average,) = (key for slot, key in parameter.found.slots.items() if "moment" not in slot)
    with h5py.File(path, "r+") as file:
        file[average][(0,) * len(parameter.shape)] = np.inf
    (message,) = messages(path)
    assert f"{parameter.name} (" in message


def test_a_whole_model_s_statistics_are_named_by_layer(tmp_path: Path) -> None:
    """As they are in the other formats: `norm/moving_mean`."""
    path = AdamRun({"out/kernel": (4, 3)}).train(5).save(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights"].create_group("norm")["norm/moving_mean:0"] = np.array([np.nan, 0], np.float32)
        file["model_weights"].attrs["layer_names"] = [b"out", b"norm"]
        file["model_weights/norm"].attrs["weight_names"] = [b"norm/moving_mean:0"]
    (message,) = messages(path)
    assert message.endswith("that no optimizer trains: norm/moving_mean (1)")
