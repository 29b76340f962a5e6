"""A checkpoint and a run analysed: figures, columns, frames, what is read again and what isn't."""

from __future__ import annotations

import math
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.adam_bundles import save_bundle, save_series
from support.bundle_writer import write_bundle
from support.keras_files import Run
from support.openings import before_opening

from ckpt_inspect import analyze, check, load
from ckpt_inspect.checkpoint import Array, Checkpoint, TensorSpec
from ckpt_inspect.errors import DamagedFileError, NotFoundError, RequestError, StoreError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS
from ckpt_inspect.measurement.summaries import sample_indices
from ckpt_inspect.measurement.sweep import Sweep
from ckpt_inspect.runs.analysis import Analysis, Chosen
from ckpt_inspect.runs.planning import merged_order
from ckpt_inspect.series.run import Run as Series
from ckpt_inspect.state.optimizer_state import optimizer_states
from ckpt_inspect.state.selection import Selection

GIVEN = {"learning_rate": 0.01, "epsilon": 1e-7}


def analysis_of(path: Path, *, selection: Selection | None = None, threads: int | None = None) -> Analysis:
    with open_checkpoint(path) as checkpoint:
        return Chosen.of(checkpoint, GIVEN, selection).measure(threads=threads)


def _first(analysis: Analysis, figure: str) -> float:
    """A figure of the first parameter."""
    return float(analysis.optimizers[0].parameters.columns[figure][0])


def damage(prefix: Path) -> None:
    """Flip a bit of the data."""
    data = Path(f"{prefix}.data-00000-of-00001")
    raw = bytearray(data.read_bytes())
    raw[7] ^= 1
    data.write_bytes(raw)


