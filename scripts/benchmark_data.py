"""The checkpoints that `benchmark.py` measures on: Adam state of any size, written in pieces, without TensorFlow.

Values are random, but such as training leaves behind: second moments over some eight decades, first moments below their
bound, so that no histogram falls into a few bins and nothing takes the way of the unusual.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import h5py
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support import bundle_writer

Floats = NDArray[np.float32]
Shapes = Mapping[str, tuple[int, ...]]

_POOL = 1 << 22
_PIECE = 1 << 20
_TRAINED = 1 << 18
"""Elements of a run up to which its checkpoints are those of a training."""


def bert_base(layers: int = 12, vocabulary: int = 30522) -> Shapes:
    """The parameters of a BERT-base-sized model: 109 M by default, which makes checkpoints of 1.31 GB."""
    hidden = 768
    shapes: dict[str, tuple[int, ...]] = {
        "bert/embeddings/word_embeddings": (vocabulary, hidden),
        "bert/embeddings/position_embeddings": (512, hidden),
    }
    for i in range(layers):
        layer = f"bert/encoder/layer_{i}"
        for name in ("query", "key", "value", "output"):
            shapes[f"{layer}/attention/{name}/kernel"] = (hidden, hidden)
            shapes[f"{layer}/attention/{name}/bias"] = (hidden,)
        shapes[f"{layer}/intermediate/kernel"] = (hidden, 4 * hidden)
        shapes[f"{layer}/intermediate/bias"] = (4 * hidden,)
        shapes[f"{layer}/output/kernel"] = (4 * hidden, hidden)
        shapes[f"{layer}/output/bias"] = (hidden,)
    return shapes


class AdamValues:
    """Pieces of θ, m and v out of a pool of random numbers, each tensor from another place of it."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        pool = _POOL + _PIECE
        scale = np.exp(rng.standard_normal(pool, np.float32) * np.float32(2) - np.float32(9))
        self._pools = {
            "value": rng.standard_normal(pool, np.float32) * np.float32(0.02),
            "first_moment": rng.standard_normal(pool, np.float32) * scale * np.float32(0.2),
            "second_moment": scale * scale,
        }
        self._rng = rng

    def pieces(self, array: str, size: int) -> Iterator[Floats]:
        """`size` elements of one kind."""
        pool = self._pools[array]
        # one place for the three arrays of a tensor: |m|/√v has a bound
        at = size * 7919 % _POOL
        for start in range(0, size, _PIECE):
            count = min(_PIECE, size - start)
            yield pool[at : at + count]
            at = (at + count + 12345) % _POOL


class AdamTraining:
    """Pieces of θ, m and v as a training leaves them: each checkpoint carries on the one before."""

    def __init__(self, shapes: Shapes, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        size = sum(map(math.prod, shapes.values()))
        self._scale = np.exp(self._rng.standard_normal(size, np.float32) - np.float32(7))
        self._target = self._rng.standard_normal(size, np.float32) * np.float32(0.05)
        self._arrays = {"value": self._target * 0, "first_moment": self._target * 0, "second_moment": self._target * 0}
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()]).tolist()
        self._places = {name: slice(e - math.prod(s), e) for (name, s), e in zip(shapes.items(), ends, strict=True)}
        self._step = 0

    def advance(self, step: int) -> None:
        """Train up to that step, by noisy gradients that lead to a target."""
        value, first, second = self._arrays.values()
        while self._step < step:
            self._step += 1
            gradient = self._rng.standard_normal(len(value), np.float32)
            gradient += np.float32(10) * (value - self._target)
            gradient *= self._scale
            first += np.float32(0.1) * (gradient - first)
            second += np.float32(0.001) * (gradient * gradient - second)
            rate = 1e-3 * math.sqrt(1 - 0.999**self._step) / (1 - 0.9**self._step)
            value -= np.float32(rate) * first / (np.sqrt(second) + np.float32(1e-8))

    def pieces(self, array: str, name: str) -> Iterator[Floats]:
        """The elements of one kind of one parameter."""
        yield self._arrays[array][self._places[name]]


def write_tf1_run(folder: Path, shapes: Shapes, steps: tuple[int, ...]) -> None:
    """Saver checkpoints `model.ckpt-STEP`, each of one shard, and their `checkpoint` file."""
    folder.mkdir(parents=True, exist_ok=True)
    is_small = sum(map(math.prod, shapes.values())) <= _TRAINED
    training = AdamTraining(shapes) if is_small else None
    for step in steps:
        if training is not None:
            training.advance(step)
        _write_tf1_checkpoint(folder / f"model.ckpt-{step}", shapes, step, training)
    names = [f"model.ckpt-{step}" for step in steps]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    (folder / "checkpoint").write_text("\n".join(lines) + "\n", "utf-8")


