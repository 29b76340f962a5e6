"""What is found in folders: every form, none twice, in training order, by runs."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.bundle_writer import table, write_bundle

from ckpt_inspect.errors import DamagedFileError, NotFoundError
from ckpt_inspect.series.newest import open_checkpoint, open_newest
from ckpt_inspect.series.run import Held, Run, are_numbered_on
from ckpt_inspect.series.search import find_checkpoints, find_runs, one_run

X = {"x": np.zeros(2, np.float32)}


def bundle(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(path, X)
    return path


def keras(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["vars/0"] = np.zeros(2)
    return path


def archive(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    return path


def found(folder: Path | str, **more: object) -> list[str]:
    """What is found, seen from the folder."""
    root = folder if isinstance(folder, Path) else Path(folder).parent
    return [os.path.relpath(p, root) for p in find_checkpoints(folder, **more)]  # type: ignore[arg-type]


def test_numbers_are_counted_not_spelt(tmp_path: Path) -> None:
    """ckpt-10 comes after ckpt-9; a bundle's three files are one checkpoint."""
    for i in (10, 9, 100, 1):
        bundle(tmp_path / f"ckpt-{i}")
        Path(tmp_path / f"ckpt-{i}.meta").write_bytes(b"")
    assert found(tmp_path) == ["ckpt-1", "ckpt-9", "ckpt-10", "ckpt-100"]


def test_every_form(tmp_path: Path) -> None:
    """All that open_checkpoint takes is found, below the folder too, and nothing else."""
    bundle(tmp_path / "a" / "model.ckpt-3")
    bundle(tmp_path / "backup" / "chief" / "ckpt-2")
    keras(tmp_path / "b" / "latest.weights.h5")
    keras(tmp_path / "b" / "w.hdf5")
    archive(tmp_path / "b" / "m.keras")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "model.ckpt-7").write_bytes(table([(b"", b"")]))
    for shard in range(2):
        (tmp_path / "c" / f"sharded-{shard:05d}-of-00002").write_bytes(table([(b"", b"")]))
    bundle(tmp_path / "saved" / "variables" / "variables")
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    keras(tmp_path / "d" / "s_00000.weights.h5")
    (tmp_path / "d" / "s.weights.json").write_text(json.dumps({"weight_map": {"/vars": "s_00000.weights.h5"}}))
    bundle(tmp_path / "e" / "ckpt-4_temp" / "part-00000-of-00001")
    # what is none
    for name in ("notes.txt", "events.out.tfevents.1", "model.pt", "d/frozen.pb", "b/training_metadata.json", "extra"):
        (tmp_path / name).write_bytes(b"not a checkpoint")
    with h5py.File(tmp_path / "b" / "data.h5", "w") as file:
        file["images"] = np.zeros(3)
    with (
        h5py.File(tmp_path / "b" / "run.ckpt-inspect.h5", "w") as file,
        h5py.File(tmp_path / "b" / "renamed.h5", "w") as other,
    ):
        file.attrs["Conventions"] = other.attrs["Conventions"] = "ckpt-inspect-1"
    bundle(tmp_path / ".hidden" / "ckpt-1")
    assert sorted(found(tmp_path)) == [
        "a/model.ckpt-3",
        "b/latest.weights.h5",
        "b/m.keras",
        "b/w.hdf5",
        "backup/chief/ckpt-2",
        "c/model.ckpt-7",
        "c/sharded-?????-of-00002",
        "d/s.weights.json",
        "e/ckpt-4_temp",
        "saved",
    ]


def test_a_prefix_of_both_kinds_is_one_checkpoint(tmp_path: Path) -> None:
    """A V1 file beside a V2 index of its name is found once, and opens as V2 with a Problem."""
    bundle(tmp_path / "model")
    (tmp_path / "model").write_bytes(table([(b"", b"")]))
    assert found(tmp_path) == ["model"]
    with open_checkpoint(tmp_path / "model") as checkpoint:
        assert checkpoint.format == "tensor-bundle"
        assert [p.code for p in checkpoint.problems] == ["two-checkpoints"]


