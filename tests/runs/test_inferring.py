"""What a run's checkpoints tell together reaches figures and store, also when files come and go."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_runs import AdamRun
from support.bundle_writer import write_bundle
from support.silent_runs import SHAPES, save_run, save_without_config, silent_rows

from ckpt_inspect import Analyses, analyze, find_checkpoints, load, write_report
from ckpt_inspect.comparison import observing
from ckpt_inspect.measurement.columns import Column
from ckpt_inspect.presentation.tables.run import run_tables
from ckpt_inspect.runs import analyze as analysing
from ckpt_inspect.runs import inferring, kept_elements, saving
from ckpt_inspect.runs import store as stores

TRUTH = {"beta_1": 0.8, "beta_2": 0.98, "epsilon": 1e-5}
STEPS = (100, 120, 150)


def column(run: Analyses, name: str) -> Column:
    """A variable of the one optimizer."""
    (optimizer,) = run.optimizers.values()
    return optimizer.variables[name]


def sources(run: Analyses, name: str) -> list[str]:
    return list(column(run, f"{name}_source"))


def codes(run: Analyses) -> list[str]:
    return [remark.problem.code for remark in run.remarks]


def is_true(run: Analyses, name: str) -> bool:
    """Whether every checkpoint has the value that was used, inferred."""
    return set(sources(run, name)) == {"inferred"} and np.allclose(column(run, name), TRUTH[name], rtol=0.05)


def test_figures_are_those_of_the_values_that_were_used(tmp_path: Path) -> None:
    """Inferred betas and epsilon give the effective learning rates that the same values give when they are given."""
    save_run(tmp_path, STEPS, **TRUTH)
    inferred, given = analyze(tmp_path), analyze(tmp_path, given=TRUTH)
    assert all(is_true(inferred, name) for name in TRUTH)
    np.testing.assert_allclose(column(inferred, "effective_lr"), column(given, "effective_lr"), rtol=1e-3)
    assumed = analyze(tmp_path, infer=False)
    assert sources(assumed, "beta_2") == ["default"] * 3
    assert not np.allclose(column(assumed, "effective_lr"), column(given, "effective_lr"), rtol=0.1)


def test_what_is_given_stands(tmp_path: Path) -> None:
    """Values that the caller gives are not replaced."""
    save_run(tmp_path, STEPS, **TRUTH)
    run = analyze(tmp_path, given={"beta_2": 0.98, "epsilon": 1e-3})
    assert sources(run, "epsilon") == ["given"] * 3
    assert sources(run, "beta_1") == ["inferred"] * 3


def test_an_executor_gives_the_same(tmp_path: Path) -> None:
    """Units of work carry what was inferred."""
    save_run(tmp_path, STEPS, **TRUTH)
    with ProcessPoolExecutor(1) as executor:
        assert analyze(tmp_path, executor=executor) == analyze(tmp_path)


def test_no_element_is_read_if_nothing_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that hold all of it cost nothing."""
    run = AdamRun(SHAPES)
    for step in STEPS:
        run.train(step - run.step).save(tmp_path / f"m-{step}.h5")
    monkeypatch.setattr(observing, "read_chosen", None)
    assert sources(analyze(tmp_path, store=tmp_path / "s.h5"), "beta_2") == ["config"] * 3


def test_a_later_checkpoint_corrects_earlier_ones(tmp_path: Path) -> None:
    """What was stored with defaults is read again when evidence comes, and then the store is as if all had come at
    once."""
    paths, store = save_run(tmp_path / "run", STEPS, **TRUTH), tmp_path / "s.h5"
    first = analyze(paths[:1], store=store)
    assert sources(first, "beta_2") == ["default"]
    assert analyze(paths, store=store) == analyze(paths)
    assert all(is_true(load(store), name) for name in TRUTH)
    before = store.stat().st_mtime_ns
    analyze(paths, store=store)
    assert store.stat().st_mtime_ns == before


def test_a_file_that_is_gone_is_still_evidence(tmp_path: Path) -> None:
    """The store keeps elements of it; its own figures stay as they were, which is a Problem."""
    paths, store = save_run(tmp_path / "run", STEPS[:2], **TRUTH), tmp_path / "s.h5"
    analyze(paths[:1], store=store)
    paths[0].unlink()
    run = analyze(tmp_path / "run", store=store)
    assert sources(run, "beta_2") == ["default", "inferred"]
    assert column(run, "beta_2")[1] == 0.98
    assert codes(run) == ["inferred-late"]
    assert "beta_2 = 0.98 in place of 0.999" in run.remarks[0].problem.message
    assert load(store) == run


