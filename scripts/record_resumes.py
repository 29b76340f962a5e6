#!/usr/bin/env python3
"""Record trainings that were resumed without their moments into tests/data/resumes/, as tests/soundness reads them.

    python scripts/record_resumes.py FOLDER     with TensorFlow 1.15; with Keras 3; with Keras 3.15, JAX and Orbax

The counter goes on in all: TF1's powers of beta are restored with the weights, Keras' `iterations` is set by hand, and
Keras' loading of an Orbax folder restores counter and rate, and neither weights nor moments, since they have other
names in the model that it builds.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np


def record_tf1(folder: Path) -> None:
    """Train 100 updates, restore everything but the slots, and train 20 more."""
    import tensorflow as tf

    v1: Any = tf.compat.v1
    random = np.random.RandomState(0)
    x, y = random.rand(64, 12).astype("f"), random.rand(64, 3).astype("f")

    def build() -> tuple[Any, ...]:
        v1.reset_default_graph()
        inputs, targets = v1.placeholder(tf.float32, [None, 12]), v1.placeholder(tf.float32, [None, 3])
        outputs = v1.layers.dense(v1.layers.dense(inputs, 16, tf.nn.relu, name="hidden"), 3, name="out")
        step = v1.train.get_or_create_global_step()
        loss = tf.reduce_mean((outputs - targets) ** 2)
        return inputs, targets, v1.train.AdamOptimizer(1e-3).minimize(loss, global_step=step), step

    def train(session: Any, graph: tuple[Any, ...], updates: int, saver: Any) -> None:
        inputs, targets, update, step = graph
        for _ in range(updates):
            rows = random.randint(0, 64, 16)
            session.run(update, {inputs: x[rows], targets: y[rows]})
        saver.save(session, str(folder / "model.ckpt"), global_step=step, write_meta_graph=False)

    graph = build()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver()
        train(session, graph, 50, saver)
        train(session, graph, 50, saver)
        newest = saver.last_checkpoints[-1]
    graph = build()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        v1.train.Saver([v for v in v1.global_variables() if "Adam" not in v.name]).restore(session, newest)
        train(session, graph, 20, v1.train.Saver())


def record_keras3(folder: Path) -> None:
    """Train 24 updates, build the model again with the same weights and counter, and train 16 more."""
    import keras

    keras.utils.set_random_seed(1)
    random = np.random.default_rng(0)
    x, y = random.random((256, 12)).astype("f"), random.integers(0, 4, 256)

    def build() -> Any:
        layers = [keras.Input((12,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(4, "softmax")]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        return model

    before, after = build(), build()
    before.fit(x, y, epochs=3, verbose=0)
    before.save(folder / "m-1.keras")
    after.set_weights(before.get_weights())
    after.optimizer.build(after.trainable_variables)
    after.optimizer.iterations.assign(before.optimizer.iterations)
    after.fit(x, y, epochs=2, verbose=0)
    after.save(folder / "m-2.keras")


def record_orbax(folder: Path) -> None:
    """Train 24 updates, load the newest checkpoint as Keras documents it, and train 8 more."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    random = np.random.default_rng(0)
    x, y = random.random((256, 12)).astype("f"), random.integers(0, 4, 256)

    def saver(start: int) -> Any:
        keras.utils.set_random_seed(start)
        saves: Any = keras.callbacks.OrbaxCheckpoint(directory=folder, max_to_keep=None, save_on_background=False)
        return saves

    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(4, "softmax")])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[saver(0)])
    keras.backend.clear_session()
    again = keras.saving.load_model(folder)
    again.fit(x, y, initial_epoch=3, epochs=4, verbose=0, callbacks=[saver(3)])
    shutil.rmtree(folder / "0")  # two before it show that the counter goes on as it did
    for note in folder.rglob("commit_success.txt"):
        note.write_text("Checkpoint commit was successful")  # without the path that it names


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True, exist_ok=True)
    if find_spec("tensorflow") is None:
        record_orbax(target)
    else:
        import tensorflow

        (record_tf1 if tensorflow.__version__.startswith("1.") else record_keras3)(target)
