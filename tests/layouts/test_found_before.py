"""What layouts found in one checkpoint of a run, for the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import SHAPES, Run

from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.layouts import find_optimizers, found_before
from ckpt_inspect.layouts.found_before import FoundBefore


def test_one_finding_serves_all_checkpoints_of_a_run(tmp_path: Path) -> None:
    """The very same objects, for their names are the same."""
    found = FoundBefore()
    results = []
    for path in save_series(tmp_path / "run"):
        with open_checkpoint(path) as checkpoint:
            results.append(found.find(checkpoint))
            assert results[-1] == find_optimizers(checkpoint)
    assert all(result is results[0] for result in results)


def test_a_checkpoint_with_another_parameter_is_looked_at_anew(tmp_path: Path) -> None:
    """And both kinds are remembered."""
    found = FoundBefore()
    runs = [Run(), Run(shapes={**SHAPES, "more/kernel": (2, 2)})]
    for number in range(4):
        run = runs[number % 2]
        with open_checkpoint(save_bundle(run.train(1), tmp_path / f"model-{number}")) as checkpoint:
            (optimizer,) = found.find(checkpoint)
            assert len(optimizer.parameters) == len(run.weights)


def test_a_file_that_is_opened_again_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if values decided, as with two pairs of beta powers: until the file changes."""
    extra = {name: np.float32(value) for name, value in (("beta1_power_1", 0.9), ("beta2_power_1", 0.999))}
    path = save_bundle(Run().train(5), tmp_path / "model-5", **extra)
    looked: list[Path] = []
    monkeypatch.setattr(found_before, "find_optimizers", lambda c: looked.append(c.path) or find_optimizers(c))
    found = FoundBefore()
    for _ in range(2):
        with open_checkpoint(path) as checkpoint:
            found.find(checkpoint)
    assert looked == [path]
    save_bundle(Run().train(6), path, **extra)
    with open_checkpoint(path) as checkpoint:
        found.find(checkpoint)
    assert looked == [path, path]