@pytest.fixture
def opened_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the checkpoints that are opened to be analysed."""
    names: list[str] = []
    before_opening(monkeypatch, lambda path: names.append(path.name))
    return names


# --- one checkpoint


def test_every_parameter_has_the_figures_of_its_arrays(tmp_path: Path) -> None:
    """Against `effective_lr()` and `last_update()` of the whole arrays, in float64."""
    path = save_bundle(Run(shapes={"a": (40, 50), "b": (), "c": (300, 100)}).train(30), tmp_path / "m")
    (optimizer,) = analysis_of(path).optimizers
    figures = optimizer.parameters
    assert figures.names == ("a", "b", "c")
    counts = figures.histograms["effective_lr_histogram"].counts
    with open_checkpoint(path) as checkpoint:
        (state,) = optimizer_states(checkpoint, GIVEN)
        for i, name in enumerate(figures.names):
            own = {variable: column[i] for variable, column in figures.columns.items()}
            whole = state.parameters[name]
            e, update, value = whole.effective_lr(), whole.last_update(), whole.value()
            assert e is not None and update is not None and value is not None
            wide = e.astype(np.float64).ravel()
            np.testing.assert_allclose(own["effective_lr"], np.quantile(wide, QUANTILE_LEVELS), rtol=0.01)
            assert own["effective_lr"][0] == wide.min()
            assert own["effective_lr"][-1] == wide.max()
            indices = sample_indices(e.size)
            real = indices[indices >= 0]
            np.testing.assert_array_equal(own["effective_lr_sample"][: len(real)], wide[real])
            assert counts[i].sum() == e.size
            norms = np.linalg.norm(update.astype(np.float64)), np.linalg.norm(value.astype(np.float64))
            assert own["update_to_weight"] == pytest.approx(norms[0] / norms[1], rel=1e-5)
            assert own["relative_update_rms"] == pytest.approx(own["update_rms"] / 0.01)
            assert own["effective_lr_mean"] == pytest.approx(wide.mean(), rel=1e-12)
            assert own["moment_ratio_max"] <= own["moment_bound"]
            assert 0 < own["signal_to_noise"] < 1


def test_signal_to_noise_is_that_of_noise(tmp_path: Path) -> None:
    """Gradients of pure noise leave about √((1-β1)/(1+β1)) = 0.229."""
    path = save_bundle(Run(shapes={"a": (100, 50)}).train(300), tmp_path / "m")
    assert _first(analysis_of(path), "signal_to_noise") == pytest.approx(0.229, abs=0.01)


def test_bias_correction_is_of_the_step(tmp_path: Path) -> None:
    """√c2/c1 after 30 updates."""
    path = save_bundle(Run().train(30), tmp_path / "m")
    expected = math.sqrt(1 - 0.999**30) / (1 - 0.9**30)
    assert _first(analysis_of(path), "bias_correction") == pytest.approx(expected, rel=1e-4)


def test_untouched_rows_are_told_from_untouched_elements(tmp_path: Path) -> None:
    """A row counts only if v is 0 throughout; vectors have no rows."""
    run = Run().train(3)
    run.second["dense/kernel"][[2, 5]] = 0
    run.second["dense/kernel"][7, 1] = 0
    figures = analysis_of(save_bundle(run, tmp_path / "m")).optimizers[0].parameters
    rows, elements = (
        dict(zip(figures.names, figures.columns[n], strict=True)) for n in ("untouched_rows", "untouched")
    )
    assert rows["dense/kernel"] == pytest.approx(2 / 12)
    assert elements["dense/kernel"] == pytest.approx(7 / 36)
    assert math.isnan(rows["dense/bias"])


@pytest.mark.parametrize("piece", [7, 64, 1 << 16])
@pytest.mark.parametrize("threads", [1, 2])
def test_neither_threads_nor_pieces_change_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, threads: int
) -> None:
    """Counts, quantiles, rows and samples to the bit; sums to rounding."""
    run = Run().train(5)
    run.second["dense/kernel"][[2, 5]] = 0
    path = save_bundle(run, tmp_path / "m")
    monkeypatch.setattr("ckpt_inspect.measurement.sweep._INLINE_BYTES", 0)
    with open_checkpoint(path) as checkpoint:
        parameters = list(optimizer_states(checkpoint, GIVEN)[0].parameters.values())
        found = Sweep(parameters, threads=threads, piece=piece).run()
        whole = Sweep(parameters, threads=1).run()
    np.testing.assert_array_equal(found.summary.effective_lr, whole.summary.effective_lr)
    np.testing.assert_array_equal(found.samples, whole.samples)
    np.testing.assert_array_equal(found.untouched_rows, whole.untouched_rows)
    np.testing.assert_allclose(found.summary.update_rms, whole.summary.update_rms, rtol=1e-6)


class Synthetic(Checkpoint):
    """One huge parameter that is made as it is read."""

    def __init__(self, size: int) -> None:
        self.path = Path("synthetic")
        self.format = "tensor-bundle"
        shapes = {"w": (size,), "w/Adam": (size,), "w/Adam_1": (size,), "beta1_power": (), "beta2_power": ()}
        self.tensors = {name: TensorSpec(name, shape, "float32") for name, shape in shapes.items()}
        self.files = ()

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        if name.startswith("beta"):
            return np.full(stop - start, 0.81 if name.startswith("beta1") else 0.998, np.float32)
        assert out is not None
        out[: stop - start] = 1e-3
        return out[: stop - start]


def test_memory_does_not_grow_with_the_tensor() -> None:
    """A tensor of 240 MB of state takes two threads' buffers, 8 MB each, to analyse."""
    with Synthetic(20_000_000) as checkpoint:
        tracemalloc.start()
        try:
            analysis = Chosen.of(checkpoint, GIVEN).measure()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert analysis.optimizers[0].parameters.histograms["effective_lr_histogram"].counts.sum() == 20_000_000
    assert peak < 20e6


def test_a_damaged_tensor_raises_from_any_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's own sentence reaches the caller."""
    monkeypatch.setattr("ckpt_inspect.measurement.sweep._INLINE_BYTES", 0)
    path = save_bundle(Run().train(3), tmp_path / "m")
    damage(path)
    with pytest.raises(DamagedFileError, match="bad CRC"):
        analysis_of(path, threads=2)


def test_only_selected_parameters_are_read(tmp_path: Path) -> None:
    """Patterns choose by name."""
    path = save_bundle(Run().train(3), tmp_path / "m")
    optimizer = analysis_of(path, selection=Selection(("dense/*",), ("*/bias",))).optimizers[0]
    assert optimizer.parameters.names == ("dense/kernel",)


# --- a run


