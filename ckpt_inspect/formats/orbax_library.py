"""Arrays of an Orbax folder as tensorstore reads them: any codec, chunks of any kind.

tensorstore is maintained by those who write the format (OCDBT, zarr, zarr3), and comes with the extra `orbax`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from threading import Lock
from time import time
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.errors import CkptInspectError, DamagedFileError
from ckpt_inspect.formats.chunk_boxes import parts_of
from ckpt_inspect.formats.orbax_elements import Elements, InFile, OpenArray
from ckpt_inspect.storage import NoAnswerError, hidden, keep_temporarily, key_value_store

INSTALL = "tensorstore, which reads Orbax' arrays, {what}: pip install 'ckpt-inspect[orbax]'"
_LEAST_RELEASE = (0, 1, 71)
"""The first that can tell a chunk that is missing from one that was left out."""
_CACHE_BYTES = 1 << 22
"""What tensorstore may keep: the nodes of OCDBT's tree, and small chunks."""
_NOISE = re.compile(r"\s*\[(tensorstore_spec|source locations)=.*", re.DOTALL)
_STATUS = re.compile(r"^[A-Z_]+: ")
_BODY = re.compile(r"\s*\[http_response_body='.*?'\](?= \[|$)", re.DOTALL)
_ANSWER = re.compile(r"\[(?:http_response_code='|HTTP code )(\d{3})")
"""What tensorstore adds to an error of a server that answered something else than what it was asked for."""
_GIVEN_UP = "retry attempts failed"
_ABSENT = 404

_UNREAD = (ValueError, OSError, RuntimeError, MemoryError)
"""What tensorstore raises of chunks that can't be read or decoded."""

_one_large = Lock()
"""Held while a large box is decoded: one at a time, of all checkpoints."""


class Place(NamedTuple):
    """Where an array lies, as tensorstore opens it."""

    folder: Path
    """The folder of its item."""
    name: str
    """As Orbax stores it."""
    is_ocdbt: bool
    is_zarr3: bool
    is_complete: bool
    """Whether a chunk that is missing was written, so that its absence is damage."""
    written_shape: tuple[int, ...] | None = None
    """Of what one process wrote of it; None if that is not known."""

    def spec(self, asked: float) -> dict[str, Any]:
        """Return tensorstore's specification of it; `asked`: when the arrays began to be opened, in seconds since
        1970."""
        files = key_value_store(self.folder if self.is_ocdbt else self.folder / self.name)
        return {
            "driver": "zarr3" if self.is_zarr3 else "zarr",
            "kvstore": {"driver": "ocdbt", "base": files, "path": f"{self.name}/"} if self.is_ocdbt else files,
            "fill_missing_data_reads": not self.is_complete,
            "recheck_cached_metadata": asked,  # so that all ask for the store's manifest once
            "recheck_cached_data": "open",
        }


class LibraryArray(OpenArray):
    """An array that tensorstore has open."""

    def __init__(self, tensorstore: ModuleType, place: Place, future: Any) -> None:
        """Wait until it is open; raises DamagedFileError."""
        try:
            self._store = future.result()
        except (*_UNREAD, NotImplementedError) as error:
            raise unread(place, error) from error
        self._tensorstore, self._place = tensorstore, place
        self.where = f"{place.folder}: {place.name}"
        shape = tuple(int(n) for n in self._store.shape)
        whole = tuple(int(n) for n in self._store.chunk_layout.read_chunk.shape or shape)
        self._describe(shape, whole, str(self._store.dtype.name), np.dtype(self._store.dtype.numpy_dtype))

    def begin(self, box: Sequence[slice]) -> Any:
        """Begin to read a box of whole chunks; return the future of its elements. Raises DamagedFileError."""
        self.check_memory(box)
        try:
            return self._store[tuple(box)].read() if box else self._store.read()
        except _UNREAD as error:
            raise unread(self._place, error) from error

    def finish(self, future: Any) -> Array:
        """Wait for the elements of a box, and flatten them; raises DamagedFileError."""
        try:
            found = future.result()
        except _UNREAD as error:
            raise unread(self._place, error) from error
        return np.ascontiguousarray(found).reshape(-1)

    def read(self, box: Sequence[slice]) -> Elements:
        return self._read_to_file(box) if self.is_large(box) else self.finish(self.begin(box))

    def _read_to_file(self, box: Sequence[slice]) -> Elements:
        """Return the elements of a large box; one such box is decoded at a time.

        Its chunks stay decoded in a cache of its own while it is copied, in parts, to a file.
        """
        self.check_memory(box)
        chunks = prod(-(-(s.stop - s.start) // c) for s, c in zip(box, self.chunk, strict=True))
        limit = 2 * max(chunks, 1) * prod(self.whole_chunk) * self.dtype.itemsize
        with _one_large:
            try:
                context = self._tensorstore.Context({"cache_pool": {"total_bytes_limit": limit}})
                store = _begin_opening(self._tensorstore, self._place, context, time()).result()
                parts = (
                    np.ascontiguousarray(store[tuple(part)].read().result()).tobytes()
                    for part in parts_of(box, self.dtype.itemsize)
                )
                return InFile(keep_temporarily(parts, self._place.folder), self.dtype)
            except _UNREAD as error:
                raise unread(self._place, error) from error


def open_together(tensorstore: ModuleType, places: Mapping[str, Place]) -> dict[str, LibraryArray]:
    """Open arrays side by side, which reads their metadata; raises DamagedFileError."""
    context, asked = tensorstore.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}}), time()
    begun = {name: _begin_opening(tensorstore, place, context, asked) for name, place in places.items()}
    return {name: LibraryArray(tensorstore, places[name], future) for name, future in begun.items()}


