"""Stores that earlier versions wrote: fixtures/stores, made by scripts/record_stores.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.command_line import Answer

from ckpt_inspect import analyze, load
from ckpt_inspect.measurement.variables import METRICS, WINDOW_METRICS

FIXTURES = Path(__file__).parents[2] / "fixtures"
STORES = sorted((FIXTURES / "stores").glob("*.h5"))
NAMES = ("epoch-01.keras", "epoch-02.keras", "epoch-03.keras")
MODIFIED = 1_700_000_000


@pytest.fixture(params=STORES, ids=[store.stem for store in STORES])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One of them, and the checkpoints that it holds, where it says that they lie."""
    store = tmp_path / "run.h5"
    shutil.copyfile(request.param, store)
    folder = tmp_path / "digits"
    folder.mkdir()
    for name in NAMES:
        shutil.copyfile(FIXTURES / "digits" / name, folder / name)
        os.utime(folder / name, (MODIFIED, MODIFIED))
    with h5py.File(store, "r+") as file:
        for name in ("path", "files"):
            file[name][...] = [text.replace("/digits/", f"{folder}/") for text in file[name].asstr()[...]]
    return store


def without(store: Path, *names: str) -> None:
    """Take some figures out, as a version that didn't know them would have left them."""
    with h5py.File(store, "r+") as file:
        for name in names:
            del file["optimizer"][name]


def test_there_is_one_of_each_version_before() -> None:
    """0.1.0 was the first."""
    assert {store.stem for store in STORES} >= {"0.1.0", "0.2.0", "0.3.0"}


def test_it_loads_and_holds_the_figures_of_today(store: Path) -> None:
    """Those that are measured now from the same checkpoints; those that the version didn't know are not known."""
    former = load(store)
    with h5py.File(store) as file:
        known = set(file["optimizer"])
    now = analyze([store.parent / "digits" / name for name in NAMES[:2]])
    for name, variable in former.optimizers["optimizer"].variables.items():
        if variable.dtype.kind == "f" and name not in known:
            assert np.isnan(variable).all(), name
        elif variable.dtype.kind == "f" and name in now.optimizers["optimizer"].variables:
            np.testing.assert_allclose(variable, now.optimizers["optimizer"].variables[name], rtol=1e-6, err_msg=name)


def test_it_grows(store: Path) -> None:
    """What it holds is not read again, and the third checkpoint has every figure of today."""
    former = load(store)
    grown = analyze(store.parent / "digits", store=store)
    assert list(grown.checkpoints["checkpoint"]) == list(NAMES)
    assert not grown.failures
    before, after = (run.optimizers["optimizer"].variables["effective_lr"] for run in (former, grown))
    np.testing.assert_array_equal(before, after[:2])
    alone = analyze(store.parent / "digits" / NAMES[2])
    for variable in METRICS:
        np.testing.assert_array_equal(
            grown.optimizers["optimizer"].variables[variable.name][2],
            alone.optimizers["optimizer"].variables[variable.name][0],
        )
    assert load(store) == grown


def test_it_is_reported_and_exported(store: Path) -> None:
    """By the commands."""
    assert Answer("export", store, "--to", "csv", "-o", store.with_name("t.csv"), "-q").code == 0
    assert Answer("report", store, "-o", store.with_name("page"), "--figures", "layers-by-step", "-q").code == 0


def test_a_figure_that_it_lacks_is_not_known_and_named(store: Path) -> None:
    """NaN, with a Problem that says why; what is read anew has it."""
    without(store, "decay_balance", "moment_bound")
    former = load(store)
    assert np.isnan(former.optimizers["optimizer"].variables["moment_bound"]).all()
    (problem,) = [problem for problem in former.problems if problem.code == "not-in-store"]
    with h5py.File(store) as file:
        later = [variable.name for variable in WINDOW_METRICS if variable.name not in file["optimizer"]]
    assert problem.message == f"{', '.join(['moment_bound', 'decay_balance', *later])} are not in this store"
    assert problem.severity == "info"
    grown = analyze(store.parent / "digits", store=store)
    assert np.isnan(grown.optimizers["optimizer"].variables["moment_bound"]).all(axis=1).tolist() == [True, True, False]
