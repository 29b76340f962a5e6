"""What two checkpoints have in common, where their names or kinds differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.adam_bundles import save_bundle
from support.bundle_writer import write_bundle
from support.keras_files import Run

from ckpt_inspect import diff


def codes(problems: tuple[object, ...]) -> set[str]:
    return {p.code for p in problems}  # type: ignore[attr-defined]  # problems


def test_renamed_parameters_are_compared_and_labelled(tmp_path: Path) -> None:
    """They are not the same checkpoint, though every tensor is; a Problem says that the pairs are assumed."""
    shapes = {"dense_1/kernel": (4, 3), "dense_2/kernel": (3, 3)}
    one, two = Run(shapes=shapes).train(5), Run(shapes={f"dense_{n}/kernel": s for n, s in ((7, (4, 3)), (8, (3, 3)))})
    two.train(9)
    found = diff(save_bundle(one, tmp_path / "a"), save_bundle(two, tmp_path / "b"))
    assert {p.parameter: p.status for p in found.parameters} == {
        "dense_7/kernel": "changed",
        "dense_8/kernel": "changed",
    }
    assert found.renamed == {"dense_7/kernel": "dense_1/kernel", "dense_8/kernel": "dense_2/kernel"}
    assert "parameters-renamed" in codes(found.problems)
    assert not found.is_same


def test_names_that_may_differ_alone_give_a_hint(tmp_path: Path) -> None:
    """The shapes correspond and the names don't."""
    write_bundle(tmp_path / "a", {"first/w": np.ones((2, 3), np.float32)})
    write_bundle(tmp_path / "b", {"other/v": np.ones((2, 3), np.float32)})
    found = diff(tmp_path / "a", tmp_path / "b")
    assert "names-differ" in codes(found.problems)
    assert found.counts["added"] == found.counts["removed"] == 1


def test_counters_and_rates_are_no_parameters(tmp_path: Path) -> None:
    """They stand apart, and still make a difference."""
    run = Run().train(5)
    for name, count in (("a", 1), ("b", 2)):
        extra = {"save_counter": np.array(count, np.int64), "dynamic_scale": np.array(2.0**count, np.float32)}
        save_bundle(run, tmp_path / name, **extra)
    found = diff(tmp_path / "a", tmp_path / "b")
    assert {p.parameter for p in found.parameters} == set(run.weights)
    assert {p.parameter for p in found.scalars if p.status == "changed"} == {"save_counter", "dynamic_scale"}
    assert not found.is_same


def test_moments_that_became_zero_are_reported(tmp_path: Path) -> None:
    """Whether the counter fell or not."""
    run = Run().train(5)
    before = save_bundle(run, tmp_path / "a")
    for moments in (run.first, run.second):
        for value in moments.values():
            value[...] = 0
    after = save_bundle(run, tmp_path / "b")
    assert "moments-zeroed" in codes(diff(before, after).problems)
    assert "moments-zeroed" not in codes(diff(before, before).problems)
    assert "moments-zeroed" not in codes(diff(after, after).problems)
