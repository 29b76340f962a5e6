"""What checkpoints of a run say of each other, found without comparing each with all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.silent_runs import save_run

import ckpt_inspect as ci
from ckpt_inspect.comparison import run_together
from ckpt_inspect.soundness import check as checking
from ckpt_inspect.soundness.continues import Bound, Drift, StillWindows, agrees, contradicts

PLACES = ("adam", "sgd")

drifts = st.builds(
    Drift,
    optimizer=st.sampled_from(PLACES),
    rate=st.sampled_from([0.0, 1e-3, 1e-2]),
    updates=st.integers(1, 50),
    moved=st.sampled_from([0, 5, 500]),
    still=st.sampled_from([0, 5, 500]),
    exponent=st.floats(0, 1e-3),
)


def verdict() -> ci.Verdict:
    return ci.Verdict("m", True, True, True, ())


@given(st.lists(drifts, max_size=12))
def test_the_window_that_contradicts_is_the_first_of_all(windows: Sequence[Drift]) -> None:
    """As if every window were compared with every other."""
    still = StillWindows(windows)
    for drift in windows:
        assert still.that_contradicts(drift) is next((other for other in windows if contradicts(drift, other)), None)


def bound_of(name: str) -> st.SearchStrategy[Bound | None]:
    return st.none() | st.builds(Bound, st.just(name), st.floats(0.5, 0.9999))


@given(st.lists(st.tuples(*map(bound_of, PLACES)), max_size=9))
def test_windows_agree_with_any_other(rows: Sequence[tuple[Bound | None, ...]]) -> None:
    """Those whose bounds agree with one of another window each, whichever that is."""
    judged = [checking._Judged(verdict(), bounds=tuple(b for b in row if b is not None)) for row in rows]
    expected = {
        place
        for place, each in enumerate(judged)
        if each.bounds
        and all(
            any(agrees(bound, other) for at, one in enumerate(judged) if at != place for other in one.bounds)
            for bound in each.bounds
        )
    }
    assert checking._in_agreement(judged) == expected


@pytest.mark.parametrize("stretch", [3, 4, 7])
def test_a_long_run_is_checked_stretch_by_stretch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    """And the verdicts are those of a run that is compared at once."""
    save_run(tmp_path, tuple(range(100, 340, 20)), beta_1=0.8, beta_2=0.98, epsilon=1e-5)
    at_once = ci.check(tmp_path)
    monkeypatch.setattr(run_together, "STRETCH", stretch)
    monkeypatch.setattr(run_together, "_BEFORE", 2)
    stretched = ci.check(tmp_path)
    assert [(v.continues, v.is_sound, [r.id for r in v.reasons]) for v in stretched.checkpoints] == [
        (v.continues, v.is_sound, [r.id for r in v.reasons]) for v in at_once.checkpoints
    ]
