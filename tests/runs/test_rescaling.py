"""Another learning rate, without the checkpoints: held against analysing them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze
from ckpt_inspect.errors import RequestError
from ckpt_inspect.runs.rescaling import with_learning_rate


@pytest.mark.parametrize("before", [{}, {"learning_rate": 0.5}, {"learning_rate": 0.003}])
def test_another_rate_gives_what_analysing_again_gives(tmp_path: Path, before: dict[str, float]) -> None:
    """Also where the rate was not known before; the histogram to a bin."""
    save_series(tmp_path / "run", 2)
    again = analyze(tmp_path / "run", given={"learning_rate": 0.01}).optimizers["Adam"].variables
    scaled = with_learning_rate(analyze(tmp_path / "run", given=before), 0.01).optimizers["Adam"].variables
    for name in ("effective_lr", "effective_lr_mean", "effective_lr_sample", "update_rms", "update_to_weight"):
        np.testing.assert_allclose(scaled[name], again[name], rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(scaled["learning_rate"], 0.01)
    assert set(scaled["learning_rate_source"]) == {"given"}
    assert not scaled["effective_lr_is_relative"].any()
    np.testing.assert_array_equal(
        scaled["effective_lr_histogram"].sum(axis=2), again["effective_lr_histogram"].sum(axis=2)
    )
    means = [
        (v["effective_lr_histogram"] * np.log((v["bin_edges"][:-1] + v["bin_edges"][1:]) / 2)).sum(axis=2)
        / v["effective_lr_histogram"].sum(axis=2)
        for v in (scaled, again)
    ]
    np.testing.assert_allclose(means[0], means[1], atol=np.log(2) / 4)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_makes_no_update_is_refused(tmp_path: Path, rate: float) -> None:
    """One sentence, rather than a page of zeros."""
    save_series(tmp_path / "run", 1)
    with pytest.raises(RequestError, match="positive"):
        with_learning_rate(analyze(tmp_path / "run"), rate)


RECORDED = Path(__file__).parents[2] / "fixtures" / "recorded"
UPDATES = ("update_rms", "update_max", "relative_update_rms", "update_to_weight", "decay_balance")


@pytest.mark.parametrize("case", ["tf24_tfa_ckpt_tfa_adamw", "tf112_saver_contrib_adamw"])
def test_a_decay_that_the_rate_does_not_scale_leaves_updates_unknown(case: str) -> None:
    """E follows the rate; the update has a part that doesn't, and how large it is can't be had from summaries. (Of a
    table, which is changed by rows, no update is known anyway.)"""
    given = {"weight_decay": 0.01, "learning_rate": 0.001}
    (scaled,) = with_learning_rate(analyze(RECORDED / case, given=given), 0.1).optimizers.values()
    (again,) = analyze(RECORDED / case, given=given | {"learning_rate": 0.1}).optimizers.values()
    assert all(np.isnan(scaled.variables[name]).all() for name in UPDATES)
    is_table = np.array(["emb" in name for name in again.variables["parameter"]])
    np.testing.assert_array_equal(np.isnan(again.variables["update_rms"][0]), is_table)
    np.testing.assert_allclose(scaled.variables["effective_lr_mean"], again.variables["effective_lr_mean"], rtol=1e-6)


def test_a_decay_that_the_rate_scales_leaves_updates_known() -> None:
    """Keras' AdamW: all of the update is proportional to the rate."""
    folder = RECORDED / "tf213_new_ckpt_adamw"
    given = {"weight_decay": 0.01, "learning_rate": 0.001}
    (scaled,) = with_learning_rate(analyze(folder, given=given), 0.1).optimizers.values()
    (again,) = analyze(folder, given=given | {"learning_rate": 0.1}).optimizers.values()
    for name in UPDATES:
        np.testing.assert_allclose(scaled.variables[name], again.variables[name], rtol=1e-5, err_msg=name)
