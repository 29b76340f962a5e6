"""Orbax folders: a tree of arrays, as `keras.callbacks.OrbaxCheckpoint` and JAX' programs save it.

A checkpoint is a folder with a tree in it, or a step of a manager: a folder with a folder for each item, of which those
with a tree count. A tree's folder holds `_METADATA` (JSON: every leaf's keys), and its arrays: zarr or zarr3 in an
OCDBT store (`manifest.ocdbt`), or in a folder each. orbax/checkpoint/_src/{handlers/base_pytree_checkpoint_handler,
path/{step,atomicity_types},metadata/checkpoint}.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType

from ckpt_inspect.checkpoint import Array, Checkpoint, Problem, SavedTree, TensorSpec, TrainingConfig
from ckpt_inspect.errors import DamagedFileError, NotFoundError, UnsupportedError
from ckpt_inspect.formats import keras_config
from ckpt_inspect.formats.flax_file import FileData, FlaxValues
from ckpt_inspect.formats.orbax_arrays import Arrays
from ckpt_inspect.formats.orbax_claims import (
    MSGPACK_FILE,
    STEP_FILE,
    STORE_FILE,
    TREE_FILE,
    UNFINISHED,
    Item,
    find_items,
    missing_items,
    unfinished,
)
from ckpt_inspect.formats.orbax_library import Place, find_tensorstore, is_zarr3_store
from ckpt_inspect.formats.orbax_tree import (
    Leaf,
    Tree,
    decode_msgpack_tree,
    decode_strings,
    decode_tree,
)
from ckpt_inspect.storage import (
    PinnedFiles,
    is_folder,
    is_there,
    key_value_store,
    list_folder,
    look_together,
    stat,
)

STRINGS_FILE = "_strings.json"
PROCESS_FOLDER = "ocdbt.process_0"
"""Where the first process keeps its part of an OCDBT store."""
_CONFIG_ITEM, _CONFIG = "model_config", "config"
"""Keras' item that holds the model's configuration as a string, and that string's name."""
_MOST_METADATA = 1 << 28
_MOST_MANIFEST = 1 << 24
"""Bytes of an OCDBT store's manifest, which holds a few hundred for each of its newest versions."""
_ARRAY_FILES = (".zarray", "zarr.json")
"""Names of an array's own metadata."""
UNKNOWN_TYPE = "unknown"

AGGREGATED = "values-aggregated"
"""Code of the Problem of values in a msgpack file that aren't read."""


