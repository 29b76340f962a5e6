"""The store: netCDF-4 conventions, round trip, atomicity, and what is not a store."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import SHAPES, Run

from ckpt_inspect import Analyses, analyze, analyze_runs, load
from ckpt_inspect.errors import RequestError, StoreError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.measurement.variables import METRICS, OPTIMIZER_VARIABLES, group_names
from ckpt_inspect.runs import store, store_writing
from ckpt_inspect.runs.elements import read_elements
from ckpt_inspect.runs.store import default_store, save
from ckpt_inspect.runs.stored_runs import stored_run
from ckpt_inspect.state.optimizer_state import optimizer_states

GIVEN = {"learning_rate": 0.01, "epsilon": 1e-7}


@pytest.fixture
def analyses(tmp_path: Path) -> Analyses:
    save_series(tmp_path / "run", 3)
    return analyze(tmp_path / "run", given=GIVEN)


def test_what_is_loaded_is_what_was_saved(tmp_path: Path, analyses: Analyses) -> None:
    """Every array, name, type and problem."""
    save(analyses, tmp_path / "s.h5")
    assert load(tmp_path / "s.h5") == analyses


def test_only_a_long_run_is_read_bit_by_bit_from_a_store_of_middling_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analyses: Analyses
) -> None:
    """Whoever asks for a dozen columns of a short run waits longer for each than for all of them."""
    path = tmp_path / "s.h5"
    save(analyses, path)
    monkeypatch.setattr(store, "LARGE", path.stat().st_size // 2)
    whole = store.load(path)
    monkeypatch.setattr(store, "LONG", len(analyses) - 1)
    long = store.load(path)
    assert stored_run(whole) is None
    assert stored_run(long) is not None
    assert whole == long == analyses


def test_problems_survive_the_round_trip(tmp_path: Path) -> None:
    """With the checkpoint and the optimizer that they concern."""
    paths = save_series(tmp_path / "run", 2)
    Path(f"{paths[0]}.data-00000-of-00001").write_bytes(b"")
    analyses = analyze(tmp_path / "run", store=tmp_path / "s.h5")
    assert analyses.failures
    assert load(tmp_path / "s.h5").remarks == analyses.remarks


def test_a_run_without_a_single_touched_element_can_be_stored(tmp_path: Path) -> None:
    """Histograms without bins, quantiles that are all NaN."""
    (tmp_path / "run").mkdir()
    save_bundle(Run().train(3, frozen=tuple(SHAPES)), tmp_path / "run" / "m-3")
    analyses = analyze(tmp_path / "run", store=tmp_path / "s.h5", given=GIVEN)
    assert (analyses.to_frame()["untouched"] == 1).all()
    assert load(tmp_path / "s.h5") == analyses
    assert analyses.to_frame("histogram").empty


def test_the_layout_of_the_file_is_schema_1(tmp_path: Path, analyses: Analyses) -> None:
    """Attributes, groups, dimensions and types as the contract names them."""
    save(analyses, tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file.attrs["Conventions"] == "ckpt-inspect-1"
        assert "ckpt_inspect_version" in file.attrs
        assert set(file) == {
            *("checkpoint", "path", "format", "layout", "size_bytes", "modified", "fingerprint", "files"),
            *("Adam", "problems", "findings"),
        }
        assert file["checkpoint"].maxshape == (None,)
        group = file["Adam"]
        assert group.attrs["optimizer"] == "Adam"
        assert group["step"].dtype == np.int64
        assert group["effective_lr"].shape == (3, 4, 9)
        labels = [dimension.label or dimension[0].name.split("/")[-1] for dimension in group["effective_lr"].dims]
        assert labels == ["checkpoint", "parameter", "quantile"]
        assert list(group["quantile"]) == [0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1]
        assert len(group["bin_edges"]) == group["effective_lr_histogram"].shape[2] + 1
        for metric in METRICS:
            assert {"long_name", "units", "description"} <= set(group[metric.name].attrs)
        assert list(file["problems"]) == [
            "code",
            "severity",
            "checkpoint",
            "optimizer",
            "message",
            "resolution",
            "problem",
        ]


def test_xarray_opens_a_group_with_labelled_dimensions(tmp_path: Path, analyses: Analyses) -> None:
    """`open_dataset` with h5netcdf: names for checkpoints and parameters, levels for quantiles."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    save(analyses, tmp_path / "s.h5")
    with xarray.open_dataset(tmp_path / "s.h5", group="Adam", engine="h5netcdf") as dataset:
        assert {"checkpoint", "parameter", "quantile", "bin"} <= set(dataset.coords)
        assert dataset["step"].dtype == np.int64
        median = dataset["effective_lr"].sel(checkpoint="model.ckpt-20", parameter="head/bias", quantile=0.5)
        assert float(median) == analyses.optimizers["Adam"].variables["effective_lr"][1, 2, 4]
        assert set(dataset.variables) >= {v.name for v in OPTIMIZER_VARIABLES}


