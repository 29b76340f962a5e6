#!/usr/bin/env python3
"""Train small healthy networks, and some that are broken on purpose, to see what `analyze` finds in them.

    python scripts/healthy_trainings.py FOLDER [NAME...] [--check]      needs: pip install 'ckpt-inspect[fixtures]'

Each training is made into FOLDER/NAME, unless it is there. With `--check` each is analysed and a table is printed: what
was found, how severe, and whether a broken one's fault was found and a healthy one raised no warning, and was sound by
`check`; exit status 1 if not. The data are made by this script. A minute or two on two cores.
"""

# ruff: noqa: T201  # a script: what it prints is its result

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Arrays = tuple[NDArray[Any], NDArray[Any]]
SEED = 20


# --- data


def moons(count: int = 2048) -> Arrays:
    """Two half circles with noise, and ten more features that mean nothing."""
    rng = np.random.default_rng(SEED)
    label = rng.integers(0, 2, count)
    angle = rng.uniform(0, np.pi, count)
    x = np.where(label == 0, np.cos(angle), 1 - np.cos(angle)) + rng.normal(0, 0.15, count)
    y = np.where(label == 0, np.sin(angle), 0.5 - np.sin(angle)) + rng.normal(0, 0.15, count)
    return np.column_stack([x, y, rng.normal(size=(count, 10))]).astype("float32"), label.astype("int32")


def pictures(count: int = 1536) -> Arrays:
    """12x12 pictures of a bar, a cross or a frame somewhere, with noise."""
    rng = np.random.default_rng(SEED)
    images = rng.normal(0, 0.3, (count, 12, 12, 1)).astype("float32")
    labels = rng.integers(0, 3, count)
    for image, label, (top, left) in zip(images, labels, rng.integers(0, 6, (count, 2)), strict=True):
        place = image[top : top + 6, left : left + 6, 0]
        if label != 2:
            place[2:4] += 1
        if label == 1:
            place[:, 2:4] += 1
        if label == 2:
            place[[0, -1]] += 1
            place[:, [0, -1]] += 1
    return images, labels.astype("int32")


def sequences(count: int = 2048, length: int = 12, words: int = 40) -> Arrays:
    """Sequences of words as rare as those of a language, each with itself turned round."""
    rng = np.random.default_rng(SEED)
    odds = 1 / np.arange(1, words)
    tokens = rng.choice(np.arange(1, words), (count, length), p=odds / odds.sum()).astype("int32")
    return tokens, tokens[:, ::-1].copy()


def waves(count: int = 1024, length: int = 24) -> Arrays:
    """Sums of two sines, and the value that follows."""
    rng = np.random.default_rng(SEED)
    time = np.arange(length + 1)
    speeds, phases = rng.uniform(0.1, 0.9, (2, count, 1)), rng.uniform(0, 2 * np.pi, (2, count, 1))
    series = np.sin(speeds * time + phases).sum(axis=0) + rng.normal(0, 0.05, (count, length + 1))
    return series[:, :-1, None].astype("float32"), series[:, -1:].astype("float32")


# --- networks


def dense_network(depth: int = 3, width: int = 32, **dense: Any) -> Any:
    """A classifier of the moons."""
    import keras

    hidden = [keras.layers.Dense(width, activation="relu", **dense) for _ in range(depth)]
    return keras.Sequential([keras.layers.Input((12,)), *hidden, keras.layers.Dense(2)])