def test_a_run_is_in_training_order_with_a_row_each(tmp_path: Path) -> None:
    """Names, steps, sizes and the run's name."""
    save_series(tmp_path / "run")
    analyses = analyze(tmp_path / "run", given=GIVEN)
    assert analyses.run == "run"
    assert list(analyses.checkpoints["checkpoint"]) == [f"model.ckpt-{n}" for n in (10, 20, 30, 40)]
    variables = analyses.optimizers["Adam"].variables
    assert list(variables["step"]) == [10, 20, 30, 40]
    assert list(variables["shape"]) == ["3", "12,3", "5", "3,5"]
    assert variables["effective_lr"].shape == (4, 4, 9)
    assert set(variables["learning_rate_source"]) == {"given"}


def test_parameters_may_appear_and_disappear(tmp_path: Path) -> None:
    """What a checkpoint lacks is NaN in the columns, and has no row in the frame."""
    (tmp_path / "run").mkdir()
    save_bundle(Run(shapes={"a": (3,), "b": (4,)}).train(2), tmp_path / "run" / "m-2")
    save_bundle(Run(shapes={"b": (4,), "c": (5,)}).train(4), tmp_path / "run" / "m-4")
    analyses = analyze(tmp_path / "run", given=GIVEN)
    variables = analyses.optimizers["Adam"].variables
    assert list(variables["parameter"]) == ["a", "b", "c"]
    np.testing.assert_array_equal(np.isnan(variables["weight_rms"]), [[False, False, True], [True, False, False]])
    frame = analyses.to_frame()
    assert list(zip(frame["checkpoint"], frame["parameter"], strict=True)) == [
        ("m-2", "a"),
        ("m-2", "b"),
        ("m-4", "b"),
        ("m-4", "c"),
    ]


