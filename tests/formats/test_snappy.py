"""Raw snappy, by hand, as a real compressor writes it, and damaged."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bundle_writer import varint

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.snappy import decompress


def literal(data: bytes) -> bytes:
    """An element that holds `data` itself, by the shortest head."""
    size = len(data) - 1
    if size < 60:
        return bytes([size << 2]) + data
    width = (size.bit_length() + 7) // 8
    return bytes([59 + width << 2]) + size.to_bytes(width, "little") + data


@pytest.mark.parametrize(
    ("compressed", "expected"),
    [
        (b"\0", b""),
        (varint(5) + literal(b"dense"), b"dense"),
        (varint(300) + literal(b"k" * 300), b"k" * 300),
        (varint(70_000) + literal(b"v" * 70_000), b"v" * 70_000),
        (varint(10) + literal(b"dense/") + bytes([1, 6]), b"dense/dens"),
        (varint(12) + literal(b"dense/") + bytes([5 << 2 | 2, 6, 0]), b"dense/dense/"),
        (varint(12) + literal(b"dense/") + bytes([5 << 2 | 3, 6, 0, 0, 0]), b"dense/dense/"),
        (varint(66) + literal(b"ab") + bytes([63 << 2 | 2, 2, 0]), b"ab" * 33),
        (  # as snappy's own compressor writes it
            b"\xf4\x020dense/kernel .\r\x00\x04/m6\x0f\x00\x00v2\x0f\x002\r\x00\xfe+\x00\x9e+\x00\x00\x00"
            b"\xfe\x01\x00\xfe\x01\x00\xfe\x01\x00\r\x01",
            b"dense/kernel dense/kernel/m dense/kernel/v " * 4 + bytes(200),
        ),
        (varint(308) + literal(b"x" * 304) + bytes([1 << 5 | 1, 0x2C]), b"x" * 308),
    ],
)
def test_elements(compressed: bytes, expected: bytes) -> None:
    """Literals of each size and copies of each kind give what the format's description says, overlapping ones too."""
    assert decompress(compressed) == expected


@pytest.mark.parametrize(
    ("compressed", "message"),
    [
        (varint(1 << 40) + b"\0a", f"claims {1 << 40} bytes of snappy data, more than 8 compressed bytes can hold"),
        (varint(5) + literal(b"dens"), "snappy data holds 4 bytes and claims 5"),
        (varint(4) + literal(b"dense"), "snappy data holds more than the 4 bytes that it claims"),
        (varint(5) + literal(b"dense")[:-1], "snappy data is cut off within an element"),
        (varint(5) + b"\xf4\x01", "snappy data is cut off within an element"),
        (varint(8) + literal(b"abcd") + b"\x01", "snappy data is cut off within an element"),
        (varint(8) + literal(b"abcd") + b"\x01\x05", "snappy data copies from 5 bytes back, where 4 are written"),
        (varint(8) + literal(b"abcd") + b"\x01\x00", "snappy data copies from 0 bytes back, where 4 are written"),
    ],
)
def test_damaged(compressed: bytes, message: str) -> None:
    """What isn't whole, or claims more than it can hold, is refused with the reason."""
    with pytest.raises(DamagedFileError) as caught:
        decompress(compressed)
    assert str(caught.value) == message


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Any bytes give bytes of the claimed length, or are called damaged."""
    with contextlib.suppress(DamagedFileError):
        assert len(decompress(data)) <= 22 * len(data)


@pytest.mark.parametrize("seed", range(20))
def test_against_a_library(seed: int) -> None:
    """What another implementation compressed is read; what it refuses is refused."""
    library: Any = pytest.importorskip("cramjam").snappy
    choose = random.Random(seed)
    words = [choose.randbytes(choose.randint(1, 40)) for _ in range(20)]
    data = b"".join(choose.choice(words) for _ in range(choose.choice([1, 30, 5000])))
    compressed = bytearray(library.compress_raw(data))
    assert decompress(bytes(compressed)) == data
    compressed[choose.randrange(len(compressed))] ^= 1 << choose.randrange(8)
    try:
        expected = bytes(library.decompress_raw(bytes(compressed)))
    except Exception:  # the library's own error
        with pytest.raises(DamagedFileError):
            decompress(bytes(compressed))
    else:
        assert decompress(bytes(compressed)) == expected