def convolutional_network() -> Any:
    """A classifier of the pictures, with BatchNormalization."""
    import keras

    blocks = []
    for width in (8, 16):
        blocks += [
            keras.layers.Conv2D(width, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    head = (keras.layers.Flatten(), keras.layers.Dropout(0.2), keras.layers.Dense(3))
    return keras.Sequential([keras.layers.Input((12, 12, 1)), *blocks, *head])


def transformer(words: int = 40, length: int = 12, width: int = 32, blocks: int = 2) -> Any:
    """Turns sequences round; normalised before each block."""
    import keras

    tokens = keras.layers.Input((length,), dtype="int32")
    places = keras.ops.arange(length)
    x = keras.layers.Embedding(words, width)(tokens) + keras.layers.Embedding(length, width)(places)
    for _ in range(blocks):
        normal = keras.layers.LayerNormalization()(x)
        x = x + keras.layers.MultiHeadAttention(4, width // 4)(normal, normal)
        inner = keras.layers.Dense(2 * width, activation="gelu")(keras.layers.LayerNormalization()(x))
        x = x + keras.layers.Dense(width)(inner)
    return keras.Model(tokens, keras.layers.Dense(words)(keras.layers.LayerNormalization()(x)))


def recurrent_network() -> Any:
    """Says how a wave goes on."""
    import keras

    recurrent = (keras.layers.LSTM(24, return_sequences=True), keras.layers.LSTM(16))
    return keras.Sequential([keras.layers.Input((24, 1)), *recurrent, keras.layers.Dense(1)])


# --- training and saving


class SavesBundles:
    """Saves model and optimizer by `tf.train.Checkpoint` at the end of every epoch."""

    @staticmethod
    def into(folder: Path) -> Any:
        """Return the callback."""
        import keras
        import tensorflow as tf

        class Saves(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
            def on_train_begin(self, logs: object = None) -> None:
                kept = tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer)
                self.manager = tf.train.CheckpointManager(kept, str(folder), max_to_keep=None)

            def on_epoch_end(self, epoch: int, logs: object = None) -> None:
                self.manager.save()

        return Saves()


def train(
    model: Any,
    optimizer: Any,
    data: Arrays,
    folder: Path,
    *,
    saved: str = "epoch-{epoch:02d}.keras",
    epochs: int = 8,
    batch: int = 64,
    callbacks: tuple[Any, ...] = (),
) -> Any:
    """Train a model for some epochs, and save each as `saved` says: a file name, or "bundle"."""
    import keras

    is_regression = data[1].dtype.kind == "f"
    loss = "mse" if is_regression else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss)
    is_bundle = saved == "bundle"
    saves = (
        SavesBundles.into(folder)
        if is_bundle
        else keras.callbacks.ModelCheckpoint(str(folder / saved), save_weights_only=saved.endswith(".weights.h5"))
    )
    shown = model.fit(*data, batch_size=batch, epochs=epochs, callbacks=[*callbacks, saves], verbose=0)
    losses = shown.history["loss"]
    (folder / "losses.json").write_text(json.dumps(losses))
    return model


def mlp(folder: Path) -> None:
    """Adam at 1e-3, .keras files."""
    import keras

    train(dense_network(), keras.optimizers.Adam(1e-3), moons(), folder)


def mlp_keras_h5(folder: Path) -> None:
    """Nadam at 1e-3, whole models in .h5."""
    import keras

    train(dense_network(), keras.optimizers.Nadam(1e-3), moons(), folder, saved="model-{epoch:02d}.h5")


def mlp_amsgrad(folder: Path) -> None:
    """AMSGrad with a clipped norm, weights files."""
    import keras

    optimizer = keras.optimizers.Adam(2e-3, amsgrad=True, global_clipnorm=1.0)
    train(dense_network(), optimizer, moons(), folder, saved="cp-{epoch:02d}.weights.h5")


def mlp_rmsprop(folder: Path) -> None:
    """RMSprop at 1e-3."""
    import keras

    train(dense_network(), keras.optimizers.RMSprop(1e-3), moons(), folder)


def mlp_ema(folder: Path) -> None:
    """Adam with a moving average of the weights."""
    import keras

    train(dense_network(), keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.98), moons(), folder)


def mlp_half(folder: Path) -> None:
    """Computing in float16 with a scaled loss, variables in float32."""
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        train(dense_network(), keras.optimizers.Adam(1e-3), moons(), folder, saved="bundle")
    finally:
        keras.config.set_dtype_policy("float32")


def mlp_accumulated(folder: Path) -> None:
    """Gradients of four batches added up for each update."""
    import keras

    train(dense_network(), keras.optimizers.Adam(3e-3, gradient_accumulation_steps=4), moons(), folder, batch=16)


def cnn(folder: Path) -> None:
    """AdamW under a cosine decay, .keras files."""
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(2e-3, 10 * 24, alpha=0.1)
    train(convolutional_network(), keras.optimizers.AdamW(schedule, 0.01), pictures(), folder, epochs=10)


def cnn_weights(folder: Path) -> None:
    """Adam at 1e-3, weights files."""
    import keras

    train(
        convolutional_network(), keras.optimizers.Adam(1e-3), pictures(), folder,
        saved="cp-{epoch:02d}.weights.h5", epochs=10,
    )  # fmt: skip


def attention(folder: Path) -> None:
    """AdamW after a warm-up with a clipped norm, bundles."""
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(1e-5, 850, alpha=0.1, warmup_target=3e-3, warmup_steps=100)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.01, beta_2=0.98, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    train(transformer(), optimizer, sequences(), folder, saved="bundle", epochs=30)


def attention_keras(folder: Path) -> None:
    """Adam at 2e-3, .keras files."""
    import keras

    train(transformer(), keras.optimizers.Adam(2e-3), sequences(), folder, epochs=20)


def lstm(folder: Path) -> None:
    """Adam with a clipped norm, .keras files."""
    import keras

    train(recurrent_network(), keras.optimizers.Adam(2e-3, clipnorm=1.0), waves(), folder, batch=32, epochs=12)


def lstm_weights(folder: Path) -> None:
    """Adam whose rate a callback lowers, weights files."""
    import keras

    lowered = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, factor=0.5, min_delta=0.02)
    train(
        recurrent_network(), keras.optimizers.Adam(3e-3), waves(), folder,
        saved="e{epoch:02d}.weights.h5", batch=32, epochs=12, callbacks=(lowered,),
    )  # fmt: skip


