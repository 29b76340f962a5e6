"""A model that is built anew in a process: its parameters keep their first names in the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.adam_runs import AdamRun

from ckpt_inspect import analyze, find_runs

SHAPES = {"dense/kernel": (6, 5), "dense/bias": (5,), "dense_1/kernel": (5, 5), "dense_1/bias": (5,)}


def anew(run: AdamRun, **names: str) -> AdamRun:
    """The same run under other names of its layers."""
    for state in (run.weights, run.first, run.second):
        for name in list(state):
            layer, _, role = name.partition("/")
            state[f"new {names[layer]}/{role}"] = state.pop(name)
        for name in list(state):
            state[name.removeprefix("new ")] = state.pop(name)
    return run


def resumed(folder: Path, **names: str) -> None:
    """Three checkpoints, and two more under other names."""
    run = AdamRun(SHAPES)
    for _ in range(3):
        run.train(20).save(folder / f"m-{run.step:03}.h5")
    anew(run, **names)
    for _ in range(2):
        run.train(20).save(folder / f"m-{run.step:03}.h5")


def test_a_run_under_new_names_is_what_it_is_under_the_old_ones(tmp_path: Path) -> None:
    """Every figure is the same, and one remark says what was assumed."""
    for name, names in (
        ("plain", {"dense": "dense", "dense_1": "dense_1"}),
        ("new", {"dense": "dense_2", "dense_1": "dense_3"}),
        ("next", {"dense": "dense_1", "dense_1": "dense_2"}),  # a name that both have is of two layers
    ):
        (tmp_path / name).mkdir()
        resumed(tmp_path / name, **names)
    plain = analyze(tmp_path / "plain").optimizers["optimizer"].variables
    for name in ("new", "next"):
        (run,) = find_runs(tmp_path / name)
        analyses = analyze(run)
        assert len(analyses) == 5
        found = analyses.optimizers["optimizer"].variables
        for variable in ("parameter", "update_rms", "second_moment_sample", "weight_rms"):
            np.testing.assert_array_equal(found[variable], plain[variable])
        (remark,) = [r for r in analyses.remarks if r.problem.code == "parameters-renamed"]
        assert remark.checkpoint == "m-080.h5"
        assert "assumed to be the same" in remark.problem.resolution


def test_a_store_that_grows_has_the_first_names_too(tmp_path: Path) -> None:
    """As if all had been read at once."""
    folder = tmp_path / "run"
    folder.mkdir()
    resumed(folder, dense="dense_2", dense_1="dense_3")
    files = sorted(folder.iterdir())
    store = tmp_path / "run.ckpt-inspect.h5"
    analyze(files[:3], store=store)
    grown = analyze(files, store=store).optimizers["optimizer"].variables
    at_once = analyze(files).optimizers["optimizer"].variables
    for variable in ("parameter", "update_rms", "second_moment_sample"):
        np.testing.assert_array_equal(grown[variable], at_once[variable])


def test_another_architecture_keeps_its_names(tmp_path: Path) -> None:
    """Where shapes differ nothing is taken for the same."""
    AdamRun(SHAPES).train(20).save(tmp_path / "a.h5")
    AdamRun({"dense_2/kernel": (6, 4), "dense_2/bias": (4,)}).train(40).save(tmp_path / "b.h5")
    analyses = analyze([tmp_path / "a.h5", tmp_path / "b.h5"])
    assert len(analyses.optimizers["optimizer"].variables["parameter"]) == 6
    assert not [r for r in analyses.remarks if r.problem.code == "parameters-renamed"]
