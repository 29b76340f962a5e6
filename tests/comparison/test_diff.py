"""Two checkpoints compared."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.bundle_writer import entry, header, masked, write
from support.keras_files import ADAM, SHAPES, Run, save_large_archive

from ckpt_inspect import Diff, diff
from ckpt_inspect.checkpoint import TensorSpec
from ckpt_inspect.comparison import diff as comparison
from ckpt_inspect.comparison import elements, pairing
from ckpt_inspect.comparison.differences import ParameterDiff
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.presentation.documents import diff_document


@pytest.fixture
def run() -> Run:
    return Run().train(20)


@pytest.fixture
def first(run: Run, tmp_path: Path) -> Path:
    return run.save(tmp_path / "model-020.h5")


def row(result: Diff, parameter: str) -> ParameterDiff:
    return next(p for p in result.parameters if p.parameter == parameter)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(b.astype(float) - a) / np.linalg.norm(a.astype(float)))


def test_a_checkpoint_is_the_same_as_itself(first: Path) -> None:
    """Nothing differs, and every parameter is listed as the same."""
    result = diff(first, first)
    assert result.is_same
    assert {p.parameter: p.status for p in result.parameters} == dict.fromkeys(SHAPES, "same")
    assert [o.steps for o in result.optimizers] == [0]


def test_changes_are_those_of_the_arrays(run: Run, first: Path, tmp_path: Path) -> None:
    """Weights' and moments' changes are the norms that numpy computes of the whole arrays."""
    before = Run().train(20)
    second = run.train(5).save(tmp_path / "model-025.h5")
    result = diff(first, second)
    assert not result.is_same
    for name in SHAPES:
        found = row(result, name)
        a, b = before.weights[name].ravel(), run.weights[name].ravel()
        assert found.status == "changed"
        assert found.weight_change == pytest.approx(relative(a, b), rel=1e-9)
        cosine = a.astype(float) @ b / np.linalg.norm(a.astype(float)) / np.linalg.norm(b.astype(float))
        assert found.weight_cosine == pytest.approx(cosine, rel=1e-9)
        assert found.first_moment_change == pytest.approx(relative(before.first[name], run.first[name]), rel=1e-9)
        assert found.second_moment_change == pytest.approx(relative(before.second[name], run.second[name]), rel=1e-9)


def test_median_effective_learning_rates(run: Run, first: Path, tmp_path: Path) -> None:
    """They are the medians of Adam's formula over the arrays, and their ratio is b over a."""
    v = Run().train(20).second["dense/kernel"].astype(float)
    expected = np.median(0.01 * math.sqrt(1 - 0.999**20) / (np.sqrt(v) + 1e-7))
    second = run.train(30).save(tmp_path / "later.h5")
    found = row(diff(first, second), "dense/kernel")
    assert found.effective_lr_a == pytest.approx(expected, rel=1e-4)
    assert found.effective_lr_ratio == pytest.approx(found.effective_lr_b / found.effective_lr_a)


def test_what_changed_most_comes_first(run: Run, first: Path, tmp_path: Path) -> None:
    """Rows are ordered by the relative change of the weights."""
    run.weights["head/bias"] *= np.float32(5)
    second = run.train(1).save(tmp_path / "later.h5")
    changes = [p.weight_change for p in diff(first, second).parameters]
    assert changes == sorted(changes, reverse=True)
    assert diff(first, second).parameters[0].parameter == "head/bias"


def test_added_removed_and_reshaped(first: Path, tmp_path: Path) -> None:
    """Parameters of one checkpoint only, and those of another shape, are told and not compared."""
    other = Run(shapes={"dense/kernel": (12, 4), "dense/bias": (3,), "new/kernel": (2, 2)}).train(20)
    result = diff(first, other.save(tmp_path / "other.h5"))
    assert {p.parameter: p.status for p in result.parameters} == {
        "dense/kernel": "reshaped",
        "new/kernel": "added",
        "head/kernel": "removed",
        "head/bias": "removed",
        "dense/bias": "changed",
    }
    assert math.isnan(row(result, "dense/kernel").weight_change)
    assert row(result, "dense/kernel").shape_b == (12, 4)


