"""Sorted-string tables (a bundle's index, V1 files): mutations of their blocks, with checksums made to match.

tensorflow/core/lib/io/table_format.txt: blocks of entries (shared and own length of the key, length of the value, own
part of the key, value), restart points and their number, a byte for the compression, a masked CRC-32C; the footer has
the handles of the metaindex and the index block.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import google_crc32c

from mutators.messages import decode_varint, encode_varint, mutate_message
from mutators.mutation import Checksum, Mutator, NothingToMutateError, of_bytes, whole_numbers

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER, _TRAILER = 48, 5
Entries = list[tuple[bytes, bytes]]
"""Keys and values, in the table's order."""


@dataclass(frozen=True, slots=True)
class _Block:
    offset: int
    size: int
    """Without the trailer."""


def masked_crc(data: bytes) -> int:
    """Return TensorFlow's masked CRC-32C."""
    return mask(google_crc32c.value(data))


def mask(crc: int) -> int:
    """Return the CRC as TensorFlow stores it."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_table(table: bytes) -> Entries:
    """Return a healthy table's entries."""
    entries: Entries = []
    for _, handle in _entries(_contents(table, _index_block(table))):
        offset, at = decode_varint(handle, 0)
        entries += _entries(_contents(table, _Block(offset, decode_varint(handle, at)[0])))
    return entries


def write_table(entries: Entries, per_block: int = 1000) -> bytes:
    """Return a table of these entries, in this order, whatever they are."""
    out, index = bytearray(), []

    def add(contents: bytes) -> bytes:
        handle = encode_varint(len(out)) + encode_varint(len(contents))
        out.extend(_sealed(contents))
        return handle

    for i in range(0, len(entries), per_block):
        part = entries[i : i + per_block]
        index.append((part[-1][0], add(_block(part))))
    handles = add(_block([])) + add(_block(index))
    return bytes(out) + handles.ljust(_FOOTER - len(MAGIC), b"\0") + MAGIC


def _sealed(contents: bytes, compression: int = 0) -> bytes:
    body = contents + bytes([compression])
    return body + struct.pack("<I", masked_crc(body))


def _block(entries: Entries) -> bytes:
    out, last, restarts = bytearray(), b"", []
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % 16:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += encode_varint(shared) + encode_varint(len(key) - shared) + encode_varint(len(value))
        out += key[shared:] + value
        last = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def _entries(block: bytes) -> Entries:
    stop = len(block) - 4 * (int.from_bytes(block[-4:], "little") + 1)
    found, key, at = [], b"", 0
    while at < stop:
        shared, at = decode_varint(block, at)
        own, at = decode_varint(block, at)
        length, at = decode_varint(block, at)
        key = key[:shared] + block[at : at + own]
        found.append((key, block[at + own : at + own + length]))
        at += own + length
    return found


def _index_block(table: bytes) -> _Block:
    footer = table[-_FOOTER:]
    at = decode_varint(footer, decode_varint(footer, 0)[1])[1]
    offset, at = decode_varint(footer, at)
    return _Block(offset, decode_varint(footer, at)[0])


def _contents(table: bytes, block: _Block) -> bytes:
    return table[block.offset : block.offset + block.size]


def _blocks(table: bytes) -> list[_Block]:
    """Every data block, then the index block."""
    index = _index_block(table)
    found = []
    for _, handle in _entries(_contents(table, index)):
        offset, at = decode_varint(handle, 0)
        found.append(_Block(offset, decode_varint(handle, at)[0]))
    return [*found, index]


# --- mutations


def _change_block(table: bytes, rng: Random) -> tuple[bytes, str]:
    """Change bytes in a block, whose place and size stay, and seal it anew."""
    block = rng.choice(_blocks(table))
    contents = bytearray(_contents(table, block))
    at = rng.randrange(len(contents))
    before = contents[at]
    contents[at] = whole_numbers(rng, 1, before)
    return _replaced(table, block, _sealed(bytes(contents))), f"block at {block.offset:#x}, byte {at}: {before} changed"


def _change_restarts(table: bytes, rng: Random) -> tuple[bytes, str]:
    block = rng.choice(_blocks(table))
    contents = _contents(table, block)
    count = whole_numbers(rng, 4, int.from_bytes(contents[-4:], "little"))
    changed = _sealed(contents[:-4] + struct.pack("<I", count))
    return _replaced(table, block, changed), f"block at {block.offset:#x} claims {count} restart points"


def _change_compression(table: bytes, rng: Random) -> tuple[bytes, str]:
    block = rng.choice(_blocks(table))
    compression = rng.choice((1, 2, 255))
    changed = _sealed(_contents(table, block), compression)
    return _replaced(table, block, changed), f"block at {block.offset:#x} claims compression {compression}"