def deep(folder: Path) -> None:
    """Twelve layers deep, started as He et al. do, .keras files."""
    import keras

    network = dense_network(12, 24, kernel_initializer="he_normal")
    train(network, keras.optimizers.Adam(5e-4), moons(), folder, epochs=12)


def deep_bundle(folder: Path) -> None:
    """Twelve layers deep with AdamW, bundles."""
    import keras

    network = dense_network(12, 24, kernel_initializer="he_normal")
    train(network, keras.optimizers.AdamW(5e-4, 0.004), moons(), folder, saved="bundle", epochs=12)


def gan(folder: Path) -> None:
    """Points of eight clusters on a ring against made-up ones; two Adams, bundles."""
    import keras
    import tensorflow as tf

    def network(ends: int, activation: str) -> Any:
        hidden = [keras.layers.Dense(32, activation=activation) for _ in range(2)]
        return keras.Sequential([keras.layers.Input((8 if ends == 2 else 2,)), *hidden, keras.layers.Dense(ends)])

    generator, discriminator = network(2, "relu"), network(1, "leaky_relu")
    optimizers = [keras.optimizers.Adam(5e-4, beta_1=0.5) for _ in range(2)]
    kept = tf.train.Checkpoint(
        generator=generator, discriminator=discriminator,
        generator_optimizer=optimizers[0], discriminator_optimizer=optimizers[1],
    )  # fmt: skip
    manager = tf.train.CheckpointManager(kept, str(folder), max_to_keep=None)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step() -> None:
        angle = tf.random.uniform([64], 0, 8, tf.int32)
        angle = tf.cast(angle, tf.float32) * (np.pi / 4)
        real = tf.stack([tf.cos(angle), tf.sin(angle)], 1) + tf.random.normal([64, 2], stddev=0.1)
        with tf.GradientTape() as of_g, tf.GradientTape() as of_d:
            made = generator(tf.random.normal([64, 8]))
            says_real, says_made = discriminator(real), discriminator(made)
            g_loss = loss(tf.ones_like(says_made), says_made)
            d_loss = loss(tf.ones_like(says_real), says_real) + loss(tf.zeros_like(says_made), says_made)
        for optimizer, model, tape, of in (
            (optimizers[0], generator, of_g, g_loss),
            (optimizers[1], discriminator, of_d, d_loss),
        ):
            optimizer.apply_gradients(
                zip(tape.gradient(of, model.trainable_variables), model.trainable_variables, strict=True)
            )

    for _ in range(6):
        for _ in range(150):
            step()
        manager.save()