def _write_tf1_checkpoint(prefix: Path, shapes: Shapes, step: int, training: AdamTraining | None) -> None:
    scalars: dict[str, NDArray[Any]] = {
        "beta1_power": np.array(np.float32(0.9) ** (step + 1), np.float32),
        "beta2_power": np.array(np.float32(0.999) ** (step + 1), np.float32),
        "global_step": np.array(step, np.int64),
    }
    arrays = {"": "value", "/Adam": "first_moment", "/Adam_1": "second_moment"}
    kinds = {name + tail: (name, array) for name in shapes for tail, array in arrays.items()}
    values = AdamValues(step) if training is None else None
    offset, entries = 0, [(b"", bundle_writer.header())]
    with Path(f"{prefix}.data-00000-of-00001").open("wb") as data:
        for key in sorted({*kinds, *scalars}):
            if key in scalars:
                shape, dtype, pieces = (), scalars[key].dtype.name, iter([scalars[key].reshape(1)])
            else:
                name, array = kinds[key]
                shape, dtype = shapes[name], "float32"
                random = values.pieces(array, math.prod(shape)) if values is not None else iter(())
                pieces = random if training is None else training.pieces(array, name)
            entry, offset = _append(data, pieces, offset, dtype, shape)
            entries.append((key.encode(), entry))
    Path(f"{prefix}.index").write_bytes(bundle_writer.table(entries))


def write_one_tensor(prefix: Path, elements: int) -> None:
    """A bundle of one parameter, whose θ, m and v are the same range of the file: the size of one on disk."""
    values = AdamValues()
    with Path(f"{prefix}.data-00000-of-00001").open("wb") as data:
        shape = (elements >> 10, 1 << 10)
        entry, offset = _append(data, values.pieces("second_moment", elements), 0, "float32", shape)
        power_1, offset = _append(data, iter([np.array([0.9**11], np.float32)]), offset, "float32", ())
        power_2, offset = _append(data, iter([np.array([0.999**11], np.float32)]), offset, "float32", ())
    entries = {"w": entry, "w/Adam": entry, "w/Adam_1": entry, "beta1_power": power_1, "beta2_power": power_2}
    table = [(b"", bundle_writer.header()), *sorted((key.encode(), value) for key, value in entries.items())]
    Path(f"{prefix}.index").write_bytes(bundle_writer.table(table))


def _append(
    data: Any, pieces: Iterator[NDArray[Any]], offset: int, dtype: str, shape: tuple[int, ...]
) -> tuple[bytes, int]:
    """Write a tensor's bytes; its index entry, and where they end."""
    crc, size = 0, 0
    for piece in pieces:
        raw = np.ascontiguousarray(piece).view(np.uint8)
        data.write(raw.data)
        crc, size = google_crc32c.extend(crc, raw), size + len(raw)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return bundle_writer.entry(bundle_writer.DATA_TYPES[dtype], shape, offset, size, masked), offset + size


