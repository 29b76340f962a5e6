"""Keras' HDF5 files and archives: order, names, values against h5py's reader, by pieces, and damaged."""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.keras_files import Run

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError, RequestError, UnsupportedError
from ckpt_inspect.formats import hdf5, keras_archive, open_checkpoint
from ckpt_inspect.storage import open_file

RNG = np.random.default_rng(0)
CONFIG = {"optimizer_config": {"class_name": "Adam", "config": {"epsilon": 1e-8}}, "loss": "mse"}
MODEL = {"class_name": "Sequential", "config": {"name": "s"}}


def write_whole_model(path: Path, layers: int = 12, *, as_bytes: bool = False, split: bool = False) -> None:
    """As Keras 2 saves one: layers in an order that is not the alphabet's, nameless slots."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.0.8" if as_bytes else "2.10.0"
        file.attrs["backend"] = "tensorflow"
        file.attrs["training_config"] = json.dumps(CONFIG).encode() if as_bytes else json.dumps(CONFIG)
        file.attrs["model_config"] = json.dumps(MODEL)
        names = [f"z_{i}" for i in reversed(range(layers))]
        weights = file.create_group("model_weights")
        _write_names(weights, "layer_names", names, split)
        for name in names:
            group = weights.create_group(name)
            _write_names(group, "weight_names", [f"{name}/kernel:0", f"{name}/bias:0"], False)
            group[f"{name}/kernel:0"] = RNG.normal(size=(4, 3)).astype(np.float32)
            group[f"{name}/bias:0"] = RNG.normal(size=3).astype(np.float32)
        slots = ["Adam/iterations:0"] + [f"training/Adam/Variable{f'_{i}' if i else ''}:0" for i in range(2 * layers)]
        optimizer = file.create_group("optimizer_weights")
        _write_names(optimizer, "weight_names", slots, split)
        for i, slot in enumerate(slots):
            optimizer[slot] = np.int64(9) if i == 0 else np.full((4, 3), i, np.float32)
        optimizer["unlisted"] = np.zeros(1)


def _write_names(group: h5py.Group, attribute: str, names: list[str], split: bool) -> None:
    encoded = [n.encode() for n in names]
    if split:
        for i, part in enumerate((encoded[:5], encoded[5:])):
            group.attrs[f"{attribute}{i}"] = part
    else:
        group.attrs[attribute] = encoded


def write_variables(file: Any) -> None:
    """As saving v3 stores them, with Keras 3.8's names."""
    with h5py.File(file, "w") as root:
        root.create_group("vars").attrs["name"] = "functional"
        for layer in ("dense", "dense_1", "dense_10", "dense_2"):
            group = root.create_group(f"layers/{layer}/vars")
            group.attrs["name"] = f"own_{layer}"
            group["0"] = RNG.normal(size=(3, 2)).astype(np.float32)
            brain = group.create_dataset("1", data=RNG.normal(size=2).astype(ml_dtypes.bfloat16))
            brain.attrs["dtype"] = "bfloat16"
        slots = root.create_group("optimizer/vars")
        slots.attrs["name"] = "adam"
        for i in range(12):
            slots[str(i)] = np.float32(i)