def version(package: str) -> str:
    """Return the installed release of a package; ImportError if there is none."""
    from importlib.metadata import version as find_version  # takes a quarter as long as numpy

    return find_version(package)


def find_tensorstore() -> ModuleType | str:
    """Return tensorstore; if it isn't installed, or is too old, what to do."""
    try:
        import tensorstore

        release = version("tensorstore")
    except ImportError:  # which what importlib.metadata raises is as well
        return INSTALL.format(what="is not installed")
    if tuple(int(n) for n in re.findall(r"\d+", release)[:3]) < _LEAST_RELEASE:
        return INSTALL.format(what=f"is too old ({release})")
    return tensorstore  # type: ignore[no-any-return,unused-ignore]


def _begin_opening(tensorstore: ModuleType, place: Place, context: Any, asked: float) -> Any:
    """Return the future of an open array; many are opened side by side."""
    try:
        return tensorstore.open(place.spec(asked), open=True, read=True, context=context)
    except CkptInspectError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise unread(place, error) from error


def is_zarr3_store(tensorstore: ModuleType, folder: Path) -> bool:
    """Return whether the arrays of an OCDBT store are of zarr 3; DamagedFileError if it can't be listed."""
    try:
        keys = tensorstore.KvStore.open({"driver": "ocdbt", "base": key_value_store(folder)}).result().list().result()
    except (ValueError, OSError, RuntimeError) as error:
        damage = DamagedFileError(f"{folder}: {_cause(error)}: the checkpoint is damaged; copy or restore it")
        raise (_unanswered(folder, error) or damage) from error
    return any(key.endswith(b"/zarr.json") for key in keys)


def unread(place: Place, error: BaseException) -> CkptInspectError:
    """Return the error for what can't be read of an array: of damage, or of a server that doesn't let it be read."""
    return _unanswered(place.folder, error) or DamagedFileError(
        f"{place.folder}: {place.name}: {_cause(error)}: the checkpoint is damaged or was not copied whole; restore it"
    )


def _unanswered(folder: Path, error: BaseException) -> NoAnswerError | None:
    """Return the error of a server that doesn't let a folder be read; None if it says something of what is there."""
    text = str(error)
    found = _ANSWER.search(text)
    status = int(found[1]) if found else 0
    if status == _ABSENT or not (status or _GIVEN_UP in text):
        return None
    advice = "try again later"
    if status in range(300, 400):
        advice = "tensorstore doesn't follow where it leads: copy the folder to this machine, and give that path"
    elif status in range(400, 500):
        advice = "check that the address and the credentials are right, and not out of date"
    return NoAnswerError(f"{folder}: the server doesn't let it be read ({_cause(error)}); {advice}")


def _cause(error: BaseException) -> str:
    """Return what tensorstore says, in one line and without its specification of what it opened."""
    text = _STATUS.sub("", _NOISE.sub("", _BODY.sub("", str(error)))) or type(error).__name__
    return " ".join(hidden(text).split())[:400]
