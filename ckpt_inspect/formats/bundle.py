"""Tensor bundles: TF2 checkpoints and TF1's "V2" ones. `PREFIX.index` and `PREFIX.data-?????-of-?????`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np

from ckpt_inspect.checkpoint import (
    STRING,
    Array,
    Checkpoint,
    DType,
    Graph,
    Problem,
    StoredElements,
    TensorSpec,
    WholeTensors,
    numpy_dtype,
)
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, RequestError, TruncatedFileError, UnsupportedError
from ckpt_inspect.formats.bundle_index import BundleIndex, Entry, Extent, decode_index, encode_slice_key
from ckpt_inspect.formats.checksums import PieceChecksums, mask
from ckpt_inspect.formats.foreign import is_placeholder, name_foreign
from ckpt_inspect.formats.format import Claim, Format
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.formats.meta_graph import check_graph, read_meta_graph, read_versions
from ckpt_inspect.formats.slices import ElementReader, Slice, SlicedTensor, resolve_extents
from ckpt_inspect.formats.sstable import MAGIC
from ckpt_inspect.formats.state_file import NEWEST_FILE
from ckpt_inspect.storage import (
    HEAD_SIZE,
    Location,
    OpenFile,
    PinnedFiles,
    is_there,
    list_folder,
    locate,
    stat,
)
from ckpt_inspect.wire import decode_varint

INDEX_NAME = re.compile(r"(?P<prefix>.*)\.index", re.DOTALL)
DATA_NAME = re.compile(r"(?P<prefix>.*)\.data-\d{5}-of-\d{5}", re.DOTALL)
_LARGE_INDEX, _MOST_INDEX = 1 << 20, 1 << 30
"""Bytes of an index whose end is looked at before all of it is read, and of the largest that is read: a model of a
million tensors has a tenth of that."""
_MANY_SLICES = 1000
_MOST_SHARDS = 1 << 10
"""Files of a checkpoint beyond one for each tensor."""
_LOOKED_AT = 8
"""Single numbers that are asked for together: counters and powers of the betas."""
_META_NAME = re.compile(r"(?P<prefix>.+)\.meta", re.DOTALL)
PART_NAME = re.compile(r"part-(?P<part>\d{5})-of-(?P<count>\d{5})\.index")
"""The parts that a sharded writer leaves in `PREFIX_temp/` or `PREFIX_temp_<hex>/` until it merges them."""

_UNFINISHED_NAME = re.compile(r".*\.(index|data-\d{5}-of-\d{5})\.tempstate\d*", re.DOTALL)
"""What TensorFlow's BundleWriter writes before it renames it (tensorflow/core/util/tensor_bundle, tensor_bundle.cc)."""

_TEMPORARY_NAME = re.compile(r"(?P<prefix>.+)_temp(_[0-9a-f]+)?")


class Prefix(NamedTuple):
    """The start that the names of a bundle's files share."""

    folder: Path
    name: str
    """Empty for what `save_weights("DIR/")` writes: `DIR/.index`."""

    @classmethod
    def of(cls, path: Path) -> Prefix:
        """Return the prefix that a path is."""
        return cls(path.parent, path.name)

    def file(self, tail: str) -> Path:
        """Return the path of the bundle's file whose name ends in `tail`."""
        return self.folder / f"{self.name}{tail}"

    def __str__(self) -> str:
        return str(self.folder / self.name)


