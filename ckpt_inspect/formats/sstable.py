"""TensorFlow's sorted-string table: bytes -> keys and values. Pure: it opens no files.

tensorflow/core/lib/io/table_format.txt, format.cc and block.cc (LevelDB's table format with another magic number): data
blocks, a metaindex block, an index block, and a footer of 48 bytes: two block handles (varint offset, varint size),
padded to 40 bytes, then the magic number. A block is followed by a byte for its compression and by its masked CRC-32C.
Inside a block, keys share a prefix with the key before; the block ends with the offsets of its restart points and their
number.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import google_crc32c

from ckpt_inspect.errors import DamagedFileError, UnsupportedError
from ckpt_inspect.formats.checksums import mask, masked_crc32c
from ckpt_inspect.formats.snappy import decompress
from ckpt_inspect.wire import decode_varint

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
"""The last 8 bytes of every table."""

FOOTER_SIZE = 48
_RESTART_SIZE = 4  # a restart point's offset, and their number
_TRAILER_SIZE = 5  # compression, then masked CRC-32C of contents and compression byte
_SNAPPY = 1  # kSnappyCompression; 0: none
_LONGEST_ENTRY_HEAD = 30  # three varints
_CHECKED_BYTES = 1 << 20  # of a block at a time
_WINDOW_BYTES = 1 << 14


class ByteSource(Protocol):
    """Anything that a table can be read from, by byte ranges."""

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`; DamagedFileError if the source ends too early."""


class Span(NamedTuple):
    """Where some bytes lie in their source."""

    start: int
    stop: int


def read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield every (key, value) of a whole table, in key order; its blocks may be compressed with snappy.

    Raises DamagedFileError with the block's offset, UnsupportedError for blocks that are compressed otherwise.
    """
    _refuse_short(len(table))
    offset, size = _decode_footer(table[-FOOTER_SIZE:])
    last = None
    for _, handle in _read_block(table, offset, size):
        block_offset, block_size, _ = _decode_handle(handle, 0, len(handle))
        for key, value in _read_block(table, block_offset, block_size):
            if last is not None and key <= last:
                raise _out_of_order(block_offset)
            last = key
            yield key, value


class Table:
    """A table of any size; a block is checked and listed when one of its keys is first looked up. Thread-safe.

    Only the keys and the places of their values are held in memory.
    """

    def __init__(self, source: ByteSource) -> None:
        """Read the index block; raises what `read_table` raises, and UnsupportedError for any compressed block: a value
        in one has no place in the source."""
        self._source = source
        _refuse_short(source.size)
        offset, size = _decode_footer(source.read(source.size - FOOTER_SIZE, FOOTER_SIZE))
        _refuse_long(offset, size, source.size)
        index = source.read(offset, size + _TRAILER_SIZE)
        self._last_keys: list[bytes] = []
        """A key at or behind each block's last one, and before the next block's first."""
        self._blocks: list[tuple[int, int]] = []
        tail = index[-_TRAILER_SIZE - min(size, _RESTART_SIZE) :]
        stop = _check_block(size, tail, masked_crc32c(index[: size + 1]), offset)
        for key, handle in _decode_entries(index, stop, offset):
            self._last_keys.append(key)
            self._blocks.append(_decode_handle(handle, 0, len(handle))[:2])
        if any(b <= a for a, b in pairwise(self._last_keys)):
            raise _out_of_order(offset)
        self._listed: dict[int, dict[bytes, Span]] = {}

    def find(self, key: bytes) -> Span | None:
        """Return where the key's value lies, its block's checksum verified; None if the table hasn't the key."""
        number = bisect_left(self._last_keys, key)
        if number == len(self._blocks):
            return None
        values = self._listed.get(number)
        if values is None:
            values = self._listed[number] = dict(self._list_block(*self._blocks[number]))
        return values.get(key)

    def _list_block(self, offset: int, size: int) -> Iterator[tuple[bytes, Span]]:
        _refuse_long(offset, size, self._source.size)
        crc, end = 0, offset + size + 1
        for at in range(offset, end, _CHECKED_BYTES):
            crc = google_crc32c.extend(crc, self._source.read(at, min(_CHECKED_BYTES, end - at)))
        number_size = min(size, _RESTART_SIZE)
        tail = self._source.read(end - 1 - number_size, number_size + _TRAILER_SIZE)
        stop = offset + _check_block(size, tail, mask(crc), offset)
        window, key, position = Window(self._source, stop), b"", offset
        while position < stop:
            head = window.read(position, _LONGEST_ENTRY_HEAD)
            shared, at = decode_varint(head, 0)
            unshared, at = decode_varint(head, at)
            length, at = decode_varint(head, at)
            value_at = position + at + unshared
            if shared > len(key) or value_at + length > stop:
                raise _runs_out(offset, key)
            following = key[:shared] + window.read(position + at, unshared)
            if position > offset and following <= key:
                raise _out_of_order(offset)
            key, position = following, value_at + length
            yield key, Span(value_at, position)


