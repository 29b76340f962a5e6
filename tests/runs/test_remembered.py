"""What a long run's store remembers of the whole run is what would be found in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_bundles import save_series

from ckpt_inspect import Analyses, analyze, find_findings, load
from ckpt_inspect.findings.checks import KINDS
from ckpt_inspect.findings.finding import Evidence, Finding, Limit, Severity
from ckpt_inspect.findings.restarts import run_segments
from ckpt_inspect.runs import analyze as analysing
from ckpt_inspect.runs import remembered, store
from ckpt_inspect.runs.remembered import Remembered, findings_of, segments_of


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of a run that counts as long."""
    monkeypatch.setattr(analysing, "LONG", 3)
    monkeypatch.setattr(store, "LARGE", 0)
    save_series(tmp_path / "run", 6)
    analyze(tmp_path / "run", store=tmp_path / "s.h5")
    return tmp_path / "s.h5"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of the two ways through a whole run were gone."""
    gone: list[str] = []
    monkeypatch.setattr(remembered, "find_findings", lambda run: gone.append("findings") or find_findings(run))
    monkeypatch.setattr(remembered, "run_segments", lambda run: gone.append("segments") or run_segments(run))
    return gone


def test_what_is_remembered_is_not_sought(path: Path, looks: list[str]) -> None:
    """It is the same to the last digit."""
    run = load(path)
    assert run.findings == find_findings(run)
    assert run.findings
    assert run.segments == run_segments(run)
    assert looks == []


def test_other_thresholds_or_a_part_of_the_run_are_looked_at(path: Path, looks: list[str]) -> None:
    """What a store remembers is about all of it."""
    run = load(path)
    findings_of(replace(run, thresholds={"update_to_weight_max": 1e-9}))
    findings_of(replace(run, optimizers={}))
    segments_of(replace(run, checkpoints=dict(run.checkpoints)))
    findings_of(replace(run, remarks=()))
    assert looks == ["findings", "findings", "segments"]  # without remarks it is the same, since it had none


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"writer": 1}', "[" * 100_000])
def test_what_makes_no_sense_is_sought(path: Path, looks: list[str], text: str) -> None:
    """As what another version wrote is."""
    with h5py.File(path, "r+") as file:
        del file["findings/remembered"]
        file["findings"].create_dataset("remembered", data=text, dtype=h5py.string_dtype())
    run = load(path)
    assert isinstance(run, Analyses)
    assert run.findings == find_findings(run)
    assert looks == ["findings"]


def test_another_kind_of_variable_is_sought(path: Path, looks: list[str]) -> None:
    """And the store is read all the same."""
    with h5py.File(path, "r+") as file:
        del file["findings/remembered"]
        file["findings"].create_dataset("remembered", data=np.zeros(3))
    assert load(path).segments
    assert looks == ["segments"]


def test_every_finding_comes_back() -> None:
    """Figures that JSON has no number for as well."""
    figures = {"a": float("inf"), "b": 0.1 + 0.2, "c": "text \ud800"}
    limits = (Limit("update_to_weight_max", 0.1, "given"),)
    findings = tuple(
        Finding(
            kind, Severity.INFO, "title", "o", ("p\0q",), ("c1", "c2"), (1, None),
            (Evidence("p", "c1", None, figures), Evidence("", "c2", 3, {})), limits, "action",
        )
        for kind in KINDS
    )  # fmt: skip
    whole = Remembered(findings, (), {"update_to_weight_max": 0.1})
    assert remembered.remembered(whole.text()) == whole