def test_xarray_opens_the_tree(tmp_path: Path, analyses: Analyses) -> None:
    """`open_datatree`: the root's checkpoints, a group an optimizer, problems, findings; the same as `to_xarray()`."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    save(analyses, tmp_path / "s.h5")
    with xarray.open_datatree(tmp_path / "s.h5", engine="h5netcdf") as tree:
        assert set(tree.children) == {"Adam", "problems", "findings"}
        assert list(tree["checkpoint"].values) == ["model.ckpt-10", "model.ckpt-20", "model.ckpt-30"]
        for name, variable in analyses.to_xarray()["Adam"].data_vars.items():
            np.testing.assert_array_equal(tree["Adam"][name].values, variable.values, err_msg=str(name))


def test_optimizers_never_collide_with_what_the_root_holds() -> None:
    """Slashes become dots, and names that are taken get an underscore."""
    assert group_names(["trainer/opt", "trainer.opt", "path", "problems", "findings"]) == {
        "trainer/opt": "trainer.opt",
        "trainer.opt": "trainer.opt_",
        "path": "path_",
        "problems": "problems_",
        "findings": "findings_",
    }


def test_folders_of_one_name_have_stores_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second gets the names of the folders above in front, as many as it takes; each finds its own again."""
    folders = [tmp_path / path / "training_checkpoints" for path in ("a", "b", "x/b")]
    for folder in folders:
        folder.parent.mkdir(parents=True)
        save_series(folder, 2)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        results = [next(iter(analyze_runs(folder, folder="."))) for folder in folders]
        assert [str(r.store) for r in results] == [
            "training_checkpoints.ckpt-inspect.h5",
            "b-training_checkpoints.ckpt-inspect.h5",
            "x-b-training_checkpoints.ckpt-inspect.h5",
        ]
        assert all(r.error is None for r in results)


def test_the_default_store_is_named_after_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the current directory; also for `.`."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    assert default_store("/somewhere/checkpoints/") == Path("checkpoints.ckpt-inspect.h5")
    assert default_store(".") == Path("run.ckpt-inspect.h5")


def test_writing_that_fails_leaves_the_old_store(
    tmp_path: Path, analyses: Analyses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no temporary file."""
    store = tmp_path / "s.h5"
    save(analyses, store)
    before = store.read_bytes()

    def failing(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(store_writing, "_write_group", failing)
    with pytest.raises(StoreError, match="disk full"):
        save(analyses, store)
    assert store.read_bytes() == before
    assert [p.name for p in tmp_path.glob(".*")] == []


_KILLED = """
import sys, time
from ckpt_inspect.runs import store_writing
from ckpt_inspect import analyze
real = store_writing._write_group
def slow(*arguments):
    real(*arguments)
    print("writing", flush=True)
    time.sleep(60)
store_writing._write_group = slow
analyze(sys.argv[1], store=sys.argv[2])
"""


def test_a_kill_while_writing_leaves_the_old_store_readable(tmp_path: Path, analyses: Analyses) -> None:
    """SIGKILL in the middle of writing: the old contents, whole."""
    store = tmp_path / "s.h5"
    save(analyses, store)
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path / "run"), str(store)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert load(store) == analyses
    assert analyze(tmp_path / "run", store=store, given=GIVEN) == analyses


_STOPPED = """
import sys, time
from ckpt_inspect.cli.app import app
from ckpt_inspect.runs import store_writing
real = store_writing._write_group
def slow(*arguments):
    real(*arguments)
    print("writing", flush=True)
    time.sleep(60)
store_writing._write_group = slow
app(sys.argv[1:], prog_name="ckpt-inspect")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_writing_leaves_the_old_store_and_nothing_else(
    tmp_path: Path, analyses: Analyses, number: signal.Signals
) -> None:
    """The process ends as whoever sent it expects, without a word."""
    (tmp_path / "out").mkdir()
    store = tmp_path / "out" / "s.h5"
    save(analyses, store)
    words = ["analyze", str(tmp_path / "run"), "-o", str(store), "-q"]
    process = subprocess.Popen(
        [sys.executable, "-c", _STOPPED, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGTERM, signal.SIGHUP)],
    )
    assert process.stdout is not None
    while process.stdout.readline() != b"writing\n":
        assert process.poll() is None
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert said == b""
    assert load(store) == analyses
    assert [path.name for path in store.parent.iterdir()] == ["s.h5"]