def resumed(folder: Path) -> None:
    """Saved, loaded and trained on in one process, as after an interruption."""
    import keras

    model = train(
        dense_network(), keras.optimizers.Adam(1e-3), moons(), folder, saved="part1-{epoch:02d}.keras", epochs=4
    )
    model.save(folder / "last.keras")
    model = keras.models.load_model(folder / "last.keras")
    (folder / "last.keras").unlink()
    for path in sorted(folder.glob("part1-*")):
        path.rename(folder / path.name.replace("part1", "epoch"))
    model.fit(
        *moons(), batch_size=64, epochs=8, initial_epoch=4, verbose=0,
        callbacks=[keras.callbacks.ModelCheckpoint(str(folder / "epoch-{epoch:02d}.keras"))],
    )  # fmt: skip


def rebuilt(folder: Path) -> None:
    """The model is built a second time in the process, so that Keras counts its layers' names up, and goes on."""
    import keras

    model = train(dense_network(), keras.optimizers.Adam(1e-3), moons(), folder, epochs=4)
    again = dense_network()
    again.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    again.optimizer.build(again.trainable_variables)
    again.set_weights(model.get_weights())
    for new, old in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        new.assign(old)
    again.fit(
        *moons(), batch_size=64, epochs=8, initial_epoch=4, verbose=0,
        callbacks=[keras.callbacks.ModelCheckpoint(str(folder / "epoch-{epoch:02d}.keras"))],
    )  # fmt: skip


def fine_tuned(folder: Path) -> None:
    """A trained network with its first layers frozen and a new head."""
    import keras

    base = dense_network()
    base.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    base.fit(*moons(), batch_size=64, epochs=6, verbose=0)
    for layer in base.layers[:2]:
        layer.trainable = False
    model = keras.Sequential([*base.layers[:-1], keras.layers.Dense(2, name="head")])
    train(model, keras.optimizers.Adam(1e-3), moons(), folder)


# --- broken on purpose


def broken_statistics(folder: Path) -> None:
    """A BatchNormalization's moving variance has a NaN in the last file."""
    import keras

    model = train(convolutional_network(), keras.optimizers.Adam(1e-3), pictures(), folder, epochs=4)
    normal = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    value = normal.moving_variance.numpy()
    value[3] = np.nan
    normal.moving_variance.assign(value)
    model.save(folder / "epoch-05.keras")


def broken_rate(folder: Path) -> None:
    """A hundred times the rate."""
    import keras

    train(dense_network(), keras.optimizers.Adam(0.1), moons(), folder)


def broken_collapse(folder: Path) -> None:
    """A rate at which the rectifiers of a layer die one after another, until nothing but the last bias learns."""
    import keras

    train(dense_network(), keras.optimizers.Adam(0.5), moons(), folder)


def broken_bfloat16(folder: Path) -> None:
    """Variables in bfloat16, in which Adam's usual β2 is 1."""
    import keras

    keras.config.set_dtype_policy("bfloat16")
    try:
        train(dense_network(), keras.optimizers.Adam(1e-3), moons(), folder, saved="bundle", epochs=4)
    finally:
        keras.config.set_dtype_policy("float32")


def broken_epsilon(folder: Path) -> None:
    """An ε of 1."""
    import keras

    train(dense_network(), keras.optimizers.Adam(1e-3, epsilon=1.0), moons(), folder)


