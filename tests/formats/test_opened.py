"""Checkpoints of a run that are asked for again: known as long as their files are the same, and no longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.bundle_writer import write_bundle

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats import open_checkpoint, opened
from ckpt_inspect.formats.opened import OpenCheckpoints


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for number in range(4):
        write_bundle(tmp_path / f"m-{number}", {"w": np.full(3, number, np.float32)})
    return [tmp_path / f"m-{number}" for number in range(4)]


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each checkpoint that is opened anew."""
    found: list[str] = []
    monkeypatch.setattr(opened, "open_checkpoint", lambda path: found.append(path.name) or open_checkpoint(path))
    return found


def test_what_was_pushed_out_is_not_decoded_again(paths: list[Path], anew: list[str]) -> None:
    """Its files are closed meanwhile, and all of it can be read."""
    with OpenCheckpoints(limit=1) as several:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for path in (*paths, *paths):
            assert several.get(path).read("w").tolist() == [int(path.name[-1])] * 3
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
        with several.take(paths[0]) as taken:
            assert taken.read("w").tolist() == [0, 0, 0]
    assert anew == [path.name for path in paths]


def test_there_is_room_for_so_many_tensors(paths: list[Path], anew: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones stay, since checkpoints are asked for in one order again and again."""
    monkeypatch.setattr(opened, "_KNOWN", 2)
    with OpenCheckpoints(limit=1) as several:
        for path in (*paths, *paths):
            several.get(path)
    assert anew == ["m-0", "m-1", "m-2", "m-3", "m-2"]


def test_what_was_replaced_is_opened_anew(paths: list[Path], anew: list[str]) -> None:
    """Whoever asks gets what is there now."""
    with OpenCheckpoints(limit=1) as several:
        for path in paths:
            several.get(path)
        write_bundle(paths[0], {"w": np.zeros(5, np.float32)})
        assert several.get(paths[0]).read("w").shape == (5,)
    assert anew == [*(path.name for path in paths), "m-0"]


def test_damage_is_found_by_everyone_who_reads(paths: list[Path]) -> None:
    """What was read before it rested counts for nothing."""
    data = paths[0].with_name("m-0.data-00000-of-00001")
    data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
    with OpenCheckpoints(limit=1) as several:
        for reader in (several.get, several.get, several.take):
            with pytest.raises(DamagedFileError):
                reader(paths[0]).read("w")
            several.get(paths[1])