def write_archive(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> None:
    """A `.keras` file."""
    import io

    weights = io.BytesIO()
    write_variables(weights)
    config = {**MODEL, "compile_config": {"optimizer": {"class_name": "Adam", "config": {"beta_1": 0.5}}}}
    files = {
        "metadata.json": json.dumps({"keras_version": "3.3.3", "date_saved": "2024-01-01"}).encode(),
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": weights.getvalue(),
        **members,
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, contents in files.items():
            if contents:
                archive.writestr(name, contents)


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_whole_model_in_recorded_order(tmp_path: Path, as_bytes: bool, split: bool) -> None:
    """Layers and slots come in the order of the attributes, which also may be bytes or split; the rest comes after."""
    write_whole_model(tmp_path / "m.h5", as_bytes=as_bytes, split=split)
    with open_checkpoint(tmp_path / "m.h5") as checkpoint:
        names = list(checkpoint.tensors)
        assert checkpoint.format == "keras-h5"
        assert names[:3] == [
            "model_weights/z_11/z_11/kernel:0",
            "model_weights/z_11/z_11/bias:0",
            "model_weights/z_10/z_10/kernel:0",
        ]
        assert names[24:27] == [
            "optimizer_weights/Adam/iterations:0",
            "optimizer_weights/training/Adam/Variable:0",
            "optimizer_weights/training/Adam/Variable_1:0",
        ]
        assert names[-1] == "optimizer_weights/unlisted"
        config = checkpoint.training_config()
        assert config is not None
        assert (config.optimizer, config.model, config.where) == (
            CONFIG["optimizer_config"],
            MODEL,
            "training_config attribute",
        )
        assert checkpoint.producer()["keras_version"] == ("2.0.8" if as_bytes else "2.10.0")
        with h5py.File(tmp_path / "m.h5") as file:
            for name, spec in checkpoint.tensors.items():
                theirs = file[name][()]
                assert spec.shape == np.shape(theirs)
                assert checkpoint.read(name).tobytes() == theirs.tobytes()


def test_weights_alone(tmp_path: Path) -> None:
    """`save_weights` of Keras 2 keeps the layers at the root."""
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"b", b"a"]
        for name in "ab":
            file.create_group(name).attrs["weight_names"] = [f"{name}/kernel:0".encode()]
            file[f"{name}/{name}/kernel:0"] = np.ones(2)
    with open_checkpoint(tmp_path / "w.h5") as checkpoint:
        assert list(checkpoint.tensors) == ["b/b/kernel:0", "a/a/kernel:0"]
        assert checkpoint.training_config() is None


def test_variables_in_natural_order_with_labels(tmp_path: Path) -> None:
    """Saving v3's variables are counted, not spelt; the groups' own names are labels; bfloat16 is bfloat16."""
    write_variables(tmp_path / "m.weights.h5")
    with open_checkpoint(tmp_path / "m.weights.h5") as checkpoint:
        assert checkpoint.format == "keras-weights-h5"
        names = list(checkpoint.tensors)
        assert [n.split("/")[1] for n in names if n.endswith("vars/0")][:4] == [
            "dense",
            "dense_1",
            "dense_2",
            "dense_10",
        ]
        assert [float(checkpoint.read(n)) for n in names if n.startswith("optimizer")] == list(map(float, range(12)))
        assert checkpoint.labels()["optimizer/vars"] == "adam"
        assert checkpoint.labels()["layers/dense_10/vars"] == "own_dense_10"
        assert checkpoint.read("layers/dense/vars/1").dtype == ml_dtypes.bfloat16
        with h5py.File(tmp_path / "m.weights.h5") as file:
            assert checkpoint.read("layers/dense/vars/1").tobytes() == file["layers/dense/vars/1"][()].tobytes()


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    """An HDF5 file called `.keras` or `.ckpt`, and an archive called `.h5`, are what they are."""
    write_whole_model(tmp_path / "m.keras")
    write_whole_model(tmp_path / "m.ckpt")
    write_archive(tmp_path / "m.h5")
    found = {}
    for path in tmp_path.iterdir():
        with open_checkpoint(path) as checkpoint:
            found[path.name] = checkpoint.format
    assert found == {"m.keras": "keras-h5", "m.ckpt": "keras-h5", "m.h5": "keras-archive"}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archive(tmp_path: Path, compression: int) -> None:
    """An archive gives its weights, stored or compressed, its configuration and who wrote it."""
    write_archive(tmp_path / "m.keras", compression)
    with open_checkpoint(tmp_path / "m.keras") as checkpoint:
        config = checkpoint.training_config()
        assert config is not None
        assert config.optimizer == {"class_name": "Adam", "config": {"beta_1": 0.5}}
        assert config.where == "config.json"
        assert checkpoint.producer() == {"keras_version": "3.3.3", "date_saved": "2024-01-01"}
        with zipfile.ZipFile(tmp_path / "m.keras") as archive, h5py.File(archive.open("model.weights.h5")) as file:
            for name in checkpoint.tensors:
                assert checkpoint.read(name).tobytes() == file[name][()].tobytes()


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_deflated_members_are_unpacked_as_zipfile_does(tmp_path: Path, data: st.DataObject) -> None:
    """The same contents, or the same error: of damaged bytes, and of sizes and checksums that aren't theirs."""
    path = tmp_path / "m.zip"
    large = {"zeros": bytes(1 << 21), "numbers": np.arange(9000.0).tobytes()}
    contents = data.draw(st.binary(max_size=200) | st.sampled_from(sorted(large)))
    contents = large[contents] if isinstance(contents, str) else contents
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", contents, compresslevel=data.draw(st.integers(0, 9)))
        size = archive.filelist[0].compress_size
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, size - 1))
    raw[31 + at] ^= data.draw(st.sampled_from([0, 0, 1, 16, 128]))
    path.write_bytes(raw)
    with open_file(path) as file, zipfile.ZipFile(path) as archive:
        member = archive.filelist[0]
        member.CRC ^= data.draw(st.sampled_from([0, 0, 1]))
        member.file_size = max(member.file_size + data.draw(st.sampled_from([0, 0, -1, -100, 1, 100])), 0)
        member.compress_size = max(size + data.draw(st.sampled_from([0, 0, -1, -50, 1, 100, 10_000])), 0)
        expected = b""
        try:
            with archive.open(member) as opened:
                while piece := opened.read(1 << 20):
                    expected += piece
        except Exception as error:
            with pytest.raises(DamagedFileError, match=re.escape(f"its x can't be unpacked ({error})")):
                list(keras_archive._unpacked(archive, file, member))
        else:
            assert b"".join(keras_archive._unpacked(archive, file, member)) == expected


