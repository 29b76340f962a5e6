"""The fixture `formats`: one small trained model in every format; made by `make_fixtures.py formats`."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any


def make_formats(folder: Path) -> dict[str, Any]:
    """Every format, and in values.npz what TensorFlow's and h5py's own readers give of it."""
    import keras
    import numpy as np
    import tensorflow as tf

    values: dict[str, Any] = {}
    _save_with_saver(folder / "saver", values)
    _save_with_keras(folder / "keras", values)
    np.savez_compressed(folder / "values.npz", **values)
    return {"made_by": f"scripts/make_fixtures.py with TensorFlow {tf.__version__}, Keras {keras.__version__}"}


def _save_with_saver(folder: Path, values: dict[str, Any]) -> None:
    """TF1's Saver: V2, V1, V1 in shards; a dense and a partitioned variable, two steps of Adam."""
    import tensorflow as tf

    v1 = tf.compat.v1
    folder.mkdir()
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope("embedding", partitioner=v1.fixed_size_partitioner(3)):
            rows = v1.get_variable("table", (11, 4), initializer=v1.random_normal_initializer(seed=1))
        kernel = v1.get_variable("dense/kernel", (4, 3), initializer=v1.random_normal_initializer(seed=2))
        step = v1.get_variable("global_step", (), tf.int64, initializer=v1.zeros_initializer())
        loss = tf.reduce_sum(tf.matmul(tf.convert_to_tensor(rows), kernel) ** 2)
        train = v1.train.AdamOptimizer(0.01).minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        session.run(train)
        session.run(train)
        for name, options in {
            "v2.ckpt": {},
            "v1.ckpt": {"write_version": v1.train.SaverDef.V1},
            "v1-sharded.ckpt": {"write_version": v1.train.SaverDef.V1, "sharded": True},
        }.items():
            saver = v1.train.Saver(**options)
            saver.save(session, str(folder / name), global_step=2, write_meta_graph=name == "v2.ckpt")
    (folder / "checkpoint").unlink()  # names the folder in which this was made
    reader = tf.train.load_checkpoint(str(folder / "v2.ckpt-2"))
    for key in reader.get_variable_to_shape_map():
        for name in ("v2.ckpt-2", "v1.ckpt-2", "v1-sharded.ckpt-2-?????-of-00001"):
            values[f"saver/{name}|{key}"] = reader.get_tensor(key)


def _save_with_keras(folder: Path, values: dict[str, Any]) -> None:
    """Keras 3: `.h5`, `.keras`, `.weights.h5`, tf.train.Checkpoint and SavedModel."""
    import keras
    import numpy as np
    import tensorflow as tf

    folder.mkdir()
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(np.ones((8, 4), np.float32), np.ones((8, 2), np.float32), batch_size=4, verbose=0)
    model.save(folder / "model.h5")
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    tf.train.Checkpoint(model=model).write(str(folder / "ckpt-1"))
    tf.saved_model.save(model, str(folder / "saved_model"))
    for name, prefix in {"ckpt-1": "ckpt-1", "saved_model": "saved_model/variables/variables"}.items():
        reader = tf.train.load_checkpoint(str(folder / prefix))
        for key in reader.get_variable_to_shape_map():
            value = reader.get_tensor(key)
            # numpy's own byte strings lose zeros at their end
            values[f"keras/{name}|{key}"] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
    for name in ("model.h5", "model.keras", "model.weights.h5"):
        for key, value in _read_with_h5py(folder / name).items():
            values[f"keras/{name}|{key}"] = value


def _read_with_h5py(path: Path) -> dict[str, Any]:
    import h5py

    contents = path.read_bytes()
    if path.suffix == ".keras":
        contents = zipfile.ZipFile(path).read("model.weights.h5")
    found: dict[str, Any] = {}

    def visit(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[key] = item[()]

    with h5py.File(io.BytesIO(contents)) as file:
        file.visititems(visit)
    return found
