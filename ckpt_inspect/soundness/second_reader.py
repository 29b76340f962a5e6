"""TensorFlow's own reader as a second opinion: it must give the same bits for every tensor.

The only module that imports TensorFlow, and only if it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint
from ckpt_inspect.errors import CkptInspectError, RequestError
from ckpt_inspect.soundness import kinds
from ckpt_inspect.soundness.verdicts import Reason
from ckpt_inspect.soundness.whole import named

if TYPE_CHECKING:
    from types import ModuleType

READERS = ("tensorflow",)
"""Names of second readers."""

_READ = ("tensor-bundle", "saved-model", "tf1-v1")
"""Formats that TensorFlow itself reads."""


def second_reader(name: str | None) -> Callable[[Checkpoint], Iterator[Reason]] | None:
    """Return the reader of that name, None for none; raises RequestError for another name, or if it isn't installed."""
    if name is None:
        return None
    if name not in READERS:
        raise RequestError(f"there is no reader {name!r}: {', '.join(READERS)} is the one")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it writes to stderr what it finds of the machine
    try:
        import tensorflow  # type: ignore[import-untyped, import-not-found, unused-ignore]  # it may not be installed
    except ImportError as error:
        raise RequestError("TensorFlow is not installed: pip install 'ckpt-inspect[tensorflow]'") from error
    return lambda checkpoint: _compared(checkpoint, tensorflow)


def _compared(checkpoint: Checkpoint, tensorflow: ModuleType) -> Iterator[Reason]:
    """Yield what TensorFlow reads differently, or that it reads nothing of this format."""
    if checkpoint.format not in _READ:
        what = f"TensorFlow's reader doesn't apply to {checkpoint.format}, which Keras reads by HDF5's library"
        yield Reason(kinds.NOT_CHECKED, str(checkpoint.path), what)
        return
    prefix = _prefix_of(checkpoint)
    different: dict[str, str] = {}
    for key, spec in checkpoint.tensors.items():
        if not spec.is_readable:
            continue
        try:
            dtype = tensorflow.dtypes.as_dtype(spec.dtype)
            (tensor,) = tensorflow.raw_ops.RestoreV2(
                prefix=prefix, tensor_names=[key], shape_and_slices=[""], dtypes=[dtype]
            )
            other = tensor.numpy()
        except Exception as error:  # whatever TensorFlow raises is its answer
            different[key] = f"TensorFlow can't read it: {str(error).partition(chr(10))[0][:200]}"
            continue
        if not _is_same(checkpoint, key, other):
            different[key] = "TensorFlow reads other bits"
    if different:
        first = next(iter(different))
        what = f"{len(different)} of {len(checkpoint.tensors)} tensors: {named(tuple(different))}: {different[first]}"
        yield Reason(kinds.OTHER_BITS, first, what)


def _prefix_of(checkpoint: Checkpoint) -> str:
    """Return the path by which TensorFlow finds the checkpoint."""
    index = next((str(file) for file in checkpoint.files if file.name.endswith(".index")), None)
    return index.removesuffix(".index") if index is not None else str(checkpoint.path)


def _is_same(checkpoint: Checkpoint, key: str, other: object) -> bool:
    """Return whether a tensor has the same shape, type and bits as the array, read piece by piece."""
    spec = checkpoint.spec(key)
    if spec.dtype == STRING:
        ours = checkpoint.read(key)
        return bool(np.array_equal(ours.reshape(-1), np.asarray(other, dtype=object).reshape(-1)))
    array: Array = np.asarray(other)
    if array.shape != spec.shape:
        return False
    flat, at = array.reshape(-1), 0
    try:
        for piece in checkpoint.stream(key):
            part = np.ascontiguousarray(flat[at : at + piece.size])
            if part.dtype != piece.dtype or part.tobytes() != piece.tobytes():
                return False
            at += piece.size
    except CkptInspectError:
        return False
    return True