def test_optimizer_given_to_compile_by_name(tmp_path: Path) -> None:
    """compile(optimizer="adam") may be kept as the bare name; it stands for the class with nothing configured."""
    config = json.dumps({**MODEL, "compile_config": {"optimizer": "adam"}}).encode()
    write_archive(tmp_path / "m.keras", **{"config.json": config})
    with open_checkpoint(tmp_path / "m.keras") as checkpoint:
        found = checkpoint.training_config()
    assert found is not None
    assert found.optimizer == {"class_name": "adam", "config": {}}


def test_unzipped_archive(tmp_path: Path) -> None:
    """A folder of an archive's files is the archive."""
    write_archive(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        archive.extractall(tmp_path / "m")
    with open_checkpoint(tmp_path / "m") as checkpoint:
        assert checkpoint.format == "keras-archive"
        assert len(checkpoint.files) == 3
        assert float(checkpoint.read("optimizer/vars/11")) == 11


def test_sharded_weights(tmp_path: Path) -> None:
    """Shards behind a `.weights.json` are one checkpoint; one that is missing is named."""
    for shard, names in enumerate((("layers/dense/vars/0", "optimizer/vars/0"), ("optimizer/vars/1",))):
        with h5py.File(tmp_path / f"m_{shard:05d}.weights.h5", "w") as file:
            for name in names:
                file[name] = np.full(3, shard, np.float32)
    weight_map = {
        "/layers/dense/vars": "m_00000.weights.h5",
        "/optimizer/vars": ["m_00000.weights.h5", "m_00001.weights.h5"],
    }
    index = tmp_path / "m.weights.json"
    index.write_text(json.dumps({"metadata": {"total_size": 36}, "weight_map": weight_map}))
    with open_checkpoint(index) as checkpoint:
        assert list(checkpoint.tensors) == ["layers/dense/vars/0", "optimizer/vars/0", "optimizer/vars/1"]
        assert checkpoint.read("optimizer/vars/1").tolist() == [1, 1, 1]
    (tmp_path / "m_00001.weights.h5").unlink()
    with pytest.raises(NotFoundError) as missing:
        open_checkpoint(index)
    assert str(missing.value).startswith(f"{tmp_path / 'm_00001.weights.h5'}: is missing; ")
    index.write_text(json.dumps({"weight_map": {"/vars": "../../etc/passwd"}}))
    with pytest.raises(DamagedFileError) as outside:
        open_checkpoint(index)
    assert str(outside.value) == f"{index}: names the shard '../../etc/passwd', which is not a plain file name"


SHAPES = [(), (7,), (5, 4), (3, 4, 5), (2, 1, 3, 4)]


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_tiling_gives_the_same(tmp_path: Path, data: st.DataObject) -> None:
    """Ranges of any size, of contiguous, chunked, compressed and big-endian datasets, are cut from the same whole."""
    shape = data.draw(st.sampled_from(SHAPES))
    storage = data.draw(st.sampled_from([{}, {"chunks": True}, {"compression": "gzip"}] if shape else [{}]))
    dtype = data.draw(st.sampled_from(["<f4", ">f4", "<f8", "<i8", "bfloat16"]))
    size = int(np.prod(shape))
    whole = np.arange(size).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype).reshape(shape)
    path = tmp_path / "t.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("vars/0", data=whole, **storage)
    elements = data.draw(st.integers(1, size + 2))
    with open_checkpoint(path) as checkpoint:
        native = whole.reshape(-1).astype(whole.dtype.newbyteorder("=")) if dtype != "bfloat16" else whole.reshape(-1)
        pieces = [p.copy() for p in checkpoint.stream("vars/0", elements)]
        assert b"".join(p.tobytes() for p in pieces) == native.tobytes()
        assert pieces[0].dtype == native.dtype


