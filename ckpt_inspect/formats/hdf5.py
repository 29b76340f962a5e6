"""Keras' HDF5 files: whole models and weights (`.h5`, `.hdf5`), and the variables of saving v3 (`.weights.h5`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np

from ckpt_inspect.checkpoint import (
    STRING,
    Array,
    Checkpoint,
    CountedPieces,
    DType,
    Problem,
    StoredElements,
    TensorSpec,
    TrainingConfig,
    WholeTensors,
    numpy_dtype,
)
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, RequestError, UnsupportedError
from ckpt_inspect.formats import keras_config
from ckpt_inspect.formats.hdf5_messages import Datatype, Link
from ckpt_inspect.formats.hdf5_objects import Dataset, Hdf5File, Header
from ckpt_inspect.formats.hdf5_source import Source, WholeChecksum, hdf5_errors, open_objects
from ckpt_inspect.formats.hdf5_values import BANDS_BYTES, Values, boxes, check_extents
from ckpt_inspect.formats.keras_files import INDEX_SUFFIX, MOST_INDEX, ONE_SHARD, SHARD_NAME
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.storage import OpenFile, PinnedFiles, is_there, native_path, open_file, read_head
from ckpt_inspect.storage.local import LocalFile

WHOLE_MODEL, VARIABLES = "keras-h5", "keras-weights-h5"

_STORE_CONVENTIONS = "ckpt-inspect-"

_MOST_LEVELS, _MOST_TEXT = 200, 1 << 26
"""Levels of groups that are followed, and bytes of all paths together: no model needs more."""

_KERAS_GROUPS = frozenset({b"model_weights", b"vars", b"layers", b"_layer_checkpoint_dependencies"})
_BFLOAT16 = "bfloat16"


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
        self._objects: dict[Source, Hdf5File] = {}
        self._values: dict[str, Values] = {}
        self._attributes: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._bands = _Bands()
        self._lock = Lock()
        self._not_followed: list[tuple[str, Link]] = []
        found: dict[str, tuple[TensorSpec, Values]] = {}
        recorded: list[str] = []
        is_whole_model = False
        try:
            for source in sources:
                with hdf5_errors(source.path):
                    file = self._objects[source] = open_objects(source)
                    if source.file.is_far:
                        file.survey()
                    self._attributes.update(_text_attributes(file))
                    _reject_store(source.path, self._attributes)
                    here = dict(self._walk(file, source))
                    check_extents(values for _, values in here.values())
                    found.update(here)
                    is_whole_model |= _is_whole_model(file)
                    recorded += recorded_order(file, source.path)
                    file.forget()
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
        found = {**listed, **{name: found[name] for name in rest}}
        self.tensors = {name: spec for name, (spec, _) in found.items()}
        self._values = {name: values for name, (_, values) in found.items()}
        self._claimed = {
            source: sum(v.size * v.dataset.datatype.size for v in self._values.values() if v.source is source)
            for source in sources
        }
        self.problems = tuple(_problems_of(path, self._not_followed, [n for n in recorded if n not in found]))

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        spec = self.spec(name)
        values = self._values.get(name)
        if values is None:
            raise RequestError(f"{self.path}: has been closed; open it again")
        if not 0 <= start <= stop <= spec.size:
            raise RequestError(f"{self.path}: tensor {name!r} has {spec.size} elements, not {start}:{stop}")
        try:
            dtype = numpy_dtype(spec.dtype)
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.path}: dataset {name!r} holds no numbers that can be read") from error
        checksum = values.source.checksum
        if checksum is not None and start < stop:
            checksum.begin()
        with hdf5_errors(self.path):
            with self._lock:
                values.prepare(self._objects[values.source].metadata, self._claimed[values.source])
            if spec.dtype == STRING:
                return self._read_strings(values)[start:stop]
            if out is None or out.dtype != dtype or out.ndim != 1 or len(out) < stop - start or not out.flags.carray:
                out = np.empty(stop - start, dtype)
            else:
                out = out[: stop - start]
            if start < stop:
                self._read_values(values, start, stop, out)
        if checksum is not None and stop == spec.size:
            self._finish_if_all_is_read(values.source)
        return out

    def _read_values(self, values: Values, start: int, stop: int, out: Array) -> None:
        if values.rows:
            self._bands.read(values, start, stop, out)
        else:
            values.read_plain(start, stop, out)

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:
        if self._sources:
            self._sources[0].file.expect(self._places(pieces))

    def expect_later(self, pieces: Iterable[tuple[str, int, int]]) -> bool:
        if self._sources:
            self._sources[0].file.expect(self._places(pieces), is_later=True)
        return True

    def _places(self, pieces: Iterable[tuple[str, int, int]]) -> Iterator[tuple[OpenFile, int, int]]:
        """Yield where elements lie, of datasets that lie in one piece."""
        places = (self._values[name].place(start, stop) for name, start, stop in pieces if name in self._values)
        return (place for place in places if place is not None)

    def stored_elements(self, name: str) -> StoredElements | None:
        spec, values = self.spec(name), self._values.get(name)
        if values is None or spec.dtype == STRING:
            return None
        source = values.source
        if source.checksum is not None and spec.size:
            source.checksum.begin()
        with hdf5_errors(self.path), self._lock:
            values.prepare(self._objects[source].metadata, self._claimed[source])
        return values.received(lambda: self._finish_if_all_is_read(source))

    def whole_tensors(self, names: Sequence[str]) -> WholeTensors:
        """Of a file that keeps no checksum: an archive's is another than the one that others compute."""
        places: list[tuple[int, int] | None] = []
        for name in names:
            spec, values, place = self.spec(name), self._values.get(name), None
            if values is not None and spec.dtype != STRING and values.source.checksum is None:
                with hdf5_errors(self.path), self._lock:
                    values.prepare(self._objects[values.source].metadata, self._claimed[values.source])
                place = values.in_file()
            places.append(place)
        return WholeTensors(places, lambda checksums: None)

    def is_plain(self, name: str) -> bool:
        self.spec(name)
        values = self._values.get(name)
        return values is not None and not values.rows

    def chunk_bytes(self, name: str) -> int:
        layout = self._values[name].dataset.layout if name in self._values else None
        if self.is_plain(name) or layout is None or not layout.chunk:
            return super().chunk_bytes(name)
        return math.prod(layout.chunk) * layout.element_size

    def finish_reading(self) -> None:
        for checksum in self._checksums():
            checksum.finish()

    def counted_pieces(self) -> CountedPieces:
        return tuple(checksum.pieces() for checksum in self._checksums())

    def take_pieces(self, counted: CountedPieces) -> None:
        for checksum, pieces in zip(self._checksums(), counted, strict=False):
            checksum.take(pieces)

    def _checksums(self) -> Iterator[WholeChecksum]:
        return (source.checksum for source in self._sources if source.checksum is not None)

    def _finish_if_all_is_read(self, source: Source) -> None:
        """Compare the checksum of an archive whose tensors have all been read: little of it is left."""
        sizes = [values.stored_bytes for values in self._values.values() if values.source is source]
        if source.checksum is not None and source.size is not None and None not in sizes:
            source.checksum.finish_if_only(source.size - sum(size for size in sizes if size is not None))

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
        for name, values in self._values.items():
            layout = values.dataset.layout
            if layout.kind == "contiguous" and layout.address is not None:
                parts = name.split("/")[:-1]
                for path in ("/".join(parts[: i + 1]) for i in range(len(parts))):
                    first[path] = min(layout.address, first.get(path, layout.address))
        return first

    def producer(self) -> Mapping[str, str]:
        return {key: self._attributes[key] for key in ("keras_version", "backend") if key in self._attributes}

    def close(self) -> None:
        for values in self._values.values():
            values.close()
        self._values = {}
        self._bands.clear()
        self._objects = {}
        for source in self._sources:
            source.file.close()
        self._pinned.close()

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def _walk(self, file: Hdf5File, source: Source) -> Iterator[tuple[str, tuple[TensorSpec, Values]]]:
        """Yield every dataset behind hard links; soft and external links aren't followed: they could leave the file."""
        dtypes: dict[Datatype, tuple[str, DType]] = {}
        for key, link, header in _objects(file, source.path):
            name = _group_path(key)
            if header is None:
                self._not_followed.append((name, link))
            elif file.is_dataset(header):
                dataset = file.dataset(header)
                datatype = dataset.datatype
                if datatype.kind == "opaque":  # an attribute decides
                    known = _opaque_type(file, header, dataset)
                else:
                    if datatype not in dtypes:
                        dtypes[datatype] = _plain_type(datatype)
                    known = dtypes[datatype]
                shape = (0,) if dataset.shape is None else dataset.shape
                yield name, (TensorSpec(name, shape, known[0]), Values(name, dataset, source, known[1]))
            elif name.rpartition("/")[2] == "vars" and file.is_group(header):
                label = _text(file, header, "name")
                if label:
                    self._labels[name] = label

    def _read_strings(self, values: Values) -> Array:
        raw = np.empty(values.size, values.dtype)
        self._read_values(values, 0, values.size, raw)
        out = np.empty(values.size, dtype=object)
        with self._lock:
            file = self._objects[values.source]
            out[:] = list(file.strings(values.dataset.datatype, raw.tobytes(), values.size))
        return out


