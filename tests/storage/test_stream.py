"""A part of a file as a Python file: the same as the bytes in memory, whatever is asked of it."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from ckpt_inspect import storage

CONTENTS = random.Random(0).randbytes(50_000)


@pytest.mark.parametrize(("start", "size"), [(0, 50_000), (1000, 30_000), (49_999, 1), (50_000, 0)])
def test_agrees_with_bytes_in_memory(tmp_path: Path, start: int, size: int) -> None:
    """Any sequence of seeks and reads gives what `io.BytesIO` gives."""
    (tmp_path / "file").write_bytes(CONTENTS)
    draw = random.Random(size)
    memory = io.BytesIO(CONTENTS[start : start + size])
    with storage.open_file(tmp_path / "file") as file, file.stream(start, size) as stream:
        assert stream.readable()
        assert stream.seekable()
        for _ in range(500):
            whence = draw.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
            origin = {io.SEEK_SET: 0, io.SEEK_CUR: memory.tell(), io.SEEK_END: size}[whence]
            offset = draw.randrange(-origin, size - origin + 100)
            assert stream.seek(offset, whence) == memory.seek(offset, whence) == stream.tell()
            amount = draw.choice([0, 1, 7, 500, 20_000])
            buffers = bytearray(amount), bytearray(amount)
            assert stream.readinto(buffers[0]) == memory.readinto(buffers[1])
            assert buffers[0] == buffers[1]


def test_there_is_nothing_before_the_start(tmp_path: Path) -> None:
    """A position before the start is refused as the operating system refuses it."""
    (tmp_path / "file").write_bytes(CONTENTS)
    with storage.open_file(tmp_path / "file") as file, pytest.raises(OSError, match="before the start"):
        file.stream().seek(-50_001, io.SEEK_END)