def test_whole_tensors_lie_where_they_are_said_to(tmp_path: Path) -> None:
    """Contiguous ones in this machine's byte order; nothing of an archive, whose one checksum is of all of it."""
    values = {"plain": np.arange(12, dtype=np.float32), "swapped": np.arange(5, dtype=">f4"), "in_chunks": np.ones(9)}
    write_variables(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "r+") as file:
        for name, array in values.items():
            file.create_dataset(f"layers/{name}/vars/0", data=array, chunks=(3,) if name == "in_chunks" else None)
        file.create_dataset("layers/unwritten/vars/0", (4,), np.float32)
    names = [f"layers/{name}/vars/0" for name in (*values, "unwritten")]
    with open_checkpoint(tmp_path / "m.weights.h5") as checkpoint:
        plain, *others = checkpoint.whole_tensors(names).places
        assert plain is not None
        assert os.pread(plain[0], 48, plain[1]) == values["plain"].tobytes()
        assert others == [None] * 3
        with pytest.raises(NotFoundError, match="holds no tensor 'other'"):
            checkpoint.whole_tensors(["other"])
    write_archive(tmp_path / "m.keras", **{"model.weights.h5": (tmp_path / "m.weights.h5").read_bytes()})
    with open_checkpoint(tmp_path / "m.keras") as checkpoint:
        assert checkpoint.whole_tensors(names).places == [None] * 4


def test_never_written_datasets(tmp_path: Path) -> None:
    """A dataset that was created and never written reads as its fill value; a huge one is refused unread."""
    with h5py.File(tmp_path / "f.weights.h5", "w") as file:
        file.create_dataset("vars/0", (4,), np.float32, fillvalue=2)
        file.create_dataset("vars/1", (1 << 20, 1 << 20), np.float32)
    with open_checkpoint(tmp_path / "f.weights.h5") as checkpoint:
        assert checkpoint.read("vars/0").tolist() == [2, 2, 2, 2]
        with pytest.raises(DamagedFileError) as caught:
            checkpoint.read("vars/1")
    assert str(caught.value) == (
        f"{tmp_path / 'f.weights.h5'}: dataset 'vars/1' claims {1 << 42} bytes, but the file holds only 0 of them"
    )


def test_nothing_outside_the_file_is_followed(tmp_path: Path) -> None:
    """External and soft links and external storage, which could lead to any file, give nothing, and are named."""
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(2)
    with h5py.File(tmp_path / "l.weights.h5", "w") as file:
        file["vars/0"] = np.zeros(2)
        file["vars/1"] = h5py.ExternalLink("other.h5", "x")
        file["vars/2"] = h5py.SoftLink("/vars/0")
        file.create_dataset("vars/3", (4,), np.float32, external=[(str(tmp_path / "secret"), 0, 16)])
    with open_checkpoint(tmp_path / "l.weights.h5") as checkpoint:
        assert list(checkpoint.tensors) == ["vars/0", "vars/3"]
        assert [(p.code, p.severity, p.message.partition(": ")[2]) for p in checkpoint.problems] == [
            ("links-not-followed", "error", "'vars/1' is a link to another file, which isn't followed"),
            ("links-not-followed", "warning", "'vars/2' is a link to another name, which isn't followed"),
        ]
        with pytest.raises(UnsupportedError) as caught:
            checkpoint.read("vars/3")
    assert str(caught.value) == (
        f"{tmp_path / 'l.weights.h5'}: dataset 'vars/3' takes its values from other files, which this package "
        "doesn't read"
    )


