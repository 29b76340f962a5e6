"""Checksums of pieces, put together in any order, against the checksum of the whole."""

from __future__ import annotations

import threading
import zlib

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.checksums import CRC32, PieceChecksums, combine, mask, masked_crc32c


@given(st.binary(max_size=500), st.binary(max_size=500))
def test_combine(first: bytes, second: bytes) -> None:
    """The checksum of A+B follows from those of A and B."""
    crc = combine(google_crc32c.value(first), google_crc32c.value(second), len(second))
    assert crc == google_crc32c.value(first + second)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65535, 1 << 20, (1 << 20) + 3])
def test_combine_over_long_zeros(length: int) -> None:
    """Advancing over many bytes agrees with counting them."""
    tail = bytes(length)
    assert combine(google_crc32c.value(b"abc"), google_crc32c.value(tail), length) == google_crc32c.value(b"abc" + tail)


@given(st.binary(max_size=500), st.integers(0, 500))
def test_zip_checksum_by_pieces(data: bytes, cut: int) -> None:
    """The same for the CRC-32 of zip archives."""
    cut = min(cut, len(data))
    parts = zlib.crc32(data[:cut]), zlib.crc32(data[cut:])
    assert combine(*parts, len(data) - cut, CRC32.polynomial) == zlib.crc32(data)


def test_masking() -> None:
    """LevelDB's mask of the checksum in RFC 3720's test vector (32 zero bytes)."""
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    assert masked_crc32c(bytes(32)) == mask(0x8A9136AA) == (0x6D551522 + 0xA282EAD8) % (1 << 32)


DATA = np.random.default_rng(0).integers(0, 256, 300, np.uint8)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=30), st.randoms())
def test_pieces_in_any_order_with_overlaps(cuts: list[tuple[int, int]], random: object) -> None:
    """Whatever was read before, a wrong whole is noticed by the call that closes the last gap; a right one never."""
    for expected, is_right in ((masked_crc32c(DATA.tobytes()), True), (12345, False)):
        checksums = PieceChecksums(len(DATA), expected)
        covered = np.zeros(len(DATA), bool)
        for a, b in [*cuts, (150, 300), (0, 160)]:
            start, stop = min(a, b), max(a, b)
            covered[start:stop] = True
            closes = bool(covered.all())
            if closes and not is_right:
                with pytest.raises(DamagedFileError, match="bad CRC, stored 00003039"):
                    checksums.add(start, DATA[start:stop])
            else:
                checksums.add(start, DATA[start:stop])
            if closes:
                covered[:] = False


def test_a_new_round_begins() -> None:
    """A second pass over the same tensor is checked like the first."""
    checksums = PieceChecksums(len(DATA), masked_crc32c(DATA.tobytes()))
    damaged = DATA.copy()
    damaged[7] ^= 1
    for data, is_right in ((DATA, True), (damaged, False), (DATA, True)):
        checksums.add(0, data[:100])
        if is_right:
            checksums.add(100, data[100:])
        else:
            with pytest.raises(DamagedFileError):
                checksums.add(100, data[100:])


def test_threads() -> None:
    """Pieces that several threads count at once, some of them twice, come to the same whole."""
    data = np.random.default_rng(1).integers(0, 256, 40_000, np.uint8)
    failures = []

    def count(pieces: list[int]) -> None:
        try:
            for start in pieces:
                checksums.add(start, data[start : start + 100])
        except DamagedFileError as error:
            failures.append(error)

    checksums = PieceChecksums(len(data), masked_crc32c(data.tobytes()))
    starts = list(range(0, len(data), 100))
    threads = [
        threading.Thread(target=count, args=(part,)) for part in (starts[::3], starts[1::3], starts[2::3], starts[:50])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
