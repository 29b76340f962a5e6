"""TensorBoard's event files: values -> bytes. Pure.

An event file is a run of records, each an `Event` message. A record (tensorflow/core/lib/io/record_writer.h):

    uint64 length, uint32 masked CRC-32C of these 8 bytes, the message, uint32 masked CRC-32C of the message

The messages (tensorflow/core/util/event.proto, core/framework/summary.proto, histogram.proto, tensor.proto), fields by
number:

    Event           1 wall_time: double   2 step: int64   3 file_version: string   5 summary: Summary
    Summary         1 value: Value, repeated
    Value           1 tag: string   2 simple_value: float   5 histo: HistogramProto   8 tensor: TensorProto
                    9 metadata: SummaryMetadata
    TensorProto     1 dtype: DT_STRING is 7   2 tensor_shape: empty for a scalar   8 string_val: bytes
    HistogramProto  1 min  2 max  3 num  4 sum  5 sum_squares   6 bucket_limit  7 bucket: packed; all doubles
    SummaryMetadata 1 plugin_data: (1 plugin_name: string)   3 summary_description: string

Written here because they are so few: importing TensorFlow for it takes seconds and 700 MB, TensorBoard no longer comes
with it, and TensorBoard's own writer imports TensorFlow wherever that is installed. TensorBoard's readers are the
oracle in the tests.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.formats.checksums import masked_crc32c
from ckpt_inspect.wire import FIXED64, LENGTH_DELIMITED, VARINT

FILE_VERSION = "brain.Event:2"
"""What the first event of a file says."""

SCALARS, HISTOGRAMS, TEXT = "scalars", "histograms", "text"
"""Names of the plugins that show the kinds of values."""

_DT_STRING = 7

_FLOAT32_MAX = float(np.finfo(np.float32).max)

Floats = NDArray[np.float64]


def record(message: bytes) -> bytes:
    """Return the message as a file holds it."""
    length = struct.pack("<Q", len(message))
    return b"".join(
        (length, struct.pack("<I", masked_crc32c(length)), message, struct.pack("<I", masked_crc32c(message)))
    )


def first_event(wall_time: float) -> bytes:
    """Return the event that every file begins with; `wall_time` in seconds since 1970."""
    return _fixed64(1, wall_time) + _delimited(3, FILE_VERSION.encode())


def summary_event(wall_time: float, step: int, values: list[bytes]) -> bytes:
    """Return all values of one step; `step` from 0 up, as int64."""
    return b"".join((_fixed64(1, wall_time), b"\x10", _varint(step), _delimited(5, b"".join(values))))


class Tag:
    """The unchanging parts of a tag's values, encoded once."""

    __slots__ = ("_metadata", "_scalar", "_tag")

    def __init__(self, name: str, plugin: str, description: str) -> None:
        """`description`: Markdown; written with the tag's first value alone, where readers look for it."""
        self._tag = _delimited(1, name.encode("utf-8", "backslashreplace"))
        self._metadata = _delimited(
            9, _delimited(1, _delimited(1, plugin.encode())) + _delimited(3, description.encode())
        )
        self._scalar = b"\x0a" + _varint(len(self._tag) + 5) + self._tag + b"\x15"

    def scalar(self, value: float) -> bytes:
        """Return a `Value` of one float32; beyond float32's range infinite."""
        return self._first(b"\x15" + _float32(value)) if self._metadata else self._scalar + _float32(value)

    def histogram(self, edges: Floats, counts: NDArray[np.int64], low: float, high: float, total: float) -> bytes:
        """Return a `Value` of binned values: `counts` (n,) between `edges` (n+1,), of which the outermost count
        anything.

        `low` and `high` are the smallest and largest value, `total` the sum of all. The sum of squares, which no
        reader shows, is taken from the bins' middles.
        """
        limits, buckets = edges[1:].astype("<f8"), counts.astype("<f8")
        squares = float((((edges[:-1] + edges[1:]) / 2) ** 2 * counts).sum())
        numbers = (low, high, float(counts.sum()), total, squares)
        message = b"".join(_fixed64(i, x) for i, x in enumerate(numbers, 1))
        value = _delimited(5, message + _delimited(6, limits.tobytes()) + _delimited(7, buckets.tobytes()))
        return self._first(value) if self._metadata else _delimited(1, self._tag + value)

    def text(self, markdown: str) -> bytes:
        """Return a `Value` of one text, which TensorBoard shows as Markdown."""
        content = markdown.encode("utf-8", "backslashreplace")
        tensor = bytes((1 << 3 | VARINT, _DT_STRING)) + _delimited(2, b"") + _delimited(8, content)
        value = _delimited(8, tensor)
        return self._first(value) if self._metadata else _delimited(1, self._tag + value)

    def _first(self, value: bytes) -> bytes:
        metadata, self._metadata = self._metadata, b""
        return _delimited(1, self._tag + metadata + value)


def _float32(value: float) -> bytes:
    # struct refuses what float32 can't hold
    return struct.pack(
        "<f", value if abs(value) <= _FLOAT32_MAX or math.isnan(value) else math.copysign(math.inf, value)
    )


def _fixed64(field: int, value: float) -> bytes:
    return bytes((field << 3 | FIXED64,)) + struct.pack("<d", value)


def _delimited(field: int, content: bytes) -> bytes:
    return bytes((field << 3 | LENGTH_DELIMITED,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