def broken_units(folder: Path) -> None:
    """A layer of rectifiers that are never on."""
    import keras

    model = dense_network()
    model.layers[1].bias.assign(np.full(32, -50, "float32"))
    train(model, keras.optimizers.Adam(1e-3), moons(), folder)


def broken_path(folder: Path) -> None:
    """A branch that is cut off from the loss, although the optimizer holds it."""
    import keras

    inputs = keras.layers.Input((12,))
    branch = keras.layers.Lambda(lambda x: keras.ops.stop_gradient(x))(keras.layers.Dense(16, name="cut")(inputs))
    both = keras.layers.Concatenate()([branch, keras.layers.Dense(16, activation="relu")(inputs)])
    train(
        keras.Model(inputs, keras.layers.Dense(2)(both)), keras.optimizers.Adam(1e-3), moons(), folder, saved="bundle"
    )


def broken_freeze(folder: Path) -> None:
    """A layer gets no gradient any more after the fourth epoch, because its output is multiplied by 0."""
    import keras
    import tensorflow as tf

    gate = tf.Variable(1.0, trainable=False)
    inputs = keras.layers.Input((12,))
    gated = keras.layers.Dense(16, name="gated")(inputs)
    gated = keras.layers.Lambda(lambda x: x * gate)(gated)
    both = keras.layers.Concatenate()([gated, keras.layers.Dense(16, activation="relu")(inputs)])
    closes = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: gate.assign(float(epoch < 4)))
    train(
        keras.Model(inputs, keras.layers.Dense(2)(both)), keras.optimizers.Adam(1e-3), moons(), folder,
        saved="bundle", epochs=14, callbacks=(closes,),
    )  # fmt: skip


