"""Orbax folders, compared with tensorstore's own reading and with the live arrays; and damaged ones."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from support.orbax_sets import FOLDER, SETS, by_tensorstore, copied, edit_metadata, tree_folders, truth

from ckpt_inspect import find_checkpoints, find_runs, open_checkpoint, optimizer_states
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError, UnsupportedError
from ckpt_inspect.formats import chunk_boxes, chunk_codecs, find_left_over, orbax_elements
from ckpt_inspect.formats.chunk_boxes import box_around
from ckpt_inspect.formats.orbax_library import find_tensorstore
from ckpt_inspect.overview.overview import UNREADABLE, overview

TREES = [folder for name in SETS if name != "aggregate" for folder in tree_folders(FOLDER / name)]


@pytest.mark.parametrize("folder", TREES, ids=lambda folder: str(folder.relative_to(FOLDER)))
def test_every_array_is_as_tensorstore_reads_it(folder: Path) -> None:
    """Whole, in pieces of any length, and by type and shape."""
    expected = by_tensorstore(folder)
    with open_checkpoint(folder) as checkpoint:
        tree = checkpoint.saved_tree()
        assert checkpoint.format == "orbax"
        assert tree is not None
        assert {".".join(path) for path in tree.paths.values()} == set(expected)
        for name, path in tree.paths.items():
            array = expected[".".join(path)]
            assert checkpoint.tensors[name].shape == array.shape
            assert checkpoint.tensors[name].dtype == array.dtype.name
            np.testing.assert_array_equal(checkpoint.read(name), array)
            for length in (1, 3, 1000):
                pieces = [piece.copy() for piece in checkpoint.stream(name, length)]
                np.testing.assert_array_equal(np.concatenate(pieces), array.ravel())
        checkpoint.finish_reading()


@pytest.mark.parametrize("folder", TREES[:4], ids=lambda folder: str(folder.relative_to(FOLDER)))
def test_large_chunks_are_kept_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take no memory until they are read; the elements are the same, in pieces of any length."""
    monkeypatch.setattr(orbax_elements, "LARGE", 0)
    for part in (1 << 20, 4):
        monkeypatch.setattr(chunk_boxes, "_PART", part)
        monkeypatch.setattr(chunk_codecs, "_PART", part)
        with open_checkpoint(folder) as checkpoint:
            tree = checkpoint.saved_tree()
            assert tree is not None
            expected = by_tensorstore(folder)
            for name, path in tree.paths.items():
                for length in (1, 3, 1000):
                    pieces = [piece.copy() for piece in checkpoint.stream(name, length)]
                    np.testing.assert_array_equal(np.concatenate(pieces), expected[".".join(path)].ravel())


def test_a_piece_is_read_with_the_rows_of_chunks_around_it() -> None:
    """No more than those, and in one contiguous part of the flattened array."""
    shape, chunk = (10, 6, 4), (2, 3, 4)
    flat = np.arange(240).reshape(shape)
    for start in range(240):
        for stop in (start + 1, min(start + 30, 240)):
            first, box = box_around(shape, chunk, start, stop)
            part = flat[tuple(box)].ravel()
            assert first == part[0] <= start < stop <= part[-1] + 1
            np.testing.assert_array_equal(part, np.arange(part[0], part[-1] + 1))
            assert all(s.start % c == 0 for s, c in zip(box[:1], chunk[:1], strict=True))
    assert box_around((1, 1, 100), (1, 1, 10), 42, 43) == (40, [slice(0, 1), slice(0, 1), slice(40, 50)])
    assert box_around((), (), 0, 1) == (0, [])


