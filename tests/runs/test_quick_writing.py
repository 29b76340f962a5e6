"""What is written by libhdf5's own calls, as h5py reads it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.runs.quick_writing import create, fill_compressed


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of a dataset that can grow, and of its chunks, which may be longer in that direction."""
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    return tuple(shape), (draw(st.integers(1, 9)), *(draw(st.integers(1, length)) for length in shape[1:]))


@pytest.mark.parametrize("dtype", ["f8", "i8", "f4", "u1"])
@given(shapes(), st.integers(0, 2**32 - 1))
def test_h5py_reads_what_was_compressed_here(
    dtype: str, lengths: tuple[tuple[int, ...], tuple[int, ...]], seed: int
) -> None:
    """In chunks of any shape, those at the end among them, and after the dataset has grown."""
    shape, chunks = lengths
    values = np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)
    with h5py.File("d.h5", "w", driver="core", backing_store=False) as file:
        dataset = create(file, "d", shape, values.dtype, chunks=chunks, maxshape=(None, *shape[1:]), is_compressed=True)
        fill_compressed(dataset, values)
        np.testing.assert_array_equal(dataset[...], values)
        dataset.resize(shape[0] + 1, axis=0)
        dataset[-1] = 7
        np.testing.assert_array_equal(dataset[:-1], values)
        assert (dataset[-1] == 7).all()


def test_slices_of_other_arrays_are_written_as_they_are(tmp_path: Path) -> None:
    """Whatever their order in memory."""
    values = np.arange(600.0).reshape(20, 30)[::2].T
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = create(file, "d", values.shape, values.dtype, chunks=(7, 4), is_compressed=True)
        fill_compressed(dataset, values)
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["d"][...], values)