def recognises(location: Location) -> bool:
    """Recognise a prefix, an index, a shard, a folder of un-merged parts, or `DIR/` of `save_weights("DIR/")`."""
    path, name = location.path, location.path.name
    if location.kind == "folder":
        return is_there(path / ".index") or bool(part_prefixes(path))
    if location.kind == "file" and (index := INDEX_NAME.fullmatch(name)):
        return location.tail == MAGIC or has_shards(Prefix(path.parent, index["prefix"]))
    if DATA_NAME.fullmatch(name):
        return location.kind == "file"
    if location.kind == "file" and (meta := _META_NAME.fullmatch(name)):
        return is_there(Prefix(path.parent, meta["prefix"]).file(".index"))
    prefix = Prefix.of(path)
    if is_there(prefix.file(".index")):
        return True
    return location.kind == "absent" and (has_shards(prefix) or bool(_parts_of(prefix)))


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim each prefix that has an index with data, or whose index is a table; claim other names without a path.

    The parts of a writer that was stopped before it merged them are one checkpoint if all parts are there and were not
    merged since.
    """
    folder = listing.folder
    if any(PART_NAME.fullmatch(name) for name in listing.names):
        parts = _parts_among(folder, listing.files)
        is_one = is_complete(parts) and not is_merged(folder)
        yield Claim(folder, tuple(listing.files), folder if is_one else None, folder.name)
        return
    if unfinished := tuple(name for name in listing.files if _UNFINISHED_NAME.fullmatch(name)):
        yield Claim(folder, unfinished, None)
    wanted = set(listing.names)
    for prefix, shards in _shards_by_prefix(listing.files).items():
        index = f"{prefix}.index"
        # the last is a V1 checkpoint of the same name: a prefix that is both is opened as V2
        names = tuple(name for name in (index, *shards, f"{prefix}.meta", prefix) if name in listing.files)
        if wanted.isdisjoint(names):
            continue
        path = folder / prefix if prefix else folder
        if index in listing.files and (shards or _is_index(listing.look(index))):
            yield Claim(folder, names, path, path.name)
        else:
            yield Claim(folder, tuple(name for name in names if name != prefix), None)


def _shards_by_prefix(names: Iterable[str]) -> dict[str, list[str]]:
    """Return, by prefix, the names of its data files; none for a prefix that has only an index."""
    found: dict[str, list[str]] = {}
    for name in names:
        if index := INDEX_NAME.fullmatch(name):
            found.setdefault(index["prefix"], [])
        elif data := DATA_NAME.fullmatch(name):
            found.setdefault(data["prefix"], []).append(name)
    return found


def _is_index(location: Location) -> bool:
    """Return whether an index without data is a table, or a file that was meant to be one."""
    return location.tail == MAGIC or is_placeholder(location)


def open_bundle(path: Path) -> BundleCheckpoint:
    """Open a path that `recognises` accepts."""
    kind = stat(path).kind
    if kind == "folder":
        if is_there(path / ".index"):
            return BundleCheckpoint(path, [Prefix(path, "")])
        return _open_parts(path, part_prefixes(path))
    names = (INDEX_NAME, DATA_NAME, _META_NAME)
    if kind == "file" and (found := next((m for n in names if (m := n.fullmatch(path.name))), None)):
        prefix = Prefix(path.parent, found["prefix"])
        if _is_part(prefix):
            return _open_parts(prefix.folder, part_prefixes(prefix.folder))
        return BundleCheckpoint(prefix.folder / prefix.name, [prefix])
    prefix = Prefix.of(path)
    if _is_part(prefix):
        return _open_parts(prefix.folder, part_prefixes(prefix.folder))
    if is_there(prefix.file(".index")) or has_shards(prefix):
        problems = []
        if kind == "file" and locate(path).tail == MAGIC:  # and not a state file of the prefix's name
            problems.append(
                Problem(
                    "two-checkpoints", f"{path}: is a V1 checkpoint and the prefix of a V2 one", "the V2 one is read"
                )
            )
        return BundleCheckpoint(path, [prefix], problems=problems)
    return _open_parts(path, _parts_of(prefix))


def has_shards(prefix: Prefix) -> bool:
    """Return whether there are data files of that prefix."""
    found = map(DATA_NAME.fullmatch, _names_in(prefix.folder))
    return any(match is not None and match["prefix"] == prefix.name for match in found)


def part_prefixes(folder: Path) -> list[Prefix]:
    """Return the prefixes of the parts in a sharded writer's temporary folder, in order."""
    return _parts_among(folder, _names_in(folder))


def _parts_among(folder: Path, names: Iterable[str]) -> list[Prefix]:
    found = sorted(name for name in names if PART_NAME.fullmatch(name))
    return [Prefix(folder, name.removesuffix(".index")) for name in found]


