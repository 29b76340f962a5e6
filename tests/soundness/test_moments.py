"""Moments and weights that no update leaves behind, by themselves or after those of the checkpoint before."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_runs import AdamRun, Array
from support.keras_files import Run
from support.silent_runs import save_without_config

import ckpt_inspect as ci

Damage = Callable[[AdamRun, AdamRun], None]
"""What is done to the state that is saved; the second is the run as it was saved before."""


def verdicts(folder: Path, damage: Damage, **config: float) -> tuple[ci.Verdict, ...]:
    """Of two checkpoints, the second of them damaged."""
    run = AdamRun(**config).train(100)
    before = deepcopy(run)
    run.save(folder / "m-100.h5")
    run.train(50)
    damage(run, before)
    run.save(folder / "m-150.h5")
    return ci.check(folder).checkpoints


def critical(verdict: ci.Verdict) -> set[str]:
    return {reason.id for reason in verdict.reasons if reason.severity == "critical"}


def negative(run: AdamRun, before: AdamRun) -> None:
    run.second["second/kernel"][3, 4] *= -1


def swapped(run: AdamRun, before: AdamRun) -> None:
    run.first, run.second = run.second, run.first


def of_another_run(run: AdamRun, before: AdamRun) -> None:
    for second in run.second.values():
        second *= 1e-6


def larger(run: AdamRun, before: AdamRun) -> None:
    for first in run.first.values():
        first *= 100


@pytest.mark.parametrize("damage", [negative, swapped, of_another_run, larger])
def test_moments_that_no_gradients_leave_behind(tmp_path: Path, damage: Damage) -> None:
    """Not whole, with no checkpoint beside it either; the one before is."""
    first, second = verdicts(tmp_path, damage)
    assert first.is_sound and not second.is_whole
    assert "impossible-moments" in critical(second)
    (alone,) = ci.check(tmp_path / "m-150.h5").checkpoints
    assert critical(alone) == {"impossible-moments"}


@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.5, 0.9), (0.9, 0.9999), (0.99, 0.9), (0.98, 0.9)])
def test_any_betas_are_possible(tmp_path: Path, betas: tuple[float, float]) -> None:
    """Elements that have seen no gradient for long included, known betas or not; where m outlives √v it is doubted."""

    def rare(name: str, weight: Array, rng: np.random.Generator) -> Array:
        g: Array = rng.normal(size=weight.shape) * (rng.random(weight.shape) < 0.005)
        return g

    run = AdamRun(beta_1=betas[0], beta_2=betas[1])
    for step in (10, 300, 900):
        run.train(step - run.step, rare).save(tmp_path / f"m-{step:03d}.h5")
        save_without_config(run, tmp_path / f"open-{step:03d}.h5")
    for kind in ("m", "open"):
        found = ci.check(sorted(tmp_path.glob(f"{kind}-*.h5"))).checkpoints
        assert all(verdict.is_sound for verdict in found)
        doubts = {reason.id for verdict in found for reason in verdict.reasons} & {"doubtful-moments"}
        assert not doubts or (kind == "open" and betas[0] ** 2 > betas[1])


@pytest.mark.parametrize(("name", "is_sound"), [("embedding/embeddings", True), ("dense/kernel", False)])
def test_parts_of_a_repeated_row_are_squared_one_by_one(tmp_path: Path, name: str, is_sound: bool) -> None:
    """Keras 3 does so with embeddings, whose m may then exceed the bound; a kernel's may not."""
    run = AdamRun({"embedding/embeddings": (20, 4), "dense/kernel": (4, 20)})
    run.train(30, lambda own, w, rng: (np.ones(w.shape), np.ones(w.shape) / (500 if own == name else 1)))
    (verdict,) = ci.check(run.save(tmp_path / "m.h5", keras="3.5.0")).checkpoints
    assert critical(verdict) == (set() if is_sound else {"impossible-moments"})


def first_left(run: AdamRun, before: AdamRun) -> None:
    run.first = before.first


def second_left(run: AdamRun, before: AdamRun) -> None:
    run.second = before.second


def first_gone(run: AdamRun, before: AdamRun) -> None:
    for first in run.first.values():
        first[...] = 0


@pytest.mark.parametrize("damage", [first_left, second_left, first_gone])
def test_moments_that_no_update_touched(tmp_path: Path, damage: Damage) -> None:
    """The counter rose, and weights moved: both moments have decayed by then, and not to nothing."""
    _, second = verdicts(tmp_path, damage)
    assert second.continues is False
    assert critical(second) == {"partly-restored"}


def test_a_counter_that_stood_still(tmp_path: Path) -> None:
    """The moments are others, so that no such state lies before the other; the same state saved twice is no fault."""

    def stand_still(run: AdamRun, before: AdamRun) -> None:
        run.step = before.step

    _, second = verdicts(tmp_path, stand_still, beta_2=0.9)
    assert second.continues is False and critical(second) == {"moments-reset"}
    (tmp_path / "m-150.h5").write_bytes((tmp_path / "m-100.h5").read_bytes())
    assert all(verdict.is_sound for verdict in ci.check(tmp_path).checkpoints)


def test_weights_that_became_zero(tmp_path: Path) -> None:
    """Of a whole parameter: no update makes them so."""

    def zero(run: AdamRun, before: AdamRun) -> None:
        run.weights["second/kernel"][...] = 0

    _, second = verdicts(tmp_path, zero)
    assert second.continues is False and critical(second) == {"weights-replaced"}


def test_a_frozen_layer_is_sound(tmp_path: Path) -> None:
    """Its weights and moments stay the same while those of others move."""

    def freeze(run: AdamRun, before: AdamRun) -> None:
        for now, then in ((run.weights, before.weights), (run.first, before.first), (run.second, before.second)):
            now["first/kernel"] = then["first/kernel"]

    assert all(verdict.is_sound for verdict in verdicts(tmp_path, freeze))


def test_nameless_slots_that_are_no_moments_any_more(tmp_path: Path) -> None:
    """A negative square takes the rule from a file whose slots have no names: the one before tells what they were."""
    run = Run().train(5)
    paths = []
    for step in (5, 10):
        paths.append(tmp_path / f"m-{step:02d}.weights.h5")
        save_nameless(run.train(step - run.step), paths[-1])
    assert all(verdict.is_sound for verdict in ci.check(paths).checkpoints)
    with h5py.File(paths[1], "r+") as file:
        for i, name in enumerate(run.weights):
            second = file[f"optimizer/vars/{2 * i + 3}"]
            second[...] = -run.second[name]
    first, second = ci.check(paths).checkpoints
    assert first.is_sound and second.continues is False
    assert "negative" in second.reasons[0].text


def save_nameless(run: Run, path: Path) -> None:
    """Write weights and optimizer as Keras 3.0 to 3.7 do."""
    with h5py.File(path, "w") as file:
        for i, (name, weight) in enumerate(run.weights.items()):
            layer, _, role = name.partition("/")
            place = {"kernel": "0", "embeddings": "0", "bias": "1"}.get(role, str(i))
            file[f"layers/{layer}/vars/{place}"] = weight
        file["optimizer/vars/0"], file["optimizer/vars/1"] = np.int64(run.step), np.float32(1e-3)
        for i, name in enumerate(run.weights):
            file[f"optimizer/vars/{2 * i + 2}"] = run.first[name]
            file[f"optimizer/vars/{2 * i + 3}"] = run.second[name]
