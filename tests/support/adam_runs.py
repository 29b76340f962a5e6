"""Runs really trained by Adam's formulas in numpy, and saved as Keras 2.11+ and 3 save whole models to HDF5."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Gradient = Callable[[str, Array, np.random.Generator], Array | tuple[Array, Array]]
"""Given a variable's name, its weights and a source of noise; gives its gradient, or that and what is taken for its
square."""

SHAPES: Mapping[str, tuple[int, ...]] = {
    "first/kernel": (20, 30), "first/bias": (30,), "second/kernel": (30, 30), "second/bias": (30,),
    "third/kernel": (30, 10), "third/bias": (10,),
}  # fmt: skip


def noise(name: str, weight: Array, rng: np.random.Generator) -> Array:
    """A gradient of pure noise, with a faint pull towards 0 that keeps the weights where they are."""
    return rng.normal(size=weight.shape) * 0.1 + 0.01 * weight


class AdamRun:
    """A few variables under Adam or, with a weight decay, AdamW; the same seed is the same run."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]] = SHAPES, *, dtype: str = "float32", **config: float):
        self.rng = np.random.default_rng(7)
        self.config = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7} | config
        self.dtype = np.dtype(dtype)
        self.weights = {n: self.rng.normal(size=s).astype(dtype) for n, s in shapes.items()}
        self.first = {n: np.zeros(s, dtype) for n, s in shapes.items()}
        self.second = {n: np.zeros(s, dtype) for n, s in shapes.items()}
        self.step = 0

    def train(self, steps: int, gradient: Gradient = noise) -> AdamRun:
        """Make that many updates, in the variables' own arithmetic."""
        number = self.dtype.type
        rate, beta_1, beta_2, epsilon = (
            number(self.config[n]) for n in ("learning_rate", "beta_1", "beta_2", "epsilon")
        )
        for _ in range(steps):
            self.step += 1
            c1, c2 = number(1) - beta_1 ** number(self.step), number(1) - beta_2 ** number(self.step)
            alpha = rate * np.sqrt(c2) / c1
            for name, weight in self.weights.items():
                given = gradient(name, weight, self.rng)
                g = (given[0] if isinstance(given, tuple) else given).astype(self.dtype)
                square = given[1].astype(self.dtype) if isinstance(given, tuple) else g * g
                m, v = self.first[name], self.second[name]
                m += (g - m) * (number(1) - beta_1)
                v += (square - v) * (number(1) - beta_2)
                weight -= weight * (rate * number(self.config.get("weight_decay", 0)))
                weight -= m * alpha / (np.sqrt(v) + epsilon)
        return self

    def forget(self) -> AdamRun:
        """Resume as with a new optimizer: the weights stay, the moments and the counter start anew."""
        for moments in (self.first, self.second):
            for value in moments.values():
                value[...] = 0
        self.step = 0
        return self

    def save(self, path: Path, keras: str = "2.15.0") -> Path:
        """Write the whole model with the optimizer's state and configuration, as that version of Keras does."""
        class_name = "AdamW" if "weight_decay" in self.config else "Adam"
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"], file.attrs["backend"] = keras, "tensorflow"
            layers = list(dict.fromkeys(name.split("/")[0] for name in self.weights))
            described = [{"class_name": "Dense", "config": {"name": layer, "trainable": True}} for layer in layers]
            model = {"class_name": "Sequential", "config": {"name": "sequential", "layers": described}}
            file.attrs["model_config"] = json.dumps(model)
            config = {"name": class_name, "amsgrad": False, **self.config}
            file.attrs["training_config"] = json.dumps(
                {"optimizer_config": {"class_name": class_name, "config": config}}
            )
            weights = file.create_group("model_weights")
            weights.attrs["layer_names"] = [layer.encode() for layer in layers]
            for layer in layers:
                own = {n: w for n, w in self.weights.items() if n.startswith(f"{layer}/")}
                _write(weights.create_group(layer), own)
            optimizer = file.create_group("optimizer_weights")
            if keras.startswith("3"):
                scalars = {"iteration": np.array(self.step), "learning_rate": np.float32(self.config["learning_rate"])}
                slots = {f"{n.replace('/', '_')}_{slot}": a for n, slot, a in self._slots("momentum", "velocity")}
                _write(optimizer, {f"{class_name.lower()}/{n}": np.asarray(a) for n, a in {**scalars, **slots}.items()})
            else:
                slots = {f"{class_name}/{slot}/{n}": a for n, slot, a in self._slots("m", "v")}
                _write(optimizer, {"iteration": np.array(self.step, np.int64), **slots})
        return path

    def _slots(self, first: str, second: str) -> Iterator[tuple[str, str, Array]]:
        """Each variable's name with each of its moments, by their upstream names."""
        for name in self.weights:
            yield name, first, self.first[name]
            yield name, second, self.second[name]


def _write(group: h5py.Group, tensors: Mapping[str, Array]) -> None:
    group.attrs["weight_names"] = [f"{name}:0".encode() for name in tensors]
    for name, value in tensors.items():
        group.create_dataset(f"{name}:0", data=value)