def test_a_managers_steps_are_a_run() -> None:
    """Each a checkpoint of its items with a tree, in training order; an item or a file in it opens as well."""
    (run,) = find_runs([FOLDER / "run"])
    assert [path.name for path in run.checkpoints] == ["5", "10"]
    with open_checkpoint(run.checkpoints[-1]) as checkpoint:
        assert {name.partition("/")[0] for name in checkpoint.tensors} == {"params", "opt_state"}
        assert checkpoint.files[0].name == "_CHECKPOINT_METADATA"
        assert not any("orbax-checkpoint-tmp" in str(file) for file in checkpoint.files)
    for inside in ("params", "params/_METADATA", "_CHECKPOINT_METADATA"):
        with open_checkpoint(run.checkpoints[-1] / inside) as checkpoint:
            assert checkpoint.tensors
    assert find_checkpoints(run.checkpoints[0]) == (run.checkpoints[0],)


def test_what_is_being_written_is_no_checkpoint(tmp_path: Path) -> None:
    """It is left out of its run, and named as what it is where there is nothing else."""
    folder = tmp_path / "12.orbax-checkpoint-tmp"
    shutil.copytree(FOLDER / "run" / "10", folder)
    for path in (folder, tmp_path):
        with pytest.raises(CkptInspectError, match=r"still being written by Orbax.*renamed to 12"):
            find_checkpoints(path)
    with pytest.raises(DamagedFileError, match="still being written"):
        open_checkpoint(folder)
    shutil.copytree(FOLDER / "run" / "5", tmp_path / "5")
    assert [path.name for path in find_checkpoints(tmp_path)] == ["5"]


def test_values_in_the_msgpack_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the tree's metadata leads to them, or the file is opened by itself; tensorstore isn't needed."""
    expected = truth("aggregate")
    shutil.copy(FOLDER / "aggregate" / "checkpoint", tmp_path / "state.msgpack")
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    for path in (FOLDER / "aggregate", tmp_path / "state.msgpack"):
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.problems == ()
            for field, prefix in (("mu", "opt_state/0/mu"), ("nu", "opt_state/0/nu"), ("value", "params")):
                own = {key.partition("/")[2]: array for key, array in expected.items() if key.startswith(f"{field}/")}
                assert own
                for name, array in own.items():
                    np.testing.assert_array_equal(checkpoint.read(f"{prefix}/{name}"), array)
            (state,) = optimizer_states(checkpoint)
            assert len(state.parameters) == len(own)


def test_a_missing_msgpack_file_is_named(tmp_path: Path) -> None:
    """What the metadata says it holds isn't forgotten."""
    folder = copied("aggregate", tmp_path)
    (folder / "checkpoint").unlink()
    with open_checkpoint(folder) as checkpoint:
        assert not checkpoint.tensors
        (problem,) = checkpoint.problems
        assert "checkpoint: is missing, and holds 13 values" in problem.message
        (state,) = optimizer_states(checkpoint)
        assert "msgpack" in str(state.absence)


# --- without tensorstore


@pytest.mark.parametrize("name", [name for name in SETS if name != "aggregate"])
def test_without_tensorstore_the_arrays_are_listed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the metadata's names; reading one, and asking for its optimizers, says what to install."""
    with open_checkpoint(find_checkpoints(FOLDER / name)[-1]) as checkpoint:
        expected = set(checkpoint.tensors)
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with open_checkpoint(find_checkpoints(FOLDER / name)[-1]) as checkpoint:
        assert set(checkpoint.tensors) == expected
        for read in (lambda: checkpoint.read(next(iter(expected))), lambda: optimizer_states(checkpoint)):
            with pytest.raises(UnsupportedError, match=r"tensorstore.*pip install 'ckpt-inspect\[orbax\]'"):
                read()
        shown = overview(checkpoint)
        assert shown.description == UNREADABLE
        assert len(shown.parameters) == len(expected)
        assert [p.code for p in shown.problems] == ["reader-missing"]


def test_an_old_tensorstore_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It couldn't tell a chunk that is missing from one that was left out."""
    monkeypatch.setattr("ckpt_inspect.formats.orbax_library.version", lambda _: "0.1.45")
    assert "is too old (0.1.45)" in str(find_tensorstore())


# --- damage