def test_hyperparameters_that_changed(run: Run, first: Path, tmp_path: Path) -> None:
    """A value that differs is told with its source on both sides; the others are not."""
    second = run.train(5).save(tmp_path / "b.h5", ADAM | {"learning_rate": 0.002})
    (optimizer,) = diff(first, second).optimizers
    assert optimizer.steps == 5
    (changed,) = optimizer.changed_hyperparameters
    assert (changed.name, changed.a.value, changed.b.value) == ("learning_rate", 0.01, 0.002)
    assert (changed.a.source, changed.b.source) == ("config", "config")


def test_given_hyperparameters_hold_for_both(run: Run, first: Path, tmp_path: Path) -> None:
    """What the caller gives replaces what the files say, on both sides."""
    second = run.train(5).save(tmp_path / "b.h5", ADAM | {"learning_rate": 0.002})
    (optimizer,) = diff(first, second, given={"learning_rate": 0.5}).optimizers
    values = {h.name: h for h in optimizer.hyperparameters}
    assert (values["learning_rate"].a.value, values["learning_rate"].b.source) == (0.5, "given")


def test_starved_parameter(run: Run, first: Path, tmp_path: Path) -> None:
    """A parameter that got no gradient between the two is starved, and only that one."""
    second = run.train(7, frozen=("head/bias",)).save(tmp_path / "b.h5")
    starved = {p.parameter: p.starved for p in diff(first, second).parameters}
    assert starved == {"head/bias": 1.0, "dense/kernel": 0.0, "dense/bias": 0.0, "head/kernel": 0.0}


def test_reset_state_is_found(run: Run, first: Path, tmp_path: Path) -> None:
    """A second checkpoint whose second moment can't continue the first's is told, whatever its step says."""
    for second_moment in run.second.values():
        second_moment *= np.float32(0.1)
    result = diff(first, run.train(2).save(tmp_path / "b.h5"))
    (problem,) = (p for p in result.problems if p.code == "not-a-continuation")
    assert "4 parameters" in problem.message


def test_reversed_order_is_told(run: Run, first: Path, tmp_path: Path) -> None:
    """With the later checkpoint first, the steps are negative and no window is computed."""
    second = run.train(3).save(tmp_path / "b.h5")
    result = diff(second, first)
    assert result.optimizers[0].steps == -3
    assert [p.code for p in result.problems] == ["step-fell"]
    assert all(math.isnan(p.gradient_rms) for p in result.parameters)


def test_weights_without_an_optimizer_are_compared(run: Run, first: Path, tmp_path: Path) -> None:
    """Against a model that was not compiled the weights are compared all the same, and the optimizer is removed."""
    result = diff(first, run.save(tmp_path / "weights.h5", optimizer=None))
    assert [o.status for o in result.optimizers] == ["removed"]
    assert {p.parameter: p.status for p in result.parameters} == dict.fromkeys(SHAPES, "same")


def test_two_weights_only_checkpoints(run: Run, tmp_path: Path) -> None:
    """Tensors are paired by key where there is no optimizer at all."""
    a = run.save(tmp_path / "a.h5", optimizer=None)
    run.weights["dense/bias"][0] += 1
    result = diff(a, run.save(tmp_path / "b.h5", optimizer=None))
    assert result.counts["changed"] == 1
    assert result.parameters[0].shape_a == (3,)


def test_a_saved_iterator_is_not_compared(tmp_path: Path) -> None:
    """A variant is no array of numbers: a remark names it, and everything else is compared."""
    for name, value in (("a", b"\0\0\0\0"), ("b", b"\0\0\x80\x3f")):
        w = entry(1, (), 0, 4, masked(value))
        write(tmp_path / name, [(b"", header()), (b"iterator", entry(21, (), 4, 4, 0)), (b"w", w)], value + bytes(4))
    result = comparison.compare(tmp_path / "a", tmp_path / "b")
    assert [(r.parameter, r.status) for r in result.parameters] == [("w", "changed")]
    assert [p.code for p in result.problems] == ["not-comparable"]
    assert "of type variant, which is not an array of numbers: iterator" in result.problems[0].message


def test_include_and_exclude(first: Path) -> None:
    """Glob patterns choose among parameters' names."""
    chosen = diff(first, first, include=["*dense/*"], exclude=["*bias"])
    assert [p.parameter for p in chosen.parameters] == ["dense/kernel"]


