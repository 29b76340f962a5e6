"""What a tensor is for: whether it is a bias or a scale, and whose, by its name or else its shape."""

from __future__ import annotations

import re

import numpy as np

from ckpt_inspect.findings.history import Bools, History

_BIASES = re.compile(r"(.*[_.])?(bias|beta|gamma|scale|offset)(_?\d+|#\d+)?", re.IGNORECASE)
_NORM = re.compile(r"norm|(?:^|[/_.])bn\d*(?:[/_.]|$)|/gamma(?:_?\d+)?$", re.IGNORECASE)
_KEY = re.compile(r"(?:^|[/_.])(?:key|k_proj)(?:_dense|_proj)?(?:_?\d+)?/", re.IGNORECASE)
_NO_SHIFT = re.compile(r"(.*[_.])?(beta|gamma|scale)(_?\d+|#\d+)?", re.IGNORECASE)


def are_biases(history: History) -> Bools:
    """(P,) whether a tensor is a bias or a scale, which starts at 0 or 1: by its name, else by its shape.

    A tensor of no or one axis is one; so is one of more whose name says so, as attention's biases by head and width,
    or one without a telling name whose shape is the end of a longer one's beside it.
    """
    shapes = _shapes(history)
    beside = _by_layer(history)
    found = []
    for name, shape in zip(history.parameters, shapes, strict=True):
        folder, _, last = name.rpartition("/")
        is_end = any(_is_end(shape, shapes[i]) for i in beside[folder])
        is_numbered = bool(folder) and last.isdigit()
        found.append(len(shape) < 2 or _BIASES.fullmatch(last) is not None or (is_numbered and is_end))
    return np.array(found, np.bool_)


def may_cancel(history: History) -> Bools:
    """(P,) whether a tensor's name or those beside it leave room for a bias without effect: one of attention's keys,
    or any in a model with normalisation layers."""
    names = history.parameters
    has_norms = any(_NORM.search(name) is not None for name in names)
    return np.array([has_norms or _KEY.search(name) is not None for name in names], np.bool_)


def kernels_beside(history: History) -> list[list[int]]:
    """Return, for each bias that is added to what a kernel makes, the places of the kernels of its layer; of none for
    other tensors, such as a normalisation's scales."""
    shapes = _shapes(history)
    beside = _by_layer(history)
    is_bias = are_biases(history)
    found: list[list[int]] = []
    for i, (name, shape) in enumerate(zip(history.parameters, shapes, strict=True)):
        folder, _, last = name.rpartition("/")
        is_added = bool(folder) and is_bias[i] and _NO_SHIFT.fullmatch(last) is None
        found.append([k for k in beside[folder] if _is_end(shape, shapes[k])] if is_added else [])
    return found


def _shapes(history: History) -> list[tuple[str, ...]]:
    return [tuple(str(shape).split(",")) if str(shape) else () for shape in history["shape"]]


def _by_layer(history: History) -> dict[str, list[int]]:
    """Return the places of the parameters of each layer: those whose names differ in their last part only."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(history.parameters):
        found.setdefault(name.rpartition("/")[0], []).append(i)
    return found


def _is_end(shape: tuple[str, ...], longer: tuple[str, ...]) -> bool:
    return bool(shape) and len(longer) > len(shape) and longer[-len(shape) :] == shape
