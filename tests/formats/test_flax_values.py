"""Arrays in msgpack files, of all forms that flax writes; and damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np
import pytest
from support.object_servers import web_server

from ckpt_inspect import analyze, open_checkpoint
from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats import msgpack as ours


def packed(array: Any, kind: int = 1) -> Any:
    """As flax/serialization.py has it."""
    content = (array.shape, array.dtype.name, array.tobytes("C"))
    return msgpack.ExtType(kind, msgpack.packb(content, use_bin_type=True))


def numbered(values: Any) -> dict[str, Any]:
    """A tuple, as flax writes it."""
    return {str(i): value for i, value in enumerate(values)}


def write(path: Path, tree: dict[str, Any]) -> Path:
    """Write a file of flax."""
    path.write_bytes(msgpack.packb(tree, use_bin_type=True))
    return path


ARRAYS = {
    "params/kernel": np.arange(3000, dtype=np.float32).reshape(50, 60),
    "params/half": np.arange(6).astype(ml_dtypes.bfloat16).reshape(2, 3),
    "params/empty": np.zeros((0, 3), np.int8),
    "scalar": np.float64(2.5).reshape(()),
    "step": np.int64(-7).reshape(()),
    "flag": np.array(True),
    "rate": np.float64(0.5).reshape(()),
    "large": np.arange(20, dtype=np.int32).reshape(4, 5),
}


def saved(path: Path) -> Path:
    """Write all of them, one in pieces as those of more than 1 GiB are, and what is neither array nor number."""
    flat = ARRAYS["large"].ravel()
    pieces = numbered(packed(flat[i : i + 7]) for i in range(0, 20, 7))
    large = {"__msgpack_chunked_array__": True, "shape": numbered(ARRAYS["large"].shape), "chunks": pieces}
    params = {name: packed(ARRAYS[f"params/{name}"]) for name in ("kernel", "half", "empty")}
    numbers = {"scalar": packed(ARRAYS["scalar"], 3), "step": -7, "flag": True, "rate": 0.5}
    others = {"name": "a text", "nothing": None, "complex": msgpack.ExtType(2, msgpack.packb((1.0, 2.0)))}
    return write(path, {"params": params, **numbers, "large": large, **others})


@pytest.mark.parametrize("page", [1, 100, 1 << 14])
def test_each_form_is_read(page: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces of any length, however much of the file is looked at at a time; what isn't read is named."""
    monkeypatch.setattr("ckpt_inspect.formats.flax_file._PAGE", page)
    with open_checkpoint(saved(tmp_path / "state.msgpack")) as checkpoint:
        assert set(checkpoint.tensors) == set(ARRAYS)
        for name, array in ARRAYS.items():
            assert (checkpoint.tensors[name].shape, checkpoint.tensors[name].dtype) == (array.shape, array.dtype.name)
            np.testing.assert_array_equal(checkpoint.read(name), array)
            for length in (1, 7, 1000):
                pieces = [piece.copy() for piece in checkpoint.stream(name, length)]
                if array.size:
                    np.testing.assert_array_equal(np.concatenate(pieces), array.ravel())
        assert [p.code for p in checkpoint.problems] == ["values-aggregated"]
        assert "has neither an array nor a number for 1 values" in checkpoint.problems[0].message


def test_an_analysis_is_that_of_the_disk(tmp_path: Path) -> None:
    """From a web server too the elements are as the loops in C take them, of small and large tensors."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (600, 500), "bias": (7,)}
    trees = [{name: packed(rng.random(shape, np.float32)) for name, shape in shapes.items()} for _ in range(3)]
    state = {"0": {"count": packed(np.int32(5).reshape(())), "mu": trees[1], "nu": trees[2]}, "1": {}}
    path = write(tmp_path / "state.msgpack", {"params": trees[0], "opt_state": state})
    with open_checkpoint(path) as checkpoint:
        assert memoryview(checkpoint.read_range("opt_state/0/nu/kernel", 0, 9)).format == "f"
    with web_server(tmp_path) as server:
        far, local = analyze(f"{server.address}/state.msgpack"), analyze(path)
    (ours,), (theirs,) = local.optimizers.values(), far.optimizers.values()
    assert len(ours.variables["parameter"]) == 2
    for variable, values in ours.variables.items():
        np.testing.assert_array_equal(theirs.variables[variable], values)


ARRAY = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (msgpack.ExtType(1, b""), "not complete msgpack"),
        (msgpack.ExtType(1, msgpack.packb([1])), "not an array of flax"),
        (msgpack.ExtType(1, msgpack.packb([[2, -3], "float32", ARRAY.tobytes()])), "not an array of flax"),
        (msgpack.ExtType(1, msgpack.packb([[2, 4], "float32", ARRAY.tobytes()])), "of shape .* bytes: it is damaged"),
        (msgpack.ExtType(1, msgpack.packb([[1 << 60] * 9, "int8", b""])), "of shape .* bytes: it is damaged"),
        (msgpack.ExtType(1, msgpack.packb([[1] * 99, "int8", b"a"])), "not an array of flax"),
        ({"__msgpack_chunked_array__": True}, "make no array"),
        ({"__msgpack_chunked_array__": True, "shape": {"0": 7}, "chunks": {"0": packed(ARRAY)}}, "make no array"),
        ("x" * (ours._LONGEST_TEXT + 1), "a text of"),
    ],
)
def test_damage_is_named(value: Any, message: str, tmp_path: Path) -> None:
    """One sentence each, with the file."""
    path = write(tmp_path / "state.msgpack", {"a": value})
    with pytest.raises(DamagedFileError, match=rf"state\.msgpack.*{message}"):
        open_checkpoint(path)


@pytest.mark.parametrize("kind", ["V4", "object", "f4,i4", "(2,)f4", "str", "no_type"])
def test_a_type_that_isnt_numbers_is_not_read(kind: str, tmp_path: Path) -> None:
    """numpy makes something of almost any text."""
    value = msgpack.ExtType(1, msgpack.packb([[1], kind, bytes(8)]))
    with open_checkpoint(write(tmp_path / "state.msgpack", {"a": value})) as checkpoint:
        assert not checkpoint.tensors
        assert len(checkpoint.problems) == 1


def test_a_file_that_is_cut_is_damage(tmp_path: Path) -> None:
    """Wherever it ends."""
    path = saved(tmp_path / "state.msgpack")
    content = path.read_bytes()
    for end in range(20, len(content), 997):
        path.write_bytes(content[:end])
        with pytest.raises(DamagedFileError, match=r"state\.msgpack"):
            open_checkpoint(path)


def test_very_many_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes memory, and a byte of the file makes one."""
    monkeypatch.setattr(ours, "_MOST_VALUES", 100)
    path = write(tmp_path / "state.msgpack", {"a": [None] * 200})
    with pytest.raises(DamagedFileError, match="more than 100 values"):
        open_checkpoint(path)
