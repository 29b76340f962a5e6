"""Tensor bundles: TF2 checkpoints and TF1's "V2" ones. `PREFIX.index` and `PREFIX.data-?????-of-?????`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, Graph, Problem, TensorSpec, numpy_dtype
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, RequestError, UnsupportedError
from ckpt_inspect.formats.bundle_index import BundleIndex, Entry, Extent, decode_index, encode_slice_key
from ckpt_inspect.formats.checksums import PieceChecksums, mask
from ckpt_inspect.formats.foreign import is_placeholder, name_foreign
from ckpt_inspect.formats.meta_graph import read_meta_graph, read_versions
from ckpt_inspect.formats.slices import ElementReader, Slice, SlicedTensor, resolve_extents
from ckpt_inspect.formats.sstable import MAGIC
from ckpt_inspect.storage.byte_file import ByteFile, unreadable
from ckpt_inspect.storage.location import HEAD_SIZE, Location, locate
from ckpt_inspect.wire import decode_varint

INDEX_NAME = re.compile(r"(?P<prefix>.*)\.index", re.DOTALL)
DATA_NAME = re.compile(r"(?P<prefix>.*)\.data-\d{5}-of-\d{5}", re.DOTALL)
_META_NAME = re.compile(r"(?P<prefix>.+)\.meta", re.DOTALL)
PART_NAME = re.compile(r"part-(?P<part>\d{5})-of-(?P<count>\d{5})\.index")
"""What a sharded writer leaves in `PREFIX_temp/` or `PREFIX_temp_<hex>/` until it merges its parts."""

_TEMPORARY_NAME = re.compile(r"(?P<prefix>.+)_temp(_[0-9a-f]+)?")


def recognises(location: Location) -> bool:
    """A prefix, an index, a shard, a folder of un-merged parts, or `DIR/` of `save_weights("DIR/")`."""
    path, name = location.path, location.path.name
    if location.kind == "folder":
        return (path / ".index").exists() or bool(part_prefixes(path))
    if location.kind == "file" and INDEX_NAME.fullmatch(name):
        return location.tail == MAGIC or has_shards(str(path)[: -len(".index")])
    if DATA_NAME.fullmatch(name):
        return location.kind == "file"
    if location.kind == "file" and (meta := _META_NAME.fullmatch(name)):
        return path.with_name(f"{meta['prefix']}.index").exists()
    if Path(f"{path}.index").exists():
        return True
    return location.kind == "absent" and (has_shards(str(path)) or bool(_parts_of(path)))


def open_bundle(path: Path) -> BundleCheckpoint:
    """A path that is recognised."""
    if path.is_dir():
        if (path / ".index").exists():
            return BundleCheckpoint(path, [f"{path}{os.sep}"])
        return _open_parts(path, part_prefixes(path))
    names = (INDEX_NAME, DATA_NAME, _META_NAME)
    if path.is_file() and (found := next((m for n in names if (m := n.fullmatch(path.name))), None)):
        prefix = f"{path.parent / found['prefix']}" if found["prefix"] else f"{path.parent}{os.sep}"
        return BundleCheckpoint(Path(prefix), [prefix])
    if Path(f"{path}.index").exists() or has_shards(str(path)):
        problems = []
        if path.is_file():
            problems.append(
                Problem(
                    "two-checkpoints", f"{path}: is a V1 checkpoint and the prefix of a V2 one", "the V2 one is read"
                )
            )
        return BundleCheckpoint(path, [str(path)], problems=problems)
    return _open_parts(path, _parts_of(path))


def has_shards(prefix: str) -> bool:
    """Whether data of that prefix is there."""
    name = os.path.basename(prefix)  # noqa: PTH119 - a prefix may end in a slash, which a Path drops
    folder = Path(prefix).parent if name else Path(prefix)
    return any(folder.glob(glob.escape(f"{name}.data-") + "?????-of-?????"))


def part_prefixes(folder: Path) -> list[str]:
    """The prefixes of the parts in a sharded writer's temporary folder, in order."""
    return [str(p)[: -len(".index")] for p in sorted(folder.glob("part-*-of-*.index")) if PART_NAME.fullmatch(p.name)]


def is_complete(parts: Sequence[str]) -> bool:
    """Whether these are all the parts of one bundle."""
    return bool(parts) and len({p[-5:] for p in parts}) == 1 and len(parts) == int(parts[0][-5:])