def _is_part(prefix: Prefix) -> bool:
    """Return whether this is one of the parts of an unfinished save, which hold what only together makes sense."""
    return (
        PART_NAME.fullmatch(f"{prefix.name}.index") is not None
        and _TEMPORARY_NAME.fullmatch(prefix.folder.name) is not None
        and is_there(prefix.file(".index"))
    )


def is_complete(parts: Sequence[Prefix]) -> bool:
    """Return whether these are all the parts of one bundle."""
    return bool(parts) and len({p.name[-5:] for p in parts}) == 1 and len(parts) == int(parts[0].name[-5:])


def is_merged(folder: Path) -> bool:
    """Return whether the merged bundle lies beside the temporary folder of its parts."""
    found = _TEMPORARY_NAME.fullmatch(folder.name)
    return found is not None and is_there(Prefix(folder.parent, found["prefix"]).file(".index"))


def _parts_of(prefix: Prefix) -> list[Prefix]:
    for name in sorted(_names_in(prefix.folder)):
        found = _TEMPORARY_NAME.fullmatch(name)
        if found and found["prefix"] == prefix.name and (parts := part_prefixes(prefix.folder / name)):
            return parts
    return []


def _names_in(folder: Path) -> list[str]:
    """Return the names in a folder; none if it can't be listed."""
    try:
        return [entry.name for entry in list_folder(folder)]
    except CkptInspectError:
        return []


def _open_parts(path: Path, parts: Sequence[Prefix]) -> BundleCheckpoint:
    if not is_complete(parts):
        raise DamagedFileError(
            f"{path}: holds {len(parts)} of {int(parts[0].name[-5:])} parts of a checkpoint whose writer was stopped "
            "before it had written all; use the checkpoint before it"
        )
    problem = Problem(
        "unmerged-parts",
        f"{path}: its writer was stopped before it merged its {len(parts)} parts",
        "all parts are there and are read as one checkpoint",
    )
    return BundleCheckpoint(path, parts, problems=[problem])


def shard_path(prefix: Prefix, shard: int, num_shards: int) -> Path:
    """Return the path of a shard's file."""
    return prefix.file(f".data-{shard:05d}-of-{num_shards:05d}")


def read_index(file: OpenFile) -> BundleIndex:
    """Return the decoded index; raises DamagedFileError or UnsupportedError with the file's path."""
    if file.size > _LARGE_INDEX and file.read(file.size - len(MAGIC), len(MAGIC)) != MAGIC:
        raise DamagedFileError(
            f"{file.path}: does not end with a table's magic number: it is truncated or not a table; copy or restore it"
        )
    table = file.read_whole(_MOST_INDEX)
    head = Location(file.path, "file", len(table), table[:HEAD_SIZE])
    if is_placeholder(head):
        raise name_foreign(head)
    try:
        return decode_index(table)
    except DamagedFileError as error:
        raise type(error)(f"{file.path}: {error}; copy or restore it") from error
    except CkptInspectError as error:
        raise type(error)(f"{file.path}: {error}") from error


