"""Whole arrays of E beside the summaries (`--elements`): written in pieces, in constant memory, to HDF5.

In a store: `<optimizer's group>/elements/<checkpoint>/<parameter>`, each one-dimensional in C order with the attribute
`shape`, chunked, shuffled and compressed. `/` in names becomes `.`. A checkpoint's group has its `fingerprint`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.optimizer_state import Parameter

GROUP = "elements"

_CHUNK = 1 << 16
"""Elements of a chunk: a piece as it is read, so that no chunk is written twice."""


class ElementsFile:
    """A temporary HDF5 file that takes E of one checkpoint after another, until a store takes it over; thread-safe."""

    def __init__(self, folder: Path) -> None:
        import h5py

        self._temporary = tempfile.NamedTemporaryFile(prefix=".ckpt-inspect.", suffix=".tmp", dir=folder)  # noqa: SIM115 - closed by close()
        self.file = h5py.File(self._temporary.name, "w")
        self._lock = Lock()
        self._current = self.file.create_group("current")

    def add(self, optimizer: str, parameter: Parameter, start: int, values: Array) -> None:
        """Take in E of the elements from flat index `start` on, of the checkpoint that is being read."""
        wide = values.astype(np.float32) if values.dtype.itemsize < 4 else values
        with self._lock:
            group = self._current.require_group(_escaped(optimizer))
            name = _escaped(parameter.name)
            if name not in group:
                _create(group, name, parameter.shape, wide.dtype)
            group[name][start : start + len(wide)] = wide

    def finish(self, fingerprint: str | None) -> None:
        """The checkpoint has been read: keep what came under its fingerprint, or, for None, drop it."""
        if fingerprint is None or fingerprint in self.file:
            del self.file["current"]
        else:
            self.file.move("current", fingerprint)
        self._current = self.file.create_group("current")

    def close(self) -> None:
        """Remove the file; safe to call twice."""
        self.file.close()
        with contextlib.suppress(FileNotFoundError):
            self._temporary.close()


def _create(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    size = int(np.prod(shape, dtype=np.int64))
    chunks = (max(1, min(_CHUNK, size)),)
    dataset = group.create_dataset(name, (size,), dtype, chunks=chunks, shuffle=True, compression="lzf")
    dataset.attrs["shape"] = np.array(shape, np.int64)


def copy_elements(
    target: Any, groups: Mapping[str, str], names: Mapping[str, str], fresh: Any | None, previous: Any | None
) -> None:
    """Put the arrays of every checkpoint into an open store: from the file that took them, or from the store before.

    `groups`: each optimizer's group; `names`: fingerprint -> checkpoint. Chunks are copied as they are.
    """
    for optimizer, group_name in groups.items():
        for fingerprint, name in names.items():
            source = _source(optimizer, group_name, fingerprint, fresh, previous)
            if source is None:
                continue
            group = target[group_name].require_group(GROUP).create_group(_escaped(name))
            group.attrs["fingerprint"] = fingerprint
            scales: dict[int, Any] = {}
            for parameter, dataset in source:
                source_group = dataset.parent
                source_group.copy(dataset, group, name=parameter, without_attrs=True)
                copied = group[parameter]
                copied.attrs["shape"] = dataset.attrs["shape"]
                copied.attrs["units"], copied.attrs["long_name"] = "1", "effective learning rate"
                copied.attrs["description"] = "E of every element in C order; the attribute shape tells the tensor's."
                copied.dims[0].attach_scale(_scale(group, scales, len(copied)))


def _scale(group: Any, scales: dict[int, Any], size: int) -> Any:
    """The dimension of flat arrays of that size."""
    if size not in scales:
        chunks = (max(1, min(_CHUNK, size)),)
        scales[size] = group.create_dataset(f"element_{size}", (size,), np.dtype(">f4"), chunks=chunks)
        scales[size].make_scale(f"This is a netCDF dimension but not a netCDF variable. {size:10d}")
    return scales[size]


def _source(
    optimizer: str, group_name: str, fingerprint: str, fresh: Any | None, previous: Any | None
) -> list[tuple[str, Any]] | None:
    """Each parameter's name and array, wherever they are; None if nowhere."""
    if fresh is not None and fingerprint in fresh:
        group = fresh[fingerprint].get(_escaped(optimizer))
        return None if group is None else list(group.items())
    if previous is None or f"{group_name}/{GROUP}" not in previous:
        return None
    for group in previous[f"{group_name}/{GROUP}"].values():
        if group.attrs.get("fingerprint") == fingerprint:
            return [(name, dataset) for name, dataset in group.items() if "shape" in dataset.attrs]
    return None


def read_elements(file: Any, group_name: str, checkpoint: str) -> Iterator[tuple[str, Array]]:
    """Each parameter's name in the group, and its array in its shape, out of an open store."""
    for name, dataset in file[f"{group_name}/{GROUP}/{_escaped(checkpoint)}"].items():
        if "shape" in dataset.attrs:
            yield name, dataset[...].reshape(dataset.attrs["shape"])


def _escaped(name: str) -> str:
    return name.replace("/", ".").strip(".") or "_"
