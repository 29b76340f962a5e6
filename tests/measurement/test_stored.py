"""Arrays that are read, checksummed and measured where they lie, against the way through numpy arrays."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from support import bundle_writer

from ckpt_inspect import diff
from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.comparison import elements as compared_elements
from ckpt_inspect.errors import DamagedFileError, TruncatedFileError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.measurement import sweep as sweep_module
from ckpt_inspect.measurement.stored import StoredState
from ckpt_inspect.measurement.summaries import Summary
from ckpt_inspect.measurement.sweep import Measured, Sweep
from ckpt_inspect.native import loops
from ckpt_inspect.state.optimizer_state import Parameter, optimizer_states
from ckpt_inspect.storage import as_path, objects

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(loops is None, reason="the loops were not compiled")

DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)
SHAPE = (300, 170)
LARGE = (1100, 700)
"""Of which any array is mapped where it is in memory."""
ADAM = {"learning_rate": 1e-2, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-3, "step": 50, "weight_decay": 0.0}


def write(prefix: Path, arrays: dict[str, Array]) -> Path:
    """A bundle of those tensors, with the powers that make TF1's slots those of Adam."""
    powers = {"beta1_power": np.float32(0.9**51), "beta2_power": np.float32(0.99**51)}
    tensors = {**arrays, **{name: np.array(value) for name, value in powers.items()}}
    entries, data = [(b"", bundle_writer.header())], bytearray()
    for name in sorted(tensors):
        raw = np.ascontiguousarray(tensors[name]).tobytes()
        kind = bundle_writer.DATA_TYPES[tensors[name].dtype.name]
        shape = tensors[name].shape
        entries.append(
            (name.encode(), bundle_writer.entry(kind, shape, len(data), len(raw), bundle_writer.masked(raw)))
        )
        data += raw
    Path(f"{prefix}.index").write_bytes(bundle_writer.table(entries))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return prefix


def adam_arrays(dtype: Any, seed: int = 0, shape: tuple[int, int] = SHAPE) -> dict[str, Array]:
    """θ, m and v as training leaves them, of two tensors; with rows that were never reached, and spoiled elements."""
    rng = np.random.default_rng(seed)
    gradient = rng.normal(size=shape) * 10.0 ** rng.uniform(-3, 0, shape)
    first, second = gradient * rng.uniform(-1, 1, shape), gradient**2 * rng.uniform(0.5, 2.0, shape) + 1e-6
    for row in (0, 7, 8, 150, 299):
        first[row], second[row] = 0, 0
    second[3, 4], second[20, 1], first[33, 3] = -1, np.nan, np.inf
    value = rng.normal(size=shape)
    found = {"w": value, "w/Adam": first, "w/Adam_1": second}
    found |= {f"b{name[1:]}": array[1] for name, array in found.items()}
    with np.errstate(all="ignore"):
        return {name: array.astype(dtype) for name, array in found.items()}


def parameters(checkpoint: Checkpoint, **given: Any) -> list[Parameter]:
    (state,) = optimizer_states(checkpoint, {**ADAM, **given})
    return list(state.parameters.values())


def check_same(one: Measured, other: Measured, rtol: float = 0) -> None:
    """Counts exactly; quantiles and samples to `rtol`; sums to rounding."""
    np.testing.assert_equal(one.untouched_rows, other.untouched_rows)
    for name in ("samples", "second_moment_samples", "value_samples"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, err_msg=name)
    for field in dataclasses.fields(Summary):
        a, b = getattr(one.summary, field.name), getattr(other.summary, field.name)
        if a.ndim > 1:
            np.testing.assert_allclose(a, b, rtol=rtol, err_msg=field.name)
        else:
            np.testing.assert_allclose(a, b, rtol=2e-5, err_msg=field.name)


