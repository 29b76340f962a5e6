"""Stores whose columns are read when they are asked for: the same answers as in memory, with few readings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze, load
from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.measurement.columns import Remark, Rows, RunColumns
from ckpt_inspect.presentation.chosen_run import ChosenRun
from ckpt_inspect.presentation.results import Analyses
from ckpt_inspect.runs.store import load_large
from ckpt_inspect.runs.stored_runs import Pick, stored_run
from ckpt_inspect.state.selection import Selection


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ckpt_inspect.runs.store._SHORT_RUN", 0)  # which would be read at once
    save_series(tmp_path / "run", steps=6)
    analyze(tmp_path / "run", given={"learning_rate": 0.01}, store=tmp_path / "run.h5")
    return tmp_path / "run.h5"


def read_of(run: RunColumns, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of an optimizer's columns that are read from now on."""
    names: list[str] = []
    stored = stored_run(run)
    assert stored is not None
    read = stored.read

    def noted(pick: Pick, rows: Rows) -> RunColumns:
        names.extend(name for optimizer, own in pick.items() if optimizer for name in own)
        return read(pick, rows)

    monkeypatch.setattr(stored, "read", noted)
    return names


@pytest.mark.parametrize("kind", ["parameters", "histogram", "sample"])
def test_frame_of_some_checkpoints_is_that_of_a_run_in_memory(store: Path, kind: str) -> None:
    """Those columns that a kind is made of are enough for it."""
    expected, found = (Analyses.of(run).to_frame(kind, [0, 3, 4]) for run in (load(store), load_large(store)))
    assert len(found)
    pd.testing.assert_frame_equal(found, expected)


def test_histogram_of_some_checkpoints_reads_nothing_else(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of a long run asks for few checkpoints' bins; the other columns are many times as many bytes."""
    run = load_large(store)
    names = read_of(run, monkeypatch)
    Analyses.of(run).to_frame("histogram", [0, 3])
    assert sorted(names) == ["effective_lr_histogram", "step"]


def test_rows_have_the_remarks_on_them(store: Path) -> None:
    """Those on other checkpoints, and on the whole run, stay behind."""
    stored = stored_run(load_large(store))
    assert stored is not None
    names = stored.columns().checkpoints["checkpoint"].tolist()
    on_each = tuple(Remark(name, "", Problem("odd", name, "")) for name in (*names, ""))
    stored.outline = replace(stored.outline, remarks=on_each)
    assert stored.rows(2, 4).remarks == on_each[2:4]


def test_a_report_looks_at_a_run_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings and segments come of one look, and what was seen is not read again."""
    run = ChosenRun(load_large(store), Selection.of(None, None), is_drawn=True)
    run.to_frame("parameters")
    findings, segments = run.findings, run.segments
    names = read_of(run._run, monkeypatch)
    assert (run.findings, run.segments) == (findings, segments)
    assert not names


def test_what_a_report_draws_is_read_in_one_go(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading takes a copy of the process."""
    run = load_large(store)
    names = read_of(run, monkeypatch)
    ChosenRun(run, Selection.of(None, None), is_drawn=True).to_frame("parameters")
    assert len(names) == len(set(names))
    assert "update_max" not in names
