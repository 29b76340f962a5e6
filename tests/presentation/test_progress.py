"""Progress of a call from Python."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze, progress_line


def test_progress_is_one_line_that_ends_when_all_is_done(tmp_path: Path) -> None:
    """Each state begins the line anew and covers the one before."""
    save_series(tmp_path / "run", 3)
    stream = io.StringIO()
    analyze(tmp_path / "run", progress=progress_line("analysing", stream))
    text = stream.getvalue()
    assert text.startswith("\ranalysing: ")
    assert text.count("\n") == 1 and text.rstrip(" \n").endswith(" s")
    states = text.rstrip("\n").split("\r")[1:]
    assert all(len(a.rstrip()) <= len(b) for a, b in pairwise(states))
    assert states[-1].startswith("analysing: done in ")


def test_progress_says_what_is_left_at_the_speed_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter in ten seconds: thirty more. Updates that come too soon after another are left out."""
    now = 100.0
    monkeypatch.setattr("ckpt_inspect.presentation.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    progress = progress_line(stream=stream)
    now = 110.0
    progress(25, 100)
    progress(26, 100)
    now = 112.0
    progress(100, 100)
    assert stream.getvalue() == "\rreading: 25 %, 30 s left\rreading: done in 12.0 s \n"
