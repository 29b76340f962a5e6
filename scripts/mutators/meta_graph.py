"""`.meta` files beside TF1 checkpoints: mutations of the graph, from which hyperparameters are read. No checksums."""

from __future__ import annotations

from pathlib import Path
from random import Random

from mutators.byte_spans import byte_mutators
from mutators.companions import folder_mutators
from mutators.messages import Record, decode, encode, mutate_message
from mutators.mutation import Checksum, Mutator, NothingToMutateError, Original, of_bytes
from mutators.tensor_bundle import bundle_original

_GRAPH_DEF, _NODE = 2, 1  # MetaGraphDef.graph_def, GraphDef.node
_NAME, _INPUT = 1, 3  # of NodeDef
_TELLING = (b"Apply", b"Adam", b"learning_rate", b"beta", b"epsilon", b"power", b"decay")


def is_meta(name: str) -> bool:
    """Whether it is a graph beside a checkpoint."""
    return name.endswith(".meta")


def mutate_graph(message: bytes, rng: Random) -> tuple[bytes, str]:
    """Change one node of a MetaGraphDef's graph, preferably one that holds hyperparameters."""
    records, at, nodes = _nodes(message)
    telling = [i for i, node in enumerate(nodes) if any(word in node for word in _TELLING)]
    chosen = rng.choice(telling or range(len(nodes)))
    nodes[chosen], note = mutate_message(nodes[chosen], rng)
    return _written(records, at, nodes), f"node {chosen}, field {note}"


def rewire_graph(message: bytes, rng: Random) -> tuple[bytes, str]:
    """Have a node take its input from itself, from another or from none: loops, and chains without an end."""
    records, at, nodes = _nodes(message)
    parsed = [decode(node) for node in nodes]
    names = [next((v for n, _, v in node if n == _NAME), b"") for node in parsed]
    wired = [i for i, node in enumerate(parsed) if any(n == _INPUT for n, _, _ in node)]
    if not wired:
        raise NothingToMutateError("no inputs")
    telling = [i for i in wired if any(word in nodes[i] for word in _TELLING)]
    chosen = rng.choice(telling or wired)
    how = rng.choice(("itself", "another", "nothing", "all"))
    other = {"itself": names[chosen], "another": rng.choice(names), "nothing": b"absent/read", "all": b""}[how]
    for i in wired if how == "all" else [chosen]:
        new = names[i] if how == "all" else other
        parsed[i] = [(n, k, new if n == _INPUT and rng.random() < 0.7 else v) for n, k, v in parsed[i]]
    return _written(records, at, [encode(node) for node in parsed]), f"node {chosen}: its inputs come from {how}"


def _nodes(message: bytes) -> tuple[list[Record], int, list[bytes]]:
    records = decode(message)
    at = next((i for i, record in enumerate(records) if record[0] == _GRAPH_DEF), None)
    if at is None:
        raise NothingToMutateError("no graph")
    graph = records[at][2]
    nodes = [v for n, _, v in decode(graph if isinstance(graph, bytes) else b"") if n == _NODE and isinstance(v, bytes)]
    if not nodes:
        raise NothingToMutateError("no nodes")
    return records, at, nodes


def _written(records: list[Record], at: int, nodes: list[bytes]) -> bytes:
    graph = records[at][2]
    rest = [r for r in decode(graph if isinstance(graph, bytes) else b"") if r[0] != _NODE]
    records[at] = _GRAPH_DEF, 2, encode([*((_NODE, 2, node) for node in nodes), *rest])
    return encode(records)


MUTATORS: tuple[Mutator, ...] = (
    of_bytes("node", mutate_graph, is_meta, Checksum.NONE, 4.0),
    of_bytes("inputs", rewire_graph, is_meta, Checksum.NONE, 2.0),
    of_bytes("messages", mutate_message, is_meta, Checksum.NONE, 1.0),
    *byte_mutators("meta", is_meta, Checksum.NONE, 0.4),
    *folder_mutators(Checksum.NONE, 0.1),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return TF1 checkpoints with their graphs."""
    return (
        bundle_original(fixtures, "formats/saver", "v2.ckpt-2", has_graph=True),
        bundle_original(fixtures, "recorded/tf112_saver_adam_eps", "model.ckpt-4", has_graph=True),
        bundle_original(fixtures, "recorded/tf112_saver_lrdecay", "model.ckpt-4", has_graph=True),
        bundle_original(fixtures, "recorded/tf112_saver_gan_meta", "model.ckpt-4", has_graph=True),
    )
