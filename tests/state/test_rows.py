"""Variables of which an update may have moved some rows alone: what is left open of them, and what isn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.memory_checkpoints import VALUE, MemoryCheckpoint, moments, node, object_graph

from ckpt_inspect import OptimizerState, analyze, open_checkpoint, optimizer_states
from ckpt_inspect.update_rules import find_rule
from ckpt_inspect.update_rules.implementations import (
    CONTRIB,
    KERAS1,
    KERAS2,
    KERAS3,
    OPTAX,
    OPTIMIZER_V2,
    SONNET,
    TF1,
    TFA,
    Implementation,
)
from ckpt_inspect.update_rules.rule import Settings

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "recorded"
GIVEN = {"learning_rate": 0.01, "epsilon": 1e-8}


def _sonnet(table: str = "words/embed/embeddings") -> OptimizerState:
    """A module with a table and a matrix under Sonnet's Adam, after five updates."""
    names = {table: (5, 3), "words/linear/w": (3, 2)}
    arrays: dict[str, Any] = {f"optimizer/step{VALUE}": np.int64(5)}
    nodes = [b"", b"", b"", b"", b"", node(variable=("adam/t", f"optimizer/step{VALUE}"))]
    places: dict[str, list[int]] = {"value": [], "m": [], "v": []}
    for i, (name, shape) in enumerate(names.items()):
        for array, (what, own) in zip(moments(shape, seed=i), (("value", name), ("m", ""), ("v", "")), strict=True):
            key = f"module/{own}{VALUE}" if own else f"optimizer/{what}/{i}{VALUE}"
            arrays[key] = array
            places[what].append(len(nodes))
            nodes.append(node(variable=(name if own else f"adam/{what}/{name}", key)))
    nodes[0] = node({"module": 1, "optimizer": 2})
    nodes[1] = node({"a": places["value"][0], "b": places["value"][1]})
    nodes[2] = node({"step": 5, "m": 3, "v": 4})
    nodes[3], nodes[4] = (node({str(i): place for i, place in enumerate(places[what])}) for what in ("m", "v"))
    (state,) = optimizer_states(MemoryCheckpoint({**arrays, **object_graph(nodes)}), GIVEN)
    return state


def test_sonnets_table_is_left_open_and_its_matrix_is_exact() -> None:
    """Sonnet's Adam moves the touched rows of a table alone: None with the reason, and a remark; Algorithm 1 for all
    other variables, and the effective learning rate for both."""
    state = _sonnet()
    table, matrix = (state.parameters[name] for name in ("words/embed/embeddings", "words/linear/w"))
    assert table.last_update() is None
    assert "which rows the last one touched" in str(table.reason("last_update"))
    (problem,) = [p for p in state.problems if p.code == "rows-not-saved"]
    assert ("words/embed/embeddings" in problem.message, "words/linear/w" in problem.message) == (True, False)
    _, m, v = (a.astype(np.float64) for a in moments((3, 2), seed=1))
    c1, c2 = (1 - float(np.float32(beta)) ** 5 for beta in (0.9, 0.999))
    np.testing.assert_allclose(matrix.last_update(), -0.01 * m / c1 / (np.sqrt(v / c2) + 1e-8), rtol=1e-4)
    assert table.effective_lr() is not None and matrix.effective_lr() is not None


def test_no_remark_without_a_table() -> None:
    """Two matrices: nothing is left open."""
    state = _sonnet("words/first/w")
    assert all(p.last_update() is not None for p in state.parameters.values())
    assert "rows-not-saved" not in {p.code for p in state.problems}


@pytest.mark.parametrize(
    ("rule", "implementation", "verb"),
    [
        ("lazyadam", TFA, "moves"), ("lazyadam", CONTRIB, "moves"), ("adam", SONNET, "moves"), ("radam", TFA, "moves"),
        ("adabelief", TFA, "moves"), ("adamax", OPTIMIZER_V2, "moves"), ("adamax", CONTRIB, "moves"),
        ("adamw", TFA, "decays"), ("adamw", CONTRIB, "decays"), ("adam", TF1, ""), ("adam", OPTIMIZER_V2, ""),
        ("adam", KERAS3, ""), ("adamax", KERAS1, ""), ("adamax", KERAS2, ""), ("adamax", KERAS3, ""),
        ("adamax", OPTAX, ""), ("radam", OPTAX, ""), ("adamw", KERAS3, ""), ("adamw", OPTAX, ""), ("lamb", TFA, ""),
    ],
)  # fmt: skip
def test_who_changes_rows_alone(rule: str, implementation: Implementation, verb: str) -> None:
    """By upstream's `_apply_sparse`: Keras before and after OptimizerV2 and optax make a sparse gradient dense."""
    found = find_rule(rule)
    assert found is not None
    assert found.done_by_rows(Settings(implementation, 5, 0.01, weight_decay=0.1)) == verb


def test_no_decay_no_rows_of_it() -> None:
    """AdamW without weight decay is Adam, which moves all rows."""
    found = find_rule("adamw")
    assert found is not None
    assert found.done_by_rows(Settings(TFA, 5, 0.01, weight_decay=0.0)) == ""


def test_recorded_lazy_adam() -> None:
    """Addons' LazyAdam: the embedding's last update is open, and so are the figures made of it; the others' are not."""
    (folder,) = FIXTURES.glob("*_tfa_lazyadam")
    (index,) = folder.glob("*.index")
    with open_checkpoint(index) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        is_open = {name: p.last_update() is None for name, p in state.parameters.items()}
    assert is_open == {name: name.endswith("embeddings") for name in is_open}
    assert set(is_open.values()) == {True, False}
    (optimizer,) = analyze(index).optimizers.values()
    figures = zip(optimizer.variables["parameter"], optimizer.variables["update_rms"][0], strict=True)
    assert {str(name): bool(np.isnan(value)) for name, value in figures} == is_open
