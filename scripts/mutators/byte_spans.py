"""Mutations that know nothing of a format: what disks, copies and networks do to files."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mutators.mutation import Checksum, Mutator, NothingToMutateError, of_bytes, whole_numbers


def flip_bits(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Flip one bit, or a few."""
    changed = bytearray(_not_empty(data))
    places = [(rng.randrange(len(data)), rng.randrange(8)) for _ in range(rng.choice((1, 1, 1, 2, 8)))]
    for at, bit in places:
        changed[at] ^= 1 << bit
    return bytes(changed), f"bits flipped at {', '.join(f'{at:#x}.{bit}' for at, bit in places)}"


def truncate(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Cut the file off: anywhere, at a block of a disk, or by a few bytes."""
    size = len(_not_empty(data))
    stop = rng.choice((rng.randrange(size), rng.randrange(size) // 512 * 512, max(size - rng.randint(1, 64), 0), 0))
    return data[:stop], f"cut off at {stop} of {size} bytes"


def zero_span(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Have a span read as zeros, as a lost block of a disk does."""
    start, stop = _span(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:], f"zeros at {start:#x}:{stop:#x}"


def fill_span(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Put random bytes, or 0xff, into a span."""
    start, stop = _span(data, rng)
    filling = rng.choice((rng.randbytes(stop - start), b"\xff" * (stop - start)))
    return data[:start] + filling + data[stop:], f"other bytes at {start:#x}:{stop:#x}"


def swap_spans(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Exchange two spans of one length."""
    start, stop = _span(data, rng)
    length = min(stop - start, len(data) // 2)
    a = rng.randrange(len(data) - 2 * length + 1)
    b = rng.randrange(a + length, len(data) - length + 1)
    changed = data[:a] + data[b : b + length] + data[a + length : b] + data[a : a + length] + data[b + length :]
    return changed, f"{length} bytes exchanged between {a:#x} and {b:#x}"


def duplicate_span(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Repeat a span, so that all behind it moves."""
    start, stop = _span(data, rng)
    times = rng.choice((1, 1, 2, 16))
    return data[:stop] + data[start:stop] * times + data[stop:], f"{start:#x}:{stop:#x} repeated {times} times"


def copy_span(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Write a span over another, so that nothing moves."""
    start, stop = _span(data, rng)
    at = rng.randrange(len(data) - (stop - start) + 1)
    return data[:at] + data[start:stop] + data[at + stop - start :], f"{start:#x}:{stop:#x} written over {at:#x}"


def delete_span(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Leave a span out."""
    start, stop = _span(data, rng)
    return data[:start] + data[stop:], f"{start:#x}:{stop:#x} left out"


def set_number(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Put an integer that nobody expects where an integer may stand."""
    width = rng.choice((1, 2, 4, 4, 8, 8))
    if len(data) < width:
        raise NothingToMutateError("too short")
    at = rng.randrange((len(data) - width) // width + 1) * width
    order = rng.choice(("little", "little", "big"))
    value = whole_numbers(rng, width, int.from_bytes(data[at : at + width], "little"))
    changed = data[:at] + value.to_bytes(width, "little" if order == "little" else "big") + data[at + width :]
    return changed, f"{value:#x} at {at:#x}, {width} bytes, {order}-endian"


def extend(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Append something."""
    tail = rng.choice((bytes(rng.choice((1, 512, 4096))), rng.randbytes(64), data))
    return data + tail, f"{len(tail)} bytes appended"


CHANGES: tuple[tuple[str, Callable[[bytes, Random], tuple[bytes, str]]], ...] = (
    ("bits flipped", flip_bits),
    ("cut off", truncate),
    ("span zeroed", zero_span),
    ("span filled", fill_span),
    ("spans swapped", swap_spans),
    ("span repeated", duplicate_span),
    ("span copied", copy_span),
    ("span left out", delete_span),
    ("number set", set_number),
    ("extended", extend),
)


def byte_mutators(
    what: str, is_meant: Callable[[str], bool], checksum: Checksum, weight: float = 0.3
) -> tuple[Mutator, ...]:
    """Return all of these for the files that are meant; `what` begins their names."""
    return tuple(of_bytes(f"{what}: {name}", change, is_meant, checksum, weight) for name, change in CHANGES)


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise NothingToMutateError("empty")
    return data


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    """A span that isn't empty; short ones are as frequent as long ones."""
    size = len(_not_empty(data))
    length = min(size, rng.choice((1, 4, 8, 16, 64, 512, 4096, rng.randint(1, size))))
    start = rng.randrange(size - length + 1)
    return start, start + length