def test_an_archive_packed_by_another_method_is_not_damaged(tmp_path: Path) -> None:
    """Zstandard, 93, as other programs pack; the number stands in the local headers and in the directory."""
    path = tmp_path / "m.keras"
    write_archive(path, zipfile.ZIP_DEFLATED)
    contents = path.read_bytes()
    for header, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        before = re.escape(header) + b".{%d}" % (at - len(header))
        contents = re.sub(b"(" + before + b")\x08\0", lambda found: found[1] + b"\x5d\0", contents, flags=re.DOTALL)
    path.write_bytes(contents)
    with pytest.raises(UnsupportedError) as caught:
        open_checkpoint(path)
    assert str(caught.value) == (
        f"{path}: its config.json is packed by a method (93) that Python doesn't unpack; unpack the archive, and zip "
        "it again without packing"
    )


@pytest.mark.parametrize("kind", ["m.h5", "m.keras"])
def test_closed(tmp_path: Path, kind: str) -> None:
    """A closed checkpoint says that it is closed; closing twice is harmless; unknown names are unknown."""
    write_whole_model(tmp_path / "m.h5")
    write_archive(tmp_path / "m.keras")
    checkpoint = open_checkpoint(tmp_path / kind)
    name = next(iter(checkpoint.tensors))
    with pytest.raises(NotFoundError):
        checkpoint.read("nothing")
    checkpoint.close()
    checkpoint.close()
    with pytest.raises(RequestError) as caught:
        checkpoint.read(name)
    assert str(caught.value) == f"{tmp_path / kind}: has been closed; open it again"


def test_own_store_is_no_checkpoint(tmp_path: Path) -> None:
    """A store of results says what it is."""
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.attrs["Conventions"] = "ckpt-inspect-1"
    with pytest.raises(UnsupportedError) as caught:
        open_checkpoint(tmp_path / "s.h5")
    assert str(caught.value) == (
        f"{tmp_path / 's.h5'}: is a store of results, not a checkpoint; `ckpt-inspect report` reads it"
    )


def test_hdf5_of_someone_else(tmp_path: Path) -> None:
    """An HDF5 file that isn't Keras' says so."""
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(UnsupportedError) as caught:
        open_checkpoint(tmp_path / "d.h5")
    assert str(caught.value) == (
        f"{tmp_path / 'd.h5'}: is an HDF5 file, but not of Keras: it has neither layer_names nor a group of variables"
    )


