"""What is no checkpoint: one sentence each, with the path, what it is, and what to do."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.bundle_writer import header, table, write_bundle

from ckpt_inspect.errors import (
    CkptInspectError,
    DamagedFileError,
    NotFoundError,
    RequestError,
    TruncatedFileError,
    UnsupportedError,
)
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.formats.grouping import find_claims
from ckpt_inspect.formats.sstable import read_table

FORMATS = Path(__file__).parent.parent.parent / "fixtures" / "formats"
DIGITS = Path(__file__).parent.parent.parent / "fixtures" / "digits"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
LFS_SENTENCE = "is a Git LFS pointer, not the file it stands for; run `git lfs pull` to fetch that"


@pytest.mark.parametrize(
    ("name", "contents", "kind", "sentence"),
    [
        ("m.h5", b"", DamagedFileError, "is empty (0 bytes): it was not written or not copied; restore it"),
        ("m.keras", b"", DamagedFileError, "is empty (0 bytes): it was not written or not copied; restore it"),
        (
            "m.h5",
            bytes(5000),
            DamagedFileError,
            "starts with zero bytes only: it was not written or not copied whole",
        ),
        ("m.h5", LFS, DamagedFileError, LFS_SENTENCE),
        (
            "m.h5",
            b"/annex/objects/SHA256E-s1--0\n",
            DamagedFileError,
            "is a git-annex pointer, not the file it stands for; run `git annex get` to fetch that",
        ),
        (
            "m.pt",
            b"\x80\x02\x8a\nl\xfc",
            UnsupportedError,
            "is a PyTorch file (a pickle), not a TensorFlow or Keras checkpoint",
        ),
        (
            "m.pkl",
            pickle.dumps({"a": 1}),
            UnsupportedError,
            "is a Python pickle, which is not opened because that would run its code; save with TensorFlow or Keras",
        ),
        ("a.npy", b"\x93NUMPY\x01\x00", UnsupportedError, "is a NumPy .npy file, not a checkpoint"),
        (
            "m.safetensors",
            (12).to_bytes(8, "little") + b'{"a": [1,2]}',
            UnsupportedError,
            "is a safetensors file, which holds weights and no optimizer of TensorFlow or Keras",
        ),
        (
            "m.onnx",
            b"\x08\x07\x12\x07pytorch",
            UnsupportedError,
            "is an ONNX model, not a TensorFlow or Keras checkpoint",
        ),
        ("m.tflite", b"\x1c\0\0\0TFL3", UnsupportedError, "is a TensorFlow Lite model, which has no optimizer"),
        (
            "frozen.pb",
            b"\n\x10\n\x01x\x12\x0bPlaceholder",
            UnsupportedError,
            "is a frozen TensorFlow graph, not a checkpoint: its variables are constants, and no optimizer is in it",
        ),
        (
            "model.ckpt-3.meta",
            b"\n\x10x",
            UnsupportedError,
            "is a TensorFlow graph whose checkpoint is not beside it; copy its .index and .data files (or V1 file) too",
        ),
        (
            "read1.meta",
            b"# Reading Basecalling",
            UnsupportedError,
            "is not a checkpoint of TensorFlow or Keras that this package knows",
        ),
        ("events.out.tfevents.1", b"\x18\0\0\0", UnsupportedError, "is a TensorBoard event file, not a checkpoint"),
        (
            "m.h5",
            b"\x08\x07\x12\x07pytorch",
            UnsupportedError,
            "is named like a Keras file, but starts neither like an HDF5 file nor like a zip archive",
        ),
        (
            "m.keras",
            b"\r\n<!DOCTYPE html>",
            UnsupportedError,
            "is a web page, as a server sends it in place of a file that it doesn't give: download the file again",
        ),
        (
            "m.h5",
            b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>',
            UnsupportedError,
            "is an XML text, as a server sends it in place of a file that it doesn't give: download the file again",
        ),
        ("m.h5", b'{"error": "not found"}', UnsupportedError, "is a JSON file, not a checkpoint"),
        ("m.h5", b"\x1f\x8b\x08\0", UnsupportedError, "is packed with gzip: unpack it first"),
        ("m.keras", b"7z\xbc\xaf\x27\x1c\0\x04", UnsupportedError, "is packed with 7-Zip: unpack it first"),
        (
            "m.keras",
            b"m.h5".ljust(257, b"\0") + b"ustar\x0000",
            UnsupportedError,
            "is a tar archive: unpack it, and give what is in it",
        ),
        ("m.h5", b"MATLAB 7.3 MAT-file", UnsupportedError, "is a MATLAB file, not a checkpoint"),
        ("config.json", b'{"a": 1}', UnsupportedError, "is a JSON file, not a checkpoint"),
        ("notes", b"hello", UnsupportedError, "is not a checkpoint of TensorFlow or Keras that this package knows"),
        (
            "checkpoint",
            b"hello",
            UnsupportedError,
            "is not a checkpoint of TensorFlow or Keras that this package knows",
        ),
    ],
)
def test_files(tmp_path: Path, name: str, contents: bytes, kind: type[CkptInspectError], sentence: str) -> None:
    """Each kind of file is called by its name."""
    path = tmp_path / name
    path.write_bytes(contents)
    with pytest.raises(kind) as caught:
        open_checkpoint(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_npz_and_zip(tmp_path: Path) -> None:
    """Zips of others are told apart."""
    np.savez(tmp_path / "a.keras", x=np.zeros(2))
    (tmp_path / "a.keras.npz").rename(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "b.keras", "w") as archive:
        archive.writestr("readme", "x")
    for name, members in {
        "c.keras": ("run/config.json", "run/model.weights.h5"),
        "d.keras": ("epoch-1.keras",),
        "e.zip": ("run/ckpt-1.index", "run/ckpt-1.data-00000-of-00001"),
    }.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, "x")
    for name, sentence in (
        ("a.keras", "is a NumPy .npz archive, not a checkpoint"),
        ("b.keras", "is a zip archive, but not of Keras: it has no config.json"),
        (
            "c.keras",
            "is a zip archive whose folder run holds what Keras archives hold: unpack it, and give that folder",
        ),
        ("d.keras", "is a zip archive that holds epoch-1.keras: unpack it, and give what is in it"),
        ("e.zip", "is a zip archive that holds run/ckpt-1.index: unpack it, and give what is in it"),
    ):
        with pytest.raises(UnsupportedError) as caught:
            open_checkpoint(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {sentence}"


def test_placeholders_in_a_bundle(tmp_path: Path) -> None:
    """Git LFS pointers in place of an index or a shard are named, each where it matters."""
    write_bundle(tmp_path / "c", {"x": np.zeros(1000, np.float32)})
    shard, index = tmp_path / "c.data-00000-of-00001", tmp_path / "c.index"
    shard.write_bytes(LFS)
    with open_checkpoint(tmp_path / "c") as checkpoint:
        assert [(p.code, p.message) for p in checkpoint.problems] == [("truncated-shard", f"{shard}: {LFS_SENTENCE}")]
        with pytest.raises(DamagedFileError) as caught:
            checkpoint.read("x")
    assert str(caught.value) == f"{shard}: {LFS_SENTENCE}"
    index.write_bytes(LFS)
    for given in (tmp_path / "c", index):
        with pytest.raises(DamagedFileError) as caught:
            open_checkpoint(given)
        assert str(caught.value) == f"{index}: {LFS_SENTENCE}"


@pytest.mark.parametrize("size", [512, 4096])
def test_an_hdf5_file_behind_a_user_block(tmp_path: Path, size: int) -> None:
    """Zeros that stand before it are no sign of damage."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w", userblock_size=size) as file:
        file["optimizer/vars/0"] = np.int64(3)
    with pytest.raises(UnsupportedError) as caught:
        open_checkpoint(path)
    assert str(caught.value) == (
        f"{path}: is an HDF5 file behind a user block of {size} bytes, which Keras doesn't write; take that off with "
        "HDF5's h5unjam"
    )