def test_a_missing_chunk_is_damage(tmp_path: Path) -> None:
    """The metadata says that all were written, so that it isn't the fill value."""
    folder = copied("adamax-plain", tmp_path)
    (folder / "opt_state.0.nu.enc.mu.kernel" / "0.0").unlink()
    with (
        open_checkpoint(folder) as checkpoint,
        pytest.raises(DamagedFileError, match=r"adamax-plain: opt_state\.0\.nu\.enc\.mu\.kernel: chunk .*missing"),
    ):
        checkpoint.read("opt_state/0/nu/enc/mu/kernel")


def test_a_chunk_that_was_left_out_is_the_fill_value(tmp_path: Path) -> None:
    """Earlier releases wrote no chunk of zeros alone."""
    folder = copied("adam-chain-plain", tmp_path)
    (folder / "params.enc.mu.bias" / "0").unlink()
    with open_checkpoint(folder) as checkpoint:
        assert not checkpoint.read("params/enc/mu/bias").any()


def test_arrays_that_the_tree_doesnt_name_are_told(tmp_path: Path) -> None:
    """A bit that flipped in the name of a placeholder makes it a text, which no array belongs to."""
    folder = copied("adam-chain-plain", tmp_path)
    tree = (folder / "checkpoint").read_bytes()
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.problems == ()
    for name, told in ((b"params.nu.0", r"params\.nu\.0"), (b"params.", r"params\.\S+ and 3 more")):
        (folder / "checkpoint").write_bytes(tree.replace(b"PLACEHOLDER://" + name, b"PLACEJOLDER://" + name))
        with open_checkpoint(folder) as checkpoint:
            (problem,) = checkpoint.problems
            assert problem.code == "arrays-unnamed"
            assert re.search(f"doesn't name: {told}$", problem.message)


def test_a_missing_array_is_damage(tmp_path: Path) -> None:
    """Of those that the metadata names, none may be absent."""
    folder = copied("adamax-plain", tmp_path)
    shutil.rmtree(folder / "params.enc.mu.bias")
    with pytest.raises(DamagedFileError, match=r"params\.enc\.mu\.bias.*does not exist"):
        open_checkpoint(folder)


@pytest.mark.parametrize("damage", ["truncated", "absent"])
def test_a_damaged_store_is_named(damage: str, tmp_path: Path) -> None:
    """The manifest, or the data that it leads to."""
    folder = copied("adagrad", tmp_path)
    if damage == "absent":
        (folder / "manifest.ocdbt").unlink()
        with pytest.raises(NotFoundError, match=r"manifest\.ocdbt: is missing"):
            open_checkpoint(folder)
        return
    (folder / "manifest.ocdbt").write_bytes((folder / "manifest.ocdbt").read_bytes()[:40])
    with pytest.raises(DamagedFileError, match="damaged or was not copied whole"):
        open_checkpoint(folder)


def test_missing_data_files_are_damage(tmp_path: Path) -> None:
    """Each of an OCDBT store's files that holds something is needed."""
    folder = copied("adagrad", tmp_path)
    for file in folder.glob("**/d/*"):
        file.unlink()
    with pytest.raises(DamagedFileError):
        open_checkpoint(folder)


def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    """When all is read, before anything is made of it."""
    folder = copied("adagrad", tmp_path)
    with open_checkpoint(folder) as checkpoint:
        (folder / "_METADATA").write_text((folder / "_METADATA").read_text() + "\n")
        with pytest.raises(DamagedFileError, match="was replaced"):
            checkpoint.finish_reading()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is JSON that is nested too deeply to be read"),
        ('{"a": ' + "9" * 10_000 + "}", "is JSON with a number of more digits than can be read"),
        ("[]", "not an object"),
        ("{}", "lists no tree_metadata"),
        ('{"tree_metadata": {"a": 1}}', "has no keys and value"),
        ('{"tree_metadata": {"a": {"key_metadata": [], "value_metadata": {"value_type": {}}}}}', "no key leads"),
        ('{"tree_metadata": {"a": {"key_metadata": [{"key": null}], "value_metadata": {}}}}', "neither a name nor"),
    ],
)
def test_metadata_that_is_none(text: str, message: str, tmp_path: Path) -> None:
    """One sentence with the file's name."""
    folder = copied("adagrad", tmp_path)
    (folder / "_METADATA").write_text(text)
    with pytest.raises(DamagedFileError, match=rf"_METADATA.*{message}"):
        open_checkpoint(folder)


