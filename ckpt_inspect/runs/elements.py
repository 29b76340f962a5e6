"""Whole arrays of E beside the summaries (`--elements`): written in pieces, in constant memory, to HDF5.

In a store: `<optimizer's group>/elements/<checkpoint>/<parameter>`, each one-dimensional in C order with the attribute
`shape`, chunked, and shuffled and deflated if that pays. `/` in names becomes `.`; names that could then be alike,
or are long, end in `~` and a sum of the name. A checkpoint's group has its `fingerprint`.
"""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.runs.atomic import Temporary
from ckpt_inspect.runs.netcdf import Dimensions
from ckpt_inspect.runs.sheltered import ShelteredFile, SignalShelter
from ckpt_inspect.runs.stored import is_own, own_dataset, own_group, own_groups, text_attribute
from ckpt_inspect.state.optimizer_state import Parameter

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any

GROUP = "elements"

_CHUNK = 1 << 16
"""Elements of a chunk; pieces are of a whole number of them, so that no chunk is written twice."""

_NAME = 500
"""Letters of a name that are kept."""

_DEFLATE_LEVEL = 1
_PROBE = 1 << 12
"""Elements of a chunk, spread over it, whose leading digits show whether its values repeat."""
_WORTH_IT = 0.6
"""Largest part of the probe that may be left of it. The digits of trained moments are noise: deflating them saves a
sixth of the room at twenty times the time. Constant stretches, as of rows that no gradient reached, vanish."""

_UNFILTERED = 0b11
"""A chunk's filter mask that says that both filters, shuffle and deflate, were left out."""


class ElementsFile:
    """A temporary HDF5 file that takes E of one checkpoint after another, until a store takes it over; thread-safe."""

    def __init__(self, store: Path) -> None:
        """Raises OSError if nothing can be written beside the store that is to take it over."""
        import h5py

        self.temporary = Temporary(store)
        self._shelter = SignalShelter()
        self._bytes = ShelteredFile(self.temporary.path)
        self.file = h5py.File(self._bytes, "w", libver=("earliest", "v110"), track_order=True)
        self._lock = Lock()
        self._current = self.file.create_group("current", track_order=True)

    def add(self, optimizer: str, parameter: Parameter, start: int, values: Array) -> None:
        """Take in E of the elements from flat index `start` on, of the checkpoint that is being read."""
        if self._bytes.has_failed:  # `finish` says so
            return
        wide = values.astype(np.float32) if values.dtype.itemsize < 4 else values
        with self._lock:
            group = self._current.require_group(_escaped(optimizer))
            name = _escaped(parameter.name)
            if name not in group:
                _create(group, name, parameter.shape, wide.dtype)
            dataset = group[name].id
        length = dataset.get_create_plist().get_chunk()[0]
        for begin in range(0, len(wide), length):
            mask, chunk = _encoded(wide[begin : begin + length], length)
            with _hdf5_lock():
                dataset.write_direct_chunk((start + begin,), chunk, mask)

    def finish(self, fingerprint: str | None) -> None:
        """Keep what came of the checkpoint that was read, under its fingerprint; drop it if that is None.

        Raises OSError if the disk wouldn't take all of it.
        """
        self._bytes.check()
        if fingerprint is None or fingerprint in self.file:
            del self.file["current"]
        else:
            self.file.move("current", fingerprint)
        self._current = self.file.create_group("current", track_order=True)

    @contextlib.contextmanager
    def released(self) -> Iterator[h5py.File]:
        """Return the open file, for a store to be written into around the arrays; closed, and no longer ours, at the
        end."""
        del self.file["current"]
        taken = list(self.file)
        try:
            yield self.file
            for fingerprint in taken:  # what is left of it
                del self.file[fingerprint]
        finally:
            self.file.close()
            self._bytes.close()
        self._bytes.check()

    def close(self) -> None:
        """Remove the file, unless it has become a store; safe to call twice."""
        try:
            self.file.close()
        finally:
            self._bytes.close()
            self.temporary.close()
            self._shelter.close()


def _hdf5_lock() -> AbstractContextManager[object]:
    """Return what keeps other threads out of HDF5 while `write_direct_chunk` is called.

    h5py's functions take its lock themselves; before 3.16 this one doesn't, and lets other threads run meanwhile
    (h5py's whatsnew/3.16, pull request 2764). Only for those versions, which won't change any more, its lock is taken
    here, under the name that its docs/threads.rst gives.
    """
    import h5py

    if h5py.version.version_tuple >= (3, 16):
        return contextlib.nullcontext()
    from h5py._objects import phil

    lock: AbstractContextManager[object] = phil
    return lock


def _create(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: DType) -> None:
    size = int(np.prod(shape, dtype=np.int64))
    dataset = group.create_dataset(
        name, (size,), dtype, chunks=_chunks(size), shuffle=True, compression="gzip", compression_opts=_DEFLATE_LEVEL
    )
    dataset.attrs["shape"] = np.array(shape, np.int64)


def _chunks(size: int) -> tuple[int, ...]:
    return (max(1, min(_CHUNK, size)),)


