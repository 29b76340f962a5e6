"""Small files far away: those that a store's tags prove to be the same are fetched once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from ckpt_inspect.storage import Bytes, OpenFile, Stat, read_contents

FILES = [b"float32", b"float32", b"bfloat16", b"float32", b""]


class _File(OpenFile):
    def __init__(self, data: bytes, version: str, asked: list[bytes]) -> None:
        self.path, self.stat = Path("file"), Stat("file", len(data), 1, version)
        self._data, self._asked = data, asked

    def read_into(self, buffer: Bytes, offset: int) -> None:
        self._asked.append(self._data)
        buffer[...] = np.frombuffer(self._data, np.uint8)[offset : offset + len(buffer)]

    def expect(
        self, ranges: Iterable[tuple[OpenFile, int, int]], *, is_later: bool = False, is_unpacked: bool = False
    ) -> None:
        assert all((start, stop) == (0, file.size) for file, start, stop in ranges)

    def close(self) -> None:
        """Hold nothing."""


def _hexadecimal(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def _base64(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@pytest.mark.parametrize("tag", [_hexadecimal, _base64])
def test_files_of_one_md5_are_fetched_once(tag: object) -> None:
    """As S3 and Google tag them."""
    asked: list[bytes] = []
    assert callable(tag)
    assert read_contents([_File(data, tag(data), asked) for data in FILES]) == FILES
    assert sorted(asked) == sorted(set(FILES))


@pytest.mark.parametrize("tag", ["", "5f3d-10", "0" * 32])
def test_a_tag_that_is_no_md5_proves_nothing(tag: str) -> None:
    """Web servers make one of a file's size and time, which others may share."""
    files = [b"float32", b"float16", b"float32"]
    asked: list[bytes] = []
    assert read_contents([_File(data, tag, asked) for data in files]) == files
    assert len(asked) == len(files)


def test_nothing_is_read_of_no_files() -> None:
    """An Orbax folder may hold a store alone."""
    assert read_contents([]) == []
