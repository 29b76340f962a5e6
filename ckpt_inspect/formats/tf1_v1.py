"""TF1's V1 checkpoints: one table that holds everything, or several named by a pattern. Read by TensorFlow itself."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, Graph, TensorSpec
from ckpt_inspect.errors import DamagedFileError, NotFoundError, RequestError, UnsupportedError
from ckpt_inspect.formats.foreign import is_placeholder
from ckpt_inspect.formats.format import Claim, Format
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.formats.meta_graph import read_meta_graph, read_versions
from ckpt_inspect.formats.sstable import MAGIC
from ckpt_inspect.storage import Location, PinnedFiles, is_there

SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<shard>\d{5}|\?{5})-of-(?P<count>\d{5})$")
"""A shard's name, or the pattern of all, which is what TF1's `checkpoint` file names."""


class V1Checkpoint(Checkpoint):
    """A V1 checkpoint. Tensors are read whole, one at a time, whatever range is asked for."""

    format = "tf1-v1"

    def __init__(self, path: Path) -> None:
        """`path` of the one file, the pattern, or one of the shards."""
        self.path = as_pattern(path)
        self._pinned = PinnedFiles()
        for shard in shard_files(self.path):
            self._pinned.pin(shard)
        self._meta = self._pinned.pin_if_there(
            self.path.with_name(SHARD_NAME.sub(r"\g<stem>", self.path.name) + ".meta")
        )
        self.files, self.file_stats = self._pinned.paths, self._pinned.stats
        self._tensorflow = _import_tensorflow(self.path)
        self._lock = Lock()
        self._last: tuple[str, Array] | None = None
        try:
            self._reader = self._tensorflow.train.load_checkpoint(str(self.path))
            shapes = self._reader.get_variable_to_shape_map()
            self._dtypes = self._reader.get_variable_to_dtype_map()
        except Exception as error:  # the classes of TensorFlow's errors vary by release
            raise self._damaged(error) from None
        self.tensors = {name: TensorSpec(name, tuple(shapes[name]), self._dtypes[name].name) for name in sorted(shapes)}

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        spec = self.spec(name)
        if not 0 <= start <= stop <= spec.size:
            raise RequestError(f"{self.path}: tensor {name!r} has {spec.size} elements, not {start}:{stop}")
        with self._lock:
            if self._last is None or self._last[0] != name:
                self._last = name, self._read_whole(name)
            piece: Array = self._last[1][start:stop].copy()
            return piece

    def graph(self) -> Graph | None:
        return read_meta_graph(self._meta) if self._meta is not None else None

    def producer(self) -> Mapping[str, str]:
        return read_versions(self._meta, is_saved_model=False) if self._meta is not None else {}

    def close(self) -> None:
        self._last = None
        self._pinned.close()

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def _read_whole(self, name: str) -> Array:
        try:
            # get_tensor refuses partitioned variables; the operation that restores them puts them together.
            (tensor,) = self._tensorflow.raw_ops.RestoreV2(
                prefix=str(self.path), tensor_names=[name], shape_and_slices=[""], dtypes=[self._dtypes[name]]
            )
            value: Array = np.asarray(tensor.numpy())
        except Exception as error:
            raise self._damaged(error) from None
        if self.tensors[name].dtype == STRING:
            value = value.astype(object)
        return value.reshape(-1)

    def _damaged(self, error: Exception) -> DamagedFileError:
        reason = " ".join(str(getattr(error, "message", error)).split())
        return DamagedFileError(f"{self.path}: TensorFlow can't read this V1 checkpoint ({reason}); copy or restore it")


def as_pattern(path: Path) -> Path:
    """Return the pattern of all shards for one of them; any other path as it is."""
    match = SHARD_NAME.fullmatch(path.name)
    return path.with_name(f"{match['stem']}-?????-of-{match['count']}") if match else path


def shard_files(path: Path) -> tuple[Path, ...]:
    """Return the files behind the path of a V1 checkpoint; NotFoundError for a shard that is missing."""
    match = SHARD_NAME.fullmatch(path.name)
    if not match:
        return (path,)
    count = int(match["count"])
    shards = tuple(path.with_name(f"{match['stem']}-{i:05d}-of-{count:05d}") for i in range(count))
    if absent := [shard for shard in shards if not is_there(shard)]:
        raise NotFoundError(
            f"{absent[0]}: is missing ({count - len(absent)} of the {count} shards of this V1 checkpoint are here); "
            "copy it too"
        )
    return shards


def recognises(location: Location) -> bool:
    """Recognise a table that is no bundle's index, or a pattern of shards."""
    if location.kind == "file":
        return location.tail == MAGIC and location.path.suffix != ".index" and not is_placeholder(location)
    return (
        location.kind == "absent" and "?" in location.path.name and SHARD_NAME.fullmatch(location.path.name) is not None
    )


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim each pattern of shards one of which is a table or was to be one, and each file that is a table."""
    shards: dict[tuple[str, str], list[str]] = {}
    for name in listing.files:
        if shard := SHARD_NAME.fullmatch(name):
            shards.setdefault((shard["stem"], shard["count"]), []).append(name)
    wanted = set(listing.names)
    for (stem, count), files in shards.items():
        names = (*files, *_graph_beside(stem, listing))
        if not wanted.isdisjoint(names) and any(_is_table(listing.look(name)) for name in files):
            yield Claim(listing.folder, names, listing.folder / f"{stem}-?????-of-{count}", stem)
    for name in listing.unclear():
        if SHARD_NAME.fullmatch(name):
            continue
        location = listing.look(name)
        if recognises(location):
            yield Claim(listing.folder, (name, *_graph_beside(name, listing)), location.path, name)


def _is_table(location: Location) -> bool:
    return location.tail == MAGIC or is_placeholder(location)


def _graph_beside(stem: str, listing: Listing) -> tuple[str, ...]:
    name = f"{stem}.meta"
    return (name,) if name in listing.files else ()


def open_v1(path: Path) -> V1Checkpoint:
    """Open a V1 file, a V1 pattern or a V1 shard."""
    return V1Checkpoint(path)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep TensorFlow's kernels from telling the terminal of GPUs and instruction sets: they write past Python."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path of ours
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _import_tensorflow(path: Path) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _silence():
            import tensorflow

            tensorflow.zeros(())  # starts its devices, which is when it tells of them
    except ImportError as error:
        raise UnsupportedError(
            f"{path}: is a TF1 V1 checkpoint, which is read through TensorFlow, and TensorFlow can't be imported here "
            f"({error}); install it with `pip install tensorflow`"
        ) from None
    return tensorflow


FORMAT = Format(("tf1-v1",), "TF1 V1 file or shards", recognises, open_v1, claims)