@pytest.mark.parametrize("key", ["../outside", "/etc", "a/../../b"])
def test_no_name_leads_out_of_the_folder(key: str, tmp_path: Path) -> None:
    """An array's folder lies in its item's."""
    folder = copied("adamax-plain", tmp_path)

    def lead_out(content: dict[str, dict[str, object]]) -> None:
        leaf = {"key_metadata": [{"key": key, "key_type": 2}], "value_metadata": {"value_type": "jax.Array"}}
        content["tree_metadata"]["x"] = leaf

    edit_metadata(folder, lead_out)
    with pytest.raises(DamagedFileError, match="outside"):
        open_checkpoint(folder)


def test_a_key_that_is_no_text_is_damage(tmp_path: Path) -> None:
    """Half of a surrogate pair, which no name of a file has."""
    folder = copied("adagrad", tmp_path)
    path = folder / "_METADATA"
    path.write_text(path.read_text().replace('"key": "params"', '"key": "\\ud800"'))
    with pytest.raises(DamagedFileError, match=r"the key '\\ud800', which is not text"):
        open_checkpoint(folder)


@pytest.mark.parametrize("size", [10**9, 10**13])
def test_a_chunk_that_no_file_can_hold_is_damage(size: int, tmp_path: Path) -> None:
    """It is not tried: C++ would end the process."""
    folder = copied("adamax-plain", tmp_path)
    path = folder / "params.enc.mu.bias" / ".zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shape": [size], "chunks": [size]}))
    with pytest.raises(DamagedFileError, match=r"params\.enc\.mu\.bias claims shape .* more than"):
        open_checkpoint(folder)


def test_deep_paths_are_refused(tmp_path: Path) -> None:
    """A path of thousands of keys is no tree of parameters."""
    folder = copied("adamax-plain", tmp_path)

    def deepen(content: dict[str, dict[str, object]]) -> None:
        keys = [{"key": "opt_state", "key_type": 2}] + [{"key": "0", "key_type": 1}] * 100_000
        content["tree_metadata"]["x"] = {"key_metadata": keys, "value_metadata": {"value_type": "None"}}

    edit_metadata(folder, deepen)
    with pytest.raises(DamagedFileError, match="nested"):
        open_checkpoint(folder)


def test_a_file_of_flax_is_found(tmp_path: Path) -> None:
    """A pickle or a text of that name is none."""
    (tmp_path / "state.msgpack").write_bytes((FOLDER / "aggregate" / "checkpoint").read_bytes())
    (tmp_path / "checkpoint_7").write_bytes((FOLDER / "aggregate" / "checkpoint").read_bytes())
    (tmp_path / "pickle.msgpack").write_bytes(b"\x80\x04\x95" + bytes(20))
    (tmp_path / "checkpoint_8").write_text('model_checkpoint_path: "model"')
    assert {path.name for path in find_checkpoints(tmp_path)} == {"state.msgpack", "checkpoint_7"}


def test_an_item_that_the_step_s_own_file_names_and_that_is_gone_is_reported(tmp_path: Path) -> None:
    """One of several: the rest is read, with a Problem; all trees: the folder is what is left of a checkpoint."""
    step = copied("run", tmp_path) / "10"
    with open_checkpoint(step) as whole:
        assert "item-missing" not in {problem.code for problem in whole.problems}
    shutil.rmtree(step / "opt_state")
    with open_checkpoint(step) as rest:
        assert [p.message for p in rest.problems if p.code == "item-missing"] == [
            f"{step / 'opt_state'}: is missing, though _CHECKPOINT_METADATA beside it names it"
        ]
    assert find_left_over(tmp_path) == []
    shutil.rmtree(step / "params")
    assert [path.parent for path in find_left_over(tmp_path)] == [step]
    assert [path.name for path in find_checkpoints(tmp_path)] == ["5"]