class BundleCheckpoint(Checkpoint):
    """One tensor bundle, or the parts of one whose writer was stopped before it merged them."""

    checksums = "each tensor and the index (CRC-32C)"

    def __init__(
        self,
        path: Path,
        prefixes: Sequence[Prefix],
        *,
        format: str = "tensor-bundle",  # noqa: A002 - the attribute's name in the contract
        verify: bool = True,
        problems: Sequence[Problem] = (),
    ) -> None:
        """Take `path` as a person names it, the `prefixes` of the bundle or its parts, and whether to `verify`
        checksums."""
        self.path = path
        self.format = format
        self._verify = verify
        self._prefix = prefixes[0]
        self._pinned = PinnedFiles()
        self._shards: list[OpenFile] = []
        self._byte_order = "little"
        self._slices: dict[bytes, Entry] = {}
        self._readers: dict[str, ElementReader] = {}
        self._faults: dict[str, DamagedFileError] = {}
        self._is_looked_at = False
        entries: dict[str, Entry] = {}
        found = list(problems)
        for prefix in prefixes:
            index_file = self._pinned.open(prefix.file(".index"))
            index = read_index(index_file)
            first = len(self._shards)
            if index.num_shards > _MOST_SHARDS + len(index.entries) + len(index.slices):
                raise DamagedFileError(
                    f"{index_file.path}: names {index.num_shards} files for {len(index.entries)} tensors: it is "
                    "damaged; use another checkpoint"
                )
            shards = [self._pinned.pin(shard_path(prefix, i, index.num_shards)) for i in range(index.num_shards)]
            self._pinned.check(index_file.path)  # so that the shards are those that this index was written with
            self._shards += shards
            self._byte_order = index.byte_order
            found += _look_at_shards(shards, index)
            for name, entry in index.entries.items():
                if known := entries.get(name):
                    entry = entry._replace(slices=known.slices + entry.slices)
                entries[name] = entry._replace(shard=entry.shard + first) if first else entry
            for key, entry in index.slices.items():
                self._slices[key] = entry._replace(shard=entry.shard + first)
        self._entries = entries if len(prefixes) == 1 else dict(sorted(entries.items()))
        self.tensors = {name: _spec(name, e.shape, e.dtype) for name, e in self._entries.items()}
        self._meta = self._pinned.pin_if_there(self._prefix.file(".meta"))
        self.files, self.file_stats = self._pinned.paths, self._pinned.stats
        self.problems = tuple(found)

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        reader = self._known_reader(name)
        if not 0 <= start <= stop <= reader.size:
            raise RequestError(f"{self.path}: tensor {name!r} has {reader.size} elements, not {start}:{stop}")
        if reader.size == 1 and not self._is_looked_at:
            self._look_at_scalars()
        return reader.read(start, stop, out)

    def _look_at_scalars(self) -> None:
        """Ask for the first single numbers together, which whoever reads one of them reads next: far away, each would
        else have to be waited for."""
        self._is_looked_at = True
        scalars = (e for e in self._entries.values() if e.shape in ((), (1,)) and e.dtype != STRING and not e.slices)
        places: dict[int, list[int]] = {}
        for entry in islice(scalars, _LOOKED_AT):
            places.setdefault(entry.shard, []).append(entry.offset)
        for shard, offsets in places.items():
            if self._shards[shard].stat.kind != "absent":
                self._shards[shard].look_ahead(offsets)

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:
        if self._shards:
            self._shards[0].expect(self._ranges(pieces))

    def expect_later(self, pieces: Iterable[tuple[str, int, int]]) -> bool:
        if self._shards:
            self._shards[0].expect(self._ranges(pieces), is_later=True)
        return True

    def _ranges(self, pieces: Iterable[tuple[str, int, int]]) -> Iterator[tuple[OpenFile, int, int]]:
        """Yield where elements lie, of tensors that lie in one piece."""
        for name, start, stop in pieces:
            entry = self._entries.get(name)
            if entry is None or entry.slices or not entry.size or entry.dtype == STRING:
                continue
            width, shard = entry.size // max(math.prod(entry.shape), 1), self._shards[entry.shard]
            if shard.stat.kind != "absent" and entry.offset + entry.size <= shard.size:
                yield shard, entry.offset + start * width, entry.offset + stop * width

    def stored_elements(self, name: str) -> StoredElements | None:
        reader = self._known_reader(name)
        return reader.stored_elements() if isinstance(reader, _DenseTensor) else None

    def whole_tensors(self, names: Sequence[str]) -> WholeTensors:
        """Without an object for each: most checkpoints hold many small ones."""
        entries = self._plain_entries(names)
        shards = [s.descriptor() if s.stat.kind == "file" else None for s in self._shards]
        places = [None if (d := shards[e.shard]) is None else (d, e.offset) for e in entries]
        if not entries or None in places or any(name in self._readers for name in names):
            return super().whole_tensors(names)

        def count(checksums: Sequence[int | None]) -> None:
            for name, entry, crc in zip(names, entries, checksums, strict=True):
                if crc is not None and mask(crc) != entry.crc:
                    reader = self._known_reader(name)
                    assert isinstance(reader, _DenseTensor)
                    reader.take_checksum(0, entry.size, crc)

        return WholeTensors(places, count)

    def read_many(self, names: Sequence[str]) -> list[Array]:
        """Those that lie behind one another come in one read."""
        entries = self._plain_entries(names)
        if not entries or self._shards[0].is_far:
            return super().read_many(names)
        found: dict[int, Array] = {}
        order = sorted(range(len(names)), key=lambda i: (entries[i].shard, entries[i].offset))
        begin = 0
        while begin < len(order):
            first = entries[order[begin]]
            stop, end = begin, first.offset
            while stop < len(order) and entries[order[stop]][2:4] == (first.shard, end):
                end += entries[order[stop]].size
                stop += 1
            raw = np.empty(end - first.offset, np.uint8)
            self._shards[first.shard].read_into(raw, first.offset)
            for i in order[begin:stop]:
                entry, own = entries[i], raw[: entries[i].size]
                raw = raw[entry.size :]
                values = own.view(numpy_dtype(entry.dtype))
                is_sound = mask(google_crc32c.extend(0, own)) == entry.crc and values.flags.aligned
                found[i] = values if is_sound else self.read_range(names[i], 0, values.size)
            begin = stop
        return [found[i] for i in range(len(names))]

    def _plain_entries(self, names: Sequence[str]) -> list[Entry]:
        """Return where tensors lie; none if one is in slices, in another byte order, of strings or not all there."""
        entries = [entry for name in names if (entry := self._entries.get(name)) is not None]
        if len(entries) < len(names) or not self._verify or self._byte_order != _NATIVE:
            return []
        ends = [s.size if s.stat.kind == "file" else -1 for s in self._shards]
        are_plain = (
            not entry.slices
            and entry.dtype != STRING
            and self.tensors[name].is_readable
            and entry.offset + entry.size <= ends[entry.shard]
            for name, entry in zip(names, entries, strict=True)
        )
        return entries if all(are_plain) else []

    def is_plain(self, name: str) -> bool:
        self.spec(name)
        return True

    def graph(self) -> Graph | None:
        return read_meta_graph(self._meta) if self._meta is not None else None

    def producer(self) -> Mapping[str, str]:
        return read_versions(self._meta, is_saved_model=False) if self._meta is not None else {}

    def check_rest(self) -> tuple[Problem, ...]:
        return (*check_graph(self), *self._beyond_tensors())

    def _beyond_tensors(self) -> Iterator[Problem]:
        """Yield a Problem for each shard that is longer than what the index says lies in it."""
        ends = [0] * len(self._shards)
        for entry in (*self._entries.values(), *self._slices.values()):
            if not entry.slices:
                ends[entry.shard] = max(ends[entry.shard], entry.offset + entry.size)
        for shard, end in zip(self._shards, ends, strict=True):
            if shard.stat.kind != "absent" and shard.size > end:
                what = f"{shard.path}: {shard.size - end} bytes lie behind the last tensor"
                yield Problem("bytes-unclaimed", what, "no checksum covers them, and no tensor needs them", "info")

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def rest(self) -> bool:
        self._readers.clear()
        self._faults.clear()
        return self._pinned.rest()

    def is_current(self) -> bool:
        return self._pinned.are_current()

    def close(self) -> None:
        self._pinned.close()

    def _known_reader(self, name: str) -> ElementReader:
        reader = self._readers.get(name)
        if reader is None:
            if fault := self._faults.get(name):  # looking again takes as long, where slices are very many
                raise type(fault)(str(fault)) from fault
            try:
                reader = self._readers.setdefault(name, self._reader(name))
            except DamagedFileError as error:
                self._faults[name] = error
                raise
        return reader

    def _reader(self, name: str) -> ElementReader:
        spec = self.spec(name)
        entry = self._entries[name]
        if entry.slices:
            # To find that out below would take seconds, if they are very many.
            if len(entry.slices) > max(_MANY_SLICES, len(self._slices)):
                raise DamagedFileError(
                    f"{self._prefix}.index: tensor {name!r} is stored in {len(entry.slices)} slices, and the index has "
                    f"{len(self._slices)}: some are named twice; use another checkpoint"
                )
            slices = [self._slice_reader(spec, s) for s in entry.slices]
            try:
                return SlicedTensor(slices, spec)
            except CkptInspectError as error:
                raise type(error)(f"{self._prefix}.index: {error}") from error
        return self._entry_reader(spec, entry)

    def _slice_reader(self, spec: TensorSpec, extents: tuple[Extent, ...]) -> Slice:
        entry = self._slices.get(encode_slice_key(spec.name, extents))
        whole = resolve_extents(extents, spec.shape)
        shape = tuple(length for _, length in whole)
        if entry is None or entry.shape != shape or entry.dtype != spec.dtype:
            raise DamagedFileError(
                f"{self.path}.index: tensor {spec.name!r} is stored in slices, and its slice {list(map(tuple, whole))} "
                "is not in the index: the checkpoint was not written whole; use another one"
            )
        return Slice(whole, self._entry_reader(TensorSpec(spec.name, shape, spec.dtype), entry))

    def _entry_reader(self, spec: TensorSpec, entry: Entry) -> ElementReader:
        shard = self._shards[entry.shard]
        if entry.offset + entry.size > shard.size:
            raise _too_short(shard.path, shard.size, f"tensor {spec.name!r} ends at byte {entry.offset + entry.size}")
        if spec.dtype == STRING:
            return _StringTensor(spec, entry, shard, self._byte_order)
        try:
            dtype = numpy_dtype(spec.dtype)
        except UnsupportedError as error:
            raise UnsupportedError(
                f"{self.path}: tensor {spec.name!r} is of TensorFlow's type {spec.dtype}, whose values can't be read"
            ) from error
        return _DenseTensor(spec, dtype, entry, shard, self._byte_order, self._verify)