def _change_handle(table: bytes, rng: Random) -> tuple[bytes, str]:
    """Have the index block point elsewhere."""
    index = _index_block(table)
    entries = _entries(_contents(table, index))
    if not entries:
        raise NothingToMutateError("no blocks")
    at = rng.randrange(len(entries))
    key, handle = entries[at]
    offset, position = decode_varint(handle, 0)
    size, _ = decode_varint(handle, position)
    offset, size = rng.choice(
        ((whole_numbers(rng, 8, offset), size), (offset, whole_numbers(rng, 8, size)), (index.offset, index.size))
    )
    entries[at] = key, encode_varint(offset) + encode_varint(size)
    contents = _block(entries)
    footer = table[-_FOOTER:]
    meta = decode_varint(footer, decode_varint(footer, 0)[1])[1]
    handles = footer[:meta] + encode_varint(index.offset) + encode_varint(len(contents))
    changed = table[: index.offset] + _sealed(contents) + handles.ljust(_FOOTER - len(MAGIC), b"\0") + MAGIC
    return changed, f"block {at} is said to be at {offset:#x}, {size} bytes"


def _change_footer(table: bytes, rng: Random) -> tuple[bytes, str]:
    index = _index_block(table)
    offset, size = rng.choice(
        ((whole_numbers(rng, 8, index.offset), index.size), (index.offset, whole_numbers(rng, 8, index.size)), (0, 0))
    )
    handles = rng.choice(
        (
            encode_varint(0) * 2 + encode_varint(offset) + encode_varint(size),
            encode_varint(offset) * 2 + encode_varint(index.offset) + encode_varint(index.size),
            b"\xff" * (_FOOTER - len(MAGIC)),
            rng.randbytes(_FOOTER - len(MAGIC)),
        )
    )
    width = _FOOTER - len(MAGIC)
    footer = handles[:width].ljust(width, b"\0") + rng.choice((MAGIC, MAGIC, MAGIC[::-1]))
    return table[:-_FOOTER] + footer, f"footer names {offset:#x}, {size} bytes"


def _change_entries(table: bytes, rng: Random) -> tuple[bytes, str]:
    """Leave out, repeat, reorder, rename or add entries."""
    entries = read_table(table)
    at = rng.randrange(len(entries))
    key, value = entries[at]
    change = rng.choice(("left out", "repeated", "moved", "renamed", "added", "blocks", "many"))
    if change == "left out":
        del entries[at]
    elif change == "repeated":
        entries.insert(at, (key, value))
    elif change == "moved":
        other = rng.randrange(len(entries))
        entries[at], entries[other] = entries[other], entries[at]
    elif change == "renamed":
        new = rng.choice((b"", b"\0", key + b"x", key[:-1], b"\xff\xfe", b"\x1b[31m", key * 200, key[::-1]))
        entries[at] = new, value
        if rng.random() < 0.7:
            entries.sort()
    elif change == "added":
        entries.append((b"\xffadded", rng.choice((b"", value, rng.randbytes(20)))))
    elif change == "many":
        entries += [(b"\xff%06d" % i, value) for i in range(5000)]
    return write_table(entries, 1 if change == "blocks" else 1000), f"entry {key[:60]!r}: {change}"


def _change_value(table: bytes, rng: Random) -> tuple[bytes, str]:
    """Change a record of one of the values, which are all messages."""
    entries = read_table(table)
    at = rng.randrange(len(entries))
    key, value = entries[at]
    changed, note = mutate_message(value, rng)
    entries[at] = key, changed
    return write_table(entries), f"entry {key[:60]!r}, field {note}"


def _change_checksum(table: bytes, rng: Random) -> tuple[bytes, str]:
    """Damage a block's checksum alone."""
    block = rng.choice(_blocks(table))
    at = block.offset + block.size + rng.randrange(_TRAILER)
    changed = bytearray(table)
    changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed), f"block at {block.offset:#x}: a bit of its trailer flipped"


def _replaced(table: bytes, block: _Block, sealed: bytes) -> bytes:
    return table[: block.offset] + sealed + table[block.offset + len(sealed) :]


def table_mutators(what: str, is_meant: Callable[[str], bool]) -> tuple[Mutator, ...]:
    """Return those of every table."""
    kept, again = Checksum.KEPT, Checksum.RECOMPUTED
    changes = (
        ("bytes of a block", _change_block, again, 1.5),
        ("restart points", _change_restarts, again, 0.5),
        ("compression", _change_compression, again, 0.3),
        ("block handle", _change_handle, again, 1.0),
        ("footer", _change_footer, kept, 0.7),
        ("entries", _change_entries, again, 1.0),
        ("messages", _change_value, again, 3.0),
        ("block checksum", _change_checksum, kept, 0.5),
    )
    return tuple(of_bytes(f"{what}: {name}", change, is_meant, c, weight) for name, change, c, weight in changes)
