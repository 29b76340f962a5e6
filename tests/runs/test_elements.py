"""Whole arrays on their way into a store: chunks written as they are, or shuffled and deflated, read by h5py itself."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from ckpt_inspect.runs.elements import ElementsFile, _hdf5_lock

PIECE = 1 << 18


@dataclass
class Parameter:
    """What is asked of a parameter."""

    name: str
    shape: tuple[int, ...]


def noise(size: int) -> NDArray[Any]:
    return np.random.default_rng(0).lognormal(size=size)


def half_constant(size: int) -> NDArray[Any]:
    values = noise(size)
    values[size // 8 :] = 31.0
    return values


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("make", [noise, half_constant, np.zeros])
@pytest.mark.parametrize("size", [1, 1000, 1 << 16, PIECE + (1 << 16) + 77])
def test_h5py_reads_what_was_added(tmp_path: Path, make: Any, dtype: Any, size: int) -> None:
    """Every value of every dtype, whatever its chunks are stored like and wherever they end."""
    values = make(size).astype(dtype)
    file = ElementsFile(tmp_path / "s.h5")
    parameter: Any = Parameter("dense/kernel", (size,))
    for start in reversed(range(0, size, PIECE)):
        file.add("Adam", parameter, start, values[start : start + PIECE])
    file.finish("f" * 32)
    stored = file.file["f" * 32]["Adam/dense.kernel"]
    np.testing.assert_array_equal(stored[...], values.astype(np.float32) if values.itemsize < 4 else values)
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_constant_stretches_take_no_room(tmp_path: Path) -> None:
    """What repeats is deflated; noise, which would hardly shrink, is not."""
    sizes = {}
    for make in (noise, np.zeros):
        file = ElementsFile(tmp_path / "s.h5")
        parameter: Any = Parameter("w", (PIECE,))
        file.add("Adam", parameter, 0, make(PIECE).astype(np.float32))
        sizes[make] = file.file["current/Adam/w"].id.get_storage_size()
        assert isinstance(file.file, h5py.File)
        file.close()
    assert sizes[noise] == 4 * PIECE
    assert sizes[np.zeros] < 0.01 * 4 * PIECE


def test_threads_may_write_at_the_same_time(tmp_path: Path) -> None:
    """Arrays of many tensors, added from two threads while others open and close what is there."""
    file = ElementsFile(tmp_path / "s.h5")
    values = noise(PIECE).astype(np.float32)

    def fill(names: list[str]) -> None:
        for name in names:
            parameter: Any = Parameter(name, (4 * PIECE,))
            for start in range(0, 4 * PIECE, PIECE):
                file.add("Adam", parameter, start, values)

    threads = [threading.Thread(target=fill, args=([f"{i}/{k}" for k in range(8)],)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for dataset in file.file["current/Adam"].values():
        np.testing.assert_array_equal(dataset[...].reshape(4, -1), np.broadcast_to(values, (4, PIECE)))
    file.close()


def test_the_lock_of_h5py_is_taken_where_it_does_not_take_it_itself() -> None:
    """Up to 3.15, whose `write_direct_chunk` is called without the lock that keeps threads apart; not later."""
    locked = _hdf5_lock()
    if h5py.version.version_tuple >= (3, 16):
        assert isinstance(locked, contextlib.nullcontext)
    else:
        from h5py._objects import phil

        assert locked is phil
