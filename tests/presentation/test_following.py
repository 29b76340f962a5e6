"""The page of a training that goes on: as new as there is time for, up to date at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import Run

import ckpt_inspect as ci
from ckpt_inspect.errors import StoreError
from ckpt_inspect.presentation import following, report
from ckpt_inspect.presentation.following import LivePage


@pytest.fixture
def analyses(tmp_path: Path) -> ci.Analyses:
    """Of two checkpoints."""
    save_series(tmp_path / "run", 2)
    return ci.analyze(tmp_path / "run")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of checkpoints on each page that is written."""
    pages: list[int] = []
    monkeypatch.setattr(report, "write_report", lambda runs, *_, **__: pages.append(len(runs[0])))
    return pages


class Clock:
    """Goes on when it is told, and by what each page takes."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_page_is_written_no_more_often_than_it_is_loaded(
    tmp_path: Path, analyses: ci.Analyses, written: list[int]
) -> None:
    """What comes meanwhile is on the next one."""
    clock = Clock()
    page = LivePage(tmp_path / "report", clock)
    for clock.now in (0.0, 1.0, 9.0, following.RELOAD, following.RELOAD + 1):
        page.take(tmp_path / "a.h5", analyses)
        assert list(page.write_if_due()) == []
    assert len(written) == 2


def test_a_page_takes_a_share_of_the_time(
    tmp_path: Path, analyses: ci.Analyses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes 20 s is written each 80 s."""
    clock, begun = Clock(), []

    def write(*_: object, **__: object) -> None:
        begun.append(clock.now)
        clock.now += 20.0

    monkeypatch.setattr(report, "write_report", write)
    page = LivePage(tmp_path / "report", clock)
    while clock.now < 200:
        page.take(tmp_path / "a.h5", analyses)
        list(page.write_if_due())
        clock.now += 1.0
    assert begun == [0.0, 80.0, 160.0]


def test_a_page_that_is_up_to_date_is_not_written(tmp_path: Path, analyses: ci.Analyses, written: list[int]) -> None:
    """Neither at a look that brought nothing, nor at the end."""
    page = LivePage(tmp_path / "report")
    page.write()
    page.take(tmp_path / "a.h5", analyses)
    list(page.write_if_due())
    page.write()
    assert written == [2]


def test_a_page_that_cannot_be_written_is_tried_again(
    tmp_path: Path, analyses: ci.Analyses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a full disk that is reported once; of anything else it ends the following."""
    errors = [errno.ENOSPC, errno.ENOSPC, None, errno.EACCES]

    def write(*_: object, **__: object) -> None:
        if number := errors.pop(0):
            raise StoreError("report: can't be written") from OSError(number, os.strerror(number))

    monkeypatch.setattr(report, "write_report", write)
    monkeypatch.setattr(following, "RELOAD", 0.0)
    page = LivePage(tmp_path / "report", Clock())

    def problems() -> Iterator[int]:
        for _ in range(3):
            page.take(tmp_path / "a.h5", analyses)
            yield len(list(page.write_if_due()))

    assert list(problems()) == [1, 0, 0]
    page.take(tmp_path / "a.h5", analyses)
    with pytest.raises(StoreError, match="can't be written"):
        list(page.write_if_due())


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_the_last_page_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_interrupted: bool) -> None:
    """Also those that came when it was too soon to write it; and it loads itself anew no more."""
    monkeypatch.setattr("ckpt_inspect.series.watch.YOUNG", 0.0)
    run = Run()

    def save(_: float) -> None:
        if run.step == 6 and is_interrupted:
            raise KeyboardInterrupt
        save_bundle(run.train(2), tmp_path / "run" / f"ckpt-{run.step + 2}")

    (tmp_path / "run").mkdir()
    monkeypatch.setattr("ckpt_inspect.runs.following.time.sleep", save)
    page = tmp_path / "report" / "index.html"
    loads = []
    try:
        for _ in ci.follow(tmp_path / "run", folder=tmp_path, report=page.parent, until=6, every=1):
            loads.append("location.reload" in page.read_text("utf-8"))  # noqa: PERF401 - as it is by then
    except KeyboardInterrupt:
        pass
    whole = ci.write_report(ci.load(tmp_path / "run.ckpt-inspect.h5"), tmp_path / "whole")
    assert loads == [True] * 3
    assert "location.reload" not in page.read_text("utf-8")
    assert [(page.parent / file.name).read_bytes() for file in whole.files] == [f.read_bytes() for f in whole.files]