def dense_layers(count: int, width: int) -> Shapes:
    """Kernels and biases of a stack of Dense layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(count):
        name = f"dense_{i}" if i else "dense"
        shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = (width, width), (width,)
    return shapes


def write_h5(path: Path, shapes: Shapes, step: int = 1000, **storage: Any) -> None:
    """A whole model as TF 2.10 has it; `storage`: how h5py stores the arrays (`chunks`, `compression`, ..)."""
    layers = list(dict.fromkeys(name.split("/")[0] for name in shapes))
    config = [{"class_name": "Dense", "config": {"name": layer, "trainable": True}} for layer in layers]
    adam = {"name": "Adam", "learning_rate": 1e-3, "decay": 0.0, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    values = AdamValues(step)
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.10.0", "tensorflow"
        model = {"class_name": "Sequential", "config": {"name": "sequential", "layers": config}}
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["training_config"] = json.dumps(
            {"optimizer_config": {"class_name": "Adam", "config": adam | {"amsgrad": False}}}
        )
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer in layers:
            own = [name for name in shapes if name.startswith(f"{layer}/")]
            group = weights.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in own]
            for name in own:
                _fill(group, f"{name}:0", shapes[name], values, "value", storage)
        slots = [(f"Adam/{n}/{tail}:0", n, array) for tail, array in _SLOTS.items() for n in shapes]
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = [b"Adam/iter:0", *(key.encode() for key, _, _ in slots)]
        group["Adam/iter:0"] = np.int64(step)
        for key, name, array in slots:
            _fill(group, key, shapes[name], values, array, storage)


def write_keras(path: Path, shapes: Shapes, step: int = 1000, *, is_deflated: bool = False) -> None:
    """A `.keras` archive as Keras 3 saves it, or as some zip program packed the same files again."""
    layers = list(dict.fromkeys(name.split("/")[0] for name in shapes))
    values, weights = AdamValues(step), path.with_suffix(".weights.h5")
    with h5py.File(weights, "w") as file:
        for layer in layers:
            group = file.create_group(f"layers/{layer}/vars")
            group.attrs["name"] = layer
            for i, name in enumerate(name for name in shapes if name.startswith(f"{layer}/")):
                _fill(group, str(i), shapes[name], values, "value")
        group = file.create_group("optimizer/vars")
        group.attrs["name"] = "adam"
        group["0"], group["1"] = np.int64(step), np.float32(1e-3)
        for i, (name, array) in enumerate((n, array) for n in shapes for array in _SLOTS.values()):
            _fill(group, str(i + 2), shapes[name], values, array)
        file.create_group("vars").attrs["name"] = "sequential"
    dense = [_keras_object("keras.layers", "Dense", {"name": layer, "trainable": True}) for layer in layers]
    adam = {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}
    config = _keras_object("keras", "Sequential", {"name": "sequential", "layers": dense})
    config["compile_config"] = {"optimizer": _keras_object("keras.optimizers", "Adam", adam), "loss": "mse"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if is_deflated else zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.8.0", "date_saved": "2025-01-01@00:00:00"}))
        archive.writestr("config.json", json.dumps(config))
        with weights.open("rb") as source, archive.open("model.weights.h5", "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target, 1 << 22)
    weights.unlink()


_SLOTS = {"m": "first_moment", "v": "second_moment"}


def _keras_object(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _fill(
    group: Any,
    key: str,
    shape: tuple[int, ...],
    values: AdamValues,
    array: str,
    storage: Mapping[str, Any] | None = None,
) -> None:
    """A dataset, written in pieces; contiguous unless `storage` says otherwise."""
    size, start = math.prod(shape), 0
    dataset = group.create_dataset(key, shape, np.float32, **(storage or {}))
    row = math.prod(shape[1:])
    rows = np.concatenate(list(values.pieces(array, size))).reshape(shape) if size <= _PIECE else None
    if rows is not None:
        dataset[...] = rows
        return
    for piece in values.pieces(array, size):
        whole = len(piece) // row
        dataset[start : start + whole] = piece[: whole * row].reshape(whole, *shape[1:])
        start += whole
    if start < shape[0]:
        rest = (shape[0] - start) * row
        dataset[start:] = next(values.pieces(array, min(rest, _PIECE))).reshape(-1, *shape[1:])


def write_orbax(
    folder: Path, shapes: Shapes, step: int = 1000, *, chunk: int = 0, driver: str = "zarr", codec: str = "zstd"
) -> None:
    """A tree of optax' Adam as Orbax saves it, in an OCDBT store.

    `chunk`: rows of a chunk, 0 for whole arrays; `driver`: `zarr` or `zarr3`; `codec`: `zstd`, `gzip` or none of both.
    """
    import tensorstore

    folder.mkdir(parents=True)
    codecs: dict[str, Any] = {"zstd": {"id": "zstd", "level": 1}, "gzip": {"id": "gzip", "level": 1}, "": None}
    chains: dict[str, list[Any]] = {
        "zstd": [{"name": "zstd", "configuration": {"level": 1}}],
        "gzip": [{"name": "gzip", "configuration": {"level": 1}}],
        "": [],
    }
    store: dict[str, Any] = {"driver": "ocdbt", "base": f"file://{folder}", "config": {"max_inline_value_bytes": 1024}}
    tree: dict[str, Any] = {}

    def add(keys: tuple[str, ...], shape: tuple[int, ...], dtype: str) -> Any:
        leaf = {"key_metadata": [{"key": key, "key_type": 1 if key.isdecimal() else 2} for key in keys]}
        tree[str(keys)] = leaf | {"value_metadata": {"value_type": "jax.Array", "skip_deserialize": False}}
        parts = [min(chunk or shape[0], shape[0]), *shape[1:]] if shape else []
        if driver == "zarr":
            types = {"float32": "<f4", "int32": "<i4"}
            metadata = {"compressor": codecs[codec], "shape": shape, "chunks": parts, "dtype": types[dtype]}
        else:
            grid = {"name": "regular", "configuration": {"chunk_shape": parts}}
            little = {"name": "bytes", "configuration": {"endian": "little"}}
            metadata = {"shape": shape, "chunk_grid": grid, "data_type": dtype, "codecs": [little, *chains[codec]]}
        place = store | {"path": f"{'.'.join(keys)}/"}
        return tensorstore.open({"driver": driver, "kvstore": place, "metadata": metadata}, create=True).result()

    values = AdamValues(step)
    add(("opt_state", "0", "count"), (), "int32").write(np.int32(step)).result()
    for prefix, array in ((("params",), "value"), (("opt_state", "0", "mu"), "first_moment"),
                          (("opt_state", "0", "nu"), "second_moment")):  # fmt: skip
        for name, shape in shapes.items():
            written = add((*prefix, *name.split("/")), shape, "float32")
            whole = np.concatenate(list(values.pieces(array, math.prod(shape)))).reshape(shape)
            written.write(whole).result()
    (folder / "_METADATA").write_text(
        json.dumps({"tree_metadata": tree, "use_ocdbt": True, "use_zarr3": driver == "zarr3"}), "utf-8"
    )