def test_truncated_index(tmp_path: Path) -> None:
    """An index cut short is called truncated, however it is given."""
    write_bundle(tmp_path / "c", {"x": np.zeros(10, np.float32)})
    index = tmp_path / "c.index"
    os.truncate(index, 60)
    for given in (tmp_path / "c", index, tmp_path / "c.data-00000-of-00001"):
        with pytest.raises(DamagedFileError) as caught:
            open_checkpoint(given)
        assert str(caught.value) == (
            f"{index}: does not end with a table's magic number: it is truncated or not a table; copy or restore it"
        )


def test_broken_link(tmp_path: Path) -> None:
    """A link to nothing says where it leads."""
    (tmp_path / "m.h5").symlink_to("objects/abc")
    with pytest.raises(NotFoundError) as caught:
        open_checkpoint(tmp_path / "m.h5")
    assert str(caught.value) == f"{tmp_path / 'm.h5'}: is a symbolic link to objects/abc, which is not there"


def test_pipe(tmp_path: Path) -> None:
    """A pipe is refused rather than waited for."""
    os.mkfifo(tmp_path / "m.h5")
    with pytest.raises(UnsupportedError) as caught:
        open_checkpoint(tmp_path / "m.h5")
    assert str(caught.value) == f"{tmp_path / 'm.h5'}: is neither a file nor a folder (a pipe, socket or device)"