def test_merged_or_incomplete_parts_are_nothing(tmp_path: Path) -> None:
    """What a writer left behind after merging, or before it was done, is not a checkpoint."""
    bundle(tmp_path / "ckpt-1")
    bundle(tmp_path / "ckpt-1_temp" / "part-00000-of-00001")
    bundle(tmp_path / "ckpt-2_temp" / "part-00000-of-00002")
    assert found(tmp_path) == ["ckpt-1"]


@pytest.mark.parametrize("given", ["part-00001-of-00002", "part-00000-of-00002.index"])
def test_one_part_of_an_unfinished_save(tmp_path: Path, given: str) -> None:
    """A part stands for all parts if they are there; else what is in the others is not guessed."""
    for part in range(2):
        bundle(tmp_path / "ckpt-1_temp" / f"part-{part:05d}-of-00002")
    with open_checkpoint(tmp_path / "ckpt-1_temp" / given) as checkpoint:
        assert checkpoint.path == tmp_path / "ckpt-1_temp"
        assert [p.code for p in checkpoint.problems] == ["unmerged-parts"]
    other = "part-00001-of-00002" if "00000" in given else "part-00000-of-00002"
    (tmp_path / "ckpt-1_temp" / f"{other}.index").unlink()
    with pytest.raises(DamagedFileError, match="holds 1 of 2 parts"):
        open_checkpoint(tmp_path / "ckpt-1_temp" / given)


def test_a_state_file_of_the_prefix_s_name_is_no_v1_checkpoint(tmp_path: Path) -> None:
    """`save_weights("checkpoint")` leaves a text file of the prefix's own name: nothing is odd about it."""
    bundle(tmp_path / "checkpoint")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "checkpoint"\n')
    for given in (tmp_path, tmp_path / "checkpoint", tmp_path / "checkpoint.index"):
        with open_checkpoint(given) as checkpoint:
            assert (checkpoint.path, checkpoint.problems) == (tmp_path / "checkpoint", ())


def test_damaged_files_are_listed(tmp_path: Path) -> None:
    """What is named like a checkpoint and damaged is not passed over: opening it says what is wrong."""
    keras(tmp_path / "m_1.h5")
    (tmp_path / "m_2.h5").write_bytes(b"")
    (tmp_path / "m_3.h5").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "m_4.h5").write_bytes((tmp_path / "m_1.h5").read_bytes()[:100])
    assert found(tmp_path) == ["m_1.h5", "m_2.h5", "m_3.h5", "m_4.h5"]


def test_the_growing_number_orders(tmp_path: Path) -> None:
    """The first whole number that differs orders, not a loss before or behind it, nor one in the model's name."""
    names = ["net2013.00-0.47.hdf5", "net2013.05-0.56.hdf5", "net2013.15-0.50.hdf5"]
    for name in names:
        keras(tmp_path / name)
    other = ["w-0.9-01.h5", "w-0.5-02.h5", "w-0.7-10.h5"]
    for name in other:
        keras(tmp_path / "other" / name)
    assert found(tmp_path) == names + [f"other/{n}" for n in other]


def test_epochs_and_steps(tmp_path: Path) -> None:
    """Where no single number differs everywhere, all of them together order."""
    names = ["e-1-s-100", "e-1-s-200", "e-2-s-100", "e-10-s-100"]
    for name in reversed(names):
        bundle(tmp_path / name)
    assert found(tmp_path) == names


def test_the_step_inside_orders_where_names_do_not(tmp_path: Path) -> None:
    """Names that hold only a loss are ordered by the step that the caller reads, else by the time of writing."""
    names = ["m-0.5.h5", "m-0.3.h5", "m-0.4.h5"]
    for i, name in enumerate(names):
        os.utime(keras(tmp_path / name), (100 - i, 100 - i))
    steps = {name: i for i, name in enumerate(names)}
    assert found(tmp_path, held_by=lambda p: Held(steps[p.name])) == names
    assert found(tmp_path, held_by=lambda p: Held(None)) == names[::-1]
    assert found(tmp_path) == names[::-1]