def _encoded(values: Array, length: int) -> tuple[int, Array | bytes]:
    """A chunk's filter mask and its bytes as they are stored; filled up with zeros to `length` elements."""
    if len(values) < length:
        values = np.concatenate([values, np.zeros(length - len(values), values.dtype)])
    planes = values.view(np.uint8).reshape(length, -1).T
    # not the most significant byte, most of an exponent, which repeats in anything
    digits = planes[-2 if sys.byteorder == "little" else 1]
    probe = digits[:: max(1, length // _PROBE)].tobytes()
    if len(zlib.compress(probe, _DEFLATE_LEVEL)) > _WORTH_IT * len(probe) + 32:
        return _UNFILTERED, np.ascontiguousarray(values)
    return 0, zlib.compress(planes.tobytes(), _DEFLATE_LEVEL)


def place_elements(
    target: h5py.File,
    groups: Mapping[str, str],
    names: Mapping[str, str],
    fresh: h5py.File | None,
    previous: h5py.File | None,
    dimensions: Dimensions,
) -> None:
    """Put the arrays of every checkpoint into an open store: from the file that took them, or from the store before.

    `groups`: each optimizer's group; `names`: fingerprint -> checkpoint; `dimensions` numbers the store's. Chunks
    are copied as they are; if `fresh` is that store itself, its arrays are moved.
    """
    for optimizer, group_name in groups.items():
        for fingerprint, name in names.items():
            source = _source(optimizer, group_name, fingerprint, fresh, previous)
            if source is None:
                continue
            group = target[group_name].require_group(GROUP).create_group(_escaped_checkpoint(name))
            group.attrs["fingerprint"] = fingerprint
            scales: dict[int, h5py.Dataset] = {}
            for parameter, dataset in source:
                if dataset.file == target:
                    target.move(dataset.name, f"{group.name}/{parameter}")
                else:
                    dataset.parent.copy(dataset, group, name=parameter, without_attrs=True)
                placed = group[parameter]
                placed.attrs["shape"] = dataset.attrs["shape"]
                placed.attrs["units"], placed.attrs["long_name"] = "1", "effective learning rate"
                placed.attrs["description"] = "E of every element in C order; the attribute shape is the tensor's."
                placed.dims[0].attach_scale(_scale(group, scales, len(placed), dimensions))


def _scale(group: h5py.Group, scales: dict[int, h5py.Dataset], size: int, dimensions: Dimensions) -> h5py.Dataset:
    """The dimension of flat arrays of that size."""
    if size not in scales:
        scales[size] = group.create_dataset(f"element_{size}", (size,), np.dtype(">f4"), chunks=_chunks(size))
        dimensions.leave_blank(scales[size])
    return scales[size]


def _source(
    optimizer: str, group_name: str, fingerprint: str, fresh: h5py.File | None, previous: h5py.File | None
) -> list[tuple[str, h5py.Dataset]] | None:
    """Each parameter's name and array, wherever they are; None if nowhere."""
    if fresh is not None and fingerprint in fresh:
        group = fresh[fingerprint].get(_escaped(optimizer))
        return None if group is None else list(group.items())
    if previous is None or not (is_own(previous, group_name) and is_own(previous[group_name], GROUP)):
        return None
    for _, group in own_groups(own_group(own_group(previous, group_name), GROUP)):
        if text_attribute(group, "fingerprint") == fingerprint:
            arrays = [(name, own_dataset(group, name)) for name in group]
            return [(name, dataset) for name, dataset in arrays if "shape" in dataset.attrs]
    return None


def check_arrays(store: h5py.File, group_names: Iterable[str]) -> None:
    """Look at all that copying a store's arrays would look at; raises ValueError or what h5py raises if it can't be."""
    size = store.id.get_filesize()
    for group_name in group_names:
        if not (is_own(store, group_name) and is_own(store[group_name], GROUP)):
            continue
        for _, group in own_groups(own_group(own_group(store, group_name), GROUP)):
            text_attribute(group, "fingerprint")
            for name in group:
                dataset = own_dataset(group, name)
                if "shape" in dataset.attrs:
                    shape = dataset.attrs["shape"]
                    if dataset.ndim != 1 or dataset.chunks is None or int(np.prod(shape)) != len(dataset):
                        raise ValueError(f"{name} is not the array of a tensor of shape {shape}")
                    ends: list[int] = []
                    if hasattr(dataset.id, "chunk_iter"):  # not in h5py built with HDF5 before 1.12.3
                        dataset.id.chunk_iter(lambda chunk, ends=ends: ends.append(chunk.byte_offset + chunk.size))
                    if max(ends, default=0) > size or dataset.id.get_storage_size() > size:
                        raise ValueError(f"{name} runs past the end of the file")


def read_elements(file: h5py.File, group_name: str, checkpoint: str) -> Iterator[tuple[str, Array]]:
    """Return each parameter's name in the group, and its array in its shape, out of an open store."""
    for name, dataset in file[f"{group_name}/{GROUP}/{_escaped_checkpoint(checkpoint)}"].items():
        if "shape" in dataset.attrs:
            yield name, dataset[...].reshape(dataset.attrs["shape"])


def _escaped(name: str) -> str:
    """Return a parameter's or optimizer's name for HDF5: `.` for `/`, and a sum where another name's could be alike."""
    plain = name.replace("/", ".").strip(".") or "_"
    is_plain = plain == name.replace("/", ".") and "." not in name and not {"~", "\0"} & set(name)
    return plain if is_plain and len(plain) <= _NAME else _summed(plain, name)


def _escaped_checkpoint(name: str) -> str:
    """Return a checkpoint's name for HDF5; dots are common in them, slashes are not."""
    return name if "/" not in name and name.strip(".") and len(name) <= _NAME else _summed(name.replace("/", "."), name)


def _summed(plain: str, name: str) -> str:
    plain = plain[:_NAME].replace("\0", "_")  # HDF5's names end there
    return f"{plain}~{zlib.crc32(name.encode('utf-8', 'surrogatepass')):08x}"
