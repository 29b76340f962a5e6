"""Raw snappy: compressed bytes -> bytes. Pure.

github.com/google/snappy, format_description.txt: the length of the result as a varint, then elements. The two low bits
of an element's first byte are its kind: a literal, or a copy of bytes that were written before.
"""

from __future__ import annotations

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.wire import decode_varint

_LITERAL, _COPY_NEAR = 0, 1
_OFFSET_BYTES = {1: 1, 2: 2, 3: 4}
"""Of each kind of copy, in bytes behind the first."""
_LONGEST_INLINE = 60  # of a literal; longer ones write their length - 1 in 1 to 4 further bytes
_MOST_EXPANSION = (64, 3)  # the densest element writes 64 bytes and takes 3


def decompress(data: bytes) -> bytes:
    """Return what `data` holds; raises DamagedFileError for anything that isn't whole, raw snappy.

    The result's claimed length is compared with what that many bytes can hold before anything is decoded.
    """
    length, position = decode_varint(data, 0)
    made, taken = _MOST_EXPANSION
    if length * taken > made * len(data):
        raise DamagedFileError(f"claims {length} bytes of snappy data, more than {len(data)} compressed bytes can hold")
    out = bytearray()
    while position < len(data):
        tag = data[position]
        kind = tag & 3
        if kind == _LITERAL:
            size, position = _literal_size(data, position)
            _refuse_cut(data, position + size)
            out += data[position : position + size]
            position += size
        else:
            start = position + 1
            position = start + _OFFSET_BYTES[kind]
            _refuse_cut(data, position)
            offset = int.from_bytes(data[start:position], "little")
            size = (tag >> 2) + 1
            if kind == _COPY_NEAR:
                offset, size = offset | tag >> 5 << 8, (tag >> 2 & 7) + 4
            if not 0 < offset <= len(out):
                raise DamagedFileError(f"snappy data copies from {offset} bytes back, where {len(out)} are written")
            begin = len(out) - offset
            if size <= offset:
                out += out[begin : begin + size]
            else:  # a copy that reaches into what it writes: the piece repeats
                out += (out[begin:] * (size // offset + 1))[:size]
        if len(out) > length:
            raise DamagedFileError(f"snappy data holds more than the {length} bytes that it claims")
    if len(out) != length:
        raise DamagedFileError(f"snappy data holds {len(out)} bytes and claims {length}")
    return bytes(out)


def _literal_size(data: bytes, position: int) -> tuple[int, int]:
    """Return a literal's length and the place of its first byte."""
    size = data[position] >> 2
    position += 1
    if size < _LONGEST_INLINE:
        return size + 1, position
    stop = position + size - _LONGEST_INLINE + 1
    _refuse_cut(data, stop)
    return int.from_bytes(data[position:stop], "little") + 1, stop


def _refuse_cut(data: bytes, stop: int) -> None:
    if stop > len(data):
        raise DamagedFileError("snappy data is cut off within an element")
