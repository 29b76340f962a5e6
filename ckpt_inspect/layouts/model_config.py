"""What a Keras model's JSON configuration says about its layers: order, names, classes, and which are frozen. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckpt_inspect.jsonable import JsonObject


class LayerConfig(NamedTuple):
    """One layer of a functional or sequential model."""

    class_name: str
    name: str
    is_trainable: bool
    """False if it, or a model around it, is frozen."""
    layers: tuple[LayerConfig, ...] | None
    """The layers inside, if it is a functional or sequential model itself; else None."""
    config: JsonObject


def layers_of(model: JsonObject | None) -> tuple[LayerConfig, ...] | None:
    """Return the model's layers in their order; None for a subclassed model, whose configuration doesn't list them."""
    config = model.get("config") if isinstance(model, Mapping) else None
    if isinstance(config, list):  # Sequential of Keras before 2.2.3: the list of layers itself
        return tuple(_layer(entry, True) for entry in config if isinstance(entry, Mapping))
    layers = config.get("layers") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(layers, list):
        return None
    trainable = config.get("trainable", True) is not False
    return tuple(_layer(entry, trainable) for entry in layers if isinstance(entry, Mapping))


def _layer(entry: JsonObject, is_trainable: bool) -> LayerConfig:
    raw = entry.get("config")
    config: JsonObject = raw if isinstance(raw, Mapping) else {}
    trainable = is_trainable and config.get("trainable", True) is not False
    name = config.get("name") or entry.get("name") or ""
    inner = layers_of(entry) if isinstance(raw, list) or "layers" in config else None
    if inner is not None and not trainable:
        inner = tuple(_freeze(layer) for layer in inner)
    return LayerConfig(str(entry.get("class_name", "")), str(name), trainable, inner, config)


def _freeze(layer: LayerConfig) -> LayerConfig:
    inner = None if layer.layers is None else tuple(_freeze(x) for x in layer.layers)
    return LayerConfig(layer.class_name, layer.name, False, inner, layer.config)


def frozen_layers(layer: LayerConfig) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of all layers inside, and the names of the frozen ones among them."""
    inside = [inner for part in layer.layers or () for inner in _walk(part)]
    return frozenset(x.name for x in inside), frozenset(x.name for x in inside if not x.is_trainable)


def _walk(layer: LayerConfig) -> Iterator[LayerConfig]:
    yield layer
    for inner in layer.layers or ():
        yield from _walk(inner)


def snake_case(class_name: str) -> str:
    """Return Keras' name of a layer's group in `.keras` and `.weights.h5`: `MultiHeadAttention` ->
    `multi_head_attention`."""
    name = re.sub(r"\W+", "", class_name.rpartition(">")[2])
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
