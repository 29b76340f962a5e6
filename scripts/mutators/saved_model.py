"""SavedModel folders: mutations of the bundle inside, of `saved_model.pb` and of `keras_metadata.pb`."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from mutators.byte_spans import byte_mutators
from mutators.json_documents import mutate_json
from mutators.messages import Record, decode, encode, mutate_message
from mutators.mutation import Checksum, Mutator, NothingToMutateError, Original, of_bytes
from mutators.tensor_bundle import bundle_mutators

_NODES = 1  # of SavedMetadata
_NODE_ID, _NODE_PATH, _IDENTIFIER, _METADATA = 2, 3, 4, 5  # of SavedMetadata.SavedObject


def _is_graph(name: str) -> bool:
    return name == "saved_model.pb"


def _is_metadata(name: str) -> bool:
    return name == "keras_metadata.pb"


def _change_metadata(message: bytes, rng: Random) -> tuple[bytes, str]:
    """Change the JSON of the root's metadata."""
    nodes = decode(message)
    at = rng.randrange(len(nodes))
    node = nodes[at][2]
    records = decode(node if isinstance(node, bytes) else b"")
    places = [i for i, record in enumerate(records) if record[0] == _METADATA]
    if not places:
        raise NothingToMutateError("no metadata")
    text = records[places[0]][2]
    changed, note = mutate_json(text if isinstance(text, bytes) else b"", rng)
    records[places[0]] = _METADATA, 2, changed
    nodes[at] = _NODES, 2, encode(records)
    return encode(nodes), note


MUTATORS: tuple[Mutator, ...] = (
    *bundle_mutators(has_slices=False),
    of_bytes("saved_model.pb: messages", mutate_message, _is_graph, Checksum.NONE, 4.0),
    of_bytes("keras_metadata.pb: messages", mutate_message, _is_metadata, Checksum.NONE, 2.0),
    of_bytes("keras_metadata.pb: JSON", _change_metadata, _is_metadata, Checksum.NONE, 4.0),
    *byte_mutators("saved_model.pb", _is_graph, Checksum.NONE, 0.3),
    *byte_mutators("keras_metadata.pb", _is_metadata, Checksum.NONE, 0.1),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return SavedModels of TF 2.0 and of today's, and one with Keras' metadata beside the graph."""
    new, old = fixtures / "formats/keras/saved_model", fixtures / "recorded/tf20_v2_fit_savedmodel/sm_6"
    with_metadata = {**_read(old), "keras_metadata.pb": _metadata()}
    return (
        Original("formats/keras/saved_model", ".", _read(new)),
        Original("recorded/tf20_v2_fit_savedmodel/sm_6", ".", _read(old)),
        Original("recorded/tf20_v2_fit_savedmodel/sm_6 with keras_metadata.pb", ".", with_metadata),
    )


def _read(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _metadata() -> bytes:
    """What TF 2.5 and later write of a compiled model, in short."""
    config = {"name": "Adam", "learning_rate": 0.01, "decay": 0.0, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    root = {
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": []},
        "training_config": {"loss": "mse", "optimizer_config": {"class_name": "Adam", "config": config}},
    }
    node: list[Record] = [(_NODE_ID, 0, 0), (_NODE_PATH, 2, b"root"), (_IDENTIFIER, 2, b"_tf_keras_sequential")]
    return encode([(_NODES, 2, encode([*node, (_METADATA, 2, json.dumps(root).encode())]))])
