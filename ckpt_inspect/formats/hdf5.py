"""Keras' HDF5 files: whole models and weights (`.h5`, `.hdf5`), and the variables of saving v3 (`.weights.h5`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, DType, Problem, TensorSpec, TrainingConfig, numpy_dtype
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, RequestError, UnsupportedError
from ckpt_inspect.formats import keras_config
from ckpt_inspect.formats.format import Claim, Format
from ckpt_inspect.formats.hdf5_library import Source, has_own, hdf5_errors, is_keras, open_library_file, own_group
from ckpt_inspect.formats.keras_files import HDF5_SIGNATURE, INDEX_SUFFIX, ZIP_SIGNATURE, is_named_so, split_name
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.storage import Location, PinnedFiles, is_there, locate, read_head

if TYPE_CHECKING:
    import h5py

WHOLE_MODEL, VARIABLES = "keras-h5", "keras-weights-h5"

_PLAIN_TYPES = {"float16", "float32", "float64", "int32", "int64"}
ONE_SHARD = "one-shard"
"""Code of the Problem of a shard that stands for itself."""
_STORE_CONVENTIONS = "ckpt-inspect-"
_SHARD_NAME = re.compile(r"(?P<stem>.+)_(?P<number>\d{5})\.weights\.h5")
_MAX_JSON_SIZE = 1 << 26
_EXPANSION_FLOOR, _CHUNK_FLOOR, _MAX_EXPANSION = 1 << 28, 1 << 26, 200
"""A dataset of more than 256 MiB, or with chunks of more than 64 MiB, is read only if at least a 200th of it is
stored: else a small file could take any time and memory."""

_MOST_LEVELS = 200
"""Levels of groups that are followed: HDF5's library takes time with the square of their number."""

_BANDS_BYTES = 1 << 27
"""Unpacked rows of chunks that a checkpoint keeps: those that two threads need of θ, m and v."""


@dataclass(frozen=True, slots=True)
class _Dataset:
    spec: TensorSpec
    source: Source
    handle: h5py.h5d.DatasetID


