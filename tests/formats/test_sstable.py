"""The table reader on tables of every form, and on damaged ones."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bundle_writer import block, masked, table, varint

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats.sstable import MAGIC, ByteSource, Table, read_table

ENTRIES = [(f"layer_{i:03d}/kernel".encode(), bytes([i]) * (i % 7)) for i in range(200)]


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=300)), st.integers(1, 40))
def test_round_trip(entries: dict[bytes, bytes], per_block: int) -> None:
    """Any keys and values come back in key order, however they were cut into blocks."""
    ordered = sorted(entries.items())
    assert list(read_table(table(ordered, per_block))) == ordered


class Memory:
    """Bytes as what a table is read from."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read(self, offset: int, size: int) -> bytes:
        assert 0 <= offset <= offset + size <= self.size
        return self.data[offset : offset + size]


def found(source: ByteSource, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """What a table that is read by ranges holds under these keys."""
    by_ranges = Table(source)
    spans = {key: by_ranges.find(key) for key in keys}
    return {key: source.read(span.start, span.stop - span.start) for key, span in spans.items() if span is not None}


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=300)), st.integers(1, 40), st.sets(st.binary()))
def test_round_trip_by_ranges(entries: dict[bytes, bytes], per_block: int, others: set[bytes]) -> None:
    """Any keys and values are found by ranges, whatever their blocks, and nothing else is."""
    source = Memory(table(sorted(entries.items()), per_block))
    assert found(source, entries.keys() | others) == entries


def test_large_values_by_ranges() -> None:
    """Values larger than what is read at a time are found, and what lies behind them."""
    entries = {b"a": bytes(3 << 20), b"b": b"1", b"c" * 70_000: bytes(1 << 16), b"d": b"2"}
    assert found(Memory(table(entries.items())), entries) == entries


Read = Callable[[bytes], object]
both = pytest.mark.parametrize(
    "read", [lambda data: list(read_table(data)), lambda data: found(Memory(data), (b"a", b"b", *dict(ENTRIES)))]
)
"""The table's faults are the same, read whole and by ranges."""


@both
@pytest.mark.parametrize("length", [0, 1, 47])
def test_shorter_than_a_footer(read: Read, length: int) -> None:
    """A file that is too short for a footer is called truncated."""
    with pytest.raises(DamagedFileError) as caught:
        read(bytes(length))
    assert str(caught.value) == f"is {length} bytes long, shorter than a table's footer: it is truncated"


@both
def test_no_magic_number(read: Read) -> None:
    """A file that lost its end is called truncated."""
    with pytest.raises(DamagedFileError) as caught:
        read(table(ENTRIES)[:-20])
    assert str(caught.value) == "does not end with a table's magic number: it is truncated or not a table"


@both
def test_flipped_bit(read: Read) -> None:
    """A flipped bit fails its block's checksum, which is named by its offset."""
    damaged = bytearray(table(ENTRIES, per_block=1000))
    contents = block(ENTRIES)
    damaged[100] ^= 4
    computed = masked(bytes(damaged[: len(contents) + 1]))
    with pytest.raises(DamagedFileError) as caught:
        read(bytes(damaged))
    stored = masked(contents + b"\0")
    assert str(caught.value) == f"table block at 0x0: bad CRC, stored {stored:08x}, computed {computed:08x}"


@both
def test_compressed_block(read: Read) -> None:
    """A block whose method of compression is unknown is refused by its number."""
    with pytest.raises(UnsupportedError) as caught:
        read(table(ENTRIES, compression=2))
    assert str(caught.value).endswith("is compressed with method 2, which this package doesn't read")


def test_compressed_block_by_ranges() -> None:
    """A table that is read by ranges can't be compressed: its values have no place in the source."""
    with pytest.raises(UnsupportedError) as caught:
        found(Memory(table(ENTRIES, compression=1)), (b"a",))
    assert str(caught.value).endswith("is compressed with snappy, which this package doesn't read")


def test_snappy_blocks() -> None:
    """A table whose blocks are compressed with snappy is read as the same table uncompressed."""
    literals = lambda data: varint(len(data)) + b"\xf8" + (len(data) - 1).to_bytes(3, "little") + data  # noqa: E731
    compressed = table(ENTRIES, compression=1, compress=literals)
    assert list(read_table(compressed)) == ENTRIES
    with pytest.raises(DamagedFileError) as caught:
        list(read_table(table(ENTRIES, compression=1)))
    assert re.match("table block at 0x[0-9a-f]+: .*snappy data", str(caught.value))


@both
def test_block_past_the_end(read: Read) -> None:
    """A handle that leads out of the file is refused before anything is read there."""
    footer = varint(0) + varint(8) + varint(0) + varint(1 << 60)
    with pytest.raises(DamagedFileError) as caught:
        read(bytes(100) + footer.ljust(40, b"\0") + MAGIC)
    assert str(caught.value) == f"table block at 0x0: claims {1 << 60} bytes, which is past the end of the table"


@both
def test_keys_out_of_order(read: Read) -> None:
    """Keys that don't grow, which would hide one of two tensors, are refused."""
    with pytest.raises(DamagedFileError) as caught:
        read(table([(b"b", b"1"), (b"a", b"2")]))
    assert str(caught.value) == "table block at 0x0: its keys are out of order"


@given(st.integers(0, len(table(ENTRIES)) - 1), st.integers(1, 255))
def test_any_damaged_byte(position: int, flip: int) -> None:
    """A changed byte is noticed, or was one that nothing depends on."""
    damaged = bytearray(table(ENTRIES))
    damaged[position] ^= flip
    with contextlib.suppress(CkptInspectError):
        assert list(read_table(bytes(damaged))) == ENTRIES
    with contextlib.suppress(CkptInspectError):
        assert found(Memory(bytes(damaged)), dict(ENTRIES)) == dict(ENTRIES)
