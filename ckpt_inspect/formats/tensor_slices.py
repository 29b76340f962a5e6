"""The records of a V1 checkpoint: bytes -> variables, and the places and encoding of their slices' values. Pure.

tensorflow/core/util/saved_tensor_slice.proto, tensor_slice_writer.h and saved_tensor_slice_util.h. A V1 checkpoint is a
table. The empty key holds a SavedTensorSlices with `meta`, which lists the variables and their slices; a variable that
is not partitioned is one slice. Each slice has a record, whose key is OrderedCode of name and slice as in a bundle's
index, and which holds a SavedTensorSlices with `data`: name, slice, and a TensorProto
(tensorflow/core/framework/tensor.proto) of nothing but the values. The writer packs as many values as there are
elements, and the reader refuses any other number (`CopySliceData` in tensor_slice_reader.h). So the rule that a
TensorProto's last value stands for all that follow does not apply here. A record is at most 2 GiB long.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import STRING
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats.bundle_index import DTYPES, Extent, decode_shape, decode_slice, is_inside
from ckpt_inspect.formats.sstable import Span, Window
from ckpt_inspect.wire import FIXED32, FIXED64, LENGTH_DELIMITED, VARINT, decode_varint, fields

METADATA_KEY = b""  # kSavedTensorSlicesKey

_META, _DATA = 1, 2  # SavedTensorSlices
_TENSOR, _VERSIONS = 1, 2  # SavedTensorSliceMeta
_NAME, _SHAPE, _TYPE, _SLICE = 1, 2, 3, 4  # SavedSliceMeta
_MIN_CONSUMER = 2  # VersionDef
_SAVED_NAME, _SAVED_SLICE, _SAVED_DATA = 1, 2, 3  # SavedSlice
_TENSOR_CONTENT = 4  # TensorProto

_CHECKPOINT_VERSION = 1  # TF_CHECKPOINT_VERSION in tensorflow/core/public/release_version.h
LONGEST_VARINT = 10
"""In bytes."""

_LONGEST_FIELD_HEAD = 2 * LONGEST_VARINT  # tag and length


class Encoding(NamedTuple):
    """How a TensorProto holds the values of a type."""

    field: int
    """Its number in TensorProto; a repeated field."""
    kind: int
    """The wire type of one value; numbers are usually packed."""


ENCODINGS: Mapping[str, Encoding] = {
    "float32": Encoding(5, FIXED32),  # float_val
    "float64": Encoding(6, FIXED64),  # double_val
    **dict.fromkeys(("int32", "int16", "int8", "uint16", "uint8"), Encoding(7, VARINT)),  # int_val
    STRING: Encoding(8, LENGTH_DELIMITED),  # string_val
    "complex64": Encoding(9, FIXED32),  # scomplex_val: real and imaginary parts by turns
    "int64": Encoding(10, VARINT),  # int64_val
    "bool": Encoding(11, VARINT),  # bool_val
    "complex128": Encoding(12, FIXED64),  # dcomplex_val
    **dict.fromkeys(("float16", "bfloat16"), Encoding(13, VARINT)),  # half_val: the 16 bits as a number
    "uint32": Encoding(16, VARINT),  # uint32_val
    "uint64": Encoding(17, VARINT),  # uint64_val
}
"""By numpy's name of the type. The writer refuses bfloat16, uint32 and uint64, which tensor.proto describes."""


class Variable(NamedTuple):
    """A variable as the metadata of one file lists it."""

    name: str
    dtype: str
    """As in `TensorSpec.dtype`."""
    shape: tuple[int, ...]
    """Of the whole variable, even if its slices lie in several files."""
    slices: tuple[tuple[Extent, ...], ...]
    """Those in this file, as they are stored: with FULL_EXTENT."""


class Values(NamedTuple):
    """Where the values of a slice lie."""

    spans: array[int]
    """Start and stop by turns. One span if the numbers are packed, as the writer does it; else one span per value; one
    span per string; none if there are no values."""
    is_content: bool
    """Whether they are the elements' own bytes, little-endian (`tensor_content`)."""


def decode_metadata(value: bytes) -> list[Variable]:
    """Return the variables of a file, in its order.

    Raises DamagedFileError or UnsupportedError, without the file's path.
    """
    variables = []
    is_metadata = False
    for number, _, meta in fields(value):
        if number != _META or isinstance(meta, int):
            raise DamagedFileError(f"the metadata has the unexpected field {number}: it is no V1 checkpoint's")
        is_metadata = True
        for part, _, message in fields(meta):
            if isinstance(message, int):
                continue
            if part == _TENSOR:
                variables.append(_decode_variable(bytes(message)))
            elif part == _VERSIONS:
                oldest = next((v for n, _, v in fields(message) if n == _MIN_CONSUMER and isinstance(v, int)), 0)
                if oldest > _CHECKPOINT_VERSION:
                    raise UnsupportedError(
                        f"is of V1 checkpoint version {oldest}; this package reads version {_CHECKPOINT_VERSION}"
                    )
    if not is_metadata:
        raise DamagedFileError("the metadata is empty: it is no V1 checkpoint's")
    return variables


