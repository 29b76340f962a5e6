"""Every format has a checkpoint in fixtures/formats that TensorFlow or Keras wrote, read here as their readers do."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.orbax_sets import SETS

from ckpt_inspect.formats import FORMATS, open_checkpoint
from ckpt_inspect.series.search import find_checkpoints

FOLDER = Path(__file__).parents[2] / "fixtures" / "formats"
FORMAT_OF = {
    "saver/v2.ckpt-2": "tensor-bundle",
    "saver/v1.ckpt-2": "tf1-v1",
    "saver/v1-sharded.ckpt-2-?????-of-00001": "tf1-v1",
    "keras/ckpt-1": "tensor-bundle",
    "keras/saved_model": "saved-model",
    "keras/model.h5": "keras-h5",
    "keras/model.keras": "keras-archive",
    "keras/model.weights.h5": "keras-weights-h5",
}


def _recorded() -> dict[str, dict[str, Any]]:
    by_checkpoint: dict[str, dict[str, Any]] = defaultdict(dict)
    with np.load(FOLDER / "values.npz") as values:
        for name in values.files:
            checkpoint, _, key = name.partition("|")
            by_checkpoint[checkpoint][key] = values[name]
    return by_checkpoint


def test_every_format_has_a_fixture() -> None:
    """A format that is registered and has no fixture, or the other way round, is noticed."""
    elsewhere = {"orbax"} if SETS else set()  # folders of many files, in fixtures/orbax: test_orbax.py
    assert {name for known in FORMATS for name in known.names} == set(FORMAT_OF.values()) | elsewhere
    assert set(_recorded()) == set(FORMAT_OF)


def test_all_are_found() -> None:
    """The folder's checkpoints are those, and nothing else in it."""
    assert {str(p.relative_to(FOLDER)) for p in find_checkpoints(FOLDER)} == set(FORMAT_OF)


@pytest.mark.parametrize("name", FORMAT_OF)
def test_agrees_with_the_record(name: str) -> None:
    """Names, shapes and every byte are what the writer's own reader gave."""
    with open_checkpoint(FOLDER / name) as checkpoint:
        assert checkpoint.format == FORMAT_OF[name]
        assert not checkpoint.problems
        recorded = _recorded()[name]
        assert set(checkpoint.tensors) == set(recorded)
        for key, spec in checkpoint.tensors.items():
            ours = checkpoint.read(key)
            if spec.dtype == "string":
                assert ours.item() == recorded[key].tobytes()
            else:
                assert ours.shape == recorded[key].shape == spec.shape
                assert ours.tobytes() == recorded[key].tobytes()
        assert checkpoint.size_bytes == sum(f.stat().st_size for f in checkpoint.files)
