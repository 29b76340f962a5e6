"""What is put away of a long run comes back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.comparison.paths import PathFigures
from ckpt_inspect.runs.assembly import RowEvidence
from ckpt_inspect.runs.spilled import SpilledEvidence

FIGURES = PathFigures(
    np.array([0.1, np.nan]), np.array([1 / 3, 2.0]), np.array([-1.0, np.nan]), np.array([1.0, 0.5]), np.array([3, 0])
)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[SpilledEvidence]:
    found = SpilledEvidence(tmp_path)
    yield found
    found.clear()


@pytest.fixture
def spilled(empty: SpilledEvidence) -> SpilledEvidence:
    """Three stretches of two checkpoints each, of which the last says what can't be done any more."""
    found = empty
    for start in (0, 2):
        found.add({"adam": {f"/run/{n}": RowEvidence(n, f"/run/{n - 1}", n / 7) for n in (start, start + 1)}})
    problem = Problem("late", "é \udcff", "nothing", "info")
    found.add({"adam": {"/run/4": RowEvidence(problems=(problem,)), "/run/5": RowEvidence(contradictions={"x": "y"})}})
    return found


def test_what_is_told_of_a_checkpoint_comes_back(spilled: SpilledEvidence) -> None:
    """Of those that are asked for, whichever stretch they are of."""
    rows = spilled.rows(["/run/1", "/run/2", "/run/5", "/elsewhere/0"])["adam"]
    assert list(rows) == ["/run/1", "/run/2", "/run/5"]
    assert rows["/run/1"] == RowEvidence(1, "/run/0", 1 / 7)
    assert dict(rows["/run/5"].contradictions) == {"x": "y"}
    assert list(spilled.places()) == [f"/run/{n}" for n in range(6)]


def test_figures_of_a_path_come_back(empty: SpilledEvidence) -> None:
    """To the bit, those that aren't known as well."""
    empty.add({"adam": {"/run/1": RowEvidence(path=(("a", "b"), FIGURES))}})
    path = empty.rows(["/run/1"])["adam"]["/run/1"].path
    assert path is not None
    assert path[0] == ("a", "b")
    for name in PathFigures.__slots__:
        np.testing.assert_array_equal(getattr(path[1], name), getattr(FIGURES, name))


def test_what_is_stored_is_forgotten(spilled: SpilledEvidence) -> None:
    """But for a stretch of which one is still to be read, and for what nothing else says."""
    spilled.drop(["/run/3"])
    assert list(spilled.places()) == ["/run/2", "/run/3", "/run/4", "/run/5"]
    spilled.drop([])
    (row,) = (rows["/run/4"] for rows in spilled.rows(["/run/4"]).values())
    assert row.problems[0].message == "é \udcff"
