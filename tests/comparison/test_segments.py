"""Where a run is cut: lost state, and a learning rate that jumped."""

from __future__ import annotations

import math

import pytest

from ckpt_inspect.comparison.segments import segments


@pytest.mark.parametrize(
    "continues, rates, expected",
    [
        ([], [], []),
        ([None], [], [(0, 1, "start")]),
        ([None, True, True], [0.1, 0.09, 0.06], [(0, 3, "start")]),
        ([None, True, False, True], [], [(0, 2, "start"), (2, 4, "state-lost")]),
        ([None, True, True], [0.1, 0.1, 0.01], [(0, 2, "start"), (2, 3, "rate-jumped")]),
        ([None, True, True], [0.1, None, 0.4], [(0, 2, "start"), (2, 3, "rate-jumped")]),
        ([None, False], [0.1, 1.0], [(0, 1, "start"), (1, 2, "state-lost")]),
        ([None, None, True], [0.0, 0.1, 0.1], [(0, 3, "start")]),
        ([None, None, None], [0.1, math.nan, 0.01], [(0, 3, "start")]),
        ([None, True], [0.1, 0.01], [(0, 1, "start"), (1, 2, "rate-jumped")]),
        ([None, True, True], [0.1, 0.01, 0.001], [(0, 3, "start")]),
        ([None, True, True, True], [0.1, 0.03, 0.01, 0.01], [(0, 4, "start")]),
    ],
)
def test_where_a_run_is_cut(
    continues: list[bool | None], rates: list[float | None], expected: list[tuple[int, int, str]]
) -> None:
    """A rate that falls step by step, one that is not known, and one that moves or starts at 0 cut nothing."""
    assert [(s.start, s.stop, s.begins) for s in segments(continues, rates)] == expected