class Hdf5Checkpoint(Checkpoint):
    """One HDF5 file of Keras, or the shards of one."""

    def __init__(
        self,
        path: Path,
        sources: Sequence[Source],
        pinned: PinnedFiles,
        format: str | None = None,  # noqa: A002
    ) -> None:
        """Open the file or shards at `path`. `format` None: decided by the contents. Closing the checkpoint closes
        `sources` and `pinned`."""
        self.path = path
        self.files, self.file_stats = pinned.paths, pinned.stats
        self._pinned = pinned
        self._sources = tuple(sources)
        self._handles: list[h5py.File] = []
        self._datasets: dict[str, _Dataset] = {}
        self._attributes: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._offsets: dict[str, int | None] = {}
        self._bands = _Bands()
        found: dict[str, _Dataset] = {}
        recorded: list[str] = []
        is_whole_model = False
        try:
            for source in sources:
                with hdf5_errors(source.path):
                    root = open_library_file(source)
                    self._handles.append(root)
                    self._attributes.update(_text_attributes(root))
                    _reject_store(source.path, self._attributes)
                    found.update(self._walk(root, source))
                    is_whole_model |= "layer_names" in _names_attributes(root) or has_own(root, "model_weights")
                    recorded += recorded_order(root, source.path)
        except BaseException:
            self.close()
            raise
        self.format = format or (WHOLE_MODEL if is_whole_model else VARIABLES)
        if not is_whole_model and not any("vars" in name.split("/")[:-1] for name in found):
            self.close()
            raise UnsupportedError(
                f"{path}: is an HDF5 file, but not of Keras: it has neither layer_names nor a group of variables"
            )
        listed = {name: found[name] for name in recorded if name in found}
        rest = sorted(found.keys() - listed.keys(), key=natural_key)
        self._datasets = {**listed, **{name: found[name] for name in rest}}
        self.tensors = {name: dataset.spec for name, dataset in self._datasets.items()}
        missing = [n for n in recorded if n not in found]
        if missing:
            self.problems = (
                Problem(
                    "missing-datasets",
                    f"{path}: names {len(missing)} tensors that it doesn't hold, the first {missing[0]!r}",
                    "they are skipped",
                    "error",
                ),
            )

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        spec = self.spec(name)
        dataset = self._datasets.get(name)
        if dataset is None:
            raise RequestError(f"{self.path}: has been closed; open it again")
        if not 0 <= start <= stop <= spec.size:
            raise RequestError(f"{self.path}: tensor {name!r} has {spec.size} elements, not {start}:{stop}")
        if spec.dtype == STRING:
            return self._read_strings(dataset)[start:stop]
        try:
            dtype = numpy_dtype(spec.dtype)
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.path}: dataset {name!r} holds no numbers that can be read") from error
        offset = self._offset(name, dataset)
        if out is None or out.dtype != dtype or out.ndim != 1 or len(out) < stop - start or not out.flags.carray:
            out = np.empty(stop - start, dtype)
        else:
            out = out[: stop - start]
        if start == stop:
            return out
        checksum = dataset.source.checksum
        if checksum is not None:
            checksum.begin()
        if offset is not None:
            raw, place = out.view(np.uint8), offset + start * dtype.itemsize
            dataset.source.file.read_into(raw, place)
            if checksum is not None:
                checksum.add(place, raw)
        else:
            with hdf5_errors(self.path):
                self._bands.read(dataset, start, stop, out)
        return out

    def is_plain(self, name: str) -> bool:
        dataset = self._datasets.get(name)
        try:
            return self.spec(name).is_readable and dataset is not None and self._offset(name, dataset) is not None
        except (DamagedFileError, UnsupportedError):
            return False

    def _offset(self, name: str, dataset: _Dataset) -> int | None:
        """Where in the source's file the elements lie one after another; None if they don't."""
        if name not in self._offsets:
            with hdf5_errors(self.path):
                self._check_expansion(dataset)
                self._offsets[name] = _plain_offset(dataset, self.path)
        return self._offsets[name]

    def finish_reading(self) -> None:
        for source in self._sources:
            if source.checksum is not None:
                source.checksum.finish()

    def training_config(self) -> TrainingConfig | None:
        try:
            return keras_config.from_attributes(
                self._attributes.get("training_config"), self._attributes.get("model_config")
            )
        except DamagedFileError as error:
            raise DamagedFileError(f"{self.path}: {error}") from error

    def labels(self) -> Mapping[str, str]:
        return self._labels

    def written_order(self) -> Mapping[str, int]:
        """Return the offset of the first array in each group: HDF5 appends arrays to the file as they are written."""
        first: dict[str, int] = {}
        for name, dataset in self._datasets.items():
            offset = dataset.handle.get_offset()
            if offset is not None:
                parts = name.split("/")[:-1]
                for path in ("/".join(parts[: i + 1]) for i in range(len(parts))):
                    first[path] = min(offset, first.get(path, offset))
        return first

    def producer(self) -> Mapping[str, str]:
        return {key: self._attributes[key] for key in ("keras_version", "backend") if key in self._attributes}

    def close(self) -> None:
        self._datasets = {}
        self._bands.clear()
        for handle in self._handles:
            handle.close()
        self._handles.clear()
        for source in self._sources:
            source.file.close()
        self._pinned.close()

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def _walk(self, root: h5py.File, source: Source) -> Iterator[tuple[str, _Dataset]]:
        """Yield every dataset behind hard links; soft and external links aren't followed: they could leave the file."""
        import h5py

        names: list[bytes] = []
        types: list[tuple[h5py.h5t.TypeID, str]] = []  # comparing is a tenth of the cost of making a numpy dtype

        def take(name: bytes) -> bytes | None:
            if name.count(b"/") >= _MOST_LEVELS:
                return name  # and stop
            names.append(name)
            return None

        if h5py.h5o.visit(root.id, take) is not None:
            raise UnsupportedError(
                f"{source.path}: has groups that are nested more than {_MOST_LEVELS} deep, which no model needs"
            )
        for key in names:
            name = _group_path(key)
            handle = h5py.h5o.open(root.id, key)
            if isinstance(handle, h5py.h5d.DatasetID):
                stored = handle.get_type()
                dtype = next((n for known, n in types if known.equal(stored)), None)
                if dtype is None:
                    dtype = _dtype_name(handle)
                    if dtype in _PLAIN_TYPES:  # of opaque bytes an attribute decides
                        types.append((stored, dtype))
                yield name, _Dataset(TensorSpec(name, _shape(handle), dtype), source, handle)
            elif name.rpartition("/")[2] == "vars" and isinstance(handle, h5py.h5g.GroupID):
                label = _text(h5py.Group(handle).attrs.get("name"))
                if label:
                    self._labels[name] = label

    def _check_expansion(self, dataset: _Dataset) -> None:
        handle = dataset.handle
        nbytes = dataset.spec.size * handle.get_type().get_size()
        floor = _EXPANSION_FLOOR if math.prod(_chunk_of(handle)) < _CHUNK_FLOOR else _CHUNK_FLOOR
        if nbytes > floor and nbytes > _MAX_EXPANSION * handle.get_storage_size():
            raise DamagedFileError(
                f"{self.path}: dataset {dataset.spec.name!r} claims {nbytes} bytes, but the file holds only "
                f"{handle.get_storage_size()} of them"
            )

    def _read_strings(self, dataset: _Dataset) -> Array:
        import h5py

        with hdf5_errors(self.path):
            self._check_expansion(dataset)
            _plain_offset(dataset, self.path)  # raises if the strings lie in another file
            values = np.asarray(h5py.Dataset(dataset.handle)[()], dtype=object).reshape(-1)
        out = np.empty(len(values), dtype=object)
        out[:] = [v.encode() if isinstance(v, str) else bytes(v) for v in values]
        return out