@pytest.mark.parametrize("piece", [5000, 20_000], ids=["several stretches", "one stretch"])
@pytest.mark.parametrize("rule", ["adam", "adamw", "lamb", "nadam", "radam"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_what_is_read_in_place_is_what_numpy_finds(
    tmp_path: Path, dtype: Any, rule: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every figure, untouched rows and samples, of large and of small tensors; a stretch may be read piecemeal."""
    path = write(tmp_path / "m", adam_arrays(dtype))
    monkeypatch.setattr(sweep_module, "_INLINE_BYTES", 0)  # two threads share even this little
    decay = 0.01 if rule == "adamw" else 0.0
    with open_checkpoint(path) as checkpoint:
        chosen = parameters(checkpoint, rule=rule, weight_decay=decay)
        assert all(StoredState.find(parameter) is not None for parameter in chosen)
        found = Sweep(chosen, piece=piece).run()
    monkeypatch.setattr(sweep_module, "loops", None)
    monkeypatch.setattr("ckpt_inspect.measurement.kernels.loops", None)
    monkeypatch.setattr("ckpt_inspect.measurement.histograms.loops", None)
    with open_checkpoint(path) as checkpoint:
        expected = Sweep(parameters(checkpoint, rule=rule, weight_decay=decay), piece=piece, threads=1).run()
    check_same(found, expected, rtol=1e-12 if rule == "lamb" else 0)  # whose E holds a sum over the tensor


@pytest.mark.parametrize("rule", ["adam", "lamb"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_what_is_mapped_is_what_numpy_finds(
    tmp_path: Path, dtype: Any, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large tensors at any place of a file, of which a page begins anywhere."""
    path = write(tmp_path / "m", {**adam_arrays(dtype, shape=LARGE), "a": np.zeros(4099, np.uint8)})
    with open_checkpoint(path) as checkpoint:
        found = Sweep(parameters(checkpoint, rule=rule)).run()
    monkeypatch.setattr(sweep_module, "loops", None)
    with open_checkpoint(path) as checkpoint:
        expected = Sweep(parameters(checkpoint, rule=rule), threads=1).run()
    check_same(found, expected, rtol=1e-12 if rule == "lamb" else 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_what_comes_from_a_server_is_measured_where_it_arrives(
    tmp_path: Path, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same to the bit as from the disk, at any address in memory; and a flipped bit is found."""
    pytest.importorskip("obstore")
    from support.object_servers import web_server

    path = write(tmp_path / "m", {**adam_arrays(dtype), "a": np.zeros(3, np.uint8)})
    monkeypatch.setattr(sweep_module, "_INLINE_BYTES", 0)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with open_checkpoint(path) as checkpoint:
        expected = Sweep(parameters(checkpoint), piece=5000).run()
    with web_server(tmp_path) as server:
        copied: list[str] = []
        with open_checkpoint(as_path(f"{server.address}/m")) as checkpoint:
            read_range = checkpoint.read_range

            def read(name: str, *others: Any) -> Array:
                copied.append(name)
                return read_range(name, *others)

            chosen = parameters(checkpoint)
            monkeypatch.setattr(checkpoint, "read_range", read)
            found = Sweep(chosen, piece=5000).run()
            assert not any(name.startswith("w") for name in copied)
        check_same(found, expected)
        data = Path(f"{path}.data-00000-of-00001")
        raw = bytearray(data.read_bytes())
        raw[len(raw) // 2] ^= 1
        data.write_bytes(raw)
        objects.forget()
        with (
            open_checkpoint(as_path(f"{server.address}/m")) as checkpoint,
            pytest.raises(DamagedFileError, match="bad CRC"),
        ):
            Sweep(parameters(checkpoint), piece=5000).run()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_read_in_place_is_checksummed(tmp_path: Path, threads: int) -> None:
    """A flipped bit is found, whichever array it is in."""
    path = write(tmp_path / "m", adam_arrays(np.float32))
    data = Path(f"{path}.data-00000-of-00001")
    sound = data.read_bytes()
    for place in range(0, len(sound) - 100, len(sound) // 7):
        raw = bytearray(sound)
        raw[place] ^= 1
        data.write_bytes(raw)
        with open_checkpoint(path) as checkpoint, pytest.raises(DamagedFileError, match="bad CRC"):
            Sweep(parameters(checkpoint), threads=threads).run()


def test_a_second_pass_is_checksummed_again(tmp_path: Path) -> None:
    """Each pass over a tensor is a round of its own; what was read of it before makes no hole."""
    path = write(tmp_path / "m", adam_arrays(np.float32))
    with open_checkpoint(path) as checkpoint:
        chosen = parameters(checkpoint)
        first = Sweep(chosen).run()
        checkpoint.read_range("w/Adam", 1000, 2000)  # leaves a range counted, which the pass must not count again
        second = Sweep(chosen).run()
        check_same(first, second)
        data = Path(f"{path}.data-00000-of-00001")
        raw = bytearray(data.read_bytes())
        raw[len(raw) // 2] ^= 1
        with data.open("r+b") as file:
            file.write(raw)
        with pytest.raises(DamagedFileError, match="bad CRC"):
            Sweep(chosen).run()


def test_a_file_that_ends_early_is_an_error_in_words(tmp_path: Path) -> None:
    """Nothing is made up for bytes that aren't there, and the message is that of any other reading."""
    path = write(tmp_path / "m", adam_arrays(np.float32))
    data = Path(f"{path}.data-00000-of-00001")
    with open_checkpoint(path) as checkpoint:
        chosen = parameters(checkpoint)
        checkpoint.read_range("w", 0, 1)
        with data.open("r+b") as file:
            file.truncate(data.stat().st_size // 2)
        with pytest.raises(TruncatedFileError, match="is truncated"):
            Sweep(chosen).run()


SHRINKING = """
import os, sys, threading, time
import numpy as np
from ckpt_inspect.native import loops

path, size = sys.argv[1], 1 << 23
data = np.random.default_rng(0).random(size, np.float32).tobytes()
room = np.zeros(loops.SCRATCH + 64, np.uint8)
scratch = room[-room.ctypes.data % 64 :][: loops.SCRATCH]
caught = [line for line in open("/proc/self/status") if line.startswith("SigCgt")]


def compare(seconds):
    with open(path, "wb") as file:
        file.write(data)
    counts = [np.zeros(1 << 14, np.int64) for _ in range(2)]
    cut = threading.Thread(target=lambda: (time.sleep(seconds), os.truncate(path, 4096)))
    with open(path, "rb") as file:
        at = file.fileno()
        cut.start() if seconds else None
        found = loops.compare_stored((at, 0), (at, 2 * size), 0, size // 2, scratch, None, *counts)
    cut.join() if seconds else None
    return found, sum(int(each.sum()) for each in counts)


results = [compare(1e-4 * part) for part in range(1, 80, 3)]
assert {counted for found, counted in results if found is None} == {0}, results
whole, counted = compare(0)
assert counted == size
assert all(found == whole for found, _ in results if found is not None)
assert caught == [line for line in open("/proc/self/status") if line.startswith("SigCgt")]
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files are mapped on Linux alone")
def test_a_file_that_shrinks_while_it_is_read_ends_no_process(tmp_path: Path) -> None:
    """What was counted of it is taken back, other files are read as ever, and no handler of signals stays behind."""
    ran = subprocess.run(
        [sys.executable, "-c", SHRINKING, str(tmp_path / "m")], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("shape", [SHAPE, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_two_files_are_compared_in_place_as_numpy_compares_them(
    tmp_path: Path, dtype: Any, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distances, windows and medians of E."""
    one, two = adam_arrays(dtype, shape=shape), adam_arrays(dtype, shape=shape)
    two["w"] = (two["w"] + np.asarray(0.125, dtype)).astype(dtype)
    two["w/Adam_1"] = (two["w/Adam_1"] * np.asarray(0.99, dtype)).astype(dtype)
    paths = write(tmp_path / "a", one), write(tmp_path / "b", two)
    found = diff(*paths, given=ADAM, infer=False)
    monkeypatch.setattr(compared_elements, "loops", None)
    monkeypatch.setattr("ckpt_inspect.comparison.distances.loops", None)
    monkeypatch.setattr("ckpt_inspect.measurement.histograms.loops", None)
    expected = diff(*paths, given=ADAM, infer=False)
    for a, b in zip(found.parameters, expected.parameters, strict=True):
        for field in dataclasses.fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            if isinstance(x, float):
                np.testing.assert_allclose(x, y, rtol=1e-6, err_msg=field.name)
            elif isinstance(x, dict):
                assert all(math.isclose(x[k], y[k], rel_tol=1e-6) or x[k] != x[k] for k in y)
            else:
                assert x == y, field.name


def test_damage_is_found_where_two_files_are_compared(tmp_path: Path) -> None:
    """Both sides are checksummed."""
    paths = write(tmp_path / "a", adam_arrays(np.float32)), write(tmp_path / "b", adam_arrays(np.float32, 1))
    data = Path(f"{paths[1]}.data-00000-of-00001")
    raw = bytearray(data.read_bytes())
    raw[len(raw) // 2] ^= 1
    data.write_bytes(raw)
    with pytest.raises(DamagedFileError, match=r"b\.data-00000-of-00001: .*bad CRC"):
        diff(*paths, given=ADAM, infer=False)
