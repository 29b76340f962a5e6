"""Every tensor with its figures: numpy's own, whatever the pieces."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from support.adam_bundles import save_bundle
from support.bundle_writer import write_bundle
from support.command_line import Answer
from support.keras_files import Run
from support.memory_checkpoints import MemoryCheckpoint

import ckpt_inspect
from ckpt_inspect.overview.tensors import Spread, shown_tensors
from ckpt_inspect.state.selection import Selection

EMA = Path(__file__).parents[2] / "fixtures" / "recorded" / "k333_tf216_fit_weights_h5_ema_dup"


@given(
    arrays(np.float32, array_shapes(max_dims=1, max_side=40), elements=st.floats(width=32)),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_pieces_give_what_the_whole_gives(values: np.ndarray, cuts: list[int]) -> None:
    """Extremes and counts exactly, mean and deviation to rounding; only finite elements enter."""
    spread = Spread()
    for piece in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
        spread.add(piece)
    finite = values[np.isfinite(values)].astype(np.float64)
    assert spread.nonfinite == len(values) - len(finite)
    assert spread.zeros == np.count_nonzero(finite == 0)
    assert spread.count == len(finite)
    if len(finite):
        assert (spread.minimum, spread.maximum) == (finite.min(), finite.max())
        largest = np.abs(finite).max()
        assert spread.mean == pytest.approx(finite.mean(), rel=1e-12, abs=1e-12 * largest)
        assert spread.deviation == pytest.approx(finite.std(), rel=1e-9, abs=1e-9 * largest)


def test_tensors_of_any_kind_are_listed() -> None:
    """Texts, booleans, integers, nothing at all: what can't be computed is NaN."""
    arrays = {
        "t10": np.array([True, False]), "t2": np.array([1, 5], np.int8), "text": np.array([b"a"], object),
        "none": np.zeros((0, 3), np.float32), "bad": np.array([np.nan, np.inf]), "z": np.array([1 + 2j]),
    }  # fmt: skip
    shown, problems = shown_tensors(MemoryCheckpoint(arrays))
    found = {t.name: t for t in shown}
    assert problems == ()
    assert [t.name for t in shown] == ["bad", "none", "t2", "t10", "text", "z"]
    assert (found["t2"].minimum, found["t2"].maximum, found["t2"].mean) == (1, 5, 3)
    assert (found["t10"].mean, found["t10"].zeros) == (0.5, 1)
    assert found["bad"].nonfinite == 2
    assert all(math.isnan(found[name].mean) for name in ("none", "text", "bad", "z"))


def test_only_selected_ones_are_read() -> None:
    """By their own names, or by the parameters' that they belong to."""
    checkpoint = MemoryCheckpoint({"a": np.ones(2), "b": np.ones(2)})
    shown, _ = shown_tensors(checkpoint, selection=Selection.of(["b"], None))
    assert [t.name for t in shown] == ["b"]
    assert checkpoint.read_names == ["b"]


def test_averages_stand_beside_their_weights() -> None:
    """How far from it: by h5py and numpy."""
    (path,) = EMA.glob("*.weights.h5")
    with ckpt_inspect.open_checkpoint(path) as checkpoint:
        state = ckpt_inspect.optimizer_states(checkpoint)[0]
        shown = ckpt_inspect.describe(checkpoint, with_tensors=True).listed
        keys = {p.found.slots["average"]: p.found.value for p in state.parameters.values()}
    with h5py.File(path) as file:
        expected = {
            a: np.linalg.norm(file[a][...] - file[w][...]) / np.linalg.norm(file[w][...]) for a, w in keys.items()
        }
    averages = {t.name: t.from_weight for t in shown if t.holds.startswith("average of ")}
    assert averages == pytest.approx(expected)
    assert all(math.isnan(t.from_weight) for t in shown if t.name not in expected)


def test_the_command_lists_them(tmp_path: Path) -> None:
    """Instead of the parameters; what each holds stands beside it; --json has the figures unrounded."""
    path = Run().train(5).save(tmp_path / "model.h5")
    assert "first moment of dense/kernel" in Answer("show", path, "--tensors").out
    (listed,) = (
        t for t in json.loads(Answer("show", path, "--tensors", "--json").out)["listed"] if t["holds"] == "dense/kernel"
    )
    with ckpt_inspect.open_checkpoint(path) as checkpoint:
        values = checkpoint.read(listed["name"]).astype(np.float64)
    assert listed["mean"] == pytest.approx(values.mean())
    assert listed["deviation"] == pytest.approx(values.std())


def test_several_are_shown_one_after_another(tmp_path: Path) -> None:
    """One that can't be shown stops no other; with --json all are one document."""
    paths = [Run().train(n).save(tmp_path / f"{n}.h5") for n in (3, 4)]
    answer = Answer("show", paths[0], tmp_path / "none", paths[1])
    assert answer.code == 1
    assert [line.split()[1] for line in answer.out.splitlines() if line.startswith("checkpoint ")] == list(
        map(str, paths)
    )
    assert "there is no such file" in answer.sentence
    document = json.loads(Answer("show", paths[0], tmp_path / "none", paths[1], "--json").out)["checkpoints"]
    assert [d.get("path") for d in document] == [str(paths[0]), str(tmp_path / "none"), str(paths[1])]
    assert document[1]["error"]["exit_code"] == 1


@pytest.mark.parametrize("has_state", [True, False])
def test_a_missing_shard_is_reported_once_and_is_a_failure(tmp_path: Path, has_state: bool) -> None:
    """Whether it held an optimizer's state or weights alone."""
    run = Run().train(2)
    prefix = tmp_path / "model.ckpt-2"
    if has_state:
        save_bundle(run, prefix)
    else:
        write_bundle(prefix, run.weights)
    shard = tmp_path / "model.ckpt-2.data-00000-of-00001"
    shard.unlink()
    shown = ckpt_inspect.describe(prefix)
    assert shown.is_damaged
    assert [p.message.partition(";")[0] for p in shown.problems if p.severity == "error"] == [f"{shard}: is missing"]