def merged_prefix(folder: Path) -> Path | None:
    """The bundle that the parts in a temporary folder were merged into, if they were."""
    found = _TEMPORARY_NAME.fullmatch(folder.name)
    prefix = folder.with_name(found["prefix"]) if found else None
    return prefix if prefix is not None and Path(f"{prefix}.index").exists() else None


def _parts_of(prefix: Path) -> list[str]:
    for folder in sorted(prefix.parent.glob(glob.escape(prefix.name) + "_temp*")):
        if _TEMPORARY_NAME.fullmatch(folder.name) and (parts := part_prefixes(folder)):
            return parts
    return []


def _open_parts(path: Path, parts: Sequence[str]) -> BundleCheckpoint:
    if not is_complete(parts):
        raise DamagedFileError(
            f"{path}: holds {len(parts)} of {int(parts[0][-5:])} parts of a checkpoint whose writer was stopped before "
            "it was whole; use the checkpoint before it"
        )
    problem = Problem(
        "unmerged-parts",
        f"{path}: its writer was stopped before it merged its {len(parts)} parts",
        "all parts are there, and are read as one checkpoint",
    )
    return BundleCheckpoint(path, parts, problems=[problem])


def shard_path(prefix: str, shard: int, num_shards: int) -> Path:
    """Where a shard's bytes lie."""
    return Path(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}")


def read_index(path: Path) -> BundleIndex:
    """The index at `path`; errors name it."""
    try:
        table = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    head = Location(path, "file", len(table), table[:HEAD_SIZE])
    if is_placeholder(head):
        raise name_foreign(head)
    try:
        return decode_index(table)
    except CkptInspectError as error:
        raise type(error)(f"{path}: {error}") from None


class BundleCheckpoint(Checkpoint):
    """One tensor bundle, or the parts of one whose writer was stopped before it merged them."""

    def __init__(
        self,
        path: Path,
        prefixes: Sequence[str],
        *,
        format: str = "tensor-bundle",  # noqa: A002 - the attribute's name in the contract
        verify: bool = True,
        problems: Sequence[Problem] = (),
    ) -> None:
        """`path` as a person names it; `prefixes` of the bundle or its parts; whether to `verify` what is read.

        A prefix is not always a path: `save_weights("w/")` makes `w/.index`.
        """
        self.path = path
        self.format = format
        self._verify = verify
        self._prefix = prefixes[0]
        self._shards: list[ByteFile] = []
        self._byte_order = "little"
        self._slices: dict[bytes, Entry] = {}
        self._readers: dict[str, ElementReader] = {}
        entries: dict[str, Entry] = {}
        files, found = [], list(problems)
        for prefix in prefixes:
            index_path = Path(f"{prefix}.index")
            index = read_index(index_path)
            first = len(self._shards)
            paths = [shard_path(prefix, i, index.num_shards) for i in range(index.num_shards)]
            self._shards += [ByteFile(p) for p in paths]
            self._byte_order = index.byte_order
            present, odd = _look_at_shards(paths, index)
            found += odd
            files += [index_path, *present]
            for name, entry in index.entries.items():
                if known := entries.get(name):
                    entry = entry._replace(slices=known.slices + entry.slices)
                entries[name] = entry._replace(shard=entry.shard + first) if first else entry
            for key, entry in index.slices.items():
                self._slices[key] = entry._replace(shard=entry.shard + first)
        self._entries = entries if len(prefixes) == 1 else dict(sorted(entries.items()))
        self.tensors = {name: TensorSpec(name, e.shape, e.dtype) for name, e in self._entries.items()}
        meta = self._meta_path()
        self.files = (*files, meta) if meta.exists() else tuple(files)
        self.problems = tuple(found)

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        reader = self._readers.get(name)
        if reader is None:
            reader = self._readers.setdefault(name, self._reader(name))
        if not 0 <= start <= stop <= reader.size:
            raise RequestError(f"{self.path}: tensor {name!r} has {reader.size} elements, not {start}:{stop}")
        return reader.read(start, stop, out)

    def graph(self) -> Graph | None:
        path = self._meta_path()
        return read_meta_graph(path) if path.exists() else None

    def producer(self) -> Mapping[str, str]:
        path = self._meta_path()
        return read_versions(path, is_saved_model=False) if path.exists() else {}

    def close(self) -> None:
        for shard in self._shards:
            shard.close()

    def _meta_path(self) -> Path:
        return Path(f"{self._prefix}.meta")

    def _reader(self, name: str) -> ElementReader:
        spec = self.spec(name)
        entry = self._entries[name]
        if entry.slices:
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
                "is not in the index: the checkpoint was not written whole"
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
        except UnsupportedError:
            raise UnsupportedError(
                f"{self.path}: tensor {spec.name!r} is of TensorFlow's type {spec.dtype}, whose values can't be read"
            ) from None
        return _DenseTensor(spec, dtype, entry, shard, self._byte_order, self._verify)


