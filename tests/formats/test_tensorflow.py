"""SavedModels, V1 files and `.meta` graphs as TensorFlow itself writes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.bundle_writer import field, table

from ckpt_inspect.errors import DamagedFileError, NotFoundError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.series.search import find_checkpoints

tf = pytest.importorskip("tensorflow")
v1 = tf.compat.v1

METADATA = {
    "class_name": "Sequential",
    "config": {"name": "s"},
    "training_config": {"optimizer_config": {"class_name": "Adam", "config": {"epsilon": 1e-7}}},
}


@pytest.fixture(scope="module")
def savers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TF1's Saver: `v2` and `v1`, plain and sharded, of a dense and a partitioned variable."""
    folder = tmp_path_factory.mktemp("savers")
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope("emb", partitioner=v1.fixed_size_partitioner(3)):
            table_ = v1.get_variable("table", (11, 4), initializer=v1.random_normal_initializer(seed=1))
        kernel = v1.get_variable("dense/kernel", (12, 3), initializer=v1.random_normal_initializer(seed=2))
        step = v1.get_variable("global_step", (), tf.int64, initializer=v1.zeros_initializer())
        loss = tf.reduce_sum(tf.matmul(tf.ones((1, 11)), tf.convert_to_tensor(table_))) + tf.reduce_sum(kernel**2)
        v1.train.AdamOptimizer(0.01).minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        for name, options in {
            "v2": {},
            "v1": {"write_version": v1.train.SaverDef.V1},
            "sharded": {"write_version": v1.train.SaverDef.V1, "sharded": True},
        }.items():
            (folder / name).mkdir()
            v1.train.Saver(**options).save(session, str(folder / name / "model.ckpt"), global_step=2)
    return folder


@pytest.fixture
def saved_model(tmp_path: Path) -> Path:
    """A module's SavedModel."""
    module = tf.Module()
    module.kernel = tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3), name="kernel")
    tf.saved_model.save(module, str(tmp_path / "saved"))
    return tmp_path / "saved"


@pytest.mark.parametrize("name", ["v1", "sharded"])
def test_v1(savers: Path, name: str) -> None:
    """A V1 checkpoint holds what the V2 one of the same session does, partitioned variables included."""
    (path,) = find_checkpoints(savers / name)
    with open_checkpoint(path) as ours, open_checkpoint(savers / "v2" / "model.ckpt-2") as theirs:
        assert ours.format == "tf1-v1"
        assert dict(ours.tensors) == dict(theirs.tensors)
        for key, spec in ours.tensors.items():
            assert ours.read(key).tobytes() == theirs.read(key).tobytes()
            assert b"".join(p.tobytes() for p in ours.stream(key, 5)) == ours.read(key).tobytes()
            assert ours.read(key).dtype.name == spec.dtype
        ours_graph, theirs_graph = ours.graph(), theirs.graph()
        assert ours_graph is not None
        assert theirs_graph is not None
        assert ours_graph.where == "model.ckpt-2.meta"


def test_v1_shard_given_by_mistake(savers: Path) -> None:
    """One shard of a V1 checkpoint stands for all."""
    (pattern,) = find_checkpoints(savers / "sharded")
    shard = next(p for p in (savers / "sharded").iterdir() if "-of-" in p.name)
    with open_checkpoint(shard) as checkpoint:
        assert checkpoint.path == pattern


def test_v1_that_is_damaged(tmp_path: Path) -> None:
    """A table that holds no metadata of V1 is one sentence."""
    path = tmp_path / "model.ckpt-1"
    path.write_bytes(table([(b"", b"nonsense")]))
    with pytest.raises(DamagedFileError) as caught:
        open_checkpoint(path)
    assert str(caught.value) == f"{path}: byte 0: message field 13 has the unknown wire type 6; copy or restore it"


def test_graph_beside_a_bundle(savers: Path) -> None:
    """`.meta` gives its GraphDef and TensorFlow's version, as TensorFlow's own classes decode them."""
    path = savers / "v2" / "model.ckpt-2.meta"
    theirs = v1.MetaGraphDef.FromString(path.read_bytes())
    with open_checkpoint(savers / "v2" / "model.ckpt-2") as checkpoint:
        graph = checkpoint.graph()
        assert graph is not None
        assert v1.GraphDef.FromString(graph.graph_def) == theirs.graph_def
        assert checkpoint.producer() == {"tensorflow_version": tf.__version__}
        assert path in checkpoint.files


def test_graph_that_is_damaged(savers: Path, tmp_path: Path) -> None:
    """A damaged `.meta` spoils nothing but the graph."""
    shutil.copytree(savers / "v2", tmp_path / "c")
    meta = tmp_path / "c" / "model.ckpt-2.meta"
    meta.write_bytes(meta.read_bytes()[:500])
    with open_checkpoint(tmp_path / "c" / "model.ckpt-2") as checkpoint:
        assert checkpoint.read("dense/kernel").shape == (12, 3)
        with pytest.raises(DamagedFileError) as caught:
            checkpoint.graph()
    assert str(caught.value).startswith(f"{meta}: byte ")
    assert str(caught.value).endswith("; restore or remove it")


