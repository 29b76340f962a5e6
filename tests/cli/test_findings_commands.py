"""Findings and explanations on the command line, in the store and in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_runs import AdamRun, noise
from support.command_line import Answer

from ckpt_inspect import analyze, load
from ckpt_inspect.errors import NotFoundError
from ckpt_inspect.findings.checks import KINDS
from ckpt_inspect.findings.explanations import _ALIASES, EXPLANATIONS, explain
from ckpt_inspect.findings.thresholds import THRESHOLDS
from ckpt_inspect.measurement.variables import DISTRIBUTIONS, METRICS, WINDOW_METRICS
from ckpt_inspect.presentation.tables.explained import explanation_tables
from ckpt_inspect.presentation.tables.findings import finding_tables

STORE = "run.ckpt-inspect.h5"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose biases get next to no gradient; the current directory is empty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    run = AdamRun({"a/kernel": (12, 5), "a/bias": (5,)})
    for _ in range(2):
        run.train(20, lambda n, w, rng: noise(n, w, rng) * (1e-9 if n == "a/bias" else 1))
        run.save(tmp_path / "run" / f"m-{run.step}.h5")
    return tmp_path / "run"


# --- analyze


def test_findings_that_warn_are_printed_with_what_to_do(folder: Path) -> None:
    """Those of severity info are counted, and shown with -v."""
    out = Answer("analyze", folder).out
    (at,) = (i for i, line in enumerate(out.splitlines()) if line.startswith("warning"))
    found, action = out.splitlines()[at : at + 2]
    assert "a/bias (100 %)" in found
    assert action.startswith("         epsilon-dominated: Lower ε")
    assert "1 of severity info: -v shows them; ckpt-inspect explain epsilon-dominated says more" in out
    assert "\n         bias-correction: " in Answer("analyze", folder, "-v").out


def test_where_nothing_warns_it_is_said(folder: Path) -> None:
    """In one line."""
    assert "findings  no warning; 1 of severity info: -v shows them" in Answer(
        "analyze", folder, "--exclude", "a/bias", "-o", "x.h5"
    ).out  # fmt: skip


@pytest.mark.parametrize(("severity", "code"), [("info", 1), ("warning", 1), ("critical", 0)])
def test_fail_on_sets_the_exit_code(folder: Path, severity: str, code: int) -> None:
    """1 where there is a finding of at least that severity, with a sentence also when quiet."""
    answer = Answer("analyze", folder, "--fail-on", severity, "-q")
    assert answer.code == code
    assert ("epsilon-dominated" in answer.remarks) == bool(code)
    if severity == "warning":
        assert answer.sentence == "run: has findings of severity warning or critical: epsilon-dominated"
    assert Path(STORE).exists()


def test_thresholds_can_be_set_and_are_stored(folder: Path) -> None:
    """What was found by others is replaced, without reading the checkpoints anew."""
    assert "epsilon-dominated" in Answer("analyze", folder).out
    before = load(STORE)
    assert "epsilon-dominated" not in Answer("analyze", folder, "--threshold", "epsilon_dominated=2").out
    after = load(STORE)
    assert before.thresholds == {}
    assert after.thresholds == {"epsilon_dominated": 2.0}
    assert {f.id for f in before.findings} - {f.id for f in after.findings} == {"epsilon-dominated"}
    with h5py.File(STORE) as file:
        assert json.loads(file["findings"].attrs["thresholds"]) == {"epsilon_dominated": 2.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "starved"], "Invalid value for --threshold: 'starved' is not of the form NAME=VALUE"),
        (["--threshold", "starved=much"], "'much' in 'starved=much' is not a number"),
        (["--threshold", "starve=1"], "there is no threshold 'starve': did you mean starved"),
        (["--fail-on", "error"], "Invalid value for --fail-on: 'error' is none of info, warning, critical"),
    ],
)
def test_wrong_usage(folder: Path, arguments: list[str], message: str) -> None:
    """Exit status 2, before anything is read."""
    answer = Answer("analyze", folder, *arguments)
    assert answer.code == 2
    assert message in " ".join(answer.remarks.split())
    assert not Path(STORE).exists()


def test_the_store_holds_the_findings(folder: Path) -> None:
    """As text that any reader of HDF5 can read, evidence and thresholds as JSON."""
    analyses = analyze(folder, store=STORE)
    with h5py.File(STORE) as file:
        stored = {name: list(column.asstr()) for name, column in file["findings"].items() if column.dtype == object}
    assert stored["id"] == [f.id for f in analyses.findings]
    assert stored["title"] == [f.title for f in analyses.findings]
    assert stored["parameters"][0] == "a/bias"
    assert stored["checkpoints"][0] == "m-40.h5"
    assert json.loads(stored["evidence"][0])[0]["figures"] == {"epsilon_dominated": 1.0}
    assert json.loads(stored["thresholds"][0])[0]["name"] == "epsilon_dominated"
    assert load(STORE) == analyses
    assert load(STORE).findings == analyses.findings


def test_the_document_holds_the_findings(folder: Path) -> None:
    """With everything that a finding has; infinite figures are null."""
    (run,) = json.loads(Answer("analyze", folder, "--json").out)["runs"]
    assert [f["id"] for f in run["findings"]] == ["epsilon-dominated", "bias-correction"]
    assert set(run["findings"][0]) == {
        "id", "severity", "title", "optimizer", "parameters", "checkpoints", "steps", "why", "action", "evidence",
        "thresholds",
    }  # fmt: skip
    assert run["findings"][0]["steps"] == [40]


def test_several_optimizers_are_told_apart_in_the_table(folder: Path) -> None:
    """The optimizer's name stands before the finding only where there are several."""
    findings = analyze(folder).findings
    (table,) = finding_tables(findings)
    assert table.rows[0][1].startswith("In 1 of 2 tensors")
    from dataclasses import replace

    (table,) = finding_tables((*findings, replace(findings[0], optimizer="other")))
    assert [row[1].partition(":")[0] for row in table.rows[::2]] == ["optimizer", "other"]


