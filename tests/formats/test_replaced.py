"""A checkpoint that is replaced while it is open: the old one's values or a clean error, never a mix of both."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.bundle_writer import write_bundle

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.formats.saved_model import EmptySavedModel

NAMES = [f"vars/{i}" for i in range(4)]


def arrays(value: float) -> dict[str, np.ndarray]:
    """Tensors of one value; larger than what any reader keeps of a file."""
    return {name: np.full(30_000, value, np.float32) for name in NAMES}


def bundle(path: Path, value: float) -> None:
    write_bundle(path / "ckpt", arrays(value))
    Path(path / "ckpt.meta").write_bytes(b"")


def hdf5(path: Path, value: float, **how: object) -> None:
    with h5py.File(path / "m.weights.h5", "w") as file:
        for name, array in arrays(value).items():
            file.create_dataset(name, data=array, **how)


def chunked(path: Path, value: float) -> None:
    hdf5(path, value, chunks=(1000,))


def archive(path: Path, value: float, compression: int = zipfile.ZIP_STORED, **how: object) -> None:
    hdf5(path, value, **how)
    with zipfile.ZipFile(path / "m.keras", "w", compression) as file:
        file.writestr("config.json", json.dumps({"value": value}))
        file.write(path / "m.weights.h5", "model.weights.h5")
    (path / "m.weights.h5").unlink()


def chunked_archive(path: Path, value: float) -> None:
    archive(path, value, chunks=(1000,))


def compressed_archive(path: Path, value: float) -> None:
    archive(path, value, zipfile.ZIP_DEFLATED)


def saved_model(path: Path, value: float) -> None:
    (path / "m" / "variables").mkdir(parents=True)
    write_bundle(path / "m" / "variables" / "variables", arrays(value))
    (path / "m" / "saved_model.pb").write_bytes(b"")


def sharded(path: Path, value: float) -> None:
    shards = {}
    for i, (name, array) in enumerate(arrays(value).items()):
        shards[name] = f"m_{i:05d}.weights.h5"
        with h5py.File(path / shards[name], "w") as file:
            file[name] = array
    (path / "m.weights.json").write_text(json.dumps({"weight_map": shards}))


WRITERS: list[tuple[Callable[[Path, float], None], str]] = [
    (bundle, "ckpt"),
    (hdf5, "m.weights.h5"),
    (chunked, "m.weights.h5"),
    (archive, "m.keras"),
    (chunked_archive, "m.keras"),
    (compressed_archive, "m.keras"),
    (saved_model, "m"),
    (sharded, "m.weights.json"),
]


def values(checkpoint: Checkpoint, names: list[str], accepted: str = "was replaced while") -> set[float]:
    """What the tensors hold; nothing of one that gives the accepted error."""
    return set().union(*(_values(checkpoint, name, accepted) for name in names))


def _values(checkpoint: Checkpoint, name: str, accepted: str) -> set[float]:
    try:
        return set(np.unique(checkpoint.read(name)).tolist())
    except CkptInspectError as error:
        assert accepted in str(error)
        return set()


@pytest.mark.parametrize("already_read", [0, 1])
@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_replaced_by_renaming(
    tmp_path: Path, write: Callable[[Path, float], None], name: str, already_read: int
) -> None:
    """Every file is replaced between opening and reading: what is read is of the checkpoint that was opened."""
    for folder, value in (("run", 1), ("new", 2)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, value)
    with open_checkpoint(tmp_path / "run" / name) as checkpoint:
        before = checkpoint.size_bytes, checkpoint.modified, checkpoint.read_head(64)
        assert values(checkpoint, NAMES[:already_read]) <= {1}
        for new in sorted(p for p in (tmp_path / "new").rglob("*") if p.is_file()):
            os.utime(new, (1, 1))  # written within the same tick of the clock otherwise
            new.replace(tmp_path / "run" / new.relative_to(tmp_path / "new"))
        assert values(checkpoint, NAMES) <= {1}
        assert (checkpoint.size_bytes, checkpoint.modified, checkpoint.read_head(64)) == before
    with open_checkpoint(tmp_path / "run" / name) as checkpoint:
        assert values(checkpoint, NAMES) == {2}


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_deleted(tmp_path: Path, write: Callable[[Path, float], None], name: str) -> None:
    """What is deleted after opening is still read, where it was open, or is called missing."""
    write(tmp_path, 1)
    with open_checkpoint(tmp_path / name) as checkpoint:
        for path in list(tmp_path.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert values(checkpoint, NAMES, "is missing") <= {1}


def test_a_saved_model_that_is_gone_by_now(tmp_path: Path) -> None:
    """It was there when the folder was recognised."""
    with pytest.raises(NotFoundError, match=r"saved_model\.pb: is gone since it was looked for; open the checkpoint"):
        EmptySavedModel(tmp_path)
