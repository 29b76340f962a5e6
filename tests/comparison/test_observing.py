"""Which elements are read of a checkpoint, and how."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from support.bundle_writer import write_bundle
from support.silent_runs import save_run

from ckpt_inspect import analyze, open_checkpoint, optimizer_states
from ckpt_inspect.comparison import observing
from ckpt_inspect.comparison.element_choice import BLOCK, Choice
from ckpt_inspect.comparison.observing import Glimpse, HeldElements, observe, read_chosen


def glimpse(path: Path, held: HeldElements, budget: int = 1 << 20) -> Glimpse:
    checkpoint = open_checkpoint(path)
    (state,) = optimizer_states(checkpoint)
    return Glimpse.of(path.name, state, lambda: checkpoint, held, budget=budget)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_run(tmp_path_factory.mktemp("run"), (100, 120), beta_2=0.98)


def test_elements_are_those_of_the_arrays(paths: list[Path]) -> None:
    """In the choice's order, in the file's type; a smaller choice is the beginning of a larger."""
    with open_checkpoint(paths[0]) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        whole = {name: p.second_moment().ravel() for name, p in state.parameters.items()}
    (all_of_them,) = observe([glimpse(paths[0], HeldElements())])
    (some,) = observe([glimpse(paths[0], HeldElements(), 300)])
    for name, array in whole.items():
        found = all_of_them.elements[name].second
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(np.sort(found), np.sort(array))
        np.testing.assert_array_equal(some.elements[name].second, found[: some.elements[name].size])
    assert sum(moments.size for moments in some.elements.values()) <= 300


def test_few_are_held_at_a_time(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was let go of is read again."""
    held = HeldElements(limit=0)
    observations = observe([glimpse(paths[i % 2], held) for i in range(6)])
    for observation in (*observations, *observations):
        assert observation.elements["dense/kernel"].second is not None
        assert len(held._held) <= 2


def test_a_tensor_of_another_size_is_left_out(paths: list[Path], tmp_path: Path) -> None:
    """Its elements would not be the same ones."""
    held = HeldElements()
    with h5py.File(tmp_path / "other.h5", "w") as file, h5py.File(paths[0]) as source:
        for name in source:
            source.copy(name, file)
        for name, value in source.attrs.items():
            file.attrs[name] = value
        for place in (
            "model_weights/dense/dense/bias:0",
            "optimizer_weights/adam/dense_bias_momentum:0",
            "optimizer_weights/adam/dense_bias_velocity:0",
        ):
            del file[place]
            file[place] = np.ones(31, np.float32)
    one, two = observe([glimpse(paths[0], held), glimpse(tmp_path / "other.h5", held)])
    assert "dense/bias" in one.elements
    assert "dense/bias" not in two.elements
    assert "dense/kernel" in two.elements


def test_compressed_arrays_are_unpacked_in_part(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are large, a quarter of their bytes; those that lie plainly are read by range."""
    monkeypatch.setattr(observing, "_UNPACKED_BYTES", 1000)
    packed = tmp_path / "m.h5"
    with h5py.File(packed, "w") as file, h5py.File(paths[0]) as source:
        for name, value in source.attrs.items():
            file.attrs[name] = value

        def copy(name: str, thing: h5py.Group | h5py.Dataset) -> None:
            if isinstance(thing, h5py.Group):
                group = file.require_group(name)
                group.attrs.update(thing.attrs)
            else:
                options = {"compression": "gzip"} if thing.size > 100 else {}
                file.create_dataset(name, data=thing[()], **options)

        source.visititems(copy)
    (found,) = observe([glimpse(packed, HeldElements())])
    assert set(found.elements) == {"dense/kernel", "dense/bias"}
    (found,) = observe([glimpse(paths[0], HeldElements())])
    assert len(found.elements) == 3


def test_far_checkpoints_are_asked_for_less(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is a request there, and several are made at a time."""
    monkeypatch.setattr(observing.storage, "is_far", lambda path: True)
    monkeypatch.setattr(observing, "FAR_BUDGET", 500)
    (found,) = observe([glimpse(paths[0], HeldElements())])
    assert 300 < sum(moments.size for moments in found.elements.values()) <= 500
    (optimizer,) = analyze(paths).optimizers.values()
    assert optimizer.variables["beta_2"].tolist() == [0.98, 0.98]


def test_few_large_chunks_that_are_far_away_are_fetched_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few blocks of a large tensor: a tenth of all bytes at most. What lies plainly is looked at all the same."""
    path = save_run(tmp_path, (100,), beta_2=0.98)[0]
    rng = np.random.default_rng(0)
    with h5py.File(path, "a") as file:
        for place in (
            "model_weights/emb/emb/kernel:0",
            "optimizer_weights/adam/emb_kernel_momentum:0",
            "optimizer_weights/adam/emb_kernel_velocity:0",
        ):
            del file[place]
            file.create_dataset(place, data=rng.random((512, 1024), np.float32), chunks=(4, 1024), compression=1)
    monkeypatch.setattr(observing.storage, "is_far", lambda path: True)
    monkeypatch.setattr(observing, "_FAR_BYTES", 1000)
    monkeypatch.setattr(observing, "_LARGE_CHUNK", 1000)
    found = glimpse(path, HeldElements()).chosen
    assert {name: choice.count for name, choice in found.choices.items()} == {
        "emb/kernel": 4 * BLOCK, "dense/kernel": 240, "dense/bias": 30,
    }  # fmt: skip
    with open_checkpoint(path) as checkpoint:
        keys = found.tensors["emb/kernel"].keys.values()
        assert 0 < 4 * sum(map(checkpoint.chunk_bytes, keys)) <= sum(checkpoint.spec(key).nbytes for key in keys) // 10
    monkeypatch.setattr(observing, "_FAR_SHARE", 100)
    assert set(glimpse(path, HeldElements()).chosen.choices) == {"dense/kernel", "dense/bias"}


@pytest.mark.parametrize("can_read", [True, False])
def test_blocks_of_a_bundle_are_left_to_whoever_reads_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_read: bool
) -> None:
    """They are read where they lie, and not checksummed; where that fails, as any elements are."""
    prefix = tmp_path / "model.ckpt-10"
    arrays = {tail: np.arange(10, 10 + 64 * 1000, dtype=np.float32).reshape(64, 1000) + at * 100_000 for at, tail in
              enumerate(("", "/Adam", "/Adam_1"))}  # fmt: skip
    write_bundle(prefix, {f"w{tail}": array for tail, array in arrays.items()})
    if not can_read:
        monkeypatch.setattr(observing.storage, "read_pieces", lambda descriptor, buffer, pieces: False)
    with open_checkpoint(prefix) as checkpoint:
        choice = Choice(64_000, 5000)
        for tail, array in arrays.items():
            found = read_chosen(checkpoint, f"w{tail}", choice)
            np.testing.assert_array_equal(found, array.ravel()[choice.indices()])
            stored = checkpoint.stored_elements(f"w{tail}")
            assert stored is not None
            assert stored.is_uncounted(0, array.nbytes) == can_read
