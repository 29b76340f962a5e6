"""A long run of which nothing is new is known again without a look into its checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze, analyze_runs, find_runs, load
from ckpt_inspect.runs import analyze as analysing
from ckpt_inspect.runs import reading, store, unchanged
from ckpt_inspect.series import search

OLD = 1_700_000_000_123_456_789
"""Nanoseconds since 1970."""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs of a few checkpoints long ones, and their stores large."""
    for room in (analysing, unchanged):
        monkeypatch.setattr(room, "LONG", 3)
    monkeypatch.setattr(reading, "PART", 2)
    monkeypatch.setattr(store, "LARGE", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    save_series(path, 6)
    for file in path.iterdir():
        os.utime(file, ns=(OLD, OLD))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run.ckpt-inspect.h5"


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that checkpoints are sought in a folder."""
    found: list[None] = []
    seek = search.runs_of
    monkeypatch.setattr(search, "runs_of", lambda *rest: found.append(None) or seek(*rest))
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first file of each checkpoint whose fingerprint is computed."""
    found: list[str] = []
    fingerprint = unchanged.fingerprint_now
    monkeypatch.setattr(unchanged, "fingerprint_now", lambda files: found.append(files[0]) or fingerprint(files))
    return found


def test_nothing_is_sought_where_nothing_is_new(folder: Path, place: Path, searches: list[None]) -> None:
    """The store has the answer, and stays as it is."""
    first = analyze(folder, store=place)
    content = place.read_bytes()
    del searches[:]
    assert analyze(folder, store=place) == first
    (result,) = analyze_runs(folder, store=place)
    assert result.analyses == first
    assert not searches
    assert place.read_bytes() == content


def test_the_run_is_that_which_would_be_found(
    folder: Path, tmp_path: Path, searches: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths are spelled as the folder is, and its store lies where it would."""
    monkeypatch.chdir(tmp_path)
    (before,) = analyze_runs("run", folder=".")
    del searches[:]
    (after,) = analyze_runs("run", folder=".")
    assert not searches
    assert (after.store, after.run.name, after.run.folder) == (before.store, before.run.name, before.run.folder)
    assert after.run.checkpoints == before.run.checkpoints == find_runs("run")[0].checkpoints


@pytest.mark.parametrize("change", ["replaced", "older", "deleted", "new"])
def test_whatever_changed_is_sought(folder: Path, place: Path, change: str, tmp_path: Path) -> None:
    """A file of another time, also an earlier one, one that is gone, one that has come."""
    first = analyze(folder, store=place)
    newest = max(folder.glob("*.index"), key=lambda path: int(path.stem.rpartition("-")[2])).with_suffix("")
    if change in ("replaced", "older"):
        time = OLD + (1 if change == "replaced" else -1)
        os.utime(folder / f"{newest.name}.index", ns=(time, time))
    elif change == "deleted":
        for file in folder.glob(f"{newest.name}.*"):
            file.unlink()
    else:
        save_series(folder, 7)
    second = analyze(folder, store=place)
    assert second == load(place)
    if change == "deleted":  # what is known of it stays
        assert second == first
    else:
        assert second == analyze(folder, store=tmp_path / "other.h5")
        assert second != first


def test_what_was_interrupted_is_not_all_of_a_run(folder: Path, place: Path, tmp_path: Path) -> None:
    """Though nothing has changed in the folder since: the next analysis reads the rest."""

    def stop(done: int, total: int) -> None:
        if done > total * 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze(folder, store=place, progress=stop)
    assert 0 < len(load(place)) < 6
    assert analyze(folder, store=place) == analyze(folder, store=tmp_path / "other.h5")


def test_other_options_are_other_results(folder: Path, place: Path) -> None:
    """So are other thresholds."""
    analyze(folder, store=place)
    assert analyze(folder, store=place, thresholds={"starved": 0.7}).thresholds == {"starved": 0.7}
    assert "0.5" in analyze(folder, store=place, given={"learning_rate": 0.5}).options


def test_another_version_looks_for_itself(
    folder: Path, place: Path, searches: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may find other runs."""
    analyze(folder, store=place)
    del searches[:]
    monkeypatch.setattr(unchanged, "__version__", "another")
    analyze(folder, store=place)
    assert searches


def test_a_run_that_could_not_be_read_is_read_again(folder: Path, place: Path, searches: list[None]) -> None:
    """Whoever asks again hears of it again."""
    broken = next(folder.glob("*.data-*"))
    broken.write_bytes(b"")
    os.utime(broken, ns=(OLD, OLD))
    assert analyze(folder, store=place).failures
    del searches[:]
    assert analyze(folder, store=place).failures
    assert searches


def test_only_what_was_touched_is_opened_to_compare_it(folder: Path, place: Path, opened: list[str]) -> None:
    """Of the others their times and sizes tell."""
    analyze(folder, store=place)
    touched = sorted(folder.glob("*.index"))[0]
    os.utime(touched, ns=(OLD + 1, OLD + 1))
    del opened[:]
    analyze(folder, store=place)
    assert opened == [str(touched)]


def test_a_folder_that_is_being_written_is_not_remembered(folder: Path, place: Path, searches: list[None]) -> None:
    """Until what is there can't be changed without another time."""
    newest = sorted(folder.glob("*.index"))[-1]
    os.utime(newest, ns=(2**62, 2**62))
    analyze(folder, store=place)
    del searches[:]
    analyze(folder, store=place)
    assert searches
    os.utime(newest, ns=(OLD, OLD))
    for _ in range(2):
        del searches[:]
        analyze(folder, store=place)
    assert not searches


def test_a_folder_of_two_runs_is_sought(folder: Path, tmp_path: Path, searches: list[None]) -> None:
    """One store doesn't tell of the other run."""
    for file in [*folder.iterdir()]:
        (folder / file.name.replace("ckpt", "other")).write_bytes(file.read_bytes())
    for file in folder.iterdir():
        os.utime(file, ns=(OLD, OLD))
    runs = [result.run.name for result in analyze_runs(folder, folder=tmp_path)]
    del searches[:]
    assert [result.run.name for result in analyze_runs(folder, folder=tmp_path)] == runs
    assert searches