@pytest.mark.parametrize(
    "names",
    [
        ["cp-01-30", "cp-02-10", "cp-02-20", "cp-03-05"],
        ["cp-30-01", "cp-10-02", "cp-20-02", "cp-05-03"],
        ["20220110-231500", "20220111-020000", "20220111-170000", "20220112-010000"],
        ["m-90", "m-70", "m-50", "m-30", "m-10"],
        ["lr3-e1", "lr3-e2", "lr2-e3", "lr2-e4", "lr1-e5"],
    ],
)
def test_counters_order_what_names_leave_open(tmp_path: Path, names: list[str]) -> None:
    """Of all ways to read the numbers in names, that which the counters confirm; where none, the counters alone."""
    for name in sorted(names):
        bundle(tmp_path / name)
    assert found(tmp_path, held_by=lambda p: Held(10 * names.index(p.name))) == names


@pytest.mark.parametrize("steps", [[10, 20, 5, 15], [10, None, 5, 15], [7, 7, 7, 7], [None, None, None, 1]])
def test_one_fall_of_the_counter_leaves_the_names_their_order(tmp_path: Path, steps: list[int | None]) -> None:
    """A training that began anew is not hidden by sorting; what has no counter stays where its name puts it."""
    for epoch in range(4):
        bundle(tmp_path / f"epoch-{epoch}")
    assert found(tmp_path, held_by=lambda p: Held(steps[int(p.name[-1])])) == [f"epoch-{i}" for i in range(4)]


def test_of_many_only_some_are_opened(tmp_path: Path) -> None:
    """Where names and counters agree wherever it is looked, names order the rest; where they don't, all are opened."""
    count = 300
    for i in range(count):
        bundle(tmp_path / f"cp-{i // 20}-{i % 20}")
    opened: list[Path] = []

    def by_rows(path: Path) -> Held:
        opened.append(path)
        epoch, batch = map(int, path.name.split("-")[1:])
        return Held(20 * epoch + batch)

    names = [f"cp-{i // 20}-{i % 20}" for i in range(count)]
    assert found(tmp_path, held_by=by_rows) == names
    assert 2 <= len(opened) <= 24

    def backwards(path: Path) -> Held:
        epoch, batch = map(int, path.name.split("-")[1:])
        return Held(20 * batch + epoch)

    other = sorted(names, key=lambda name: backwards(Path(name)).step or 0)
    assert found(tmp_path, held_by=backwards) == other


def test_models_without_a_common_parameter_are_runs_of_their_own(tmp_path: Path) -> None:
    """Numbers in names don't make one run of different models; what holds no parameters stays beside its neighbour."""
    for name in ("net18-1", "net18-2", "net50-1", "net50-2", "net50-3"):
        bundle(tmp_path / name)
    trained = {"18": frozenset({"a", "b"}), "50": frozenset({"c"})}

    def held_by(path: Path) -> Held:
        model, epoch = path.name.removeprefix("net").split("-")
        return Held(int(epoch), trained[model]) if path.name != "net50-2" else Held(None)

    runs = find_runs([tmp_path], held_by)
    assert [[p.name for p in run.checkpoints] for run in runs] == [
        ["net18-1", "net18-2"],
        ["net50-1", "net50-2", "net50-3"],
    ]
    assert len({run.name for run in runs}) == 2


def renumbered(by: int) -> frozenset[tuple[str, tuple[int, ...]]]:
    """The parameters of a model whose layers' numbers begin at `by`, as Keras counts them in a process."""
    names = ["dense" if by + i == 0 else f"dense_{by + i}" for i in range(3)]
    return frozenset((f"{name}/kernel", (8, 4 + i)) for i, name in enumerate(names))


