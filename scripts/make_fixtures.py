#!/usr/bin/env python3
"""Make the runs under fixtures/ anew, with real TensorFlow and Keras on real data.

    python scripts/make_fixtures.py [NAME...] [--into FOLDER]      needs: pip install 'ckpt-inspect[fixtures]'

A maker trains its run into the folder it is given, and returns what it recorded of the live optimizer: tests hold the
package against `recorded.json`, which no checkpoint reader had a hand in. The same versions on the same kind of machine
make the same weights; the files differ all the same, because a `.keras` file holds the time of its saving.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from format_fixtures import make_formats

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def make_digits(folder: Path) -> dict[str, Any]:
    """Ten epochs of a small classifier on scikit-learn's digits, with Adam under a warmed-up cosine decay.

    Pixels in the corners are 0 in every image, so their rows of the first kernel never get a gradient.
    """
    import keras
    import tensorflow as tf
    from sklearn.datasets import load_digits

    keras.utils.set_random_seed(20)
    tf.config.experimental.enable_op_determinism()
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    train, held_out = slice(0, 1408), slice(1408, None)
    epochs, steps_per_epoch = 10, 1408 // 64
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=1e-4,
        warmup_target=1e-2,
        warmup_steps=2 * steps_per_epoch,
        decay_steps=(epochs - 2) * steps_per_epoch,
        alpha=0.05,
    )
    model = keras.Sequential(
        [
            keras.layers.Input((64,), name="pixels"),
            keras.layers.Dense(32, activation="relu", name="hidden"),
            keras.layers.Dense(16, activation="relu", name="narrow"),
            keras.layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )
    model.compile(keras.optimizers.Adam(schedule), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    recorded = []

    class Record(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            step = int(self.model.optimizer.iterations.numpy())
            recorded.append(
                {
                    "file": f"epoch-{epoch + 1:02d}.keras",
                    "step": step,
                    "learning_rate": float(schedule(step - 1)),
                    "accuracy": round(float((logs or {})["val_accuracy"]), 4),
                }
            )

    model.fit(
        images[train],
        labels[train],
        batch_size=64,
        epochs=epochs,
        validation_data=(images[held_out], labels[held_out]),
        callbacks=[keras.callbacks.ModelCheckpoint(str(folder / "epoch-{epoch:02d}.keras")), Record()],
        verbose=0,
    )
    return {
        "made_by": f"scripts/make_fixtures.py with TensorFlow {tf.__version__}, Keras {keras.__version__}",
        "data": "scikit-learn's digits: 8x8 pixels, 1408 images to train on, 389 held out",
        "checkpoints": recorded,
    }


def make_pictures(folder: Path) -> dict[str, Any]:
    """The README's picture: the figure that answers how the effective learning rates of `digits` evolve."""
    import ckpt_inspect
    from ckpt_inspect.presentation.report import write_report

    with tempfile.TemporaryDirectory() as scratch:
        report = write_report([ckpt_inspect.analyze(FIXTURES / "digits")], scratch)
        (wanted,) = (figure for figure in report.figures if figure.id == "effective-lr")
        shutil.copy(wanted.file, folder / "effective-lr.png")
    return {"made_by": f"scripts/make_fixtures.py with ckpt-inspect {ckpt_inspect.__version__}"}


MAKERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "digits": make_digits,
    "formats": make_formats,
    "pictures": make_pictures,  # of digits
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (all): {', '.join(MAKERS)}")
    parser.add_argument("--into", type=Path, default=FIXTURES, help="folder for them (fixtures/)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in MAKERS]
    if unknown:
        parser.error(f"no such fixture: {', '.join(unknown)}; there are {', '.join(MAKERS)}")
    for name in arguments.names or MAKERS:
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / name
            made.mkdir()
            (made / "recorded.json").write_text(json.dumps(MAKERS[name](made), indent=2) + "\n")
            shutil.rmtree(arguments.into / name, ignore_errors=True)
            shutil.copytree(made, arguments.into / name)
        size = sum(file.stat().st_size for file in (arguments.into / name).rglob("*") if file.is_file())
        sys.stdout.write(f"{arguments.into / name}: {size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