def test_pattern(tmp_path: Path) -> None:
    """A pattern is not one checkpoint."""
    with pytest.raises(RequestError) as caught:
        open_checkpoint(tmp_path / "ckpt-*")
    assert str(caught.value) == (
        f"{tmp_path / 'ckpt-*'}: is a pattern, not a checkpoint; find_checkpoints() lists what it matches"
    )


def test_folder_called_h5(tmp_path: Path) -> None:
    """A folder is a folder, whatever its name."""
    (tmp_path / "m.h5").mkdir()
    with pytest.raises(NotFoundError) as caught:
        open_checkpoint(tmp_path / "m.h5")
    assert str(caught.value) == f"{tmp_path / 'm.h5'}: no checkpoint is in this folder or below it"


def test_v1_shard_that_is_missing(tmp_path: Path) -> None:
    """A V1 checkpoint lacks a shard: it is named, and how many there are."""
    for shard in (0, 2):
        (tmp_path / f"m-{shard:05d}-of-00003").write_bytes(table([(b"", b"")]))
    with pytest.raises(NotFoundError) as caught:
        open_checkpoint(tmp_path / "m-?????-of-00003")
    assert str(caught.value) == (
        f"{tmp_path / 'm-00001-of-00003'}: is missing (2 of the 3 shards of this V1 checkpoint are here); copy it too"
    )


@pytest.mark.parametrize(
    "names, told",
    [
        (["archive/data.pkl", "archive/data/0", "archive/version"], "PyTorch"),
        (["w.npy"], "NumPy"),
        (["readme.txt"], "zip archive"),
        (["/config.json", "/model.weights.h5"], "whose folder / holds what Keras archives hold"),
    ],
)
def test_foreign_zip_archives_are_named(tmp_path: Path, names: list[str], told: str) -> None:
    """By their members' names; nothing in them is opened."""
    with zipfile.ZipFile(tmp_path / "model.ckpt", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(UnsupportedError, match=told):
        open_checkpoint(tmp_path / "model.ckpt")


@pytest.mark.parametrize("name", ["model.index", "model.meta", "m.weights.json"])
def test_a_sparse_companion_is_not_read_into_memory(tmp_path: Path, name: str) -> None:
    """A file may claim a terabyte of zeros; what is read whole begins, or ends, with something."""
    write_bundle(tmp_path / "model", {"a": np.zeros(3, np.float32)})
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 40)
    with (
        pytest.raises(CkptInspectError, match=r"magic number|zero bytes|at most|not a"),
        open_checkpoint(tmp_path / (name if name.endswith("json") else "model")) as checkpoint,
    ):
        checkpoint.graph()


def test_a_name_that_no_file_can_have() -> None:
    """Text that can't be a path's is an error of our own."""
    with pytest.raises(CkptInspectError):
        open_checkpoint(Path("model\ud800.weights.h5"))


def test_more_files_than_tensors_are_not_looked_for(tmp_path: Path) -> None:
    """An index that names a billion files is damaged; none of them is asked for."""
    prefix = tmp_path / "model"
    write_bundle(prefix, {"a": np.zeros(3, np.float32)})
    entries = list(read_table((tmp_path / "model.index").read_bytes()))
    many = [(key, value if key else header(60_000)) for key, value in entries]
    (tmp_path / "model.index").write_bytes(table(many))
    with pytest.raises(DamagedFileError, match="names 60000 files for 1 tensors"):
        open_checkpoint(prefix)


def test_an_archive_that_lists_too_many_members(tmp_path: Path) -> None:
    """They are not read one by one."""
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        for i in range(30_000):
            member = copy.copy(archive.filelist[0])
            member.filename = f"{i:0>40}"
            archive.filelist.append(member)
    with pytest.raises(UnsupportedError, match=r"lists its members in \d+ bytes"):
        open_checkpoint(path)