def _decode_variable(message: bytes) -> Variable:
    name, dtype, shape, slices = "", 0, (), []  # type: tuple[str, int, tuple[int, ...], list[tuple[Extent, ...]]]
    try:
        for number, _, content in fields(message):
            if isinstance(content, int):
                if number == _TYPE:
                    dtype = content
            elif number == _NAME:
                name = bytes(content).decode("utf-8", "backslashreplace")
            elif number == _SHAPE:
                shape = decode_shape(content)
            elif number == _SLICE:
                slices.append(decode_slice(content))
        for extents in slices:
            if not is_inside(extents, shape):
                raise DamagedFileError(f"its slice {list(map(tuple, extents))} is not inside its shape {shape}")
    except CkptInspectError as error:
        raise type(error)(f"tensor {name!r}: {error}") from error
    return Variable(name, DTYPES.get(dtype, f"dtype-{dtype}"), shape, tuple(slices))


def locate_values(record: Window, start: int, name: str, extents: tuple[Extent, ...], dtype: str) -> Values:
    """Find the values of a slice in its record, from `start` to the end of the window; the values are not read.

    Raises DamagedFileError if the record belongs to another slice.
    """
    wanted = ENCODINGS[dtype]
    spans, content = array("q"), array("q")
    for _, data in _submessages(record, Span(start, record.stop), _DATA):
        for number, part in _submessages(record, data, _SAVED_NAME, _SAVED_SLICE, _SAVED_DATA):
            if number == _SAVED_NAME:
                found = record.read(part.start, part.stop - part.start)
                if found.decode("utf-8", "backslashreplace") != name:
                    raise DamagedFileError(f"its record is that of tensor {found!r}")
            elif number == _SAVED_SLICE:
                stored = decode_slice(record.read(part.start, part.stop - part.start))
                if stored != extents:
                    raise DamagedFileError(f"its record is that of the slice {list(map(tuple, stored))}")
            else:
                for field, kind, span in _field_spans(record, part):
                    if field == wanted.field and kind in (wanted.kind, LENGTH_DELIMITED):
                        if span.start < span.stop or dtype == STRING:
                            spans.extend(span)
                    elif field == _TENSOR_CONTENT and kind == LENGTH_DELIMITED and span.start < span.stop:
                        content = array("q", span)
    return Values(content, True) if content else Values(spans, False)


def _submessages(record: Window, message: Span, *numbers: int) -> Iterator[tuple[int, Span]]:
    for number, kind, span in _field_spans(record, message):
        if number in numbers and kind == LENGTH_DELIMITED:
            yield number, span


def _field_spans(record: Window, message: Span) -> Iterator[tuple[int, int, Span]]:
    """Yield what `wire.fields` does, with each value's place instead of the value: number, wire type, place."""
    position, stop = message
    while position < stop:
        at = position
        head = record.read(position, min(_LONGEST_FIELD_HEAD, stop - position))
        tag, size = decode_varint(head, 0)
        number, kind = tag >> 3, tag & 7
        position += size
        if kind == LENGTH_DELIMITED:
            width, behind = decode_varint(head, size)
            position += behind - size
        elif kind == VARINT:
            width = decode_varint(head, size)[1] - size
        elif kind in (FIXED32, FIXED64):
            width = 4 if kind == FIXED32 else 8
        else:
            raise DamagedFileError(f"byte {at}: message field {number} has the unknown wire type {kind}")
        if position + width > stop:
            raise DamagedFileError(
                f"byte {at}: message field {number} claims {width} bytes, but only {stop - position} are left"
            )
        yield number, kind, Span(position, position + width)
        position += width


def varint_ends(raw: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the index of the last byte of each varint."""
    return np.flatnonzero(raw < 0x80)


def decode_varints(raw: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the values of complete varints, each at most LONGEST_VARINT bytes, that lie one after another."""
    ends = varint_ends(raw)
    if len(ends) == len(raw):
        return raw.astype(np.uint64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    values = np.zeros(len(ends), np.uint64)
    for i in range(int(lengths.max())):
        which = np.flatnonzero(lengths > i)
        values[which] |= (raw[starts[which] + i] & 0x7F).astype(np.uint64) << np.uint64(7 * i)
    return values