def test_what_was_inferred_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the files gone, and too few elements kept to show it again, what was inferred holds for what follows."""
    monkeypatch.setattr(kept_elements, "KEPT_ELEMENTS", 60)
    store = tmp_path / "s.h5"
    paths = save_run(tmp_path / "run", (*STEPS, 160), **TRUTH)
    last = paths.pop().rename(tmp_path / "last.h5")
    analyze(paths, store=store)
    for path in paths:
        path.unlink()
    last.rename(tmp_path / "run" / "m-0160.h5")
    monkeypatch.setattr(observing, "BUDGET", 60)
    run = analyze(tmp_path / "run", store=store)
    assert is_true(run, "beta_2")
    assert not codes(run)


def test_more_evidence_leaves_no_downgrade(tmp_path: Path) -> None:
    """A window without silent elements takes nothing back."""
    paths, store = save_run(tmp_path / "run", STEPS, **TRUTH), tmp_path / "s.h5"
    analyze(paths, store=store)
    run = AdamRun(SHAPES, **TRUTH)
    for window, step in enumerate(STEPS):
        run.train(step - run.step, silent_rows(0.3 if window else 0.0, window))
    save_without_config(run.train(400, silent_rows(0.0, 0)), tmp_path / "run" / "m-0550.h5")
    assert all(is_true(analyze(tmp_path / "run", store=store), name) for name in ("beta_1", "beta_2"))


def test_a_checkpoint_that_cannot_be_read_takes_no_part(tmp_path: Path) -> None:
    """The others tell what they tell."""
    paths = save_run(tmp_path, (*STEPS, 200), **TRUTH)
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    run = analyze(tmp_path)
    assert len(run.failures) == 1
    assert len(run.checkpoints["path"]) == 3
    assert set(sources(run, "beta_2")) == {"inferred"}


def test_two_runs_in_one_folder_keep_their_own(tmp_path: Path) -> None:
    """Pairs that are not neighbours are tried."""
    save_run(tmp_path, (200, 300, 400), **TRUTH)
    save_run(tmp_path, (250, 350, 450), unseen=0.2, beta_1=0.9, beta_2=0.95, epsilon=1e-7)
    run = analyze(tmp_path)
    np.testing.assert_allclose(column(run, "beta_2"), [0.98, 0.95] * 3)
    assert column(run, "window_updates").tolist()[2:] == [100] * 4


def test_a_change_that_was_inferred_says_so(tmp_path: Path) -> None:
    """No file holds these values: the finding names where each is from, and an epsilon's interval is no change."""
    save_run(tmp_path, (200, 300, 400), **TRUTH)
    save_run(tmp_path, (250, 350, 450), unseen=0.2, beta_1=0.8, beta_2=0.95, epsilon=1e-5)
    (finding,) = [f for f in analyze(tmp_path).findings if f.id == "hyperparameters-changed"]
    assert "beta_2 from 0.98, inferred to 0.95, inferred in" in finding.title
    assert "epsilon" not in finding.title


def test_a_store_without_inference_is_another(tmp_path: Path) -> None:
    """The options tell: results without it are done anew with it."""
    paths, store = save_run(tmp_path / "run", STEPS, **TRUTH), tmp_path / "s.h5"
    assert sources(analyze(paths, store=store, infer=False), "beta_2") == ["default"] * 3
    assert sources(analyze(paths, store=store), "beta_2") == ["inferred"] * 3


def test_what_was_left_uninferred_is_made_up_for(tmp_path: Path) -> None:
    """Without a new checkpoint: only what other numbers are known of is read again, and the store is then as if it had
    been inferred at once; a third time changes nothing."""
    paths, store = save_run(tmp_path / "run", STEPS, **TRUTH), tmp_path / "s.h5"
    analyze(paths, store=store, infer=False)
    assert analyze(paths, store=store) == analyze(paths)
    assert load(store) == analyze(paths)
    before = store.stat().st_mtime_ns
    assert analyze(paths, store=store) == load(store)
    assert store.stat().st_mtime_ns == before