@lru_cache(maxsize=1 << 12)
def _spec(name: str, shape: tuple[int, ...], dtype: str) -> TensorSpec:
    """One object for those of a run's checkpoints, which are compared with each other."""
    return TensorSpec(name, shape, dtype)


def _look_at_shards(shards: Sequence[OpenFile], index: BundleIndex) -> list[Problem]:
    """Return a Problem for each shard that is missing or shorter than the index says."""
    ends = [-1] * len(shards)
    for entry in (*index.entries.values(), *index.slices.values()):
        if not entry.slices:
            ends[entry.shard] = max(ends[entry.shard], entry.offset + entry.size)
    problems = []
    for shard, end in zip(shards, ends, strict=True):
        if shard.stat.kind == "absent":
            if end >= 0:
                text = "names and shapes are there; the values that lie in this shard can't be read"
                what = f"{shard.path}: is missing" if shard.refusal is None else str(shard.refusal)
                problems.append(Problem("missing-shard", what, text, "error"))
        elif shard.size < end:
            text = str(_too_short(shard.path, shard.size, f"the index says at least {end}"))
            problems.append(Problem("truncated-shard", text, "what lies behind the end can't be read", "error"))
    return problems


def _too_short(path: Path, size: int, reason: str) -> CkptInspectError:
    location = locate(path)
    if is_placeholder(location):
        return name_foreign(location)
    if location.kind == "folder":
        return DamagedFileError(f"{path}: is a folder, where a file of the checkpoint must be; copy or restore that")
    return TruncatedFileError(f"{path}: is {size} bytes long, but {reason}: the file is truncated; copy or restore it")


