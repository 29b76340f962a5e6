"""Tensor bundles with TF1's names and real Adam state, made without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support.bundle_writer import write_bundle
from support.keras_files import Run


def save_bundle(run: Run, prefix: Path, **extra: np.ndarray[Any, Any]) -> Path:
    """Write the run's present state as `tf.train.Saver` would."""
    tensors: dict[str, np.ndarray[Any, Any]] = dict(run.weights)
    tensors |= {f"{name}/Adam": value for name, value in run.first.items()}
    tensors |= {f"{name}/Adam_1": value for name, value in run.second.items()}
    tensors["beta1_power"] = np.array(np.float32(0.9) ** (run.step + 1), np.float32)
    tensors["beta2_power"] = np.array(np.float32(0.999) ** (run.step + 1), np.float32)
    tensors["global_step"] = np.array(run.step, np.int64)
    write_bundle(prefix, {**tensors, **extra})
    return prefix


def save_series(folder: Path, steps: int = 4, seed: int = 0) -> list[Path]:
    """A run of checkpoints, ten updates apart."""
    folder.mkdir(exist_ok=True)
    run = Run(seed)
    return [save_bundle(run.train(10), folder / f"model.ckpt-{run.step}") for _ in range(steps)]