def test_the_permissions_are_those_of_a_new_file(tmp_path: Path, analyses: Analyses) -> None:
    """Not those of a temporary file, which others can't read; an existing store keeps its own."""
    store = tmp_path / "s.h5"
    mask = os.umask(0o022)
    try:
        save(analyses, store)
    finally:
        os.umask(mask)
    assert store.stat().st_mode & 0o777 == 0o644
    store.chmod(0o600)
    save(analyses, store)
    assert store.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_not_a_store_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Read or written to: neither touches it."""
    file = tmp_path / "s.h5"
    file.write_bytes(content)
    with pytest.raises(StoreError, match="is not a store, or a damaged one") as caught:
        load(file)
    assert "\n" not in str(caught.value)
    save_series(tmp_path / "run", 1)
    with pytest.raises(StoreError):
        analyze(tmp_path / "run", store=file)
    assert file.read_bytes() == content


def test_a_store_of_another_schema_is_refused(tmp_path: Path, analyses: Analyses) -> None:
    """By its Conventions attribute."""
    save(analyses, tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file.attrs["Conventions"] = "ckpt-inspect-2"
    with pytest.raises(StoreError, match=r"not a store of schema 1.*ckpt-inspect-2"):
        load(tmp_path / "s.h5")


def test_a_model_is_not_a_store(tmp_path: Path) -> None:
    """A Keras model by mistake: it is HDF5 too, and is never overwritten."""
    model = Run().train(2).save(tmp_path / "model.h5")
    before = model.read_bytes()
    with pytest.raises(StoreError, match="some other HDF5 file"):
        analyze(model, store=model)
    assert model.read_bytes() == before


def test_a_store_with_a_part_missing_is_damaged(tmp_path: Path, analyses: Analyses) -> None:
    """One sentence with who may have written it so, and what to do."""
    save(analyses, tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        del file["Adam/parameter"]
    with pytest.raises(StoreError, match=r"ckpt-inspect \S+ wrote it, or it is damaged; remove it and analyse again"):
        load(tmp_path / "s.h5")


def test_a_truncated_store_is_refused(tmp_path: Path, analyses: Analyses) -> None:
    """As a copy that was broken off leaves it."""
    save(analyses, tmp_path / "s.h5")
    raw = (tmp_path / "s.h5").read_bytes()
    (tmp_path / "s.h5").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(StoreError, match="damaged"):
        load(tmp_path / "s.h5")


def test_no_store_is_an_error(tmp_path: Path) -> None:
    """With the command that makes one."""
    with pytest.raises(StoreError, match="no such store"):
        load(tmp_path / "none.h5")


def test_a_folder_that_is_not_there_is_told_before_any_work(tmp_path: Path) -> None:
    """Nothing is read: the checkpoint would raise another error."""
    (prefix,) = save_series(tmp_path / "run", 1)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(StoreError, match="there is no folder"):
        analyze(prefix, store=tmp_path / "nowhere" / "s.h5")
    with pytest.raises(StoreError, match="is a folder"):
        analyze(prefix, store=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    """The operating system's reason is part of the sentence."""
    (prefix,) = save_series(tmp_path / "run", 1)
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="can't be written"):
        analyze(prefix, store=tmp_path / "locked" / "s.h5")


def test_a_store_that_grew_is_that_of_the_whole_run(tmp_path: Path) -> None:
    """A run that grows one checkpoint at a time has, in the end, the store of a run that was analysed at once."""
    folder = tmp_path / "run"
    for count in (1, 2, 3):
        save_series(folder, count)
        analyze(folder, store=tmp_path / "s.h5", given=GIVEN)
    assert load(tmp_path / "s.h5") == analyze(folder, given=GIVEN)


def test_what_another_process_stored_meanwhile_is_kept(tmp_path: Path) -> None:
    """Two of them on one store, each with a part of the run: the later one puts its own beside the other's."""
    paths = save_series(tmp_path / "run", 4)
    begun: list[int] = []

    def progress(done: int, total: int) -> None:
        if not begun:
            begun.append(done)
            analyze(paths[2:], store=tmp_path / "s.h5", given=GIVEN)

    both = analyze(paths[:2], store=tmp_path / "s.h5", given=GIVEN, progress=progress)
    assert begun
    assert len(both) == 4
    assert load(tmp_path / "s.h5") == both
    assert set(both.checkpoints["path"]) == set(map(str, paths))


_ONE_OF_MANY = """
import sys
from ckpt_inspect import analyze
sys.stdin.readline()
analyze(sys.argv[2:], store=sys.argv[1], given={"learning_rate": 0.01, "epsilon": 1e-7})
"""