class OrbaxCheckpoint(Checkpoint):
    """One step, or one tree, open for reading."""

    format = "orbax"

    def __init__(self, path: Path, items: Sequence[Item]) -> None:
        self.path = path
        self._items = tuple(items)
        self._pinned = PinnedFiles()
        files = list(_files_below(path, items))
        look_together(files)
        self._metadata = {file: self._pinned.pin(file) for file in files}
        self.files, self.file_stats = self._pinned.paths, self._pinned.stats
        trees = {item: self._read_tree(item) for item in self._items}
        with_arrays = [item for item, tree in trees.items() if tree.leaves or tree.inlined]
        self._paths: dict[str, tuple[str, ...]] = {}
        self._empty: list[tuple[str, ...]] = []
        self._unread: list[tuple[str, ...]] = []
        self._leaves: dict[str, tuple[Item, Leaf]] = {}
        self._values = FlaxValues()
        for item, tree in trees.items():
            above = (item.name,) if len(with_arrays) > 1 else ()
            self._empty += [(*above, *path) for path in tree.empty]
            self._unread += [(*above, *path) for path in tree.aggregated]
            for leaf in tree.leaves:
                self._leaves[self._name(*above, *leaf.path)] = item, leaf
            for value in tree.inlined:
                self._values.add(self._name(*above, *value.path), value, self._metadata[item.folder / MSGPACK_FILE])
        packed = {item: item.folder / MSGPACK_FILE for item in trees}
        self.problems = tuple(
            _unread(packed[item], len(tree.aggregated), is_missing=packed[item] not in self._metadata)
            for item, tree in trees.items()
            if tree.aggregated
        )
        self.problems += tuple(p for item, tree in trees.items() for p in self._unnamed(item, tree))
        if path / STEP_FILE in self._metadata:
            self.problems += tuple(_missing(path, name) for name in missing_items(path))
        self._arrays: Arrays | None = None
        for item in self._items:
            self._check_store(item.folder / STORE_FILE)
        library = _find_library(path)
        if not isinstance(library, str):
            is_zarr3 = {item: self._is_zarr3(item, tree, library) for item, tree in trees.items()}
            places = {
                name: self._place(item, leaf, trees[item], is_zarr3[item])
                for name, (item, leaf) in self._leaves.items()
            }
            self._arrays = Arrays(library, places, self._metadata, self.size_bytes)
            self.tensors: Mapping[str, TensorSpec] = {**self._arrays.specs, **self._values.specs}
            return
        listed = {
            name: TensorSpec(name, leaf.written_shape or (), UNKNOWN_TYPE) for name, (_, leaf) in self._leaves.items()
        }
        self.tensors = {**listed, **self._values.specs}
        if self._leaves:
            self.unreadable = f"{path}: {library}"
            self.problems = (
                Problem(
                    "reader-missing",
                    self.unreadable,
                    "the arrays are listed as the metadata names them: without types, and sharded ones with the shape "
                    "of a shard",
                ),
                *self.problems,
            )

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        self.spec(name)
        if name in self._values.specs:
            return self._values.read(name, start, stop)
        if self._arrays is None:
            raise UnsupportedError(self.unreadable or f"{self.path}: holds no arrays")
        return self._arrays.read(name, start, stop)

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:
        wanted = list(pieces)
        self._values.expect(wanted)
        if self._arrays is not None:
            self._arrays.expect(wanted)

    def expect_later(self, pieces: Iterable[tuple[str, int, int]]) -> bool:
        wanted = list(pieces)
        if self._arrays is not None and not self._arrays.expect_later(wanted):
            return False
        self._values.expect(wanted, is_later=True)
        return True

    def is_fetched_ahead(self, name: str) -> bool:
        return self.is_plain(name) or (self._arrays is not None and self._arrays.is_fetched_ahead(name))

    def is_plain(self, name: str) -> bool:
        self.spec(name)
        return name in self._values.specs

    def chunk_bytes(self, name: str) -> int:
        if self.is_plain(name) or self._arrays is None:
            return 0
        return self._arrays.chunk_bytes(name)

    def finish_reading(self) -> None:
        """Raise DamagedFileError if a file was replaced since the checkpoint was opened: no checksum covers a chunk."""
        look_together(self.files)
        for file, found in zip(self.files, self.file_stats, strict=True):
            now = stat(file)
            if (now.size, now.modified_ns) != (found.size, found.modified_ns):
                raise DamagedFileError(
                    f"{file}: was replaced while its checkpoint was being read; open the checkpoint again"
                )

    def saved_tree(self) -> SavedTree:
        return SavedTree(self._paths, tuple(self._empty), tuple(self._unread))

    def training_config(self) -> TrainingConfig | None:
        return self._training_config

    @cached_property
    def _training_config(self) -> TrainingConfig | None:
        for item in self._items:
            if item.name == _CONFIG_ITEM and item.folder / STRINGS_FILE in self._metadata:
                where = f"{_CONFIG_ITEM}/{STRINGS_FILE}"
                try:
                    text = decode_strings(self._read_small(item.folder / STRINGS_FILE), where).get(_CONFIG)
                    return None if text is None else keras_config.from_archive(text, where)
                except DamagedFileError as error:
                    raise DamagedFileError(f"{self.path}: {error}") from error
        return None

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def close(self) -> None:
        if self._arrays is not None:
            self._arrays.forget()
        self._pinned.close()

    def _name(self, *path: str) -> str:
        """Return a leaf's name, which no other has: keys may hold slashes."""
        name, count = "/".join(path), 1
        while name in self._paths:
            count += 1
            name = f"{'/'.join(path)}#{count}"
        self._paths[name] = path
        return name

    def _read_tree(self, item: Item) -> Tree:
        tree, packed = item.folder / TREE_FILE, item.folder / MSGPACK_FILE
        if tree in self._metadata:
            found = decode_tree(self._read_small(tree), str(tree))
            if not found.aggregated or packed not in self._metadata:
                return found
            return found.with_values(decode_msgpack_tree(FileData(self._metadata[packed]), str(packed)))
        if packed in self._metadata:
            return decode_msgpack_tree(FileData(self._metadata[packed]), str(packed))
        raise NotFoundError(f"{tree}: is missing, while the arrays that it names are there; copy it too")

    def _unnamed(self, item: Item, tree: Tree) -> Iterator[Problem]:
        """Yield a Problem if arrays in folders of their own lie beside those that the tree names."""
        named = {leaf.name for leaf in tree.leaves}
        folders = (file.parent for file in self._metadata if file.name in _ARRAY_FILES)
        found = [folder.name for folder in folders if folder.parent == item.folder and folder.name not in named]
        if found:
            many = "" if len(found) == 1 else f" and {len(found) - 1} more"
            yield Problem(
                "arrays-unnamed",
                f"{item.folder}: holds arrays that its tree doesn't name: {found[0]}{many}",
                "what the tree doesn't name is not read; if that belongs to this checkpoint, restore its tree",
            )

    def _read_small(self, path: Path) -> bytes:
        file = self._metadata[path]
        if file.size > _MOST_METADATA:
            raise DamagedFileError(f"{path}: is {file.size} bytes long, which is too large for metadata: it is damaged")
        return file.read(0, file.size)

    def _check_store(self, manifest: Path) -> None:
        """Raise DamagedFileError for a manifest of a size that tensorstore, which reads all of it, would end with."""
        file = self._metadata.get(manifest)
        if file is not None and file.size > _MOST_MANIFEST:
            raise DamagedFileError(
                f"{manifest}: is {file.size} bytes long, which is too large for a manifest: it is damaged; copy or "
                "restore it"
            )

    def _place(self, item: Item, leaf: Leaf, tree: Tree, is_zarr3: bool) -> Place:
        has_store = item.folder / STORE_FILE in self._metadata
        if not has_store and (tree.is_ocdbt or is_there(item.folder / PROCESS_FOLDER)):
            raise NotFoundError(
                f"{item.folder / STORE_FILE}: is missing; copy it to this folder, where the rest of its checkpoint lies"
            )
        if not has_store and not _is_inside(leaf.name):
            raise DamagedFileError(
                f"{item.folder}: names an array {leaf.name!r}, which would lie outside of it: it is damaged"
            )
        return Place(item.folder, leaf.name, has_store, is_zarr3, tree.has_every_chunk, leaf.written_shape)

    def _is_zarr3(self, item: Item, tree: Tree, library: ModuleType) -> bool:
        """Return which of the two it is, also if the metadata is older than the choice."""
        if tree.is_zarr3 is not None or not tree.leaves:
            return bool(tree.is_zarr3)
        if item.folder / STORE_FILE in self._metadata:
            return is_zarr3_store(library, item.folder)
        return is_there(item.folder / tree.leaves[0].name / "zarr.json")


