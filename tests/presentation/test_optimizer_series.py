"""A frame's rows as arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.frames_for_plots import make_frames

from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.presentation.optimizer_series import OptimizerSeries


def series_of(rows: pd.DataFrame) -> OptimizerSeries:
    return OptimizerSeries.of("digits", "adam", rows, sorted(set(rows["parameter"])))


@pytest.mark.parametrize("is_by_checkpoint", [True, False])
def test_values_lie_by_checkpoint_and_parameter_in_whatever_order_rows_come(is_by_checkpoint: bool) -> None:
    """Rows of a store come by checkpoint; others come as they like."""
    rows = make_frames(4, 3)["parameters"]
    ordered = rows.sort_values(["checkpoint_index", "parameter"], kind="stable")
    given = ordered if is_by_checkpoint else ordered.sample(frac=1, random_state=1)
    expected = rows.pivot(index="checkpoint_index", columns="parameter", values="update_rms")
    np.testing.assert_array_equal(series_of(given).values("update_rms"), expected)


def test_a_parameter_that_a_checkpoint_lacks_has_no_value_there() -> None:
    rows = make_frames(4, 3)["parameters"].drop(index=1)
    values = series_of(rows).values("update_rms")
    assert np.isnan(values).sum() == np.isnan(values[1]).sum() == 1


def test_values_of_a_line_of_training_leave_the_frame_as_it_is() -> None:
    """Checkpoints before it are left out of the answer, not of the frame."""
    rows = make_frames(4, 3)["parameters"].sort_values(["checkpoint_index", "parameter"], kind="stable")
    values = series_of(rows).values_of_line("update_rms", (Segment(0, 2, "start"), Segment(2, 3, "state-lost")))
    assert np.isnan(values[:2]).all() and np.isfinite(values[2]).all()
    assert np.isfinite(rows["update_rms"]).all()
