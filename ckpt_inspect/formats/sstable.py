"""TensorFlow's sorted-string table: bytes -> keys and values. Pure.

tensorflow/core/lib/io/table_format.txt, format.cc and block.cc (LevelDB's table format with another magic number): data
blocks, a metaindex block, an index block, and a footer of 48 bytes: two block handles (varint offset, varint size),
padded to 40 bytes, then the magic number. A block is followed by a byte for its compression and by its masked CRC-32C.
Inside a block, keys share a prefix with the key before; the block ends with the offsets of its restart points and their
number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ckpt_inspect.errors import DamagedFileError, UnsupportedError
from ckpt_inspect.formats.checksums import masked_crc32c
from ckpt_inspect.wire import decode_varint

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
"""The last 8 bytes of every table."""

FOOTER_SIZE = 48
_TRAILER_SIZE = 5  # compression, then masked CRC-32C of contents and compression byte
_COMPRESSIONS = {1: "snappy"}


def read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every (key, value) of a whole table, in key order.

    Raises DamagedFileError with the block's offset, UnsupportedError for compressed blocks.
    """
    if len(table) < FOOTER_SIZE:
        raise DamagedFileError(f"is {len(table)} bytes long, shorter than a table's footer: it is truncated")
    if not table.endswith(MAGIC):
        raise DamagedFileError("does not end with a table's magic number: it is truncated or not a table")
    footer = len(table) - FOOTER_SIZE
    position = footer
    for _ in range(2):  # the metaindex block holds nothing that a checkpoint uses
        position = _decode_handle(table, position, len(table) - 8)[2]
    _, position = decode_varint(table, footer)
    _, position = decode_varint(table, position)
    offset, size, _ = _decode_handle(table, position, len(table) - 8)
    last = None
    for _, handle in _read_block(table, offset, size):
        block_offset, block_size, _ = _decode_handle(handle, 0, len(handle))
        for key, value in _read_block(table, block_offset, block_size):
            if last is not None and key <= last:
                raise DamagedFileError(f"table block at {block_offset:#x}: its keys are out of order")
            last = key
            yield key, value


def _decode_handle(buffer: bytes, position: int, stop: int) -> tuple[int, int, int]:
    offset, position = decode_varint(buffer, position, stop)
    size, position = decode_varint(buffer, position, stop)
    return offset, size, position


def _read_block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    where = f"table block at {offset:#x}"
    end = offset + size
    if end + _TRAILER_SIZE > len(table) - FOOTER_SIZE:
        raise DamagedFileError(f"{where}: claims {size} bytes, which is past the end of the table")
    stored = int.from_bytes(table[end + 1 : end + _TRAILER_SIZE], "little")
    computed = masked_crc32c(table[offset : end + 1])
    if stored != computed:
        raise DamagedFileError(f"{where}: bad CRC, stored {stored:08x}, computed {computed:08x}")
    if compression := table[end]:
        name = _COMPRESSIONS.get(compression, f"method {compression}")
        raise UnsupportedError(f"{where}: is compressed with {name}, which TensorFlow's bundle writer never does")
    if size < 4:
        raise DamagedFileError(f"{where}: is too short for its number of restart points")
    restarts = int.from_bytes(table[end - 4 : end], "little")
    stop = end - 4 - 4 * restarts
    if stop < offset:
        raise DamagedFileError(f"{where}: claims {restarts} restart points, more than fit in it")
    yield from _decode_entries(table, offset, stop, where)


def _decode_entries(table: bytes, position: int, stop: int, where: str) -> Iterator[tuple[bytes, bytes]]:
    key = b""
    while position < stop:
        if (
            position + 3 <= stop
            and table[position] < 0x80
            and table[position + 1] < 0x80
            and table[position + 2] < 0x80
        ):
            shared, unshared, length = table[position], table[position + 1], table[position + 2]
            position += 3
        else:
            shared, position = decode_varint(table, position, stop)
            unshared, position = decode_varint(table, position, stop)
            length, position = decode_varint(table, position, stop)
        value_at = position + unshared
        if shared > len(key) or value_at + length > stop:
            raise DamagedFileError(f"{where}: the entry behind key {key!r} runs out of the block")
        key = key[:shared] + table[position:value_at]
        position = value_at + length
        yield key, table[value_at:position]