def test_truncated_hdf5(tmp_path: Path) -> None:
    """A file cut short is called damaged, with what HDF5 says of it."""
    write_whole_model(tmp_path / "m.h5")
    size = (tmp_path / "m.h5").stat().st_size
    os.truncate(tmp_path / "m.h5", size // 2)
    with pytest.raises(DamagedFileError) as caught:
        open_checkpoint(tmp_path / "m.h5")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'm.h5'}: HDF5 can't read it (")
    assert "truncated file" in message
    assert message.endswith("): the file is damaged; copy or restore it")


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"config.json": b""}, "is a zip archive, but not of Keras: it has no config.json"),
        (
            {"model.weights.h5": b""},
            "has a config.json, but no model.weights.h5: the archive was not written whole; save or copy it again",
        ),
        (
            {"model.weights.h5": b"", "model.weights.npz": b"x"},
            "keeps its weights as .npz, which this package doesn't read; load the model with Keras and save it again, "
            "as .keras",
        ),
        (
            {"config.json": b"", "archive/data.pkl": b"x"},
            "is a PyTorch file (a zip archive with a pickle), not a TensorFlow or Keras checkpoint; nothing in it was "
            "opened",
        ),
    ],
)
def test_incomplete_archives(tmp_path: Path, members: dict[str, bytes], sentence: str) -> None:
    """What an archive lacks is named."""
    path = tmp_path / "m.keras"
    write_archive(path, **members)
    with pytest.raises(CkptInspectError) as caught:
        open_checkpoint(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_truncated_archive(tmp_path: Path) -> None:
    """A zip without its directory, which is at the end, is called truncated."""
    path = tmp_path / "m.keras"
    write_archive(path)
    os.truncate(path, path.stat().st_size - 30)
    with pytest.raises(DamagedFileError) as caught:
        open_checkpoint(path)
    assert str(caught.value) == (
        f"{path}: starts like a zip archive, but can't be read as one (File is not a zip file): the file is truncated "
        "or damaged; copy or restore it"
    )


def test_configuration_that_is_not_json(tmp_path: Path) -> None:
    """The weights can be read all the same; asking for the configuration says what is wrong with it."""
    path = tmp_path / "m.keras"
    write_archive(path, **{"config.json": b"{"})
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors
        with pytest.raises(DamagedFileError) as caught:
            checkpoint.training_config()
    assert str(caught.value).startswith(f"{path}: config.json: is not JSON (")


@pytest.mark.parametrize("kind", ["m.h5", "m.keras"])
def test_random_damage(tmp_path: Path, kind: str) -> None:
    """Bytes changed or cut off at random give our errors or arrays of the shapes listed, and nothing else.

    But not in a global heap (HDF5 File Format Specification, III.E): HDF5's own library can loop for ever on a damaged
    one.
    """
    random = np.random.default_rng(5)
    path = tmp_path / kind
    if kind == "m.h5":
        write_whole_model(path, layers=2)
    else:
        write_archive(path)
    sound = path.read_bytes()
    heaps = [found.start() for found in re.finditer(b"GCOL", sound)]
    places = [i for i in range(len(sound)) if not any(heap <= i < heap + 4096 for heap in heaps)]
    for _ in range(150):
        data = bytearray(sound)
        if random.random() < 0.3:
            del data[int(random.integers(len(data))) :]
        else:
            for _ in range(int(random.integers(1, 6))):
                data[places[int(random.integers(len(places)))]] ^= int(random.integers(1, 256))
        path.write_bytes(data)
        try:
            with open_checkpoint(path) as checkpoint:
                checkpoint.training_config()
                for name, spec in checkpoint.tensors.items():
                    if spec.nbytes < 1 << 24:
                        assert checkpoint.read(name).shape == spec.shape
        except CkptInspectError as error:
            assert str(path) in str(error)


def test_groups_named_on_windows(tmp_path: Path) -> None:
    """Keras 2 on Windows joins the names of a layer's groups by backslashes; they are read as groups."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        for name in ("layers\\dense/vars/0", "layers\\bi\\cell/vars/1", "optimizer/vars/0"):
            file[name] = np.zeros(2, np.float32)
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == ["layers/bi/cell/vars/1", "layers/dense/vars/0", "optimizer/vars/0"]
        assert checkpoint.read("layers/dense/vars/0").shape == (2,)


def test_one_shard_opens_the_whole(tmp_path: Path) -> None:
    """A shard that an index beside it lists stands for all of them; without one it is shown with a warning."""
    shards = (("layers/dense/vars/0",), ("layers/dense_1/vars/0", "optimizer/vars/0"), ("optimizer/vars/1",))
    paths = [tmp_path / f"m_{i:05d}.weights.h5" for i in range(len(shards))]
    for path, names in zip(paths, shards, strict=True):
        with h5py.File(path, "w") as file:
            for name in names:
                file[name] = np.int64(5) if name == "optimizer/vars/0" else np.zeros(2, np.float32)
    index = tmp_path / "m.weights.json"
    listed = {f"/{n.rpartition('/')[0]}": [] for names in shards for n in names}
    for path, names in zip(paths, shards, strict=True):
        for name in names:
            listed[f"/{name.rpartition('/')[0]}"].append(path.name)
    index.write_text(json.dumps({"weight_map": listed}))
    for path in paths:
        with open_checkpoint(path) as checkpoint:
            assert len(checkpoint.tensors) == 4
            assert [p.code for p in checkpoint.problems] == ["shard-of-a-whole"]
    index.unlink()
    for path in paths:
        with open_checkpoint(path) as checkpoint:
            assert [p.code for p in checkpoint.problems] == ["one-shard"]


def test_a_number_makes_no_shard(tmp_path: Path) -> None:
    """Files of five digits that are complete, or weights alone, are checkpoints like any other."""
    for name, groups in (("e_00003", ("layers/dense",)), ("e_00000", ("layers/dense", "optimizer"))):
        with h5py.File(tmp_path / f"{name}.weights.h5", "w") as file:
            for group in groups:
                file[f"{group}/vars/0"] = np.zeros(2, np.float32)
        with open_checkpoint(tmp_path / f"{name}.weights.h5") as checkpoint:
            assert checkpoint.problems == ()


def test_each_chunk_is_unpacked_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the pieces in which a dataset is read are smaller than its chunks, and not aligned with them."""
    values = np.arange(90 * 40, dtype=np.float32).reshape(90, 40)
    with h5py.File(tmp_path / "f.weights.h5", "w") as file:
        file.create_dataset("vars/0", data=values, chunks=(20, 15), compression="gzip")
    read: list[int] = []
    flat = hdf5._read_flat

    def counted(handle: Any, shape: tuple[int, ...], start: int, stop: int, out: Any) -> None:
        read.append(stop - start)
        flat(handle, shape, start, stop, out)

    monkeypatch.setattr(hdf5, "_read_flat", counted)
    with open_checkpoint(tmp_path / "f.weights.h5") as checkpoint:
        pieces = [piece.copy() for piece in checkpoint.stream("vars/0", 7)]
    assert np.array_equal(np.concatenate(pieces), values.ravel())
    assert read == [800, 800, 800, 800, 400]


def test_a_huge_chunk_of_next_to_nothing_is_refused(tmp_path: Path) -> None:
    """A small file doesn't take hundreds of megabytes: HDF5's library unpacks whole chunks."""
    size = 1 << 25
    with h5py.File(tmp_path / "f.weights.h5", "w") as file:
        dataset = file.create_dataset("vars/0", (size, 1), np.float32, chunks=(size, 1), compression="gzip")
        dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(1000)))
    with open_checkpoint(tmp_path / "f.weights.h5") as checkpoint, pytest.raises(DamagedFileError) as caught:
        next(checkpoint.stream("vars/0"))
    assert f"dataset 'vars/0' claims {4 * size} bytes, but the file holds only" in str(caught.value)


