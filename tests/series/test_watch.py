"""Looks at a folder: what is new, and no more work than that takes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import Run as Run_
from support.object_servers import web_server

from ckpt_inspect.series import claimed, watch
from ckpt_inspect.series.run import Run
from ckpt_inspect.series.watch import Watch
from ckpt_inspect.storage import as_path, objects


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry each time the formats are asked for checkpoints in a folder."""
    found: list[object] = []
    ask, search = claimed.claims_in, watch.claims_now
    monkeypatch.setattr(claimed, "claims_in", lambda folder, *names: found.append(folder) or ask(folder, *names))
    monkeypatch.setattr(watch, "claims_now", lambda paths: found.append(paths) or search(paths))
    return found


def made_old(folder: Path, seconds: float = 100.0) -> None:
    """Leave all files as if they had been written a while ago."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_folder_in_which_nothing_changes_is_searched_once(tmp_path: Path, searches: list[object]) -> None:
    """Until something is written, replaced or deleted in it; each look sees that."""
    paths = save_series(tmp_path / "run", 3)
    made_old(tmp_path / "run")
    looks = Watch([tmp_path / "run"])
    assert looks.look()
    for path in looks.fresh():
        looks.mark(path, "taken")
    assert not looks.look()
    assert not looks.look()
    assert len(searches) == 1

    save_bundle(Run_().train(100), tmp_path / "run" / "model.ckpt-100")
    made_old(tmp_path / "run", 50)
    assert looks.look()
    assert len(looks.fresh()) == 4  # a time is all that tells one file from another
    for path in looks.fresh():
        looks.mark(path, "taken")

    for suffix in (".index", ".data-00000-of-00001"):
        Path(f"{paths[0]}{suffix}").unlink()
    assert looks.look()
    assert looks.fresh() == []
    assert not looks.look()
    assert len(searches) == 3


def test_what_was_just_written_is_settled_by_a_look_that_finds_it_unchanged(
    tmp_path: Path, searches: list[object]
) -> None:
    """Whether or not the folder had to be searched for it."""
    save_series(tmp_path / "run", 1)
    made_old(tmp_path / "run", 2)
    looks = Watch([tmp_path / "run"])
    assert looks.look()
    assert looks.is_unsettled
    assert looks.fresh() == []
    assert not looks.look()
    assert len(looks.fresh()) == 1
    assert not looks.is_unsettled
    assert len(searches) == 1


@pytest.mark.parametrize("how", ["state file", "pattern"])
def test_checkpoints_elsewhere_are_looked_at_each_time(tmp_path: Path, how: str) -> None:
    """A folder tells nothing of what its `checkpoint` file leads to, nor of a pattern's matches."""
    (path,) = save_series(tmp_path / "run", 1)
    folder = tmp_path / "pointing"
    folder.mkdir()
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{path}"\n')
    for each in (tmp_path / "run", folder):
        made_old(each)
    looks = Watch([folder if how == "state file" else tmp_path / "run" / "model*"])
    assert looks.look()
    assert len(looks.fresh()) == 1
    save_bundle(Run_().train(20), path)
    assert looks.look()


def test_what_goes_on_with_a_run_is_put_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All checkpoints are put into runs anew only if something else happened."""
    folder = tmp_path / "run"
    every = save_series(tmp_path / "made", 40)
    folder.mkdir()

    def bring(path: Path) -> None:
        for file in (tmp_path / "made").glob(f"{path.name}.*"):
            shutil.copyfile(file, folder / file.name)
            os.utime(folder / file.name, (time.time() - 100,) * 2)

    looks = Watch([folder])
    grouped: list[int] = []
    group = watch.runs_of
    monkeypatch.setattr(watch, "runs_of", lambda claims, held: grouped.append(len(claims)) or group(claims, held))

    def runs() -> tuple[Run, ...]:
        looks.look()
        found = looks.runs()
        for path in looks.fresh():
            looks.mark(path, "taken")
        return found

    for path in every[:30]:
        bring(path)
    runs()
    for path in every[30:]:
        bring(path)
        (run,) = runs()
    assert [path.name for path in run.checkpoints] == [path.name for path in every]
    assert (grouped, looks.groupings) == ([30, *[25] * 10], 1)
    for file in folder.glob(f"{every[3].name}.*"):
        file.unlink()
    bring(save_bundle(Run_().train(1000), tmp_path / "made" / "model.ckpt-1000"))
    (run,) = runs()
    assert [path.name for path in run.checkpoints] == [p.name for p in (*every[:3], *every[4:])] + ["model.ckpt-1000"]
    bring(save_bundle(Run_().train(1000), tmp_path / "made" / "other-1000"))
    assert len(runs()) == 2
    assert looks.groupings == 2


def test_a_server_that_cant_be_asked_has_lost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it answers for the moment is said, and what was found there stays."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(objects.time, "sleep", lambda _: None)
    monkeypatch.setattr(objects, "_RESTS", 0.0)
    save_series(tmp_path / "run", 2)
    made_old(tmp_path / "run")
    with web_server(tmp_path) as server:
        looks = Watch([as_path(f"{server.address}/run")])
        looks.look()
        found = looks.fresh()
        assert len(found) == 2
        server.fault, server.every = "busy", 1
        assert not looks.look()
        assert "answered 429 (Too Many Requests)" in str(looks.error)
        assert (looks.lost, looks.fresh()) == ([], found)
        server.fault = ""
        looks.look()
        assert (looks.error, looks.lost, looks.fresh()) == (None, [], found)
