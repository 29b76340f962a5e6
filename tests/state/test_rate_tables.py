"""Learning rates given for the checkpoints of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze, analyze_runs, optimizer_states
from ckpt_inspect.errors import RequestError
from ckpt_inspect.state.rate_tables import decode_rate_table, encode_rate_table, rate_at

RATES = {10: 0.01, 20: 0.005, 30: 0.0025, 40: 0.0025}


def test_text_and_table_are_one() -> None:
    """In the order of the steps; comments and empty lines are skipped."""
    assert decode_rate_table(encode_rate_table(RATES), "t") == RATES
    assert decode_rate_table("# log\nStep, learning_rate\n\n20,1e-3\n10.0,1e-2\n", "t") == {10: 0.01, 20: 0.001}


@pytest.mark.parametrize(
    "text, told",
    [
        ("10,0.1", "first line"),
        ("step,learning_rate", "no line"),
        ("step,learning_rate\n10", "not a line of a step"),
        ("step,learning_rate\n1.5,0.1", "whole number"),
        ("step,learning_rate\n1,-0.1", "can't be a learning rate"),
        ("step,learning_rate\n1,nan", "can't be a learning rate"),
        ("step,learning_rate\n1,0.1\n1,0.2", "two learning rates"),
    ],
)
def test_what_is_no_table_is_refused(text: str, told: str) -> None:
    """In one sentence, with its place."""
    with pytest.raises(RequestError, match=f"^t.csv: .*{told}"):
        decode_rate_table(text, "t.csv")


def test_between_lines_only_what_is_certain() -> None:
    """Between two lines of one rate it is that rate; elsewhere it is not known."""
    assert rate_at(RATES, 20) == 0.005
    assert rate_at(RATES, 35) == 0.0025
    assert [rate_at(RATES, step) for step in (5, 15, 50)] == [None, None, None]


@pytest.mark.parametrize("given", [RATES, RATES.__getitem__, encode_rate_table(RATES)])
def test_each_checkpoint_gets_its_own_rate(tmp_path: Path, given: object) -> None:
    """From a mapping, a function of the step, or a table's text; stored as given."""
    save_series(tmp_path / "run", 4)
    frame = analyze(tmp_path / "run", given={"learning_rate": given}).to_frame()  # type: ignore[dict-item]  # see `Given`
    assert frame.groupby("step")["learning_rate"].first().to_dict() == RATES
    assert set(frame["learning_rate_source"]) == {"given"}
    (result,) = analyze_runs(tmp_path / "run", given={"learning_rate": given})  # type: ignore[dict-item]
    assert result.analyses is not None
    assert not [f for f in result.analyses.findings if f.id == "one-rate-for-all"]


def test_a_step_that_the_table_lacks_is_reported(tmp_path: Path) -> None:
    """The rate is then what the file says, and a Problem says so."""
    (path,) = save_series(tmp_path / "run", 1)
    (state,) = optimizer_states(path, {"learning_rate": {20: 0.1}})  # type: ignore[dict-item]
    assert state.hyperparameters["learning_rate"].value is None
    assert "rate-not-in-table" in {p.code for p in state.problems}


def test_one_step_for_a_series_is_refused(tmp_path: Path) -> None:
    """Of a single checkpoint it is taken."""
    paths = save_series(tmp_path / "run", 2)
    with pytest.raises(RequestError, match="one step was given for all 2 checkpoints"):
        analyze(tmp_path / "run", given={"step": 20})
    assert set(analyze(paths[0], given={"step": 20}).to_frame()["step"]) == {20}
