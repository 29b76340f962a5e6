"""What every reader offers: metadata at once, arrays and pieces of arrays on demand.

A reader knows bytes and names. It knows nothing of optimizers: what a name means is a layout's business.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import NotFoundError, UnsupportedError
from ckpt_inspect.jsonable import JsonObject

Array = NDArray[Any]
"""An array of any element type: what a checkpoint holds is known when it is opened, not before."""

DType = np.dtype[Any]
"""An element type, for the same reason."""

Progress = Callable[[int, int], None]
"""Called with what is done so far and what there is in all, of bytes or of figures; from any thread, one at a time."""

PIECE_ELEMENTS = 1 << 16
"""Default length of a streamed piece: 256 KiB of float32, so that a piece of θ, m and v fits a core's cache."""

STRING = "string"
"""`TensorSpec.dtype` of a tensor of byte strings; `read` gives an object array of `bytes`."""


def numpy_dtype(name: str) -> DType:
    """The numpy dtype of that name, `bfloat16` and the float8 kinds included; `object` for strings.

    Raises UnsupportedError for TensorFlow's types that numpy can't hold (`variant`, `resource`).
    """
    if name == STRING:
        return np.dtype(object)
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        try:
            found: DType = np.dtype(getattr(ml_dtypes, name))
            return found
        except (AttributeError, TypeError) as error:
            raise UnsupportedError(f"the element type {name!r} has no counterpart in numpy") from error


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor as its checkpoint's metadata describes it."""

    name: str
    """The key under which the file lists it; unique in the checkpoint."""
    shape: tuple[int, ...]
    dtype: str
    """numpy's or ml_dtypes' name (`float32`, `bfloat16`, `int64`), `string`, or TensorFlow's name of a type that can be
    listed and not read (`variant`, `resource`)."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in memory; 0 for strings, whose length is not in the metadata, and for what can't be read."""
        try:
            return 0 if self.dtype == STRING else self.size * numpy_dtype(self.dtype).itemsize
        except UnsupportedError:
            return 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Something odd that could be survived: it reaches the store, the screen and the report."""

    code: str
    """Stable identifier in kebab-case, e.g. `state-file-absolute-paths`."""
    message: str
    """What was odd, and where, in one sentence."""
    resolution: str
    """What was done about it, in one sentence."""
    severity: Literal["info", "warning", "error"] = "warning"


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The JSON that Keras saves with a model, parsed and not interpreted."""

    optimizer: JsonObject | None
    """`{"class_name": .., "config": {..}}`, or None for a model that was not compiled."""
    model: JsonObject | None
    """The model's own `{"class_name": .., "config": {..}}`, where the file has it."""
    where: str
    """The place, for a person: `config.json`, `training_config attribute`, `keras_metadata.pb`."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A serialized TensorFlow `GraphDef` that lies with the checkpoint."""

    graph_def: bytes
    where: str
    """The place, for a person: `model.ckpt-2.meta`, `saved_model.pb`."""


class FileStat(NamedTuple):
    """A file of a checkpoint, as it was when the checkpoint was opened."""

    size: int
    """In bytes."""
    modified_ns: int
    """Time of writing, in nanoseconds since 1970."""