def broken_resume(folder: Path) -> None:
    """The moments start anew in the middle, the counter goes on."""
    import keras

    class Forgets(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 6:
                for variable in self.model.optimizer.variables:
                    if variable.path.endswith(("momentum", "velocity")):
                        variable.assign(np.zeros(variable.shape, "float32"))

    train(dense_network(), keras.optimizers.Adam(1e-3), moons(), folder, epochs=7, callbacks=(Forgets(),))


def broken_counter(folder: Path) -> None:
    """Resumed with a new optimizer: counter and moments start anew."""
    import keras

    model = train(dense_network(), keras.optimizers.Adam(1e-3), moons(), folder, epochs=4)
    model.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(
        *moons(), batch_size=64, epochs=6, initial_epoch=4, verbose=0,
        callbacks=[keras.callbacks.ModelCheckpoint(str(folder / "epoch-{epoch:02d}.keras"))],
    )  # fmt: skip


def broken_save(folder: Path) -> None:
    """One state saved twice, under two numbers."""
    import keras

    model = train(dense_network(), keras.optimizers.Adam(1e-3), moons(), folder, epochs=4)
    model.save(folder / "epoch-05.keras")


def broken_decay(folder: Path) -> None:
    """A weight decay a thousand times what is usual."""
    import keras

    train(dense_network(), keras.optimizers.AdamW(1e-3, weight_decay=4.0), moons(), folder)


def broken_small(folder: Path) -> None:
    """A rate so small that nothing is learned."""
    import keras

    train(dense_network(), keras.optimizers.Adam(1e-9), moons(), folder, epochs=4)


@dataclass(frozen=True, slots=True)
class Training:
    """What makes a run, and what is right to find in it."""

    make: Callable[[Path], None]
    expected: frozenset[str] = frozenset()
    """Ids of findings, or codes of remarks, of which all must be there; a healthy run has no other warning."""
    is_healthy: bool = True


def _broken(make: Callable[[Path], None], *expected: str) -> Training:
    return Training(make, frozenset(expected), is_healthy=False)


TRAININGS: Mapping[str, Training] = {
    make.__name__: Training(make)
    for make in (
        mlp, mlp_keras_h5, mlp_amsgrad, mlp_rmsprop, mlp_ema, mlp_half, mlp_accumulated, cnn, cnn_weights, attention,
        attention_keras, lstm, lstm_weights, deep, deep_bundle, gan, resumed, rebuilt, fine_tuned,
    )
} | {
    # what the files don't hold and is assumed is refuted by their moments: betas, and the names of the layers
    "attention": Training(attention, frozenset({"hyperparameter-contradicted"})),
    "gan": Training(gan, frozenset({"moment-bound-violated"})),
    "rebuilt": Training(rebuilt, frozenset({"parameters-renamed"})),
    "broken_statistics": _broken(broken_statistics, "nonfinite-tensors"),
    "broken_rate": _broken(broken_rate, "updates-too-large"),
    "broken_collapse": _broken(broken_collapse, "starved-tensors"),
    "broken_bfloat16": _broken(broken_bfloat16, "inert-state"),
    "broken_epsilon": _broken(broken_epsilon, "epsilon-dominated"),
    "broken_units": _broken(broken_units, "untouched-tensors"),
    "broken_path": _broken(broken_path, "untouched-tensors"),
    "broken_freeze": _broken(broken_freeze, "starved-tensors"),
    "broken_resume": _broken(broken_resume, "state-lost"),
    "broken_counter": _broken(broken_counter, "step-reset"),
    "broken_save": _broken(broken_save, "step-repeated"),
    "broken_decay": _broken(broken_decay, "decay-outweighs-gradient"),
    "broken_small": _broken(broken_small, "lost-in-rounding"),
}  # fmt: skip


def checked(name: str, folder: Path) -> bool:
    """Print what is found in a training, and return whether it is what is right."""
    from ckpt_inspect import analyze

    run = analyze(folder)
    told = [(f.severity.word, f.id, f.title) for f in run.findings]
    told += [(r.problem.severity, r.problem.code, r.problem.message) for r in run.remarks]
    training = TRAININGS[name]
    ids = {code for _, code, _ in told}
    warnings = [t for t in told if t[0] in ("warning", "critical", "error")]
    others = [code for _, code, _ in warnings if code not in training.expected]
    is_right = training.expected <= ids and not (training.is_healthy and others)
    print(f"{'ok  ' if is_right else 'OFF '} {name}: {dict(sorted(Counter(f'{i} ({s})' for s, i, _ in told).items()))}")
    for severity, code, title in warnings:
        print(f"       {severity} {code}: {title}")
    return is_right and (not training.is_healthy or _is_sound(name, folder))


def _is_sound(name: str, folder: Path) -> bool:
    """Return whether `check` calls every checkpoint of a healthy training sound; print what it says otherwise."""
    from ckpt_inspect import check

    soundness = check([folder])
    reasons = [(Path(v.path).name, r) for v in soundness.checkpoints for r in v.reasons if r.severity != "info"]
    print(f"{'ok  ' if soundness.is_sound and not reasons else 'OFF '} {name}: check: {soundness!r}")
    for checkpoint, reason in [*reasons, *((folder.name, remark) for remark in soundness.remarks)]:
        print(f"       {checkpoint}: {reason.severity} {reason.id}: {reason.text}")
    return soundness.is_sound and not reasons


def main() -> int:
    """Make what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", choices=[*TRAININGS, []], metavar="NAME")
    parser.add_argument("--check", action="store_true", help="analyse each and print what is found")
    given = parser.parse_args()
    names = given.names or list(TRAININGS)
    for name in names:
        folder = given.folder / name
        if folder.exists():
            continue
        import keras

        keras.utils.set_random_seed(SEED)
        keras.backend.clear_session()
        made = folder.with_name(f".{name}")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        TRAININGS[name].make(made)
        made.rename(folder)
        print(f"made {name}", file=sys.stderr, flush=True)
    right = [checked(name, given.folder / name) for name in names if given.check]
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main())
