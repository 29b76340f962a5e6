"""Whatever heads a column can be explained."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.command_line import Answer

import ckpt_inspect
from ckpt_inspect.presentation.tables.changes import diff_tables
from ckpt_inspect.presentation.tables.headings import FIGURES, WORDS, explained_headings
from ckpt_inspect.presentation.tables.overview import show_tables
from ckpt_inspect.presentation.tables.run import run_tables
from ckpt_inspect.presentation.tables.soundness import soundness_tables
from ckpt_inspect.soundness.explanations import EXPLANATIONS

FIXTURES = Path(__file__).parents[3] / "fixtures"
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


def _facts() -> set[str]:
    """Return the names of facts, which stand at the left of tables without headings, in what the commands print."""
    run = sorted(map(str, (FIXTURES / "digits").glob("*.keras")))
    tables = [
        *run_tables(ckpt_inspect.analyze(run[:3]), "store"),
        *diff_tables(ckpt_inspect.diff(run[0], run[-1])),
        *show_tables(ckpt_inspect.describe(run[-1])),
        *soundness_tables(ckpt_inspect.check(run[:2])),
    ]
    plain = [table for table in tables if not table.title and not any(column.title for column in table.columns)]
    return {row[0] for table in plain for row in table.rows}


def test_every_name_of_a_fact_is_explained() -> None:
    """As headings are: `explain is` says what that line means."""
    facts = _facts()
    assert {"run", "is", "a", "sound"} < facts
    assert {fact: Answer("explain", fact).code for fact in facts} == dict.fromkeys(facts, 0)


def test_headings_lead_to_what_there_is() -> None:
    """To figures that can be explained; and none hides one."""
    assert set(FIGURES.values()) | {name for _, see in WORDS.values() for name in see} <= set(EXPLANATIONS)
    assert [e.name for e in explained_headings("median  e")] == ["effective_lr"]
    assert not {name.lower() for name in WORDS} & {name.lower() for name in EXPLANATIONS}
