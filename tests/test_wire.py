"""The wire decoder against protobuf's own encoder, and what it says of bytes that are no message."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf.descriptor_pb2 import EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto
from hypothesis import given
from hypothesis import strategies as st
from support.bundle_writer import field, varint

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.wire import decode_varint, fields, signed


@given(st.integers(0, (1 << 64) - 1))
def test_varint_round_trip(value: int) -> None:
    """Every unsigned 64-bit number comes back, with the position behind it."""
    encoded = varint(value)
    assert decode_varint(b"x" + encoded + b"y", 1) == (value, 1 + len(encoded))


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.text(max_size=300))
def test_agrees_with_protobuf(number: int, name: str) -> None:
    """A message that protobuf serialized gives its fields, negative numbers by way of `signed`."""
    message = EnumValueDescriptorProto(name=name, number=number).SerializeToString()
    found = {n: value for n, _, value in fields(message)}
    assert found == {1: name.encode(), 2: number & ((1 << 64) - 1)}
    assert signed(int(found[2])) == number  # type: ignore[call-overload]


def test_nested_messages_by_slices_and_by_bounds() -> None:
    """A submessage reads the same from its own bytes, from a view, and between bounds of the whole."""
    inner = FieldDescriptorProto(name="x", number=300)
    message = FileDescriptorProto(package="p", extension=[inner]).SerializeToString()
    (own,) = (v for n, _, v in fields(message) if n == 7)
    (view,) = (v for n, _, v in fields(memoryview(message)) if n == 7)
    start = message.index(bytes(own))  # type: ignore[arg-type]
    expected = [(1, 2, b"x"), (3, 0, 300)]
    assert list(fields(own)) == list(fields(view)) == expected  # type: ignore[arg-type, comparison-overlap]
    assert list(fields(message, start, start + len(own))) == expected  # type: ignore[arg-type]


def test_fixed_width_fields() -> None:
    """Fixed 32- and 64-bit fields come as little-endian unsigned numbers."""
    message = field(6, 0xDEADBEEF, fixed32=True) + varint(7 << 3 | 1) + (1 << 63).to_bytes(8, "little")
    assert list(fields(message)) == [(6, 5, 0xDEADBEEF), (7, 1, 1 << 63)]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b"\x0a\x05abc", "byte 0: message field 1 claims 5 bytes, but only 3 are left"),
        (b"\x08\x01\x0d\x01\x02", "byte 2: message field 1 claims 4 bytes, but only 2 are left"),
        (b"\x08\x80", "byte 1: a varint runs past the end of its message"),
        (b"\x08", "byte 1: a varint runs past the end of its message"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "byte 1: a varint is longer than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "byte 1: a varint is longer than 64 bits"),
        (b"\x0b", "byte 0: message field 1 has the unknown wire type 3"),
        (b"\x00\x01", "byte 0: a message field has the impossible number 0"),
    ],
)
def test_damaged_messages(message: bytes, sentence: str) -> None:
    """Each fault is named with its position."""
    with pytest.raises(DamagedFileError) as caught:
        list(fields(message))
    assert str(caught.value) == sentence


@given(st.binary(max_size=200))
def test_any_bytes_give_fields_or_one_error(message: bytes) -> None:
    """No bytes make the decoder fail in another way or run on."""
    with contextlib.suppress(DamagedFileError):
        assert len(list(fields(message))) <= len(message)
