"""A rule's own hyperparameters on their way through a run: store, frames, documents, tables, findings."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import Run

from ckpt_inspect import Analyses, analyze, load
from ckpt_inspect.findings.checks import find_findings
from ckpt_inspect.measurement.variables import FURTHER_VARIABLES, OPTIMIZER_VARIABLES
from ckpt_inspect.presentation.documents import run_document
from ckpt_inspect.presentation.tables.run import run_tables

FURTHER_OF_RADAM = ("sma_threshold", "total_steps", "warmup_proportion", "min_lr")


def _analyses(folder: Path, rule: str, store: Path | None = None) -> Analyses:
    if not folder.is_dir():
        save_series(folder, 3)
    return analyze(folder, store=store, given={"learning_rate": 0.01, "rule": rule})


def _shown(analyses: Analyses) -> list[str]:
    table = next(t for t in run_tables(analyses) if t.title == "Optimizer Adam")
    return [row[0] for row in table.rows]


def test_adam_has_no_columns_but_the_common(tmp_path: Path) -> None:
    """Its store is what it was: nothing of another rule's."""
    variables = _analyses(tmp_path / "run", "adam").optimizers["Adam"].variables
    assert not {v.name for own in FURTHER_VARIABLES.values() for v in own} & set(variables)
    assert {v.name for v in OPTIMIZER_VARIABLES if v.dimensions == ("checkpoint",)} <= set(variables)


def test_radam_s_are_stored_and_read_back(tmp_path: Path) -> None:
    """Each as a number with its source and place, in every checkpoint."""
    store = tmp_path / "s.h5"
    analyses = _analyses(tmp_path / "run", "radam", store)
    assert load(store) == analyses
    variables = analyses.optimizers["Adam"].variables
    assert variables["sma_threshold"].tolist() == [5.0] * 3
    assert variables["sma_threshold_source"].tolist() == ["default"] * 3
    assert "assumed" in variables["warmup_proportion_where"][0]
    with h5py.File(store) as file:
        assert file["Adam"]["sma_threshold"].attrs["long_name"] == "sma threshold"
        assert set(FURTHER_OF_RADAM) <= set(file["Adam"])


def test_a_store_without_them_is_read(tmp_path: Path) -> None:
    """An older store has no such columns: they are missing, and come with the next analysis."""
    store = tmp_path / "s.h5"
    _analyses(tmp_path / "run", "radam", store)
    with h5py.File(store, "r+") as file:
        for own in FURTHER_VARIABLES.values():
            for variable in own:
                if variable.name in file["Adam"]:
                    del file["Adam"][variable.name]
    assert "sma_threshold" not in load(store).optimizers["Adam"].variables
    assert "sma_threshold" not in _shown(load(store))
    save_bundle(Run(1).train(40), tmp_path / "run" / "model.ckpt-40")
    grown = _analyses(tmp_path / "run", "radam", store).optimizers["Adam"].variables
    np.testing.assert_array_equal(grown["sma_threshold"], [np.nan, np.nan, np.nan, 5.0])
    assert grown["sma_threshold_source"].tolist() == ["", "", "", "default"]


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("adam", ["learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"]),
        ("rmsprop", ["learning_rate", "epsilon", "weight_decay", "rho", "momentum", "centered"]),
        ("radam", ["learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay", *FURTHER_OF_RADAM]),
    ],
)
def test_tables_show_the_rule_s(tmp_path: Path, rule: str, names: list[str]) -> None:
    """RMSprop's has rho and momentum and no beta that it doesn't have."""
    assert _shown(_analyses(tmp_path / "run", rule)) == ["rule", "step", *names]


def test_frames_and_documents_have_them(tmp_path: Path) -> None:
    """As columns of the frame of parameters, in the xarray tree, and in the JSON."""
    analyses = _analyses(tmp_path / "run", "radam")
    assert (analyses.to_frame()["sma_threshold"] == 5).all()
    assert run_document(analyses, None)["optimizers"][0]["sma_threshold"] == [5.0] * 3
    xarray = pytest.importorskip("xarray")
    assert isinstance(analyses.to_xarray(), xarray.DataTree)
    assert analyses.to_xarray()["Adam"]["sma_threshold"].dims == ("checkpoint",)
    assert "rho" not in analyses.to_frame()


def test_assumed_ones_are_a_finding(tmp_path: Path) -> None:
    """With what gives them; a default of 0 switches something off, and is no assumption."""
    analyses = _analyses(tmp_path / "run", "radam")
    (finding,) = [f for f in find_findings(analyses) if f.id == "hyperparameters-assumed"]
    assert "sma_threshold = 5" in finding.title
    assert "total_steps" not in finding.title
    assert "--set Adam.sma_threshold=.." in finding.action