# --- explain


def test_every_figure_and_finding_is_explained() -> None:
    """Definition, how to read it and source; a formula for every figure, what to do for every finding."""
    computed = {
        "metric": [v.name for v in (*METRICS, *WINDOW_METRICS, *DISTRIBUTIONS)],
        "finding": [kind.id for kind in KINDS],
    }
    for sort, names in computed.items():
        assert {e.name for e in EXPLANATIONS.values() if e.sort == sort} == {*names}
    for e in EXPLANATIONS.values():
        assert e.definition, e.name
        assert e.reading, e.name
        assert e.source, e.name
        assert e.formula or e.sort not in ("metric", "comparison"), e.name
        assert bool(e.action) == (e.sort == "finding"), e.name
        assert set(e.see) <= {*EXPLANATIONS, "dtype"}, e.name


def test_what_diff_computes_is_explained_and_nothing_else(folder: Path) -> None:
    """Every figure of a parameter in the document, but for identities, sizes and what a ratio is made of."""
    first, last = sorted(folder.iterdir())
    rows = json.loads(Answer("diff", first, last, "--json").out)["parameters"]
    parts = {"weight_norm", "weight_distance", "effective_lr", "is_effective_lr_relative", "slot_changes"}
    identity = {"optimizer", "parameter", "status", "size", "shape", "dtype"}
    computed = {name for name in rows[0] if name.removesuffix("_a").removesuffix("_b") not in parts | identity}
    assert {e.name for e in EXPLANATIONS.values() if e.sort == "comparison"} == computed


def test_every_threshold_is_explained_by_a_finding() -> None:
    """With its default and its source."""
    told = {limit.name: limit for e in EXPLANATIONS.values() for limit in e.thresholds}
    assert {name: limit.value for name, limit in told.items()} == {n: f.default for n, f in THRESHOLDS.items()}
    assert all(limit.source for limit in told.values())


def test_explain_tells_everything_about_a_name() -> None:
    """A finding's name and a figure's may be the same but for the hyphen: then both are told."""
    answer = Answer("explain", "epsilon-dominated")
    assert answer.code == 0
    lines = {line.partition("  ")[0]: line for line in answer.out.splitlines()}
    assert "√v < ε" in lines["formula"]
    assert "0.5 (Wortsman et al." in lines["threshold epsilon_dominated"]
    assert "epsilon-dominated: Tensors whose gradients are lost in ε" in lines
    assert "θ weights" in answer.out


@pytest.mark.parametrize("name", ["update-to-weight", "update_to_weight", "Update to Weight"])
def test_names_may_be_written_in_several_ways(name: str) -> None:
    """Hyphens, underscores, blanks and capitals."""
    assert [e.name for e in explain(name)] == ["update_to_weight"]


def test_other_names_lead_to_the_same() -> None:
    """Each alias is of something, and hides no name."""
    plain = {name.replace("_", "-") for name in EXPLANATIONS}
    assert set(_ALIASES.values()) <= plain
    assert not set(_ALIASES) & plain
    assert [e.name for e in explain("displacement")] == ["weight_change"]


def test_explain_alone_lists_all_names() -> None:
    """A line each."""
    listed = {line.split()[0] for line in Answer("explain").out.splitlines() if line}
    assert set(EXPLANATIONS) <= listed


def test_an_unknown_name_is_answered_with_the_near_ones() -> None:
    """One sentence, exit status 1."""
    answer = Answer("explain", "untuched")
    assert answer.code == 1
    assert answer.sentence.startswith("there is nothing called 'untuched' to explain: did you mean untouched")
    with pytest.raises(NotFoundError, match="`ckpt-inspect explain` lists all names"):
        explain("xyzzy")


def test_explanations_as_a_document() -> None:
    """--json gives all that is known of the names."""
    document = json.loads(Answer("explain", "starved-elements", "--json").out)
    (explanation,) = document["explanations"]
    assert explanation["severity"] == "warning"
    assert [t["name"] for t in explanation["thresholds"]] == ["starved", "starved_inflation", "dead_units"]


def test_no_row_of_an_explanation_is_empty() -> None:
    """What doesn't apply has no line."""
    for table in explanation_tables(EXPLANATIONS.values()):
        assert all(text for row in table.rows for text in row)
        assert np.all([len(row) == 2 for row in table.rows])