def recognises(location: Location) -> bool:
    """Recognise HDF5's signature; a suffix proves nothing."""
    return location.head.startswith(HDF5_SIGNATURE)


def recognises_shards(location: Location) -> bool:
    """Recognise `NAME.weights.json`."""
    if location.kind != "file" or not location.path.name.endswith(INDEX_SUFFIX):
        return False
    try:
        return b'"weight_map"' in read_head(location.path, _MAX_JSON_SIZE)
    except CkptInspectError:
        return False


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim Keras' HDF5 files, and damaged files that are named like one: opening them raises the error."""
    for name in listing.unclear():
        location = listing.look(name)
        path = location.path
        if recognises(location):
            is_one = is_keras(path, if_damaged=is_named_so(name))
        else:
            is_one = is_named_so(name) and not location.head.startswith(ZIP_SIGNATURE)
        if is_one:
            yield Claim(listing.folder, (name,), path, *split_name(name))


def claim_shards(listing: Listing) -> Iterator[Claim]:
    """Claim each `NAME.weights.json` with its shards; if the JSON is no such index, the shards are no checkpoints."""
    shards: dict[str, list[str]] = {
        name.removesuffix(INDEX_SUFFIX): [] for name in listing.files if name.endswith(INDEX_SUFFIX)
    }
    for name in listing.files if shards else ():
        if (shard := _SHARD_NAME.fullmatch(name)) and shard["stem"] in shards:
            shards[shard["stem"]].append(name)
    wanted = set(listing.names)
    for stem, found in shards.items():
        names = (f"{stem}{INDEX_SUFFIX}", *found)
        if not wanted.isdisjoint(names):
            path = listing.folder / names[0]
            is_one = recognises_shards(listing.look(names[0]))
            yield Claim(listing.folder, names, path if is_one else None, *split_name(names[0]))


