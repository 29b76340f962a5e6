"""msgpack by the specification's own forms, and damaged."""

from __future__ import annotations

import struct

import pytest

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.msgpack import Blob, Unpacked, unpack


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x05", 5),
        (b"\xff", -1),
        (b"\xc0", None),
        (b"\xc3", True),
        (b"\xcd\x01\x00", 256),
        (b"\xd1\xff\x00", -256),
        (b"\xcb" + struct.pack(">d", 0.5), 0.5),
        (b"\xa2ab", "ab"),
        (b"\xd9\x02ab", "ab"),
        (b"\xc4\x02ab", Blob(None, 2, 4)),
        (b"\x92\x01\xa1x", [1, "x"]),
        (b"\xdc\x00\x01\x07", [7]),
        (b"\x81\xa1a\x80", {"a": {}}),
        (b"\xde\x00\x01\xa1a\x01", {"a": 1}),
        (b"\xc7\x02\x01ab", Blob(1, 3, 5)),
        (b"\xd5\x03ab", Blob(3, 2, 4)),
    ],
)
def test_each_form(data: bytes, value: Unpacked) -> None:
    """Numbers, texts, bytes, lists, maps and extensions, short and long."""
    assert unpack(data, "x") == value


@pytest.mark.parametrize(
    "data", [b"", b"\xa5ab", b"\xc1", b"\x81\xa1a", b"\x05\x05", b"\x91" * 5000, b"\xdf\xff\xff\xff\xff"]
)
def test_damage_is_named(data: bytes) -> None:
    """Cut short, nested without end, with something behind, or nothing that it has."""
    with pytest.raises(DamagedFileError, match="checkpoint: "):
        unpack(data, "checkpoint")