def open_hdf5(path: Path) -> Hdf5Checkpoint:
    """Open a file that starts with HDF5's signature."""
    shard = SHARD_NAME.fullmatch(path.name)
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
    if not is_there(index):
        return False
    try:
        return shard in shard_names(read_head(index, MOST_INDEX), str(index))
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
    names = shard_names(index.read_whole(MOST_INDEX), str(path))
    sources = [Source(pinned.open(path.with_name(name))) for name in names]
    pinned.check(path)  # so that the shards are those that this index was written with
    return Hdf5Checkpoint(path, sources, pinned, VARIABLES)


def shard_names(text: bytes, where: str) -> list[str]:
    """Return the files named in the text of a `.weights.json`, in order.

    Raises UnsupportedError for other JSON, DamagedFileError if a name is not a plain file name; both name `where`.
    """
    weight_map = keras_config.decode_json(text, where).get("weight_map")
    if not isinstance(weight_map, dict):
        raise UnsupportedError(f"{where}: is JSON, but not the index of Keras' sharded weights")
    names = [n for value in weight_map.values() for n in (value if isinstance(value, list) else [value])]
    for name in names:
        if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\\0"):
            raise DamagedFileError(f"{where}: names the shard {name!r}, which is not a plain file name")
    return sorted(set(names))


