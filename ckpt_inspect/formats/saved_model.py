"""SavedModel folders: a tensor bundle in `variables/`, a graph and an object graph in `saved_model.pb`.

tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto, keras/protobuf/saved_metadata.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ckpt_inspect.checkpoint import Checkpoint, Graph, Problem, TensorSpec, TrainingConfig
from ckpt_inspect.errors import DamagedFileError, NotFoundError
from ckpt_inspect.formats import keras_config
from ckpt_inspect.formats.bundle import BundleCheckpoint, Prefix
from ckpt_inspect.formats.foreign import is_placeholder
from ckpt_inspect.formats.format import Claim, Format
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.formats.meta_graph import (
    META_GRAPHS,
    OBJECT_GRAPH_DEF,
    check_graph,
    read_message,
    read_saved_model_graph,
    read_versions,
    refuse_empty,
    submessages,
)
from ckpt_inspect.storage import Location, OpenFile, PinnedFiles, is_folder, is_there, list_folder
from ckpt_inspect.wire import fields

MODEL_FILE, METADATA_FILE, _VARIABLES = "saved_model.pb", "keras_metadata.pb", "variables"

_NODES = 1  # SavedMetadata.nodes, SavedObjectGraph.nodes
_NODE_PATH, _NODE_METADATA = 3, 5  # SavedMetadata.SavedObject
_USER_OBJECT, _USER_OBJECT_METADATA = 4, 3  # SavedObjectGraph.SavedObject.user_object, SavedUserObject.metadata


class SavedModelCheckpoint(BundleCheckpoint):
    """A SavedModel with variables."""

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        super().__init__(folder, [Prefix(folder / _VARIABLES, "variables")], format="saved-model", verify=verify)
        self._model, self._metadata = _pin_protobufs(folder, self._pinned)
        self.files, self.file_stats = self._pinned.paths, self._pinned.stats
        if self._model is None:
            missing = Problem(
                "missing-saved-model",
                f"{folder / MODEL_FILE}: is missing",
                "the variables are read without the model's graph",
            )
            self.problems = (*self.problems, missing)

    def training_config(self) -> TrainingConfig | None:
        return read_training_config(self._model, self._metadata)

    def graph(self) -> Graph | None:
        return read_saved_model_graph(self._model) if self._model is not None else None

    def producer(self) -> Mapping[str, str]:
        return read_versions(self._model, is_saved_model=True) if self._model is not None else {}


class EmptySavedModel(Checkpoint):
    """A SavedModel without variables: a graph alone."""

    format = "saved-model"

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.tensors: Mapping[str, TensorSpec] = {}
        self._pinned = PinnedFiles()
        self._model, self._metadata = _pin_protobufs(folder, self._pinned)
        self.files, self.file_stats = self._pinned.paths, self._pinned.stats
        if not self.files:
            raise NotFoundError(f"{folder / MODEL_FILE}: is gone since it was looked for; open the checkpoint again")
        self.problems = (
            Problem("no-variables", f"{folder}: has no variables/variables.index", "no tensors are listed", "info"),
        )

    def read_range(self, name: str, start: int, stop: int, out: object = None) -> object:  # type: ignore[override]
        raise NotFoundError(f"{self.path}: holds no tensor {name!r}; it is a SavedModel without variables")

    def training_config(self) -> TrainingConfig | None:
        return read_training_config(self._model, self._metadata)

    def graph(self) -> Graph | None:
        return read_saved_model_graph(self._model) if self._model is not None else None

    def check_rest(self) -> tuple[Problem, ...]:
        return tuple(check_graph(self))

    def read_head(self, size: int) -> bytes:
        return self._pinned.read_head(size)

    def close(self) -> None:
        self._pinned.close()


def _pin_protobufs(folder: Path, pinned: PinnedFiles) -> tuple[OpenFile | None, OpenFile | None]:
    """Pin the model's file and the metadata's; None for one that is missing."""
    return pinned.pin_if_there(folder / MODEL_FILE), pinned.pin_if_there(folder / METADATA_FILE)


def recognises(location: Location) -> bool:
    """Recognise a folder that holds `saved_model.pb`, or `keras_metadata.pb` and variables; or one of those files."""
    if location.kind == "file":
        return location.path.name in (MODEL_FILE, METADATA_FILE) and not is_placeholder(location)
    return location.has(MODEL_FILE) or (location.has(METADATA_FILE) and location.has(_VARIABLES))


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim the whole folder with a SavedModel's subfolders, if its files are there."""
    if MODEL_FILE in listing.names or (METADATA_FILE in listing.names and _VARIABLES in listing.folders):
        names = (*listing.files, *(listing.folders & {_VARIABLES, "assets", "assets.extra"}))
        yield Claim(listing.folder, names, listing.folder, listing.folder.name)


def open_saved_model(path: Path) -> Checkpoint:
    """Open a path that `recognises` accepts."""
    folder = path if is_folder(path) else path.parent
    variables = folder / _VARIABLES
    if is_there(variables / "variables.index"):
        return SavedModelCheckpoint(folder)
    if is_folder(variables) and any(entry.name.startswith("variables.data-") for entry in list_folder(variables)):
        raise NotFoundError(f"{variables / 'variables.index'}: is missing, while its data is there; copy it too")
    return EmptySavedModel(folder)


def read_training_config(model: OpenFile | None, metadata: OpenFile | None) -> TrainingConfig | None:
    """Read the configuration from `keras_metadata.pb` (TF 2.5 and later), else from the root object in
    `saved_model.pb` (TF 2.0 to 2.4); None if neither holds one."""
    for file, find in ((metadata, _root_metadata), (model, _root_object_metadata)):
        if file is None:
            continue
        refuse_empty(file)
        message = read_message(file)
        try:
            text = find(message)
            if text:
                return keras_config.from_saved_metadata(text, file.path.name)
        except DamagedFileError as error:
            raise DamagedFileError(
                f"{file.path}: {error}: the model's metadata is damaged; copy or restore it"
            ) from error
    return None


def _root_metadata(message: memoryview) -> bytes | None:
    for node in submessages(message, _NODES):
        values = {number: bytes(value) for number, _, value in fields(node) if not isinstance(value, int)}
        if values.get(_NODE_PATH) == b"root":
            return values.get(_NODE_METADATA)
    return None


def _root_object_metadata(message: memoryview) -> bytes | None:
    for meta_graph in submessages(message, META_GRAPHS):
        for object_graph in submessages(meta_graph, OBJECT_GRAPH_DEF):
            root = next(submessages(object_graph, _NODES), None)
            for user_object in submessages(root, _USER_OBJECT) if root is not None else ():
                return next((bytes(m) for m in submessages(user_object, _USER_OBJECT_METADATA)), None)
    return None


FORMAT = Format(("saved-model",), "SavedModel folder", recognises, open_saved_model, claims)