class _DenseTensor(ElementReader):
    """Elements that lie one after another."""

    __slots__ = ("_checksums", "_is_swapped", "_name", "_offset", "_shard", "_width")

    def __init__(
        self, spec: TensorSpec, dtype: DType, entry: Entry, shard: OpenFile, byte_order: str, verify: bool
    ) -> None:
        self.dtype, self.size = dtype, spec.size
        self._name, self._shard, self._offset, self._width = spec.name, shard, entry.offset, dtype.itemsize
        self._is_swapped = byte_order != _NATIVE and dtype.itemsize > 1
        self._checksums = PieceChecksums(entry.size, entry.crc) if verify else None

    def read_into(self, out: Array, start: int) -> None:
        raw = out.view(np.uint8)
        begin = start * self._width
        self._shard.read_into(raw, self._offset + begin)
        if self._checksums is not None:
            try:
                self._checksums.add(begin, raw)
            except DamagedFileError as error:
                raise self._corrupt(error) from error
        if self._is_swapped:
            # ml_dtypes' own types don't swap; complex numbers swap each part
            half = self._width // 2 if self.dtype.kind == "c" else self._width
            out.view(f"u{half}").byteswap(inplace=True)

    def stored_elements(self) -> StoredElements | None:
        """Return where the elements lie, if they lie there as in memory."""
        descriptor = None if self._is_swapped or self._checksums is None else self._shard.descriptor()
        if self._checksums is not None and self._shard.is_far and not self._is_swapped:
            return StoredElements(-1, self._offset, self._checksums.is_uncounted, self._count_far, self._borrow)
        if descriptor is None or self._checksums is None:
            return None
        return StoredElements(descriptor, self._offset, self._checksums.is_uncounted, self.take_checksum)

    def take_checksum(self, start: int, stop: int, crc: int) -> None:
        """Take the checksum of the bytes between two, read elsewhere; raises DamagedFileError."""
        assert self._checksums is not None
        try:
            self._checksums.take(start, stop, crc)
        except DamagedFileError as error:
            raise self._corrupt(error) from error

    def _borrow(self, start: int, stop: int) -> Array | None:
        return self._shard.borrow(self._offset + start, stop - start)

    def _count_far(self, start: int, stop: int, crc: int) -> None:
        self._shard.give_back(self._offset + start, stop - start)
        self.take_checksum(start, stop, crc)

    def _corrupt(self, error: DamagedFileError) -> DamagedFileError:
        return _corrupt(self._shard, self._name, self._offset, error)


