"""Betas that were changed within a run, in files that hold none."""

from __future__ import annotations

from pathlib import Path

from support.adam_runs import AdamRun
from support.silent_runs import SHAPES, save_without_config, silent_rows

from ckpt_inspect import analyze


def test_a_beta_2_that_was_changed_is_not_that_of_the_windows_before(tmp_path: Path) -> None:
    """With beta_1 = 0 the second moments alone tell; in few updates not sharply enough for the new one, but that it is
    not the old one."""
    run = AdamRun(SHAPES, beta_1=0.0, beta_2=0.9)
    for window, step in enumerate((160, 180, 460, 470)):
        run.config["beta_2"] = 0.95 if window == 3 else 0.9
        run.train(step - run.step, silent_rows(0.3, window))
        save_without_config(run, tmp_path / f"m-{step}.h5")
    (optimizer,) = analyze(tmp_path).optimizers.values()
    told = list(zip(optimizer.variables["beta_2"].tolist(), optimizer.variables["beta_2_source"].tolist(), strict=True))
    assert told[1:3] == [(0.9, "inferred")] * 2
    assert told[3][1] == "default"