def open_hdf5(path: Path) -> Hdf5Checkpoint:
    """Open a file that starts with HDF5's signature."""
    shard = _SHARD_NAME.fullmatch(path.name)
    index = path.with_name(f"{shard['stem']}{INDEX_SUFFIX}") if shard else None
    if index is not None and _lists(index, path.name):
        whole = open_sharded_weights(index)
        what = f"{path.name} is one shard of several, which {index.name} names"
        whole.problems += (Problem("shard-of-a-whole", what, "all of them are read, as one checkpoint", "info"),)
        return whole
    pinned = PinnedFiles()
    checkpoint = Hdf5Checkpoint(path, [Source(pinned.open(path))], pinned)
    if (
        shard is not None
        and index is not None
        and checkpoint.format == VARIABLES
        and _is_incomplete(checkpoint.tensors, is_first=int(shard["number"]) == 0)
    ):
        what = f"{path.name} is named as one shard of several is, and lacks variables: they may lie in its siblings"
        advice = f"it is shown by itself; if it is a shard, put {index.name} and all others beside it, and open that"
        checkpoint.problems += (Problem(ONE_SHARD, what, advice),)
    return checkpoint


def _lists(index: Path, shard: str) -> bool:
    """Return whether there is such an index, and the shard is in it."""
    if not is_there(index) or not recognises_shards(locate(index)):
        return False
    try:
        return shard in shard_names(read_head(index, _MAX_JSON_SIZE), str(index))
    except CkptInspectError:
        return False


def _is_incomplete(tensors: Mapping[str, TensorSpec], is_first: bool) -> bool:
    """Return whether variables are missing: some of a group's, which are numbered; a layer of a class whose layers are
    counted; all slots of an optimizer. In the first of several an optimizer itself: it is written last."""
    numbers: dict[str, set[int]] = {}
    for name in tensors:
        group, _, number = name.rpartition("/")
        if number.isdecimal() and number.isascii():
            numbers.setdefault(group, set()).add(int(number[:9]))
    if any(len(found) != max(found) + 1 for found in numbers.values()):
        return True
    owned = [name for name in tensors if name.startswith("optimizer/")]
    layers = {name.split("/")[1] for name in tensors if name.startswith("layers/") and name.count("/") > 1}
    for name in layers:
        if counted := re.fullmatch(r"(.+)_([1-9]\d{0,8})", name):
            before = int(counted[2]) - 1
            if (f"{counted[1]}_{before}" if before else counted[1]) not in layers:
                return True
    return all(tensors[name].shape == () for name in owned) if owned else is_first


def open_sharded_weights(path: Path) -> Hdf5Checkpoint:
    """Open Keras' `NAME.weights.json`, which says which file beside it holds which group."""
    pinned = PinnedFiles()
    index = pinned.open(path)
    names = shard_names(index.read(0, index.size), str(path))
    sources = [Source(pinned.open(path.with_name(name))) for name in names]
    pinned.check(path)  # so that the shards are those that this index was written with
    return Hdf5Checkpoint(path, sources, pinned, VARIABLES)


def shard_names(text: bytes, where: str) -> list[str]:
    """Return the files named in the text of a `.weights.json`, in order.

    Raises UnsupportedError for other JSON, DamagedFileError for a name that is no plain file name; both name `where`.
    """
    weight_map = keras_config.decode_json(text, where).get("weight_map")
    if not isinstance(weight_map, dict):
        raise UnsupportedError(f"{where}: is JSON, but not the index of Keras' sharded weights")
    names = [n for value in weight_map.values() for n in (value if isinstance(value, list) else [value])]
    for name in names:
        if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\\0"):
            raise DamagedFileError(f"{where}: names the shard {name!r}, which is not a plain file name")
    return sorted(set(names))


