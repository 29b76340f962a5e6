"""The same tensor in two local files: read, checksummed and compared by the loops in C, in one call for a stretch."""

from __future__ import annotations

from types import ModuleType

from ckpt_inspect.checkpoint import Array, Checkpoint, StoredElements, numpy_dtype
from ckpt_inspect.comparison.distances import Window
from ckpt_inspect.measurement.histograms import Counts
from ckpt_inspect.native import DTYPES
from ckpt_inspect.records import dataclass

Products = tuple[float, float, float, float, bool]
WindowCounts = tuple[float, float, int, int, int]


@dataclass(frozen=True, slots=True)
class StoredPair:
    """A tensor's elements in two files."""

    a: StoredElements
    b: StoredElements
    dtype: str

    @classmethod
    def find(cls, a: Checkpoint, b: Checkpoint, keys: tuple[str, str]) -> StoredPair | None:
        """Return where the elements of two tensors of one size lie; None if the loops can't read them there.

        Raises what reading raises.
        """
        specs = a.spec(keys[0]), b.spec(keys[1])
        if specs[0].dtype != specs[1].dtype or specs[0].dtype not in DTYPES or specs[0].size != specs[1].size:
            return None
        found = a.stored_elements(keys[0]), b.stored_elements(keys[1])
        if any(elements is not None and elements.borrow is not None for elements in found):
            return None
        return None if found[0] is None or found[1] is None else cls(found[0], found[1], specs[0].dtype)

    def compare(
        self,
        loops: ModuleType,
        start: int,
        stop: int,
        scratch: Array,
        window: Window | None,
        counts: tuple[Counts | None, Counts | None],
    ) -> tuple[Products, WindowCounts] | None:
        """Return what `Distance` and `WindowCount` take in of elements start:stop, and count the values of either side.

        None if they must be read another way: something of them has been checksummed before, or reading fails. Raises
        DamagedFileError.
        """
        width = numpy_dtype(self.dtype).itemsize
        begin, end = start * width, stop * width
        if not (self.a.is_uncounted(begin, end) and self.b.is_uncounted(begin, end)):
            return None
        found = loops.compare_stored(
            (self.a.descriptor, self.a.offset + begin),
            (self.b.descriptor, self.b.offset + begin),
            DTYPES.index(self.dtype),
            stop - start,
            scratch,
            None if window is None else (window.decay, window.smallest, window.tolerance),
            *counts,
        )
        if found is None:
            return None
        products, counted, checksums = found
        for elements, checksum in zip((self.a, self.b), checksums, strict=True):
            elements.count(begin, end, checksum)
        return products, counted
