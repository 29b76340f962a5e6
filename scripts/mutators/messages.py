"""Protocol-buffer messages: mutations of their records, at any depth, whatever the schema.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from random import Random

from mutators.mutation import NothingToMutateError, whole_numbers

Record = tuple[int, int, "int | bytes"]
"""Field number, wire type, value."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_NESTED = 8


def encode_varint(value: int) -> bytes:
    """Return an unsigned varint; negative numbers are int64."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at `at`, and the place behind it; ValueError for none."""
    value = 0
    for i in range(10):
        if at + i >= len(data):
            break
        value |= (data[at + i] & 0x7F) << 7 * i
        if data[at + i] < 0x80:
            return value, at + i + 1
    raise ValueError("no varint")


def decode(data: bytes) -> list[Record]:
    """Return a message's records; ValueError for what is no message."""
    records: list[Record] = []
    at = 0
    while at < len(data):
        tag, at = decode_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = decode_varint(data, at)
            records.append((number, kind, value))
            continue
        if kind not in (_FIXED64, _BYTES, _FIXED32) or not number:
            raise ValueError("no message")
        length, at = decode_varint(data, at) if kind == _BYTES else (8 if kind == _FIXED64 else 4, at)
        if at + length > len(data):
            raise ValueError("no message")
        records.append((number, kind, data[at : at + length]))
        at += length
    return records


def encode(records: list[Record]) -> bytes:
    """Return the message of these records."""
    return b"".join(map(encode_record, records))


def encode_record(record: Record) -> bytes:
    """Return one record; fixed ones are given by their bytes."""
    number, kind, value = record
    tag = encode_varint(number << 3 | kind)
    if isinstance(value, int):
        return tag + encode_varint(value)
    return tag + (encode_varint(len(value)) if kind == _BYTES else b"") + value


def mutate_message(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Change one record of a message or of what is nested in it; the lengths around it are adapted."""
    try:
        records = decode(data)
    except ValueError as error:
        raise NothingToMutateError("no message") from error
    if not records:
        raise NothingToMutateError("an empty message")
    changed, note = _mutate(records, rng, 0)
    return changed, note


def _mutate(records: list[Record], rng: Random, depth: int) -> tuple[bytes, str]:
    at = rng.choices(range(len(records)), [_weight(record) for record in records])[0]
    number, kind, value = records[at]
    if kind == _BYTES and isinstance(value, bytes) and value and depth < _MOST_NESTED and rng.random() < 0.75:
        try:
            inner = decode(value)
        except ValueError:
            inner = []
        if inner and all(0 < record[0] < 1 << 16 for record in inner):
            nested, note = _mutate(inner, rng, depth + 1)
            records[at] = number, kind, nested
            return encode(records), f"{number}.{note}"
    parts = [encode_record(record) for record in records]
    parts[at], note = _change(records[at], records, rng)
    return b"".join(parts), f"{number}: {note}"


def _weight(record: Record) -> float:
    """Records with much in them are taken more often, though not by as much."""
    return 1 + (len(record[2]) ** 0.5 if isinstance(record[2], bytes) else 0)


def _change(record: Record, others: list[Record], rng: Random) -> tuple[bytes, str]:
    number, kind, value = record
    whole = encode_record(record)
    choices = ["left out", "repeated", "renumbered", "of another wire type", "another's", "a message of its own"]
    choices += ["number"] * 6 if isinstance(value, int) else ["bytes"] * 6 + ["false length"] * 2
    change = rng.choice(choices)
    if change == "left out":
        return b"", change
    if change == "repeated":
        times = rng.choice((2, 3, 1000))
        return whole * times, f"repeated {times} times"
    if change == "renumbered":
        other = rng.choice((number + 1, max(number - 1, 0), 0, 1, 2, 3, 1 << 29, rng.randrange(1, 32)))
        return encode_varint(other << 3 | kind) + whole[len(encode_varint(number << 3 | kind)) :], f"renumbered {other}"
    if change == "of another wire type":
        other = rng.randrange(8)
        return encode_varint(number << 3 | other) + whole[
            len(encode_varint(number << 3 | kind)) :
        ], f"{change}, {other}"
    if change == "another's":
        return encode_record((number, *rng.choice(others)[1:])), change
    if change == "a message of its own":
        depth = rng.choice((1, 100, 5000))
        nested = whole
        for _ in range(depth):
            if len(nested) > 1 << 20:
                break
            nested = encode_record((number, _BYTES, nested))
        return nested, f"nested {depth} deep"
    if isinstance(value, int):
        new = rng.choice((whole_numbers(rng, 8, value), whole_numbers(rng, 4, value), (1 << 64) - rng.randint(1, 9)))
        return encode_record((number, kind, new)), f"{value} becomes {new}"
    if change == "false length":
        length = whole_numbers(rng, rng.choice((1, 2, 4, 8)), len(value))
        return encode_varint(number << 3 | _BYTES) + encode_varint(
            length
        ) + value, f"claims {length} of {len(value)} bytes"
    return _change_bytes(record, value, rng)


def _change_bytes(record: Record, value: bytes, rng: Random) -> tuple[bytes, str]:
    number, kind, _ = record
    if kind != _BYTES:
        new = rng.choice((rng.randbytes(len(value)), bytes(len(value)), b"\xff" * len(value)))
        return encode_record((number, kind, new)), f"fixed {value.hex()} becomes {new.hex()}"
    flipped = bytearray(value or b"\0")
    flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    new, note = rng.choice(
        (
            (bytes(flipped), "a bit flipped"),
            (b"", "emptied"),
            (value[: rng.randrange(len(value) + 1)], "cut off"),
            (value + rng.randbytes(3), "extended"),
            (rng.randbytes(len(value)), "random"),
            (value * 1000 if len(value) < 1000 else value * 2, "lengthened"),
            (b"\x1b[31m\x00../../etc/\xff", "odd text"),
        )
    )
    return encode_record((number, kind, new)), f"{len(value)} bytes {note}"