@pytest.mark.parametrize(
    ("first", "second", "runs"),
    [
        ([32, 64, 96], [128, 160], 1),  # resumed under other names
        ([32, 64], [96], 1),
        ([32, 64, 96], [128, 512], 2),  # began at 0 by its own pace
        ([32, 64, 96], [32, 64], 2),  # another fold of a cross-validation
        ([96], [128], 2),  # too few to tell
        ([32, 64], [640], 2),
    ],
)
def test_layers_that_were_numbered_anew_are_one_run_where_steps_go_on(
    tmp_path: Path, first: list[int], second: list[int], runs: int
) -> None:
    """Structure and shapes correspond, and the counter leaves no doubt; else the models are two runs, as before."""
    steps = [*first, *second]
    for i in range(len(steps)):
        bundle(tmp_path / f"ckpt-{i}")

    def held_by(path: Path) -> Held:
        place = int(path.name.removeprefix("ckpt-"))
        return Held(steps[place], renumbered(0 if place < len(first) else 3))

    assert len(find_runs([tmp_path], held_by)) == runs


def test_another_architecture_is_no_renumbered_one(tmp_path: Path) -> None:
    """However well its steps go on."""
    for i in range(4):
        bundle(tmp_path / f"ckpt-{i}")
    other = frozenset({("dense_3/kernel", (8, 4)), ("dense_4/kernel", (8, 5)), ("dense_5/kernel", (8, 7))})
    runs = find_runs(
        [tmp_path], lambda p: Held(10 * int(p.name[-1]) + 10, renumbered(0) if p.name[-1] < "2" else other)
    )
    assert len(runs) == 2


@pytest.mark.parametrize("given", [["."], ["epoch_10", "epoch_2", "epoch_9"], ["epoch_*/m.keras"]])
def test_a_checkpoint_a_folder_is_one_run(tmp_path: Path, given: list[str]) -> None:
    """Numbered folders of one checkpoint each are a run of the folder above if the counters grow with the numbers."""
    for epoch in (2, 9, 10):
        (tmp_path / f"epoch_{epoch}").mkdir()
        archive(tmp_path / f"epoch_{epoch}" / "m.keras")
    (run,) = find_runs([tmp_path / path for path in given], lambda p: Held(int(p.parent.name[6:])))
    assert (run.name, run.folder) == (tmp_path.name, tmp_path)
    assert [path.parent.name for path in run.checkpoints] == ["epoch_2", "epoch_9", "epoch_10"]
    assert len(find_runs([tmp_path], lambda p: Held(5))) == 3


def test_a_trial_a_folder_is_no_run(tmp_path: Path) -> None:
    """Folders that number trainings stay runs of their own, whatever their counters."""
    for trial in (1, 2):
        (tmp_path / f"trial_{trial}").mkdir()
        archive(tmp_path / f"trial_{trial}" / "m.keras")
    assert [r.name for r in find_runs([tmp_path], lambda p: Held(int(p.parent.name[-1])))] == ["trial_1", "trial_2"]


def test_runs(tmp_path: Path) -> None:
    """A run is the checkpoints of one folder that are named alike; runs' names tell them apart."""
    for i in (1, 2):
        bundle(tmp_path / "one" / "checkpoints" / f"ckpt-{i}")
        bundle(tmp_path / "two" / "checkpoints" / f"ckpt-{i}")
        keras(tmp_path / "models" / f"mini_{i}.h5")
    keras(tmp_path / "models" / "tiny.h5")
    runs = find_runs([tmp_path])
    assert [(r.name, [p.name for p in r.checkpoints]) for r in runs] == [
        ("models.mini", ["mini_1.h5", "mini_2.h5"]),
        ("models.tiny", ["tiny.h5"]),
        ("one.checkpoints", ["ckpt-1", "ckpt-2"]),
        ("two.checkpoints", ["ckpt-1", "ckpt-2"]),
    ]
    assert {r.folder for r in runs} == {tmp_path / "models", *(tmp_path / n / "checkpoints" for n in ("one", "two"))}


def test_paths_that_overlap_give_nothing_twice(tmp_path: Path) -> None:
    """A folder, a glob and a checkpoint of it given together are the same checkpoints."""
    bundle(tmp_path / "ckpt-1")
    bundle(tmp_path / "ckpt-2")
    (run,) = find_runs([tmp_path, tmp_path / "ckpt-*", tmp_path / "ckpt-2.index", f"{tmp_path}/./ckpt-1"])
    assert [p.name for p in run.checkpoints] == ["ckpt-1", "ckpt-2"]


