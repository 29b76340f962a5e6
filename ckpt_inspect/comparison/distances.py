"""How far two tensors are from each other, from pieces of both: sums in float64, constant memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.native import loops
from ckpt_inspect.records import dataclass

_ROW = 4096
"""Elements that are multiplied and added at a time: OpenBLAS starts threads above 10,000 (kernel/x86_64/ddot.c)."""

_GLANCE = 1 << 12
"""Elements at the start of a piece that mostly show at once that it has changed."""


class Distance:
    """Sums over the elements of a pair of tensors, fed piece by piece; the answers don't depend on how it was cut."""

    __slots__ = ("dot_aa", "dot_ab", "dot_bb", "dot_dd", "elements", "is_same")

    def __init__(self) -> None:
        self.elements = 0
        """Elements seen so far."""
        self.is_same = True
        """Whether every element seen so far has the same bits in both."""
        self.dot_aa = self.dot_bb = self.dot_ab = self.dot_dd = 0.0
        """Σa², Σb², Σab and Σ(b-a)²."""

    def add(self, a: Array, b: Array, buffers: Buffers) -> None:
        """Take in a piece of each, 1-D and of one length."""
        has_loop = loops is not None and _are_plain(a, b)
        self.add_products(a.size, loops.compare(a, b) if loops and has_loop else _products(a, b, buffers))

    def add_products(self, elements: int, products: tuple[float, float, float, float, bool]) -> None:
        """Take in Σa², Σb², Σab, Σ(b-a)² of so many elements, and whether all their bits are the same."""
        self.elements += elements
        aa, bb, ab, dd, is_same = products
        self.dot_aa += aa
        self.dot_bb += bb
        self.dot_ab += ab
        if not is_same:  # else NaNs would leave one behind
            self.is_same = False
            self.dot_dd += dd

    @property
    def relative(self) -> float:
        """Return ‖b-a‖/‖a‖: 0 if both are the same bit for bit, infinite if a is all zeros and b is not."""
        if self.is_same:
            return 0.0
        if self.dot_aa == 0.0:
            return math.inf if self.dot_dd > 0.0 else 0.0
        return math.sqrt(self.dot_dd / self.dot_aa)

    @property
    def cosine(self) -> float:
        """Return the cosine of the angle between a and b as vectors, in [-1, 1]; NaN if either is all zeros."""
        norms = math.sqrt(self.dot_aa) * math.sqrt(self.dot_bb)
        return max(-1.0, min(1.0, self.dot_ab / norms)) if norms > 0.0 and math.isfinite(norms) else math.nan

    @property
    def norm_a(self) -> float:
        """Return ‖a‖, the Euclidean norm of all elements."""
        return math.sqrt(self.dot_aa)

    @property
    def norm_b(self) -> float:
        """Return ‖b‖."""
        return math.sqrt(self.dot_bb)

    @property
    def norm_difference(self) -> float:
        """Return ‖b-a‖."""
        return math.sqrt(self.dot_dd)


class Buffers:
    """Scratch space of one thread, made when it is first asked for and reused from piece to piece."""

    __slots__ = ("_length", "_rows")

    def __init__(self, elements: int) -> None:
        self._length = elements
        self._rows: Array | None = None

    def pieces(self, elements: int) -> tuple[Array, Array, Array]:
        """Return three 1-D float64 arrays of that length (at most the length given at the start)."""
        if self._rows is None:
            self._rows = np.empty((3, self._length), np.float64)
        return self._rows[0, :elements], self._rows[1, :elements], self._rows[2, :elements]


@dataclass(frozen=True, slots=True)
class Window:
    """The k updates between two checkpoints, as one element's second moment sees them without any gradient."""

    decay: float
    """beta_2**k, what is left of a second moment after k updates without a gradient."""
    tolerance: float
    """Relative rounding error that k updates in the variable's dtype can add up to."""
    smallest: float
    """Smallest normal number of the variable's dtype: below it, values may have been flushed to zero."""

    @classmethod
    def between(cls, steps: int, beta_2: float, dtype: DType) -> Window | None:
        """Return the window; None if rounding or underflow hides its effect: no steps, coarse dtypes, very long
        windows."""
        if steps <= 0 or not 0.0 < beta_2 < 1.0 or dtype.kind not in "fV":
            return None
        info: Any
        if dtype.kind == "f":
            info = np.finfo(dtype)
        else:
            import ml_dtypes

            info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # its stubs leave it so
        decay = float(np.float32(beta_2)) ** steps
        # Even in float64, whether beta_2 passes through float32 on its way into the average differs by implementation.
        tolerance = (steps + 2) * max(float(info.eps), 2.0**-24)
        return cls(decay, tolerance, float(info.tiny)) if tolerance < 0.1 and decay > 0.0 else None


