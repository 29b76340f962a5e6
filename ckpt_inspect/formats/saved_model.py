"""SavedModel folders: a tensor bundle in `variables/`, a graph and an object graph in `saved_model.pb`.

tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto, keras/protobuf/saved_metadata.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ckpt_inspect.checkpoint import Checkpoint, Graph, Problem, TensorSpec, TrainingConfig
from ckpt_inspect.errors import DamagedFileError, NotFoundError
from ckpt_inspect.formats import keras_config
from ckpt_inspect.formats.bundle import BundleCheckpoint
from ckpt_inspect.formats.meta_graph import (
    META_GRAPHS,
    OBJECT_GRAPH_DEF,
    read_message,
    read_saved_model_graph,
    read_versions,
    submessages,
)
from ckpt_inspect.storage.location import Location
from ckpt_inspect.wire import fields

MODEL_FILE, METADATA_FILE = "saved_model.pb", "keras_metadata.pb"

_NODES = 1  # SavedMetadata.nodes, SavedObjectGraph.nodes
_NODE_PATH, _NODE_METADATA = 3, 5  # SavedMetadata.SavedObject
_USER_OBJECT, _USER_OBJECT_METADATA = 4, 3  # SavedObjectGraph.SavedObject.user_object, SavedUserObject.metadata


class SavedModelCheckpoint(BundleCheckpoint):
    """A SavedModel with variables."""

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        super().__init__(folder, [str(folder / "variables" / "variables")], format="saved-model", verify=verify)
        self._folder = folder
        beside = tuple(p for p in (folder / MODEL_FILE, folder / METADATA_FILE) if p.exists())
        self.files = (*self.files, *beside)
        if not (folder / MODEL_FILE).exists():
            missing = Problem(
                "missing-saved-model",
                f"{folder / MODEL_FILE}: is missing",
                "the variables are read without the model's graph",
            )
            self.problems = (*self.problems, missing)

    def training_config(self) -> TrainingConfig | None:
        return read_training_config(self._folder)

    def graph(self) -> Graph | None:
        path = self._folder / MODEL_FILE
        return read_saved_model_graph(path) if path.exists() else None

    def producer(self) -> Mapping[str, str]:
        path = self._folder / MODEL_FILE
        return read_versions(path, is_saved_model=True) if path.exists() else {}


class EmptySavedModel(Checkpoint):
    """A SavedModel without variables: a graph alone."""

    format = "saved-model"

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.tensors: Mapping[str, TensorSpec] = {}
        self.files = tuple(p for p in (folder / MODEL_FILE, folder / METADATA_FILE) if p.exists())
        self.problems = (
            Problem("no-variables", f"{folder}: has no variables/variables.index", "no tensors are listed", "info"),
        )

    def read_range(self, name: str, start: int, stop: int, out: object = None) -> object:  # type: ignore[override]
        raise NotFoundError(f"{self.path}: holds no tensor {name!r}; it is a SavedModel without variables")

    def training_config(self) -> TrainingConfig | None:
        return read_training_config(self.path)

    def graph(self) -> Graph | None:
        return read_saved_model_graph(self.path / MODEL_FILE)


def recognises(location: Location) -> bool:
    """A folder that holds `saved_model.pb`, or `keras_metadata.pb` and variables; or one of those files."""
    if location.kind == "file":
        return location.path.name in (MODEL_FILE, METADATA_FILE)
    return location.has(MODEL_FILE) or (location.has(METADATA_FILE) and location.has("variables"))


def open_saved_model(path: Path) -> Checkpoint:
    """A path that is recognised."""
    folder = path if path.is_dir() else path.parent
    if (folder / "variables" / "variables.index").exists():
        return SavedModelCheckpoint(folder)
    if (folder / "variables").is_dir() and any((folder / "variables").glob("variables.data-*")):
        raise NotFoundError(
            f"{folder / 'variables' / 'variables.index'}: is missing, while its data is there; copy it too"
        )
    return EmptySavedModel(folder)


def read_training_config(folder: Path) -> TrainingConfig | None:
    """From `keras_metadata.pb` (TF 2.5 and later), else from the root object in `saved_model.pb` (TF 2.0 to 2.4)."""
    for name, find in ((METADATA_FILE, _root_metadata), (MODEL_FILE, _root_object_metadata)):
        path = folder / name
        if not path.exists():
            continue
        try:
            text = find(read_message(path))
            if text:
                return keras_config.from_saved_metadata(text, name)
        except DamagedFileError as error:
            raise DamagedFileError(f"{path}: {error}: the model's metadata is damaged; copy or restore it") from None
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
