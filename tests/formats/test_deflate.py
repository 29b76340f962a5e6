"""zlib-ng in zlib's place, with zlib as the oracle."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.formats import deflate

WEIGHTS = np.random.default_rng(0).standard_normal(1 << 15).astype(np.float32)


def unpacked(library: ModuleType, packed: bytes, bits: int, most: int, step: int) -> tuple[object, ...]:
    """What comes out piece by piece, what is left over, and the message of the error, if one ends it."""
    unpacker = library.decompressobj(bits)
    found = bytearray()
    try:
        for at in range(0, len(packed), step):
            found += unpacker.decompress(unpacker.unconsumed_tail + packed[at : at + step], most)
    except library.error as error:
        return found, str(error)
    return found, unpacker.eof, unpacker.unused_data, unpacker.unconsumed_tail


@given(st.data())
def test_damaged_streams(data: st.DataObject) -> None:
    """Whatever a stream says, whole, cut or changed, both give the same bytes and the same message."""
    plain = data.draw(st.binary(max_size=300) | st.sampled_from([WEIGHTS[:3000].tobytes(), bytes(1 << 16)]))
    bits = data.draw(st.sampled_from([15, 31, -15]))
    packer = zlib.compressobj(data.draw(st.integers(0, 9)), wbits=bits)
    packed = bytearray(packer.compress(plain) + packer.flush())
    for _ in range(data.draw(st.integers(0, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))] if data.draw(st.booleans()) else packed)
    most, step = data.draw(st.integers(1, 1 << 16)), data.draw(st.integers(1 << 8, 1 << 12))
    assert unpacked(deflate, cut, bits, most, step) == unpacked(zlib, cut, bits, most, step)


@pytest.mark.parametrize("bits", [15, 31, -15])
def test_large_streams(bits: int) -> None:
    """The loops that are quick because much is left to do notice the same damage."""
    packer = zlib.compressobj(1, wbits=bits)
    packed = packer.compress(WEIGHTS.tobytes()) + packer.flush()
    assert unpacked(deflate, packed, bits, 1 << 20, len(packed))[0] == WEIGHTS.tobytes()
    for place in range(100, len(packed), len(packed) // 50):
        damaged = bytearray(packed)
        damaged[place] ^= 16
        assert unpacked(deflate, damaged, bits, 1 << 20, 1 << 20) == unpacked(zlib, damaged, bits, 1 << 20, 1 << 20)


def test_no_more_is_unpacked_than_asked_for() -> None:
    """A stream of zeros that unpacks to a thousand times its size comes in pieces."""
    bomb = zlib.compress(bytes(1 << 24))
    unpacker = deflate.decompressobj()
    assert len(unpacker.decompress(bomb, 1000)) == 1000
    assert len(unpacker.decompress(unpacker.unconsumed_tail, 7)) == 7


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_checksum(data: bytes, cut: int) -> None:
    """The CRC-32 of pieces is zlib's."""
    assert deflate.crc32(data[cut:], deflate.crc32(data[:cut])) == zlib.crc32(data)


def test_zlib_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without zlib-ng, zlib does the work."""
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    monkeypatch.delitem(sys.modules, "zlib_ng.zlib_ng", raising=False)
    assert deflate.__spec__ is not None and deflate.__spec__.loader is not None
    fresh = importlib.util.module_from_spec(deflate.__spec__)
    deflate.__spec__.loader.exec_module(fresh)
    assert (fresh.crc32, fresh.error) == (zlib.crc32, zlib.error)
