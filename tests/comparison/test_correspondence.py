"""What two checkpoints have in common, where their names or kinds differ."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from support.adam_bundles import save_bundle
from support.adam_runs import AdamRun
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


def test_a_layer_that_was_frozen_is_not_taken_for_another_name(tmp_path: Path) -> None:
    """The name is the same: what differs is that no optimizer has it any more."""
    run = Run(shapes={"hidden/w": (2, 3), "digit/w": (3, 2)}).train(5)
    before = save_bundle(run, tmp_path / "a")
    for moments in (run.first, run.second):
        del moments["hidden/w"]
    found = diff(before, save_bundle(run, tmp_path / "b"))
    assert "names-differ" not in codes(found.problems)
    (remark,) = (p for p in found.problems if p.code == "trained-in-one-only")
    assert remark.message == "in both checkpoints, but not in the same optimizer: hidden/w"


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


def test_an_assumed_beta_2_is_called_so_where_v_fell_too_fast(tmp_path: Path) -> None:
    """It is the likeliest cause, and the option to give is named; one that was read is not."""
    rng = np.random.default_rng(0)  # so that no elements agree on a beta_2
    for step in (20, 120):
        run = Run().train(20)
        tensors = dict(run.weights) | {f"{n}/adam_m": v for n, v in run.first.items()}
        tensors |= {
            f"{n}/adam_v": (v * (1 if step == 20 else rng.uniform(0.98, 0.99, v.shape) ** 100)).astype(np.float32)
            for n, v in run.second.items()
        }
        write_bundle(tmp_path / f"model.ckpt-{step}", {**tensors, "global_step": np.array(step, np.int64)})
    paths = tmp_path / "model.ckpt-20", tmp_path / "model.ckpt-120"
    (problem,) = [p for p in diff(*paths, infer=False).problems if p.code == "not-a-continuation"]
    assert "100 updates can make it fall with the beta_2 that is assumed, 0.999" in problem.message
    assert problem.resolution.startswith("give the beta_2 that was used (--beta-2)")
    (given,) = [p for p in diff(*paths, given={"beta_2": 0.999}).problems if p.code == "not-a-continuation"]
    assert "assumed" not in given.message
    assert "not-a-continuation" not in codes(diff(*paths, given={"beta_2": 0.97}).problems)
    assert "not-a-continuation" not in codes(diff(*paths).problems)  # one cause, one remark: the value is refuted


def test_slots_of_a_rule_without_moments_that_became_zero_are_reported(tmp_path: Path) -> None:
    """As momentum's, which a restore without the optimizer leaves at 0."""
    run = Run().train(5)
    for name, factor in (("a", 1.0), ("b", 0.0)):
        slots = {f"{n}/Momentum": (v * factor).astype(np.float32) for n, v in run.first.items()}
        write_bundle(tmp_path / name, {**run.weights, **slots})
    assert "moments-zeroed" in codes(diff(tmp_path / "a", tmp_path / "b").problems)
    assert "moments-zeroed" not in codes(diff(tmp_path / "b", tmp_path / "a").problems)


def test_untrained_weights_of_a_whole_model_have_their_layers_names(tmp_path: Path) -> None:
    """`norm/moving_mean` in an .h5 is what a .keras calls so: neither added nor removed."""
    for name in ("a.h5", "b.h5"):
        path = AdamRun({"out/kernel": (4, 3)}).train(5).save(tmp_path / name)
        with h5py.File(path, "r+") as file:
            layer = "norm" if name == "a.h5" else "model_1"
            group = file["model_weights"].create_group(layer)
            group["norm/moving_mean:0"] = np.zeros(3, np.float32)
            file["model_weights"].attrs["layer_names"] = [b"out", layer.encode()]
            group.attrs["weight_names"] = [b"norm/moving_mean:0"]
    found = diff(tmp_path / "a.h5", tmp_path / "b.h5")
    assert {p.parameter: p.status for p in found.parameters} == {"norm/moving_mean": "same", "out/kernel": "same"}
