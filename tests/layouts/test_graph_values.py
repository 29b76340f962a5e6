"""What expressions of a graph are worth, made node by node; tests/layouts/test_tf1_names.py has TensorFlow's own."""

from __future__ import annotations

import pytest
from support.memory_checkpoints import graph_def

from ckpt_inspect.layouts.graph_def import GraphDef, decode_graph_def

CONSTANTS = {"yes": 1.0, "no": 0.0, "a": 2.0, "b": 3.0}


def _graph(*nodes: tuple[str, str, tuple[str, ...]]) -> GraphDef:
    return decode_graph_def(graph_def(*nodes, constants=CONSTANTS), "made")


def _branches(condition: str, then: str = "a", otherwise: str = "b") -> GraphDef:
    """A `tf.cond` of TensorFlow 1: its values enter by switches, and one of them leaves by a merge."""
    return _graph(
        ("step", "VariableV2", ()),
        ("fed", "Placeholder", ()),
        ("left", "Switch", (otherwise, condition)),
        ("right", "Switch", (then, condition)),
        ("merge", "Merge", ("left", "right:1")),
        ("rate", "Identity", ("merge",)),
    )


@pytest.mark.parametrize(("condition", "expected"), [("yes", 2.0), ("no", 3.0), ("step", 2.0)])
def test_the_living_branch_is_the_value(condition: str, expected: float) -> None:
    """A switch's second output lives if its condition holds."""
    assert _branches(condition).evaluate("rate", {"step": 7.0}) == expected


def test_a_condition_without_a_value_leaves_the_branches_open() -> None:
    """Unless both are the same; what is in the way is the condition."""
    graph = _branches("fed")
    assert graph.evaluate("rate", {}) is None
    obstacle = graph.obstacle("rate", {})
    assert obstacle is not None and obstacle.name == "fed"
    assert _branches("fed", "a", "a").evaluate("rate", {}) == 2.0


def test_a_dead_branch_needs_no_value() -> None:
    """What is fed there is never computed."""
    assert _branches("yes", "a", "fed").evaluate("rate", {}) == 2.0
    assert _branches("no", "a", "fed").evaluate("rate", {}) is None


def test_a_loop_has_no_value() -> None:
    """The state of a `while` leads back to itself."""
    graph = _graph(
        ("merge", "Merge", ("a", "next")),
        ("more", "Add", ("merge", "b")),
        ("next", "Identity", ("more",)),
    )
    assert graph.evaluate("merge", {}) is None
    assert graph.obstacle("merge", {}) is not None


def test_the_variables_of_an_expression() -> None:
    """Those of conditions among them, from which a branch's constants hang alone."""
    assert _branches("step").variables_in("rate") == ("step",)
    assert _graph(("rate", "Add", ("a", "b"))).variables_in("rate") == ()
