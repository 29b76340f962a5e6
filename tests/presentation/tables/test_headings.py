"""Whatever heads a column can be explained."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.command_line import Answer

import ckpt_inspect
from ckpt_inspect.presentation.tables.headings import FIGURES, WORDS, explained_headings
from ckpt_inspect.soundness.explanations import EXPLANATIONS

PRESENTATION = Path(ckpt_inspect.__file__).parent / "presentation"


def _headings() -> set[str]:
    """Return the headings that stand in the code: the first argument of every `Column`, each of its possible texts."""
    found: set[str] = set()
    for path in PRESENTATION.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Column":
                for part in ast.walk(node.args[0]):
                    is_text = isinstance(part, ast.Constant) and isinstance(part.value, str)
                    found |= {part.value.strip()} if is_text else set()  # type: ignore[attr-defined]
    return found - {"", "median"}


@pytest.mark.parametrize("heading", sorted(_headings()))
def test_every_heading_of_every_table_is_explained(heading: str) -> None:
    """By a page, a figure or a sentence."""
    answer = Answer("explain", heading)
    assert answer.code == 0, answer.remarks
    assert answer.out


def test_headings_lead_to_what_there_is() -> None:
    """To figures that can be explained; and none hides one."""
    assert set(FIGURES.values()) | {name for _, see in WORDS.values() for name in see} <= set(EXPLANATIONS)
    assert [e.name for e in explained_headings("median  e")] == ["effective_lr"]
    assert not {name.lower() for name in WORDS} & {name.lower() for name in EXPLANATIONS}