def test_a_store_of_an_earlier_version_is_made_up_for(tmp_path: Path) -> None:
    """Its options say nothing of inference; it lacks what inference keeps."""
    paths, store = save_run(tmp_path / "run", STEPS, **TRUTH), tmp_path / "s.h5"
    analyze(paths, store=store, infer=False)
    with h5py.File(store, "r+") as file:
        options = json.loads(file.attrs["options"])
        del options["infer"]
        file.attrs["options"] = json.dumps(options, sort_keys=True)
    assert sources(analyze(paths, store=store), "beta_2") == ["inferred"] * 3


def test_what_can_no_longer_be_inferred_is_said(tmp_path: Path) -> None:
    """Of a file that is gone and was analysed without inference; it stays said when more come."""
    paths, store = save_run(tmp_path / "run", (*STEPS, 200), **TRUTH), tmp_path / "s.h5"
    last = paths.pop().rename(tmp_path / "last.h5")
    analyze(paths, store=store, infer=False)
    paths[0].unlink()
    run = analyze(tmp_path / "run", store=store)
    assert sources(run, "beta_2") == ["default", "inferred", "inferred"]
    assert codes(run) == ["inferred-never"]
    assert "was analysed without inference, and its file is gone" in run.remarks[0].problem.message
    last.rename(tmp_path / "run" / "m-0200.h5")
    assert codes(analyze(tmp_path / "run", store=store)) == ["inferred-never"]


def test_two_optimizers_are_asked_one_by_one(tmp_path: Path) -> None:
    """Each has its own betas, also where nothing in the files says whose beta powers are whose."""
    betas = {"Gen": 0.98, "Critic": 0.95}
    runs = {name: AdamRun(SHAPES, beta_2=beta_2) for name, beta_2 in betas.items()}
    for window, step in enumerate(STEPS):
        tensors = {"global_step": np.array(step, np.int64)}
        for tail, (name, run) in zip(("", "_1"), runs.items(), strict=True):
            run.train(step - run.step, silent_rows(0.3 if window else 0.0, window))
            for slot, arrays in (("", run.weights), (f"/{name}", run.first), (f"/{name}_1", run.second)):
                tensors |= {f"{name.lower()}/{variable}{slot}": array for variable, array in arrays.items()}
            tensors[f"beta1_power{tail}"] = np.float32(0.9 ** (step + 1))
            tensors[f"beta2_power{tail}"] = np.float32(betas[name] ** (step + 1))
        write_bundle(tmp_path / f"model-{step}", tensors)
    optimizers = analyze(tmp_path).optimizers
    assert {name: o.variables["beta_2"].tolist() for name, o in optimizers.items()} == {
        name: [beta_2] * 3 for name, beta_2 in betas.items()
    }


def test_contradictions_reach_store_tables_page_and_figures(tmp_path: Path) -> None:
    """Wherever a refuted value is shown, or figures rest on it, that is said."""
    run = AdamRun(SHAPES, beta_2=0.95)
    (tmp_path / "run").mkdir()
    fading = silent_rows(0.0, 0)
    save_without_config(run.train(200, fading), tmp_path / "run" / "m-200.h5")
    faded = run.train(40, lambda name, weight, rng: 0.1 * fading(name, weight, rng))
    save_without_config(faded, tmp_path / "run" / "m-240.h5")
    analyze(tmp_path / "run", store=tmp_path / "s.h5")
    analyses = load(tmp_path / "s.h5")
    assert sources(analyses, "beta_2") == ["default", "default"]
    against = column(analyses, "beta_2_contradiction")[1]
    assert "beta_2 is at most 0.9" in against
    assert np.isnan(column(analyses, "window_gradient_rms")).all()
    (finding,) = [f for f in analyses.findings if f.id == "hyperparameter-contradicted"]
    assert finding.title.startswith("beta_2 = 0.999 is assumed, contradicted: beta_2 is at most")
    (table,) = [t for t in run_tables(analyses) if t.title.startswith("Optimizer")]
    (row,) = [r for r in table.rows if r[0] == "beta_2"]
    assert "assumed, contradicted" in row
    assert against in row[-1]
    report = write_report(analyses, tmp_path / "report", names=["faded"])
    assert "beta_2 0.999 (assumed, contradicted)" in report.figures[0].subtitle
    assert against in report.page.read_text("utf-8")


