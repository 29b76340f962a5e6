"""MetaGraphDef files: the `.meta` beside a TF1 checkpoint, and `saved_model.pb`.

tensorflow/core/protobuf/{meta_graph,saved_model,saved_object_graph}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_inspect.checkpoint import Checkpoint, Graph, Problem
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, TruncatedFileError
from ckpt_inspect.formats.foreign import is_placeholder, name_foreign
from ckpt_inspect.storage import OpenFile, locate
from ckpt_inspect.wire import LENGTH_DELIMITED, Buffer, fields

META_GRAPHS = 2  # SavedModel.meta_graphs
GRAPH_DEF = 2  # MetaGraphDef.graph_def
OBJECT_GRAPH_DEF = 7  # MetaGraphDef.object_graph_def
_MOST_BYTES = 1 << 31
"""protobuf's own limit of a message."""

META_INFO_DEF, TENSORFLOW_VERSION = 1, 5  # MetaGraphDef.meta_info_def, MetaInfoDef.tensorflow_version


def read_message(file: OpenFile) -> memoryview:
    """Return all bytes of a file that is one serialized message."""
    return memoryview(file.read_whole(_MOST_BYTES))


def refuse_empty(file: OpenFile) -> None:
    """Raise TruncatedFileError for a file of 0 bytes: it reads as a message without fields, which nobody writes."""
    if not file.size:
        raise TruncatedFileError(
            f"{file.path}: is empty (0 bytes): it was not written or not copied; restore it, or remove it to read the "
            "checkpoint without it"
        )


def submessages(message: Buffer, number: int) -> Iterator[Buffer]:
    """Yield the values of a repeated or single length-delimited field."""
    for found, kind, value in fields(message):
        if found == number and kind == LENGTH_DELIMITED and not isinstance(value, int):
            yield value


def read_meta_graph(file: OpenFile) -> Graph | None:
    """Return the graph of a `.meta` file, None if it holds none; raises DamagedFileError with its path, also if it is
    empty: its writer always puts something into it."""
    refuse_empty(file)
    message = read_message(file)
    try:
        return next((Graph(bytes(g), file.path.name) for g in submessages(message, GRAPH_DEF)), None)
    except DamagedFileError as error:
        if is_placeholder(location := locate(file.path)):
            raise name_foreign(location) from error
        raise DamagedFileError(
            f"{file.path}: {error}: the graph beside the checkpoint is damaged; restore or remove it"
        ) from error


def read_saved_model_graph(file: OpenFile) -> Graph | None:
    """Return the first graph of a `saved_model.pb`, None if it holds none; raises DamagedFileError with its path,
    also if it is empty."""
    refuse_empty(file)
    message = read_message(file)
    try:
        for meta_graph in submessages(message, META_GRAPHS):
            for graph in submessages(meta_graph, GRAPH_DEF):
                return Graph(bytes(graph), file.path.name)
    except DamagedFileError as error:
        raise DamagedFileError(f"{file.path}: {error}: the model's graph is damaged; copy or restore it") from error
    return None


def read_versions(file: OpenFile, *, is_saved_model: bool) -> dict[str, str]:
    """Return `{"tensorflow_version": ..}` from MetaInfoDef; empty if the writer left none."""
    message = read_message(file)
    try:
        for meta_graph in submessages(message, META_GRAPHS) if is_saved_model else (message,):
            for info in submessages(meta_graph, META_INFO_DEF):
                for version in submessages(info, TENSORFLOW_VERSION):
                    return {"tensorflow_version": bytes(version).decode("utf-8", "backslashreplace")}
    except DamagedFileError as error:
        raise DamagedFileError(f"{file.path}: {error}") from error
    return {}


def check_graph(checkpoint: Checkpoint) -> Iterator[Problem]:
    """Yield a Problem if the graph that lies with a checkpoint can't be read, or how far it could be checked."""
    try:
        graph = checkpoint.graph()
    except CkptInspectError as error:
        yield Problem("graph-damaged", str(error), "tensors are read without it", "error")
        return
    if graph is not None:
        what = f"{graph.where} could be parsed, and keeps no checksum"
        yield Problem("graph-without-checksum", what, "that its bytes are those that were written is not known", "info")