def recorded_order(root: h5py.File, path: Path) -> list[str]:
    """Return the paths of the datasets that `layer_names` and `weight_names` list, in their order.

    Raises UnsupportedError for a group that is a link into another file; messages name `path`.
    """
    base = "model_weights/" if own_group(root, "model_weights", path) is not None else ""
    group = root["model_weights"] if base else root
    paths = []
    for layer in (*_names(group, "layer_names"), "top_level_model_weights"):
        if (found := own_group(group, layer, path)) is not None:
            paths += [f"{base}{layer}/{weight}" for weight in _names(found, "weight_names")]
    if (found := own_group(root, "optimizer_weights", path)) is not None:
        paths += [f"optimizer_weights/{weight}" for weight in _names(found, "weight_names")]
    return list(dict.fromkeys(paths))


def _names_attributes(group: h5py.Group) -> set[str]:
    """Return the names of the group's attributes, without the numbers of split ones."""
    return {re.sub(r"\d+$", "", name) for name in group.attrs}


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return a list of names; Keras splits one longer than HDF5's 64 KiB into `weight_names0`, `weight_names1`, .."""
    if attribute in group.attrs:
        parts: Iterable[Any] = [group.attrs[attribute]]
    else:
        parts, i = [], 0
        while f"{attribute}{i}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{i}"])
            i += 1
    return [text for part in parts for value in np.atleast_1d(part) if (text := _text(value)) is not None]


def _group_path(key: bytes) -> str:
    """Return an object's path; Keras 2 on Windows separates the groups of layers by backslashes
    (`layers\\dense/vars`)."""
    name = key.decode("utf-8", "backslashreplace")
    groups, separator, variable = name.partition("/vars")
    if b"\\" not in key or not separator or not re.fullmatch(r"|/[0-9]+", variable):
        return name
    return groups.replace("\\", "/") + separator + variable


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value) if isinstance(value, str) else None


def _text_attributes(root: h5py.File) -> dict[str, str]:
    wanted = ("Conventions", "keras_version", "backend", "training_config", "model_config")
    found = {name: _text(root.attrs[name]) for name in wanted if name in root.attrs}
    return {name: text for name, text in found.items() if text is not None}


def _reject_store(path: Path, attributes: Mapping[str, str]) -> None:
    if attributes.get("Conventions", "").startswith(_STORE_CONVENTIONS):
        raise UnsupportedError(f"{path}: is a store of results, not a checkpoint; `ckpt-inspect report` reads it")


def _shape(handle: h5py.h5d.DatasetID) -> tuple[int, ...]:
    import h5py

    shape: tuple[int, ...] | None = handle.shape
    if not shape and handle.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return (0,)
    return shape or ()


def _dtype_name(handle: h5py.h5d.DatasetID) -> str:
    import h5py

    dtype = handle.dtype
    if dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None:
        return STRING
    if dtype.kind in "biufc":
        return str(dtype.name)
    # Keras stores bfloat16, which HDF5 doesn't have, as two opaque bytes; saving v3 says so in an attribute.
    if dtype.kind == "V" and dtype.names is None:
        label = _text(h5py.Dataset(handle).attrs.get("dtype"))
        if label is not None and re.fullmatch(r"bfloat16|float8_\w+", label):
            return label
        if dtype.itemsize == 2:
            return "bfloat16"
    return "opaque"


def _plain_offset(dataset: _Dataset, path: Path) -> int | None:
    """Return where in the source's file the elements lie one after another; None if they don't."""
    import h5py

    handle, spec = dataset.handle, dataset.spec
    plan = handle.get_create_plist()
    layout = plan.get_layout()
    if layout == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise UnsupportedError(
            f"{path}: dataset {spec.name!r} takes its values from other files, which this package doesn't read"
        )
    if layout != h5py.h5d.CONTIGUOUS or not handle.dtype.isnative or handle.get_storage_size() != spec.nbytes:
        return None
    address = handle.get_offset()
    return None if address is None else dataset.source.base + address


def _chunk_of(handle: h5py.h5d.DatasetID) -> tuple[int, ...]:
    """Return the shape of a chunk, its last dimension in bytes; (0,) for a dataset that isn't stored in chunks."""
    import h5py

    plan = handle.get_create_plist()
    if plan.get_layout() != h5py.h5d.CHUNKED:
        return (0,)
    return (*plan.get_chunk(), handle.get_type().get_size())


