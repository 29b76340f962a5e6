"""Reading ahead: every range is right, and who reads in order fetches each byte about once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.storage import read_ahead
from ckpt_inspect.storage.read_ahead import BLOCK, KEPT, LONGEST, ReadAhead
from ckpt_inspect.storage.stream import Bytes
from ckpt_inspect.storage.web_folder import names_in_page


class _File:
    """Bytes that count how often they are fetched."""

    def __init__(self, size: int) -> None:
        self.contents = np.random.default_rng(size).integers(0, 256, size, np.uint8)
        self.fetched: list[tuple[int, int]] = []

    def fetch(self, start: int, stop: int) -> Bytes:
        self.fetched.append((start, stop))
        return self.contents[start:stop]


@given(st.integers(1, 40 * BLOCK), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20))
def test_any_ranges_in_any_order(size: int, places: list[tuple[float, float]]) -> None:
    """What is read is what is there."""
    file = _File(size)
    reader = ReadAhead(file.fetch, size)
    for a, b in places:
        start, stop = sorted((int(a * (size - 1)), int(b * (size - 1)) + 1))
        buffer = np.empty(stop - start, np.uint8)
        reader.read_into(buffer, start)
        np.testing.assert_array_equal(buffer, file.contents[start:stop])
    reader.rest()


def test_in_order_each_byte_is_fetched_once_and_in_large_pieces() -> None:
    """A reader of pieces of 100,000 bytes asks for ever more at a time."""
    file = _File(2 * KEPT + 12345)
    reader = ReadAhead(file.fetch, len(file.contents))
    buffer = np.empty(100_000, np.uint8)
    for start in range(0, len(file.contents), len(buffer)):
        piece = buffer[: len(file.contents) - start]
        reader.read_into(piece, start)
        np.testing.assert_array_equal(piece, file.contents[start : start + len(piece)])
    sizes = [stop - start for start, stop in file.fetched]
    assert sum(sizes) == len(file.contents)
    assert max(sizes) <= LONGEST
    assert len(sizes) < len(file.contents) // 500_000


def test_threads_that_share_an_array() -> None:
    """Eight threads that take turns read the right bytes, and hardly any twice."""
    file = _File(KEPT)
    reader = ReadAhead(file.fetch, len(file.contents))
    starts, wrong = iter(range(0, len(file.contents), 1 << 18)), []
    lock = threading.Lock()

    def work() -> None:
        buffer = np.empty(1 << 18, np.uint8)
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            reader.read_into(buffer, start)
            if not np.array_equal(buffer, file.contents[start : start + len(buffer)]):
                wrong.append(start)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(stop - start for start, stop in file.fetched) < 1.5 * len(file.contents)


def test_what_failed_is_asked_for_again() -> None:
    """An error reaches the reader; the next read may succeed."""
    file = _File(BLOCK)
    errors = [DamagedFileError("too short")]

    def fetch(start: int, stop: int) -> Bytes:
        if errors:
            raise errors.pop()
        return file.fetch(start, stop)

    reader = ReadAhead(fetch, BLOCK)
    buffer = np.empty(10, np.uint8)
    with pytest.raises(DamagedFileError):
        reader.read_into(buffer, 5)
    reader.read_into(buffer, 5)
    np.testing.assert_array_equal(buffer, file.contents[5:15])


def test_who_closes_the_file_takes_nothing_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of two readers waits for when the other rests is fetched after all."""
    monkeypatch.setattr(read_ahead, "THREADS", 1)
    file, begun, may_end = _File(10 * BLOCK), threading.Event(), threading.Event()

    def fetch(start: int, stop: int) -> Bytes:
        begun.set()
        assert may_end.wait(60)
        return file.fetch(start, stop)

    reader, found = ReadAhead(fetch, len(file.contents)), [np.empty(10, np.uint8) for _ in range(2)]
    threads = [threading.Thread(target=reader.read_into, args=(found[i], 5 * i * BLOCK)) for i in range(2)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    while len(reader._segments) < 2:  # the second waits behind the first
        time.sleep(0.01)
    reader.rest()
    may_end.set()
    for i, thread in enumerate(threads):
        thread.join()
        np.testing.assert_array_equal(found[i], file.contents[5 * i * BLOCK :][:10])


@pytest.mark.parametrize(
    "page",
    [
        b'<!DOCTYPE HTML>\n<html><body><ul><li><a href="ckpt%201/">ckpt 1/</a><li><a href="x.index">x.index</a></ul>',
        b'<html><h1>Index of /a/</h1><pre><a href="../">../</a><a href="ckpt%201/">ckpt 1/</a><a href="x.index">x</a>',
        b'<!doctype html><table><a href="?C=N;O=D">Name</a><a href="/">Parent</a><a href="./ckpt%201/">c</a>'
        b'<a href="x.index">x.index</a><a href="https://elsewhere/y">y</a>',
    ],
    ids=["python", "nginx", "apache"],
)
def test_the_list_that_a_web_server_shows(page: bytes) -> None:
    """Links to what is in the folder, and no others."""
    assert names_in_page(page) == ["ckpt 1/", "x.index"]


def test_what_is_no_page_is_no_list() -> None:
    """A file's bytes, text or not."""
    assert names_in_page(b"\x89HDF\r\n\x1a\n <html>") is None
    assert names_in_page(b'{"a": "<a href=x>"}') is None


def test_looks_at_places_that_are_announced_wait_once() -> None:
    """Each is asked for before the first is read; what lies near another is one request."""
    file = _File(100 * BLOCK)
    reader = ReadAhead(file.fetch, len(file.contents))
    places = [i * 5 * BLOCK + 7 * j for i in range(1, 20) for j in range(100)]
    reader.look_ahead([*places, len(file.contents), -1])
    buffer = np.empty(50, np.uint8)
    for place in reversed(places):
        reader.read_into(buffer, place)
        np.testing.assert_array_equal(buffer, file.contents[place : place + 50])
    assert len(file.fetched) == 19


def test_more_readers_than_memory() -> None:
    """Twenty that go on in order at the same time, with more ahead of them than is kept: each byte is right."""
    file = _File(2 * KEPT)
    reader, share = ReadAhead(file.fetch, len(file.contents)), len(file.contents) // 20
    buffer = np.empty(200_000, np.uint8)
    for at in range(0, share - len(buffer), len(buffer)):
        for start in range(0, len(file.contents) - share, share):
            reader.read_into(buffer, start + at)
            np.testing.assert_array_equal(buffer, file.contents[start + at :][: len(buffer)])
    assert reader._held <= KEPT
