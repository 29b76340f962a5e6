"""A long run to which checkpoints have come: only the newest are sought, opened and compared, and nothing is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze, analyze_runs, find_runs, follow, load
from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs import analyze as analysing
from ckpt_inspect.runs import following, growth, inferring, movement, reading, store, unchanged
from ckpt_inspect.runs.apart import apart
from ckpt_inspect.runs.remembered import segments_of
from ckpt_inspect.runs.stored_runs import StoredRun, taken_rows
from ckpt_inspect.series import search

OLD = 1_700_000_000_123_456_789
"""Nanoseconds since 1970."""

COUNT = 9


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs of a few checkpoints long ones, their stores large, and stretches short."""
    for room in (analysing, unchanged):
        monkeypatch.setattr(room, "LONG", 3)
    monkeypatch.setattr(reading, "PART", 2)
    monkeypatch.setattr(movement, "YOUNG", 0.0)  # or a slow machine has other words for damage at the second look
    monkeypatch.setattr(store, "LARGE", 0)
    monkeypatch.setattr(growth, "_SLAB", 5)
    monkeypatch.setattr(inferring, "STRETCH", 4)
    monkeypatch.setattr(inferring, "LATER_STRETCH", 3)
    for room in (inferring, following):
        monkeypatch.setattr(room, "KEPT_CHECKPOINTS", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    (path / "checkpoint").write_text("what TensorFlow writes anew with each")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run.ckpt-inspect.h5"


@pytest.fixture
def bring(tmp_path: Path, folder: Path) -> Callable[[int], None]:
    """Bring the checkpoint of a number, from 1, into the folder, as it always was."""
    made = [path.name for path in save_series(tmp_path / "made", COUNT)]

    def bring(number: int) -> None:
        for file in (tmp_path / "made").glob(f"{made[number - 1]}.*"):
            shutil.copyfile(file, folder / file.name)
        for each in folder.iterdir():
            os.utime(each, ns=(OLD, OLD))

    return bring


@pytest.fixture
def sought(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many checkpoints were grouped into runs, each time."""
    found: list[int] = []
    seek = search.runs_of

    def runs_of(claims: object, *rest: object) -> object:
        each = list(claims)  # type: ignore[call-overload]  # what is given to `runs_of`
        found.append(len(each))
        return seek(each, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "runs_of", runs_of)
    return found


def test_only_the_newest_are_sought(
    folder: Path, place: Path, bring: Callable[[int], None], sought: list[int], tmp_path: Path
) -> None:
    """One after the other, and the store is that of a run that was analysed at once."""
    for number in range(1, 7):
        bring(number)
    analyze(folder, store=place)
    for number in range(7, COUNT + 1):
        bring(number)
        (folder / "checkpoint").write_text(f"names {number}")
        os.utime(folder / "checkpoint", ns=(OLD + number, OLD + number))
        del sought[:]
        (result,) = analyze_runs(folder, folder=tmp_path)
        assert result.store == place
        assert sought == [number - inferring.first_of_end(number - 1)]
        assert result.run.checkpoints == find_runs(folder)[0].checkpoints
        assert result.analyses == load(place)
    at_once = analyze(folder, store=tmp_path / "other.h5")
    assert load(place) == at_once
    assert load(place).findings == at_once.findings
    del sought[:]
    assert analyze(folder, store=place) == at_once
    assert not sought


@pytest.mark.parametrize("last", ["whole", "damaged", "half"])
def test_several_may_have_come(
    folder: Path,
    place: Path,
    bring: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
) -> None:
    """Also more than are compared at once; what is written, and told, is what the search for all of them leads to."""
    for number in range(1, 5):
        bring(number)
    analyze(folder, store=place)
    shutil.copyfile(place, tmp_path / "other.h5")
    for number in range(5, COUNT + 1):
        bring(number)
    (data,) = folder.glob(f"*-{10 * COUNT}.data*")
    if last == "damaged":
        data.write_bytes(data.read_bytes()[:-40])
        os.utime(data, ns=(OLD, OLD))
    elif last == "half":
        data.unlink()
    assert is_grown(folder, place)
    grown = analyze(folder, store=place)
    monkeypatch.setattr(unchanged, "_grown", lambda *_: None)
    assert grown == load(place) == analyze(folder, store=tmp_path / "other.h5")
    assert len(grown.failures) == (last != "whole")


@pytest.mark.parametrize("change", ["replaced", "deleted", "earlier", "elsewhere", "called otherwise"])
def test_whatever_else_happens_is_sought(folder: Path, place: Path, bring: Callable[[int], None], change: str) -> None:
    """Nothing but what comes last by its name, in the same folder, is added unseen."""
    for number in (*range(1, 3), *range(4, 8)):
        bring(number)
    analyze(folder, store=place)
    bring(8)
    (newest,) = (path.with_suffix("") for path in folder.glob("*-80.index"))
    parts = list(folder.glob(f"{newest.name}.*"))
    if change == "replaced":
        os.utime(next(folder.glob("*-20.index")), ns=(OLD + 1, OLD + 1))
    elif change == "deleted":
        for file in folder.glob("*-20.*"):
            file.unlink()
    elif change == "earlier":
        bring(3)
    else:
        (folder / "below").mkdir()
        for file in parts:
            name = file.name.replace("model", "other") if change == "called otherwise" else f"below/{file.name}"
            file.rename(folder / name)
    assert not is_grown(folder, place)


def test_what_was_half_there_is_whole_when_the_rest_comes(
    folder: Path, place: Path, bring: Callable[[int], None], tmp_path: Path
) -> None:
    """Files that belonged to no checkpoint are looked at with those that have come."""
    for number in range(1, 8):
        bring(number)
    next(folder.glob("*-70.index")).rename(tmp_path / "index")
    analyze(folder, store=place)
    (tmp_path / "index").rename(folder / "model.ckpt-70.index")
    grown = told(folder, place)
    assert isinstance(grown, unchanged.Grown)
    assert [len(parts) for parts in grown.newest.parts().values()] == [2] * len(grown.newest.checkpoints)
    assert analyze(folder, store=place) == analyze(folder, store=tmp_path / "other.h5")


def test_other_bins_make_the_store_be_written_anew(
    folder: Path, place: Path, bring: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all checkpoints before, of which only the end had been looked at."""
    for number in range(1, COUNT):
        bring(number)
    analyze(folder, store=place)
    bring(COUNT)
    monkeypatch.setattr(growth._Writing, "first_row", lambda *_: None)
    assert analyze(folder, store=place) == analyze(folder, store=tmp_path / "other.h5")


def test_a_store_that_somebody_else_wrote_meanwhile_keeps_what_it_has(
    folder: Path, place: Path, bring: Callable[[int], None]
) -> None:
    """Whoever comes second takes in what the first one stored."""
    for number in range(1, 8):
        bring(number)
    analyze(folder, store=place)
    bring(8)

    def meanwhile(done: int, total: int) -> None:
        if done == total and len(load(place)) == 7:
            bring(9)
            analyze(folder, store=place)

    analyze(folder, store=place, progress=meanwhile)
    assert [str(name) for name in load(place).checkpoints["checkpoint"]] == [
        f"model.ckpt-{10 * number}" for number in range(1, COUNT + 1)
    ]
    (stored,), (read,) = (run.optimizers.values() for run in (load(place), analyze(folder)))
    np.testing.assert_array_equal(stored.variables["effective_lr"], read.variables["effective_lr"])


def told(folder: Path, place: Path) -> unchanged.Unchanged | unchanged.Grown | None:
    """What the store tells of the folder."""
    survey = unchanged.survey_of([folder])
    assert survey is not None
    return unchanged.stored_before(folder, survey, place, None, analysing.Options(), {})


def is_grown(folder: Path, place: Path) -> bool:
    """Whether it tells that newer checkpoints have come, and nothing else."""
    return isinstance(told(folder, place), unchanged.Grown)


def test_a_run_that_is_followed_only_grows(
    folder: Path, bring: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new checkpoint is taken once, with the end of the store alone; the store is that which all of it gives.
    Whether one of those before the end was renamed is told without reading their fingerprints again."""
    monkeypatch.setattr(following, "WHOLE", 0)
    asked: list[str] = []
    save, whole_column = growth.LongRun.save, StoredRun.column

    def noting(long: growth.LongRun, path: Path) -> RunColumns:
        with monkeypatch.context() as patched:
            patched.setattr(StoredRun, "column", lambda run, *name: asked.append(name[1]) or whole_column(run, *name))
            return save(long, path)

    monkeypatch.setattr(growth.LongRun, "save", noting)
    planned: list[bool] = []
    plan = analysing._planned
    monkeypatch.setattr(analysing, "_planned", lambda *rest: planned.append((p := plan(*rest)).first > 0) or p)
    taken: list[str] = []

    def followed(store: Path) -> None:
        for file in folder.glob("model*"):
            file.unlink()
        bring(1)
        for each in follow(folder, store=store, every=0.01, idle=1.0):
            taken.append(each.checkpoint)
            if len(taken) % COUNT:
                bring(len(taken) % COUNT + 1)
            else:
                return

    followed(tmp_path / "s.h5")
    assert "fingerprint" not in asked
    assert planned == [number > 4 for number in range(1, COUNT + 1)]
    monkeypatch.setattr(following._Shelf, "has_all_before", lambda *_: False)
    followed(tmp_path / "t.h5")
    assert taken == [f"model.ckpt-{10 * number}" for number in range(1, COUNT + 1)] * 2
    assert load(tmp_path / "s.h5") == load(tmp_path / "t.h5")


def test_a_run_that_is_not_long_is_kept_as_a_whole(
    folder: Path, bring: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large its store: it is written anew, with all that it has."""
    monkeypatch.setattr(following, "WHOLE", 0)
    for room in (analysing, unchanged):
        monkeypatch.setattr(room, "LONG", 100)
    bring(1)
    for taken, _ in enumerate(follow(folder, store=tmp_path / "s.h5", every=0.01, idle=1.0), 1):
        if taken == COUNT:
            break
        bring(taken + 1)
    assert len(load(tmp_path / "s.h5")) == COUNT


def test_what_was_seen_of_a_store_is_not_read_again(
    folder: Path, place: Path, bring: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns in which findings were sought; and those of a store before stay what they were."""
    for number in range(1, 8):
        bring(number)
    analyze(folder, store=place)
    bring(8)
    grown = analyze(folder, store=place)
    (optimizer,) = grown.optimizers.values()
    with monkeypatch.context() as patched:
        patched.setattr(StoredRun, "_read_whole", lambda *_: pytest.fail("it was read"))
        steps, rates = (optimizer.variables[name].copy() for name in ("step", "learning_rate"))
    (stored,) = load(place).optimizers.values()
    np.testing.assert_array_equal(steps, stored.variables["step"])
    np.testing.assert_array_equal(rates, stored.variables["learning_rate"])
    bring(9)
    analyze(folder, store=place)
    np.testing.assert_array_equal(optimizer.variables["step"], steps)


def test_an_append_reads_the_store_once(
    folder: Path, place: Path, bring: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that it needs together; no fingerprint of those before the end, since no file of theirs has such a time."""
    for number in range(1, 8):
        bring(number)
    analyze(folder, store=place)
    bring(8)
    for file in folder.glob("*-80.*"):
        os.utime(file, ns=(OLD + 5, OLD + 5))
    with monkeypatch.context() as patched:
        patched.setattr(StoredRun, "hashes", lambda _: pytest.fail("all fingerprints were read"))
        patched.setattr(store, "load_large", lambda _: pytest.fail("it was read as a whole"))
        for again in ("load_stamps", "load_seen"):
            patched.setattr(store, again, lambda _: pytest.fail("it was read again"))
        grown = analyze(folder, store=place)
    assert load(place) == grown
    assert len(grown) == 8


def test_where_nothing_is_new_the_store_is_read_once(
    folder: Path, place: Path, bring: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is shown of the newest with it, and what the store remembers of the run."""
    for number in range(1, 8):
        bring(number)
    before = analyze(folder, store=place)
    copies: list[object] = []

    def counted(*arguments: Any) -> bytearray:
        copies.append(arguments)
        return apart(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(store, "apart", counted)
        found = analyze(folder, store=place)
        newest, cut = taken_rows(found, [len(found) - 1]), segments_of(found)
        assert len(copies) == 1
    assert found == before == load(place)
    assert newest == taken_rows(load(place), [len(found) - 1])
    assert cut == segments_of(load(place))


def test_a_damaged_store_is_refused_though_nothing_but_checkpoints_have_come(
    folder: Path, place: Path, bring: Callable[[int], None]
) -> None:
    """With the words of whoever loads it."""
    for number in range(1, 8):
        bring(number)
    analyze(folder, store=place)
    bring(8)
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2])
    assert store.load_known(place, inferring.first_of_end) is None
    with pytest.raises(StoreError) as said:
        load(place)
    with pytest.raises(StoreError) as refused:
        analyze(folder, store=place)
    assert str(refused.value) == str(said.value)
