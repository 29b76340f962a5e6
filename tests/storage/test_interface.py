"""Another storage: every format is found, opened and read where nothing lies on the local disk."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from ckpt_inspect.errors import NotFoundError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.runs.analysis import Chosen, fingerprint
from ckpt_inspect.series import newest
from ckpt_inspect.series.search import find_runs
from ckpt_inspect.storage import ABSENT, Entry, OpenFile, Stat, Storage, registry
from ckpt_inspect.storage.interface import missing
from ckpt_inspect.storage.stream import Bytes

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats"
PLACE = Path("/bucket")


class MemoryFile(OpenFile):
    """A file in memory, which has no name that a C library could open."""

    def __init__(self, path: Path, contents: bytes, stat: Stat) -> None:
        self.path, self.stat, self._contents = path, stat, contents

    def read_into(self, buffer: Bytes, offset: int) -> None:
        if offset + len(buffer) > len(self._contents):
            raise self.too_short(offset + len(buffer))
        buffer[:] = np.frombuffer(self._contents, np.uint8, len(buffer), offset)

    def close(self) -> None:
        pass


class MemoryStorage(Storage):
    """Objects by their names; folders are what is before the slashes, as in an object store."""

    def __init__(self, objects: dict[Path, bytes]) -> None:
        self._objects = objects
        self._folders = {parent for path in objects for parent in path.parents}

    def stat(self, path: Path) -> Stat:
        if path in self._objects:
            return Stat("file", len(self._objects[path]), 10**9, f"etag of {path.name}")
        return Stat("folder") if path in self._folders else ABSENT

    def list_folder(self, folder: Path) -> list[Entry]:
        if folder not in self._folders:
            raise NotFoundError(f"{folder}: can't be listed")
        below = {path for path in (*self._objects, *self._folders) if path.parent == folder and path != folder}
        return [Entry(path.name, path in self._folders) for path in below]

    def open_file(self, path: Path, pinned: Stat | None = None) -> OpenFile:
        if path not in self._objects and pinned is None:
            raise missing(path)
        return MemoryFile(path, self._objects.get(path, b""), pinned or self.stat(path))

    def find_matches(self, pattern: Path) -> Iterator[Entry]:
        yield from (Entry(str(path), False) for path in self._objects if fnmatch(str(path), str(pattern)))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStorage:
    """The recorded checkpoints of each format but V1 (which TensorFlow reads itself), in memory alone."""
    files = (path for path in FIXTURES.rglob("*") if path.is_file() and "v1" not in path.name)
    objects = {PLACE / path.relative_to(FIXTURES): path.read_bytes() for path in files}
    storage = MemoryStorage(objects)
    local = registry.storage_of

    def storage_of(path: Path) -> Storage:
        return storage if path.is_relative_to(PLACE) else local(path)

    monkeypatch.setattr(registry, "storage_of", storage_of)
    return storage


def test_all_is_found(memory: MemoryStorage) -> None:
    """Folders, patterns and paths give what they give on the local disk."""

    def found(place: Path) -> set[tuple[str, ...]]:
        paths = [place, place / "keras" / "*.h5", place / "saver" / "v2.ckpt-2"]
        runs = find_runs(paths)
        return {tuple(str(p.relative_to(place)) for p in run.checkpoints if "v1" not in p.name) for run in runs} - {()}

    assert found(PLACE) == found(FIXTURES)
    assert {size for run in find_runs([PLACE]) for size in run.sizes().values()} <= {
        size for run in find_runs([FIXTURES]) for size in run.sizes().values()
    }


@pytest.mark.parametrize(
    "name", ["keras/ckpt-1", "keras/saved_model", "keras/model.h5", "keras/model.keras", "keras/model.weights.h5"]
)
def test_all_is_read(memory: MemoryStorage, name: str) -> None:
    """Every byte and every configuration is what it is on the local disk."""
    with open_checkpoint(PLACE / name) as ours, open_checkpoint(FIXTURES / name) as theirs:
        assert (ours.format, ours.tensors, ours.problems) == (theirs.format, theirs.tensors, theirs.problems)
        assert (ours.size_bytes, ours.modified) == (theirs.size_bytes, 1.0)
        assert ours.training_config() == theirs.training_config()
        assert ours.graph() == theirs.graph()
        assert (ours.labels(), ours.producer()) == (theirs.labels(), theirs.producer())
        for key in theirs.tensors:
            assert ours.read(key).tolist() == theirs.read(key).tolist()
        analysis = Chosen.of(ours).measure()
    assert analysis.fingerprint == fingerprint(analysis.files)


def test_the_newest_is_found(memory: MemoryStorage) -> None:
    """A folder stands for its newest, which the `checkpoint` file in it may name."""
    memory._objects[PLACE / "keras" / "checkpoint"] = b'model_checkpoint_path: "ckpt-1"\n'
    with newest.open_checkpoint(PLACE / "keras") as checkpoint:
        assert checkpoint.path == PLACE / "keras" / "ckpt-1"
    with newest.open_checkpoint(PLACE / "saver") as checkpoint:
        assert checkpoint.path == PLACE / "saver" / "v2.ckpt-2"