class MsgpackFile(Checkpoint):
    """A file of flax.serialization, as programs wrote before there was Orbax."""

    format = "orbax"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pinned = PinnedFiles()
        file = self._pinned.open(path)
        self.files, self.file_stats = self._pinned.paths, self._pinned.stats
        self._tree = decode_msgpack_tree(FileData(file), str(path))
        self._values = FlaxValues()
        for value in self._tree.inlined:
            name, count = "/".join(value.path), 1
            while name in self._values.specs:
                count += 1
                name = f"{'/'.join(value.path)}#{count}"
            self._values.add(name, value, file)
        self.tensors: Mapping[str, TensorSpec] = self._values.specs
        if self._tree.aggregated:
            self.problems = (_unread(path, len(self._tree.aggregated)),)

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        self.spec(name)
        return self._values.read(name, start, stop)

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:
        self._values.expect(pieces)

    def expect_later(self, pieces: Iterable[tuple[str, int, int]]) -> bool:
        self._values.expect(pieces, is_later=True)
        return True

    def is_plain(self, name: str) -> bool:
        self.spec(name)
        return True

    def saved_tree(self) -> SavedTree:
        return SavedTree(self._values.paths, self._tree.empty, self._tree.aggregated)

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def close(self) -> None:
        self._pinned.close()


def _find_library(path: Path) -> ModuleType | str:
    """Return tensorstore; or why it can't read the arrays of a folder, and what to do."""
    library = find_tensorstore()
    try:
        key_value_store(path)
    except UnsupportedError as error:
        return str(error).removeprefix(f"{path}: ")
    return library


def _unread(path: Path, count: int, *, is_missing: bool = False) -> Problem:
    if is_missing:
        what = f"{path}: is missing, and holds {count} values of the tree"
        return Problem(AGGREGATED, what, "copy it to this folder, where the rest of its checkpoint lies")
    return Problem(
        AGGREGATED,
        f"{path}: has neither an array nor a number for {count} values of the tree",
        "raw bytes, complex numbers and other types are not read; save them as arrays to have them read",
    )


def _missing(path: Path, name: str) -> Problem:
    return Problem(
        "item-missing",
        f"{path / name}: is missing, though {STEP_FILE} beside it names it",
        "copy it to this folder; only what else is there is read",
    )


def _is_inside(name: str) -> bool:
    """Return whether a name of an array leads to a folder below its item's."""
    return not name.startswith("/") and "\0" not in name and ".." not in name.split("/")


def _files_below(path: Path, items: Sequence[Item]) -> Iterator[Path]:
    """Yield every file of the checkpoint, the metadata first; links to folders are not followed."""
    heads = [path / STEP_FILE, *(item.folder / name for item in items for name in (TREE_FILE, STORE_FILE))]
    yield from (head for head in dict.fromkeys(heads) if is_there(head))
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        for entry in sorted(list_folder(folder)):
            if entry.is_folder:
                waiting.append(folder / entry.name)
            elif folder / entry.name not in heads:
                yield folder / entry.name


def open_orbax(path: Path) -> Checkpoint:
    """Open a path that `recognises` accepts; DamagedFileError for a folder that is still being written."""
    if path.name not in (TREE_FILE, STEP_FILE, STORE_FILE) and not is_folder(path):
        return MsgpackFile(path)
    folder = path if is_folder(path) else path.parent
    if UNFINISHED in folder.name:
        raise unfinished(folder)
    return OrbaxCheckpoint(folder, find_items(folder))
