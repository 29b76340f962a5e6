"""The TF1 graph that lies beside a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt_inspect.checkpoint import Checkpoint

if TYPE_CHECKING:  # decoding graphs takes time to import, and few checkpoints have one
    from ckpt_inspect.layouts.graph_def import GraphDef


def decoded_graph(checkpoint: Checkpoint) -> tuple[GraphDef | None, str]:
    """Return the graph and, for a person, its file; None and no text if there is none. Raises DamagedFileError."""
    graph = checkpoint.graph()
    if graph is None:
        return None, ""
    from ckpt_inspect.layouts.graph_def import decode_graph_def

    return decode_graph_def(graph.graph_def, graph.where), graph.where
