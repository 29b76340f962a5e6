"""What is said of a checkpoint that goes while it is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.adam_bundles import save_bundle
from support.keras_files import Run

import ckpt_inspect as ci
from ckpt_inspect.errors import ChangedFileError, NotFoundError
from ckpt_inspect.series import meanwhile


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "run").mkdir()
    run = Run()
    run.train(2)
    first = save_bundle(run, tmp_path / "run" / "ckpt-2")
    run.train(2)
    return first, save_bundle(run, tmp_path / "run" / "ckpt-20")


READERS: dict[str, Callable[[Path, Path], object]] = {
    "diff": ci.diff,
    "diff of a folder": lambda first, last: ci.diff(first, last.parent),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_one_file_after_another_is_a_deletion(
    pair: tuple[Path, Path], read: Callable[[Path, Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard first and the index a moment later, as TensorFlow's CheckpointManager does."""
    monkeypatch.setattr(meanwhile, "_PATIENCE", 30.0)
    Path(f"{pair[1]}.data-00000-of-00001").unlink()
    later = threading.Timer(0.3, Path(f"{pair[1]}.index").unlink)
    later.start()
    try:
        with pytest.raises(ChangedFileError, match=r"ckpt-20: is gone: it was deleted while it was read"):
            read(*pair)
    finally:
        later.join()


def test_a_shard_that_stays_away_is_missing(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """However young the folder is; in an old one nothing is waited for."""
    monkeypatch.setattr(meanwhile, "_PATIENCE", 0.1)
    Path(f"{pair[1]}.data-00000-of-00001").unlink()
    for path in (pair[1].parent, *pair[1].parent.iterdir()):
        os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(meanwhile.time, "sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(NotFoundError, match="is missing; copy it to this folder"):
        ci.diff(*pair)