def test_patterns_that_match_nothing(first: Path) -> None:
    """Comparing nothing at all is no answer."""
    with pytest.raises(NotFoundError, match="no parameter's name matches what was included"):
        diff(first, first, include=["nothing"])


def test_pieces_of_any_size_give_the_same(
    run: Run, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cutting the tensors otherwise changes nothing but the last bits."""
    second = run.train(5).save(tmp_path / "b.h5")
    whole = diff(first, second).to_frame()
    monkeypatch.setattr(elements, "PIECE_ELEMENTS", 4)
    cut = diff(first, second).to_frame()
    numbers = whole.select_dtypes("number").columns
    np.testing.assert_allclose(whole[numbers], cut[numbers], rtol=1e-12)


def test_open_checkpoints_and_folders(run: Run, first: Path, tmp_path: Path) -> None:
    """An open checkpoint stays open, and a folder stands for its newest checkpoint, which is told."""
    folder = tmp_path / "run"
    folder.mkdir()
    Run().train(1).save(folder / "model-001.h5")
    Run().train(20).save(folder / "model-020.h5")
    with open_checkpoint(first) as checkpoint:
        result = diff(checkpoint, folder)
        checkpoint.read(next(iter(checkpoint.tensors)))
    assert result.path_b.endswith("model-020.h5")
    assert [p.code for p in result.problems] == ["newest-chosen"]


def test_frame_and_document_agree(run: Run, first: Path, tmp_path: Path) -> None:
    """The frame has a row a parameter, and the document says the same in JSON's types."""
    result = diff(first, run.train(2).save(tmp_path / "b.h5"))
    frame = result.to_frame()
    document = json.loads(json.dumps(diff_document(result), allow_nan=False))
    assert list(frame["parameter"]) == [p["parameter"] for p in document["parameters"]]
    assert list(frame["weight_change"]) == [p["weight_change"] for p in document["parameters"]]
    assert document["is_same"] is False
    assert document["counts"]["changed"] == len(SHAPES)


def test_frame_of_nothing_has_its_columns() -> None:
    """Without any parameter the frame still has every column."""
    frame = Diff("a", "b", (), ()).to_frame()
    assert len(frame) == 0
    assert {"parameter", "status", "effective_lr_ratio"} <= set(frame.columns)


def test_what_cannot_be_opened(first: Path, tmp_path: Path) -> None:
    """A missing or damaged side is an error that names it."""
    with pytest.raises(NotFoundError, match="nosuch"):
        diff(first, tmp_path / "nosuch")
    (tmp_path / "broken.h5").write_bytes(first.read_bytes()[:2000])
    with pytest.raises(CkptInspectError, match=r"broken\.h5"):
        diff(first, tmp_path / "broken.h5")


def test_untrained_weights_are_paired_by_their_layers_names() -> None:
    """What both sides have a name for is the same tensor if the names agree; else the key decides."""
    a = {key: TensorSpec(key, (3,), "float32") for key in ("l/0", "l/1", "l/2", "x")}
    b = {key: TensorSpec(key, (3,), "float32") for key in ("l/0", "l/1", "y", "x")}
    names_a, names_b = {"l/0": "p", "l/1": "q", "l/2": "only"}, {"l/0": "q", "l/1": "new"}
    pairs = set(pairing.bare_pairs(a, b, names_a, names_b))
    assert pairs == {("l/1", "l/0"), (None, "l/1"), (None, "y"), ("x", "x"), ("l/0", None), ("l/2", None)}


def test_a_flipped_bit_of_a_large_archive_is_noticed(tmp_path: Path) -> None:
    """An archive's checksum is of all tensors together, and is compared when they have been read."""
    sound = save_large_archive(tmp_path / "a.keras")
    assert diff(sound, sound, include=["*dense/*"]).is_same
    damaged = save_large_archive(tmp_path / "b.keras", is_damaged=True)
    for chosen in (None, ["*dense/*"]):
        with pytest.raises(DamagedFileError, match=r"b\.keras: its model\.weights\.h5: bad CRC"):
            diff(sound, damaged, include=chosen)
