"""Whole-model Keras HDF5 files as TF 2.10 writes them, with real Adam state, made without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

SHAPES: Mapping[str, tuple[int, ...]] = {
    "dense/kernel": (12, 3),
    "dense/bias": (3,),
    "head/kernel": (3, 5),
    "head/bias": (5,),
}
ADAM: Mapping[str, Any] = {
    "name": "Adam",
    "learning_rate": 0.01,
    "decay": 0.0,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-7,
    "amsgrad": False,
}


class Run:
    """A few parameters trained with Adam in float32 on random gradients; the same seed is the same run."""

    def __init__(self, seed: int = 0, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> None:
        self.rng = np.random.default_rng(seed)
        self.weights = {name: self.rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        self.first = {name: np.zeros_like(w) for name, w in self.weights.items()}
        self.second = {name: np.zeros_like(w) for name, w in self.weights.items()}
        self.step = 0

    def train(self, steps: int, frozen: tuple[str, ...] = ()) -> Run:
        """Make that many updates; those of `frozen` get a gradient of zero."""
        for _ in range(steps):
            self.step += 1
            scale = np.float32(0.01 * np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step))
            for name, weight in self.weights.items():
                gradient = self.rng.normal(size=weight.shape).astype(np.float32) * (name not in frozen)
                self.first[name] += (gradient - self.first[name]) * np.float32(0.1)
                self.second[name] += (gradient * gradient - self.second[name]) * np.float32(1 - np.float32(0.999))
                weight -= scale * self.first[name] / (np.sqrt(self.second[name]) + np.float32(1e-7))
        return self

    def save(self, path: Path, optimizer: Mapping[str, Any] | None = ADAM, class_name: str = "Adam") -> Path:
        """Write the model with this optimizer's state; with None as a model that was never compiled."""
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"], file.attrs["backend"] = "2.10.0", "tensorflow"
            layers = list(dict.fromkeys(name.split("/")[0] for name in self.weights))
            config = [{"class_name": "Dense", "config": {"name": layer, "trainable": True}} for layer in layers]
            model = {"class_name": "Sequential", "config": {"name": "sequential", "layers": config}}
            file.attrs["model_config"] = json.dumps(model)
            weights = file.create_group("model_weights")
            weights.attrs["layer_names"] = [layer.encode() for layer in layers]
            for layer in layers:
                _write(
                    weights.create_group(layer), {k: v for k, v in self.weights.items() if k.startswith(f"{layer}/")}
                )
            if optimizer is not None:
                training = {"optimizer_config": {"class_name": class_name, "config": dict(optimizer)}}
                file.attrs["training_config"] = json.dumps(training)
                state: dict[str, NDArray[Any]] = {"iter": np.array(self.step, np.int64)}
                if class_name == "Adam":
                    state |= {f"Adam/{name}/m": value for name, value in self.first.items()}
                    state |= {f"Adam/{name}/v": value for name, value in self.second.items()}
                _write(file.create_group("optimizer_weights"), state)
        return path


def _write(group: h5py.Group, tensors: Mapping[str, NDArray[Any]]) -> None:
    group.attrs["weight_names"] = [f"{name}:0".encode() for name in tensors]
    for name, value in tensors.items():
        group.create_dataset(f"{name}:0", data=value)


def save_large_archive(path: Path, *, is_damaged: bool = False) -> Path:
    """A .keras of Keras 3 with Adam, whose weights are too large to be checked before they are read (4 MiB).

    If it `is_damaged`, a bit of the last second moment is flipped.
    """
    rng = np.random.default_rng(4)
    weights = path.with_suffix(".weights.h5")
    with h5py.File(weights, "w") as file:
        slots = file.create_group("optimizer/vars")
        slots["0"], slots["1"] = np.int64(5), np.float32(1e-3)
        for i, layer in enumerate(("dense", "dense_1")):
            file[f"layers/{layer}/vars/0"] = rng.normal(size=(512, 512)).astype(np.float32)
            slots[f"{2 + 2 * i}"] = rng.normal(size=(512, 512)).astype(np.float32)
            slots[f"{3 + 2 * i}"] = rng.random((512, 512)).astype(np.float32)
        place = slots["5"].id.get_offset() + 4 * 100_000
    config = {
        "class_name": "Sequential",
        "config": {},
        "compile_config": {"optimizer": {"class_name": "Adam", "config": {}}},
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.3.3"}))
        archive.write(weights, "model.weights.h5")
        member = archive.getinfo("model.weights.h5")
        start = member.header_offset + 30 + len(member.filename)
    weights.unlink()
    if is_damaged:
        with path.open("r+b") as stream:
            stream.seek(start + place)
            bits = stream.read(1)[0] ^ 1
            stream.seek(start + place)
            stream.write(bytes([bits]))
    return path
