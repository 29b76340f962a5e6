"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from ckpt_inspect.runs.atomic import Temporary, folder_locked, replacing


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
    made = Temporary(tmp_path / "a")
    made.path.write_text("new")
    with replacing(tmp_path / "a", made) as temporary:
        assert temporary == made.path
    assert (tmp_path / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_killed_processes_left_goes_and_nothing_else(tmp_path: Path) -> None:
    """Not what somebody is writing, nor files of other names."""
    path = tmp_path / "a.h5"
    others = [".a.h5.notes.tmp", ".b.h5.abcdefgh.tmp", "a.h5.abcdefgh.tmp", ".a.h5.tmp"]
    for name in (*others, ".a.h5.abcdefgh.tmp"):
        (tmp_path / name).write_text("left")
    being_written = Temporary(path)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert {p.name for p in tmp_path.iterdir()} == {"a.h5", being_written.path.name, *others}
    being_written.close()
    assert {p.name for p in tmp_path.iterdir()} == {"a.h5", *others}


def test_a_long_name_has_temporary_ones(tmp_path: Path) -> None:
    """Shorter than a name may be."""
    path = tmp_path / ("a" * 255)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folders_lock_keeps_other_processes_away_and_leaves_no_file(tmp_path: Path) -> None:
    """Whoever holds it may ask for it again."""
    asks = "import sys, pathlib; from ckpt_inspect.runs.atomic import folder_locked as f"
    asks += "\nwith f(pathlib.Path(sys.argv[1])): print('in', flush=True)"
    with folder_locked(tmp_path), folder_locked(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", asks, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=2)
    assert process.communicate(timeout=60)[0] == "in\n"
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_a_temporary_file_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised when the file is known by name, and the file goes."""
    made = tempfile.mkstemp

    def interrupted(**where: Any) -> tuple[int, str]:
        found = made(**where)
        os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(tempfile, "mkstemp", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Temporary(tmp_path / "s.h5")
        time.sleep(10)  # the signal comes again
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_that_nobody_holds_goes(tmp_path: Path) -> None:
    """As one whose maker was interrupted before it could keep it; a copy of the process leaves it."""
    temporary = Temporary(tmp_path / "s.h5")
    copy = os.fork()
    if not copy:
        del temporary
        os._exit(0)
    os.waitpid(copy, 0)
    assert temporary.path.exists()
    del temporary
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ends_holding_a_temporary_file_removes_it(tmp_path: Path) -> None:
    """As an interrupted one, whose frames are not taken apart."""
    makes = "import pathlib, sys; from ckpt_inspect.runs.atomic import Temporary"
    makes += "\nheld = [Temporary(pathlib.Path(sys.argv[1]) / 's.h5')]; held.append(held); sys.exit(3)"
    assert subprocess.run([sys.executable, "-c", makes, str(tmp_path)], check=False).returncode == 3
    assert list(tmp_path.iterdir()) == []