@pytest.mark.parametrize("pattern", ["ckpt-*", "ckpt-*.index", "ckpt-[0-9]*.data*", "*"])
def test_globs(tmp_path: Path, pattern: str) -> None:
    """Any of a bundle's files that a pattern matches stands for the bundle."""
    for i in (2, 10):
        bundle(tmp_path / f"ckpt-{i}")
    assert [p.name for p in find_checkpoints(f"{tmp_path}/{pattern}")] == ["ckpt-2", "ckpt-10"]


def test_v1_pattern_and_shard(tmp_path: Path) -> None:
    """A V1 pattern, and any of its shards, is the pattern."""
    for shard in range(3):
        (tmp_path / f"m-{shard:05d}-of-00003").write_bytes(table([(b"", b"")]))
    pattern = tmp_path / "m-?????-of-00003"
    assert find_checkpoints(tmp_path) == find_checkpoints(pattern) == (pattern,)
    assert find_checkpoints(tmp_path / "m-00001-of-00003") == (pattern,)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("model.ckpt", "model.ckpt-10"), ("model.ckpt-1.data", "model.ckpt-10"), ("epoch_3.keras", "epoch-3.keras")],
)
def test_a_name_that_is_not_there_is_compared_with_those_that_are(tmp_path: Path, given: str, meant: str) -> None:
    """The last that begins so, or the one that is spelled alike."""
    for step in (9, 10):
        (tmp_path / f"model.ckpt-{step}.index").write_bytes(table([(b"", b"")]))
        (tmp_path / f"model.ckpt-{step}.data-00000-of-00001").write_bytes(b"")
    (tmp_path / "epoch-3.keras").write_bytes(b"PK")
    for ask in (find_checkpoints, open_checkpoint):
        with pytest.raises(NotFoundError) as caught:
            ask(tmp_path / given)
        assert str(caught.value).endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("empty", "{0}/empty: no checkpoint is in this folder or below it"),
        ("other", "{0}/other: no checkpoint is in this folder or below it"),
        ("none", "{0}/none: there is no such file or folder, and no checkpoint of that prefix"),
        ("none/deeper", "{0}/none/deeper: there is no such path; {0}/none is not a folder either"),
        ("*.h5", "{0}/*.h5: no checkpoint matches this pattern"),
        (
            "stale",
            "{0}/stale/checkpoint: names /far/away/model-5, which is not here, and no other checkpoint is in {0}/stale "
            "or below it",
        ),
    ],
)
def test_nothing_found(tmp_path: Path, given: str, sentence: str) -> None:
    """Where there is nothing, it is said what was sought."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.md").write_text("x")
    (tmp_path / "stale").mkdir()
    (tmp_path / "stale" / "checkpoint").write_text('model_checkpoint_path: "/far/away/model-5"\n')
    for ask in (find_checkpoints, open_checkpoint) if "*" not in given else (find_checkpoints,):
        with pytest.raises(NotFoundError) as caught:
            ask(tmp_path / given)
        assert str(caught.value) == sentence.format(tmp_path)


def test_newest_by_the_state_file(tmp_path: Path) -> None:
    """A folder opens as what its `checkpoint` file names, by relative path or by an absolute one of another machine."""
    for i in (1, 2, 3):
        bundle(tmp_path / f"ckpt-{i}")
    state = tmp_path / "checkpoint"
    for name, codes in {
        "ckpt-2": [],
        f"{tmp_path}/ckpt-2": [],
        "/home/of/another/ckpt-2": ["state-file-absolute-paths"],
        "C:\\\\runs\\\\ckpt-2": ["state-file-absolute-paths"],
    }.items():
        state.write_text(f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "ckpt-1"\n')
        for given in (tmp_path, state):
            with open_checkpoint(given) as checkpoint:
                assert checkpoint.path == tmp_path / "ckpt-2"
                assert [p.code for p in checkpoint.problems] == codes


def test_newest_without_what_the_state_file_names(tmp_path: Path) -> None:
    """A state file that names what is gone is a Problem, and the last one found is taken."""
    bundle(tmp_path / "ckpt-1")
    bundle(tmp_path / "ckpt-2")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-9"\n')
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.path == tmp_path / "ckpt-2"
        (problem,) = checkpoint.problems
    assert (problem.code, problem.message) == (
        "state-file-stale",
        f"{tmp_path / 'checkpoint'}: names ckpt-9, which is not here",
    )


@pytest.mark.parametrize("fault", ["a loop of links", "a name that can't be one", "a pipe that it names"])
def test_a_state_file_that_leads_nowhere(tmp_path: Path, fault: str) -> None:
    """What can't be read of the file that names the newest doesn't hide the checkpoints beside it."""
    bundle(tmp_path / "ckpt-2")
    place = tmp_path / "checkpoint"
    if fault == "a loop of links":
        place.symlink_to("checkpoint")
    elif fault == "a pipe that it names":
        os.mkfifo(tmp_path / "ckpt-3")
        place.write_text('model_checkpoint_path: "ckpt-3"\n')
    else:
        place.write_text('model_checkpoint_path: "ckpt-2\\0"\n')
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.path == tmp_path / "ckpt-2"
        (problem,) = checkpoint.problems
    assert (problem.code, problem.severity) == ("state-file-unreadable", "warning")
    assert problem.message.startswith(f"{place}: ")


def test_links_in_circles(tmp_path: Path) -> None:
    """A link to a folder above is not followed."""
    bundle(tmp_path / "a" / "ckpt-1")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert found(tmp_path) == ["a/ckpt-1"]


@pytest.mark.parametrize("pattern", ["**", "**/ckpt-*", "a/**", "*/ckpt-1*", "**/**/ckpt-*"])
def test_patterns_and_links_in_circles(tmp_path: Path, pattern: str) -> None:
    """No pattern follows links in circles, and a checkpoint is found once by however many links."""
    bundle(tmp_path / "a" / "ckpt-1")
    for name in ("x", "y", "z"):
        (tmp_path / "a" / name).symlink_to(".")
        (tmp_path / name).symlink_to("a")
    (only,) = find_checkpoints(f"{tmp_path}/{pattern}")
    assert only.name == "ckpt-1"


def test_a_state_file_that_leads_elsewhere(tmp_path: Path) -> None:
    """A folder that holds only a state file stands for the checkpoint that it names, wherever that lies."""
    bundle(tmp_path / "loop" / "ckpt-1")
    bundle(tmp_path / "loop" / "ckpt-2")
    (tmp_path / "best").mkdir()
    for name in ("../loop/ckpt-2", str(tmp_path / "loop" / "ckpt-2")):
        (tmp_path / "best" / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\n')
        (only,) = find_checkpoints(tmp_path / "best")
        with open_checkpoint(tmp_path / "best") as checkpoint:
            assert checkpoint.path == only
            assert checkpoint.path.with_name("ckpt-2.index").samefile(tmp_path / "loop" / "ckpt-2.index")
            assert {p.code for p in checkpoint.problems} <= {"state-file-elsewhere"}


def test_names_of_many_folders(tmp_path: Path) -> None:
    """Runs are named by as few folders as tell them apart, each by its own number of them."""
    for name in ("a/x/ckpt-1", "b/x/ckpt-1", "b/y/ckpt-1"):
        bundle(tmp_path / name)
    assert [run.name for run in find_runs([tmp_path])] == ["a.x", "b.x", "y"]


def test_newest_means_the_same_everywhere(tmp_path: Path) -> None:
    """What opens a folder takes the same checkpoint, whoever asks; only the remark that there were several differs."""
    for i in (1, 2, 3):
        bundle(tmp_path / f"ckpt-{i}")
    for text in ("", 'model_checkpoint_path: "ckpt-2"\n', 'model_checkpoint_path: "ckpt-9"\n'):
        (tmp_path / "checkpoint").write_text(text)
        checkpoint, remarks = open_newest(tmp_path)
        with checkpoint, open_checkpoint(tmp_path) as other:
            assert checkpoint.path == other.path == tmp_path / ("ckpt-2" if "ckpt-2" in text else "ckpt-3")
            assert checkpoint.problems == other.problems
        (remark,) = remarks
        assert (remark.code, remark.message) == ("newest-chosen", f"{tmp_path} holds 3 checkpoints")
    for pattern, path in ((tmp_path / "ckpt-[12]*", tmp_path / "ckpt-2"), (tmp_path / "ckpt-1*", tmp_path / "ckpt-1")):
        checkpoint, _ = open_newest(pattern)
        with checkpoint:
            assert checkpoint.path == path


def test_paths_named_together(tmp_path: Path) -> None:
    """Paths that are named together are one run in their order; a folder's checkpoints are in training order."""
    for name in ("b/ckpt-10", "b/ckpt-9", "a/other", "a/m_1"):
        bundle(tmp_path / name)
    run = one_run([tmp_path / "b", tmp_path / "a" / "other.index", tmp_path / "a" / "m_1", tmp_path / "b" / "ckpt-9"])
    assert (run.name, run.folder) == ("b", tmp_path / "b")
    assert [p.name for p in run.checkpoints] == ["ckpt-9", "ckpt-10", "other", "m_1"]
    with pytest.raises(NotFoundError, match="no path was given"):
        one_run([])
    with pytest.raises(NotFoundError, match="there is no such file or folder"):
        one_run([tmp_path / "b", tmp_path / "nothing"])


