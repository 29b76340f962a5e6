"""The table reader on tables of every form, and on damaged ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bundle_writer import block, masked, table, varint

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats.sstable import MAGIC, read_table

ENTRIES = [(f"layer_{i:03d}/kernel".encode(), bytes([i]) * (i % 7)) for i in range(200)]


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=300)), st.integers(1, 40))
def test_round_trip(entries: dict[bytes, bytes], per_block: int) -> None:
    """Any keys and values come back in key order, however they were cut into blocks."""
    ordered = sorted(entries.items())
    assert list(read_table(table(ordered, per_block))) == ordered


@pytest.mark.parametrize("length", [0, 1, 47])
def test_shorter_than_a_footer(length: int) -> None:
    """A file that is too short for a footer is called truncated."""
    with pytest.raises(DamagedFileError) as caught:
        list(read_table(bytes(length)))
    assert str(caught.value) == f"is {length} bytes long, shorter than a table's footer: it is truncated"


def test_no_magic_number() -> None:
    """A file that lost its end is called truncated."""
    with pytest.raises(DamagedFileError) as caught:
        list(read_table(table(ENTRIES)[:-20]))
    assert str(caught.value) == "does not end with a table's magic number: it is truncated or not a table"


def test_flipped_bit() -> None:
    """A flipped bit fails its block's checksum, which is named by its offset."""
    damaged = bytearray(table(ENTRIES, per_block=1000))
    contents = block(ENTRIES)
    damaged[100] ^= 4
    computed = masked(bytes(damaged[: len(contents) + 1]))
    with pytest.raises(DamagedFileError) as caught:
        list(read_table(bytes(damaged)))
    stored = masked(contents + b"\0")
    assert str(caught.value) == f"table block at 0x0: bad CRC, stored {stored:08x}, computed {computed:08x}"


def test_compressed_block() -> None:
    """A compressed block is refused by the name of its method."""
    with pytest.raises(UnsupportedError) as caught:
        list(read_table(table(ENTRIES, compression=1)))
    assert str(caught.value).endswith("is compressed with snappy, which TensorFlow's bundle writer never does")


def test_block_past_the_end() -> None:
    """A handle that leads out of the file is refused before anything is read there."""
    footer = varint(0) + varint(8) + varint(0) + varint(1 << 60)
    with pytest.raises(DamagedFileError) as caught:
        list(read_table(bytes(100) + footer.ljust(40, b"\0") + MAGIC))
    assert str(caught.value) == f"table block at 0x0: claims {1 << 60} bytes, which is past the end of the table"


def test_keys_out_of_order() -> None:
    """Keys that don't grow, which would hide one of two tensors, are refused."""
    with pytest.raises(DamagedFileError) as caught:
        list(read_table(table([(b"b", b"1"), (b"a", b"2")])))
    assert str(caught.value) == "table block at 0x0: its keys are out of order"


@given(st.integers(0, len(table(ENTRIES)) - 1), st.integers(1, 255))
def test_any_damaged_byte(position: int, flip: int) -> None:
    """A changed byte is noticed, or was one that nothing depends on."""
    damaged = bytearray(table(ENTRIES))
    damaged[position] ^= flip
    with contextlib.suppress(CkptInspectError):
        assert list(read_table(bytes(damaged))) == ENTRIES