def is_keras(path: Path, *, if_damaged: bool) -> bool:
    """Return whether an HDF5 file is Keras', after a quick look; `if_damaged` is the answer if it can't be opened."""
    try:
        with hdf5_errors(path), LocalFile(path) if native_path(path) is not None else open_file(path) as opened:
            file = open_objects(Source(opened))
            attributes = file.attributes(file.root)
            if "layer_names" in attributes or "layer_names0" in attributes:
                return True
            if "Conventions" in attributes:
                return False
            children = [link for link in file.links(file.root).values() if link.kind == "hard"]
            return any(link.name in _KERAS_GROUPS for link in children) or any(
                _has_variables(file, link) for link in children
            )
    except CkptInspectError:
        return if_damaged


def _is_whole_model(file: Hdf5File) -> bool:
    """Return whether there are the names of layers, or what a whole model keeps its weights in."""
    if any(re.fullmatch(r"layer_names\d*", name) for name in file.attributes(file.root)):
        return True
    weights = file.links(file.root).get(b"model_weights")
    return weights is not None and weights.kind == "hard"


def _has_variables(file: Hdf5File, link: Link) -> bool:
    group = None if link.address is None else file.header(link.address)
    return group is not None and file.is_group(group) and b"vars" in file.links(group)


def own_group(file: Hdf5File, group: Header, name: str, path: Path) -> Header | None:
    """Return the group of that name below `group`; None if there is none, or a link within the file.

    Raises UnsupportedError, with `path`, if it is a link into another file: HDF5's library would follow it.
    """
    found = group
    for part in name.split("/"):
        if part in ("", ".") or not file.is_group(found):
            return None
        link = file.links(found).get(part.encode("utf-8", "surrogateescape"))
        if link is not None and link.kind == "external":
            raise UnsupportedError(
                f"{path}: {name!r} is a link into another file, which isn't followed: a checkpoint is read from "
                "its own file alone"
            )
        if link is None or link.address is None:
            return None
        found = file.header(link.address)
    return found if file.is_group(found) else None


