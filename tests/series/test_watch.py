"""Looks at a folder: what is new, and no more work than that takes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import Run

from ckpt_inspect.series import watch
from ckpt_inspect.series.watch import Watch


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry each time the folders are searched for checkpoints."""
    found: list[object] = []
    search = watch.claims_now
    monkeypatch.setattr(watch, "claims_now", lambda paths: found.append(paths) or search(paths))
    return found


def made_old(folder: Path, seconds: float = 100.0) -> None:
    """Leave all files as if they had been written a while ago."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_folder_in_which_nothing_changes_is_searched_once(tmp_path: Path, listings: list[object]) -> None:
    """Until something is written, replaced or deleted in it; each look sees that."""
    paths = save_series(tmp_path / "run", 3)
    made_old(tmp_path / "run")
    looks = Watch([tmp_path / "run"])
    assert looks.look()
    for path in looks.fresh():
        looks.mark(path, "taken")
    assert not looks.look()
    assert not looks.look()
    assert len(listings) == 1

    save_bundle(Run().train(100), tmp_path / "run" / "model.ckpt-100")
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
    assert len(listings) == 3


def test_what_was_just_written_is_settled_by_a_look_that_finds_it_unchanged(
    tmp_path: Path, listings: list[object]
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
    assert len(listings) == 1


def test_files_of_this_moment_are_looked_at_again(tmp_path: Path, listings: list[object]) -> None:
    """The next write may have the same time."""
    save_series(tmp_path / "run", 1)
    future = time.time() + 1000
    for path in (tmp_path / "run").iterdir():
        os.utime(path, (future, future))
    looks = Watch([tmp_path / "run"])
    looks.look()
    looks.look()
    assert len(listings) == 2


@pytest.mark.parametrize("how", ["state file", "pattern"])
def test_checkpoints_elsewhere_are_looked_at_each_time(tmp_path: Path, listings: list[object], how: str) -> None:
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
    save_bundle(Run().train(20), path)
    assert looks.look()
    assert len(listings) == 2
