"""What every reader offers: metadata at once, arrays and pieces of arrays on demand.

A reader knows bytes and names. It knows nothing of optimizers: what a name means is a layout's business.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import NotFoundError, UnsupportedError
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.records import dataclass

Array = NDArray[Any]
"""An array of any element type: what a checkpoint holds is known when it is opened, not before."""

DType = np.dtype[Any]
"""An element type, for the same reason."""

Progress = Callable[[int, int], None]
"""Called with what is done so far and the total, in bytes or figures; from any thread, but one call at a time."""

PIECE_ELEMENTS = 1 << 16
"""Default length of a streamed piece: 256 KiB of float32, so that a piece of θ, m and v fits a core's cache."""

STRING = "string"
"""`TensorSpec.dtype` of a tensor of byte strings; `read` gives an object array of `bytes`."""


@lru_cache(maxsize=1 << 8)
def numpy_dtype(name: str) -> DType:
    """Return the numpy dtype of that name, `bfloat16` and the float8 kinds included; `object` for strings.

    Raises UnsupportedError for types of TensorFlow that numpy can't hold (`variant`, `resource`).
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
        """Return the number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Return the size in memory, in bytes.

        0 for strings, because their lengths are not in the metadata, and for types that can't be read.
        """
        try:
            return 0 if self.dtype == STRING else self.size * numpy_dtype(self.dtype).itemsize
        except UnsupportedError:
            return 0

    @property
    def is_readable(self) -> bool:
        """Return whether its type is one that numpy can hold: a saved dataset iterator (`variant`) isn't."""
        try:
            numpy_dtype(self.dtype)
        except UnsupportedError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Problem:
    """Something odd in a file that could still be read. It reaches the store, the screen and the report."""

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
    """The model's own `{"class_name": .., "config": {..}}`; None if the file lacks it."""
    where: str
    """The place, for a person: `config.json`, `training_config attribute`, `keras_metadata.pb`."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A serialized TensorFlow `GraphDef` that lies with the checkpoint."""

    graph_def: bytes
    where: str
    """The place, for a person: `model.ckpt-2.meta`, `saved_model.pb`."""


CountedPieces = tuple[tuple[tuple[int, int, int], ...], ...]
"""For each checksum that covers several tensors: begin, end and checksum of the pieces that were read."""


@dataclass(frozen=True, slots=True)
class SavedTree:
    """The tree of nested maps and lists that a checkpoint was saved from, if its file has one."""

    paths: Mapping[str, tuple[str, ...]]
    """The keys that lead from the root to each tensor, by the tensor's name; indices of lists as digits."""
    empty: tuple[tuple[str, ...], ...] = ()
    """Paths of the nodes that hold nothing."""
    unread: tuple[tuple[str, ...], ...] = ()
    """Paths of values that are in the checkpoint in a way that is not read."""


class FileStat(NamedTuple):
    """A file of a checkpoint, as it was when the checkpoint was opened."""

    size: int
    """In bytes."""
    modified_ns: int
    """Time of writing, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class StoredElements:
    """A tensor's elements in a file: one after another, as they lie in memory."""

    descriptor: int
    """Of the open file; valid until the checkpoint is closed. -1 for a file of another machine."""
    offset: int
    """Byte at which the first element begins."""
    is_uncounted: Callable[[int, int], bool]
    """Whether no byte between two was checksummed in this round; bytes are numbered from the first element's."""
    count: Callable[[int, int, int], None]
    """Take the CRC-32C of the bytes between two, read elsewhere, for checksummed; raises DamagedFileError as
    `read_range` does."""
    borrow: Callable[[int, int], Array | None] | None = None
    """Gives the bytes between two, uint8, if they were expected (`Checkpoint.expect`) and are in memory in one piece;
    None for a file of this machine. `count` gives them back."""


@dataclass(frozen=True, slots=True)
class WholeTensors:
    """Where whole tensors lie in files of this machine, as `StoredElements` says of one."""

    places: Sequence[tuple[int, int] | None]
    """Descriptor and byte of each; None for one that must be read another way."""
    count: Callable[[Sequence[int | None]], None]
    """Take the CRC-32C of each, as it has been read elsewhere, for checksummed, None of those that haven't been; raises
    DamagedFileError as `read_range` does."""