class _Bands:
    """Keeps what was unpacked last, so that each chunk of a dataset that is read in order is unpacked once.

    A band is all chunks that hold the same rows. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[str, int], Array] = {}  # the least recently used first

    def read(self, dataset: _Dataset, start: int, stop: int, out: Array) -> None:
        """Fill `out` with the flat range of a dataset that doesn't lie in the file as it is."""
        shape, handle = dataset.spec.shape, dataset.handle
        rows = _chunk_of(handle)[0]
        length = min(rows, shape[0]) * math.prod(shape[1:]) if rows else 0
        if not length or length * out.dtype.itemsize > _BANDS_BYTES:
            _read_flat(handle, shape, start, stop, out)
            return
        at = start
        while at < stop:
            place = at // length
            begin, end = place * length, min((place + 1) * length, dataset.spec.size)
            last = min(stop, end)
            if at == begin and last == end:
                _read_flat(handle, shape, at, last, out[at - start : last - start])
            else:
                out[at - start : last - start] = self._band(dataset, place, begin, end, out.dtype)[
                    at - begin : last - begin
                ]
            at = last

    def _band(self, dataset: _Dataset, place: int, begin: int, end: int, dtype: DType) -> Array:
        key = dataset.spec.name, place
        with self._lock:  # HDF5's library works for one thread at a time anyway
            band = self._kept.pop(key, None)
            if band is None:
                room = _BANDS_BYTES - (end - begin) * dtype.itemsize
                size = sum(kept.nbytes for kept in self._kept.values())
                for oldest in list(self._kept):
                    if size <= room:
                        break
                    size -= self._kept.pop(oldest).nbytes
                band = np.empty(end - begin, dtype)
                _read_flat(dataset.handle, dataset.spec.shape, begin, end, band)
            self._kept[key] = band
            return band

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()


def _read_flat(handle: h5py.h5d.DatasetID, shape: tuple[int, ...], start: int, stop: int, out: Array) -> None:
    """Fill `out` with the flat range: at most one partial row at each end of each dimension, whole rows between."""
    import h5py

    dataset = h5py.Dataset(handle)
    raw = out.view(dataset.dtype) if dataset.dtype.kind == "V" else out
    if not shape:
        raw[...] = dataset[()]
        return
    if not dataset.dtype.isnative:
        raw = np.empty(stop - start, dataset.dtype)
    at = 0
    for selection, count in _boxes(shape, start, stop):
        box = dataset[selection]
        raw[at : at + count] = box.reshape(-1)
        at += count
    if raw is not out and dataset.dtype.kind != "V":
        out[:] = raw


def _boxes(shape: tuple[int, ...], start: int, stop: int) -> Iterator[tuple[tuple[slice | int, ...], int]]:
    """Yield hyperslabs that together are the flat range, in order: (selection, number of elements)."""
    if len(shape) == 1:
        yield (slice(start, stop),), stop - start
        return
    row = math.prod(shape[1:])
    first, last = -(-start // row), stop // row
    if first > last:  # inside one row
        at = last
        for selection, count in _boxes(shape[1:], start - at * row, stop - at * row):
            yield (at, *selection), count
        return
    if start < first * row:
        for selection, count in _boxes(shape[1:], start - (first - 1) * row, row):
            yield (first - 1, *selection), count
    if first < last:
        yield (slice(first, last),), (last - first) * row
    if last * row < stop:
        for selection, count in _boxes(shape[1:], 0, stop - last * row):
            yield (last, *selection), count


FORMAT = Format(("keras-h5", "keras-weights-h5"), "Keras HDF5 (.h5, .weights.h5)", recognises, open_hdf5, claims)
SHARDED_FORMAT = Format(
    ("keras-weights-h5",), "Keras sharded weights", recognises_shards, open_sharded_weights, claim_shards
)
