"""Runs in which some elements get no gradient for a while, in files that hold neither betas nor epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from support.adam_runs import AdamRun, Array, Gradient

SHAPES = {"emb/kernel": (200, 8), "dense/kernel": (8, 30), "dense/bias": (30,)}


def silent_rows(share: float, seed: int) -> Gradient:
    """Gradients that leave this share of the rows of a kernel alone, the same rows as long as it is used."""

    def gradient(name: str, weight: Array, rng: np.random.Generator) -> Array:
        g = rng.normal(size=weight.shape) * 0.1 * 10 ** rng.uniform(-2, 0, size=weight.shape)
        if name == "emb/kernel":
            g[np.random.default_rng(seed).permutation(len(g))[: int(share * len(g))]] = 0
        return g

    return gradient


def save_without_config(run: AdamRun, path: Path) -> Path:
    """Save as Keras 3 does a whole model, and remove the optimizer's configuration: counter and rate remain."""
    run.save(path, keras="3.0.0")
    with h5py.File(path, "r+") as file:
        del file.attrs["training_config"]
    return path


def save_run(
    folder: Path, steps: Sequence[int], *, unseen: float = 0.0, name: str = "m-{:04d}.h5", **config: float
) -> list[Path]:
    """Train and save at these steps; in each window other rows get no gradient. `unseen`: share of rows that get none
    before the first save."""
    folder.mkdir(exist_ok=True)
    run = AdamRun(SHAPES, **config)
    paths = []
    for window, step in enumerate(steps):
        run.train(step - run.step, silent_rows(0.3 if window else unseen, window))
        paths.append(save_without_config(run, folder / name.format(step)))
    return paths