class Checkpoint(ABC):
    """One checkpoint, open for reading. A context manager; reading is thread-safe unless a reader says otherwise."""

    path: Path
    """As a person would name it: the prefix, file, V1 pattern or SavedModel folder."""
    format: str
    """`tensor-bundle`, `saved-model`, `tf1-v1`, `keras-h5`, `keras-archive` (.keras), `keras-weights-h5` or
    `orbax`."""
    tensors: Mapping[str, TensorSpec]
    """Every tensor by its key: in the file's order if it records one (h5 `weight_names`, `vars/N` by number), else
    sorted by key."""
    files: tuple[Path, ...]
    """Every file that belongs to the checkpoint and exists, the index first; what a fingerprint must cover."""
    file_stats: tuple[FileStat, ...] = ()
    """Size and time of each of `files` when the checkpoint was opened; empty for a checkpoint without files."""
    problems: tuple[Problem, ...] = ()
    unreadable: str | None = None
    """Why no tensor can be read, although all are listed, for a person: a library is missing. None if they can be."""
    checksums: str = ""
    """What the format keeps a checksum of, for a person: `each tensor (CRC-32C)`; empty if it keeps none."""

    @abstractmethod
    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        """Return elements `start:stop` of the flattened tensor (C order), 1-D, in the file's dtype.

        `out`, if given, is a 1-D buffer of that dtype and at least that length. A reader may use it or not: the result
        is always the returned array. Raises NotFoundError for an unknown name, DamagedFileError for bytes that are
        missing or whose checksum is wrong. Each byte is checksummed as it is read; the call that completes the tensor
        compares the checksum.
        """

    def stored_elements(self, name: str) -> StoredElements | None:
        """Return where the tensor's elements lie, so that others can read them from any thread, and say what they have
        read; None if they are compressed, in pieces, in another byte order or not in a local file.

        Raises NotFoundError for an unknown name, or DamagedFileError, as `read_range` does.
        """
        self.spec(name)
        return None

    def whole_tensors(self, names: Sequence[str]) -> WholeTensors:
        """Return where tensors lie as a whole, for those that others can read; raises what `stored_elements` does."""
        found = list(map(self.stored_elements, names))
        for place, (name, elements) in enumerate(zip(names, found, strict=True)):
            if elements is not None and not (
                elements.borrow is None and elements.is_uncounted(0, self.spec(name).nbytes)
            ):
                found[place] = None

        def count(checksums: Sequence[int | None]) -> None:
            for name, elements, crc in zip(names, found, checksums, strict=True):
                if elements is not None and crc is not None:
                    elements.count(0, self.spec(name).nbytes, crc)

        return WholeTensors([None if e is None else (e.descriptor, e.offset) for e in found], count)

    def is_plain(self, name: str) -> bool:
        """Return whether a few elements of the tensor can be read without what lies around them: it is neither
        compressed nor cut into chunks. Raises NotFoundError for an unknown name."""
        self.spec(name)
        return False

    def chunk_bytes(self, name: str) -> int:
        """Return about how many bytes of the tensor have to be read for the sake of one element, at most; 0 if that can
        be read by itself. Raises NotFoundError for an unknown name."""
        return 0 if self.is_plain(name) else self.spec(name).nbytes

    def is_fetched_ahead(self, name: str) -> bool:
        """Return whether elements of the tensor that come from another machine are fetched ahead of whoever reads them
        in the order in which `expect` names them. Raises NotFoundError for an unknown name."""
        return self.is_plain(name)

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:  # noqa: B027 - advice, which few readers need
        """Say which elements (name, start, stop) will be read next, in that order, so that a reader of remote files
        fetches them ahead. Any range can be read all the same, and names needn't exist."""

    def expect_later(self, pieces: Iterable[tuple[str, int, int]]) -> bool:
        """Say the same of what will be read once everything else has been that is expected of other checkpoints of the
        same bucket. Return whether that is heeded; if it isn't, `expect` says it when the time has come."""
        return False

    def finish_reading(self) -> None:  # noqa: B027 - a reader whose checksums are those of single tensors needs none
        """Read what a checksum covers and was not read yet, and compare; raises DamagedFileError if they differ.

        Call it after the last tensor: an archive keeps one checksum of all its tensors together.
        """

    def counted_pieces(self) -> CountedPieces:
        """Return what has been checksummed so far, of checksums that cover several tensors; picklable."""
        return ()

    def take_pieces(self, counted: CountedPieces) -> None:  # noqa: B027 - a reader without such checksums needs none
        """Count what `counted_pieces` returned where another part of this checkpoint was read, as in another process.

        Raises DamagedFileError as `finish_reading` does.
        """

    def check_rest(self) -> tuple[Problem, ...]:
        """Read what no tensor leads to (an archive's other files, a graph beside it), and return what is wrong there.

        A Problem of severity `error` is damage; `info` is what couldn't be checked.
        """
        return ()

    def read(self, name: str) -> Array:
        """Return the whole tensor, in its shape and the file's dtype (strings: an object array of `bytes`)."""
        spec = self.spec(name)
        found = self.read_range(name, 0, spec.size)
        try:
            return found.reshape(spec.shape)
        except ValueError as error:
            raise UnsupportedError(
                f"{self.path}: tensor {name!r} has {len(spec.shape)} dimensions, more than numpy can hold; `stream` "
                "gives its elements"
            ) from error

    def read_many(self, names: Sequence[str]) -> list[Array]:
        """Return all elements of several tensors, each as `read_range` does; they may share memory."""
        return [self.read_range(name, 0, self.spec(name).size) for name in names]

    def stream(self, name: str, elements: int = PIECE_ELEMENTS) -> Iterator[Array]:
        """Yield the flattened tensor (C order) in 1-D pieces of at most `elements`.

        A piece is valid until the next one is read.
        """
        spec = self.spec(name)
        out = None if spec.dtype == STRING else np.empty(min(elements, spec.size), numpy_dtype(spec.dtype))
        for start in range(0, spec.size, elements):
            yield self.read_range(name, start, min(start + elements, spec.size), out)

    def spec(self, name: str) -> TensorSpec:
        """Return the tensor's metadata; NotFoundError with the checkpoint's path for an unknown name."""
        try:
            return self.tensors[name]
        except KeyError as error:
            raise NotFoundError(f"{self.path}: holds no tensor {name!r}; `tensors` lists those it holds") from error

    def training_config(self) -> TrainingConfig | None:
        """Return Keras' JSON configuration from the checkpoint or a file beside it; None if there is none."""
        return None

    def graph(self) -> Graph | None:
        """Return the TensorFlow graph that lies with the checkpoint (`.meta`, `saved_model.pb`), if there is one."""
        return None

    def saved_tree(self) -> SavedTree | None:
        """Return the tree that was saved; None for a format whose names are all that there is."""
        return None

    def labels(self) -> Mapping[str, str]:
        """Return names that the file gives its groups as attributes: `{"optimizer/vars": "adam"}` (Keras 3.8+ HDF5)."""
        return {}

    def producer(self) -> Mapping[str, str]:
        """Return what the file says about its writer: `keras_version`, `backend`, `tensorflow_version`,
        `date_saved`."""
        return {}

    def written_order(self) -> Mapping[str, int]:
        """Return, by group path, a number that grows in the order in which the groups were written.

        Empty if the file doesn't show that order.
        """
        return {}

    @property
    def size_bytes(self) -> int:
        """Return the size of all its files when it was opened, in bytes."""
        return sum(file.size for file in self.file_stats)

    @property
    def modified(self) -> float:
        """Return when the newest of its files was written, in seconds since 1970; NaN for one without files."""
        times = (divmod(file.modified_ns, 10**9) for file in self.file_stats)
        return max((seconds + 1e-9 * rest for seconds, rest in times), default=math.nan)

    def read_head(self, size: int) -> bytes:
        """Return at most `size` bytes from the start of the first of `files`, as it was when it was opened.

        Raises ChangedFileError if something was written into the files since: what was read may be of both.
        """
        return b""

    def rest(self) -> bool:
        """Close the files until the next read, which raises ChangedFileError if one was replaced by then, and forget
        what was read; what the metadata says stays known. Return whether the reader can do that."""
        return False

    def is_current(self) -> bool:
        """Return whether the files, by size and time, are still those that were opened; asked of one that rests."""
        return False

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
        """Take the largest number of elements in a piece."""
        self._elements = elements
        self._arrays: dict[tuple[Hashable, DType], Array] = {}

    def read(self, checkpoint: Checkpoint, name: str, start: int, stop: int, place: Hashable) -> Array:
        """Return elements start:stop as `Checkpoint.read_range` does; valid until the next call for the same place."""
        dtype = numpy_dtype(checkpoint.spec(name).dtype)
        array = self._arrays.pop((place, dtype), None)
        if array is None:
            array = np.empty(self._elements, dtype)
        found = checkpoint.read_range(name, start, stop, array)
        if found.base is array:  # else the reader has memory of its own
            self._arrays[place, dtype] = array
        return found
