"""Of a long run fewer checkpoints are drawn than it has, and none that stands out is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze
from ckpt_inspect.presentation import chosen_run
from ckpt_inspect.presentation.chosen_run import ChosenRun
from ckpt_inspect.runs.thinning import telling_rows
from ckpt_inspect.state.selection import Selection


def test_extremes_stay(tmp_path: Path) -> None:
    """The first, the last, and the largest and smallest of each stretch."""
    save_series(tmp_path, 30)
    run = analyze(tmp_path)
    rows = telling_rows(run, [17], most=10)
    (optimizer,) = run.optimizers.values()
    rates = optimizer.variables["effective_lr_mean"]
    extremes = {0, 17, 29, int(np.argmax(rates.max(axis=1))), int(np.argmin(rates.min(axis=1)))}
    assert extremes <= set(rows)
    assert len(rows) < 20
    assert rows == sorted(rows)
    assert telling_rows(run) == list(range(30))


def test_only_what_is_drawn_is_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table has every checkpoint; the index of each is that in the whole run."""
    save_series(tmp_path, 30)
    run = analyze(tmp_path)
    monkeypatch.setattr(chosen_run, "MOST_DRAWN", 10)
    monkeypatch.setattr(chosen_run, "telling_rows", lambda run, more: [0, 7, 29])
    whole = run.to_frame()
    assert ChosenRun(run, Selection()).to_frame().equals(whole)
    drawn = ChosenRun(run, Selection(), is_drawn=True).to_frame()
    expected = whole[whole["checkpoint_index"].isin([0, 7, 29])].reset_index(drop=True)
    assert {"step", "parameter", "effective_lr_median", "update_rms"} <= set(drawn.columns)
    pd.testing.assert_frame_equal(drawn, expected[list(drawn.columns)], check_dtype=False, check_categorical=False)