def _look_at_shards(paths: Sequence[Path], index: BundleIndex) -> tuple[list[Path], list[Problem]]:
    """The shards that are there, and a Problem for each that is missing or shorter than the index says."""
    ends = [-1] * len(paths)
    for entry in (*index.entries.values(), *index.slices.values()):
        if not entry.slices:
            ends[entry.shard] = max(ends[entry.shard], entry.offset + entry.size)
    present, problems = [], []
    for path, end in zip(paths, ends, strict=True):
        try:
            size = os.stat(path).st_size  # noqa: PTH116 - a third of the cost of Path.stat, in a loop over checkpoints
        except OSError:
            if end >= 0:
                text = "names and shapes are there; the values that lie in this shard can't be read"
                problems.append(Problem("missing-shard", f"{path}: is missing", text, "error"))
            continue
        present.append(path)
        if size < end:
            text = str(_too_short(path, size, f"the index says at least {end}"))
            problems.append(Problem("truncated-shard", text, "what lies behind the end can't be read", "error"))
    return present, problems


def _too_short(path: Path, size: int, reason: str) -> CkptInspectError:
    location = locate(path)
    if is_placeholder(location):
        return name_foreign(location)
    return DamagedFileError(f"{path}: is {size} bytes long, but {reason}: the file is truncated; copy or restore it")


class _DenseTensor(ElementReader):
    """Elements that lie one after another."""

    __slots__ = ("_checksums", "_is_swapped", "_name", "_offset", "_shard", "_width")

    def __init__(
        self, spec: TensorSpec, dtype: np.dtype[Any], entry: Entry, shard: ByteFile, byte_order: str, verify: bool
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
                raise _corrupt(self._shard, self._name, self._offset, error) from None
        if self._is_swapped:
            # ml_dtypes' own types don't swap; complex numbers swap each part
            half = self._width // 2 if self.dtype.kind == "c" else self._width
            out.view(f"u{half}").byteswap(inplace=True)


_NATIVE = "little" if np.dtype("=i4").newbyteorder("<") == np.dtype("=i4") else "big"


class _StringTensor(ElementReader):
    """Varint lengths, a checksum of the lengths, then the strings one after another (WriteStringTensor)."""

    __slots__ = ("_byte_order", "_entry", "_name", "_shard")

    def __init__(self, spec: TensorSpec, entry: Entry, shard: ByteFile, byte_order: str) -> None:
        self.dtype, self.size = np.dtype(object), spec.size
        self._name, self._entry, self._shard, self._byte_order = spec.name, entry, shard, byte_order

    def read_into(self, out: Array, start: int) -> None:
        entry = self._entry
        try:
            strings = self._decode(self._shard.read(entry.offset, entry.size))
        except DamagedFileError as error:
            raise _corrupt(self._shard, self._name, entry.offset, error) from None
        out[:] = strings[start : start + len(out)]

    def _decode(self, raw: bytes) -> list[bytes]:
        order = "little" if self._byte_order == "little" else "big"
        lengths, position = [], 0
        for _ in range(self.size):
            length, position = decode_varint(raw, position)
            lengths.append(length)
        if position + 4 + sum(lengths) != len(raw):
            raise DamagedFileError(f"its strings' lengths add up to {sum(lengths)}, which is not what it takes up")
        # The checksum is over fixed-width lengths (8 bytes for the very long), though varints are what is stored.
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


def _corrupt(shard: ByteFile, name: str, offset: int, error: DamagedFileError) -> DamagedFileError:
    return DamagedFileError(
        f"{shard.path}: tensor {name!r} at {offset:#x}: {error}: its bytes are damaged; copy or restore the file"
    )