class Window:
    """Reads a few bytes at a time, mostly forwards, from a part of the source that is kept in memory."""

    __slots__ = ("_kept", "_source", "_start", "stop")

    def __init__(self, source: ByteSource, stop: int) -> None:
        """Read `source` up to its byte `stop`."""
        self._source, self._start, self._kept = source, 0, b""
        self.stop = stop

    def read(self, position: int, size: int) -> bytes:
        """Return `size` bytes at `position`, fewer if `stop` comes first."""
        size = min(size, self.stop - position)
        at = position - self._start
        if at < 0 or at + size > len(self._kept):
            self._kept = self._source.read(position, min(max(size, _WINDOW_BYTES), self.stop - position))
            self._start, at = position, 0
        return self._kept[at : at + size]


def _refuse_short(size: int) -> None:
    if size < FOOTER_SIZE:
        raise DamagedFileError(f"is {size} bytes long, shorter than a table's footer: it is truncated")


def _refuse_long(offset: int, size: int, table_size: int) -> None:
    if offset + size + _TRAILER_SIZE > table_size - FOOTER_SIZE:
        raise DamagedFileError(f"table block at {offset:#x}: claims {size} bytes, which is past the end of the table")


def _out_of_order(offset: int) -> DamagedFileError:
    return DamagedFileError(f"table block at {offset:#x}: its keys are out of order")


def _runs_out(offset: int, key: bytes) -> DamagedFileError:
    return DamagedFileError(f"table block at {offset:#x}: the entry behind key {key!r} runs out of the block")


def _decode_footer(footer: bytes) -> tuple[int, int]:
    """Return offset and size of the index block."""
    if not footer.endswith(MAGIC):
        raise DamagedFileError("does not end with a table's magic number: it is truncated or not a table")
    stop = FOOTER_SIZE - len(MAGIC)
    position = _decode_handle(footer, 0, stop)[2]  # the metaindex block holds nothing that a checkpoint uses
    return _decode_handle(footer, position, stop)[:2]


def _decode_handle(buffer: bytes, position: int, stop: int) -> tuple[int, int, int]:
    offset, position = decode_varint(buffer, position, stop)
    size, position = decode_varint(buffer, position, stop)
    return offset, size, position


def _read_block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    _refuse_long(offset, size, len(table))
    return _decode_block(table[offset : offset + size + _TRAILER_SIZE], offset)


def _decode_block(block: bytes, offset: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block at `offset`; `block` includes the trailer."""
    size = len(block) - _TRAILER_SIZE
    _check_crc(block[-_TRAILER_SIZE:], masked_crc32c(block[: size + 1]), offset)
    if block[size] == _SNAPPY:
        try:
            block = decompress(block[:size])
        except DamagedFileError as error:
            raise DamagedFileError(f"table block at {offset:#x}: {error}") from error
        size = len(block)
    elif block[size]:
        raise _compressed(block[size], offset)
    return _decode_entries(block, _entries_size(size, block[max(0, size - _RESTART_SIZE) : size], offset), offset)


def _check_block(size: int, tail: bytes, computed: int, offset: int) -> int:
    """Return the size of an uncompressed block's entries, from its last bytes (trailer included) and its computed
    checksum."""
    _check_crc(tail[-_TRAILER_SIZE:], computed, offset)
    if compression := tail[-_TRAILER_SIZE]:
        raise _compressed(compression, offset)
    return _entries_size(size, tail[:_RESTART_SIZE], offset)


def _check_crc(trailer: bytes, computed: int, offset: int) -> None:
    stored = int.from_bytes(trailer[-4:], "little")
    if stored != computed:
        raise DamagedFileError(f"table block at {offset:#x}: bad CRC, stored {stored:08x}, computed {computed:08x}")


def _compressed(compression: int, offset: int) -> UnsupportedError:
    name = "snappy" if compression == _SNAPPY else f"method {compression}"
    return UnsupportedError(f"table block at {offset:#x}: is compressed with {name}, which this package doesn't read")


def _entries_size(size: int, tail: bytes, offset: int) -> int:
    """Return the size of the entries of a block of `size` bytes that ends with `tail`, its number of restart points."""
    where = f"table block at {offset:#x}"
    if size < _RESTART_SIZE:
        raise DamagedFileError(f"{where}: is too short for its number of restart points")
    restarts = int.from_bytes(tail, "little")
    stop = size - _RESTART_SIZE * (restarts + 1)
    if stop < 0:
        raise DamagedFileError(f"{where}: claims {restarts} restart points, more than fit in it")
    return stop


def _decode_entries(block: bytes, stop: int, offset: int) -> Iterator[tuple[bytes, bytes]]:
    key, position = b"", 0
    while position < stop:
        if (
            position + 3 <= stop
            and block[position] < 0x80
            and block[position + 1] < 0x80
            and block[position + 2] < 0x80
        ):
            shared, unshared, length = block[position], block[position + 1], block[position + 2]
            position += 3
        else:
            shared, position = decode_varint(block, position, stop)
            unshared, position = decode_varint(block, position, stop)
            length, position = decode_varint(block, position, stop)
        value_at = position + unshared
        if shared > len(key) or value_at + length > stop:
            raise _runs_out(offset, key)
        key = key[:shared] + block[position:value_at]
        position = value_at + length
        yield key, block[value_at:position]
