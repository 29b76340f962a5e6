"""A file that libhdf5 can always write."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from ckpt_inspect.runs.sheltered import ShelteredFile, SignalShelter


@pytest.mark.parametrize("room", [0, 100, 2000, 5000, 100_000])
def test_a_full_disk_is_told_and_ends_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Whenever it is full, libhdf5 reads back what it wrote, and `check` raises what the disk said."""
    real = os.pwrite

    def pwrite(handle: int, content: memoryview, at: int) -> int:
        if at >= room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, content[: room - at], at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    (tmp_path / "s.h5").touch()
    file = ShelteredFile(tmp_path / "s.h5")
    values = np.arange(20_000.0)
    with h5py.File(file, "w", track_order=True) as content:
        content.create_dataset("values", data=values, chunks=(1000,))
        content.flush()
        assert np.array_equal(content["values"][...], values)
    with pytest.raises(OSError, match="No space left"):
        file.check()
    file.close()
    assert (tmp_path / "s.h5").stat().st_size <= max(room, 1 << 20)


def test_what_is_written_is_an_ordinary_hdf5_file(tmp_path: Path) -> None:
    """To any other reader."""
    (tmp_path / "s.h5").touch()
    file = ShelteredFile(tmp_path / "s.h5")
    with h5py.File(file, "w") as content:
        content["values"] = np.arange(10)
    file.check()
    file.close()
    with h5py.File(tmp_path / "s.h5") as content:
        assert list(content["values"]) == list(range(10))


def test_a_signal_inside_of_libhdf5_comes_when_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised there it would be lost, and what was being written with it."""
    real = os.pwrite
    sent: list[int] = []

    def pwrite(handle: int, content: memoryview, at: int) -> int:
        if not sent:
            sent.append(at)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)  # where Python looks for signals
        return real(handle, content, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    (tmp_path / "s.h5").touch()
    shelter, file = SignalShelter(), ShelteredFile(tmp_path / "s.h5")
    try:
        with h5py.File(file, "w") as content:
            content["values"] = np.arange(10)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
    finally:
        shelter.close()
    assert sent
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    file.check()
    file.close()
    with h5py.File(tmp_path / "s.h5") as content:
        assert list(content["values"]) == list(range(10))