def test_a_rate_that_no_file_holds_is_one_of_the_window(tmp_path: Path) -> None:
    """It is shown as such, and is no checkpoint's learning rate."""
    run = AdamRun(SHAPES, learning_rate=3e-3)
    for window, step in enumerate(STEPS):
        run.train(step - run.step, silent_rows(0.3 if window else 0.0, window))
        tensors = {**run.weights, "global_step": np.array(step, np.int64)}
        for slot, arrays in (("Adam", run.first), ("Adam_1", run.second)):
            tensors |= {f"{variable}/{slot}": array for variable, array in arrays.items()}
        write_bundle(
            tmp_path / f"model-{step}",
            {**tensors, "beta1_power": np.float32(0.9 ** (step + 1)), "beta2_power": np.float32(0.999 ** (step + 1))},
        )
    analyses = analyze(tmp_path)
    assert np.isnan(column(analyses, "learning_rate")).all()
    np.testing.assert_allclose(column(analyses, "window_learning_rate")[1:], 3e-3, rtol=1e-3)
    (table,) = [t for t in run_tables(analyses) if t.title.startswith("Optimizer")]
    assert next(r for r in table.rows if r[0] == "rate in between")[1].startswith("0.003")


@pytest.mark.parametrize("large", [1 << 24, 0], ids=["held", "read when it is asked for"])
def test_a_long_run_is_told_stretch_by_stretch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """Each stretch carries on from the one before, and another checkpoint makes only the last one be looked at."""
    monkeypatch.setattr(stores, "LARGE", large)
    save_run(tmp_path, tuple(range(100, 340, 20)), **TRUTH)
    whole = analyze(tmp_path)
    monkeypatch.setattr(inferring, "STRETCH", 4)
    monkeypatch.setattr(inferring, "LATER_STRETCH", 4)
    monkeypatch.setattr(inferring, "KEPT_CHECKPOINTS", 2)
    paths = find_checkpoints(tmp_path)
    analyze(paths[:-1], store=tmp_path / "s.h5")
    looked_at: list[str] = []
    look = observing.Glimpse.of
    monkeypatch.setattr(
        observing.Glimpse, "of", lambda name, *rest, **more: looked_at.append(name) or look(name, *rest, **more)
    )
    grown = analyze(paths, store=tmp_path / "s.h5")
    assert looked_at == [path.name for path in paths[-6:]]
    for run in (grown, load(tmp_path / "s.h5")):
        assert all(is_true(run, name) for name in TRUTH)
        assert list(column(run, "window_updates")) == list(column(whole, "window_updates"))
        assert list(column(run, "window_from")) == list(column(whole, "window_from"))
        np.testing.assert_allclose(column(run, "effective_lr"), column(whole, "effective_lr"), rtol=1e-3)


@pytest.mark.parametrize("stops", [False, True], ids=["to the end", "interrupted, and again"])
def test_a_store_in_between_has_what_is_told_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    """What a long run tells is put into the store with its checkpoints, stretch by stretch, and is in the end what it
    is if the store is written once."""
    save_run(tmp_path, tuple(range(100, 340, 20)), **TRUTH)
    monkeypatch.setattr(analysing, "LONG", 3)
    monkeypatch.setattr(inferring, "STRETCH", 4)
    monkeypatch.setattr(inferring, "LATER_STRETCH", 4)
    monkeypatch.setattr(inferring, "KEPT_CHECKPOINTS", 2)
    at_once = analyze(tmp_path, store=tmp_path / "once.h5")
    monkeypatch.setattr(saving, "_SAVE_AFTER", 0.0)
    monkeypatch.setattr(saving, "_SAVE_SHARE", 0.0)
    if stops:

        def stop(done: int, total: int) -> None:
            if done > total * 0.7:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            analyze(tmp_path, store=tmp_path / "s.h5", progress=stop)
        before = load(tmp_path / "s.h5")
        assert len(before) == 8
        assert list(column(before, "window_updates")) == list(column(at_once, "window_updates"))[:8]
    assert analyze(tmp_path, store=tmp_path / "s.h5") == at_once == load(tmp_path / "s.h5")