def recorded_order(file: Hdf5File, path: Path) -> list[str]:
    """Return the paths of the datasets that `layer_names` and `weight_names` list, in their order.

    Raises UnsupportedError for a group that is a link into another file; messages name `path`.
    """
    weights = own_group(file, file.root, "model_weights", path)
    base, group = ("", file.root) if weights is None else ("model_weights/", weights)
    paths = []
    for layer in (*_names(file, group, "layer_names"), "top_level_model_weights"):
        if (found := own_group(file, group, layer, path)) is not None:
            paths += [f"{base}{layer}/{weight}" for weight in _names(file, found, "weight_names")]
    if (found := own_group(file, file.root, "optimizer_weights", path)) is not None:
        paths += [f"optimizer_weights/{weight}" for weight in _names(file, found, "weight_names")]
    return list(dict.fromkeys(paths))


def _problems_of(path: Path, not_followed: Sequence[tuple[str, Link]], missing: Sequence[str]) -> Iterator[Problem]:
    for kind, what, severity in _NOT_FOLLOWED:
        names = [name for name, link in not_followed if link.kind == kind]
        if names:
            more = f", and {len(names) - 1} more" if len(names) > 1 else ""
            yield Problem(
                "links-not-followed",
                f"{path}: {names[0]!r} is a link to {what}{more}, which isn't followed",
                "what is there is not read",
                severity,
            )
    if missing:
        yield Problem(
            "missing-datasets",
            f"{path}: names {len(missing)} tensors that it doesn't hold, the first {missing[0]!r}",
            "they are skipped",
            "error",
        )


_NOT_FOLLOWED: tuple[tuple[str, str, Literal["warning", "error"]], ...] = (
    ("external", "another file", "error"),
    ("soft", "another name", "warning"),
)
"""Kinds of links that leave an HDF5 file, or may; Keras writes none."""


def _objects(file: Hdf5File, path: Path) -> Iterator[tuple[bytes, Link, Header | None]]:
    """Yield every object below the root once, with its path: depth first, names in order; and every link that isn't
    followed, without one."""
    seen = {file.root.address}
    file.look_ahead(file.links(file.root).values())
    waiting = [(b"", 0, link) for link in reversed([*file.links(file.root).values()])]
    text = 0
    while waiting:
        parent, level, link = waiting.pop()
        if link.kind != "hard":
            yield parent + link.name, link, None
            continue
        if link.address is None or link.address in seen:
            continue
        seen.add(link.address)
        if level >= _MOST_LEVELS:
            raise UnsupportedError(
                f"{path}: has groups that are nested more than {_MOST_LEVELS} deep, which no model needs"
            )
        key = parent + link.name
        text += len(key)
        if text > _MOST_TEXT:
            raise UnsupportedError(f"{path}: has names of more than {_MOST_TEXT} bytes, which no model needs")
        header = file.header(link.address)
        yield key, link, header
        if file.is_group(header) and not file.is_dataset(header):
            file.look_ahead(file.links(header).values())
            waiting += [(key + b"/", level + 1, child) for child in reversed([*file.links(header).values()])]


def _names(file: Hdf5File, group: Header, attribute: str) -> list[str]:
    """Return a list of names; Keras splits one longer than HDF5's 64 KiB into `weight_names0`, `weight_names1`, .."""
    attributes = file.attributes(group)
    if attribute in attributes:
        parts = [attributes[attribute]]
    else:
        parts = []
        while (part := attributes.get(f"{attribute}{len(parts)}")) is not None:
            parts.append(part)
    return [text for part in parts for text in file.texts(part) or ()]


def _group_path(key: bytes) -> str:
    """Return an object's path; Keras 2 on Windows separates the groups of layers by backslashes
    (`layers\\dense/vars`)."""
    name = key.decode("utf-8", "backslashreplace")
    groups, separator, variable = name.partition("/vars")
    if b"\\" not in key or not separator or not re.fullmatch(r"|/[0-9]+", variable):
        return name
    return groups.replace("\\", "/") + separator + variable


def _text(file: Hdf5File, header: Header, name: str) -> str | None:
    """Return the text of an attribute of a single text; None if there is no such."""
    attribute = file.attributes(header).get(name)
    return None if attribute is None else file.text(attribute)


def _text_attributes(file: Hdf5File) -> dict[str, str]:
    wanted = ("Conventions", "keras_version", "backend", "training_config", "model_config")
    found = {name: _text(file, file.root, name) for name in wanted}
    return {name: text for name, text in found.items() if text is not None}