def test_one_bad_checkpoint_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is a Problem of severity error; the rest has its rows."""
    paths = save_series(tmp_path / "run")
    damage(paths[1])
    analyses = analyze(tmp_path / "run")
    assert list(analyses.checkpoints["checkpoint"]) == ["model.ckpt-10", "model.ckpt-30", "model.ckpt-40"]
    (failure,) = analyses.failures
    assert failure.checkpoint == "model.ckpt-20"
    assert failure.problem.severity == "error"
    assert "bad CRC" in failure.problem.message


def test_a_single_bad_checkpoint_raises(tmp_path: Path) -> None:
    """There is nothing else to report."""
    damage(save_bundle(Run().train(3), tmp_path / "m"))
    with pytest.raises(DamagedFileError, match="bad CRC"):
        analyze(tmp_path / "m")


def test_a_run_of_bad_checkpoints_raises(tmp_path: Path) -> None:
    """Every one is named with what is wrong with it."""
    for path in save_series(tmp_path / "run", 2):
        damage(path)
    with pytest.raises(DamagedFileError, match=r"no checkpoint can .*ckpt-10.*bad CRC.*; .*ckpt-20.*.*bad CRC"):
        analyze(tmp_path / "run")


@pytest.mark.parametrize(
    ("optimizer", "steps", "sentence"),
    [
        (None, 3, "holds no optimizer state, only weights"),
        ("SGD", 3, "the optimizer is sgd"),
        ("Adam", 0, "no update yet"),
    ],
)
def test_what_holds_no_moments_says_what_it_is(
    tmp_path: Path, optimizer: str | None, steps: int, sentence: str
) -> None:
    """Weights only, another optimizer, a fresh one: one sentence, nothing written."""
    config = None if optimizer is None else {"name": optimizer, "learning_rate": 0.1}
    Run().train(steps).save(tmp_path / "m.h5", config, optimizer or "")
    with pytest.raises(NotFoundError, match=sentence):
        analyze(tmp_path / "m.h5", store=tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()


def test_state_of_no_known_kind_is_not_called_weights(tmp_path: Path) -> None:
    """A counter that is no whole number fits no layout; the tensors beside it are not weights for that."""
    arrays = {
        "counter": np.float64(3),
        "optimizer/m/0": np.ones(4, np.float32),
        "optimizer/v/0": np.ones(4, np.float32),
    }
    write_bundle(tmp_path / "m", {"w": np.zeros(4, np.float32), **arrays})
    with pytest.raises(NotFoundError, match=r"of a known kind \(.* may be .*2 tensors, optimizer/m/0 .. optimizer/v/0"):
        analyze(tmp_path / "m")
    (verdict,) = check(tmp_path / "m").checkpoints
    assert ([reason.id for reason in verdict.reasons], verdict.is_complete) == (["state-unknown"], False)


def test_no_parameter_of_that_name_is_an_error(tmp_path: Path) -> None:
    """Rather than an empty result."""
    path = save_bundle(Run().train(3), tmp_path / "m")
    with pytest.raises(NotFoundError, match="no parameter's name matches"):
        analyze(path, include=["nothing*"])


def test_no_path_is_an_error() -> None:
    """An empty list holds no run."""
    with pytest.raises(NotFoundError, match="no path"):
        analyze([])


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    """It never falls, and what is done is all in the end."""
    save_series(tmp_path / "run", 3)
    calls: list[tuple[int, int]] = []
    analyze(tmp_path / "run", progress=lambda done, total: calls.append((done, total)))
    done = [d for d, _ in calls]
    assert done == sorted(done)
    assert calls[-1][0] == calls[-1][1] > 0


# --- frames


def test_the_parameters_frame_is_tidy(tmp_path: Path) -> None:
    """One row per checkpoint, optimizer and parameter, with the names that figures are drawn from."""
    save_series(tmp_path / "run", 2)
    frame = analyze(tmp_path / "run", given=GIVEN).to_frame()
    assert len(frame) == 2 * 4
    assert {"checkpoint", "checkpoint_index", "optimizer", "step", "rule", "layout", "parameter", "shape"} <= set(frame)
    quantiles = [f"effective_lr_{n}" for n in ("min", "q01", "q05", "q25", "median", "q75", "q95", "q99", "max")]
    assert (frame[quantiles].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert str(frame["step"].dtype) == "Int64"
    assert frame["effective_lr_is_relative"].dtype == bool


def test_the_histogram_frame_counts_every_touched_element(tmp_path: Path) -> None:
    """Only bins that aren't empty; counts add up to the sizes."""
    save_series(tmp_path / "run", 2)
    analyses = analyze(tmp_path / "run", given=GIVEN)
    histogram = analyses.to_frame("histogram")
    assert (histogram["count"] > 0).all()
    assert (histogram["low"] < histogram["high"]).all()
    sums = histogram.groupby(["checkpoint", "parameter"], observed=True)["count"].sum()
    sizes = analyses.to_frame().set_index(["checkpoint", "parameter"])["size"]
    assert (sums.sort_index() == sizes.sort_index()).all()


def test_the_sample_frame_follows_the_same_elements(tmp_path: Path) -> None:
    """Each element once per checkpoint, with its E."""
    save_series(tmp_path / "run", 3)
    sample = analyze(tmp_path / "run", given=GIVEN).to_frame("sample")
    assert (sample.groupby(["parameter", "element"], observed=True).size() == 3).all()
    assert (sample["effective_lr"] > 0).all()


def test_unknown_learning_rate_is_flagged(tmp_path: Path) -> None:
    """E/α where α is not known: the flag says so, and what needs α is NaN."""
    frame = analyze(save_bundle(Run().train(3), tmp_path / "m")).to_frame()
    assert frame["effective_lr_is_relative"].all()
    assert frame["learning_rate"].isna().all()
    assert frame["update_rms"].isna().all()
    assert frame["relative_update_rms"].notna().all()


def test_a_frame_of_another_kind_is_refused(tmp_path: Path) -> None:
    """The kinds there are are named."""
    analyses = analyze(save_bundle(Run().train(3), tmp_path / "m"))
    with pytest.raises(RequestError, match="parameters, histogram, sample, checkpoints, problems"):
        analyses.to_frame("figures")


def test_to_xarray_has_labelled_dimensions(tmp_path: Path) -> None:
    """Selecting by name and level gives the frame's figure."""
    pytest.importorskip("xarray")
    save_series(tmp_path / "run", 2)
    analyses = analyze(tmp_path / "run", given=GIVEN)
    picked = analyses.to_xarray()["Adam"]["effective_lr"].sel(
        checkpoint="model.ckpt-20", parameter="head/bias", quantile=0.5
    )
    frame = analyses.to_frame().set_index(["checkpoint", "parameter"])
    assert float(picked) == frame.loc[("model.ckpt-20", "head/bias"), "effective_lr_median"]