_NATIVE = "little" if np.dtype("=i4").newbyteorder("<") == np.dtype("=i4") else "big"


class _StringTensor(ElementReader):
    """Varint lengths, a checksum of the lengths, then the strings one after another (WriteStringTensor)."""

    __slots__ = ("_byte_order", "_entry", "_name", "_shard")

    def __init__(self, spec: TensorSpec, entry: Entry, shard: OpenFile, byte_order: str) -> None:
        self.dtype, self.size = np.dtype(object), spec.size
        self._name, self._entry, self._shard, self._byte_order = spec.name, entry, shard, byte_order

    def read_into(self, out: Array, start: int) -> None:
        entry = self._entry
        try:
            strings = self._decode(self._shard.read(entry.offset, entry.size))
        except DamagedFileError as error:
            raise _corrupt(self._shard, self._name, entry.offset, error) from error
        out[:] = strings[start : start + len(out)]

    def _decode(self, raw: bytes) -> list[bytes]:
        order = "little" if self._byte_order == "little" else "big"
        lengths, position = [], 0
        for _ in range(self.size):
            length, position = decode_varint(raw, position)
            lengths.append(length)
        if position + 4 + sum(lengths) != len(raw):
            raise DamagedFileError(f"its strings' lengths add up to {sum(lengths)}, which is not its stored size")
        # The checksum covers fixed-width lengths (8 bytes for the very long), although varints are stored.
        fixed = b"".join(n.to_bytes(4 if n < 1 << 32 else 8, order) for n in lengths)  # type: ignore[arg-type]
        crc = google_crc32c.value(fixed)
        stored = int.from_bytes(raw[position : position + 4], order)  # type: ignore[arg-type]
        if mask(crc) != stored:
            raise DamagedFileError(f"bad CRC of the strings' lengths, stored {stored:08x}, computed {mask(crc):08x}")
        crc = google_crc32c.extend(crc, raw[position:])
        if mask(crc) != self._entry.crc:
            raise DamagedFileError(f"bad CRC, stored {self._entry.crc:08x}, computed {mask(crc):08x}")
        strings, position = [], position + 4
        for length in lengths:
            strings.append(raw[position : position + length])
            position += length
        return strings


def _corrupt(shard: OpenFile, name: str, offset: int, error: DamagedFileError) -> DamagedFileError:
    return DamagedFileError(
        f"{shard.path}: tensor {name!r} at {offset:#x}: {error}: its bytes are damaged; copy or restore the file"
    )


FORMAT = Format(
    ("tensor-bundle",), "tensor bundle (.index, .data-*)", recognises, open_bundle, claims, newest_file=NEWEST_FILE
)