class WindowCount:
    """Elements of the second moment that no gradient reached in the window, and those that fell impossibly fast."""

    __slots__ = ("impossible", "starved", "sum_a", "sum_b", "touched")

    def __init__(self) -> None:
        self.touched = 0
        """Elements with v > 0 in the first checkpoint."""
        self.starved = 0
        """Of those, elements with v2 = beta_2**k·v1 to rounding."""
        self.impossible = 0
        """Of those, elements with v2 < beta_2**k·v1 by more than rounding: v cannot fall faster than that."""
        self.sum_a = self.sum_b = 0.0
        """Σv1 and Σv2, over all elements."""

    def add(self, v1: Array, v2: Array, window: Window, buffers: Buffers) -> None:
        """Take in a piece of each, 1-D and of one length; NaNs count as touched and nothing else."""
        if loops is not None and _are_plain(v1, v2):
            found = loops.count_window(v1, v2, window.decay, window.smallest, window.tolerance)
        else:
            found = _window_count(v1, v2, window, buffers)
        self.add_counts(found)

    def add_counts(self, found: tuple[float, float, int, int, int]) -> None:
        """Take in Σv1, Σv2, touched, starved and impossible of some elements."""
        sum_a, sum_b, touched, starved, impossible = found
        self.sum_a += sum_a
        self.sum_b += sum_b
        self.touched += touched
        self.starved += starved
        self.impossible += impossible

    def gradient_rms(self, window: Window, elements: int) -> float:
        """Return √mean((v2 - beta_2**k·v1)/(1 - beta_2**k)): the weighted RMS of the gradients in the window; NaN for
        none."""
        if not elements:
            return math.nan
        mean = (self.sum_b - window.decay * self.sum_a) / elements / (1.0 - window.decay)
        return math.sqrt(mean) if mean >= 0.0 else math.nan


def has_same_bits(a: Array, b: Array) -> bool:
    """Return whether two 1-D arrays have the same dtype, length and bits: NaNs compare by payload, and 0.0 is not
    -0.0."""
    if a.dtype != b.dtype or a.size != b.size:
        return False
    if a.dtype.kind == "O":
        return bool(np.array_equal(a, b))
    bits = np.dtype(f"u{a.dtype.itemsize}") if a.dtype.itemsize in (1, 2, 4, 8) else np.dtype(np.uint8)
    one, other = np.ascontiguousarray(a).view(bits), np.ascontiguousarray(b).view(bits)
    return bool((one[:_GLANCE] == other[:_GLANCE]).all()) and bool((one == other).all())


def _are_plain(a: Array, b: Array) -> bool:
    """Whether the compiled loops take them."""
    return all(x.dtype == np.float32 and x.flags.c_contiguous for x in (a, b))


def _products(a: Array, b: Array, buffers: Buffers) -> tuple[float, float, float, float, bool]:
    """Σa², Σb², Σab, Σ(b-a)², and whether all bits are the same: what `extension.loops.compare` gives of float32."""
    wide_a, wide_b, difference = buffers.pieces(a.size)
    _copy_real(a, wide_a)
    with np.errstate(invalid="ignore", over="ignore"):
        aa = _dot(wide_a, wide_a)
        if has_same_bits(a, b):
            return aa, aa, aa, 0.0, True
        _copy_real(b, wide_b)
        np.subtract(wide_b, wide_a, out=difference)
        return aa, _dot(wide_b, wide_b), _dot(wide_a, wide_b), _dot(difference, difference), False


def _window_count(v1: Array, v2: Array, window: Window, buffers: Buffers) -> tuple[float, float, int, int, int]:
    """Σv1, Σv2, touched, starved, impossible: what `extension.loops.count_window` gives of float32."""
    wide_1, wide_2, left = buffers.pieces(v1.size)
    _copy_real(v1, wide_1)
    _copy_real(v2, wide_2)
    with np.errstate(invalid="ignore", over="ignore"):
        np.multiply(wide_1, window.decay, out=left)
        certain = left > window.smallest
        impossible = certain & (wide_2 < left * (1.0 - window.tolerance))
        starved = certain & (np.abs(wide_2 - left) <= left * window.tolerance)
        return (
            float(wide_1.sum()),
            float(wide_2.sum()),
            int(np.count_nonzero(wide_1)),
            int(np.count_nonzero(starved)),
            int(np.count_nonzero(impossible)),
        )


def _dot(a: Array, b: Array) -> float:
    """Σab, in rows, for which BLAS starts no threads, and one call, which lets other threads run once."""
    whole = a.size - a.size % _ROW
    rows = np.matmul(a[:whole].reshape(-1, 1, _ROW), b[:whole].reshape(-1, _ROW, 1))
    sums = (*rows.ravel().tolist(), float(np.dot(a[whole:], b[whole:])))
    return math.fsum(sums) if all(map(math.isfinite, sums)) else sum(sums)


def _copy_real(piece: Array, out: Array) -> None:
    """The piece as float64; a complex number as its modulus, so that norms are right and cosines are of the moduli."""
    if piece.dtype.kind == "c":
        np.abs(piece, out=out)
    else:
        np.copyto(out, piece, casting="unsafe")
