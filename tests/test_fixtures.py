"""The shipped run: what the package reads of it is what its optimizer recorded while it was trained."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ckpt_inspect import find_checkpoints, open_checkpoint, optimizer_states

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures"
DIGITS = FIXTURES / "digits"
RECORDED = json.loads((DIGITS / "recorded.json").read_text())["checkpoints"]


def test_every_checkpoint_is_found_in_order() -> None:
    """Ten epochs, one after the other."""
    assert [path.name for path in find_checkpoints(DIGITS)] == [r["file"] for r in RECORDED]


@pytest.mark.parametrize("record", RECORDED, ids=lambda r: r["file"])
def test_digits(record: dict[str, object]) -> None:
    """The step is the counter's, and the schedule gives the learning rate that Keras' own gave the last update."""
    with open_checkpoint(DIGITS / str(record["file"])) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert state.step.value == record["step"]
        assert state.hyperparameters["learning_rate"].value == pytest.approx(record["learning_rate"], rel=1e-6)
        assert not any(value.is_assumed for value in state.hyperparameters.values())


def test_digits_has_what_the_demo_shows() -> None:
    """Blank pixels and dead units leave rows and columns untouched; everything else has been reached."""
    with open_checkpoint(DIGITS / RECORDED[-1]["file"]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        second = state.parameters["hidden/kernel"].second_moment()
        assert second is not None
        is_untouched = second == 0
        assert is_untouched.all(axis=1).any()
        assert is_untouched.all(axis=0).any()
        assert 0.05 < np.mean(is_untouched) < 0.2


def test_every_fixture_has_a_maker_that_recorded_it() -> None:
    """Folders of fixtures/ are made by scripts, which left a record of the versions they were made with."""
    made = {path.name for path in FIXTURES.iterdir() if path.is_dir()}
    makers = set(
        re.findall(r'^    "(\w+)": make_\w+,', (ROOT / "scripts" / "make_fixtures.py").read_text(), re.MULTILINE)
    )
    assert makers <= made
    assert all((FIXTURES / name / "recorded.json").exists() for name in makers)