@pytest.mark.parametrize("name", ["model_weights", "model_weights/dense", "optimizer_weights"])
def test_groups_in_another_file_are_refused(tmp_path: Path, name: str) -> None:
    """HDF5's library follows external links without a word; what another file holds is not read."""
    Run().train(3).save(tmp_path / "other.h5")
    path = Run().train(3).save(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink("other.h5", f"/{name}")
    with pytest.raises(UnsupportedError, match="is a link into another file, which isn't followed"):
        open_checkpoint(path)


def test_strings_in_another_file_are_refused(tmp_path: Path) -> None:
    """External storage is as little read for strings as for numbers."""
    (tmp_path / "other").write_bytes(b"another file's bytes")
    with h5py.File(tmp_path / "f.weights.h5", "w") as file:
        file.create_dataset("vars/0", (2,), "S4", external=[(str(tmp_path / "other"), 0, 8)])
    with open_checkpoint(tmp_path / "f.weights.h5") as checkpoint, pytest.raises(UnsupportedError, match="other files"):
        checkpoint.read("vars/0")


def _write_archive(path: Path, size: int, *, encrypted: bool = False) -> Path:
    """A .keras of one tensor of that many elements and a small one after it."""
    weights = path.with_suffix(".h5")
    with h5py.File(weights, "w") as file:
        file["layers/a/vars/0"] = np.arange(size, dtype=np.float32)
        file["optimizer/vars/0"] = np.int64(7)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
        archive.write(weights, "model.weights.h5")
    weights.unlink()
    if encrypted:
        raw = bytearray(path.read_bytes())
        raw[raw.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(raw)
    return path


def _flip_a_bit(path: Path, of: bytes) -> None:
    raw = bytearray(path.read_bytes())
    raw[raw.index(of)] ^= 1
    path.write_bytes(raw)


def test_a_flipped_bit_in_a_small_archive_is_noticed_at_the_first_read(tmp_path: Path) -> None:
    """Whatever is read: the archive's checksum is of all tensors together."""
    path = _write_archive(tmp_path / "m.keras", 100)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("layers/a/vars/0")[99] == 99
    _flip_a_bit(path, np.float32(77).tobytes())
    with open_checkpoint(path) as checkpoint, pytest.raises(DamagedFileError) as caught:
        checkpoint.read("optimizer/vars/0")
    assert re.fullmatch(
        rf"{re.escape(str(path))}: its model.weights.h5: bad CRC, stored \w{{8}}, computed \w{{8}}: its bytes are "
        "damaged; copy or restore the file",
        str(caught.value),
    )


@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_checksum_of_a_large_archive_is_compared_at_the_end(tmp_path: Path, is_damaged: bool) -> None:
    """It is counted as the tensors are read; what was not read by then is read at the end."""
    size = 3 << 20
    path = _write_archive(tmp_path / "m.keras", size)
    if is_damaged:
        _flip_a_bit(path, np.float32(1_000_001).tobytes())
    with open_checkpoint(path) as checkpoint:
        for piece in checkpoint.stream("layers/a/vars/0", 1 << 18):
            assert len(piece)
        if is_damaged:
            with pytest.raises(DamagedFileError, match=r"its model\.weights\.h5: bad CRC"):
                checkpoint.finish_reading()
        else:
            checkpoint.finish_reading()


def test_an_encrypted_archive_is_called_that(tmp_path: Path) -> None:
    """It isn't damaged, and no copy helps."""
    path = _write_archive(tmp_path / "m.keras", 10, encrypted=True)
    with pytest.raises(UnsupportedError, match=r"its config\.json is encrypted.*unpack the archive with its password"):
        open_checkpoint(path)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a\\b", "a\0b", "", 3, None])
def test_a_shard_that_is_no_plain_file_name_is_refused(name: Any) -> None:
    """An index names files beside it, and nothing else."""
    with pytest.raises(DamagedFileError, match="which is not a plain file name"):
        hdf5.shard_names(json.dumps({"weight_map": {"/vars": name}}).encode(), "m.weights.json")


def test_a_shard_whose_name_is_too_long_for_a_file(tmp_path: Path) -> None:
    """It can't be there, and the error is this package's own."""
    path = tmp_path / "m.weights.json"
    path.write_text(json.dumps({"weight_map": {"/vars": "x" * 5000}}))
    with pytest.raises(CkptInspectError, match="can't be read"):
        open_checkpoint(path)


def test_numbers_of_thousands_of_digits_have_their_place(tmp_path: Path) -> None:
    """Python makes no integers of them."""
    digits = "1" * 5000
    with h5py.File(tmp_path / "f.weights.h5", "w") as file:
        file[f"vars/{digits}"], file["vars/2"] = np.float32(1), np.float32(2)
    with open_checkpoint(tmp_path / "f.weights.h5") as checkpoint:
        assert list(checkpoint.tensors) == ["vars/2", f"vars/{digits}"]


@pytest.mark.parametrize(("levels", "is_refused"), [(150, False), (400, True)])
def test_groups_that_are_nested_too_deep_are_refused(tmp_path: Path, levels: int, is_refused: bool) -> None:
    """HDF5's library would take time with the square of the depth."""
    path = tmp_path / "f.weights.h5"
    with h5py.File(path, "w") as file:
        file["/".join(["g"] * levels) + "/vars/0"] = np.float32(1)
    if is_refused:
        with pytest.raises(UnsupportedError, match="nested more than 200 deep"):
            open_checkpoint(path)
    else:
        with open_checkpoint(path) as checkpoint:
            assert len(checkpoint.tensors) == 1


def test_the_last_tensor_of_a_large_archive_completes_its_checksum(tmp_path: Path) -> None:
    """Whoever reads all tensors need not ask for it: the few bytes between them are read then."""
    path = _write_archive(tmp_path / "m.keras", 3 << 20)
    _flip_a_bit(path, np.float32(1_000_001).tobytes())
    with open_checkpoint(path) as checkpoint:
        checkpoint.read("optimizer/vars/0")
        with pytest.raises(DamagedFileError, match=r"its model\.weights\.h5: bad CRC"):
            checkpoint.read("layers/a/vars/0")


@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_checksum_of_a_large_archive_that_several_read(tmp_path: Path, is_damaged: bool) -> None:
    """What each counted is put together; only what none of them read is read for it."""
    path = _write_archive(tmp_path / "m.keras", 3 << 20)
    if is_damaged:
        _flip_a_bit(path, np.float32(1_000_001).tobytes())
    counted = []
    for part in range(3):
        with open_checkpoint(path) as checkpoint:
            for start in range(part << 20, (part + 1) << 20, 1 << 18):
                checkpoint.read_range("layers/a/vars/0", start, start + (1 << 18))
            counted.append(checkpoint.counted_pieces())
    with open_checkpoint(path) as checkpoint:
        for pieces in reversed(counted):
            checkpoint.take_pieces(pieces)
        if is_damaged:
            with pytest.raises(DamagedFileError, match="bad CRC"):
                checkpoint.finish_reading()
        else:
            checkpoint.finish_reading()
            with zipfile.ZipFile(path) as archive:
                member = archive.getinfo("model.weights.h5")
            assert checkpoint.counted_pieces() == (((0, member.file_size, member.CRC),),)