# --- analysing again


def test_only_new_checkpoints_are_read_again(tmp_path: Path, opened_paths: list[str]) -> None:
    """Same files, same options: from the store; and the result is that of reading everything."""
    folder, store = tmp_path / "run", tmp_path / "s.h5"
    run = Run()
    for _ in range(2):
        save_series(folder, 2)
    analyze(folder, store=store, given=GIVEN)
    opened_paths.clear()
    assert analyze(folder, store=store, given=GIVEN) == load(store)
    assert opened_paths == []
    run = Run().train(30)
    save_bundle(run, folder / "model.ckpt-30")
    again = analyze(folder, store=store, given=GIVEN)
    assert opened_paths == ["model.ckpt-30"]
    assert again == analyze(folder, given=GIVEN) == load(store)


def test_nothing_new_leaves_the_store_alone(tmp_path: Path) -> None:
    """Not even its time changes."""
    save_series(tmp_path / "run", 2)
    store = tmp_path / "s.h5"
    analyze(tmp_path / "run", store=store)
    before = store.stat()
    analyze(tmp_path / "run", store=store)
    assert (store.stat().st_mtime_ns, store.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_other_options_read_everything_again(tmp_path: Path, opened_paths: list[str]) -> None:
    """Results of another learning rate are other results."""
    save_series(tmp_path / "run", 2)
    analyze(tmp_path / "run", store=tmp_path / "s.h5", given=GIVEN)
    opened_paths.clear()
    analyze(tmp_path / "run", store=tmp_path / "s.h5", given={**GIVEN, "learning_rate": 0.02})
    assert len(opened_paths) == 2


def test_other_options_do_not_take_away_what_is_gone(tmp_path: Path) -> None:
    """A store may be all that is left of checkpoints that training has deleted."""
    (first, *_) = save_series(tmp_path / "run", 3)
    store = tmp_path / "s.h5"
    analyze(tmp_path / "run", store=store)
    for file in (tmp_path / "run").glob(f"{first.name}.*"):
        file.unlink()
    before = store.read_bytes()
    with pytest.raises(StoreError, match=r"also of 1 checkpoints .*model\.ckpt-10; name another"):
        analyze(tmp_path / "run", store=store, given=GIVEN)
    assert store.read_bytes() == before
    assert len(analyze(tmp_path / "run", store=store)) == 3


def test_a_checkpoint_that_changed_is_read_again_and_replaced(tmp_path: Path, opened_paths: list[str]) -> None:
    """The same name with other content has one row."""
    paths = save_series(tmp_path / "run", 2)
    analyze(tmp_path / "run", store=tmp_path / "s.h5")
    opened_paths.clear()
    save_bundle(Run(seed=9).train(21), paths[1])
    analyses = analyze(tmp_path / "run", store=tmp_path / "s.h5")
    assert opened_paths == ["model.ckpt-20"]
    assert list(analyses.optimizers["Adam"].variables["step"]) == [10, 21]


def test_checkpoints_that_were_deleted_keep_their_place(tmp_path: Path) -> None:
    """`max_to_keep` removes old checkpoints while a run goes on; the store remembers them."""
    folder, store = tmp_path / "run", tmp_path / "s.h5"
    paths = save_series(folder, 3)
    analyze(folder, store=store, given=GIVEN)
    for path in paths[:2]:
        for file in folder.glob(f"{path.name}.*"):
            file.unlink()
    save_bundle(Run().train(40), folder / "model.ckpt-40")
    analyses = analyze(folder, store=store, given=GIVEN)
    assert list(analyses.optimizers["Adam"].variables["step"]) == [10, 20, 30, 40]
    assert not np.isnan(analyses.optimizers["Adam"].variables["effective_lr"]).any()


@pytest.mark.parametrize(
    ("before", "now", "merged"),
    [
        ("abc", "abc", "abc"),
        ("abc", "de", "abcde"),
        ("abc", "bcd", "abcd"),
        ("abc", "acd", "abcd"),
        ("ac", "abcd", "abcd"),
        ("", "ab", "ab"),
        ("ab", "", "ab"),
    ],
)
def test_vanished_checkpoints_stay_where_they_were(before: str, now: str, merged: str) -> None:
    """Merging the old order with the new one."""
    assert "".join(merged_order(before, now)) == merged


@pytest.mark.parametrize(
    ("before", "now", "merged"),
    [
        (("n9", "n11"), ("n10", "n11"), ("n9", "n10", "n11")),
        (("n10", "n11"), ("n9", "n11"), ("n9", "n10", "n11")),
        (("first", "n11"), ("n10", "n11"), ("n10", "first", "n11")),
        (("n10",), ("n9",), ("n10", "n9")),
    ],
)
def test_what_comes_late_is_ordered_among_what_has_vanished(
    before: Sequence[str], now: Sequence[str], merged: Sequence[str]
) -> None:
    """By the numbers in their names, if nothing else differs in these; a training that begins anew comes afterwards."""
    assert merged_order(before, now) == list(merged)
    numbered = dict(zip("abc", merged, strict=False))
    of = {name: item for item, name in numbered.items()}
    assert merged_order([of[n] for n in before], [of[n] for n in now], numbered.__getitem__) == [of[n] for n in merged]


def test_problems_stay_with_their_checkpoints(tmp_path: Path) -> None:
    """A bad checkpoint is tried again each time, and reported once."""
    paths = save_series(tmp_path / "run", 3)
    damage(paths[0])
    first = analyze(tmp_path / "run", store=tmp_path / "s.h5")
    again = analyze(tmp_path / "run", store=tmp_path / "s.h5")
    assert first.remarks == again.remarks
    assert len(again.failures) == 1


def test_an_interrupt_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the third checkpoint: two are in the store."""
    save_series(tmp_path / "run", 4)

    def interrupt(path: Path) -> None:
        if path.name == "model.ckpt-30":
            raise KeyboardInterrupt

    before_opening(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        analyze(tmp_path / "run", store=tmp_path / "s.h5")
    assert len(load(tmp_path / "s.h5")) == 2


def test_a_run_object_is_analysed_as_it_is(tmp_path: Path) -> None:
    """What `find_runs` gives: its name and its checkpoints in its order."""
    paths = save_series(tmp_path / "run", 2)
    assert analyze(Series("mine", tmp_path / "run", tuple(paths))).run == "mine"


def test_a_store_knows_its_run_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened_paths: list[str]
) -> None:
    """A relative path is one folder's: from another it may lead nowhere, or to another run."""
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
    save_series(tmp_path / "a" / "run", 2)
    monkeypatch.chdir(tmp_path / "a")
    first = analyze("run", store=tmp_path / "s.h5")
    monkeypatch.chdir(tmp_path / "b")
    opened_paths.clear()
    assert analyze("../a/run", store=tmp_path / "s.h5") == first
    assert opened_paths == []
    save_series(tmp_path / "b" / "run", 2)
    with pytest.raises(StoreError, match="name another store"):
        analyze("run", store=tmp_path / "s.h5")


def test_another_runs_store_is_not_replaced(tmp_path: Path) -> None:
    """Folders of different runs are often called alike."""
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        save_series(tmp_path / parent / "run", 1)
    analyze(tmp_path / "a" / "run", store=tmp_path / "run.h5")
    with pytest.raises(StoreError, match="name another store"):
        analyze(tmp_path / "b" / "run", store=tmp_path / "run.h5")


def test_names_that_are_no_text_are_kept_and_known_again(tmp_path: Path) -> None:
    """A file system takes any bytes for a name, UTF-8 or not."""
    path = tmp_path / os.fsdecode(b"epoch\xff-1.h5")
    try:
        Run().train(3).save(path)
    except OSError:
        pytest.skip("this file system takes none but UTF-8")
    first = analyze(path, store=tmp_path / "s.h5")
    assert list(first.checkpoints["checkpoint"]) == [path.name]
    assert load(tmp_path / "s.h5") == first == analyze(path, store=tmp_path / "s.h5")
