"""Protocol-buffer wire format: bytes -> fields. Pure, and knows no schema.

https://protobuf.dev/programming-guides/encoding/: a message is a run of records; each record starts with a varint tag,
`field_number << 3 | wire_type`; varints are little-endian groups of 7 bits, at most 10 bytes long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ckpt_inspect.errors import DamagedFileError

Buffer: TypeAlias = "bytes | memoryview"

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
"""Wire types; 3 and 4 (groups) were given up long before TensorFlow, whose messages never hold one."""


def fields(buffer: Buffer, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, int | Buffer]]:
    """Yield the records of the message in `buffer[start:stop]`: (field number, wire type, value).

    Varints come as unsigned ints below 2**64 (see `signed`), fixed ones as unsigned ints (little-endian), and
    length-delimited ones as slices of the buffer: copies of `bytes`, views of a `memoryview`. Raises DamagedFileError
    with the position in the buffer.
    """
    position, stop = start, len(buffer) if stop is None else stop
    while position < stop:
        at = position
        tag = buffer[position]
        position += 1
        if tag >= 0x80:
            tag, position = decode_varint(buffer, at, stop)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise DamagedFileError(f"byte {at}: a message field has the impossible number {number}")
        if kind in (VARINT, LENGTH_DELIMITED):
            if position < stop and (value := buffer[position]) < 0x80:
                position += 1
            else:
                value, position = decode_varint(buffer, position, stop)
            if kind == VARINT:
                yield number, kind, value
                continue
            width = value
        elif kind == FIXED32:
            width = 4
        elif kind == FIXED64:
            width = 8
        else:
            raise DamagedFileError(f"byte {at}: message field {number} has the unknown wire type {kind}")
        end = position + width
        if end > stop:
            raise DamagedFileError(
                f"byte {at}: message field {number} claims {width} bytes, but only {stop - position} are left"
            )
        chunk = buffer[position:end]
        position = end
        yield number, kind, chunk if kind == LENGTH_DELIMITED else int.from_bytes(chunk, "little")


def decode_varint(buffer: Buffer, position: int, stop: int | None = None) -> tuple[int, int]:
    """Return the unsigned varint at `position`, and the position behind it; DamagedFileError past `stop` or 64 bits."""
    at, stop = position, len(buffer) if stop is None else stop
    value = shift = 0
    while position < stop:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position
        shift += 7
        if shift > 63:
            break
    else:
        raise DamagedFileError(f"byte {at}: a varint runs past the end of its message")
    raise DamagedFileError(f"byte {at}: a varint is longer than 64 bits")


def signed(value: int) -> int:
    """Return the int64 (or int32) that an unsigned varint stands for."""
    return value - (1 << 64) if value >> 63 else value
