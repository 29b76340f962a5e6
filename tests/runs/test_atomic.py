"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckpt_inspect.runs.atomic import replacing


def test_the_new_file_takes_the_old_ones_place_in_one_step(tmp_path: Path) -> None:
    """Until it is done the old one is there; its permissions stay."""
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    """Not those of a temporary file, which others can't read."""
    mask = os.umask(0o022)
    try:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, failure: BaseException) -> None:
    """Whatever it is."""
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(type(failure)), replacing(path) as temporary:
        temporary.write_text("new, in par")
        raise failure
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_there_already_can_take_the_place(tmp_path: Path) -> None:
    """It was written in the same folder."""
    (tmp_path / "made").write_text("new")
    with replacing(tmp_path / "a", tmp_path / "made") as temporary:
        assert temporary == tmp_path / "made"
    assert (tmp_path / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