class Checkpoint(ABC):
    """One checkpoint, open for reading. A context manager; reading is thread-safe unless a reader says otherwise."""

    path: Path
    """As a person would name it: the prefix, file, V1 pattern or SavedModel folder."""
    format: str
    """`tensor-bundle`, `saved-model`, `tf1-v1`, `keras-h5`, `keras-archive` (.keras) or `keras-weights-h5`."""
    tensors: Mapping[str, TensorSpec]
    """Every tensor by its key, in the order that the file records where it records one (h5 `weight_names`, `vars/N` by
    number), else sorted by key."""
    files: tuple[Path, ...]
    """Every file that belongs to the checkpoint and exists, the index first; what a fingerprint must cover."""
    file_stats: tuple[FileStat, ...] = ()
    """What each of `files` was when the checkpoint was opened; empty for one that lies in no files."""
    problems: tuple[Problem, ...] = ()

    @abstractmethod
    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        """Elements `start:stop` of the flattened tensor (C order), 1-D, in the file's dtype.

        `out` may offer a 1-D buffer of that dtype and at least that length; whether it was used or not, the answer is
        the returned array. Raises NotFoundError for an unknown name, DamagedFileError for bytes that aren't there or
        whose checksum is wrong: each byte is checksummed as it is read, and the call that completes the tensor
        compares.
        """

    def read(self, name: str) -> Array:
        """The whole tensor, in its shape and the file's dtype (strings: an object array of `bytes`)."""
        spec = self.spec(name)
        return self.read_range(name, 0, spec.size).reshape(spec.shape)

    def stream(self, name: str, elements: int = PIECE_ELEMENTS) -> Iterator[Array]:
        """The flattened tensor (C order) in pieces of at most `elements`; a piece is valid until the next is asked
        for."""
        spec = self.spec(name)
        out = None if spec.dtype == STRING else np.empty(min(elements, spec.size), numpy_dtype(spec.dtype))
        for start in range(0, spec.size, elements):
            yield self.read_range(name, start, min(start + elements, spec.size), out)

    def spec(self, name: str) -> TensorSpec:
        """The tensor's metadata; raises NotFoundError with the checkpoint's path for an unknown name."""
        try:
            return self.tensors[name]
        except KeyError as error:
            raise NotFoundError(f"{self.path}: holds no tensor {name!r}; `tensors` lists those it holds") from error

    def training_config(self) -> TrainingConfig | None:
        """Keras' JSON configuration, where it lies in or beside the checkpoint."""
        return None

    def graph(self) -> Graph | None:
        """The TensorFlow graph that lies with the checkpoint (`.meta`, `saved_model.pb`)."""
        return None

    def labels(self) -> Mapping[str, str]:
        """Names that the file attaches to its groups as attributes: `{"optimizer/vars": "adam"}` (Keras 3.8+ HDF5)."""
        return {}

    def producer(self) -> Mapping[str, str]:
        """Who wrote it, where the file says so: `keras_version`, `backend`, `tensorflow_version`, `date_saved`."""
        return {}

    def written_order(self) -> Mapping[str, int]:
        """Group path -> a number that grows in the order in which the file's groups were written, where that can be
        told."""
        return {}

    @property
    def size_bytes(self) -> int:
        """Size on disk of all its files, when it was opened."""
        return sum(file.size for file in self.file_stats)

    @property
    def modified(self) -> float:
        """When the newest of its files was written, in seconds since 1970; NaN for one that lies in no files."""
        times = (divmod(file.modified_ns, 10**9) for file in self.file_stats)
        return max((seconds + 1e-9 * rest for seconds, rest in times), default=math.nan)

    def read_head(self, size: int) -> bytes:
        """Return the first bytes of the first of `files`, at most `size`, of the file that was opened."""
        return b""

    def close(self) -> None:  # noqa: B027 - a reader that holds nothing open needs no closing
        """Release what is open; safe to call twice."""

    def __repr__(self) -> str:
        return f"<ckpt_inspect.Checkpoint {str(self.path)!r} ({self.format}, {len(self.tensors)} tensors)>"

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PieceReader:
    """Reads pieces of tensors into memory that one thread reuses: fresh memory costs as much as reading into it."""

    __slots__ = ("_arrays", "_elements")

    def __init__(self, elements: int) -> None:
        """`elements` of a piece at most."""
        self._elements = elements
        self._arrays: dict[tuple[Hashable, DType], Array] = {}

    def read(self, checkpoint: Checkpoint, name: str, start: int, stop: int, place: Hashable) -> Array:
        """Elements start:stop as `Checkpoint.read_range` gives them; valid until the next call for the same place."""
        dtype = numpy_dtype(checkpoint.spec(name).dtype)
        array = self._arrays.get((place, dtype))
        if array is None:
            array = self._arrays[place, dtype] = np.empty(self._elements, dtype)
        return checkpoint.read_range(name, start, stop, array)