def test_sizes_by_names(tmp_path: Path) -> None:
    """A run tells how large its checkpoints are without opening them, each with what belongs to it and nothing else."""
    for i in (1, 10):
        bundle(tmp_path / f"ckpt-{i}")
        Path(tmp_path / f"ckpt-{i}.meta").write_bytes(bytes(1000))
    keras(tmp_path / "m.h5")
    bundle(tmp_path / "saved" / "variables" / "variables")
    (tmp_path / "saved" / "saved_model.pb").write_bytes(bytes(500))
    sizes = {path.name: size for run in find_runs([tmp_path]) for path, size in run.sizes().items()}
    expected = {}
    for path in (p for run in find_runs([tmp_path]) for p in run.checkpoints):
        with open_checkpoint(path) as checkpoint:
            expected[path.name] = checkpoint.size_bytes
    assert sizes == expected
    assert one_run([tmp_path / "ckpt-1"]).sizes() == {tmp_path / "ckpt-1": expected["ckpt-1"]}
    assert Run("made", tmp_path, (tmp_path / "m.h5",)).sizes() == {tmp_path / "m.h5": expected["m.h5"]}


def test_a_path_that_is_there_is_no_pattern(tmp_path: Path) -> None:
    """Brackets in the name of what is there are brackets."""
    bundle(tmp_path / "run [1]" / "ckpt-1")
    keras(tmp_path / "run [1]" / "m.h5")
    for given in ("ckpt-1", "ckpt-1.index", "m.h5"):
        assert len(find_checkpoints(tmp_path / "run [1]" / given)) == 1
    assert len(find_checkpoints(tmp_path / "run [1]")) == 2


@pytest.mark.parametrize(
    ("names", "is_so"),
    [
        ([], False),
        (["a-1"], True),
        (["a"], True),
        (["a", "a"], False),
        (["a-2", "a-10", "a-11"], True),
        (["a-2", "a-10", "a-9"], False),
        (["a-1", "b-2"], False),
        (["a-1", "a-1-2"], False),
        (["a-1-2", "a-1-3", "a-2-1"], True),
        (["a-1-0.5", "a-2-0.25"], True),
        (["a-1-7", "a-2-0.5"], True),
        (["a-1-7", "a-1-8", "a-2-0.5"], False),
    ],
)
def test_names_are_numbered_on(names: list[str], is_so: bool) -> None:
    """By whole numbers, as many in each name; a place where any name has a fraction tells nothing."""
    assert are_numbered_on(names) == is_so