def test_a_member_that_unpacks_to_more_than_it_claims(tmp_path: Path) -> None:
    """No more than that is unpacked."""
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (1 << 22))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (64).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(DamagedFileError, match=r"its config\.json can't be unpacked"):
        open_checkpoint(path)


def test_a_placeholder_for_a_graph(tmp_path: Path) -> None:
    """A pointer of Git LFS in the place of a `.meta` is no damage."""
    write_bundle(tmp_path / "c", {"x": np.zeros(3, np.float32)})
    graph = tmp_path / "c.meta"
    graph.write_bytes(LFS)
    with open_checkpoint(tmp_path / "c") as checkpoint, pytest.raises(DamagedFileError) as caught:
        checkpoint.graph()
    assert str(caught.value) == f"{graph}: {LFS_SENTENCE}"


def test_an_empty_graph(tmp_path: Path) -> None:
    """A `.meta` of 0 bytes is not the same as none: which optimizer keeps which slots would be guessed."""
    write_bundle(tmp_path / "c", {"x": np.zeros(3, np.float32)})
    (tmp_path / "c.meta").touch()
    with open_checkpoint(tmp_path / "c") as checkpoint:
        with pytest.raises(TruncatedFileError, match=r"c\.meta: is empty \(0 bytes\): .*; restore it, or remove it"):
            checkpoint.graph()
        (problem,) = checkpoint.check_rest()
    assert (problem.code, problem.severity) == ("graph-damaged", "error")


@pytest.mark.parametrize("before", [b"HTTP/1.1 200 OK\r\n\r\n", bytes(700), b"x" * 5000])
def test_an_archive_behind_other_bytes(tmp_path: Path, before: bytes) -> None:
    """A zip is found from its end, by Keras too; what lies before it is reported as belonging to nothing."""
    healthy = DIGITS / "epoch-02.keras"
    path = tmp_path / "m.keras"
    path.write_bytes(before + healthy.read_bytes())
    with open_checkpoint(healthy) as expected, open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "keras-archive"
        for name in expected.tensors:
            assert np.array_equal(checkpoint.read(name), expected.read(name))
        (problem,) = checkpoint.check_rest()
        assert (problem.code, problem.severity) == ("bytes-unclaimed", "info")
        assert f"{len(before)} bytes before" in problem.message
    assert [claim.path for (claim,) in find_claims([tmp_path])] == [path]


def test_an_archive_whose_first_bytes_changed(tmp_path: Path) -> None:
    """A `.keras` whose first bytes are no zip's is looked at from its end, and its first member is damaged."""
    path = tmp_path / "m.keras"
    path.write_bytes(b"QK" + (DIGITS / "epoch-02.keras").read_bytes()[2:])
    with pytest.raises(DamagedFileError, match=r"m\.keras: its metadata\.json can't be unpacked"):
        open_checkpoint(path)


@pytest.mark.parametrize("name", ["saved_model.pb", "keras_metadata.pb"])
def test_an_empty_file_of_a_saved_model(tmp_path: Path, name: str) -> None:
    """What an optimizer's settings are read from is not the same empty as missing."""
    shutil.copytree(FORMATS / "keras" / "saved_model", tmp_path / "m")
    file = tmp_path / "m" / name
    file.unlink(missing_ok=True)
    file.touch()
    with open_checkpoint(tmp_path / "m") as checkpoint:
        assert checkpoint.tensors
        with pytest.raises(TruncatedFileError, match=rf"{name}: is empty \(0 bytes\): .*; restore it, or remove it"):
            checkpoint.training_config()


@pytest.mark.parametrize(
    ("config", "why"), [("", "it is empty"), ("{", "Expecting property name"), ("[1]", "but not an object")]
)
def test_a_configuration_that_is_none(tmp_path: Path, config: str, why: str) -> None:
    """The configuration in an HDF5 file is named with what is wrong with it, and what to do."""
    path = tmp_path / "m.h5"
    shutil.copy(FORMATS / "keras" / "model.h5", path)
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = config
    told = rf"m\.h5: training_config attribute: is .*{why}.*; copy or restore the file$"
    with open_checkpoint(path) as checkpoint, pytest.raises(DamagedFileError, match=told):
        checkpoint.training_config()
