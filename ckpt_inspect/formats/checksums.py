"""Masked CRC-32C and zip's CRC-32, and the checksum of a whole from those of its pieces, read in any order.

Masking: https://github.com/google/leveldb/blob/main/util/crc32c.h; a stored checksum is rotated and offset, so that the
checksum of data that holds checksums stays meaningful. Combining: the checksum of A+B is the checksum of A, advanced
over len(B) zero bytes, xor the checksum of B; advancing is multiplying by x**(8 len) modulo the polynomial over GF(2).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.deflate import crc32

POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bit-reversed: bit 31 is the coefficient of x**0."""

_MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the masked CRC-32C of a bytes-like object."""
    return mask(google_crc32c.value(data))


def mask(crc: int) -> int:
    """Return the form in which a checksum is stored."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


class Algorithm(NamedTuple):
    """A cyclic redundancy check of 32 bits."""

    polynomial: int
    """Bit-reversed: bit 31 is the coefficient of x**0."""
    extend: Callable[[int, NDArray[np.uint8]], int]
    """The checksum of A and the bytes B -> that of A+B; 0 is the checksum of nothing."""
    stored: Callable[[int], int]
    """The form in which a file stores it."""


def combine(first: int, second: int, second_length: int, polynomial: int = POLYNOMIAL) -> int:
    """Return the checksum of A+B from that of A, that of B, and B's length in bytes."""
    return _multiply(_power(second_length, polynomial), first, polynomial) ^ second


def _multiply(a: int, b: int, polynomial: int) -> int:
    """Return the product of two polynomials modulo `polynomial`."""
    product = 0
    while a:
        if a & 0x80000000:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ polynomial if b & 1 else b >> 1
    return product


@lru_cache(maxsize=256)
def _power(length: int, polynomial: int) -> int:
    """x**(8 length) modulo `polynomial`."""
    result, bit = 0x80000000, 0
    while length >> bit:
        if length >> bit & 1:
            result = _multiply(_square(bit, polynomial), result, polynomial)
        bit += 1
    return result


@lru_cache(maxsize=64)
def _square(times: int, polynomial: int) -> int:
    """x**(8 * 2**times) modulo `polynomial`."""
    if times == 0:
        return 0x80000000 >> 8
    root = _square(times - 1, polynomial)
    return _multiply(root, root, polynomial)


CRC32C = Algorithm(POLYNOMIAL, lambda crc, data: google_crc32c.extend(crc, data), mask)
"""TensorFlow's, masked."""

CRC32 = Algorithm(0xEDB88320, lambda crc, data: crc32(data.data, crc), lambda crc: crc)
"""Zip's."""


class PieceChecksums:
    """Keeps which bytes of a tensor, or a file, have been checksummed; thread-safe.

    Pieces may come in any order and size, and may overlap; bytes that are covered already are not counted again. When
    the last gap closes, the whole checksum is compared, and a new round begins.
    """

    __slots__ = ("_algorithm", "_crcs", "_lock", "_starts", "_stops", "expected", "length")

    def __init__(self, length: int, expected: int, algorithm: Algorithm = CRC32C) -> None:
        self._algorithm = algorithm
        self.length = length
        """Length of the whole in bytes."""
        self.expected = expected
        """The checksum of the whole, as the file stores it."""
        self._lock = Lock()
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._crcs: list[int] = []

    def add(self, start: int, data: NDArray[np.uint8]) -> None:
        """Count `data`, a contiguous 1-D uint8 array from byte `start`; DamagedFileError if the checksum differs."""
        stop = start + len(data)
        if start == 0 and stop == self.length:
            self._compare(self._algorithm.extend(0, data))
            return
        with self._lock:
            gaps = self._gaps(start, stop)
            # Taken out while it is extended, so that no other thread extends it as well.
            before = self._take_ending_at(gaps[0][0]) if gaps else None
        for begin, end in gaps:
            piece = data[begin - start : end - start]
            if before is not None:
                self._insert(before[0], end, self._algorithm.extend(before[1], piece))
                before = None
            else:
                self._insert(begin, end, self._algorithm.extend(0, piece))

    def counted(self) -> tuple[tuple[int, int, int], ...]:
        """Return begin, end and checksum of each range that has been counted in this round."""
        with self._lock:
            return tuple(zip(self._starts, self._stops, self._crcs, strict=True))

    def take(self, start: int, stop: int, crc: int) -> bool:
        """Count a range by its checksum, unless parts of it are counted; return whether that closed the last gap.

        Raises DamagedFileError as `add` does.
        """
        with self._lock:
            if self._gaps(start, stop) != [(start, stop)]:
                return False
        if start == 0 and stop == self.length:
            self._compare(crc)
            return True
        return self._insert(start, stop, crc)

    def is_uncounted(self, start: int, stop: int) -> bool:
        """Return whether no byte of a range has been counted in this round."""
        with self._lock:
            return self._gaps(start, stop) == [(start, stop)]

    def missing(self) -> list[tuple[int, int]]:
        """Return the ranges that have not been counted in this round; the whole if a round has just begun."""
        with self._lock:
            return self._gaps(0, self.length)

    def _gaps(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of [start, stop) that are not covered."""
        gaps = []
        i = bisect_right(self._stops, start)
        while start < stop:
            if i == len(self._starts) or self._starts[i] >= stop:
                gaps.append((start, stop))
                break
            if self._starts[i] > start:
                gaps.append((start, self._starts[i]))
            start = self._stops[i]
            i += 1
        return gaps

    def _take_ending_at(self, stop: int) -> tuple[int, int] | None:
        i = bisect_left(self._stops, stop)
        if i == len(self._stops) or self._stops[i] != stop:
            return None
        start, crc = self._starts.pop(i), self._crcs.pop(i)
        self._stops.pop(i)
        return start, crc

    def _insert(self, start: int, stop: int, crc: int) -> bool:
        """Keep a range; if nothing is missing then, compare, and return True."""
        with self._lock:
            i = bisect_right(self._stops, start)
            while i < len(self._starts) and self._starts[i] < stop:
                # Another thread has counted some of the same bytes in the meantime; the wider range stays.
                if self._starts[i] < start or self._stops[i] > stop:
                    return False
                del self._starts[i], self._stops[i], self._crcs[i]
            if i < len(self._starts) and self._starts[i] == stop:
                crc = combine(crc, self._crcs[i], self._stops[i] - stop, self._algorithm.polynomial)
                stop = self._stops[i]
                del self._starts[i], self._stops[i], self._crcs[i]
            if i and self._stops[i - 1] == start:
                crc = combine(self._crcs[i - 1], crc, stop - start, self._algorithm.polynomial)
                start = self._starts[i - 1]
                i -= 1
                del self._starts[i], self._stops[i], self._crcs[i]
            if start > 0 or stop < self.length:
                self._starts.insert(i, start)
                self._stops.insert(i, stop)
                self._crcs.insert(i, crc)
                return False
        self._compare(crc)
        return True

    def _compare(self, crc: int) -> None:
        computed = self._algorithm.stored(crc)
        if computed != self.expected:
            raise DamagedFileError(f"bad CRC, stored {self.expected:08x}, computed {computed:08x}")