def test_saved_model(saved_model: Path) -> None:
    """A SavedModel gives its variables, its graph and who wrote it, by its folder or its file."""
    for given in (saved_model, saved_model / "saved_model.pb"):
        with open_checkpoint(given) as checkpoint:
            assert checkpoint.format == "saved-model"
            assert checkpoint.path == saved_model
            key = "kernel/.ATTRIBUTES/VARIABLE_VALUE"
            np.testing.assert_array_equal(checkpoint.read(key), np.arange(6, dtype=np.float32).reshape(2, 3))
            graph = checkpoint.graph()
            assert graph is not None
            assert graph.where == "saved_model.pb"
            v1.GraphDef.FromString(graph.graph_def)
            assert checkpoint.producer() == {"tensorflow_version": tf.__version__}
            assert checkpoint.training_config() is None
            assert {p.name for p in checkpoint.files} == {
                "variables.index",
                "variables.data-00000-of-00001",
                "saved_model.pb",
            }


def test_training_config_in_keras_metadata(saved_model: Path) -> None:
    """TF 2.5 and later keep the root's metadata in keras_metadata.pb."""
    node = field(2, 1) + field(3, b"root.layer") + field(5, b"{}")
    root = field(3, b"root") + field(4, b"_tf_keras_model") + field(5, json.dumps(METADATA).encode())
    (saved_model / "keras_metadata.pb").write_bytes(field(1, node) + field(1, root))
    with open_checkpoint(saved_model) as checkpoint:
        config = checkpoint.training_config()
    assert config is not None
    assert config.optimizer == METADATA["training_config"]["optimizer_config"]  # type: ignore[index]
    assert config.model == {"class_name": "Sequential", "config": {"name": "s"}}
    assert config.where == "keras_metadata.pb"


def test_training_config_in_the_object_graph(saved_model: Path) -> None:
    """TF 2.0 to 2.4 keep it in saved_model.pb, with the root object."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = saved_model / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    message.meta_graphs[0].object_graph_def.nodes[0].user_object.metadata = json.dumps(METADATA)
    path.write_bytes(message.SerializeToString())
    with open_checkpoint(saved_model) as checkpoint:
        config = checkpoint.training_config()
    assert config is not None
    assert config.optimizer == METADATA["training_config"]["optimizer_config"]  # type: ignore[index]
    assert config.where == "saved_model.pb"


def test_metadata_without_the_model(saved_model: Path) -> None:
    """Variables beside keras_metadata.pb alone are read, with a Problem."""
    (saved_model / "keras_metadata.pb").write_bytes(b"")
    (saved_model / "saved_model.pb").unlink()
    with open_checkpoint(saved_model) as checkpoint:
        assert checkpoint.format == "saved-model"
        assert checkpoint.graph() is None
        assert [p.code for p in checkpoint.problems] == ["missing-saved-model"]


def test_saved_model_without_variables(tmp_path: Path) -> None:
    """A SavedModel of a function alone lists no tensors, and says so."""
    module = tf.Module()
    module.f = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec((), tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "f"))
    shutil.rmtree(tmp_path / "f" / "variables")
    with open_checkpoint(tmp_path / "f") as checkpoint:
        assert not checkpoint.tensors
        assert [p.code for p in checkpoint.problems] == ["no-variables"]
        assert checkpoint.graph() is not None
        with pytest.raises(NotFoundError) as caught:
            checkpoint.read("x")
    assert str(caught.value) == f"{tmp_path / 'f'}: holds no tensor 'x'; `tensors` lists those it holds"


def test_saved_model_without_its_index(saved_model: Path) -> None:
    """Variables whose index is missing are not passed over as a model without variables."""
    index = saved_model / "variables" / "variables.index"
    index.unlink()
    with pytest.raises(NotFoundError) as caught:
        open_checkpoint(saved_model)
    assert str(caught.value) == f"{index}: is missing, while its data is there; copy it too"


def test_saved_model_that_is_damaged(saved_model: Path) -> None:
    """The variables are read all the same; the graph is one sentence."""
    path = saved_model / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:200])
    with open_checkpoint(saved_model) as checkpoint:
        assert checkpoint.read("kernel/.ATTRIBUTES/VARIABLE_VALUE").shape == (2, 3)
        with pytest.raises(DamagedFileError) as caught:
            checkpoint.graph()
    assert str(caught.value).startswith(f"{path}: byte ")
    assert str(caught.value).endswith(": the model's graph is damaged; copy or restore it")