def test_of_many_processes_at_once_none_loses_what_another_stored(tmp_path: Path) -> None:
    """Four of them, each with two checkpoints of a run; they leave no file of a lock."""
    paths = save_series(tmp_path / "run", 8)
    (tmp_path / "out").mkdir()
    store = tmp_path / "out" / "s.h5"
    shares = [paths[i : i + 2] for i in range(0, 8, 2)]
    writers = [
        subprocess.Popen([sys.executable, "-c", _ONE_OF_MANY, str(store), *map(str, share)], stdin=subprocess.PIPE)
        for share in shares
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()  # all have begun by now
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert set(load(store).checkpoints["path"]) == set(map(str, paths))
    assert [path.name for path in store.parent.iterdir()] == ["s.h5"]


# --- whole arrays


def test_elements_are_the_whole_arrays(tmp_path: Path) -> None:
    """Bit for bit what `effective_lr()` gives, for every checkpoint, also those that came later."""
    folder, store = tmp_path / "run", tmp_path / "s.h5"
    for count in (2, 3):
        paths = save_series(folder, count)
        analyze(folder, store=store, given=GIVEN, elements=True)
    with h5py.File(store) as file:
        for path in paths:
            arrays = dict(read_elements(file, "Adam", path.name))
            with open_checkpoint(path) as checkpoint:
                (state,) = optimizer_states(checkpoint, GIVEN)
                assert list(arrays) == [name.replace("/", ".") for name in state.parameters]
                for name, parameter in state.parameters.items():
                    np.testing.assert_array_equal(arrays[name.replace("/", ".")], parameter.effective_lr())
        assert file["Adam/elements/model.ckpt-10/dense.kernel"].compression == "gzip"
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_elements_of_stored_checkpoints_are_taken_over(tmp_path: Path) -> None:
    """What is not read again is copied from the store before."""
    folder, store = tmp_path / "run", tmp_path / "s.h5"
    save_series(folder, 2)
    analyze(folder, store=store, given=GIVEN, elements=True)
    save_bundle(Run().train(30), folder / "model.ckpt-30")
    analyze(folder, store=store, given=GIVEN, elements=True)
    with h5py.File(store) as file:
        assert list(file["Adam/elements"]) == ["model.ckpt-10", "model.ckpt-20", "model.ckpt-30"]
        assert all(len(dict(read_elements(file, "Adam", name))) == 4 for name in file["Adam/elements"])


def test_a_store_with_elements_opens_in_xarray(tmp_path: Path) -> None:
    """The tree, and one checkpoint's arrays."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    save_series(tmp_path / "run", 2)
    analyses = analyze(tmp_path / "run", store=tmp_path / "s.h5", given=GIVEN, elements=True)
    assert load(tmp_path / "s.h5") == analyses
    with xarray.open_datatree(tmp_path / "s.h5", engine="h5netcdf") as tree:
        assert tree["Adam/elements/model.ckpt-20"]["dense.kernel"].shape == (36,)


def test_every_dimension_has_a_number_of_its_own(tmp_path: Path) -> None:
    """netCDF-4's specification: if one scale of a file has a number, all have, whole arrays' as well."""
    save_series(tmp_path / "run", 2)
    analyze(tmp_path / "run", store=tmp_path / "s.h5", given=GIVEN, elements=True)
    numbers = []

    def count(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.is_scale:
            numbers.append(int(item.attrs["_Netcdf4Dimid"]))

    with h5py.File(tmp_path / "s.h5") as file:
        file.visititems(count)
        assert any("element" in name for name in file["Adam/elements/model.ckpt-20"])
    assert sorted(numbers) == list(range(len(numbers)))


def test_elements_need_a_store(tmp_path: Path) -> None:
    """There is nowhere else to keep them."""
    save_series(tmp_path / "run", 1)
    with pytest.raises(RequestError, match="name one"):
        analyze(tmp_path / "run", elements=True)


def test_damaged_arrays_of_the_store_before_end_no_process(tmp_path: Path) -> None:
    """They are looked at in a copy of the process before they are copied: any damage is an error, or none."""
    folder, store = tmp_path / "run", tmp_path / "s.h5"
    save_series(folder, 2)
    analyze(folder, store=store, given=GIVEN, elements=True)
    save_bundle(Run().train(30), folder / "model.ckpt-30")
    sound = store.read_bytes()
    with h5py.File(store) as file:
        dataset = file["Adam/elements/model.ckpt-10/dense.kernel"]
        places = [dataset.id.get_chunk_info(0).byte_offset, h5py.h5o.get_info(dataset.id).addr]
    tree = sound.rindex(b"TREE\x01", 0, len(sound))
    for at in (places[1] + 40, places[1] + 90, tree + 5, tree + 6, tree + 24, tree + 40):
        damaged = bytearray(sound)
        damaged[at] ^= 0xFF
        store.write_bytes(damaged)
        with contextlib.suppress(StoreError):
            analyze(folder, store=store, given=GIVEN, elements=True)