def _reject_store(path: Path, attributes: Mapping[str, str]) -> None:
    if attributes.get("Conventions", "").startswith(_STORE_CONVENTIONS):
        raise UnsupportedError(f"{path}: is a store of results, not a checkpoint; `ckpt-inspect report` reads it")


def _plain_type(datatype: Datatype) -> tuple[str, DType]:
    """Return the name of an element type that says itself what it is, and numpy's type for its values."""
    if datatype.kind == "number":
        return datatype.name, numpy_dtype(datatype.name)
    is_text = datatype.kind in ("string", "varying string")
    return STRING if is_text else "opaque", _of_bytes(datatype)


def _of_bytes(datatype: Datatype) -> DType:
    return np.dtype(f"V{min(datatype.size, (1 << 31) - 1)}")


def _opaque_type(file: Hdf5File, header: Header, dataset: Dataset) -> tuple[str, DType]:
    """Return the same of opaque bytes.

    Keras stores bfloat16, which HDF5 doesn't have, as two opaque bytes; saving v3 says so in an attribute.
    """
    label, size = _text(file, header, "dtype"), dataset.datatype.size
    if label is None or not re.fullmatch(r"bfloat16|float8_\w+", label):
        label = _BFLOAT16 if size == 2 else "opaque"
    try:
        dtype = numpy_dtype(label)
    except UnsupportedError:
        return label, _of_bytes(dataset.datatype)
    return (label, dtype) if dtype.itemsize == size else ("opaque", _of_bytes(dataset.datatype))


class _Band:
    """All chunks that hold the same rows, unpacked by the first who wants some of it; the others wait for that."""

    __slots__ = ("elements", "lock", "nbytes", "unread")

    def __init__(self, size: int, dtype: DType) -> None:
        self.lock = Lock()
        self.elements: Array | None = None
        self.unread, self.nbytes = size, size * dtype.itemsize


class _Bands:
    """Keeps what was unpacked until it was read, so that each chunk of a dataset that is read in order is unpacked
    once. Thread-safe; threads unpack side by side."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[str, int], _Band] = {}  # the least recently used first

    def read(self, values: Values, start: int, stop: int, out: Array) -> None:
        """Fill `out` with the flat range of a dataset that is stored in chunks."""
        shape = values.shape
        length = min(values.rows, shape[0]) * math.prod(shape[1:])
        if not length or length * out.dtype.itemsize > BANDS_BYTES or values.has_large_chunks:
            _read_flat(values, shape, start, stop, out)
            return
        at = start
        while at < stop:
            place = at // length
            begin, end = place * length, min((place + 1) * length, values.size)
            last = min(stop, end)
            part = out[at - start : last - start]
            if at == begin and last == end:
                _read_flat(values, shape, at, last, part)
            else:
                part[:] = self._unpacked(values, place, begin, end, out.dtype, last - at)[at - begin : last - begin]
            at = last

    def _unpacked(self, values: Values, place: int, begin: int, end: int, dtype: DType, wanted: int) -> Array:
        """Return a band, of which so many elements are wanted."""
        band = self._band((values.name, place), end - begin, dtype, wanted)
        with band.lock:
            if band.elements is None:
                elements = np.empty(end - begin, dtype)
                _read_flat(values, values.shape, begin, end, elements)
                band.elements = elements
            return band.elements

    def _band(self, key: tuple[str, int], size: int, dtype: DType, wanted: int) -> _Band:
        with self._lock:
            band = self._kept.pop(key, None)
            if band is None:
                band = _Band(size, dtype)
                kept = sum(other.nbytes for other in self._kept.values())
                for oldest in list(self._kept):
                    if kept <= BANDS_BYTES - band.nbytes:
                        break
                    kept -= self._kept.pop(oldest).nbytes
            band.unread -= wanted
            if band.unread > 0:
                self._kept[key] = band
            return band

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()


def _read_flat(values: Values, shape: tuple[int, ...], start: int, stop: int, out: Array) -> None:
    """Fill `out` with the flat range of a dataset in chunks."""
    at = 0
    for begin, lengths in boxes(shape, start, stop):
        count = math.prod(lengths)
        values.read_box(begin, out[at : at + count].reshape(lengths))
        at += count
